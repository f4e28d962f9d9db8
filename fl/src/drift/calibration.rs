//! Calibration drift: is an answer of confidence c still right as often as it was?
//!
//! Answers are binned by confidence. With a reference, each bin's part of right answers is compared with the
//! reference's as two proportions; without one, with the mean confidence itself. The sum of the squared
//! normal deviates is χ² distributed with a degree of freedom for each bin that holds enough.

use serde::{Deserialize, Serialize};

use super::LEVEL;
use super::comparison::{RECORDS_MIN, chi_squared};

/// Equal bins of confidence from 0 to 1.
pub const BINS: usize = 10;
/// Fewest answers of a bin that is compared.
const ANSWERS_MIN: f64 = 10.0;

/// Answers and right answers by bin of confidence.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Answers.
    pub counts: [u64; BINS],
    /// Right ones among them.
    pub right: [u64; BINS],
    /// Sums of confidence.
    pub confidence: [f64; BINS],
}

impl Calibration {
    /// Takes one answer with its confidence, 0 to 1; others are left out.
    pub fn add(&mut self, confidence: f64, right: bool) {
        if !(0.0..=1.0).contains(&confidence) {
            return;
        }
        let bins = self
            .counts
            .iter_mut()
            .zip(&mut self.right)
            .zip(&mut self.confidence);
        let border = |bin: usize| (bin + 1) as f64 / BINS as f64;
        let found = bins
            .enumerate()
            .find(|(bin, _)| confidence < border(*bin) || bin + 1 == BINS);
        if let Some((_, ((count, rights), sum))) = found {
            *count += 1;
            *rights += u64::from(right);
            *sum += confidence;
        }
    }

    /// Answers in all bins.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let bins = self.counts.iter().zip(&self.right).zip(&self.confidence);
        for ((count, right), sum) in bins {
            let possible = *count < 1 << 53 && right <= count && (0.0..=*count as f64).contains(sum);
            if !possible {
                return Err("a bin has more right answers or confidence than answers".to_owned());
            }
        }
        Ok(())
    }

    fn bins(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        let pairs = self.counts.iter().zip(&self.right).zip(&self.confidence);
        pairs.map(|((count, right), sum)| (*count as f64, *right as f64, *sum))
    }

    /// Expected calibration error: Σ (answers of the bin / all)·|right part − mean confidence|.
    #[must_use]
    pub fn error(&self) -> f64 {
        let total = self.total().max(1) as f64;
        self.bins()
            .map(|(_, right, sum)| (right - sum).abs() / total)
            .sum()
    }
}

/// How calibration stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CalibrationFinding {
    /// Answers whose truth is known.
    pub records: u64,
    /// Expected calibration error.
    pub error: f64,
    /// The sum of squared deviates; nothing while there are too few records.
    pub statistic: Option<f64>,
    /// What chance alone exceeds with probability [`LEVEL`].
    pub threshold: Option<f64>,
    /// Whether it is exceeded.
    pub drifted: bool,
}

/// Compares answers whose truth arrived with the reference's, or without one with their own confidence.
#[must_use]
pub fn compare(live: &Calibration, reference: Option<&Calibration>) -> CalibrationFinding {
    let mut finding = CalibrationFinding {
        records: live.total(),
        error: live.error(),
        statistic: None,
        threshold: None,
        drifted: false,
    };
    if finding.records < RECORDS_MIN {
        return finding;
    }
    let squares: Vec<f64> = match reference {
        Some(reference) => {
            let pairs = live.bins().zip(reference.bins());
            pairs
                .filter_map(|(live, known)| two_proportions(live, known))
                .collect()
        }
        None => live.bins().filter_map(against_confidence).collect(),
    };
    let statistic = squares.iter().sum();
    let threshold = chi_squared(squares.len(), LEVEL);
    finding.drifted = statistic > threshold;
    finding.statistic = Some(statistic);
    finding.threshold = Some(threshold).filter(|threshold| threshold.is_finite());
    finding
}

/// Two parts of right answers, with the variance of their common part.
fn two_proportions((n, right, _): (f64, f64, f64), (m, known, _): (f64, f64, f64)) -> Option<f64> {
    if n < ANSWERS_MIN || m < ANSWERS_MIN {
        return None;
    }
    // Half a record keeps the variance of a bin without a wrong answer above zero.
    let common = (right + known + 0.5) / (n + m + 1.0);
    let variance = common * (1.0 - common) * (1.0 / n + 1.0 / m);
    Some((right / n - known / m).powi(2) / variance)
}

fn against_confidence((n, right, sum): (f64, f64, f64)) -> Option<f64> {
    if n < ANSWERS_MIN {
        return None;
    }
    let mean = (sum + 0.5) / (n + 1.0);
    Some((right - sum).powi(2) / (n * mean * (1.0 - mean)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::Draws;

    fn answers(draws: &mut Draws, records: usize, honest: f64) -> Calibration {
        let mut found = Calibration::default();
        for _ in 0..records {
            let confidence = 0.3 + 0.7 * draws.uniform();
            found.add(confidence, draws.uniform() < confidence * honest);
        }
        found
    }

    #[test]
    fn an_honest_model_is_left_alone_and_a_boaster_is_found() {
        let mut draws = Draws::seeded(5);
        let known = answers(&mut draws, 2000, 1.0);
        let alarms = (0..300).filter(|_| {
            let live = answers(&mut draws, 500, 1.0);
            compare(&live, Some(&known)).drifted || compare(&live, None).drifted
        });
        assert!(alarms.count() <= 3);
        let boaster = answers(&mut draws, 500, 0.7);
        assert!(compare(&boaster, Some(&known)).drifted);
        assert!(compare(&boaster, None).drifted);
        assert!(boaster.error() > 0.1);
    }

    #[test]
    fn a_model_that_always_boasted_has_not_drifted() {
        let mut draws = Draws::seeded(6);
        let known = answers(&mut draws, 2000, 0.7);
        assert!(!compare(&answers(&mut draws, 500, 0.7), Some(&known)).drifted);
    }

    #[test]
    fn few_truths_say_nothing() {
        let mut draws = Draws::seeded(7);
        assert_eq!(compare(&answers(&mut draws, 99, 0.1), None).statistic, None);
    }
}
