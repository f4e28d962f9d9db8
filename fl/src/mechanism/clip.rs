//! A clip norm that follows a quantile of the norms (Andrew, Thakkar, McMahan and Ramaswamy 2021,
//! "Differentially private learning with adaptive clipping").
//!
//! After each round a noisy count of how many norms lay within the clip norm moves it
//! geometrically: C ← C·exp(−η(b − γ)), with b the estimated share within it and γ the quantile wanted.
//! Deviation: the paper counts b − ½ for each record; here each counts +1 within and −1 beyond, which
//! is the same in integers. The share is read against a number of records that is public, such as the
//! expected batch, because the true number may be what is protected.

use super::{MechanismError, positive};
use crate::privacy::Relation;

/// What a [`ClipQuantile`] is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipOptions {
    /// The norm to start with.
    pub norm: f64,
    /// The quantile to follow, in 0..=1; the paper takes the median.
    pub quantile: f64,
    /// η of the geometric update; the paper takes 0.2.
    pub rate: f64,
    /// The least norm it may reach.
    pub least: f64,
    /// The largest norm it may reach.
    pub most: f64,
}

impl Default for ClipOptions {
    fn default() -> Self {
        Self {
            norm: 0.1,
            quantile: 0.5,
            rate: 0.2,
            least: 1e-6,
            most: 1e6,
        }
    }
}

/// A clip norm under way.
///
/// ```
/// use fieldmark_fl::mechanism::{ClipOptions, ClipQuantile, count_below};
/// let mut clip = ClipQuantile::new(ClipOptions::default())?;
/// let before = clip.norm();
/// let count = count_below(&[3.0, 4.0, 5.0], clip.norm()); // noise is added to this
/// assert!(clip.update(i128::from(count), 3)? > before);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipQuantile(ClipOptions);

impl ClipQuantile {
    /// Checks the options.
    ///
    /// # Errors
    /// A norm or rate that is not positive, a quantile outside 0..=1, or a start outside
    /// `least..=most`.
    pub fn new(options: ClipOptions) -> Result<Self, MechanismError> {
        positive("clip norm", options.norm)?;
        positive("least clip norm", options.least)?;
        positive("largest clip norm", options.most)?;
        positive("rate", options.rate)?;
        let number = |what, found, expected| {
            Err(MechanismError::Number {
                what,
                found,
                expected,
            })
        };
        if !(0.0..=1.0).contains(&options.quantile) {
            return number("quantile", options.quantile, "between 0 and 1");
        }
        if !(options.least..=options.most).contains(&options.norm) {
            return number("clip norm", options.norm, "between its least and largest value");
        }
        Ok(Self(options))
    }

    /// The norm to clip to now.
    #[must_use]
    pub fn norm(&self) -> f64 {
        self.0.norm
    }

    /// Moves the norm by a released count, that is [`count_below`] summed over records and noised,
    /// and the public number of records it is read against. Returns the new norm.
    ///
    /// # Errors
    /// No records.
    pub fn update(&mut self, released: i128, records: u64) -> Result<f64, MechanismError> {
        super::count("number of records", records, 1, u64::MAX)?;
        // Noise may carry the estimate beyond what a share can be.
        let share = ((released as f64 / records as f64 + 1.0) / 2.0).clamp(0.0, 1.0);
        let factor = libm::exp(-self.0.rate * (share - self.0.quantile));
        self.0.norm = (self.0.norm * factor).clamp(self.0.least, self.0.most);
        Ok(self.0.norm)
    }
}

/// How many norms are at most `norm`, less how many are above it (or not a number).
#[must_use]
pub fn count_below(norms: &[f64], norm: f64) -> i64 {
    norms.iter().map(|&n| if n <= norm { 1 } else { -1 }).sum()
}

/// The sensitivity of [`count_below`]: one record adds or takes 1; exchanged, it moves the count by 2.
/// Under [`Relation::ReplaceReportByZero`] a report counts as one record.
#[must_use]
pub fn clip_count_sensitivity(relation: Relation) -> u64 {
    match relation {
        Relation::ReplaceOneRecord => 2,
        Relation::AddOrRemoveOneRecord | Relation::ReplaceReportByZero => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{DiscreteGaussian, Ratio};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn the_norm_finds_the_quantile_through_noise() {
        let norms: Vec<f64> = (1..=1_000).map(|i| f64::from(i) / 100.0).collect();
        let noise = DiscreteGaussian::new(Ratio::from(400)).unwrap();
        for (quantile, expected) in [(0.5, 5.0), (0.9, 9.0)] {
            let mut rng = ChaCha20Rng::seed_from_u64(2);
            let options = ClipOptions {
                quantile,
                ..ClipOptions::default()
            };
            let mut clip = ClipQuantile::new(options).unwrap();
            for _ in 0..200 {
                let count = i128::from(count_below(&norms, clip.norm())) + noise.sample(&mut rng);
                clip.update(count, 1_000).unwrap();
            }
            assert!((clip.norm() / expected - 1.0).abs() < 0.05, "{}", clip.norm());
        }
    }

    #[test]
    fn the_norm_stays_in_its_range_whatever_the_count() {
        let mut clip = ClipQuantile::new(ClipOptions::default()).unwrap();
        for count in [i128::MIN, i128::MAX, 0, i128::MIN] {
            for _ in 0..2_000 {
                let norm = clip.update(count, 1).unwrap();
                assert!((1e-6..=1e6).contains(&norm));
            }
        }
        assert!(clip.update(0, 0).is_err());
    }

    #[test]
    fn one_record_moves_the_count_by_its_sensitivity() {
        let norms = [1.0, 2.0, f64::NAN, 4.0];
        assert_eq!(count_below(&norms, 2.0), 0);
        assert_eq!(count_below(&norms[1..], 2.0), -1);
        assert_eq!(count_below(&[5.0, 2.0, f64::NAN, 4.0], 2.0), -2);
        assert_eq!(clip_count_sensitivity(Relation::AddOrRemoveOneRecord), 1);
        assert_eq!(clip_count_sensitivity(Relation::ReplaceOneRecord), 2);
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let good = ClipOptions::default();
        for bad in [
            ClipOptions { norm: 0.0, ..good },
            ClipOptions { norm: 1e9, ..good },
            ClipOptions {
                quantile: 1.1,
                ..good
            },
            ClipOptions {
                rate: f64::NAN,
                ..good
            },
            ClipOptions { least: -1.0, ..good },
        ] {
            assert!(ClipQuantile::new(bad).is_err(), "{bad:?}");
        }
    }
}
