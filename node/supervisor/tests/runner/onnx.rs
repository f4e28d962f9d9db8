//! ONNX models written byte by byte, and what a user of the supervisor sees of them.

use crate::config;
use fieldmark_supervisor::{
    FailureCode, Runner, RunnerSpec, Runtime, StartError, tensor_f32, tensor_values_f32,
};

/// A field of a protobuf message that holds bytes, fewer than 128.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 0x80);
    [&[number << 3 | 2, length], content].concat()
}

/// `y = x · x` of FP32 matrices of any size. Elements beyond `graph` are added to the graph.
fn product(more: &[u8]) -> Vec<u8> {
    let value = |name: &[u8]| {
        let free = field(1, &field(2, b"n"));
        let tensor = field(1, &[vec![8, 1], field(2, &free.repeat(2))].concat());
        [field(1, name), field(2, &tensor)].concat()
    };
    let node = [
        field(1, b"x"),
        field(1, b"x"),
        field(2, b"y"),
        field(4, b"MatMul"),
    ]
    .concat();
    let inner = [
        field(1, &node),
        field(2, b"g"),
        field(11, &value(b"x")),
        field(12, &value(b"y")),
    ];
    let graph = [inner.concat(), more.to_vec()].concat();
    [vec![8, 8], field(7, &graph), field(8, &[16, 13])].concat()
}

async fn start(bytes: &[u8]) -> Result<Runner, StartError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, bytes).unwrap();
    let mut config = config();
    config.limits.threads = 2;
    Runner::start(&config, RunnerSpec::new("square", path).runtime(Runtime::Onnx)).await
}

#[tokio::test]
async fn an_onnx_model_answers_behind_every_layer() {
    let runner = start(&product(&[])).await.unwrap();
    for rows in [1_i64, 64] {
        let values = vec![1.0; usize::try_from(rows * rows).unwrap()];
        let outputs = runner
            .infer(vec![tensor_f32("x", &[rows, rows], &values)])
            .await
            .unwrap();
        let expected = rows as f32;
        assert!(
            tensor_values_f32(&outputs[0])
                .unwrap()
                .iter()
                .all(|value| *value == expected)
        );
    }
    let status = runner.status();
    assert_eq!(
        (status.runtime, status.device.as_str(), status.restarts),
        ("onnx", "cpu", 0)
    );
    assert!(
        status.layers.iter().any(|layer| layer == "seccomp"),
        "{:?}",
        status.layers
    );
    let open: Vec<_> = runner
        .self_test()
        .await
        .unwrap()
        .into_iter()
        .filter(|check| !check.denied)
        .collect();
    assert!(open.is_empty(), "{open:?}");
}

#[tokio::test]
async fn an_onnx_model_with_weights_elsewhere_is_refused_with_the_reason() {
    let entry = [field(1, b"location"), field(2, b"/etc/passwd")].concat();
    let tensor = [field(8, b"w"), field(13, &entry), vec![14 << 3, 1]].concat();
    let error = start(&product(&field(5, &tensor))).await.unwrap_err();
    let StartError::Rejected { code, message, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*code, FailureCode::Artifact);
    assert!(
        message.contains("/etc/passwd") && message.contains("another file"),
        "{message}"
    );
}

#[tokio::test]
async fn a_runtime_that_is_not_installed_is_named() {
    let mut config = config();
    config.onnx_runner = None;
    let error = Runner::start(&config, RunnerSpec::new("m", "m.onnx").runtime(Runtime::Onnx)).await;
    let line = error.unwrap_err().to_string();
    assert!(
        line.contains("fieldmark-runner-onnx") && line.contains("onnx releases"),
        "{line}"
    );
}
