//! A Fieldmark node: the shells around the machines of `fieldmark-node-core`.
//!
//! [`run()`] opens a data folder ([`home`]), starts the network, the blob plane, the runners and HTTP, and
//! gives one dedicated thread the machines and the store. The shells translate and decide nothing.

pub mod core_thread;
mod downloads;
pub mod drift;
pub mod evaluate;
pub mod export;
pub mod handle;
pub mod home;
pub mod http;
mod network;
mod run;
pub mod runners;
mod sketch;
pub mod speed;
mod trust;
pub mod webhook;

pub use handle::{NodeHandle, Ready, Status};
pub use run::{NodeError, RunOptions, run};
