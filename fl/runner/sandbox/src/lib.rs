//! What every runner shares: the layers of isolation, the conversation with the supervisor, shared memory,
//! and the order in which they come.
//!
//! A runner binary is a [`Runtime`] (how to open its libraries, how to load a release) and a call of [`run`].
//! [`run`] warms the runtime up with one thread, maps the shared memory, puts every layer in place, checks
//! them, and only then takes the first untrusted byte: the artifact, over descriptor 3. So a release has no
//! file to read, not even its own.
//!
//! A runtime that is another program (an interpreter) uses [`isolation`] by itself: it enters the layers with
//! the folders it needs granted, then executes the program, which adds the filter of
//! [`isolation::no_execute_program`] before it runs anything untrusted.
//!
//! It does not know what a release is, does not time requests and keeps no state between them: that is the
//! supervisor's part. It links no framework.

mod arena;
mod devices;
mod entry;
mod failure;
mod frame;
mod inputs;
pub mod isolation;
mod options;
mod outputs;
mod runtime;
mod self_test;
mod serve;
mod tensor;

#[doc(hidden)]
pub mod decoders;
#[doc(hidden)]
pub mod testing;

pub use devices::{Library, gpu_reach};
pub use entry::{complain, run};
pub use failure::Failure;
pub use fieldmark_proto::v1::{RunnerFailureCode as FailureCode, RunnerLoad};
pub use inputs::{Content, Dense, Input, in_order};
pub use options::{Device, IsolationMode, Options};
pub use outputs::Outputs;
pub use runtime::{Model, Reach, Runtime};
pub use tensor::{Datatype, OUTPUTS_MAX, bytes_of};
