//! The interpreter that runs models: the user's own `python3`, asked what it is.
//!
//! A virtual environment's interpreter, or a wrapper in front of several, is followed to the one behind it: what
//! was installed there by hand is no part of any model. The program is executed as the user who asks, outside of
//! isolation, with no code of a package.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

/// The oldest minor version of Python 3 that runs models.
const MINOR_MIN: u32 = 9;
/// What the interpreter is asked. It answers with one line of JSON.
const QUESTION: &str = r#"
import json, os, sys, sysconfig
executable = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
print(json.dumps({
    "version": "%d.%d.%d" % sys.version_info[:3],
    "implementation": sys.implementation.name,
    "abi": sysconfig.get_config_var("SOABI") or sys.implementation.cache_tag or "",
    "platform": sysconfig.get_platform(),
    "executable": executable,
}))
"#;

/// No interpreter that runs models.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterpreterError {
    /// It cannot be executed.
    #[error("cannot run {}: {cause}; install Python 3.{MINOR_MIN} or later, or name one with --python", path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// It answers something else.
    #[error("{} is no Python 3.{MINOR_MIN} or later: {detail}; name another with --python", path.display())]
    Answer {
        /// The program.
        path: PathBuf,
        /// What it said.
        detail: String,
    },
    /// The package wants another version.
    #[error(
        "the package wants Python {wanted}, {} is {found}; name one that fits with --python, or change 'python' in \
         fieldmark.toml if the model runs on {found} too",
        path.display()
    )]
    Version {
        /// The program.
        path: PathBuf,
        /// What the manifest says.
        wanted: String,
        /// The interpreter's version.
        found: String,
    },
}

/// An interpreter of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Interpreter {
    /// Its version, such as `3.11.7`.
    pub version: String,
    /// `cpython` and the like.
    pub implementation: String,
    /// What compiled modules are made for, such as `cpython-311-x86_64-linux-gnu`.
    pub abi: String,
    /// The platform of wheels, such as `linux-x86_64`.
    pub platform: String,
    /// The program itself, links followed.
    pub executable: PathBuf,
}

impl Interpreter {
    /// Asks `program`, a name looked for on the `PATH` or a path.
    ///
    /// # Errors
    /// [`InterpreterError::Start`] and [`InterpreterError::Answer`].
    pub fn find(program: &Path) -> Result<Self, InterpreterError> {
        let path = || program.to_owned();
        let start = |cause: String| InterpreterError::Start { path: path(), cause };
        let output = Command::new(program)
            .args(["-I", "-B", "-c", QUESTION])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| start(error.to_string()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(start(said.lines().last().unwrap_or("it failed").to_owned()));
        }
        let answer = |detail: String| InterpreterError::Answer { path: path(), detail };
        let found: Self =
            serde_json::from_slice(&output.stdout).map_err(|error| answer(error.to_string()))?;
        let numbers: Vec<u32> = found
            .version
            .split('.')
            .filter_map(|part| part.parse().ok())
            .collect();
        match numbers.as_slice() {
            [3, minor, _] if *minor >= MINOR_MIN && found.executable.is_absolute() => Ok(found),
            _ => Err(answer(format!("it says it is {}", found.version))),
        }
    }

    /// Checks what a manifest wants: `3.11` takes every 3.11, `3.11.7` only that one.
    ///
    /// # Errors
    /// [`InterpreterError::Version`].
    pub fn fits(&self, wanted: Option<&str>) -> Result<(), InterpreterError> {
        let Some(wanted) = wanted else { return Ok(()) };
        let same = self
            .version
            .split('.')
            .zip(wanted.split('.'))
            .all(|(found, wanted)| found == wanted);
        if same {
            return Ok(());
        }
        Err(InterpreterError::Version {
            path: self.executable.clone(),
            wanted: wanted.to_owned(),
            found: self.version.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_the_package_does_not_want_is_named() {
        let interpreter = Interpreter {
            version: "3.11.7".into(),
            implementation: "cpython".into(),
            abi: String::new(),
            platform: String::new(),
            executable: "/usr/bin/python3".into(),
        };
        for wanted in [None, Some("3.11"), Some("3.11.7")] {
            interpreter.fits(wanted).unwrap();
        }
        for wanted in ["3.1", "3.12", "3.11.8"] {
            let error = interpreter.fits(Some(wanted)).unwrap_err().to_string();
            assert!(
                error.contains(wanted) && error.contains("3.11.7") && error.contains("--python"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_interpreter_is_refused() {
        let missing = Interpreter::find(Path::new("/nowhere/python3")).unwrap_err();
        assert!(matches!(missing, InterpreterError::Start { .. }), "{missing}");
        let other = Interpreter::find(Path::new("/bin/echo")).unwrap_err();
        assert!(matches!(other, InterpreterError::Answer { .. }), "{other}");
    }
}
