//! What the runtime `python` needs beside the package: an interpreter of this machine, and an environment of
//! wheels built from the package's locked requirements.
//!
//! The interpreter is the user's own and trusted; it is asked outside of isolation what it is. Everything that
//! comes from a package or an index is read and run inside the sandbox alone.

mod environment;
mod interpreter;
mod lock;

pub use environment::{EnvironmentError, Environments};
pub use interpreter::{Interpreter, InterpreterError};
pub use lock::{Lock, LockError, Requirement};

/// Name of the locked requirements inside a package folder.
pub const REQUIREMENTS_FILE: &str = "requirements.txt";
