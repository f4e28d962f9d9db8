//! What a task's committee has published about its batch (design §7.3), and how far that is.
//!
//! Of each seat only what its own node key signed for its own identity is read, and only what counts
//! ([`crate::effect`]); of several records of one kind the first in log order. A Transcript counts as it
//! is. A ShareCommitment counts when it cites the Transcript that all k seats agree on and that reaches
//! the task's minimum batch. An AggregateShare counts when it opens its seat's commitment. An Aggregate
//! counts when a seat signed it and it cites exactly the k shares in committee order: a stranger cannot
//! void a batch. An Abort counts while no share does.
//!
//! The sum itself is computed elsewhere, from the shares: this package knows no field arithmetic.

use fieldmark_protocol::aggregation::{
    Abort, Aggregate, AggregateShare, BatchId, ShareCommitment, Transcript,
};
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::{Read, StoreError};
use fieldmark_protocol::task::{Aggregator, Task};
use fieldmark_protocol::{Kind, PublicKey, RecordId};

use crate::effect::Effects;
use crate::index::{self, Index};
use crate::log;
use crate::payload::Body;
use crate::tasks::{TaskView, task_view};

mod contradictions;

pub use contradictions::Contradiction;

/// Most records of one kind that are looked at per seat; an honest one publishes one.
pub const RECORDS_PER_SEAT_MAX: usize = 16;

/// How far a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Nothing is published yet.
    Open,
    /// Some Transcripts are, and they agree.
    Transcripts,
    /// All k Transcripts are equal; no share is public.
    Commitments,
    /// Some shares are public, not all: the batch counts as released, and the others are silent.
    Shares,
    /// All k shares are public.
    Released,
    /// Ended before any share was public.
    Aborted,
    /// All k shares are public, and seats published aggregates that differ.
    Void,
    /// Two Transcripts differ.
    Disagreement,
}

/// A record of a batch, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held<T> {
    /// The record.
    pub id: RecordId,
    /// Its author.
    pub author: PublicKey,
    /// The payload.
    pub value: T,
}

/// One aggregator and what it published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Who sits here.
    pub aggregator: Aggregator,
    /// Its Transcript.
    pub transcript: Option<Held<Transcript>>,
    /// Its ShareCommitment, if it counts.
    pub commitment: Option<Held<ShareCommitment>>,
    /// Its AggregateShare, if it counts.
    pub share: Option<Held<AggregateShare>>,
}

/// A batch as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchView {
    /// Which batch.
    pub batch: BatchId,
    /// The committee, leader first; empty when the task is not held or has another window.
    pub seats: Vec<Seat>,
    /// Digest of the Transcript that all seats agree on, if it reaches the minimum batch.
    pub agreed: Option<ContentHash>,
    /// Aggregates that count, by seat; equal ones are all listed.
    pub aggregates: Vec<Held<Aggregate>>,
    /// Aborts by those who may abort, by id, whether or not they came in time.
    pub aborts: Vec<Held<Abort>>,
    /// Seats that published two values where one is due.
    pub contradictions: Vec<Contradiction>,
    /// How far it is.
    pub phase: Phase,
}

impl BatchView {
    /// The Transcript that all seats agree on, if it reaches the minimum batch.
    #[must_use]
    pub fn transcript(&self) -> Option<&Transcript> {
        self.agreed?;
        self.seats.first()?.transcript.as_ref().map(|held| &held.value)
    }

    /// All k Transcripts, in committee order, if they are there, equal or not.
    #[must_use]
    pub fn transcripts(&self) -> Option<Vec<&Held<Transcript>>> {
        self.all(|seat| seat.transcript.as_ref())
    }

    /// All k ShareCommitments, in committee order, if they are there.
    #[must_use]
    pub fn commitments(&self) -> Option<Vec<&Held<ShareCommitment>>> {
        self.all(|seat| seat.commitment.as_ref())
    }

    /// All k AggregateShares, in committee order, if they are there.
    #[must_use]
    pub fn shares(&self) -> Option<Vec<&Held<AggregateShare>>> {
        self.all(|seat| seat.share.as_ref())
    }

