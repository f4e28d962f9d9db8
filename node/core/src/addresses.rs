//! Taking in where nodes say they are reached, and saying where this one is.

use fieldmark_ledger::{addresses, identity};
use fieldmark_protocol::address::NodeAddress;
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError, Topic};
use fieldmark_protocol::wire::announcement::Body as Announced;
use fieldmark_protocol::{PublicKey, wire};
use prost::Message;

use crate::context::Context;
use crate::io::Verdict;

/// Announces where this node is reached.
pub(crate) fn announce(
    ctx: &mut Context<'_>,
    multiaddrs: Vec<String>,
    blobs: Option<String>,
) -> Result<(), StoreError> {
    let before = addresses::of(&ctx.view, &ctx.node_key())?.map_or(0, |a| a.issued_at_ms);
    let issued = ctx.now.max(before + 1);
    let address = NodeAddress::sign(&ctx.keys().node, multiaddrs, blobs, issued);
    put(ctx, &address);
    ctx.broadcast(Topic::Heads, Announced::Address(address.to_wire()));
    Ok(())
}

/// Takes in an address; returns the verdict on it and whether it is news.
pub(crate) fn take(ctx: &mut Context<'_>, new: wire::NodeAddress) -> Result<(Verdict, bool), StoreError> {
    let Ok(node) = PublicKey::from_slice(&new.node_key) else {
        return Ok((Verdict::Reject, false));
    };
    if node == ctx.node_key() {
        return Ok((Verdict::Ignore, false));
    }
    if let Some(bytes) = ctx.view.get(Column::Addresses, node.as_bytes())? {
        let held = wire::NodeAddress::decode(bytes.as_slice())
            .map_err(|e| StoreError::damaged(Column::Addresses, node.as_bytes(), e))?;
        if held == new {
            return Ok((Verdict::Accept, false));
        }
        if held.issued_at_ms >= new.issued_at_ms {
            return Ok((Verdict::Ignore, false));
        }
    }
    if identity::certificate(&ctx.view, &node)?.is_none() {
        return Ok((Verdict::Ignore, false));
    }
    let Ok(address) = NodeAddress::check(new) else {
        return Ok((Verdict::Reject, false));
    };
    put(ctx, &address);
    Ok((Verdict::Accept, true))
}

fn put(ctx: &mut Context<'_>, address: &NodeAddress) {
    let mut batch = Batch::new();
    batch.put(
        Column::Addresses,
        address.node_key.as_bytes().as_slice(),
        address.to_wire().encode_to_vec(),
    );
    ctx.persist(batch);
}
