//! Tests of datasets: versions, copies and their shared budget.

use fieldmark_fl::budget::Filter;
use fieldmark_fl::privacy::{Delta, Epsilon, Relation, Rho};
use fieldmark_fl::seal;
use fieldmark_ledger::store::MemoryStore;
use fieldmark_protocol::SecretKey;
use fieldmark_protocol::machine::Store;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::context::{Keys, Policy, Shared};
use crate::io::Output;
use crate::spending;

fn add_now(
    store: &mut MemoryStore,
    name: &str,
    source: &str,
    records: std::ops::Range<u32>,
) -> Result<String, CommandError> {
    add_with(store, name, source, records, SourceBudget::default())
}

fn add_at_order(
    store: &mut MemoryStore,
    name: &str,
    source: &str,
    records: std::ops::Range<u32>,
    order: Option<f64>,
) -> Result<String, CommandError> {
    let budget = SourceBudget {
        order,
        ..SourceBudget::default()
    };
    add_with(store, name, source, records, budget)
}

fn add_with(
    store: &mut MemoryStore,
    name: &str,
    source: &str,
    records: std::ops::Range<u32>,
    budget: SourceBudget,
) -> Result<String, CommandError> {
    let (hpke, hpke_public) = seal::keypair(&[1; 32]);
    let keys = Keys {
        identity: SecretKey::from_seed(&[2; 32]),
        node: SecretKey::from_seed(&[3; 32]),
        hpke,
        hpke_public,
    };
    let mut shared = Shared::new(keys, Policy::default(), ChaCha20Rng::from_seed([4; 32]));
    let mut sketch = RecordSketch::default();
    records
        .clone()
        .for_each(|record| sketch.insert(&record.to_le_bytes()));
    let dataset = Dataset {
        name: name.to_owned(),
        source: source.to_owned(),
        version: format!("{records:?}"),
        ..Dataset::default()
    };
    let mut ctx = Context::new(1, store, &mut shared);
    let result = add(&mut ctx, &dataset, &sketch, &budget).unwrap();
    drop(ctx);
    for output in shared.outputs {
        if let Output::Persist(batch) = output {
            store.commit(&batch).unwrap();
        }
    }
    result.map(|_| super::dataset(store, name).unwrap().unwrap().source)
}

#[test]
fn copies_go_on_with_the_budget_of_what_they_copy() {
    let mut store = MemoryStore::default();
    assert_eq!(add_now(&mut store, "july", "ward", 0..1_000).unwrap(), "ward");
    // The same content, and a tenth of new data that was seen before.
    assert_eq!(add_now(&mut store, "again", "other", 0..1_000).unwrap(), "ward");
    assert_eq!(add_now(&mut store, "mixed", "fresh", 950..1_450).unwrap(), "ward");
    // What came in with a copy counts as seen.
    assert_eq!(add_now(&mut store, "rest", "rest", 1_000..1_450).unwrap(), "ward");
    assert_eq!(spending::budgets(&store).unwrap().len(), 1);
    // New data is a new source; a few records in common are not a copy.
    assert_eq!(add_now(&mut store, "new", "lab", 1_440..2_000).unwrap(), "lab");
    assert_eq!(spending::budgets(&store).unwrap().len(), 2);
    assert_eq!(datasets(&store).unwrap().len(), 5);
}

#[test]
fn another_budget_for_a_known_source_is_refused() {
    let mut store = MemoryStore::default();
    let stated = |epsilon, delta| SourceBudget {
        epsilon,
        delta,
        order: None,
    };
    let mut add = |name, budget| add_with(&mut store, name, "ward", 0..1_000, budget);
    add("july", stated(Some(2.5), None)).unwrap();
    add("july", stated(Some(2.5), Some(1e-6))).unwrap();
    add("july", stated(None, None)).unwrap();
    for other in [stated(Some(4.0), None), stated(None, Some(1e-5))] {
        let error = add("copy", other).unwrap_err();
        assert!(
            error.code == "conflict" && error.message.contains("'ward'") && error.message.contains("2.5"),
            "{error}"
        );
    }
}

