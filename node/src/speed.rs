//! How fast a release is on this machine, on its public sample: percentiles of latency, peak memory, and
//! energy where the machine tells. Nothing of it is private, so it costs no budget; nothing of it is the
//! same on another machine, so it is no part of what nodes with equal records agree on: it is shown beside a
//! board, on this node's pages and in what it hands out when asked for it. The last figures of each release
//! are kept while the node runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Instant;

use fieldmark_blobs::BlobHash;
use fieldmark_ledger::catalogue;
use fieldmark_node_core::io::CommandError;
use fieldmark_package::values;
use fieldmark_protocol::RecordId;
use fieldmark_protocol::manifest::{MANIFEST_FILE, Manifest};
use fieldmark_protocol::release::Release;
use fieldmark_supervisor::Tensor;
use serde::Serialize;

use crate::handle::NodeHandle;

/// Requests that are timed.
const RUNS: usize = 100;
/// Requests before that, which are not.
const WARM_UP: usize = 5;
/// Most releases whose figures are kept.
const HELD_MAX: usize = 4_096;
/// Where Linux tells the energy of processor packages, in microjoules.
const POWERCAP: &str = "/sys/class/powercap";
/// Largest sample that is read, in bytes.
const SAMPLE_BYTES_MAX: u64 = 64 << 20;

/// How fast one release is here.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Speed {
    /// The Release record.
    pub release: RecordId,
    /// `name@version`.
    pub name: String,
    /// Requests timed, each with the public sample.
    pub runs: usize,
    /// Half of the requests took at most this long, in milliseconds.
    pub p50_ms: f64,
    /// 95% of them.
    pub p95_ms: f64,
    /// 99% of them.
    pub p99_ms: f64,
    /// The most memory that the runner has held, in bytes.
    pub memory_bytes_peak: u64,
    /// Energy of the whole machine's processors by request, in joules; absent where it cannot be read.
    pub energy_joules: Option<f64>,
}

/// Times a release on its public sample.
///
/// # Errors
/// The release or its artifacts are not here, its sample cannot be read, or its runner fails.
pub async fn measure(node: &NodeHandle, id: RecordId) -> Result<Speed, CommandError> {
    let view = catalogue::release(&node.store, &id);
    let view = view.map_err(|e| CommandError::new("storage", e.to_string()))?;
    let missing = || CommandError::new("not-found", format!("no release {} is known here", id.short()));
    let release = view.ok_or_else(missing)?.release;
    let runner = node.runners.runner(node, id).await?;
    let sample = sample(node, &release)?;
    let mut times = Vec::with_capacity(RUNS);
    let mut energy_before = None;
    for run in 0..WARM_UP + RUNS {
        if run == WARM_UP {
            energy_before = energy(Path::new(POWERCAP));
        }
        let asked = Instant::now();
        let answer = runner.infer(sample.clone()).await;
        let time_ms = asked.elapsed().as_secs_f64() * 1e3;
        answer.map_err(|e| CommandError::new("runner", e.to_string()))?;
        if run >= WARM_UP {
            times.push(time_ms);
        }
    }
    let energy_after = energy(Path::new(POWERCAP));
    times.sort_by(f64::total_cmp);
    let speed = Speed {
        release: id,
        name: format!("{}@{}", release.name, release.version),
        runs: times.len(),
        p50_ms: percentile(&times, 50),
        p95_ms: percentile(&times, 95),
        p99_ms: percentile(&times, 99),
        memory_bytes_peak: runner.status().memory_bytes_peak,
        energy_joules: energy_before.zip(energy_after).and_then(used),
    };
    let mut held = node.speeds.lock().unwrap_or_else(PoisonError::into_inner);
    if held.len() >= HELD_MAX {
        held.clear();
    }
    held.insert(id, speed.clone());
    Ok(speed)
}

