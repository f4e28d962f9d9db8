//! Invented but plausible views, shared by the gallery and the tests. No number here was measured.

use std::collections::BTreeMap;

use fieldmark_fl::interval::Micro;
use fieldmark_node_core::board::{Board, Cell, Estimate, Expectation, Fixed, MetricCell, ModelRow, Seat};
use fieldmark_node_core::lifecycle::Stage;
use fieldmark_pages::{Author, ChallengePage, ChallengeSummary, ChallengesPage, SpeedView, StatusPage};
use fieldmark_protocol::challenge::Slice;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::{PublicKey, RecordId};

#[path = "sample_boards.rs"]
mod sample_boards;
#[path = "sample_models.rs"]
mod sample_models;
#[path = "sample_server.rs"]
mod sample_server;

pub(crate) use sample_boards::{
    close_board, grouped_board, in_phase, in_use_board, pairs_board, too_few, trend,
};
pub(crate) use sample_models::{catalogue, issue, model};
pub(crate) use sample_server::server;

const SLICES: [&str; 5] = ["clean", "low-light", "blur", "occlusion", "sensor-noise"];
pub(crate) const MARCH: u64 = 1_772_600_000_000;

fn fixed(value: f64) -> Fixed {
    Fixed(Micro::from_f64(value))
}

fn key(name: &str) -> PublicKey {
    PublicKey::new(*ContentHash::of(name.as_bytes()).as_bytes())
}

pub(crate) fn id(name: &str) -> RecordId {
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
        hidden: None,
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
        hidden: Some("too few records"),
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
        strength: None,
        calibration_gap: Some(Estimate {
            value: fixed(0.95 - mean),
            lo: fixed(0.92 - mean),
            hi: fixed(0.98 - mean),
        }),
        metrics: metrics(mean),
        without_groups: None,
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
        replicate_groups: None,
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
        strengths: None,
        in_use: None,
        previous: None,
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
        faults: vec![],
    };
    vec![
        seat("North University"),
        seat("Open Vision Lab"),
        seat("City Library Trust"),
    ]
}

/// Where a challenge in this phase stands.
fn stage_of(phase: &str) -> Stage {
    match phase {
        "open" => Stage::Open,
        "released" | "void" | "disagreement" => Stage::Closed,
        "aborted" => Stage::Aborted,
        _ => Stage::Closing,
    }
}

/// Two models were timed, one of them where energy can be read.
fn speeds() -> &'static BTreeMap<RecordId, SpeedView> {
    static SPEEDS: std::sync::LazyLock<BTreeMap<RecordId, SpeedView>> = std::sync::LazyLock::new(|| {
        let speed = |p50_ms: f64, energy_joules| SpeedView {
            p50_ms,
            p95_ms: 1.3 * p50_ms,
            p99_ms: 1.9 * p50_ms,
            memory_bytes: 182_000_000,
            energy_joules,
        };
        BTreeMap::from([
            (id("digits-augmented@2.0.0"), speed(0.412, Some(0.018))),
            (id("digits-vit-tiny@0.3.0"), speed(1.237, None)),
        ])
    });
    &SPEEDS
}

/// A page around a board.
pub(crate) fn challenge_page(board: &Board) -> ChallengePage<'_> {
    ChallengePage {
        board,
        stage: stage_of(board.phase),
        trend: None,
        speeds: speeds(),
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

pub(crate) fn author(name: &str) -> Author {
    Author {
        identity: key(name),
        name: Some(name.to_owned()),
    }
}

pub(crate) fn challenges() -> ChallengesPage {
    let summary = |name: &str, phase: &str, leader: Option<&str>| ChallengeSummary {
        id: id(name),
        name: name.into(),
        scenario: board().scenario,
        stage: stage_of(phase),
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
