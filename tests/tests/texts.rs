//! Models of texts: packed, published, asked, and scored on private texts and their corruptions.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use fieldmark_tests::{Node, NodeOptions, Participant, Programs};
use serde_json::Value;
use zip::write::SimpleFileOptions;

const MANIFEST: &str = r#"
[model]
name = "mood"
version = "1.0.0"
runtime = "torchscript"
artifact = "model.pt"
labels = ["bad", "good"]

[[input]]
name = "text"
datatype = "BYTES"
shape = [-1]

[[output]]
name = "scores"
datatype = "FP32"
shape = [-1, 2]

[sample]
file = "sample.json"
"#;

/// Counts the words "bad" and "good".
const CODE: &str = "\
class Net(Module):
  __parameters__ = []
  __buffers__ = []
  def forward(self: __torch__.Net,
    text: List[str]) -> Tensor:
    scores = annotate(List[List[float]], [])
    for _0 in range(torch.len(text)):
      words = torch.split(torch.lower(text[_0]))
      good = 0.
      bad = 0.
      for _1 in range(torch.len(words)):
        word = words[_1]
        good0 = torch.add(good, float(torch.eq(word, \"good\")))
        bad0 = torch.add(bad, float(torch.eq(word, \"bad\")))
        good, bad = good0, bad0
      _2 = torch.append(scores, [bad, good])
    return torch.tensor(scores)
";

/// A TorchScript archive as `torch.jit.save` lays it out, for a module without weights.
fn archive(path: &Path) -> Result<()> {
    let mut archive = zip::ZipWriter::new(fs::File::create(path)?);
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let entries: [(&str, &[u8]); 4] = [
        ("mood/data.pkl", b"\x80\x02c__torch__\nNet\nq\x00)\x81}b."),
        ("mood/code/__torch__.py", CODE.as_bytes()),
        ("mood/constants.pkl", b"\x80\x02)."),
        ("mood/version", b"3\n"),
    ];
    for (name, content) in entries {
        archive.start_file(name, stored)?;
        archive.write_all(content)?;
    }
    archive.finish()?;
    Ok(())
}

fn package(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    archive(&folder.join("model.pt"))?;
    fs::write(folder.join("fieldmark.toml"), MANIFEST)?;
    fs::write(folder.join("sample.json"), r#"{"text": ["A good day"]}"#)?;
    fs::write(
        folder.join("README.md"),
        "---\nlicense: apache-2.0\n---\n# Mood\nCounts words.\n",
    )?;
    Ok(())
}

/// Texts of which one in eight says nothing that the model knows.
fn texts(path: &Path) -> Result<()> {
    let mut rows = String::from("record_id,label,text\n");
    for number in 0..80 {
        let label = if number % 2 == 0 { "good" } else { "bad" };
        let word = if number % 8 == 1 { "fine" } else { label };
        rows.push_str(&format!(
            "r{number},{label},we thought that the whole evening was {word} in the end\n"
        ));
    }
    fs::write(path, rows)?;
    Ok(())
}

fn share(answer: &Value, slice: &str) -> Result<f64> {
    let score = answer.pointer(&format!("/models/0/slices/{slice}"));
    score
        .and_then(Value::as_f64)
        .with_context(|| format!("no score for '{slice}' in {answer}"))
}

#[test]
fn a_model_of_texts_is_scored_on_texts_and_on_what_becomes_of_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let programs = Programs::beside_this_test()?;
    let company = Participant::init(&programs, &folder.path().join("nodes"), "solo", &["contributor"])?;
    let (node, _) = Node::started(&company, folder.path(), &NodeOptions::default())?;
    let (model, data) = (folder.path().join("mood"), folder.path().join("talk.csv"));
    package(&model)?;
    texts(&data)?;
    company.ask(&[
        "reference",
        &model.to_string_lossy(),
        "--from",
        &data.to_string_lossy(),
    ])?;
    company.ask(&["publish", &model.to_string_lossy()])?;
    company.ask(&[
        "dataset",
        "add",
        &data.to_string_lossy(),
        "--name",
        "talk",
        "--severity-of",
        "typos=5,dropped-words=5,cut-sentences=5",
    ])?;
    let scores = company.ask(&["evaluate", "mood", "--dataset", "talk"])?;
    // Without a word that it knows the model says "bad", the first of two equal scores, and of the ten such
    // texts every one is bad.
    assert!((share(&scores, "clean")? - 1.0).abs() < 1e-9, "{scores}");
    for slice in ["typos", "dropped-words", "cut-sentences"] {
        assert!(share(&scores, slice)? < 1.0, "{slice} costs nothing: {scores}");
    }

    let lines = folder.path().join("lines.txt");
    fs::write(&lines, "a good day\nbad and very bad\n")?;
    let answer = company.ask(&["infer", "mood", "--input", &lines.to_string_lossy()])?;
    let said = answer.pointer("/outputs/0/data");
    assert_eq!(said, Some(&serde_json::json!([0.0, 1.0, 2.0, 0.0])), "{answer}");

    // Texts of another length than those of the reference, often enough to be no chance.
    fs::write(&lines, "good\n".repeat(100))?;
    company.ask(&["infer", "mood", "--input", &lines.to_string_lossy()])?;
    let seen = company.ask(&["ps"])?;
    let features = seen.pointer("/node/drift/0/features").and_then(Value::as_array);
    let drifted = |name: &str| {
        let of = features
            .into_iter()
            .flatten()
            .find(|feature| feature["name"] == name);
        of.map(|feature| feature["drifted"] == true)
    };
    assert_eq!(drifted("text.bytes"), Some(true), "{seen}");
    node.stop()
}
