//! Every prefix sum of a stream, with noise that grows with the logarithm of its length only
//! (Dwork, Naor, Pitassi and Rothblum 2010; Chan, Shi and Song 2011).
//!
//! A binary counter of partial sums: step t completes the dyadic intervals that end at t, each gets
//! discrete Gaussian noise once, and the prefix sum is that of the intervals in the binary form of t. A
//! step's value enters one interval of each size, so one record, which may contribute to one step only
//! (a single epoch), costs levels·Δ²/2σ² of zCDP for all prefix sums together.

use super::{MechanismError, count};
use crate::noise::{DiscreteGaussian, Ratio};
use crate::privacy::Rho;
use rand_core::CryptoRng;

/// Most steps of a stream.
const STEPS_MAX: u64 = 1 << 32;

/// A stream under way.
#[derive(Clone, Debug)]
pub struct TreeSum {
    noise: DiscreteGaussian,
    sigma_squared: u64,
    steps_max: u64,
    step: u64,
    /// By level: the exact sum of the interval of 2^level steps that ended last, and the same with
    /// its noise.
    levels: Vec<(i128, i128)>,
}

impl TreeSum {
    /// A stream of at most `steps_max` steps, every interval with noise of σ².
    ///
    /// # Errors
    /// No steps or more than 2³², or σ² out of the sampler's range.
    pub fn new(steps_max: u64, sigma_squared: u64) -> Result<Self, MechanismError> {
        count("number of steps", steps_max, 1, STEPS_MAX)?;
        Ok(Self {
            noise: DiscreteGaussian::new(Ratio::from(sigma_squared))?,
            sigma_squared,
            steps_max,
            step: 0,
            levels: Vec::new(),
        })
    }

    /// In how many intervals a step lies at most: ⌊log₂ steps⌋ + 1.
    #[must_use]
    pub fn levels(&self) -> u64 {
        u64::from(self.steps_max.ilog2()) + 1
    }

    /// What all prefix sums together cost a record that moves one step's value by at most
    /// `sensitivity`.
    ///
    /// # Errors
    /// A sensitivity above 2²⁶.
    pub fn rho(&self, sensitivity: u64) -> Result<Rho, MechanismError> {
        count("sensitivity", sensitivity, 0, 1 << 26)?;
        let squared = sensitivity * sensitivity * self.levels();
        Ok(Rho::of_gaussian(squared, self.sigma_squared)?)
    }

    /// Takes the next step's value and releases the noisy prefix sum.
    ///
    /// # Errors
    /// The stream has had all its steps.
    pub fn push<R: CryptoRng + ?Sized>(&mut self, value: i64, rng: &mut R) -> Result<i128, MechanismError> {
        count("number of steps", self.step + 1, 1, self.steps_max)?;
        self.step += 1;
        // The intervals that end here: one more level for every trailing zero of the step.
        let ended = self.step.trailing_zeros();
        let mut sum = i128::from(value);
        for level in 0..=ended {
            let at = usize::try_from(level).unwrap_or(usize::MAX);
            let noisy = sum + self.noise.sample(rng);
            match self.levels.get_mut(at) {
                Some(entry) => {
                    let before = entry.0;
                    *entry = (sum, noisy);
                    sum += before;
                }
                None => self.levels.push((sum, noisy)),
            }
        }
        let in_prefix = |level: &usize| self.step >> level & 1 == 1;
        let noisy = self.levels.iter().enumerate();
        Ok(noisy
            .filter(|(level, _)| in_prefix(level))
            .map(|(_, &(_, noisy))| noisy)
            .sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn prefix_sums_are_right_up_to_logarithmic_noise() {
        let mut errors = Vec::new();
        for seed in 0..200 {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let mut tree = TreeSum::new(100, 25).unwrap();
            let mut sum = 0i128;
            for step in 1..=100i64 {
                sum += i128::from(step * 7 - 100);
                errors.push((step, tree.push(step * 7 - 100, &mut rng).unwrap() - sum));
            }
            assert!(tree.push(1, &mut rng).is_err());
        }
        for step in [1, 64, 63, 100] {
            let mine = errors
                .iter()
                .filter(|(at, _)| *at == step)
                .map(|(_, error)| *error as f64);
            let variance = mine.map(|error| error * error).sum::<f64>() / 200.0;
            let expected = 25.0 * f64::from(step.count_ones());
            assert!(
                (variance / expected - 1.0).abs() < 0.45,
                "step {step}: {variance}"
            );
        }
    }

    #[test]
    fn every_level_costs_one_gaussian() {
        let tree = TreeSum::new(1_000, 100).unwrap();
        assert_eq!(tree.levels(), 10);
        assert_eq!(tree.rho(1).unwrap(), Rho::of_gaussian(10, 100).unwrap());
        assert!(TreeSum::new(0, 100).is_err());
        assert!(TreeSum::new(4, 0).is_err());
        assert!(tree.rho(u64::MAX).is_err());
    }
}
