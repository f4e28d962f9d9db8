//! Behaviour of scores in steps, missing views and statistics beyond scores.

use super::super::*;

fn params(models: u16, slices: u16, extra: Extra) -> SchemaParams {
    SchemaParams {
        models,
        slices,
        cap: 400,
        statistics: Statistics {
            extra,
            ..Statistics::default()
        },
    }
}

fn everything(by_slice: bool) -> Extra {
    Extra {
        collected: Statistic::ALL.into_iter().collect(),
        by_slice,
        classes: 2,
        bins: 2,
        groups: 2,
        ..Extra::PLAIN
    }
}

/// Views that reach every cell and both ends of every sum.
fn extremes() -> Vec<ViewOutcome> {
    let mut views = Vec::new();
    for code in 0..8u8 {
        let (right, yes, sure) = (code & 1 == 1, code & 2 == 2, code & 4 == 4);
        let end = f64::from(u8::from(right));
        views.push(ViewOutcome {
            correct: right,
            answer: Some(u16::from(yes)),
            flagged: yes,
            confidence: if sure { 1.0 } else { 0.0 },
            positive: f64::from(u8::from(yes)),
            brier: 2.0 * end,
            log_loss: LOG_LOSS_MAX * end,
            error: if right { 1.0 } else { -1.0 },
            place: end,
            quality: f64::from(code),
            outlying: Some(if sure { 9 } else { 0 }),
        });
    }
    views
}

fn details(views: Vec<Vec<Option<ViewOutcome>>>, code: usize) -> RecordOutcome {
    RecordOutcome::detailed(Details {
        class: Some(u16::from(code & 1 == 1)),
        positive: Some(code & 1 == 1),
        target: Some(if code & 2 == 2 { 1.0 } else { 0.0 }),
        group: (code & 4 == 4).then_some(1),
        views,
        preferred: None,
    })
}

fn squared_norm(schema: &Schema, outcome: RecordOutcome) -> u64 {
    let vector = schema.release(&schema.measure(&[outcome]).unwrap());
    let norm: i128 = vector.iter().map(|value| value * value).sum();
    u64::try_from(norm).unwrap()
}

#[test]
fn no_record_exceeds_the_sensitivity_and_some_come_near() {
    let views = extremes();
    for score in [
        ScoreKind::Correct,
        ScoreKind::BrierScore,
        ScoreKind::Closeness,
        ScoreKind::WinRate,
    ] {
        for by_slice in [false, true] {
            for missing_views in [false, true] {
                let extra = Extra {
                    score,
                    missing_views,
                    ..everything(by_slice)
                };
                let schema = Schema::new(&params(2, 2, extra)).unwrap();
                let bound = schema.l2_sensitivity_squared();
                let mut largest = 0;
                for choice in 0..views.len().pow(4) {
                    let pick = |place: u32| Some(views[choice / views.len().pow(place) % views.len()]);
                    let table = vec![vec![pick(0), pick(1)], vec![pick(2), pick(3)]];
                    largest = largest.max(squared_norm(&schema, details(table, choice % 7 + 1)));
                }
                assert!(largest <= bound, "{extra:?}: {largest} > {bound}");
                assert!(
                    largest as f64 > 0.8 * bound as f64,
                    "{extra:?}: {largest} of {bound}"
                );
            }
        }
    }
}

#[test]
fn each_table_has_its_exact_part_of_the_sensitivity() {
    let view = |answer| {
        Some(ViewOutcome {
            answer: Some(answer),
            ..ViewOutcome::default()
        })
    };
    let extra = Extra {
        collected: Collected::default().with(Statistic::Confusion),
        classes: 3,
        ..Extra::PLAIN
    };
    let schema = Schema::new(&params(2, 3, extra)).unwrap();
    let block = *schema.block(Family::Part(Part::Confusion)).unwrap();
    assert_eq!((block.copies, block.cells, block.per_record_max), (2, 9, 3));
    let part = |outcome| {
        let vector = schema.release(&schema.measure(&[outcome]).unwrap());
        let cells = &vector[block.start..block.start + block.entries()];
        u64::try_from(cells.iter().map(|value| value * value).sum::<i128>()).unwrap()
    };
    let same = details(vec![vec![view(1); 3]; 2], 0);
    assert_eq!(part(same), block.l2_squared());
    let spread = details(vec![vec![view(0), view(1), view(2)]; 2], 0);
    assert_eq!(3 * part(spread), block.l2_squared());
}

