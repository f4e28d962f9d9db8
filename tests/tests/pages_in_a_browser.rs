//! The public pages in a real browser: a challenge from its opening to its board, and a model with its
//! issues and its feed, as a reader sees them.
//!
//! What this guards: a policy that keeps the pages' own script or style out; a page that does not renew
//! itself, or does so by losing the reader's place; intervals that are in the markup and not on the screen;
//! a page that scrolls sideways on a telephone; words of strangers that run.
//!
//! Where Chromium is not installed this says so and ends: see `fieldmark_tests::Browser`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fieldmark_tests::{
    Browser, Digits, Nodes, Page, People, Programs, SLICES, Spec, packages, together, user_cache,
};
use serde_json::Value;

const CHALLENGE: &str = "digits-on-screen";
const LEADER: &str = "northgate";
const HELPER: &str = "oakbridge";
const RESEARCHER: &str = "ada";
const COMPANIES: [&str; 2] = ["atlas", "boreal"];
const CAST: [(&str, &[&str]); 5] = [
    (LEADER, &["aggregator"]),
    (HELPER, &["aggregator"]),
    (RESEARCHER, &["provider"]),
    (COMPANIES[0], &["contributor"]),
    (COMPANIES[1], &["contributor"]),
];
const MODELS: [&str; 2] = ["logistic", "cnn"];
/// Comes for the second window, which the first of [`MODELS`] leaves.
const LATE: &str = "mlp";
/// Images of each company.
const IMAGES: usize = 100;
const LIMIT: Duration = Duration::from_secs(90);
/// A telephone's width in CSS pixels.
const TELEPHONE: u32 = 390;
/// Left behind on a page; gone if the page was loaded anew.
const MARK: &str = "window.readersPlace = 1";

#[test]
fn a_reader_follows_a_challenge_and_a_model_in_a_browser() -> Result<()> {
    let programs = Programs::beside_this_test()?;
    let Some(mut browser) = Browser::launch(&programs)? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let people = People::init(&programs, &folder.path().join("data"), &CAST)?;
    people.trust(&[LEADER, HELPER])?;
    let nodes = Nodes::start(&people, folder.path())?;
    let site = nodes
        .of(LEADER)?
        .1
        .pages
        .clone()
        .context("the leader serves pages")?;
    let site = format!("http://{site}");
    prepare(&people, folder.path())?;

    let mut page = browser.open(&format!("{site}/challenges"))?;
    page.resize(1280, 900)?;
    follow_to_the_board(&mut page, &people)?;
    look_at_the_board(&mut page, &people)?;
    read_it_otherwise(&mut page)?;
    talk_about_a_model(&mut page, &people, &site)?;
    subscribe_to_it(&mut page)?;
    time_the_models(&mut page, &people, &site)?;
    go_to_the_next_window(&mut page, &people, &site)?;
    drop(browser);
    nodes.stop()
}

/// Models, data and an open challenge.
fn prepare(people: &People, folder: &Path) -> Result<()> {
    let cache = user_cache()?;
    let data = cache.join("data/digits.csv.gz");
    let ada = people.named(RESEARCHER)?;
    let packages = packages(ada.programs(), &cache, &data, "0..560")?;
    for model in MODELS.into_iter().chain([LATE]) {
        ada.ask(&["publish", &packages.of(model).to_string_lossy()])?;
    }
    let hands = Digits::read(&data)?.deal(560..1760, COMPANIES.len(), IMAGES, 7)?;
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
            "8",
            "--delta",
            "1e-6",
        ])
    })?;
    let spec = Spec {
        name: CHALLENGE.to_owned(),
        models: MODELS.map(|model| format!("digits-{model}@1.0.0")).to_vec(),
        committee: people.identities(&[LEADER, HELPER])?,
        eligible: people.identities(&COMPANIES)?,
        epsilon: 4.0,
        records_max: 110,
        window_seconds: 120,
        min_batch: 2,
        reports_expected: 2,
        replicate_groups: 1,
    };
    let path = folder.join("challenge.toml");
    std::fs::write(&path, spec.to_toml())?;
    let path = path.to_string_lossy();
    let leader = people.named(LEADER)?;
    leader.ask_until_found(&["challenge", "create", &path], LIMIT, || Ok(()))?;
    Ok(())
}

