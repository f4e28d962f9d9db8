//! Folders with a `predict.py`: which files travel, what they are, and which names `predict` uses.
//!
//! The code is read as text. Names of inputs are those it looks up by `inputs["…"]`, names of outputs the keys of
//! the last dictionary it returns; both are a start for the author, who knows better.

use std::fs::File;
use std::path::Path;

use super::{CODE_BYTES_MAX, Finding, InspectError, Slot, TENSORS_MAX, safetensors};
use crate::python::{Lock, REQUIREMENTS_FILE};
use crate::{PackageError, files, pickle};

/// Name of the file that a python package starts with.
pub(crate) const ENTRY_FILE: &str = "predict.py";

/// A folder looked through.
#[derive(Debug, Clone)]
pub struct Folder {
    /// What was found.
    pub finding: Finding,
    /// Its files, sorted.
    pub files: Vec<String>,
}

impl Folder {
    /// Looks through a folder.
    ///
    /// # Errors
    /// [`PackageError`] naming the file: no `predict.py`, a pickle, requirements that lock nothing.
    pub fn read(folder: &Path) -> Result<Self, PackageError> {
        let files = files::list(folder)?;
        let entry = folder.join(ENTRY_FILE);
        let fail = |path: &Path, source| PackageError::Inspect {
            path: path.to_owned(),
            source,
        };
        if !files.iter().any(|file| file == ENTRY_FILE) {
            let detail = "it holds no predict.py; write one with predict(model, inputs), as docs/guides/python-models.md \
                          shows, or name a .pt or .onnx file";
            return Err(fail(folder, InspectError::Refused(detail.to_owned())));
        }
        let mut facts = Vec::new();
        for file in &files {
            let path = folder.join(file);
            pickle::refuse(&path)?;
            facts.extend(fact(&path, file)?);
        }
        let code = files::read_text(&entry)?;
        if code.len() as u64 > CODE_BYTES_MAX || !code.contains("def predict(") {
            let detail = "it has no function predict(model, inputs)".to_owned();
            return Err(fail(&entry, InspectError::Refused(detail)));
        }
        let slot = |name: String| Slot {
            name,
            datatype: None,
            shape: None,
        };
        let finding = Finding {
            runtime: "python",
            inputs: looked_up(&code).into_iter().map(slot).collect(),
            outputs: returned(&code).into_iter().map(slot).collect(),
            facts,
        };
        Ok(Self { finding, files })
    }
}

/// One line about a file that is more than text.
fn fact(path: &Path, file: &str) -> Result<Option<String>, PackageError> {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let words = match ending {
        _ if file == REQUIREMENTS_FILE => {
            let lock = Lock::parse(&files::read_text(path)?);
            let lock = lock.map_err(|source| PackageError::Lock {
                path: path.to_owned(),
                source,
            })?;
            let named: Vec<String> = lock
                .requirements()
                .map(|r| format!("{} {}", r.name, r.version))
                .take(20)
                .collect();
            format!("locks {}", named.join(", "))
        }
        "safetensors" => {
            let open = File::open(path).map_err(PackageError::io(path))?;
            let bytes = open.metadata().map_err(PackageError::io(path))?.len();
            let described = safetensors::describe(open, bytes);
            described.map_err(|source| PackageError::Inspect {
                path: path.to_owned(),
                source,
            })?
        }
        "skops" => "a scikit-learn model without pickles (skops)".to_owned(),
        "npz" | "npy" => "arrays of NumPy".to_owned(),
        "onnx" => {
            let found = super::file(path)?;
            format!(
                "an ONNX model ({})",
                found.facts.first().map_or("", String::as_str)
            )
        }
        _ => return Ok(None),
    };
    Ok(Some(format!("`{file}`: {words}")))
}

/// Names in `inputs["…"]`, in order, each once.
fn looked_up(code: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for after in code.split("inputs[").skip(1) {
        let Some(name) = quoted(after) else { continue };
        if !names.iter().any(|known| known == name) && names.len() < TENSORS_MAX {
            names.push(name.to_owned());
        }
    }
    names
}

/// Keys of the last `return {…}`.
fn returned(code: &str) -> Vec<String> {
    let Some(body) = code
        .rsplit("return {")
        .next()
        .filter(|_| code.contains("return {"))
    else {
        return Vec::new();
    };
    let (mut depth, mut names, mut rest) = (0_usize, Vec::new(), body);
    while let Some(c) = rest.chars().next() {
        if depth == 0
            && let Some(name) = quoted(rest)
        {
            let after = rest.get(name.len() + 2..).unwrap_or_default();
            if after.trim_start().starts_with(':') && names.len() < TENSORS_MAX {
                names.push(name.to_owned());
            }
            rest = after;
            continue;
        }
        match c {
            '(' | '[' | '{' => depth += 1,
            '}' if depth == 0 => break,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    names
}

/// The text between the quotes that `text` starts with.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = text.get(1..)?;
    let end = inner.find(quote)?;
    inner
        .get(..end)
        .filter(|name| !name.is_empty() && name.len() <= 64 && !name.contains(['\n', '\\']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_the_code() {
        let code = "def predict(model, inputs):\n    a, b = inputs[\"age\"], inputs['income']\n    \
                    c = inputs[\"age\"]\n    if not a:\n        return {\"empty\": 0}\n    \
                    return {\"score\": f(a, {\"x\": 1}), 'label': [\"no\", \"yes\"]}\n";
        assert_eq!(looked_up(code), ["age", "income"]);
        assert_eq!(returned(code), ["score", "label"]);
        assert!(returned("return 1").is_empty());
        assert!(returned("return {\"").is_empty());
    }

    #[test]
    fn a_folder_is_looked_through_and_pickles_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = Folder::read(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("predict.py"), "{refused}");
        std::fs::write(
            dir.path().join(ENTRY_FILE),
            "def predict(model, inputs):\n    return {\"y\": inputs[\"x\"]}\n",
        )
        .unwrap();
        let folder = Folder::read(dir.path()).unwrap();
        assert_eq!(
            (
                folder.finding.inputs[0].name.as_str(),
                folder.finding.outputs[0].name.as_str()
            ),
            ("x", "y")
        );
        std::fs::write(dir.path().join(REQUIREMENTS_FILE), "numpy\n").unwrap();
        assert!(matches!(Folder::read(dir.path()), Err(PackageError::Lock { .. })));
        std::fs::remove_file(dir.path().join(REQUIREMENTS_FILE)).unwrap();
        std::fs::write(dir.path().join("model.joblib"), "x").unwrap();
        assert!(matches!(
            Folder::read(dir.path()),
            Err(PackageError::Pickle { .. })
        ));
    }
}
