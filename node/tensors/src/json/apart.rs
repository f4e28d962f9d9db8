//! Arrays of numbers, read apart from the JSON around them.
//!
//! Nearly all of a large request is one array of numbers. It holds no quotes, so its end is found at the speed of
//! memory; what is left is a short JSON, and the numbers are read by a loop that knows their datatype. Whatever is
//! not as expected here is left to the reader in [`super::request`], which also finds the words for what is wrong.

use memchr::{memchr, memchr3_iter};
use serde::de::value::Error as Unfit;

use super::data::Collector;
use crate::{Datatype, Elements, RANK_MAX, element_count};

/// Shorter requests are read as a whole.
const BYTES_MIN: usize = 512;
/// Powers of ten that a binary64 holds exactly.
const EXACT_TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// Whole numbers up to here are binary64 exactly.
const EXACT_WHOLE_MAX: u64 = 1 << 53;
/// So many decimal digits fit 64 bits, whatever they are.
const DIGITS_MAX: usize = 19;

/// A request's JSON with the arrays of its `data` members taken out.
#[derive(Debug)]
pub(super) struct Apart<'a> {
    /// The JSON, with `[k]` where array k was.
    pub(super) head: String,
    /// The arrays, brackets included. None has a text in it.
    pub(super) arrays: Vec<&'a str>,
}

impl<'a> Apart<'a> {
    /// Takes `json` apart; nothing if that is not worth it, or it is no JSON. A text with an escape could be a
    /// member's name in disguise, so it is left alone.
    pub(super) fn new(json: &'a str) -> Option<Self> {
        let bytes = json.as_bytes();
        if bytes.len() < BYTES_MIN || memchr(b'\\', bytes).is_some() {
            return None;
        }
        let (mut head, mut arrays) = (String::new(), Vec::new());
        let (mut copied, mut at) = (0, 0);
        while let Some(quote) = memchr(b'"', bytes.get(at..)?) {
            let start = at + quote + 1;
            let end = start + memchr(b'"', bytes.get(start..)?)?;
            at = end + 1;
            if bytes.get(start..end) != Some(b"data") {
                continue;
            }
            let Some(open) = array_start(bytes, at) else {
                continue;
            };
            let Some(close) = array_end(bytes, open) else {
                continue;
            };
            head.push_str(json.get(copied..open)?);
            head.push_str(&format!("[{}]", arrays.len()));
            arrays.push(json.get(open..close)?);
            (copied, at) = (close, close);
        }
        head.push_str(json.get(copied..)?);
        (!arrays.is_empty()).then_some(Self { head, arrays })
    }
}

/// The opening bracket of an array that is the value of the member whose name ends before `at`.
fn array_start(bytes: &[u8], at: usize) -> Option<usize> {
    let mut scanner = Scanner {
        rest: bytes.get(at..)?,
    };
    scanner.skip_space();
    scanner.take(b':').then(|| scanner.skip_space())?;
    (scanner.rest.first() == Some(&b'[')).then(|| bytes.len() - scanner.rest.len())
}

/// Behind the bracket that closes the one at `open`; nothing if a text comes first.
fn array_end(bytes: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for at in memchr3_iter(b'[', b']', b'"', bytes.get(open..)?) {
        match bytes.get(open + at)? {
            b'[' => depth += 1,
            b']' => depth = depth.checked_sub(1)?,
            _ => return None,
        }
        if depth == 0 {
            return Some(open + at + 1);
        }
    }
    None
}

/// The elements of an array of numbers; nothing if it is not one of this datatype and shape.
pub(super) fn elements(array: &str, datatype: Datatype, shape: &[i64]) -> Option<Elements> {
    let expected = element_count(shape).ok()?;
    let mut collector = Collector::new(datatype, Some(expected));
    let mut scanner = Scanner {
        rest: array.as_bytes(),
    };
    scanner.array(&mut collector, 0)?;
    scanner.rest.is_empty().then_some(())?;
    collector.finish(shape, expected).ok()
}

/// Takes what it knows off the front of a text.
struct Scanner<'a> {
    rest: &'a [u8],
}

