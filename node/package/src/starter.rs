//! `init-model`: a package folder started from an artifact.
//!
//! What the artifact says is written into `fieldmark.toml`; what it does not say is found by running it once in
//! isolation ([`crate::guess`]) or left as -1 under a comment that says what to fill in. Nothing that exists is
//! overwritten; a model card that is there already is checked instead.

mod text;

use std::fs;
use std::path::{Path, PathBuf};

use fieldmark_protocol::card::Card;
use fieldmark_protocol::manifest::{CARD_FILE, MANIFEST_FILE};
use fieldmark_protocol::release::TensorSpec;
use fieldmark_supervisor::{Limits, Runner, RunnerSpec, SupervisorConfig};
use fieldmark_tensors::values;

use crate::inspect::{self, Finding, Folder, Slot};
use crate::{PackageError, guess};

/// Name of the sample file that is written.
const SAMPLE_FILE: &str = "sample.json";
/// Most bytes of a sample that is written as zeros.
const SAMPLE_VALUES_MAX: i64 = 1 << 20;

/// A package folder that was started.
#[derive(Debug, Clone)]
pub struct Started {
    /// The folder.
    pub folder: PathBuf,
    /// Files that were written.
    pub written: Vec<&'static str>,
    /// What the author has to fill in before the package can be packed; empty: nothing.
    pub open: Vec<String>,
    /// What the artifact said about itself.
    pub facts: Vec<String>,
}

/// What is known of a model by the time its manifest is written.
#[derive(Debug, Clone)]
struct Draft {
    name: String,
    runtime: &'static str,
    entry: String,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    /// Whether every input is known well enough for a sample.
    sampled: bool,
    open: Vec<String>,
    facts: Vec<String>,
}

/// Starts a package from an artifact, in `into` or, for a file, in a folder of its name; for a folder, in itself.
/// Without `config` nothing is run.
///
/// # Errors
/// [`PackageError`] naming the file: a format that is not known, a pickle, a manifest that is there already.
pub async fn start(
    from: &Path,
    into: Option<&Path>,
    config: Option<&SupervisorConfig>,
) -> Result<Started, PackageError> {
    let folder = match (into, from.is_dir()) {
        (Some(into), _) => into.to_owned(),
        (None, true) => from.to_owned(),
        (None, false) => PathBuf::from(name_of(from)),
    };
    let manifest = folder.join(MANIFEST_FILE);
    if manifest.exists() {
        return Err(PackageError::Exists { path: manifest });
    }
    let mut draft = draft(from, config).await?;
    if into.is_some() {
        draft.name = name_of(&folder);
    }
    copy(from, &folder, &draft)?;
    let mut written = Vec::new();
    let sample = sample(&draft);
    let mut open = draft.open.clone();
    let card = folder.join(CARD_FILE);
    if card.exists() {
        let checked = Card::parse(&crate::files::read_text(&card)?);
        checked.map_err(|source| PackageError::Card {
            path: card.clone(),
            source,
        })?;
    } else {
        write(&card, &text::card(&draft), CARD_FILE, &mut written)?;
        open.push(format!("{CARD_FILE}: the licence, and what the model is for"));
    }
    if let Some(sample) = &sample
        && !folder.join(SAMPLE_FILE).exists()
    {
        write(&folder.join(SAMPLE_FILE), sample, SAMPLE_FILE, &mut written)?;
    }
    let with_sample = folder.join(SAMPLE_FILE).exists();
    write(
        &manifest,
        &text::manifest(&draft, with_sample),
        MANIFEST_FILE,
        &mut written,
    )?;
    Ok(Started {
        folder,
        written,
        open,
        facts: draft.facts,
    })
}

async fn draft(from: &Path, config: Option<&SupervisorConfig>) -> Result<Draft, PackageError> {
    if from.is_dir() {
        let found = Folder::read(from)?.finding;
        return Ok(unseen(name_of(from), inspect::ENTRY_FILE.to_owned(), found, None));
    }
    let found = inspect::file(from)?;
    let entry = from
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let Some(config) = config else {
        return Ok(unseen(name_of(from), entry, found, None));
    };
    let limits = Limits {
        request_timeout: guess::ANSWER_MAX,
        ..config.limits.clone()
    };
    let spec = spec(&found, from).limits(limits);
    let runner = match Runner::start(config, spec).await {
        Ok(runner) => runner,
        Err(error) => {
            let trouble = format!("a model that loads; this one does not: {error}");
            return Ok(unseen(name_of(from), entry, found, Some(trouble)));
        }
    };
    let seen = guess::see(&runner, &found.inputs, &found.outputs).await;
    runner.shutdown().await;
    Ok(match seen {
        Ok(seen) => Draft {
            name: name_of(from),
            runtime: found.runtime,
            entry,
            open: guessed(&found.inputs, &seen.inputs),
            inputs: seen.inputs,
            outputs: stated(&found.outputs, seen.outputs),
            sampled: true,
            facts: found.facts,
        },
        Err(words) => {
            let trouble = format!("a run on guesses failed: {words}");
            unseen(name_of(from), entry, found, Some(trouble))
        }
    })
}

