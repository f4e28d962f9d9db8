//! What readers give: source records with their target, group, attributes and views.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What the column `label` of a dataset holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// The name of a class.
    #[default]
    Class,
    /// A number to be predicted.
    Value,
    /// Which of two answers was preferred: `a`, `b` or `tie`.
    Preference,
}

impl TargetKind {
    /// Its name: `class`, `value` or `preference`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Value => "value",
            Self::Preference => "preference",
        }
    }

    /// The kind of a name; `None` when there is none.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Class, Self::Value, Self::Preference]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// Which of two answers was preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preference {
    /// The first.
    A,
    /// The second.
    B,
    /// Neither.
    Tie,
}

impl Preference {
    /// Its name: `a`, `b` or `tie`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::Tie => "tie",
        }
    }
}

/// The truth about one source record.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// The name of its class.
    Class(String),
    /// A finite number.
    Value(f64),
    /// Which of two answers was preferred.
    Preference(Preference),
}

impl Target {
    /// The class; `None` for other kinds.
    #[must_use]
    pub fn class(&self) -> Option<&str> {
        match self {
            Self::Class(label) => Some(label),
            _ => None,
        }
    }

    /// The number; `None` for other kinds.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(*value),
            _ => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(label) => f.write_str(label),
            Self::Value(value) => write!(f, "{value}"),
            Self::Preference(preference) => f.write_str(preference.name()),
        }
    }
}

/// What a model is given of one view of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum View {
    /// Features, all finite; an image is channel by channel, row by row.
    Numbers(Vec<f32>),
    /// A text.
    Text(String),
}

impl View {
    /// The features; `None` for a text.
    #[must_use]
    pub fn numbers(&self) -> Option<&[f32]> {
        match self {
            Self::Numbers(numbers) => Some(numbers),
            Self::Text(_) => None,
        }
    }

    /// The text; `None` for features.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Numbers(_) => None,
            Self::Text(text) => Some(text),
        }
    }

    /// Bytes of its features or text.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Numbers(numbers) => size_of_val(numbers.as_slice()),
            Self::Text(text) => text.len(),
        }
    }
}

/// One source record with all its views.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Its id.
    pub record_id: String,
    /// The truth about it.
    pub target: Target,
    /// Its group for fairness statistics; `None` when it has none.
    pub group: Option<String>,
    /// Columns that are no features, by name; a missing value is absent.
    pub attributes: BTreeMap<String, String>,
    /// Views by slice. A record may lack slices: it is absent there.
    pub views: BTreeMap<String, View>,
}
