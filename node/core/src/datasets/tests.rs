//! Tests of datasets: versions, copies and their shared budget.

use fieldmark_fl::seal;
use fieldmark_ledger::store::MemoryStore;
use fieldmark_protocol::SecretKey;
use fieldmark_protocol::machine::Store;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::context::{Keys, Policy, Shared};
use crate::io::Output;

fn add_now(
    store: &mut MemoryStore,
    name: &str,
    source: &str,
    records: std::ops::Range<u32>,
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
    let result = add(&mut ctx, &dataset, &sketch, (4.0, 1e-6)).unwrap();
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
    assert_eq!(budgets::budgets(&store).unwrap().len(), 1);
    // New data is a new source; a few records in common are not a copy.
    assert_eq!(add_now(&mut store, "new", "lab", 1_440..2_000).unwrap(), "lab");
    assert_eq!(budgets::budgets(&store).unwrap().len(), 2);
    assert_eq!(datasets(&store).unwrap().len(), 5);
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
