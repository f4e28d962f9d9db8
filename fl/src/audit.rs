//! An empirical audit: a lower bound on the ε that a mechanism really has, from running it.
//!
//! A mechanism is run many times on two neighbouring inputs. If it is (ε, δ)-differentially private,
//! every event E has P(E) ≤ e^ε·P′(E) + δ, whichever of the two inputs comes first. So an event that is
//! much likelier on one input shows that ε is at least ln((P(E) − δ)/P′(E)). Events are
//! thresholds on scores that the caller computes from an output; for noise with a monotone likelihood
//! ratio, the score being the projection on the difference of the two answers, these are the best
//! events (Neyman and Pearson).
//!
//! The bound is valid, not only plausible: the event is chosen on the first half of the runs and its
//! probabilities are bounded on the second half by Clopper and Pearson (1934), each failing with half of
//! the stated probability (Jagielski, Ullman and Oprea 2020; Nasr et al. 2021). So it exceeds
//! the true ε with at most that probability, however many events were tried. A bound above the ε that
//! is claimed refutes the claim; one below it proves nothing.

use rand_core::CryptoRng;
use statrs::function::beta::beta_reg;
use thiserror::Error;

/// Most thresholds tried for a score and direction.
const THRESHOLDS_MAX: usize = 256;

/// Which of two neighbouring inputs a run is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// The record is there.
    With,
    /// It is not.
    Without,
}

/// How an audit is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AuditOptions {
    /// Runs on each input, at least 100.
    pub runs: usize,
    /// δ of the claim that is audited, in 0..1.
    pub delta: f64,
    /// Probability that the bound exceeds the true ε, above 0 and below 1.
    pub failure: f64,
}

/// Options that make no audit.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum AuditError {
    /// Too few runs.
    #[error("{found} runs, at least 100 are needed")]
    Runs {
        /// The number given.
        found: usize,
    },
    /// δ or the failure probability is out of range.
    #[error("the {what} is {found}, must be a probability below 1")]
    Probability {
        /// Which.
        what: &'static str,
        /// The value given.
        found: f64,
    },
}

/// The event that an audit found: a score at or beyond a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Number of the score.
    pub score: usize,
    /// The event is `score ≥ value` if set, `score ≤ value` if not.
    pub above: bool,
    /// The threshold.
    pub value: i128,
    /// The input on which the event is likelier.
    pub likelier: World,
}

/// What an audit found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// ε is at least this, but for the failure probability; 0 when nothing was found.
    pub epsilon: f64,
    /// The event that shows it.
    pub event: Threshold,
    /// Runs of the second half on the likelier input that were in the event.
    pub hits: usize,
    /// The same on the other input.
    pub misses: usize,
    /// Runs of the second half on each input.
    pub runs: usize,
}

impl Finding {
    /// Whether it refutes a claimed ε at the audit's δ.
    #[must_use]
    pub fn refutes(&self, claimed: f64) -> bool {
        self.epsilon > claimed
    }
}

/// Runs a mechanism on both inputs and bounds its ε from below. `run` gives the scores of one
/// output; a faulty mechanism shows itself only in scores that tell the inputs apart.
///
/// Memory: 32 bytes for each run and score.
///
/// # Errors
/// Options out of range.
///
/// ```
/// use fieldmark_fl::audit::{AuditOptions, World, lower_bound};
/// use fieldmark_fl::noise::{DiscreteLaplace, Ratio};
/// use rand_chacha::ChaCha20Rng;
/// use rand_core::SeedableRng;
/// let noise = DiscreteLaplace::new(Ratio::from(1))?; // ε = 1 for a sensitivity of 1
/// let options = AuditOptions { runs: 20_000, delta: 0.0, failure: 1e-3 };
/// let mut rng = ChaCha20Rng::from_seed([1; 32]);
/// let found = lower_bound(options, |world, rng| [i128::from(world == World::With) + noise.sample(rng)], &mut rng)?;
/// assert!(found.epsilon > 0.8 && !found.refutes(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn lower_bound<R: CryptoRng, const SCORES: usize>(
    options: AuditOptions,
    mut run: impl FnMut(World, &mut R) -> [i128; SCORES],
    rng: &mut R,
) -> Result<Finding, AuditError> {
    check(&options)?;
    let half = options.runs / 2;
    let mut half_of = |world, rng: &mut R| Half::of((0..half).map(|_| run(world, rng)));
    let chosen = {
        let with: Half<SCORES> = half_of(World::With, rng);
        let without = half_of(World::Without, rng);
        choose(&options, &with, &without)
    };
    let with: Half<SCORES> = half_of(World::With, rng);
    let without = half_of(World::Without, rng);
    let (likelier, other) = match chosen.likelier {
        World::With => (&with, &without),
        World::Without => (&without, &with),
    };
    let (hits, misses) = (likelier.count(&chosen), other.count(&chosen));
    let least = proportion_least(hits, half, options.failure / 2.0);
    let most = proportion_most(misses, half, options.failure / 2.0);
    Ok(Finding {
        epsilon: ratio_bound(least, most, options.delta),
        event: chosen,
        hits,
        misses,
        runs: half,
    })
}

