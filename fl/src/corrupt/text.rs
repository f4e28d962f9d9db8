//! Corruptions of texts.
//!
//! | operator | what is done | by severity 1, 2, 3, 4, 5 |
//! | --- | --- | --- |
//! | `typos` | a letter becomes its neighbour on the keyboard, is lost, doubled or swapped with the next | letters: 2, 5, 10, 16, 25 % |
//! | `dropped-words` | words are lost | words: 5, 12, 22, 35, 50 % |
//! | `cut-sentences` | each sentence ends early | words left of each: 85, 70, 55, 40, 25 %, rounded up |
//!
//! A text with letters gets at least one typo and a text of several words loses at least one; of every
//! text one word stays. What counts as a letter or as space is Unicode's, the keyboard is QWERTY.

use super::{CorruptError, RecordKey, Stream, hits, level};

/// Most bytes of a text.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// Letters with a typo in thousandths, by severity.
const TYPOS: [u32; 5] = [20, 50, 100, 160, 250];
/// Words lost in thousandths, by severity.
const DROPPED: [u32; 5] = [50, 120, 220, 350, 500];
/// Words left of a sentence in hundredths, by severity.
const LEFT: [usize; 5] = [85, 70, 55, 40, 25];

/// Keys of a QWERTY keyboard, row by row; neighbours are next to each other.
const KEYBOARD: [&str; 3] = ["qwertyuiop", "asdfghjkl", "zxcvbnm"];

/// A condition of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operator {
    /// Mistyped letters.
    Typos,
    /// Lost words.
    DroppedWords,
    /// Sentences that end early.
    CutSentences,
}

impl Operator {
    /// All operators.
    pub const ALL: [Self; 3] = [Self::Typos, Self::DroppedWords, Self::CutSentences];

    /// Its name in a task.
    pub fn name(self) -> &'static str {
        match self {
            Self::Typos => "typos",
            Self::DroppedWords => "dropped-words",
            Self::CutSentences => "cut-sentences",
        }
    }
}

/// The corrupted text; at most twice as long.
///
/// # Errors
/// A severity that is not 1 to 5, or a text of more than [`TEXT_BYTES_MAX`].
///
/// ```
/// use fieldmark_fl::corrupt::{RecordKey, text};
/// let key = RecordKey { secret: &[7; 32], record_id: b"ticket-1" };
/// let cut = text::apply(text::Operator::CutSentences, "It broke again today. Why?", 3, &key)?;
/// assert_eq!(cut, "It broke again Why?");
/// # Ok::<(), fieldmark_fl::corrupt::CorruptError>(())
/// ```
pub fn apply(
    operator: Operator,
    text: &str,
    severity: u8,
    key: &RecordKey<'_>,
) -> Result<String, CorruptError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(CorruptError::TextTooLong {
            found: text.len(),
            limit: TEXT_BYTES_MAX,
        });
    }
    let mut stream = Stream::new(operator.name(), key);
    Ok(match operator {
        Operator::Typos => typos(text, level(&TYPOS, severity)?, &mut stream),
        Operator::DroppedWords => dropped(text, level(&DROPPED, severity)?, &mut stream),
        Operator::CutSentences => cut(text, level(&LEFT, severity)?),
    })
}

fn typos(text: &str, permille: u32, stream: &mut Stream) -> String {
    let characters: Vec<char> = text.chars().collect();
    let draws: Vec<(u16, u16)> = characters
        .iter()
        .map(|_| (stream.next_u16(), stream.next_u16()))
        .collect();
    let letters = characters.iter().zip(&draws).enumerate();
    let first = letters
        .filter(|(_, (c, _))| c.is_alphabetic())
        .min_by_key(|(_, (_, (draw, _)))| *draw)
        .map(|(at, _)| at);
    let mut out = String::with_capacity(text.len());
    let mut swapped = None;
    for (at, (&letter, &(draw, kind))) in characters.iter().zip(&draws).enumerate() {
        if let Some(before) = swapped.take() {
            out.push(letter);
            out.push(before);
            continue;
        }
        let mistyped = letter.is_alphabetic() && (hits(draw, permille) || Some(at) == first);
        match kind % 4 {
            _ if !mistyped => out.push(letter),
            0 => out.push(neighbour(letter, kind)),
            1 => {}
            2 => out.extend([letter, letter]),
            _ if at + 1 < characters.len() => swapped = Some(letter),
            _ => out.extend([letter, letter]),
        }
    }
    out
}

/// A key beside the letter's; a letter that is on no key of ours becomes `x`.
fn neighbour(letter: char, draw: u16) -> char {
    let lower = letter.to_ascii_lowercase();
    let beside = KEYBOARD.iter().find_map(|row| {
        let at = row.find(lower)?;
        let (before, after) = (at.checked_sub(1), at + 1);
        let right = draw & 0x100 == 0;
        let pick = |at: Option<usize>| at.and_then(|at| row.chars().nth(at));
        if right {
            pick(Some(after)).or_else(|| pick(before))
        } else {
            pick(before).or_else(|| pick(Some(after)))
        }
    });
    let key = beside.unwrap_or('x');
    if letter.is_uppercase() {
        key.to_ascii_uppercase()
    } else {
        key
    }
}

