//! A server whose models are loaded, asked, crashed, replaced and unloaded over and over leaks no process, no
//! descriptor and no memory.
//!
//! Runs for [`SECONDS`], or as long as the variable `FIELDMARK_SOAK_SECONDS` says:
//! `FIELDMARK_SOAK_SECONDS=3600 cargo xtask test -E 'binary(soak)' --no-capture` is the hour that a release is held to.

#![expect(clippy::print_stdout, reason = "a long run says how it stands")]

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use fieldmark_tests::{Held, Programs, Server};
use serde_json::{Value, json};

const SECONDS: u64 = 15;
/// Part of the time after which everything that is kept on purpose has been made: pools of the allocator, caches.
const WARM_UP_PERCENT: u32 = 10;
/// Rounds before that at least.
const WARM_UP_ROUNDS: u32 = 5;
/// Between two rounds, so that an hour of them leaves the machine to others too.
const BREATH: Duration = Duration::from_millis(150);
/// How often a long run says how it stands.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Growth that is allowed in a long run.
const GROWTH: f64 = 0.05;
/// Growth in bytes that is allowed in a run of seconds, in which the allocator's pools still fill: some 80 rounds that
/// leaked a version's statistics or a runner's state each would exceed it.
const GROWTH_SHORT_BYTES: f64 = 6e6;
const LONG_SECONDS: u64 = 600;
/// Time for processes that end to be reaped before things are counted.
const SETTLE: Duration = Duration::from_secs(3);

/// A model that writes to address zero when it is asked about a positive number; its sample is zero.
const CRASHING: &str = "\
import ctypes


