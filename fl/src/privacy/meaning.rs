//! What a stated (ε, δ) means for somebody who tries to tell whether one record was there.
//!
//! An attacker who raises false alarms with probability α detects with probability at most
//! min(δ + e^ε·α, 1 − e^(−ε)·(1 − δ − α), 1) (Wasserman and Zhou 2010; Kairouz, Oh and Viswanath 2015).
//! Everything here is read off that region, so it holds for every attack.

use libm::{exp, expm1};

use super::params::Delta;

/// What (ε, δ) allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Meaning {
    epsilon: f64,
    delta: f64,
}

impl Meaning {
    /// Of ε, 0 or above, at δ.
    pub fn of(epsilon: f64, delta: Delta) -> Self {
        Self {
            epsilon: epsilon.max(0.0),
            delta: delta.value(),
        }
    }

    /// e^ε: how much, at most, the odds of any guess change, but for events of probability about δ.
    pub fn odds_factor(self) -> f64 {
        exp(self.epsilon)
    }

    /// The most probability of detection at this probability of a false alarm.
    pub fn detection_max(self, false_alarm: f64) -> f64 {
        let low = self.delta + exp(self.epsilon) * false_alarm;
        let high = 1.0 - exp(-self.epsilon) * (1.0 - self.delta - false_alarm);
        low.min(high).min(1.0)
    }

    /// The largest difference of detection and false alarm: (e^ε − 1 + 2δ)/(e^ε + 1).
    pub fn advantage_max(self) -> f64 {
        let shrink = exp(-self.epsilon);
        ((-expm1(-self.epsilon) + 2.0 * self.delta * shrink) / (1.0 + shrink)).min(1.0)
    }

    /// The most probability of a right guess whether the record was there, when it was beforehand
    /// with probability `prior`.
    pub fn right_guess_max(self, prior: f64) -> f64 {
        let right =
            |false_alarm: f64| prior * self.detection_max(false_alarm) + (1.0 - prior) * (1.0 - false_alarm);
        // The region is a polygon: one of its corners is best.
        let corner = (1.0 - self.delta) * exp(-self.epsilon) / (1.0 + exp(-self.epsilon));
        [0.0, corner, 1.0 - self.delta, 1.0]
            .into_iter()
            .map(right)
            .fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_privacy_loss_means_no_advantage() {
        let none = Meaning::of(0.0, Delta::new(1e-30).unwrap());
        assert!(none.advantage_max() < 1e-20 && none.odds_factor() == 1.0);
        assert!((none.right_guess_max(0.5) - 0.5).abs() < 1e-12);
        assert!((none.right_guess_max(0.1) - 0.9).abs() < 1e-12);
        assert!((none.detection_max(0.3) - 0.3).abs() < 1e-12);
    }

    #[test]
    fn randomised_response_reaches_the_bounds() {
        // Answers right with probability 3/4: ε = ln 3.
        let meaning = Meaning::of(libm::log(3.0), Delta::new(1e-30).unwrap());
        assert!((meaning.advantage_max() - 0.5).abs() < 1e-12);
        assert!((meaning.right_guess_max(0.5) - 0.75).abs() < 1e-12);
        assert!((meaning.detection_max(0.25) - 0.75).abs() < 1e-12);
    }

    #[test]
    fn a_huge_loss_allows_everything() {
        let all = Meaning::of(1000.0, Delta::new(1e-6).unwrap());
        assert!(all.advantage_max() > 0.999_999 && all.right_guess_max(0.5) > 0.999_999);
    }
}
