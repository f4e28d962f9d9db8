//! The reports a leader has taken, as they are stored: by contributor, with the time of receipt.

use std::collections::BTreeMap;

use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::machine::{Column, Read, StoreError};
use fieldmark_protocol::report::Report;
use fieldmark_protocol::{PublicKey, ReportId, wire};
use prost::Message;

use crate::seat;

/// When a report was received before, if it was.
pub(super) fn received(store: &dyn Read, report: &Report) -> Result<Option<u64>, StoreError> {
    let metadata = &report.metadata;
    let Some(held) = held(store, metadata.batch, &metadata.contributor)? else {
        return Ok(None);
    };
    Ok((held.1.metadata.report_id == metadata.report_id).then_some(held.0))
}

/// The report of a contributor with its time of receipt.
pub(super) fn held(
    store: &dyn Read,
    batch: BatchId,
    contributor: &PublicKey,
) -> Result<Option<(u64, Report)>, StoreError> {
    let Some(value) = seat::get(store, batch, seat::REPORT, contributor.as_bytes())? else {
        return Ok(None);
    };
    decode_held(&value).map(Some).ok_or_else(|| {
        let key = seat::key(batch, seat::REPORT, contributor.as_bytes());
        StoreError::damaged(Column::Aggregation, &key, "not a report")
    })
}

fn decode_held(value: &[u8]) -> Option<(u64, Report)> {
    let (at, report) = value.split_at_checked(8)?;
    let at = u64::from_be_bytes(at.try_into().ok()?);
    Some((at, Report::check(wire::Report::decode(report).ok()?).ok()?))
}

/// Every report of the batch, by report id.
pub(super) fn reports(store: &dyn Read, batch: BatchId) -> Result<BTreeMap<ReportId, PublicKey>, StoreError> {
    let prefix = seat::key(batch, seat::REPORT, &[]);
    let mut found = BTreeMap::new();
    for (key, value) in store.scan_all(Column::Aggregation, &prefix)? {
        let damaged = || StoreError::damaged(Column::Aggregation, &key, "not a report");
        let (_, report) = decode_held(&value).ok_or_else(damaged)?;
        found.insert(report.metadata.report_id, report.metadata.contributor);
    }
    Ok(found)
}
