//! Loads a served model as the MLPerf Inference rules do, and measures what it does (Reddi et al. 2020).
//!
//! | scenario | how queries come | figure |
//! | --- | --- | --- |
//! | single stream | the next when the one before is answered | 90th percentile of latency |
//! | multi-stream | as above, with eight samples each | 99th percentile of latency of a query |
//! | server | at random, with exponential pauses (a Poisson process) | most queries a second with 99% in time |
//! | offline | as many at a time as are taken | samples a second |
//!
//! What is loaded is a [`System`]: a pool in this process, or a server over [`http`]. Arrivals come from a
//! generator with a published seed, so that a run can be repeated. Latency in the server scenario counts from
//! when a query was due, not from when it could be sent, so a system that falls behind cannot hide it.
//!
//! Deliberately not here: what a sample is, and whether answers are right.

mod arrivals;
mod energy;
pub mod http;
mod plot;
mod report;
mod scenario;

pub use energy::energy_microjoules;
pub use plot::plot;
pub use report::{Figure, Latency, Report};
pub use scenario::{Options, SEED, Scenario, run};

/// What is loaded.
pub trait System: Send + Sync + 'static {
    /// Answers one sample; an error is a line for a person.
    fn ask(&self) -> impl Future<Output = Result<(), String>> + Send;
}
