//! A server of the Open Inference Protocol, version 2, over pools of isolated runners: REST with the binary
//! tensor extension, and gRPC, from one request type ([`Request`]) and one failure type ([`Failure`]).
//!
//! A [`Repository`] holds what is served; [`rest`] and [`grpc`] are its two faces, and [`serve`] puts one of
//! them onto a socket. This crate knows neither nodes nor ledgers nor package folders: what is served comes
//! as a [`Servable`], by name through a [`Catalog`]; whoever wants to look at answers is an [`Observer`].
//!
//! What is hostile here: every byte of a request, and everything that a model returns. Bodies, heads, queues,
//! connections and the memory of all bodies together are bounded; outputs are compared with what the model
//! declares before anybody gets them.

mod failure;
pub mod grpc;
mod guard;
mod listen;
mod memory;
mod metrics;
mod observer;
mod options;
mod page;
mod pool;
mod repository;
mod request;
pub mod rest;
mod servable;
mod statistics;
mod tensor;

pub use failure::{Failure, Kind};
pub use fieldmark_supervisor::Content;
pub use fieldmark_tensors::{Parameter, Parameters, TensorSpec};
pub use listen::{Face, Stop, serve};
pub use observer::{Catalog, Observer, Offered};
pub use options::ServerOptions;
pub use page::Page;
pub use repository::{Lease, Listed, ReplicaSnapshot, Repository, Snapshot, State, VersionSnapshot};
pub use request::{Answer, Request, Wanted};
pub use servable::{PoolOptions, Servable};
pub use statistics::{BatchTotal, Counts, Latency, Timing, Total};
pub use tensor::Tensor;

/// Name of the server in its metadata.
pub const SERVER_NAME: &str = "fieldmark";
/// Version of the server in its metadata.
pub const SERVER_VERSION: &str = env!("CARGO_PKG_VERSION");
/// Extensions of the protocol that are offered.
pub const EXTENSIONS: [&str; 5] = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "statistics",
];
