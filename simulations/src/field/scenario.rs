//! A challenge-level scenario: its file, its checks, the layout of its reports, and which views records lack.

use std::path::Path;

use fieldmark_fl::schema::{Details, Extra, RecordOutcome, Schema, SchemaParams, Statistics, ViewOutcome};
use serde::Deserialize;

use super::FieldError;

/// Most clients of a scenario.
const CLIENTS_MAX: u32 = 10_000_000;
/// Most windows, and most groups.
const PARTS_MAX: u16 = 64;

/// A challenge-level scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldScenario {
    /// `challenge`.
    pub(super) level: String,
    /// Its name.
    pub(super) name: String,
    /// Clients of each window.
    pub(super) clients: u32,
    /// Mean number of records of a client in a window.
    pub(super) records: u32,
    /// ε per record.
    pub(super) epsilon: f64,
    /// δ.
    pub(super) delta: f64,
    /// Aggregators, each of whom adds the whole noise.
    pub(super) aggregators: u8,
    /// Replicate groups; 1: none.
    #[serde(default = "one")]
    pub(super) groups: u16,
    /// Windows.
    #[serde(default = "one")]
    pub(super) windows: u16,
    /// The models.
    pub(super) model: Vec<ModelPlan>,
    /// The slices.
    pub(super) slice: Vec<SlicePlan>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelPlan {
    pub(super) name: String,
    /// Φ of it is the rate under no harshness.
    pub(super) skill: f64,
    /// Change of the skill from window to window.
    #[serde(default)]
    pub(super) drift: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SlicePlan {
    pub(super) name: String,
    /// How much a unit of a site's severity takes from the skill.
    pub(super) harshness: f64,
    /// The share of records that have a view in the slice, 0 to 1; those of the first slice all have one.
    #[serde(default = "whole")]
    pub(super) share: f64,
}

fn one() -> u16 {
    1
}

fn whole() -> f64 {
    1.0
}

/// Whether a scenario file is of the challenge level.
#[must_use]
pub fn is_challenge_level(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Level {
        level: Option<String>,
    }
    toml::from_str::<Level>(text).is_ok_and(|head| head.level.as_deref() == Some("challenge"))
}

impl FieldScenario {
    /// Reads and checks a scenario file.
    ///
    /// # Errors
    /// [`FieldError`] naming the field.
    pub fn read(path: &Path) -> Result<Self, FieldError> {
        Self::parse(&std::fs::read_to_string(path)?)
    }

    /// Reads and checks a scenario.
    ///
    /// # Errors
    /// As [`FieldScenario::read`].
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let scenario: Self = toml::from_str(text)?;
        let within = |field, found: u64, least: u64, most: u64| {
            if (least..=most).contains(&found) {
                Ok(())
            } else {
                Err(FieldError::Range {
                    field,
                    found,
                    least,
                    most,
                })
            }
        };
        within("clients", scenario.clients.into(), 1, CLIENTS_MAX.into())?;
        within("records", scenario.records.into(), 1, 100_000)?;
        within("aggregators", scenario.aggregators.into(), 2, 5)?;
        within("groups", scenario.groups.into(), 1, PARTS_MAX.into())?;
        within("windows", scenario.windows.into(), 1, PARTS_MAX.into())?;
        within("level", u64::from(scenario.level == "challenge"), 1, 1)?;
        let skills = scenario.model.iter().flat_map(|model| [model.skill, model.drift]);
        let mut numbers = skills.chain(scenario.slice.iter().map(|slice| slice.harshness));
        if numbers.any(|number| !number.is_finite()) {
            return Err(FieldError::NotFinite);
        }
        for (at, slice) in scenario.slice.iter().enumerate() {
            if !(0.0..=1.0).contains(&slice.share) || (at == 0 && slice.share < 1.0) {
                let (slice, found) = (slice.name.clone(), slice.share);
                return Err(FieldError::Share { slice, found });
            }
        }
        Schema::new(&scenario.layout())?;
        Ok(scenario)
    }

    pub(super) fn layout(&self) -> SchemaParams {
        let missing_views = self.slice.iter().any(|slice| slice.share < 1.0);
        SchemaParams {
            models: u16::try_from(self.model.len()).unwrap_or(u16::MAX),
            slices: u16::try_from(self.slice.len()).unwrap_or(u16::MAX),
            cap: self.records.saturating_mul(2),
            statistics: Statistics {
                paired: !missing_views,
                extra: Extra {
                    missing_views,
                    ..Extra::default()
                },
                ..Statistics::default()
            },
        }
    }

    /// What is left of outcomes where records lack views.
    pub(super) fn with_views(
        &self,
        outcomes: &[RecordOutcome],
        mut unit: impl FnMut() -> f64,
    ) -> Vec<RecordOutcome> {
        let view = |right: bool| ViewOutcome {
            correct: right,
            ..ViewOutcome::default()
        };
        let seen = |outcome: &RecordOutcome| {
            let has: Vec<bool> = self.slice.iter().map(|slice| unit() < slice.share).collect();
            let views = |row: &Vec<bool>| {
                let cells = row.iter().zip(&has);
                cells.map(|(right, has)| has.then(|| view(*right))).collect()
            };
            RecordOutcome::detailed(Details {
                views: outcome.correct.iter().map(views).collect(),
                ..Details::default()
            })
        };
        outcomes.iter().map(seen).collect()
    }
}
