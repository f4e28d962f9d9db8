//! Whether a field score rose or fell from one window to another.
//!
//! Nothing is known of how the records of two windows relate: the same contributors may take part in both.
//! So a change is significant where the two intervals are disjoint, which holds whatever the dependence.
//! Each interval is at a tail of α/(4·models) of its own window: rises and falls of all models that stand
//! in both windows then hold together with 95%, as the comparisons of [`crate::regression`] do.

use super::WindowScores;
use crate::interval::{Interval, Micro};
use crate::normal::upper_quantile;
use crate::rank::FAMILY_ERROR;
use serde::{Deserialize, Serialize};

/// Which way a score went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Significantly up.
    Rose,
    /// Significantly down.
    Fell,
    /// The intervals meet: no change is certain.
    Unclear,
}

/// The change of a model's field score between two windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Newer score less older.
    pub difference: Micro,
    /// Its interval at the family's level.
    pub interval: Interval,
    /// What is certain of it.
    pub direction: Direction,
}

/// Standard deviations of the intervals that windows with so many models are compared by.
pub(super) fn across_deviations(models: u16) -> f64 {
    upper_quantile(FAMILY_ERROR / (4.0 * f64::from(models.max(1))))
}

/// The change from model `before` of one window to model `after` of another; nothing where one of the two
/// scores is not shown.
pub fn field_change(
    older: &WindowScores,
    before: usize,
    newer: &WindowScores,
    after: usize,
) -> Option<FieldChange> {
    let (old, new) = ((*older.across.get(before)?)?, (*newer.across.get(after)?)?);
    let value = |window: &WindowScores, at: usize| window.fields.get(at)?.value();
    let interval = Interval {
        low: Micro(new.low.0.saturating_sub(old.high.0)),
        high: Micro(new.high.0.saturating_sub(old.low.0)),
    };
    Some(FieldChange {
        difference: Micro(value(newer, after)?.0.saturating_sub(value(older, before)?.0)),
        interval,
        direction: if interval.low > Micro(0) {
            Direction::Rose
        } else if interval.high < Micro(0) {
            Direction::Fell
        } else {
            Direction::Unclear
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{BoardInput, board};
    use crate::schema::{EntryKind, Schema, SchemaParams, Statistics};

    fn window(records: i128, right: [i128; 2]) -> WindowScores {
        let schema = SchemaParams {
            models: 2,
            slices: 1,
            cap: 10_000,
            statistics: Statistics::default(),
        };
        let layout = Schema::new(&schema).unwrap();
        let mut aggregate = vec![0; layout.len()];
        let at = layout.position(EntryKind::Records).unwrap();
        aggregate[at] = records * i128::from(layout.entries()[at].weight);
        for (model, right) in (0u16..).zip(right) {
            let at = layout.position(EntryKind::Correct { model, slice: 0 }).unwrap();
            aggregate[at] = (2 * right - records) * i128::from(layout.entries()[at].amplitude());
        }
        let table = board(&BoardInput {
            models: vec!["a".into(), "b".into()],
            slices: vec!["clean".into()],
            schema,
            aggregate,
            sigma_squared: 1,
            aggregators: 2,
            contributors: 5,
        });
        WindowScores::from(table.unwrap())
    }

    #[test]
    fn a_large_change_is_told_and_a_small_one_is_not() {
        let (older, newer) = (window(1_000, [800, 800]), window(1_000, [600, 810]));
        let change = |model| field_change(&older, model, &newer, model).unwrap();
        assert_eq!(change(0).direction, Direction::Fell);
        assert_eq!(change(1).direction, Direction::Unclear);
        let back = field_change(&newer, 0, &older, 0).unwrap();
        assert_eq!(back.direction, Direction::Rose);
        assert!((back.difference.to_f64() - 0.2).abs() < 1e-3, "{back:?}");
        assert!(change(1).interval.low < Micro(0) && change(1).interval.high > Micro(0));
    }

    #[test]
    fn a_window_whose_scores_are_hidden_has_no_change() {
        let (older, newer) = (window(1_000, [800, 800]), window(15, [10, 10]));
        assert!(newer.fields.iter().all(|score| score.value().is_none()));
        assert_eq!(field_change(&older, 0, &newer, 0), None);
        assert_eq!(field_change(&older, 0, &older, 7), None);
    }
}
