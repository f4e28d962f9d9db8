//! `fieldmark.toml`: how a package folder describes itself before it is a release.

use serde::Deserialize;

use crate::RecordId;
use crate::card::{Card, CardError};
use crate::release::{Artifact, Release, ReleaseError, TensorSpec};

/// Name of the manifest inside a package folder.
pub const MANIFEST_FILE: &str = "fieldmark.toml";
/// Name of the model card inside a package folder.
pub const CARD_FILE: &str = "README.md";
/// Most bytes of a manifest.
pub const MANIFEST_BYTES_MAX: usize = 256 * 1024;

/// A `fieldmark.toml` that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Larger than [`MANIFEST_BYTES_MAX`].
    #[error("{MANIFEST_FILE} has {0} bytes, at most {MANIFEST_BYTES_MAX} are taken")]
    TooLong(usize),
    /// Not TOML of this shape; the text names line and key.
    #[error("{MANIFEST_FILE} cannot be read: {0}")]
    Syntax(String),
    /// The values do not make a release.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The model card cannot be used.
    #[error(transparent)]
    Card(#[from] CardError),
    /// A version of Python that is none, or one where no Python runs.
    #[error("python = \"{found}\" {problem}")]
    Python {
        /// What the manifest says.
        found: String,
        /// What is wrong and what to do.
        problem: &'static str,
    },
}

/// The parsed manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `[model]`
    pub model: Model,
    /// `[[input]]`
    #[serde(rename = "input")]
    pub inputs: Vec<Tensor>,
    /// `[[output]]`
    #[serde(rename = "output")]
    pub outputs: Vec<Tensor>,
    /// `[sample]`, used by `pack` and for public latency figures.
    pub sample: Option<Sample>,
    /// `[drift]`: how inputs and answers were distributed when the release was made.
    pub drift: Option<Drift>,
}

/// `[model]` of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The model's name.
    pub name: String,
    /// The release's version.
    pub version: String,
    /// `torchscript`, `onnx` or `python`.
    pub runtime: String,
    /// Path of the file the runtime loads.
    pub artifact: String,
    /// For runtime `python`: the version of the interpreter, as `3.11` or `3.11.7`; none: any.
    pub python: Option<String>,
    /// What the outputs' last dimension means, in order.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Release record that this one descends from, in hex; boards and subscriptions compare the two.
    pub parent: Option<RecordId>,
    /// Reference distribution of the answers, as weights: one per label, or one per equal bin of a
    /// regression's target range. Boards measure drift against it.
    #[serde(default)]
    pub reference: Vec<u32>,
}

/// `[[input]]` or `[[output]]` of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Open Inference Protocol datatype.
    pub datatype: String,
    /// Sizes; -1 is chosen by the caller.
    pub shape: Vec<i64>,
}

/// `[sample]` of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// JSON file with one value per input: `{"image": [[0.0, …]]}`.
    pub file: String,
}

/// How many of its author's records a reference file counts, as weights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// By answer, in the order of the labels; they stand in for a manifest's `reference` where it has none.
    pub answers: Vec<u32>,
    /// By bin of their inputs' outlyingness.
    pub inputs: Vec<u32>,
}

/// `[drift]` of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// JSON file with the reference distributions, made by `fieldmark reference`.
    pub file: String,
}

impl Manifest {
    /// Parses `fieldmark.toml`.
    ///
    /// # Errors
    /// [`ManifestError`] with the line.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLong(text.len()));
        }
        let syntax = |e: toml::de::Error| ManifestError::Syntax(e.to_string().trim_end().to_owned());
        let manifest: Self = toml::from_str(text).map_err(syntax)?;
        manifest.model.check_python()?;
        Ok(manifest)
    }

    /// The release that this manifest, the card, the hashed files and what its reference file counts make.
    ///
    /// # Errors
    /// [`ManifestError`] naming the field.
    pub fn release(
        &self,
        card: &str,
        mut artifacts: Vec<Artifact>,
        counted: Counted,
    ) -> Result<Release, ManifestError> {
        let card = Card::parse(card)?;
        artifacts.sort_by(|a, b| a.path.cmp(&b.path));
        let tensors = |specs: &[Tensor]| {
            specs
                .iter()
                .map(|t| TensorSpec {
                    name: t.name.clone(),
                    datatype: t.datatype.clone(),
                    shape: t.shape.clone(),
                })
                .collect()
        };
        let release = Release {
            name: self.model.name.clone(),
            version: self.model.version.clone(),
            runtime: self.model.runtime.clone(),
            artifacts,
            entry: self.model.artifact.clone(),
            inputs: tensors(&self.inputs),
            outputs: tensors(&self.outputs),
            labels: self.model.labels.clone(),
            license: card.license,
            tags: card.tags,
            task: card.task,
            summary: card.summary,
            parent: self.model.parent,
            reference: match self.model.reference.as_slice() {
                [] => counted.answers,
                declared => declared.to_vec(),
            },
            input_reference: counted.inputs,
        };
        release.check()?;
        Ok(release)
    }
}

