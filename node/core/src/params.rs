//! From a task's fields to the parameters of `fl`, and the check that they belong together.

use fieldmark_fl::privacy::{self, Delta, Epsilon, PrivacyError, Rho};
use fieldmark_fl::schema::{Schema, SchemaError, SchemaParams, Statistics};
use fieldmark_protocol::task::Task;

use crate::compute::Shape;

/// A task whose numbers do not belong together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// The statistics do not make a schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// ε, δ or the scale is out of range.
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
    /// The sensitivity in the task is not that of its statistics.
    #[error("the task states a squared sensitivity of {stated}, its statistics have {computed}")]
    Sensitivity {
        /// In the task.
        stated: u64,
        /// From the schema.
        computed: u64,
    },
    /// The noise is too small for the promise.
    #[error("the task promises epsilon {promised}, its noise gives {computed:.6}")]
    Noise {
        /// In the task.
        promised: f64,
        /// From sensitivity and scale.
        computed: f64,
    },
}

/// The schema parameters of a task's statistics.
#[must_use]
pub fn schema_params(task: &Task) -> SchemaParams {
    let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    SchemaParams {
        models: count(task.statistics.releases.len()),
        slices: count(task.statistics.slices.len()),
        cap: task.statistics.records_max,
        statistics: Statistics {
            paired: task.statistics.paired,
            calibration: task.statistics.calibration,
        },
    }
}

/// Statistics and committee of a task.
#[must_use]
pub fn shape(task: &Task) -> Shape {
    let aggregators = u8::try_from(task.committee.len()).unwrap_or(u8::MAX);
    Shape {
        schema: schema_params(task),
        aggregators,
    }
}

/// Checks that sensitivity, noise and promise of a task belong together, and returns what taking
/// part costs.
///
/// # Errors
/// [`ParamsError`] naming what differs.
pub fn check(task: &Task) -> Result<Rho, ParamsError> {
    let schema = Schema::new(&schema_params(task))?;
    let (stated, computed) = (task.privacy.l2_squared, schema.l2_sensitivity_squared());
    if stated != computed {
        return Err(ParamsError::Sensitivity { stated, computed });
    }
    Epsilon::new(task.privacy.epsilon())?;
    let delta = Delta::new(task.privacy.delta())?;
    let computed = privacy::epsilon_at(stated, task.privacy.sigma_squared, delta);
    if computed > task.privacy.epsilon() {
        return Err(ParamsError::Noise {
            promised: task.privacy.epsilon(),
            computed,
        });
    }
    Ok(Rho::of_gaussian(stated, task.privacy.sigma_squared)?)
}
