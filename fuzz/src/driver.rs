//! Runs targets on mutated inputs, catches what they must not do, and keeps the inputs that did it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::memory::{PER_INPUT_BYTE, peak_of};
use crate::mutate::mutated;
use crate::targets::Target;

/// How long and from which seed.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Most mutated inputs.
    pub runs: u64,
    /// Longest time.
    pub time: Duration,
    /// Makes the inputs.
    pub seed: u64,
}

/// An input that a target does not take as it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which target.
    pub target: &'static str,
    /// The input.
    pub input: Vec<u8>,
    /// What it did.
    pub what: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let input = hex::encode(&self.input);
        write!(f, "target {}: {}; input {input}", self.target, self.what)
    }
}

impl std::error::Error for Failure {}

/// Where failing inputs are kept.
#[must_use]
pub fn regressions(target: &Target) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    folder.join(target.name)
}

/// Runs a target on one input.
///
/// # Errors
/// [`Failure`] when it panics or holds too much memory.
pub fn replay(target: &Target, input: &[u8]) -> Result<(), Failure> {
    let fails = |what| Failure {
        target: target.name,
        input: input.to_vec(),
        what,
    };
    let mut ended = Ok(());
    let peak = peak_of(|| {
        ended = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    });
    if let Err(panic) = ended {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        return Err(fails(format!("panicked: {}", said.unwrap_or("without a word"))));
    }
    let most = target
        .held_max
        .saturating_add(input.len().saturating_mul(PER_INPUT_BYTE));
    if peak > most {
        return Err(fails(format!("held {peak} bytes at once, {most} allowed")));
    }
    Ok(())
}

/// Runs a target on everything known, on the kept failures, then on mutations of both. Returns how many
/// inputs ran.
///
/// # Errors
/// The first [`Failure`].
pub fn fuzz(target: &Target, options: Options) -> Result<u64, Failure> {
    let mut known = (target.known)();
    known.extend(kept(target));
    let mut runs = 0;
    for input in &known {
        replay(target, input)?;
        runs += 1;
    }
    let mut seed = [0; 32];
    let name = target.name.as_bytes();
    for (place, byte) in seed.iter_mut().zip(options.seed.to_le_bytes().iter().chain(name)) {
        *place = *byte;
    }
    let mut rng = ChaCha20Rng::from_seed(seed);
    let start = Instant::now();
    for _ in 0..options.runs {
        if start.elapsed() >= options.time {
            break;
        }
        replay(target, &mutated(&mut rng, &known))?;
        runs += 1;
    }
    Ok(runs)
}

/// Inputs of `regressions/TARGET`, by file name.
fn kept(target: &Target) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(regressions(target)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::BYTES_MAX;

    fn planted(run: fn(&[u8])) -> Target {
        Target {
            name: "planted",
            about: "",
            run,
            known: || vec![b"fieldmark".to_vec()],
            held_max: BYTES_MAX,
        }
    }

    const OPTIONS: Options = Options {
        runs: 2_000,
        time: Duration::from_secs(60),
        seed: 1,
    };

    #[test]
    fn a_panic_is_found_with_its_input() {
        let target = planted(|bytes| assert!(bytes.len() != 8, "eight"));
        let failure = fuzz(&target, OPTIONS).unwrap_err();
        assert_eq!(
            (failure.input.len(), failure.what.as_str()),
            (8, "panicked: eight")
        );
        assert_eq!(replay(&target, &failure.input), Err(failure));
    }

    #[test]
    fn a_length_that_is_believed_is_found() {
        let target = planted(|bytes| {
            let length = bytes
                .first_chunk()
                .map_or(0, |b: &[u8; 4]| u32::from_be_bytes(*b));
            drop(std::hint::black_box(Vec::<u8>::with_capacity(length as usize)));
        });
        let failure = fuzz(&target, OPTIONS).unwrap_err();
        assert!(failure.what.starts_with("held "), "{failure}");
    }

    #[test]
    fn a_good_target_runs_as_often_as_it_is_asked() {
        assert_eq!(fuzz(&planted(|_| ()), OPTIONS), Ok(2_001));
    }
}
