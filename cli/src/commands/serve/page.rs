//! The state of a server as its private page shows it.

use fieldmark_pages::{DriftView, ServedModel, ServerPage};
use fieldmark_serving::{Page, Snapshot, VersionSnapshot};
use serde_json::Value;

/// The page of a server.
pub(super) fn page() -> Page {
    Page::new(|snapshot| fieldmark_pages::server(&view(snapshot)).into_string())
}

fn view(snapshot: &Snapshot) -> ServerPage {
    ServerPage {
        ready: snapshot.ready,
        models: snapshot.versions.iter().map(model).collect(),
    }
}

fn model(version: &VersionSnapshot) -> ServedModel {
    let replicas = &version.replicas;
    let failed = replicas.iter().find_map(|replica| replica.last_failure.clone());
    let paused = replicas
        .iter()
        .find(|replica| replica.pause_ms > 0)
        .map(|replica| {
            format!(
                "it failed {} times in a row and is left alone for {} ms",
                replica.failures, replica.pause_ms
            )
        });
    let reason = Some(version.reason.clone()).filter(|reason| !reason.is_empty());
    ServedModel {
        title: format!("{}@{}", version.name, version.version),
        state: version.state.to_owned(),
        trouble: paused.or(reason).or(failed),
        runtime: version.platform.clone(),
        device: replicas
            .first()
            .map_or_else(String::new, |replica| replica.device.clone()),
        isolated: version.isolated,
        replicas: replicas.len() as u64,
        restarts: replicas.iter().map(|replica| replica.restarts).sum(),
        memory_bytes: replicas.iter().map(|replica| replica.memory_bytes).sum(),
        memory_bytes_max: version.memory_bytes_max,
        threads: version.threads.into(),
        request_timeout_ms: version.request_timeout_ms,
        queue: (version.queue as u64, version.queue_max as u64),
        answered: version.answered,
        failed: version.failed,
        p50_ms: version.latency.p50_us as f64 / 1e3,
        p99_ms: version.latency.p99_us as f64 / 1e3,
        drift: version
            .observed
            .get("drift")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(drift)
            .collect(),
    }
}

fn drift(feature: &Value) -> DriftView {
    let number = |name: &str| feature.get(name).and_then(Value::as_f64);
    DriftView {
        name: feature
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        records: feature.get("records").and_then(Value::as_u64).unwrap_or_default(),
        psi: number("psi").zip(number("psi_threshold")),
        ks: number("ks").zip(number("ks_threshold")),
        drifted: feature.get("drifted") == Some(&Value::Bool(true)),
    }
}
