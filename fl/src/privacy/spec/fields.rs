//! Parameters of one mechanism, each taken once; what is left at the end is an error.

use serde_json::{Map, Value};

use super::super::relation::Relation;
use super::{SpecError, USES_MAX, canonical};

/// The parameters that have not been taken yet.
#[derive(Debug)]
pub(crate) struct Fields {
    pub(super) mechanism: String,
    left: Map<String, Value>,
}

impl Fields {
    pub(crate) fn new(mechanism: &str, left: Map<String, Value>) -> Self {
        Self {
            mechanism: mechanism.to_owned(),
            left,
        }
    }

    pub(crate) fn take(&mut self, field: &str) -> Option<Value> {
        self.left.remove(field)
    }

    pub(crate) fn missing(&self, field: &'static str) -> SpecError {
        SpecError::Missing {
            mechanism: self.mechanism.clone(),
            field,
        }
    }

    pub(crate) fn optional_number(&mut self, field: &'static str) -> Result<Option<f64>, SpecError> {
        let Some(value) = self.take(field) else {
            return Ok(None);
        };
        let number = value
            .as_f64()
            .filter(|number| number.is_finite() && *number > 0.0);
        number
            .map(Some)
            .ok_or_else(|| wrong(field, &value, "a number above 0"))
    }

    pub(crate) fn number(&mut self, field: &'static str) -> Result<f64, SpecError> {
        self.optional_number(field)?.ok_or_else(|| self.missing(field))
    }

    pub(crate) fn optional_whole(&mut self, field: &'static str) -> Result<Option<u64>, SpecError> {
        let Some(value) = self.take(field) else {
            return Ok(None);
        };
        let whole = value.as_u64().filter(|number| (1..=USES_MAX).contains(number));
        whole
            .map(Some)
            .ok_or_else(|| wrong(field, &value, "a whole number from 1 to 1000000000"))
    }

    pub(crate) fn whole(&mut self, field: &'static str) -> Result<u64, SpecError> {
        self.optional_whole(field)?.ok_or_else(|| self.missing(field))
    }

    /// How often it is used: `field`, or `count`, 1 by default.
    pub(super) fn count(&mut self, field: &'static str) -> Result<u64, SpecError> {
        let own = self.optional_whole(field)?;
        let count = match own {
            Some(_) => own,
            None => self.optional_whole("count")?,
        };
        Ok(count.unwrap_or(1))
    }

    /// The scale of a discrete Laplace, given as `scale`, or as its inverse `parameter_a`, or both.
    pub(super) fn laplace_scale(&mut self) -> Result<f64, SpecError> {
        let (scale, rate) = (
            self.optional_number("scale")?,
            self.optional_number("parameter_a")?,
        );
        match (scale, rate) {
            (Some(scale), Some(rate)) if (scale * rate - 1.0).abs() > 1e-9 => Err(SpecError::Contradiction {
                first: "scale",
                second: "parameter_a",
            }),
            (_, Some(rate)) => Ok(1.0 / rate),
            (Some(scale), None) => Ok(scale),
            (None, None) => Err(self.missing("scale")),
        }
    }

    /// The relation named, or the one the mechanism is for.
    pub(super) fn relation(&mut self) -> Result<Relation, SpecError> {
        let Some(value) = self.take("neighbouring") else {
            return Ok(match canonical(&self.mechanism) {
                "sampled_without_replacement_gaussian" | "randomized_response" => Relation::ReplaceOneRecord,
                _ => Relation::AddOrRemoveOneRecord,
            });
        };
        match value.as_str() {
            Some("add_or_remove_one") => Ok(Relation::AddOrRemoveOneRecord),
            Some("replace_one") => Ok(Relation::ReplaceOneRecord),
            Some("replace_by_zero") => Ok(Relation::ReplaceReportByZero),
            _ => Err(SpecError::Relation {
                found: value.to_string(),
            }),
        }
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), SpecError> {
        match self.left.into_iter().next() {
            None => Ok(()),
            Some((field, _)) => Err(SpecError::Leftover {
                mechanism: self.mechanism,
                field,
            }),
        }
    }
}

pub(crate) fn wrong(field: &str, found: &Value, wanted: &'static str) -> SpecError {
    SpecError::Type {
        field: field.to_owned(),
        found: found.to_string(),
        wanted,
    }
}
