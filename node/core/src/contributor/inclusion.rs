//! Proof that a report was counted: the leader's receipt, and the path from the report's id to the root
//! that all k Transcripts of the batch state.
//!
//! The leader is asked first and then the others in turn: any aggregator can prove it. A report with a
//! receipt that no aggregator finds among the accepted ones was dropped by the leader, and the receipt shows
//! that.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_ledger::batch::BatchView;
use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError};
use fieldmark_protocol::report::Receipt;
use fieldmark_protocol::task::Task;
use fieldmark_protocol::wire::{rpc_request, rpc_response};
use fieldmark_protocol::{PublicKey, RecordId, ReportId, groups, merkle, wire};
use prost::Message;
use serde::Serialize;

use super::{RETRY_MS, key, uploaded_id};
use crate::context::{Context, Purpose};
use crate::rpc::RefusalCode;

const RECEIPT: u8 = b'r';
const INCLUSION: u8 = b'i';

/// Questions between two doublings of the wait, which grows up to 64 times [`RETRY_MS`]: a committee may be
/// away for long, and asking never ends, because what is not known is not a failure.
const TRIES_PER_WAIT: u32 = 8;

/// What this node can show for its report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The report.
    pub report: ReportId,
    /// When the leader received it, by the leader's clock; `None` without a receipt.
    pub received_at_ms: Option<u64>,
    /// The leader's node key and its signature over the receipt, in hex.
    pub receipt: Option<(PublicKey, String)>,
    /// The path to the root that the committee signed.
    pub inclusion: Option<Included>,
}

/// A path that leads to the root of all k Transcripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Included {
    /// Position among the accepted ids, in the order of the root.
    pub index: u64,
    /// The replicate group it counts in, from 1, which follows from the position; `None` where there are
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u64>,
    /// Accepted reports.
    pub count: u64,
    /// Hashes from the leaf to the root, nearest first.
    pub path: Vec<ContentHash>,
    /// The root.
    pub root: ContentHash,
    /// The Transcript records, in committee order.
    pub transcripts: Vec<RecordId>,
}

/// The asking that is under way, by batch.
#[derive(Debug, Default)]
pub(super) struct Asking {
    batches: BTreeMap<BatchId, Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    next_seat: usize,
    at: u64,
    /// Questions since the node started, those included that found no connection.
    tries: u32,
    /// Seats that say it was not counted.
    denied: BTreeSet<usize>,
}

/// How far the asking is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It was counted, and the proof is kept.
    Counted,
    /// Every aggregator says that it was not.
    Denied,
    /// Not known yet.
    Open,
}

/// Keeps the leader's receipt.
pub(super) fn keep_receipt(writes: &mut Batch, receipt: &Receipt) {
    let bytes = receipt.to_wire().encode_to_vec();
    writes.put(Column::Contributions, key(receipt.batch, RECEIPT), bytes);
}

fn receipt(store: &dyn Read, batch: BatchId, leader: PublicKey) -> Result<Option<wire::Receipt>, StoreError> {
    let Some(bytes) = store.get(Column::Contributions, &key(batch, RECEIPT))? else {
        return Ok(None);
    };
    let damaged = |e| StoreError::damaged(Column::Contributions, &key(batch, RECEIPT), e);
    let wire = wire::Receipt::decode(bytes.as_slice()).map_err(damaged)?;
    Ok(Receipt::check(wire.clone(), leader).is_ok().then_some(wire))
}

/// The path in `inclusion`, if it leads from the report to the root that the committee agreed on.
fn verified(
    task: &Task,
    view: &BatchView,
    report: &ReportId,
    inclusion: &wire::Inclusion,
) -> Option<Included> {
    let transcript = view.transcript()?;
    let path: Vec<ContentHash> = inclusion
        .path
        .iter()
        .map(|hash| ContentHash::from_slice(hash).ok())
        .collect::<Option<_>>()?;
    let index = usize::try_from(inclusion.index).ok()?;
    let count = usize::try_from(inclusion.count).ok()?;
    let holds = inclusion.count == transcript.count
        && path.len() <= 64
        && merkle::verify(report, index, count, &path, &transcript.report_root);
    let groups = usize::try_from(task.replicate_groups).ok()?;
    let group = groups::group_at(index, count, groups).filter(|_| task.has_groups());
    holds.then(|| Included {
        index: inclusion.index,
        group: group.and_then(|group| u64::try_from(group + 1).ok()),
        count: inclusion.count,
        path,
        root: transcript.report_root,
        transcripts: view
            .transcripts()
            .unwrap_or_default()
            .iter()
            .map(|held| held.id)
            .collect(),
    })
}

