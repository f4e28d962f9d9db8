//! Privacy, secure aggregation, metrics and ranking of Fieldmark.
//!
//! A task's statistics are one bounded integer vector ([`schema`]). A contributor measures its
//! records, shards the sum among k aggregators with a proof of its bounds ([`vdaf`], [`seal`]),
//! and each aggregator adds exact discrete Gaussian noise ([`noise`]) calibrated to the task's
//! (ε, δ) ([`privacy`]), which the contributor's filter has charged ([`budget`]). The sum of the
//! k noisy shares is read as scores with intervals ([`interval`]), further metrics ([`metrics`]), rank
//! sets ([`rank`]) and a table ([`board`]).
//!
//! Other mechanisms (randomised response, values on a grid, adaptive clipping, tree sums) are in
//! [`mechanism`]; [`audit`] bounds the ε of any mechanism from below by running it.
//!
//! Everything here is pure: no socket, file, clock, thread or entropy of its own; randomness
//! arrives as seeds or generators. What the package deliberately does not know: identities,
//! signatures, records of the ledger and wire messages.

pub mod audit;
pub mod board;
pub mod bradley_terry;
pub mod budget;
pub mod corrupt;
pub mod coverage;
pub mod drift;
pub mod interval;
pub mod jobs;
pub mod mechanism;
pub mod metrics;
pub mod noise;
pub mod normal;
pub mod plan;
pub mod privacy;
pub mod rank;
pub mod regression;
pub mod schema;
pub mod seal;
pub mod synthetic;
pub mod vdaf;
