//! Scenarios: what a simulated network is made of and what happens to it, as a TOML file.
//!
//! Every field has a default but the name; unknown fields are errors. Ranges are `[least, most]` and a
//! value in them is drawn from the seed. Times are virtual milliseconds. What a scenario cannot do is
//! looked for before anything runs, and the error names file and line.

mod adversary;
mod draw;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use adversary::{Adversary, Deed, EligibilityPlan};
pub use draw::Draw;

/// Largest network of a scenario.
pub const NODES_MAX: u64 = 2_000;
/// Longest virtual time of a run: one day.
pub const DURATION_MS_MAX: u64 = 24 * 3_600 * 1_000;
/// Most partitions and most crashes of a scenario.
pub const FAULTS_MAX: usize = 64;

/// A scenario file that cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("the scenario {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Not TOML of a scenario's shape.
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A number outside its bounds.
    #[error("{}:{line}: {field} is {found}, it must be {min} to {max}", path.display())]
    Range {
        /// The file.
        path: PathBuf,
        /// The line, from 1; 1 where the field is not in the file.
        line: usize,
        /// The field.
        field: &'static str,
        /// Least.
        min: u64,
        /// Most.
        max: u64,
        /// Found.
        found: u64,
    },
}

/// A network, a challenge, and what goes wrong.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name in reports.
    pub name: String,
    /// Identities in the network, adversaries included: 6 to [`NODES_MAX`]. Default 50. One operates the
    /// challenge; those without a role of their own relay.
    #[serde(default = "nodes_default")]
    pub nodes: u64,
    /// Who publishes a model each: 1 to 16. Default 3.
    #[serde(default = "three")]
    pub researchers: u64,
    /// The committee, its leader first: 2 to 5. Default 3.
    #[serde(default = "three")]
    pub aggregators: u64,
    /// Who contributes a report each: 2 to 400. Default 8.
    #[serde(default = "companies_default")]
    pub companies: u64,
    /// Who signs two releases for one place in its log, and shows one to either half: 0 to 8. Default 0.
    #[serde(default)]
    pub equivocators: u64,
    /// Whether all know each other, the models and where everyone is from the start: then nothing is
    /// published or introduced, and models have no hosts. Default false.
    #[serde(default)]
    pub acquainted: bool,
    /// When a run that has not settled is given up: up to [`DURATION_MS_MAX`]. Default two minutes.
    #[serde(default = "duration_default")]
    pub duration_ms: u64,
    /// Links and disks.
    #[serde(default)]
    pub network: Network,
    /// What is measured.
    #[serde(default)]
    pub challenge: ChallengePlan,
    /// When the network is in two.
    #[serde(default)]
    pub partition: Vec<Partition>,
    /// Who stops and starts again.
    #[serde(default)]
    pub crash: Vec<Crash>,
    /// Who does not follow the protocol.
    #[serde(default)]
    pub adversary: Vec<Adversary>,
    /// What is left to the seed.
    #[serde(default)]
    pub draw: Option<Draw>,
}

/// Links and disks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Links that a node keeps up at least: 2 to 64. Default 5.
    pub degree: u64,
    /// One way, drawn per link. Default `[10, 120]`.
    pub latency_ms: [u64; 2],
    /// Added to it, drawn per message, so that messages overtake each other. Default `[0, 40]`.
    pub jitter_ms: [u64; 2],
    /// Messages lost, in percent: 0 to 90. A request is lost on either way. Default 0.
    pub loss_percent: u64,
    /// Messages that arrive twice, in percent: 0 to 90. Default 0.
    pub duplicate_percent: u64,
    /// After which a request without a response fails. Default `[2000, 6000]`.
    pub timeout_ms: [u64; 2],
    /// After which the other side of a broken link takes note. Default `[50, 2000]`.
    pub notice_ms: [u64; 2],
    /// How far a node's clock is ahead, drawn per node: up to 1000. Default `[0, 500]`.
    pub skew_ms: [u64; 2],
    /// How long a synced write takes; what comes meanwhile is joined to one commit. Default `[0, 8]`.
    pub commit_ms: [u64; 2],
}

impl Default for Network {
    fn default() -> Self {
        Self {
            degree: 5,
            latency_ms: [10, 120],
            jitter_ms: [0, 40],
            loss_percent: 0,
            duplicate_percent: 0,
            timeout_ms: [2_000, 6_000],
            notice_ms: [50, 2_000],
            skew_ms: [0, 500],
            commit_ms: [0, 8],
        }
    }
}

