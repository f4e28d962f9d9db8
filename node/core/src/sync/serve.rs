//! What a node answers to those who sync with it: its frontier, and the records and proofs they ask for.

use fieldmark_ledger::{frontier, log};
use fieldmark_protocol::machine::{Column, Read, StoreError};
use fieldmark_protocol::record::{RECORD_BYTES_MAX, Record};
use fieldmark_protocol::wire::rpc_response;
use fieldmark_protocol::{PublicKey, RecordId, wire};
use prost::Message;

use super::{ADDRESSES_MAX, HEADS_MAX, RECORDS_BYTES_MAX, RECORDS_MAX};
use crate::context::Context;
use crate::io::InboundId;
use crate::rpc::RefusalCode;

/// Most proven forks that a frontier lists, and proofs of one response.
pub(super) const FORKS_MAX: usize = 512;

/// What this node holds.
pub(super) fn frontier(store: &dyn Read) -> Result<wire::Frontier, StoreError> {
    let heads = frontier::heads(store)?;
    let forks = log::forks(store)?;
    // They were checked before they were stored.
    let addresses = store.scan(Column::Addresses, &[], &[], ADDRESSES_MAX)?;
    let address = |(key, value): &(Vec<u8>, Vec<u8>)| {
        wire::NodeAddress::decode(value.as_slice())
            .map_err(|e| StoreError::damaged(Column::Addresses, key, e))
    };
    Ok(wire::Frontier {
        heads: heads.into_iter().take(HEADS_MAX).collect(),
        forks: forks
            .into_iter()
            .take(FORKS_MAX)
            .map(|(log, seq)| wire::ProvenFork {
                log: log.to_vec(),
                seq,
            })
            .collect(),
        addresses: addresses.iter().map(address).collect::<Result<_, _>>()?,
    })
}

/// The records of a part of a log.
pub(super) fn range(
    ctx: &mut Context<'_>,
    inbound: InboundId,
    range: &wire::FetchRange,
) -> Result<(), StoreError> {
    let Ok(log) = PublicKey::from_slice(&range.log) else {
        ctx.refuse(inbound, RefusalCode::Rejected, "the log is not a key");
        return Ok(());
    };
    let limit = usize::try_from(range.limit.min(RECORDS_MAX)).unwrap_or(0);
    let records = frontier::range(&ctx.view, &log, range.from, limit, RECORDS_BYTES_MAX)?;
    respond_records(ctx, inbound, &records);
    Ok(())
}

/// Records by id, those that are held.
pub(super) fn ids(ctx: &mut Context<'_>, inbound: InboundId, ids: &[Vec<u8>]) -> Result<(), StoreError> {
    let most = RECORDS_BYTES_MAX / RECORD_BYTES_MAX;
    let mut records = Vec::new();
    for id in ids
        .iter()
        .take(most)
        .filter_map(|id| RecordId::from_slice(id).ok())
    {
        records.extend(log::record(&ctx.view, &id)?);
    }
    respond_records(ctx, inbound, &records);
    Ok(())
}

/// Equivocation proofs by log, those that are held.
pub(super) fn proofs(ctx: &mut Context<'_>, inbound: InboundId, logs: &[Vec<u8>]) -> Result<(), StoreError> {
    let mut proofs = Vec::new();
    for log in logs
        .iter()
        .take(FORKS_MAX)
        .filter_map(|l| PublicKey::from_slice(l).ok())
    {
        proofs.extend(log::proof(&ctx.view, &log)?.map(|p| p.to_wire()));
    }
    ctx.respond(inbound, rpc_response::Body::Proofs(wire::Proofs { proofs }));
    Ok(())
}

fn respond_records(ctx: &mut Context<'_>, inbound: InboundId, records: &[Record]) {
    let records = records.iter().map(Record::to_wire).collect();
    ctx.respond(inbound, rpc_response::Body::Records(wire::Records { records }));
}
