//! Power failures in the middle of a challenge: the leader, a helper, a company and a researcher are
//! killed at random points and come back, and the board is the one that was promised.
//!
//! What this guards: a receipt, a budget charge or a committed share that was only in memory; a node
//! that does not resume what its store says was under way; peers that do not find a node again.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use fieldmark_tests::{
    Digits, MODELS, Nodes, PAUSE, People, Programs, Random, Ready, Spec, packages, together, until,
    user_cache,
};
use serde_json::Value;

const LEADER: &str = "northgate";
const HELPERS: [&str; 2] = ["oakbridge", "pinecrest"];
const RESEARCHERS: [&str; 3] = ["ada", "bruno", "chiara"];
const COMPANIES: [&str; 5] = ["atlas", "boreal", "cobalt", "dockside", "ember"];
const CHALLENGE: &str = "digits-under-fire";
/// Images of each company: so many that a report counted twice, or not at all, stands out of the noise.
const IMAGES: usize = 120;
/// Half-widths of a 95% interval that noise never reaches in practice (5 standard deviations).
const SLACK: f64 = 2.5;
/// Names this variable to repeat a run's choices.
const SEED: &str = "FIELDMARK_SEED";
/// Everything has to be over by then, kills and restarts included.
const LIMIT: Duration = Duration::from_secs(120);
/// A point that has not come by then is taken as come, so that everybody is killed once.
const POINT_MAX: Duration = Duration::from_secs(20);

/// A point of the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// The companies have joined.
    Joined,
    /// The committee has this many reports.
    Reports(u64),
    /// Somebody's contribution has come to this state.
    Contribution(&'static str),
}

/// Someone to be killed, once.
#[derive(Debug, Clone)]
struct Victim {
    name: &'static str,
    point: Point,
    /// Time from the point to the kill.
    delay: Duration,
    /// Time from the kill to the restart.
    down: Duration,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Waiting,
    Doomed(Instant),
    Down(Instant, Ready),
    Back,
}

impl Victim {
    fn new(random: &mut Random, name: &'static str, points: &[Point], delay_ms: u64) -> Self {
        let point = random.choose(points);
        // With the last report everything goes fast.
        let delay_ms = if point == Point::Reports(5) { 120 } else { delay_ms };
        let delay = Duration::from_millis(random.below(delay_ms));
        let down = Duration::from_millis(50 + random.below(1_500));
        Self {
            name,
            point,
            delay,
            down,
            state: State::Waiting,
        }
    }

