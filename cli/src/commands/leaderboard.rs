//! `leaderboard`: the board as text, as the node's own bytes, or as one HTML file.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use fieldmark_node::home;
use fieldmark_protocol::trust::TrustPolicy;
use serde_json::Value;

use crate::args::Global;
use crate::args::challenges::{BoardFormat, Leaderboard};
use crate::client::{Client, encoded};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

mod speed;
mod trend;

/// How often a board that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Phases after which nothing changes any more.
const FINAL: [&str; 4] = ["released", "aborted", "void", "disagreement"];

/// `leaderboard`
pub(crate) fn leaderboard(global: &Global, args: &Leaderboard, out: &Output) -> anyhow::Result<()> {
    let client = Client::connect(global)?;
    let challenge = format!("challenges/{}", encoded(&args.challenge.reference));
    if args.speed {
        let found = client.get(&format!("{challenge}/speed"))?;
        if args.format.is_none() && args.html.is_none() {
            return out.result(&found, || speed::speed_text(&found));
        }
    }
    let policy = args.trust_policy.as_deref().map(home::read_trust).transpose()?;
    if args.trend {
        let found = fetch(&client, &format!("{challenge}/trend"), policy.as_ref())?;
        if out.is_json() {
            return out.raw(&found);
        }
        let value: Value = serde_json::from_str(&found).context("the node's trend is not JSON")?;
        return out.result(&value, || trend::trend_text(&value));
    }
    let query = query_of(args.weights.as_deref(), args.speed);
    let path = format!("{challenge}/board{query}");
    let board = wait(&client, &path, policy.as_ref(), args.wait, out)?;
    if let Some(file) = &args.html {
        let page = fetch(
            &client,
            &format!("{challenge}/board.html{query}"),
            policy.as_ref(),
        )?;
        std::fs::write(file, page).with_context(|| format!("{}: cannot write it", file.display()))?;
        out.note(&format!("wrote {}", file.display()));
    }
    if let Some(format) = args.format {
        let path = match format {
            BoardFormat::Csv => "board.csv",
            BoardFormat::Json => "board",
            BoardFormat::Parquet => "board.parquet",
            BoardFormat::Provenance => "provenance.json",
        };
        return export(
            &client,
            &format!("{challenge}/{path}{query}"),
            policy.as_ref(),
            args,
            out,
        );
    }
    if out.is_json() {
        // The node's own bytes, which are the same on every node with the same records.
        return out.raw(&board);
    }
    // For people with what this node timed, which the bytes above do not have.
    let query = query_of(args.weights.as_deref(), true);
    let board = fetch(&client, &format!("{challenge}/board{query}"), policy.as_ref())?;
    let value: Value = serde_json::from_str(&board).context("the node's board is not JSON")?;
    out.result(&value, || board_text(&value))
}

/// The reader's wishes as a query.
fn query_of(weights: Option<&str>, speed: bool) -> String {
    let weights = weights.map(|weights| format!("w={}", encoded(weights)));
    let parts: Vec<String> = weights
        .into_iter()
        .chain(speed.then(|| "speed=true".to_owned()))
        .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!("?{}", parts.join("&"))
    }
}

/// Writes the bytes to the file that was named, or prints them if they are text.
fn export(
    client: &Client,
    path: &str,
    policy: Option<&TrustPolicy>,
    args: &Leaderboard,
    out: &Output,
) -> anyhow::Result<()> {
    if args.out.is_none() && args.format == Some(BoardFormat::Parquet) {
        return Err(Failure::usage("a Parquet file is no text; name a file with --out").into());
    }
    let bytes = match policy {
        Some(policy) => client.post_bytes(path, policy)?,
        None => client.get_bytes(path)?,
    };
    let Some(file) = &args.out else {
        return out.raw(&String::from_utf8_lossy(&bytes));
    };
    std::fs::write(file, &bytes).with_context(|| format!("{}: cannot write it", file.display()))?;
    out.note(&format!("wrote {}", file.display()));
    Ok(())
}

