//! What an operator writes to pose a challenge, resolved into the task and challenge that are signed.
//! What it measures is in `spec/measures.rs`, what to expect of it before anything is signed in
//! `spec/plan.rs`.

use std::collections::BTreeSet;

use fieldmark_fl::privacy::{self, Delta, Epsilon, PrivacyError};
use fieldmark_fl::schema::{Schema, SchemaError, SchemaParams, Statistics as SchemaStatistics};
use fieldmark_ledger::catalogue::{self, ResolveError};
use fieldmark_ledger::identity::{self, Certified};
use fieldmark_node_core::params;
use fieldmark_protocol::address::Roles;
use fieldmark_protocol::challenge::{Challenge, Slice};
use fieldmark_protocol::machine::{Read, StoreError};
use fieldmark_protocol::task::{
    Aggregator, COMMITTEE_MAX, COMMITTEE_MIN, Eligibility, Privacy, Statistics, Task, TaskError,
};
use fieldmark_protocol::{PublicKey, RecordId};
use serde::{Deserialize, Serialize};

mod feedback;
mod measures;
mod plan;

pub use feedback::FeedbackSpec;
pub use plan::{GroupsCost, Plan, PlanOptions, PlanRow, StatisticRow, Verdict};

/// A challenge as its operator writes it (`SPEC.toml`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeSpec {
    /// Its name.
    pub name: String,
    /// The scenario, for people.
    #[serde(default)]
    pub scenario: String,
    /// The slice that stands for the laboratory.
    pub clean_slice: String,
    /// References to releases: `name`, `name@version`, `author/name` or a record id.
    pub models: Vec<String>,
    /// Aggregators, leader first: an identity, a node key, or a published name.
    pub committee: Vec<String>,
    /// ε per source record, 0.01 to 20.
    pub epsilon: f64,
    /// δ, 1e-12 to 1e-3.
    pub delta: f64,
    /// Most source records that one report may count.
    pub records_max: u32,
    /// Length of the window in seconds, from its opening.
    pub window_seconds: u64,
    /// How many seconds from now the window opens; until then the challenge is registered. Default: at once.
    #[serde(default)]
    pub opens_in_seconds: u64,
    /// Fewest reports that are released.
    pub min_batch: u32,
    /// Disjoint batches that the accepted reports are divided into, 1 to 16, each with at least `min_batch`
    /// reports and noise of its own: the board then shows how scores change when one is left out. Every
    /// group costs the whole noise once more. Default 1: no groups.
    #[serde(default = "one")]
    pub replicate_groups: u32,
    /// The window ends early with this many reports. Default: only by time.
    #[serde(default)]
    pub reports_expected: u32,
    /// Who may contribute: identities or published names. Absent: anyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eligible: Option<Vec<String>>,
    /// Instead of a list: whose endorsement as a contributor is needed, as identities or published names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endorsed_by: Option<Vec<String>>,
    /// How long the committee may take after the close, in seconds. Default: ten minutes.
    #[serde(default)]
    pub patience_seconds: u64,
    /// What a score is: `accuracy` (default), `brier-score`, `closeness`, `win-rate` or `preference`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Statistics beyond scores, by name; see the guide to metrics. Default: none.
    #[serde(default)]
    pub statistics: Vec<String>,
    /// Class names, in the order of tables; every model must know exactly these.
    #[serde(default)]
    pub classes: Vec<String>,
    /// The positive class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive: Option<String>,
    /// Groups compared for fairness.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Bins of histograms, 2 to 50. Default: 10 where a statistic has bins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bins: Option<u32>,
    /// Lowest and highest target of a regression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_range: Option<[f64; 2]>,
    /// Whether statistics beyond scores are kept apart by slice. Default: false.
    #[serde(default)]
    pub by_slice: bool,
    /// Whether records may lack views in some slices. Default: false.
    #[serde(default)]
    pub missing_views: bool,
    /// Squared sums for paired intervals. Default: true, unless views may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paired: Option<bool>,
    /// Confidence sums for calibration. Default: true for classes with every view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<bool>,
    /// Makes it a feedback window that recurs: one model, one slice called `field`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<FeedbackSpec>,
    /// The slices, in the order of the board.
    #[serde(rename = "slice")]
    pub slices: Vec<SliceSpec>,
}

