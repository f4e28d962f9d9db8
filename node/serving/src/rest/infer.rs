//! `POST …/infer`: JSON, or JSON and binary data behind it.

use std::io::Write as _;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use fieldmark_supervisor::{Arena, Content};
use fieldmark_tensors::json::{
    AnswerHead, Form, InferRequest, InputTensor, OutputTensor, Source, parse_request, write_answer,
};
use fieldmark_tensors::{Datatype, Elements, Parameter, binary, byte_count};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use tracing::Instrument as _;

use super::Target;
use super::answer::Pieces;
use super::body::{Reader, check_type};
use crate::memory::Part;
use crate::options::Shared;
use crate::tensor::SHARED_BYTES_MIN;
use crate::{Answer, Failure, Request, Tensor, Wanted};

/// Where the JSON ends and binary data begins.
const HEAD_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");
/// JSON beyond this is read and written where it holds up nobody.
const INLINE_BYTES_MAX: usize = 256 * 1024;
/// Longest name of a trace.
const TRACEPARENT_BYTES_MAX: usize = 64;
/// Answers shorter than this are not worth packing.
const PACKED_BYTES_MIN: usize = 1024;

/// How the outputs are to be sent.
#[derive(Debug, Clone, Default)]
struct Forms {
    /// Whether outputs that say nothing are binary.
    binary: bool,
    /// By output, where it says something.
    named: Vec<(String, bool)>,
}

/// `POST /v2/models/{model}[/versions/{version}]/infer`
pub(super) async fn infer(State(shared): State<Shared>, target: Target, request: HttpRequest) -> Response {
    let span = tracing::info_span!(
        "infer",
        model = %target.model,
        version = tracing::field::Empty,
        request_id = tracing::field::Empty,
        traceparent = traceparent(request.headers()),
        status = tracing::field::Empty
    );
    let answered = Box::pin(answer(shared, target, request).instrument(span.clone())).await;
    let response = answered.unwrap_or_else(|failure| {
        span.in_scope(|| tracing::debug!(%failure, "not answered"));
        failure.into_response()
    });
    span.record("status", response.status().as_u16());
    response
}

async fn answer(shared: Shared, target: Target, request: HttpRequest) -> Result<Response, Failure> {
    let lease = shared
        .repository
        .lease(&target.model, target.version.as_deref())?;
    tracing::Span::current().record("version", lease.servable().version.as_str());
    let (parts, body) = request.into_parts();
    let head_bytes = head_length(&parts.headers)?;
    check_type(&parts.headers, &["application/json", "application/octet-stream"])?;
    let mut reader = Reader::new(&shared, &parts.headers, body)?;
    let json = match head_bytes {
        None => reader.rest().await?,
        Some(bytes) => reader.take(bytes).await?,
    };
    let held = reader.lend();
    let (parsed, held) = off_thread(json.len(), move || (parse_request(&json), held)).await?;
    reader.give_back(held);
    let parsed = parsed.map_err(Failure::invalid)?;
    let forms = forms(&parsed)?;
    let request = with_data(
        parsed,
        &mut reader,
        head_bytes.is_some(),
        lease.loaded().pool.arena(),
    )
    .await?;
    tracing::Span::current().record("request_id", request.id.as_str());
    // A slow client's upload is not the model's time.
    let arrived = Instant::now();
    let answer = shared.repository.infer(&lease, request, arrived).await?;
    let mut held = reader.lend();
    drop(reader);
    let size = answer.outputs.iter().map(|output| output.content.bytes()).sum();
    // In place of the request: an answer stays in memory for as long as its client takes to read it.
    held.set(size)?;
    let packing = wanted_packing(&parts.headers);
    off_thread(size, move || written(&answer, &forms, packing, held)).await?
}

/// The W3C name of the trace that a request belongs to; empty for none.
fn traceparent(headers: &HeaderMap) -> &str {
    let given = headers.get("traceparent").and_then(|given| given.to_str().ok());
    given
        .filter(|given| given.len() <= TRACEPARENT_BYTES_MAX)
        .unwrap_or_default()
}

/// Runs work here if it is small, else on a thread for it.
async fn off_thread<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    if bytes <= INLINE_BYTES_MAX {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Failure::new(crate::Kind::Internal, "the work was interrupted"))
}

fn head_length(headers: &HeaderMap) -> Result<Option<usize>, Failure> {
    let Some(given) = headers.get(HEAD_LENGTH) else {
        return Ok(None);
    };
    let bytes = given.to_str().ok().and_then(|given| given.parse().ok());
    let bytes =
        bytes.ok_or_else(|| Failure::invalid("Inference-Header-Content-Length is no number of bytes"))?;
    Ok(Some(bytes))
}

fn forms(parsed: &InferRequest) -> Result<Forms, Failure> {
    let binary = match parsed.parameters.get("binary_data_output") {
        None => false,
        Some(value) => value
            .as_bool()
            .ok_or_else(|| Failure::invalid("the parameter binary_data_output is neither true nor false"))?,
    };
    let named = parsed
        .outputs
        .iter()
        .filter_map(|output| Some((output.name.clone(), output.binary_data?)));
    Ok(Forms {
        binary,
        named: named.collect(),
    })
}

