//! Small changes to known inputs, drawn from a seeded generator.

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

/// Longest input made. 64 KiB: twice the longest record.
pub const INPUT_BYTES_MAX: usize = 64 << 10;
/// Most changes in a row.
const CHANGES_MAX: usize = 6;
/// Longest run of bytes that is inserted, removed or repeated.
const RUN_MAX: usize = 64;

/// Lengths and numbers at which decoders break: zero, one, signs, widths, varints.
const MAGIC: &[&[u8]] = &[
    &[0],
    &[1],
    &[0x7f],
    &[0x80],
    &[0xff],
    &[0xff, 0xff],
    &[0, 0, 0, 0x80],
    &[0xff; 4],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0xff; 8],
    &[0, 0, 0, 0, 0, 0, 0xf0, 0x7f],
    &[0, 0, 0, 0, 0, 0, 0xf8, 0x7f],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    b"\"\"\"",
    b"[[",
    b"1e999",
    b"\xf0\x9f\x98\x80",
];

fn below(rng: &mut ChaCha20Rng, bound: usize) -> usize {
    let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
    usize::try_from(rng.next_u64() % bound).unwrap_or(0)
}

/// An input made of one of `known`; of nothing but chance where there is none.
#[must_use]
pub fn mutated(rng: &mut ChaCha20Rng, known: &[Vec<u8>]) -> Vec<u8> {
    let mut input = known.get(below(rng, known.len())).cloned().unwrap_or_default();
    for _ in 0..=below(rng, CHANGES_MAX) {
        change(rng, &mut input, known);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn change(rng: &mut ChaCha20Rng, input: &mut Vec<u8>, known: &[Vec<u8>]) {
    let at = below(rng, input.len() + 1);
    let run = 1 + below(rng, RUN_MAX);
    let end = (at + run).min(input.len());
    match below(rng, 9) {
        0 => flip(rng, input, at),
        1 => {
            let mut bytes = vec![0; run];
            rng.fill_bytes(&mut bytes);
            input.splice(at..at, bytes);
        }
        2 => drop(input.drain(at..end)),
        3 => input.truncate(at),
        4 => {
            let again: Vec<u8> = input.get(at..end).unwrap_or_default().to_vec();
            input.splice(at..at, again);
        }
        5 => {
            let magic = MAGIC.get(below(rng, MAGIC.len())).copied().unwrap_or_default();
            let end = (at + magic.len()).min(input.len());
            input.splice(at..end, magic.iter().copied());
        }
        6 => {
            let other = known.get(below(rng, known.len())).map_or(&[][..], Vec::as_slice);
            let from = below(rng, other.len() + 1);
            let part = other.get(from..).unwrap_or_default().to_vec();
            input.splice(at.., part);
        }
        7 => nudge(rng, input, at),
        _ => input.extend(std::iter::repeat_n(0, run)),
    }
}

fn flip(rng: &mut ChaCha20Rng, input: &mut [u8], at: usize) {
    let bit = below(rng, 8);
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << bit;
    }
}

/// One more or less: lengths that are off by one.
fn nudge(rng: &mut ChaCha20Rng, input: &mut [u8], at: usize) {
    let up = below(rng, 2) == 0;
    if let Some(byte) = input.get_mut(at) {
        *byte = if up {
            byte.wrapping_add(1)
        } else {
            byte.wrapping_sub(1)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    #[test]
    fn a_seed_makes_the_same_inputs_and_they_differ_from_what_is_known() {
        let known = [b"hello".to_vec(), vec![0; 100]];
        let made = |seed| {
            let mut rng = ChaCha20Rng::from_seed([seed; 32]);
            (0..100).map(|_| mutated(&mut rng, &known)).collect::<Vec<_>>()
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
        assert!(made(1).iter().filter(|input| known.contains(input)).count() < 20);
    }
}
