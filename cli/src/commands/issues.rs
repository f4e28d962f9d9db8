//! `issue`: open, list, show, comment, close, reopen.

use anyhow::Context as _;
use fieldmark_protocol::issue::BODY_BYTES_MAX;
use serde_json::{Value, json};

use crate::args::Global;
use crate::args::issues::{Issue, IssueAction, List, Open, Text, Which, Words};
use crate::client::{Client, encoded};
use crate::failure::{Exit, Failure, classify};
use crate::output::Output;
use crate::text;

/// `issue`
pub(crate) fn issue(global: &Global, args: &Issue, out: &Output) -> anyhow::Result<()> {
    match &args.action {
        IssueAction::Open(args) => open(global, args, out),
        IssueAction::List(args) => list(global, args, out),
        IssueAction::Show(args) => show(global, args, out),
        IssueAction::Comment(args) => words(global, args, None, out),
        IssueAction::Close(args) => words(global, args, Some(false), out),
        IssueAction::Reopen(args) => words(global, args, Some(true), out),
    }
}

fn body(args: &Text) -> anyhow::Result<String> {
    let Some(path) = &args.body_file else {
        return Ok(args.body.clone().unwrap_or_default());
    };
    let failed = || format!("{}: cannot read it", path.display());
    let size = std::fs::metadata(path).with_context(failed)?.len();
    if size > u64::try_from(BODY_BYTES_MAX).unwrap_or(u64::MAX) {
        let message = format!(
            "{} has {size} bytes, at most {BODY_BYTES_MAX} are taken; shorten it",
            path.display()
        );
        return Err(Failure::usage(message).into());
    }
    std::fs::read_to_string(path).with_context(failed)
}

fn open(global: &Global, args: &Open, out: &Output) -> anyhow::Result<()> {
    let body = body(&args.text)?;
    let request = json!({
        "title": args.title,
        "body": body,
        "slice": args.slice,
        "without_environment": args.no_environment,
        "dry_run": args.dry_run,
    });
    let path = format!("models/{}/issues", encoded(&args.model));
    let answer = Client::connect(global)?.post(&path, &request)?;
    out.result(&answer, || {
        let head = if args.dry_run {
            "not sent (--dry-run); this would be signed and public for ever:".to_owned()
        } else {
            format!("opened issue {}", text::string(&answer, "issue"))
        };
        format!("{head}\n\n{}", draft_text(&answer))
    })
}

fn draft_text(answer: &Value) -> String {
    let field = |name: &str| text::string(answer, name);
    let mut rows = vec![
        ("title", field("title")),
        ("release", format!("{}@{}", field("model"), field("version"))),
        ("slice", field("slice")),
    ];
    rows.extend(environment_rows(answer));
    format!("{}\n\n{}", text::fields(&rows), text::lines(answer, "body"))
}

fn environment_rows(answer: &Value) -> Vec<(&'static str, String)> {
    let environment = answer.get("environment").cloned().unwrap_or_default();
    ["os", "arch", "runtime", "runtime_version", "device", "program"]
        .into_iter()
        .map(|name| (name, text::string(&environment, name)))
        .collect()
}

fn list(global: &Global, args: &List, out: &Output) -> anyhow::Result<()> {
    let mut found = Client::connect(global)?.get(&format!("models/{}/issues", encoded(&args.model)))?;
    if args.open
        && let Some(issues) = found.get_mut("issues").and_then(Value::as_array_mut)
    {
        issues.retain(|issue| issue.get("open") == Some(&Value::Bool(true)));
    }
    out.result(&found, || {
        let issues = text::list(&found, "issues");
        let mut lines = if issues.is_empty() {
            vec!["no issue".to_owned()]
        } else {
            let rows: Vec<Vec<String>> = issues.iter().map(issue_row).collect();
            vec![text::table(
                &["issue", "state", "on", "slice", "by", "opened", "title"],
                &rows,
            )]
        };
        lines.extend(text::list(&found, "collapsed").iter().map(collapsed_text));
        lines.join("\n")
    })
}

fn author(value: &Value) -> String {
    let name = text::string(value, "author_name");
    let key = text::short(&text::string(value, "author"));
    if name.is_empty() {
        key
    } else {
        format!("{name} {key}")
    }
}

