//! Every checker passes a good run and sees the bug that is planted for it.

use std::path::Path;

use fieldmark_fl::budget::Filter;
use fieldmark_fl::privacy::{Delta, Epsilon, Relation};
use fieldmark_ledger::log;
use fieldmark_node_core::contributor::charge_id;
use fieldmark_protocol::fork::EquivocationProof;
use fieldmark_protocol::machine::{Batch, Column, Read, Store};
use fieldmark_protocol::{Kind, Record, RecordId, ReportId, wire};
use prost::Message;

use super::*;
use crate::disk::{CONCLUDED, GROUP_SEED, NOISY};
use crate::journal::Journal;
use crate::part::Part;
use crate::scenario::Scenario;
use crate::world::World;

const SCENARIO: &str = "
name = \"planted\"
nodes = 12
researchers = 2
companies = 4
equivocators = 1
[challenge]
slices = 2
records = 20
window_ms = 8000
min_batch = 2
";

fn evidence(scenario: &str) -> Evidence {
    let scenario = Scenario::parse(scenario, Path::new("planted.toml")).unwrap();
    let ended = World::new(&scenario, 1, Journal::new(None).unwrap()).run();
    assert_eq!(ended.violations, Vec::<String>::new());
    ended.evidence
}

/// Plants a bug and expects the checkers to say `words`.
fn planted(words: &str, plant: impl FnOnce(&mut Evidence, BatchId)) {
    planted_in(SCENARIO, words, plant);
}

fn planted_in(scenario: &str, words: &str, plant: impl FnOnce(&mut Evidence, BatchId)) {
    let mut evidence = evidence(scenario);
    let (_, view) = evidence.outcome().unwrap().unwrap();
    plant(&mut evidence, view.batch);
    let found = check(&evidence);
    assert!(
        found.iter().any(|violation| violation.contains(words)),
        "{words}: {found:#?}"
    );
}

fn witness(evidence: &mut Evidence, role: Role) -> &mut Witness {
    evidence
        .witnesses
        .iter_mut()
        .find(|witness| witness.part.role == role)
        .unwrap()
}

fn put(witness: &mut Witness, column: Column, key: &[u8], value: impl Into<Vec<u8>>) {
    let mut batch = Batch::new();
    batch.put(column, key, value);
    witness.store.commit(&batch).unwrap();
}

fn delete(witness: &mut Witness, column: Column, key: &[u8]) {
    let mut batch = Batch::new();
    batch.delete(column, key);
    witness.store.commit(&batch).unwrap();
}

fn state_key(batch: BatchId, tag: u8) -> Vec<u8> {
    [batch.key(), vec![tag]].concat()
}

/// Changes what an aggregator concluded.
fn conclude(witness: &mut Witness, batch: BatchId, change: impl FnOnce(&mut wire::Conclude)) {
    let key = state_key(batch, CONCLUDED);
    let bytes = witness.store.get(Column::Aggregation, &key).unwrap().unwrap();
    let mut concluded = wire::Conclude::decode(bytes.as_slice()).unwrap();
    change(&mut concluded);
    put(witness, Column::Aggregation, &key, concluded.encode_to_vec());
}

/// A filter like every company's, without charges.
fn filter() -> Filter {
    let (epsilon, delta) = (Epsilon::new(4.0).unwrap(), Delta::new(1e-6).unwrap());
    Filter::new(Relation::AddOrRemoveOneRecord, epsilon, delta).unwrap()
}

/// Replaces a company's filter.
fn set_filter(witness: &mut Witness, filter: &[u8]) {
    let (key, _) = witness.store.scan_all(Column::Budgets, &[]).unwrap().remove(0);
    put(witness, Column::Budgets, &key, filter);
}

#[test]
fn a_good_run_is_left_alone() {
    assert_eq!(check(&evidence(SCENARIO)), Vec::<String>::new());
    assert_eq!(outcome_name(&evidence(SCENARIO)), "released");
}

#[test]
fn a_ledger_that_differs_is_seen() {
    planted("convergence: the ledgers of relay-", |evidence, _| {
        let relay = witness(evidence, Role::Relay);
        let (key, _) = relay.store.scan_all(Column::Records, &[]).unwrap().remove(0);
        delete(relay, Column::Records, &key);
    });
}

#[test]
fn a_fork_that_is_not_proven_somewhere_is_seen() {
    planted("forks: relay-", |evidence, _| {
        let forked = evidence.equivocators[0];
        delete(witness(evidence, Role::Relay), Column::Forks, forked.as_bytes());
    });
}

#[test]
fn a_proof_against_an_honest_node_is_seen() {
    planted("holds a proof against the honest", |evidence, _| {
        let operator = witness(evidence, Role::Operator);
        let key = operator.part.keys.identity.clone();
        let sign =
            |payload: &[u8]| Record::sign(&key, key.public(), None, Kind::Profile, payload.to_vec(), 0);
        let proof = EquivocationProof::of(&sign(b"a"), &sign(b"b")).unwrap();
        let batch = log::ingest_proof(&operator.store, &proof).unwrap().unwrap();
        operator.store.commit(&batch).unwrap();
    });
}

