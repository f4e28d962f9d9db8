//! Tests of `endorsement`: what a caller notices.

use fieldmark_protocol::{Kind, Record};

use super::*;
use crate::store::MemoryStore;
use crate::testing::{Item, Signer, deliver};

const ROLE: &str = "contributor";

fn word(subject: &PublicKey, expires_at_ms: u64, revoked: bool) -> Vec<u8> {
    let endorsement = Endorsement {
        subject: *subject,
        role: ROLE.into(),
        expires_at_ms,
        revoked,
    };
    endorsement.encode()
}

fn store(records: &[Record]) -> MemoryStore {
    let mut store = MemoryStore::new();
    let items: Vec<Item> = records.iter().cloned().map(Item::Record).collect();
    deliver(&mut store, &items);
    store
}

fn of(store: &MemoryStore, endorser: &Signer, subject: &PublicKey, until_ms: u64) -> Standing {
    standing(store, &[endorser.author].into(), subject, ROLE, until_ms).unwrap()
}

#[test]
fn the_latest_word_counts_until_it_expires() {
    let (mut endorser, subject) = (Signer::identity(1), Signer::identity(2).author);
    let first = endorser.sign(Kind::Endorsement, word(&subject, 50, false));
    let taken_back = endorser.sign(Kind::Endorsement, word(&subject, 0, true));
    let again = endorser.sign(Kind::Endorsement, word(&subject, 90, false));
    let known = store(std::slice::from_ref(&first));
    assert_eq!(of(&known, &endorser, &subject, 50), Standing::Endorsed);
    assert_eq!(of(&known, &endorser, &subject, 51), Standing::Lapsed);
    let known = store(&[first.clone(), taken_back.clone()]);
    assert_eq!(of(&known, &endorser, &subject, 10), Standing::Lapsed);
    // In whatever order they came.
    let known = store(&[again.clone(), taken_back, first]);
    assert_eq!(of(&known, &endorser, &subject, 90), Standing::Endorsed);
    assert_eq!(endorsements(&known, &subject).unwrap()[0].id, again.id());
}

#[test]
fn only_the_endorsers_own_log_and_role_count() {
    let (mut endorser, subject) = (Signer::identity(1), Signer::identity(2).author);
    let mut node = Signer::node(3, &endorser);
    let mut stranger = Signer::identity(4);
    let known = store(&[
        endorser.certify(&node),
        node.sign(Kind::Endorsement, word(&subject, 0, false)),
        stranger.sign(Kind::Endorsement, word(&subject, 0, false)),
    ]);
    assert_eq!(of(&known, &endorser, &subject, 0), Standing::Unknown);
    assert_eq!(of(&known, &stranger, &subject, 0), Standing::Endorsed);
    let other = standing(&known, &[stranger.author].into(), &subject, "aggregator", 0).unwrap();
    assert_eq!(other, Standing::Unknown);
}

#[test]
fn what_an_endorser_signed_beyond_a_proven_fork_does_not_count() {
    let (mut endorser, subject) = (Signer::identity(1), Signer::identity(2).author);
    let mut twin = endorser.clone();
    let known = store(&[
        endorser.sign(Kind::Endorsement, word(&subject, 0, false)),
        twin.sign(Kind::Endorsement, word(&subject, 7, false)),
    ]);
    assert_eq!(of(&known, &endorser, &subject, 0), Standing::Unknown);
}
