//! Shares: sealed, in the clear, and as verification stores them.

use fieldmark_fl::schema::{RecordOutcome, Schema, SchemaParams, Statistics};
use fieldmark_fl::seal;
use fieldmark_fl::vdaf::{Shares, Vdaf};

const CTX: &[u8] = b"task";
const VERIFY_KEY: [u8; 32] = [5; 32];
const NONCE: [u8; 16] = [6; 16];

fn vdaf() -> Option<Vdaf> {
    let statistics = Statistics {
        paired: true,
        calibration: true,
        ..Statistics::default()
    };
    let schema = Schema::new(&SchemaParams {
        models: 2,
        slices: 2,
        cap: 20,
        statistics,
    });
    Vdaf::new(&schema.ok()?, 2).ok()
}

fn shares() -> Option<(Vdaf, Shares)> {
    let vdaf = vdaf()?;
    let measurement = vdaf.schema().measure(&Vec::<RecordOutcome>::new()).ok()?;
    let shares = vdaf.shard(CTX, &measurement, &NONCE, &[1; 32]).ok()?;
    Some((vdaf, shares))
}

pub(super) fn seal(bytes: &[u8]) {
    let (secret, public) = seal::keypair(&[1; 32]);
    drop(seal::open(&secret, b"info", b"aad", bytes));
    // A key of 32 bytes that somebody announced.
    let key = bytes.first_chunk().copied().unwrap_or(public);
    drop(seal::seal(&key, b"info", b"aad", b"share", &[2; 32]));
}

pub(super) fn sealed() -> Vec<Vec<u8>> {
    let (_, public) = seal::keypair(&[1; 32]);
    seal::seal(&public, b"info", b"aad", &[7; 64], &[2; 32])
        .into_iter()
        .collect()
}

pub(super) fn input(bytes: &[u8]) {
    let Some(vdaf) = vdaf() else { return };
    let (public, input) = bytes
        .split_at_checked(vdaf.public_share_bytes())
        .unwrap_or((bytes, &[]));
    for index in 0..3 {
        drop(vdaf.verify_init(&VERIFY_KEY, CTX, index, &NONCE, public, input));
    }
}

pub(super) fn inputs() -> Vec<Vec<u8>> {
    let Some((_, shares)) = shares() else {
        return Vec::new();
    };
    shares
        .inputs
        .iter()
        .map(|input| [shares.public.as_slice(), input].concat())
        .collect()
}

pub(super) fn verifier(bytes: &[u8]) {
    let Some(vdaf) = vdaf() else { return };
    let (one, other) = bytes.split_at_checked(bytes.len() / 2).unwrap_or((bytes, &[]));
    drop(vdaf.combine(CTX, &[one.to_vec(), other.to_vec()]));
    let state = states().pop().and_then(|state| vdaf.decode_state(&state).ok());
    if let Some(state) = state {
        drop(vdaf.verify_next(CTX, state, bytes));
    }
}

pub(super) fn verifiers() -> Vec<Vec<u8>> {
    let Some((vdaf, shares)) = shares() else {
        return Vec::new();
    };
    let verifier = |(index, input): (u8, &Vec<u8>)| {
        let init = vdaf.verify_init(&VERIFY_KEY, CTX, index, &NONCE, &shares.public, input);
        init.ok().map(|(_, share)| share)
    };
    let both: Vec<Vec<u8>> = (0..).zip(&shares.inputs).filter_map(verifier).collect();
    let message = vdaf.combine(CTX, &both).ok();
    std::iter::once(both.concat()).chain(message).collect()
}

pub(super) fn state(bytes: &[u8]) {
    let Some(vdaf) = vdaf() else { return };
    if let Ok(state) = vdaf.decode_state(bytes) {
        assert_eq!(state.encode().ok().as_deref(), Some(bytes));
    }
    drop(vdaf.decode_output(bytes));
    if let Ok(share) = vdaf.decode_share(bytes) {
        assert_eq!(share.encode(), bytes);
        drop(vdaf.unshard(&[share.clone(), share]));
    }
}

pub(super) fn states() -> Vec<Vec<u8>> {
    let Some((vdaf, shares)) = shares() else {
        return Vec::new();
    };
    let state = |(index, input): (u8, &Vec<u8>)| {
        let init = vdaf.verify_init(&VERIFY_KEY, CTX, index, &NONCE, &shares.public, input);
        init.ok()?.0.encode().ok()
    };
    let states = (0..).zip(&shares.inputs).filter_map(state);
    std::iter::once(vdaf.zero().encode()).chain(states).collect()
}
