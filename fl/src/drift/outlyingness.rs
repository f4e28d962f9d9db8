//! How far an input lies from the middle of its author's data: one number for all of its features, so that one small
//! table tells of their drift, however many they are.
//!
//! With counts c of a feature's bins, n their sum and b the bin of its value, F = (Σ_{i<b} c_i + c_b/2)/n is the value's
//! place among the author's, and |2F − 1| how far from the middle that is: 0 at the median, near 1 at both ends. A value
//! that is no finite number has 1. The outlyingness of an input is the mean over its features. One minus it is the
//! integrated depth of Cuevas and Fraiman ("On depth measures and dual statistics", 2009), with the half-space depth in
//! each coordinate.
//!
//! Not seen: features that move towards the middle as others move away, and drift of one feature given another.

use super::reference::distribution;
use super::{Distribution, Reference};

/// Name of the distribution in a reference file.
const NAME: &str = "outlyingness";

/// Places inputs in the data of a release's author.
#[derive(Debug, Clone)]
pub struct Outlyingness {
    features: Vec<Distribution>,
    bins: Option<Distribution>,
}

impl Outlyingness {
    /// By those features of a reference that are of inputs; nothing if none is.
    #[must_use]
    pub fn new(reference: &Reference, is_input: impl Fn(&str) -> bool) -> Option<Self> {
        let of_inputs = reference
            .features
            .iter()
            .filter(|feature| is_input(&feature.name));
        let features: Vec<Distribution> = of_inputs.cloned().collect();
        (!features.is_empty()).then(|| Self {
            features,
            bins: reference.outlyingness.clone(),
        })
    }

    /// The features looked at, in the order in which rows have them.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.features.iter().map(|feature| feature.name.clone()).collect()
    }

    /// The outlyingness of a row, 0 to 1; nothing for a row that has none of the features.
    #[must_use]
    pub fn of(&self, row: &[Option<f64>]) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0u32);
        for (feature, value) in self.features.iter().zip(row) {
            if let Some(value) = value {
                sum += from_the_middle(feature, *value);
                count += 1;
            }
        }
        (count > 0).then(|| sum / f64::from(count))
    }

    /// The bin of the reference that a row falls into, from 0; nothing where the reference has none.
    #[must_use]
    pub fn bin(&self, row: &[Option<f64>]) -> Option<u16> {
        let bin = self.bins.as_ref()?.bin(self.of(row)?)?;
        u16::try_from(bin).ok()
    }

    /// How the author's own rows are distributed, in deciles; nothing if all lie equally far out.
    #[must_use]
    pub fn distribution(&self, rows: &[Vec<Option<f64>>]) -> Option<Distribution> {
        let values = rows.iter().filter_map(|row| self.of(row)).collect();
        distribution(NAME.to_owned(), values, 0)
    }
}

/// |2F − 1|.
fn from_the_middle(feature: &Distribution, value: f64) -> f64 {
    let Some(bin) = feature.bin(value) else {
        return 1.0;
    };
    let total = |counts: &[u64]| counts.iter().sum::<u64>() as f64;
    let below = total(feature.counts.get(..bin).unwrap_or_default());
    let own = feature.counts.get(bin).copied().unwrap_or_default() as f64;
    (2.0 * (below + own / 2.0) / total(&feature.counts) - 1.0).abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::Collector;

    /// Two features of 1,000 rows, and an answer.
    fn author() -> (Outlyingness, Vec<Vec<Option<f64>>>) {
        let mut collector = Collector::new(vec!["a".into(), "b".into(), "answer".into()]);
        let rows: Vec<Vec<Option<f64>>> = (0..1000u32)
            .map(|at| vec![Some(f64::from(at)), Some(f64::from(at * 7 % 1000))])
            .collect();
        for row in &rows {
            collector.add(&[row[0], row[1], Some(f64::from(u8::from(row[0] > Some(3.0))))]);
        }
        let mut reference = collector.finish(None);
        let is_input = |name: &str| name != "answer";
        let outlyingness = Outlyingness::new(&reference, is_input).unwrap();
        assert_eq!(outlyingness.bin(&rows[0]), None);
        reference.outlyingness = outlyingness.distribution(&rows);
        (Outlyingness::new(&reference, is_input).unwrap(), rows)
    }

    #[test]
    fn the_middle_has_little_and_both_ends_much() {
        let (outlyingness, _) = author();
        assert_eq!(outlyingness.names(), ["a", "b"]);
        let of = |a: f64, b: f64| outlyingness.of(&[Some(a), Some(b)]).unwrap();
        for (found, expected) in [
            (of(500.0, 499.0), 0.1),
            (of(-1e9, 1e9), 0.9),
            (of(0.0, 500.0), 0.5),
            (of(f64::NAN, 0.0), 0.95),
        ] {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert_eq!(outlyingness.of(&[None, None]), None);
        assert!((outlyingness.of(&[None, Some(0.0)]).unwrap() - 0.9).abs() < 1e-12);
    }

    #[test]
    fn the_author_s_rows_fill_its_bins_and_shifted_ones_the_last() {
        let (outlyingness, rows) = author();
        let bins = outlyingness.bins.clone().unwrap();
        assert!((5..=10).contains(&bins.counts.len()) && bins.counts.iter().sum::<u64>() == 1000);
        let mut counts = vec![0; bins.counts.len()];
        for row in &rows {
            counts[usize::from(outlyingness.bin(row).unwrap())] += 1;
        }
        assert_eq!(counts, bins.counts);
        let shifted = [Some(2000.0), Some(-2000.0)];
        assert_eq!(usize::from(outlyingness.bin(&shifted).unwrap()), counts.len() - 1);
    }

    #[test]
    fn a_model_without_features_of_inputs_has_none() {
        let (outlyingness, _) = author();
        let reference = Reference {
            features: outlyingness.features,
            outlyingness: None,
            calibration: None,
            answers: Vec::new(),
        };
        assert!(Outlyingness::new(&reference, |_| false).is_none());
    }
}
