//! Tests of budgets by source and organisation: what is charged, and what a crash changes.

use fieldmark_fl::budget::ChargeState;
use fieldmark_fl::seal;
use fieldmark_ledger::store::MemoryStore;
use fieldmark_protocol::SecretKey;
use fieldmark_protocol::machine::Store;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::context::{Keys, Policy, Shared};
use crate::io::Output;
use crate::spending::{budgets, organisation_budget};

const KIND: Relation = Relation::AddOrRemoveOneRecord;

fn shared() -> Shared {
    let (hpke, hpke_public) = seal::keypair(&[1; 32]);
    let keys = Keys {
        identity: SecretKey::from_seed(&[2; 32]),
        node: SecretKey::from_seed(&[3; 32]),
        hpke,
        hpke_public,
    };
    Shared::new(keys, Policy::default(), ChaCha20Rng::from_seed([4; 32]))
}

/// Runs one command at a time and commits what it wrote.
fn limit(store: &mut MemoryStore, now: u64, epsilon: f64, raise: bool) -> Result<Reply, CommandError> {
    let mut shared = shared();
    let mut ctx = Context::new(now, store, &mut shared);
    let result = set_organisation_limit(&mut ctx, epsilon, 1e-6, raise).unwrap();
    drop(ctx);
    for output in shared.outputs {
        if let Output::Persist(batch) = output {
            store.commit(&batch).unwrap();
        }
    }
    result
}

fn put(store: &mut MemoryStore, source: &str, filter: &Filter) {
    let mut batch = Batch::new();
    put_filter(&mut batch, source, filter);
    store.commit(&batch).unwrap();
}

fn fresh(epsilon: f64) -> Filter {
    Filter::new(KIND, Epsilon::new(epsilon).unwrap(), Delta::new(1e-6).unwrap()).unwrap()
}

fn store() -> MemoryStore {
    let mut store = MemoryStore::default();
    put(&mut store, "lab", &fresh(4.0));
    put(&mut store, "ward", &fresh(4.0));
    store
}

#[test]
fn every_charge_must_fit_the_organisation_too() {
    let mut store = store();
    limit(&mut store, 5, 1.0, false).unwrap();
    let half = Rho::from_units(fresh(1.0).limit().units() / 2);
    for (source, id) in [("lab", 1), ("ward", 1)] {
        let filter = charged(&store, source, [id; 32], KIND, half).unwrap().unwrap();
        put(&mut store, source, &filter);
    }
    // The source could pay, the organisation cannot.
    let error = charged(&store, "ward", [2; 32], KIND, half).unwrap().unwrap_err();
    assert_eq!(error.code, "budget");
    assert!(error.message.contains("organisation"), "{error}");
    // What was charged before costs nothing again.
    assert!(charged(&store, "ward", [1; 32], KIND, half).unwrap().is_ok());
    // A refund at a source makes room in the whole.
    let mut lab = filter(&store, "lab").unwrap().unwrap();
    lab.refund(&[1; 32]).unwrap();
    put(&mut store, "lab", &lab);
    assert!(charged(&store, "ward", [2; 32], KIND, half).unwrap().is_ok());
    let view = organisation_budget(&store).unwrap().unwrap();
    assert_eq!(view.charges, 1);
    assert!((view.rho_refunded - half.value()).abs() < 1e-12);
    assert!((view.rho_reserved - half.value()).abs() < 1e-12);
}

#[test]
fn without_an_organisation_limit_sources_stand_alone() {
    let store = store();
    let all = fresh(4.0).limit();
    assert!(charged(&store, "lab", [1; 32], KIND, all).unwrap().is_ok());
    assert_eq!(organisation_budget(&store).unwrap(), None);
    let error = charged(&store, "attic", [1; 32], KIND, all).unwrap().unwrap_err();
    assert_eq!(error.code, "not-found");
}

#[test]
fn the_limit_is_raised_on_purpose_and_never_below_what_is_spent() {
    let mut store = store();
    limit(&mut store, 9, 2.0, false).unwrap();
    let error = limit(&mut store, 8, 3.0, false).unwrap_err();
    assert!(
        error.code == "refused" && error.message.contains("--raise"),
        "{error}"
    );
    // A clock that jumps back changes nothing.
    limit(&mut store, 0, 3.0, true).unwrap();
    let filter = charged(&store, "lab", [1; 32], KIND, fresh(2.5).limit())
        .unwrap()
        .unwrap();
    put(&mut store, "lab", &filter);
    let error = limit(&mut store, u64::MAX / 2, 2.0, false).unwrap_err();
    assert!(
        error.code == "budget" && error.message.contains("spent"),
        "{error}"
    );
    let view = organisation_budget(&store).unwrap().unwrap();
    assert!((view.epsilon_limit - 3.0).abs() < 1e-12);
    limit(&mut store, 1, 2.6, false).unwrap();
    assert!(limit(&mut store, 1, f64::NAN, false).is_err());
    assert!(limit(&mut store, 1, -1.0, true).is_err());
}

