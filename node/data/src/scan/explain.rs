//! Errors about two rows, told with what the rows say.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::{DataError, shortened};
use crate::format;
use crate::options::ReadOptions;
use crate::row::Row;

/// Fills the errors about two rows with what the rows say, which takes another pass.
pub(super) fn explained(
    mut errors: Vec<DataError>,
    found: &[(u64, u64)],
    path: &Path,
    options: &ReadOptions,
) -> Result<Vec<DataError>, DataError> {
    if found.is_empty() {
        return Ok(errors);
    }
    let wanted: BTreeSet<u64> = found.iter().flat_map(|(row, first)| [*row, *first]).collect();
    let rows = format::rows_at(path, options, &wanted)?;
    let mut found = found.iter();
    for error in &mut errors {
        let DataError::Duplicate {
            place,
            first,
            record,
            slice,
            ..
        } = error
        else {
            continue;
        };
        let pair = found
            .next()
            .and_then(|(row, first)| Some((rows.get(row)?, rows.get(first)?)));
        let Some((later, earlier)) = pair else {
            continue;
        };
        *record = shortened(&later.record_id);
        if slice.is_empty() {
            let (column, found, expected) = difference(later, earlier);
            *error = DataError::Label {
                path: path.to_owned(),
                place: *place,
                first: *first,
                record: shortened(&later.record_id).into(),
                column,
                found: found.into(),
                expected: expected.into(),
            };
        }
    }
    Ok(errors)
}

fn difference(later: &Row, earlier: &Row) -> (Box<str>, String, String) {
    let text = |value: Option<&String>| value.map(|v| shortened(v)).unwrap_or_default();
    if later.target != earlier.target {
        let of = |row: &Row| shortened(&row.target.to_string());
        return ("label".into(), of(later), of(earlier));
    }
    if later.group != earlier.group {
        return (
            "group".into(),
            text(later.group.as_ref()),
            text(earlier.group.as_ref()),
        );
    }
    let mut pairs = later.attributes.iter().zip(&earlier.attributes).enumerate();
    match pairs.find(|(_, (a, b))| a != b) {
        Some((at, (a, b))) => (
            format!("attribute {}", at + 1).into(),
            text(a.as_ref()),
            text(b.as_ref()),
        ),
        None => ("label".into(), String::new(), String::new()),
    }
}
