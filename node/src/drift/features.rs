//! Which numbers are taken from a request and its answer, row by row.
//!
//! | tensor | features |
//! | --- | --- |
//! | a number a row | `name` |
//! | up to 16 numbers a row | `name[0]`, `name[1]`, … |
//! | more | `name.mean`, `name.deviation`, `name.least`, `name.most` |
//! | texts | `name.bytes`, the text's length |
//! | the first output, where the model has labels | also `confidence`, the highest probability, and `answer`, its class |
//!
//! Names are unique: the first feature of a name keeps it; a further one of the outputs begins with `output `, one of the
//! inputs is left out.
//!
//! A row is an entry along the first dimension where that is free (-1), else the whole tensor. Probabilities
//! are the softmax of the scores, or the scores where those are probabilities already.

use std::collections::BTreeSet;

use fieldmark_fl::drift::reference::FEATURES_MAX;
use fieldmark_serving::{Tensor, TensorSpec};
use fieldmark_tensors::{Elements, numbers};

/// Most values of a row that are features of their own.
const SINGLE_MAX: usize = 16;
/// Largest tensor that is looked at: it is copied for it.
const BYTES_MAX: usize = 8 << 20;
/// How far from 1 the sum of scores may be that are probabilities.
const SUM_TOLERANCE: f64 = 1e-3;

/// What one feature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Value(usize),
    Mean,
    Deviation,
    Least,
    Most,
    Length,
    Confidence,
    Answer,
}

#[derive(Debug, Clone)]
struct Feature {
    name: String,
    tensor: String,
    of_output: bool,
    /// Whether rows lie along the first dimension.
    by_row: bool,
    kind: Kind,
}

/// The features of a model's tensors.
#[derive(Debug, Clone)]
pub struct Features {
    list: Vec<Feature>,
}

impl Features {
    /// Those of these inputs and outputs, for a model with so many labels; at most as many as a reference holds.
    #[must_use]
    pub fn new(inputs: &[TensorSpec], outputs: &[TensorSpec], labels: usize) -> Self {
        let mut list = Vec::new();
        if let Some(scores) = outputs.first().filter(|_| labels > 1) {
            for (name, kind) in [("confidence", Kind::Confidence), ("answer", Kind::Answer)] {
                list.push(Feature::new(scores, true, name.to_owned(), kind));
            }
        }
        for (specs, of_output) in [(inputs, false), (outputs, true)] {
            specs
                .iter()
                .for_each(|spec| of_tensor(spec, of_output, &mut list));
        }
        Self {
            list: with_unique_names(list),
        }
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.list.iter().map(|feature| feature.name.clone()).collect()
    }

    /// Whether a feature of this name is one of the inputs.
    #[must_use]
    pub fn is_input(&self, name: &str) -> bool {
        let named = |feature: &&Feature| feature.name == name;
        self.list
            .iter()
            .find(named)
            .is_some_and(|feature| !feature.of_output)
    }

    /// Those of these names, in their order; one that the tensors do not have stays without a value.
    #[must_use]
    pub fn selected(&self, names: &[String]) -> Self {
        let of = |name: &String| {
            let found = self.list.iter().find(|feature| feature.name == *name).cloned();
            found.unwrap_or_else(|| Feature {
                name: name.clone(),
                tensor: String::new(),
                of_output: false,
                by_row: false,
                kind: Kind::Mean,
            })
        };
        Self {
            list: names.iter().map(of).collect(),
        }
    }

    /// The features of each row, at most `rows_max` of them; nothing for what a row has not.
    #[must_use]
    pub fn rows(&self, inputs: &[Tensor], outputs: &[Tensor], rows_max: usize) -> Vec<Vec<Option<f64>>> {
        let rows = inputs
            .iter()
            .chain(outputs)
            .filter_map(|tensor| tensor.shape.first());
        let by_row = self.list.iter().any(|feature| feature.by_row);
        let rows = if by_row {
            rows.copied().max().unwrap_or(1)
        } else {
            1
        };
        let rows = usize::try_from(rows).unwrap_or(0).min(rows_max);
        let (inputs, outputs) = (looked_at(inputs), looked_at(outputs));
        let columns: Vec<Vec<f64>> = self
            .list
            .iter()
            .map(|feature| feature.column(if feature.of_output { &outputs } else { &inputs }, rows))
            .collect();
        let at = |row: usize| columns.iter().map(|column| column.get(row).copied()).collect();
        (0..rows).map(at).collect()
    }
}

