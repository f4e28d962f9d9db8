//! How fast a release is on this machine, on its public sample: percentiles of latency, peak memory, and
//! energy where the machine tells. Nothing of it is private, so it costs no budget; nothing of it is the
//! same on another machine, so it is no part of what nodes with equal records agree on: it is shown beside a
//! board, on this node's pages and in what it hands out when asked for it. The last figures of each release
//! are kept while the node runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use fieldmark_loadgen::energy_microjoules;
use fieldmark_node_core::io::CommandError;
use fieldmark_package::values;
use fieldmark_protocol::RecordId;
use fieldmark_protocol::manifest::{MANIFEST_FILE, Manifest};
use fieldmark_protocol::release::Release;
use fieldmark_supervisor::Tensor;
use serde::Serialize;

use crate::runners::Runners;

/// Requests that are timed.
const RUNS: usize = 100;
/// Requests before that, which are not.
const WARM_UP: usize = 5;
/// Most releases whose figures are kept.
const HELD_MAX: usize = 4_096;
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

/// The last figures of each release.
#[derive(Debug, Default)]
pub struct Speeds(Mutex<BTreeMap<RecordId, Speed>>);

impl Speeds {
    /// Times a release on its public sample, and keeps the figures.
    ///
    /// # Errors
    /// The release or its artifacts are not here, its sample cannot be read, or its runner fails.
    pub async fn measure(&self, runners: &Runners, id: RecordId) -> Result<Speed, CommandError> {
        let speed = measure(runners, id).await?;
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= HELD_MAX {
            held.clear();
        }
        held.insert(id, speed.clone());
        Ok(speed)
    }

    /// The figures that are kept of these releases.
    #[must_use]
    pub fn held(&self, releases: &[RecordId]) -> BTreeMap<RecordId, Speed> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = releases
            .iter()
            .filter_map(|id| Some((*id, held.get(id)?.clone())));
        found.collect()
    }
}

async fn measure(runners: &Runners, id: RecordId) -> Result<Speed, CommandError> {
    let release = runners.release(id)?;
    let runner = runners.runner(id).await?;
    let sample = sample(runners, &release)?;
    let mut times = Vec::with_capacity(RUNS);
    let mut energy_before = None;
    for run in 0..WARM_UP + RUNS {
        if run == WARM_UP {
            energy_before = energy_microjoules();
        }
        let asked = Instant::now();
        let answer = runner.infer(sample.clone()).await;
        let time_ms = asked.elapsed().as_secs_f64() * 1e3;
        answer.map_err(|e| CommandError::new("runner", e.to_string()))?;
        if run >= WARM_UP {
            times.push(time_ms);
        }
    }
    let energy_after = energy_microjoules();
    times.sort_by(f64::total_cmp);
    Ok(Speed {
        release: id,
        name: format!("{}@{}", release.name, release.version),
        runs: times.len(),
        p50_ms: percentile(&times, 50),
        p95_ms: percentile(&times, 95),
        p99_ms: percentile(&times, 99),
        memory_bytes_peak: runner.status().memory_bytes_peak,
        energy_joules: energy_before.zip(energy_after).and_then(used),
    })
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

/// The sample that the package publishes, or zeros of the stated shapes.
fn sample(runners: &Runners, release: &Release) -> Result<Vec<Tensor>, CommandError> {
    let invalid = |e: &dyn std::fmt::Display| {
        let name = format!("{}@{}", release.name, release.version);
        CommandError::new("invalid", format!("the sample of {name}: {e}"))
    };
    let manifest = text_of(runners, release, MANIFEST_FILE).map_err(|e| invalid(&e))?;
    let file = match manifest {
        Some(text) => Manifest::parse(&text)
            .map_err(|e| invalid(&e))?
            .sample
            .map(|s| s.file),
        None => None,
    };
    let text = match file {
        Some(file) => text_of(runners, release, &file).map_err(|e| invalid(&e))?,
        None => None,
    };
    let Some(text) = text else {
        return values::zeros(&release.inputs).map_err(|e| invalid(&e));
    };
    let json = serde_json::from_str(&text).map_err(|e| invalid(&e))?;
    values::from_json(&json, &release.inputs).map_err(|e| invalid(&e))
}

/// The text of an artifact; nothing if the release has none of this path or it is not here.
fn text_of(runners: &Runners, release: &Release, file: &str) -> std::io::Result<Option<String>> {
    let path = runners.file_of(release, file);
    let is_small =
        |path: &PathBuf| std::fs::metadata(path).is_ok_and(|found| found.len() <= SAMPLE_BYTES_MAX);
    let path = path.filter(is_small);
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
    fn a_counter_that_began_anew_tells_nothing() {
        assert_eq!(used((10, 5)), None);
        assert_eq!(used((0, 100_000_000)), Some(1.0));
    }
}
