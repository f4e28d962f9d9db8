//! The verification key as a helper sees it: its own share, the commitments it was shown, the key they make;
//! and the nonces behind the shares, from which the replicate groups are drawn.

use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::machine::{Batch, StoreError};
use fieldmark_protocol::task::Task;
use fieldmark_protocol::wire::rpc_response;
use fieldmark_protocol::{PublicKey, groups, wire};

use super::{Answer, assigned, refused};
use crate::context::Context;
use crate::rpc::RefusalCode;
use crate::seat;

/// This node's part of the verification key, drawn once: the first round is answered with a commitment to
/// it, the second, in which the leader shows all commitments, with the share.
pub(super) fn key_share(
    ctx: &mut Context<'_>,
    peer: PublicKey,
    message: &wire::VerifyKeyShare,
) -> Answer<rpc_response::Body> {
    let (batch, task, seat_of) = match assigned(ctx, peer, &message.task, message.window)? {
        Ok(found) => found,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if !message.group_nonces.is_empty() {
        return group_nonces(ctx, batch, &task, &message.group_nonces);
    }
    let seats = task.committee.len();
    let stored = match seat::get_key(&ctx.view, batch, seat::KEY_SHARE)? {
        Some(stored) => stored,
        None => {
            let drawn = ctx.random::<32>();
            let mut writes = Batch::new();
            seat::put(&mut writes, batch, seat::KEY_SHARE, &[], drawn);
            ctx.persist(writes);
            drawn
        }
    };
    let share = seat::key_share(&task, &stored);
    let mut answer = wire::VerifyKeyShare {
        task: message.task.clone(),
        window: message.window,
        ..Default::default()
    };
    let own = seat::key_commitment(batch, seat_of, &share);
    let (tag, value) = match (message.commitment.len(), message.commitments.len()) {
        (32, 0) => (seat::LEADER_COMMITMENT, message.commitment.clone()),
        (0, listed) if listed == seats => (seat::COMMITMENTS, message.commitments.concat()),
        _ => return refused(RefusalCode::Rejected, "neither a commitment nor all of them"),
    };
    if tag == seat::COMMITMENTS {
        let leaders = seat::get(&ctx.view, batch, seat::LEADER_COMMITMENT, &[])?;
        if leaders.as_ref() != message.commitments.first()
            || message.commitments.get(seat_of).map(Vec::as_slice) != Some(&own)
        {
            return refused(
                RefusalCode::Rejected,
                "these are not the commitments that were made",
            );
        }
        answer.share = share.to_vec();
    } else {
        answer.commitment = own.to_vec();
    }
    match seat::get(&ctx.view, batch, tag, &[])? {
        Some(held) if held != value => {
            return refused(RefusalCode::Rejected, "another commitment was shown before");
        }
        Some(_) => {}
        None => {
            let mut writes = Batch::new();
            seat::put(&mut writes, batch, tag, &[], value);
            ctx.persist(writes);
        }
    }
    Ok(Ok(rpc_response::Body::VerifyKeyShare(answer)))
}

/// What is wrong with a verification key, if anything: its shares must open the commitments.
pub(super) fn wrong_key(
    ctx: &Context<'_>,
    batch: BatchId,
    key: &[u8; 32],
    shares: &[Vec<u8>],
) -> Result<Option<&'static str>, StoreError> {
    if seat::get_key(&ctx.view, batch, seat::VERIFY_KEY)?.is_some_and(|held| held != *key) {
        return Ok(Some("another verification key was used for this batch before"));
    }
    let read = |share: &Vec<u8>| <[u8; 32]>::try_from(share.as_slice()).ok();
    let Some(shares) = shares.iter().map(read).collect::<Option<Vec<_>>>() else {
        return Ok(Some("a share of the verification key has not 32 bytes"));
    };
    let opened = seat::key_commitments(batch, &shares);
    if seat::get(&ctx.view, batch, seat::COMMITMENTS, &[])? != Some(opened) {
        return Ok(Some(
            "the shares of the verification key do not open the commitments",
        ));
    }
    let derived = seat::joint_key(batch, &shares);
    Ok((derived != *key).then_some("the verification key is not made of its shares"))
}

/// The group nonces of all: they must open what was committed to, and come after the conclusion, which fixes
/// the reports. What the groups are drawn from is durable before the answer leaves.
fn group_nonces(
    ctx: &mut Context<'_>,
    batch: BatchId,
    task: &Task,
    shown: &[Vec<u8>],
) -> Answer<rpc_response::Body> {
    if !task.has_groups() || shown.len() != task.committee.len() {
        return refused(
            RefusalCode::Rejected,
            "the task has no replicate groups, or these are not the nonces of all seats",
        );
    }
    if seat::get(&ctx.view, batch, seat::CONCLUDED, &[])?.is_none() {
        return refused(RefusalCode::Rejected, "the batch is not concluded here");
    }
    let read = |nonce: &Vec<u8>| <[u8; 32]>::try_from(nonce.as_slice()).ok();
    let Some(nonces) = shown.iter().map(read).collect::<Option<Vec<_>>>() else {
        return refused(RefusalCode::Rejected, "a group nonce has not 32 bytes");
    };
    if seat::false_nonce(&ctx.view, batch, &nonces)?.is_some() {
        return refused(
            RefusalCode::Rejected,
            "the group nonces do not open the commitments",
        );
    }
    let mut writes = Batch::new();
    let seed = groups::seed(batch, &nonces);
    seat::put(&mut writes, batch, seat::GROUP_SEED, &[], *seed.as_bytes());
    ctx.persist(writes);
    Ok(Ok(rpc_response::Body::Done(wire::Done::default())))
}
