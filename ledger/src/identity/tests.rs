//! Tests of `identity`: what a caller notices.

use super::*;
use crate::store::MemoryStore;
use crate::testing::{Item, Signer, deliver};
use fieldmark_protocol::Record;

fn store(records: &[Record]) -> MemoryStore {
    let mut store = MemoryStore::new();
    deliver(
        &mut store,
        &records.iter().cloned().map(Item::Record).collect::<Vec<_>>(),
    );
    store
}

#[test]
fn the_newest_profile_of_any_of_its_keys_names_an_identity() {
    let mut identity = Signer::identity(1);
    let mut node = Signer::node(2, &identity);
    let records = [
        identity.profile("old"),
        identity.certify(&node),
        node.profile("new"),
    ];
    let store = store(&records);
    assert_eq!(name(&store, &identity.author).unwrap().as_deref(), Some("new"));
    assert_eq!(identities(&store).unwrap(), [identity.author]);
}

#[test]
fn a_renewed_certificate_replaces_the_one_before() {
    let mut identity = Signer::identity(1);
    let (node, other) = (Signer::node(2, &identity), Signer::node(3, &identity));
    let records = [
        identity.certify(&node),
        identity.certify(&other),
        identity.certify(&node),
    ];
    let store = store(&records);
    assert_eq!(
        certificate(&store, &node.log()).unwrap().unwrap().id,
        records[2].id()
    );
    let mut nodes: Vec<_> = nodes_of(&store, &identity.author)
        .unwrap()
        .iter()
        .map(|c| c.id)
        .collect();
    let mut expected = vec![records[1].id(), records[2].id()];
    nodes.sort_unstable();
    expected.sort_unstable();
    assert_eq!(nodes, expected);
}

#[test]
fn a_node_cannot_certify_another_or_revoke_in_its_identitys_name() {
    let mut identity = Signer::identity(1);
    let mut node = Signer::node(2, &identity);
    let friend = Signer::node(3, &identity);
    let records = [
        identity.certify(&node),
        node.certify(&friend),
        node.revoke(&node.clone(), 0),
    ];
    let store = store(&records);
    assert_eq!(certificate(&store, &friend.log()).unwrap(), None);
    assert!(certificate(&store, &node.log()).unwrap().is_some());
}

#[test]
fn a_strangers_revocation_changes_nothing() {
    let (mut identity, mut stranger) = (Signer::identity(1), Signer::identity(5));
    let node = Signer::node(2, &identity);
    let store = store(&[identity.certify(&node), stranger.revoke(&node, 0)]);
    assert!(certificate(&store, &node.log()).unwrap().is_some());
}
