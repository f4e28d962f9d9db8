//! Everyone who takes part, and their nodes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::node::{Node, NodeOptions, Ready};
use crate::participant::Participant;
use crate::programs::Programs;
use crate::wait::{together, until};

/// Exit code of a command that names something unknown.
const NOT_FOUND: i32 = 3;

/// Everyone, in the order in which they were named.
#[derive(Debug, Clone)]
pub struct People {
    all: Vec<Participant>,
}

impl People {
    /// Makes a data folder in `folder` for each name with its roles.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn init(programs: &Programs, folder: &Path, cast: &[(&str, &[&str])]) -> Result<Self> {
        let init = |(name, roles): &(&str, &[&str])| Participant::init(programs, folder, name, roles);
        Ok(Self {
            all: together(cast, init)?,
        })
    }

    /// Everyone.
    #[must_use]
    pub fn all(&self) -> &[Participant] {
        &self.all
    }

    /// One of them.
    ///
    /// # Errors
    /// When nobody has the name.
    pub fn named(&self, name: &str) -> Result<&Participant> {
        self.all
            .iter()
            .find(|one| one.name == name)
            .with_context(|| format!("nobody is called {name}"))
    }

    /// The identities of some.
    ///
    /// # Errors
    /// When nobody has one of the names.
    pub fn identities(&self, names: &[&str]) -> Result<Vec<String>> {
        names
            .iter()
            .map(|name| Ok(self.named(name)?.identity.clone()))
            .collect()
    }

    /// Has everyone trust some as aggregators: the boards of readers with one policy are the same.
    ///
    /// # Errors
    /// When nobody has one of the names.
    pub fn trust(&self, names: &[&str]) -> Result<()> {
        let identities = self.identities(names)?;
        let words: Vec<&str> = ["trust", "add"]
            .into_iter()
            .chain(identities.iter().map(String::as_str))
            .collect();
        together(&self.all, |one| one.ask(&words)).map(|_| ())
    }

    /// Waits until all hold the released batch of a challenge, and returns the board that every one of
    /// them prints, byte for byte. `check` is called at every look and ends the wait with its error.
    ///
    /// # Errors
    /// When the boards differ, or are not released within `limit`.
    pub fn board(
        &self,
        challenge: &str,
        limit: Duration,
        check: impl Fn() -> Result<()> + Sync,
    ) -> Result<String> {
        let texts = together(&self.all, |one| {
            until(
                &format!("the release of {challenge} to reach {}", one.name),
                limit,
                || {
                    check()?;
                    let answer = one.run(&["leaderboard", challenge])?;
                    if answer.code == Some(NOT_FOUND) {
                        return Ok(None);
                    }
                    let answer = answer.success()?;
                    let phase = answer
                        .json()?
                        .get("phase")
                        .and_then(Value::as_str)
                        .map(str::to_owned);
                    Ok((phase.as_deref() == Some("released")).then_some(answer.stdout))
                },
            )
        })?;
        let mut by_text: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (one, text) in self.all.iter().zip(texts) {
            by_text.entry(text).or_default().push(&one.name);
        }
        let groups: Vec<_> = by_text.values().collect();
        ensure!(
            groups.len() == 1,
            "not all nodes print the same board; these agree: {groups:?}"
        );
        by_text.into_keys().next().context("nobody has a board")
    }
}

impl Participant {
    /// Runs a command again and again until what it names is known here, and returns what it prints.
    ///
    /// # Errors
    /// When it fails in another way, or nothing comes within `limit`. `check` is called at every look
    /// and ends the wait with its error.
    pub fn ask_until_found(
        &self,
        words: &[&str],
        limit: Duration,
        check: impl Fn() -> Result<()>,
    ) -> Result<Value> {
        until(
            &format!("{} to know what `{}` names", self.name, words.join(" ")),
            limit,
            || {
                check()?;
                let answer = self.run(words)?;
                match answer.code {
                    Some(NOT_FOUND) => Ok(None),
                    _ => answer.success()?.json().map(Some),
                }
            },
        )
    }
}

/// The nodes of some people. Killed when dropped.
#[derive(Debug)]
pub struct Nodes {
    logs: PathBuf,
    all: Vec<(Node, Ready)>,
}

impl Nodes {
    /// Starts a node for everyone; the first serves the pages and is where the others join.
    ///
    /// They end with the calling thread at the latest.
    ///
    /// # Errors
    /// When one does not get ready.
    pub fn start(people: &People, logs: &Path) -> Result<Self> {
        let (first, others) = people.all.split_first().context("there is nobody")?;
        let options = NodeOptions {
            pages: true,
            ..NodeOptions::default()
        };
        let first = Node::started(first, logs, &options)?;
        let options = NodeOptions {
            bootstrap: first.1.multiaddrs.clone(),
            ..NodeOptions::default()
        };
        let others = others
            .iter()
            .map(|one| Node::start(one, logs, &options))
            .collect::<Result<Vec<_>>>()?;
        let mut all = vec![first];
        for mut node in others {
            let ready = node.ready()?;
            all.push((node, ready));
        }
        Ok(Self {
            logs: logs.to_owned(),
            all,
        })
    }

    /// The running nodes and where they are reached.
    pub fn iter(&self) -> impl Iterator<Item = &(Node, Ready)> {
        self.all.iter()
    }

    /// Someone's node and where it is reached.
    ///
    /// # Errors
    /// When nobody of the name runs one.
    pub fn of(&self, name: &str) -> Result<&(Node, Ready)> {
        self.iter()
            .find(|(node, _)| node.name == name)
            .with_context(|| format!("{name} runs no node"))
    }

    /// Kills someone's node as if the power had failed.
    ///
    /// # Errors
    /// When nobody of the name runs one.
    pub fn kill(&mut self, name: &str) -> Result<Ready> {
        let position = self.all.iter().position(|(node, _)| node.name == name);
        let (node, ready) = self
            .all
            .remove(position.with_context(|| format!("{name} runs no node"))?);
        node.kill();
        Ok(ready)
    }

    /// Starts someone's node where it was before; it joins through all that run.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn restart(&mut self, participant: &Participant, before: &Ready) -> Result<()> {
        let bootstrap = self
            .iter()
            .flat_map(|(_, ready)| ready.multiaddrs.clone())
            .collect();
        let options = NodeOptions {
            listen: before.multiaddrs.clone(),
            bootstrap,
            pages: before.pages.is_some(),
        };
        self.all.push(Node::started(participant, &self.logs, &options)?);
        Ok(())
    }

    /// Fails when one has ended.
    ///
    /// # Errors
    /// Names the node and repeats its last words.
    pub fn check(&mut self) -> Result<()> {
        for (node, _) in &mut self.all {
            if let Some(ended) = node.ended()? {
                anyhow::bail!("{}'s node ended ({ended})\n{}", node.name, node.last_words());
            }
        }
        Ok(())
    }

    /// Asks all to end, and waits for each.
    ///
    /// # Errors
    /// When one does not end with success.
    pub fn stop(self) -> Result<()> {
        for (node, _) in &self.all {
            node.ask_to_end();
        }
        self.all.into_iter().try_for_each(|(node, _)| node.stop())
    }
}
