//! Processes that fail, and the requests after them.

use super::{NAME, archive, config, pid_of, squares, start, x};
use fieldmark_supervisor::{InferError, RunnerState};
use rustix::process::{Signal, kill_process, test_kill_process};
use std::time::Duration;

#[tokio::test]
async fn a_memory_bomb_is_one_error_and_the_next_request_works() {
    for body in [archive::BIG_BOMB, archive::SLOW_BOMB] {
        let (_folder, runner) = start(&config(), body).await;
        let error = runner.infer(x(&[-1.0])).await.unwrap_err();
        let line = error.to_string();
        assert!(matches!(error, InferError::MemoryExceeded { .. }), "{line}");
        assert!(line.contains(NAME) && line.contains("512 MiB"), "{line}");
        assert_eq!(squares(&runner).await, [4.0, 9.0]);
    }
}

#[tokio::test]
async fn a_hang_is_killed_and_the_next_request_works() {
    let mut config = config();
    config.limits.request_timeout = Duration::from_secs(1);
    let (_folder, runner) = start(&config, archive::SPIN).await;
    let pid = pid_of(&runner);
    let error = runner.infer(x(&[-1.0])).await.unwrap_err();
    assert!(
        matches!(error, InferError::TimedOut { .. }) && error.to_string().contains(NAME),
        "{error}"
    );
    assert!(
        test_kill_process(pid).is_err(),
        "the hanging process is still there"
    );
    assert_eq!(squares(&runner).await, [4.0, 9.0]);
    assert_eq!(runner.status().restarts, 1);
}

#[tokio::test]
async fn a_runaway_is_ended_by_its_cpu_time_and_the_next_request_works() {
    let mut config = config();
    config.limits.cpu_seconds_max = 2;
    let (_folder, runner) = start(&config, archive::SPIN).await;
    let error = runner.infer(x(&[-1.0])).await.unwrap_err();
    assert!(matches!(error, InferError::CpuExceeded { .. }), "{error}");
    assert_eq!(squares(&runner).await, [4.0, 9.0]);
}

#[tokio::test]
async fn a_process_killed_while_busy_is_one_error_and_the_next_request_works() {
    let (_folder, runner) = start(&config(), archive::SPIN).await;
    let pid = pid_of(&runner);
    let busy = tokio::spawn({
        let runner = runner.clone();
        async move { runner.infer(x(&[-1.0])).await }
    });
    while runner.status().state != RunnerState::Busy {
        tokio::task::yield_now().await;
    }
    kill_process(pid, Signal::KILL).unwrap();
    let error = busy.await.unwrap().unwrap_err();
    assert!(matches!(error, InferError::Crashed { .. }), "{error}");
    assert!(
        error.to_string().contains(NAME) && error.to_string().contains("signal 9"),
        "{error}"
    );
    assert_eq!(squares(&runner).await, [4.0, 9.0]);
}

#[tokio::test]
async fn a_process_killed_while_idle_is_replaced_without_an_error() {
    let (_folder, runner) = start(&config(), archive::SQUARE).await;
    kill_process(pid_of(&runner), Signal::KILL).unwrap();
    while runner.status().state != RunnerState::Down {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(runner.status().last_failure.unwrap().contains("while idle"));
    assert_eq!(squares(&runner).await, [4.0, 9.0]);
}

#[tokio::test]
async fn repeated_failures_are_answered_with_a_pause() {
    let mut config = config();
    config.limits.request_timeout = Duration::from_millis(200);
    let (_folder, runner) = start(&config, archive::SPIN).await;
    let mut paused = None;
    for _ in 0..10 {
        match runner.infer(x(&[-1.0])).await.unwrap_err() {
            InferError::TimedOut { .. } => {}
            error @ InferError::BackingOff { .. } => {
                paused = Some(error.to_string());
                break;
            }
            other => panic!("{other}"),
        }
    }
    let line = paused.unwrap();
    assert!(
        line.contains("times in a row") && line.contains("no answer after"),
        "{line}"
    );
}