/// From the list to an open challenge, which becomes its board while the reader looks on.
fn follow_to_the_board(page: &mut Page<'_>, people: &People) -> Result<()> {
    page.reload()?;
    page.click("main a[href^='/challenges/']")?;
    page.wait_for_text("h1", CHALLENGE)?;
    page.wait_for("progress")?;
    page.wait_for("main[data-connected]")?;
    page.eval(MARK)?;
    together(&COMPANIES, |name| {
        let one = people.named(name)?;
        one.ask_until_found(&["challenge", "show", CHALLENGE], LIMIT, || Ok(()))?;
        one.ask(&["challenge", "join", CHALLENGE, "--dataset", "digits"])
    })?;
    people.board(CHALLENGE, LIMIT, || Ok(()))?;
    page.wait_for("table.field tbody tr")?;
    ensure!(page.eval("window.readersPlace")? == 1, "the page was loaded anew");
    Ok(())
}

/// Rows in the order of the board, each with an interval that can be seen.
fn look_at_the_board(page: &mut Page<'_>, people: &People) -> Result<()> {
    let board = people.named(COMPANIES[0])?.ask(&["leaderboard", CHALLENGE])?;
    let models = board
        .get("models")
        .and_then(Value::as_array)
        .context("no models")?;
    let names = page.texts("table.field tbody th.name")?;
    ensure!(names.len() == models.len(), "{names:?}");
    for (shown, model) in names.iter().zip(models) {
        let name = model.get("name").and_then(Value::as_str).context("no name")?;
        ensure!(
            shown.replace('\n', "").contains(name),
            "{names:?} is not in the order of {board}"
        );
        let score = model.get("score").and_then(Value::as_f64).context("no score")?;
        let drawn = page.texts("table.field tbody td.score")?.join(" ");
        let (two, three) = (format!("{score:.2}"), format!("{score:.3}"));
        ensure!(
            drawn.contains(&two) || drawn.contains(&three),
            "{drawn} has no {score}"
        );
    }
    // The widest shape of each row's plot that is no line of the grid or to the lab spans its interval.
    let widths = page.eval(
        "[...document.querySelectorAll('table.field tbody td.plot')].map(cell => Math.max(0, \
         ...[...cell.querySelectorAll('svg *')].filter(e => !/grid|drop/.test(e.getAttribute('class') ?? '')) \
         .map(e => e.getBoundingClientRect().width)))",
    )?;
    let widths: Vec<f64> = serde_json::from_value(widths)?;
    ensure!(
        widths.len() == models.len() && widths.iter().all(|width| *width > 2.0),
        "{widths:?}"
    );
    for (name, _) in SLICES {
        ensure!(
            page.text("main")?.contains(name),
            "slice {name} is not on the page"
        );
    }
    Ok(())
}

/// On a telephone, in the dark, and without scripts.
fn read_it_otherwise(page: &mut Page<'_>) -> Result<()> {
    let ground = "getComputedStyle(document.body).backgroundColor";
    page.scheme("light")?;
    let light = page.eval(ground)?;
    page.scheme("dark")?;
    let dark = page.eval(ground)?;
    ensure!(light != dark, "light and dark are both {light}");
    for scheme in ["light", "dark"] {
        page.scheme(scheme)?;
        page.resize(TELEPHONE, 844)?;
        let wider = page.overflow()?;
        ensure!(
            wider <= 0,
            "in {scheme} the board is {wider} px wider than the screen"
        );
    }
    page.scheme("light")?;
    page.scripts(false)?;
    page.reload()?;
    page.wait_for("table.field tbody tr")?;
    ensure!(
        page.attribute("main", "data-connected")?.is_none(),
        "scripts are on"
    );
    page.scripts(true)?;
    page.resize(1280, 900)
}