impl Model {
    fn check_python(&self) -> Result<(), ManifestError> {
        let Some(found) = &self.python else {
            return Ok(());
        };
        let wrong = |problem| {
            Err(ManifestError::Python {
                found: found.chars().take(40).collect(),
                problem,
            })
        };
        if self.runtime != "python" {
            return wrong("is for the runtime 'python' only; remove it");
        }
        let parts: Vec<&str> = found.split('.').collect();
        let number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(number) || parts.first() != Some(&"3") {
            return wrong("is no version of Python 3; write it as \"3.11\" or \"3.11.7\"");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ContentHash;

    const TEXT: &str = r#"
[model]
name = "digits"
version = "1.0.0"
runtime = "torchscript"
artifact = "model.pt"
[[input]]
name = "image"
datatype = "FP32"
shape = [-1, 64]
[[output]]
name = "logits"
datatype = "FP32"
shape = [-1, 10]
"#;

    fn artifact(path: &str) -> Artifact {
        let hash = ContentHash::of(path.as_bytes());
        Artifact {
            path: path.into(),
            blake3: hash,
            sha256: hash,
            size: 3,
        }
    }

    #[test]
    fn a_manifest_and_a_card_make_a_release() {
        let card = "---\nlicense: mit\ntags: [digits]\npipeline_tag: image-classification\n---\n# Digits\n\nReads digits.\n";
        let counted = Counted {
            answers: vec![1; 2],
            inputs: vec![2, 1],
        };
        let release = Manifest::parse(TEXT)
            .unwrap()
            .release(
                card,
                vec![artifact("model.pt"), artifact("README.md")],
                counted.clone(),
            )
            .unwrap();
        assert_eq!(release.license, "mit");
        assert_eq!(release.summary, "Reads digits.");
        assert_eq!(
            (release.reference, release.input_reference),
            (vec![1, 1], vec![2, 1])
        );
        assert_eq!(release.artifacts[0].path, "README.md");
    }

    #[test]
    fn a_declared_reference_stands_before_a_counted_one() {
        let counted = |answers: &[u32]| Counted {
            answers: answers.to_vec(),
            inputs: Vec::new(),
        };
        let card = "---\nlicense: mit\n---\n";
        let manifest = Manifest::parse(&TEXT.replace("[model]", "[model]\nreference = [7, 3]")).unwrap();
        let release = manifest.release(card, vec![artifact("model.pt")], counted(&[1, 1, 1]));
        assert_eq!(release.unwrap().reference, [7, 3]);
        let mut labelled = Manifest::parse(TEXT).unwrap();
        labelled.model.labels = vec!["a".into(), "b".into()];
        let of = |answers: &[u32]| labelled.release(card, vec![artifact("model.pt")], counted(answers));
        assert_eq!(of(&[1, 4]).unwrap().reference, [1, 4]);
        assert!(matches!(
            of(&[1, 4, 2]),
            Err(ManifestError::Release(ReleaseError::Count { .. }))
        ));
    }

    #[test]
    fn a_parent_is_a_record_id_in_hex() {
        let with = |parent: &str| TEXT.replace("[model]", &format!("[model]\nparent = \"{parent}\""));
        let parsed = Manifest::parse(&with(&"ab".repeat(32))).unwrap();
        assert_eq!(parsed.model.parent, Some(RecordId::new([0xab; 32])));
        assert!(Manifest::parse(&with("digits@1.0.0")).is_err());
    }

    #[test]
    fn a_python_version_is_checked() {
        let with = |runtime: &str, python: &str| {
            let model = format!("runtime = \"{runtime}\"\npython = \"{python}\"");
            Manifest::parse(&TEXT.replace("runtime = \"torchscript\"", &model))
        };
        assert_eq!(
            with("python", "3.11").unwrap().model.python.as_deref(),
            Some("3.11")
        );
        for (runtime, python) in [
            ("onnx", "3.11"),
            ("python", "2.7"),
            ("python", ">=3.11"),
            ("python", "3"),
        ] {
            assert!(
                matches!(with(runtime, python), Err(ManifestError::Python { .. })),
                "{runtime} {python}"
            );
        }
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line() {
        let text = TEXT.replace("runtime =", "runtine =");
        let error = Manifest::parse(&text).unwrap_err().to_string();
        assert!(error.contains("runtine") && error.contains("line 5"), "{error}");
    }

    #[test]
    fn a_missing_artifact_is_named() {
        let error = Manifest::parse(TEXT).unwrap().release(
            "---\nlicense: mit\n---\n",
            vec![artifact("a.pt")],
            Counted::default(),
        );
        assert_eq!(
            error,
            Err(ManifestError::Release(ReleaseError::Entry("model.pt".into())))
        );
    }
}
