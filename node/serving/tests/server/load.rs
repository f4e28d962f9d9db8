//! Many requests at once: put together, refused, cancelled, drained, and served through a swap.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fieldmark_serving::PoolOptions;
use futures::future::join_all;
use serde_json::json;

use crate::{Server, models};

fn batching(batch_max: usize) -> PoolOptions {
    PoolOptions {
        batch_max,
        // Longer than a test may take: a batch leaves because it is full.
        batch_delay: Duration::from_secs(20),
        ..PoolOptions::default()
    }
}

#[tokio::test]
async fn requests_run_together_and_each_gets_its_part() {
    let server = Server::with(models::SQUARE, batching(6)).await;
    let records = [
        vec![[1.0, 2.0]],
        vec![[3.0, 4.0], [5.0, 6.0]],
        vec![[7.0, 8.0]; 3],
    ];
    let answers = join_all(records.iter().map(|records| server.infer(records))).await;
    for ((status, _, answer), records) in answers.into_iter().zip(&records) {
        assert_eq!(status, 200, "{answer}");
        let squares: Vec<f32> = records.iter().flatten().map(|x| x * x).collect();
        assert_eq!(answer["outputs"][0]["data"], json!(squares));
        assert_eq!(answer["outputs"][0]["shape"], json!([records.len(), 2]));
    }
    let statistics = server.show("/v2/models/net/stats").await;
    let statistics = &statistics["model_stats"][0];
    assert_eq!(
        (&statistics["execution_count"], &statistics["inference_count"]),
        (&json!(1), &json!(6))
    );
    assert_eq!(statistics["batch_stats"][0]["batch_size"], 6);
}

#[tokio::test]
async fn one_bad_request_of_a_batch_fails_alone() {
    let server = Server::with(models::PICKY, batching(3)).await;
    let requests = [[[1.0, 2.0]], [[-1.0, 2.0]], [[3.0, 4.0]]];
    let answers = join_all(requests.iter().map(|records| server.infer(records))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.0).collect();
    assert_eq!(statuses, [200, 422, 200]);
    assert_eq!(answers[2].2["outputs"][0]["data"], json!([9.0, 16.0]));
}

#[tokio::test]
async fn a_model_that_mixes_records_is_told_not_to_be_batched() {
    let server = Server::with(models::SUM, batching(2)).await;
    let requests = [[[1.0, 2.0]], [[3.0, 4.0]]];
    let answers = join_all(requests.iter().map(|records| server.infer(records))).await;
    for (status, _, answer) in answers {
        let error = answer["error"].as_str().unwrap().to_owned();
        assert!(status == 500 && error.contains("2 records"), "{status} {error}");
    }
}

#[tokio::test]
async fn a_full_queue_refuses_and_the_hanging_process_is_replaced() {
    let options = PoolOptions {
        queue_max: 2,
        ..PoolOptions::default()
    };
    let server = Server::with(models::SPIN, options).await;
    let hang = [[-1.0, 0.0]];
    let answers = join_all((0..8).map(|_| server.infer(&hang))).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.0 == 429).collect();
    assert!(
        refused.len() >= 3,
        "{:?}",
        answers.iter().map(|a| a.0).collect::<Vec<_>>()
    );
    for (_, headers, answer) in refused {
        assert_eq!(headers["retry-after"], "1");
        assert!(answer["error"].as_str().unwrap().contains("wait already"));
    }
    assert!(answers.iter().any(|answer| answer.0 == 504));
    let mut pauses = 0;
    loop {
        let (status, headers, _) = server.infer(&[[2.0, 3.0]]).await;
        if status == 200 {
            break;
        }
        // Several hangs in a row: the runner waits before it starts again, and says for how long.
        assert!(status == 503 && headers.contains_key("retry-after") && pauses < 100);
        // It says that it is ready once the pause is over, without being asked meanwhile.
        while !server.repository.is_ready() {
            assert!(pauses < 100, "it stays away");
            pauses += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        pauses += 1;
    }
}

