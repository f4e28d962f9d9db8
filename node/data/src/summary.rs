//! What a dataset holds, as it is told and kept.

use serde::{Deserialize, Serialize};

use crate::source::TargetKind;

/// What a dataset holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Source records.
    pub records: u64,
    /// Rows: views of records.
    pub rows: u64,
    /// Slices, those in the file and those made of them, sorted.
    pub slices: Vec<String>,
    /// Records with a view in each of the slices, in their order.
    pub slice_records: Vec<u64>,
    /// Slices in the file, sorted.
    pub file_slices: Vec<String>,
    /// Features of each row; 0 when views are texts.
    pub features: u64,
    /// Whether views are texts.
    pub text: bool,
    /// What a label is.
    pub target: TargetKind,
    /// Labels found, sorted; none when labels are numbers.
    pub labels: Vec<String>,
    /// Groups found, sorted.
    pub groups: Vec<String>,
    /// Width, height and channels of images in a folder.
    pub image: Option<[usize; 3]>,
    /// BLAKE3 of the content, in hex.
    pub version: String,
}