    fn all<'v, T>(&'v self, part: impl Fn(&'v Seat) -> Option<&'v Held<T>>) -> Option<Vec<&'v Held<T>>> {
        if self.seats.is_empty() {
            None
        } else {
            self.seats.iter().map(part).collect()
        }
    }

    /// Whether any share is public.
    #[must_use]
    pub fn any_share(&self) -> bool {
        self.seats.iter().any(|seat| seat.share.is_some())
    }

    /// Seats whose share is missing although another's is public. They may still complete the batch
    /// with the share they committed to.
    #[must_use]
    pub fn silent(&self) -> Vec<usize> {
        let silent = self
            .seats
            .iter()
            .enumerate()
            .filter(|(_, seat)| seat.share.is_none());
        if self.any_share() {
            silent.map(|(seat, _)| seat).collect()
        } else {
            Vec::new()
        }
    }
}

/// The batch as this node sees it.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn batch(store: &dyn Read, batch: BatchId) -> Result<BatchView, StoreError> {
    let effects = Effects::new(store);
    let task = task_view(&effects, &batch.task)?.filter(|task| task.task.window == batch.window);
    match task {
        Some(task) => view(&effects, &task),
        None => Ok(empty(batch)),
    }
}

fn empty(batch: BatchId) -> BatchView {
    let (seats, aggregates, aborts) = (Vec::new(), Vec::new(), Vec::new());
    BatchView {
        batch,
        seats,
        agreed: None,
        aggregates,
        aborts,
        contradictions: Vec::new(),
        phase: Phase::Open,
    }
}

/// The batch of a task that counts.
pub(crate) fn view(effects: &Effects<'_>, task: &TaskView) -> Result<BatchView, StoreError> {
    let mut view = empty(task.batch());
    for aggregator in &task.task.committee {
        let transcript = first(effects, &view, aggregator, Kind::Transcript, |body| match body {
            Body::Transcript(transcript) => Some(transcript),
            _ => None,
        })?;
        view.seats.push(Seat {
            aggregator: *aggregator,
            transcript,
            commitment: None,
            share: None,
        });
    }
    view.agreed = agreed(&view, &task.task);
    if let Some(digest) = view.agreed {
        let mut seats = std::mem::take(&mut view.seats);
        for seat in &mut seats {
            seat.commitment = commitment(effects, &view, &seat.aggregator, digest)?;
            if let Some(commitment) = &seat.commitment {
                seat.share = share(effects, &view, &seat.aggregator, &commitment.value)?;
            }
        }
        view.seats = seats;
    }
    view.aggregates = aggregates(effects, &view)?;
    view.aborts = aborts(effects, task)?;
    view.contradictions = contradictions::contradictions(effects, &view)?;
    view.phase = phase(&view);
    Ok(view)
}

/// The digest that all seats agree on, if their number of reports is enough for a release.
fn agreed(view: &BatchView, task: &Task) -> Option<ContentHash> {
    let transcripts = view.transcripts()?;
    let first = transcripts.first()?;
    let enough = first.value.count >= task.reports_needed();
    let drawn = first.value.group_seed.is_some() == task.has_groups();
    (enough && drawn && transcripts.iter().all(|t| t.value == first.value)).then(|| first.value.digest())
}

fn commitment(
    effects: &Effects<'_>,
    view: &BatchView,
    aggregator: &Aggregator,
    digest: ContentHash,
) -> Result<Option<Held<ShareCommitment>>, StoreError> {
    let first = first(
        effects,
        view,
        aggregator,
        Kind::ShareCommitment,
        |body| match body {
            Body::Commitment(commitment) => Some(commitment),
            _ => None,
        },
    )?;
    Ok(first.filter(|commitment| commitment.value.transcript == digest))
}

fn share(
    effects: &Effects<'_>,
    view: &BatchView,
    aggregator: &Aggregator,
    commitment: &ShareCommitment,
) -> Result<Option<Held<AggregateShare>>, StoreError> {
    first(
        effects,
        view,
        aggregator,
        Kind::AggregateShare,
        |body| match body {
            Body::Share(share) if share.opens(commitment) => Some(share),
            _ => None,
        },
    )
}