#[test]
fn an_acknowledged_record_that_is_lost_is_seen() {
    planted(
        "acknowledged records: record 0707070707 is lost",
        |evidence, _| {
            evidence.acknowledged.push(RecordId::new([7; 32]));
        },
    );
}

#[test]
fn boards_that_differ_are_seen() {
    planted("boards: the boards of", |evidence, _| {
        let company = witness(evidence, Role::Company(0));
        let records = company.store.scan_all(Column::Records, &[]).unwrap();
        let share = records
            .into_iter()
            .find(|(_, value)| Record::decode_stored(value).unwrap().header().kind == Kind::AggregateShare);
        delete(company, Column::Records, &share.unwrap().0);
    });
}

#[test]
fn another_end_than_the_scenario_wants_is_seen() {
    planted("outcome: the batch ended Released", |evidence, _| {
        evidence.expect = Expect::Aborted
    });
    planted("outcome: no challenge was posed", |evidence, _| {
        evidence.posed = None
    });
}

#[test]
fn a_report_that_counts_twice_is_seen() {
    planted("reports: aggregator-1 counts report", |evidence, batch| {
        conclude(witness(evidence, Role::Aggregator(1)), batch, |concluded| {
            concluded.report_ids.insert(0, concluded.report_ids[0].clone());
        });
    });
}

#[test]
fn an_identity_that_counts_twice_is_seen() {
    planted("reports: aggregator-0 counts identity", |evidence, batch| {
        let identity = witness(evidence, Role::Company(1)).part.identity();
        evidence.uploads.insert(ReportId::new([0xff; 16]), identity);
        let leader = witness(evidence, Role::Aggregator(0));
        conclude(leader, batch, |concluded| {
            concluded.report_ids.push(vec![0xff; 16])
        });
    });
}

#[test]
fn a_report_that_is_lost_after_its_receipt_is_seen() {
    planted("lost report 0505050505", |evidence, batch| {
        let company = witness(evidence, Role::Company(0)).part.identity();
        evidence.receipts.insert((batch, company), ReportId::new([5; 16]));
    });
}

#[test]
fn a_transcript_of_other_reports_is_seen() {
    planted(
        "the transcript of aggregator-2 is not of the reports it accepted",
        |evidence, batch| {
            conclude(witness(evidence, Role::Aggregator(2)), batch, |concluded| {
                concluded.report_ids.pop();
            });
        },
    );
}

#[test]
fn a_sum_that_is_off_by_one_is_seen() {
    planted("was measured and drawn", |evidence, _| {
        let values = evidence.truth.measured.values_mut().next().unwrap();
        values[1] = if values[1] == 0 { 1 } else { values[1] - 1 };
    });
    planted("was measured and drawn", |evidence, _| {
        evidence.truth.noise.values_mut().next().unwrap()[0].values[0][0] += 1;
    });
}

#[test]
fn groups_that_differ_or_do_not_add_up_are_seen() {
    let two = format!("{SCENARIO}replicate_groups = 2\n");
    planted_in(&two, "was measured and drawn", |evidence, _| {
        let draw = &mut evidence.truth.noise.values_mut().next().unwrap()[0];
        draw.values.swap(0, 1);
    });
    planted_in(&two, "drew other groups than another", |evidence, batch| {
        let witness = witness(evidence, Role::Aggregator(1));
        put(
            witness,
            Column::Aggregation,
            &state_key(batch, GROUP_SEED),
            [9; 32],
        );
    });
    planted_in(&two, "signed other groups than it drew", |evidence, batch| {
        for seat in 0..3 {
            let witness = witness(evidence, Role::Aggregator(seat));
            put(
                witness,
                Column::Aggregation,
                &state_key(batch, GROUP_SEED),
                [9; 32],
            );
        }
    });
    planted_in(&two, "drew no groups", |evidence, batch| {
        let witness = witness(evidence, Role::Aggregator(2));
        delete(witness, Column::Aggregation, &state_key(batch, GROUP_SEED));
    });
    planted("where there are none", |evidence, batch| {
        let witness = witness(evidence, Role::Aggregator(2));
        put(
            witness,
            Column::Aggregation,
            &state_key(batch, GROUP_SEED),
            [9; 32],
        );
    });
}

#[test]
fn noise_that_was_not_drawn_or_not_persisted_is_seen() {
    planted("published a share it never drew", |evidence, _| {
        evidence.truth.noise.clear()
    });
    planted("published a share that it did not persist", |evidence, batch| {
        let key = state_key(batch, NOISY);
        put(
            witness(evidence, Role::Aggregator(1)),
            Column::Aggregation,
            &key,
            vec![1; 64],
        );
    });
}

#[test]
fn noise_of_another_scale_is_seen() {
    planted("noise of another scale", |evidence, _| {
        let draws = evidence.truth.noise.values_mut().next().unwrap();
        draws.iter_mut().for_each(|draw| draw.sigma_squared += 1);
    });
}

