//! A released vector read as estimates with known noise.

use super::{Weights, estimable, showable};
use crate::schema::{Entry, EntryKind, Part, Schema};
use thiserror::Error;

/// Largest absolute value that an honest vector can come near, as a power of two: a million
/// reports of a million records at the largest weight.
const VALUE_BITS_MAX: u32 = 80;

/// A number and the variance of the noise in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Variance of its noise.
    pub variance: f64,
}

/// Why a vector cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// A vector of the wrong length.
    #[error("the vector has {found} entries, the schema has {expected}")]
    Length {
        /// Entries of the schema.
        expected: usize,
        /// Entries given.
        found: usize,
    },
    /// A value that no sum of reports with this noise has: shares are missing or do not belong
    /// together.
    #[error("entry {entry} is {found}, which no complete sum of shares can be")]
    Value {
        /// Index of the entry.
        entry: usize,
        /// The value given.
        found: i128,
    },
}

/// A released vector with its layout and its noise.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    schema: Schema,
    values: Vec<f64>,
    noise_variance: f64,
    weights: Option<Weights>,
}

impl Release {
    /// Takes the sum of all aggregators' shares; every one of the k aggregators added noise of
    /// `sigma_squared`, so the noise in each entry has k times that variance.
    ///
    /// # Errors
    /// A wrong length, or a value that shows that the sum is not complete.
    pub fn new(
        schema: &Schema,
        vector: &[i128],
        sigma_squared: u64,
        aggregators: u8,
    ) -> Result<Self, ReleaseError> {
        Self::with_noise(
            schema,
            vector,
            u128::from(sigma_squared) * u128::from(aggregators),
        )
    }

    /// Takes a sum of several aggregates, or of one, with the whole variance of the noise in each
    /// entry.
    ///
    /// # Errors
    /// As [`Release::new`].
    pub fn with_noise(schema: &Schema, vector: &[i128], noise_variance: u128) -> Result<Self, ReleaseError> {
        if vector.len() != schema.len() {
            return Err(ReleaseError::Length {
                expected: schema.len(),
                found: vector.len(),
            });
        }
        let bad = vector
            .iter()
            .enumerate()
            .find(|(_, value)| value.unsigned_abs() >> VALUE_BITS_MAX != 0);
        if let Some((entry, &found)) = bad {
            return Err(ReleaseError::Value { entry, found });
        }
        Ok(Self {
            schema: schema.clone(),
            values: vector.iter().map(|&value| value as f64).collect(),
            noise_variance: noise_variance as f64,
            weights: None,
        })
    }

    /// The same release with field scores that weight the slices; equal weights change nothing.
    #[must_use]
    pub fn weighted(mut self, weights: &Weights) -> Self {
        self.weights = Some(weights.clone()).filter(|weights| !weights.equal());
        self
    }

    /// The reader's weights, unless they are equal.
    pub fn weights(&self) -> Option<&Weights> {
        self.weights.as_ref()
    }

    /// The variance of the noise in each entry.
    pub fn noise_variance(&self) -> f64 {
        self.noise_variance
    }

    /// Its layout.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The number of records.
    pub fn records(&self) -> Estimate {
        self.count(EntryKind::Records).unwrap_or(ZERO)
    }

    /// The number of records with a view in the slice.
    pub fn views(&self, slice: u16) -> Estimate {
        self.count(EntryKind::Views { slice })
            .unwrap_or_else(|| self.records())
    }

    /// Whether the slice has enough records for its cells to be shown; see
    /// [`super::CELL_RECORDS_MIN`].
    pub fn shows(&self, slice: u16) -> bool {
        showable(&self.views(slice))
    }

    /// Whether there are enough records for anything to be shown.
    pub fn shows_any(&self) -> bool {
        showable(&self.records())
    }

    /// Records without a view in the slice: of served predictions those that were drawn and never
    /// labelled. Nothing unless the layout lets views be missing.
    pub fn lacking(&self, slice: u16) -> Option<Estimate> {
        let views = self.count(EntryKind::Views { slice })?;
        let records = self.records();
        Some(Estimate {
            value: records.value - views.value,
            variance: records.variance + views.variance,
        })
    }

    /// A count of a table, in the table's own units: what contributors added up.
    pub fn count(&self, kind: EntryKind) -> Option<Estimate> {
        let (entry, value) = self.entry(kind)?;
        let weight = entry.weight as f64;
        Some(Estimate {
            value: value / weight,
            variance: self.noise_variance / (weight * weight),
        })
    }

