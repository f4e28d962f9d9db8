//! Record sync: gossip for what is new, frontier exchange for what was missed (design §4).
//!
//! Each side of a connection asks the other for its frontier and fetches the ranges it lacks, up to
//! [`FETCHES_MAX`] requests per peer at a time. A pass with a random peer every [`ROUND_MS`] repairs what
//! gossip lost. What is new and came by sync is gossiped on: its author may have had no neighbour yet.
//! What is held already is recognised by its bytes; only news costs a signature check.
//! A log with a proven fork is not fetched beyond it, but a task that all k Transcripts cite is fetched
//! by id. Set reconciliation for more than [`HEADS_MAX`] logs is not built yet: the frontier is cut.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fieldmark_ledger::frontier;
use fieldmark_ledger::log::{self, Ingest};
use fieldmark_protocol::fork::EquivocationProof;
use fieldmark_protocol::machine::{StoreError, Topic};
use fieldmark_protocol::record::Record;
use fieldmark_protocol::wire::announcement::Body as Announced;
use fieldmark_protocol::wire::{rpc_request, rpc_response};
use fieldmark_protocol::{Kind, PublicKey, RecordId, decode, wire};
use rand_core::Rng;

use crate::addresses;
use crate::context::{Context, Purpose};
use crate::io::{Event, InboundId, Verdict};
use crate::rpc::RefusalCode;

mod serve;

/// Time between two frontier exchanges with a random peer, in milliseconds.
pub const ROUND_MS: u64 = 3_000;
/// Most logs a frontier lists.
pub const HEADS_MAX: usize = 10_000;
/// Most addresses a frontier carries.
pub const ADDRESSES_MAX: usize = 256;
/// Most records of one response.
pub const RECORDS_MAX: u32 = 256;
/// Most bytes of records in one response.
pub const RECORDS_BYTES_MAX: usize = 1024 * 1024;
/// Most records waited for by id.
pub const WANTED_MAX: usize = 1_024;
/// Ranges asked of one peer at a time.
pub const FETCHES_MAX: usize = 8;
/// Age up to which a record or address that came by sync is gossiped on, by its author's clock, in
/// milliseconds.
pub const FRESH_MS: u64 = 30_000;
/// Most ranges waiting for one peer.
pub const QUEUE_MAX: usize = 10_000;

/// The ranges to fetch from one peer.
#[derive(Debug, Default)]
struct Peer {
    queue: VecDeque<(PublicKey, u64)>,
    /// Ranges asked for and not answered.
    fetching: usize,
    /// Ranges asked for since the last frontier, so that a peer that answers nonsense is not asked for ever.
    asked: BTreeSet<(PublicKey, u64)>,
}

/// The sync machine.
#[derive(Debug, Default)]
pub(crate) struct Sync {
    peers: BTreeMap<PublicKey, Peer>,
    next_round: u64,
    /// Records that others cite and that are not held.
    wanted: BTreeSet<RecordId>,
    /// What this node holds, with the ledger's revision that it describes.
    held: Option<(u64, wire::Frontier)>,
}

impl Sync {
    pub(crate) fn connected(&mut self, ctx: &mut Context<'_>, peer: PublicKey) -> Result<(), StoreError> {
        self.peers.insert(peer, Peer::default());
        self.ask_frontier(ctx, peer)
    }

    pub(crate) fn disconnected(&mut self, peer: &PublicKey) {
        self.peers.remove(peer);
    }

    /// A frontier exchange with a random peer when it is time.
    pub(crate) fn tick(&mut self, ctx: &mut Context<'_>) -> Result<(), StoreError> {
        if ctx.now < self.next_round {
            return Ok(());
        }
        self.next_round = ctx.now + ROUND_MS;
        let count = u64::try_from(self.peers.len()).unwrap_or(0);
        if count == 0 {
            return Ok(());
        }
        let turn = usize::try_from(ctx.shared.rng.next_u64() % count).unwrap_or(0);
        match self.peers.keys().nth(turn).copied() {
            Some(peer) => self.ask_frontier(ctx, peer),
            None => Ok(()),
        }
    }

    pub(crate) fn deadline(&self) -> u64 {
        self.next_round
    }

