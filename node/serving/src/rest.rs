//! The REST face: every path of the protocol, metrics, the OpenAPI document, and the state of the models.

mod answer;
mod body;
mod infer;
mod meta;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::guard::{Guard, check};
use crate::listen::Face;
use crate::options::Shared;
use crate::{Failure, Kind, Repository, ServerOptions, metrics};

/// The OpenAPI 3.1 document of this face.
pub const OPENAPI: &str = include_str!("rest/openapi.json");

/// The REST face of a repository.
#[must_use]
pub fn face(repository: &Repository, options: &ServerOptions) -> Face {
    let guard = Guard::new(options, false);
    let shared = Shared::new(repository.clone(), options.clone());
    let mut routes = routes();
    if let Some(page) = options.page.clone().filter(|_| options.control) {
        let show = |State(shared): State<Shared>| async move { page.answer(&shared.repository.snapshot()) };
        routes = routes.route("/", get(show));
    }
    let router = routes
        .fallback(|| async { Failure::not_found("there is nothing under this path; see /v2/openapi.json") })
        .layer(middleware::map_response(method_not_allowed))
        .layer(middleware::from_fn_with_state(guard, check))
        .with_state(shared);
    Face { router, http2: false }
}

/// Every path. The document names the same ones: a test compares them.
fn routes() -> Router<Shared> {
    Router::new()
        .route("/v2", get(meta::server))
        .route("/v2/health/live", get(meta::live))
        .route("/v2/health/ready", get(meta::ready))
        .route("/v2/models/stats", get(meta::all_statistics))
        .route("/v2/models/{model}", get(meta::model))
        .route("/v2/models/{model}/versions/{version}", get(meta::model))
        .route("/v2/models/{model}/ready", get(meta::model_ready))
        .route(
            "/v2/models/{model}/versions/{version}/ready",
            get(meta::model_ready),
        )
        .route("/v2/models/{model}/config", get(meta::config))
        .route("/v2/models/{model}/versions/{version}/config", get(meta::config))
        .route("/v2/models/{model}/stats", get(meta::statistics))
        .route(
            "/v2/models/{model}/versions/{version}/stats",
            get(meta::statistics),
        )
        .route("/v2/models/{model}/infer", post(infer::infer))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer::infer))
        .route("/v2/repository/index", post(meta::index))
        .route("/v2/repository/models/{model}/load", post(meta::load))
        .route("/v2/repository/models/{model}/unload", post(meta::unload))
        .route("/v2/openapi.json", get(openapi))
        .route("/fieldmark/ps", get(processes))
        .route("/metrics", get(prometheus))
}

async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// What an observer says is for the owner alone.
async fn processes(State(shared): State<Shared>) -> Response {
    let mut snapshot = shared.repository.snapshot();
    if !shared.options.control {
        snapshot
            .versions
            .iter_mut()
            .for_each(|version| version.observed = serde_json::Value::Null);
    }
    Json(snapshot).into_response()
}

async fn prometheus(State(shared): State<Shared>) -> Response {
    let text = metrics::text(&shared.repository.snapshot());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// The model and version that a path names.
#[derive(Debug, Clone)]
struct Target {
    model: String,
    version: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path(named) = Path::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Failure::invalid("the path cannot be read; names are UTF-8, percent-encoded"))?;
        let mut target = Self {
            model: String::new(),
            version: None,
        };
        for (name, value) in named {
            match name.as_str() {
                "model" => target.model = value,
                _ => target.version = Some(value),
            }
        }
        Ok(target)
    }
}

/// Gives the answer to a wrong method a body like every other failure; `Allow` is there already.
async fn method_not_allowed(response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let message = "this path does not take the method; the header Allow says which it takes";
    let mut answer = Failure::new(Kind::Method, message).into_response();
    if let Some(allow) = allow {
        answer.headers_mut().insert(header::ALLOW, allow);
    }
    answer
}

#[cfg(test)]
mod tests;