fn spec(found: &Finding, artifact: &Path) -> RunnerSpec {
    let spec = RunnerSpec::new("the model", artifact);
    let spec = crate::workshop::with_runtime(spec, found.runtime);
    let names = |slots: &[Slot]| slots.iter().map(|slot| slot.name.clone()).collect::<Vec<_>>();
    spec.inputs(names(&found.inputs)).outputs(names(&found.outputs))
}

/// What ran and may still not be what the author means.
fn guessed(slots: &[Slot], seen: &[TensorSpec]) -> Vec<String> {
    let guessed = slots.iter().zip(seen).filter(|(slot, _)| slot.shape.is_none());
    let one = |(_, seen): (&Slot, &TensorSpec)| {
        let TensorSpec {
            name,
            datatype,
            shape,
        } = seen;
        format!(
            "{MANIFEST_FILE}: the model ran with input '{name}' as {datatype} {shape:?}, which is a guess; check it"
        )
    };
    guessed.map(one).collect()
}

/// What the artifact states goes before what was seen.
fn stated(slots: &[Slot], seen: Vec<TensorSpec>) -> Vec<TensorSpec> {
    let one = |spec: TensorSpec| match slots.iter().find(|slot| slot.name == spec.name) {
        Some(slot) => TensorSpec {
            name: spec.name,
            datatype: slot.datatype.clone().unwrap_or(spec.datatype),
            shape: slot.shape.clone().unwrap_or(spec.shape),
        },
        None => spec,
    };
    seen.into_iter().map(one).collect()
}

/// A draft of what was read alone, with what is missing and why it could not be tried.
fn unseen(name: String, entry: String, found: Finding, trouble: Option<String>) -> Draft {
    let mut open = Vec::new();
    let mut known = |what: &str, slots: &[Slot]| -> Vec<TensorSpec> {
        if slots.is_empty() {
            open.push(format!(
                "{MANIFEST_FILE}: the {what}s, which could not be read from the artifact"
            ));
        }
        let one = |slot: &Slot| {
            if slot.datatype.is_none() || slot.shape.is_none() {
                open.push(format!(
                    "{MANIFEST_FILE}: datatype and shape of {what} '{}'",
                    slot.name
                ));
            }
            TensorSpec {
                name: slot.name.clone(),
                datatype: slot.datatype.clone().unwrap_or_else(|| "FP32".to_owned()),
                shape: slot.shape.clone().unwrap_or_else(|| vec![-1]),
            }
        };
        slots.iter().map(one).collect()
    };
    let (inputs, outputs) = (known("input", &found.inputs), known("output", &found.outputs));
    let known = |slot: &Slot| slot.datatype.is_some() && slot.shape.is_some();
    let sampled = !found.inputs.is_empty() && found.inputs.iter().all(known);
    open.extend(trouble);
    Draft {
        name,
        runtime: found.runtime,
        entry,
        inputs,
        outputs,
        sampled,
        open,
        facts: found.facts,
    }
}

/// A name a model may have, out of a path.
fn name_of(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let stem = if path.is_dir() {
        path.file_name()
    } else {
        path.file_stem()
    };
    let stem = stem
        .map(|stem| stem.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let fit = |c: char| {
        if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' {
            c
        } else {
            '-'
        }
    };
    let name: String = stem.chars().map(fit).collect();
    let name: String = name.trim_matches(['-', '.']).chars().take(64).collect();
    if name.is_empty() { "model".to_owned() } else { name }
}

fn copy(from: &Path, folder: &Path, draft: &Draft) -> Result<(), PackageError> {
    fs::create_dir_all(folder).map_err(PackageError::io(folder))?;
    let files = if from.is_dir() {
        crate::files::list(from)?
    } else {
        vec![draft.entry.clone()]
    };
    let root = if from.is_dir() {
        from
    } else {
        from.parent().unwrap_or(Path::new(""))
    };
    for file in files {
        let (source, target) = (root.join(&file), folder.join(&file));
        if target.exists() {
            continue;
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(PackageError::io(parent))?;
        }
        fs::copy(&source, &target).map_err(PackageError::io(&target))?;
    }
    Ok(())
}

/// Zeros, or a text, for every input; nothing while shapes are open.
fn sample(draft: &Draft) -> Option<String> {
    if !draft.sampled {
        return None;
    }
    let count = |spec: &TensorSpec| {
        spec.shape
            .iter()
            .try_fold(1_i64, |n, size| n.checked_mul((*size).max(1)))
    };
    if draft
        .inputs
        .iter()
        .any(|spec| count(spec).is_none_or(|count| count > SAMPLE_VALUES_MAX))
    {
        return None;
    }
    let tensors = values::zeros(&draft.inputs).ok()?;
    let one = |tensor: &fieldmark_supervisor::Tensor| {
        let flat = values::to_protocol(tensor).ok()?.get("data")?.as_array()?.clone();
        Some((tensor.name.clone(), text::nested(&flat, &tensor.shape)))
    };
    let object: serde_json::Map<String, serde_json::Value> =
        tensors.iter().map(one).collect::<Option<_>>()?;
    Some(format!("{}\n", serde_json::Value::Object(object)))
}

fn write(
    path: &Path,
    content: &str,
    name: &'static str,
    written: &mut Vec<&'static str>,
) -> Result<(), PackageError> {
    fs::write(path, content).map_err(PackageError::io(path))?;
    written.push(name);
    Ok(())
}

#[cfg(test)]
mod tests;
