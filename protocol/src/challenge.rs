//! Challenges: several models, one real scenario, measured by a task.

use prost::Message;

use crate::decode::{self, DecodeError};
use crate::id::IdError;
use crate::record::PAYLOAD_BYTES_MAX;
use crate::task::{SLICES_MAX, ScoreKind};
use crate::text::{self, TextError};
use crate::{RecordId, wire};

/// A challenge that cannot be shown or run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChallengeError {
    /// The bytes do not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A name or text is not allowed.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The task is not an id.
    #[error("the challenge's task is not an id")]
    Task(#[source] IdError),
    /// The previous challenge is not an id.
    #[error("the challenge's previous window is not an id")]
    Previous(#[source] IdError),
    /// No slice, or too many.
    #[error("a challenge describes 1 to {SLICES_MAX} slices")]
    Slices,
    /// The clean slice is none of the slices.
    #[error("the clean slice {clean:?} is none of the challenge's slices, which are {}; name one of them", found.join(", "))]
    CleanSlice {
        /// The clean slice.
        clean: String,
        /// Names of the slices.
        found: Vec<String>,
    },
    /// A metric this version does not know.
    #[error("metric '{0}' is not known; known are {known}", known = ScoreKind::ALL.map(ScoreKind::name).join(", "))]
    Metric(String),
}

/// A slice with words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Its name, as the task has it.
    pub name: String,
    /// What condition it is.
    pub description: String,
}

/// A checked Challenge payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Its name.
    pub name: String,
    /// The scenario, for people.
    pub scenario: String,
    /// The Task record that measures it.
    pub task: RecordId,
    /// The slices, in the task's order.
    pub slices: Vec<Slice>,
    /// The slice that stands for the laboratory.
    pub clean_slice: String,
    /// What a score is, the name of a [`ScoreKind`]; the same as the task's score.
    pub metric: String,
    /// The Challenge record whose next window this is. Only one of the same author is followed.
    pub previous: Option<RecordId>,
}

impl Challenge {
    /// Decodes and checks a payload.
    ///
    /// # Errors
    /// [`ChallengeError`] naming the field.
    pub fn decode(payload: &[u8]) -> Result<Self, ChallengeError> {
        let wire: wire::Challenge = decode::bounded("a challenge", payload, PAYLOAD_BYTES_MAX)?;
        let slice = |s: wire::SliceText| Slice {
            name: s.name,
            description: s.description,
        };
        let challenge = Self {
            name: wire.name,
            scenario: wire.scenario,
            task: RecordId::from_slice(&wire.task).map_err(ChallengeError::Task)?,
            slices: wire.slices.into_iter().map(slice).collect(),
            clean_slice: wire.clean_slice,
            metric: wire.metric,
            previous: match wire.previous.as_slice() {
                [] => None,
                id => Some(RecordId::from_slice(id).map_err(ChallengeError::Previous)?),
            },
        };
        challenge.check()?;
        Ok(challenge)
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// [`ChallengeError`] naming the field.
    pub fn check(&self) -> Result<(), ChallengeError> {
        text::name("the challenge's name", &self.name)?;
        text::free("the scenario", &self.scenario, 4096)?;
        for slice in &self.slices {
            text::name("a slice's name", &slice.name)?;
            text::free("a slice's description", &slice.description, 512)?;
        }
        if !(1..=SLICES_MAX).contains(&self.slices.len()) {
            return Err(ChallengeError::Slices);
        }
        if self.slices.iter().all(|s| s.name != self.clean_slice) {
            return Err(ChallengeError::CleanSlice {
                clean: self.clean_slice.clone(),
                found: self.slices.iter().map(|s| s.name.clone()).collect(),
            });
        }
        if ScoreKind::parse(&self.metric).is_none() {
            return Err(ChallengeError::Metric(self.metric.clone()));
        }
        Ok(())
    }

    /// The payload bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let slice = |s: &Slice| wire::SliceText {
            name: s.name.clone(),
            description: s.description.clone(),
        };
        wire::Challenge {
            name: self.name.clone(),
            scenario: self.scenario.clone(),
            task: self.task.to_vec(),
            slices: self.slices.iter().map(slice).collect(),
            clean_slice: self.clean_slice.clone(),
            metric: self.metric.clone(),
            previous: self.previous.map(|id| id.to_vec()).unwrap_or_default(),
        }
        .encode_to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_survives_its_payload_and_needs_its_clean_slice() {
        let slice = |name: &str| Slice {
            name: name.into(),
            description: String::new(),
        };
        let mut challenge = Challenge {
            name: "digits-in-the-field".into(),
            scenario: "Digits under bad light.".into(),
            task: RecordId::new([4; 32]),
            slices: vec![slice("clean"), slice("blur")],
            clean_slice: "clean".into(),
            metric: "accuracy".into(),
            previous: None,
        };
        assert_eq!(Challenge::decode(&challenge.encode()).unwrap(), challenge);
        let first = challenge.encode();
        challenge.previous = Some(RecordId::new([9; 32]));
        assert_eq!(Challenge::decode(&challenge.encode()).unwrap(), challenge);
        let link = [&[0x3a, 32][..], &[9; 32]].concat();
        assert_eq!(
            challenge.encode(),
            [first, link].concat(),
            "field 7 is the previous window; without it the bytes are as before"
        );
        challenge.clean_slice = "laboratory".into();
        let refused = Challenge::decode(&challenge.encode()).unwrap_err().to_string();
        assert!(
            refused.contains("\"laboratory\"") && refused.contains("clean, blur"),
            "{refused}"
        );
        challenge.slices.clear();
        assert_eq!(
            Challenge::decode(&challenge.encode()),
            Err(ChallengeError::Slices)
        );
    }
}
