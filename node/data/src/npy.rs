//! NPY arrays: header and plain values, format versions 1 to 3.
//!
//! A reader of our own, because the file is a user's and the common library multiplies the sizes in its
//! header unchecked. Objects (pickles) are refused: loading them would run code.
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use std::io::{self, Read};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Most bytes of a header's text.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Most sizes of a shape.
const DIMENSIONS_MAX: usize = 8;

/// An array that is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NpyError {
    #[error("it does not start like an NPY array")]
    Magic,
    #[error("its header cannot be read: {0}")]
    Header(&'static str),
    #[error("it holds Python objects, which would run code when loaded")]
    Pickle,
    #[error("its type '{0}' is not read here")]
    Type(String),
    #[error("it is stored column by column (Fortran order)")]
    Fortran,
    #[error("its shape {shape:?} needs more than the {limit} bytes allowed")]
    TooLarge { shape: Vec<u64>, limit: u64 },
    #[error("it ends early: {0}")]
    Io(#[from] io::Error),
}

/// What the values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Signed,
    Unsigned,
    Float,
    /// Bytes, zero-padded.
    Bytes,
    /// UTF-32, zero-padded.
    Text,
}

/// An array's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    kind: Kind,
    little_endian: bool,
    item_bytes: usize,
    pub(crate) shape: Vec<u64>,
}

/// Whether the bytes are the start of an NPY array of Python objects, which is a pickle.
#[must_use]
pub fn holds_pickle(start: &[u8]) -> bool {
    matches!(Header::read(&mut &*start), Err(NpyError::Pickle))
}

impl Header {
    /// Reads magic, version and header.
    pub(crate) fn read(source: &mut impl Read) -> Result<Self, NpyError> {
        let mut start = [0; 8];
        source.read_exact(&mut start).map_err(|_| NpyError::Magic)?;
        let [magic @ .., major, _minor] = start;
        if &magic != MAGIC {
            return Err(NpyError::Magic);
        }
        let length = if major == 1 {
            let mut bytes = [0; 2];
            source.read_exact(&mut bytes)?;
            usize::from(u16::from_le_bytes(bytes))
        } else {
            let mut bytes = [0; 4];
            source.read_exact(&mut bytes)?;
            usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
        };
        if !(1..=3).contains(&major) || length > HEADER_BYTES_MAX {
            return Err(NpyError::Header("unknown version or too long"));
        }
        let mut text = vec![0; length];
        source.read_exact(&mut text)?;
        Self::parse(&String::from_utf8_lossy(&text))
    }

    /// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
    fn parse(text: &str) -> Result<Self, NpyError> {
        let value = |key: &'static str| {
            let at = text.find(&format!("'{key}':")).ok_or(NpyError::Header(key))?;
            let rest = text.get(at + key.len() + 3..).ok_or(NpyError::Header(key))?;
            Ok::<_, NpyError>(rest.trim_start())
        };
        let descr = value("descr")?
            .strip_prefix('\'')
            .and_then(|d| d.split('\'').next());
        let descr = descr.ok_or_else(|| NpyError::Type("a structure".to_owned()))?;
        let shape = value("shape")?
            .strip_prefix('(')
            .and_then(|s| s.split(')').next());
        let shape = shape.ok_or(NpyError::Header("shape"))?;
        let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
        let shape: Vec<u64> = sizes
            .map(|size| size.parse().map_err(|_| NpyError::Header("shape")))
            .collect::<Result<_, _>>()?;
        let (kind, little_endian, item_bytes) = parse_type(descr)?;
        if value("fortran_order")?.starts_with("True") && shape.len() > 1 {
            return Err(NpyError::Fortran);
        }
        if shape.len() > DIMENSIONS_MAX {
            return Err(NpyError::Header("too many sizes"));
        }
        Ok(Self {
            kind,
            little_endian,
            item_bytes,
            shape,
        })
    }

    /// Number of values, if they take at most `limit` bytes.
    pub(crate) fn count(&self, limit: u64) -> Result<usize, NpyError> {
        let too_large = || NpyError::TooLarge {
            shape: self.shape.clone(),
            limit,
        };
        let count = self
            .shape
            .iter()
            .try_fold(1_u64, |product, size| product.checked_mul(*size));
        let count = count.ok_or_else(too_large)?;
        let bytes = count
            .checked_mul(self.item_bytes as u64)
            .filter(|bytes| *bytes <= limit);
        bytes.ok_or_else(too_large)?;
        usize::try_from(count).map_err(|_| too_large())
    }

    /// The values as numbers.
    pub(crate) fn numbers(&self, source: &mut impl Read, limit: u64) -> Result<Vec<f64>, NpyError> {
        if self.is_text() {
            return Err(NpyError::Type("text".to_owned()));
        }
        let count = self.count(limit)?;
        let mut item = vec![0; self.item_bytes];
        let mut values = Vec::new();
        for _ in 0..count {
            source.read_exact(&mut item)?;
            values.push(self.number(&item));
        }
        Ok(values)
    }

    /// Bytes of one value, at least one.
    pub(crate) fn item_bytes(&self) -> usize {
        self.item_bytes
    }

    /// Whether values are floating-point numbers.
    pub(crate) fn is_float(&self) -> bool {
        self.kind == Kind::Float
    }

    /// Whether values are texts.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Bytes | Kind::Text)
    }

    /// An integer of up to eight bytes, sign-extended where signed.
    fn integer(&self, bytes: &[u8]) -> i128 {
        let fold = |value: i128, byte: &u8| (value << 8) | i128::from(*byte);
        let value = if self.little_endian {
            bytes.iter().rev().fold(0, fold)
        } else {
            bytes.iter().fold(0, fold)
        };
        let bits = bytes.len() * 8;
        let negative = self.kind == Kind::Signed && value >> (bits - 1) == 1;
        if negative { value - (1 << bits) } else { value }
    }

    /// A value as a number; meaningless for texts.
    #[expect(
        clippy::cast_precision_loss,
        reason = "integers above 2^53 are rounded, as in NumPy"
    )]
    pub(crate) fn number(&self, bytes: &[u8]) -> f64 {
        if self.kind != Kind::Float {
            return self.integer(bytes) as f64;
        }
        let bits = self.integer(bytes);
        match u32::try_from(bits).ok().filter(|_| bytes.len() == 4) {
            Some(bits) => f64::from(f32::from_bits(bits)),
            None => f64::from_bits(u64::try_from(bits).unwrap_or_default()),
        }
    }

    /// A value as text; integers are written in decimal.
    pub(crate) fn text(&self, bytes: &[u8]) -> String {
        match self.kind {
            Kind::Bytes => String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned(),
            Kind::Text => {
                let (words, _) = bytes.as_chunks::<4>();
                let code = |word: &[u8; 4]| {
                    let code = if self.little_endian {
                        u32::from_le_bytes(*word)
                    } else {
                        u32::from_be_bytes(*word)
                    };
                    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
                };
                words
                    .iter()
                    .map(code)
                    .collect::<String>()
                    .trim_end_matches('\0')
                    .to_owned()
            }
            _ => self.integer(bytes).to_string(),
        }
    }
}