    /// Wins of one model over another on records that compare them, a tie counting half to each.
    pub fn wins(&self, winner: u16, loser: u16) -> Option<Estimate> {
        let doubled = self.count(EntryKind::Wins { winner, loser })?;
        Some(Estimate {
            value: doubled.value / 2.0,
            variance: doubled.variance / 4.0,
        })
    }

    /// Σ(x − ½) over records, where x is a quantised mean between 0 and 1.
    pub fn sum(&self, part: Part, model: u16, slice: u16) -> Option<Estimate> {
        self.half_sum(EntryKind::Cell {
            part,
            model,
            slice,
            cell: 0,
        })
    }

    /// Σ(x − ½) over records with a view, where x is the model's score in the slice: 1 if it is
    /// correct.
    pub fn cell(&self, model: u16, slice: u16) -> Estimate {
        self.half_sum(EntryKind::Correct { model, slice }).unwrap_or(ZERO)
    }

    /// Σ(x − ½) over records, where x is the part of slices in which the model is correct, by weight.
    pub fn field(&self, model: u16) -> Estimate {
        let Some(weights) = &self.weights else {
            return self.equal_field(model);
        };
        let add = |sum: Estimate, (slice, weight): (u16, f64)| {
            let cell = self.scaled_cell(model, slice);
            Estimate {
                value: sum.value + weight * cell.value,
                variance: sum.variance + weight * weight * cell.variance,
            }
        };
        (0..).zip(weights.shares()).fold(ZERO, add)
    }

    /// Σ(x − ½) over records, where x is the part of slices in which the model is correct.
    pub(crate) fn equal_field(&self, model: u16) -> Estimate {
        let slices = self.schema.slices() as f64;
        let add = |sum: Estimate, slice| {
            let cell = self.scaled_cell(model, slice);
            Estimate {
                value: sum.value + cell.value,
                variance: sum.variance + cell.variance,
            }
        };
        let sum = (0..self.schema.params().slices).fold(ZERO, add);
        Estimate {
            value: sum.value / slices,
            variance: sum.variance / (slices * slices),
        }
    }

    /// A cell as if every record had a view in the slice: where views may be missing, scaled to the
    /// record count, with the noise in the slice's own count.
    fn scaled_cell(&self, model: u16, slice: u16) -> Estimate {
        let cell = self.cell(model, slice);
        if !self.schema.has_missing_views() {
            return cell;
        }
        let views = self.views(slice);
        let count = views.value.max(1.0);
        let (scale, theta) = (self.records().value / count, cell.value / count);
        Estimate {
            value: scale * cell.value,
            variance: scale * scale * (cell.variance + theta * theta * views.variance),
        }
    }

    /// Whether every slice has enough records for scores.
    pub(crate) fn estimable_slices(&self) -> bool {
        (0..self.schema.params().slices).all(|slice| estimable(&self.views(slice)))
    }

    /// Σ(x² − ½) over records, where x is the part of slices in which the model is correct.
    pub fn squares(&self, model: u16) -> Option<Estimate> {
        self.half_sum(EntryKind::Square { model })
    }

    /// Σ((x − y)² − ½) over records, where x and y are the parts of slices in which two different
    /// models are correct.
    pub fn differences(&self, one: u16, other: u16) -> Option<Estimate> {
        self.half_sum(EntryKind::Difference {
            first: one.min(other),
            second: one.max(other),
        })
    }

    /// Σ(x − ½) over records, where x is the model's mean confidence.
    pub fn confidence(&self, model: u16) -> Option<Estimate> {
        self.half_sum(EntryKind::Confidence { model })
    }

    fn half_sum(&self, kind: EntryKind) -> Option<Estimate> {
        let (entry, value) = self.entry(kind)?;
        let unit = 2.0 * entry.amplitude() as f64;
        Some(Estimate {
            value: value / unit,
            variance: self.noise_variance / (unit * unit),
        })
    }

    fn entry(&self, kind: EntryKind) -> Option<(&Entry, f64)> {
        let at = self.schema.position(kind)?;
        Some((self.schema.entries().get(at)?, *self.values.get(at)?))
    }
}

const ZERO: Estimate = Estimate {
    value: 0.0,
    variance: 0.0,
};
