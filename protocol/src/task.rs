//! Tasks: the signed description of one private aggregation, fixed before the first report
//! (design §7). An aggregator or contributor acts only on a task that passed these checks.

use std::collections::BTreeSet;

use prost::Message;

use crate::decode::{self, DecodeError};
use crate::id::IdError;
use crate::record::PAYLOAD_BYTES_MAX;
use crate::text::{self, TextError};
use crate::{PublicKey, wire};

mod convert;
mod kinds;
mod recurrence;
mod statistics;

pub use kinds::{ScoreKind, Statistic};
pub use recurrence::{PERIOD_MS, Recurrence, WINDOWS_MAX};
pub use statistics::{BINS_MAX, CLASSES_MAX, Extra, GROUPS_MAX, Statistics, TARGET_MICRO_MAX, TargetRange};

/// Version of the reports, proofs and seals that this package describes.
pub const PROTOCOL_VERSION: u32 = 1;
/// Fewest aggregators: with one there is no privacy.
pub const COMMITTEE_MIN: usize = 2;
/// Most aggregators.
pub const COMMITTEE_MAX: usize = 5;
/// Most releases of a task.
pub const RELEASES_MAX: usize = 16;
/// Most slices of a task.
pub const SLICES_MAX: usize = 32;
/// Most source records one report may count.
pub const RECORDS_MAX: u32 = 1_000_000;
/// Most identities on a list of eligible contributors.
pub const ELIGIBLE_MAX: usize = 400;
/// Most reports of one batch: what the conclusion of a batch, one message with an id for each, has room
/// for. More contributors take part in more windows.
pub const REPORTS_MAX: u32 = 100_000;
/// Most replicate groups of a task.
pub const REPLICATE_GROUPS_MAX: u32 = 16;
/// Smallest and largest ε a task may promise, in millionths: 0.01 to 20.
pub const EPSILON_MICRO: (u64, u64) = (10_000, 20_000_000);
/// Smallest and largest δ, in units of 1e-12: 1e-12 to 1e-3.
pub const DELTA_PICO: (u64, u64) = (1, 1_000_000_000);
/// Longest window: 366 days.
pub const WINDOW_MS_MAX: u64 = 366 * 24 * 3600 * 1000;
/// How long the committee may take after the close when the task does not say: ten minutes.
pub const PATIENCE_MS: u64 = 600_000;
/// Least and most that a task may say: ten seconds to a week.
pub const PATIENCE_MS_RANGE: (u64, u64) = (10_000, 7 * 24 * 3600 * 1000);
/// The role in which an endorsement makes an identity eligible.
pub const CONTRIBUTOR_ROLE: &str = "contributor";
/// Contributors stop this long before the deadline, for clocks that differ.
pub const SKEW_MS: u64 = 2_000;

/// A task that nobody should take part in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The bytes do not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A name is not allowed.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A key or id has the wrong length.
    #[error("{field} is not an id")]
    Id {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        #[source]
        source: IdError,
    },
    /// A protocol version this program does not speak.
    #[error("the task uses protocol version {found}, this program speaks {PROTOCOL_VERSION}; update it")]
    Version {
        /// The version found.
        found: u32,
    },
    /// Too few or many aggregators; one alone would see every report.
    #[error(
        "a committee has {COMMITTEE_MIN} to {COMMITTEE_MAX} aggregators, this one {found}; \
         with a single aggregator nothing would be private"
    )]
    Committee {
        /// How many.
        found: usize,
    },
    /// Two seats of the committee are one party's.
    #[error("aggregators need distinct identities, node keys and HPKE keys; {key} sits twice")]
    SameAggregator {
        /// The repeated key.
        key: PublicKey,
    },
    /// A number outside its bounds.
    #[error("{what} is {found}, it must be {min} to {max}")]
    Range {
        /// What.
        what: &'static str,
        /// Least.
        min: u64,
        /// Most.
        max: u64,
        /// Found.
        found: u64,
    },
    /// Something listed twice or out of order.
    #[error("{what} are listed twice or out of order")]
    Order {
        /// What.
        what: &'static str,
    },
    /// A unit, relation or eligibility this version does not know.
    #[error("{what} {found} is not known")]
    Unknown {
        /// What.
        what: &'static str,
        /// Its number.
        found: u64,
    },
    /// More groups than reports can fill.
    #[error(
        "{groups} replicate groups with at least {min_batch} reports each need {needed} reports, only {most} \
         {what}; take fewer groups or a smaller minimum batch"
    )]
    Groups {
        /// Groups.
        groups: u32,
        /// Fewest reports of each.
        min_batch: u32,
        /// Their product.
        needed: u64,
        /// Most reports there can be.
        most: u64,
        /// Why there are no more.
        what: &'static str,
    },
    /// A part of the message is missing.
    #[error("the task has no {0}")]
    Missing(&'static str),
    /// A statistic or score needs something that the task does not say.
    #[error("the task measures {what}, which needs {needs}")]
    Needs {
        /// The statistic or score.
        what: &'static str,
        /// What is missing.
        needs: &'static str,
    },
}

