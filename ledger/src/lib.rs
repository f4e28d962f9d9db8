//! The ledger of Fieldmark (design §4): author logs with their forks, and every view that is computed
//! from them: identities, catalogue, tasks, batches and the inputs of leaderboards.
//!
//! Everything here is a pure function over [`fieldmark_protocol::machine::Read`]. What changes the
//! store leaves as a batch that the caller persists. Every view depends on the set of held records
//! and proofs alone, never on the order in which they came.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use fieldmark_ledger::log::{self, Ingest};
//! use fieldmark_ledger::{identity, payload::Profile, store::MemoryStore};
//! use fieldmark_protocol::machine::Store;
//! use fieldmark_protocol::{Kind, Record, SecretKey};
//!
//! let (key, mut store) = (SecretKey::from_seed(&[1; 32]), MemoryStore::new());
//! let profile = Profile { name: "Ada's Lab".into(), about: String::new() };
//! let prev = log::last(&store, &key.public())?;
//! let record = Record::sign(&key, key.public(), prev, Kind::Profile, profile.encode(), 0);
//! if let Ingest::Stored(batch) = log::ingest(&store, &record)? {
//!     store.commit(&batch)?;
//! }
//! assert_eq!(identity::name(&store, &key.public())?.as_deref(), Some("Ada's Lab"));
//! # Ok(())
//! # }
//! ```
//!
//! | module | owns |
//! | --- | --- |
//! | [`store`] | an in-memory store and overlays of uncommitted batches |
//! | [`log`] | taking records in and reading them |
//! | [`effect`] | which held records count |
//! | [`frontier`] | comparing what nodes hold, and serving it |
//! | [`index`] | the byte layout of the secondary indexes |
//! | [`payload`] | checked payloads that belong to no task |
//! | [`addresses`], [`identity`], [`catalogue`], [`issues`], [`tasks`], [`series`], [`batch`], [`board`] | the views |

pub mod addresses;
pub mod batch;
pub mod board;
pub mod catalogue;
pub mod effect;
pub mod endorsement;
pub mod frontier;
pub mod identity;
pub mod index;
pub mod issues;
pub mod log;
pub mod payload;
pub mod series;
pub mod store;
pub mod tasks;

#[cfg(test)]
mod testing;
