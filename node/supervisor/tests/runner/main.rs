//! Real runner processes with honest and hostile releases: what a user of the supervisor sees.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]

mod archive;
mod failures;
mod onnx;
mod shared;

use fieldmark_supervisor::{
    Device, FailureCode, InferError, Isolation, Runner, RunnerSpec, RunnerState, Runtime, StartError,
    SupervisorConfig, Tensor, probe_isolation, tensor_f32, tensor_values_f32,
};
use rustix::process::{Pid, test_kill_process};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const NAME: &str = "tester/square@1.0.0";

fn config() -> SupervisorConfig {
    let mut config = SupervisorConfig::beside_current_exe().unwrap();
    config.limits.memory_bytes_max = 512 << 20;
    config
}

async fn start(config: &SupervisorConfig, body: &str) -> (TempDir, Runner) {
    let folder = tempfile::tempdir().unwrap();
    let spec = RunnerSpec::new(NAME, archive::write(folder.path(), body))
        .inputs(["x"])
        .outputs(["y"]);
    let runner = Runner::start(config, spec).await.unwrap();
    (folder, runner)
}

fn x(values: &[f32]) -> Vec<Tensor> {
    vec![tensor_f32("x", &[i64::try_from(values.len()).unwrap()], values)]
}

async fn squares(runner: &Runner) -> Vec<f32> {
    tensor_values_f32(&runner.infer(x(&[2.0, 3.0])).await.unwrap()[0]).unwrap()
}

fn pid_of(runner: &Runner) -> Pid {
    Pid::from_raw(runner.status().pid.unwrap().cast_signed()).unwrap()
}

#[tokio::test]
async fn a_release_answers_behind_every_layer() {
    let (_folder, runner) = start(&config(), archive::SQUARE).await;
    assert_eq!(squares(&runner).await, [4.0, 9.0]);
    let status = runner.status();
    for layer in [
        "user-namespace",
        "pid-namespace",
        "network-namespace",
        "ipc-namespace",
        "mount-namespace",
        "limits",
        "empty-root",
        "unprivileged-user",
        "no-capabilities",
        "no-new-privileges",
        "landlock",
        "seccomp",
    ] {
        assert!(
            status.layers.iter().any(|found| found.starts_with(layer)),
            "{layer} in {:?}",
            status.layers
        );
    }
    assert_eq!(
        (status.state, status.restarts, status.requests),
        (RunnerState::Ready, 0, 1)
    );
}

/// Trains for one pass on made-up digits, so that libtorch's own tracer writes the archive.
fn traced_network(folder: &TempDir, config: &SupervisorConfig, kind: &str) -> PathBuf {
    let row = |row: usize| {
        let pixels = (0..64).map(|pixel| ((row * 7 + pixel * 3) % 17).to_string());
        pixels
            .chain([(row % 10).to_string()])
            .collect::<Vec<_>>()
            .join(",")
    };
    let data = folder.path().join("digits.csv");
    std::fs::write(&data, (0..80).map(row).collect::<Vec<_>>().join("\n")).unwrap();
    let out = folder.path().join(kind);
    let trained = Command::new(config.runner.with_file_name("fieldmark-train"))
        .args(["--rows", "0..80", "--epochs", "1", "--model", kind, "--data"])
        .arg(data)
        .arg("--out")
        .arg(&out)
        .status();
    assert!(trained.unwrap().success());
    out.join("model.pt")
}

#[tokio::test]
async fn a_traced_network_runs_behind_every_layer() {
    let (folder, mut config) = (tempfile::tempdir().unwrap(), config());
    config.limits.threads = 2;
    for kind in ["logistic", "mlp", "cnn"] {
        let artifact = traced_network(&folder, &config, kind);
        let runner = Runner::start(&config, RunnerSpec::new(kind, artifact).outputs(["logits"]))
            .await
            .unwrap();
        for batch in [1, 256] {
            let images = tensor_f32(
                "image",
                &[batch, 64],
                &vec![8.0; usize::try_from(batch * 64).unwrap()],
            );
            let logits = &runner.infer(vec![images]).await.unwrap()[0];
            assert_eq!(
                (logits.name.as_str(), &logits.shape[..]),
                ("logits", &[batch, 10][..])
            );
            assert!(
                tensor_values_f32(logits)
                    .unwrap()
                    .iter()
                    .all(|logit| logit.is_finite())
            );
        }
        runner.shutdown().await;
    }
}

#[tokio::test]
async fn a_runner_process_is_stripped_of_rights() {
    let (_folder, runner) = start(&config(), archive::SQUARE).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", runner.status().pid.unwrap())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    for capabilities in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(capabilities), ["0000000000000000"], "{capabilities}");
    }
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    assert_eq!(field("Seccomp:"), ["2"]);
    assert!(field("Uid:").iter().all(|id| id != "0"), "{:?}", field("Uid:"));
}

