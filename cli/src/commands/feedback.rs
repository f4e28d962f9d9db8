//! `label` and `feedback`: the truth about predictions this node served. Nothing of it leaves the machine
//! but what a feedback window reports privately.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fieldmark_node::home::Endpoint;
use serde_json::{Value, json};

use crate::args::{Feedback, FeedbackAction, Global, Label};
use crate::client::{Client, data_dir, encoded};
use crate::output::Output;
use crate::text;

/// `label`
pub(crate) fn label(global: &Global, args: &Label, out: &Output) -> anyhow::Result<()> {
    if !args.list {
        let endpoint = Endpoint::find(&data_dir(global)?)?;
        // The token stands behind the '#', which no browser sends to a server.
        let url = format!("http://{}/label#token={}", endpoint.address, endpoint.token);
        let answer = json!({ "url": url });
        return out.result(&answer, || {
            format!(
                "Open this address in a browser on this machine; whoever has it can use your node:\n  {url}\n"
            )
        });
    }
    let order = if args.uncertain { "uncertain" } else { "field" };
    let mut path = format!("served?order={order}&limit={}", args.limit);
    if let Some(reference) = &args.reference {
        let _ = write!(path, "&release={}", encoded(reference));
    }
    let answer = Client::connect(global)?.get(&path)?;
    out.result(&answer, || waiting_text(&answer))
}

/// `feedback`
pub(crate) fn feedback(global: &Global, args: &Feedback, out: &Output) -> anyhow::Result<()> {
    let client = Client::connect(global)?;
    match &args.action {
        FeedbackAction::Give(give) => {
            let body = json!({ "request_id": give.request_id, "truth": give.truth });
            let kept = client.post("feedback", &body)?;
            out.result(&kept, || given_text(&kept))
        }
        FeedbackAction::Show => {
            let answer = client.get("served?limit=0")?;
            out.result(&answer, || tallies_text(&answer))
        }
        FeedbackAction::Join(join) => {
            let path = format!("challenges/{}/enrol", encoded(&join.reference));
            let body = json!({ "epsilon": join.epsilon, "delta": join.delta });
            let answer = client.post(&path, &body)?;
            out.result(&answer, || {
                "enrolled; what is served from now on is drawn, and reported from the next window on\n"
                    .to_owned()
            })
        }
        FeedbackAction::Windows => {
            let answer = client.get("windows")?;
            out.result(&answer, || windows_text(&answer))
        }
        FeedbackAction::Forget(forget) => {
            let age = Duration::from_secs(u64::from(forget.days) * 24 * 3_600);
            let before = SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH);
            let before = before.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            let before_ms = u64::try_from(before).unwrap_or(u64::MAX);
            let answer = client.post("served/forget", &json!({ "before_ms": before_ms }))?;
            out.result(&answer, || {
                format!("forgot {} predictions\n", text::number(&answer, "forgotten"))
            })
        }
    }
}

fn given_text(kept: &Value) -> String {
    let right = kept.pointer("/truth/label") == kept.get("answer");
    let verdict = if right { "right" } else { "wrong" };
    let counted = if kept.get("counted") == Some(&Value::Bool(true)) {
        "it counts for the field score"
    } else {
        "it was not drawn for the field score"
    };
    format!(
        "the model said {}, which was {verdict}; {counted}\n",
        text::string(kept, "answer")
    )
}

fn waiting_text(answer: &Value) -> String {
    let row = |kept: &Value| {
        let counted = if kept.get("counted") == Some(&Value::Bool(true)) {
            "yes"
        } else {
            "no"
        };
        vec![
            text::string(kept, "request_id"),
            text::string(kept, "name"),
            text::string(kept, "answer"),
            counted.to_owned(),
        ]
    };
    let rows: Vec<_> = text::list(answer, "waiting").iter().map(row).collect();
    if rows.is_empty() {
        return "nothing waits for a truth\n".to_owned();
    }
    text::table(&["REQUEST", "MODEL", "SAID", "COUNTS"], &rows)
}

fn tallies_text(answer: &Value) -> String {
    let row = |tally: &Value| {
        let counts = ["served", "counted", "labelled", "unlabelled", "correct"];
        let counts = counts.iter().map(|name| text::number(tally, name).to_string());
        std::iter::once(text::string(tally, "name"))
            .chain(counts)
            .chain([calibration(tally)])
            .collect::<Vec<_>>()
    };
    let rows: Vec<_> = text::list(answer, "tallies").iter().map(row).collect();
    if rows.is_empty() {
        return "no prediction was served\n".to_owned();
    }
    text::table(
        &[
            "MODEL",
            "SERVED",
            "COUNTED",
            "LABELLED",
            "UNLABELLED",
            "CORRECT",
            "CALIBRATION",
        ],
        &rows,
    )
}

/// Whether confidence still says how often it is right.
pub(super) fn calibration(tally: &Value) -> String {
    let error = tally.pointer("/calibration/error").and_then(Value::as_f64);
    let judged = tally
        .pointer("/calibration/statistic")
        .is_some_and(|found| !found.is_null());
    let drifted = tally.pointer("/calibration/drifted") == Some(&Value::Bool(true));
    match (error, judged, drifted) {
        (Some(error), true, true) => format!("drifted, error {error:.3}"),
        (Some(error), true, false) => format!("holds, error {error:.3}"),
        _ => "too few truths".to_owned(),
    }
}

fn windows_text(answer: &Value) -> String {
    let row = |window: &Value| {
        vec![
            text::string(window, "series"),
            text::number(window, "window").to_string(),
            text::number(window, "records").to_string(),
            text::number(window, "labelled").to_string(),
            text::string(window, "state"),
        ]
    };
    let rows: Vec<_> = text::list(answer, "windows").iter().map(row).collect();
    if rows.is_empty() {
        let series = text::list(answer, "series")
            .iter()
            .map(|s| text::string(s, "name"));
        let series = series.collect::<Vec<_>>().join(", ");
        return format!("no window was filled yet; enrolled in: {series}\n");
    }
    text::table(&["SERIES", "WINDOW", "RECORDS", "LABELLED", "REPORT"], &rows)
}