    fn ask_frontier(&mut self, ctx: &mut Context<'_>, peer: PublicKey) -> Result<(), StoreError> {
        let frontier = self.held(ctx)?.clone();
        ctx.send(peer, rpc_request::Body::Frontier(frontier), Purpose::Frontier);
        Ok(())
    }

    /// This node's frontier, made anew only when the ledger has changed.
    fn held(&mut self, ctx: &Context<'_>) -> Result<&wire::Frontier, StoreError> {
        let revision = ctx.shared.ledger_revision;
        let held = match self.held.take() {
            Some((of, frontier)) if of == revision => frontier,
            _ => serve::frontier(&ctx.view)?,
        };
        Ok(&self.held.insert((revision, held)).1)
    }

    // --- what peers say ---------------------------------------------------------------------------

    pub(crate) fn gossip(
        &mut self,
        ctx: &mut Context<'_>,
        message: [u8; 32],
        topic: Topic,
        from: PublicKey,
        data: &[u8],
    ) -> Result<(), StoreError> {
        let announced = decode::bounded("an announcement", data, topic.bytes_max())
            .ok()
            .and_then(|a: wire::Announcement| a.body);
        let verdict = match announced {
            Some(Announced::Record(record)) => self.gossiped_record(ctx, topic, from, record)?,
            Some(Announced::Proof(proof)) => match EquivocationProof::check(proof) {
                Ok(proof) => self.proof(ctx, &proof, false)?,
                Err(_) => Verdict::Reject,
            },
            Some(Announced::Address(address)) => addresses::take(ctx, address)?.0,
            None => Verdict::Reject,
        };
        ctx.verdict(message, verdict);
        Ok(())
    }

    fn gossiped_record(
        &mut self,
        ctx: &mut Context<'_>,
        topic: Topic,
        from: PublicKey,
        record: wire::SignedRecord,
    ) -> Result<Verdict, StoreError> {
        let Some(record) = checked(ctx, record)? else {
            return Ok(Verdict::Reject);
        };
        let known_kind = !matches!(record.header().kind, Kind::Unknown(_));
        if known_kind && Topic::of(record.header().kind) != topic {
            return Ok(Verdict::Reject);
        }
        let log = record.header().log;
        Ok(match self.take(ctx, record)? {
            Taken::Stored | Taken::Known => Verdict::Accept,
            Taken::Behind(next) => {
                self.fetch(ctx, from, log, next);
                Verdict::Accept
            }
            Taken::Uncertified => {
                if self.peers.contains_key(&from) {
                    self.ask_frontier(ctx, from)?;
                }
                Verdict::Ignore
            }
            Taken::Refused => Verdict::Ignore,
        })
    }

    /// Ingests one checked record.
    fn take(&mut self, ctx: &mut Context<'_>, record: Record) -> Result<Taken, StoreError> {
        Ok(match log::ingest(&ctx.view, &record)? {
            Ingest::Stored(batch) => {
                ctx.persist(batch);
                ctx.stored(record);
                Taken::Stored
            }
            Ingest::Known => Taken::Known,
            Ingest::Conflict { proof, .. } => {
                self.proof(ctx, &proof, true)?;
                // A revocation or an abort counts on either branch.
                match log::ingest(&ctx.view, &record)? {
                    Ingest::Stored(batch) => {
                        ctx.persist(batch);
                        ctx.stored(record);
                        Taken::Stored
                    }
                    _ => Taken::Refused,
                }
            }
            Ingest::Gap { next } => Taken::Behind(next),
            Ingest::Diverged { from } => Taken::Behind(from),
            Ingest::Uncertified => Taken::Uncertified,
            _ => Taken::Refused,
        })
    }

    /// Keeps an equivocation proof and tells others if it is news.
    fn proof(
        &mut self,
        ctx: &mut Context<'_>,
        proof: &EquivocationProof,
        tell: bool,
    ) -> Result<Verdict, StoreError> {
        if let Some(batch) = log::ingest_proof(&ctx.view, proof)? {
            ctx.persist(batch);
            ctx.event(Event::Fork {
                log: proof.log(),
                seq: proof.seq(),
            });
            if tell {
                ctx.broadcast(Topic::Fraud, Announced::Proof(proof.to_wire()));
            }
        }
        Ok(Verdict::Accept)
    }

