//! Everything but inference: what the server and its models are, whether they are ready, what they did, and
//! loading.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use fieldmark_tensors::TensorSpec;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

use super::Target;
use super::body::Reader;
use crate::options::Shared;
use crate::{EXTENSIONS, Failure, SERVER_NAME, SERVER_VERSION, Servable, VersionSnapshot};

/// Longest body of a request that has next to nothing to say.
const SMALL_BYTES_MAX: usize = 64 * 1024;
/// Pause after which a model that is not ready is worth another look.
const READY_PAUSE: Duration = Duration::from_secs(1);

/// `GET /v2`
pub(super) async fn server() -> Json<Value> {
    Json(json!({ "name": SERVER_NAME, "version": SERVER_VERSION, "extensions": EXTENSIONS }))
}

/// `GET /v2/health/live`
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "live": true }))
}

/// `GET /v2/health/ready`
pub(super) async fn ready(State(shared): State<Shared>) -> Result<Json<Value>, Failure> {
    if shared.repository.is_ready() {
        return Ok(Json(json!({ "ready": true })));
    }
    let message = match shared.repository.is_stopping() {
        true => "the server is stopping",
        false => "not every model is ready",
    };
    Err(Failure::unavailable(message, READY_PAUSE))
}

/// `GET /v2/models/{model}[/versions/{version}]/ready`
pub(super) async fn model_ready(
    State(shared): State<Shared>,
    target: Target,
) -> Result<Json<Value>, Failure> {
    if shared
        .repository
        .is_model_ready(&target.model, target.version.as_deref())?
    {
        return Ok(Json(json!({ "name": target.model, "ready": true })));
    }
    Err(Failure::unavailable("the model is not ready", READY_PAUSE))
}

/// `GET /v2/models/{model}[/versions/{version}]`
pub(super) async fn model(State(shared): State<Shared>, target: Target) -> Result<Json<Value>, Failure> {
    let (versions, servable) = shared
        .repository
        .describe(&target.model, target.version.as_deref())?;
    let tensor =
        |spec: &TensorSpec| json!({ "name": spec.name, "datatype": spec.datatype, "shape": spec.shape });
    Ok(Json(json!({
        "name": servable.name,
        "versions": versions,
        "platform": servable.platform,
        "inputs": servable.inputs.iter().map(tensor).collect::<Vec<_>>(),
        "outputs": servable.outputs.iter().map(tensor).collect::<Vec<_>>(),
    })))
}

/// `GET /v2/models/{model}[/versions/{version}]/config`
pub(super) async fn config(State(shared): State<Shared>, target: Target) -> Result<Json<Value>, Failure> {
    let (_, servable) = shared
        .repository
        .describe(&target.model, target.version.as_deref())?;
    Ok(Json(config_of(&servable)))
}

/// The configuration as clients expect it. Sizes include the first one; a batch size of 0 says so.
fn config_of(servable: &Servable) -> Value {
    let tensor = |spec: &TensorSpec| {
        json!({
            "name": spec.name,
            "data_type": crate::grpc::data_type(&spec.datatype).as_str_name(),
            "dims": spec.shape,
        })
    };
    let options = &servable.options;
    let mut config = json!({
        "name": servable.name,
        "platform": servable.platform,
        "max_batch_size": 0,
        "input": servable.inputs.iter().map(tensor).collect::<Vec<_>>(),
        "output": servable.outputs.iter().map(tensor).collect::<Vec<_>>(),
        "instance_group": [{ "name": servable.name, "count": options.replicas.max(1) }],
    });
    if servable.batch_max() > 1
        && let Some(config) = config.as_object_mut()
    {
        let delay = u64::try_from(options.batch_delay.as_micros()).unwrap_or(u64::MAX);
        let batching = json!({ "max_queue_delay_microseconds": delay });
        config.insert("dynamic_batching".to_owned(), batching);
    }
    config
}

/// `GET /v2/models/stats`
pub(super) async fn all_statistics(State(shared): State<Shared>) -> Json<Value> {
    let snapshot = shared.repository.snapshot();
    Json(json!({ "model_stats": snapshot.versions.iter().map(statistics_of).collect::<Vec<_>>() }))
}

