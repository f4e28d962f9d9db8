//! From a task's fields to the parameters of `fl`, and the check that they belong together.

use fieldmark_fl::privacy::{self, Delta, Epsilon, PrivacyError, Relation, Rho};
use fieldmark_fl::schema::{self, Schema, SchemaError, SchemaParams, Statistics};
use fieldmark_protocol::task::{self, Task};

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
    statistics_params(&task.statistics)
}

/// The schema parameters of statistics.
#[must_use]
pub fn statistics_params(statistics: &task::Statistics) -> SchemaParams {
    SchemaParams {
        models: narrow(statistics.releases.len()),
        slices: narrow(statistics.slices.len()),
        cap: statistics.records_max,
        statistics: Statistics {
            paired: statistics.paired,
            calibration: statistics.calibration,
            extra: extra_params(&statistics.extra),
        },
    }
}

/// The choices of a task in the words of the schema.
#[must_use]
pub fn extra_params(extra: &task::Extra) -> schema::Extra {
    schema::Extra {
        score: extra.score,
        missing_views: extra.missing_views,
        by_slice: extra.by_slice,
        collected: extra.collected.iter().copied().collect(),
        classes: narrow(extra.classes.len()),
        bins: u16::try_from(extra.bins).unwrap_or(u16::MAX),
        groups: narrow(extra.groups.len()),
    }
}

fn narrow(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
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

/// The neighbour relation of a task. Tasks have one so far, and a task that names another does not decode.
#[must_use]
pub fn relation(_task: &Task) -> Relation {
    Relation::AddOrRemoveOneRecord
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
