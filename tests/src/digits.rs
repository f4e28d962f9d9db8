//! The handwritten digits, dealt to those who hold them: nothing is dealt twice.

use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::GzDecoder;

use crate::random::Random;

/// Side of an image in pixels.
pub const SIDE: usize = 8;
/// Largest value of a pixel.
pub const PIXEL_MAX: u32 = 16;
/// Number of classes.
pub const LABELS: u32 = 10;

const PIXELS: usize = SIDE * SIDE;
/// No honest version of the file comes near; bounds what is unpacked.
const BYTES_MAX: u64 = 4 << 20;

/// One image as the file has it.
#[derive(Debug, Clone)]
struct Image {
    row: usize,
    pixels: String,
    label: String,
}

/// Images with their labels and the rows they were found in.
#[derive(Debug, Clone)]
pub struct Digits {
    images: Vec<Image>,
}

impl Digits {
    /// Reads `digits.csv.gz`: 64 pixels and a label per row, no header.
    ///
    /// # Errors
    /// When the file is not there or holds something else.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path)
            .with_context(|| format!("cannot open {}: run `cargo xtask setup`", path.display()))?;
        let mut text = String::new();
        let unpacked = GzDecoder::new(file).take(BYTES_MAX).read_to_string(&mut text);
        unpacked.with_context(|| format!("cannot unpack {}", path.display()))?;
        let images = text
            .lines()
            .enumerate()
            .map(|(row, line)| Image::parse(row, line));
        let images = images
            .collect::<Result<_>>()
            .with_context(|| format!("in {}", path.display()))?;
        Ok(Self { images })
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Deals the images of `rows` into `hands` hands of `each`, in an order that the seed decides.
    ///
    /// # Errors
    /// When there are too few.
    pub fn deal(&self, rows: Range<usize>, hands: usize, each: usize, seed: u64) -> Result<Vec<Self>> {
        let Some(images) = self.images.get(rows.clone()) else {
            bail!("rows {rows:?} are asked for, there are {}", self.len());
        };
        ensure!(
            hands * each <= images.len(),
            "{hands} hands of {each} are asked for, there are {}",
            images.len()
        );
        let mut images = images.to_vec();
        Random::new(seed, "deal").shuffle(&mut images);
        Ok(images
            .chunks(each.max(1))
            .take(hands)
            .map(|hand| Self {
                images: hand.to_vec(),
            })
            .collect())
    }

    /// Writes a CSV file of clean images, as `fieldmark dataset views` reads it.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let failed = || format!("cannot write {}", path.display());
        let mut out = BufWriter::new(File::create_new(path).with_context(failed)?);
        let header: Vec<String> = (0..PIXELS).map(|pixel| format!("x{pixel}")).collect();
        writeln!(out, "record_id,label,{}", header.join(",")).with_context(failed)?;
        for Image { row, pixels, label } in &self.images {
            writeln!(out, "digits-{row},{label},{pixels}").with_context(failed)?;
        }
        out.flush().with_context(failed)
    }
}

impl Image {
    fn parse(row: usize, line: &str) -> Result<Self> {
        let (pixels, label) = line
            .rsplit_once(',')
            .with_context(|| format!("row {row} has one column"))?;
        let found = pixels.split(',').count();
        ensure!(found == PIXELS, "row {row} has {found} pixels, expected {PIXELS}");
        Ok(Self {
            row,
            pixels: pixels.to_owned(),
            label: label.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn digits(count: usize) -> Digits {
        let line = format!("{},7", vec!["16"; PIXELS].join(","));
        Digits {
            images: (0..count).map(|row| Image::parse(row, &line).unwrap()).collect(),
        }
    }

    #[test]
    fn no_image_is_dealt_twice() {
        let hands = digits(100).deal(40..100, 5, 12, 1).unwrap();
        let rows: BTreeSet<usize> = hands
            .iter()
            .flat_map(|hand| hand.images.iter().map(|i| i.row))
            .collect();
        assert!(rows.into_iter().eq(40..100));
        assert!(digits(100).deal(40..100, 5, 13, 1).is_err());
        assert!(digits(100).deal(40..101, 5, 12, 1).is_err());
    }

    #[test]
    fn a_hand_is_written_with_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hand.csv");
        digits(3).write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("record_id,label,x0,x1,"));
        assert!(text.lines().nth(3).unwrap().starts_with("digits-2,7,16,"));
        assert!(digits(3).write(&path).is_err());
    }
}
