//! The virtual network and challenge simulator of Fieldmark (design §11).
//!
//! A scenario file makes a network of `node/core` machines, the very ones that the node runs, and drives
//! them over a virtual clock, a faulty network and faulty disks: publishing, sync, and one challenge with
//! its committee. Everything is drawn from the seed, so one seed gives one run, byte for byte; its event
//! log is hashed. Checkers watch every write and look at all disks at the end.
//!
//! ```
//! use fieldmark_simulations::{Scenario, run};
//! let scenario = Scenario::parse("name = \"least\"\nnodes = 12\ncompanies = 3\n[challenge]\nmin_batch = 2", "least.toml".as_ref());
//! let report = run(&scenario?, 7)?;
//! assert!(report.passed, "{:?}", report.violations);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | owns |
//! | --- | --- |
//! | [`scenario`] | the file, its defaults and bounds |
//! | `part`, `cast`, `script` | what a part is, who takes part, and what users do |
//! | `world` | the loop; `queue`, `network`, `host`, `disk`, `ports` are its parts |
//! | `acquaintance` | networks that know each other from the start |
//! | `equivocator`, `adversaries` | who does not follow the protocol |
//! | `secrecy` | the watch over what leaves a node |
//! | `many` | many seeds of one scenario |
//! | `checkers` | what must hold at the end |
//! | `journal` | the event log |
//! | `coverage` | the study of how often intervals and rank sets are right, without a network |
//! | `field` | many statistical clients of one challenge, without a network |
//! | `parallel` | independent jobs on many cores |

mod acquaintance;
mod adversaries;
mod cast;
mod checkers;
mod coverage;
mod disk;
mod draws;
mod equivocator;
mod error;
mod field;
mod host;
mod journal;
mod many;
mod network;
mod parallel;
mod part;
mod ports;
mod queue;
mod report;
pub mod scenario;
mod script;
mod secrecy;
mod world;

use std::path::{Path, PathBuf};

pub use coverage::{Coverage, CoverageOptions, CoverageRow, Range};
pub use error::SimulationError;
pub use field::{FieldCell, FieldError, FieldReport, FieldScenario, is_challenge_level};
pub use many::{FAILURES_MAX, Many, run_many};
pub use report::Report;
pub use scenario::{Scenario, ScenarioError};

use journal::Journal;

/// What a run does besides running.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Receives every line of the event log. Default: none, only a failure's last lines are kept.
    pub log: Option<PathBuf>,
}

/// Runs a scenario file.
///
/// # Errors
/// [`SimulationError`] when the file cannot be used. A run that finds something wrong is not an error:
/// see [`Report::passed`].
pub fn run_file(path: &Path, seed: u64) -> Result<Report, SimulationError> {
    run_file_with(path, seed, &Options::default())
}

/// Runs a scenario file with options.
///
/// # Errors
/// As [`run_file`], and when the event log cannot be written.
pub fn run_file_with(path: &Path, seed: u64, options: &Options) -> Result<Report, SimulationError> {
    let scenario = Scenario::read(path)?;
    let mut report = run_with(&scenario, seed, options)?;
    report.replays(path);
    Ok(report)
}

/// Runs a scenario.
///
/// # Errors
/// None so far but for the event log's; see [`run_with`].
pub fn run(scenario: &Scenario, seed: u64) -> Result<Report, SimulationError> {
    run_with(scenario, seed, &Options::default())
}

/// Runs a scenario with options.
///
/// # Errors
/// When the event log cannot be written.
pub fn run_with(scenario: &Scenario, seed: u64, options: &Options) -> Result<Report, SimulationError> {
    let failed = |source| {
        let path = options.log.clone().unwrap_or_default();
        SimulationError::Log { path, source }
    };
    let journal = Journal::new(options.log.as_deref()).map_err(failed)?;
    let ended = world::World::new(scenario, seed, journal).run();
    Report::of(scenario, seed, ended).map_err(failed)
}
