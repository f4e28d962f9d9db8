//! The reference file of a release (`drift.json`): how features were distributed when it was made.

use fieldmark_protocol::release::INPUT_BINS_MAX;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Calibration;

/// Most features of a reference.
pub const FEATURES_MAX: usize = 128;
/// Most bins of a feature.
pub const BINS_MAX: usize = 64;
/// Bins that a [`Collector`] makes: deciles.
const BINS: usize = 10;
/// Values of a feature that a [`Collector`] keeps; of later rows only these many first ones shape the bins.
const VALUES_MAX: usize = 100_000;

/// A reference file that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// Not JSON of this shape.
    #[error("the reference cannot be read: {0}")]
    Syntax(#[from] serde_json::Error),
    /// A feature that makes no sense.
    #[error("feature '{name}': {detail}")]
    Feature {
        /// The feature.
        name: String,
        /// What is wrong.
        detail: String,
    },
    /// Too many or no features.
    #[error("a reference has 1 to {FEATURES_MAX} features, this one {0}")]
    Count(usize),
    /// Calibration bins that do not match.
    #[error("calibration: {0}")]
    Calibration(String),
}

/// How one feature was distributed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    /// What is measured, for example `image.mean` or `confidence`.
    pub name: String,
    /// Borders between bins, strictly ascending; a value on a border belongs above it.
    pub edges: Vec<f64>,
    /// Rows in each bin: one more than edges.
    pub counts: Vec<u64>,
    /// Rows whose value is no finite number; they are in no bin.
    #[serde(default)]
    pub not_finite: u64,
}

impl Distribution {
    /// The bin of a value; nothing for a value that is no finite number.
    #[must_use]
    pub fn bin(&self, value: f64) -> Option<usize> {
        value
            .is_finite()
            .then(|| self.edges.partition_point(|edge| *edge <= value))
    }

    fn check(&self) -> Result<(), ReferenceError> {
        let fail = |detail: &str| {
            Err(ReferenceError::Feature {
                name: self.name.chars().take(128).collect(),
                detail: detail.to_owned(),
            })
        };
        if self.name.is_empty() || self.name.len() > 128 || self.name.chars().any(char::is_control) {
            return fail("a name has 1 to 128 bytes and no control characters");
        }
        if self.counts.len() != self.edges.len() + 1 || !(2..=BINS_MAX).contains(&self.counts.len()) {
            return fail("it needs 2 to 64 counts, one more than edges");
        }
        let ascending = self
            .edges
            .windows(2)
            .all(|pair| matches!(pair, [low, high] if low < high));
        if !ascending || self.edges.iter().any(|edge| !edge.is_finite()) {
            return fail("edges are finite and strictly ascending");
        }
        let total = self
            .counts
            .iter()
            .try_fold(0u64, |sum, count| sum.checked_add(*count));
        if !total.is_some_and(|total| (1..1 << 53).contains(&total)) {
            return fail("counts add up to between 1 and 2^53");
        }
        if self.not_finite >= 1 << 53 {
            return fail("not_finite is below 2^53");
        }
        Ok(())
    }
}

/// All features of a release, and how well its confidence was calibrated, where that is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The features, names unique.
    pub features: Vec<Distribution>,
    /// Right answers by confidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// How far its author's inputs lie from their middle ([`super::outlyingness`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlyingness: Option<Distribution>,
    /// Its author's records by answer, in the order of the release's labels; none for a model without labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<u64>,
}

impl Reference {
    /// Reads and checks a reference file.
    ///
    /// # Errors
    /// [`ReferenceError`] naming the feature.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let reference: Self = serde_json::from_str(text)?;
        if reference.features.is_empty() || reference.features.len() > FEATURES_MAX {
            return Err(ReferenceError::Count(reference.features.len()));
        }
        let mut names = std::collections::BTreeSet::new();
        for feature in &reference.features {
            feature.check()?;
            if !names.insert(&feature.name) {
                return Err(ReferenceError::Feature {
                    name: feature.name.clone(),
                    detail: "it is listed twice".to_owned(),
                });
            }
        }
        if let Some(outlyingness) = &reference.outlyingness {
            outlyingness.check()?;
            if outlyingness.counts.len() > INPUT_BINS_MAX {
                return Err(ReferenceError::Feature {
                    name: outlyingness.name.clone(),
                    detail: format!("it has at most {INPUT_BINS_MAX} bins"),
                });
            }
        }
        if let Some(calibration) = &reference.calibration {
            calibration.check().map_err(ReferenceError::Calibration)?;
        }
        Ok(reference)
    }
}

/// Makes a reference from the rows of an author's data.
#[derive(Debug, Clone)]
pub struct Collector {
    names: Vec<String>,
    values: Vec<Vec<f64>>,
    not_finite: Vec<u64>,
}

impl Collector {
    /// For features of these names, at most [`FEATURES_MAX`].
    #[must_use]
    pub fn new(names: Vec<String>) -> Self {
        Self {
            values: vec![Vec::new(); names.len()],
            not_finite: vec![0; names.len()],
            names,
        }
    }

    /// Takes one row: what each feature has in it, in order. Values that are no finite numbers are counted.
    pub fn add(&mut self, row: &[Option<f64>]) {
        let features = self.values.iter_mut().zip(&mut self.not_finite);
        for ((values, not_finite), value) in features.zip(row) {
            match value {
                Some(value) if !value.is_finite() => *not_finite += 1,
                Some(value) if values.len() < VALUES_MAX => values.push(*value),
                _ => {}
            }
        }
    }

