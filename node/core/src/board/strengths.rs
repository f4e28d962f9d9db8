//! Bradley–Terry strengths on a board, for tasks that carry win counts of pairs.

use fieldmark_fl::bradley_terry::{self, Fit, NotEstimable};
use fieldmark_fl::interval::Release;
use fieldmark_fl::schema::Schema;
use fieldmark_protocol::task::Task;
use serde::Serialize;

use super::Fixed;

/// What holds for all strengths of a board.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Strengths {
    /// Whether any two models are told apart by their strengths.
    pub separable: bool,
    /// Whether pairs were compared on the same records, so that the worst-case dependence is taken.
    pub conservative: bool,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A model's strength: the logarithm of its odds against an average model of the board.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Strength {
    /// The estimate.
    pub value: Fixed,
    /// Lower end of its 95% interval, comparisons' chance and noise.
    pub lo: Fixed,
    /// Upper end.
    pub hi: Fixed,
    /// Best and worst rank by strength.
    pub rank: [u16; 2],
    /// Whether it never clearly won, or never clearly lost, so that an end leans on the prior.
    pub separated: bool,
}

/// What the board says of all strengths, and the strength of each model in the task's order; nothing for
/// tasks without win counts.
pub(super) fn of_models(task: &Task, schema: &Schema, sum: &[i128]) -> Option<(Strengths, Vec<Strength>)> {
    let aggregators = crate::params::noises(task);
    let release = Release::new(schema, sum, task.privacy.sigma_squared, aggregators).ok()?;
    Some(match bradley_terry::of_release(&release)? {
        Ok(fit) => (
            Strengths {
                separable: fit.separable,
                conservative: fit.conservative,
                reason: None,
            },
            strengths(&fit),
        ),
        Err(reason) => (
            Strengths {
                separable: false,
                conservative: false,
                reason: Some(words(reason).to_owned()),
            },
            Vec::new(),
        ),
    })
}

fn strengths(fit: &Fit) -> Vec<Strength> {
    let strength = |found: &bradley_terry::Strength| Strength {
        value: Fixed(found.value),
        lo: Fixed(found.interval.low),
        hi: Fixed(found.interval.high),
        rank: [found.rank.best, found.rank.worst],
        separated: found.separated,
    };
    fit.strengths.iter().map(strength).collect()
}

fn words(reason: NotEstimable) -> &'static str {
    match reason {
        NotEstimable::TooFewComparisons { .. } => "too few comparisons of some model for this noise",
        NotEstimable::NotConnected { .. } => "some models were never compared, not even by way of third ones",
        _ => "the noise in the comparisons leaves no strengths",
    }
}
