//! A sketch of what a dataset file holds, by which the node finds copies of a data source.
//!
//! Every view of every record counts by its values alone: a copy with other ids, labels or slices is still
//! a copy, and a file of clean views shares them with one that adds corrupted ones.

use fieldmark_fl::budget::RecordSketch;
use fieldmark_node_data::{DataError, DatasetFile, View};

/// Reads all records of a file; `secret` keys the corrupted views that are made while reading.
///
/// # Errors
/// The file can no longer be read as it was.
pub(crate) fn of(file: DatasetFile, secret: &[u8; 32]) -> Result<RecordSketch, DataError> {
    let mut sketch = RecordSketch::default();
    let mut content = Vec::new();
    for source in file.records_with(secret)? {
        for view in source?.views.values() {
            content.clear();
            match view {
                View::Numbers(numbers) => content.extend(numbers.iter().flat_map(|n| n.to_le_bytes())),
                View::Text(text) => content.extend_from_slice(text.as_bytes()),
            }
            sketch.insert(&content);
        }
    }
    Ok(sketch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketched(rows: &[(&str, &str, &str)]) -> RecordSketch {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.csv");
        let mut text = String::from("record_id,slice,label,a,b\n");
        for (id, slice, features) in rows {
            text.push_str(&format!("{id},{slice},x,{features}\n"));
        }
        std::fs::write(&path, text).unwrap();
        of(fieldmark_node_data::open(&path).unwrap(), &[0; 32]).unwrap()
    }

    #[test]
    fn renamed_records_and_added_views_are_still_copies() {
        let clean = sketched(&[("r1", "clean", "0.5,0.25"), ("r2", "clean", "0.125,1")]);
        let copy = sketched(&[
            ("p7", "clean", "0.125,1"),
            ("p7", "blur", "0.3,0.3"),
            ("p8", "clean", "0.5,0.25"),
            ("p8", "blur", "0.4,0.4"),
        ]);
        assert_eq!(clean.overlap(&copy).shared, 2);
        let other = sketched(&[("r1", "clean", "0.5,0.26"), ("r2", "clean", "0.126,1")]);
        assert_eq!(clean.overlap(&other).shared, 0);
    }
}
