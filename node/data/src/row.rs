//! One row of a file: one view of one source record. The checks that do not depend on other rows.

use std::path::Path;

use fieldmark_protocol::text;

use crate::error::{DataError, Place, shortened};

/// Most bytes of a record's id.
const RECORD_ID_BYTES_MAX: usize = 256;
/// Most bytes of a label, as in a release.
const LABEL_BYTES_MAX: usize = 128;

/// One view of one record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) place: Place,
    /// Where to read it again: a byte offset of a CSV file, a row of an array.
    pub(crate) locator: u64,
    pub(crate) record_id: String,
    pub(crate) slice: String,
    pub(crate) label: String,
    pub(crate) features: Vec<f32>,
}

impl Row {
    /// Checks id, slice and label. Features are checked where they are parsed, where their column has a
    /// name.
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
        if self.label.is_empty() || text::free("a label", &self.label, LABEL_BYTES_MAX).is_err() {
            let expected = "a label of 1 to 128 bytes without control characters";
            return fail("label", &self.label, expected, "label the record or remove it");
        }
        Ok(())
    }
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
            fix: "fill in the missing value or remove the record",
        });
    }
    let fix = "write it with digits and a decimal point, or remove the column";
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
