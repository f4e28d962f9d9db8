//! Tests of `store`: what a caller notices.

use super::*;
use proptest::prelude::*;

/// Short keys over a small alphabet, so that writes, deletes and prefixes meet.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0u8..3, 0..4)
}

fn batch() -> impl Strategy<Value = Batch> {
    let write = (
        any::<bool>(),
        key(),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..3)),
    );
    prop::collection::vec(write, 0..12).prop_map(|writes| {
        let mut batch = Batch::new();
        for (second, key, value) in writes {
            let column = if second { Column::Views } else { Column::Records };
            match value {
                Some(value) => batch.put(column, key, value),
                None => batch.delete(column, key),
            }
        }
        batch
    })
}

proptest! {
    #[test]
    fn an_overlay_reads_like_the_store_after_its_commit(
        base in batch(), stacked in prop::collection::vec(batch(), 0..4),
        prefix in key(), from in key(), limit in prop_oneof![0usize..6, Just(usize::MAX)],
    ) {
        let mut store = MemoryStore::new();
        store.commit(&base).unwrap();
        let mut after = store.clone();
        let (mut overlay, mut pending) = (Overlay::new(&store), Pending::new());
        for batch in &stacked {
            overlay.apply(batch);
            pending.apply(batch);
            after.commit(batch).unwrap();
        }
        let mut joined = store.clone();
        joined.commit(&pending.batch()).unwrap();
        for column in [Column::Records, Column::Views] {
            let expected = after.scan(column, &prefix, &from, limit).unwrap();
            prop_assert_eq!(overlay.scan(column, &prefix, &from, limit).unwrap(), expected.clone());
            prop_assert_eq!(pending.over(&store).scan(column, &prefix, &from, limit).unwrap(), expected.clone());
            prop_assert_eq!(joined.scan(column, &prefix, &from, limit).unwrap(), expected);
            prop_assert_eq!(overlay.get(column, &prefix).unwrap(), after.get(column, &prefix).unwrap());
        }
    }
}

#[test]
fn pending_bytes_count_each_key_once() {
    let mut pending = Pending::new();
    let mut batch = Batch::new();
    batch.put(Column::Records, *b"key", *b"first value");
    batch.put(Column::Records, *b"key", *b"second");
    batch.delete(Column::Records, *b"gone");
    pending.apply(&batch);
    assert_eq!((pending.writes(), pending.bytes()), (2, 3 + 6 + 4));
    pending.clear();
    assert!(pending.is_empty() && pending.bytes() == 0);
}
