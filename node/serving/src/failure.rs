//! Why a request was not done: one type, said as an HTTP status and as a gRPC code.

use std::fmt;
use std::time::Duration;

use axum::http::StatusCode;
use fieldmark_supervisor::{FailureCode, InferError, StartError};
use tonic::Code;

/// Pause after which a full queue is worth another try.
const QUEUE_PAUSE: Duration = Duration::from_secs(1);

/// What kind of failure it is. Each kind has one HTTP status and one gRPC code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// The request makes no sense, or does not fit the model: 400, `INVALID_ARGUMENT`.
    Invalid,
    /// No or a wrong token: 401, `UNAUTHENTICATED`.
    Unauthorized,
    /// From a web page of another origin, or for the owner of the server alone: 403, `PERMISSION_DENIED`.
    Forbidden,
    /// No such model, version or path: 404, `NOT_FOUND`.
    NotFound,
    /// The path does not take this method: 405, `UNIMPLEMENTED`.
    Method,
    /// The client was too slow: 408, `DEADLINE_EXCEEDED`.
    Slow,
    /// More bytes than are taken: 413, `RESOURCE_EXHAUSTED`.
    TooLarge,
    /// A content type or encoding that is not taken: 415, `INVALID_ARGUMENT`.
    MediaType,
    /// The model raised an exception on these inputs: 422, `INVALID_ARGUMENT`.
    Model,
    /// The queue of the model is full: 429, `RESOURCE_EXHAUSTED`.
    QueueFull,
    /// This server's fault, or the model's: its process crashed, or its answer is not what it declares:
    /// 500, `INTERNAL`.
    Internal,
    /// Not now: stopping, too busy, or waiting after a crash: 503, `UNAVAILABLE`.
    Unavailable,
    /// No answer in the time that a request may take: 504, `DEADLINE_EXCEEDED`.
    TimedOut,
}

impl Kind {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Model => StatusCode::UNPROCESSABLE_ENTITY,
            Self::QueueFull => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The gRPC code.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Invalid | Self::MediaType | Self::Model => Code::InvalidArgument,
            Self::Unauthorized => Code::Unauthenticated,
            Self::Forbidden => Code::PermissionDenied,
            Self::NotFound => Code::NotFound,
            Self::Method => Code::Unimplemented,
            Self::Slow | Self::TimedOut => Code::DeadlineExceeded,
            Self::TooLarge | Self::QueueFull => Code::ResourceExhausted,
            Self::Internal => Code::Internal,
            Self::Unavailable => Code::Unavailable,
        }
    }

    /// A word for metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Method => "method",
            Self::Slow => "slow",
            Self::TooLarge => "too_large",
            Self::MediaType => "media_type",
            Self::Model => "model",
            Self::QueueFull => "queue_full",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
        }
    }
}

/// A request that was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: Kind,
    /// What, where, why, and what to do.
    pub message: String,
    /// When another try is worth it.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure of a kind.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
        }
    }

    /// The request makes no sense.
    #[must_use]
    pub fn invalid(message: impl fmt::Display) -> Self {
        Self::new(Kind::Invalid, message.to_string())
    }

    /// What the request names is not here.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// Not now; worth another try after a while.
    #[must_use]
    pub fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            kind: Kind::Unavailable,
            message: message.into(),
            retry_after: Some(retry_after),
        }
    }

    /// The same failure, said of a part of the request.
    pub(crate) fn within(mut self, part: &str) -> Self {
        self.message = format!("{part} {}", self.message);
        self
    }

    pub(crate) fn queue_full(model: &str, waiting: usize) -> Self {
        Self {
            kind: Kind::QueueFull,
            message: format!("model '{model}': {waiting} requests wait already; try again later"),
            retry_after: Some(QUEUE_PAUSE),
        }
    }

    pub(crate) fn too_large(found: impl fmt::Display, limit: usize) -> Self {
        Self::new(
            Kind::TooLarge,
            format!("the request has {found} bytes, {limit} are taken; send fewer records at once"),
        )
    }

    /// Whole seconds to wait, at least 1, as the header `Retry-After` takes them.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        let pause = self.retry_after?;
        Some(
            pause
                .as_millis()
                .div_ceil(1000)
                .max(1)
                .try_into()
                .unwrap_or(u64::MAX),
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<InferError> for Failure {
    fn from(error: InferError) -> Self {
        let message = error.to_string();
        match error {
            InferError::Rejected { code, .. } => Self::new(
                match code {
                    FailureCode::Input => Kind::Invalid,
                    FailureCode::Model => Kind::Model,
                    _ => Kind::Internal,
                },
                message,
            ),
            InferError::TooLarge { .. } => Self::new(Kind::TooLarge, message),
            InferError::TimedOut { .. } => Self::new(Kind::TimedOut, message),
            InferError::BackingOff { retry_in, .. } => Self::unavailable(message, retry_in),
            InferError::Restart { .. } => Self::unavailable(message, QUEUE_PAUSE),
            InferError::Stopped { .. } => Self::unavailable(message, QUEUE_PAUSE),
            _ => Self::new(Kind::Internal, message),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::new(Kind::Internal, error.to_string())
    }
}

impl From<Failure> for tonic::Status {
    fn from(failure: Failure) -> Self {
        let mut status = Self::new(failure.kind.code(), failure.message.clone());
        if let Some(pause) = failure.retry_after {
            let pause = pause.as_millis().to_string().parse();
            if let Ok(pause) = pause {
                // gRPC's own word for the pause, in milliseconds.
                status.metadata_mut().insert("grpc-retry-pushback-ms", pause);
            }
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_said_in_both_ways() {
        let failure = Failure::unavailable("wait", Duration::from_millis(1200));
        assert_eq!(failure.retry_after_seconds(), Some(2));
        let status = tonic::Status::from(failure);
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "1200");
        assert_eq!(Failure::queue_full("m", 3).retry_after_seconds(), Some(1));
    }
}
