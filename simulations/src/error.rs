//! Why a simulation could not be run. What a run finds is a violation in its report, not an error.

use std::path::PathBuf;

use crate::scenario::ScenarioError;

/// A simulation that could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// The scenario cannot be used.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The event log cannot be written.
    #[error("the event log {} cannot be written", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}