/// A model's page takes up an issue, and the page a comment that closes it, while they are read.
fn talk_about_a_model(page: &mut Page<'_>, people: &People, site: &str) -> Result<()> {
    let (ada, atlas) = (people.named(RESEARCHER)?, people.named(COMPANIES[0])?);
    page.goto(&format!("{site}/models/digits-cnn@1.0.0"))?;
    page.wait_for_text("h1", "digits-cnn")?;
    ensure!(
        page.text("main")?.contains(CHALLENGE),
        "the model's page does not name its challenge"
    );
    page.wait_for("main[data-connected]")?;
    page.eval(MARK)?;
    let title = "Barred sevens are ones";
    let body = "Since *1.0.0*.\n\n<script>window.ran = 1</script><img src=x onerror=\"window.ran = 1\">";
    let opened = atlas.ask(&[
        "issue",
        "open",
        "digits-cnn",
        "--title",
        title,
        "--slice",
        "blur",
        "--body",
        body,
    ])?;
    let id = opened
        .get("issue")
        .and_then(Value::as_str)
        .context("no issue")?
        .to_owned();
    page.wait_for_text("ul.issues", title)?;
    ensure!(page.eval("window.readersPlace")? == 1, "the page was loaded anew");
    page.resize(TELEPHONE, 844)?;
    ensure!(page.overflow()? <= 0, "the model's page is wider than the screen");
    page.resize(1280, 900)?;

    page.click("ul.issues a")?;
    page.wait_for_text("h1", title)?;
    ensure!(page.address()?.ends_with(&id), "{}", page.address()?);
    page.wait_for("div.card em")?;
    ensure!(
        page.eval("window.ran === undefined")? == true,
        "a stranger's words ran"
    );
    ensure!(
        page.text("div.card")?.contains("<script>"),
        "raw HTML is not shown as text"
    );
    ensure!(
        page.text("dl.facts")?.contains("libtorch"),
        "the environment is not shown"
    );
    page.wait_for("main[data-connected]")?;
    ada.ask_until_found(&["issue", "show", &id], LIMIT, || Ok(()))?;
    ada.ask(&["issue", "close", "digits-cnn", &id, "--body", "Fixed in 1.0.1."])?;
    page.wait_for_text("ol.comments", "Fixed in 1.0.1.")?;
    page.wait_for_text("p.eyebrow", "closed")?;
    page.click("p.eyebrow a")?;
    page.wait_for_text("h1", "digits-cnn")
}

/// The feed that the model's page links to is Atom, and holds what happened.
fn subscribe_to_it(page: &mut Page<'_>) -> Result<()> {
    let address = page.attribute("a.feed", "href")?.context("no feed")?;
    page.eval(&format!(
        "fetch({address:?}).then(r => r.text()).then(text => {{ \
         window.feed = new DOMParser().parseFromString(text, 'application/xml'); }})"
    ))?;
    ensure!(
        page.eval("window.feed.querySelector('parsererror') === null")? == true,
        "it is no XML"
    );
    let root = page
        .eval("[window.feed.documentElement.localName, window.feed.documentElement.namespaceURI].join()")?;
    ensure!(root == "feed,http://www.w3.org/2005/Atom", "{root}");
    // RFC 4287 §4.1.1 and §4.1.2: what every feed and entry has exactly once.
    let whole = page.eval(
        "[window.feed.documentElement, ...window.feed.querySelectorAll('entry')].every(e => \
         ['id', 'title', 'updated'].every(n => [...e.children].filter(c => c.localName === n).length === 1) && \
         !Number.isNaN(Date.parse([...e.children].find(c => c.localName === 'updated').textContent)))",
    )?;
    ensure!(whole == true, "an element is missing");
    let ids = page.eval("[...window.feed.querySelectorAll('entry > id')].map(e => e.textContent)")?;
    let ids: Vec<String> = serde_json::from_value(ids)?;
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    ensure!(
        distinct.len() == ids.len() && ids.iter().all(|id| id.starts_with("urn:uuid:")),
        "{ids:?}"
    );
    let kinds =
        page.eval("[...window.feed.querySelectorAll('entry > category')].map(e => e.getAttribute('term'))")?;
    let mut kinds: Vec<String> = serde_json::from_value(kinds)?;
    kinds.sort_unstable();
    ensure!(
        kinds == ["aggregate", "issue", "issue-closed", "release"],
        "{kinds:?}"
    );
    Ok(())
}