/// The request with the binary data that follows its JSON.
async fn with_data(
    parsed: InferRequest,
    reader: &mut Reader,
    binary: bool,
    arena: Option<&Arena>,
) -> Result<Request, Failure> {
    let mut inputs = Vec::with_capacity(parsed.inputs.len());
    for input in parsed.inputs {
        let InputTensor {
            name,
            datatype,
            shape,
            source,
        } = input;
        let content = match source {
            Source::Json(elements) => of_elements(elements),
            Source::Binary(_) if !binary => {
                return Err(Failure::invalid(format_args!(
                    "input '{name}' has a binary_data_size, but Inference-Header-Content-Length does not say where \
                     the binary data begins"
                )));
            }
            Source::Binary(bytes) => {
                let data = binary_data(reader, datatype, &shape, bytes, arena).await;
                data.map_err(|failure| failure.within(&format!("input '{name}'")))?
            }
        };
        inputs.push(Tensor {
            name,
            datatype,
            shape,
            content,
        });
    }
    if binary {
        reader.end().await?;
    }
    let wanted = parsed.outputs.into_iter().map(|output| Wanted {
        name: output.name,
        classification: output.classification,
    });
    Ok(Request {
        id: parsed.id,
        parameters: without_own(parsed.parameters),
        inputs,
        outputs: wanted.collect(),
    })
}

fn of_elements(elements: Elements) -> Content {
    match elements {
        Elements::Dense(bytes) => Content::Inline(bytes),
        Elements::Texts(texts) => Content::Texts(texts),
    }
}

/// The binary data of one input; much of it goes from the socket straight into shared memory.
async fn binary_data(
    reader: &mut Reader,
    datatype: Datatype,
    shape: &[i64],
    bytes: usize,
    arena: Option<&Arena>,
) -> Result<Content, Failure> {
    let expected = byte_count(datatype, shape).map_err(Failure::invalid)?;
    if let Some(expected) = expected.filter(|expected| *expected != bytes) {
        let problem = format_args!("has {bytes} bytes of binary data, its shape takes {expected}");
        return Err(Failure::invalid(problem));
    }
    let room = arena.filter(|_| expected.is_some() && bytes >= SHARED_BYTES_MIN);
    let Some(mut region) = room.and_then(|arena| arena.allocate(bytes)) else {
        let data = reader.take(bytes).await?;
        return binary::decode(datatype, shape, data)
            .map(of_elements)
            .map_err(Failure::invalid);
    };
    let mut at = 0;
    reader
        .pour(bytes, |piece| {
            let written = region.write(at, piece);
            at += piece.len();
            written.map_err(|error| Failure::new(crate::Kind::Internal, error.to_string()))
        })
        .await?;
    Ok(Content::Shared(vec![region]))
}

/// Parameters without those that are about the form alone.
fn without_own(mut parameters: fieldmark_tensors::Parameters) -> fieldmark_tensors::Parameters {
    parameters.remove("binary_data_output");
    parameters.retain(|_, value| !matches!(value, Parameter::Double(double) if !double.is_finite()));
    parameters
}

/// How the client wants the answer packed. Only a client that names one packing and nothing else gets it:
/// general HTTP clients list all they know, and packing floats costs more than it saves on most networks.
fn wanted_packing(headers: &HeaderMap) -> Option<&'static str> {
    match headers.get(ACCEPT_ENCODING)?.as_bytes() {
        b"gzip" => Some("gzip"),
        b"deflate" => Some("deflate"),
        _ => None,
    }
}

fn written(
    answer: &Answer,
    forms: &Forms,
    packing: Option<&'static str>,
    held: Part,
) -> Result<Response, Failure> {
    let is_binary = |name: &str| {
        let named = forms.named.iter().find(|(named, _)| named == name);
        named.map_or(forms.binary, |(_, binary)| *binary)
    };
    let mut data = Vec::new();
    let mut outputs = Vec::with_capacity(answer.outputs.len());
    let elements: Vec<Elements> = answer.outputs.iter().map(Tensor::elements).collect();
    for (output, elements) in answer.outputs.iter().zip(&elements) {
        let form = if is_binary(&output.name) {
            let bytes = binary::encode(elements);
            let bytes = bytes.ok_or_else(|| Failure::invalid("an element is too long for binary data"))?;
            data.push(bytes.clone());
            Form::Binary(bytes.len())
        } else {
            Form::Json(elements)
        };
        outputs.push(OutputTensor {
            name: &output.name,
            datatype: output.datatype,
            shape: &output.shape,
            form,
        });
    }
    let head = AnswerHead {
        model_name: &answer.model,
        model_version: &answer.version,
        id: &answer.id,
    };
    let json = write_answer(&head, &outputs).map_err(Failure::invalid)?;
    let head_length = (!data.is_empty()).then_some(json.len());
    let mut pieces: Vec<Bytes> = std::iter::once(Bytes::from(json)).chain(data).collect();
    let packing = packing.filter(|_| pieces.iter().map(Bytes::len).sum::<usize>() >= PACKED_BYTES_MIN);
    if let Some(packing) = packing {
        pieces = vec![packed(&pieces, packing)?];
    }
    let mut response = Response::new(Body::new(Pieces::new(pieces, held)));
    let headers = response.headers_mut();
    let content = match head_length {
        None => "application/json",
        Some(bytes) => {
            headers.insert(HEAD_LENGTH, HeaderValue::from(bytes));
            "application/octet-stream"
        }
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
    if let Some(packing) = packing {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(packing));
    }
    Ok(response)
}

fn packed(pieces: &[Bytes], packing: &str) -> Result<Bytes, Failure> {
    let level = Compression::fast();
    let packed = if packing == "gzip" {
        let mut encoder = GzEncoder::new(Vec::new(), level);
        let written = pieces.iter().try_for_each(|piece| encoder.write_all(piece));
        written.and_then(|()| encoder.finish())
    } else {
        let mut encoder = ZlibEncoder::new(Vec::new(), level);
        let written = pieces.iter().try_for_each(|piece| encoder.write_all(piece));
        written.and_then(|()| encoder.finish())
    };
    let packed = packed.map_err(|error| Failure::new(crate::Kind::Internal, error.to_string()))?;
    Ok(packed.into())
}
