//! A server over real runner processes: what its clients see, honest and hostile.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

mod grpc;
mod hostile;
mod load;
mod models;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use axum::{Router, response::Response};
use fieldmark_serving::{Observer, PoolOptions, Repository, ServerOptions, Tensor, rest};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;
use tower::ServiceExt as _;

/// A server with the model `net`, version 1.
pub(crate) struct Server {
    pub(crate) folder: TempDir,
    pub(crate) repository: Repository,
    pub(crate) router: Router,
}

impl Server {
    pub(crate) async fn with(body: &str, options: PoolOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::new(None);
        let servable = models::net(folder.path(), "1", body, options);
        repository.load(servable).await.unwrap();
        let router = rest::face(&repository, &ServerOptions::default()).router;
        Self {
            folder,
            repository,
            router,
        }
    }

    pub(crate) async fn ask(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
        let mut request = Request::builder()
            .method("POST")
            .uri(path)
            .header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Asks `net` with records, and returns status, header fields and answer.
    pub(crate) async fn infer(&self, records: &[[f32; 2]]) -> (u16, HeaderMap, Value) {
        let response = self
            .ask("/v2/models/net/infer", &[], request(records).to_string())
            .await;
        opened(response).await
    }

    pub(crate) async fn show(&self, path: &str) -> Value {
        let request = Request::builder().uri(path).header("host", "localhost");
        let request = request.body(Body::empty()).unwrap();
        opened(self.router.clone().oneshot(request).await.unwrap())
            .await
            .2
    }
}

pub(crate) fn request(records: &[[f32; 2]]) -> Value {
    json!({ "id": "7", "inputs": [{ "name": "x", "datatype": "FP32", "shape": [records.len(), 2], "data": records }] })
}

pub(crate) async fn opened(response: Response) -> (u16, HeaderMap, Value) {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 64 << 20).await.unwrap();
    let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    (parts.status.as_u16(), parts.headers, value)
}

#[tokio::test]
async fn a_model_is_described_asked_and_counted() {
    let server = Server::with(models::SQUARE, PoolOptions::default()).await;
    let (status, _, answer) = server.infer(&[[2.0, -3.0]]).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (&answer["id"], &answer["model_version"]),
        (&json!("7"), &json!("1"))
    );
    assert_eq!(answer["outputs"][0]["data"], json!([4.0, 9.0]));
    assert_eq!(answer["outputs"][0]["shape"], json!([1, 2]));
    let model = server.show("/v2/models/net").await;
    assert_eq!(model["versions"], json!(["1"]));
    assert_eq!(model["inputs"][0]["shape"], json!([-1, 2]));
    let statistics = server.show("/v2/models/net/stats").await;
    assert_eq!(
        statistics["model_stats"][0]["inference_stats"]["success"]["count"],
        1
    );
    let seen = server.show("/fieldmark/ps").await;
    let replica = &seen["versions"][0]["replicas"][0];
    assert!(replica["pid"].as_u64().unwrap() > 1);
    assert!(replica["layers"].as_array().unwrap().len() > 5);
    server.repository.stop().await;
}

#[tokio::test]
async fn outputs_are_chosen_and_scores_become_classes() {
    let server = Server::with(models::SQUARE, PoolOptions::default()).await;
    let mut body = request(&[[2.0, 3.0], [5.0, 1.0]]);
    body["outputs"] = json!([{ "name": "y", "parameters": { "classification": 1 } }]);
    let (status, _, answer) = opened(
        server
            .ask("/v2/models/net/versions/1/infer", &[], body.to_string())
            .await,
    )
    .await;
    assert_eq!(status, 200, "{answer}");
    let output = &answer["outputs"][0];
    assert_eq!(
        (&output["datatype"], &output["shape"]),
        (&json!("BYTES"), &json!([2, 1]))
    );
    assert_eq!(output["data"], json!(["9.000000:1:right", "25.000000:0:left"]));
    body["outputs"] = json!([{ "name": "z" }]);
    let (status, _, answer) = opened(server.ask("/v2/models/net/infer", &[], body.to_string()).await).await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("outputs are y"));
}

