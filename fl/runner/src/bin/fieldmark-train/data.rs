//! Reads digits from CSV and picks rows of them.

use anyhow::{Context, Result, bail, ensure};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;
use tch::Tensor;

/// Pixels of one image.
pub(crate) const PIXELS: usize = 64;
/// Largest value of a pixel.
pub(crate) const PIXEL_MAX: f32 = 16.0;
/// Number of classes.
pub(crate) const CLASSES: i64 = 10;

/// A range of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    first: usize,
    end: usize,
}

impl Rows {
    /// Whether any row is in both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.first < other.end && other.first < self.end
    }
}

impl FromStr for Rows {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (first, end) = text
            .split_once("..")
            .context("rows are written FIRST..END, for example 0..1000")?;
        let (first, end) = (first.parse()?, end.parse()?);
        ensure!(first < end, "the range {text} is empty");
        Ok(Self { first, end })
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.end)
    }
}

/// Images and their labels, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Digits {
    pixels: Vec<f32>,
    labels: Vec<i64>,
}

impl Digits {
    /// Reads the whole file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let content: Box<dyn Read> = if path.extension().is_some_and(|extension| extension == "gz") {
            Box::new(flate2::read::GzDecoder::new(file))
        } else {
            Box::new(file)
        };
        Self::parse(content).with_context(|| format!("reading {}", path.display()))
    }

    fn parse(content: impl Read) -> Result<Self> {
        let mut digits = Self::default();
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(content);
        for (row, record) in reader.records().enumerate() {
            let record = record?;
            let values: Vec<f32> = record
                .iter()
                .map(|field| {
                    field
                        .trim()
                        .parse()
                        .with_context(|| format!("row {row}: {field:?} is no number"))
                })
                .collect::<Result<_>>()?;
            let Some((label, pixels)) = values.split_last().filter(|(_, pixels)| pixels.len() == PIXELS)
            else {
                bail!("row {row} has {} columns, {} expected", values.len(), PIXELS + 1);
            };
            let known = pixels.iter().all(|pixel| (0.0..=PIXEL_MAX).contains(pixel));
            ensure!(known, "row {row} has a pixel outside 0 to {PIXEL_MAX}");
            let label = (0..CLASSES)
                .zip(0_u8..)
                .find(|(_, class)| f32::from(*class) == *label);
            let (label, _) = label.with_context(|| format!("row {row}: the label is none of 0 to 9"))?;
            digits.pixels.extend_from_slice(pixels);
            digits.labels.push(label);
        }
        Ok(digits)
    }

    /// The rows of a range.
    pub(crate) fn select(&self, rows: &Rows) -> Result<Self> {
        let available = self.labels.len();
        let labels = self.labels.get(rows.first..rows.end);
        let pixels = self
            .pixels
            .get(rows.first * PIXELS..rows.end.saturating_mul(PIXELS));
        match (labels, pixels) {
            (Some(labels), Some(pixels)) => Ok(Self {
                pixels: pixels.to_vec(),
                labels: labels.to_vec(),
            }),
            _ => bail!("rows {rows} are asked for, the file has {available}"),
        }
    }

    /// Pixels of the first image.
    pub(crate) fn first(&self) -> Result<&[f32]> {
        self.pixels.get(..PIXELS).context("no rows")
    }

    /// Number of images.
    pub(crate) fn len(&self) -> Result<i64> {
        Ok(i64::try_from(self.labels.len())?)
    }

    /// Images, shape [rows, 64], values 0 to 16.
    pub(crate) fn images(&self) -> Result<Tensor> {
        Ok(Tensor::from_slice(&self.pixels).f_reshape([-1, i64::try_from(PIXELS)?])?)
    }

    /// Labels, shape [rows].
    pub(crate) fn labels(&self) -> Tensor {
        Tensor::from_slice(&self.labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pixel: &str, label: &str) -> String {
        format!("{},{label}\n", vec![pixel; PIXELS].join(","))
    }

    #[test]
    fn rows_are_read_and_picked() {
        let text = row("0.0", "3") + &row("16", "9");
        let digits = Digits::parse(text.as_bytes()).unwrap();
        let second = digits.select(&"1..2".parse().unwrap()).unwrap();
        assert_eq!(second.labels, [9]);
        assert_eq!(second.first().unwrap()[0], 16.0);
        assert!(digits.select(&"1..3".parse().unwrap()).is_err());
    }

    #[test]
    fn what_is_no_digit_is_refused_with_its_row() {
        for (text, sign) in [
            (row("17", "1"), "pixel"),
            (row("1", "10"), "label"),
            (row("x", "1"), "number"),
            ("1,2\n".into(), "columns"),
        ] {
            let error = format!("{:#}", Digits::parse(text.as_bytes()).unwrap_err());
            assert!(error.contains(sign) && error.contains("row 0"), "{error}");
        }
    }

    #[test]
    fn ranges_are_half_open() {
        let rows = |text: &str| text.parse::<Rows>().unwrap();
        assert!(!rows("0..10").overlaps(&rows("10..20")));
        assert!(rows("0..11").overlaps(&rows("10..20")));
        assert!("5..5".parse::<Rows>().is_err() && "5".parse::<Rows>().is_err());
    }
}