#[test]
fn an_overspent_budget_is_seen() {
    planted("exceed its limit", |evidence, batch| {
        let mut filter = filter();
        filter.reserve(charge_id(batch), filter.limit()).unwrap();
        let mut bytes = filter.encode();
        let at = bytes.len() - 9;
        bytes[at..at + 8].copy_from_slice(&(filter.limit().units() + 1).to_le_bytes());
        set_filter(witness(evidence, Role::Company(0)), &bytes);
    });
}

#[test]
fn a_charge_that_is_missing_or_wrong_is_seen() {
    planted("it reported and was not charged", |evidence, _| {
        set_filter(witness(evidence, Role::Company(0)), &filter().encode());
    });
    planted("another amount than the task costs", |evidence, batch| {
        let mut filter = filter();
        filter
            .reserve(charge_id(batch), fieldmark_fl::privacy::Rho::from_units(1))
            .unwrap();
        set_filter(witness(evidence, Role::Company(0)), &filter.encode());
    });
}

#[test]
fn a_charge_given_back_after_a_release_is_seen() {
    planted("given back what a released batch spent", |evidence, batch| {
        let company = witness(evidence, Role::Company(0));
        let (_, bytes) = company.store.scan_all(Column::Budgets, &[]).unwrap().remove(0);
        let mut filter = Filter::decode(&bytes).unwrap();
        filter.refund(&charge_id(batch)).unwrap();
        set_filter(company, &filter.encode());
    });
}

/// The record that `key` signs next in its log, for `author`.
fn sign(store: &MemoryStore, part: &Part, kind: Kind, payload: Vec<u8>) -> Record {
    let prev = log::last(store, &part.node_key()).unwrap();
    Record::sign(&part.keys.node, part.identity(), prev, kind, payload, 0)
}

#[test]
fn an_abort_that_names_nobody_is_seen() {
    planted("an abort blames somebody else, or nobody", |evidence, batch| {
        let part = witness(evidence, Role::Aggregator(1)).part.clone();
        let operator = witness(evidence, Role::Operator);
        let abort = fieldmark_protocol::aggregation::Abort {
            batch,
            reason: fieldmark_protocol::aggregation::AbortReason::Misbehaviour,
            detail: "it was not me".into(),
        };
        let record = sign(&operator.store, &part, Kind::Abort, abort.encode());
        let log::Ingest::Stored(writes) = log::ingest(&operator.store, &record).unwrap() else {
            panic!("the abort is the next of its log")
        };
        operator.store.commit(&writes).unwrap();
    });
}

#[test]
fn a_malformed_share_that_goes_through_is_seen() {
    planted("a malformed verifier share was concluded", |evidence, _| {
        let mut helper = witness(evidence, Role::Aggregator(1)).clone();
        helper.part.deed = Some(Deed::MalformedShare);
        evidence.others.push(helper);
    });
}

#[test]
fn an_honest_aggregator_that_stays_silent_is_seen() {
    planted("the honest aggregator in seat", |evidence, _| {
        let operator = witness(evidence, Role::Operator);
        let records = operator.store.scan_all(Column::Records, &[]).unwrap();
        let share = records
            .into_iter()
            .find(|(_, value)| Record::decode_stored(value).unwrap().header().kind == Kind::AggregateShare);
        delete(operator, Column::Records, &share.unwrap().0);
    });
}

#[test]
fn a_contributor_that_believes_what_is_not_so_is_seen() {
    planted("believes Failed of its report", |evidence, _| {
        let company = witness(evidence, Role::Company(0));
        let (key, value) = company
            .store
            .scan_all(Column::Contributions, b"s")
            .unwrap()
            .remove(0);
        let text = String::from_utf8(value)
            .unwrap()
            .replace("\"counted\"", "\"failed\"");
        put(company, Column::Contributions, &key, text);
    });
}

#[test]
fn a_measurement_in_another_store_is_seen() {
    planted("holds the measurement of", |evidence, _| {
        let values = evidence.truth.measured.values().next().unwrap().clone();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        put(witness(evidence, Role::Relay), Column::Meta, b"stolen", bytes);
    });
}

#[test]
fn a_charge_given_back_after_a_share_is_seen() {
    planted("given back what a public share spent", |evidence, batch| {
        let operator = witness(evidence, Role::Operator);
        let records = operator.store.scan_all(Column::Records, &[]).unwrap();
        let share = records
            .into_iter()
            .find(|(_, value)| Record::decode_stored(value).unwrap().header().kind == Kind::AggregateShare);
        delete(operator, Column::Records, &share.unwrap().0);
        let company = witness(evidence, Role::Company(0));
        let (_, bytes) = company.store.scan_all(Column::Budgets, &[]).unwrap().remove(0);
        let mut filter = Filter::decode(&bytes).unwrap();
        filter.refund(&charge_id(batch)).unwrap();
        set_filter(company, &filter.encode());
    });
}
