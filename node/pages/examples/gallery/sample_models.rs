//! Invented catalogue, model and issue pages. No number here was measured.

use fieldmark_pages::{
    CataloguePage, ChangeEntry, CommentEntry, Hidden, IssueEntry, IssueList, IssuePage, ModelPage, Placement,
    ReleaseSummary, Version,
};
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::issue::Environment;
use fieldmark_protocol::release::{Artifact, Release, TensorSpec};

use super::{MARCH, author, cell, id};

pub(crate) fn catalogue() -> CataloguePage {
    let summary = |name: &str, version: &str, summary: &str, withdrawn| ReleaseSummary {
        id: id(name),
        name: name.into(),
        version: version.into(),
        author: author("North University"),
        license: "Apache-2.0".into(),
        tags: vec!["digits".into(), "vision".into(), "8x8".into()],
        task: "image-classification".into(),
        summary: summary.into(),
        size_bytes: 182_311,
        published_at_ms: MARCH,
        withdrawn,
    };
    CataloguePage {
        text: "digits".into(),
        tag: String::new(),
        releases: vec![
            summary(
                "digits-augmented",
                "2.0.0",
                "A small network trained with the corruptions it will meet.",
                false,
            ),
            summary(
                "digits-vit-tiny",
                "0.3.0",
                "Sixteen patches, two layers, more patience than data.",
                false,
            ),
            summary(
                "digits-linear",
                "0.9.1",
                "Logistic regression: the baseline to beat.",
                true,
            ),
        ],
        total: 14,
    }
}

pub(crate) fn model() -> ModelPage {
    ModelPage {
        id: id("digits-augmented@2.0.0"),
        author: author("North University"),
        release: release(),
        published_at_ms: MARCH,
        withdrawn: false,
        held: true,
        card: Some(CARD.into()),
        versions: vec![Version {
            id: id("1.0"),
            version: "1.0.0".into(),
            withdrawn: true,
        }],
        placements: vec![
            Placement {
                challenge: id("challenge"),
                name: "digits-in-the-field".into(),
                phase: "released".into(),
                rank: Some([1, 2]),
                models: 6,
                field: Some(cell(0.888, 0.021)),
            },
            Placement {
                challenge: id("next"),
                name: "digits-at-night".into(),
                phase: "open".into(),
                rank: None,
                models: 4,
                field: None,
            },
        ],
        issues: IssueList {
            reference: "North University/digits-augmented".into(),
            issues: vec![
                issue_entry("Blurred eights are read as threes", true),
                closed_issue(),
            ],
            hidden: vec![Hidden {
                author: author("Very Eager"),
                count: 12,
            }],
        },
    }
}

fn issue_entry(title: &str, open: bool) -> IssueEntry {
    IssueEntry {
        id: id(title),
        author: author("Atlas Retail"),
        title: title.into(),
        version: "2.0.0".into(),
        slice: Some("low-light".into()),
        created_at_ms: MARCH,
        open,
    }
}

fn closed_issue() -> IssueEntry {
    issue_entry("Sevens with a bar are read as ones", false)
}

pub(crate) fn issue() -> IssuePage {
    IssuePage {
        issue: closed_issue(),
        reference: "digits-augmented@2.0.0".into(),
        release: id("digits-augmented@2.0.0"),
        body: "Since 2.0.0 **every** barred seven is a one.\n\n- till 7, at night\n- about 3 in 100".into(),
        environment: Some(Environment {
            os: "linux".into(),
            arch: "x86_64".into(),
            runtime: "torchscript".into(),
            runtime_version: "libtorch 2.11.0".into(),
            device: "cpu".into(),
            program: "fieldmark 0.1.0".into(),
        }),
        change: Some(ChangeEntry {
            by: author("North University"),
            at_ms: MARCH + 86_400_000,
        }),
        comments: vec![CommentEntry {
            author: author("North University"),
            body: "Fixed in 2.0.1: barred sevens were missing from the training set.".into(),
            created_at_ms: MARCH + 86_400_000,
            opens: Some(false),
        }],
        hidden: vec![],
    }
}

fn release() -> Release {
    let artifact = |path: &str, size| Artifact {
        path: path.into(),
        blake3: ContentHash::of(path.as_bytes()),
        sha256: ContentHash::of(b"sha"),
        size,
    };
    Release {
        name: "digits-augmented".into(),
        version: "2.0.0".into(),
        runtime: "torchscript".into(),
        artifacts: vec![artifact("README.md", 2_048), artifact("model.pt", 180_263)],
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
        labels: (0..10).map(|digit| digit.to_string()).collect(),
        license: "Apache-2.0".into(),
        tags: vec!["digits".into(), "vision".into()],
        task: "image-classification".into(),
        summary: "A small network trained with the corruptions it will meet.".into(),
        parent: Some(id("1.0")),
        reference: Vec::new(),
        input_reference: Vec::new(),
    }
}

const CARD: &str = "# digits-augmented\n\nA two-layer network over 8×8 digits, trained on *corrupted* views.\n\n\
## Data\n\n| split | records |\n| --- | ---: |\n| train | 1,297 |\n| test | 500 |\n\n\
## Limits\n\n- Upside-down digits are not handled.\n- See the [paper](https://example.org/paper).\n\n\
![confusion matrix](https://example.org/matrix.png)\n\n<script>alert('card')</script>\n";
