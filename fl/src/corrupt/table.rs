//! Corruptions of rows of a table: numbers that each mean something of their own.
//!
//! | operator | what is done | by severity 1, 2, 3, 4, 5 |
//! | --- | --- | --- |
//! | `missing-values` | a value is lost and filled in with a stated number | values: 5, 10, 20, 35, 50 % |
//! | `value-noise` | a value is off by a normal error in proportion to itself | deviation: 0.05, 0.10, 0.20, 0.40, 0.80 of the value |
//! | `shifted-units` | a value comes in another unit (thousands, cents, inches, pounds, degrees) | values: 5, 10, 20, 35, 50 % |
//!
//! The noise is in proportion to the value and not to a column's spread: a spread is known from all
//! records together, and then one record's view would depend on the others. Of every row at least one
//! value is lost or shifted. Numbers stay finite: what would overflow becomes the largest number.

use super::{CorruptError, RecordKey, Stream, hits, level};

/// Values lost or shifted in thousandths, by severity.
const PART: [u32; 5] = [50, 100, 200, 350, 500];
/// Deviation of the error in parts of the value, by severity.
const NOISE: [f32; 5] = [0.05, 0.10, 0.20, 0.40, 0.80];

/// Units taken for one another, as factor and offset: thousands, hundredths, millimetres per inch,
/// pounds per kilogram, Fahrenheit for Celsius; each both ways.
const UNITS: [(f32, f32); 10] = [
    (1000.0, 0.0),
    (0.001, 0.0),
    (100.0, 0.0),
    (0.01, 0.0),
    (25.4, 0.0),
    (0.039_370_08, 0.0),
    (2.204_622_6, 0.0),
    (0.453_592_37, 0.0),
    (1.8, 32.0),
    (0.555_555_6, -17.777_779),
];

/// A condition of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operator {
    /// Lost values.
    MissingValues,
    /// Values that are a little off.
    ValueNoise,
    /// Values in another unit.
    ShiftedUnits,
}

impl Operator {
    /// All operators.
    pub const ALL: [Self; 3] = [Self::MissingValues, Self::ValueNoise, Self::ShiftedUnits];

    /// Its name in a task.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingValues => "missing-values",
            Self::ValueNoise => "value-noise",
            Self::ShiftedUnits => "shifted-units",
        }
    }
}

/// Corrupts a row in place; `fill` stands for what is missing.
///
/// # Errors
/// A severity that is not 1 to 5, or a value (or `fill`) that is not finite; the row is then unchanged.
pub fn apply(
    operator: Operator,
    values: &mut [f32],
    fill: f32,
    severity: u8,
    key: &RecordKey<'_>,
) -> Result<(), CorruptError> {
    if let Some(at) = values.iter().chain([&fill]).position(|value| !value.is_finite()) {
        return Err(CorruptError::NotFinite { at });
    }
    let mut stream = Stream::new(operator.name(), key);
    match operator {
        Operator::MissingValues => each_hit(values, level(&PART, severity)?, &mut stream, |value, _| {
            *value = fill;
        }),
        Operator::ShiftedUnits => each_hit(values, level(&PART, severity)?, &mut stream, |value, draw| {
            let unit = UNITS.get(usize::from(draw) % UNITS.len());
            let (factor, offset) = unit.copied().unwrap_or((1.0, 0.0));
            *value = bounded(*value * factor + offset);
        }),
        Operator::ValueNoise => {
            let deviation = level(&NOISE, severity)?;
            for value in values {
                *value = bounded(*value * (1.0 + deviation * stream.normal()));
            }
        }
    }
    Ok(())
}

/// Changes the values whose draw is low enough, at least the one drawn lowest.
fn each_hit(values: &mut [f32], permille: u32, stream: &mut Stream, change: impl Fn(&mut f32, u16)) {
    let draws: Vec<(u16, u16)> = values
        .iter()
        .map(|_| (stream.next_u16(), stream.next_u16()))
        .collect();
    let lowest = draws
        .iter()
        .enumerate()
        .min_by_key(|(_, (draw, _))| *draw)
        .map(|(at, _)| at);
    for (at, (value, (draw, kind))) in values.iter_mut().zip(draws).enumerate() {
        if hits(draw, permille) || Some(at) == lowest {
            change(value, kind);
        }
    }
}