#[test]
fn a_missing_view_moves_no_score_and_no_count() {
    let extra = Extra {
        missing_views: true,
        collected: Collected::default().with(Statistic::Brier),
        by_slice: true,
        ..Extra::PLAIN
    };
    let schema = Schema::new(&params(1, 2, extra)).unwrap();
    let view = ViewOutcome {
        correct: true,
        ..ViewOutcome::default()
    };
    let measured = schema
        .measure(&[details(vec![vec![Some(view), None]], 0)])
        .unwrap();
    let released = schema.release(&measured);
    let at = |kind| released[schema.position(kind).unwrap()];
    assert!(at(EntryKind::Correct { model: 0, slice: 0 }) > 0);
    assert_eq!(at(EntryKind::Correct { model: 0, slice: 1 }), 0);
    assert!(at(EntryKind::Views { slice: 0 }) > 0);
    assert_eq!(at(EntryKind::Views { slice: 1 }), 0);
    let brier = |slice| EntryKind::Cell {
        part: Part::Brier,
        model: 0,
        slice,
        cell: 0,
    };
    assert!(at(brier(0)) < 0);
    assert_eq!(at(brier(1)), 0);
}

#[test]
fn views_that_only_some_models_have_are_refused() {
    let extra = Extra {
        missing_views: true,
        ..Extra::PLAIN
    };
    let schema = Schema::new(&params(2, 1, extra)).unwrap();
    let outcome = details(vec![vec![Some(ViewOutcome::default())], vec![None]], 0);
    let expected = MeasureError::NoView {
        record: 0,
        model: 1,
        slice: 0,
    };
    assert_eq!(schema.measure(&[outcome]).unwrap_err(), expected);
}

#[test]
fn what_a_statistic_needs_is_named() {
    let schema = Schema::new(&params(1, 1, everything(false))).unwrap();
    let view = vec![vec![Some(ViewOutcome {
        answer: Some(1),
        ..ViewOutcome::default()
    })]];
    let RecordOutcome { details, .. } = details(view, 0);
    let details = *details.unwrap();
    let measure = |details: Details| schema.measure(&[RecordOutcome::detailed(details)]);
    assert!(measure(details.clone()).is_ok());
    let missing = |change: fn(&mut Details)| {
        let mut changed = details.clone();
        change(&mut changed);
        measure(changed).unwrap_err()
    };
    for (change, what) in [
        ((|d| d.class = None) as fn(&mut Details), "class among the task's"),
        (|d| d.positive = None, "truth for the positive class"),
        (|d| d.target = None, "target value"),
    ] {
        assert_eq!(missing(change), MeasureError::Missing { record: 0, what });
    }
    let outside = missing(|d| d.group = Some(2));
    assert!(matches!(
        outside,
        MeasureError::Outside {
            what: "group",
            found: 2,
            most: 2,
            ..
        }
    ));
    assert!(schema.measure(&[RecordOutcome::default()]).is_err());
}

#[test]
fn details_of_a_plain_task_measure_what_its_tables_do() {
    let statistics = Statistics {
        paired: true,
        calibration: true,
        extra: Extra::PLAIN,
    };
    let schema = Schema::new(&SchemaParams {
        models: 2,
        slices: 2,
        cap: 400,
        statistics,
    })
    .unwrap();
    let plain = RecordOutcome {
        correct: vec![vec![true, false], vec![true, true]],
        confidence: vec![vec![0.5, 0.75], vec![1.0, 0.25]],
        details: None,
    };
    let view = |correct, confidence| {
        Some(ViewOutcome {
            correct,
            confidence,
            ..ViewOutcome::default()
        })
    };
    let views = vec![
        vec![view(true, 0.5), view(false, 0.75)],
        vec![view(true, 1.0), view(true, 0.25)],
    ];
    let detailed = schema.measure(&[details(views, 0)]).unwrap();
    assert_eq!(schema.measure(&[plain]).unwrap(), detailed);
}

#[test]
fn statistics_that_do_not_fit_are_refused_with_the_reason() {
    let confusion = Extra {
        collected: Collected::default().with(Statistic::Confusion),
        classes: 40,
        ..Extra::PLAIN
    };
    let error = Schema::new(&params(2, 2, confusion)).unwrap_err();
    assert!(matches!(error, SchemaError::TooLarge { entries, .. } if entries > ENTRIES_MAX));
    assert!(Schema::new(&params(1, 2, confusion)).is_ok());
    let without_classes = Extra {
        classes: 0,
        ..confusion
    };
    let error = Schema::new(&params(1, 2, without_classes)).unwrap_err();
    assert_eq!(error.to_string(), "classes is 0, must be between 2 and 64");
    let mut missing = params(
        1,
        2,
        Extra {
            missing_views: true,
            ..Extra::PLAIN
        },
    );
    missing.statistics.paired = true;
    assert!(matches!(
        Schema::new(&missing),
        Err(SchemaError::NeedsEveryView { .. })
    ));
}

#[test]
fn every_entry_is_found_where_it_stands() {
    let mut params = params(
        3,
        2,
        Extra {
            missing_views: true,
            ..everything(true)
        },
    );
    let schema = Schema::new(&params).unwrap();
    params.statistics = Statistics {
        paired: true,
        calibration: true,
        extra: everything(false),
    };
    for schema in [schema, Schema::new(&params).unwrap()] {
        for (at, entry) in schema.entries().iter().enumerate() {
            assert_eq!(schema.position(entry.kind), Some(at), "{:?}", entry.kind);
        }
    }
}
