//! Releases: the manifest of one immutable version of a model, as its record carries it.

use std::collections::BTreeSet;

use prost::Message;

use crate::decode::{self, DecodeError};
use crate::id::{ContentHash, IdError};
use crate::record::PAYLOAD_BYTES_MAX;
use crate::text::{self, TextError};
use crate::{RecordId, wire};

/// Most files of a package.
pub const ARTIFACTS_MAX: usize = 64;
/// Largest file of a package, in bytes (64 GiB).
pub const ARTIFACT_BYTES_MAX: u64 = 64 << 30;
/// Most inputs or outputs of a model.
pub const TENSORS_MAX: usize = 32;
/// Most dimensions of a tensor.
pub const DIMENSIONS_MAX: usize = 8;
/// Most bins of a reference distribution.
const BINS_MAX: usize = 50;
/// Most bins of inputs by their outlyingness.
pub const INPUT_BINS_MAX: usize = 10;
/// Most labels of a model.
pub const LABELS_MAX: usize = 1024;

/// Datatype names of the Open Inference Protocol v2.
pub const DATATYPES: [&str; 14] = [
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32",
    "FP64", "BYTES",
];

/// Runtimes a release may name.
pub const RUNTIMES: [&str; 3] = ["torchscript", "onnx", "python"];

/// A manifest that cannot be a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The bytes do not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A name or text is not allowed.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A hash or id has the wrong length.
    #[error("{field} is not a hash")]
    Hash {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        #[source]
        source: IdError,
    },
    /// A runtime this version does not know.
    #[error("runtime '{found}' is not known; known are {}", RUNTIMES.join(", "))]
    Runtime {
        /// The runtime named.
        found: String,
    },
    /// A count outside its bounds.
    #[error("a release has {min} to {max} {what}, this one {found}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// Least.
        min: usize,
        /// Most.
        max: usize,
        /// Found.
        found: usize,
    },
    /// A path that leaves the package or is written in a second way.
    #[error("artifact path '{0}' is not a plain relative path")]
    Path(String),
    /// Paths not sorted, or one twice.
    #[error("artifact '{0}' is listed twice or out of order")]
    Order(String),
    /// An artifact larger than [`ARTIFACT_BYTES_MAX`].
    #[error("artifact '{path}' says it has {found} bytes, at most {ARTIFACT_BYTES_MAX} are taken")]
    Size {
        /// The artifact.
        path: String,
        /// The size it names.
        found: u64,
    },
    /// The entry is not among the artifacts.
    #[error("entry '{0}' is not among the artifacts")]
    Entry(String),
    /// A tensor datatype or shape that is none.
    #[error("tensor '{name}': {detail}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong.
        detail: String,
    },
}

/// One file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Path inside the package, `/` between parts.
    pub path: String,
    /// BLAKE3 of the content: its address as a blob.
    pub blake3: ContentHash,
    /// SHA-256 of the content, for other tools.
    pub sha256: ContentHash,
    /// Bytes.
    pub size: u64,
}

/// An input or output of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// One of [`DATATYPES`].
    pub datatype: String,
    /// Sizes; -1 is chosen by the caller.
    pub shape: Vec<i64>,
}

/// A checked Release payload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are documented in release.proto")]
pub struct Release {
    pub name: String,
    pub version: String,
    pub runtime: String,
    pub artifacts: Vec<Artifact>,
    pub entry: String,
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
    pub labels: Vec<String>,
    pub license: String,
    pub tags: Vec<String>,
    pub task: String,
    pub summary: String,
    pub parent: Option<RecordId>,
    pub reference: Vec<u32>,
    pub input_reference: Vec<u32>,
}

impl Release {
    /// Decodes and checks a payload.
    ///
    /// # Errors
    /// [`ReleaseError`] naming the field.
    pub fn decode(payload: &[u8]) -> Result<Self, ReleaseError> {
        let release = from_wire(decode::bounded("a release", payload, PAYLOAD_BYTES_MAX)?)?;
        release.check()?;
        Ok(release)
    }

    /// Checks every bound; a release that passes encodes to a valid payload.
    ///
    /// # Errors
    /// [`ReleaseError`] naming the field.
    pub fn check(&self) -> Result<(), ReleaseError> {
        text::name("the model's name", &self.name)?;
        text::version("the version", &self.version)?;
        if !RUNTIMES.contains(&self.runtime.as_str()) {
            return Err(ReleaseError::Runtime {
                found: self.runtime.clone(),
            });
        }
        self.check_artifacts()?;
        check_tensors("inputs", &self.inputs)?;
        check_tensors("outputs", &self.outputs)?;
        count("labels", 0, LABELS_MAX, self.labels.len())?;
        count("tags", 0, 64, self.tags.len())?;
        self.check_reference()?;
        for label in self.labels.iter().chain(&self.tags) {
            text::free("a label or tag", label, 128)?;
        }
        text::free("the licence", &self.license, 128)?;
        text::free("the card's task", &self.task, 128)?;
        text::free("the summary", &self.summary, 1024)?;
        Ok(())
    }

