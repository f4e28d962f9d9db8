//! Fixed-point numbers of a board.

use serde::{Deserialize, Serialize};

/// A number in steps of 1e-6, rounded once from a computation, so that boards are byte-identical
/// on every machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micro(pub i64);

impl Micro {
    /// Steps in 1.
    pub const ONE: i64 = 1_000_000;

    /// Rounds to the nearest step, halves away from zero; what is not a number becomes zero, and
    /// the ends saturate.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounded first, and float casts saturate"
    )]
    pub fn from_f64(value: f64) -> Self {
        Self(libm::round(value * Self::ONE as f64) as i64)
    }

    /// The nearest float.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / Self::ONE as f64
    }
}

impl std::fmt::Display for Micro {
    /// Always with six decimals: `0.812345`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (magnitude, one) = (self.0.unsigned_abs(), Self::ONE.unsigned_abs());
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(formatter, "{sign}{}.{:06}", magnitude / one, magnitude % one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_once_and_printed_in_full() {
        assert_eq!(Micro::from_f64(0.812_345_4).to_string(), "0.812345");
        assert_eq!(Micro::from_f64(-0.000_000_6).to_string(), "-0.000001");
        assert_eq!(Micro::from_f64(1.0), Micro(1_000_000));
        assert_eq!(Micro::from_f64(f64::NAN), Micro(0));
        assert_eq!(Micro::from_f64(1e300), Micro(i64::MAX));
    }
}
