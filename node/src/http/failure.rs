//! Failures as HTTP answers: `{"error": {"code", "message"}}`. Codes are stable words, messages are for
//! people. Every error of a layer below becomes a status here, and nowhere else.

use std::fmt;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use fieldmark_ledger::catalogue::ResolveError;
use fieldmark_node_core::board::BoardError;
use fieldmark_node_core::io::CommandError;
use fieldmark_node_data::DataError;
use fieldmark_package::PackageError;
use fieldmark_package::values::ValueError;
use fieldmark_protocol::machine::StoreError;
use serde_json::json;

use crate::home::HomeError;
use crate::http::spec::SpecError;

/// A request that was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// HTTP status.
    pub status: StatusCode,
    /// A stable word for programs.
    pub code: &'static str,
    /// What, where, why, and what to do.
    pub message: String,
}

impl Failure {
    /// A failure with its parts.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// 400: the request makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// 404: what the request names is not here.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", message)
    }

    /// 422: understood, and refused with a reason.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", message)
    }

    /// 500: this node's own fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        (self.status, Json(body)).into_response()
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        let status = match error.code {
            "invalid" => StatusCode::BAD_REQUEST,
            "not-found" => StatusCode::NOT_FOUND,
            "conflict" => StatusCode::CONFLICT,
            "storage" => StatusCode::INTERNAL_SERVER_ERROR,
            "stopping" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, error.code, error.message)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "storage", error.to_string())
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::NotFound { .. } => Self::not_found(error.to_string()),
            ResolveError::Store(error) => error.into(),
            _ => Self::new(StatusCode::CONFLICT, "ambiguous", error.to_string()),
        }
    }
}

impl From<BoardError> for Failure {
    fn from(error: BoardError) -> Self {
        match error {
            BoardError::NoChallenge(_) => Self::not_found(error.to_string()),
            BoardError::Store(error) => error.into(),
            BoardError::Weights(_) => Self::invalid(with_causes(&error)),
            _ => Self::internal(with_causes(&error)),
        }
    }
}

impl From<PackageError> for Failure {
    fn from(error: PackageError) -> Self {
        match error {
            PackageError::NoFolder { .. } => Self::not_found(error.to_string()),
            PackageError::Io { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Self::not_found(error.to_string())
            }
            PackageError::Store { .. } | PackageError::Lost { .. } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "storage", error.to_string())
            }
            PackageError::Interrupted => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", error.to_string())
            }
            _ => Self::refused(error.to_string()),
        }
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "data", error.to_string())
    }
}

impl From<ValueError> for Failure {
    fn from(error: ValueError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<SpecError> for Failure {
    fn from(error: SpecError) -> Self {
        match error {
            SpecError::Resolve(error) => error.into(),
            SpecError::Store(error) => error.into(),
            SpecError::NoNode { .. } => Self::not_found(error.to_string()),
            _ => Self::invalid(error.to_string()),
        }
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        Self::internal(error.to_string())
    }
}

/// An error with the causes behind it on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    struct Causes<'a>(&'a dyn std::error::Error);
    impl fmt::Display for Causes<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}", self.0)?;
            let mut cause = self.0.source();
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
            Ok(())
        }
    }
    Causes(error).to_string()
}
