//! Measures what a runner adds to the model it runs, and what it takes: `cargo run -p fieldmark-supervisor
//! --example measure`. Ratios are to the time inside the model, measured in the runner in the same run.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a program that measures, started by hand"
)]

#[path = "../tests/runner/archive.rs"]
#[expect(dead_code, reason = "the other fixtures are for tests")]
mod archive;

use fieldmark_supervisor::{
    Arena, Content, Input, Runner, RunnerSpec, Runtime, SupervisorConfig, tensor_f32,
};
use std::time::{Duration, Instant};

/// A layer of 784×10 whose weights are made in the model.
const LAYER: &str = "return torch.mm(x, torch.ones([784, 10]))";
/// A reduction to four bytes.
const SUM: &str = "return torch.sum(x)";
const REQUESTS: usize = 20_000;
const LARGE_BYTES: usize = 16 << 20;
const IDLE: usize = 20;

async fn start(body: &str, arena: Option<Arena>) -> Runner {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = RunnerSpec::new("measured", archive::write(folder.path(), body)).inputs(["x"]);
    spec.arena = arena;
    let program = std::env::current_exe().unwrap();
    let config = SupervisorConfig::in_folder(program.ancestors().nth(2).unwrap()).unwrap();
    Runner::start(&config, spec).await.unwrap()
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

async fn small() {
    let runner = start(LAYER, None).await;
    let input: Input = tensor_f32("x", &[1, 784], &[0.5; 784]).into();
    let (mut round, mut forward) = (Vec::new(), Vec::new());
    for _ in 0..REQUESTS {
        let started = Instant::now();
        let answer = runner.forward(vec![input.clone()]).await.unwrap();
        round.push(started.elapsed());
        forward.push(answer.forward);
    }
    round.sort();
    forward.sort();
    for percent in [50, 99] {
        let (round, forward) = (at(&round, percent), at(&forward, percent));
        println!(
            "FP32[1,784] p{percent}: {round:?} in all, {forward:?} in the model, {:?} added, ratio {:.1}",
            round.saturating_sub(forward),
            round.as_secs_f64() / forward.as_secs_f64().max(1e-6)
        );
    }
}

async fn large(shared: bool) {
    let arena = Arena::new(256 << 20).unwrap();
    let runner = start(SUM, shared.then(|| arena.clone())).await;
    let bytes = vec![0_u8; LARGE_BYTES];
    let rounds = 100;
    let mut inside = Duration::ZERO;
    let started = Instant::now();
    for _ in 0..rounds {
        let content = if shared {
            let mut region = arena.allocate(LARGE_BYTES).unwrap();
            region.write(0, &bytes).unwrap();
            Content::Shared(vec![region])
        } else {
            Content::Inline(bytes.clone().into())
        };
        let input = Input {
            name: "x".into(),
            datatype: "FP32".into(),
            shape: vec![i64::try_from(LARGE_BYTES / 4).unwrap()],
            content,
        };
        inside += runner.forward(vec![input]).await.unwrap().forward;
    }
    let (all, gigabytes) = (started.elapsed(), (LARGE_BYTES * rounds) as f64 / 1e9);
    println!(
        "16 MB {}: {:.2} GB/s, {:.2} GB/s without the model, ratio {:.1}",
        if shared { "in shared memory" } else { "in frames" },
        gigabytes / all.as_secs_f64(),
        gigabytes / all.saturating_sub(inside).as_secs_f64(),
        all.as_secs_f64() / inside.as_secs_f64()
    );
}

async fn idle() {
    let mut runners = Vec::new();
    for _ in 0..IDLE {
        let runner = start(LAYER, None).await;
        runner
            .infer(vec![tensor_f32("x", &[1, 784], &[0.5; 784])])
            .await
            .unwrap();
        runners.push(runner);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sizes: Vec<u64> = runners
        .iter()
        .filter_map(|runner| {
            let path = format!("/proc/{}/smaps_rollup", runner.status().pid?);
            let rollup = std::fs::read_to_string(path).ok()?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().strip_suffix(" kB")?.parse().ok()
        })
        .collect();
    let (most, all) = (sizes.iter().max(), sizes.iter().sum::<u64>());
    println!(
        "{} idle models: {:?} kB PSS each at most, {all} kB together",
        sizes.len(),
        most.unwrap()
    );
}

/// An ONNX model: the identity of one FP32 vector.
fn identity() -> Vec<u8> {
    let field = |number: u8, content: &[u8]| {
        [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
    };
    let value = |name: &[u8]| {
        let tensor = field(1, &[vec![8, 1], field(2, &field(1, &field(2, b"n")))].concat());
        [field(1, name), field(2, &tensor)].concat()
    };
    let node = [field(1, b"x"), field(2, b"y"), field(4, b"Identity")].concat();
    let parts = [
        field(1, &node),
        field(2, b"g"),
        field(11, &value(b"x")),
        field(12, &value(b"y")),
    ];
    [vec![8, 8], field(7, &parts.concat()), field(8, &[16, 13])].concat()
}

async fn ready() {
    let torch = start(LAYER, None).await;
    println!(
        "TorchScript: ready after {:.0} ms",
        torch.status().load_time.as_secs_f64() * 1e3
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, identity()).unwrap();
    let program = std::env::current_exe().unwrap();
    let config = SupervisorConfig::in_folder(program.ancestors().nth(2).unwrap()).unwrap();
    let spec = RunnerSpec::new("measured", path).runtime(Runtime::Onnx);
    let onnx = Runner::start(&config, spec).await.unwrap();
    onnx.infer(vec![tensor_f32("x", &[1], &[1.0])]).await.unwrap();
    println!(
        "ONNX: ready after {:.0} ms",
        onnx.status().load_time.as_secs_f64() * 1e3
    );
}

#[tokio::main]
async fn main() {
    ready().await;
    small().await;
    large(true).await;
    large(false).await;
    idle().await;
}