/// Rows in parts that are looked at where each comes as one tensor: of at most `most` rows, and few enough bytes.
pub fn parts<R>(rows: &[R], bytes: impl Fn(&R) -> usize, most: usize) -> Vec<&[R]> {
    let (mut parts, mut left) = (Vec::new(), rows);
    while !left.is_empty() {
        let mut sum = 0usize;
        let fits = left.iter().take(most).take_while(|row| {
            // Texts have a length each.
            sum = sum.saturating_add(bytes(row)).saturating_add(size_of::<u32>());
            sum <= BYTES_MAX
        });
        let (part, rest) = left.split_at(fits.count().clamp(1, left.len()));
        parts.push(part);
        left = rest;
    }
    parts
}

/// One feature of each name, as a reference has them.
fn with_unique_names(list: Vec<Feature>) -> Vec<Feature> {
    let mut names = BTreeSet::new();
    let renamed = list.into_iter().filter_map(|mut feature| {
        if names.contains(&feature.name) && feature.of_output {
            feature.name = format!("output {}", feature.name);
        }
        names.insert(feature.name.clone()).then_some(feature)
    });
    renamed.take(FEATURES_MAX).collect()
}

/// Tensors with their elements in memory; those that are too large are left out.
fn looked_at(tensors: &[Tensor]) -> Vec<(&Tensor, Elements)> {
    let small = tensors
        .iter()
        .filter(|tensor| tensor.content.bytes() <= BYTES_MAX);
    small.map(|tensor| (tensor, tensor.elements())).collect()
}

fn of_tensor(spec: &TensorSpec, of_output: bool, list: &mut Vec<Feature>) {
    let mut push = |suffix: &str, kind| {
        list.push(Feature::new(
            spec,
            of_output,
            format!("{}{suffix}", spec.name),
            kind,
        ));
    };
    if spec.datatype == "BYTES" {
        return push(".bytes", Kind::Length);
    }
    let inner = if spec.shape.first() == Some(&-1) {
        spec.shape.get(1..)
    } else {
        Some(spec.shape.as_slice())
    };
    let width = inner.unwrap_or_default().iter().try_fold(1usize, |width, size| {
        width.checked_mul(usize::try_from(*size).ok()?)
    });
    match width {
        Some(1) => push("", Kind::Value(0)),
        Some(width) if width <= SINGLE_MAX => {
            (0..width).for_each(|at| push(&format!("[{at}]"), Kind::Value(at)))
        }
        _ => {
            push(".mean", Kind::Mean);
            push(".deviation", Kind::Deviation);
            push(".least", Kind::Least);
            push(".most", Kind::Most);
        }
    }
}

impl Feature {
    fn new(spec: &TensorSpec, of_output: bool, name: String, kind: Kind) -> Self {
        Self {
            name,
            tensor: spec.name.clone(),
            of_output,
            by_row: spec.shape.first() == Some(&-1),
            kind,
        }
    }

    fn column(&self, tensors: &[(&Tensor, Elements)], rows: usize) -> Vec<f64> {
        let Some((tensor, elements)) = tensors.iter().find(|(tensor, _)| tensor.name == self.tensor) else {
            return Vec::new();
        };
        let total = match tensor.shape.first() {
            Some(first) if self.by_row => usize::try_from(*first).unwrap_or(0),
            _ => 1,
        };
        let bytes = match elements {
            Elements::Texts(texts) => return texts.iter().take(rows).map(|text| text.len() as f64).collect(),
            Elements::Dense(bytes) => bytes,
        };
        let row_bytes = bytes.len().checked_div(total).unwrap_or(0);
        if row_bytes == 0 {
            return Vec::new();
        }
        let looked_at = bytes.chunks_exact(row_bytes).take(rows);
        looked_at
            .map(|row| self.value(&numbers(tensor.datatype, row)))
            .collect()
    }

    fn value(&self, row: &[f64]) -> f64 {
        let mean = || row.iter().sum::<f64>() / row.len() as f64;
        match self.kind {
            Kind::Value(at) => row.get(at).copied().unwrap_or(f64::NAN),
            Kind::Mean => mean(),
            Kind::Deviation => {
                let mean = mean();
                (row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / row.len() as f64).sqrt()
            }
            // A value that is no number makes the whole row none.
            Kind::Least => row.iter().fold(f64::INFINITY, |least, value| {
                if value.is_nan() {
                    f64::NAN
                } else {
                    least.min(*value)
                }
            }),
            Kind::Most => row.iter().fold(f64::NEG_INFINITY, |most, value| {
                if value.is_nan() {
                    f64::NAN
                } else {
                    most.max(*value)
                }
            }),
            Kind::Confidence => confidence(row),
            Kind::Answer => highest(row).map_or(f64::NAN, |(class, _)| class as f64),
            Kind::Length => f64::NAN,
        }
    }
}

