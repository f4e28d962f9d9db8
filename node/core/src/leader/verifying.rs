//! Where the joint verification of a batch stands: its chunks, and which answers are in.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_protocol::aggregation::{BatchId, RejectionReason};
use fieldmark_protocol::machine::{Batch, StoreError};
use fieldmark_protocol::report::SeatReport;
use fieldmark_protocol::wire::rpc_request;
use fieldmark_protocol::{PublicKey, ReportId, wire};

use super::inbox::{self, Body};
use crate::compute::{Fault, Initiated};
use crate::context::{Ask, Context};

/// What a seat said of each report: a verifier share, or why not.
type Outcomes = BTreeMap<ReportId, Result<Vec<u8>, RejectionReason>>;

/// The verification of one batch.
#[derive(Debug)]
pub(super) struct Verifying {
    pub(super) key: [u8; 32],
    /// All parts of the key in committee order, which open the commitments.
    key_shares: Vec<[u8; 32]>,
    /// The last contributor whose report is in a chunk.
    read: Option<PublicKey>,
    /// Whether no report is left to put into a chunk.
    pub(super) all_read: bool,
    pub(super) chunks: BTreeMap<u64, Chunk>,
    pub(super) numbered: u64,
}

/// Some reports on their way.
#[derive(Debug)]
pub(super) struct Chunk {
    reports: Vec<Queued>,
    /// This seat's verification states.
    states: BTreeMap<ReportId, Vec<u8>>,
    pub(super) rejected: BTreeMap<ReportId, RejectionReason>,
    pub(super) step: Step,
}

/// One report of a chunk, without the leader's own share, which is with the job.
#[derive(Debug)]
struct Queued {
    id: ReportId,
    contributor: PublicKey,
    received_at_ms: u64,
    /// What the helpers get to see, seat 1 first.
    helpers: Vec<SeatReport>,
}

/// Which answers are in, by seat (in the first step the leader's own included).
#[derive(Debug)]
pub(super) enum Step {
    Init(BTreeMap<usize, Outcomes>),
    Combine(Vec<ReportId>),
    Finish {
        messages: BTreeMap<ReportId, Vec<u8>>,
        answers: BTreeMap<usize, BTreeSet<ReportId>>,
    },
}

impl Verifying {
    pub(super) fn new(key: [u8; 32], key_shares: Vec<[u8; 32]>) -> Self {
        Self {
            key,
            key_shares,
            read: None,
            all_read: false,
            chunks: BTreeMap::new(),
            numbered: 0,
        }
    }

    /// Whether every report is decided.
    pub(super) fn is_over(&self) -> bool {
        self.all_read && self.chunks.is_empty()
    }

    /// What a helper has still to be asked, if anything.
    pub(super) fn question(&self, batch: BatchId, seat: usize, ask: Ask) -> Option<rpc_request::Body> {
        let (task, window) = (batch.task.to_vec(), batch.window);
        let chunk = self.chunks.get(&number(ask)?)?;
        match (&chunk.step, ask) {
            (Step::Init(answers), Ask::Init(_)) if !answers.contains_key(&seat) => {
                let own = |queued: &Queued| queued.helpers.get(seat.checked_sub(1)?).map(SeatReport::to_wire);
                Some(rpc_request::Body::VerifyInit(wire::VerifyInit {
                    task,
                    window,
                    verify_key: self.key.to_vec(),
                    reports: chunk.reports.iter().filter_map(own).collect(),
                    key_shares: self.key_shares.iter().map(|share| share.to_vec()).collect(),
                }))
            }
            (Step::Finish { messages, answers }, Ask::Finish(_)) if !answers.contains_key(&seat) => {
                let message = |(id, message): (&ReportId, &Vec<u8>)| wire::VerifyMessage {
                    report_id: id.to_vec(),
                    message: message.clone(),
                };
                Some(rpc_request::Body::VerifyFinish(wire::VerifyFinish {
                    task,
                    window,
                    messages: messages.iter().map(message).collect(),
                }))
            }
            _ => None,
        }
    }

    /// Takes a helper's answer; false when it has to be asked again.
    pub(super) fn outcomes(&mut self, seat: usize, ask: Ask, outcomes: &wire::VerifyOutcomes) -> bool {
        let Some(chunk) = number(ask).and_then(|n| self.chunks.get_mut(&n)) else {
            return true;
        };
        let Some(answer) = read_outcomes(outcomes) else {
            return false;
        };
        match (&mut chunk.step, ask) {
            (Step::Init(answers), Ask::Init(_)) => {
                let complete = chunk.reports.iter().all(|r| answer.contains_key(&r.id));
                if complete {
                    answers.insert(seat, answer);
                }
                complete
            }
            (Step::Finish { messages, answers }, Ask::Finish(_)) => {
                let complete = messages.keys().all(|id| answer.contains_key(id));
                if complete {
                    let passed = answer.into_iter().filter(|(_, o)| o.is_ok());
                    answers.insert(seat, passed.map(|(id, _)| id).collect());
                }
                complete
            }
            _ => true,
        }
    }