fn fetch(client: &Client, path: &str, policy: Option<&TrustPolicy>) -> anyhow::Result<String> {
    match policy {
        Some(policy) => client.post_text(path, policy),
        None => client.get_text(path),
    }
}

/// The board, once it is final or the time is up. A challenge that is not here yet may still come.
fn wait(
    client: &Client,
    path: &str,
    policy: Option<&TrustPolicy>,
    seconds: Option<u64>,
    out: &Output,
) -> anyhow::Result<String> {
    let Some(seconds) = seconds else {
        return fetch(client, path, policy);
    };
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let spinner = out.spinner("waiting for the result");
    loop {
        let phase = match fetch(client, path, policy) {
            Ok(board) => {
                let value: Value = serde_json::from_str(&board).context("the node's board is not JSON")?;
                let phase = text::string(&value, "phase");
                if FINAL.contains(&phase.as_str()) {
                    spinner.finish_and_clear();
                    return Ok(board);
                }
                phase
            }
            Err(error) => match error.downcast_ref::<Failure>() {
                Some(failure) if failure.exit == Exit::NotFound => "not known here".to_owned(),
                _ => return Err(error),
            },
        };
        spinner.set_message(format!("waiting for the result: {phase}"));
        if Instant::now() >= deadline {
            let message = format!(
                "no result after {seconds} s, the challenge is {phase}; wait longer, or see `fieldmark challenge show`"
            );
            return Err(Failure::new(Exit::TimedOut, "timed-out", message).into());
        }
        std::thread::sleep(LOOK);
    }
}

/// Metrics of all slices and classes together, by model, and drift of inputs also where nothing was done to them;
/// nothing where there are scores alone.
fn metrics_text(board: &Value) -> Option<String> {
    let models = text::list(board, "models");
    let overall = |model: &Value| -> Vec<Value> {
        let cells = text::list(model, "metrics").iter();
        let undisturbed =
            |c: &Value| text::string(c, "metric").starts_with("input-") && c["slice"] == board["clean_slice"];
        let all = cells.filter(|c| (c["slice"].is_null() || undisturbed(c)) && c["class"].is_null());
        all.cloned().collect()
    };
    let named = |cell: &Value| {
        let (label, slice) = (text::string(cell, "label"), text::string(cell, "slice"));
        format!("{label} {slice}").trim_end().to_owned()
    };
    let mut names: Vec<String> = Vec::new();
    for cell in models.iter().flat_map(overall) {
        let name = named(&cell);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return None;
    }
    let value = |cells: &[Value], name: &String| {
        let cell = cells.iter().find(|cell| named(cell) == *name);
        let number = |key: &str| cell.and_then(|cell| cell.get(key)?.as_f64());
        match (number("value"), number("lo"), number("hi")) {
            (Some(value), Some(lo), Some(hi)) => format!("{value:.3} [{lo:.3}, {hi:.3}]"),
            _ => match cell.map(|cell| text::string(cell, "reason")).unwrap_or_default() {
                reason if reason.is_empty() => "not estimable".to_owned(),
                reason => format!("not estimable: {reason}"),
            },
        }
    };
    let row = |model: &Value| {
        let cells = overall(model);
        let values = names.iter().map(|name| value(&cells, name));
        std::iter::once(text::string(model, "name"))
            .chain(values)
            .collect()
    };
    let rows: Vec<Vec<String>> = models.iter().map(row).collect();
    let header: Vec<&str> = std::iter::once("model")
        .chain(names.iter().map(String::as_str))
        .collect();
    let parts = models
        .iter()
        .flat_map(|model| text::list(model, "metrics"))
        .any(|c| !c["slice"].is_null());
    let more = if parts {
        "\n(by slice and class: --format csv or --json)"
    } else {
        ""
    };
    Some(text::table(&header, &rows) + more)
}