/// The first record in log order of one seat's node that `pick` takes.
fn first<T>(
    effects: &Effects<'_>,
    view: &BatchView,
    aggregator: &Aggregator,
    kind: Kind,
    pick: impl Fn(Body) -> Option<T>,
) -> Result<Option<Held<T>>, StoreError> {
    Ok(of_seat(effects, view.batch, aggregator, kind, pick)?
        .into_iter()
        .next())
}

/// Records of one seat's node that count and that `pick` takes, in log order.
fn of_seat<T>(
    effects: &Effects<'_>,
    batch: BatchId,
    aggregator: &Aggregator,
    kind: Kind,
    pick: impl Fn(Body) -> Option<T>,
) -> Result<Vec<Held<T>>, StoreError> {
    let end = effects.end(&aggregator.identity, &aggregator.node_key)?;
    let prefix = index::batch_prefix(batch, kind, &aggregator.node_key);
    let mut found = Vec::new();
    for hit in index::hits(effects.store(), Index::Batches, &[&prefix], RECORDS_PER_SEAT_MAX)? {
        let author = hit.author()?;
        if hit.seq()? >= end || author != aggregator.identity {
            continue;
        }
        let id = hit.id()?;
        let Some(record) = log::record(effects.store(), &id)? else {
            continue;
        };
        found.extend(
            Body::of(&record)
                .and_then(&pick)
                .map(|value| Held { id, author, value }),
        );
    }
    Ok(found)
}

fn aggregates(effects: &Effects<'_>, view: &BatchView) -> Result<Vec<Held<Aggregate>>, StoreError> {
    let Some(shares) = view.shares() else {
        return Ok(Vec::new());
    };
    let shares: Vec<RecordId> = shares.iter().map(|share| share.id).collect();
    let mut found = Vec::new();
    for seat in &view.seats {
        found.extend(of_seat(
            effects,
            view.batch,
            &seat.aggregator,
            Kind::Aggregate,
            |body| match body {
                Body::Aggregate(aggregate) if aggregate.shares == shares => Some(aggregate),
                _ => None,
            },
        )?);
    }
    Ok(found)
}

/// Aborts that count, of every key that may abort the task.
fn aborts(effects: &Effects<'_>, task: &TaskView) -> Result<Vec<Held<Abort>>, StoreError> {
    let mut signers: Vec<PublicKey> = task.task.committee.iter().map(|a| a.node_key).collect();
    signers.extend([task.author, task.log]);
    signers.sort_unstable();
    signers.dedup();
    let mut found = Vec::new();
    for signer in signers {
        let prefix = index::batch_prefix(task.batch(), Kind::Abort, &signer);
        for hit in index::hits(effects.store(), Index::Batches, &[&prefix], RECORDS_PER_SEAT_MAX)? {
            let id = hit.id()?;
            let Some((record, effect)) = effects.held(&id)? else {
                continue;
            };
            let Some(Body::Abort(value)) = Body::of(&record).filter(|_| effect.counts()) else {
                continue;
            };
            if effects.may_abort(&record, &value)? {
                found.push(Held {
                    id,
                    author: record.header().author,
                    value,
                });
            }
        }
    }
    found.sort_by_key(|held| held.id);
    Ok(found)
}

fn phase(view: &BatchView) -> Phase {
    let differ = |a: &Held<Aggregate>, b: &Held<Aggregate>| a.value != b.value;
    if view.shares().is_some() {
        let first = view.aggregates.first();
        let void = first.is_some_and(|first| view.aggregates.iter().any(|other| differ(first, other)));
        return if void { Phase::Void } else { Phase::Released };
    }
    if view.any_share() {
        return Phase::Shares;
    }
    if !view.aborts.is_empty() {
        return Phase::Aborted;
    }
    let mut transcripts = view.seats.iter().filter_map(|seat| seat.transcript.as_ref());
    let Some(first) = transcripts.next() else {
        return Phase::Open;
    };
    if transcripts.any(|other| other.value != first.value) {
        return Phase::Disagreement;
    }
    if view.transcripts().is_some() {
        Phase::Commitments
    } else {
        Phase::Transcripts
    }
}

#[cfg(test)]
mod tests;
