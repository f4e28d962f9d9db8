//! Hostile packages of all three runtimes: each way out is denied, each excess contained and reported by name, and
//! another model answers meanwhile. The table in `docs/threat-model.md` is what this suite sees.
//!
//! Models of TorchScript and ONNX cannot make system calls, so for the ways out their runners make the calls themselves
//! (the self-test), in the very process that holds the model; a `predict.py` makes them itself. The suite runs as the
//! user who runs the tests and, when that is root, once more as an ordinary user, with everything it needs in a
//! folder that this user can read. Two attempts no model can make in these two runtimes are made from outside: a signal
//! stands for a crash inside a library, and a time limit that no process keeps for a model that loads too long.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]

#[allow(
    dead_code,
    reason = "it is shared with the supervisor's tests, which use the rest"
)]
#[path = "../../../supervisor/tests/runner/archive.rs"]
mod archive;
mod onnx;
mod ordinary_user;
mod python;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use fieldmark_package::{Package, PackageError, Source, Workshop, pack, values};
use fieldmark_supervisor::{
    FailureCode, InferError, Limits, Runner, RunnerSpec, StartError, SupervisorConfig, Tensor, tensor_f32,
    tensor_texts, tensor_values_f32,
};
use rustix::process::{Pid, Signal, kill_process};
use table::{Denial, RUNTIMES, Row};
use tempfile::TempDir;

/// Ways out that the self-test of a runner tries, by the name it has there.
const TRIED: [(&str, &str); 11] = [
    ("read outside", "open-file"),
    ("write outside", "write-file"),
    ("TCP", "tcp-connect"),
    ("UDP", "udp-send"),
    ("Unix sockets", "unix-socket"),
    ("signals", "kill-parent"),
    ("ptrace", "ptrace-parent"),
    ("/proc of others", "proc-of-others"),
    ("exec", "execute"),
    ("fork bomb", "fork"),
    ("descriptors left open", "inherited-descriptors"),
];
/// What takes system calls that the self-test does not make, and no operator of these two formats does.
const BEYOND_THE_FORMATS: [&str; 4] = [
    "network interfaces",
    "thread bomb",
    "shared memory",
    "forged answers",
];
/// Longest request of a model that does not come back.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the packages are made ready, and what every runner may use.
fn workshop(home: &Path) -> Workshop {
    let mut config = match std::env::var_os(ordinary_user::FOLDER) {
        Some(folder) => SupervisorConfig::in_folder(&PathBuf::from(folder).join("bin")).unwrap(),
        None => SupervisorConfig::beside_current_exe().unwrap(),
    };
    config.limits.memory_bytes_max = 1 << 30;
    config.limits.request_timeout = Duration::from_secs(60);
    let mut workshop = Workshop::new(home, config);
    let system = PathBuf::from("/usr/bin/python3");
    if system.exists() {
        workshop.python = system;
    }
    workshop
}

/// A package folder of one runtime: `x` in, `y` out.
fn package(runtime: &str, artifact: &str, content: &[u8], input: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let manifest = format!(
        "[model]\nname = \"hostile\"\nversion = \"1.0.0\"\nruntime = \"{runtime}\"\nartifact = \"{artifact}\"\n\
         [[input]]\nname = \"x\"\ndatatype = \"{input}\"\nshape = [-1]\n\
         [[output]]\nname = \"y\"\ndatatype = \"FP32\"\nshape = [-1]\n[sample]\nfile = \"sample.json\"\n"
    );
    let sample = if input == "BYTES" {
        r#"{"x": ["wrong shapes"]}"#
    } else {
        r#"{"x": [2.0]}"#
    };
    for (file, content) in [
        (artifact, content),
        ("fieldmark.toml", manifest.as_bytes()),
        ("README.md", b"---\nlicense: mit\n---\n# Hostile\n"),
        ("sample.json", sample.as_bytes()),
    ] {
        std::fs::write(folder.path().join(file), content).unwrap();
    }
    folder
}

/// A package that does not mean well, and one that does, which is asked whenever the other has had its turn.
struct Stage {
    workshop: Workshop,
    honest: Runner,
    _home: TempDir,
}

