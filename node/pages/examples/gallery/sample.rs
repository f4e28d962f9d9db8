//! Invented but plausible views, shared by the gallery and the tests. No number here was measured.

use std::collections::BTreeMap;

use fieldmark_fl::interval::Micro;
use fieldmark_node_core::board::{Board, Cell, Estimate, Expectation, Fixed, MetricCell, ModelRow, Seat};
use fieldmark_pages::{
    Author, CataloguePage, ChallengePage, ChallengeSummary, ChallengesPage, ChangeEntry, CommentEntry,
    Hidden, IssueEntry, IssueList, IssuePage, ModelPage, Placement, ReleaseSummary, StatusPage, Version,
};
use fieldmark_protocol::challenge::Slice;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::issue::Environment;
use fieldmark_protocol::release::{Artifact, Release, TensorSpec};
use fieldmark_protocol::{PublicKey, RecordId};

const SLICES: [&str; 5] = ["clean", "low-light", "blur", "occlusion", "sensor-noise"];
const MARCH: u64 = 1_772_600_000_000;

fn fixed(value: f64) -> Fixed {
    Fixed(Micro::from_f64(value))
}

fn key(name: &str) -> PublicKey {
    PublicKey::new(*ContentHash::of(name.as_bytes()).as_bytes())
}

fn id(name: &str) -> RecordId {
    RecordId::new(*ContentHash::of(name.as_bytes()).as_bytes())
}

pub(crate) fn cell(score: f64, half: f64) -> Cell {
    Cell {
        score: Some(fixed(score)),
        lo: Some(fixed((score - half).max(0.0))),
        hi: Some(fixed((score + half).min(1.0))),
        noise_lo: Some(fixed((score - 0.6 * half).max(0.0))),
        noise_hi: Some(fixed((score + 0.6 * half).min(1.0))),
        conservative: false,
        bound: false,
    }
}

pub(crate) fn unknown() -> Cell {
    Cell {
        score: None,
        lo: None,
        hi: None,
        noise_lo: None,
        noise_hi: None,
        conservative: false,
        bound: false,
    }
}

pub(crate) fn row(name: &str, rank: [u16; 2], scores: [f64; 5]) -> ModelRow {
    let mean = scores.iter().sum::<f64>() / 5.0;
    let slices: BTreeMap<String, Cell> = SLICES
        .iter()
        .zip(scores)
        .map(|(slice, score)| ((*slice).to_owned(), cell(score, 0.034)))
        .collect();
    let worst = SLICES
        .iter()
        .zip(scores)
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(slice, _)| (*slice).to_owned());
    ModelRow {
        release: id(name),
        name: name.to_owned(),
        author: Some(key(name)),
        rank,
        field: cell(mean, 0.021),
        slices,
        worst_slice: worst,
        calibration_gap: Some(Estimate {
            value: fixed(0.95 - mean),
            lo: fixed(0.92 - mean),
            hi: fixed(0.98 - mean),
        }),
        metrics: metrics(mean),
        withdrawn: false,
    }
}

/// A few metrics, one of which drowns in noise.
fn metrics(mean: f64) -> Vec<MetricCell> {
    let cell = |metric, label, value: f64| MetricCell {
        metric,
        label,
        slice: None,
        class: None,
        value: Some(fixed(value)),
        lo: Some(fixed(value - 0.03)),
        hi: Some(fixed(value + 0.03)),
        noise_lo: Some(fixed(value - 0.02)),
        noise_hi: Some(fixed(value + 0.02)),
        conservative: true,
        reason: None,
    };
    vec![
        cell("mcc", "MCC", 1.1 * mean - 0.1),
        cell("ece", "Calibration error", 0.4 * (1.0 - mean)),
        cell("parity-gap", "Parity gap", 0.06),
        MetricCell {
            value: None,
            lo: None,
            hi: None,
            conservative: false,
            reason: Some("too few records of some group for this noise"),
            ..cell("odds-gap", "Equalised-odds gap", 0.0)
        },
        MetricCell {
            class: Some("seven".into()),
            ..cell("recall", "Recall", mean)
        },
    ]
}

