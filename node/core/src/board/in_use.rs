//! What a board of a feedback window says besides scores: which window it is, and how much of what counted
//! was never labelled.

use fieldmark_fl::board::count;
use fieldmark_fl::interval::{Micro, Release};
use fieldmark_fl::schema::Schema;
use fieldmark_protocol::task::Task;
use serde::Serialize;

use super::{Estimate, Fixed, estimate};
use crate::feedback::FIELD_SLICE;

/// A window of feedback from real use.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InUse {
    /// Its number, from 0.
    pub window: u64,
    /// How many windows there are in all.
    pub windows: u32,
    /// The share of served predictions that was drawn before anyone looked.
    pub rate: Fixed,
    /// Drawn predictions without a truth, with the committee's noise; they are among the records and in no
    /// score.
    pub unlabelled: Option<Estimate>,
}

/// Nothing for a task that does not recur.
pub(super) fn of_task(task: &Task, schema: &Schema, sum: Option<&[i128]>) -> Option<InUse> {
    let recurrence = task.recurrence?;
    let aggregators = crate::params::noises(task);
    let field = task
        .statistics
        .slices
        .iter()
        .position(|slice| slice == FIELD_SLICE);
    let unlabelled = || {
        let slice = u16::try_from(field?).ok()?;
        let release = Release::new(schema, sum?, task.privacy.sigma_squared, aggregators).ok()?;
        let lacking = count(&release.lacking(slice)?);
        Some(estimate(lacking.value, lacking.interval))
    };
    Some(InUse {
        window: task.window,
        windows: recurrence.windows,
        rate: Fixed(Micro(i64::from(recurrence.rate_ppm))),
        unlabelled: unlabelled(),
    })
}
