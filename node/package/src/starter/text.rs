//! The texts of a started package: manifest, card and nested arrays.

use fieldmark_protocol::release::TensorSpec;
use serde_json::Value;

use super::{Draft, SAMPLE_FILE};

/// `fieldmark.toml`, with a comment where something is the author's to say.
pub(super) fn manifest(draft: &Draft, with_sample: bool) -> String {
    let mut text = format!(
        "[model]\nname = {name}\nversion = \"1.0.0\"\nruntime = \"{runtime}\"\nartifact = {entry}\n\
         # What the last size of the first output counts, in order, if it counts classes:\n# labels = [\"no\", \"yes\"]\n",
        name = quoted(&draft.name),
        runtime = draft.runtime,
        entry = quoted(&draft.entry),
    );
    if draft.runtime == "python" {
        text.push_str("# The version of Python it was made for:\n# python = \"3.11\"\n");
    }
    for open in &draft.open {
        text.push_str(&format!("\n# To fill in: {}", plain(open)));
    }
    if !draft.open.is_empty() {
        text.push_str("\n# Sizes: -1 is chosen by the caller, others are fixed.\n");
    }
    for (what, specs) in [("input", &draft.inputs), ("output", &draft.outputs)] {
        for TensorSpec {
            name,
            datatype,
            shape,
        } in specs
        {
            let name = quoted(name);
            text.push_str(&format!(
                "\n[[{what}]]\nname = {name}\ndatatype = \"{datatype}\"\nshape = {shape:?}\n"
            ));
        }
    }
    if with_sample {
        text.push_str(&format!("\n[sample]\nfile = \"{SAMPLE_FILE}\"\n"));
    }
    text
}

/// `README.md` with the header that Hugging Face reads.
pub(super) fn card(draft: &Draft) -> String {
    let library = match draft.runtime {
        "torchscript" => "torchscript",
        "onnx" => "onnx",
        _ => "python",
    };
    let mut text = format!(
        "---\n# Under which terms others may use it, such as apache-2.0 or mit:\nlicense: other\nlicense_name: unstated\n\
         library_name: {library}\ntags: []\n# One of Hugging Face's tasks:\n# pipeline_tag: image-classification\n\
         # The model this one was made from, as AUTHOR/NAME:\n# base_model: author/name\n---\n\n# {name}\n\n\
         What it does, in a sentence.\n\n## Input and output\n\n",
        name = plain(&draft.name),
    );
    for (what, specs) in [("Input", &draft.inputs), ("Output", &draft.outputs)] {
        for TensorSpec {
            name,
            datatype,
            shape,
        } in specs
        {
            text.push_str(&format!("- {what} `{}`: {datatype} {shape:?}: …\n", plain(name)));
        }
    }
    if !draft.facts.is_empty() {
        text.push_str("\n## Artifact\n\n");
        for fact in &draft.facts {
            text.push_str(&format!("- {}\n", plain(fact)));
        }
    }
    text.push_str(
        "\n## Training\n\nOn which data, by whom, until when.\n\n## Limits\n\nWhat it is not for.\n",
    );
    text
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let escaped: String = plain(text)
        .chars()
        .flat_map(|c| match c {
            '"' | '\\' => vec!['\\', c],
            other => vec![other],
        })
        .collect();
    format!("\"{escaped}\"")
}

/// One line, whatever an artifact says.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Flat values as nested arrays of a shape.
pub(super) fn nested(flat: &[Value], shape: &[i64]) -> Value {
    let Some((first, rest)) = shape.split_first() else {
        return flat.first().cloned().unwrap_or(Value::Null);
    };
    let count = usize::try_from(*first).unwrap_or(0);
    if rest.is_empty() || count == 0 {
        return Value::Array(flat.to_vec());
    }
    Value::Array(
        flat.chunks((flat.len() / count).max(1))
            .map(|part| nested(part, rest))
            .collect(),
    )
}