/// What this node can show for its report in a batch; `None` when it has made none.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn proof(store: &dyn Read, task: &Task, view: &BatchView) -> Result<Option<Proof>, StoreError> {
    let Some(report) = uploaded_id(store, view.batch)? else {
        return Ok(None);
    };
    let leader = task.leader().map(|leader| leader.node_key);
    let receipt = match leader {
        Some(leader) => receipt(store, view.batch, leader)?.map(|receipt| (leader, receipt)),
        None => None,
    };
    let inclusion = match store.get(Column::Contributions, &key(view.batch, INCLUSION))? {
        Some(bytes) => wire::Inclusion::decode(bytes.as_slice())
            .ok()
            .and_then(|inclusion| verified(task, view, &report, &inclusion)),
        None => None,
    };
    Ok(Some(Proof {
        report,
        received_at_ms: receipt.as_ref().map(|(_, receipt)| receipt.received_at_ms),
        receipt: receipt.map(|(leader, receipt)| (leader, hex::encode(receipt.signature))),
        inclusion,
    }))
}

impl Asking {
    /// Looks whether the report was counted, and asks the next aggregator where that is not known.
    pub(super) fn look(
        &mut self,
        ctx: &mut Context<'_>,
        task: &Task,
        view: &BatchView,
    ) -> Result<Found, StoreError> {
        let batch = view.batch;
        let Some(report) = uploaded_id(&ctx.view, batch)? else {
            return Ok(Found::Denied);
        };
        if ctx
            .view
            .get(Column::Contributions, &key(batch, INCLUSION))?
            .is_some()
        {
            self.batches.remove(&batch);
            return Ok(Found::Counted);
        }
        let waiting = ctx.shared.requests.values().any(
            |(_, purpose)| matches!(purpose, Purpose::Inclusion { batch: asked, .. } if *asked == batch),
        );
        let asked = self.batches.entry(batch).or_default();
        if asked.denied.len() >= task.committee.len() {
            self.batches.remove(&batch);
            return Ok(Found::Denied);
        }
        if waiting || ctx.now < asked.at {
            return Ok(Found::Open);
        }
        asked.at = ctx.now + (RETRY_MS << (asked.tries / TRIES_PER_WAIT).min(6));
        asked.tries = asked.tries.saturating_add(1);
        // Whoever has answered takes no turn from those who have not.
        let turn = asked.next_seat;
        let seats = task.committee.iter().enumerate();
        let Some((seat, node)) = seats
            .cycle()
            .skip(turn)
            .take(task.committee.len())
            .map(|(seat, aggregator)| (seat, aggregator.node_key))
            .find(|(seat, _)| !asked.denied.contains(seat))
        else {
            return Ok(Found::Open);
        };
        asked.next_seat = (seat + 1) % task.committee.len();
        if ctx.reach(&node)? {
            let query = wire::InclusionQuery {
                task: batch.task.to_vec(),
                window: batch.window,
                report_id: report.to_vec(),
            };
            let purpose = Purpose::Inclusion { batch, seat };
            ctx.send(node, rpc_request::Body::Inclusion(query), purpose);
        }
        Ok(Found::Open)
    }

    /// An aggregator answered, or did not.
    pub(super) fn answer(
        &mut self,
        ctx: &mut Context<'_>,
        (task, view): (&Task, &BatchView),
        seat: usize,
        body: Option<rpc_response::Body>,
    ) -> Result<(), StoreError> {
        let batch = view.batch;
        let Some(report) = uploaded_id(&ctx.view, batch)? else {
            return Ok(());
        };
        match body {
            Some(rpc_response::Body::Inclusion(inclusion))
                if verified(task, view, &report, &inclusion).is_some() =>
            {
                let mut writes = Batch::new();
                let bytes = inclusion.encode_to_vec();
                writes.put(Column::Contributions, key(batch, INCLUSION), bytes);
                ctx.persist(writes);
            }
            Some(rpc_response::Body::Refusal(refusal))
                if RefusalCode::from_number(refusal.code) == RefusalCode::Rejected =>
            {
                self.batches.entry(batch).or_default().denied.insert(seat);
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, batch: &BatchId) {
        self.batches.remove(batch);
    }

    /// When somebody is asked again.
    pub(super) fn deadline(&self) -> u64 {
        let at = self.batches.values().map(|asked| asked.at);
        at.min().unwrap_or(u64::MAX)
    }
}
