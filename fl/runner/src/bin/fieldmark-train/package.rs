//! Writes a package folder: manifest, artifact, sample and model card.

use crate::data::Rows;
use crate::network::Network;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::Path;

/// What goes into the folder.
#[derive(Debug)]
pub(crate) struct Package<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) network: &'a Network,
    /// Pixels of one public image.
    pub(crate) sample: &'a [f32],
    pub(crate) rows: &'a Rows,
    pub(crate) seed: i64,
    pub(crate) accuracies: &'a [(String, f64)],
}

/// Writes all files; existing ones of the same names are replaced.
pub(crate) fn write(package: &Package<'_>) -> Result<()> {
    let folder = package.folder;
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    package.network.save(&folder.join("model.pt"), package.sample)?;
    let sample = serde_json::json!({ "image": [package.sample] });
    let texts = [
        ("fieldmark.toml", manifest(package)),
        ("README.md", card(package)?),
        ("sample.json", format!("{sample}\n")),
    ];
    for (file, text) in texts {
        let path = folder.join(file);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn manifest(package: &Package<'_>) -> String {
    let labels: Vec<String> = (0..10).map(|label| format!("\"{label}\"")).collect();
    format!(
        r#"[model]
name = "{name}"
version = "{version}"
runtime = "torchscript"
artifact = "model.pt"
labels = [{labels}]

[[input]]
name = "image"
datatype = "FP32"
shape = [-1, 64]

[[output]]
name = "logits"
datatype = "FP32"
shape = [-1, 10]

[sample]
file = "sample.json"
"#,
        name = package.name,
        version = package.version,
        labels = labels.join(", "),
    )
}

fn card(package: &Package<'_>) -> Result<String> {
    let Package { name, rows, seed, .. } = package;
    let architecture = package.network.architecture;
    let mut text = format!(
        r"---
license: apache-2.0
language: en
library_name: torchscript
pipeline_tag: image-classification
tags:
  - image-classification
  - digits
  - {kind}
metrics:
  - accuracy
---

# {name}

Recognises handwritten digits in images of 8 by 8 pixels: {description}.

## Input and output

`image`: FP32, one row of 64 pixels per image, from 0 (paper) to 16 (ink), top left first. The model scales them
itself. `logits`: FP32, ten per image; the largest one is the guess.

## Training

Rows {rows} of the optical recognition of handwritten digits data set (scikit-learn's `digits`), in the order of
the file, with seed {seed}.

| measured on | accuracy |
| --- | --- |
",
        kind = architecture.name(),
        description = architecture.description(),
    );
    for (what, accuracy) in package.accuracies {
        writeln!(text, "| {what} | {accuracy:.4} |")?;
    }
    text.push_str(
        "\n## Limits\n\nTrained on clean, centred images by a few writers; the file is ordered by writer, so that held-out rows come from\nother hands. Expect less on blurred, noisy or shifted images.\n",
    );
    Ok(text)
}
