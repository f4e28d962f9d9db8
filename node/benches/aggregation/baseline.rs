//! The same verifications in memory, on every core.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fieldmark_node_core::compute::{self, Job, JobResult};
use fieldmark_protocol::report::{Report, SeatReport};
use fieldmark_protocol::wire;
use prost::Message;

use crate::cast::{Cast, Reports, SEATS, aggregator};

/// Reports taken at a time.
const CHUNK: usize = 8;
/// Most reports: the rate does not depend on their number.
const REPORTS_MAX: usize = 2_000;

/// Reports verified a second. Only the jobs are timed; reading reports from disk is not.
pub(crate) fn measure(cast: &Cast, reports: &Reports) -> f64 {
    let count = cast.reports.min(REPORTS_MAX);
    let (next, busy) = (AtomicUsize::new(0), Mutex::new(Duration::ZERO));
    std::thread::scope(|scope| {
        for _ in 0..crate::cores() {
            scope.spawn(|| {
                loop {
                    let first = next.fetch_add(CHUNK, Ordering::Relaxed);
                    if first >= count {
                        return;
                    }
                    let seats = seats(reports, first..count.min(first + CHUNK));
                    let start = Instant::now();
                    verify(cast, seats);
                    *busy.lock().expect("no thread failed") += start.elapsed();
                }
            });
        }
    });
    let busy = busy.into_inner().expect("no thread failed").as_secs_f64();
    count as f64 * crate::cores() as f64 / busy
}

/// The reports as each seat sees them.
fn seats(reports: &Reports, numbers: std::ops::Range<usize>) -> Vec<Vec<SeatReport>> {
    let mut seats = vec![Vec::new(); SEATS];
    for number in numbers {
        let wire = wire::Report::decode(reports.read(number).1.as_slice()).expect("a report");
        let report = Report::stored(wire).expect("a report");
        seats
            .iter_mut()
            .zip(report.into_seats())
            .for_each(|(seat, own)| seat.push(own));
    }
    seats
}

fn verify(cast: &Cast, seats: Vec<Vec<SeatReport>>) {
    let (shape, batch) = (cast.shape, cast.batch);
    let mut started = Vec::new();
    for (seat, reports) in seats.into_iter().enumerate() {
        let job = Job::VerifyInit {
            shape,
            seat: seat as u8,
            verify_key: [7; 32],
            hpke: aggregator(seat).keys.hpke,
            reports,
        };
        let Some(JobResult::Initiated(results)) = compute::run(&job) else {
            panic!("verification starts");
        };
        started.push(
            results
                .into_iter()
                .map(|r| r.expect("a sound report"))
                .collect::<Vec<_>>(),
        );
    }
    let shares = |at: usize| started.iter().map(|seat| seat[at].1.clone()).collect();
    let count = started[0].len();
    let reports = (0..count)
        .map(|at| (started[0][at].0.clone(), shares(at)))
        .collect();
    let Some(JobResult::Combined(combined)) = compute::run(&Job::Combine {
        shape,
        batch,
        reports,
    }) else {
        panic!("shares combine");
    };
    let messages: Vec<_> = combined
        .into_iter()
        .map(|c| c.expect("a sound proof").0)
        .collect();
    for seat in started.into_iter().skip(1) {
        let reports = seat
            .into_iter()
            .zip(&messages)
            .map(|((state, _), m)| (state, m.clone()))
            .collect();
        let Some(JobResult::Finished(outputs)) = compute::run(&Job::VerifyFinish {
            shape,
            batch,
            reports,
        }) else {
            panic!("verification ends");
        };
        assert!(outputs.iter().all(Option::is_some));
    }
}