/// Where nobody timed a model there are dashes, and afterwards times; the bytes of the board stay the same.
fn time_the_models(page: &mut Page<'_>, people: &People, site: &str) -> Result<()> {
    let leader = people.named(LEADER)?;
    page.goto(&format!("{site}/challenges/{CHALLENGE}"))?;
    page.wait_for_text("p.eyebrow", "closed: released")?;
    ensure!(
        page.texts("table.speed td")?.iter().all(|cell| cell == "–"),
        "times that nobody took"
    );
    let before = leader.ask(&["leaderboard", CHALLENGE])?;
    leader.ask(&["pull", "digits-cnn@1.0.0"])?;
    leader.ask(&["leaderboard", CHALLENGE, "--speed"])?;
    ensure!(
        before == leader.ask(&["leaderboard", CHALLENGE])?,
        "timing changed the board"
    );
    page.reload()?;
    let cells = page.texts("table.speed td")?;
    ensure!(cells.iter().any(|cell| cell.ends_with(" ms")), "{cells:?}");
    Ok(())
}

/// The next window takes the late model in; the one that left keeps its row where it was entered, and the
/// page of the new window draws both.
fn go_to_the_next_window(page: &mut Page<'_>, people: &People, site: &str) -> Result<()> {
    let next = format!("{CHALLENGE}-w1");
    let leader = people.named(LEADER)?;
    let stranger = people
        .named(COMPANIES[0])?
        .run(&["challenge", "next", CHALLENGE])?;
    ensure!(stranger.code != Some(0), "a stranger opened the next window");
    leader.ask(&[
        "challenge",
        "next",
        CHALLENGE,
        "--add",
        "digits-mlp@1.0.0",
        "--withdraw",
        "digits-logistic@1.0.0",
    ])?;
    let shown = leader.ask(&["challenge", "show", &next])?;
    ensure!(shown.get("stage") == Some(&"open".into()), "{shown}");
    page.goto(&format!("{site}/challenges/{next}"))?;
    page.wait_for_text("p.eyebrow", "open")?;
    page.wait_for("p.meta a[href^='/challenges/']")?;
    together(&COMPANIES, |name| {
        let one = people.named(name)?;
        one.ask_until_found(&["challenge", "show", &next], LIMIT, || Ok(()))?;
        one.ask(&["challenge", "join", &next, "--dataset", "digits"])
    })?;
    people.board(&next, LIMIT, || Ok(()))?;
    page.wait_for("table.field tbody tr")?;
    page.wait_for("svg.trend-plot circle.dot")?;
    ensure!(page.count("div.trend-row")? == 3, "{}", page.text("div.trend")?);
    let rows = page.texts("table.field tbody th.name")?.join(" ");
    ensure!(rows.contains("mlp") && !rows.contains("logistic"), "{rows}");
    let trend = leader.ask(&["leaderboard", CHALLENGE, "--trend"])?;
    let windows = trend.get("windows").and_then(Value::as_array).map(Vec::len);
    ensure!(windows == Some(2), "{trend}");
    for scheme in ["light", "dark"] {
        page.scheme(scheme)?;
        page.resize(TELEPHONE, 844)?;
        ensure!(
            page.overflow()? <= 0,
            "in {scheme} the trend is wider than the screen"
        );
    }
    page.resize(1280, 900)?;
    page.goto(&format!("{site}/challenges/{CHALLENGE}"))?;
    let rows = page.texts("table.field tbody th.name")?.join(" ");
    ensure!(rows.contains("logistic") && !rows.contains("mlp"), "{rows}");
    Ok(())
}
