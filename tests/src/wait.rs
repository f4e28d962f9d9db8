//! Waiting for something that other processes bring about.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Pause between two looks.
pub const PAUSE: Duration = Duration::from_millis(25);

/// Looks again and again until `look` finds something, for at most `limit`.
///
/// # Errors
/// What `look` fails with, and when nothing is found in time; the message names `what` is missing.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if started.elapsed() > limit {
            bail!("waited {} s for {what}", limit.as_secs());
        }
        thread::sleep(PAUSE);
    }
}

/// Does the same for all items at once.
///
/// # Errors
/// The first item's that fails, in their order, once all have ended.
pub fn together<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> Result<T> + Sync) -> Result<Vec<T>> {
    let work = &work;
    thread::scope(|scope| {
        let all: Vec<_> = items.iter().map(|item| scope.spawn(move || work(item))).collect();
        let joined = all.into_iter().map(|one| {
            one.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        // All are joined before the first error is looked at.
        joined.collect::<Vec<_>>().into_iter().collect()
    })
}
