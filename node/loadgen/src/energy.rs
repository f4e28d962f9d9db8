//! Energy of the machine's processors, where Linux tells it.

use std::path::Path;

/// Where Linux tells the energy of processor packages.
const POWERCAP: &str = "/sys/class/powercap";

/// The sum of the processor packages' counters, in microjoules; nothing where there are none or they may not
/// be read. A counter may begin anew, so that a later sum is smaller.
#[must_use]
pub fn energy_microjoules() -> Option<u64> {
    sum_of(Path::new(POWERCAP))
}

fn sum_of(folder: &Path) -> Option<u64> {
    let mut sum = None;
    for entry in std::fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        let name = entry.file_name();
        // `intel-rapl:0` is a package, `intel-rapl:0:1` a part of one.
        let is_package = |name: &str| name.starts_with("intel-rapl:") && name.matches(':').count() == 1;
        if name.to_str().is_some_and(is_package) {
            let text = std::fs::read_to_string(entry.path().join("energy_uj")).ok()?;
            sum = Some(sum.unwrap_or(0) + text.trim().parse::<u64>().ok()?);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energy_is_the_packages_sum_or_nothing() {
        let folder = std::env::temp_dir().join(format!("fieldmark-energy-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(sum_of(&folder), None);
        for (name, value) in [
            ("intel-rapl:0", "1500\n"),
            ("intel-rapl:0:1", "700\n"),
            ("intel-rapl:1", "500\n"),
        ] {
            std::fs::create_dir(folder.join(name)).unwrap();
            std::fs::write(folder.join(name).join("energy_uj"), value).unwrap();
        }
        assert_eq!(sum_of(&folder), Some(2_000));
        assert_eq!(sum_of(&folder.join("absent")), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
