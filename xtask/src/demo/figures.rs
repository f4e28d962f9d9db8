//! What the run took: seconds, bytes, memory, budgets. Printed, and written apart from the board.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, Result};
use fieldmark_tests::{Participant, together};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::folder::Folder;
use super::scoreboard::Widths;
use super::story::Story;

/// The figures of one run.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    seed: u64,
    seconds: f64,
    phases: Vec<Phase>,
    bytes: Bytes,
    /// In points.
    half_widths: HalfWidths,
    budgets: BTreeMap<String, Vec<Budget>>,
    nodes: BTreeMap<String, Status>,
}

#[derive(Debug, Serialize)]
struct Phase {
    name: &'static str,
    seconds: f64,
}

/// What all nodes moved.
#[derive(Debug, Default, Serialize)]
struct Bytes {
    artifacts_fetched: u64,
    messages_sent: u64,
}

#[derive(Debug, Serialize)]
struct HalfWidths {
    expected: Widths,
    obtained: Widths,
}

/// What `fieldmark budget --json` says about a data source.
#[derive(Debug, Serialize, Deserialize)]
struct Budget {
    source: String,
    epsilon_spent: f64,
    epsilon_limit: f64,
    delta: f64,
}

/// What `fieldmark status --json` says, as far as it is shown here.
#[derive(Debug, Serialize, Deserialize)]
struct Status {
    blob_bytes_fetched: u64,
    message_bytes_sent: u64,
    memory_bytes: u64,
    records: u64,
}

impl Figures {
    /// Asks every node.
    pub(super) fn collect(
        story: &Story<'_>,
        seed: u64,
        people: &[Participant],
        expected: Widths,
        obtained: Widths,
    ) -> Result<Self> {
        let budgets = together(people, |one| -> Result<Vec<Budget>> {
            let mut answer = one.ask(&["budget"])?;
            let budgets = answer.get_mut("budgets").map(Value::take).unwrap_or_default();
            serde_json::from_value(budgets).context("the budgets are not as expected")
        })?;
        let nodes = together(people, |one| -> Result<Status> {
            serde_json::from_value(one.ask(&["status"])?).context("the status is not as expected")
        })?;
        let names = || people.iter().map(|one| one.name.clone());
        let budgets = names()
            .zip(budgets)
            .filter(|(_, budgets)| !budgets.is_empty())
            .collect();
        let bytes = nodes.iter().fold(Bytes::default(), |sum, node| Bytes {
            artifacts_fetched: sum.artifacts_fetched + node.blob_bytes_fetched,
            messages_sent: sum.messages_sent + node.message_bytes_sent,
        });
        let phase = |(name, took): &(&'static str, std::time::Duration)| Phase {
            name,
            seconds: took.as_secs_f64(),
        };
        Ok(Self {
            seed,
            seconds: story.elapsed().as_secs_f64(),
            phases: story.phases().iter().map(phase).collect(),
            bytes,
            half_widths: HalfWidths { expected, obtained },
            budgets,
            nodes: names().zip(nodes).collect(),
        })
    }

    /// The file's text, with the paths of the other files.
    pub(super) fn to_json(&self, folder: &Folder) -> Result<String> {
        let mut run = serde_json::to_value(self).context("the figures do not serialise")?;
        if let Some(run) = run.as_object_mut() {
            let path = |path: std::path::PathBuf| path.display().to_string();
            let files = serde_json::json!({
                "board": path(folder.board_json()),
                "page": path(folder.board_html()),
                "challenge": path(folder.challenge()),
                "logs": path(folder.logs()),
            });
            run.insert("files".to_owned(), files);
        }
        Ok(serde_json::to_string_pretty(&run)? + "\n")
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HalfWidths { expected, obtained } = &self.half_widths;
        writeln!(f, "expected  {expected}")?;
        writeln!(f, "obtained  {obtained} at the widest")?;
        for (name, budgets) in &self.budgets {
            for Budget {
                source,
                epsilon_spent,
                epsilon_limit,
                delta,
            } in budgets
            {
                writeln!(
                    f,
                    "budget    {name}/{source}: epsilon {epsilon_spent:.2} of {epsilon_limit:.2} spent (delta {delta:e})"
                )?;
            }
        }
        let Bytes {
            artifacts_fetched,
            messages_sent,
        } = self.bytes;
        writeln!(
            f,
            "bytes     {} of artifacts, {} of messages",
            kilobytes(artifacts_fetched),
            kilobytes(messages_sent)
        )?;
        let memory = self
            .nodes
            .values()
            .map(|node| node.memory_bytes)
            .max()
            .unwrap_or_default();
        writeln!(f, "memory    {} in the largest node", kilobytes(memory))?;
        let phases: Vec<String> = self
            .phases
            .iter()
            .map(|p| format!("{} {:.1}", p.name, p.seconds))
            .collect();
        write!(f, "seconds   {}", phases.join(", "))
    }
}

fn kilobytes(bytes: u64) -> String {
    format!("{} kB", bytes.div_ceil(1000))
}