    /// Does what is due.
    fn step(
        &mut self,
        people: &People,
        nodes: &mut Nodes,
        reached: impl Fn(&Nodes) -> Result<bool>,
    ) -> Result<()> {
        match &self.state {
            State::Waiting if reached(nodes)? => self.state = State::Doomed(Instant::now() + self.delay),
            State::Doomed(at) if *at <= Instant::now() => {
                let before = nodes.kill(self.name)?;
                self.state = State::Down(Instant::now() + self.down, before);
            }
            State::Down(until, before) if *until <= Instant::now() => {
                nodes.restart(people.named(self.name)?, before)?;
                self.state = State::Back;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a point of the flow has come, as far as those that run tell.
fn reached(point: Point, nodes: &Nodes, victim: &str) -> Result<bool> {
    let is = |event: &Value, name: &str, value: &str| event.get(name).and_then(Value::as_str) == Some(value);
    let told = |name: &str, fits: &dyn Fn(&Value) -> bool| -> Result<bool> {
        // Whoever is down just now tells nothing.
        let Ok((node, _)) = nodes.of(name) else {
            return Ok(false);
        };
        Ok(node.events()?.iter().any(fits))
    };
    match point {
        Point::Joined => Ok(true),
        // The helpers know the number in the end, should the leader be down when it is reached.
        Point::Reports(least) => [LEADER].iter().chain(&HELPERS).try_fold(false, |before, name| {
            let reports = |event: &Value| event.get("reports").and_then(Value::as_u64);
            Ok(before
                || told(name, &|event| {
                    is(event, "event", "batch") && reports(event) >= Some(least)
                })?)
        }),
        Point::Contribution(state) => told(victim, &|event| {
            is(event, "event", "contribution") && is(event, "state", state)
        }),
    }
}

#[test]
fn killed_nodes_resume_and_the_board_is_right() -> Result<()> {
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed.parse().with_context(|| format!("{SEED} is no number"))?,
        Err(_) => u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos()),
    };
    println!("{SEED}={seed}");
    let mut random = Random::new(seed, "kills");
    let folder = tempfile::tempdir()?;
    let people = everyone(folder.path())?;
    let mut nodes = Nodes::start(&people, folder.path())?;

    publish(&people)?;
    // What `publish` acknowledged is there after a power failure at any moment.
    let researcher = random.choose(&RESEARCHERS);
    let mut victim = Victim::new(&mut random, researcher, &[Point::Joined], 300);
    println!("{victim:?}");
    let started = Instant::now();
    while !matches!(victim.state, State::Back) {
        ensure!(started.elapsed() < LIMIT, "{researcher} did not come back");
        victim.step(&people, &mut nodes, |_| Ok(true))?;
        thread::sleep(PAUSE);
    }
    add_datasets(&people, folder.path(), seed)?;
    open_and_join(&people, folder.path())?;

    let reports: Vec<Point> = (0..=5).map(Point::Reports).collect();
    let states = ["joined", "charged", "outbox", "uploaded"].map(Point::Contribution);
    let helper = random.choose(&HELPERS);
    let company = random.choose(&COMPANIES);
    let mut victims = [
        Victim::new(&mut random, LEADER, &reports, 500),
        Victim::new(&mut random, helper, &reports, 1_000),
        Victim::new(&mut random, company, &states, 200),
    ];
    println!("{victims:#?}");
    kill_all_once(&people, &mut nodes, &mut victims)?;
    check_board(&people)?;
    check_budgets(&people)?;
    nodes.stop()
}

fn kill_all_once(people: &People, nodes: &mut Nodes, victims: &mut [Victim]) -> Result<()> {
    let started = Instant::now();
    while victims.iter().any(|victim| !matches!(victim.state, State::Back)) {
        if started.elapsed() > LIMIT {
            bail!("not everybody came back: {victims:?}");
        }
        for victim in victims.iter_mut() {
            let (point, name) = (victim.point, victim.name);
            let late = started.elapsed() > POINT_MAX;
            victim.step(people, nodes, |nodes| Ok(late || reached(point, nodes, name)?))?;
        }
        thread::sleep(PAUSE / 5);
    }
    Ok(())
}

fn everyone(folder: &Path) -> Result<People> {
    let aggregator: &[&str] = &["aggregator", "provider"];
    let cast: Vec<(&str, &[&str])> = [(LEADER, aggregator)]
        .into_iter()
        .chain(HELPERS.map(|name| (name, aggregator)))
        .chain(RESEARCHERS.map(|name| (name, &["provider"] as &[&str])))
        .chain(COMPANIES.map(|name| (name, &["contributor", "provider"] as &[&str])))
        .collect();
    let people = People::init(&Programs::beside_this_test()?, &folder.join("nodes"), &cast)?;
    people.trust(&[LEADER, HELPERS[0], HELPERS[1]])?;
    Ok(people)
}

fn publish(people: &People) -> Result<()> {
    let cache = user_cache()?;
    let data = cache.join("data/digits.csv.gz");
    let packages = packages(people.named(LEADER)?.programs(), &cache, &data, "0..560")?;
    let releases: Vec<_> = RESEARCHERS.into_iter().zip(MODELS).collect();
    together(&releases, |(name, model)| {
        people
            .named(name)?
            .ask(&["publish", &packages.of(model).to_string_lossy()])
    })?;
    Ok(())
}

fn add_datasets(people: &People, folder: &Path, seed: u64) -> Result<()> {
    let digits = Digits::read(&user_cache()?.join("data/digits.csv.gz"))?;
    let hands = digits.deal(560..1760, COMPANIES.len(), IMAGES, seed)?;
    let dealt: Vec<_> = COMPANIES.into_iter().zip(hands).collect();
    together(&dealt, |(name, hand)| {
        let (clean, field) = (
            folder.join(format!("{name}.csv")),
            folder.join(format!("{name}.field.csv")),
        );
        hand.write(&clean)?;
        let (clean, field) = (clean.to_string_lossy(), field.to_string_lossy());
        let one = people.named(name)?;
        let severities = "low-light=2,blur=2,occlusion=2,sensor-noise=2";
        one.ask(&[
            "dataset",
            "views",
            &clean,
            "--out",
            &field,
            "--severity-of",
            severities,
            "--clean",
            "--max",
            "16",
        ])?;
        one.ask(&[
            "dataset",
            "add",
            &field,
            "--name",
            "digits",
            "--epsilon",
            "4",
            "--delta",
            "1e-6",
        ])
    })?;
    Ok(())
}

fn open_and_join(people: &People, folder: &Path) -> Result<()> {
    let spec = Spec {
        name: CHALLENGE.to_owned(),
        models: MODELS.map(|model| format!("digits-{model}@1.0.0")).to_vec(),
        committee: people.identities(&[LEADER, HELPERS[0], HELPERS[1]])?,
        eligible: people.identities(&COMPANIES)?,
        epsilon: 2.0,
        records_max: 130,
        window_seconds: 60,
        // Four of the five reports are enough for two groups.
        min_batch: 2,
        reports_expected: 5,
        replicate_groups: 2,
    };
    let path = folder.join("challenge.toml");
    std::fs::write(&path, spec.to_toml())?;
    let (operator, path) = (people.named(LEADER)?, path.to_string_lossy());
    operator.ask_until_found(&["challenge", "create", &path], LIMIT, || Ok(()))?;
    together(&COMPANIES, |name| {
        let one = people.named(name)?;
        one.ask_until_found(&["challenge", "show", CHALLENGE], LIMIT, || Ok(()))?;
        one.ask(&["challenge", "join", CHALLENGE, "--dataset", "digits"])
    })?;
    Ok(())
}

fn check_board(people: &People) -> Result<()> {
    let board: Value = serde_json::from_str(&people.board(CHALLENGE, LIMIT, || Ok(()))?)?;
    ensure!(board.get("contributors") == Some(&5.into()), "{board}");
    let models = board
        .get("models")
        .and_then(Value::as_array)
        .context("no models")?;
    let mut names: Vec<&str> = models
        .iter()
        .filter_map(|model| model.get("name")?.as_str())
        .collect();
    names.sort_unstable();
    ensure!(
        names == ["digits-cnn@1.0.0", "digits-logistic@1.0.0", "digits-mlp@1.0.0"],
        "{names:?}"
    );

    check_groups(people, &board)?;
    let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_f64);
    let records = board.get("records").context("no records")?;
    let bounds = number(records, "value")
        .zip(number(records, "lo"))
        .context("no estimate")?;
    let (estimate, half) = (bounds.0, bounds.0 - bounds.1);
    let all = (COMPANIES.len() * IMAGES) as f64;
    ensure!((estimate - all).abs() <= SLACK * half, "{records} of {all}");
    for model in models {
        let name = model.get("name").and_then(Value::as_str).context("no name")?;
        let pooled = pooled_score(people, name)?;
        let bounds = number(model, "score")
            .zip(number(model, "noise_lo"))
            .context("no score")?;
        let (score, half) = (bounds.0, bounds.0 - bounds.1);
        ensure!(
            (score - pooled).abs() <= SLACK * half,
            "{name} scores {pooled} in the clear: {model}"
        );
    }
    Ok(())
}

/// The reports are in two groups of nearly equal size, each company can prove in which of them its own is, and
/// leaving a group out leaves the other's score.
fn check_groups(people: &People, board: &Value) -> Result<()> {
    let sizes = board.pointer("/replicate_groups/reports");
    ensure!(sizes == Some(&serde_json::json!([3, 2])), "{board}");
    let groups = together(&COMPANIES, |name| {
        let company = people.named(name)?;
        // The board is there at once; the proof comes with an answer of the committee.
        until(&format!("the proof of {name}'s report"), LIMIT, || {
            let receipt = company.ask(&["challenge", "receipt", CHALLENGE])?;
            Ok(receipt.pointer("/inclusion/group").and_then(Value::as_u64))
        })
    })?;
    let of = |group: u64| groups.iter().filter(|of| **of == group).count();
    ensure!((of(1), of(2)) == (3, 2), "{groups:?}");
    for model in board
        .get("models")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let without = model.get("without_groups").context("no groups")?;
        let number = |pointer| without.pointer(pointer).and_then(Value::as_f64);
        let scores = number("/without/0/score").zip(number("/without/1/score"));
        let (first, second) = scores.with_context(|| model.to_string())?;
        let range = number("/lowest").zip(number("/highest"));
        ensure!(range == Some((first.min(second), first.max(second))), "{model}");
    }
    Ok(())
}