fn bounded(value: f32) -> f32 {
    value.clamp(f32::MIN, f32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row() -> Vec<f32> {
        (1..=20).map(|at| at as f32 * 1.5).collect()
    }

    fn corrupted(operator: Operator, severity: u8, record: u8) -> Vec<f32> {
        let mut values = row();
        let key = RecordKey {
            secret: &[7; 32],
            record_id: &[record],
        };
        apply(operator, &mut values, 0.0, severity, &key).unwrap();
        values
    }

    /// How far a row is off, each value in proportion to itself and by at most 1.
    fn harm(values: &[f32]) -> f32 {
        let off = |(a, b): (&f32, &f32)| ((a - b) / b).abs().min(1.0);
        values.iter().zip(&row()).map(off).sum()
    }

    #[test]
    fn each_step_of_severity_does_more_harm() {
        for operator in Operator::ALL {
            let mean = |severity| {
                (0..200)
                    .map(|r| harm(&corrupted(operator, severity, r)))
                    .sum::<f32>()
            };
            let ladder: Vec<f32> = (1..=5).map(mean).collect();
            assert!(
                ladder.windows(2).all(|pair| pair[1] > 1.2 * pair[0]),
                "{operator:?} {ladder:?}"
            );
        }
    }

    #[test]
    fn what_a_lower_severity_takes_a_higher_takes_too() {
        for operator in [Operator::MissingValues, Operator::ShiftedUnits] {
            let (mild, harsh) = (corrupted(operator, 2, 5), corrupted(operator, 4, 5));
            let taken =
                |values: &[f32]| -> Vec<bool> { values.iter().zip(&row()).map(|(a, b)| a != b).collect() };
            assert!(taken(&mild).iter().zip(taken(&harsh)).all(|(m, h)| !m || h));
            assert!(taken(&mild).contains(&true));
        }
    }

    #[test]
    fn randomness_follows_the_record_and_bytes_are_the_same_everywhere() {
        for operator in Operator::ALL {
            assert_eq!(corrupted(operator, 3, 1), corrupted(operator, 3, 1));
            assert_ne!(corrupted(operator, 3, 1), corrupted(operator, 3, 2));
        }
        let bytes: Vec<u8> = Operator::ALL
            .into_iter()
            .flat_map(|operator| corrupted(operator, 4, 9))
            .flat_map(f32::to_le_bytes)
            .collect();
        assert_eq!(&blake3::hash(&bytes).to_hex()[..16], "edcdd4b71f7b4b32");
    }

    #[test]
    fn nonsense_is_refused_and_leaves_the_row() {
        let key = RecordKey {
            secret: &[7; 32],
            record_id: b"r",
        };
        let mut values = vec![1.0, f32::NAN];
        let error = apply(Operator::ValueNoise, &mut values, 0.0, 1, &key).unwrap_err();
        assert_eq!(error, CorruptError::NotFinite { at: 1 });
        assert_eq!(values[0].to_bits(), 1.0_f32.to_bits());
        let mut values = row();
        assert!(apply(Operator::MissingValues, &mut values, 0.0, 9, &key).is_err());
        assert!(apply(Operator::MissingValues, &mut values, f32::NAN, 1, &key).is_err());
        assert_eq!(values, row());
    }

    proptest! {
        #[test]
        fn any_row_stays_finite(
            mut values in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::ZERO, 0..40),
            severity in 1u8..=5,
            seed in any::<u8>(),
        ) {
            for operator in Operator::ALL {
                let key = RecordKey { secret: &[7; 32], record_id: &[seed] };
                apply(operator, &mut values, 0.0, severity, &key).unwrap();
                prop_assert!(values.iter().all(|value| value.is_finite()));
            }
        }
    }
}