/// A member of a committee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aggregator {
    /// Who answers for it.
    pub identity: PublicKey,
    /// The node that does the work.
    pub node_key: PublicKey,
    /// What shares are sealed to.
    pub hpke_key: PublicKey,
}

/// Who may contribute.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Eligibility {
    /// Any identity: the minimum batch protects nobody.
    Open,
    /// These identities.
    List(BTreeSet<PublicKey>),
    /// Whom one of these identities endorsed as a contributor, in effect until the window closes. Which
    /// endorsements there are is the ledger's knowledge.
    EndorsedBy(BTreeSet<PublicKey>),
}

impl Eligibility {
    /// Whether the task alone admits `identity`; `None` when that is for endorsements to say.
    #[must_use]
    pub fn admits(&self, identity: &PublicKey) -> Option<bool> {
        match self {
            Self::Open => Some(true),
            Self::List(list) => Some(list.contains(identity)),
            Self::EndorsedBy(_) => None,
        }
    }

    /// Its name in output.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::List(_) => "list",
            Self::EndorsedBy(_) => "endorsed-by",
        }
    }
}

/// Under which privacy. The unit is one source record with all that is derived from it; neighbours
/// differ by adding or removing one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Privacy {
    /// ε in millionths.
    pub epsilon_micro: u64,
    /// δ in units of 1e-12.
    pub delta_pico: u64,
    /// Squared scale of each aggregator's discrete Gaussian, in weighted units.
    pub sigma_squared: u64,
    /// Squared L2 sensitivity the scale was calibrated for, in weighted units.
    pub l2_squared: u64,
}

impl Privacy {
    /// ε as a number.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "bounded by 2e7, exact in f64")]
    pub fn epsilon(&self) -> f64 {
        self.epsilon_micro as f64 / 1e6
    }

    /// δ as a number.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "bounded by 1e9, exact in f64")]
    pub fn delta(&self) -> f64 {
        self.delta_pico as f64 / 1e12
    }
}

/// A checked Task payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its name, for people.
    pub name: String,
    /// Leader first.
    pub committee: Vec<Aggregator>,
    /// What is measured.
    pub statistics: Statistics,
    /// Under which privacy.
    pub privacy: Privacy,
    /// Who may contribute.
    pub eligibility: Eligibility,
    /// Fewest accepted reports that are released.
    pub min_batch: u32,
    /// The window ends early with this many; 0: only by time.
    pub reports_expected: u32,
    /// Reports are taken from here (the leader's clock).
    pub opens_at_ms: u64,
    /// Until here.
    pub closes_at_ms: u64,
    /// Number of the window, from 0.
    pub window: u64,
    /// How long the committee may take after the close, in milliseconds; 0: [`PATIENCE_MS`].
    pub patience_ms: u64,
    /// How it comes again; `None` for a task of its own.
    pub recurrence: Option<Recurrence>,
    /// Replicate groups: disjoint batches that the accepted reports are divided into, each with at least
    /// the minimum batch and with full noise, 1 to [`REPLICATE_GROUPS_MAX`]. 1: no groups. The variance of
    /// the noise in the total is multiplied by them.
    pub replicate_groups: u32,
}

impl Task {
    /// Fewest accepted reports with which anything is released: the minimum batch for every group.
    #[must_use]
    pub fn reports_needed(&self) -> u64 {
        u64::from(self.min_batch) * u64::from(self.replicate_groups)
    }

    /// Whether the accepted reports are divided into groups.
    #[must_use]
    pub const fn has_groups(&self) -> bool {
        self.replicate_groups > 1
    }

    /// Until when the committee may take, by the clocks of its members: a batch without any public share
    /// is aborted then, and a seat whose share is missing is late.
    #[must_use]
    pub fn due_at_ms(&self) -> u64 {
        let patience = if self.patience_ms == 0 {
            PATIENCE_MS
        } else {
            self.patience_ms
        };
        self.closes_at_ms.saturating_add(patience)
    }