fn state(issue: &Value) -> &'static str {
    if issue.get("open") == Some(&Value::Bool(true)) {
        "open"
    } else {
        "closed"
    }
}

fn issue_row(issue: &Value) -> Vec<String> {
    let field = |name: &str| text::string(issue, name);
    vec![
        text::short(&field("id")),
        state(issue).to_owned(),
        field("version"),
        field("slice"),
        author(issue),
        text::when(text::number(issue, "created_at_ms")),
        field("title"),
    ]
}

fn collapsed_text(collapsed: &Value) -> String {
    let count = text::number(collapsed, "count");
    format!("… and {count} more by {}, collapsed", author(collapsed))
}

fn show(global: &Global, args: &Which, out: &Output) -> anyhow::Result<()> {
    let client = Client::connect(global)?;
    let issue = find(&client, args)?;
    out.result(&issue, || issue_text(&issue))
}

fn issue_text(issue: &Value) -> String {
    let field = |name: &str| text::string(issue, name);
    let mut rows = vec![
        ("title", field("title")),
        ("state", state(issue).to_owned()),
        ("id", field("id")),
        ("release", format!("{}@{}", field("model"), field("version"))),
        ("slice", field("slice")),
        ("by", author(issue)),
        ("opened", text::when(text::number(issue, "created_at_ms"))),
    ];
    rows.extend(environment_rows(issue));
    let mut parts = vec![text::fields(&rows), text::lines(issue, "body")];
    parts.extend(text::list(issue, "comments").iter().map(comment_text));
    parts.extend(text::list(issue, "collapsed").iter().map(collapsed_text));
    parts.retain(|part| !part.trim().is_empty());
    parts.join("\n\n")
}

fn comment_text(comment: &Value) -> String {
    let when = text::when(text::number(comment, "created_at_ms"));
    let action = text::string(comment, "action");
    let action = if action.is_empty() {
        String::new()
    } else {
        format!(", {action} this")
    };
    let head = format!("-- {}, {when}{action}", author(comment));
    format!("{head}\n{}", text::lines(comment, "body"))
        .trim_end()
        .to_owned()
}

fn words(global: &Global, args: &Words, opens: Option<bool>, out: &Output) -> anyhow::Result<()> {
    let client = Client::connect(global)?;
    let issue = text::string(&find(&client, &args.issue)?, "id");
    let request = json!({ "body": body(&args.text)?, "opens": opens });
    let answer = client.post(&format!("issues/{issue}/comments"), &request)?;
    out.result(&answer, || {
        let what = match opens {
            None => "commented on",
            Some(true) => "reopened",
            Some(false) => "closed",
        };
        format!("{what} issue {issue}")
    })
}

/// The issue that the words name: a model and an id, an id alone, or a model with one issue.
fn find(client: &Client, args: &Which) -> anyhow::Result<Value> {
    match args.which.as_slice() {
        [model, id] => {
            let issue = client.get(&format!("issues/{}", encoded(id)))?;
            let of_model = client.get(&format!("models/{}/issues", encoded(model)))?;
            let of = |value: &Value| (text::string(value, "model"), text::string(value, "owner"));
            if of(&issue) != of(&of_model) {
                let message = format!(
                    "issue {id} is about {}, not {model}",
                    text::string(&issue, "model")
                );
                return Err(Failure::not_found(message).into());
            }
            Ok(issue)
        }
        [one] => match client.get(&format!("issues/{}", encoded(one))) {
            Err(error) if classify(&error).0 == Exit::NotFound => only_of(client, one),
            answer => answer,
        },
        _ => Err(Failure::usage("name a model and an issue").into()),
    }
}

/// The only issue of a model.
fn only_of(client: &Client, model: &str) -> anyhow::Result<Value> {
    let found = client.get(&format!("models/{}/issues", encoded(model)))?;
    match text::list(&found, "issues") {
        [one] => client.get(&format!("issues/{}", text::string(one, "id"))),
        [] => Err(Failure::not_found(format!("there is no issue on {model}")).into()),
        several => {
            let ids: Vec<String> = several
                .iter()
                .map(|i| text::short(&text::string(i, "id")))
                .collect();
            let message = format!("{model} has several issues; name one of {}", ids.join(", "));
            Err(Failure::usage(message).into())
        }
    }
}