#[test]
fn data_of_two_budgets_is_refused_with_the_fix() {
    let mut store = MemoryStore::default();
    add_now(&mut store, "a", "ward", 0..100).unwrap();
    add_now(&mut store, "b", "lab", 200..300).unwrap();
    let error = add_now(&mut store, "c", "both", 50..250).unwrap_err();
    assert!(
        error.code == "conflict" && error.message.contains("'lab'"),
        "{error}"
    );
    let error = add_now(&mut store, "c", "lab", 50..250).unwrap_err();
    assert!(error.message.contains("'ward'"), "{error}");
    assert_eq!(dataset(&store, "c").unwrap(), None);
}

#[test]
fn a_source_at_one_order_keeps_it_over_restarts_and_spends_no_more_than_it_promises() {
    let mut store = MemoryStore::default();
    add_at_order(&mut store, "july", "ward", 0..100, Some(8.0)).unwrap();
    let view = &spending::budgets(&store).unwrap()[0];
    assert!(
        view.accounting.contains("Rényi DP of order 8"),
        "{}",
        view.accounting
    );
    let kind = Relation::AddOrRemoveOneRecord;
    let charge =
        |store: &MemoryStore, id: u8, rho: Rho| budgets::charged(store, "ward", [id; 32], kind, rho).unwrap();
    let limit = budgets::filter(&store, "ward").unwrap().unwrap().limit();
    let most = Rho::from_units(limit.units() / 2 + 1);
    // What a restart reads is what was written.
    let charged = charge(&store, 1, most).unwrap();
    let mut batch = Batch::new();
    budgets::put_filter(&mut batch, "ward", &charged);
    store.commit(&batch).unwrap();
    assert_eq!(budgets::filter(&store, "ward").unwrap().unwrap(), charged);
    let error = charge(&store, 2, most).unwrap_err();
    assert!(
        error.code == "budget" && error.message.contains("remains"),
        "{error}"
    );
    // New versions go on with it, with the order or without; another order is refused.
    assert_eq!(add_now(&mut store, "august", "ward", 0..120).unwrap(), "ward");
    add_at_order(&mut store, "august", "ward", 0..121, Some(8.0)).unwrap();
    for other in [4.0, 8.000_001] {
        let error = add_at_order(&mut store, "august", "ward", 0..122, Some(other)).unwrap_err();
        assert!(
            error.code == "conflict" && error.message.contains("order 8"),
            "{error}"
        );
    }
    assert_eq!(spending::budgets(&store).unwrap()[0].charges, 1);
}

#[test]
fn orders_that_keep_no_promise_are_refused() {
    let mut store = MemoryStore::default();
    for (order, words) in [
        (1.0, "must be above 1"),
        (f64::NAN, "must be above 1"),
        (1e7, "at most 1000000"),
        (2.0, "order 2 leaves nothing of epsilon 4 at delta 1e-6"),
    ] {
        let error = add_at_order(&mut store, "july", "ward", 0..10, Some(order)).unwrap_err();
        assert!(
            error.code == "invalid" && error.message.contains(words),
            "{error}"
        );
    }
    assert!(datasets(&store).unwrap().is_empty() && spending::budgets(&store).unwrap().is_empty());
}

#[test]
fn an_organisation_s_budget_and_a_source_at_one_order_exclude_each_other() {
    let relation = Relation::AddOrRemoveOneRecord;
    let (epsilon, delta) = (Epsilon::new(8.0).unwrap(), Delta::new(1e-6).unwrap());
    let promise = Filter::new(relation, epsilon, delta).unwrap();
    let mut batch = Batch::new();
    batch.put(Column::Budgets, *b"\0organisation", promise.encode());
    let mut store = MemoryStore::default();
    store.commit(&batch).unwrap();
    let error = add_at_order(&mut store, "july", "ward", 0..10, Some(8.0)).unwrap_err();
    assert!(
        error.code == "conflict" && error.message.contains("organisation"),
        "{error}"
    );
    // The other way round nothing can be charged.
    let mut store = MemoryStore::default();
    add_at_order(&mut store, "july", "ward", 0..10, Some(8.0)).unwrap();
    store.commit(&batch).unwrap();
    let charged = budgets::charged(&store, "ward", [1; 32], relation, Rho::from_units(1)).unwrap();
    let error = charged.unwrap_err();
    assert!(
        error.code == "budget" && error.message.contains("organisation"),
        "{error}"
    );
}
