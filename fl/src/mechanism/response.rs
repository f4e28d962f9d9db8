//! Randomised response among k choices (Warner 1965; k-ary: Kairouz, Bonawitz and Ramage 2016).
//!
//! The true choice is answered with probability truth/total, every other one with probability
//! other/total, where the weights are integers: the draw is one uniform integer below the total, and
//! ε = ln(truth/other) is exactly what the weights say.

use super::{MechanismError, count};
use crate::noise::uniform_below;
use crate::privacy::Epsilon;
use rand_core::CryptoRng;

/// Weights add up to at most about this.
const TOTAL: f64 = (1u64 << 62) as f64;

/// Randomised response; ε holds between any two true choices of one respondent.
///
/// ```
/// use fieldmark_fl::mechanism::RandomisedResponse;
/// use fieldmark_fl::privacy::Epsilon;
/// let response = RandomisedResponse::for_epsilon(4, Epsilon::new(1.5)?)?;
/// assert!(response.epsilon() <= 1.5 && response.epsilon() > 1.499);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomisedResponse {
    choices: u32,
    truth: u64,
    other: u64,
}

impl RandomisedResponse {
    /// A response with these integer weights among `choices` ≥ 2.
    ///
    /// # Errors
    /// Fewer than two choices, a weight of zero, a truth that weighs less than a lie, or weights
    /// that do not add up within 64 bits.
    pub fn new(choices: u32, truth: u64, other: u64) -> Result<Self, MechanismError> {
        count("number of choices", choices.into(), 2, u32::MAX.into())?;
        count("weight of a lie", other, 1, truth)?;
        let lies = u128::from(other) * u128::from(choices - 1);
        let most = u64::try_from(u128::from(u64::MAX).saturating_sub(lies)).unwrap_or(0);
        count("weight of the truth", truth, 1, most)?;
        Ok(Self {
            choices,
            truth,
            other,
        })
    }

    /// The response whose ε is the largest that integer weights give without exceeding `epsilon`;
    /// it falls short by less than 2⁻³⁰ for ε up to 20.
    ///
    /// # Errors
    /// Fewer than two choices.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive numbers below 2^63"
    )]
    pub fn for_epsilon(choices: u32, epsilon: Epsilon) -> Result<Self, MechanismError> {
        count("number of choices", choices.into(), 2, u32::MAX.into())?;
        // Rounded down by more than the error of the exponential.
        let odds = libm::exp(epsilon.value()) * (1.0 - 1e-14);
        let other = (TOTAL / (odds + f64::from(choices))).max(1.0) as u64;
        let truth = (odds * other as f64).min(TOTAL) as u64;
        Self::new(choices, truth.max(other), other)
    }

    /// ε = ln(truth/other), rounded up.
    #[must_use]
    pub fn epsilon(&self) -> f64 {
        let epsilon = libm::log(self.truth as f64 / self.other as f64);
        epsilon * (1.0 + 4.0 * f64::EPSILON) + 4.0 * f64::EPSILON
    }

    /// Answers for a respondent whose true choice is `choice`.
    ///
    /// # Errors
    /// `choice` is not below the number of choices.
    pub fn respond<R: CryptoRng + ?Sized>(&self, choice: u32, rng: &mut R) -> Result<u32, MechanismError> {
        if choice >= self.choices {
            return Err(MechanismError::Choice {
                found: choice,
                choices: self.choices,
            });
        }
        let drawn = uniform_below(self.total(), rng);
        let Some(beyond) = drawn.checked_sub(self.truth.into()) else {
            return Ok(choice);
        };
        // The lies in order, the true choice left out.
        let lie = u32::try_from(beyond / u128::from(self.other)).unwrap_or(u32::MAX);
        Ok(if lie < choice { lie } else { lie + 1 })
    }

    /// Unbiased estimates of how many respondents truly chose each, from how many answered so.
    #[must_use]
    pub fn estimate(&self, answers: &[u64]) -> Vec<f64> {
        let total = self.total() as f64;
        let (truth, other) = (self.truth as f64 / total, self.other as f64 / total);
        let respondents = answers.iter().map(|&n| n as f64).sum::<f64>();
        let spread = truth - other;
        answers
            .iter()
            .map(|&n| {
                if spread > 0.0 {
                    (n as f64 - respondents * other) / spread
                } else {
                    respondents / f64::from(self.choices)
                }
            })
            .collect()
    }

    fn total(&self) -> u128 {
        u128::from(self.truth) + u128::from(self.other) * u128::from(self.choices - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn answers_come_with_their_probabilities() {
        let response = RandomisedResponse::new(4, 5, 1).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut seen = [0u32; 4];
        for _ in 0..80_000 {
            seen[response.respond(2, &mut rng).unwrap() as usize] += 1;
        }
        let expected = [10_000.0, 10_000.0, 50_000.0, 10_000.0];
        let statistic: f64 = seen
            .iter()
            .zip(expected)
            .map(|(&seen, expected)| (f64::from(seen) - expected).powi(2) / expected)
            .sum();
        assert!(statistic < 16.3, "{seen:?}");
    }

    #[test]
    fn epsilon_is_never_above_what_was_asked() {
        for (choices, asked) in [(2, 0.01), (2, 1.0), (100, 4.0), (1 << 20, 12.0), (2, 100.0)] {
            let response = RandomisedResponse::for_epsilon(choices, Epsilon::new(asked).unwrap()).unwrap();
            assert!(response.epsilon() <= asked + 1e-12, "{asked}");
            assert!(asked > 40.0 || response.epsilon() > asked - 1e-6, "{asked}");
        }
    }

    #[test]
    fn estimates_are_unbiased() {
        let response = RandomisedResponse::new(3, 6, 2).unwrap();
        // 600 truly chose 0, 300 chose 1, 100 chose 2: expected answers 0.2·1000 + 0.4·true.
        let estimates = response.estimate(&[440, 320, 240]);
        for (estimate, truth) in estimates.iter().zip([600.0, 300.0, 100.0]) {
            assert!((estimate - truth).abs() < 1e-9, "{estimates:?}");
        }
        let useless = RandomisedResponse::new(2, 1, 1).unwrap();
        assert_eq!(useless.estimate(&[70, 30]), [50.0, 50.0]);
    }

    #[test]
    fn impossible_weights_and_choices_are_refused() {
        for (choices, truth, other) in [(1, 2, 1), (0, 2, 1), (2, 1, 2), (2, 1, 0), (3, u64::MAX, 1)] {
            assert!(RandomisedResponse::new(choices, truth, other).is_err());
        }
        let response = RandomisedResponse::new(3, 2, 1).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let error = response.respond(3, &mut rng).unwrap_err();
        assert_eq!(error, MechanismError::Choice { found: 3, choices: 3 });
    }
}
