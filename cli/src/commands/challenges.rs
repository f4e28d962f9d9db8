//! `challenge`: pose, plan, list, show, join, next, abort.

use std::path::Path;

use anyhow::Context as _;
use fieldmark_node::http::spec::{ChallengeSpec, GroupsCost, Plan, PlanOptions, PlanRow, StatisticRow};
use fieldmark_node_core::lifecycle::Stage;
use serde_json::{Value, json};

use crate::args::Global;
use crate::args::challenges::{Challenge, ChallengeAction, ChallengePlan, Next};
use crate::client::{Client, encoded};
use crate::output::Output;
use crate::text;

/// `challenge`
pub(crate) fn challenge(global: &Global, args: &Challenge, out: &Output) -> anyhow::Result<()> {
    match &args.action {
        ChallengeAction::Create(args) => create(global, &args.spec, out),
        ChallengeAction::Plan(args) => plan(args, out),
        ChallengeAction::List => list(global, out),
        ChallengeAction::Show(args) => show(global, &args.reference, out),
        ChallengeAction::Join(args) => join(global, &args.challenge.reference, &args.dataset, out),
        ChallengeAction::Receipt(args) => receipt(global, &args.reference, out),
        ChallengeAction::Next(args) => next(global, args, out),
        ChallengeAction::Abort(args) => abort(global, &args.challenge.reference, &args.reason, out),
    }
}

fn read(path: &Path) -> anyhow::Result<ChallengeSpec> {
    let content =
        std::fs::read_to_string(path).with_context(|| format!("{}: cannot read it", path.display()))?;
    toml::from_str(&content).with_context(|| format!("{}: this is no challenge", path.display()))
}

fn create(global: &Global, path: &Path, out: &Output) -> anyhow::Result<()> {
    let spec = read(path)?;
    let created = Client::connect(global)?.post("challenges", &spec)?;
    out.result(&created, || {
        let field = |name: &str| text::string(&created, name);
        format!(
            "challenge '{}' is {} for {} s\nchallenge  {}\ntask       {}",
            spec.name,
            match spec.opens_in_seconds {
                0 => "open".to_owned(),
                wait => format!("registered, opens in {wait} s and is open"),
            },
            spec.window_seconds,
            field("challenge"),
            field("task")
        )
    })
}

fn plan(args: &ChallengePlan, out: &Output) -> anyhow::Result<()> {
    let path = &args.spec.spec;
    let spec = read(path)?;
    for (name, value) in [
        ("--gap", args.gap),
        ("--score", args.score),
        ("--view-correlation", args.view_correlation),
    ] {
        anyhow::ensure!(
            (0.0..=1.0).contains(&value),
            "{name} is {value}, it must be 0 to 1"
        );
    }
    let options = PlanOptions {
        score: args.score,
        gap: args.gap,
        view_correlation: args.view_correlation,
    };
    let plan = spec
        .plan(&options)
        .with_context(|| format!("{}: no plan can be made", path.display()))?;
    let mut value = serde_json::to_value(&plan).context("the plan cannot be written")?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("stage".to_owned(), json!(Stage::Draft));
    }
    out.result(&value, || plan_text(&spec, &plan))
}

fn plan_text(spec: &ChallengeSpec, plan: &Plan) -> String {
    let groups = plan
        .replicate_groups
        .as_ref()
        .map_or_else(String::new, groups_text);
    format!(
        "{}: {}, nothing of it is signed; {} models, {} slices, ε = {} at δ = {:e}, {} aggregators, {} numbers\n\n{}\n\n{}\n\n{groups}{}\n\n\
         Half-widths of 95% intervals at a score of {:.0} % and a correlation of {} between views, each report with \
         {} records. Rank sets and what is told \
         apart assume that models next in rank lie {:.1} points apart.",
        spec.name,
        Stage::Draft.name(),
        spec.models.len(),
        spec.slices.len(),
        spec.epsilon,
        spec.delta,
        spec.committee.len(),
        plan.entries,
        plan.verdict.words,
        expected_table(&plan.expected),
        cost_table(&plan.statistics),
        plan.score * 100.0,
        plan.view_correlation,
        spec.records_max,
        plan.gap * 100.0,
    )
}

/// What replicate groups cost, beside what would be without them.
fn groups_text(cost: &GroupsCost) -> String {
    let percent = |value: f64| format!("± {:.2} %", value * 100.0);
    let row = |name: String, row: &PlanRow| {
        vec![
            name,
            percent(row.field),
            percent(row.difference),
            percent(row.field_noise),
            format!("{:.1} ranks", row.rank_set),
            format!("{:.1} points", row.told_apart * 100.0),
        ]
    };
    let table = text::table(
        &[
            "replicate groups",
            "field score",
            "difference",
            "noise alone",
            "rank set",
            "told apart",
        ],
        &[
            row("1 (none)".to_owned(), &cost.without),
            row(cost.groups.to_string(), &cost.with),
        ],
    );
    let problem = cost
        .problem
        .as_ref()
        .map_or_else(String::new, |problem| format!("\nwarning: {problem}"));
    format!(
        "noise variance × {}: every replicate group carries the whole noise, and needs the minimum batch ({} reports \
         in all)\n{table}{problem}\n\n",
        cost.noise_variance_factor, cost.reports_needed
    )
}

