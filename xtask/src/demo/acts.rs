//! What happens, in order.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use fieldmark_tests::{Digits, Nodes, PAUSE, Packages, People, SLICES, Spec, packages, together};
use serde_json::Value;

use super::cast::{AGGREGATORS, COMPANIES, FIELD, IMAGES, OPERATOR, RESEARCHERS, TRAINING, everyone};
use super::figures::Figures;
use super::folder::Folder;
use super::interrupt::Interrupt;
use super::scoreboard::{Scoreboard, Widths};
use super::story::Story;

/// Name of the challenge.
const CHALLENGE: &str = "digits-in-the-field";
/// Where the digits are, in the cache.
const DIGITS: &str = "data/digits.csv.gz";
/// Version of the trained releases.
const VERSION: &str = "1.0.0";
/// Name of each company's dataset.
const DATASET: &str = "digits";
/// ε of each company's filter: what its data may ever cost.
const BUDGET: &str = "4";
/// ε of the challenge.
const EPSILON: f64 = 2.0;

/// Everyone with their nodes, once the board is there.
#[derive(Debug)]
pub(super) struct Stage {
    people: People,
    nodes: Nodes,
}

/// Plays everything up to the board, and checks it.
pub(super) fn play(story: &mut Story<'_>, cache: &Path, seed: u64) -> Result<Stage> {
    let digits = cache.join(DIGITS);
    let companies = COMPANIES.map(|company| company.name).join(", ");
    let what = format!(
        "{} images to {companies}; none of them is trained on",
        FIELD.len()
    );
    story.phase("deal", &what, |story| deal(story, &digits, seed))?;
    let rows = format!("{}..{}", TRAINING.start, TRAINING.end);
    let what = format!(
        "logistic regression, MLP and CNN on {} other images",
        TRAINING.len()
    );
    let models = story.phase("train", &what, |story| train(story, cache, &digits, &rows))?;
    let what = format!(
        "{} data folders with keys, all trusting one committee (fieldmark init, trust add)",
        everyone().len()
    );
    let people = story.phase("init", &what, init)?;
    let nodes = story.phase(
        "start",
        "one node each, on loopback (fieldmark node run)",
        |story| start(story, &people),
    )?;
    story.phase(
        "publish",
        "each researcher signs a release (fieldmark publish)",
        |_| publish(&people, &models),
    )?;
    story.phase(
        "datasets",
        "every image under five conditions, kept private (fieldmark dataset views, add)",
        |story| add_datasets(story, &people),
    )?;
    let expected = story.phase(
        "plan",
        "how precise the challenge will be (fieldmark challenge plan)",
        |story| plan(story, &people),
    )?;
    story.phase(
        "open",
        "the operator signs the challenge (fieldmark challenge create)",
        |story| open(story, &people),
    )?;
    story.phase(
        "join",
        "the companies take part (fieldmark challenge join)",
        |story| join(story, &people),
    )?;
    story.phase(
        "window",
        "models are pulled and evaluated, reports verified, noise added, shares revealed",
        |story| window(story, &nodes),
    )?;
    let board = story.phase(
        "boards",
        "every node computes the leaderboard (fieldmark leaderboard)",
        |story| boards(story, &people),
    )?;
    let stage = Stage { people, nodes };
    stage.report(story, seed, &board, expected)?;
    Ok(stage)
}

fn deal(story: &Story<'_>, digits: &Path, seed: u64) -> Result<()> {
    let hands = Digits::read(digits)?.deal(FIELD, COMPANIES.len(), IMAGES, seed)?;
    for (company, hand) in COMPANIES.iter().zip(hands) {
        hand.write(&story.folder.private().join(format!("{}.clean.csv", company.name)))?;
    }
    Ok(())
}

fn train(story: &Story<'_>, cache: &Path, digits: &Path, rows: &str) -> Result<Packages> {
    let packages = packages(story.programs, cache, digits, rows)?;
    if !packages.fresh {
        story.tell("trained before: taken from the cache");
    }
    Ok(packages)
}