#[tokio::test]
async fn binary_data_goes_both_ways() {
    let server = Server::with(models::SQUARE, PoolOptions::default()).await;
    let head = json!({
        "parameters": { "binary_data_output": true },
        "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": { "binary_data_size": 8 } }]
    })
    .to_string();
    let mut body = head.clone().into_bytes();
    body.extend_from_slice(&1.5_f32.to_le_bytes());
    body.extend_from_slice(&f32::NAN.to_le_bytes());
    let length = head.len().to_string();
    let headers = [("inference-header-content-length", length.as_str())];
    let response = server.ask("/v2/models/net/infer", &headers, body.clone()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    let json_bytes: usize = response.headers()["inference-header-content-length"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let answer: Value = serde_json::from_slice(&bytes[..json_bytes]).unwrap();
    assert_eq!(answer["outputs"][0]["parameters"]["binary_data_size"], 8);
    assert_eq!(bytes[json_bytes..json_bytes + 4], 2.25_f32.to_le_bytes());
    assert!(f32::from_le_bytes(bytes[json_bytes + 4..].try_into().unwrap()).is_nan());

    for (cut, sign) in [
        (body.len() - 1, "input 'x' ends 1 bytes before"),
        (body.len() + 3, "3 bytes follow"),
    ] {
        let mut wrong = body.clone();
        wrong.resize(cut, 0);
        let (status, _, answer) = opened(server.ask("/v2/models/net/infer", &headers, wrong).await).await;
        assert_eq!(status, 400);
        assert!(answer["error"].as_str().unwrap().contains(sign), "{answer}");
    }
}

#[tokio::test]
async fn packed_bodies_are_unpacked_and_answers_packed_on_wish() {
    use std::io::{Read as _, Write as _};
    let server = Server::with(models::SQUARE, PoolOptions::default()).await;
    let body = request(&[[2.0, 3.0]; 200]).to_string();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body.as_bytes()).unwrap();
    let headers = [("content-encoding", "gzip"), ("accept-encoding", "deflate")];
    let response = server
        .ask("/v2/models/net/infer", &headers, encoder.finish().unwrap())
        .await;
    assert_eq!(response.headers()["content-encoding"], "deflate");
    let packed = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let mut text = String::new();
    flate2::read::ZlibDecoder::new(&packed[..])
        .read_to_string(&mut text)
        .unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["outputs"][0]["data"][399], 9.0);

    // What several packers wrote one behind the other is one body.
    let (front, back) = body.split_at(body.len() / 2);
    let mut members = Vec::new();
    for part in [front, back] {
        let mut encoder = flate2::write::GzEncoder::new(members, flate2::Compression::fast());
        encoder.write_all(part.as_bytes()).unwrap();
        members = encoder.finish().unwrap();
    }
    let response = server.ask("/v2/models/net/infer", &headers[..1], members).await;
    let (status, _, answer) = opened(response).await;
    assert_eq!((status, &answer["outputs"][0]["data"][399]), (200, &json!(9.0)));

    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..80 {
        bomb.write_all(&zeros).unwrap();
    }
    let response = server
        .ask("/v2/models/net/infer", &headers[..1], bomb.finish().unwrap())
        .await;
    assert_eq!(response.status(), 413);
}

#[tokio::test]
async fn a_request_that_does_not_fit_is_refused_with_the_reason() {
    let server = Server::with(models::SQUARE, PoolOptions::default()).await;
    let input = |name: &str, datatype: &str, shape: Value, data: Value| json!([{ "name": name, "datatype": datatype, "shape": shape, "data": data }]);
    let good = input("x", "FP32", json!([1, 2]), json!([1, 2]));
    let twice = json!([good[0], good[0]]);
    for (inputs, sign) in [
        (
            input("z", "FP32", json!([1, 2]), json!([1, 2])),
            "no input 'z'; inputs are x",
        ),
        (
            input("x", "FP64", json!([1, 2]), json!([1, 2])),
            "is FP64, FP32 is expected",
        ),
        (
            input("x", "FP32", json!([2, 1]), json!([1, 2])),
            "[-1, 2] is expected",
        ),
        (input("x", "FP32", json!([1, 2]), json!([1])), "has 1 elements"),
        (input("x", "FP32", json!([1, 2]), json!([1, 1e99])), "is no FP32"),
        (json!([]), "input 'x' is missing"),
        (twice, "'x' is given twice"),
    ] {
        let body = json!({ "inputs": inputs }).to_string();
        let (status, _, answer) = opened(server.ask("/v2/models/net/infer", &[], body).await).await;
        let error = answer["error"].as_str().unwrap();
        assert!(status == 400 && error.contains(sign), "{status} {error}");
    }
    assert_eq!(server.infer(&[[1.0, 2.0]]).await.0, 200);
}

