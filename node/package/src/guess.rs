//! Shapes that an artifact does not state, found by running the model in isolation on guesses.
//!
//! A guess that does not fit mostly fails with a message that says what would: how many columns a product of matrices
//! takes, how many channels a convolution. Those numbers are put into the next guess. One that fits by chance gives
//! itself away by answering another number of records than it was given. Once a guess runs, the model runs again on two
//! records: sizes that grew with them are the caller's.

use std::time::Duration;

use fieldmark_supervisor::{InferError, Runner, Tensor};
use fieldmark_tensors::values;

use crate::inspect::Slot;
use fieldmark_protocol::release::TensorSpec;

/// Guesses for one input, most likely first: tables, images, sequences.
const SHAPES: [&[i64]; 7] = [
    &[-1, 1],
    &[-1, 3, 32, 32],
    &[-1, 1, 28, 28],
    &[-1, 3, 224, 224],
    &[-1, 16],
    &[-1],
    &[-1, 16, 1],
];
/// Corrections of one guess.
const CORRECTIONS_MAX: usize = 4;
/// Longest time for one guess. A model that takes longer on one small record is no model to guess at.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Longest pause after guesses that crashed the model; a longer one ends the guessing.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A guess that did not run, with the model's words.
enum Refusal {
    /// Another guess may run.
    Guess(String),
    /// No other will, or not soon.
    End(String),
}

/// Inputs and outputs that were seen to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Inputs with every datatype and shape known.
    pub(crate) inputs: Vec<TensorSpec>,
    /// What came out.
    pub(crate) outputs: Vec<TensorSpec>,
}

/// Runs the model until a guess fits. `Err` holds the model's last words.
pub(crate) async fn see(runner: &Runner, inputs: &[Slot], outputs: &[Slot]) -> Result<Seen, String> {
    let mut last = "no guess was made".to_owned();
    let is_guess = inputs.iter().any(|input| input.shape.is_none());
    for datatype in ["FP32", "INT64"] {
        for shape in SHAPES {
            let mut guess = filled(inputs, datatype, shape);
            for _ in 0..CORRECTIONS_MAX {
                match run(runner, &guess, 1).await {
                    Ok(first) if is_guess && !is_one_record(&first) => {
                        last = "one record gave several answers".to_owned();
                        break;
                    }
                    Ok(first) => return Ok(settle(runner, guess, first, outputs).await),
                    Err(Refusal::End(words)) => return Err(words),
                    Err(Refusal::Guess(words)) => {
                        let correction = corrected(&guess, inputs, &words);
                        last = words;
                        let Some(correction) = correction else { break };
                        guess = correction;
                    }
                }
            }
            if inputs.iter().all(|input| input.shape.is_some()) {
                break;
            }
        }
        if inputs.iter().all(|input| input.datatype.is_some()) {
            break;
        }
    }
    Err(last)
}

fn filled(inputs: &[Slot], datatype: &str, shape: &[i64]) -> Vec<TensorSpec> {
    let fill = |input: &Slot| TensorSpec {
        name: input.name.clone(),
        datatype: input.datatype.clone().unwrap_or_else(|| datatype.to_owned()),
        shape: input.shape.clone().unwrap_or_else(|| shape.to_vec()),
    };
    inputs.iter().map(fill).collect()
}

/// Runs on zeros, with `records` for every first size that is free.
async fn run(runner: &Runner, inputs: &[TensorSpec], records: i64) -> Result<Vec<Tensor>, Refusal> {
    let sized = |input: &TensorSpec| {
        let mut shape = input.shape.clone();
        if let Some(first) = shape.first_mut().filter(|first| **first == -1) {
            *first = records;
        }
        TensorSpec {
            shape,
            ..input.clone()
        }
    };
    let sized: Vec<TensorSpec> = inputs.iter().map(sized).collect();
    let tensors = values::zeros(&sized).map_err(|error| Refusal::Guess(error.to_string()))?;
    let answer = match runner.infer(tensors.clone()).await {
        Err(InferError::BackingOff { retry_in, .. }) if retry_in <= PAUSE_MAX => {
            tokio::time::sleep(retry_in).await;
            runner.infer(tensors).await
        }
        answer => answer,
    };
    answer.map_err(refusal)
}

fn refusal(error: InferError) -> Refusal {
    let words = error.to_string();
    match error {
        InferError::TimedOut { .. }
        | InferError::BackingOff { .. }
        | InferError::Restart { .. }
        | InferError::Stopped { .. } => Refusal::End(words),
        _ => Refusal::Guess(words),
    }
}

/// Whether an answer is of one record, and not of as many as a reshape makes of a guess that is too large.
fn is_one_record(outputs: &[Tensor]) -> bool {
    outputs
        .iter()
        .all(|output| output.shape.first().is_none_or(|first| *first == 1))
}

/// Decides which sizes are free, by a run on two records.
async fn settle(runner: &Runner, mut inputs: Vec<TensorSpec>, first: Vec<Tensor>, named: &[Slot]) -> Seen {
    let second = run(runner, &inputs, 2).await;
    if second.is_err() {
        for input in &mut inputs {
            input
                .shape
                .iter_mut()
                .take(1)
                .filter(|size| **size == -1)
                .for_each(|size| *size = 1);
        }
    }
    let second = second.unwrap_or_else(|_| first.clone());
    let output = |(at, (one, two)): (usize, (&Tensor, &Tensor))| {
        let name = named
            .get(at)
            .map_or_else(|| one.name.clone(), |slot| slot.name.clone());
        let same = one.shape.len() == two.shape.len();
        let sizes = one.shape.iter().zip(&two.shape);
        let shape = sizes
            .map(|(a, b)| if a == b && *a > 0 && same { *a } else { -1 })
            .collect();
        TensorSpec {
            name,
            datatype: one.datatype.clone(),
            shape,
        }
    };
    let outputs = first.iter().zip(&second).enumerate().map(output).collect();
    Seen { inputs, outputs }
}

