use fieldmark_fl::budget::Filter;
use fieldmark_fl::privacy::{Delta, Epsilon, Relation, Rho};
use fieldmark_ledger::store::MemoryStore;
use fieldmark_protocol::machine::Store;

use super::*;
use crate::budgets;

const SERIES: Series = [9; 32];

fn keys(records: std::ops::Range<u32>) -> Vec<RecordKey> {
    records
        .map(|record| RecordKey::of(&format!("record-{record}")))
        .collect()
}

fn enter_now(store: &mut MemoryStore, window: u64, records: &[RecordKey]) -> Result<usize, EnterError> {
    let mut batch = Batch::new();
    let entered = enter(store, &mut batch, "ward", &SERIES, window, records).unwrap();
    store.commit(&batch).unwrap();
    entered
}

#[test]
fn a_record_enters_one_window_of_a_series_only() {
    let mut store = MemoryStore::default();
    assert_eq!(enter_now(&mut store, 1, &keys(0..100)), Ok(100));
    assert_eq!(enter_now(&mut store, 1, &keys(0..100)), Ok(0));
    let error = EnterError::Elsewhere { count: 50, window: 1 };
    assert_eq!(enter_now(&mut store, 2, &keys(50..150)), Err(error));
    let left = fresh(&store, "ward", &SERIES, 2, &keys(50..150)).unwrap();
    assert_eq!(left, keys(100..150));
    assert_eq!(enter_now(&mut store, 2, &left), Ok(50));
    assert_eq!(
        enter_now(&mut store, 2, &keys(150..160)),
        Err(EnterError::Fixed { window: 2 })
    );
    // Other series and other sources have windows of their own.
    assert_eq!(fresh(&store, "ward", &[8; 32], 2, &keys(0..3)).unwrap().len(), 3);
    assert_eq!(fresh(&store, "war", &SERIES, 2, &keys(0..3)).unwrap().len(), 3);
}

#[test]
fn large_windows_are_kept_in_parts() {
    let mut store = MemoryStore::default();
    let records = keys(0..70_000);
    assert_eq!(enter_now(&mut store, 3, &records), Ok(70_000));
    assert_eq!(entered(&store, "ward", &SERIES).unwrap().len(), 70_000);
    assert_eq!(enter_now(&mut store, 3, &records), Ok(0));
}

#[test]
fn the_byte_form_is_fixed_and_newer_ones_say_so() {
    let mut batch = Batch::new();
    let store = MemoryStore::default();
    enter(&store, &mut batch, "ward", &SERIES, 5, &keys(0..2))
        .unwrap()
        .unwrap();
    let write = &batch.writes()[0];
    let series = "09".repeat(32);
    let key = format!("020477617264{series}000000000000000500000000");
    assert_eq!(hex::encode(&write.key), key);
    assert_eq!(hex::encode(write.value.as_ref().unwrap()), GOLDEN);
    let mut store = MemoryStore::default();
    let mut newer = Batch::new();
    newer.put(Column::Datasets, write.key.clone(), [2u8, 0]);
    store.commit(&newer).unwrap();
    let error = entered(&store, "ward", &SERIES).unwrap_err();
    assert!(error.to_string().contains("newer program"), "{error}");
}

const GOLDEN: &str = "015e975d69dee2e4116fd1c54351d917ba";

/// Windows come one after another, each charges the source in the same batch as its register. The node
/// crashes before any of its commits, starts again and goes on.
#[test]
fn after_a_crash_at_any_persist_every_record_is_charged_in_one_window() {
    let cost = Rho::from_units(1_000);
    for crash_at in 0..6 {
        for windows in [vec![0..40, 20..60, 0..80], vec![0..10, 0..10, 5..30]] {
            let mut store = MemoryStore::default();
            let (epsilon, delta) = (Epsilon::new(4.0).unwrap(), Delta::new(1e-6).unwrap());
            let filter = Filter::new(Relation::AddOrRemoveOneRecord, epsilon, delta).unwrap();
            let mut first = Batch::new();
            budgets::put_filter(&mut first, "ward", &filter);
            store.commit(&first).unwrap();
            let mut commits = 0;
            for (window, records) in (1u64..).zip(&windows) {
                // A try, and another after the crash, which finds what the store holds.
                for _ in 0..2 {
                    let left = fresh(&store, "ward", &SERIES, window, &keys(records.clone())).unwrap();
                    let mut filter = budgets::filter(&store, "ward").unwrap().unwrap();
                    let id = [u8::try_from(window).unwrap(); 32];
                    filter.reserve(id, cost).unwrap();
                    let mut batch = Batch::new();
                    enter(&store, &mut batch, "ward", &SERIES, window, &left)
                        .unwrap()
                        .unwrap();
                    budgets::put_filter(&mut batch, "ward", &filter);
                    commits += 1;
                    if commits != crash_at {
                        store.commit(&batch).unwrap();
                    }
                }
            }
            let entered = entered(&store, "ward", &SERIES).unwrap();
            let all: std::collections::BTreeSet<_> = windows.iter().cloned().flat_map(keys).collect();
            // One window a record, and the earliest that asked for it.
            assert_eq!(
                entered.keys().copied().collect::<std::collections::BTreeSet<_>>(),
                all
            );
            for (record, window) in &entered {
                let earliest = windows
                    .iter()
                    .position(|w| keys(w.clone()).contains(record))
                    .unwrap();
                assert_eq!(*window, earliest as u64 + 1);
            }
            let filter = budgets::filter(&store, "ward").unwrap().unwrap();
            assert_eq!(filter.spent().units(), 3 * cost.units());
        }
    }
}
