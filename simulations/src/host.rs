//! One simulated machine: a disk that outlives crashes, and the driver that runs on it in between.
//!
//! Inputs wait until the write before them is done, so that several are joined into one commit, as in
//! production. A crash forgets everything but the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use fieldmark_node_core::NodeCore;
use fieldmark_node_core::driver::Driver;
use fieldmark_node_core::io::{Input, Output};
use fieldmark_protocol::PublicKey;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::{StoreError, Topic};

use crate::disk::{Control, Disk};
use crate::network::LinkId;
use crate::part::Part;

/// Virtual time 0, in milliseconds since 1970.
pub(crate) const EPOCH_MS: u64 = 1_700_000_000_000;

/// A gossip message that waits for its verdict.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) from: PublicKey,
    pub(crate) topic: Topic,
    pub(crate) data: Rc<[u8]>,
}

/// A host's machine, running or not.
#[derive(Debug)]
enum Machine {
    Up(Box<Driver<Disk>>),
    Down(Box<Disk>),
}

/// A simulated machine.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) part: Part,
    machine: Machine,
    /// The hand on its disk.
    pub(crate) control: Control,
    /// How often it was started; what was planned for an earlier life does not happen.
    pub(crate) life: u64,
    skew_ms: u64,
    pub(crate) inbox: Vec<Input>,
    /// Whether a step is planned.
    pub(crate) stepping: bool,
    /// When the node wants to be called, in virtual time.
    pub(crate) timer_at: u64,
    /// The earliest planned call.
    pub(crate) timer_planned: Option<u64>,
    /// Connections as the host knows them, by the other's node key.
    pub(crate) peers: BTreeMap<PublicKey, LinkId>,
    pub(crate) seen: BTreeSet<[u8; 32]>,
    pub(crate) judging: BTreeMap<[u8; 32], Judged>,
    /// Blobs in its blob store, which is on disk.
    pub(crate) blobs: BTreeSet<ContentHash>,
}

impl Host {
    /// A machine that was never started.
    pub(crate) fn new(part: Part, skew_ms: u64, disk: Disk) -> Self {
        Self {
            part,
            control: disk.control(),
            machine: Machine::Down(Box::new(disk)),
            life: 0,
            skew_ms,
            inbox: Vec::new(),
            stepping: false,
            timer_at: u64::MAX,
            timer_planned: None,
            peers: BTreeMap::new(),
            seen: BTreeSet::new(),
            judging: BTreeMap::new(),
            blobs: BTreeSet::new(),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.machine, Machine::Up(_))
    }

    pub(crate) fn disk(&self) -> &Disk {
        match &self.machine {
            Machine::Up(driver) => driver.store(),
            Machine::Down(disk) => disk,
        }
    }

    pub(crate) fn into_disk(self) -> Disk {
        match self.machine {
            Machine::Up(driver) => driver.into_store(),
            Machine::Down(disk) => *disk,
        }
    }

    /// Replaces the machine by what `change` makes of its disk.
    fn rebuild(&mut self, change: impl FnOnce(Disk) -> Machine) {
        let machine = std::mem::replace(&mut self.machine, Machine::Down(Box::default()));
        self.machine = change(match machine {
            Machine::Up(driver) => driver.into_store(),
            Machine::Down(disk) => *disk,
        });
    }

    /// Starts the machine on its disk.
    pub(crate) fn start(&mut self, core: NodeCore) {
        self.life += 1;
        self.rebuild(|disk| Machine::Up(Box::new(Driver::new(core, disk))));
    }

    /// Stops the machine: everything but the disk is gone.
    pub(crate) fn stop(&mut self) {
        self.rebuild(|disk| Machine::Down(Box::new(disk)));
        self.inbox.clear();
        self.stepping = false;
        self.timer_at = u64::MAX;
        self.timer_planned = None;
        self.peers.clear();
        self.seen.clear();
        self.judging.clear();
    }

    /// What its clock shows.
    pub(crate) fn clock(&self, now: u64) -> u64 {
        EPOCH_MS + self.skew_ms + now
    }

    /// Virtual time at which its clock shows `clock`.
    pub(crate) fn virtual_time(&self, clock: u64) -> u64 {
        clock.saturating_sub(EPOCH_MS + self.skew_ms)
    }

    /// Hands everything that waits to the machine, in one commit.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed; the machine must be stopped then.
    pub(crate) fn step(&mut self, now: u64) -> Result<Vec<Output>, StoreError> {
        let clock = self.clock(now);
        let inputs = std::mem::take(&mut self.inbox);
        match &mut self.machine {
            Machine::Up(driver) => driver.step(inputs.into_iter().map(|input| (clock, input))),
            Machine::Down(_) => Ok(Vec::new()),
        }
    }
}