#[test]
fn no_limit_is_set_over_a_source_at_one_order() {
    let mut store = store();
    let order = Accounting::Renyi(Order::new(8.0).unwrap());
    let (epsilon, delta) = (Epsilon::new(4.0).unwrap(), Delta::new(1e-6).unwrap());
    put(
        &mut store,
        "ward",
        &Filter::with_accounting(KIND, order, epsilon, delta).unwrap(),
    );
    let error = limit(&mut store, 1, 8.0, false).unwrap_err();
    assert!(
        error.code == "budget" && error.message.contains("order 8"),
        "{error}"
    );
    assert_eq!(organisation_budget(&store).unwrap(), None);
}

#[test]
fn a_limit_set_late_counts_what_was_spent_before() {
    let mut store = store();
    let filter = charged(&store, "lab", [1; 32], KIND, fresh(2.0).limit())
        .unwrap()
        .unwrap();
    put(&mut store, "lab", &filter);
    assert!(limit(&mut store, 1, 1.0, false).is_err());
    limit(&mut store, 1, 2.5, false).unwrap();
    let left = organisation_budget(&store).unwrap().unwrap().rho_remaining;
    assert!((left - (fresh(2.5).limit().value() - fresh(2.0).limit().value())).abs() < 1e-9);
}

#[test]
fn views_tell_the_odometer_and_the_sums_by_state() {
    let mut store = store();
    let mut lab = fresh(4.0);
    for id in 1..4 {
        lab.reserve([id; 32], Rho::from_units(1_000_000_000)).unwrap();
    }
    lab.commit(&[1; 32]).unwrap();
    lab.refund(&[2; 32]).unwrap();
    put(&mut store, "lab", &lab);
    let views = budgets(&store).unwrap();
    assert_eq!(
        views.iter().map(|v| v.source.as_str()).collect::<Vec<_>>(),
        ["lab", "ward"]
    );
    assert!((views[0].epsilon_spent - lab.odometer()).abs() < 1e-12);
    let sums = [
        views[0].rho_reserved,
        views[0].rho_committed,
        views[0].rho_refunded,
    ];
    assert!(sums.iter().all(|sum| (sum - 1e-3).abs() < 1e-12), "{sums:?}");
    assert_eq!(views[0].charges, 2);
    assert!(views[1].epsilon_spent.abs() < f64::EPSILON);
}

#[test]
fn a_budget_of_the_future_says_so_and_nothing_is_spent() {
    let mut store = store();
    let mut bytes = fresh(4.0).encode();
    bytes[0] = 77;
    let mut batch = Batch::new();
    batch.put(Column::Budgets, *b"lab", bytes.clone());
    store.commit(&batch).unwrap();
    for error in [
        charged(&store, "lab", [1; 32], KIND, Rho::ZERO).unwrap_err(),
        budgets(&store).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains("newer program") && text.contains("77"), "{text}");
    }
    assert_eq!(store.get(Column::Budgets, b"lab").unwrap(), Some(bytes));
}

#[test]
fn a_budget_of_version_1_goes_on() {
    let mut store = store();
    let mut filter = fresh(4.0);
    filter.reserve([1; 32], Rho::from_units(7)).unwrap();
    let mut old = filter.encode();
    old[0] = 1;
    old.drain(2..10);
    let mut batch = Batch::new();
    batch.put(Column::Budgets, *b"lab", old);
    store.commit(&batch).unwrap();
    let next = charged(&store, "lab", [2; 32], KIND, Rho::from_units(5))
        .unwrap()
        .unwrap();
    assert_eq!(next.spent().units(), 12);
}

/// Charges, releases and refunds in many orders, a crash before any commit: what the organisation has
/// spent is what its sources have, and never above its limit.
#[test]
fn the_whole_is_the_sum_of_its_sources_after_a_crash_at_any_commit() {
    let part = Rho::from_units(fresh(1.0).limit().units() / 5);
    for crash_at in 0..24u8 {
        let mut store = store();
        limit(&mut store, 1, 1.0, false).unwrap();
        for step in 0..24u8 {
            let (source, id) = (if step % 3 == 0 { "lab" } else { "ward" }, [step % 7; 32]);
            let next = match step % 5 {
                3 => filter(&store, source).unwrap().filter(|_| true).map(|mut f| {
                    let _ = f.commit(&id);
                    f
                }),
                4 => filter(&store, source).unwrap().map(|mut f| {
                    // Only what is not final is given back.
                    if f.charge(&id).is_some_and(|c| c.state == ChargeState::Reserved) {
                        f.refund(&id).unwrap();
                    }
                    f
                }),
                _ => charged(&store, source, id, KIND, part).unwrap().ok(),
            };
            if let Some(next) = next.filter(|_| step != crash_at) {
                put(&mut store, source, &next);
            }
            let promise = organisation_promise(&store).unwrap().unwrap();
            let sources = filters(&store).unwrap();
            let whole = over_sources(&promise, &sources).unwrap();
            let sum: u64 = sources.iter().map(|(_, filter)| filter.spent().units()).sum();
            assert_eq!(whole.spent().units(), sum);
            assert!(whole.spent() <= promise.limit());
        }
    }
}