/// `GET /v2/models/{model}[/versions/{version}]/stats`
pub(super) async fn statistics(State(shared): State<Shared>, target: Target) -> Result<Json<Value>, Failure> {
    // A model that is not here is a failure, not an empty list.
    shared
        .repository
        .describe(&target.model, target.version.as_deref())?;
    let snapshot = shared.repository.snapshot();
    let wanted = |version: &&VersionSnapshot| {
        version.name == target.model
            && target
                .version
                .as_ref()
                .is_none_or(|wanted| *wanted == version.version)
    };
    let listed: Vec<Value> = snapshot
        .versions
        .iter()
        .filter(wanted)
        .map(statistics_of)
        .collect();
    Ok(Json(json!({ "model_stats": listed })))
}

fn statistics_of(version: &VersionSnapshot) -> Value {
    let counts = &version.counts;
    let batches: Vec<Value> = counts
        .batches
        .iter()
        .map(|(size, batch)| {
            json!({
                "batch_size": size,
                "compute_input": batch.compute_input,
                "compute_infer": batch.compute_infer,
                "compute_output": batch.compute_output,
            })
        })
        .collect();
    json!({
        "name": version.name,
        "version": version.version,
        "last_inference": counts.last_inference_ms,
        "inference_count": counts.inferences,
        "execution_count": counts.executions,
        "inference_stats": {
            "success": counts.success,
            "fail": counts.fail,
            "queue": counts.queue,
            "compute_input": counts.compute_input,
            "compute_infer": counts.compute_infer,
            "compute_output": counts.compute_output,
        },
        "batch_stats": batches,
    })
}

/// What `POST /v2/repository/index` may ask.
#[derive(Debug, Default, Deserialize)]
struct IndexRequest {
    /// Only models that can be asked.
    #[serde(default)]
    ready: bool,
}

/// `POST /v2/repository/index`
pub(super) async fn index(State(shared): State<Shared>, request: Request) -> Result<Json<Value>, Failure> {
    let asked: IndexRequest = small(&shared, request).await?.unwrap_or_default();
    let mut listed = shared.repository.index();
    if asked.ready {
        listed.retain(|line| line.state == crate::State::Ready.word());
    }
    Ok(Json(json!(listed)))
}

/// What loading and unloading may be asked with.
#[derive(Debug, Default, Deserialize)]
struct ChangeRequest {
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// `POST /v2/repository/models/{model}/load`
pub(super) async fn load(
    State(shared): State<Shared>,
    target: Target,
    request: Request,
) -> Result<Response, Failure> {
    shared.controlled()?;
    let asked: ChangeRequest = small(&shared, request).await?.unwrap_or_default();
    if let Some(name) = asked.parameters.keys().next() {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
        let message =
            format_args!("loading takes no parameters such as '{shown}': a package says all there is to say");
        return Err(Failure::invalid(message));
    }
    shared.repository.reload(&target.model).await?;
    Ok((StatusCode::OK, Json(json!({}))).into_response())
}

/// `POST /v2/repository/models/{model}/unload`
pub(super) async fn unload(
    State(shared): State<Shared>,
    target: Target,
    request: Request,
) -> Result<Response, Failure> {
    shared.controlled()?;
    // Clients send whether dependent models go too; there are none.
    let _: Option<ChangeRequest> = small(&shared, request).await?;
    shared.repository.unload(&target.model).await?;
    Ok((StatusCode::OK, Json(json!({}))).into_response())
}

/// A small JSON object; `None` for no body.
async fn small<T: for<'de> Deserialize<'de>>(
    shared: &Shared,
    request: Request,
) -> Result<Option<T>, Failure> {
    let (parts, body) = request.into_parts();
    // Clients send this JSON under all kinds of types; what web pages may send, the guard decides.
    let bytes = Reader::new(shared, &parts.headers, body)?.rest().await?;
    if bytes.len() > SMALL_BYTES_MAX {
        return Err(Failure::too_large(bytes.len(), SMALL_BYTES_MAX));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let object: Map<String, Value> = serde_json::from_slice(&bytes).map_err(unreadable)?;
    serde_json::from_value(Value::Object(object))
        .map(Some)
        .map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> Failure {
    Failure::invalid(format_args!("the request cannot be read: {error}"))
}