/// The class with the highest score, the first of equals; nothing if one is no number.
fn highest(scores: &[f64]) -> Option<(usize, f64)> {
    if scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let indexed = scores.iter().copied().enumerate();
    indexed.reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// The highest probability.
fn confidence(scores: &[f64]) -> f64 {
    let Some((_, most)) = highest(scores) else {
        return f64::NAN;
    };
    let are_probabilities =
        scores.iter().all(|score| *score >= 0.0) && (scores.iter().sum::<f64>() - 1.0).abs() < SUM_TOLERANCE;
    if are_probabilities {
        return most;
    }
    1.0 / scores.iter().map(|score| (score - most).exp()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldmark_serving::Content;
    use fieldmark_tensors::Datatype;

    fn spec(name: &str, datatype: &str, shape: &[i64]) -> TensorSpec {
        TensorSpec {
            name: name.into(),
            datatype: datatype.into(),
            shape: shape.into(),
        }
    }

    fn tensor(name: &str, shape: &[i64], values: &[f32]) -> Tensor {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Tensor {
            name: name.into(),
            datatype: Datatype::Fp32,
            shape: shape.into(),
            content: Content::Inline(bytes.into()),
        }
    }

    #[test]
    fn parts_are_as_long_as_is_looked_at() {
        let lengths = |rows: &[usize], most| -> Vec<usize> {
            let parts = parts(rows, |bytes| *bytes, most);
            assert_eq!(parts.concat(), rows);
            parts.iter().map(|part| part.len()).collect()
        };
        assert_eq!(lengths(&[1; 7], 3), [3, 3, 1]);
        let half = BYTES_MAX / 2 - size_of::<u32>();
        assert_eq!(lengths(&[half, half, 1, half], 9), [2, 2]);
        assert_eq!(lengths(&[1, usize::MAX, 1], 9), [1, 1, 1]);
        assert!(lengths(&[], 9).is_empty());
    }

    #[test]
    fn rows_have_the_features_of_their_tensors() {
        let inputs = [
            spec("few", "FP32", &[-1, 2]),
            spec("many", "FP32", &[-1, 20]),
            spec("text", "BYTES", &[-1]),
        ];
        let outputs = [spec("scores", "FP32", &[-1, 3])];
        let features = Features::new(&inputs, &outputs, 3);
        let names = features.names();
        assert_eq!(names[..4], ["confidence", "answer", "few[0]", "few[1]"]);
        assert_eq!(
            names[4..9],
            [
                "many.mean",
                "many.deviation",
                "many.least",
                "many.most",
                "text.bytes"
            ]
        );
        let text = Tensor {
            name: "text".into(),
            datatype: Datatype::Bytes,
            shape: vec![2],
            content: Content::Texts(vec!["über".into(), "".into()]),
        };
        let many: Vec<f32> = [vec![1.0; 20], vec![f32::NAN; 20]].concat();
        let given = [
            tensor("few", &[2, 2], &[1.0, 2.0, 3.0, 4.0]),
            tensor("many", &[2, 20], &many),
            text,
        ];
        let answers = [tensor("scores", &[2, 3], &[0.0, 0.0, 50.0, 0.2, 0.7, 0.1])];
        let rows = features.rows(&given, &answers, 10);
        let first = [1.0, 2.0, 1.0, 2.0, 1.0, 0.0, 1.0, 1.0, 5.0];
        assert_eq!(rows[0][..9], first.map(Some));
        let second = |at: usize| rows[1][at].unwrap();
        assert!((second(0) - 0.7).abs() < 1e-6 && second(1) == 1.0);
        assert!(second(4).is_nan() && second(6).is_nan() && second(8) == 0.0);
        assert_eq!(features.rows(&given, &answers, 1).len(), 1);
    }

    #[test]
    fn a_feature_that_the_model_lacks_has_no_value() {
        let features = Features::new(&[spec("x", "FP32", &[-1])], &[], 0);
        let chosen = features.selected(&["gone".into(), "x".into()]);
        let rows = chosen.rows(&[tensor("x", &[1], &[4.0])], &[], 10);
        assert_eq!(rows[0], [None, Some(4.0)]);
    }

    #[test]
    fn features_of_equal_names_are_told_apart() {
        let inputs = [spec("x", "FP32", &[-1]), spec("answer", "FP32", &[-1])];
        let outputs = [spec("x", "FP32", &[-1, 3]), spec("answer", "FP32", &[-1])];
        let features = Features::new(&inputs, &outputs, 3);
        let names = [
            "confidence",
            "answer",
            "x",
            "x[0]",
            "x[1]",
            "x[2]",
            "output answer",
        ];
        assert_eq!(features.names(), names);
        let alike = [spec("x", "FP32", &[-1])];
        let features = Features::new(&alike, &alike, 0);
        assert_eq!(features.names(), ["x", "output x"]);
        let rows = features.rows(&[tensor("x", &[1], &[4.0])], &[tensor("x", &[1], &[5.0])], 10);
        assert_eq!(rows[0], [Some(4.0), Some(5.0)]);
    }
}
