//! Tensors in shared memory, and callers that go away.

use crate::{NAME, archive, config, squares, x};
use fieldmark_supervisor::{Arena, Content, InferError, Input, Region, Runner, RunnerSpec, SupervisorConfig};
use std::time::Duration;
use tempfile::TempDir;

/// Numbers of 4 MiB: beyond what travels in a frame's shadow.
const VALUES: usize = 1 << 20;

async fn start(config: &SupervisorConfig, body: &str) -> (TempDir, Arena, Runner) {
    let folder = tempfile::tempdir().unwrap();
    let arena = Arena::new(64 << 20).unwrap();
    let spec = RunnerSpec::new(NAME, archive::write(folder.path(), body))
        .inputs(["x"])
        .outputs(["y"])
        .arena(arena.clone());
    let runner = Runner::start(config, spec).await.unwrap();
    (folder, arena, runner)
}

fn region(arena: &Arena, values: impl Iterator<Item = f32>) -> Region {
    let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    let mut region = arena.allocate(bytes.len()).unwrap();
    region.write(0, &bytes).unwrap();
    region
}

fn shared(parts: Vec<Region>) -> Vec<Input> {
    let values: usize = parts.iter().map(|part| part.bytes() / 4).sum();
    vec![Input {
        name: "x".into(),
        datatype: "FP32".into(),
        shape: vec![i64::try_from(values).unwrap()],
        content: Content::Shared(parts),
    }]
}

fn values(content: &Content) -> Vec<f32> {
    let bytes = content.to_bytes();
    bytes
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

#[tokio::test]
async fn large_tensors_lie_in_shared_memory_both_ways() {
    let (_folder, arena, runner) = start(&config(), archive::SQUARE).await;
    let whole = || (0_u16..16).cycle().take(VALUES).map(f32::from);
    let expected: Vec<f32> = whole().map(|value| value * value).collect();
    for cut in [VALUES, VALUES / 2] {
        let mut parts = vec![region(&arena, whole().take(cut))];
        if cut < VALUES {
            parts.push(region(&arena, whole().skip(cut)));
        }
        let answer = runner.forward(shared(parts)).await.unwrap();
        assert!(matches!(answer.outputs[0].content, Content::Shared(_)));
        assert!(values(&answer.outputs[0].content) == expected);
        drop(answer);
        assert_eq!(arena.free_bytes(), arena.bytes(), "everything is given back");
    }
    assert_eq!(
        squares(&runner).await,
        [4.0, 9.0],
        "small ones travel in the frame"
    );
}

#[tokio::test]
async fn outputs_find_another_way_when_the_shared_memory_is_full() {
    let (_folder, arena, runner) = start(&config(), archive::SQUARE).await;
    let input = region(&arena, std::iter::repeat_n(3.0, VALUES));
    let _rest: Vec<_> = std::iter::from_fn(|| arena.allocate(1 << 20)).collect();
    let answer = runner.forward(shared(vec![input])).await.unwrap();
    assert!(matches!(answer.outputs[0].content, Content::Inline(_)));
    assert!(values(&answer.outputs[0].content) == vec![9.0; VALUES]);
}

#[tokio::test]
async fn memory_of_another_model_is_refused() {
    let (_folder, _arena, runner) = start(&config(), archive::SQUARE).await;
    let other = Arena::new(1 << 20).unwrap();
    let error = runner
        .forward(shared(vec![region(&other, [2.0].into_iter())]))
        .await
        .unwrap_err();
    assert!(matches!(error, InferError::ForeignMemory { .. }), "{error}");
    assert_eq!(squares(&runner).await, [4.0, 9.0]);
}

#[tokio::test]
async fn shared_memory_outlives_a_process_that_hangs() {
    let mut config = config();
    config.limits.request_timeout = Duration::from_secs(1);
    let (_folder, arena, runner) = start(&config, archive::SPIN).await;
    let hang = shared(vec![region(&arena, std::iter::repeat_n(-1.0, VALUES))]);
    let error = runner.forward(hang).await.unwrap_err();
    assert!(matches!(error, InferError::TimedOut { .. }), "{error}");
    assert_eq!(arena.free_bytes(), arena.bytes());
    let answer = runner
        .forward(shared(vec![region(&arena, std::iter::repeat_n(2.0, VALUES))]))
        .await
        .unwrap();
    assert!(values(&answer.outputs[0].content) == vec![4.0; VALUES]);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_half_exchange() {
    let (_folder, arena, runner) = start(&config(), archive::SQUARE).await;
    for _ in 0..20 {
        let input = shared(vec![region(&arena, std::iter::repeat_n(2.0, VALUES))]);
        // The first look sends the request; then the caller is gone.
        let _ = tokio::time::timeout(Duration::ZERO, runner.forward(input)).await;
        // This one does not even get its turn.
        let _ = tokio::time::timeout(Duration::ZERO, runner.infer(x(&[5.0]))).await;
        assert_eq!(squares(&runner).await, [4.0, 9.0]);
    }
    let status = runner.status();
    assert_eq!((status.restarts, status.last_failure), (0, None));
    runner.shutdown().await;
    assert_eq!(arena.free_bytes(), arena.bytes());
}
