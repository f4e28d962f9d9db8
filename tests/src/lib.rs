//! Fieldmark driven from outside: real processes on loopback, each with its own data folder.
//!
//! The end-to-end tests and `cargo xtask demo` are made of these parts. Everything is done with the
//! `fieldmark` command, as a user would by hand, and known from what it prints; no other package of the
//! workspace is used. No process outlives whoever started it: all run on a leash
//! (`src/bin/fieldmark-leash.rs`) and in process groups of their own.

mod answer;
mod browser;
mod digits;
mod models;
mod node;
mod participant;
mod people;
mod programs;
mod random;
mod server;
mod spec;
mod wait;

pub use answer::{Answer, answer};
pub use browser::{Browser, CHROMIUM, Page};
pub use digits::{Digits, LABELS, PIXEL_MAX, SIDE};
pub use models::{MODELS, Packages, packages, user_cache};
pub use node::{Node, NodeOptions, Ready};
pub use participant::Participant;
pub use people::{Nodes, People};
pub use programs::Programs;
pub use random::Random;
pub use server::{Held, Server};
pub use spec::{SLICES, Spec};
pub use wait::{PAUSE, together, until};