impl Scanner<'_> {
    fn take(&mut self, byte: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn skip_space(&mut self) {
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// An array of numbers, or of arrays.
    fn array(&mut self, collector: &mut Collector, depth: usize) -> Option<()> {
        if depth == RANK_MAX || !self.take(b'[') {
            return None;
        }
        self.skip_space();
        let mut length = 0;
        if !self.take(b']') {
            let nested = self.rest.first() == Some(&b'[');
            let is_float = collector.is_float();
            loop {
                if nested {
                    self.array(collector, depth + 1)?;
                } else if is_float {
                    collector.float::<Unfit>(self.float()?).ok()?;
                } else {
                    collector.whole(self.whole()?)?;
                }
                length += 1;
                self.skip_space();
                if self.take(b']') {
                    break;
                }
                if !self.take(b',') {
                    return None;
                }
                self.skip_space();
            }
            if !nested {
                collector.at::<Unfit>(depth, length).ok()?;
            }
        }
        collector.close::<Unfit>(depth, length).ok()
    }

    /// A number as JSON writes it.
    fn float(&mut self) -> Option<f64> {
        let start = self.rest;
        let negative = self.take(b'-');
        let mut mantissa = 0;
        let mut digits = self.whole_part(&mut mantissa)?;
        let mut exponent = 0_i32;
        if self.take(b'.') {
            let fraction = self.digits(&mut mantissa);
            exponent = -i32::try_from(fraction).ok().filter(|fraction| *fraction > 0)?;
            digits += fraction;
        }
        if self.take(b'e') || self.take(b'E') {
            let below = self.take(b'-');
            let _ = below || self.take(b'+');
            let mut power = 0;
            let length = self.digits(&mut power);
            if length == 0 || length > 6 {
                return None;
            }
            let power = i32::try_from(power).ok()?;
            exponent += if below { -power } else { power };
        }
        let tens = EXACT_TENS.get(usize::try_from(exponent.unsigned_abs()).ok()?);
        match tens {
            // Both are exact, so one operation rounds once: Clinger's fast path.
            Some(tens) if digits <= DIGITS_MAX && mantissa <= EXACT_WHOLE_MAX => {
                #[expect(clippy::cast_precision_loss, reason = "it is at most 2⁵³")]
                let whole = mantissa as f64;
                let value = if exponent < 0 { whole / tens } else { whole * tens };
                Some(if negative { -value } else { value })
            }
            _ => {
                let (text, _) = start.split_at_checked(start.len() - self.rest.len())?;
                let text = std::str::from_utf8(text).ok()?;
                text.parse().ok().filter(|value: &f64| value.is_finite())
            }
        }
    }

    /// A whole number without fraction and exponent.
    fn whole(&mut self) -> Option<i128> {
        let negative = self.take(b'-');
        let mut value = 0;
        let digits = self.whole_part(&mut value)?;
        if digits > DIGITS_MAX || matches!(self.rest, [b'.' | b'e' | b'E', ..]) {
            return None;
        }
        // JSON's -0 is a floating-point number.
        match (negative, value) {
            (true, 0) => None,
            (true, value) => Some(-i128::from(value)),
            (false, value) => Some(i128::from(value)),
        }
    }

    /// Digits before a point: 0 alone, or without a 0 in front. Returns how many.
    fn whole_part(&mut self, value: &mut u64) -> Option<usize> {
        if self.take(b'0') {
            return Some(0);
        }
        let digits = self.digits(value);
        (digits > 0).then_some(digits)
    }

    /// Appends the digits that follow to a value, which is right if there are at most [`DIGITS_MAX`] in all.
    fn digits(&mut self, value: &mut u64) -> usize {
        let before = self.rest.len();
        while let Some((eight, rest)) = self.rest.split_first_chunk() {
            let Some(number) = eight_digits(*eight) else { break };
            *value = value.wrapping_mul(100_000_000).wrapping_add(number);
            self.rest = rest;
        }
        while let [digit @ b'0'..=b'9', rest @ ..] = self.rest {
            *value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.rest = rest;
        }
        before - self.rest.len()
    }
}

/// Every other pair of two digits.
const PAIRS: u64 = 0x0000_00ff_0000_00ff;
/// What the first and third, and the second and fourth pair of eight digits count.
const PAIRS_COUNT: [u64; 2] = [100 + (1_000_000 << 32), 1 + (10_000 << 32)];

/// The number that eight bytes write, if all of them are digits: pairs, then fours, then all are put together
/// side by side in one word (D. Lemire, "Quickly parsing eight digits", 2018).
fn eight_digits(bytes: [u8; 8]) -> Option<u64> {
    let word = u64::from_le_bytes(bytes);
    let high = word & 0xf0f0_f0f0_f0f0_f0f0;
    let carried = word.wrapping_add(0x0606_0606_0606_0606) & 0xf0f0_f0f0_f0f0_f0f0;
    if high | (carried >> 4) != 0x3333_3333_3333_3333 {
        return None;
    }
    let ones = word.wrapping_sub(0x3030_3030_3030_3030);
    let pairs = ones.wrapping_mul(10).wrapping_add(ones >> 8);
    let sum = (pairs & PAIRS)
        .wrapping_mul(PAIRS_COUNT[0])
        .wrapping_add(((pairs >> 16) & PAIRS).wrapping_mul(PAIRS_COUNT[1]));
    Some(sum >> 32)
}