fn expected_table(rows: &[PlanRow]) -> String {
    let percent = |value: f64| format!("± {:.2} %", value * 100.0);
    let row = |row: &PlanRow| {
        vec![
            row.reports.to_string(),
            row.records.to_string(),
            percent(row.field),
            percent(row.slice),
            percent(row.difference),
            percent(row.field_noise),
            format!("{:.1} ranks", row.rank_set),
            format!("{:.1} points", row.told_apart * 100.0),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    text::table(
        &[
            "reports",
            "records",
            "field score",
            "one slice",
            "difference",
            "noise alone",
            "rank set",
            "told apart",
        ],
        &rows,
    )
}

fn cost_table(rows: &[StatisticRow]) -> String {
    let row = |row: &StatisticRow| {
        vec![
            row.name.to_owned(),
            row.entries.to_string(),
            format!("{:.1} %", row.share * 100.0),
            format!("× {:.3}", row.noise_factor),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    text::table(&["collected", "numbers", "of Δ²", "everyone's noise"], &rows)
}

fn list(global: &Global, out: &Output) -> anyhow::Result<()> {
    let found = Client::connect(global)?.get("challenges")?;
    out.result(&found, || {
        let challenges = text::list(&found, "challenges");
        if challenges.is_empty() {
            return "no challenges are known here".to_owned();
        }
        let row = |c: &Value| {
            let field = |name: &str| text::string(c, name);
            let operator = Some(field("operator_name")).filter(|name| !name.is_empty());
            vec![
                field("name"),
                field("stage"),
                field("phase"),
                operator.unwrap_or_else(|| text::short(&field("operator"))),
                field("models"),
                field("slices"),
                field("epsilon"),
                text::when(text::number(c, "closes_at_ms")),
                text::short(&field("id")),
            ]
        };
        let rows: Vec<Vec<String>> = challenges.iter().map(row).collect();
        text::table(
            &[
                "challenge",
                "stage",
                "phase",
                "by",
                "models",
                "slices",
                "ε",
                "closes",
                "id",
            ],
            &rows,
        )
    })
}

fn show(global: &Global, reference: &str, out: &Output) -> anyhow::Result<()> {
    let found = Client::connect(global)?.get(&format!("challenges/{}", encoded(reference)))?;
    out.result(&found, || show_text(&found))
}

fn show_text(challenge: &Value) -> String {
    let slice = |s: &Value| vec![text::string(s, "name"), text::string(s, "description")];
    let slices: Vec<Vec<String>> = text::list(challenge, "slice_texts").iter().map(slice).collect();
    let seats: Vec<Vec<String>> = text::list(challenge, "committee").iter().map(seat).collect();
    let header = [
        "aggregator",
        "identity",
        "trusted",
        "transcript",
        "committed",
        "share",
        "named for",
    ];
    let warning = match yes(challenge, "protected") {
        "no" => {
            "\n\nYour trust policy names none of these aggregators, so this node will not contribute; \
             see `fieldmark trust add`."
        }
        _ => "",
    };
    format!(
        "{}\n\n{}\n\n{}{warning}",
        summary(challenge),
        text::table(&["slice", "description"], &slices),
        text::table(&header, &seats)
    )
}

fn summary(challenge: &Value) -> String {
    let field = |name: &str| text::string(challenge, name);
    let (epsilon, delta) = (field("epsilon"), field("delta"));
    let entry = |e: &Value| text::string(e, "name");
    let entries: Vec<String> = text::list(challenge, "entries").iter().map(entry).collect();
    let eligible = match challenge.get("eligible").and_then(Value::as_array) {
        Some(list) => format!("{} identities", list.len()),
        None if field("eligibility") == "endorsed-by" => {
            let endorsers = text::list(challenge, "endorsers");
            let named: Vec<String> = endorsers
                .iter()
                .filter_map(Value::as_str)
                .map(text::short)
                .collect();
            format!("whom {} endorsed as contributor", named.join(" or "))
        }
        None => "anyone".to_owned(),
    };
    let operator = format!("{} {}", field("operator"), field("operator_name"));
    let needed = match text::number(challenge, "replicate_groups") {
        0 | 1 => field("min_batch"),
        groups => format!("{} in each of {groups} replicate groups", field("min_batch")),
    };
    let reports = format!("{} counted, {needed} needed", field("reports"));
    let recurrence = &challenge["recurrence"];
    let windows = match recurrence["period_seconds"].as_f64() {
        Some(period) => format!(
            "{} of 0 to {}, one every {period} s",
            field("window"),
            text::number(recurrence, "windows").saturating_sub(1)
        ),
        None => field("window"),
    };
    text::fields(&[
        ("challenge", field("name")),
        ("id", field("id")),
        ("task", field("task")),
        ("operator", operator),
        ("scenario", field("scenario")),
        ("stage", field("stage")),
        ("phase", field("phase")),
        ("window", windows),
        ("next window of", field("previous")),
        ("opens", text::when(text::number(challenge, "opens_at_ms"))),
        ("closes", text::when(text::number(challenge, "closes_at_ms"))),
        ("committee due", text::when(text::number(challenge, "due_at_ms"))),
        ("models", entries.join(", ")),
        ("clean slice", field("clean_slice")),
        (
            "privacy",
            format!("ε = {epsilon} at δ = {delta} per source record"),
        ),
        ("records", format!("at most {} per report", field("records_max"))),
        ("reports", reports),
        ("eligible", eligible),
    ])
}

fn seat(seat: &Value) -> Vec<String> {
    vec![
        text::string(seat, "name"),
        text::short(&text::string(seat, "identity")),
        yes(seat, "trusted").to_owned(),
        yes(seat, "transcript").to_owned(),
        yes(seat, "committed").to_owned(),
        yes(seat, "share").to_owned(),
        text::list(seat, "faults")
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join("; "),
    ]
}

fn yes(value: &Value, name: &str) -> &'static str {
    if value.get(name) == Some(&Value::Bool(true)) {
        "yes"
    } else {
        "no"
    }
}

fn join(global: &Global, reference: &str, dataset: &str, out: &Output) -> anyhow::Result<()> {
    let path = format!("challenges/{}/join", encoded(reference));
    let joined = Client::connect(global)?.post(&path, &json!({ "dataset": dataset }))?;
    out.result(&joined, || {
        format!("joined with '{dataset}'; the report is made and sent by the node, follow it with `fieldmark events`")
    })
}

fn receipt(global: &Global, reference: &str, out: &Output) -> anyhow::Result<()> {
    let path = format!("challenges/{}/receipt", encoded(reference));
    let found = Client::connect(global)?.get(&path)?;
    out.result(&found, || receipt_text(&found))
}

fn receipt_text(found: &Value) -> String {
    let received = found.get("received_at_ms").and_then(Value::as_u64);
    let mut fields = vec![
        ("report", text::string(found, "report")),
        ("state", text::string(found, "state")),
        (
            "receipt",
            received.map_or_else(
                || "none".to_owned(),
                |_| {
                    format!(
                        "signed by the leader for {}",
                        text::when(text::number(found, "received_at_ms"))
                    )
                },
            ),
        ),
    ];
    match found.get("inclusion").filter(|inclusion| !inclusion.is_null()) {
        Some(inclusion) => {
            let number = |name| text::number(inclusion, name);
            let path = text::list(inclusion, "path").len();
            fields.push((
                "counted",
                format!(
                    "yes, number {} of {} accepted reports",
                    number("index") + 1,
                    number("count")
                ),
            ));
            if inclusion.get("group").is_some() {
                fields.push(("replicate group", number("group").to_string()));
            }
            fields.push(("root", text::string(inclusion, "root")));
            fields.push((
                "proof",
                format!("{path} hashes lead to the root that all aggregators signed"),
            ));
        }
        None => fields.push(("counted", "not proven".to_owned())),
    }
    text::fields(&fields)
}

fn next(global: &Global, args: &Next, out: &Output) -> anyhow::Result<()> {
    let path = format!("challenges/{}/next", encoded(&args.challenge.reference));
    let ask = json!({ "add": args.add, "withdraw": args.withdraw, "window_seconds": args.window_seconds });
    let found = Client::connect(global)?.post(&path, &ask)?;
    out.result(&found, || {
        let field = |name: &str| text::string(&found, name);
        let ids = |name: &str| text::list(&found, name).len();
        text::fields(&[
            ("challenge", field("name")),
            ("id", field("challenge")),
            ("task", field("task")),
            ("next window of", field("previous")),
            ("window", field("window")),
            ("opens", text::when(text::number(&found, "opens_at_ms"))),
            ("closes", text::when(text::number(&found, "closes_at_ms"))),
            (
                "models",
                format!(
                    "{}, {} left out whose rows stay where they were",
                    ids("models"),
                    ids("left")
                ),
            ),
        ])
    })
}

fn abort(global: &Global, reference: &str, reason: &str, out: &Output) -> anyhow::Result<()> {
    let path = format!("challenges/{}/abort", encoded(reference));
    let aborted = Client::connect(global)?.post(&path, &json!({ "reason": reason }))?;
    out.result(&aborted, || {
        format!(
            "aborted; the signed reason is record {}",
            text::string(&aborted, "abort")
        )
    })
}
