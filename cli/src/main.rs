//! The `fieldmark` command.
fn main() {}