    /// The distributions, binned at deciles; features that never vary are left out, because nothing could be
    /// told from them.
    #[must_use]
    pub fn finish(self, calibration: Option<Calibration>) -> Reference {
        let binned = self.names.into_iter().zip(self.values).zip(self.not_finite);
        Reference {
            features: binned
                .filter_map(|((name, values), not_finite)| distribution(name, values, not_finite))
                .collect(),
            calibration,
            outlyingness: None,
            answers: Vec::new(),
        }
    }
}

/// Counts as a release has them: divided until the largest fits.
#[must_use]
pub fn weights(counts: &[u64]) -> Vec<u32> {
    let most = counts.iter().copied().max().unwrap_or_default();
    let divisor = most.div_ceil(u32::MAX.into()).max(1);
    let weights = counts.iter().map(|count| u32::try_from(count / divisor));
    weights.map(Result::unwrap_or_default).collect()
}

/// Values in deciles; nothing if they never vary.
pub(super) fn distribution(name: String, mut values: Vec<f64>, not_finite: u64) -> Option<Distribution> {
    values.sort_by(f64::total_cmp);
    let least = *values.first()?;
    let at = |part: usize| values.get(values.len() * part / BINS).copied();
    let mut edges: Vec<f64> = (1..BINS).filter_map(at).filter(|edge| *edge > least).collect();
    edges.dedup();
    if edges.is_empty() {
        // More than nine tenths are the least value: one border above it.
        edges.push(values.iter().copied().find(|value| *value > least)?);
    }
    let mut found = Distribution {
        name,
        counts: vec![0; edges.len() + 1],
        edges,
        not_finite,
    };
    for value in &values {
        let bin = found.bin(*value)?;
        *found.counts.get_mut(bin)? += 1;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_deciles_and_survive_the_file() {
        let mut collector = Collector::new(vec!["x".into(), "constant".into(), "rare".into()]);
        for at in 0..1000 {
            collector.add(&[
                Some(f64::from(at)),
                Some(4.0),
                Some(if at == 7 { 1.0 } else { 0.0 }),
            ]);
        }
        collector.add(&[Some(f64::NAN), None, None]);
        let reference = collector.finish(None);
        let names: Vec<_> = reference.features.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["x", "rare"]);
        assert_eq!(reference.features[0].counts, vec![100; 10]);
        assert_eq!(reference.features[1].counts, vec![999, 1]);
        let not_finite: Vec<u64> = reference.features.iter().map(|f| f.not_finite).collect();
        assert_eq!(not_finite, [1, 0]);
        let text = serde_json::to_string(&reference).unwrap();
        assert_eq!(Reference::parse(&text).unwrap(), reference);
    }

    #[test]
    fn counts_of_any_size_become_weights() {
        assert_eq!(weights(&[7, 0, 3]), [7, 0, 3]);
        assert_eq!(weights(&[u32::MAX.into(), 1]), [u32::MAX, 1]);
        assert_eq!(weights(&[1 << 40, 1 << 39, 1]), [0xFF00_FF00, 0x7F80_7F80, 0]);
    }

    #[test]
    fn borders_are_the_same_numbers_after_the_file() {
        let edges: Vec<f64> = (1..255).map(|level| f64::from(level) / 255.0).collect();
        for chunk in edges.chunks(BINS_MAX - 1) {
            let feature = Distribution {
                name: "x".into(),
                edges: chunk.to_vec(),
                counts: vec![1; chunk.len() + 1],
                not_finite: 0,
            };
            let reference = Reference {
                features: vec![feature],
                calibration: None,
                outlyingness: None,
                answers: Vec::new(),
            };
            let text = serde_json::to_string_pretty(&reference).unwrap();
            assert_eq!(Reference::parse(&text).unwrap(), reference);
        }
        let old = r#"{"features": [{"name": "x", "edges": [1], "counts": [1, 1]}]}"#;
        assert_eq!(Reference::parse(old).unwrap().features[0].not_finite, 0);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (text, sign) in [
            (r#"{"features": []}"#, "1 to 128"),
            (
                r#"{"features": [{"name": "x", "edges": [1], "counts": [1]}]}"#,
                "one more",
            ),
            (
                r#"{"features": [{"name": "x", "edges": [2, 1], "counts": [1, 1, 1]}]}"#,
                "ascending",
            ),
            (
                r#"{"features": [{"name": "x", "edges": [1], "counts": [0, 0]}]}"#,
                "add up",
            ),
            (
                r#"{"features": [{"name": "x", "edges": [1], "counts": [1, 18446744073709551615]}]}"#,
                "add up",
            ),
            (r#"{"features": 1}"#, "cannot be read"),
            (
                r#"{"features": [{"name": "x", "edges": [1], "counts": [1, 1]}], "outlyingness": {"name": "o", "edges": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "counts": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]}}"#,
                "at most 10 bins",
            ),
            (
                r#"{"features": [{"name": "x", "edges": [1], "counts": [1, 1]}, {"name": "x", "edges": [1], "counts": [1, 1]}]}"#,
                "twice",
            ),
        ] {
            let error = Reference::parse(text).unwrap_err().to_string();
            assert!(error.contains(sign), "{error}");
        }
    }
}