#[tokio::test]
async fn every_way_out_is_closed() {
    let (_folder, runner) = start(&config(), archive::SQUARE).await;
    let checks = runner.self_test().await.unwrap();
    let open: Vec<_> = checks.iter().filter(|check| !check.denied).collect();
    assert!(open.is_empty(), "{open:?}");
    for name in [
        "open-file",
        "tcp-connect",
        "udp-send",
        "unix-socket",
        "fork",
        "execute",
        "ptrace-parent",
        "kill-parent",
    ] {
        assert!(
            checks.iter().any(|check| check.name == name),
            "{name} was not tried"
        );
    }
    assert_eq!(squares(&runner).await, [4.0, 9.0]);
}

#[tokio::test]
async fn a_runner_is_in_a_control_group_where_some_can_be_made() {
    let probes = probe_isolation(&config()).await.unwrap();
    let there = probes
        .iter()
        .any(|probe| probe.layer == "cgroup" && probe.available);
    let (_folder, runner) = start(&config(), archive::SQUARE).await;
    let status = runner.status();
    assert_eq!(
        status.control_group.is_some(),
        there,
        "{:?}",
        status.control_group
    );
    let Some(group) = status.control_group else { return };
    let members = std::fs::read_to_string(format!("{group}/cgroup.procs")).unwrap();
    let pid = status.pid.unwrap().to_string();
    assert_eq!(members.lines().collect::<Vec<_>>(), [pid.as_str()]);
    runner.shutdown().await;
    assert!(!std::path::Path::new(&group).exists());
}