/// Parses a type such as `<f4`, `|S7` or `<U3`.
fn parse_type(descr: &str) -> Result<(Kind, bool, usize), NpyError> {
    let other = || NpyError::Type(descr.chars().take(20).collect());
    let mut characters = descr.chars();
    let order = characters.next().ok_or_else(other)?;
    let letter = characters.next().ok_or_else(other)?;
    if letter == 'O' {
        return Err(NpyError::Pickle);
    }
    let size: usize = characters.as_str().parse().map_err(|_| other())?;
    let (kind, bytes, widths): (Kind, usize, &[usize]) = match letter {
        'b' | '?' => (Kind::Bool, size, &[1]),
        'i' => (Kind::Signed, size, &[1, 2, 4, 8]),
        'u' => (Kind::Unsigned, size, &[1, 2, 4, 8]),
        'f' => (Kind::Float, size, &[4, 8]),
        'S' => (Kind::Bytes, size, &[]),
        'U' => (Kind::Text, size.saturating_mul(4), &[]),
        _ => return Err(other()),
    };
    let fits = widths.contains(&bytes) || (widths.is_empty() && (1..=4096).contains(&bytes));
    if !fits || !['<', '>', '|', '='].contains(&order) {
        return Err(other());
    }
    Ok((kind, order != '>', bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [MAGIC.as_slice(), &[1, 0], &length, header.as_bytes(), data].concat()
    }

    fn numbers(bytes: &[u8]) -> Result<Vec<f64>, NpyError> {
        let source = &mut &*bytes;
        Header::read(source)?.numbers(source, 1000)
    }

    fn texts(bytes: &[u8]) -> Vec<String> {
        let source = &mut &*bytes;
        let header = Header::read(source).unwrap();
        let items = source.chunks_exact(header.item_bytes());
        items.map(|item| header.text(item)).collect()
    }

    #[test]
    fn numbers_of_every_width_and_order_are_read() {
        let bytes: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(numbers(&array("<f4", "(2,)", &bytes)).unwrap(), [1.5, -2.0]);
        assert_eq!(
            numbers(&array(">f8", "(1,)", &(-0.25_f64).to_be_bytes())).unwrap(),
            [-0.25]
        );
        assert_eq!(
            numbers(&array("<i2", "(1, 1)", &(-7_i16).to_le_bytes())).unwrap(),
            [-7.0]
        );
        assert_eq!(
            numbers(&array("|u1", "(3,)", &[0, 128, 255])).unwrap(),
            [0.0, 128.0, 255.0]
        );
    }

    #[test]
    fn texts_are_read_without_their_padding() {
        let bytes = array("|S4", "(2,)", b"ab\0\0abcd");
        assert_eq!(texts(&bytes), ["ab", "abcd"]);
        let letters: Vec<u8> = ['é', '\0']
            .iter()
            .flat_map(|c| u32::from(*c).to_le_bytes())
            .collect();
        let bytes = array("<U2", "(1,)", &letters);
        assert_eq!(texts(&bytes), ["é"]);
    }

    #[test]
    fn pickles_are_told_and_refused() {
        assert!(holds_pickle(&array("|O", "(1,)", b"")));
        assert!(!holds_pickle(&array("<f4", "(1,)", b"")));
    }

    #[test]
    fn hostile_headers_give_errors() {
        let huge = array("<f8", "(18446744073709551615, 18446744073709551615)", b"");
        assert!(matches!(numbers(&huge), Err(NpyError::TooLarge { .. })));
        assert!(matches!(
            numbers(&array("<f8", "(1000000,)", b"")),
            Err(NpyError::TooLarge { .. })
        ));
        assert!(matches!(
            numbers(&array("<f8", "(2,)", b"1234")),
            Err(NpyError::Io(_))
        ));
        assert!(matches!(
            numbers(b"PK\x03\x04 not an array"),
            Err(NpyError::Magic)
        ));
        assert!(matches!(
            numbers(&array("<f8", "(-1,)", b"")),
            Err(NpyError::Header(_))
        ));
        let endless = array("<f8", "(99999999999999999999,)", b"");
        assert!(matches!(numbers(&endless), Err(NpyError::Header(_))));
    }
}