impl Stage {
    async fn set() -> Self {
        let home = tempfile::tempdir().unwrap();
        let workshop = workshop(home.path());
        let folder = package("onnx", "model.onnx", &onnx::square(), "FP32");
        let spec = spec(&workshop, folder.path()).await.unwrap();
        let honest = Runner::start(&workshop.config, spec).await.unwrap();
        Self {
            workshop,
            honest,
            _home: home,
        }
    }

    /// Starts a package's model and asks it once, while the honest one is asked too.
    async fn ask(&self, folder: &Path, input: Tensor) -> Result<Vec<Tensor>, InferError> {
        let limits = self.workshop.config.limits.clone();
        self.ask_within(folder, input, limits).await
    }

    /// The same with a model that would not come back.
    async fn wait_for(&self, folder: &Path, input: Tensor) -> InferError {
        let mut limits = self.workshop.config.limits.clone();
        limits.request_timeout = PATIENCE;
        self.ask_within(folder, input, limits).await.unwrap_err()
    }

    async fn ask_within(
        &self,
        folder: &Path,
        input: Tensor,
        limits: Limits,
    ) -> Result<Vec<Tensor>, InferError> {
        let spec = spec(&self.workshop, folder).await.unwrap().limits(limits);
        let runner = Runner::start(&self.workshop.config, spec).await.unwrap();
        let (answer, ()) = tokio::join!(runner.infer(vec![input]), self.honest_answers());
        runner.shutdown().await;
        self.honest_answers().await;
        answer
    }

    async fn honest_answers(&self) {
        let answer = self.honest.infer(vec![x(&[3.0])]).await.unwrap();
        assert_eq!(tensor_values_f32(&answer[0]).unwrap(), [9.0]);
    }

    /// A crash from outside, in a model that squares.
    async fn crash(&self, folder: &Path) -> InferError {
        let spec = spec(&self.workshop, folder).await.unwrap();
        let runner = Runner::start(&self.workshop.config, spec).await.unwrap();
        let pid = Pid::from_raw(runner.status().pid.unwrap().cast_signed()).unwrap();
        no_core_is_written(pid);
        let spinning = runner.infer(vec![x(&[1e15])]);
        let killing = async {
            while runner.status().requests == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            kill_process(pid, Signal::KILL).unwrap();
        };
        let (answer, ()) = tokio::join!(spinning, killing);
        self.honest_answers().await;
        answer.unwrap_err()
    }

    /// A limit on loading that nobody keeps.
    async fn load_too_long(&self, folder: &Path, limit: Duration) -> StartError {
        let mut spec = spec(&self.workshop, folder).await.unwrap();
        let mut limits = self.workshop.config.limits.clone();
        limits.load_timeout = limit;
        spec = spec.limits(limits);
        let error = Runner::start(&self.workshop.config, spec).await.unwrap_err();
        self.honest_answers().await;
        error
    }

    async fn self_test(&self, folder: &Path) -> Vec<(&'static str, Denial)> {
        let spec = spec(&self.workshop, folder).await.unwrap();
        let runner = Runner::start(&self.workshop.config, spec).await.unwrap();
        let checks = runner.self_test().await.unwrap();
        let open: Vec<_> = checks.iter().filter(|check| !check.denied).collect();
        assert!(open.is_empty(), "{open:?}");
        let of = |tried: &str| {
            let check = checks.iter().find(|check| check.name == tried);
            Denial::of_kernel(&check.unwrap_or_else(|| panic!("{tried} was not tried")).detail)
        };
        TRIED
            .iter()
            .map(|(attempt, tried)| (*attempt, of(tried)))
            .collect()
    }
}

async fn spec(workshop: &Workshop, folder: &Path) -> Result<RunnerSpec, PackageError> {
    let release = Package::read(folder)?.hash()?;
    workshop.prepare(&release, Source::Folder(folder)).await
}

fn x(values: &[f32]) -> Tensor {
    tensor_f32("x", &[i64::try_from(values.len()).unwrap()], values)
}