fn init(story: &Story<'_>) -> Result<People> {
    let cast: Vec<_> = everyone()
        .into_iter()
        .map(|(name, part)| (name, part.roles()))
        .collect();
    let people = People::init(story.programs, &story.folder.nodes(), &cast)?;
    people.trust(&committee())?;
    Ok(people)
}

/// The committee, the leader first.
fn committee() -> [&'static str; 3] {
    let [second, third] = AGGREGATORS;
    [OPERATOR, second, third]
}

fn start(story: &Story<'_>, people: &People) -> Result<Nodes> {
    let nodes = Nodes::start(people, &story.folder.logs())?;
    let slowest = nodes
        .iter()
        .map(|(_, ready)| ready.after)
        .max()
        .unwrap_or_default();
    story.tell(&format!(
        "{} nodes, each ready within {} ms",
        nodes.iter().count(),
        slowest.as_millis()
    ));
    Ok(nodes)
}

fn publish(people: &People, models: &Packages) -> Result<()> {
    together(&RESEARCHERS, |(name, model)| {
        let folder = models.of(model);
        people.named(name)?.ask(&["publish", &folder.to_string_lossy()])
    })
    .map(|_| ())
}

fn add_datasets(story: &Story<'_>, people: &People) -> Result<()> {
    together(&COMPANIES, |company| {
        let one = people.named(company.name)?;
        let file = |kind: &str| {
            story
                .folder
                .private()
                .join(format!("{}.{kind}.csv", company.name))
        };
        let (clean, views) = (file("clean"), file("field"));
        let (clean, views) = (clean.to_string_lossy(), views.to_string_lossy());
        one.ask(&[
            "dataset",
            "views",
            &clean,
            "--out",
            &views,
            "--severity-of",
            company.severities,
            "--clean",
            "--max",
            "16",
        ])?;
        one.ask(&[
            "dataset",
            "add",
            &views,
            "--name",
            DATASET,
            "--epsilon",
            BUDGET,
            "--delta",
            "1e-6",
        ])
    })
    .map(|_| ())
}

/// Writes the challenge and says what to expect of it.
fn plan(story: &Story<'_>, people: &People) -> Result<Widths> {
    let path = story.folder.challenge();
    let spec = spec(people)?;
    Folder::write(&path, &spec.to_toml())?;
    let plan = people
        .named(OPERATOR)?
        .ask(&["challenge", "plan", &path.to_string_lossy()])?;
    let expected = Widths::expected(&plan, u64::from(spec.reports_expected))?;
    story.tell(&format!("expected half-widths of 95% intervals: {expected}"));
    Ok(expected)
}

fn spec(people: &People) -> Result<Spec> {
    Ok(Spec {
        name: CHALLENGE.to_owned(),
        models: RESEARCHERS
            .iter()
            .map(|(_, model)| format!("digits-{model}@{VERSION}"))
            .collect(),
        committee: people.identities(&committee())?,
        eligible: people.identities(&COMPANIES.map(|company| company.name))?,
        epsilon: EPSILON,
        records_max: 260,
        window_seconds: 60,
        min_batch: 4,
        reports_expected: 5,
        replicate_groups: 1,
    })
}

/// Signs the challenge, as soon as the releases and the aggregators' certificates are known here.
fn open(story: &Story<'_>, people: &People) -> Result<()> {
    let path = story.folder.challenge();
    story.ask_until_found(
        people.named(OPERATOR)?,
        &["challenge", "create", &path.to_string_lossy()],
    )?;
    story.tell(&format!(
        "{CHALLENGE}: {} slices, epsilon {EPSILON}, five reports or 60 s",
        SLICES.len()
    ));
    Ok(())
}

