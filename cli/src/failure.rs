//! Exit codes, and what an error from any layer exits with.

use std::io;

use fieldmark_node::home::HomeError;
use fieldmark_package::PackageError;

/// How the command ended; documented in `fieldmark --help`. Code 2 is given by the parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok,
    Failed,
    Usage,
    NotFound,
    NoNode,
    Budget,
    Network,
    TimedOut,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::NoNode => 4,
            Self::Budget => 5,
            Self::Network => 6,
            Self::TimedOut => 7,
        }
    }

    /// The exit for a stable word that the node answered with.
    pub(crate) fn of_code(code: &str) -> Self {
        match code {
            "not-found" => Self::NotFound,
            "budget" => Self::Budget,
            "unreachable" | "network" | "peer" => Self::Network,
            "stopping" | "starting" | "no-node" => Self::NoNode,
            "timed-out" => Self::TimedOut,
            _ => Self::Failed,
        }
    }
}

/// An error with its exit and stable word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, "not-found", message)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The exit and stable word of any error.
pub(crate) fn classify(error: &anyhow::Error) -> (Exit, &str) {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return (failure.exit, &failure.code);
    }
    match error.downcast_ref::<HomeError>() {
        Some(HomeError::NotRunning { .. }) => (Exit::NoNode, "no-node"),
        Some(HomeError::Missing { .. }) => (Exit::NotFound, "not-found"),
        _ if is_missing(error) => (Exit::NotFound, "not-found"),
        _ => (Exit::Failed, "failed"),
    }
}

/// Whether a file or folder that is not there is at the bottom of it.
fn is_missing(error: &anyhow::Error) -> bool {
    let file = error.root_cause().downcast_ref::<io::Error>();
    let package = error.downcast_ref::<PackageError>();
    file.is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
        || matches!(package, Some(PackageError::NoFolder { .. }))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn errors_of_every_layer_have_their_exit() {
        let path = std::path::PathBuf::from("/d");
        let of = |error: anyhow::Error| classify(&error).0.code();
        assert_eq!(of(HomeError::NotRunning { path: path.clone() }.into()), 4);
        assert_eq!(of(HomeError::Missing { path: path.clone() }.into()), 3);
        assert_eq!(of(HomeError::Exists { path }.into()), 1);
        assert_eq!(of(Failure::usage("x").into()), 2);
        assert_eq!(of(anyhow::anyhow!("x")), 1);
        let read = |path: &str| std::fs::read(path).context("cannot read it");
        assert_eq!(of(read("/nowhere/at/all").unwrap_err()), 3);
        assert_eq!(of(read("/").unwrap_err()), 1);
        let path = std::path::PathBuf::from("/nowhere");
        assert_eq!(of(PackageError::NoFolder { path }.into()), 3);
    }

    #[test]
    fn answers_of_the_node_have_their_exit() {
        let of = |code: &str| Exit::of_code(code).code();
        assert_eq!(of("not-found"), 3);
        assert_eq!(of("budget"), 5);
        assert_eq!(of("unreachable"), 6);
        assert_eq!(of("refused"), 1);
    }
}