def predict(model, inputs):
    if inputs[\"x\"].tolist()[0] > 0:
        ctypes.memset(0, 0, 1)
    return {\"y\": inputs[\"x\"]}
";
const CRASHING_MANIFEST: &str = r#"
[model]
name = "crashing"
version = "1.0.0"
runtime = "python"
artifact = "predict.py"
[[input]]
name = "x"
datatype = "FP32"
shape = [1]
[[output]]
name = "y"
datatype = "FP32"
shape = [1]
"#;

struct Soak {
    server: Server,
    agent: ureq::Agent,
    folder: PathBuf,
    answered: u64,
    crashed: u64,
}

impl Soak {
    fn post(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        let url = format!("http://{}{path}", self.server.http);
        let mut answer = self
            .agent
            .post(&url)
            .send_json(body)
            .with_context(|| format!("POST {path}"))?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().read_to_string()?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    fn ask(&mut self, model: &str) -> Result<()> {
        let answers = fs::read_to_string(self.folder.join(model).join("answers.json"))?;
        let answers: Value = serde_json::from_str(&answers)?;
        for case in answers.as_array().context("answers.json is no list")? {
            let (status, answer) = self.post(&format!("/v2/models/{model}/infer"), &case["request"])?;
            ensure!(status == 200, "{model}: {status} {answer}");
            self.answered += 1;
        }
        Ok(())
    }

    /// Another version in the same folder takes the place of the one that serves.
    fn swap(&self, model: &str, round: u32) -> Result<()> {
        let path = self.folder.join(model).join("fieldmark.toml");
        let text = fs::read_to_string(&path)?;
        let swapped: Vec<String> = text
            .lines()
            .map(|line| match line.starts_with("version") {
                true => format!("version = \"1.0.{round}\""),
                false => line.to_owned(),
            })
            .collect();
        fs::write(&path, swapped.join("\n"))?;
        self.repository(model, "load")
    }

    fn repository(&self, model: &str, verb: &str) -> Result<()> {
        let (status, answer) = self.post(&format!("/v2/repository/models/{model}/{verb}"), &json!({}))?;
        ensure!(status == 200, "{verb} {model}: {status} {answer}");
        Ok(())
    }

    fn round(&mut self, round: u32) -> Result<()> {
        for _ in 0..20 {
            self.ask("layer")?;
            self.ask("dynamic")?;
            self.ask("pair")?;
        }
        let crash = json!({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]});
        let (status, answer) = self.post("/v2/models/crashing/infer", &crash)?;
        ensure!(
            (500..600).contains(&status),
            "a crash was answered with {status} {answer}"
        );
        self.crashed += 1;
        self.swap("layer", round)?;
        self.repository("dynamic", "unload")?;
        self.repository("dynamic", "load")
    }

    /// Rounds until the time is over.
    fn rounds(&mut self, round: &mut u32, length: Duration) -> Result<()> {
        let (started, mut told) = (Instant::now(), Instant::now());
        while started.elapsed() < length || *round < WARM_UP_ROUNDS {
            *round += 1;
            self.round(*round)?;
            sleep(BREATH);
            if told.elapsed() > TELL_EVERY {
                told = Instant::now();
                println!(
                    "round {round}, {} answers: {:?}",
                    self.answered,
                    self.server.held()?
                );
            }
        }
        Ok(())
    }

    /// What is held once nothing is going on: the crashed runner is not there, or there, by chance, so it is
    /// taken away first.
    fn held(&self) -> Result<Held> {
        self.repository("crashing", "unload")?;
        sleep(SETTLE);
        let held = self.server.held()?;
        self.repository("crashing", "load")?;
        Ok(held)
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Copies of reference packages, and the one that crashes.
fn models(folder: &Path) -> Result<Vec<PathBuf>> {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/reference");
    for model in ["layer", "dynamic", "pair"] {
        copy(&reference.join(model), &folder.join(model))?;
    }
    let crashing = folder.join("crashing");
    fs::create_dir(&crashing)?;
    fs::write(crashing.join("fieldmark.toml"), CRASHING_MANIFEST)?;
    fs::write(crashing.join("predict.py"), CRASHING)?;
    let card = "---\nlicense: mit\n---\n# Crashing\n\nIt crashes.\n";
    fs::write(crashing.join("README.md"), card)?;
    let names = ["layer", "dynamic", "pair", "crashing"];
    Ok(names.iter().map(|name| folder.join(name)).collect())
}

#[test]
fn nothing_leaks_while_models_load_crash_swap_and_unload() -> Result<()> {
    let seconds = std::env::var("FIELDMARK_SOAK_SECONDS")
        .ok()
        .map(|text| text.parse())
        .transpose()?;
    let seconds: u64 = seconds.unwrap_or(SECONDS);
    let scratch = tempfile::tempdir()?;
    let folder = scratch.path().join("packages");
    let models = models(&folder)?;
    let server = Server::start(&Programs::beside_this_test()?, scratch.path(), &models, &[])?;
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .new_agent();
    let mut soak = Soak {
        server,
        agent,
        folder,
        answered: 0,
        crashed: 0,
    };
    let length = Duration::from_secs(seconds);
    let mut round = 0;
    soak.rounds(&mut round, length * WARM_UP_PERCENT / 100)?;
    let before = soak.held()?;
    soak.rounds(&mut round, length)?;
    let after = soak.held()?;
    println!(
        "{round} rounds, {} answers, {} crashes in {seconds} s: before {before:?}, after {after:?}",
        soak.answered, soak.crashed
    );
    ensure!(
        before.processes == after.processes,
        "processes leak: {before:?}, {after:?}"
    );
    ensure!(
        before.descriptors == after.descriptors,
        "descriptors leak: {before:?}, {after:?}"
    );
    for (who, from, to) in [
        ("the server", before.memory_bytes, after.memory_bytes),
        ("its runners", before.below_bytes, after.below_bytes),
    ] {
        let (from, to) = (from as f64, to as f64);
        let allowed = if seconds >= LONG_SECONDS {
            from * GROWTH
        } else {
            GROWTH_SHORT_BYTES
        };
        println!("memory of {who}: {:+.1}%", (to / from - 1.0) * 100.0);
        ensure!(
            to - from < allowed,
            "the memory of {who} grew: {before:?}, {after:?}"
        );
    }
    soak.server.stop()
}