#[tokio::test]
async fn requests_whose_client_left_are_not_run() {
    let server = Server::with(models::SPIN, PoolOptions::default()).await;
    let hang = [[-1.0, 0.0]];
    let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(server.infer(&hang))).collect();
    for request in &mut waiting {
        // Begun, and not answered: the model does not come back.
        assert!(futures::poll!(request).is_pending());
    }
    drop(waiting);
    let waiting = server.repository.snapshot().versions[0].queue;
    assert_eq!(waiting, 0, "requests that nobody waits for keep their inputs");
    let (status, _, _) = server.infer(&[[2.0, 3.0]]).await;
    assert!(status == 200 || status == 503, "{status}");
    let seen = server.repository.snapshot();
    assert!(seen.versions[0].cancelled >= 3, "{}", seen.versions[0].cancelled);
}

#[tokio::test]
async fn what_was_begun_is_answered_when_the_server_stops() {
    let server = Server::with(models::SQUARE, PoolOptions::default()).await;
    let pid = server.repository.snapshot().versions[0].replicas[0].pid.unwrap();
    let requests = [[1.0, 2.0]];
    let mut begun: Vec<_> = (0..20).map(|_| Box::pin(server.infer(&requests))).collect();
    for request in &mut begun {
        let _ = futures::poll!(request);
    }
    let stopping = server.repository.stop();
    let (answers, ()) = futures::join!(join_all(begun), stopping);
    assert!(answers.iter().all(|answer| answer.0 == 200));
    let (status, headers, _) = server.infer(&requests).await;
    assert_eq!(status, 503);
    assert!(headers.contains_key("retry-after"));
    assert!(
        !std::path::Path::new(&format!("/proc/{pid}")).exists(),
        "the runner is still there"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_under_load_fails_no_request() {
    let server = Arc::new(Server::with(models::SQUARE, PoolOptions::default()).await);
    let first = server.repository.snapshot().versions[0].replicas[0].pid.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (server, over) = (Arc::clone(&server), Arc::clone(&over));
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let (status, _, answer) = server.infer(&[[2.0, 5.0]]).await;
                    assert_eq!(status, 200, "{answer}");
                    let version = answer["model_version"].as_str().unwrap().to_owned();
                    let expected = if version == "1" || version == "3" {
                        json!([4.0, 25.0])
                    } else {
                        json!([6.0, 15.0])
                    };
                    assert_eq!(answer["outputs"][0]["data"], expected);
                    seen.push(version);
                }
                seen
            })
        })
        .collect();
    for (version, body) in [
        ("2", models::TRIPLE),
        ("3", models::SQUARE),
        ("4", models::TRIPLE),
    ] {
        let next = models::net(server.folder.path(), version, body, PoolOptions::default());
        server.repository.swap(next).await.unwrap();
        let (_, _, answer) = server.infer(&[[2.0, 5.0]]).await;
        assert_eq!(answer["model_version"], version);
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        let seen = client.await.unwrap();
        assert!(seen.is_sorted() && seen.first().unwrap() != seen.last().unwrap());
    }
    server.repository.stop().await;
    assert!(
        !std::path::Path::new(&format!("/proc/{first}")).exists(),
        "the first runner is still there"
    );
}

#[tokio::test]
async fn a_load_goes_on_when_whoever_asked_for_it_has_left() {
    let server = Server::with(models::SQUARE, PoolOptions::default()).await;
    let next = models::net(server.folder.path(), "2", models::TRIPLE, PoolOptions::default());
    let mut loading = Box::pin(server.repository.swap(next));
    assert!(futures::poll!(&mut loading).is_pending());
    drop(loading);
    assert!(server.repository.is_ready(), "version 1 is served on");
    let mut looks = 0;
    while server.infer(&[[1.0, 2.0]]).await.2["model_version"] != "2" {
        looks += 1;
        assert!(looks < 300, "version 2 does not come");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_version_that_does_not_load_leaves_the_old_one_in_place() {
    let server = Server::with(models::SQUARE, PoolOptions::default()).await;
    let mut broken = models::net(server.folder.path(), "1", models::TRIPLE, PoolOptions::default());
    broken.spec.artifact = server.folder.path().join("gone.pt");
    let failure = server.repository.load(broken).await.unwrap_err();
    assert!(failure.message.contains("gone.pt"), "{failure}");
    assert_eq!(server.infer(&[[2.0, 3.0]]).await.0, 200);
    assert!(server.repository.is_ready());
    server.repository.unload("net").await.unwrap();
    assert_eq!(server.infer(&[[2.0, 3.0]]).await.0, 404);
}
