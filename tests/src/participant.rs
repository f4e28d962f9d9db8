//! Someone who takes part: a data folder, and the commands they type.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::answer::{Answer, answer};
use crate::programs::Programs;

/// No command that does not wait for others takes longer.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// A person or organisation with a data folder.
#[derive(Debug, Clone)]
pub struct Participant {
    /// Their name, which is also the name of their folder.
    pub name: String,
    /// Their identity, in hex.
    pub identity: String,
    /// Their data folder.
    pub data: PathBuf,
    programs: Programs,
}

impl Participant {
    /// Makes a data folder called `name` in `folder`.
    ///
    /// # Errors
    /// When `fieldmark init` fails.
    pub fn init(programs: &Programs, folder: &Path, name: &str, roles: &[&str]) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut participant = Self {
            name: name.to_owned(),
            identity: String::new(),
            data: folder.join(name),
            programs: programs.clone(),
        };
        let mut words = vec!["init", "--name", name];
        words.extend(roles.iter().flat_map(|role| ["--role", role]));
        let made = participant.ask(&words)?;
        participant.identity = text(&made, "identity")?.to_owned();
        Ok(participant)
    }

    /// The same person with another data folder, which may not exist.
    #[must_use]
    pub fn with_data(&self, data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            ..self.clone()
        }
    }

    /// The command `fieldmark WORDS` on this data folder, printing JSON.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.programs.fieldmark();
        command.args(words).arg("--data").arg(&self.data).arg("--json");
        command
    }

    /// Runs it; how it ended is in the answer.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn run(&self, words: &[&str]) -> Result<Answer> {
        self.run_within(words, COMMAND_MAX)
    }

    /// Runs a command that waits for others.
    ///
    /// # Errors
    /// When it cannot be started or does not end within `limit`.
    pub fn run_within(&self, words: &[&str], limit: Duration) -> Result<Answer> {
        answer(&self.programs, self.command(words), limit)
    }

    /// Runs it and returns what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn ask(&self, words: &[&str]) -> Result<Value> {
        let asked = || format!("{} asked", self.name);
        self.run(words)
            .and_then(Answer::success)
            .with_context(asked)?
            .json()
    }

    /// The programs it uses.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.programs
    }
}

/// A text in a JSON object.
pub(crate) fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str> {
    value
        .get(name)
        .and_then(Value::as_str)
        .with_context(|| format!("no '{name}' in {value}"))
}
