//! Independent jobs on many cores, with results in the order of the jobs: the same on one thread as
//! on many, because no job sees another and nothing depends on which ends first.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads to use: those asked for, or one per core when zero.
#[must_use]
pub(crate) fn threads(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        asked => asked,
    }
}

/// Runs `job` on every number below `jobs`, on at most `threads` threads at a time.
///
/// # Errors
/// The error of the first job, in their order, that failed.
pub(crate) fn map<T: Send, E: Send>(
    jobs: usize,
    threads: usize,
    job: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(jobs));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, jobs.max(1)) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= jobs {
                        return;
                    }
                    let result = job(at);
                    // A poisoned lock means that another job panicked; the scope passes that on.
                    if let Ok(mut done) = done.lock() {
                        done.push((at, result));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_jobs() {
        for threads in [1, 2, 7] {
            let squares = map(50, threads, |at| Ok::<_, ()>(at * at)).unwrap();
            assert_eq!(squares, (0..50).map(|at| at * at).collect::<Vec<_>>());
        }
        assert_eq!(map(0, 3, Ok::<_, ()>).unwrap(), Vec::<usize>::new());
    }

    #[test]
    fn the_first_failure_is_the_one_reported() {
        let failed = map(9, 3, |at| if at % 4 == 3 { Err(at) } else { Ok(at) });
        assert_eq!(failed, Err(3));
    }
}
