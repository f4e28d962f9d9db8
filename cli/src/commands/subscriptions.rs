//! `subscribe`, `unsubscribe`, `subscriptions` and `webhook verify`.

use std::io::Read as _;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use fieldmark_protocol::PublicKey;
use fieldmark_protocol::webhook::Received;
use serde_json::{Value, json};

use crate::args::Global;
use crate::args::subscriptions::{Subscribe, Unsubscribe, Verify, Webhook, WebhookAction};
use crate::client::{Client, encoded};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

/// Seconds that one request for news waits.
const WAIT_SECONDS: u64 = 30;
/// Most bytes of a message that is verified.
const MESSAGE_BYTES_MAX: u64 = 1024 * 1024;

/// `subscribe`
pub(crate) fn subscribe(global: &Global, args: &Subscribe, out: &Output) -> anyhow::Result<()> {
    let client = Client::connect(global)?;
    let request = json!({
        "model": args.model,
        "webhook": args.webhook,
        "allow_private": args.allow_private,
        "history": args.history,
    });
    let made = client.post("subscriptions", &request)?;
    let subscription = made.get("subscription").cloned().unwrap_or_default();
    let id = text::string(&subscription, "id");
    if args.follow {
        out.note(&format!(
            "subscribed to {}; Ctrl-C ends",
            text::string(&subscription, "model")
        ));
        return follow(&client, &id, out);
    }
    if args.webhook.is_some() {
        return out.result(&made, || webhook_text(&made, &subscription));
    }
    let news = news(&client, &id, 0)?;
    let answer = json!({ "subscription": subscription, "known": made.get("known"), "news": news });
    out.result(&answer, || {
        let head = format!(
            "subscribed to {} ({})",
            text::string(&subscription, "model"),
            text::short(&id)
        );
        let lines: Vec<String> = news.iter().map(news_text).collect();
        if lines.is_empty() {
            format!(
                "{head}\nno news; `fieldmark subscribe {} --follow` waits for some",
                args.model
            )
        } else {
            format!("{head}\n{}", lines.join("\n"))
        }
    })?;
    confirm(&client, &id, &news)
}

fn webhook_text(made: &Value, subscription: &Value) -> String {
    let channel = subscription.get("channel").cloned().unwrap_or_default();
    text::fields(&[
        ("subscription", text::string(subscription, "id")),
        ("model", text::string(subscription, "model")),
        ("posts to", text::string(&channel, "url")),
        ("signed by", text::string(made, "key")),
        ("check with", "fieldmark webhook verify".to_owned()),
    ])
}

/// Prints news until the node ends or the reader goes away.
fn follow(client: &Client, id: &str, out: &Output) -> anyhow::Result<()> {
    loop {
        let items = news(client, id, WAIT_SECONDS)?;
        for item in &items {
            out.event(item, || news_text(item))?;
        }
        confirm(client, id, &items)?;
    }
}

fn news(client: &Client, id: &str, wait: u64) -> anyhow::Result<Vec<Value>> {
    let found = client.get(&format!("subscriptions/{id}/news?wait={wait}"))?;
    Ok(text::list(&found, "news").to_vec())
}

/// What was printed is not told again.
fn confirm(client: &Client, id: &str, items: &[Value]) -> anyhow::Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = items.iter().map(|item| text::string(item, "id")).collect();
    client.post(&format!("subscriptions/{id}/confirm"), &json!({ "items": ids }))?;
    Ok(())
}

fn news_text(item: &Value) -> String {
    let field = |name: &str| text::string(item, name);
    let head = format!(
        "{}  {}: {}",
        text::when(text::number(item, "at_ms")),
        field("kind"),
        field("title")
    );
    let detail = field("detail");
    if detail.is_empty() {
        head
    } else {
        format!("{head}\n    {detail}")
    }
}

