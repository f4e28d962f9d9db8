//! How a dataset is read: what its columns mean, what may be in them, and which slices are made of it.

use serde::{Deserialize, Serialize};

use crate::source::TargetKind;

/// Most slices made by conditions.
pub const RULES_MAX: usize = 64;

/// Bounds that every feature must keep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// The least value.
    pub low: f32,
    /// The greatest value.
    pub high: f32,
}

/// The shape of an image; what is `None` is found out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageShape {
    /// Pixels in a row; by default that of the first image, or of a square.
    pub width: Option<usize>,
    /// Rows.
    pub height: Option<usize>,
    /// 1 for grey, 3 for colour; by default as the first image.
    pub channels: Option<usize>,
}

/// A slice of the records for which a condition holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceRule {
    /// Its name.
    pub slice: String,
    /// The condition, see [`crate::predicate`].
    pub condition: String,
}

/// A slice of corrupted views, made while the dataset is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorruptionRule {
    /// Its name.
    pub slice: String,
    /// Name of the operator, see [`fieldmark_fl::corrupt::Corruption`].
    pub operator: String,
    /// How much, 1 to 5.
    pub severity: u8,
}

/// How a dataset is read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadOptions {
    /// What a label is.
    pub target: TargetKind,
    /// Columns that are no features, beside those called `attr.…`.
    pub attributes: Vec<String>,
    /// Labels there may be; empty: any.
    pub labels: Vec<String>,
    /// Bounds of the features. Images are scaled to it (by default 0 to 1).
    pub range: Option<Range>,
    /// What stands for a missing feature; `None`: a missing feature is an error.
    pub fill: Option<f32>,
    /// Shape of the images.
    pub image: ImageShape,
    /// The slice of which others are made; by default `clean`, or the only one.
    pub base: Option<String>,
    /// Slices by condition, at most [`RULES_MAX`].
    pub slices: Vec<SliceRule>,
    /// Slices of corrupted views, at most [`RULES_MAX`].
    pub corruptions: Vec<CorruptionRule>,
    /// Bytes of memory for sorting while a file is checked; 0: 64 MiB. More goes to a temporary file.
    #[serde(skip)]
    pub sort_bytes: usize,
}

impl ReadOptions {
    /// Bytes of memory for sorting.
    pub(crate) fn sort_bytes(&self) -> usize {
        if self.sort_bytes == 0 {
            64 << 20
        } else {
            self.sort_bytes
        }
    }
}
