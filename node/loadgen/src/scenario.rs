//! The scenarios, and how each is run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::arrivals::Arrivals;
use crate::report::{Figure, Latency, Report};
use crate::{System, energy_microjoules};

/// The seed of arrivals, unless another is asked for.
pub const SEED: u64 = 0x6669_656c_646d_6172;
/// Samples of a multi-stream query.
const MULTI_STREAM_SAMPLES: usize = 8;
/// Part of the time that a search for the highest rate may spend on one rate.
const TRIALS: u32 = 8;
/// Fewest queries of which 1% may be late; of fewer, none may.
const QUERIES_MIN: u64 = 100;
/// How long before a query is due its timer ends: timers are a millisecond or two late.
const TIMER_EARLY: Duration = Duration::from_millis(2);
/// Part of the length that warming up may take.
const WARM_UP_PART: u32 = 10;
/// Queries of the server scenario that may be under way at a time; more means that the rate is not kept.
const UNDER_WAY_MAX: usize = 10_000;

/// How many times the bound a query may take before a rate is given up.
const PATIENCE: u32 = 10;

/// How queries come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// One after the other.
    SingleStream,
    /// One after the other, several samples each.
    MultiStream,
    /// At random times.
    Server,
    /// As many at a time as are taken.
    Offline,
}

impl Scenario {
    /// All of them, in the order of the rules.
    pub const ALL: [Self; 4] = [Self::SingleStream, Self::MultiStream, Self::Server, Self::Offline];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SingleStream => "single-stream",
            Self::MultiStream => "multi-stream",
            Self::Server => "server",
            Self::Offline => "offline",
        }
    }
}

/// How a scenario is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Length of the run; a search for the highest rate takes as long in all. Default: 10 s.
    pub length: Duration,
    /// Queries before it that are not counted, fewer where they take more than a tenth of the length. Default: 50.
    pub warm_up: usize,
    /// Seed of arrivals. Default: [`SEED`].
    pub seed: u64,
    /// Queries a second of the server scenario; without it the highest rate is searched.
    pub rate: Option<f64>,
    /// Within what time 99% of the server scenario's queries must be answered. Default: 100 ms.
    pub bound: Duration,
    /// Samples that are under way at a time in the offline scenario. Default: 32.
    pub streams: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            length: Duration::from_secs(10),
            warm_up: 50,
            seed: SEED,
            rate: None,
            bound: Duration::from_millis(100),
            streams: 32,
        }
    }
}

/// Runs one scenario. Queries that fail are counted, not hidden.
pub async fn run<S: System>(scenario: Scenario, system: &Arc<S>, options: &Options) -> Report {
    let warming = Instant::now();
    for _ in 0..options.warm_up {
        // A failure shows again in what is counted.
        let _ = system.ask().await;
        if warming.elapsed() >= options.length / WARM_UP_PART {
            break;
        }
    }
    match scenario {
        Scenario::SingleStream => {
            let tally = closed(system, 1, 1, options.length).await;
            let figure = latency_figure("p90 of latency", &tally, 90.0);
            report(scenario, options, 1, figure, &tally)
        }
        Scenario::MultiStream => {
            let tally = closed(system, 1, MULTI_STREAM_SAMPLES, options.length).await;
            let figure = latency_figure("p99 of latency", &tally, 99.0);
            report(scenario, options, MULTI_STREAM_SAMPLES, figure, &tally)
        }
        Scenario::Offline => {
            let tally = closed(system, options.streams.max(1), 1, options.length).await;
            let figure = Figure {
                name: "throughput".to_owned(),
                value: tally.answered().then(|| tally.rate()),
                unit: "samples/s",
                note: None,
            };
            report(scenario, options, 1, figure, &tally)
        }
        Scenario::Server => server(system, options).await,
    }
}

/// What was counted.
#[derive(Debug, Default)]
struct Tally {
    latency: Latency,
    failures: u64,
    failure: Option<String>,
    seconds: f64,
    microjoules: Option<u64>,
}

