//! Issues and comments: public words about a model, signed like every record.
//!
//! Texts are bounded so that a record fits its gossip topic. The environment holds versions and classes
//! only: its values take neither slashes nor backslashes nor `@`, so that no path and no address of a
//! person or machine can stand in one.

use prost::Message;

use crate::decode::{self, DecodeError};
use crate::id::IdError;
use crate::record::PAYLOAD_BYTES_MAX;
use crate::text::{self, TextError};
use crate::{RecordId, wire};

/// Longest title of an issue, in bytes.
pub const TITLE_BYTES_MAX: usize = 200;
/// Longest body of an issue or comment, in bytes.
pub const BODY_BYTES_MAX: usize = 8 * 1024;
/// Longest value of an environment, in bytes.
pub const ENVIRONMENT_BYTES_MAX: usize = 64;

/// An issue or comment that cannot be signed or shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The bytes do not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A text is empty, too long or cannot be shown.
    #[error(transparent)]
    Text(#[from] TextError),
    /// An id has the wrong length.
    #[error("{field} is not an id")]
    Id {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        #[source]
        source: IdError,
    },
    /// A value of the environment with a character that a path, an address or a second line would need.
    #[error(
        "the environment's {field} '{found}' may hold only letters, digits, spaces and '.', '-', '_', '+', ':'"
    )]
    Environment {
        /// Which value.
        field: &'static str,
        /// The value.
        found: String,
    },
    /// An action this version does not know.
    #[error("action {0} of a comment is not known; known are 0 to 2")]
    Action(u32),
    /// Words only, and yet it says which change of state it follows.
    #[error("a comment that changes no state names a change of state that it follows")]
    After,
}

/// What an issue was seen on: versions and classes, never names of machines, paths or data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// Operating system, e.g. `linux`.
    pub os: String,
    /// Processor architecture, e.g. `x86_64`.
    pub arch: String,
    /// Runtime of the release, e.g. `torchscript`.
    pub runtime: String,
    /// Version of what runs it, e.g. `libtorch 2.11.0`.
    pub runtime_version: String,
    /// Class of device it ran on: `cpu` or `cuda`.
    pub device: String,
    /// Version of the reporter's program, e.g. `fieldmark 0.1.0`.
    pub program: String,
}

