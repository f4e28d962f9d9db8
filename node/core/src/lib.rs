//! The machines of a Fieldmark node put together, without IO (design §3).
//!
//! [`NodeCore`] takes an [`io::Input`] and yields [`io::Output`]s; [`driver::Driver`] joins it to a
//! store so that nothing leaves before what it rests on is durable. The node's shells and the
//! simulator drive the very same structs. There is no socket, task, file, clock or entropy here.

pub mod addresses;
pub mod author;
pub mod blobs;
pub mod board;
pub mod budgets;
pub mod compute;
pub mod context;
pub mod contributor;
pub mod datasets;
pub mod driver;
pub mod feedback;
pub mod helper;
pub mod io;
mod issues;
pub mod leader;
pub mod lifecycle;
pub mod limits;
#[cfg(test)]
mod lone_node;
pub mod news;
pub mod node;
pub mod params;
pub mod reveal;
pub mod rpc;
pub mod seat;
pub mod served;
pub mod spending;
pub mod subscriptions;
pub mod sync;

#[cfg(test)]
mod testing;

pub use node::{NodeCore, NodeOptions};