/// The kernel's own limits of a process, seen from outside.
fn no_core_is_written(pid: Pid) {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

fn nan_is_passed_on(answer: &[Tensor]) -> Denial {
    assert!(
        tensor_values_f32(&answer[0])
            .unwrap()
            .iter()
            .all(|value| value.is_nan())
    );
    let json = values::to_protocol(&answer[0]).unwrap();
    assert!(
        json["data"]
            .as_array()
            .unwrap()
            .iter()
            .all(serde_json::Value::is_null)
    );
    Denial::PassedOn
}

/// What the two runtimes without system calls are tried with.
struct Models {
    runtime: &'static str,
    artifact: &'static str,
    square: Vec<u8>,
    zeros: Vec<u8>,
    spin: Vec<u8>,
    nan: Vec<u8>,
    wrong: Vec<u8>,
    /// One that prints without end, where the format can.
    output: Option<Vec<u8>>,
    /// The input on which `spin` does not come back.
    forever: f32,
}

async fn without_calls(stage: &Stage, models: &Models) -> Vec<(&'static str, Denial)> {
    let package = |content: &[u8]| package(models.runtime, models.artifact, content, "FP32");
    let mut rows = stage.self_test(package(&models.square).path()).await;
    let bomb = stage
        .ask(package(&models.zeros).path(), x(&[6.4e10]))
        .await
        .unwrap_err();
    rows.push(("memory bomb", Denial::of_request(&bomb)));
    let spin = package(&models.spin);
    let forever = stage.wait_for(spin.path(), x(&[models.forever])).await;
    rows.push(("CPU spin", Denial::of_request(&forever)));
    let output = match &models.output {
        Some(model) => Denial::of_request(&stage.wait_for(package(model).path(), x(&[1.0])).await),
        None => Denial::Impossible,
    };
    rows.push(("endless output", output));
    let huge = stage
        .ask(package(&models.zeros).path(), x(&[5e7]))
        .await
        .unwrap_err();
    rows.push(("huge tensors", Denial::of_request(&huge)));
    let lie = pack(package(&models.wrong).path(), &stage.workshop)
        .await
        .unwrap_err();
    rows.push(("wrong shapes", Denial::of_package(&lie)));
    let nan = stage
        .ask(package(&models.nan).path(), x(&[1.0; 1000]))
        .await
        .unwrap();
    rows.push(("NaN flood", nan_is_passed_on(&nan)));
    let crash = stage.crash(spin.path()).await;
    rows.push(("segfault", Denial::of_request(&crash)));
    let hang = stage.wait_for(spin.path(), x(&[models.forever])).await;
    rows.push(("hang", Denial::of_request(&hang)));
    rows.push(("core dumps", Denial::NoCore));
    let slow = stage
        .load_too_long(package(&models.square).path(), Duration::from_millis(1))
        .await;
    rows.push(("timing out on load", Denial::of_start(&slow)));
    rows.extend(BEYOND_THE_FORMATS.map(|attempt| (attempt, Denial::Impossible)));
    rows
}

async fn torchscript(stage: &Stage) -> Vec<(&'static str, Denial)> {
    let made = |body: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::read(archive::write(folder.path(), body)).unwrap()
    };
    let models = Models {
        runtime: "torchscript",
        artifact: "model.pt",
        square: made(archive::SQUARE),
        zeros: made("return torch.zeros([int(torch.sum(x))])"),
        spin: made(
            "n = int(torch.sum(x))\ny = torch.mul(x, x)\n_0 = True\nz = y\ni = 0\nwhile _0:\n  z = torch.add(z, 1)\n  \
             i = torch.add(i, 1)\n  _0 = torch.lt(i, n)\nreturn z",
        ),
        nan: made("return torch.div(torch.sub(x, x), torch.sub(x, x))"),
        wrong: made("return torch.unsqueeze(x, 0)"),
        output: Some(made("_0 = True\nz = x\nwhile _0:\n  print(z)\nreturn z")),
        forever: 1e15,
    };
    without_calls(stage, &models).await
}

async fn onnx(stage: &Stage) -> Vec<(&'static str, Denial)> {
    let models = Models {
        runtime: "onnx",
        artifact: "model.onnx",
        square: onnx::square(),
        zeros: onnx::zeros(),
        spin: onnx::spin(),
        nan: onnx::nan(),
        wrong: onnx::wrong_rank(),
        output: None,
        forever: 1e15,
    };
    without_calls(stage, &models).await
}

