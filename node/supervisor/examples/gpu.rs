//! Models on an NVIDIA GPU, behind every layer: `cargo xtask gpu` starts it. A check that fails ends it with a
//! panic that says which. The runtimes to check may be named: `torchscript`, `onnx`.
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
    Device, FailureCode, InferError, Limits, Runner, RunnerSpec, Runtime, SupervisorConfig, Tensor,
    tensor_f32, tensor_values_f32,
};
use std::path::{Path, PathBuf};
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
/// Squares its input; takes an element far beyond its end if the sum is negative, which on a GPU is noticed only
/// there, and leaves the process without it.
const BEYOND: &str = "\
if bool(torch.lt(torch.sum(x), 0)):
  y = torch.index_select(x, 0, torch.add(torch.argmax(x), 1000000))
else:
  y = torch.mul(x, x)
return y";
const SIDE: i64 = 512;
/// A matrix of so many rows and columns is 61 MiB: it fits into a frame, and its product with itself not into
/// [`ONNX_CAP`] beside it.
const LARGE_SIDE: i64 = 4000;
const ONNX_CAP: u64 = 64 << 20;
const REQUESTS: usize = 200;

async fn start(body: &str, limits: Limits) -> Runner {
    let folder = tempfile::tempdir().unwrap();
    let path = archive::write(folder.path(), body);
    started(RunnerSpec::new("on-gpu", path), limits).await
}

async fn start_onnx(limits: Limits) -> Runner {
    let folder = tempfile::tempdir().unwrap();
    let path = write_onnx(folder.path());
    started(
        RunnerSpec::new("onnx-on-gpu", path).runtime(Runtime::Onnx),
        limits,
    )
    .await
}

async fn started(spec: RunnerSpec, limits: Limits) -> Runner {
    let program = std::env::current_exe().unwrap();
    let config = SupervisorConfig::in_folder(program.ancestors().nth(2).unwrap()).unwrap();
    Runner::start(&config, spec.limits(limits)).await.unwrap()
}

/// Writes `y = x · x` of FP32 matrices of any size as an ONNX model.
fn write_onnx(folder: &Path) -> PathBuf {
    let field = |number: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).unwrap();
        [&[number << 3 | 2, length], content].concat()
    };
    let value = |name: &[u8]| {
        let free = field(1, &field(2, b"n"));
        let tensor = field(1, &[vec![8, 1], field(2, &free.repeat(2))].concat());
        [field(1, name), field(2, &tensor)].concat()
    };
    let (x, y) = (field(1, b"x"), field(2, b"y"));
    let node = [x.clone(), x, y, field(4, b"MatMul")].concat();
    let graph = [
        field(1, &node),
        field(2, b"g"),
        field(11, &value(b"x")),
        field(12, &value(b"y")),
    ];
    let path = folder.join("model.onnx");
    let model = [vec![8, 8], field(7, &graph.concat()), field(8, &[16, 13])].concat();
    std::fs::write(&path, model).unwrap();
    path
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

async fn equality(runtime: &str, cpu: Runner, gpu: Runner) {
    let status = gpu.status();
    assert_eq!(status.device, "cuda:0");
    assert!(
        status.layers.iter().any(|layer| layer == "seccomp"),
        "{:?}",
        status.layers
    );
    println!(
        "{runtime}: load: {:.2} s on the GPU, {:.2} s on the CPU",
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
            "{runtime}, {name}: {:.2} ms per {SIDE}×{SIDE} product",
            started.elapsed().as_secs_f64() * 1e3 / REQUESTS as f64
        );
    }
}

/// Memory that runs out is an answer, and the process serves on.
async fn memory(what: &str, runner: &Runner, input: Tensor, small: &[i64]) {
    let message = rejected(runner, input, FailureCode::Memory).await;
    println!("out of memory ({what}): {message}");
    assert_eq!(values(runner, vec![tensor_f32("x", small, &[3.0])]).await, [9.0]);
    assert_eq!(runner.status().restarts, 0);
}

fn capped(bytes: u64) -> Limits {
    Limits {
        gpu_memory_bytes_max: Some(bytes),
        ..on(Device::Cuda(0))
    }
}

/// What a request is refused with, which must be of the kind `expected`.
async fn rejected(runner: &Runner, input: Tensor, expected: FailureCode) -> String {
    match runner.infer(vec![input]).await.unwrap_err() {
        InferError::Rejected { code, message, .. } if code == expected => message,
        error => panic!("{error}"),
    }
}

/// An error on the device is answered, and the next request by a new process.
async fn recovery() {
    let folder = tempfile::tempdir().unwrap();
    let path = archive::write(folder.path(), BEYOND);
    let runner = started(RunnerSpec::new("beyond", path), on(Device::Cuda(0))).await;
    let message = rejected(&runner, tensor_f32("x", &[1], &[-1.0]), FailureCode::Device).await;
    println!("an error on the device: {message}");
    let started = Instant::now();
    assert_eq!(values(&runner, vec![tensor_f32("x", &[1], &[3.0])]).await, [9.0]);
    assert_eq!(runner.status().restarts, 1);
    println!("recovery: {:.2} s", started.elapsed().as_secs_f64());
}

/// The limits that hold where nobody says anything are enough for CUDA.
async fn usual() {
    let limits = Limits {
        device: Device::Cuda(0),
        ..Limits::default()
    };
    let runner = start(PRODUCT, limits).await;
    for seed in 0..20 {
        values(&runner, square(seed)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let status = runner.status();
    println!(
        "memory beside the GPU's: {} MiB of {} MiB that are usual",
        status.memory_bytes_peak >> 20,
        status.limits.memory_bytes_max >> 20
    );
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

async fn self_test(runtime: &str, runner: Runner) {
    let checks = runner.self_test().await.unwrap();
    let open: Vec<_> = checks.iter().filter(|check| !check.denied).collect();
    assert!(open.is_empty(), "{runtime}: {open:?}");
    println!("isolation, {runtime}: {} ways out are closed", checks.len());
}

async fn torchscript() {
    let (name, gpu) = ("TorchScript", on(Device::Cuda(0)));
    equality(
        name,
        start(PRODUCT, on(Device::Cpu)).await,
        start(PRODUCT, gpu.clone()).await,
    )
    .await;
    let negative = || tensor_f32("x", &[1], &[-1.0]);
    memory("all of the device", &start(BOMB, gpu).await, negative(), &[1]).await;
    memory(
        "its own share",
        &start(GREED, capped(256 << 20)).await,
        negative(),
        &[1],
    )
    .await;
    recovery().await;
    usual().await;
    several().await;
    // With a cap, which libtorch reads from the environment.
    self_test(name, start(PRODUCT, capped(1 << 30)).await).await;
}

async fn onnx() {
    let name = "ONNX";
    equality(
        name,
        start_onnx(on(Device::Cpu)).await,
        start_onnx(on(Device::Cuda(0))).await,
    )
    .await;
    let elements = usize::try_from(LARGE_SIDE * LARGE_SIDE).unwrap();
    let large = tensor_f32("x", &[LARGE_SIDE, LARGE_SIDE], &vec![1.0; elements]);
    memory(
        "its own share, ONNX",
        &start_onnx(capped(ONNX_CAP)).await,
        large,
        &[1, 1],
    )
    .await;
    self_test(name, start_onnx(capped(1 << 30)).await).await;
}

#[tokio::main]
async fn main() {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |runtime: &str| named.is_empty() || named.iter().any(|name| name == runtime);
    if wanted("torchscript") {
        torchscript().await;
    }
    if wanted("onnx") {
        onnx().await;
    }
}