const fn one() -> u32 {
    1
}

/// A slice of a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceSpec {
    /// Its name, as datasets have it.
    pub name: String,
    /// What condition it is.
    #[serde(default)]
    pub description: String,
}

/// A specification that makes no challenge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// A model is not known or not unique.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// An aggregator or contributor is not known.
    #[error(
        "committee or eligible: nobody called '{text}' is known here; give an identity, or connect to their node first"
    )]
    NoNode {
        /// As written.
        text: String,
    },
    /// Several fit.
    #[error("committee or eligible: '{text}' fits {}; give the key of the one that is meant", found.join(", "))]
    Several {
        /// As written.
        text: String,
        /// What fits.
        found: Vec<String>,
    },
    /// A feedback window about more than one model in use.
    #[error("feedback: a window from real use is about one model and has one slice, which is called 'field'")]
    Feedback,
    /// Too few or many aggregators.
    #[error(
        "committee: {COMMITTEE_MIN} to {COMMITTEE_MAX} aggregators are needed, {found} are named; with a single \
         one nothing would be private"
    )]
    Committee {
        /// How many.
        found: usize,
    },
    /// A list and endorsers.
    #[error("eligible and endorsed_by exclude each other; give one of them")]
    Eligibility,
    /// The identity has no node that aggregates.
    #[error(
        "committee: '{text}' has no node that aggregates; its owner makes one with `fieldmark init --role aggregator`"
    )]
    NoAggregator {
        /// As written.
        text: String,
    },
    /// The statistics make no schema.
    #[error("models, slices, records_max or statistics: {0}")]
    Schema(#[from] SchemaError),
    /// A metric or statistic is not known.
    #[error("{field}: '{found}' is not known; known are {known}")]
    Unknown {
        /// The key of the specification.
        field: &'static str,
        /// As written.
        found: String,
        /// What there is.
        known: String,
    },
    /// The metric cannot be had from what else is asked for.
    #[error(
        "metric: '{metric}' compares models with each other, which does not go with {with}; change one of the two"
    )]
    Disagree {
        /// The metric.
        metric: &'static str,
        /// What it disagrees with.
        with: String,
    },
    /// The positive class is none of the classes.
    #[error("positive: '{0}' is none of the classes")]
    Positive(String),
    /// The ends of a target range.
    #[error("target_range: it must be two finite numbers, the lower first, at most a billion in size")]
    TargetRange,
    /// What is measured does not fit together.
    #[error("metric or statistics: {0}")]
    Measures(#[source] TaskError),
    /// ε or δ is out of range.
    #[error("epsilon or delta: {0}")]
    Privacy(#[from] PrivacyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ChallengeSpec {
    fn schema(&self) -> Result<Schema, SpecError> {
        let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        Ok(Schema::new(&SchemaParams {
            models: count(self.models.len()),
            slices: count(self.slices.len()),
            cap: self.records_max,
            statistics: SchemaStatistics {
                paired: self.is_paired(),
                calibration: self.has_confidence(),
                extra: params::extra_params(&self.extra()?),
            },
        })?)
    }

    /// The privacy parameters: ε and δ rounded to what a task can carry, and the noise they need.
    fn privacy(&self, schema: &Schema) -> Result<Privacy, PrivacyError> {
        let (epsilon, delta) = (Epsilon::new(self.epsilon)?, Delta::new(self.delta)?);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be small and positive"
        )]
        let (epsilon_micro, delta_pico) = (
            (epsilon.value() * 1e6).round() as u64,
            (delta.value() * 1e12).round() as u64,
        );
        let l2_squared = schema.l2_sensitivity_squared();
        let mut privacy = Privacy {
            epsilon_micro,
            delta_pico,
            sigma_squared: 1,
            l2_squared,
        };
        let promised = (Epsilon::new(privacy.epsilon())?, Delta::new(privacy.delta())?);
        privacy.sigma_squared = privacy::calibrate(l2_squared, promised.0, promised.1)?.sigma_squared;
        Ok(privacy)
    }

    /// What needs neither node nor mathematics to be seen.
    fn check(&self) -> Result<(), SpecError> {
        let found = self.committee.len();
        if !(COMMITTEE_MIN..=COMMITTEE_MAX).contains(&found) {
            return Err(SpecError::Committee { found });
        }
        if self.eligible.is_some() && self.endorsed_by.is_some() {
            return Err(SpecError::Eligibility);
        }
        feedback::check(self)
    }

    /// Who may contribute.
    fn eligibility(&self, store: &dyn Read) -> Result<Eligibility, SpecError> {
        let keys = |list: &[String]| -> Result<BTreeSet<PublicKey>, SpecError> {
            list.iter().map(|text| identity_of(store, text)).collect()
        };
        Ok(match (&self.eligible, &self.endorsed_by) {
            (Some(list), _) => Eligibility::List(keys(list)?),
            (None, Some(list)) => Eligibility::EndorsedBy(keys(list)?),
            (None, None) => Eligibility::Open,
        })
    }

    /// The task and the challenge, with a window that opens at `now_ms`.
    ///
    /// # Errors
    /// [`SpecError`] naming what is not known here. Bounds are checked where the task is signed.
    pub fn resolve(&self, store: &dyn Read, now_ms: u64) -> Result<(Task, Challenge), SpecError> {
        self.check()?;
        let releases = self.models.iter().map(|text| catalogue::resolve(store, text));
        let statistics = Statistics {
            releases: releases.collect::<Result<Vec<RecordId>, _>>()?,
            slices: self.slices.iter().map(|s| s.name.clone()).collect(),
            records_max: self.records_max,
            paired: self.is_paired(),
            calibration: self.has_confidence(),
            extra: self.extra()?,
        };
        let metric = statistics.extra.score.name().to_owned();
        let committee = self.committee.iter().map(|text| aggregator(store, text));
        let opens_at_ms = now_ms.saturating_add(self.opens_in_seconds.saturating_mul(1_000));
        let task = Task {
            name: self.name.clone(),
            committee: committee.collect::<Result<_, _>>()?,
            statistics,
            privacy: self.privacy(&self.schema()?)?,
            eligibility: self.eligibility(store)?,
            min_batch: self.min_batch,
            reports_expected: self.reports_expected,
            opens_at_ms,
            closes_at_ms: opens_at_ms.saturating_add(self.window_seconds.saturating_mul(1000)),
            window: 0,
            patience_ms: self.patience_seconds.saturating_mul(1_000),
            recurrence: self.feedback.as_ref().map(FeedbackSpec::recurrence),
            replicate_groups: self.replicate_groups,
        };
        let slice = |s: &SliceSpec| Slice {
            name: s.name.clone(),
            description: s.description.clone(),
        };
        let challenge = Challenge {
            name: self.name.clone(),
            scenario: self.scenario.clone(),
            // Filled in when the task is signed.
            task: RecordId::new([0; 32]),
            slices: self.slices.iter().map(slice).collect(),
            clean_slice: self.clean_slice.clone(),
            metric,
            previous: None,
        };
        Ok((task, challenge))
    }
}