impl Environment {
    /// Names and values, in order; empty values are those that the reporter left out.
    #[must_use]
    pub fn values(&self) -> [(&'static str, &str); 6] {
        [
            ("os", &self.os),
            ("arch", &self.arch),
            ("runtime", &self.runtime),
            ("runtime version", &self.runtime_version),
            ("device", &self.device),
            ("program", &self.program),
        ]
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`IssueError`] naming the value.
    pub fn check(&self) -> Result<(), IssueError> {
        for (field, value) in self.values() {
            text::free("a value of the environment", value, ENVIRONMENT_BYTES_MAX)?;
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '-' | '_' | '+' | ':');
            if !value.chars().all(fits) {
                return Err(IssueError::Environment {
                    field,
                    found: value.to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// A checked Issue payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// The release it is about; the model is that release's.
    pub release: RecordId,
    /// One line, 1 to [`TITLE_BYTES_MAX`] bytes.
    pub title: String,
    /// Markdown, at most [`BODY_BYTES_MAX`] bytes; may be empty.
    pub body: String,
    /// The slice it was seen on, if any.
    pub slice: Option<String>,
    /// What it was seen on, if told.
    pub environment: Option<Environment>,
}

impl Issue {
    /// Decodes and checks a payload.
    ///
    /// # Errors
    /// [`IssueError`] naming the field.
    pub fn decode(payload: &[u8]) -> Result<Self, IssueError> {
        let wire: wire::Issue = decode::bounded("an issue", payload, PAYLOAD_BYTES_MAX)?;
        let issue = Self {
            release: id("the issue's release", &wire.release)?,
            title: wire.title,
            body: wire.body,
            slice: Some(wire.slice).filter(|slice| !slice.is_empty()),
            environment: wire.environment.map(|e| Environment {
                os: e.os,
                arch: e.arch,
                runtime: e.runtime,
                runtime_version: e.runtime_version,
                device: e.device,
                program: e.program,
            }),
        };
        issue.check()?;
        Ok(issue)
    }

    /// Checks every bound; an issue that passes encodes to a valid payload.
    ///
    /// # Errors
    /// [`IssueError`] naming the field.
    pub fn check(&self) -> Result<(), IssueError> {
        let what = "the issue's title";
        text::free(what, &self.title, TITLE_BYTES_MAX)?;
        if self.title.trim().is_empty() {
            return Err(TextError::Empty { what }.into());
        }
        if self.title.contains(['\n', '\t']) {
            return Err(TextError::Control { what }.into());
        }
        text::free("the issue's body", &self.body, BODY_BYTES_MAX)?;
        if let Some(slice) = &self.slice {
            text::name("the issue's slice", slice)?;
        }
        self.environment.as_ref().map_or(Ok(()), Environment::check)
    }

    /// The payload bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let environment = |e: &Environment| wire::Environment {
            os: e.os.clone(),
            arch: e.arch.clone(),
            runtime: e.runtime.clone(),
            runtime_version: e.runtime_version.clone(),
            device: e.device.clone(),
            program: e.program.clone(),
        };
        wire::Issue {
            release: self.release.to_vec(),
            title: self.title.clone(),
            body: self.body.clone(),
            slice: self.slice.clone().unwrap_or_default(),
            environment: self.environment.as_ref().map(environment),
        }
        .encode_to_vec()
    }
}

/// What a comment does to its issue, if its author may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing: words only.
    Note,
    /// Closes it.
    Close {
        /// The close or reopen in force when this was signed.
        after: Option<RecordId>,
    },
    /// Opens it again.
    Reopen {
        /// The close or reopen in force when this was signed.
        after: Option<RecordId>,
    },
}

impl Action {
    /// The change of state it follows.
    #[must_use]
    pub fn after(self) -> Option<RecordId> {
        match self {
            Self::Note => None,
            Self::Close { after } | Self::Reopen { after } => after,
        }
    }

    /// Whether the issue is open afterwards; `None` when nothing changes.
    #[must_use]
    pub fn opens(self) -> Option<bool> {
        match self {
            Self::Note => None,
            Self::Close { .. } => Some(false),
            Self::Reopen { .. } => Some(true),
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Note => 0,
            Self::Close { .. } => 1,
            Self::Reopen { .. } => 2,
        }
    }
}

/// A checked Comment payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The Issue record.
    pub issue: RecordId,
    /// Markdown, at most [`BODY_BYTES_MAX`] bytes; empty only with an action.
    pub body: String,
    /// What it does.
    pub action: Action,
}

impl Comment {
    /// Decodes and checks a payload.
    ///
    /// # Errors
    /// [`IssueError`] naming the field.
    pub fn decode(payload: &[u8]) -> Result<Self, IssueError> {
        let wire: wire::Comment = decode::bounded("a comment", payload, PAYLOAD_BYTES_MAX)?;
        let after = match wire.after.as_slice() {
            [] => None,
            bytes => Some(id("the change of state before", bytes)?),
        };
        let action = match (wire.action, after) {
            (0, None) => Action::Note,
            (0, Some(_)) => return Err(IssueError::After),
            (1, after) => Action::Close { after },
            (2, after) => Action::Reopen { after },
            (other, _) => return Err(IssueError::Action(other)),
        };
        let comment = Self {
            issue: id("the comment's issue", &wire.issue)?,
            body: wire.body,
            action,
        };
        comment.check()?;
        Ok(comment)
    }

    /// Checks every bound; a comment that passes encodes to a valid payload.
    ///
    /// # Errors
    /// [`IssueError`] naming the field.
    pub fn check(&self) -> Result<(), IssueError> {
        let what = "the comment";
        text::free(what, &self.body, BODY_BYTES_MAX)?;
        if self.action == Action::Note && self.body.trim().is_empty() {
            return Err(TextError::Empty { what }.into());
        }
        Ok(())
    }

    /// The payload bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::Comment {
            issue: self.issue.to_vec(),
            body: self.body.clone(),
            action: self.action.number(),
            after: self.action.after().map(RecordId::to_vec).unwrap_or_default(),
        }
        .encode_to_vec()
    }
}

fn id(field: &'static str, bytes: &[u8]) -> Result<RecordId, IssueError> {
    RecordId::from_slice(bytes).map_err(|source| IssueError::Id { field, source })
}

#[cfg(test)]
mod tests;