#[tokio::test]
async fn a_model_that_is_not_what_it_declares_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::new(None);
    let mut servable = models::net(folder.path(), "1", models::SQUARE, PoolOptions::default());
    servable.outputs[0].datatype = "INT64".into();
    let zeros = fieldmark_tensors::zeros(&servable.inputs).unwrap();
    servable.options.warm_up = zeros.into_iter().map(Into::into).collect();
    let failure = repository.load(servable).await.unwrap_err();
    assert!(failure.message.contains("its manifest says INT64"), "{failure}");
    assert!(!repository.is_ready());
    assert_eq!(repository.index()[0].state, "UNAVAILABLE");
}

/// Counts the records answered.
#[derive(Debug, Default)]
struct Counter(AtomicI64);

impl Observer for Counter {
    fn answered(&self, inputs: &[Tensor], outputs: &[Tensor]) {
        let records = |tensors: &[Tensor]| tensors.first().unwrap().shape.first().copied().unwrap();
        assert_eq!(records(inputs), records(outputs));
        self.0.fetch_add(records(outputs), Ordering::Relaxed);
    }

    fn notes(&self) -> Value {
        json!({ "records": self.0.load(Ordering::Relaxed) })
    }
}

#[tokio::test]
async fn an_observer_sees_what_its_version_answers_and_goes_with_it() {
    let server = Server::with(models::SQUARE, PoolOptions::default()).await;
    let counter = Arc::new(Counter::default());
    let mut watched = models::net(server.folder.path(), "2", models::SQUARE, PoolOptions::default());
    watched.observer = Some(Arc::clone(&counter) as _);
    server.infer(&[[1.0, 2.0]]).await;
    server.repository.swap(watched).await.unwrap();
    server.infer(&[[1.0, 2.0], [3.0, 4.0]]).await;
    server.infer(&[[1.0, 2.0]]).await;
    let seen = server.show("/fieldmark/ps").await;
    let versions = seen["versions"].as_array().unwrap();
    let second = versions.iter().find(|version| version["version"] == "2").unwrap();
    assert_eq!(second["observed"], json!({ "records": 3 }));
    server.repository.unload("net").await.unwrap();
    assert_eq!(Arc::strong_count(&counter), 1, "the version's observer is kept");
}

#[tokio::test]
async fn large_tensors_travel_through_shared_memory() {
    let server = Server::with(models::SQUARE, PoolOptions::default()).await;
    let records = 20_000_usize;
    let head = json!({
        "parameters": { "binary_data_output": true },
        "inputs": [{
            "name": "x", "datatype": "FP32", "shape": [records, 2],
            "parameters": { "binary_data_size": records * 8 }
        }]
    })
    .to_string();
    let mut body = head.clone().into_bytes();
    let values = (0_u16..u16::MAX).cycle().map(f32::from).take(records * 2);
    body.extend(values.clone().flat_map(f32::to_le_bytes));
    let length = head.len().to_string();
    let headers = [("inference-header-content-length", length.as_str())];
    for _ in 0..3 {
        let response = server.ask("/v2/models/net/infer", &headers, body.clone()).await;
        assert_eq!(response.status(), 200);
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let squares: Vec<u8> = values
            .clone()
            .map(|value| value * value)
            .flat_map(f32::to_le_bytes)
            .collect();
        assert!(bytes.ends_with(&squares));
    }
}
