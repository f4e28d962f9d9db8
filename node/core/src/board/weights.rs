//! A reader's weights of slices, as text: `low-light:2,blur:0`; slices not named weigh 1.

use std::collections::BTreeMap;

use fieldmark_fl::interval::{Weights, WeightsError};

/// Most bytes of such a text.
const TEXT_BYTES_MAX: usize = 4_096;

/// Why a text is no weights of a board.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsTextError {
    /// Longer than any board's slices need.
    #[error("the weights have {0} bytes, at most {TEXT_BYTES_MAX} are read")]
    TooLong(usize),
    /// A part is not `slice:weight`.
    #[error("{0:?} is not a slice and its weight, like low-light:2")]
    Part(String),
    /// No slice has this name.
    #[error("this board has no slice {0:?}; its slices are {1}")]
    Slice(String, String),
    /// A slice is named twice.
    #[error("slice {0:?} is weighted twice")]
    Twice(String),
    /// The numbers are no weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// Reads the text against a board's slices.
///
/// # Errors
/// [`WeightsTextError`] naming the part that cannot be read.
pub fn parse(text: &str, slices: &[String]) -> Result<Weights, WeightsTextError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(WeightsTextError::TooLong(text.len()));
    }
    let mut named: BTreeMap<&str, f64> = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let bad = || WeightsTextError::Part(part.to_owned());
        let (slice, weight) = part.rsplit_once(':').ok_or_else(bad)?;
        let (slice, weight) = (slice.trim(), weight.trim().parse::<f64>().map_err(|_| bad())?);
        if !slices.iter().any(|name| name == slice) {
            return Err(WeightsTextError::Slice(slice.to_owned(), slices.join(", ")));
        }
        if named.insert(slice, weight).is_some() {
            return Err(WeightsTextError::Twice(slice.to_owned()));
        }
    }
    if named.is_empty() {
        return Ok(Weights::equals(slices.len()));
    }
    let weight = |slice: &String| named.get(slice.as_str()).copied().unwrap_or(1.0);
    Ok(Weights::new(&slices.iter().map(weight).collect::<Vec<_>>())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices() -> Vec<String> {
        ["clean", "low-light", "blur"].map(str::to_owned).to_vec()
    }

    #[test]
    fn named_slices_get_their_weight_and_others_one() {
        let weights = parse(" low-light:2, blur:0 ", &slices()).unwrap();
        assert_eq!(weights, Weights::new(&[1.0, 2.0, 0.0]).unwrap());
        assert!(parse("", &slices()).unwrap().equal());
    }

    #[test]
    fn what_is_no_weight_is_named() {
        let error = |text: &str| parse(text, &slices()).unwrap_err();
        assert_eq!(error("blur"), WeightsTextError::Part("blur".into()));
        assert_eq!(error("blur:x"), WeightsTextError::Part("blur:x".into()));
        assert!(matches!(error("fog:1"), WeightsTextError::Slice(..)));
        assert_eq!(error("blur:1,blur:2"), WeightsTextError::Twice("blur".into()));
        assert!(matches!(error("blur:-1"), WeightsTextError::Weights(_)));
        assert!(matches!(error("blur:NaN"), WeightsTextError::Weights(_)));
        assert!(matches!(
            error("blur:0,clean:0,low-light:0"),
            WeightsTextError::Weights(_)
        ));
        assert!(matches!(
            error(&"x".repeat(5_000)),
            WeightsTextError::TooLong(5_000)
        ));
    }
}
