//! What models made of one source record, before it is quantised.
//!
//! A plain task needs the tables `correct` and `confidence` alone. Every other statistic is made
//! from [`Details`], which hold one [`ViewOutcome`] per model and slice. Formulas are here, so that
//! nodes and simulations measure the same.

use super::block::LOG_LOSS_MAX;
use super::choice::ScoreKind;
use libm::{exp, fabs, log};

/// What every model made of every view of one source record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordOutcome {
    /// `correct[model][slice]`. Ignored where there are details.
    pub correct: Vec<Vec<bool>>,
    /// `confidence[model][slice]`, the model's confidence in its answer, 0 to 1 (values outside
    /// are clamped). May be empty when the schema collects no calibration. Ignored where there are
    /// details.
    pub confidence: Vec<Vec<f32>>,
    /// What further statistics and other scores need.
    pub details: Option<Box<Details>>,
}

impl RecordOutcome {
    /// An outcome with details.
    pub fn detailed(details: Details) -> Self {
        Self {
            details: Some(Box::new(details)),
            ..Self::default()
        }
    }
}

/// A person's choice between the answers of two models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preferred {
    /// Index of the first model.
    pub first: u16,
    /// Index of the second.
    pub second: u16,
    /// The model preferred; nothing for a tie.
    pub winner: Option<u16>,
}

/// All that a task may measure of one record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// Index of its true class among the task's classes.
    pub class: Option<u16>,
    /// Whether its true class is the positive one.
    pub positive: Option<bool>,
    /// The place of its target in the task's range, 0 to 1.
    pub target: Option<f64>,
    /// Index of its group among the task's groups; a record without one enters no group.
    pub group: Option<u16>,
    /// `views[model][slice]`; nothing where the record has no view. May be empty for preferences.
    pub views: Vec<Vec<Option<ViewOutcome>>>,
    /// A preference between two models.
    pub preferred: Option<Preferred>,
}

/// What one model made of one view. Numbers are finite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ViewOutcome {
    /// Whether the answer is right.
    pub correct: bool,
    /// Index of the answer among the task's classes.
    pub answer: Option<u16>,
    /// Whether the answer is the positive class.
    pub flagged: bool,
    /// The model's confidence in its answer, 0 to 1.
    pub confidence: f64,
    /// Its probability for the positive class, 0 to 1.
    pub positive: f64,
    /// Σ(p − y)² over classes, 0 to 2.
    pub brier: f64,
    /// −ln of the truth's probability, in nats, 0 to [`LOG_LOSS_MAX`].
    pub log_loss: f64,
    /// (prediction − target) as a part of the range, −1 to 1.
    pub error: f64,
    /// The prediction's place in the range, 0 to 1.
    pub place: f64,
    /// What models are compared by on a view: higher is better.
    pub quality: f64,
    /// The bin of the release's reference that the outlyingness of its input falls into; nothing where the release
    /// came without one.
    pub outlying: Option<u16>,
}

impl ViewOutcome {
    /// Of a classifier: `logits` in the order of the task's classes, the index of the true class
    /// (nothing if it is none of them) and of the positive one. The first of equal logits is the
    /// answer; probabilities are their softmax. Nothing if there are no logits or one is NaN.
    pub fn of_logits(logits: &[f32], truth: Option<u16>, positive: Option<u16>) -> Option<Self> {
        let mut best = (0usize, *logits.first()?);
        for (at, &logit) in logits.iter().enumerate() {
            if logit.is_nan() {
                return None;
            }
            if logit > best.1 {
                best = (at, logit);
            }
        }
        let relative = |logit: f32| {
            if logit == best.1 {
                1.0
            } else {
                exp(f64::from(logit) - f64::from(best.1))
            }
        };
        let weights: Vec<f64> = logits.iter().map(|&logit| relative(logit)).collect();
        let total: f64 = weights.iter().sum();
        let of = |class: Option<u16>| weights.get(usize::from(class?)).map(|weight| weight / total);
        let likelihood = of(truth).unwrap_or(0.0);
        // Σp² − 2p_truth + 1; a truth that is no class counts as one that has no probability.
        let squares: f64 = weights
            .iter()
            .map(|weight| (weight / total) * (weight / total))
            .sum();
        let answer = u16::try_from(best.0).ok();
        Some(Self {
            correct: truth.is_some() && answer == truth,
            answer,
            flagged: positive.is_some() && answer == positive,
            confidence: 1.0 / total,
            positive: of(positive).unwrap_or(0.0),
            brier: squares - 2.0 * likelihood + 1.0,
            log_loss: if likelihood > 0.0 {
                (-log(likelihood)).clamp(0.0, LOG_LOSS_MAX)
            } else {
                LOG_LOSS_MAX
            },
            quality: likelihood,
            ..Self::default()
        })
    }