#[tokio::test]
async fn a_gpu_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = archive::write(folder.path(), archive::SQUARE);
    let mut config = config();
    config.limits.device = Device::Cuda(63);
    for runtime in [Runtime::TorchScript, Runtime::Onnx] {
        let error = Runner::start(&config, RunnerSpec::new(NAME, &path).runtime(runtime))
            .await
            .unwrap_err();
        let StartError::Rejected { code, message, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(*code, FailureCode::Device);
        assert!(
            message.contains("cuda:63") || message.contains("CUDA"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn threads_start_behind_the_layers() {
    let mut config = config();
    config.limits.threads = 2;
    let (_folder, runner) = start(&config, archive::MANY_THREADS).await;
    runner.infer(x(&[1.0])).await.unwrap();
    let tasks = std::fs::read_dir(format!("/proc/{}/task", runner.status().pid.unwrap())).unwrap();
    assert!(tasks.count() > 1);
    assert_eq!(runner.status().threads, 2);
}

#[tokio::test]
async fn a_model_cannot_read_a_file() {
    let (_folder, runner) = start(&config(), archive::READ_FILE).await;
    let error = runner.infer(x(&[1.0])).await.unwrap_err();
    let InferError::Rejected {
        code: FailureCode::Model,
        message,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert!(message.contains("/etc/passwd"), "{message}");
}

#[tokio::test]
async fn what_is_no_torchscript_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pt");
    for (content, sign) in [
        (&b"\x80\x02}q\x00."[..], "pickle"),
        (b"", "empty"),
        (&[b'x'; 1 << 20], "TorchScript"),
    ] {
        std::fs::write(&path, content).unwrap();
        let error = Runner::start(&config(), RunnerSpec::new(NAME, &path))
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                StartError::Rejected {
                    code: FailureCode::Artifact,
                    ..
                }
            ),
            "{error}"
        );
        let line = error.to_string();
        assert!(line.contains(NAME) && line.contains(sign), "{line}");
    }
    let missing = Runner::start(&config(), RunnerSpec::new(NAME, folder.path().join("none.pt"))).await;
    assert!(matches!(missing, Err(StartError::Artifact { .. })));
}

#[tokio::test]
async fn a_wrong_request_leaves_the_process_alone() {
    let (_folder, runner) = start(&config(), archive::SQUARE).await;
    let pid = pid_of(&runner);
    let cases = [
        (vec![tensor_f32("x", &[3], &[1.0])], "takes 12 bytes, 4 given"),
        (vec![tensor_f32("x", &[-1], &[1.0])], "shape"),
        (vec![tensor_f32("z", &[1], &[1.0])], "\"x\" is missing"),
        (
            vec![Tensor {
                datatype: "BYTES".into(),
                ..tensor_f32("x", &[1], &[1.0])
            }],
            "0 texts",
        ),
    ];
    for (inputs, sign) in cases {
        let error = runner.infer(inputs).await.unwrap_err();
        assert!(
            matches!(
                error,
                InferError::Rejected {
                    code: FailureCode::Input,
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains(sign), "{error}");
    }
    let large = vec![tensor_f32("x", &[20 << 20], &vec![0.0; 20 << 20])];
    assert!(matches!(
        runner.infer(large).await,
        Err(InferError::TooLarge { .. })
    ));
    assert_eq!(squares(&runner).await, [4.0, 9.0]);
    assert_eq!(pid_of(&runner), pid);
}

#[tokio::test]
async fn an_output_without_memory_behind_it_is_refused() {
    let (_folder, runner) = start(&config(), archive::HUGE_OUTPUT).await;
    let error = runner.infer(x(&[1.0])).await.unwrap_err();
    assert!(
        matches!(
            error,
            InferError::Rejected {
                code: FailureCode::Output,
                ..
            }
        ),
        "{error}"
    );
}

/// A launcher replaced by a shell script.
fn scripted_launcher(folder: &TempDir, script: &str) -> PathBuf {
    let path = folder.path().join("scripted-launcher");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

async fn isolation_error(config: &SupervisorConfig, folder: &TempDir) -> String {
    let path = archive::write(folder.path(), archive::SQUARE);
    let error = Runner::start(config, RunnerSpec::new(NAME, path))
        .await
        .unwrap_err();
    assert!(matches!(error, StartError::Isolation { .. }), "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_runner_not_isolated_by_the_launcher_refuses_to_serve() {
    let (folder, mut config) = (tempfile::tempdir().unwrap(), config());
    let runner = config.runner.display();
    let script = format!("exec 3<&0 1>/dev/null\nexec {runner} --isolation=required");
    config.launcher = scripted_launcher(&folder, &script);
    let line = isolation_error(&config, &folder).await;
    assert!(line.contains("user-namespace") && line.contains(NAME), "{line}");
}

#[tokio::test]
async fn a_missing_layer_is_named_and_nothing_runs() {
    let (folder, mut config) = (tempfile::tempdir().unwrap(), config());
    let launcher = config.launcher.display().to_string();
    for (kind, layer) in [
        ("user", "user-namespace"),
        ("net", "network-namespace"),
        ("pid", "pid-namespace"),
    ] {
        // Inside a user namespace, its owner may lower the number of namespaces that can be made.
        let inner = format!("echo 0 > /proc/sys/user/max_{kind}_namespaces && exec {launcher} \"$@\"");
        config.launcher = scripted_launcher(&folder, &format!("exec unshare -Ur sh -c '{inner}' sh \"$@\""));
        let line = isolation_error(&config, &folder).await;
        assert!(line.contains(layer) && line.contains("kernel"), "{line}");
    }
}

/// Started by the next test, in a process of its own.
#[tokio::test]
#[ignore = "it hangs, to be killed by another test"]
async fn a_supervisor_to_be_killed() {
    let (_folder, runner) = start(&config(), archive::SPIN).await;
    println!("\nhanging {}", runner.status().pid.unwrap());
    let _ = runner.infer(x(&[-1.0])).await;
}

#[test]
fn a_killed_supervisor_leaves_no_runner() {
    let mut supervisor = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_supervisor_to_be_killed", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(supervisor.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let pid = lines
        .find_map(|line| line.strip_prefix("hanging ").map(|pid| pid.parse().unwrap()))
        .unwrap();
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    while test_kill_process(Pid::from_raw(pid).unwrap()).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Started by the next test, in a process of its own.
#[tokio::test]
#[ignore = "it expects a removed folder, which another test makes"]
async fn a_supervisor_whose_folder_is_gone() {
    assert!(std::env::current_dir().is_err());
    let (_folder, runner) = start(&config(), archive::SQUARE).await;
    assert_eq!(squares(&runner).await, [4.0, 9.0]);
}

#[test]
fn the_folder_it_was_started_in_may_be_removed() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Command::new("sh")
        .args(["-c", "rmdir \"$PWD\" && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_supervisor_whose_folder_is_gone", "--ignored"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&supervisor.stdout);
    assert!(supervisor.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn without_isolation_no_layer_is_claimed() {
    let mut config = config();
    config.isolation = Isolation::Off;
    let (_folder, runner) = start(&config, archive::SQUARE).await;
    assert_eq!(squares(&runner).await, [4.0, 9.0]);
    assert!(runner.status().layers.is_empty());
    assert!(runner.self_test().await.is_err());
    assert_eq!(squares(&runner).await, [4.0, 9.0]);
}

#[tokio::test]
async fn shutting_down_and_dropping_end_the_process() {
    let (_folder, runner) = start(&config(), archive::SQUARE).await;
    let (pid, left) = (pid_of(&runner), runner.clone());
    runner.shutdown().await;
    assert!(test_kill_process(pid).is_err());
    assert!(matches!(
        left.infer(x(&[1.0])).await,
        Err(InferError::Stopped { .. })
    ));

    let (_folder, runner) = start(&config(), archive::SPIN).await;
    let pid = pid_of(&runner);
    drop(runner);
    while test_kill_process(pid).is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_layers_of_this_machine_are_listed() {
    let probes = probe_isolation(&config()).await.unwrap();
    assert!(
        probes
            .iter()
            .any(|probe| probe.layer == "landlock" && probe.required)
    );
    for probe in probes {
        assert!(probe.available || probe.hint.is_some(), "{probe:?}");
    }
}
