//! Walks over encoded messages without decoding them, and tells how much memory they would take.
//!
//! An empty message inside another takes two bytes on the wire and hundreds in memory: a limit in bytes is none in
//! memory. What strangers send is weighed before it is decoded. Nothing is allocated here.

use std::fmt;

/// Deepest nesting that is followed, protobuf's own limit.
pub const DEPTH_MAX: usize = 100;

/// What is no message: cut off, nested too deeply, or with groups, which no schema here has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is no protobuf message, or one that is nested too deeply")
    }
}

impl std::error::Error for Malformed {}

/// A field's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A variable-length integer.
    Number(u64),
    /// Four or eight bytes.
    Fixed(&'a [u8]),
    /// A text, bytes, a message or packed numbers.
    Bytes(&'a [u8]),
}

/// The fields of a message with their numbers, in their order; ends after what is no field.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// Walks over a message.
#[must_use]
pub const fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or(Malformed))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u32, Value<'a>)> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0)?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Fixed(self.take(8)?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed(self.take(4)?),
            _ => return None,
        };
        Some((number, value))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(length)?;
        self.rest = tail;
        Some(head)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

/// What one field takes in memory once it is decoded.
#[derive(Debug, Clone, Copy)]
pub struct Part<M> {
    /// Bytes for each time that it appears.
    each: usize,
    /// Bytes for each byte of its content.
    content: usize,
    /// The message that it holds.
    message: Option<M>,
}

impl<M> Part<M> {
    /// A message that is decoded into `T`.
    #[must_use]
    pub const fn message<T>(message: M) -> Self {
        Self {
            each: size_of::<T>(),
            content: 0,
            message: Some(message),
        }
    }

    /// A text or bytes that may appear once.
    #[must_use]
    pub const fn text() -> Self {
        Self {
            each: 0,
            content: 1,
            message: None,
        }
    }

    /// Texts or bytes, as many as there are.
    #[must_use]
    pub const fn texts() -> Self {
        Self {
            each: size_of::<Vec<u8>>() + size_of::<usize>(),
            content: 1,
            message: None,
        }
    }

    /// Numbers, as many as there are: packed, one byte may hold one.
    #[must_use]
    pub const fn numbers() -> Self {
        Self {
            each: size_of::<u64>(),
            content: size_of::<u64>(),
            message: None,
        }
    }
}

/// Bytes that a message would take once decoded, contents included, its own size and the room that vectors keep free
/// excluded. `part` says what a field of a message is; fields without a part are skipped, as decoders do.
///
/// # Errors
/// [`Malformed`] for what is no message.
pub fn unfolded<M: Copy>(
    bytes: &[u8],
    message: M,
    part: &impl Fn(M, u32) -> Option<Part<M>>,
) -> Result<usize, Malformed> {
    weigh(bytes, message, part, 0)
}

fn weigh<M: Copy>(
    bytes: &[u8],
    message: M,
    part: &impl Fn(M, u32) -> Option<Part<M>>,
    depth: usize,
) -> Result<usize, Malformed> {
    if depth > DEPTH_MAX {
        return Err(Malformed);
    }
    let mut sum = 0_usize;
    for field in fields(bytes) {
        let (number, value) = field?;
        let Some(found) = part(message, number) else {
            continue;
        };
        let content = match (value, found.message) {
            (Value::Bytes(inner), Some(message)) => weigh(inner, message, part, depth + 1)?,
            (Value::Bytes(inner), None) => inner.len().saturating_mul(found.content),
            _ => 0,
        };
        sum = sum.saturating_add(found.each).saturating_add(content);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message as _;
    use crate::v1::Tensor;

    #[test]
    fn a_message_of_empty_ones_weighs_what_it_unfolds_to() {
        let part = |(), number| (number == 2).then(|| Part::message::<Tensor>(()));
        let empty = [0x12_u8, 0].repeat(1000);
        assert_eq!(unfolded(&empty, (), &part), Ok(1000 * size_of::<Tensor>()));
        let nested = [0x12, 4, 0x12, 0, 0x12, 0];
        assert_eq!(unfolded(&nested, (), &part), Ok(3 * size_of::<Tensor>()));
    }

    #[test]
    fn texts_and_numbers_weigh_their_contents() {
        let tensor = Tensor {
            name: "abc".into(),
            shape: vec![1, 2, 3],
            ..Tensor::default()
        };
        let bytes = tensor.encode_to_vec();
        let text = |(), number| (number == 1).then(Part::text);
        assert_eq!(unfolded(&bytes, (), &text), Ok(3));
        let numbers = |(), number| (number == 3).then(Part::numbers);
        assert_eq!(unfolded(&bytes, (), &numbers), Ok(8 + 3 * 8));
    }

    #[test]
    fn what_is_no_message_is_refused_and_ends() {
        let none = |(), _| None;
        for bytes in [&[0x0b_u8][..], &[0x12, 9, 1], &[0x12], &[0], &[0xff; 20]] {
            assert_eq!(unfolded(bytes, (), &none), Err(Malformed), "{bytes:?}");
            assert!(fields(bytes).count() < 20);
        }
        let mut deep = Vec::new();
        for _ in 0..=DEPTH_MAX {
            let mut outer = vec![0x12];
            prost::encoding::encode_varint(deep.len() as u64, &mut outer);
            outer.extend_from_slice(&deep);
            deep = outer;
        }
        let part = |(), _| Some(Part::message::<()>(()));
        assert_eq!(unfolded(&deep, (), &part), Err(Malformed));
    }
}
