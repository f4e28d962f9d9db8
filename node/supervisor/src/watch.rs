//! Looks at a process from outside, on its own beat: memory, CPU time, an end nobody asked for.
//!
//! Requests do not look; they only say when they begin and end. A process beyond a limit gets its socket shut
//! down, upon which the launcher kills it, and the reason is kept for whoever finds it gone.

use crate::launch::Facts;
use crate::sample::sample;
use crate::status::{Board, RunnerState};
use crate::{Arena, Limits};
use rustix::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// How often a busy process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// An idle one is looked at every so many times.
const IDLE_EVERY: u32 = 10;
/// After so many looks without a request, free shared memory is given back to the system.
const TRIM_AFTER: u32 = 100;
/// A process is replaced between requests beyond this part of its CPU time, in percent.
const WORN_PERCENT: u32 = 90;
/// CPU time between two looks at an idle process from which on it is not idle at all.
const IDLE_CPU: Duration = Duration::from_millis(500);
/// Looks in a row that find as much end it.
const IDLE_LOOKS: u32 = 10;

/// What the watch has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Fine,
    /// More memory than allowed; it is being ended.
    Memory,
    /// Its CPU time is used up, or used while nobody asks anything of it; it is being ended.
    Cpu,
}

/// CPU time that a process takes between requests.
#[derive(Debug, Default)]
struct IdleCpu {
    before: Option<Duration>,
    looks: u32,
}

impl IdleCpu {
    /// Whether an idle process has gone on computing for too long.
    fn spins(&mut self, cpu: Duration) -> bool {
        let took = self
            .before
            .replace(cpu)
            .map_or(Duration::ZERO, |before| cpu.saturating_sub(before));
        self.looks = if took >= IDLE_CPU { self.looks + 1 } else { 0 };
        self.looks >= IDLE_LOOKS
    }
}

/// What watch and process tell each other.
#[derive(Debug, Default)]
pub(crate) struct Signs {
    busy: AtomicBool,
    used: AtomicBool,
    worn: AtomicBool,
    verdict: AtomicU8,
}

impl Signs {
    pub(crate) fn begin(&self) {
        self.used.store(true, Ordering::Relaxed);
        self.busy.store(true, Ordering::Relaxed);
    }

    pub(crate) fn finish(&self) {
        self.busy.store(false, Ordering::Relaxed);
    }

    /// Whether it is busy, or has been since this was last asked.
    fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed) || self.busy.load(Ordering::Relaxed)
    }

    /// Whether it is better replaced before the next request.
    pub(crate) fn worn(&self) -> bool {
        self.worn.load(Ordering::Relaxed)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self.verdict.load(Ordering::Acquire) {
            1 => Verdict::Memory,
            2 => Verdict::Cpu,
            _ => Verdict::Fine,
        }
    }

    fn condemn(&self, verdict: Verdict) {
        let code = match verdict {
            Verdict::Fine => 0,
            Verdict::Memory => 1,
            Verdict::Cpu => 2,
        };
        self.verdict.store(code, Ordering::Release);
    }
}

/// What is watched, and where it is told.
pub(crate) struct Watch {
    /// The process's socket; the watch ends with it.
    pub(crate) socket: Weak<UnixStream>,
    pub(crate) signs: Arc<Signs>,
    pub(crate) facts: watch::Receiver<Facts>,
    pub(crate) limits: Limits,
    /// Memory of which free parts are given back once nothing happens.
    pub(crate) arena: Option<Arena>,
    pub(crate) board: Board,
}

impl Watch {
    /// Watches until the process is gone or nobody holds it any more.
    pub(crate) async fn run(mut self) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut idle, mut computing) = (0_u32, IdleCpu::default());
        loop {
            let ended = tokio::select! {
                _ = self.facts.wait_for(|facts| facts.end.is_some()) => true,
                _ = ticks.tick() => false,
            };
            if ended {
                return self.note_end();
            }
            if self.socket.strong_count() == 0 {
                return;
            }
            if self.signs.take_used() {
                (idle, computing) = (0, IdleCpu::default());
            } else {
                idle = idle.saturating_add(1);
            }
            if idle.is_multiple_of(IDLE_EVERY)
                && self.look((idle > 0).then_some(&mut computing)) != Verdict::Fine
            {
                return;
            }
            if let Some(arena) = self.arena.as_ref().filter(|_| idle == TRIM_AFTER) {
                arena.trim();
            }
        }
    }

    /// Looks once; at an idle process with what it computed so far.
    fn look(&self, idle: Option<&mut IdleCpu>) -> Verdict {
        let pid = self.facts.borrow().pid;
        let Some(sample) = pid.and_then(sample) else {
            return Verdict::Fine;
        };
        self.board.update(|status| {
            status.memory_bytes = sample.memory_bytes;
            status.memory_bytes_peak = status.memory_bytes_peak.max(sample.memory_bytes);
            status.cpu_time = sample.cpu;
        });
        let cpu_max = Duration::from_secs(self.limits.cpu_seconds_max);
        if sample.cpu > cpu_max.saturating_mul(WORN_PERCENT) / 100 {
            self.signs.worn.store(true, Ordering::Relaxed);
        }
        let verdict = if sample.memory_bytes > self.limits.memory_bytes_max {
            Verdict::Memory
        } else if sample.cpu >= cpu_max || idle.is_some_and(|idle| idle.spins(sample.cpu)) {
            Verdict::Cpu
        } else {
            return Verdict::Fine;
        };
        tracing::warn!(?verdict, memory_bytes = sample.memory_bytes, cpu = ?sample.cpu, "a runner is ended");
        self.signs.condemn(verdict);
        if let Some(socket) = self.socket.upgrade() {
            // The launcher sees the hang-up, kills and reaps.
            let _ = rustix::net::shutdown(socket.as_fd(), Shutdown::Both);
        }
        verdict
    }

    /// An end in the middle of a request is told by the request.
    fn note_end(&self) {
        if self.signs.busy.load(Ordering::Relaxed) || self.socket.strong_count() == 0 {
            return;
        }
        let (pid, cause) = {
            let facts = self.facts.borrow();
            (facts.pid, facts.cause())
        };
        self.board.update(|status| {
            if status.pid != pid {
                return; // Another process serves already.
            }
            status.state = RunnerState::Down;
            status.pid = None;
            status.memory_bytes = 0;
            status.last_failure = Some(idle_end(&status.name, &cause));
        });
    }
}

/// What is said of a process that ended between requests.
pub(crate) fn idle_end(name: &str, cause: &str) -> String {
    format!("release {name}: its process ended while idle: {cause}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_computes_look_after_look_without_being_asked_spins() {
        let second = Duration::from_secs(1);
        let mut computing = IdleCpu::default();
        assert!((1..=IDLE_LOOKS).all(|look| !computing.spins(second * look)));
        assert!(computing.spins(second * (IDLE_LOOKS + 1)));
        let mut pausing = IdleCpu::default();
        let mut cpu = Duration::ZERO;
        for look in 0..100 {
            cpu += if look % 10 == 0 { Duration::ZERO } else { second };
            assert!(!pausing.spins(cpu), "{look}");
        }
    }
}
