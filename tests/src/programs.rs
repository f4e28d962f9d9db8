//! Where the built programs are, and how one is started.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The command under test.
const FIELDMARK: &str = "fieldmark";
/// What every program is started through.
const LEASH: &str = "fieldmark-leash";

/// The folder of the built programs.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
    trace: Option<fn(&str)>,
}

impl Programs {
    /// The programs in `folder`.
    ///
    /// # Errors
    /// When `fieldmark` or the leash is not there.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        for program in [FIELDMARK, LEASH] {
            let path = folder.join(program);
            ensure!(
                path.is_file(),
                "{} is not there: run `cargo build --workspace --all-targets`",
                path.display()
            );
        }
        Ok(Self {
            folder: folder.to_owned(),
            trace: None,
        })
    }

    /// Those built together with the running test.
    ///
    /// # Errors
    /// As [`Programs::in_folder`].
    pub fn beside_this_test() -> Result<Self> {
        let test = std::env::current_exe().context("this program's file is gone")?;
        // target/debug/deps/test-0123456789abcdef
        let folder = test
            .parent()
            .and_then(Path::parent)
            .context("this test is in no target folder")?;
        Self::in_folder(folder)
    }

    /// Has every command line told to `trace` before it runs.
    #[must_use]
    pub fn traced(self, trace: fn(&str)) -> Self {
        Self {
            trace: Some(trace),
            ..self
        }
    }

    /// A command that starts `program` on a leash and in a process group of its own.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        self.leashed(&self.path(program))
    }

    /// A command that starts any program of this machine on a leash and in a process group of its own.
    #[must_use]
    pub fn leashed(&self, program: &Path) -> Command {
        let mut command = Command::new(self.folder.join(LEASH));
        command
            .arg(std::process::id().to_string())
            .arg(program)
            .process_group(0)
            .env_remove("FIELDMARK_DATA");
        command
    }

    /// `fieldmark` itself.
    #[must_use]
    pub fn fieldmark(&self) -> Command {
        self.command(FIELDMARK)
    }

    /// Path of a program.
    #[must_use]
    pub fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    /// The command as a person would type it; told to whoever traces.
    pub(crate) fn tell(&self, command: &Command) -> String {
        let line = line(command);
        if let Some(trace) = self.trace {
            trace(&line);
        }
        line
    }
}

/// The command line without the leash and the program's folder.
fn line(command: &Command) -> String {
    let leashed = Path::new(command.get_program()).file_name() == Some(OsStr::new(LEASH));
    let mut words = command.get_args();
    let program = if leashed {
        words.nth(1)
    } else {
        Some(command.get_program())
    };
    let program = program
        .and_then(|path| Path::new(path).file_name())
        .unwrap_or_default();
    std::iter::once(program)
        .chain(words)
        .map(quoted)
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.is_empty() || word.contains([' ', '\'', '"', '*', '$']) {
        format!("'{}'", word.replace('\'', r"'\''"))
    } else {
        word.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_as_it_would_be_typed() {
        let programs = Programs {
            folder: PathBuf::from("/target/debug"),
            trace: None,
        };
        let mut command = programs.fieldmark();
        command.args(["challenge", "abort", "digits", "--reason", "wrong slice"]);
        assert_eq!(
            programs.tell(&command),
            "fieldmark challenge abort digits --reason 'wrong slice'"
        );
    }

    #[test]
    fn programs_that_are_not_built_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Programs::in_folder(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("fieldmark") && error.contains("cargo build"),
            "{error}"
        );
    }
}