    /// Of a regression: prediction and target in the target's own unit, with the declared range
    /// `low < high`, to which both are clamped. Nothing if a number is not finite or the range is
    /// none.
    pub fn of_value(prediction: f64, target: f64, range: (f64, f64)) -> Option<Self> {
        let place = place_in(prediction, range)?;
        let error = place - place_in(target, range)?;
        Some(Self {
            correct: error == 0.0,
            error,
            place,
            quality: -fabs(error),
            ..Self::default()
        })
    }
}

/// The place of a value in a range, clamped to 0..1.
pub(crate) fn place_in(value: f64, (low, high): (f64, f64)) -> Option<f64> {
    let fits = value.is_finite() && low.is_finite() && high.is_finite() && low < high;
    fits.then(|| ((value - low) / (high - low)).clamp(0.0, 1.0))
}

impl Details {
    /// The view of a model on a slice.
    pub(super) fn view(&self, model: usize, slice: usize) -> Option<&ViewOutcome> {
        self.views.get(model)?.get(slice)?.as_ref()
    }

    /// A view's score, 0 to 1, or nothing where there is no view.
    pub(super) fn score(&self, kind: ScoreKind, model: usize, slice: usize) -> Option<f64> {
        if kind == ScoreKind::Preference {
            return Some(self.preference_score(model));
        }
        let view = self.view(model, slice)?;
        Some(match kind {
            ScoreKind::Correct => f64::from(u8::from(view.correct)),
            ScoreKind::BrierScore => 1.0 - view.brier / 2.0,
            ScoreKind::Closeness => 1.0 - fabs(view.error),
            ScoreKind::WinRate | ScoreKind::Preference => self.beaten(model, slice, view),
        })
    }

    /// The part of the other models that a model beats on a slice.
    fn beaten(&self, model: usize, slice: usize, view: &ViewOutcome) -> f64 {
        let rivals = (0..self.views.len()).filter(|other| *other != model);
        let (mut points, mut count) = (0.0, 0.0);
        for rival in rivals.filter_map(|other| self.view(other, slice)) {
            points += half_points(view.quality, rival.quality) / 2.0;
            count += 1.0;
        }
        if count > 0.0 { points / count } else { 0.5 }
    }

    fn preference_score(&self, model: usize) -> f64 {
        let Some(preferred) = self.preferred else {
            return 0.5;
        };
        let compared = [preferred.first, preferred.second]
            .map(usize::from)
            .contains(&model);
        match preferred.winner.map(usize::from) {
            Some(winner) if winner == model => 1.0,
            Some(_) if compared => 0.0,
            _ => 0.5,
        }
    }