    /// A reference distribution has one weight a label, or a few bins.
    fn check_reference(&self) -> Result<(), ReleaseError> {
        let labels = self.labels.len();
        let (min, max) = if labels == 0 {
            (2, BINS_MAX)
        } else {
            (labels, labels)
        };
        check_weights(&self.reference, min, max)?;
        check_weights(&self.input_reference, 2, INPUT_BINS_MAX)
    }

    fn check_artifacts(&self) -> Result<(), ReleaseError> {
        count("artifacts", 1, ARTIFACTS_MAX, self.artifacts.len())?;
        let mut before = "";
        for artifact in &self.artifacts {
            check_path(&artifact.path)?;
            if artifact.path.as_str() <= before {
                return Err(ReleaseError::Order(artifact.path.clone()));
            }
            if artifact.size > ARTIFACT_BYTES_MAX {
                return Err(ReleaseError::Size {
                    path: artifact.path.clone(),
                    found: artifact.size,
                });
            }
            before = &artifact.path;
        }
        if self.entry_artifact().is_none() {
            return Err(ReleaseError::Entry(self.entry.clone()));
        }
        Ok(())
    }

    /// The artifact the runtime loads; there is always one in a checked release.
    #[must_use]
    pub fn entry_artifact(&self) -> Option<&Artifact> {
        self.artifacts.iter().find(|a| a.path == self.entry)
    }

    /// Bytes of all artifacts.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.artifacts.iter().fold(0, |sum, a| sum.saturating_add(a.size))
    }

    /// The payload bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        to_wire(self).encode_to_vec()
    }
}

/// Checks a path inside a package: relative, no `.` or `..`, no empty part, no backslash.
///
/// # Errors
/// [`ReleaseError::Path`].
pub fn check_path(path: &str) -> Result<(), ReleaseError> {
    let bad_part = |part: &str| part.is_empty() || part == "." || part == "..";
    let bad_char = |c: char| c.is_control() || c == '\\';
    if path.len() > 255 || path.chars().any(bad_char) || path.split('/').any(bad_part) {
        return Err(ReleaseError::Path(path.to_owned()));
    }
    Ok(())
}

fn count(what: &'static str, min: usize, max: usize, found: usize) -> Result<(), ReleaseError> {
    if found < min || found > max {
        return Err(ReleaseError::Count {
            what,
            min,
            max,
            found,
        });
    }
    Ok(())
}

/// Weights of a distribution, if there are any: so many, and not only zeros.
fn check_weights(weights: &[u32], min: usize, max: usize) -> Result<(), ReleaseError> {
    if weights.is_empty() {
        return Ok(());
    }
    count("weights of a reference distribution", min, max, weights.len())?;
    let positive = weights.iter().filter(|weight| **weight > 0).count();
    count("positive weights of a reference distribution", 1, max, positive)
}

fn check_tensors(what: &'static str, tensors: &[TensorSpec]) -> Result<(), ReleaseError> {
    count(what, 1, TENSORS_MAX, tensors.len())?;
    let mut names = BTreeSet::new();
    for tensor in tensors {
        text::free("a tensor's name", &tensor.name, text::NAME_BYTES_MAX)?;
        let fail = |detail: String| {
            Err(ReleaseError::Tensor {
                name: tensor.name.clone(),
                detail,
            })
        };
        if tensor.name.is_empty() || !names.insert(&tensor.name) {
            return fail("names are unique and not empty".into());
        }
        if !DATATYPES.contains(&tensor.datatype.as_str()) {
            return fail(format!(
                "datatype '{}' is none of {}",
                tensor.datatype,
                DATATYPES.join(", ")
            ));
        }
        if tensor.shape.len() > DIMENSIONS_MAX || tensor.shape.iter().any(|&d| d == 0 || d < -1) {
            return fail(format!(
                "shape {:?} has a size that is neither -1 nor positive, or over {DIMENSIONS_MAX} sizes",
                tensor.shape
            ));
        }
    }
    Ok(())
}

fn from_wire(wire: wire::Release) -> Result<Release, ReleaseError> {
    let hash = |field| move |source| ReleaseError::Hash { field, source };
    let artifact = |a: wire::Artifact| {
        Ok::<_, ReleaseError>(Artifact {
            path: a.path,
            blake3: ContentHash::from_slice(&a.blake3).map_err(hash("an artifact's BLAKE3"))?,
            sha256: ContentHash::from_slice(&a.sha256).map_err(hash("an artifact's SHA-256"))?,
            size: a.size,
        })
    };
    let tensors = |specs: Vec<wire::TensorSpec>| {
        specs
            .into_iter()
            .map(|t| TensorSpec {
                name: t.name,
                datatype: t.datatype,
                shape: t.shape,
            })
            .collect()
    };
    let parent = if wire.parent.is_empty() {
        None
    } else {
        Some(RecordId::from_slice(&wire.parent).map_err(hash("the parent"))?)
    };
    Ok(Release {
        name: wire.name,
        version: wire.version,
        runtime: wire.runtime,
        artifacts: wire
            .artifacts
            .into_iter()
            .map(artifact)
            .collect::<Result<_, _>>()?,
        entry: wire.entry,
        inputs: tensors(wire.inputs),
        outputs: tensors(wire.outputs),
        labels: wire.labels,
        license: wire.license,
        tags: wire.tags,
        task: wire.task,
        summary: wire.summary,
        parent,
        reference: wire.reference,
        input_reference: wire.input_reference,
    })
}