/// `unsubscribe`
pub(crate) fn unsubscribe(global: &Global, args: &Unsubscribe, out: &Output) -> anyhow::Result<()> {
    let client = Client::connect(global)?;
    let all = client.get("subscriptions")?;
    let ids = matching(&client, &all, &args.which)?;
    let mut ended = Vec::new();
    for id in ids {
        let answer = client.delete(&format!("subscriptions/{id}"))?;
        ended.extend(answer.get("ended").cloned());
    }
    out.result(&json!({ "ended": ended }), || {
        let rows = ended.iter().map(|s| {
            format!(
                "ended {} on {}",
                text::short(&text::string(s, "id")),
                text::string(s, "model")
            )
        });
        rows.collect::<Vec<_>>().join("\n")
    })
}

/// The subscriptions that the word names: by the start of an id, or all of a model.
fn matching(client: &Client, all: &Value, which: &str) -> anyhow::Result<Vec<String>> {
    let rows = text::list(all, "subscriptions");
    let id = |row: &Value| text::string(row, "id");
    let digits = which.to_ascii_lowercase();
    let by_id: Vec<String> = rows
        .iter()
        .map(id)
        .filter(|i| digits.len() >= 6 && i.starts_with(&digits))
        .collect();
    if !by_id.is_empty() {
        return Ok(by_id);
    }
    let release = client.get(&format!("releases/{}", encoded(which)))?;
    let of = (text::string(&release, "name"), text::string(&release, "author"));
    let on_model = |row: &&Value| (text::string(row, "model"), text::string(row, "owner")) == of;
    let found: Vec<String> = rows.iter().filter(on_model).map(id).collect();
    if found.is_empty() {
        return Err(Failure::not_found(format!("there is no subscription to {which}")).into());
    }
    Ok(found)
}

/// `subscriptions`
pub(crate) fn list(global: &Global, out: &Output) -> anyhow::Result<()> {
    let all = Client::connect(global)?.get("subscriptions")?;
    out.result(&all, || {
        let rows: Vec<Vec<String>> = text::list(&all, "subscriptions").iter().map(row).collect();
        if rows.is_empty() {
            return "no subscription".to_owned();
        }
        text::table(&["id", "model", "to", "pending", "since"], &rows)
    })
}

fn row(subscription: &Value) -> Vec<String> {
    let channel = subscription.get("channel").cloned().unwrap_or_default();
    let url = text::string(&channel, "url");
    vec![
        text::short(&text::string(subscription, "id")),
        text::string(subscription, "model"),
        if url.is_empty() {
            "this terminal".to_owned()
        } else {
            url
        },
        text::number(subscription, "pending").to_string(),
        text::when(text::number(subscription, "created_at_ms")),
    ]
}

/// `webhook`
pub(crate) fn webhook(args: &Webhook, out: &Output) -> anyhow::Result<()> {
    match &args.action {
        WebhookAction::Verify(args) => verify(args, out),
    }
}

fn verify(args: &Verify, out: &Output) -> anyhow::Result<()> {
    let key: PublicKey = args
        .key
        .parse()
        .map_err(|e| Failure::usage(format!("--key is no node key: {e}")))?;
    let failed = || format!("{}: cannot read it", args.body.display());
    let file = std::fs::File::open(&args.body).with_context(failed)?;
    let mut body = Vec::new();
    file.take(MESSAGE_BYTES_MAX + 1)
        .read_to_end(&mut body)
        .with_context(failed)?;
    if u64::try_from(body.len()).unwrap_or(u64::MAX) > MESSAGE_BYTES_MAX {
        let message = format!(
            "{} is over {MESSAGE_BYTES_MAX} bytes; no message is",
            args.body.display()
        );
        return Err(Failure::usage(message).into());
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let received = Received {
        key,
        timestamp_ms: args.timestamp,
        signature: &args.signature,
        body: &body,
    };
    let allowed_ms = args.max_age.saturating_mul(1000);
    received
        .check(u64::try_from(now).unwrap_or(u64::MAX), allowed_ms)
        .map_err(|e| Failure::new(Exit::Failed, "signature", e.to_string()))?;
    let item: Value = serde_json::from_slice(&body).unwrap_or_default();
    let id = text::string(&item, "id");
    out.result(&json!({ "valid": true, "key": key, "event": id }), || {
        format!("valid: signed by {key}\nevent  {id}; drop it if you have seen it before")
    })
}
