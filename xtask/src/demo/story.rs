//! Telling the demo as it happens, and keeping the time of each phase.

use std::time::{Duration, Instant};

use anyhow::Result;
use fieldmark_tests::{Participant, People, Programs};
use serde_json::Value;

use super::folder::Folder;
use super::interrupt::Interrupt;
use crate::process::seconds;

/// Longest that anything is waited for. The window itself closes after a minute.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// The demo being told.
#[derive(Debug)]
pub(super) struct Story<'d> {
    /// What everyone uses.
    pub(super) programs: &'d Programs,
    /// Where everything goes.
    pub(super) folder: &'d Folder,
    interrupt: &'d Interrupt,
    started: Instant,
    phases: Vec<(&'static str, Duration)>,
}

impl<'d> Story<'d> {
    /// Starts the clock.
    pub(super) fn begin(programs: &'d Programs, folder: &'d Folder, interrupt: &'d Interrupt) -> Self {
        Self {
            programs,
            folder,
            interrupt,
            started: Instant::now(),
            phases: Vec::new(),
        }
    }

    /// Tells and times one phase.
    pub(super) fn phase<T>(
        &mut self,
        name: &'static str,
        what: &str,
        work: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        self.interrupt.check()?;
        println!("{name:<9} {what}");
        let started = Instant::now();
        let result = work(self);
        let took = started.elapsed();
        self.phases.push((name, took));
        if result.is_ok() {
            self.tell(&seconds(took));
        }
        result
    }

    /// Tells one thing within a phase.
    pub(super) fn tell(&self, line: &str) {
        println!("          {line}");
    }

    /// Waits for something that other processes bring about.
    pub(super) fn until<T>(&self, what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        fieldmark_tests::until(what, WAIT_MAX, || {
            self.interrupt.check()?;
            look()
        })
    }

    /// Asks until what is asked for is known there.
    pub(super) fn ask_until_found(&self, one: &Participant, words: &[&str]) -> Result<Value> {
        one.ask_until_found(words, WAIT_MAX, || self.interrupt.check())
    }

    /// The board that everyone prints, once it is released.
    pub(super) fn board(&self, people: &People, challenge: &str) -> Result<String> {
        people.board(challenge, WAIT_MAX, || self.interrupt.check())
    }

    /// Time since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The phases so far.
    pub(super) fn phases(&self) -> &[(&'static str, Duration)] {
        &self.phases
    }
}
