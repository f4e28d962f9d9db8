//! The document names every path and method that is served, and no other; failures have the protocol's shape.

use std::collections::BTreeSet;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;

fn router() -> Router {
    let repository = Repository::new(None);
    let options = ServerOptions {
        body_bytes_max: 1000,
        ..ServerOptions::default()
    };
    face(&repository, &options).router
}

async fn ask(method: &str, path: &str, headers: &[(&str, &str)], body: &'static str) -> (u16, Response) {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router()
        .oneshot(request.body(Body::from(body)).unwrap())
        .await
        .unwrap();
    (response.status().as_u16(), response)
}

async fn json(response: Response) -> Value {
    serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await.unwrap()).unwrap()
}

fn documented() -> BTreeSet<(String, String)> {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let methods = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().keys();
        methods
            .map(|method| (path.clone(), method.clone()))
            .collect::<Vec<_>>()
    });
    methods.collect()
}

#[test]
fn the_document_names_what_is_served() {
    let source = include_str!("../rest.rs");
    let routes = source.split(".route(").skip(1);
    let served: BTreeSet<(String, String)> = routes
        .map(|route| {
            let mut parts = route.splitn(3, '"').skip(1);
            let (path, rest) = (parts.next().unwrap(), parts.next().unwrap());
            let method = rest.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
            (path.to_owned(), method.split('(').next().unwrap().to_owned())
        })
        .collect();
    // The owner's page is for people, and not there on every server.
    let page = ("/".to_owned(), "get".to_owned());
    let served: BTreeSet<_> = served.into_iter().filter(|route| *route != page).collect();
    assert_eq!(served, documented());
}

#[tokio::test]
async fn other_methods_are_refused_with_those_taken() {
    for (path, method) in documented() {
        let path = path.replace("{model}", "m").replace("{version}", "1");
        let other = if method == "get" { "POST" } else { "GET" };
        let (status, response) = ask(other, &path, &[], "").await;
        assert_eq!(status, 405, "{path}");
        let allow = response.headers()["allow"].to_str().unwrap().to_ascii_lowercase();
        assert!(allow.contains(&method), "{path}: {allow}");
        assert!(json(response).await["error"].is_string());
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_protocols_shape() {
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/v2/models/none"),
        ("GET", "/v2/models/none/versions/1/ready"),
        ("POST", "/v2/models/none/infer"),
        ("POST", "/v2/repository/models/none/unload"),
    ] {
        let (status, response) = ask(method, path, &[], "").await;
        assert_eq!(status, 404, "{path}");
        assert!(json(response).await["error"].is_string());
    }
    let (status, _) = ask("GET", "/v2/models/%ff", &[], "").await;
    assert_eq!(status, 400);
    let (status, _) = ask("POST", "/v2/repository/models/none/load", &[], "").await;
    assert_eq!(status, 400, "there is no catalog");
}

#[tokio::test]
async fn bodies_are_judged_by_type_length_and_content() {
    let index = "/v2/repository/index";
    for (headers, body, expected) in [
        (&[][..], "", 200),
        (
            &[("content-type", "application/json; charset=utf-8")],
            r#"{"ready": true}"#,
            200,
        ),
        (&[("content-type", "application/octet-stream")], "{}", 200),
        (&[("content-encoding", "br")], "{}", 415),
        (&[], "[]", 400),
        (&[], r#"{"ready": 1}"#, 400),
        (&[("content-length", "1073741824")], "", 413),
        (&[("content-encoding", "gzip")], "{}", 400),
    ] {
        let (status, _) = ask("POST", index, headers, body).await;
        assert_eq!(status, expected, "{headers:?} {body}");
    }
}

#[tokio::test]
async fn metadata_health_and_metrics_are_answered() {
    let (_, response) = ask("GET", "/v2", &[], "").await;
    assert_eq!(json(response).await["name"], "fieldmark");
    let (status, _) = ask("GET", "/v2/health/ready", &[], "").await;
    assert_eq!(status, 200, "a server without models is ready for what it has");
    let (status, response) = ask("GET", "/metrics", &[], "").await;
    assert_eq!(status, 200);
    let text = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    assert!(String::from_utf8_lossy(&text).contains("# TYPE nv_inference_request_success counter"));
}
