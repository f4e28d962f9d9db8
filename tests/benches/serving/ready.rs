//! From starting a runner to a loaded model, as `fieldmark pack` tells it.

use anyhow::{Context as _, Result, ensure};
use fieldmark_tests::Programs;
use serde_json::Value;

use crate::load::reference;
use crate::{Options, Row};

const RUNS: usize = 5;

pub(crate) fn rows(_: &Options) -> Result<Vec<Row>> {
    Ok(vec![
        Row::new("ready/torchscript", load_seconds("layer")?, "s", 1.2, "goal"),
        Row::new("ready/onnx", load_seconds("dynamic")?, "s", 0.5, "goal"),
    ])
}

/// The middle of some runs.
fn load_seconds(package: &str) -> Result<f64> {
    let programs = Programs::beside_this_test()?;
    let mut seconds = Vec::new();
    for _ in 0..RUNS {
        let done = programs
            .fieldmark()
            .args(["pack", "--json"])
            .arg(reference(package))
            .output()?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let packed: Value = serde_json::from_slice(&done.stdout)?;
        let load_ms = packed.pointer("/trial/load_ms").and_then(Value::as_f64);
        seconds.push(load_ms.context("no load_ms")? / 1e3);
    }
    seconds.sort_by(f64::total_cmp);
    seconds.get(RUNS / 2).copied().context("no run")
}
