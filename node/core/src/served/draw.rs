//! Which served predictions count for the field score: a keyed hash of the id, decided before anyone looks.
//!
//! The key is this node's secret and the id is random, so neither who asked nor what the model said has any
//! say in it. Counted are the ids whose hash, read as a fraction, lies below the rate.

use fieldmark_protocol::ServedId;
use serde::{Deserialize, Serialize};

/// A rate in millionths: 0 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Rate(u32);

/// A rate above 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rate is 0 to 1000000 millionths, not {0}")]
pub struct RateError(u32);

impl Rate {
    /// Every prediction.
    pub const ALL: Self = Self(1_000_000);

    /// From millionths.
    ///
    /// # Errors
    /// More than 1,000,000.
    pub const fn from_ppm(ppm: u32) -> Result<Self, RateError> {
        if ppm <= Self::ALL.0 {
            Ok(Self(ppm))
        } else {
            Err(RateError(ppm))
        }
    }

    /// In millionths.
    #[must_use]
    pub const fn ppm(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Rate {
    type Error = RateError;
    fn try_from(ppm: u32) -> Result<Self, RateError> {
        Self::from_ppm(ppm)
    }
}

impl From<Rate> for u32 {
    fn from(rate: Rate) -> Self {
        rate.0
    }
}

/// Whether a prediction counts at this rate.
#[must_use]
pub fn counts(secret: &[u8; 32], id: &ServedId, rate: Rate) -> bool {
    let hash = blake3::keyed_hash(
        secret,
        &[b"fieldmark field draw\0".as_slice(), id.as_bytes()].concat(),
    );
    let drawn = hash
        .as_bytes()
        .iter()
        .take(8)
        .fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    u128::from(drawn) * 1_000_000 < u128::from(rate.0) << 64
}

/// Index of the largest probability (the first of equals); `None` when there is none or one is no number.
#[must_use]
pub fn best(probabilities: &[f32]) -> Option<usize> {
    if probabilities.iter().any(|p| p.is_nan()) {
        return None;
    }
    let better = |best: (usize, f32), next: (usize, f32)| if next.1 > best.1 { next } else { best };
    let indexed = probabilities.iter().copied().enumerate();
    indexed.reduce(better).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> ServedId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        ServedId::new(bytes)
    }

    #[test]
    fn the_declared_share_counts_and_a_larger_rate_keeps_what_counted() {
        for ppm in [0, 10_000, 250_000, 1_000_000] {
            let rate = Rate::from_ppm(ppm).unwrap();
            let counted = (0..20_000).filter(|n| counts(&[7; 32], &id(*n), rate)).count() as f64;
            let expected = 20_000.0 * f64::from(ppm) / 1e6;
            let sigma = (expected * (1.0 - f64::from(ppm) / 1e6)).sqrt();
            assert!((counted - expected).abs() <= 4.0 * sigma, "{ppm}: {counted}");
            let all_stay = (0..1_000).all(|n| {
                !counts(&[7; 32], &id(n), rate)
                    || counts(&[7; 32], &id(n), Rate::from_ppm(ppm.max(999_999)).unwrap())
            });
            assert!(all_stay);
        }
    }

    #[test]
    fn another_key_draws_others() {
        let half = Rate::from_ppm(500_000).unwrap();
        let same = (0..2_000).filter(|n| counts(&[1; 32], &id(*n), half) == counts(&[2; 32], &id(*n), half));
        assert!((900..1_100).contains(&same.count()));
        assert!(Rate::from_ppm(1_000_001).is_err());
    }

    #[test]
    fn the_first_best_label_answers_and_nan_answers_nothing() {
        assert_eq!(best(&[0.1, 0.6, 0.6]), Some(1));
        assert_eq!(best(&[]), None);
        assert_eq!(best(&[0.1, f32::NAN]), None);
    }
}
