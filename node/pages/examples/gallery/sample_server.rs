//! An invented server. No number here was measured.

use fieldmark_pages::{DriftView, ServedModel, ServerPage};

pub(crate) fn server() -> ServerPage {
    let digits = ServedModel {
        title: "digits-augmented@2.0.0".into(),
        state: "READY".into(),
        trouble: None,
        runtime: "torchscript".into(),
        device: "cpu".into(),
        isolated: true,
        replicas: 2,
        restarts: 0,
        memory_bytes: 184_000_000,
        memory_bytes_max: 2 << 30,
        threads: 1,
        request_timeout_ms: 30_000,
        queue: (3, 256),
        answered: 184_211,
        failed: 2,
        p50_ms: 0.31,
        p99_ms: 2.4,
        drift: vec![
            feature("confidence", Some((0.412, 0.071)), Some((0.183, 0.062)), true),
            feature("image.mean", Some((0.031, 0.071)), Some((0.027, 0.062)), false),
            feature("image.deviation", None, None, false),
        ],
    };
    let pipeline = ServedModel {
        title: "triage@0.4.1".into(),
        state: "UNAVAILABLE".into(),
        trouble: Some("it crashed 4 times in a row (signal 11); started again in 2 s".into()),
        runtime: "python".into(),
        isolated: false,
        replicas: 1,
        restarts: 4,
        drift: Vec::new(),
        ..digits.clone()
    };
    ServerPage {
        ready: false,
        models: vec![digits, pipeline],
    }
}

fn feature(name: &str, psi: Option<(f64, f64)>, ks: Option<(f64, f64)>, drifted: bool) -> DriftView {
    DriftView {
        name: name.into(),
        records: if psi.is_some() { 2_048 } else { 37 },
        psi,
        ks,
        drifted,
    }
}