/// What is measured, under which privacy, and what should come of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChallengePlan {
    /// Slices: 1 to 32. Default 5.
    pub slices: u64,
    /// Most source records of a report: 4 to 10000. Default 60.
    pub records: u64,
    /// ε of the task. Default 2.
    pub epsilon: f64,
    /// δ of the task. Default 1e-6.
    pub delta: f64,
    /// ε of a company's filter. Default 4.
    pub budget_epsilon: f64,
    /// Fewest reports that are released, of every replicate group: at least 2. Default 4.
    pub min_batch: u64,
    /// Replicate groups: 1 to 16. Default 1, which is none.
    pub replicate_groups: u64,
    /// How long reports are taken: 5 s to an hour. Default 16 s.
    pub window_ms: u64,
    /// Statistics for paired intervals. Default true.
    pub paired: bool,
    /// Confidence sums. Default true.
    pub calibration: bool,
    /// All that a task with two classes can collect beyond scores. Default false.
    pub further: bool,
    /// Who may contribute. Default `list`.
    pub eligibility: EligibilityPlan,
    /// How long the committee may take after the close, in milliseconds: 10 s to a week. Default a minute.
    pub patience_ms: u64,
    /// How the batch must end. Default `released`.
    pub expect: Expect,
}

impl Default for ChallengePlan {
    fn default() -> Self {
        Self {
            slices: 5,
            records: 60,
            epsilon: 2.0,
            delta: 1e-6,
            budget_epsilon: 4.0,
            min_batch: 4,
            replicate_groups: 1,
            window_ms: 16_000,
            paired: true,
            calibration: true,
            further: false,
            eligibility: EligibilityPlan::List,
            patience_ms: 60_000,
            expect: Expect::Released,
        }
    }
}

/// How a batch must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// With an aggregate.
    Released,
    /// With an abort.
    Aborted,
    /// In either way.
    Either,
}

/// A time during which the network is in two.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// When it begins.
    pub start_ms: [u64; 2],
    /// How long it lasts.
    pub length_ms: [u64; 2],
    /// Percent of the nodes on the smaller side: 1 to 50. Default 35.
    #[serde(default = "share_default")]
    pub share_percent: u64,
}

/// A node that stops and starts again from its disk.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// Which node; one of several is drawn.
    pub who: Who,
    /// From when on its commits are counted.
    pub when: When,
    /// At which commit it stops. Default `[1, 10]`.
    #[serde(default = "commits_default")]
    pub commits: [u64; 2],
    /// How it stops; drawn where it is absent.
    #[serde(default)]
    pub fault: Option<Fault>,
    /// How long it is down. Default `[500, 4000]`.
    #[serde(default = "down_default")]
    pub down_ms: [u64; 2],
}

/// Whom a crash hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is a role")]
pub enum Who {
    Leader,
    Helper,
    Company,
    Researcher,
    Operator,
    Relay,
}

/// From when on a crash is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// From the start of the node.
    Start,
    /// From when the challenge is signed.
    Signed,
    /// From the opening of the window.
    Opening,
    /// From the leader's closing of it.
    Closing,
}

/// How a node stops at a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The disk refuses the write: nothing of it is there, nothing has left.
    Disk,
    /// The write is durable, but nothing that should follow has left.
    Silent,
    /// The write is durable, and a part of what should follow has left.
    Partway,
}

