//! Drift of a model in use: are its inputs and scores still those that its author saw?
//!
//! A [`Reference`] holds, for each feature (a number taken from each row: a value, a mean, the confidence of
//! an answer), how often it fell into which bin when the release was made. A [`Watch`] counts the same of what
//! is served now, over a sliding window, and compares the two by χ² and KS. A difference is called drift
//! when it exceeds what chance alone makes with so many records, not a fixed number: see [`comparison`].
//! [`calibration`] does the same for how often confident answers are right, once truths arrive. [`outlyingness`] puts
//! all features of an input into one number, for reports to others.
//!
//! What this deliberately does not know: tensors, and how a feature is computed from one. Metrics of released
//! (noisy) counts are [`crate::metrics`].

pub mod calibration;
pub mod comparison;
pub mod outlyingness;
pub mod reference;
pub mod watch;

pub use calibration::{Calibration, CalibrationFinding};
pub use comparison::Finding;
pub use outlyingness::Outlyingness;
pub use reference::{Collector, Distribution, Reference, ReferenceError};
pub use watch::Watch;

/// Probability of a false alarm among all features of a release at one look, split among them evenly.
pub const LEVEL: f64 = 0.001;
