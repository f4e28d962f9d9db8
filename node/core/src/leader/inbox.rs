//! The reports a leader has taken, as they are stored: by contributor, with the time of receipt. A report
//! that is decided is replaced by its verdict, so that what is left to verify is what still has a body,
//! also after a restart, and the shares are gone as soon as nobody needs them.

use fieldmark_protocol::aggregation::{BatchId, RejectionReason};
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError};
use fieldmark_protocol::report::Report;
use fieldmark_protocol::{PublicKey, ReportId, wire};
use prost::Message;

use crate::seat;

/// Entries read at a time where bodies may be among them.
const PAGE: usize = 16;
/// Bytes of a verdict: id and number.
const VERDICT_BYTES: usize = 16 + 4;

/// A report, or what became of it.
#[derive(Debug)]
pub(super) enum Body {
    /// Not decided yet.
    Waiting(Box<Report>),
    /// Accepted, or why not.
    Decided(ReportId, Result<(), RejectionReason>),
}

/// One contributor's entry.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) contributor: PublicKey,
    pub(super) received_at_ms: u64,
    pub(super) body: Body,
}

impl Taken {
    pub(super) fn id(&self) -> ReportId {
        match &self.body {
            Body::Waiting(report) => report.metadata.report_id,
            Body::Decided(id, _) => *id,
        }
    }
}

/// What is stored of a contributor's report.
pub(super) fn taken(
    store: &dyn Read,
    batch: BatchId,
    contributor: &PublicKey,
) -> Result<Option<Taken>, StoreError> {
    let key = seat::key(batch, seat::REPORT, contributor.as_bytes());
    match store.get(Column::Aggregation, &key)? {
        Some(value) => read(&key, &value).map(Some),
        None => Ok(None),
    }
}

/// Up to `limit` entries of contributors above `after`.
pub(super) fn following(
    store: &dyn Read,
    batch: BatchId,
    after: Option<&PublicKey>,
    limit: usize,
) -> Result<Vec<Taken>, StoreError> {
    let prefix = seat::key(batch, seat::REPORT, &[]);
    let mut from = prefix.clone();
    if let Some(after) = after {
        from.extend(after.as_bytes());
        from.push(0);
    }
    let entries = store.scan(Column::Aggregation, &prefix, &from, limit)?;
    entries.iter().map(|(key, value)| read(key, value)).collect()
}

/// Calls `each` for every entry, a few at a time.
pub(super) fn each(store: &dyn Read, batch: BatchId, mut each: impl FnMut(&Taken)) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = following(store, batch, after.as_ref(), PAGE)?;
        page.iter().for_each(&mut each);
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.contributor),
            _ => return Ok(()),
        }
    }
}

/// Number of reports that were rejected so far.
pub(super) fn rejected(store: &dyn Read, batch: BatchId) -> Result<u64, StoreError> {
    let mut found = 0;
    each(store, batch, |taken| {
        found += u64::from(matches!(taken.body, Body::Decided(_, Err(_))));
    })?;
    Ok(found)
}

/// Number of reports taken.
pub(super) fn count(store: &dyn Read, batch: BatchId) -> Result<u64, StoreError> {
    let Some(bytes) = seat::get(store, batch, seat::UPLOADS, &[])? else {
        // A folder of a version that did not count.
        let mut found = 0;
        each(store, batch, |_| found += 1)?;
        return Ok(found);
    };
    let damaged = |_| {
        let key = seat::key(batch, seat::UPLOADS, &[]);
        StoreError::damaged(Column::Aggregation, &key, "not a number")
    };
    Ok(u64::from_be_bytes(bytes.as_slice().try_into().map_err(damaged)?))
}

/// Stores a report as the `number`th.
pub(super) fn put(writes: &mut Batch, report: &Report, received_at_ms: u64, number: u64) {
    let metadata = &report.metadata;
    let value = [&received_at_ms.to_be_bytes()[..], &report.encode()].concat();
    let contributor = metadata.contributor.as_bytes();
    seat::put(writes, metadata.batch, seat::REPORT, contributor, value);
    seat::put(writes, metadata.batch, seat::UPLOADS, &[], number.to_be_bytes());
}

/// Replaces a report by its verdict.
pub(super) fn decide(
    writes: &mut Batch,
    batch: BatchId,
    (contributor, received_at_ms, id): (&PublicKey, u64, &ReportId),
    verdict: Result<(), RejectionReason>,
) {
    let number = verdict.err().map_or(0, RejectionReason::number);
    let value = [
        &received_at_ms.to_be_bytes()[..],
        id.as_bytes(),
        &number.to_be_bytes(),
    ]
    .concat();
    seat::put(writes, batch, seat::REPORT, contributor.as_bytes(), value);
}

fn read(key: &[u8], value: &[u8]) -> Result<Taken, StoreError> {
    decode(key, value).ok_or_else(|| StoreError::damaged(Column::Aggregation, key, "not a report"))
}

fn decode(key: &[u8], value: &[u8]) -> Option<Taken> {
    let contributor = PublicKey::from_slice(key.get(key.len().checked_sub(32)?..)?).ok()?;
    let (at, body) = value.split_at_checked(8)?;
    let body = if body.len() == VERDICT_BYTES {
        let (id, number) = body.split_at_checked(16)?;
        let verdict = match u32::from_be_bytes(number.try_into().ok()?) {
            0 => Ok(()),
            number => Err(RejectionReason::from_number(number)?),
        };
        Body::Decided(ReportId::from_slice(id).ok()?, verdict)
    } else {
        Body::Waiting(Box::new(Report::stored(wire::Report::decode(body).ok()?).ok()?))
    };
    Some(Taken {
        contributor,
        received_at_ms: u64::from_be_bytes(at.try_into().ok()?),
        body,
    })
}