/// Field scores and ranks without each of the replicate groups; nothing where there are none.
fn groups_text(board: &Value) -> Option<String> {
    let groups = board.get("replicate_groups")?.get("groups")?.as_u64()?;
    let number = |value: Option<&Value>| value.and_then(Value::as_f64);
    let row = |model: &Value| {
        let without = model.get("without_groups")?;
        let left = |left: &Value| {
            let score = number(left.get("score")).map_or("–".to_owned(), |score| format!("{score:.4}"));
            format!("{score} (rank {})", ranks(left))
        };
        let range = match (number(without.get("lowest")), number(without.get("highest"))) {
            (Some(lowest), Some(highest)) => format!("{lowest:.4}–{highest:.4}"),
            _ => "–".to_owned(),
        };
        let changes = without.get("rank_changes") == Some(&Value::Bool(true));
        let mut cells = vec![text::string(model, "name")];
        cells.extend(text::list(without, "without").iter().map(left));
        cells.extend([range, if changes { "yes" } else { "no" }.to_owned()]);
        Some(cells)
    };
    let rows: Vec<Vec<String>> = text::list(board, "models").iter().filter_map(row).collect();
    if rows.is_empty() {
        return Some(format!("{groups} replicate groups"));
    }
    let without: Vec<String> = (1..=groups)
        .map(|group| format!("without group {group}"))
        .collect();
    let header: Vec<&str> = std::iter::once("model")
        .chain(without.iter().map(String::as_str))
        .chain(["range", "ranks change"])
        .collect();
    Some(text::table(&header, &rows))
}

/// A row for each model: ranks, scores, and how fast it is here.
fn models_text(board: &Value) -> String {
    let released = text::string(board, "phase") == "released";
    let slices: Vec<&str> = text::list(board, "slices")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let strengths = board.get("strengths").is_some_and(Value::is_object);
    let header: Vec<&str> = ["rank", "model", "field score", "95% interval", "worst slice"]
        .into_iter()
        .chain(slices.iter().copied())
        .chain(strengths.then_some("strength"))
        .chain(["p50 here", "energy here"])
        .collect();
    let full = |model: &Value| {
        let mut cells = row(model, &slices);
        // Before a release, and without one, every rank is possible, which reads like a result.
        if let Some(rank) = cells.first_mut().filter(|_| !released) {
            "–".clone_into(rank);
        }
        cells.extend(strengths.then(|| strength(model)));
        cells.extend(speed::cells(board, &text::string(model, "release")));
        cells
    };
    let rows: Vec<Vec<String>> = text::list(board, "models").iter().map(full).collect();
    text::table(&header, &rows)
}

fn board_text(board: &Value) -> String {
    let field = |name: &str| text::string(board, name);
    let mut lines = vec![format!("{}: {}", field("name"), field("scenario")), String::new()];
    lines.push(models_text(board));
    lines.push(String::new());
    if let Some(metrics) = metrics_text(board) {
        lines.push(metrics);
        lines.push(String::new());
    }
    lines.extend(groups_text(board).map(|groups| format!("{groups}\n")));
    let trusted = if board.get("trusted") == Some(&Value::Bool(true)) {
        "trusted"
    } else {
        "not trusted in full"
    };
    lines.push(text::fields(&[
        ("phase", field("phase")),
        ("abort", field("abort")),
        (
            "contributors",
            format!(
                "{} (at least {} are needed)",
                field("contributors"),
                field("min_batch")
            ),
        ),
        ("records", estimate(board.get("records"))),
        ("never labelled", unlabelled(board)),
        ("next window of", field("previous")),
        (
            "privacy",
            format!(
                "ε = {} at δ = {} per {}",
                field("epsilon"),
                field("delta"),
                field("unit")
            ),
        ),
        (
            "committee",
            format!("{} aggregators, {trusted}", text::list(board, "committee").len()),
        ),
        ("separable", field("separable")),
        ("influence", text::fraction(board.get("influence"))),
        ("checkpoint", field("checkpoint")),
    ]));
    let of = |name| text::list(board, name).iter().filter_map(Value::as_str);
    let notices = of("caveats").chain(of("notices"));
    lines.push(String::new());
    lines.extend(notices.map(|notice| format!("* {}", text::plain(notice))));
    lines.join("\n")
}

