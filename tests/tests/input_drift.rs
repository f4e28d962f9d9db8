//! Companies tell, under noise, that what they ask a model has drifted from its author's data, and the author hears of
//! it.
//!
//! What this guards: bins that the author's reference and the companies' measurements do not share; a board that lacks
//! the reference; drift that is found where inputs are those of the author.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fieldmark_tests::{Digits, Nodes, People, Programs, Spec, packages, together, user_cache};
use serde_json::Value;

const CHALLENGE: &str = "digits-drifted";
const LEADER: &str = "northgate";
const HELPER: &str = "oakbridge";
const AUTHOR: &str = "ada";
const COMPANIES: [&str; 2] = ["atlas", "boreal"];
const CAST: [(&str, &[&str]); 5] = [
    (LEADER, &["aggregator"]),
    (HELPER, &["aggregator"]),
    (AUTHOR, &["provider"]),
    (COMPANIES[0], &["contributor"]),
    (COMPANIES[1], &["contributor"]),
];
/// Images of each company.
const IMAGES: usize = 300;
const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn inputs_that_drifted_are_told_by_a_private_statistic() -> Result<()> {
    let programs = Programs::beside_this_test()?;
    let folder = tempfile::tempdir()?;
    let people = People::init(&programs, &folder.path().join("data"), &CAST)?;
    people.trust(&[LEADER, HELPER])?;
    let nodes = Nodes::start(&people, folder.path())?;
    let digits = Digits::read(&user_cache()?.join("data/digits.csv.gz"))?;
    publish(&people, folder.path(), &digits)?;
    add_datasets(&people, folder.path(), &digits)?;
    pose_and_join(&people, folder.path())?;
    let board: Value = serde_json::from_str(&people.board(CHALLENGE, LIMIT, || Ok(()))?)?;
    let inputs = |slice| lowest(&board, "input-psi", slice);
    let (clean, dark) = (inputs("clean")?, inputs("low-light")?);
    ensure!(
        clean < 0.1 && dark > 0.1,
        "clean {clean}, low-light {dark}: {board}"
    );
    // What the author's answers were, the same file says.
    let answers = lowest(&board, "psi", "clean")?;
    ensure!(answers < 0.1, "answers {answers}: {board}");
    nodes.stop()
}

/// A model that knows the images it was trained on.
fn publish(people: &People, folder: &Path, digits: &Digits) -> Result<()> {
    let (author, cache) = (people.named(AUTHOR)?, user_cache()?);
    let made = packages(
        author.programs(),
        &cache,
        &cache.join("data/digits.csv.gz"),
        "0..560",
    )?;
    let (package, data) = (folder.join("logistic"), folder.join("author.csv"));
    fs::create_dir(&package)?;
    for file in fs::read_dir(made.of("logistic"))? {
        let file = file?;
        fs::copy(file.path(), package.join(file.file_name()))?;
    }
    for hand in digits.deal(0..560, 1, 560, 7)? {
        hand.write(&data)?;
    }
    let package = package.to_string_lossy();
    author.ask(&["reference", &package, "--from", &data.to_string_lossy()])?;
    author.ask(&["publish", &package])?;
    Ok(())
}

fn add_datasets(people: &People, folder: &Path, digits: &Digits) -> Result<()> {
    let dealt: Vec<_> = COMPANIES
        .into_iter()
        .zip(digits.deal(560..1760, COMPANIES.len(), IMAGES, 7)?)
        .collect();
    together(&dealt, |(name, hand)| {
        let file = folder.join(format!("{name}.csv"));
        hand.write(&file)?;
        let severities = "low-light=4,blur=1,occlusion=1,sensor-noise=1";
        let file = file.to_string_lossy();
        people.named(name)?.ask(&[
            "dataset",
            "add",
            &file,
            "--name",
            "digits",
            "--epsilon",
            "8",
            "--severity-of",
            severities,
            "--range",
            "0..16",
        ])
    })?;
    Ok(())
}

fn pose_and_join(people: &People, folder: &Path) -> Result<()> {
    let spec = Spec {
        name: CHALLENGE.to_owned(),
        models: vec!["digits-logistic@1.0.0".to_owned()],
        committee: people.identities(&[LEADER, HELPER])?,
        eligible: people.identities(&COMPANIES)?,
        epsilon: 8.0,
        records_max: 320,
        window_seconds: 120,
        min_batch: 2,
        reports_expected: 2,
        replicate_groups: 1,
    };
    let classes: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
    let collected = format!(
        "statistics = [\"drift\", \"input-drift\"]\nclasses = {classes:?}\nby_slice = true\n\n[[slice]]"
    );
    let text = spec.to_toml().replacen("\n[[slice]]", &collected, 1);
    let path = folder.join("challenge.toml");
    fs::write(&path, text)?;
    let (leader, path) = (people.named(LEADER)?, path.to_string_lossy());
    leader.ask_until_found(&["challenge", "create", &path], LIMIT, || Ok(()))?;
    together(&COMPANIES, |name| {
        let one = people.named(name)?;
        one.ask_until_found(&["challenge", "show", CHALLENGE], LIMIT, || Ok(()))?;
        one.ask(&["challenge", "join", CHALLENGE, "--dataset", "digits"])
    })?;
    Ok(())
}

/// The lower end of the interval of a population stability index on a slice.
fn lowest(board: &Value, metric: &str, slice: &str) -> Result<f64> {
    let metrics = board.pointer("/models/0/metrics").and_then(Value::as_array);
    let found = metrics
        .into_iter()
        .flatten()
        .find(|cell| cell["metric"] == metric && cell["slice"] == slice);
    let low = found.and_then(|cell| cell.get("lo")?.as_f64());
    low.with_context(|| format!("no {metric} on '{slice}' in {board}"))
}
