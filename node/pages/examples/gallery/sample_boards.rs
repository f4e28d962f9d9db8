//! Boards that differ from the usual one, and a trend.

use std::collections::BTreeMap;

use fieldmark_fl::board::Direction;
use fieldmark_node_core::board::{
    Board, Change, Estimate, Groups, InUse, ModelTrend, Point, Range, Strength, Strengths, Trend,
    TrendWindow, Without, WithoutGroups,
};
use fieldmark_protocol::id::ContentHash;

use super::{MARCH, SLICES, board, cell, fixed, id, row, unknown};

/// Three models within each other's intervals, an aggregator that the reader does not trust, one silent.
/// Three replicate groups, one of which makes a difference.
pub(crate) fn grouped_board() -> Board {
    let mut board = board();
    board.replicate_groups = Some(Groups {
        groups: 3,
        reports: vec![6, 5, 5],
        seed: Some(ContentHash::of(b"seed")),
    });
    board.contributors = 16;
    for row in &mut board.models {
        let field = row.field.score.map_or(0.5, |score| score.0.to_f64());
        let score = |by: f64| Some(fixed(field + by));
        let [best, worst] = row.rank;
        let without = |group, by, rank| Without {
            group,
            score: score(by),
            rank,
        };
        row.without_groups = Some(WithoutGroups {
            field: Some(Range {
                lowest: fixed(field - 0.012),
                highest: fixed(field + 0.007),
            }),
            rank_changes: best == 2,
            slices: BTreeMap::new(),
            without: vec![
                without(1, 0.003, row.rank),
                without(2, 0.007, row.rank),
                without(3, -0.012, if best == 2 { [best, worst + 1] } else { row.rank }),
            ],
        });
    }
    board
}

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

/// Pairs were compared, one slice is of too few records, and an aggregator published two values.
pub(crate) fn pairs_board() -> Board {
    let mut board = board();
    board.metric = "preference";
    board.strengths = Some(Strengths {
        separable: true,
        conservative: true,
        reason: None,
    });
    let count = board.models.len();
    for (at, row) in board.models.iter_mut().enumerate() {
        let value = 0.45 * (count as f64 / 2.0 - at as f64);
        row.strength = Some(Strength {
            value: fixed(value),
            lo: fixed(value - 0.31),
            hi: fixed(value + 0.31),
            rank: row.rank,
            separated: at == 0,
        });
        row.slices.insert("occlusion".into(), unknown());
        row.worst_slice = Some("low-light".into());
    }
    for seat in board.committee.iter_mut().skip(1).take(1) {
        seat.faults = vec!["published two aggregates that differ".into()];
    }
    board.previous = Some(id("window 0"));
    board
}

/// A window of real use: one model, and a part of what was drawn never labelled.
pub(crate) fn in_use_board() -> Board {
    let mut board = board();
    board.slices = vec!["field".into()];
    board.clean_slice = "field".into();
    board.models.truncate(1);
    for row in &mut board.models {
        row.slices = BTreeMap::from([("field".into(), cell(0.87, 0.03))]);
        row.worst_slice = Some("field".into());
        row.rank = [1, 1];
    }
    board.in_use = Some(InUse {
        window: 3,
        windows: 52,
        rate: fixed(0.25),
        unlabelled: Some(Estimate {
            value: fixed(113.0),
            lo: fixed(81.0),
            hi: fixed(145.0),
        }),
    });
    board
}

/// Four windows: one model fell, one joined late, one left.
pub(crate) fn trend() -> Trend {
    let window = |at: u64| TrendWindow {
        challenge: id(&format!("window {at}")),
        name: if at == 0 {
            "digits".into()
        } else {
            format!("digits-w{at}")
        },
        opens_at_ms: MARCH + at * 604_800_000,
        closes_at_ms: MARCH + at * 604_800_000 + 7_200_000,
        phase: "released",
        trusted: true,
        contributors: 12,
        records: None,
    };
    let model = |name: &str, first: usize, scores: &[f64]| {
        let point = |(at, score): (usize, &f64)| Point {
            window: first + at,
            field: cell(*score, 0.021),
            rank: [1, 2],
        };
        let change = |(at, (older, newer)): (usize, (&f64, &f64))| {
            let difference = newer - older;
            Change {
                from: first + at,
                to: first + at + 1,
                difference: fixed(difference),
                lo: fixed(difference - 0.05),
                hi: fixed(difference + 0.05),
                direction: match difference {
                    d if d > 0.05 => Direction::Rose,
                    d if d < -0.05 => Direction::Fell,
                    _ => Direction::Unclear,
                },
            }
        };
        ModelTrend {
            release: id(name),
            name: name.to_owned(),
            points: scores.iter().enumerate().map(point).collect(),
            changes: scores
                .iter()
                .zip(scores.iter().skip(1))
                .enumerate()
                .map(change)
                .collect(),
            pooled: scores
                .first()
                .filter(|_| first == 0)
                .map(|score| cell(*score, 0.012)),
        }
    };
    Trend {
        challenge: id("challenge"),
        windows: (0..4).map(window).collect(),
        models: vec![
            model("digits-augmented@2.0.0", 0, &[0.888, 0.891, 0.884, 0.79]),
            model("digits-vit-tiny@0.3.0", 2, &[0.80, 0.87]),
            model("digits-linear@0.9.1", 0, &[0.65, 0.64]),
        ],
    }
}