/// Score of a model on all companies' data together, without noise: they all have as many images.
fn pooled_score(people: &People, model: &str) -> Result<f64> {
    let scores = together(&COMPANIES, |name| {
        let answer = people
            .named(name)?
            .ask(&["evaluate", model, "--dataset", "digits"])?;
        let score = answer.pointer("/models/0/score").and_then(Value::as_f64);
        score.with_context(|| format!("{name}: {answer}"))
    })?;
    Ok(scores.iter().sum::<f64>() / scores.len() as f64)
}

/// Every company paid once, the one that was killed like the others.
fn check_budgets(people: &People) -> Result<()> {
    let spent = COMPANIES.map(|name| -> Result<f64> {
        let answer = people.named(name)?.ask(&["budget"])?;
        let budget = answer
            .pointer("/budgets/0")
            .with_context(|| format!("{name} has none: {answer}"))?;
        ensure!(budget.get("charges") == Some(&1.into()), "{name}: {answer}");
        budget
            .get("epsilon_spent")
            .and_then(Value::as_f64)
            .with_context(|| format!("{name}: {answer}"))
    });
    let spent = spent.into_iter().collect::<Result<Vec<f64>>>()?;
    let alike = spent.iter().all(|one| *one > 1.0 && Some(one) == spent.first());
    ensure!(alike, "not everybody paid the same: {spent:?}");
    Ok(())
}