async fn python(stage: &Stage) -> Vec<(&'static str, Denial)> {
    let hostile = package("python", "predict.py", python::HOSTILE.as_bytes(), "BYTES");
    let mut rows = Vec::new();
    for attempt in table::ATTEMPTS {
        let denial = match attempt {
            "wrong shapes" => Denial::of_package(&pack(hostile.path(), &stage.workshop).await.unwrap_err()),
            "timing out on load" => {
                let slow = package("python", "predict.py", python::SLOW_LOAD.as_bytes(), "BYTES");
                Denial::of_start(&stage.load_too_long(slow.path(), PATIENCE).await)
            }
            "NaN flood" => {
                let answer = stage
                    .ask(hostile.path(), tensor_texts("x", &[attempt]))
                    .await
                    .unwrap();
                assert_eq!(answer[0].shape, [100_000]);
                Denial::PassedOn
            }
            "core dumps" => {
                let spec = spec(&stage.workshop, hostile.path()).await.unwrap();
                let runner = Runner::start(&stage.workshop.config, spec).await.unwrap();
                no_core_is_written(Pid::from_raw(runner.status().pid.unwrap().cast_signed()).unwrap());
                let crash = runner
                    .infer(vec![tensor_texts("x", &[attempt])])
                    .await
                    .unwrap_err();
                assert!(matches!(crash, InferError::Crashed { .. }), "{crash}");
                Denial::NoCore
            }
            "CPU spin" | "endless output" | "hang" => {
                let error = stage
                    .wait_for(hostile.path(), tensor_texts("x", &[attempt]))
                    .await;
                Denial::of_request(&error)
            }
            _ => {
                let error = stage
                    .ask(hostile.path(), tensor_texts("x", &[attempt]))
                    .await
                    .unwrap_err();
                Denial::of_request(&error)
            }
        };
        rows.push((attempt, denial));
    }
    survives(stage, hostile.path()).await;
    rows
}

/// Requests that failed in every way a process survives leave it serving.
async fn survives(stage: &Stage, folder: &Path) {
    let spec = spec(&stage.workshop, folder).await.unwrap();
    let runner = Runner::start(&stage.workshop.config, spec).await.unwrap();
    for attempt in [
        "read outside",
        "fork bomb",
        "huge tensors",
        "descriptors left open",
    ] {
        let error = runner
            .infer(vec![tensor_texts("x", &[attempt])])
            .await
            .unwrap_err();
        assert!(matches!(error, InferError::Rejected { .. }), "{attempt}: {error}");
    }
    assert_eq!(
        runner
            .infer(vec![tensor_texts("x", &["nothing"])])
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(runner.status().restarts, 0);
    runner.shutdown().await;
}

/// Everything, as the user this process is.
async fn suite() -> Vec<Row> {
    let stage = Stage::set().await;
    let seen = [
        torchscript(&stage).await,
        onnx(&stage).await,
        python(&stage).await,
    ];
    stage.honest.shutdown().await;
    let of = |attempt: &'static str, runtime: usize| {
        let row = seen[runtime].iter().find(|(name, _)| *name == attempt);
        row.unwrap_or_else(|| panic!("{attempt} was not tried with {}", RUNTIMES[runtime]))
            .1
    };
    table::ATTEMPTS
        .iter()
        .map(|attempt| Row {
            attempt,
            denials: [0, 1, 2].map(|at| of(attempt, at)),
        })
        .collect()
}

#[tokio::test]
async fn every_escape_is_denied_or_contained_and_the_page_says_by_whom() {
    let seen = table::markdown(&suite().await);
    if std::env::var_os(ordinary_user::FOLDER).is_some() {
        println!("{}{seen}{}", ordinary_user::BEGIN, ordinary_user::END);
        return;
    }
    table::compare_with_the_page(&seen);
    if rustix::process::geteuid().is_root() {
        let theirs = ordinary_user::run_again();
        assert_eq!(theirs, seen, "an ordinary user sees another table than root");
    }
}
