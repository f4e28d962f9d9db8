//! Strengths from the paired win counts of a released vector.

use super::{Dependence, Fit, NotEstimable, PairCount, fit};
use crate::interval::Release;
use crate::schema::{ScoreKind, Statistic};

/// Strengths from the win counts of a release; nothing where its layout collects none, or has one model.
///
/// A tie counts half for each side: the strengths are those of points, and intervals, which take every
/// comparison as decided, are a little wide. A preference is a comparison of its own record; where models
/// answered the same records all pairs share them, and the worst-case dependence is taken.
pub fn of_release(release: &Release) -> Option<Result<Fit, NotEstimable>> {
    let params = release.schema().params();
    let extra = params.statistics.extra;
    if !extra.collected.has(Statistic::Wins) || params.models < 2 {
        return None;
    }
    let dependence = match extra.score {
        ScoreKind::Preference => Dependence::Independent,
        _ => Dependence::SharedRecords,
    };
    let pairs =
        (0..params.models).flat_map(|first| (first + 1..params.models).map(move |second| (first, second)));
    let counts: Option<Vec<PairCount>> = pairs
        .map(|(first, second)| {
            Some(PairCount {
                first,
                second,
                wins: release.wins(first, second)?,
                losses: release.wins(second, first)?,
            })
        })
        .collect();
    // Pairs of a layout are pairs, and counts of a release are finite.
    fit(usize::from(params.models), &counts?, dependence).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{EntryKind, Extra, Schema, SchemaParams, Statistics};

    fn release(score: ScoreKind, wins: &[(u16, u16, i128)]) -> Release {
        let params = SchemaParams {
            models: 3,
            slices: 1,
            cap: 10_000,
            statistics: Statistics {
                extra: Extra {
                    score,
                    collected: [Statistic::Wins].into_iter().collect(),
                    ..Extra::default()
                },
                ..Statistics::default()
            },
        };
        let schema = Schema::new(&params).unwrap();
        let mut vector = vec![0; schema.len()];
        for &(winner, loser, count) in wins {
            let at = schema.position(EntryKind::Wins { winner, loser }).unwrap();
            vector[at] = 2 * count * i128::from(schema.entries()[at].weight);
        }
        Release::new(&schema, &vector, 1, 2).unwrap()
    }

    #[test]
    fn three_wins_to_one_are_ln_3_apart_and_shared_records_widen_the_interval() {
        let counts = [
            (0, 1, 300),
            (1, 0, 100),
            (0, 2, 300),
            (2, 0, 100),
            (1, 2, 200),
            (2, 1, 200),
        ];
        let fit = |score| of_release(&release(score, &counts)).unwrap().unwrap();
        let (apart, shared) = (fit(ScoreKind::Preference), fit(ScoreKind::Correct));
        let value = |at: usize| apart.strengths[at].value.to_f64();
        assert!((value(0) - value(1) - 3f64.ln()).abs() < 1e-3, "{apart:?}");
        assert!(apart.separable && !apart.conservative && shared.conservative);
        let width = |fit: &Fit| fit.strengths[0].interval.high.0 - fit.strengths[0].interval.low.0;
        assert!(width(&shared) > width(&apart));
    }

    #[test]
    fn without_comparisons_there_are_no_strengths() {
        let release = release(ScoreKind::Preference, &[]);
        assert!(of_release(&release).unwrap().is_err());
    }
}
