//! Elements out of a JSON array, flat or nested, while it is read.

use std::fmt;

use bytes::Bytes;
use half::{bf16, f16};
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use crate::binary::TEXTS_MAX;
use crate::{Datatype, Elements, RANK_MAX};

/// Elements that room is made for at first, whatever the shape says: memory grows with what comes.
const ROOM_MAX: usize = 4096;

/// Collects the elements of one tensor.
pub(super) struct Collector {
    datatype: Datatype,
    dense: Vec<u8>,
    texts: Vec<Bytes>,
    count: usize,
    /// Lengths of the arrays at each depth, once one of them is complete.
    lengths: [Option<usize>; RANK_MAX],
    /// At which depth the elements are.
    leaf: Option<usize>,
}

impl Collector {
    /// For so many elements as the shape says, if it was read already.
    pub(super) fn new(datatype: Datatype, expected: Option<usize>) -> Self {
        let room = expected.unwrap_or(0).min(ROOM_MAX);
        let (bytes, texts) = match datatype.width() {
            Some(width) => (room * width, 0),
            None => (0, room.min(64)),
        };
        Self {
            datatype,
            dense: Vec::with_capacity(bytes),
            texts: Vec::with_capacity(texts),
            count: 0,
            lengths: [None; RANK_MAX],
            leaf: None,
        }
    }

    /// The elements, if they are as many as the shape says and nested as it says, or flat.
    pub(super) fn finish(self, shape: &[i64], expected: usize) -> Result<Elements, String> {
        if self.count != expected {
            return Err(format!(
                "has {} elements, its shape {shape:?} takes {expected}",
                self.count
            ));
        }
        let nested = self.leaf.filter(|leaf| *leaf > 0);
        if let Some(leaf) = nested {
            let found = self
                .lengths
                .iter()
                .take(leaf + 1)
                .map(|length| length.unwrap_or(0));
            let found: Vec<i64> = found
                .map(|length| i64::try_from(length).unwrap_or(i64::MAX))
                .collect();
            if found != shape {
                return Err(format!("is nested as {found:?}, its shape is {shape:?}"));
            }
        }
        Ok(match self.datatype {
            Datatype::Bytes => Elements::Texts(self.texts),
            _ => Elements::Dense(self.dense.into()),
        })
    }

    pub(super) fn close<E: Error>(&mut self, depth: usize, length: usize) -> Result<(), E> {
        match self.lengths.get_mut(depth) {
            Some(known @ None) => *known = Some(length),
            Some(Some(known)) if *known == length => {}
            Some(_) => return Err(E::custom("arrays at the same depth have different lengths")),
            None => {
                return Err(E::custom(format_args!(
                    "data is nested in more than {RANK_MAX} arrays"
                )));
            }
        }
        Ok(())
    }

    /// So many elements are at this depth.
    pub(super) fn at<E: Error>(&mut self, depth: usize, count: usize) -> Result<(), E> {
        self.count += count;
        match self.leaf {
            Some(leaf) if leaf == depth => Ok(()),
            None => {
                self.leaf = Some(depth);
                Ok(())
            }
            Some(_) => Err(E::custom("data mixes arrays and elements at the same depth")),
        }
    }

    fn refuse<E: Error>(&self, found: impl fmt::Display) -> E {
        E::custom(format_args!("{found} is no {}", self.datatype))
    }