fn join(story: &Story<'_>, people: &People) -> Result<()> {
    together(&COMPANIES, |company| {
        let one = people.named(company.name)?;
        story.ask_until_found(one, &["challenge", "show", CHALLENGE])?;
        one.ask(&["challenge", "join", CHALLENGE, "--dataset", DATASET])
    })
    .map(|_| ())
}

/// Follows the window from the operator's node until its batch is released.
fn window(story: &Story<'_>, nodes: &Nodes) -> Result<()> {
    let (leader, _) = nodes.of(OPERATOR)?;
    let mut before = String::new();
    story.until("the committee to release", || {
        if let Some(failed) = failed_contribution(nodes)? {
            bail!("{failed}");
        }
        let Some((phase, reports)) = last_batch(&leader.events()?) else {
            return Ok(None);
        };
        let now = format!("{phase}, {reports} of {} reports", COMPANIES.len());
        if now != before {
            story.tell(&now);
            before = now;
        }
        match phase.as_str() {
            "released" => Ok(Some(())),
            "aborted" | "void" | "disagreement" => bail!("the batch ended as {phase}"),
            _ => Ok(None),
        }
    })
}

/// Phase and reports in the last event about a batch.
fn last_batch(events: &[Value]) -> Option<(String, u64)> {
    let batch = events.iter().rev().find(|event| is(event, "event", "batch"))?;
    Some((
        batch.get("phase")?.as_str()?.to_owned(),
        batch.get("reports")?.as_u64()?,
    ))
}

/// What a company's node says about a report that it cannot send.
fn failed_contribution(nodes: &Nodes) -> Result<Option<String>> {
    for (node, _) in nodes.iter() {
        let events = node.events()?;
        let failed = |event: &&Value| is(event, "event", "contribution") && is(event, "state", "failed");
        if let Some(event) = events.iter().find(failed) {
            let detail = event.get("detail").and_then(Value::as_str).unwrap_or_default();
            return Ok(Some(format!("{} sends no report: {detail}", node.name)));
        }
    }
    Ok(None)
}

fn is(event: &Value, name: &str, value: &str) -> bool {
    event.get(name).and_then(Value::as_str) == Some(value)
}

/// Takes the board from every node, and the page from a company's, which has the models to time them.
fn boards(story: &Story<'_>, people: &People) -> Result<Scoreboard> {
    let board = story.board(people, CHALLENGE)?;
    Folder::write(&story.folder.board_json(), &board)?;
    let page = story.folder.board_html().to_string_lossy().into_owned();
    let [company, ..] = &COMPANIES;
    people
        .named(company.name)?
        .ask(&["leaderboard", CHALLENGE, "--speed", "--html", &page])?;
    story.tell(&format!(
        "{} nodes print the same {} bytes",
        people.all().len(),
        board.len()
    ));
    Scoreboard::parse(&board)
}

impl Stage {
    /// Prints what came out and what it took, writes the figures, and checks the board's precision.
    fn report(&self, story: &Story<'_>, seed: u64, board: &Scoreboard, expected: Widths) -> Result<()> {
        println!("\n{board}");
        let figures = Figures::collect(story, seed, self.people.all(), expected, board.widths()?)?;
        println!("{figures}");
        Folder::write(&story.folder.run_json(), &figures.to_json(story.folder)?)?;
        board.check(COMPANIES.len(), RESEARCHERS.len())?;
        board.widths()?.check()
    }

    /// Serves the pages until Ctrl-C.
    pub(super) fn serve(mut self, interrupt: &Interrupt) -> Result<()> {
        let pages = self
            .nodes
            .of(OPERATOR)?
            .1
            .pages
            .clone()
            .context("the operator's node serves no pages")?;
        println!("\nserving http://{pages}/ until Ctrl-C");
        while !interrupt.came() {
            self.nodes.check()?;
            std::thread::sleep(PAUSE * 4);
        }
        self.nodes.stop()
    }

    /// Ends every node.
    pub(super) fn end(self) -> Result<()> {
        self.nodes.stop()
    }
}
