//! What an artifact says about itself, read without running or unpickling anything.
//!
//! Formats differ in how much they tell: an ONNX graph names its inputs and outputs with datatypes and sizes, a
//! TorchScript archive holds the code of `forward` and the datatypes of its weights but no sizes of inputs, a
//! `predict.py` only the names it uses. What is not told stays open in [`Finding::inputs`] for `guess.rs` and the
//! author to fill in.

mod folder;
mod onnx;
mod pickled;
mod safetensors;
mod torchscript;

use std::path::Path;

pub(crate) use folder::ENTRY_FILE;
pub use folder::Folder;

use crate::PackageError;

/// Most bytes of code read from one artifact.
const CODE_BYTES_MAX: u64 = 16 << 20;
/// Most inputs or outputs that are listed.
const TENSORS_MAX: usize = 32;

/// An artifact that cannot be looked into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// Not of the format its name or first bytes say.
    #[error("this is no {format}: {detail}")]
    Format {
        /// The format expected.
        format: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// Of the format, but with something that is not taken.
    #[error("{0}")]
    Refused(String),
    /// No format this knows.
    #[error(
        "its format is not known; TorchScript (.pt), ONNX (.onnx) and folders with predict.py are taken, and weights \
         alone (safetensors, arrays) belong into such a folder"
    )]
    Unknown,
}

/// A tensor, as far as the artifact tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Its datatype, if told.
    pub datatype: Option<String>,
    /// Its sizes, -1 for those the caller chooses; `None` if nothing is told.
    pub shape: Option<Vec<i64>>,
}

/// What an artifact says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finding {
    /// The runtime that runs it.
    pub runtime: &'static str,
    /// Inputs in the order in which they are taken.
    pub inputs: Vec<Slot>,
    /// Outputs in the order in which they are returned.
    pub outputs: Vec<Slot>,
    /// More that is worth writing into the model card, one line each.
    pub facts: Vec<String>,
}

/// Looks into one file.
///
/// # Errors
/// [`PackageError`] naming the file and what is wrong.
pub fn file(path: &Path) -> Result<Finding, PackageError> {
    crate::pickle::refuse(path)?;
    let fail = |source| PackageError::Inspect {
        path: path.to_owned(),
        source,
    };
    let start = start_of(path)?;
    let ending = path
        .extension()
        .and_then(|e| e.to_str())
        .map(str::to_ascii_lowercase);
    let found = match ending.as_deref() {
        Some("onnx") => onnx::inspect(&crate::files::read_bytes(path, onnx::BYTES_MAX)?),
        _ if start.starts_with(b"PK") => {
            let file = std::fs::File::open(path).map_err(PackageError::io(path))?;
            torchscript::inspect(file)
        }
        _ => Err(InspectError::Unknown),
    };
    found.map_err(fail)
}

/// Looks into an ONNX model's bytes.
///
/// # Errors
/// [`InspectError`] with what is wrong.
pub fn onnx(bytes: &[u8]) -> Result<Finding, InspectError> {
    onnx::inspect(bytes)
}

/// Looks into a TorchScript archive.
///
/// # Errors
/// [`InspectError`] with what is wrong.
pub fn torchscript(source: impl std::io::Read + std::io::Seek) -> Result<Finding, InspectError> {
    torchscript::inspect(source)
}

fn start_of(path: &Path) -> Result<Vec<u8>, PackageError> {
    use std::io::Read as _;
    let mut start = Vec::new();
    let file = std::fs::File::open(path).map_err(PackageError::io(path))?;
    file.take(4)
        .read_to_end(&mut start)
        .map_err(PackageError::io(path))?;
    Ok(start)
}
