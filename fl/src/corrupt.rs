//! Corruptions: conditions of the field at severities 1 to 5, for images, texts and tables.
//!
//! Randomness is keyed by the contributor's secret, the record and the operator, so the corrupted
//! view of a record depends on that record alone and never on its batch, and it cannot be
//! predicted by the author of a model. The severity is not part of the key: a record's five
//! severities use the same draws, so a higher one takes what the lower one took, and more.
//!
//! This file owns the key, the draws and the list of all operators; what they do is in [`image`],
//! [`text`] and [`table`], each with its parameters by severity.

use thiserror::Error;

pub mod image;
pub mod table;
pub mod text;

pub use image::{Frame, Operator, SIDE_MAX, apply};

/// Severities are 1 to this.
pub const SEVERITY_MAX: u8 = 5;

/// An operator of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Corruption {
    /// Of images.
    Image(Operator),
    /// Of texts.
    Text(text::Operator),
    /// Of rows of a table.
    Table(table::Operator),
}

impl Corruption {
    /// Every operator: of images, then of texts, then of tables.
    pub fn all() -> impl Iterator<Item = Self> {
        let images = Operator::ALL.into_iter().map(Self::Image);
        let texts = text::Operator::ALL.into_iter().map(Self::Text);
        images
            .chain(texts)
            .chain(table::Operator::ALL.into_iter().map(Self::Table))
    }

    /// Its name, as in a task: `low-light`, `typos`, `missing-values` and so on.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image(operator) => operator.name(),
            Self::Text(operator) => operator.name(),
            Self::Table(operator) => operator.name(),
        }
    }

    /// The operator of a name.
    ///
    /// # Errors
    /// [`CorruptError::Unknown`] when no operator has the name.
    ///
    /// ```
    /// use fieldmark_fl::corrupt::Corruption;
    /// let names: Vec<&str> = Corruption::all().map(Corruption::name).collect();
    /// assert!(names.iter().all(|name| Corruption::parse(name).is_ok()));
    /// assert!(Corruption::parse("fog").is_err());
    /// ```
    pub fn parse(name: &str) -> Result<Self, CorruptError> {
        let found = Self::all().find(|operator| operator.name() == name);
        found.ok_or_else(|| CorruptError::Unknown {
            found: name.chars().take(40).collect(),
        })
    }
}

/// Why something cannot be corrupted.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum CorruptError {
    /// No operator has this name.
    #[error("no corruption is called {found:?}: there are {}",
        Corruption::all().map(Corruption::name).collect::<Vec<_>>().join(", "))]
    Unknown {
        /// The name given.
        found: String,
    },
    /// The severity is not 1 to 5.
    #[error("severity is {found}, must be between 1 and {SEVERITY_MAX}")]
    Severity {
        /// The severity given.
        found: u8,
    },
    /// Width, height and channels do not fit the pixels.
    #[error(
        "{width} × {height} in {channels} channels does not describe {pixels} pixels (sides 1 to {SIDE_MAX})"
    )]
    Shape {
        /// Width given.
        width: usize,
        /// Height given.
        height: usize,
        /// Channels given.
        channels: usize,
        /// Pixels given.
        pixels: usize,
    },
    /// The top of the range is not a positive number.
    #[error("the range's top is {found}, must be positive")]
    Range {
        /// The value given.
        found: f32,
    },
    /// A pixel or a value is not a finite number.
    #[error("value {at} is not finite")]
    NotFinite {
        /// Its index.
        at: usize,
    },
    /// The text is too long.
    #[error("the text has {found} bytes, at most {limit} are taken")]
    TextTooLong {
        /// Its bytes.
        found: usize,
        /// Most bytes taken.
        limit: usize,
    },
}

/// What keys a record's randomness.
#[derive(Clone, Copy)]
pub struct RecordKey<'a> {
    /// The contributor's local secret.
    pub secret: &'a [u8; 32],
    /// The record's own name or hash.
    pub record_id: &'a [u8],
}

impl std::fmt::Debug for RecordKey<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RecordKey(..)")
    }
}

/// The step of a ladder for a severity.
fn level<T: Copy>(ladder: &[T; 5], severity: u8) -> Result<T, CorruptError> {
    let step = usize::from(severity).checked_sub(1);
    step.and_then(|step| ladder.get(step).copied())
        .ok_or(CorruptError::Severity { found: severity })
}

/// Whether a draw falls into the first `permille` thousandths.
fn hits(draw: u16, permille: u32) -> bool {
    u32::from(draw) * 1000 < permille * 65_536
}

/// Random numbers of one record and operator: BLAKE3's output, keyed by the local secret.
struct Stream {
    reader: blake3::OutputReader,
}

impl Stream {
    fn new(operator: &str, key: &RecordKey<'_>) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(key.secret);
        hasher.update(b"fieldmark corruption v1");
        hasher.update(operator.as_bytes());
        hasher.update(&[0]);
        hasher.update(key.record_id);
        Self {
            reader: hasher.finalize_xof(),
        }
    }

    fn next_u16(&mut self) -> u16 {
        let mut bytes = [0; 2];
        self.reader.fill(&mut bytes);
        u16::from_le_bytes(bytes)
    }

    /// Nearly standard normal: twelve uniform numbers less their mean (Irwin and Hall). Integers
    /// until the last step, so the same on every machine.
    fn normal(&mut self) -> f32 {
        let mut bytes = [0; 24];
        self.reader.fill(&mut bytes);
        let (words, _) = bytes.as_chunks::<2>();
        let sum: i32 = words
            .iter()
            .map(|word| i32::from(u16::from_le_bytes(*word)))
            .sum();
        #[expect(clippy::cast_precision_loss, reason = "below 2²⁰")]
        let centred = (sum - 6 * 65_535) as f32;
        centred / 65_536.0
    }
}
