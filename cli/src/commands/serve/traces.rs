//! Spans of requests, posted to an OpenTelemetry collector as OTLP over HTTP in its JSON form.
//!
//! A span goes into a bounded queue when it ends; a thread posts what has come together. When the collector is
//! slow or away, spans are lost and counted, never requests held up. The W3C `traceparent` of a request becomes
//! the span's parent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;
use ureq::Agent;

/// Spans that wait to be posted.
const WAITING_MAX: usize = 4096;
/// Spans of one post.
const POST_MAX: usize = 512;
/// How long spans come together before they are posted.
const POST_EVERY: Duration = Duration::from_secs(2);
/// Longest time for one post.
const POST_WITHIN: Duration = Duration::from_secs(5);

/// Posts what is left when it is dropped.
#[derive(Debug)]
pub(super) struct Posting {
    spans: Option<SyncSender<Value>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Posting {
    fn drop(&mut self) {
        // The layer lives as long as the process, so an empty object says that this is the end.
        if let Some(spans) = self.spans.take() {
            let _ = spans.send(Value::Null);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Hears of every span that ends.
#[derive(Debug)]
pub(super) struct Traces {
    spans: SyncSender<Value>,
    seed: [u8; 32],
    count: AtomicU64,
    lost: AtomicU64,
}

/// A layer that posts to `url` (`/v1/traces` is added), and what must be kept until the end.
pub(super) fn to(url: &str) -> anyhow::Result<(Traces, Posting)> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).context("the operating system gives no randomness")?;
    let (sender, spans) = sync_channel(WAITING_MAX);
    let url = format!("{}/v1/traces", url.trim_end_matches('/'));
    let config = Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .timeout_global(Some(POST_WITHIN));
    let agent = Agent::new_with_config(config.build());
    let thread = std::thread::Builder::new()
        .name("otlp".to_owned())
        .spawn(move || post_all(&agent, &url, &spans))
        .context("cannot start a thread")?;
    let traces = Traces {
        spans: sender.clone(),
        seed,
        count: AtomicU64::new(0),
        lost: AtomicU64::new(0),
    };
    let posting = Posting {
        spans: Some(sender),
        thread: Some(thread),
    };
    Ok((traces, posting))
}

/// Posts spans until the end is announced.
fn post_all(agent: &Agent, url: &str, spans: &Receiver<Value>) {
    let mut failing = false;
    let mut over = false;
    while !over {
        let Ok(first) = spans.recv() else { return };
        let mut batch = Vec::new();
        over = first.is_null();
        batch.extend((!over).then_some(first));
        let until = std::time::Instant::now() + POST_EVERY;
        while !over && batch.len() < POST_MAX {
            match spans.recv_timeout(until.saturating_duration_since(std::time::Instant::now())) {
                Ok(Value::Null) | Err(RecvTimeoutError::Disconnected) => over = true,
                Ok(span) => batch.push(span),
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        if batch.is_empty() {
            continue;
        }
        match agent.post(url).send_json(request(batch)) {
            Ok(_) => failing = false,
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, url, "spans cannot be posted");
                }
                failing = true;
            }
        }
    }
}

fn request(spans: Vec<Value>) -> Value {
    let service = json!({ "key": "service.name", "value": { "stringValue": "fieldmark" } });
    json!({ "resourceSpans": [{
        "resource": { "attributes": [service] },
        "scopeSpans": [{ "scope": { "name": "fieldmark_serving" }, "spans": spans }],
    }] })
}

/// A span that has begun.
struct Begun {
    at: SystemTime,
    fields: Fields,
}

/// Fields of a span.
#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn of(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(field, _)| *field == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }
}

impl<S> Layer<S> for Traces
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let at = SystemTime::now();
        span.extensions_mut().insert(Begun { at, fields });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(begun) = span.extensions_mut().get_mut::<Begun>() {
            values.record(&mut begun.fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(begun) = span.extensions_mut().remove::<Begun>() else {
            return;
        };
        let ended = self.ended(span.name(), &begun);
        if self.spans.try_send(ended).is_err() {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            if lost.is_power_of_two() {
                tracing::warn!(lost, "spans are lost: the collector is too slow");
            }
        }
    }
}

impl Traces {
    fn ended(&self, name: &str, begun: &Begun) -> Value {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let own = blake3::keyed_hash(&self.seed, &number.to_le_bytes()).to_hex();
        let (trace, parent) = begun
            .fields
            .of("traceparent")
            .and_then(parent_of)
            .unwrap_or_else(|| {
                let trace = own.get(16..48).unwrap_or_default().to_owned();
                (trace, String::new())
            });
        let attributes: Vec<Value> = begun
            .fields
            .0
            .iter()
            .filter(|(name, _)| *name != "traceparent")
            .map(|(name, value)| json!({ "key": name, "value": { "stringValue": value } }))
            .collect();
        json!({
            "traceId": trace,
            "spanId": own.get(..16).unwrap_or_default(),
            "parentSpanId": parent,
            "name": name,
            // A server's span.
            "kind": 2,
            "startTimeUnixNano": nanos(begun.at),
            "endTimeUnixNano": nanos(SystemTime::now()),
            "attributes": attributes,
        })
    }
}

/// Trace and span of a `traceparent`: `00-<32 hex>-<16 hex>-<2 hex>`.
fn parent_of(text: &str) -> Option<(String, String)> {
    let mut parts = text.split('-');
    let (_, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    (hex(trace, 32) && hex(span, 16)).then(|| (trace.to_owned(), span.to_owned()))
}

fn nanos(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos()
        .to_string()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_span_is_posted_with_its_fields_and_its_parent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let collector = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            let mut buffer = [0; 4096];
            // The body is whole once it is JSON.
            let whole = |seen: &[u8]| {
                let text = String::from_utf8_lossy(seen);
                text.split_once("\r\n\r\n")
                    .is_some_and(|(_, body)| serde_json::from_str::<Value>(body).is_ok())
            };
            while !whole(&seen) {
                let count = stream.read(&mut buffer).unwrap();
                assert!(count > 0, "it ended after {}", String::from_utf8_lossy(&seen));
                seen.extend_from_slice(&buffer[..count]);
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                .unwrap();
            String::from_utf8(seen).unwrap()
        });
        let (traces, posting) = to(&url).unwrap();
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        tracing::subscriber::with_default(tracing_subscriber::registry().with(traces), || {
            let span = tracing::info_span!(
                "infer",
                model = "net",
                traceparent = parent,
                status = tracing::field::Empty
            );
            span.record("status", 200);
        });
        drop(posting);
        let seen = collector.join().unwrap();
        assert!(seen.starts_with("POST /v1/traces HTTP/1.1"), "{seen}");
        let body: Value = serde_json::from_str(seen.split_once("\r\n\r\n").unwrap().1).unwrap();
        let span = &body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!(span["name"], "infer");
        assert_eq!(span["traceId"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span["parentSpanId"], "b7ad6b7169203331");
        let attributes = span["attributes"].to_string();
        assert!(attributes.contains("net") && attributes.contains("200") && !attributes.contains("0af7"));
    }

    #[test]
    fn what_is_no_parent_starts_a_trace() {
        for text in [
            "",
            "00-xyz-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c",
            "a-b-c",
        ] {
            assert_eq!(parent_of(text), None, "{text}");
        }
    }
}