fn nodes_default() -> u64 {
    50
}
fn three() -> u64 {
    3
}
fn companies_default() -> u64 {
    8
}
fn duration_default() -> u64 {
    120_000
}
fn share_default() -> u64 {
    35
}
fn commits_default() -> [u64; 2] {
    [1, 10]
}
fn down_default() -> [u64; 2] {
    [500, 4_000]
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// [`ScenarioError`] naming file and line.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path).map_err(|source| ScenarioError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Reads a scenario; `path` is for errors.
    ///
    /// # Errors
    /// [`ScenarioError`] naming file and line.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text).map_err(|error| ScenarioError::Syntax {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| line_at(text, span.start)),
            message: error.message().trim().replace('\n', " "),
        })?;
        match scenario.out_of_range() {
            None => Ok(scenario),
            Some((field, min, max, found)) => {
                let line = line_of(text, field);
                Err(ScenarioError::Range {
                    path: path.to_owned(),
                    line,
                    field,
                    min,
                    max,
                    found,
                })
            }
        }
    }

    /// Identities with a role: the operator, who publishes, aggregates and contributes, adversaries.
    pub(crate) fn roles(&self) -> u64 {
        let researchers = if self.acquainted { 0 } else { self.researchers };
        1 + researchers + self.aggregators + self.companies + self.equivocators
    }

    /// Nodes without a role of their own.
    pub(crate) fn relays(&self) -> u64 {
        self.nodes.saturating_sub(self.roles())
    }

    /// The first number out of its bounds: field, least, most, found.
    fn out_of_range(&self) -> Option<(&'static str, u64, u64, u64)> {
        let roles = self.roles();
        let (n, c) = (&self.network, &self.challenge);
        let count = |items: usize| u64::try_from(items).unwrap_or(u64::MAX);
        let mut checks = vec![
            ("researchers", 1, 16, self.researchers),
            ("aggregators", 2, 5, self.aggregators),
            ("companies", 2, 400, self.companies),
            ("equivocators", 0, 8, self.equivocators),
            ("nodes", roles.max(6), NODES_MAX, self.nodes),
            ("duration_ms", 1_000, DURATION_MS_MAX, self.duration_ms),
            ("degree", 2, 64, n.degree),
            ("loss_percent", 0, 90, n.loss_percent),
            ("duplicate_percent", 0, 90, n.duplicate_percent),
            ("slices", 1, 32, c.slices),
            ("records", 4, 10_000, c.records),
            ("min_batch", 2, self.companies.max(2), c.min_batch),
            ("replicate_groups", 1, 16, c.replicate_groups),
            ("window_ms", 5_000, 3_600_000, c.window_ms),
            ("patience_ms", 10_000, 604_800_000, c.patience_ms),
            ("adversary", 0, 8, count(self.adversary.len())),
            ("partition", 0, count(FAULTS_MAX), count(self.partition.len())),
            ("crash", 0, count(FAULTS_MAX), count(self.crash.len())),
        ];
        let mut range = |field, [low, high]: [u64; 2], max| {
            checks.push((field, low, max, high));
        };
        range("latency_ms", n.latency_ms, 10_000);
        range("jitter_ms", n.jitter_ms, 10_000);
        range("timeout_ms", n.timeout_ms, 60_000);
        range("notice_ms", n.notice_ms, 60_000);
        range("skew_ms", n.skew_ms, 1_000);
        range("commit_ms", n.commit_ms, 1_000);
        for partition in &self.partition {
            range("start_ms", partition.start_ms, self.duration_ms);
            range("length_ms", partition.length_ms, self.duration_ms);
        }
        for crash in &self.crash {
            range("commits", crash.commits, 10_000);
            range("down_ms", crash.down_ms, self.duration_ms);
        }
        checks.extend(
            self.partition
                .iter()
                .map(|p| ("share_percent", 1, 50, p.share_percent)),
        );
        checks.extend(self.draw.iter().flat_map(Draw::checks));
        checks
            .into_iter()
            .find(|(_, min, max, found)| found < min || found > max)
    }
}

/// The line of a byte of `text`, from 1.
fn line_at(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|b| *b == b'\n').count() + 1
}

/// The first line that sets `field`, from 1; 1 where none does.
fn line_of(text: &str, field: &str) -> usize {
    let sets = |line: &str| line.trim_start().trim_start_matches('[').starts_with(field);
    text.lines().position(sets).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Scenario::parse(text, Path::new("x.toml"))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_name_is_enough() {
        let scenario = Scenario::parse("name = \"least\"", Path::new("x.toml")).unwrap();
        assert_eq!((scenario.nodes, scenario.relays()), (50, 35));
        assert_eq!(scenario.network, Network::default());
        assert_eq!(scenario.challenge, ChallengePlan::default());
    }

    #[test]
    fn errors_name_file_and_line() {
        let unknown = error("name = \"a\"\n\n[network]\nlos_percent = 3\n");
        assert!(
            unknown.starts_with("x.toml:4: unknown field `los_percent`"),
            "{unknown}"
        );
        let type_of = error("name = \"a\"\nnodes = \"many\"\n");
        assert!(type_of.starts_with("x.toml:2: invalid type"), "{type_of}");
        let range = error("name = \"a\"\n[network]\nloss_percent = 95\n");
        assert_eq!(range, "x.toml:3: loss_percent is 95, it must be 0 to 90");
        assert_eq!(
            error("name = \"a\"\nnodes = 10\n"),
            "x.toml:2: nodes is 10, it must be 15 to 2000"
        );
        let reversed = error("name = \"a\"\n[network]\nlatency_ms = [50, 20]\n");
        assert_eq!(reversed, "x.toml:3: latency_ms is 20, it must be 50 to 10000");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Scenario::read(Path::new("no/such.toml")).unwrap_err();
        assert_eq!(error.to_string(), "the scenario no/such.toml cannot be read");
    }

    #[test]
    fn the_committed_scenarios_are_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut read = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if crate::is_challenge_level(&std::fs::read_to_string(&path).unwrap()) {
                crate::FieldScenario::read(&path).unwrap();
            } else {
                Scenario::read(&path).unwrap();
            }
            read += 1;
        }
        assert!(read >= 1);
    }
}
