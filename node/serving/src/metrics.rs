//! Metrics in the text format of Prometheus: under the names that Triton uses, and our own.

use std::fmt::Write as _;

use crate::{Counts, Kind, ReplicaSnapshot, Snapshot, VersionSnapshot};

/// A metric of each version.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&VersionSnapshot) -> u64,
}

const fn counter(name: &'static str, help: &'static str, value: fn(&VersionSnapshot) -> u64) -> Family {
    Family {
        name,
        kind: "counter",
        help,
        value,
    }
}

const fn gauge(name: &'static str, help: &'static str, value: fn(&VersionSnapshot) -> u64) -> Family {
    Family {
        name,
        kind: "gauge",
        help,
        value,
    }
}

fn micros(counts: u64) -> u64 {
    counts / 1000
}

const FAMILIES: &[Family] = &[
    counter("nv_inference_request_success", "Requests answered", |v| {
        v.counts.success.count
    }),
    counter("nv_inference_count", "Records answered", |v| v.counts.inferences),
    counter("nv_inference_exec_count", "Times the model ran", |v| {
        v.counts.executions
    }),
    counter(
        "nv_inference_request_duration_us",
        "Microseconds from arrival to answer, in all",
        |v| micros(v.counts.success.ns),
    ),
    counter(
        "nv_inference_queue_duration_us",
        "Microseconds of waiting, in all",
        |v| micros(v.counts.queue.ns),
    ),
    counter(
        "nv_inference_compute_input_duration_us",
        "Microseconds of putting inputs together, in all",
        |v| micros(v.counts.compute_input.ns),
    ),
    counter(
        "nv_inference_compute_infer_duration_us",
        "Microseconds in the runner and on the way there and back, in all",
        |v| micros(v.counts.compute_infer.ns),
    ),
    counter(
        "nv_inference_compute_output_duration_us",
        "Microseconds of taking outputs apart, in all",
        |v| micros(v.counts.compute_output.ns),
    ),
    gauge("nv_inference_pending_request_count", "Requests that wait", queued),
    counter(
        "fieldmark_cancelled_requests",
        "Requests whose client left before they were answered",
        |v| v.cancelled,
    ),
    gauge("fieldmark_queue_limit", "Requests that may wait", |v| {
        count(v.queue_max)
    }),
    gauge("fieldmark_replicas", "Runner processes", |v| {
        count(v.replicas.len())
    }),
    gauge(
        "fieldmark_replicas_up",
        "Runner processes that are not down",
        |v| count(v.replicas.iter().filter(|replica| is_up(replica)).count()),
    ),
    gauge(
        "fieldmark_memory_bytes",
        "Memory of all runners at the last look",
        |v| v.replicas.iter().map(|replica| replica.memory_bytes).sum(),
    ),
    gauge(
        "fieldmark_memory_bytes_limit",
        "Memory that one runner may take",
        |v| v.memory_bytes_max,
    ),
    counter(
        "fieldmark_restarts",
        "Runner processes started after the first of each replica",
        |v| v.replicas.iter().map(|replica| replica.restarts).sum(),
    ),
    gauge("fieldmark_model_ready", "Whether the model can be asked", |v| {
        u64::from(v.state == "READY")
    }),
    gauge("fieldmark_isolated", "Whether its runners are isolated", |v| {
        u64::from(v.isolated)
    }),
];

fn queued(version: &VersionSnapshot) -> u64 {
    count(version.queue)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn is_up(replica: &ReplicaSnapshot) -> bool {
    replica.state == "ready" || replica.state == "busy"
}

/// Every metric of a server. Writing to a text cannot fail, so what `write!` returns is dropped.
pub(crate) fn text(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    let labels: Vec<String> = snapshot.versions.iter().map(labels).collect();
    for family in FAMILIES {
        head(&mut out, family.name, family.kind, family.help);
        for (version, labels) in snapshot.versions.iter().zip(&labels) {
            let _ = writeln!(out, "{}{{{labels}}} {}", family.name, (family.value)(version));
        }
    }
    failures(&mut out, snapshot, &labels);
    latency(&mut out, snapshot, &labels);
    head(
        &mut out,
        "fieldmark_ready",
        "gauge",
        "Whether every model can be asked",
    );
    let _ = writeln!(out, "fieldmark_ready {}", u8::from(snapshot.ready));
    out
}

fn failures(out: &mut String, snapshot: &Snapshot, labels: &[String]) {
    let name = "nv_inference_request_failure";
    head(out, name, "counter", "Requests not answered, by reason");
    for (version, labels) in snapshot.versions.iter().zip(labels) {
        let Counts { failures, .. } = &version.counts;
        if !failures.contains_key(&Kind::Internal) {
            let reason = Kind::Internal.word();
            let _ = writeln!(out, "{name}{{{labels},reason=\"{reason}\"}} 0");
        }
        for (kind, count) in failures {
            let _ = writeln!(out, "{name}{{{labels},reason=\"{}\"}} {count}", kind.word());
        }
    }
}

fn latency(out: &mut String, snapshot: &Snapshot, labels: &[String]) {
    let name = "fieldmark_request_latency_us";
    head(out, name, "summary", "Microseconds from arrival to answer");
    for (version, labels) in snapshot.versions.iter().zip(labels) {
        let latency = &version.latency;
        for (quantile, value) in [
            ("0.5", latency.p50_us),
            ("0.9", latency.p90_us),
            ("0.99", latency.p99_us),
            ("0.999", latency.p999_us),
        ] {
            let _ = writeln!(out, "{name}{{{labels},quantile=\"{quantile}\"}} {value}");
        }
        let _ = writeln!(out, "{name}_sum{{{labels}}} {}", latency.sum_us);
        let _ = writeln!(out, "{name}_count{{{labels}}} {}", latency.count);
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}");
    let _ = writeln!(out, "# TYPE {name} {kind}");
}

fn labels(version: &VersionSnapshot) -> String {
    let quoted = |text: &str| {
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    };
    format!(
        "model=\"{}\",version=\"{}\"",
        quoted(&version.name),
        quoted(&version.version)
    )
}