    /// Decodes and checks a payload.
    ///
    /// # Errors
    /// [`TaskError`] naming the field.
    pub fn decode(payload: &[u8]) -> Result<Self, TaskError> {
        let wire: wire::Task = decode::bounded("a task", payload, PAYLOAD_BYTES_MAX)?;
        if wire.protocol_version != PROTOCOL_VERSION {
            return Err(TaskError::Version {
                found: wire.protocol_version,
            });
        }
        let task = convert::from_wire(wire)?;
        task.check()?;
        Ok(task)
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// [`TaskError`] naming the field.
    pub fn check(&self) -> Result<(), TaskError> {
        text::name("the task's name", &self.name)?;
        self.check_committee()?;
        self.statistics.check()?;
        let p = &self.privacy;
        range(
            "epsilon (in millionths)",
            EPSILON_MICRO.0,
            EPSILON_MICRO.1,
            p.epsilon_micro,
        )?;
        range(
            "delta (in units of 1e-12)",
            DELTA_PICO.0,
            DELTA_PICO.1,
            p.delta_pico,
        )?;
        range("the squared noise scale", 1, 1 << 60, p.sigma_squared)?;
        range("the squared sensitivity", 1, 1 << 60, p.l2_squared)?;
        range(
            "the minimum batch",
            2,
            u64::from(REPORTS_MAX),
            u64::from(self.min_batch),
        )?;
        self.check_reports()?;
        if let Eligibility::EndorsedBy(endorsers) = &self.eligibility {
            let found = endorsers.len() as u64;
            range("the number of endorsers", 1, ELIGIBLE_MAX as u64, found)?;
        }
        if self.patience_ms != 0 {
            let (least, most) = PATIENCE_MS_RANGE;
            range(
                "the committee's patience in milliseconds",
                least,
                most,
                self.patience_ms,
            )?;
        }
        let length = self.closes_at_ms.saturating_sub(self.opens_at_ms);
        if let Some(recurrence) = &self.recurrence {
            recurrence.check(self.window, length)?;
        }
        range("the window's length in milliseconds", 1, WINDOW_MS_MAX, length)
    }

    /// Every group must be able to have the minimum batch.
    fn check_reports(&self) -> Result<(), TaskError> {
        range(
            "the number of replicate groups",
            1,
            u64::from(REPLICATE_GROUPS_MAX),
            u64::from(self.replicate_groups),
        )?;
        let expected = (self.reports_expected != 0).then_some(u64::from(self.reports_expected));
        let listed = match &self.eligibility {
            Eligibility::List(list) => Some(list.len() as u64),
            _ => None,
        };
        let least = u64::from(self.min_batch);
        if let Some(expected) = expected {
            let most = u64::from(REPORTS_MAX);
            range("the number of expected reports", least, most, expected)?;
        }
        if let Some(listed) = listed {
            let most = ELIGIBLE_MAX as u64;
            range("the number of eligible contributors", least, most, listed)?;
        }
        let most = [
            ("reports fit into a batch", Some(u64::from(REPORTS_MAX))),
            ("reports are expected", expected),
            ("contributors are eligible", listed),
        ];
        for (what, most) in most {
            if let Some(most) = most.filter(|most| *most < self.reports_needed()) {
                return Err(TaskError::Groups {
                    groups: self.replicate_groups,
                    min_batch: self.min_batch,
                    needed: self.reports_needed(),
                    most,
                    what,
                });
            }
        }
        Ok(())
    }

    fn check_committee(&self) -> Result<(), TaskError> {
        let found = self.committee.len();
        if !(COMMITTEE_MIN..=COMMITTEE_MAX).contains(&found) {
            return Err(TaskError::Committee { found });
        }
        for key in [
            |a: &Aggregator| a.identity,
            |a: &Aggregator| a.node_key,
            |a: &Aggregator| a.hpke_key,
        ] {
            let mut seen = BTreeSet::new();
            for aggregator in &self.committee {
                if !seen.insert(key(aggregator)) {
                    return Err(TaskError::SameAggregator { key: key(aggregator) });
                }
            }
        }
        Ok(())
    }

    /// The payload bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        convert::to_wire(self).encode_to_vec()
    }

    /// The seat of the aggregator with this node key; 0 leads.
    #[must_use]
    pub fn seat(&self, node_key: &PublicKey) -> Option<usize> {
        self.committee.iter().position(|a| a.node_key == *node_key)
    }

    /// The leader; a checked task always has one.
    #[must_use]
    pub fn leader(&self) -> Option<&Aggregator> {
        self.committee.first()
    }
}

fn range(what: &'static str, min: u64, max: u64, found: u64) -> Result<(), TaskError> {
    if found < min || found > max {
        return Err(TaskError::Range {
            what,
            min,
            max,
            found,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