fn check(options: &AuditOptions) -> Result<(), AuditError> {
    if options.runs < 100 {
        return Err(AuditError::Runs { found: options.runs });
    }
    let probability = |what, found| Err(AuditError::Probability { what, found });
    if !(0.0..1.0).contains(&options.delta) {
        return probability("delta", options.delta);
    }
    if !(options.failure > 0.0 && options.failure < 1.0) {
        return probability("failure", options.failure);
    }
    Ok(())
}

/// ln((p − δ)/q), 0 at least.
fn ratio_bound(p: f64, q: f64, delta: f64) -> f64 {
    if p <= delta {
        return 0.0;
    }
    libm::log((p - delta) / q).max(0.0)
}

/// The scores of half of the runs on one input, each score sorted.
struct Half<const SCORES: usize>([Vec<i128>; SCORES]);

impl<const SCORES: usize> Half<SCORES> {
    fn of(runs: impl Iterator<Item = [i128; SCORES]>) -> Self {
        let mut scores = [const { Vec::new() }; SCORES];
        for run in runs {
            for (of_score, score) in scores.iter_mut().zip(run) {
                of_score.push(score);
            }
        }
        for of_score in &mut scores {
            of_score.sort_unstable();
        }
        Self(scores)
    }

    fn count(&self, event: &Threshold) -> usize {
        let scores = self.0.get(event.score).map_or(&[][..], Vec::as_slice);
        if event.above {
            scores.len() - scores.partition_point(|&score| score < event.value)
        } else {
            scores.partition_point(|&score| score <= event.value)
        }
    }
}

/// The event that promises most on the first half, by the bounds of [`plausible`].
fn choose<const SCORES: usize>(
    options: &AuditOptions,
    with: &Half<SCORES>,
    without: &Half<SCORES>,
) -> Threshold {
    let runs = (options.runs / 2) as f64;
    let mut best = Threshold {
        score: 0,
        above: true,
        value: 0,
        likelier: World::With,
    };
    let mut most = f64::NEG_INFINITY;
    for (score, (a, b)) in with.0.iter().zip(&without.0).enumerate() {
        for value in thresholds(a, b) {
            for above in [true, false] {
                for likelier in [World::With, World::Without] {
                    let event = Threshold {
                        score,
                        above,
                        value,
                        likelier,
                    };
                    let (p, q) = (with.count(&event), without.count(&event));
                    let (p, q) = if likelier == World::With { (p, q) } else { (q, p) };
                    let (least, largest) = (plausible(p, -1.0) / runs, plausible(q, 1.0) / runs);
                    let promise = ratio_bound(least, largest, options.delta);
                    if promise > most {
                        (best, most) = (event, promise);
                    }
                }
            }
        }
    }
    best
}

/// The least (side −1) or largest (side 1) expected count of which a count is 3.3 standard deviations
/// away, by Wilson's interval for rare events.
fn plausible(count: usize, side: f64) -> f64 {
    const DEVIATIONS: f64 = 3.3;
    let half = DEVIATIONS * DEVIATIONS / 2.0;
    let count = count as f64;
    count + half + side * DEVIATIONS * libm::sqrt(count + half / 2.0)
}

/// Evenly spread quantiles of both halves, each once.
fn thresholds(a: &[i128], b: &[i128]) -> Vec<i128> {
    let step = (a.len() * 2 / THRESHOLDS_MAX).max(1);
    let mut values: Vec<i128> = a
        .iter()
        .step_by(step)
        .chain(b.iter().step_by(step))
        .copied()
        .collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// The least p for which seeing `hits` of `runs` or more has probability `failure` or more.
fn proportion_least(hits: usize, runs: usize, failure: f64) -> f64 {
    if hits == 0 {
        return 0.0;
    }
    let (hits, runs) = (hits as f64, runs as f64);
    // P(at least hits) is the regularised beta function I_p(hits, runs − hits + 1), rising in p.
    let too_rare = |p| beta_reg(hits, runs - hits + 1.0, p) < failure;
    bisect(too_rare).0
}

/// The largest p for which seeing `hits` of `runs` or fewer has probability `failure` or more.
fn proportion_most(hits: usize, runs: usize, failure: f64) -> f64 {
    if hits >= runs {
        return 1.0;
    }
    let (hits, runs) = (hits as f64, runs as f64);
    let common = |p| 1.0 - beta_reg(hits + 1.0, runs - hits, p) >= failure;
    bisect(common).1
}

/// The two ends of a short interval in which a property of 0..1, that holds below some number and not
/// above it, ends.
fn bisect(holds: impl Fn(f64) -> bool) -> (f64, f64) {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low, high)
}

#[cfg(test)]
mod tests;