/// The rows, the best first.
fn models() -> Vec<ModelRow> {
    let mut convnet = row(
        "digits-convnet@1.2.0",
        [2, 4],
        [0.991, 0.802, 0.853, 0.694, 0.871],
    );
    convnet.field.conservative = true;
    let mut linear = row("digits-linear@0.9.1", [6, 6], [0.941, 0.512, 0.663, 0.535, 0.602]);
    linear.withdrawn = true;
    let mut mlp = row("digits-mlp@1.0.0", [4, 5], [0.972, 0.651, 0.781, 0.668, 0.764]);
    mlp.calibration_gap = Some(Estimate {
        value: fixed(0.004),
        lo: fixed(-0.018),
        hi: fixed(0.026),
    });
    vec![
        row(
            "digits-augmented@2.0.0",
            [1, 2],
            [0.968, 0.884, 0.901, 0.792, 0.893],
        ),
        row(
            "digits-vit-tiny@0.3.0",
            [1, 3],
            [0.978, 0.861, 0.874, 0.771, 0.868],
        ),
        convnet,
        mlp,
        row("digits-knn@1.1.0", [4, 5], [0.983, 0.598, 0.742, 0.701, 0.701]),
        linear,
    ]
}

/// Six models, clearly apart at both ends.
pub(crate) fn board() -> Board {
    Board {
        challenge: id("challenge"),
        name: "digits-in-the-field".into(),
        scenario:
            "Handwritten digits as loading docks photograph them: dim halls, moving belts, labels half \
                   covered by tape, cheap cameras."
                .into(),
        task: id("task"),
        phase: "released",
        abort: None,
        checkpoint: ContentHash::of(b"checkpoint"),
        epsilon: 4.0,
        delta: 1e-6,
        unit: "source record (add or remove one, with all its views and models)",
        eligibility: "open",
        contributors: 12,
        min_batch: 5,
        records: Some(Estimate {
            value: fixed(4312.0),
            lo: fixed(4255.0),
            hi: fixed(4369.0),
        }),
        committee: committee(),
        trusted: true,
        trust_policy: ContentHash::of(b"policy"),
        slices: SLICES.iter().map(|s| (*s).to_owned()).collect(),
        clean_slice: "clean".into(),
        metric: "accuracy",
        weights: None,
        separable: true,
        influence: Some(fixed(0.083)),
        expected: Expectation {
            records: 4800,
            field: fixed(0.019),
            slice: fixed(0.031),
        },
        models: models(),
        caveats: ["privacy", "visibility"],
        notices: vec!["Anyone may contribute, so the minimum batch protects nobody.".into()],
        inputs: (0..19).map(|n| id(&format!("input {n}"))).collect(),
    }
}

fn committee() -> Vec<Seat> {
    let seat = |name: &str| Seat {
        identity: key(name),
        name: Some(name.to_owned()),
        trusted: true,
        silent: false,
    };
    vec![
        seat("North University"),
        seat("Open Vision Lab"),
        seat("City Library Trust"),
    ]
}

/// Three models within each other's intervals, an aggregator that the reader does not trust, one silent.
pub(crate) fn close_board() -> Board {
    let mut board = board();
    board.models = vec![
        row("a@1", [1, 3], [0.96, 0.81, 0.85, 0.74, 0.83]),
        row(
            "a-model-with-a-really-long-name-that-somebody-thought-was-clever@10.22.333-rc.4",
            [1, 3],
            [0.97, 0.80, 0.84, 0.74, 0.83],
        ),
        row("b@1", [1, 3], [0.95, 0.80, 0.84, 0.73, 0.83]),
    ];
    for row in &mut board.models {
        row.calibration_gap = None;
    }
    board.separable = false;
    board.trusted = false;
    for seat in board.committee.iter_mut().skip(1) {
        seat.silent = seat.name.as_deref() == Some("City Library Trust");
        seat.trusted = seat.silent;
        seat.name = seat.name.take().filter(|_| seat.trusted);
    }
    board.eligibility = "list";
    board.records = None;
    board
}