    // --- requests ---------------------------------------------------------------------------------

    pub(crate) fn request(
        &mut self,
        ctx: &mut Context<'_>,
        peer: PublicKey,
        inbound: InboundId,
        body: rpc_request::Body,
    ) -> Result<(), StoreError> {
        match body {
            rpc_request::Body::Frontier(theirs) => {
                let ours = self.held(ctx)?.clone();
                ctx.respond(inbound, rpc_response::Body::Frontier(ours));
                self.frontier(ctx, peer, theirs)
            }
            rpc_request::Body::FetchRange(range) => serve::range(ctx, inbound, &range),
            rpc_request::Body::FetchIds(ids) => serve::ids(ctx, inbound, &ids.ids),
            rpc_request::Body::FetchProofs(logs) => serve::proofs(ctx, inbound, &logs.logs),
            _ => {
                ctx.refuse(inbound, RefusalCode::Rejected, "not a sync request");
                Ok(())
            }
        }
    }

    pub(crate) fn response(
        &mut self,
        ctx: &mut Context<'_>,
        peer: PublicKey,
        purpose: Purpose,
        body: Option<rpc_response::Body>,
    ) -> Result<(), StoreError> {
        match (purpose, body) {
            (Purpose::Frontier, Some(rpc_response::Body::Frontier(theirs))) => {
                self.frontier(ctx, peer, theirs)
            }
            (Purpose::Range { log }, body) => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.fetching = state.fetching.saturating_sub(1);
                }
                if let Some(rpc_response::Body::Records(records)) = body {
                    self.fetched(ctx, peer, log, records)?;
                }
                self.next_fetch(ctx, peer);
                Ok(())
            }
            (Purpose::Ids, Some(rpc_response::Body::Records(records))) => {
                for record in records.records.into_iter().filter_map(|r| Record::check(r).ok()) {
                    if !self.wanted.remove(&record.id()) {
                        continue;
                    }
                    if let Ingest::Stored(batch) = log::ingest_cited(&ctx.view, &record)? {
                        ctx.persist(batch);
                        ctx.stored(record);
                    }
                }
                Ok(())
            }
            (Purpose::Proofs, Some(rpc_response::Body::Proofs(proofs))) => {
                for proof in proofs.proofs {
                    if let Ok(proof) = EquivocationProof::check(proof) {
                        self.proof(ctx, &proof, false)?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn frontier(
        &mut self,
        ctx: &mut Context<'_>,
        peer: PublicKey,
        theirs: wire::Frontier,
    ) -> Result<(), StoreError> {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.asked.clear();
        }
        let mut ranges = Vec::new();
        let ours = self.held(ctx)?;
        // Both are sorted by log; equal heads mean equal records that count.
        let same = |head: &wire::Head| match ours.heads.binary_search_by(|h| h.log.cmp(&head.log)) {
            Ok(at) => ours.heads.get(at) == Some(head),
            Err(_) => false,
        };
        for head in theirs.heads.iter().take(HEADS_MAX).filter(|head| !same(head)) {
            let (Some(from), Ok(log)) = (
                frontier::behind(&ctx.view, head)?,
                PublicKey::from_slice(&head.log),
            ) else {
                continue;
            };
            ranges.push((head.author == head.log, log, from));
        }
        // Identities' own logs first: they certify the node keys that sign the others.
        ranges.sort_by_key(|(own, ..)| !own);
        for (_, log, from) in ranges {
            self.fetch(ctx, peer, log, from);
        }
        for address in theirs.addresses.into_iter().take(ADDRESSES_MAX) {
            let news = Announced::Address(address.clone());
            let fresh = ctx.now.abs_diff(address.issued_at_ms) < FRESH_MS;
            if addresses::take(ctx, address)? == (Verdict::Accept, true) && fresh {
                ctx.broadcast(Topic::Heads, news);
            }
        }
        self.ask_proofs(ctx, peer, &theirs.forks)?;
        if !self.wanted.is_empty() {
            let ids = self.wanted.iter().take(32).map(|id| id.to_vec()).collect();
            ctx.send(
                peer,
                rpc_request::Body::FetchIds(wire::FetchIds { ids }),
                Purpose::Ids,
            );
        }
        Ok(())
    }

    fn ask_proofs(
        &mut self,
        ctx: &mut Context<'_>,
        peer: PublicKey,
        forks: &[wire::ProvenFork],
    ) -> Result<(), StoreError> {
        let mut logs = Vec::new();
        for fork in forks.iter().take(serve::FORKS_MAX) {
            if frontier::lacks_proof(&ctx.view, fork)? {
                logs.push(fork.log.clone());
            }
        }
        if !logs.is_empty() {
            ctx.send(
                peer,
                rpc_request::Body::FetchProofs(wire::FetchProofs { logs }),
                Purpose::Proofs,
            );
        }
        Ok(())
    }

    // --- fetching ranges --------------------------------------------------------------------------

    fn fetch(&mut self, ctx: &mut Context<'_>, peer: PublicKey, log: PublicKey, from: u64) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if state.queue.len() < QUEUE_MAX && state.asked.insert((log, from)) {
            state.queue.push_back((log, from));
        }
        self.next_fetch(ctx, peer);
    }

    fn next_fetch(&mut self, ctx: &mut Context<'_>, peer: PublicKey) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        while state.fetching < FETCHES_MAX {
            let Some((log, from)) = state.queue.pop_front() else {
                return;
            };
            state.fetching += 1;
            let range = wire::FetchRange {
                log: log.to_vec(),
                from,
                limit: RECORDS_MAX,
            };
            ctx.send(peer, rpc_request::Body::FetchRange(range), Purpose::Range { log });
        }
    }

