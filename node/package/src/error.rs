//! Why a package is not published; each message names the file, the cause and the fix.

use std::io;
use std::path::{Path, PathBuf};

use fieldmark_blobs::BlobError;
use fieldmark_fl::drift::ReferenceError;
use fieldmark_protocol::card::CardError;
use fieldmark_protocol::manifest::{MANIFEST_FILE, ManifestError};
use fieldmark_supervisor::{InferError, StartError};

use crate::inspect::InspectError;
use crate::python::{EnvironmentError, InterpreterError, LockError};
use crate::values::ValueError;

/// A package that is not in order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// Not a folder.
    #[error("{}: this is no folder; name the one that holds {MANIFEST_FILE}", path.display())]
    NoFolder {
        /// The path.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("{}: cannot read it: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A text file that is too long or not UTF-8.
    #[error("{}: {detail}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Manifest, card or both do not make a release.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        source: ManifestError,
    },
    /// A link, a device or an odd name.
    #[error("{}: {detail}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        detail: String,
    },
    /// A runtime that this version does not run.
    #[error("runtime '{runtime}' is not run by this version; torchscript, onnx and python are")]
    Runtime {
        /// The runtime the release names.
        runtime: String,
    },
    /// An artifact that cannot be looked into, or with something in it that is not taken.
    #[error("{}: {source}", path.display())]
    Inspect {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        source: InspectError,
    },
    /// Requirements that are not locked.
    #[error("{}: {source}", path.display())]
    Lock {
        /// The requirements file.
        path: PathBuf,
        /// The line and what is wrong.
        source: LockError,
    },
    /// No interpreter, or one that does not fit.
    #[error(transparent)]
    Interpreter(#[from] InterpreterError),
    /// The environment could not be built.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A model card that cannot be used.
    #[error("{}: {source}", path.display())]
    Card {
        /// The card.
        path: PathBuf,
        /// What is wrong.
        source: CardError,
    },
    /// A package that was started before.
    #[error("{}: it exists already, and nothing is overwritten; remove it to start over", path.display())]
    Exists {
        /// The manifest.
        path: PathBuf,
    },
    /// A file that is no longer what was hashed.
    #[error("{}: the file changed while the package was read; try again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A file that would run code when loaded.
    #[error("{}: this is {found}; pickles run whatever code they hold when they are loaded, so no package may contain one: {fix}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What to do.
        fix: &'static str,
    },
    /// The sample does not fit the manifest's inputs.
    #[error("{}: the sample does not fit the inputs in {MANIFEST_FILE}: {detail}", path.display())]
    Sample {
        /// The sample file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The reference distributions cannot be used.
    #[error("{}: {source}; make it again with `fieldmark reference`", path.display())]
    Reference {
        /// The file that `[drift]` names.
        path: PathBuf,
        /// What is wrong.
        source: ReferenceError,
    },
    /// The inputs allow no sample of zeros.
    #[error("no sample can be made from the inputs: {0}; name one in [sample] of {MANIFEST_FILE}")]
    Zeros(#[from] ValueError),
    /// The model did not start.
    #[error("the model does not load: {0}")]
    Start(#[from] StartError),
    /// The model failed on the sample.
    #[error("the model fails on {given}: {source}")]
    Infer {
        /// What it was given.
        given: &'static str,
        /// Why.
        source: InferError,
    },
    /// The model's outputs are not those of the manifest.
    #[error("{title}: output '{output}' {detail}; correct [[output]] in {MANIFEST_FILE}")]
    Output {
        /// `name@version`.
        title: String,
        /// The output.
        output: String,
        /// What differs.
        detail: String,
    },
    /// The model answers another number of records than it was given.
    #[error(
        "{title}: output '{output}' holds {answered} records for {asked}; where every shape in {MANIFEST_FILE} begins \
         with -1, that size counts records: correct the shapes, or write the real size in place of -1"
    )]
    Records {
        /// `name@version`.
        title: String,
        /// The output.
        output: String,
        /// Records of the sample.
        asked: i64,
        /// First size of the output.
        answered: i64,
    },
    /// The blob store failed.
    #[error("{}: cannot take the file into the blob store: {source}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: BlobError,
    },
    /// A file that was just stored is not there.
    #[error("{}: the file is no longer in the blob store; publish again", path.display())]
    Lost {
        /// The file.
        path: PathBuf,
    },
    /// The node is shutting down.
    #[error("the work was interrupted because the node is ending; try again")]
    Interrupted,
}

impl PackageError {
    pub(crate) fn manifest(folder: &Path) -> impl Fn(ManifestError) -> Self {
        move |source| Self::Manifest {
            path: folder.to_owned(),
            source,
        }
    }

    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}