    pub(super) fn own_init(&mut self, chunk: u64, results: Vec<Initiated>) {
        let Some(chunk) = self.chunks.get_mut(&chunk) else {
            return;
        };
        let Step::Init(answers) = &mut chunk.step else {
            return;
        };
        let mut own = BTreeMap::new();
        for (report, result) in chunk.reports.iter().zip(results) {
            let outcome = match result {
                Ok((state, share)) => {
                    chunk.states.insert(report.id, state);
                    Ok(share)
                }
                Err(Fault::Seal) => Err(RejectionReason::Seal),
                Err(_) => Err(RejectionReason::Proof),
            };
            own.insert(report.id, outcome);
        }
        answers.insert(0, own);
    }

    /// Puts the next reports into a chunk; returns them as this seat sees them.
    pub(super) fn read_chunk(
        &mut self,
        ctx: &Context<'_>,
        batch: BatchId,
        size: usize,
    ) -> Result<Vec<SeatReport>, StoreError> {
        let (mut reports, mut own) = (Vec::new(), Vec::new());
        while reports.is_empty() && !self.all_read {
            let page = inbox::following(&ctx.view, batch, self.read.as_ref(), size)?;
            self.all_read = page.len() < size;
            self.read = page.last().map(|t| t.contributor).or(self.read);
            for taken in page {
                let (id, contributor, received_at_ms) = (taken.id(), taken.contributor, taken.received_at_ms);
                let Body::Waiting(report) = taken.body else {
                    continue;
                };
                let mut seats = report.into_seats().into_iter();
                own.extend(seats.next());
                reports.push(Queued {
                    id,
                    contributor,
                    received_at_ms,
                    helpers: seats.collect(),
                });
            }
        }
        if !reports.is_empty() {
            self.numbered += 1;
            let chunk = Chunk {
                reports,
                states: BTreeMap::new(),
                rejected: BTreeMap::new(),
                step: Step::Init(BTreeMap::new()),
            };
            self.chunks.insert(self.numbered, chunk);
        }
        Ok(own)
    }

    /// The chunks that `ready` says have all answers of a step.
    pub(super) fn ready(&self, ready: impl Fn(&Step) -> bool) -> Vec<u64> {
        let of = self.chunks.iter().filter(|(_, chunk)| ready(&chunk.step));
        of.map(|(number, _)| *number).collect()
    }
}

impl Chunk {
    /// Every seat's first answers are in: what to combine, own state and all verifier shares by report.
    pub(super) fn combine(&mut self, seats: usize) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
        let mut inputs = Vec::new();
        let Step::Init(mut answers) = std::mem::replace(&mut self.step, Step::Combine(Vec::new())) else {
            return inputs;
        };
        let mut ids = Vec::new();
        for Queued { id, .. } in &self.reports {
            let outcomes = (0..seats).filter_map(|s| answers.get_mut(&s)?.remove(id));
            let shares: Result<Vec<Vec<u8>>, RejectionReason> = outcomes.collect();
            match (shares, self.states.remove(id)) {
                (Ok(shares), Some(state)) if shares.len() == seats => {
                    ids.push(*id);
                    inputs.push((state, shares));
                }
                (shares, _) => {
                    let reason = shares.err().unwrap_or(RejectionReason::Malformed);
                    self.rejected.insert(*id, reason);
                }
            }
        }
        self.step = Step::Combine(ids);
        inputs
    }

    /// Every helper finished: the verdicts, durable with what they replace.
    pub(super) fn verdicts(mut self, batch: BatchId) -> Batch {
        let mut writes = Batch::new();
        if let Step::Finish { messages, answers } = self.step {
            for id in messages.into_keys() {
                if !answers.values().all(|passed| passed.contains(&id)) {
                    self.rejected.insert(id, RejectionReason::Proof);
                }
            }
        }
        for report in &self.reports {
            let verdict = match self.rejected.get(&report.id) {
                Some(reason) => Err(*reason),
                None => Ok(()),
            };
            let place = (&report.contributor, report.received_at_ms, &report.id);
            inbox::decide(&mut writes, batch, place, verdict);
        }
        writes
    }
}

fn number(ask: Ask) -> Option<u64> {
    match ask {
        Ask::Init(number) | Ask::Finish(number) => Some(number),
        Ask::Key | Ask::Conclude | Ask::Groups => None,
    }
}

fn read_outcomes(outcomes: &wire::VerifyOutcomes) -> Option<Outcomes> {
    let one = |o: &wire::VerifyOutcome| {
        let id = ReportId::from_slice(&o.report_id).ok()?;
        let outcome = match o.rejection {
            0 => Ok(o.verifier_share.clone()),
            number => Err(RejectionReason::from_number(number)?),
        };
        Some((id, outcome))
    };
    outcomes.outcomes.iter().map(one).collect()
}
