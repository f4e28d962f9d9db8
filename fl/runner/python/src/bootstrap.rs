//! The Python source that the interpreter starts with, in the order in which its parts use each other. It needs the
//! standard library alone; `src/tests.rs` runs it.

const WIRE: &str = include_str!("bootstrap/wire.py");
const TENSORS: &str = include_str!("bootstrap/tensors.py");
const CONFINE: &str = include_str!("bootstrap/confine.py");

/// Serves a release.
pub(crate) const SERVE: &[&str] = &[WIRE, TENSORS, CONFINE, include_str!("bootstrap/serve.py")];
/// Installs an environment.
pub(crate) const INSTALL: &[&str] = &[CONFINE, include_str!("bootstrap/install.py")];
