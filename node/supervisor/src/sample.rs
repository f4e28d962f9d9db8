//! What a running process uses, read from `/proc`.

use std::time::Duration;

/// One look at a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Anonymous, shared and swapped memory, and page tables: those of much address space that only looks empty take
    /// memory too. Libraries mapped from files are not the model's and not counted.
    pub(crate) memory_bytes: u64,
    /// CPU time so far, all threads.
    pub(crate) cpu: Duration,
}

/// Looks at process `pid`; `None` once it is gone.
pub(crate) fn sample(pid: u32) -> Option<Sample> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(Sample {
        memory_bytes: memory_of(&status)?,
        cpu: cpu_of(&stat)?,
    })
}

fn memory_of(status: &str) -> Option<u64> {
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    };
    let total = kilobytes("RssAnon:")? + kilobytes("RssShmem:")?;
    let further = ["VmSwap:", "VmPTE:"].map(|name| kilobytes(name).unwrap_or(0));
    Some((total + further.iter().sum::<u64>()) * 1024)
}

/// Fields 14 and 15, in clock ticks. The second field is the program's name, which may contain anything.
fn cpu_of(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_millis(
        ticks.saturating_mul(1000) / ticks_per_second,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_looked_at() {
        let own = sample(std::process::id()).unwrap();
        assert!(own.memory_bytes > 0);
    }

    #[test]
    fn page_tables_and_swapped_memory_count_and_files_do_not() {
        let status = "Name:\tx\nVmPTE:\t     400 kB\nRssAnon:\t     30 kB\nRssFile:\t 90000 kB\nRssShmem:\t     2 kB\n\
                      VmSwap:\t       1 kB\n";
        assert_eq!(memory_of(status), Some(433 * 1024));
    }

    #[test]
    fn a_hostile_process_name_does_not_shift_the_fields() {
        let stat = "7 (a) S 1) R 1 7 7 0 -1 4194304 1 0 0 0 100 50 0 0 20 0 1 0 5 0 0";
        let expected = 150 * 1000 / rustix::param::clock_ticks_per_second();
        assert_eq!(cpu_of(stat), Some(Duration::from_millis(expected)));
    }
}