    fn fetched(
        &mut self,
        ctx: &mut Context<'_>,
        peer: PublicKey,
        log: PublicKey,
        records: wire::Records,
    ) -> Result<(), StoreError> {
        let mut progress = false;
        for record in records.records {
            let Some(record) = checked(ctx, record)? else {
                return Ok(());
            };
            if record.header().log != log {
                return Ok(());
            }
            let fresh = ctx.now.abs_diff(record.header().created_at_ms) < FRESH_MS;
            let news = (
                Topic::of(record.header().kind),
                Announced::Record(record.to_wire()),
            );
            match self.take(ctx, record)? {
                Taken::Stored => {
                    progress = true;
                    if fresh {
                        ctx.broadcast(news.0, news.1);
                    }
                }
                Taken::Known => {}
                Taken::Behind(next) => {
                    self.fetch(ctx, peer, log, next);
                    return Ok(());
                }
                Taken::Uncertified | Taken::Refused => return Ok(()),
            }
        }
        if progress {
            let next = log::last(&ctx.view, &log)?.map_or(0, |(seq, _)| seq + 1);
            self.fetch(ctx, peer, log, next);
        }
        Ok(())
    }

    /// Looks at a record that was just stored: it may cite others that are not held.
    pub(crate) fn stored(&mut self, ctx: &Context<'_>, record: &Record) -> Result<(), StoreError> {
        self.wanted.remove(&record.id());
        if matches!(record.header().kind, Kind::Profile | Kind::NodeCertificate) {
            return Ok(());
        }
        let room = WANTED_MAX.saturating_sub(self.wanted.len());
        self.wanted
            .extend(log::missing(&ctx.view, record)?.into_iter().take(room));
        Ok(())
    }
}

/// What became of a record.
enum Taken {
    Stored,
    Known,
    /// Records from this position on are to be fetched first.
    Behind(u64),
    Uncertified,
    Refused,
}

/// The checked form of a record; `None` when it does not hold. A copy of what is held needs no check.
fn checked(ctx: &Context<'_>, record: wire::SignedRecord) -> Result<Option<Record>, StoreError> {
    let id = RecordId::new(*blake3::hash(&record.header).as_bytes());
    match log::record(&ctx.view, &id)? {
        Some(held) if held.to_wire() == record => Ok(Some(held)),
        _ => Ok(Record::check(record).ok()),
    }
}
