//! safetensors files: names, datatypes and shapes of the weights, out of the header.
//!
//! Layout: eight bytes of length (little endian), that many bytes of JSON by name of a tensor with `dtype`, `shape`
//! and `data_offsets`, then the values without gaps.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use serde::Deserialize;

use super::InspectError;

/// Longest header, as the format's own reader has it.
const HEADER_BYTES_MAX: u64 = 100_000_000;

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// One line about the weights in a file of `bytes` bytes.
pub(super) fn describe(mut source: impl Read, bytes: u64) -> Result<String, InspectError> {
    let format = |detail: String| InspectError::Format {
        format: "safetensors file",
        detail,
    };
    let mut length = [0; 8];
    source
        .read_exact(&mut length)
        .map_err(|_| format("it is shorter than its header".to_owned()))?;
    let length = u64::from_le_bytes(length);
    let values = bytes.checked_sub(8).and_then(|rest| rest.checked_sub(length));
    let Some(values) = values.filter(|_| length <= HEADER_BYTES_MAX) else {
        return Err(format(format!("it announces a header of {length} bytes")));
    };
    let mut header = Vec::new();
    source
        .take(length)
        .read_to_end(&mut header)
        .map_err(|error| format(error.to_string()))?;
    let mut entries: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&header).map_err(|error| format(error.to_string()))?;
    entries.remove("__metadata__");
    let (mut numbers, mut datatypes) = (0_u64, BTreeSet::new());
    for (name, entry) in &entries {
        let entry = Entry::deserialize(entry).map_err(|error| format(format!("tensor '{name}': {error}")))?;
        let (from, to) = entry.data_offsets;
        let count = entry
            .shape
            .iter()
            .try_fold(1_u64, |product, size| product.checked_mul(*size));
        let Some(count) = count.filter(|_| from <= to && to <= values) else {
            return Err(format(format!("tensor '{name}' lies outside of the file")));
        };
        numbers = numbers.saturating_add(count);
        datatypes.insert(entry.dtype);
    }
    let datatypes: Vec<String> = datatypes.into_iter().take(8).collect();
    Ok(format!(
        "{} tensors, {numbers} numbers, {}",
        entries.len(),
        datatypes.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, values: usize) -> Vec<u8> {
        [
            &(header.len() as u64).to_le_bytes()[..],
            header.as_bytes(),
            &vec![0; values],
        ]
        .concat()
    }

    #[test]
    fn weights_are_described_and_lies_are_found() {
        let header = r#"{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
        let bytes = file(header, 24);
        assert_eq!(
            describe(bytes.as_slice(), bytes.len() as u64).unwrap(),
            "1 tensors, 6 numbers, F32"
        );
        let short = file(header, 23);
        assert!(describe(short.as_slice(), short.len() as u64).is_err());
        let lying = u64::MAX.to_le_bytes();
        assert!(describe(lying.as_slice(), 8).is_err());
    }
}