/// The identity that a key or published name means.
fn identity_of(store: &dyn Read, text: &str) -> Result<PublicKey, SpecError> {
    if let Ok(key) = text.parse::<PublicKey>() {
        return Ok(key);
    }
    let mut found = Vec::new();
    for key in identity::identities(store)? {
        if identity::name(store, &key)?.as_deref() == Some(text) {
            found.push(key);
        }
    }
    match found.as_slice() {
        [] => Err(SpecError::NoNode {
            text: text.to_owned(),
        }),
        [one] => Ok(*one),
        several => {
            let found = several.iter().map(PublicKey::to_string).collect();
            Err(SpecError::Several {
                text: text.to_owned(),
                found,
            })
        }
    }
}

/// The seat that a node key, an identity or a published name means.
fn aggregator(store: &dyn Read, text: &str) -> Result<Aggregator, SpecError> {
    let seat = |c: &Certified| Aggregator {
        identity: c.identity,
        node_key: c.certificate.node_key,
        hpke_key: c.certificate.hpke_key,
    };
    if let Ok(key) = text.parse::<PublicKey>()
        && let Some(certified) = identity::certificate(store, &key)?
    {
        return Ok(seat(&certified));
    }
    let nodes = identity::nodes_of(store, &identity_of(store, text)?)?;
    if nodes.is_empty() {
        return Err(SpecError::NoNode {
            text: text.to_owned(),
        });
    }
    let aggregates = |c: &&Certified| c.certificate.roles.has(Roles::AGGREGATOR);
    let fit: Vec<&Certified> = nodes.iter().filter(aggregates).collect();
    match fit.as_slice() {
        [] => Err(SpecError::NoAggregator {
            text: text.to_owned(),
        }),
        [one] => Ok(seat(one)),
        several => {
            let found = several
                .iter()
                .map(|c| c.certificate.node_key.to_string())
                .collect();
            Err(SpecError::Several {
                text: text.to_owned(),
                found,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = r#"
name = "digits-in-the-field"
clean_slice = "clean"
models = ["a", "b", "c"]
committee = ["x", "y", "z"]
epsilon = 2.0
delta = 1e-6
records_max = 400
window_seconds = 60
min_batch = 5
[[slice]]
name = "clean"
[[slice]]
name = "blur"
"#;

    #[test]
    fn more_records_narrow_the_plan() {
        let spec: ChallengeSpec = toml::from_str(SPEC).unwrap();
        let plan = spec.plan(&PlanOptions::default()).unwrap();
        let [few, .., many] = plan.expected.as_slice() else {
            panic!("{plan:?}")
        };
        assert!(few.records < many.records && few.field > many.field && many.field > 0.0);
    }

    #[test]
    fn a_committee_of_one_or_six_gets_no_plan() {
        for members in [1, 6] {
            let mut spec: ChallengeSpec = toml::from_str(SPEC).unwrap();
            spec.committee = (0..members).map(|n| format!("a{n}")).collect();
            let error = spec.plan(&PlanOptions::default()).unwrap_err();
            assert!(
                matches!(error, SpecError::Committee { found } if found == members),
                "{error}"
            );
        }
    }

    #[test]
    fn a_metric_that_disagrees_with_what_is_measured_gets_no_plan() {
        let refused = |more: &str| {
            let spec: ChallengeSpec =
                toml::from_str(&SPEC.replace("epsilon =", &format!("{more}\nepsilon ="))).unwrap();
            spec.plan(&PlanOptions::default()).unwrap_err().to_string()
        };
        let confusion = "metric = \"preference\"\nstatistics = [\"confusion\"]\nclasses = [\"x\", \"y\"]";
        assert!(refused(confusion).contains("does not go with statistic 'confusion'"));
        let range = "metric = \"accuracy\"\ntarget_range = [0.0, 1.0]";
        assert!(refused(range).contains("right answers"), "{}", refused(range));
        assert!(refused("metric = \"closeness\"").contains("target range"));
        assert!(refused("metric = \"speed\"").contains("'speed' is not known"));
        let alone = SPEC.replace("[\"a\", \"b\", \"c\"]", "[\"a\"]\nmetric = \"win-rate\"");
        let alone: ChallengeSpec = toml::from_str(&alone).unwrap();
        let error = alone.plan(&PlanOptions::default()).unwrap_err().to_string();
        assert!(error.contains("a single model"), "{error}");
    }

    #[test]
    fn a_list_and_endorsers_exclude_each_other() {
        let text = SPEC.replace(
            "epsilon =",
            "eligible = [\"a\"]\nendorsed_by = [\"b\"]\nepsilon =",
        );
        let spec: ChallengeSpec = toml::from_str(&text).unwrap();
        assert!(matches!(
            spec.plan(&PlanOptions::default()),
            Err(SpecError::Eligibility)
        ));
    }

    #[test]
    fn a_bad_epsilon_or_a_misspelt_key_is_named() {
        let mut spec: ChallengeSpec = toml::from_str(SPEC).unwrap();
        spec.epsilon = -1.0;
        assert!(matches!(
            spec.plan(&PlanOptions::default()),
            Err(SpecError::Privacy(_))
        ));
        let error = toml::from_str::<ChallengeSpec>(&SPEC.replace("epsilon", "epsilonn")).unwrap_err();
        assert!(error.to_string().contains("epsilonn"), "{error}");
    }
}