fn to_wire(release: &Release) -> wire::Release {
    let tensors = |specs: &[TensorSpec]| {
        specs
            .iter()
            .map(|t| wire::TensorSpec {
                name: t.name.clone(),
                datatype: t.datatype.clone(),
                shape: t.shape.clone(),
            })
            .collect()
    };
    wire::Release {
        name: release.name.clone(),
        version: release.version.clone(),
        runtime: release.runtime.clone(),
        artifacts: release
            .artifacts
            .iter()
            .map(|a| wire::Artifact {
                path: a.path.clone(),
                blake3: a.blake3.to_vec(),
                sha256: a.sha256.to_vec(),
                size: a.size,
            })
            .collect(),
        entry: release.entry.clone(),
        inputs: tensors(&release.inputs),
        outputs: tensors(&release.outputs),
        labels: release.labels.clone(),
        license: release.license.clone(),
        tags: release.tags.clone(),
        task: release.task.clone(),
        summary: release.summary.clone(),
        parent: release.parent.map(RecordId::to_vec).unwrap_or_default(),
        reference: release.reference.clone(),
        input_reference: release.input_reference.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Release {
        Release {
            name: "digits".into(),
            version: "1.0.0".into(),
            runtime: "torchscript".into(),
            artifacts: vec![Artifact {
                path: "model.pt".into(),
                blake3: ContentHash::of(b"x"),
                sha256: ContentHash::new([2; 32]),
                size: 1,
            }],
            entry: "model.pt".into(),
            inputs: vec![TensorSpec {
                name: "image".into(),
                datatype: "FP32".into(),
                shape: vec![-1, 64],
            }],
            outputs: vec![TensorSpec {
                name: "logits".into(),
                datatype: "FP32".into(),
                shape: vec![-1, 10],
            }],
            labels: (0..10).map(|d| d.to_string()).collect(),
            license: "Apache-2.0".into(),
            tags: vec![],
            task: "image-classification".into(),
            summary: String::new(),
            parent: None,
            reference: Vec::new(),
            input_reference: Vec::new(),
        }
    }

    #[test]
    fn a_release_survives_its_payload() {
        assert_eq!(Release::decode(&sample().encode()).unwrap(), sample());
    }

    #[test]
    fn lies_and_escapes_are_refused() {
        let change = |f: &dyn Fn(&mut Release)| {
            let mut release = sample();
            f(&mut release);
            release.check().unwrap_err()
        };
        assert!(matches!(
            change(&|r| r.entry = "other.pt".into()),
            ReleaseError::Entry(_)
        ));
        assert!(matches!(
            change(&|r| r.artifacts[0].path = "../model.pt".into()),
            ReleaseError::Path(_)
        ));
        assert!(matches!(
            change(&|r| r.artifacts[0].size = u64::MAX),
            ReleaseError::Size { .. }
        ));
        assert!(matches!(
            change(&|r| r.runtime = "pickle".into()),
            ReleaseError::Runtime { .. }
        ));
        assert!(matches!(
            change(&|r| r.inputs[0].shape = vec![0]),
            ReleaseError::Tensor { .. }
        ));
        assert!(matches!(
            change(&|r| r.outputs[0].datatype = "F32".into()),
            ReleaseError::Tensor { .. }
        ));
        assert!(matches!(
            change(&|r| r.artifacts.clear()),
            ReleaseError::Count { .. }
        ));
        assert!(matches!(
            change(&|r| r.artifacts.push(r.artifacts[0].clone())),
            ReleaseError::Order(_)
        ));
    }

    #[test]
    fn a_reference_of_inputs_has_two_to_ten_bins() {
        let mut release = sample();
        for (weights, taken) in [
            (vec![3, 0], true),
            (vec![1; 10], true),
            (vec![1], false),
            (vec![1; 11], false),
        ] {
            release.input_reference = weights;
            assert_eq!(
                Release::decode(&release.encode()).is_ok_and(|read| read == release),
                taken
            );
        }
    }

    #[test]
    fn a_reference_distribution_has_a_weight_for_each_label() {
        let mut release = sample();
        release.reference = vec![1; 10];
        assert_eq!(Release::decode(&release.encode()).unwrap(), release);
        for bad in [vec![1; 9], vec![0; 10]] {
            release.reference = bad;
            assert!(matches!(
                Release::decode(&release.encode()),
                Err(ReleaseError::Count { .. })
            ));
        }
    }
}
