//! What a run is reported as.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Serialize;

use crate::checkers;
use crate::scenario::Scenario;
use crate::world::Ended;

/// The outcome of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Name of the scenario.
    pub scenario: String,
    /// The seed, from which everything follows.
    pub seed: u64,
    /// Hash of the event log, in hex: the same for the same scenario, seed and program.
    pub hash: String,
    /// Whether nothing was violated.
    pub passed: bool,
    /// What was violated, in words.
    pub violations: Vec<String>,
    /// Lines of the event log.
    pub events: u64,
    /// Virtual time until everything was settled, in milliseconds.
    pub virtual_ms: u64,
    /// Machines, the two of each equivocator included.
    pub machines: u64,
    /// Steps of machines; each that wrote something made one commit.
    pub steps: u64,
    /// Commits by machine.
    pub commits: BTreeMap<String, u64>,
    /// Messages sent, gossip hop by hop.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that the network lost.
    pub lost: u64,
    /// Crashes that happened.
    pub crashes: u64,
    /// Reports that contributors hold receipts for.
    pub receipts: u64,
    /// What adversaries did, by the name of the deed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deeds: Vec<String>,
    /// How the batch ended: `released`, `aborted`, …
    pub outcome: &'static str,
    /// How to run the same again.
    pub replay: String,
    /// The last lines of the event log, of a run that failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tail: Vec<String>,
}

impl Report {
    /// Checks what a run left behind.
    pub(crate) fn of(scenario: &Scenario, seed: u64, ended: Ended) -> io::Result<Self> {
        let mut violations = ended.violations;
        violations.extend(checkers::check(&ended.evidence));
        let (events, counters) = (ended.journal.lines(), ended.counters);
        let (hash, tail) = ended.journal.finish()?;
        let passed = violations.is_empty();
        let mut report = Self {
            scenario: scenario.name.clone(),
            seed,
            hash,
            passed,
            violations,
            events,
            virtual_ms: ended.virtual_ms,
            machines: ended.machines,
            steps: counters.steps,
            commits: ended.commits,
            messages: counters.messages,
            bytes: counters.bytes,
            lost: ended.lost,
            crashes: counters.crashes,
            receipts: u64::try_from(ended.evidence.receipts.len()).unwrap_or(u64::MAX),
            deeds: ended.deeds,
            outcome: checkers::outcome_name(&ended.evidence),
            replay: String::new(),
            tail: if passed { Vec::new() } else { tail },
        };
        report.replays(Path::new("SCENARIO.toml"));
        Ok(report)
    }

    /// Names the file that the run was read from.
    pub(crate) fn replays(&mut self, path: &Path) {
        self.replay = format!("fieldmark simulate {} --seed {}", path.display(), self.seed);
    }
}
