//! Models on an NVIDIA GPU, behind every layer: `cargo xtask gpu` starts it. A check that fails ends it with a
//! panic that says which.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a program of checks, started by hand; a panic is a failure"
)]

#[path = "../tests/runner/archive.rs"]
#[expect(dead_code, reason = "the other fixtures are for tests")]
mod archive;

use fieldmark_supervisor::{
    Device, FailureCode, InferError, Limits, Runner, RunnerSpec, SupervisorConfig, Tensor, tensor_f32,
    tensor_values_f32,
};
use std::time::{Duration, Instant};

/// A product whose result depends on every element.
const PRODUCT: &str = "return torch.softmax(torch.mm(x, torch.transpose(x, 0, 1)), 1)";
/// Squares its input; asks for 256 GiB on its input's device if the sum is negative.
const BOMB: &str = "\
if bool(torch.lt(torch.sum(x), 0)):
  y = torch.repeat(x, [68719476736])
else:
  y = torch.mul(x, x)
return y";
/// Squares its input; asks for a GiB on its input's device if the sum is negative.
const GREED: &str = "\
if bool(torch.lt(torch.sum(x), 0)):
  y = torch.narrow(torch.repeat(x, [268435456]), 0, 0, 1)
else:
  y = torch.mul(x, x)
return y";
const SIDE: i64 = 512;
const REQUESTS: usize = 200;

async fn start(body: &str, limits: Limits) -> Runner {
    let folder = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let config = SupervisorConfig::in_folder(program.ancestors().nth(2).unwrap()).unwrap();
    let spec = RunnerSpec::new("on-gpu", archive::write(folder.path(), body)).limits(limits);
    Runner::start(&config, spec).await.unwrap()
}

fn on(device: Device) -> Limits {
    Limits {
        device,
        memory_bytes_max: 16 << 30,
        load_timeout: Duration::from_secs(300),
        request_timeout: Duration::from_secs(120),
        ..Limits::default()
    }
}

fn square(seed: i64) -> Vec<Tensor> {
    let value = |at: i64| ((at * 31 + seed) % 17) as f32 / 170.0;
    let values: Vec<f32> = (0..SIDE * SIDE).map(value).collect();
    vec![tensor_f32("x", &[SIDE, SIDE], &values)]
}

async fn values(runner: &Runner, inputs: Vec<Tensor>) -> Vec<f32> {
    tensor_values_f32(&runner.infer(inputs).await.unwrap()[0]).unwrap()
}

async fn equality() {
    let (cpu, gpu) = (
        start(PRODUCT, on(Device::Cpu)).await,
        start(PRODUCT, on(Device::Cuda(0))).await,
    );
    let status = gpu.status();
    assert_eq!(status.device, "cuda:0");
    assert!(
        status.layers.iter().any(|layer| layer == "seccomp"),
        "{:?}",
        status.layers
    );
    println!(
        "load: {:.2} s on the GPU, {:.2} s on the CPU",
        status.load_time.as_secs_f64(),
        cpu.status().load_time.as_secs_f64()
    );
    for seed in 0..5 {
        let (expected, found) = (values(&cpu, square(seed)).await, values(&gpu, square(seed)).await);
        let worst = expected
            .iter()
            .zip(&found)
            .map(|(a, b)| (a - b).abs() / a.abs().max(1e-6))
            .fold(0.0, f32::max);
        assert!(worst < 1e-2, "seed {seed}: relative difference {worst}");
    }
    for (name, runner) in [("CPU", &cpu), ("GPU", &gpu)] {
        let started = Instant::now();
        for seed in 0..REQUESTS {
            values(runner, square(i64::try_from(seed).unwrap())).await;
        }
        println!(
            "{name}: {:.2} ms per {SIDE}×{SIDE} product",
            started.elapsed().as_secs_f64() * 1e3 / REQUESTS as f64
        );
    }
}

async fn memory() {
    let runner = start(BOMB, on(Device::Cuda(0))).await;
    let capped = Limits {
        gpu_memory_bytes_max: Some(256 << 20),
        ..on(Device::Cuda(0))
    };
    let small = start(GREED, capped).await;
    for (what, runner) in [("all of the device", &runner), ("its own share", &small)] {
        let error = runner
            .infer(vec![tensor_f32("x", &[1], &[-1.0])])
            .await
            .unwrap_err();
        let InferError::Rejected {
            code: FailureCode::Memory,
            message,
            ..
        } = &error
        else {
            panic!("{error}")
        };
        println!("out of memory ({what}): {message}");
        assert_eq!(values(runner, vec![tensor_f32("x", &[1], &[3.0])]).await, [9.0]);
        assert_eq!(runner.status().restarts, 0);
    }
}

async fn several() {
    let mut runners = Vec::new();
    for _ in 0..3 {
        runners.push(start(PRODUCT, on(Device::Cuda(0))).await);
    }
    let expected = values(&runners[0], square(1)).await;
    let started = Instant::now();
    let [first, second, third] = runners.as_slice() else {
        unreachable!("three were started")
    };
    for _ in 0..REQUESTS {
        let answers = tokio::join!(
            values(first, square(1)),
            values(second, square(1)),
            values(third, square(1))
        );
        let same = [answers.0, answers.1, answers.2]
            .iter()
            .all(|answer| *answer == expected);
        assert!(same, "models on one GPU disturb each other");
    }
    let rate = (3 * REQUESTS) as f64 / started.elapsed().as_secs_f64();
    println!("3 models on one GPU: {rate:.0} products per second together");
}

async fn self_test() {
    let checks = start(PRODUCT, on(Device::Cuda(0)))
        .await
        .self_test()
        .await
        .unwrap();
    let open: Vec<_> = checks.iter().filter(|check| !check.denied).collect();
    assert!(open.is_empty(), "{open:?}");
    println!("isolation: {} ways out are closed", checks.len());
}

#[tokio::main]
async fn main() {
    equality().await;
    memory().await;
    several().await;
    self_test().await;
}