fn dropped(text: &str, permille: u32, stream: &mut Stream) -> String {
    let words: Vec<(&str, u16)> = text
        .split_inclusive(char::is_whitespace)
        .map(|word| (word, stream.next_u16()))
        .collect();
    let real = || {
        words
            .iter()
            .enumerate()
            .filter(|(_, (word, _))| !word.trim().is_empty())
    };
    let lowest = real().min_by_key(|(_, (_, draw))| *draw).map(|(at, _)| at);
    let highest = real().max_by_key(|(_, (_, draw))| *draw).map(|(at, _)| at);
    let stays = |(at, (word, draw)): &(usize, &(&str, u16))| {
        Some(*at) == highest
            || word.trim().is_empty()
            || !(hits(*draw, permille) || (Some(*at) == lowest && lowest != highest))
    };
    words
        .iter()
        .enumerate()
        .filter(stays)
        .map(|(_, (word, _))| *word)
        .collect()
}

fn cut(text: &str, percent: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut sentence: Vec<&str> = Vec::new();
    for word in text.split_inclusive(char::is_whitespace) {
        sentence.push(word);
        let closing = |c: char| c.is_whitespace() || ['"', '\'', ')', '”', '’'].contains(&c);
        let ends = word.ends_with('\n') || word.trim_end_matches(closing).ends_with(['.', '!', '?', '。']);
        if ends {
            push_cut(&mut out, &sentence, percent);
            sentence.clear();
        }
    }
    push_cut(&mut out, &sentence, percent);
    out
}

/// The first words of a sentence, `percent` of them rounded up.
fn push_cut(out: &mut String, sentence: &[&str], percent: usize) {
    let is_word = |word: &&&str| !word.trim().is_empty();
    let words = sentence.iter().filter(is_word).count();
    let mut left = (words * percent).div_ceil(100);
    for word in sentence {
        if !word.trim().is_empty() {
            if left == 0 {
                break;
            }
            left -= 1;
        }
        out.push_str(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "The parcel arrived two days late, and the box was wet. Nobody answers the phone! \
        I would like my money back, or at least a new box (a dry one). Can somebody please call me today?";

    fn corrupted(operator: Operator, severity: u8, record: u8) -> String {
        let key = RecordKey {
            secret: &[7; 32],
            record_id: &[record],
        };
        apply(operator, TEXT, severity, &key).unwrap()
    }

    /// Words of the clean text that are still there, in order.
    fn kept(text: &str) -> usize {
        let mut left = text.split_whitespace();
        TEXT.split_whitespace()
            .filter(|word| left.clone().any(|l| l == *word) && left.any(|l| l == *word))
            .count()
    }

    #[test]
    fn each_step_of_severity_keeps_fewer_words() {
        for operator in Operator::ALL {
            let mean = |severity| {
                (0..60)
                    .map(|r| kept(&corrupted(operator, severity, r)))
                    .sum::<usize>()
            };
            let ladder: Vec<usize> = (1..=5).map(mean).collect();
            assert!(
                ladder.windows(2).all(|pair| pair[1] < pair[0]),
                "{operator:?} {ladder:?}"
            );
            let all = 60 * TEXT.split_whitespace().count();
            assert!(
                ladder[0] * 10 > all * 7,
                "{operator:?}: a reader still understands 1: {ladder:?}"
            );
            assert!(
                ladder[4] * 10 > all,
                "{operator:?}: something is left at 5: {ladder:?}"
            );
        }
    }

    #[test]
    fn a_word_lost_early_stays_lost() {
        let (mild, harsh) = (
            corrupted(Operator::DroppedWords, 2, 3),
            corrupted(Operator::DroppedWords, 4, 3),
        );
        let mut words = mild.split_whitespace();
        assert!(
            harsh.split_whitespace().all(|word| words.any(|w| w == word)),
            "{mild} / {harsh}"
        );
    }

    #[test]
    fn randomness_follows_record_and_operator_alone() {
        for operator in [Operator::Typos, Operator::DroppedWords] {
            assert_eq!(corrupted(operator, 3, 1), corrupted(operator, 3, 1));
            assert_ne!(corrupted(operator, 3, 1), corrupted(operator, 3, 2));
        }
    }

    #[test]
    fn the_corrupted_texts_are_the_same_on_every_machine() {
        let all: Vec<String> = Operator::ALL.map(|o| corrupted(o, 3, 9)).to_vec();
        let digest = blake3::hash(all.join("\n").as_bytes()).to_hex()[..16].to_owned();
        assert_eq!(digest, "c8a6b4d379acb6ca", "{all:#?}");
    }

    #[test]
    fn short_texts_lose_something_and_never_everything() {
        let key = RecordKey {
            secret: &[7; 32],
            record_id: b"r",
        };
        let of = |operator, text: &str| apply(operator, text, 1, &key).unwrap();
        assert_ne!(of(Operator::Typos, "yes"), "yes");
        assert_eq!(of(Operator::Typos, "12:30"), "12:30");
        assert_eq!(of(Operator::DroppedWords, "yes"), "yes");
        assert_eq!(
            of(Operator::DroppedWords, "yes please")
                .split_whitespace()
                .count(),
            1
        );
        assert_eq!(apply(Operator::CutSentences, "Yes.", 5, &key).unwrap(), "Yes.");
        assert_eq!(apply(Operator::Typos, "", 5, &key).unwrap(), "");
        assert!(matches!(
            apply(Operator::Typos, "x", 6, &key),
            Err(CorruptError::Severity { found: 6 })
        ));
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert!(matches!(
            apply(Operator::Typos, &long, 1, &key),
            Err(CorruptError::TextTooLong { .. })
        ));
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in ".{0,200}", severity in 1u8..=5, seed in any::<u8>()) {
            for operator in Operator::ALL {
                let key = RecordKey { secret: &[7; 32], record_id: &[seed] };
                let out = apply(operator, &text, severity, &key).unwrap();
                prop_assert!(out.len() <= 2 * text.len().max(1));
                prop_assert!(text.trim().is_empty() || operator == Operator::Typos || !out.trim().is_empty());
            }
        }
    }
}
