//! The labelling page in a real browser: served predictions get their truth by a click.
//!
//! What this guards: a token that reaches a server's log; a page whose own script its policy keeps out; a
//! truth that is told and not kept, or that counts although its order was chosen by the model's certainty.
//!
//! Where Chromium is not installed this says so and ends: see `fieldmark_tests::Browser`.

use anyhow::{Context as _, Result, ensure};
use fieldmark_tests::{Browser, Nodes, Participant, People, Programs, packages, user_cache};
use serde_json::Value;

const COMPANY: &str = "atlas";
const MODEL: &str = "digits-logistic";

#[test]
fn a_person_labels_what_was_served() -> Result<()> {
    let programs = Programs::beside_this_test()?;
    let folder = tempfile::tempdir()?;
    let people = People::init(
        &programs,
        &folder.path().join("data"),
        &[(COMPANY, &["contributor"])],
    )?;
    let nodes = Nodes::start(&people, folder.path())?;
    let atlas = people.named(COMPANY)?;
    let cache = user_cache()?;
    let data = cache.join("data/digits.csv.gz");
    let package = packages(&programs, &cache, &data, "0..560")?.of("logistic");
    atlas.ask(&["publish", &package.to_string_lossy()])?;

    let sample = package.join("sample.json");
    let serve = || atlas.ask(&["infer", MODEL, "--input", &sample.to_string_lossy()]);
    let first = serve()?;
    serve()?;
    serve()?;
    let id = first["request_ids"][0]
        .as_str()
        .context("an answer names its prediction")?;
    atlas.ask(&["feedback", "give", id, "3"])?;
    ensure!(labelled(atlas)? == (1, 3), "one of three has its truth");

    if let Some(mut browser) = Browser::launch(&programs)? {
        let url = atlas.ask(&["label"])?["url"]
            .as_str()
            .context("label prints an address")?
            .to_owned();
        let mut page = browser.open(&url)?;
        page.resize(390, 900)?;
        page.wait_for("#labels button[data-label='7']")?;
        ensure!(
            !page.address()?.contains("token"),
            "the token leaves the address bar"
        );
        let over = page.overflow()?;
        ensure!(over <= 0, "the page is {over} px wider than a telephone");
        let shown = page.eval("document.getElementById('picture').hidden")?;
        ensure!(shown == Value::Bool(false), "an image is drawn");
        page.click("#labels button[data-label='7']")?;
        page.wait_until("the second truth is kept", |_| Ok(labelled(atlas)? == (2, 3)))?;
        // The third in the other order: kept for its owner, and never reported.
        page.click("#order-uncertain")?;
        page.wait_for_text("#why", "never reported")?;
        page.click("#labels button[data-label='7']")?;
        page.wait_for_text("#message", "Nothing waits")?;
        ensure!(labelled(atlas)? == (2, 3), "a label of that order does not count");
    }
    nodes.stop()
}

/// Labelled and counted predictions.
fn labelled(company: &Participant) -> Result<(u64, u64)> {
    let shown = company.ask(&["feedback", "show"])?;
    let number = |name: &str| {
        let found = shown
            .pointer(&format!("/tallies/0/{name}"))
            .and_then(Value::as_u64);
        found.with_context(|| format!("no {name} in {shown}"))
    };
    Ok((number("labelled")?, number("counted")?))
}
