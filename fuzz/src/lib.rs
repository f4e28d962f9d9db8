//! Fuzz targets, one for each decoder of bytes that come from the network, the disk or a user, and a small
//! driver that mutates known inputs. It runs on the stable compiler.
//!
//! A target must return for whatever bytes: a panic is a bug, and so is memory that does not follow from
//! the input's size (see [`memory`]). The same seed makes the same inputs. An input that once failed is
//! kept in `regressions/TARGET/` and runs with every test.
//!
//! What mutation without coverage feedback does not do: it finds no path that needs many exact bytes at
//! once. Signed bytes are therefore fuzzed behind their signatures: payload decoders are targets of their
//! own.

pub mod driver;
pub mod memory;
pub mod mutate;
pub mod targets;

pub use driver::{Failure, Options, fuzz, replay};
pub use targets::{TARGETS, Target, target};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;
