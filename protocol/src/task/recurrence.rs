//! Recurring windows: a feedback window repeats a task with the same name, author and parameters, each time
//! as a task record of its own with the next number.

use super::{TaskError, range};
use crate::wire;

/// Shortest and longest time from the opening of one window to that of the next: a second to a year.
pub const PERIOD_MS: (u64, u64) = (1_000, 366 * 24 * 3600 * 1000);
/// Most windows of a series.
pub const WINDOWS_MAX: u32 = 10_000;

/// How a task comes again, and which served predictions its reports count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recurrence {
    /// From one opening to the next, in milliseconds; at least the window's length.
    pub period_ms: u64,
    /// How many windows there are in all.
    pub windows: u32,
    /// The rate, in millionths, at which served predictions are drawn for the field score.
    pub rate_ppm: u32,
}

impl Recurrence {
    /// Checks every bound against the task it stands in.
    pub(super) fn check(&self, window: u64, length_ms: u64) -> Result<(), TaskError> {
        let least = PERIOD_MS.0.max(length_ms);
        range(
            "the period of the windows in milliseconds",
            least,
            PERIOD_MS.1,
            self.period_ms,
        )?;
        range(
            "the number of windows",
            1,
            u64::from(WINDOWS_MAX),
            u64::from(self.windows),
        )?;
        range("the window's number", 0, u64::from(self.windows) - 1, window)?;
        range(
            "the rate of the draw (in millionths)",
            1,
            1_000_000,
            u64::from(self.rate_ppm),
        )
    }

    pub(super) fn from_wire(wire: &wire::Recurrence) -> Self {
        Self {
            period_ms: wire.period_ms,
            windows: wire.windows,
            rate_ppm: wire.rate_ppm,
        }
    }

    pub(super) fn to_wire(self) -> wire::Recurrence {
        wire::Recurrence {
            period_ms: self.period_ms,
            windows: self.windows,
            rate_ppm: self.rate_ppm,
        }
    }
}
