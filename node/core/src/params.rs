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
    /// The groups' shares do not fit into one record.
    #[error(
        "{groups} replicate groups of {entries} numbers each do not fit into a share, which has room for {max} \
         numbers; take fewer groups or collect fewer statistics",
        max = schema::ENTRIES_MAX
    )]
    Groups {
        /// Groups.
        groups: u32,
        /// Numbers in the vector of each.
        entries: usize,
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

/// Full noises in the total of a batch: one of every aggregator in every replicate group.
#[must_use]
pub fn noises(task: &Task) -> u8 {
    let members = u32::try_from(task.committee.len()).unwrap_or(u32::MAX);
    u8::try_from(members.saturating_mul(task.replicate_groups)).unwrap_or(u8::MAX)
}

/// How many reports a release needs, in words.
pub(crate) fn reports_needed_words(task: &Task) -> String {
    let needed = task.reports_needed();
    if task.has_groups() {
        let (groups, each) = (task.replicate_groups, task.min_batch);
        format!("{needed} reports ({groups} groups of at least {each})")
    } else {
        format!("{needed} reports")
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
    let (groups, most) = (task.replicate_groups, schema::ENTRIES_MAX);
    if schema
        .len()
        .saturating_mul(usize::try_from(groups).unwrap_or(usize::MAX))
        > most
    {
        let entries = schema.len();
        return Err(ParamsError::Groups { groups, entries });
    }
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
