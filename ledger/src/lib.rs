//! The ledger of Fieldmark (design §4): author logs with their forks, and every view that is computed
//! from them: identities, catalogue, tasks, batches and the inputs of leaderboards.
//!
//! Everything here is a pure function over [`fieldmark_protocol::machine::Read`]. What changes the
//! store leaves as a batch that the caller persists. Every view depends on the set of held records
//! and proofs alone, never on the order in which they came.
//!
//! | module | owns |
//! | --- | --- |
//! | [`store`] | an in-memory store and overlays of uncommitted batches |
//! | [`log`] | taking records in, serving them, frontiers |
//! | [`effect`] | which held records count |
//! | [`index`] | the byte layout of the secondary indexes |
//! | [`payload`] | checked payloads that belong to no task |
//! | [`identity`], [`catalogue`], [`tasks`], [`batch`], [`board`] | the views |

pub mod batch;
pub mod board;
pub mod catalogue;
pub mod effect;
pub mod identity;
pub mod index;
pub mod log;
pub mod payload;
pub mod store;
pub mod tasks;

#[cfg(test)]
mod testing;
