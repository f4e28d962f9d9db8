//! The challenge of the demo, as a file for `fieldmark challenge create`.

use std::fmt::Write as _;

/// Slices and what they stand for, the clean one first.
pub const SLICES: [(&str, &str); 5] = [
    ("clean", "as scanned"),
    ("low-light", "little light, and the noise that comes with it"),
    ("blur", "out of focus"),
    ("occlusion", "part of the image is covered"),
    ("sensor-noise", "a cheap or hot sensor"),
];

/// A challenge to be written.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// The releases, as `name@version`.
    pub models: Vec<String>,
    /// Identities of the aggregators, the leader first.
    pub committee: Vec<String>,
    /// Identities of those who may contribute.
    pub eligible: Vec<String>,
    /// ε per contributor's source record.
    pub epsilon: f64,
    /// Most source records of a report.
    pub records_max: u32,
    /// Length of the window.
    pub window_seconds: u32,
    /// Fewest reports that are released.
    pub min_batch: u32,
    /// Reports that end the window early.
    pub reports_expected: u32,
    /// Replicate groups; 1: none.
    pub replicate_groups: u32,
}

impl Spec {
    /// The file's text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let list = |items: &[String]| {
            items
                .iter()
                .map(|item| format!("    {item:?},\n"))
                .collect::<String>()
        };
        let mut text = format!(
            "name = {name:?}\n\
             scenario = \"Handwritten digits read in the field: five companies, five conditions.\"\n\
             clean_slice = \"clean\"\n\
             models = [\n{models}]\n\
             # The leader first. One honest aggregator keeps the reports private.\n\
             committee = [\n{committee}]\n\
             eligible = [\n{eligible}]\n\
             epsilon = {epsilon:?}\n\
             delta = 1e-6\n\
             records_max = {records_max}\n\
             # The window ends with the expected reports, or after this time.\n\
             window_seconds = {window_seconds}\n\
             reports_expected = {reports_expected}\n\
             min_batch = {min_batch}\n\
             replicate_groups = {replicate_groups}\n\
             paired = true\n\
             calibration = true\n",
            name = self.name,
            models = list(&self.models),
            committee = list(&self.committee),
            eligible = list(&self.eligible),
            epsilon = self.epsilon,
            records_max = self.records_max,
            window_seconds = self.window_seconds,
            reports_expected = self.reports_expected,
            min_batch = self.min_batch,
            replicate_groups = self.replicate_groups,
        );
        for (name, description) in SLICES {
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "\n[[slice]]\nname = {name:?}\ndescription = {description:?}\n"
            );
        }
        text
    }
}