/// The board before anything is released, or after nothing was.
pub(crate) fn in_phase(phase: &'static str) -> Board {
    let mut board = board();
    board.phase = phase;
    board.contributors = 7;
    board.records = None;
    board.influence = None;
    board.separable = false;
    if phase == "aborted" {
        board.abort = Some("The scenario's camera firmware was recalled; a new window will be posed.".into());
    }
    for row in &mut board.models {
        row.field = unknown();
        row.slices.clear();
        row.worst_slice = None;
        row.calibration_gap = None;
        row.rank = [1, 6];
    }
    board
}

/// Released, but the records drown in the noise.
pub(crate) fn too_few() -> Board {
    let mut board = in_phase("released");
    for row in &mut board.models {
        row.slices = SLICES
            .iter()
            .map(|slice| ((*slice).to_owned(), unknown()))
            .collect();
    }
    board
}

/// A page around a board.
pub(crate) fn challenge_page(board: &Board) -> ChallengePage<'_> {
    ChallengePage {
        board,
        slices: slices(),
        operator: None,
        opens_at_ms: MARCH,
        closes_at_ms: MARCH + 7_200_000,
        reports_expected: 12,
        reports: None,
    }
}

fn slices() -> &'static [Slice] {
    static SLICES: std::sync::LazyLock<Vec<Slice>> = std::sync::LazyLock::new(|| {
        let slice = |name: &str, description: &str| Slice {
            name: name.into(),
            description: description.into(),
        };
        vec![
            slice("clean", "As the benchmark has it."),
            slice("low-light", "A dim hall: brightness and contrast reduced."),
            slice("blur", "A moving belt or a lens out of focus."),
            slice("occlusion", "Tape or a thumb over a part of the digit."),
            slice("sensor-noise", "A cheap sensor at high gain."),
        ]
    });
    &SLICES
}

fn author(name: &str) -> Author {
    Author {
        identity: key(name),
        name: Some(name.to_owned()),
    }
}

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
    }
}

const CARD: &str = "# digits-augmented\n\nA two-layer network over 8×8 digits, trained on *corrupted* views.\n\n\
## Data\n\n| split | records |\n| --- | ---: |\n| train | 1,297 |\n| test | 500 |\n\n\
## Limits\n\n- Upside-down digits are not handled.\n- See the [paper](https://example.org/paper).\n\n\
![confusion matrix](https://example.org/matrix.png)\n\n<script>alert('card')</script>\n";

pub(crate) fn challenges() -> ChallengesPage {
    let summary = |name: &str, phase: &str, leader: Option<&str>| ChallengeSummary {
        id: id(name),
        name: name.into(),
        scenario: board().scenario,
        phase: phase.into(),
        models: 6,
        slices: 5,
        reports: 7,
        min_batch: 5,
        epsilon: 4.0,
        opens_at_ms: MARCH,
        closes_at_ms: MARCH + 7_200_000,
        leader: leader.map(str::to_owned),
    };
    ChallengesPage {
        challenges: vec![
            summary("digits-at-night", "open", None),
            summary("digits-in-the-field", "released", Some("digits-augmented@2.0.0")),
            summary("digits-in-winter", "aborted", None),
        ],
    }
}

pub(crate) fn status() -> StatusPage {
    StatusPage {
        node: "north-1".into(),
        network: "main".into(),
        version: "0.1.0".into(),
        identity: key("North University"),
        node_key: key("north-1"),
        roles: vec!["aggregator".into(), "provider".into()],
        peers: 7,
        logs: 31,
        records: 1_204,
        forks: 0,
        releases: 14,
        challenges: 3,
    }
}
