//! Output shares, aggregate shares and their sum.
//!
//! A share is one field element per entry of the schema, each as 16 little-endian bytes below the
//! modulus. A single share says nothing; the sum of all k shares is the released vector, centred
//! around zero because noise may make an entry negative.

use super::VdafError;
use super::circuit::Field;
use crate::noise::{DiscreteGaussian, Ratio};
use crate::privacy::NoiseScale;
use prio::codec::Decode;
use prio::field::{FieldElement, FieldElementWithInteger};
use rand_core::CryptoRng;

/// One aggregator's share of one report's released vector, after its proof was accepted.
#[derive(Clone, PartialEq, Eq)]
pub struct OutputShare(pub(super) Vec<Field>);

/// One aggregator's share of the sum of reports, with or without its noise.
#[derive(Clone, PartialEq, Eq)]
pub struct AggregateShare(pub(super) Vec<Field>);

impl OutputShare {
    /// 16 bytes per entry.
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.0)
    }
}

impl AggregateShare {
    /// Adds a report's share.
    ///
    /// # Errors
    /// The share is of another schema.
    pub fn accumulate(&mut self, share: &OutputShare) -> Result<(), VdafError> {
        add(&mut self.0, &share.0)
    }

    /// Adds another partial sum of the same aggregator.
    ///
    /// # Errors
    /// The share is of another schema.
    pub fn merge(&mut self, share: &Self) -> Result<(), VdafError> {
        add(&mut self.0, &share.0)
    }

    /// Adds independent discrete Gaussian noise of the full scale to every entry. The caller
    /// persists the result before anything leaves, so that noise is drawn once.
    ///
    /// # Errors
    /// The scale is outside the sampler's range; the share is then unchanged.
    pub fn add_noise<R: CryptoRng>(&mut self, scale: NoiseScale, rng: &mut R) -> Result<(), VdafError> {
        let noise = DiscreteGaussian::new(Ratio::from(scale.sigma_squared))?;
        for entry in &mut self.0 {
            *entry += element(noise.sample(rng));
        }
        Ok(())
    }

    /// 16 bytes per entry.
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.0)
    }
}

impl std::fmt::Debug for OutputShare {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "OutputShare({} entries)", self.0.len())
    }
}

impl std::fmt::Debug for AggregateShare {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "AggregateShare({} entries)", self.0.len())
    }
}

/// Reads `len` elements, no more and no less, each below the modulus.
pub(super) fn decode(what: &'static str, len: usize, bytes: &[u8]) -> Result<Vec<Field>, VdafError> {
    let expected = len * Field::ENCODED_SIZE;
    if bytes.len() != expected {
        return Err(VdafError::Bytes {
            what,
            expected,
            found: bytes.len(),
        });
    }
    let element = |chunk| Field::get_decoded(chunk).map_err(|source| VdafError::Codec { what, source });
    bytes.chunks(Field::ENCODED_SIZE).map(element).collect()
}

/// The centred sum of shares of equal length.
pub(super) fn sum(len: usize, shares: &[AggregateShare]) -> Result<Vec<i128>, VdafError> {
    let mut total = vec![Field::zero(); len];
    for share in shares {
        add(&mut total, &share.0)?;
    }
    Ok(total.into_iter().map(centred).collect())
}

fn add(to: &mut [Field], share: &[Field]) -> Result<(), VdafError> {
    if to.len() != share.len() {
        return Err(VdafError::Entries {
            expected: to.len(),
            found: share.len(),
        });
    }
    for (element, &added) in to.iter_mut().zip(share) {
        *element += added;
    }
    Ok(())
}

fn encode(elements: &[Field]) -> Vec<u8> {
    elements
        .iter()
        .flat_map(|&element| u128::from(element).to_le_bytes())
        .collect()
}

fn element(value: i128) -> Field {
    let magnitude = Field::from(value.unsigned_abs());
    if value < 0 { -magnitude } else { magnitude }
}

fn centred(element: Field) -> i128 {
    let (value, modulus) = (u128::from(element), Field::modulus());
    let magnitude = |value: u128| i128::try_from(value).unwrap_or(i128::MAX);
    if value > modulus / 2 {
        -magnitude(modulus - value)
    } else {
        magnitude(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prio::codec::Encode;

    #[test]
    fn integers_of_either_sign_survive_the_field() {
        for value in [0, 1, -1, 1 << 100, -(1 << 100), (1 << 126), -(1 << 126)] {
            assert_eq!(centred(element(value)), value);
        }
    }

    #[test]
    fn elements_encode_as_the_field_does() {
        let elements = [element(-5), element(77)];
        let mut bytes = Vec::new();
        for element in &elements {
            element.encode(&mut bytes).unwrap();
        }
        assert_eq!(encode(&elements), bytes);
        assert_eq!(decode("share", 2, &bytes).unwrap(), elements);
        assert!(decode("share", 3, &bytes).is_err());
        assert!(decode("share", 1, &[0xff; 16]).is_err());
    }
}
