//! The system's tools that a build needs, and how to get those that are missing.

use std::env;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// A tool, the programs any of which provides it, and its install line.
struct Tool {
    name: &'static str,
    programs: &'static [&'static str],
    variable: Option<&'static str>,
    install: &'static str,
}

const RUST: Tool = Tool {
    name: "Rust",
    programs: &["rustc"],
    variable: None,
    install: "see https://rustup.rs",
};

const C: Tool = Tool {
    name: "gcc",
    programs: &["gcc"],
    variable: None,
    install: "apt install gcc, dnf install gcc, or pacman -S gcc",
};

const CPP: Tool = Tool {
    name: "g++",
    programs: &["g++", "c++"],
    variable: Some("CXX"),
    install: "apt install g++, dnf install gcc-c++, or pacman -S gcc",
};

/// jemalloc is built with it.
const MAKE: Tool = Tool {
    name: "make",
    programs: &["make"],
    variable: None,
    install: "apt install make, dnf install make, or pacman -S make",
};

const PYTHON: Tool = Tool {
    name: "Python 3",
    programs: &["python3"],
    variable: None,
    install: "apt install python3, dnf install python3, or pacman -S python",
};

const PIP_INSTALL: &str = "apt install python3-pip, dnf install python3-pip, or pacman -S python-pip";

/// Checks all tools; Python and pip only if something has to be downloaded, as asking pip takes long.
///
/// # Errors
/// Names every missing tool with its install line.
pub(super) fn check(downloads: bool) -> Result<()> {
    let mut missing: Vec<(&str, &str)> = Vec::new();
    for tool in [RUST, C, CPP, MAKE] {
        if !found(&tool) {
            missing.push((tool.name, tool.install));
        }
    }
    if downloads {
        if !found(&PYTHON) {
            missing.push((PYTHON.name, PYTHON.install));
            missing.push(("pip", PIP_INSTALL));
        } else if !has_pip() {
            missing.push(("pip", PIP_INSTALL));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!(report(&missing));
}

fn found(tool: &Tool) -> bool {
    let named = tool
        .variable
        .is_some_and(|variable| env::var_os(variable).is_some());
    named
        || tool
            .programs
            .iter()
            .any(|program| process::find_in_path(program).is_some())
}

fn has_pip() -> bool {
    process::output(Command::new("python3").args(["-m", "pip", "--version"]))
        .is_ok_and(|done| done.status.success())
}

fn report(missing: &[(&str, &str)]) -> String {
    let lines = missing
        .iter()
        .map(|(name, install)| format!("\n  {name:<9} {install}"));
    format!(
        "these tools are missing; install them and run this again:{}",
        lines.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_missing_tools_are_named_with_their_install_lines() {
        let text = report(&[("g++", "apt install g++"), ("pip", PIP_INSTALL)]);
        assert!(text.contains("g++       apt install g++"));
        assert!(text.contains("python3-pip"));
    }
}