impl Tally {
    fn take(&mut self, latency: Duration, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.latency.add(latency),
            Err(failure) => {
                self.failures += 1;
                self.failure.get_or_insert(failure);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.latency.merge(&other.latency);
        self.failures += other.failures;
        self.failure = self.failure.take().or(other.failure);
    }

    /// Whether anything was.
    fn answered(&self) -> bool {
        self.latency.count() > 0
    }

    /// Whether no query failed and 99% were answered in time.
    fn kept(&self, bound: Duration) -> bool {
        let percent = if self.latency.count() < QUERIES_MIN {
            100.0
        } else {
            99.0
        };
        self.failures == 0
            && self.answered()
            && self.latency.percentile_ms(percent) <= bound.as_secs_f64() * 1e3
    }

    /// Queries by second.
    fn rate(&self) -> f64 {
        self.latency.count() as f64 / self.seconds.max(1e-9)
    }
}

/// Streams that ask again as soon as they are answered.
async fn closed<S: System>(system: &Arc<S>, streams: usize, samples: usize, length: Duration) -> Tally {
    let (energy, started) = (energy_microjoules(), Instant::now());
    let mut tasks = JoinSet::new();
    for _ in 0..streams {
        let system = Arc::clone(system);
        tasks.spawn(async move {
            let mut tally = Tally::default();
            while started.elapsed() < length {
                let asked = Instant::now();
                let outcome = match samples {
                    1 => system.ask().await,
                    _ => join_all((0..samples).map(|_| system.ask()))
                        .await
                        .into_iter()
                        .collect(),
                };
                tally.take(asked.elapsed(), outcome);
            }
            tally
        });
    }
    let mut all = Tally::default();
    while let Some(joined) = tasks.join_next().await {
        // A stream that panicked has told so itself.
        if let Ok(tally) = joined {
            all.merge(tally);
        }
    }
    all.seconds = started.elapsed().as_secs_f64();
    all.microjoules = energy
        .zip(energy_microjoules())
        .and_then(|(a, b)| b.checked_sub(a));
    all
}

/// Queries at random times, at a rate. Given up when a query takes many times the bound: nothing is to be
/// learned from a queue that only grows.
async fn open<S: System>(system: &Arc<S>, rate: f64, options: &Options, length: Duration) -> Tally {
    let patience = options.bound * PATIENCE;
    let (energy, started) = (energy_microjoules(), tokio::time::Instant::now());
    let mut tasks = JoinSet::new();
    let mut all = Tally::default();
    let behind = Arc::new(AtomicBool::new(false));
    for due in Arrivals::new(options.seed, rate).take_while(|due| *due < length) {
        let due = started + due;
        until(due).await;
        while let Some(joined) = tasks.try_join_next() {
            take_one(&mut all, joined);
        }
        if tasks.len() >= UNDER_WAY_MAX || behind.load(Ordering::Relaxed) {
            all.take(
                Duration::ZERO,
                Err("the system fell behind and the rate was given up".to_owned()),
            );
            break;
        }
        let (system, behind) = (Arc::clone(system), Arc::clone(&behind));
        tasks.spawn(async move {
            let outcome = system.ask().await;
            let latency = due.elapsed();
            behind.fetch_or(latency > patience, Ordering::Relaxed);
            (latency, outcome)
        });
    }
    while let Some(joined) = tasks.join_next().await {
        take_one(&mut all, joined);
    }
    all.seconds = started.elapsed().as_secs_f64();
    all.microjoules = energy
        .zip(energy_microjoules())
        .and_then(|(a, b)| b.checked_sub(a));
    all
}

/// Waits to the point, so that latency is the system's and not the timer's.
async fn until(due: tokio::time::Instant) {
    if let Some(early) = due.checked_sub(TIMER_EARLY) {
        tokio::time::sleep_until(early).await;
    }
    while tokio::time::Instant::now() < due {
        tokio::task::yield_now().await;
    }
}

type Joined = Result<(Duration, Result<(), String>), tokio::task::JoinError>;

fn take_one(all: &mut Tally, joined: Joined) {
    if let Ok((latency, outcome)) = joined {
        all.take(latency, outcome);
    }
}

/// At the rate asked for, or at the highest that is kept: from what one stream gets, doubled until it is not kept, then
/// halved between.
async fn server<S: System>(system: &Arc<S>, options: &Options) -> Report {
    let bound_ms = options.bound.as_secs_f64() * 1e3;
    let done = |value: Option<f64>, note: Option<String>, tally: &Tally| {
        let figure = Figure {
            name: format!("queries a second with 99% within {bound_ms} ms"),
            value,
            unit: "queries/s",
            note,
        };
        report(Scenario::Server, options, 1, figure, tally)
    };
    if let Some(rate) = options.rate {
        let tally = open(system, rate, options, options.length).await;
        let value = if tally.kept(options.bound) { rate } else { 0.0 };
        return done(tally.answered().then_some(value), None, &tally);
    }
    let trial = options.length / TRIALS;
    let alone = closed(system, 1, 1, trial).await;
    if !alone.answered() {
        return done(None, None, &alone);
    }
    let usual = alone.latency.percentile_ms(50.0);
    if usual > bound_ms {
        let note = format!("a query takes {usual:.3} ms when it is alone: no rate can be kept");
        return done(Some(0.0), Some(note), &alone);
    }
    let (mut low, mut high) = (0.0, None);
    let mut best = alone;
    let mut rate = best.rate();
    for _ in 1..TRIALS {
        let tally = open(system, rate, options, trial).await;
        let kept = tally.kept(options.bound);
        if kept {
            low = rate;
        } else {
            high = Some(rate);
        }
        // While no rate was kept, the last one shows why.
        if kept || low == 0.0 {
            best = tally;
        }
        rate = high.map_or(rate * 2.0, |high| f64::midpoint(low, high));
    }
    let note = match high {
        None => Some("at least: every rate that was tried was kept".to_owned()),
        Some(_) if low == 0.0 => Some("no rate that was tried was kept".to_owned()),
        Some(_) => None,
    };
    done(Some(low), note, &best)
}

fn latency_figure(name: &str, tally: &Tally, percent: f64) -> Figure {
    Figure {
        name: name.to_owned(),
        value: tally.answered().then(|| tally.latency.percentile_ms(percent)),
        unit: "ms",
        note: None,
    }
}

fn report(scenario: Scenario, options: &Options, samples: usize, figure: Figure, tally: &Tally) -> Report {
    let queries = tally.latency.count();
    let answered = queries as f64 * samples as f64;
    Report {
        scenario,
        seed: options.seed,
        figure,
        queries,
        samples_per_query: samples,
        failures: tally.failures,
        failure: tally.failure.clone(),
        seconds: tally.seconds,
        samples_per_second: answered / tally.seconds.max(1e-9),
        latency_ms: tally.latency.curve(),
        joules_per_sample: tally
            .microjoules
            .map(|used| used as f64 / 1e6 / answered.max(1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    /// Answers one sample at a time, each after a pause.
    struct Slow {
        pause: Duration,
        door: tokio::sync::Mutex<()>,
        asked: AtomicU64,
        failing: bool,
    }

    impl Slow {
        fn new(pause_ms: u64, failing: bool) -> Arc<Self> {
            Arc::new(Self {
                pause: Duration::from_millis(pause_ms),
                door: tokio::sync::Mutex::new(()),
                asked: AtomicU64::new(0),
                failing,
            })
        }
    }

    impl System for Slow {
        async fn ask(&self) -> Result<(), String> {
            let _alone = self.door.lock().await;
            self.asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(self.pause).await;
            if self.failing {
                Err("it always fails".to_owned())
            } else {
                Ok(())
            }
        }
    }

    fn options(length_ms: u64) -> Options {
        Options {
            length: Duration::from_millis(length_ms),
            warm_up: 2,
            ..Options::default()
        }
    }

    #[tokio::test]
    async fn each_scenario_says_what_it_is_about() {
        let system = Slow::new(5, false);
        let single = run(Scenario::SingleStream, &system, &options(200)).await;
        assert!(single.figure.value >= Some(5.0), "{single:?}");
        assert_eq!(single.figure.unit, "ms");
        let multi = run(Scenario::MultiStream, &system, &options(200)).await;
        assert!(multi.figure.value >= Some(8.0 * 5.0), "{multi:?}");
        let offline = run(Scenario::Offline, &system, &options(200)).await;
        assert!(
            offline.figure.value <= Some(200.0) && offline.queries > 0,
            "{offline:?}"
        );
    }

    #[tokio::test]
    async fn a_rate_beyond_what_the_system_can_do_is_not_claimed() {
        let system = Slow::new(5, false);
        let bounded = Options {
            bound: Duration::from_millis(20),
            ..options(2400)
        };
        let found = run(Scenario::Server, &system, &bounded).await;
        assert!(found.figure.value.is_some_and(|rate| rate < 200.0), "{found:?}");
        let forced = Options {
            rate: Some(2_000.0),
            ..bounded
        };
        let refused = run(Scenario::Server, &system, &forced).await;
        assert_eq!(refused.figure.value, Some(0.0));
        assert!(refused.latency_ms.iter().any(|(_, ms)| *ms > 20.0), "{refused:?}");
    }

    #[tokio::test]
    async fn failures_are_told() {
        let found = run(Scenario::SingleStream, &Slow::new(1, true), &options(50)).await;
        assert!(found.failures > 0 && found.queries == 0);
        assert_eq!(found.failure.as_deref(), Some("it always fails"));
        for scenario in Scenario::ALL {
            let found = run(scenario, &Slow::new(1, true), &options(50)).await;
            assert_eq!(found.figure.value, None, "{found:?}");
        }
    }

    #[tokio::test]
    async fn a_rate_without_arrivals_is_not_kept() {
        let rare = Options {
            rate: Some(1e-6),
            ..options(50)
        };
        let found = run(Scenario::Server, &Slow::new(1, false), &rare).await;
        assert_eq!((found.figure.value, found.queries), (None, 0));
    }

    #[tokio::test]
    async fn a_query_that_is_late_by_itself_ends_the_search() {
        let bounded = Options {
            bound: Duration::from_millis(2),
            ..options(800)
        };
        let found = run(Scenario::Server, &Slow::new(20, false), &bounded).await;
        assert_eq!(found.figure.value, Some(0.0));
        assert!(found.figure.note.is_some_and(|note| note.contains("alone")));
    }

    /// Answers any number at a time.
    struct Wide;

    impl System for Wide {
        async fn ask(&self) -> Result<(), String> {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_search_that_found_no_end_says_so() {
        let found = run(Scenario::Server, &Arc::new(Wide), &options(800)).await;
        assert!(found.figure.value > Some(40.0), "{found:?}");
        assert!(found.figure.note.is_some_and(|note| note.contains("at least")));
    }

    #[tokio::test]
    async fn warming_up_takes_a_part_of_the_length() {
        let system = Slow::new(10, false);
        let patient = Options {
            warm_up: 1_000_000,
            ..options(100)
        };
        let found = run(Scenario::SingleStream, &system, &patient).await;
        assert!(
            system.asked.load(Ordering::Relaxed) <= found.queries + 3,
            "{found:?}"
        );
    }
}