/// The figures that are kept of these releases.
pub fn held(node: &NodeHandle, releases: &[RecordId]) -> BTreeMap<RecordId, Speed> {
    let held = node.speeds.lock().unwrap_or_else(PoisonError::into_inner);
    let found = releases
        .iter()
        .filter_map(|id| Some((*id, held.get(id)?.clone())));
    found.collect()
}

/// The least time that so many percent of the sorted times do not exceed, to a microsecond.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    let time = sorted.get(rank).copied().unwrap_or(0.0);
    (time * 1e3).round() / 1e3
}

/// Joules by request between two readings; nothing where a counter began anew.
fn used((before, after): (u64, u64)) -> Option<f64> {
    let microjoules = after.checked_sub(before)?;
    Some(microjoules as f64 / 1e6 / RUNS as f64)
}

/// The sum of the processor packages' counters; nothing where there are none or they may not be read.
fn energy(folder: &Path) -> Option<u64> {
    let mut sum = None;
    for entry in std::fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        let name = entry.file_name();
        // `intel-rapl:0` is a package, `intel-rapl:0:1` a part of one.
        if name
            .to_str()
            .is_some_and(|n| n.starts_with("intel-rapl:") && n.matches(':').count() == 1)
        {
            let text = std::fs::read_to_string(entry.path().join("energy_uj")).ok()?;
            sum = Some(sum.unwrap_or(0) + text.trim().parse::<u64>().ok()?);
        }
    }
    sum
}

/// The sample that the package publishes, or zeros of the stated shapes.
fn sample(node: &NodeHandle, release: &Release) -> Result<Vec<Tensor>, CommandError> {
    let invalid = |e: &dyn std::fmt::Display| {
        let name = format!("{}@{}", release.name, release.version);
        CommandError::new("invalid", format!("the sample of {name}: {e}"))
    };
    let manifest = text_of(node, release, MANIFEST_FILE).map_err(|e| invalid(&e))?;
    let file = match manifest {
        Some(text) => Manifest::parse(&text)
            .map_err(|e| invalid(&e))?
            .sample
            .map(|s| s.file),
        None => None,
    };
    let text = match file {
        Some(file) => text_of(node, release, &file).map_err(|e| invalid(&e))?,
        None => None,
    };
    let Some(text) = text else {
        return values::zeros(&release.inputs).map_err(|e| invalid(&e));
    };
    let json = serde_json::from_str(&text).map_err(|e| invalid(&e))?;
    values::from_json(&json, &release.inputs).map_err(|e| invalid(&e))
}

/// The text of an artifact; nothing if the release has none of this path or it is not here.
fn text_of(node: &NodeHandle, release: &Release, file: &str) -> std::io::Result<Option<String>> {
    let artifact = release.artifacts.iter().find(|a| a.path == file);
    let Some(artifact) = artifact.filter(|a| a.size <= SAMPLE_BYTES_MAX) else {
        return Ok(None);
    };
    let path: Option<PathBuf> = node.blobs.path_of(&BlobHash(*artifact.blake3.as_bytes()));
    path.map(std::fs::read_to_string).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_taken() {
        let times: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&times, 50), 50.0);
        assert_eq!(percentile(&times, 99), 99.0);
        assert_eq!(percentile(&times[..1], 99), 1.0);
        assert_eq!(percentile(&[], 50), 0.0);
    }

    #[test]
    fn energy_is_the_packages_sum_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(energy(folder.path()), None);
        for (name, value) in [
            ("intel-rapl:0", "1500\n"),
            ("intel-rapl:0:1", "700\n"),
            ("intel-rapl:1", "500\n"),
        ] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("energy_uj"), value).unwrap();
        }
        assert_eq!(energy(folder.path()), Some(2_000));
        assert_eq!(energy(&folder.path().join("absent")), None);
        assert_eq!(used((10, 5)), None);
        assert_eq!(used((0, 100_000_000)), Some(1.0));
    }
}
