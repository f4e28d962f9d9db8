//! How long to wait before a process that keeps failing is started again.

use std::time::Duration;
use tokio::time::Instant;

/// Pause after the second failure in a row; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Failures in a row. The first is forgiven at once: most crashes are about one input.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    latest: Option<(Instant, String)>,
}

impl Backoff {
    /// Records a failure.
    pub(crate) fn failed(&mut self, now: Instant, cause: String) {
        self.failures = self.failures.saturating_add(1);
        self.latest = Some((now, cause));
    }

    /// Records that a request was answered.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Time left to wait and the latest cause; `None` if a process may be started now.
    pub(crate) fn waiting(&self, now: Instant) -> Option<(Duration, &str)> {
        let (at, cause) = self.latest.as_ref()?;
        let left = (*at + pause(self.failures)).saturating_duration_since(now);
        (!left.is_zero()).then_some((left, cause.as_str()))
    }
}

fn pause(failures: u32) -> Duration {
    match failures.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => PAUSE_MIN.saturating_mul(1 << doublings.min(20)).min(PAUSE_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_forgiven_and_pauses_grow_to_a_limit() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        assert!(backoff.waiting(now).is_none());
        let mut pauses = Vec::new();
        for _ in 0..12 {
            backoff.failed(now, "crash".into());
            pauses.push(backoff.waiting(now).map_or(Duration::ZERO, |(left, _)| left));
        }
        assert_eq!(pauses[0], Duration::ZERO);
        assert_eq!(pauses[1], PAUSE_MIN);
        assert!(pauses.is_sorted());
        assert_eq!(pauses[11], PAUSE_MAX);
        backoff.succeeded();
        assert!(backoff.waiting(now).is_none());
    }
}