    /// 2 if `winner` beats `loser` on more views than the other way round, 1 if on as many, else 0;
    /// nothing where they were not compared.
    pub(super) fn wins(&self, winner: u16, loser: u16) -> Option<u64> {
        if let Some(preferred) = self.preferred {
            let pair = [preferred.first, preferred.second];
            (pair.contains(&winner) && pair.contains(&loser)).then_some(())?;
            return Some(match preferred.winner {
                None => 1,
                Some(best) => 2 * u64::from(best == winner),
            });
        }
        let (one, other) = (
            self.views.get(usize::from(winner))?,
            self.views.get(usize::from(loser))?,
        );
        let both = one
            .iter()
            .zip(other)
            .filter_map(|(a, b)| Some((a.as_ref()?, b.as_ref()?)));
        let (mut ahead, mut count) = (0.0, 0u32);
        for (a, b) in both {
            ahead += half_points(a.quality, b.quality) - 1.0;
            count += 1;
        }
        (count > 0).then(|| if ahead > 0.0 { 2 } else { u64::from(ahead == 0.0) })
    }
}

/// 2 for the better, 1 for a tie, else 0.
fn half_points(one: f64, other: f64) -> f64 {
    if one > other {
        2.0
    } else if one == other {
        1.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_classifier_is_judged_by_its_softmax() {
        let view = ViewOutcome::of_logits(&[0.0, 3.0f32.ln(), 0.0], Some(1), Some(0)).unwrap();
        assert!(view.correct && !view.flagged && view.answer == Some(1));
        assert!((view.confidence - 0.6).abs() < 1e-6 && (view.positive - 0.2).abs() < 1e-6);
        assert!((view.brier - (0.16 + 0.04 + 0.04)).abs() < 1e-6);
        assert!((view.log_loss + 0.6f64.ln()).abs() < 1e-6);
        assert_eq!(ViewOutcome::of_logits(&[], None, None), None);
        assert_eq!(ViewOutcome::of_logits(&[1.0, f32::NAN], Some(0), None), None);
        let sure = ViewOutcome::of_logits(&[f32::INFINITY, 0.0], Some(1), None).unwrap();
        assert_eq!(
            (sure.confidence, sure.brier, sure.log_loss),
            (1.0, 2.0, LOG_LOSS_MAX)
        );
    }

    #[test]
    fn a_regression_is_judged_within_its_range() {
        let view = ViewOutcome::of_value(15.0, 5.0, (0.0, 20.0)).unwrap();
        assert_eq!((view.error, view.place, view.quality), (0.5, 0.75, -0.5));
        let far = ViewOutcome::of_value(1e9, -1e9, (0.0, 20.0)).unwrap();
        assert_eq!(far.error, 1.0);
        assert_eq!(ViewOutcome::of_value(f64::NAN, 0.0, (0.0, 1.0)), None);
        assert_eq!(ViewOutcome::of_value(0.0, 0.0, (1.0, 1.0)), None);
    }

    #[test]
    fn wins_count_twice_and_ties_once_for_each() {
        let view = |quality| {
            Some(ViewOutcome {
                quality,
                ..ViewOutcome::default()
            })
        };
        let details = Details {
            views: vec![
                vec![view(0.9), view(0.5)],
                vec![view(0.1), view(0.5)],
                vec![view(0.9), None],
            ],
            ..Details::default()
        };
        assert_eq!((details.wins(0, 1), details.wins(1, 0)), (Some(2), Some(0)));
        assert_eq!((details.wins(0, 2), details.wins(2, 0)), (Some(1), Some(1)));
        assert_eq!(details.score(ScoreKind::WinRate, 0, 0), Some(0.75));
        assert_eq!(details.score(ScoreKind::WinRate, 2, 1), None);
    }

    #[test]
    fn a_preference_moves_only_the_two_compared() {
        let details = Details {
            preferred: Some(Preferred {
                first: 0,
                second: 2,
                winner: Some(2),
            }),
            ..Details::default()
        };
        let scores: Vec<_> = (0..3)
            .map(|model| details.score(ScoreKind::Preference, model, 0))
            .collect();
        assert_eq!(scores, [Some(0.0), Some(0.5), Some(1.0)]);
        assert_eq!((details.wins(2, 0), details.wins(0, 1)), (Some(2), None));
    }
}