/// The guess with the one size changed that the message asks for; `None` if it asks for none.
fn corrected(guess: &[TensorSpec], inputs: &[Slot], words: &str) -> Option<Vec<TensorSpec>> {
    let open = inputs.iter().position(|input| input.shape.is_none())?;
    let mut next = guess.to_vec();
    let shape = &mut next.get_mut(open)?.shape;
    let before = shape.clone();
    if let Some((_, columns, rows, _)) = product(words) {
        let last = shape.last_mut()?;
        // Behind a reshape the product's columns are a multiple of the input's.
        let scale = if *last > 0 && columns % *last == 0 {
            columns / *last
        } else {
            1
        };
        *last = if rows % scale.max(1) == 0 {
            rows / scale.max(1)
        } else {
            rows
        };
    } else if let Some(size) = reshaped(words) {
        *shape = vec![-1, size];
    } else if let Some(channels) = after(words, "to have ", " channels") {
        *shape.get_mut(1)? = channels;
    } else if let Some(size) =
        after(words, "expected to be ", "").or_else(|| after(words, "normalized_shape=[", "]"))
    {
        *shape.last_mut()? = size;
    } else {
        return None;
    }
    (*shape != before
        && shape
            .iter()
            .all(|size| *size == -1 || (1..=1 << 20).contains(size)))
    .then_some(next)
}

/// `(AxB and CxD)` of a product that does not fit.
fn product(words: &str) -> Option<(i64, i64, i64, i64)> {
    let inner = words.split("cannot be multiplied (").nth(1)?.split(')').next()?;
    let (left, right) = inner.split_once(" and ")?;
    let pair = |text: &str| {
        let (a, b) = text.split_once('x')?;
        Some((a.parse().ok()?, b.parse().ok()?))
    };
    let ((a, b), (c, d)) = (pair(left)?, pair(right)?);
    Some((a, b, c, d))
}

/// The values of one record in `shape '[-1, 1, 8, 8]' is invalid for input of size 1`.
fn reshaped(words: &str) -> Option<i64> {
    let (_, rest) = words.split_once("shape '[")?;
    let (sizes, _) = rest.split_once("]' is invalid for input of size")?;
    let (_, record) = sizes.split_once(',')?;
    record.split(',').try_fold(1_i64, |product, size| {
        let size: i64 = size.trim().parse().ok()?;
        product.checked_mul(size).filter(|product| *product > 0)
    })
}

/// The number between two pieces of text.
fn after(words: &str, before: &str, behind: &str) -> Option<i64> {
    let rest = words.split(before).nth(1)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    rest.get(digits.len()..)?
        .starts_with(behind)
        .then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use fieldmark_supervisor::tensor_f32;

    use super::*;

    fn open(name: &str) -> Slot {
        Slot {
            name: name.into(),
            datatype: None,
            shape: None,
        }
    }

    #[test]
    fn a_model_that_hangs_is_not_asked_again() {
        let name = || "m".to_owned();
        let after = ANSWER_MAX;
        let slow = refusal(InferError::TimedOut { name: name(), after });
        assert!(matches!(slow, Refusal::End(words) if words.contains("no answer after 5 s")));
        let cause = "signal 11".to_owned();
        let crash = refusal(InferError::Crashed { name: name(), cause });
        assert!(matches!(crash, Refusal::Guess(words) if words.contains("signal 11")));
    }

    #[test]
    fn a_guess_that_fits_as_several_records_is_none() {
        let answers = |shape: &[i64]| is_one_record(&[tensor_f32("y", shape, &[])]);
        assert!(answers(&[1, 10]) && answers(&[1]) && answers(&[]));
        assert!(!answers(&[48, 10]) && !answers(&[0, 10]));
    }

    #[test]
    fn the_models_own_words_correct_a_guess() {
        let inputs = [open("x")];
        let next = |shape: &[i64], words: &str| {
            corrected(&filled(&inputs, "FP32", shape), &inputs, words).map(|guess| guess[0].shape.clone())
        };
        let words = "RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x1 and 64x10)";
        assert_eq!(next(&[-1, 1], words), Some(vec![-1, 64]));
        assert_eq!(next(&[-1, 64], words), None);
        let words = "expected input[1, 3, 32, 32] to have 1 channels, but got 3 channels instead";
        assert_eq!(next(&[-1, 3, 32, 32], words), Some(vec![-1, 1, 32, 32]));
        let words = "RuntimeError: shape '[-1, 1, 8, 8]' is invalid for input of size 1";
        assert_eq!(next(&[-1, 1], words), Some(vec![-1, 64]));
        assert_eq!(next(&[-1, 64], words), None);
        let words = "shape '[2, -1, 8]' is invalid for input of size 1";
        assert_eq!(next(&[-1, 1], words), None);
        assert_eq!(next(&[-1, 1], "ValueError: no"), None);
        assert_eq!(next(&[-1, 1], "to have 99999999999999999999 channels"), None);
    }
}
