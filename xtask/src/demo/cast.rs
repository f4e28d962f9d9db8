//! Who plays in the demo.

use std::ops::Range;

/// What a participant does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Publishes a model.
    Researcher,
    /// Opens the challenge and leads its committee.
    Operator,
    /// Sits on the committee.
    Aggregator,
    /// Contributes a report about private data.
    Company,
}

impl Part {
    /// Roles of the node in `fieldmark init`.
    pub(super) fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Researcher => &["provider"],
            Self::Operator | Self::Aggregator => &["aggregator", "provider"],
            Self::Company => &["contributor", "provider"],
        }
    }
}

/// A researcher and the model that is theirs.
pub(super) const RESEARCHERS: [(&str, &str); 3] = [("ada", "logistic"), ("bruno", "mlp"), ("chiara", "cnn")];
/// The operator.
pub(super) const OPERATOR: &str = "northgate";
/// The independent aggregators.
pub(super) const AGGREGATORS: [&str; 2] = ["oakbridge", "pinecrest"];

/// A company, and how hard each condition is where it works (1 to 5).
pub(super) struct Company {
    /// Its name.
    pub(super) name: &'static str,
    /// As `fieldmark dataset views --severity-of` takes it.
    pub(super) severities: &'static str,
}

/// The companies.
pub(super) const COMPANIES: [Company; 5] = [
    Company {
        name: "atlas",
        severities: "low-light=3,blur=3,occlusion=2,sensor-noise=3",
    },
    Company {
        name: "boreal",
        severities: "low-light=5,blur=2,occlusion=3,sensor-noise=3",
    },
    Company {
        name: "cobalt",
        severities: "low-light=2,blur=4,occlusion=3,sensor-noise=4",
    },
    Company {
        name: "dockside",
        severities: "low-light=3,blur=3,occlusion=4,sensor-noise=2",
    },
    Company {
        name: "ember",
        severities: "low-light=4,blur=3,occlusion=3,sensor-noise=4",
    },
];

/// Rows of the digits that the researchers train on.
pub(super) const TRAINING: Range<usize> = 0..560;
/// Rows that are dealt to the companies; the rest is used by nobody.
pub(super) const FIELD: Range<usize> = 560..1760;
/// Images of each company.
pub(super) const IMAGES: usize = 240;

/// Everyone, in the order in which they come on.
pub(super) fn everyone() -> Vec<(&'static str, Part)> {
    let operator = [(OPERATOR, Part::Operator)];
    let aggregators = AGGREGATORS.map(|name| (name, Part::Aggregator));
    let researchers = RESEARCHERS.map(|(name, _)| (name, Part::Researcher));
    let companies = COMPANIES.map(|company| (company.name, Part::Company));
    operator
        .into_iter()
        .chain(aggregators)
        .chain(researchers)
        .chain(companies)
        .collect()
}
