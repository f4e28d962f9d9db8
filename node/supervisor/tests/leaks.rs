//! Alone in its process, because it counts what the whole process has open.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[path = "runner/archive.rs"]
#[expect(dead_code, reason = "the other fixtures are for the other test")]
mod archive;

use fieldmark_supervisor::{Runner, RunnerSpec, SupervisorConfig, tensor_f32};
use std::time::Duration;

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn children() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.map(|list| list.split_whitespace().count()).sum()
}

async fn once(kill: bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = SupervisorConfig::beside_current_exe().unwrap();
    config.limits.request_timeout = Duration::from_millis(100);
    let spec = RunnerSpec::new("leaky", archive::write(folder.path(), archive::SPIN));
    let runner = Runner::start(&config, spec).await.unwrap();
    let sign = if kill { -1.0 } else { 1.0 };
    let outcome = runner.infer(vec![tensor_f32("x", &[1], &[sign])]).await;
    assert_eq!(outcome.is_err(), kill);
    runner.shutdown().await;
}

#[tokio::test]
async fn runners_leave_neither_descriptors_nor_zombies() {
    once(false).await;
    let before = open_descriptors();
    for round in 0..4 {
        once(round % 2 == 0).await;
    }
    assert_eq!(open_descriptors(), before);
    assert_eq!(children(), 0);
}
