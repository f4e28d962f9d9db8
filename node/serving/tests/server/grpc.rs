//! The gRPC face, asked with the client that the schema compiles to.

use std::time::Duration;

use bytes::Bytes;
use fieldmark_serving::grpc::proto::grpc_inference_service_client::GrpcInferenceServiceClient;
use fieldmark_serving::grpc::proto::model_infer_request::InferInputTensor;
use fieldmark_serving::grpc::{self, proto};
use fieldmark_serving::{PoolOptions, ServerOptions, Stop};
use futures::StreamExt as _;
use tonic::Code;

use crate::{Server, models};

type Client = GrpcInferenceServiceClient<axum::Router>;

fn client(server: &Server) -> Client {
    let face = grpc::face(&server.repository, &ServerOptions::default(), &Stop::default());
    Client::with_origin(face.router, "http://localhost".parse().unwrap())
}

fn raw(values: &[f32]) -> proto::ModelInferRequest {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    proto::ModelInferRequest {
        model_name: "net".into(),
        id: "7".into(),
        inputs: vec![InferInputTensor {
            name: "x".into(),
            datatype: "FP32".into(),
            shape: vec![1, 2],
            ..InferInputTensor::default()
        }],
        raw_input_contents: vec![Bytes::from(bytes)],
        ..proto::ModelInferRequest::default()
    }
}

#[tokio::test]
async fn a_model_is_asked_raw_and_with_listed_contents() {
    let server = Server::with(models::SQUARE, PoolOptions::default()).await;
    let mut client = client(&server);
    let answer = client.model_infer(raw(&[2.0, 3.0])).await.unwrap().into_inner();
    assert_eq!((answer.model_version.as_str(), answer.id.as_str()), ("1", "7"));
    let squares: Vec<u8> = [4.0_f32, 9.0]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    assert_eq!(answer.raw_output_contents, [Bytes::from(squares)]);
    let mut listed = raw(&[]);
    listed.raw_input_contents.clear();
    listed.inputs[0].contents = Some(proto::InferTensorContents {
        fp32_contents: vec![2.0, 3.0],
        ..proto::InferTensorContents::default()
    });
    let again = client.model_infer(listed.clone()).await.unwrap().into_inner();
    assert_eq!(again.raw_output_contents, answer.raw_output_contents);
    listed.raw_input_contents = raw(&[2.0, 3.0]).raw_input_contents;
    let status = client.model_infer(listed).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let metadata = proto::ModelMetadataRequest {
        name: "net".into(),
        version: String::new(),
    };
    let model = client.model_metadata(metadata).await.unwrap().into_inner();
    assert_eq!(
        (model.inputs[0].shape.as_slice(), model.versions.as_slice()),
        (&[-1, 2][..], &["1".to_owned()][..])
    );
    let statistics = client
        .model_statistics(proto::ModelStatisticsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(statistics.model_stats[0].inference_count, 2);
}

#[tokio::test]
async fn failures_have_the_codes_of_their_kinds() {
    let options = PoolOptions {
        request_timeout: Duration::from_millis(300),
        ..PoolOptions::default()
    };
    let server = Server::with(models::SPIN, options).await;
    let mut client = client(&server);
    let mut unknown = raw(&[1.0, 2.0]);
    unknown.model_name = "none".into();
    assert_eq!(
        client.model_infer(unknown).await.unwrap_err().code(),
        Code::NotFound
    );
    let short = client.model_infer(raw(&[1.0])).await.unwrap_err();
    assert!(
        short.code() == Code::InvalidArgument && short.message().contains("4 bytes"),
        "{short}"
    );
    let late = client.model_infer(raw(&[-1.0, 0.0])).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    server.repository.refuse_new();
    let stopping = client.model_infer(raw(&[1.0, 2.0])).await.unwrap_err();
    assert_eq!(stopping.code(), Code::Unavailable);
    assert!(stopping.metadata().contains_key("grpc-retry-pushback-ms"));
}

#[tokio::test]
async fn a_stream_goes_on_after_a_failure() {
    let server = Server::with(models::SQUARE, PoolOptions::default()).await;
    let requests = vec![raw(&[1.0, 2.0]), raw(&[1.0]), raw(&[3.0, 4.0])];
    let answers = client(&server)
        .model_stream_infer(futures::stream::iter(requests))
        .await
        .unwrap()
        .into_inner();
    let answers: Vec<_> = answers.map(Result::unwrap).collect().await;
    let errors: Vec<bool> = answers
        .iter()
        .map(|answer| !answer.error_message.is_empty())
        .collect();
    assert_eq!(errors, [false, true, false]);
    assert_eq!(answers[1].infer_response.as_ref().unwrap().id, "7");
    assert_eq!(
        answers[2].infer_response.as_ref().unwrap().raw_output_contents[0].len(),
        8
    );
}

#[tokio::test]
async fn a_stream_ends_behind_its_message_when_the_server_stops() {
    let server = Server::with(models::SQUARE, PoolOptions::default()).await;
    let stop = Stop::default();
    let face = grpc::face(&server.repository, &ServerOptions::default(), &stop);
    let mut client = Client::with_origin(face.router, "http://localhost".parse().unwrap());
    let requests = futures::stream::iter([raw(&[1.0, 2.0])]).chain(futures::stream::pending());
    let mut answers = client.model_stream_infer(requests).await.unwrap().into_inner();
    assert!(answers.next().await.unwrap().unwrap().error_message.is_empty());
    stop.stop();
    let end = tokio::time::timeout(Duration::from_secs(5), answers.next()).await;
    let status = end.unwrap().unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_message_that_does_not_come_to_its_end_is_given_up() {
    let server = Server::with(models::SQUARE, PoolOptions::default()).await;
    let options = ServerOptions {
        body_timeout: Duration::from_millis(200),
        ..ServerOptions::default()
    };
    let router = grpc::face(&server.repository, &options, &Stop::default()).router;
    // The first frame of a message of 100 bytes, and then nothing.
    let first = futures::stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from_static(&[
        0, 0, 0, 0, 100, 10,
    ]))]);
    let body = axum::body::Body::from_stream(first.chain(futures::stream::pending()));
    let request = axum::http::Request::builder()
        .method("POST")
        .uri("http://localhost/inference.GRPCInferenceService/ModelInfer")
        .header("content-type", "application/grpc")
        .body(body)
        .unwrap();
    let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
    assert_eq!(
        response.headers()["grpc-status"],
        (Code::DeadlineExceeded as i32).to_string().as_str()
    );
}
