//! One row of a file: one view of one source record. The checks that do not depend on other rows, and
//! the form in which rows wait in a temporary file.

use std::path::Path;

use fieldmark_protocol::text;

use crate::error::{DataError, Place, shortened};
use crate::source::{Target, View};

/// Most bytes of a record's id.
const RECORD_ID_BYTES_MAX: usize = 256;
/// Most bytes of a label, as in a release, and of a group.
const LABEL_BYTES_MAX: usize = 128;

/// The slice of rows of a table without slices.
pub(crate) const CLEAN: &str = "clean";

/// One view of one record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) place: Place,
    pub(crate) record_id: String,
    pub(crate) slice: String,
    pub(crate) target: Target,
    pub(crate) group: Option<String>,
    /// In the order of the table's attributes.
    pub(crate) attributes: Vec<Option<String>>,
    pub(crate) view: View,
}

impl Row {
    /// Checks id, slice, label and group. Features are checked where they are parsed, where their column
    /// has a name.
    pub(crate) fn check(&self, path: &Path) -> Result<(), DataError> {
        let fail = |column: &str, found: &str, expected, fix| {
            let (path, column, found) = (path.to_owned(), column.into(), shortened(found).into());
            Err(DataError::Value {
                path,
                place: self.place,
                column,
                found,
                expected,
                fix,
            })
        };
        let id = &self.record_id;
        if id.is_empty() || text::free("a record id", id, RECORD_ID_BYTES_MAX).is_err() {
            let expected = "an id of 1 to 256 bytes without control characters";
            return fail("record_id", id, expected, "give every source record its own id");
        }
        if text::name("a slice's name", &self.slice).is_err() {
            let expected = "a name of 1 to 64 characters out of a-z, 0-9, '-', '_' and '.'";
            return fail("slice", &self.slice, expected, "rename the slice");
        }
        let is_name = |name: &str| !name.is_empty() && text::free("a label", name, LABEL_BYTES_MAX).is_ok();
        let expected = "1 to 128 bytes without control characters";
        if let Some(label) = self.target.class().filter(|label| !is_name(label)) {
            return fail("label", label, expected, "label the record or remove it");
        }
        match self.group.as_deref().filter(|group| !is_name(group)) {
            Some(group) => fail("group", group, expected, "shorten the group's name"),
            None => Ok(()),
        }
    }

    /// A hash of what all rows of a record must share: target, group and attributes.
    pub(crate) fn shared_hash(&self) -> [u8; 8] {
        let mut hasher = blake3::Hasher::new();
        let target = self.target.to_string();
        let parts = [Some(&target), self.group.as_ref()];
        for part in parts
            .into_iter()
            .chain(self.attributes.iter().map(Option::as_ref))
        {
            let length = part.map_or(u64::MAX, |text| text.len() as u64);
            hasher.update(&length.to_le_bytes());
            hasher.update(part.map_or(&[], |text| text.as_bytes()));
        }
        first(&hasher.finalize())
    }

    /// A hash of what a model sees and of the truth.
    pub(crate) fn content_hash(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.target.to_string().as_bytes());
        hasher.update(&[0]);
        match &self.view {
            View::Text(text) => {
                hasher.update(text.as_bytes());
            }
            View::Numbers(numbers) => {
                let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
                hasher.update(&bytes);
            }
        }
        first(&hasher.finalize())
    }
}

/// The first bytes of a hash.
pub(crate) fn first<const N: usize>(hash: &blake3::Hash) -> [u8; N] {
    hash.as_bytes().first_chunk::<N>().copied().unwrap_or([0; N])
}

/// Why a number is no feature; the caller knows path, place and column.
pub(crate) struct NoFeature {
    pub(crate) expected: &'static str,
    pub(crate) fix: &'static str,
}

/// Parses a feature of a CSV file.
pub(crate) fn feature_of_text(value: &str) -> Result<f32, NoFeature> {
    let expected = "a number";
    let trimmed = value.trim();
    if trimmed.is_empty() {
        return Err(NoFeature {
            expected,
            fix: "fill in the missing value, remove the record, or state what stands for it with --fill",
        });
    }
    let fix = "write it with digits and a decimal point, or remove the column or name it with --attributes";
    let number: f64 = trimmed.parse().map_err(|_| NoFeature { expected, fix })?;
    feature_of_number(number)
}

/// Takes a number as a feature if it is finite and in the range of 32-bit floats.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked, rounding is meant"
)]
pub(crate) fn feature_of_number(number: f64) -> Result<f32, NoFeature> {
    let narrow = number as f32;
    if !narrow.is_finite() {
        let expected = "a finite number of at most 3.4e38";
        return Err(NoFeature {
            expected,
            fix: "replace or remove the record",
        });
    }
    Ok(narrow)
}