/// A rank set: `2`, or `2–4`.
fn ranks(of: &Value) -> String {
    let rank = |at: usize| {
        text::list(of, "rank")
            .get(at)
            .and_then(Value::as_u64)
            .unwrap_or(0)
    };
    if rank(0) == rank(1) {
        rank(0).to_string()
    } else {
        format!("{}–{}", rank(0), rank(1))
    }
}

fn row(model: &Value, slices: &[&str]) -> Vec<String> {
    let interval = match (
        model.get("lo").and_then(Value::as_f64),
        model.get("hi").and_then(Value::as_f64),
    ) {
        (Some(lo), Some(hi)) => format!("{lo:.4}–{hi:.4}"),
        _ => "–".to_owned(),
    };
    let withdrawn = if model.get("withdrawn") == Some(&Value::Bool(true)) {
        " (withdrawn)"
    } else {
        ""
    };
    let by_slice = |slice: &&str| {
        let cell = model.get("slices").and_then(|slices| slices.get(*slice));
        match cell.and_then(|cell| cell.get("hidden")?.as_str()) {
            Some(reason) => format!("hidden: {reason}"),
            None => text::fraction(cell.and_then(|cell| cell.get("score"))),
        }
    };
    let mut cells = vec![
        ranks(model),
        format!("{}{withdrawn}", text::string(model, "name")),
        text::fraction(model.get("score")),
        interval,
        text::string(model, "worst_slice"),
    ];
    cells.extend(slices.iter().map(by_slice));
    cells
}

/// A model's Bradley–Terry strength with its interval.
fn strength(model: &Value) -> String {
    let number = |key: &str| {
        model
            .get("strength")
            .and_then(|strength| strength.get(key)?.as_f64())
    };
    match (number("value"), number("lo"), number("hi")) {
        (Some(value), Some(lo), Some(hi)) => format!("{value:+.2} [{lo:+.2}, {hi:+.2}]"),
        _ => "hidden".to_owned(),
    }
}

/// Of a window of real use: what was drawn and has no truth.
fn unlabelled(board: &Value) -> String {
    match board.get("in_use").filter(|in_use| in_use.is_object()) {
        Some(in_use) => estimate(in_use.get("unlabelled")),
        None => String::new(),
    }
}

fn estimate(value: Option<&Value>) -> String {
    let part = |name: &str| value.and_then(|v| v.get(name)).and_then(Value::as_f64);
    match (part("value"), part("lo"), part("hi")) {
        (Some(value), Some(lo), Some(hi)) => format!("about {value:.0} ({lo:.0} to {hi:.0})"),
        _ => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_without_each_group_stand_in_a_table_of_their_own() {
        let board = serde_json::json!({
            "name": "c", "phase": "released", "slices": ["clean"], "replicate_groups": {"groups": 2},
            "models": [{"name": "m@1", "rank": [1, 1], "score": 0.5, "slices": {}, "without_groups": {
                "lowest": 0.25, "highest": 0.75, "rank_changes": true,
                "without": [
                    {"group": 1, "score": 0.25, "rank": [1, 2]},
                    {"group": 2, "score": 0.75, "rank": [1, 1]},
                ],
            }}],
        });
        let text = board_text(&board);
        for words in [
            "without group 2",
            "0.2500 (rank 1–2)",
            "0.7500 (rank 1)",
            "0.2500–0.7500",
            "yes",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        let plain = serde_json::json!({"name": "c", "models": [{"name": "m@1", "rank": [1, 1]}]});
        assert!(!board_text(&plain).contains("without group"));
    }

    #[test]
    fn a_board_without_scores_shows_dashes_and_its_phase() {
        let board = serde_json::json!({
            "name": "c", "scenario": "s", "phase": "open", "slices": ["clean"],
            "models": [{"name": "m@1", "rank": [1, 2], "score": null, "slices": {}}], "notices": ["n"],
        });
        let text = board_text(&board);
        assert!(
            !text.contains("1–2") && text.contains("phase") && text.contains("* n"),
            "{text}"
        );
        let rows: Vec<&str> = text.lines().collect();
        assert!(rows[3].starts_with("–") && rows[3].contains("m@1"), "{text}");
    }
}