    fn bool<E: Error>(&mut self, value: bool) -> Result<(), E> {
        if self.datatype != Datatype::Bool {
            return Err(self.refuse(value));
        }
        self.dense.push(u8::from(value));
        Ok(())
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to the tensor's precision is meant; what becomes infinite is refused"
    )]
    pub(super) fn float<E: Error>(&mut self, value: f64) -> Result<(), E> {
        let finite = match self.datatype {
            Datatype::Fp32 => {
                let single = value as f32;
                self.dense.extend_from_slice(&single.to_le_bytes());
                single.is_finite()
            }
            Datatype::Fp64 => {
                self.dense.extend_from_slice(&value.to_le_bytes());
                value.is_finite()
            }
            Datatype::Fp16 => {
                let half = f16::from_f64(value);
                self.dense.extend_from_slice(&half.to_le_bytes());
                half.is_finite()
            }
            Datatype::Bf16 => {
                let brain = bf16::from_f64(value);
                self.dense.extend_from_slice(&brain.to_le_bytes());
                brain.is_finite()
            }
            _ => return Err(self.refuse(format_args!("{value:?}"))),
        };
        if finite { Ok(()) } else { Err(self.refuse(value)) }
    }

    fn unsigned<E: Error>(&mut self, value: u64) -> Result<(), E> {
        match self.whole(i128::from(value)) {
            Some(()) => Ok(()),
            #[expect(
                clippy::cast_precision_loss,
                reason = "an element of a floating-point tensor is meant"
            )]
            None if self.is_float() => self.float(value as f64),
            None => Err(self.refuse(value)),
        }
    }

    fn signed<E: Error>(&mut self, value: i64) -> Result<(), E> {
        match self.whole(i128::from(value)) {
            Some(()) => Ok(()),
            #[expect(
                clippy::cast_precision_loss,
                reason = "an element of a floating-point tensor is meant"
            )]
            None if self.is_float() => self.float(value as f64),
            None => Err(self.refuse(value)),
        }
    }

    pub(super) fn is_float(&self) -> bool {
        use Datatype::{Bf16, Fp16, Fp32, Fp64};
        matches!(self.datatype, Fp16 | Bf16 | Fp32 | Fp64)
    }

    /// Adds a whole number that fits a whole datatype.
    pub(super) fn whole(&mut self, value: i128) -> Option<()> {
        let out = &mut self.dense;
        match self.datatype {
            Datatype::Uint8 => out.extend_from_slice(&u8::try_from(value).ok()?.to_le_bytes()),
            Datatype::Uint16 => out.extend_from_slice(&u16::try_from(value).ok()?.to_le_bytes()),
            Datatype::Uint32 => out.extend_from_slice(&u32::try_from(value).ok()?.to_le_bytes()),
            Datatype::Uint64 => out.extend_from_slice(&u64::try_from(value).ok()?.to_le_bytes()),
            Datatype::Int8 => out.extend_from_slice(&i8::try_from(value).ok()?.to_le_bytes()),
            Datatype::Int16 => out.extend_from_slice(&i16::try_from(value).ok()?.to_le_bytes()),
            Datatype::Int32 => out.extend_from_slice(&i32::try_from(value).ok()?.to_le_bytes()),
            Datatype::Int64 => out.extend_from_slice(&i64::try_from(value).ok()?.to_le_bytes()),
            _ => return None,
        }
        Some(())
    }

    /// Elements of BYTES so far.
    pub(super) fn texts(&self) -> usize {
        self.texts.len()
    }

    fn text<E: Error>(&mut self, value: &str) -> Result<(), E> {
        if self.datatype != Datatype::Bytes {
            let shown: String = value.chars().take(40).collect();
            return Err(self.refuse(format_args!("\"{shown}\"")));
        }
        if self.texts.len() == TEXTS_MAX {
            return Err(E::custom(format_args!("more than {TEXTS_MAX} elements of BYTES")));
        }
        self.texts.push(Bytes::copy_from_slice(value.as_bytes()));
        Ok(())
    }
}

/// An array at a depth, 0 for the outermost.
pub(super) struct Level<'a> {
    pub(super) collector: &'a mut Collector,
    pub(super) depth: usize,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of elements, flat or nested")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { collector, depth } = self;
        let mut length = 0_usize;
        while items
            .next_element_seed(Item {
                collector: &mut *collector,
                depth,
            })?
            .is_some()
        {
            length += 1;
        }
        collector.close(depth, length)
    }
}

/// An element, or an array one deeper.
struct Item<'a> {
    collector: &'a mut Collector,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an element of {}", self.collector.datatype)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.collector.at(self.depth, 1)?;
        self.collector.bool(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.collector.at(self.depth, 1)?;
        self.collector.float(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.collector.at(self.depth, 1)?;
        self.collector.unsigned(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.collector.at(self.depth, 1)?;
        self.collector.signed(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.collector.at(self.depth, 1)?;
        self.collector.text(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        let depth = self.depth + 1;
        if depth == RANK_MAX {
            return Err(A::Error::custom(format_args!(
                "data is nested in more than {RANK_MAX} arrays"
            )));
        }
        let collector = self.collector;
        Level { collector, depth }.visit_seq(items)
    }
}
