//! The batch: no report counts twice, a receipt is kept, and the aggregate is the plain sum of what was
//! really measured plus the noise that the committee really drew.

use std::collections::BTreeSet;

use fieldmark_fl::schema::{Measurement, Schema};
use fieldmark_ledger::batch::{BatchView, Phase};
use fieldmark_ledger::store::MemoryStore;
use fieldmark_node_core::params::schema_params;
use fieldmark_node_core::reveal;
use fieldmark_protocol::aggregation::{BatchId, Transcript};
use fieldmark_protocol::decode;
use fieldmark_protocol::machine::{Column, RPC_BYTES_MAX, Read, StoreError};
use fieldmark_protocol::task::Task;
use fieldmark_protocol::{ReportId, groups, merkle, wire};

use super::{Evidence, Violations};
use crate::disk::{CONCLUDED, GROUP_SEED, NOISY};
use crate::part::Role;
use crate::scenario::Deed;

/// Key of an aggregator's state.
fn key(batch: BatchId, tag: u8) -> Vec<u8> {
    let mut key = batch.key();
    key.push(tag);
    key
}

/// The batch as an aggregator concluded it: accepted and rejected ids.
pub(super) fn concluded(
    store: &MemoryStore,
    batch: BatchId,
) -> Result<Option<[Vec<ReportId>; 2]>, StoreError> {
    let key = key(batch, CONCLUDED);
    let Some(bytes) = store.get(Column::Aggregation, &key)? else {
        return Ok(None);
    };
    let damaged = |_| StoreError::damaged(Column::Aggregation, &key, "not a conclusion");
    let wire: wire::Conclude =
        decode::bounded("a conclusion", &bytes, RPC_BYTES_MAX).map_err(|_| damaged(()))?;
    let ids = |ids: Vec<&[u8]>| {
        ids.into_iter()
            .map(ReportId::from_slice)
            .collect::<Result<Vec<_>, _>>()
    };
    let accepted = ids(wire.report_ids.iter().map(Vec::as_slice).collect()).map_err(|_| damaged(()))?;
    let rejected = wire
        .rejected
        .iter()
        .map(|verdict| verdict.report_id.as_slice())
        .collect();
    Ok(Some([accepted, ids(rejected).map_err(|_| damaged(()))?]))
}

/// No report and no identity counts twice; every receipt is a report that counts or was rejected; and
/// the published count and root are those of the accepted reports.
pub(super) fn reports_count_once(evidence: &Evidence) -> Result<Violations, StoreError> {
    let mut violations = Violations::new();
    let Some((task, view)) = evidence.outcome()? else {
        return Ok(violations);
    };
    let reports = &evidence.uploads;
    let leader_is_honest = evidence.with(|role| role == Role::Aggregator(0)).next().is_some();
    for aggregator in evidence.with(|role| matches!(role, Role::Aggregator(_))) {
        let name = &aggregator.part.name;
        let Some([accepted, rejected]) = concluded(&aggregator.store, view.batch)? else {
            if view.phase == Phase::Released {
                violations.push(format!("{name} released a batch it did not conclude"));
            }
            continue;
        };
        let mut identities = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for id in &accepted {
            if !ids.insert(id) {
                violations.push(format!("{name} counts report {} twice", id.short()));
            }
            match reports.get(id) {
                None => violations.push(format!("{name} counts report {}, which nobody sent", id.short())),
                Some(identity) if !identities.insert(identity) => {
                    violations.push(format!("{name} counts identity {} twice", identity.short()));
                }
                Some(identity) if task.eligibility.admits(identity) == Some(false) => {
                    violations.push(format!("{name} counts {}, who is not eligible", identity.short()));
                }
                Some(_) => {}
            }
        }
        for ((_, contributor), id) in evidence.receipts.iter().filter(|_| leader_is_honest) {
            if !ids.contains(id) && !rejected.contains(id) {
                let contributor = contributor.short();
                violations.push(format!(
                    "{name} lost report {} of {contributor} after its receipt",
                    id.short()
                ));
            }
        }
        let transcript = view.transcript();
        let count = u64::try_from(accepted.len()).unwrap_or(u64::MAX);
        let root = merkle::root(&drawn(transcript, &accepted));
        if transcript.is_some_and(|t| t.count != count || t.report_root != root) {
            violations.push(format!(
                "the transcript of {name} is not of the reports it accepted"
            ));
        }
    }
    Ok(violations)
}

/// The released sum is that of the accepted measurements and of one draw of noise per aggregator.
pub(super) fn adds_up(evidence: &Evidence) -> Result<Violations, StoreError> {
    let Some((task, view)) = evidence.outcome()? else {
        return Ok(Violations::new());
    };
    if view.phase != Phase::Released {
        return Ok(Violations::new());
    }
    // One aggregator that lies about its own share shifts the sum, and nobody can tell.
    let lies = |deed| evidence.who(deed).next().is_some();
    if lies(Deed::FalseAggregateShare) {
        return Ok(Violations::new());
    }
    if evidence
        .with(|role| matches!(role, Role::Aggregator(_)))
        .next()
        .is_none()
    {
        return Ok(Violations::new());
    }
    let Ok(schema) = Schema::new(&schema_params(&task)) else {
        return Ok(vec!["the task's statistics are no schema".to_owned()]);
    };
    let mut violations = Violations::new();
    let mut expected = measured(evidence, &task, &view, &schema, &mut violations)?;
    for aggregator in evidence.all(|role| matches!(role, Role::Aggregator(_))) {
        match noise(evidence, aggregator, &task, &view)? {
            Ok(noise) if noise.len() == expected.len() => {
                for (sum, noise) in expected.iter_mut().zip(noise) {
                    add(sum, noise);
                }
            }
            Ok(noise) => violations.push(format!("noise for {} groups was drawn", noise.len())),
            Err(violation) => violations.push(violation),
        }
    }
    let released = reveal::group_sums(&task, &view);
    if violations.is_empty() && released.as_ref() != Some(&expected) {
        violations.push(format!(
            "{released:?} was released, {expected:?} was measured and drawn"
        ));
    }
    let narrow: Vec<i64> = expected
        .iter()
        .flatten()
        .filter_map(|value| i64::try_from(*value).ok())
        .collect();
    if violations.is_empty()
        && !lies(Deed::FalseSum)
        && view
            .aggregates
            .iter()
            .any(|aggregate| aggregate.value.values != narrow)
    {
        violations.push("the Aggregate record is not the sum of its shares".to_owned());
    }
    Ok(violations)
}

/// The sum of what was really measured, by replicate group, each of which must have enough reports.
fn measured(
    evidence: &Evidence,
    task: &Task,
    view: &BatchView,
    schema: &Schema,
    violations: &mut Violations,
) -> Result<Vec<Vec<i128>>, StoreError> {
    let groups = usize::try_from(task.replicate_groups).unwrap_or(1);
    let mut expected = vec![vec![0_i128; schema.len()]; groups];
    let honest = evidence.with(|role| matches!(role, Role::Aggregator(_))).next();
    let reports = honest
        .map(|honest| concluded(&honest.store, view.batch))
        .transpose()?;
    let accepted = reports
        .flatten()
        .map(|[accepted, _]| accepted)
        .unwrap_or_default();
    let accepted = drawn(view.transcript(), &accepted);
    for (group, sum) in expected.iter_mut().enumerate() {
        let members = accepted
            .get(groups::range(group, accepted.len(), groups))
            .unwrap_or_default();
        if u64::try_from(members.len()).unwrap_or(0) < u64::from(task.min_batch) {
            violations.push(format!(
                "group {group} was released with {} reports",
                members.len()
            ));
        }
        for id in members {
            let Some(contributor) = evidence.uploads.get(id) else {
                continue;
            };
            let sent = evidence.truth.sent.get(id);
            let values = sent.or_else(|| evidence.truth.measured.get(&(view.batch, *contributor)));
            let measurement = values.and_then(|values| Measurement::new(schema, values.clone()).ok());
            match measurement {
                Some(measurement) => add(sum, &schema.release(&measurement)),
                None => violations.push(format!("{} counts and measured nothing", contributor.short())),
            }
        }
    }
    Ok(expected)
}

/// The accepted reports in the order of the Transcript's root.
fn drawn(transcript: Option<&Transcript>, accepted: &[ReportId]) -> Vec<ReportId> {
    match transcript.and_then(|transcript| transcript.group_seed) {
        Some(seed) => groups::draw(&seed, accepted),
        None => accepted.to_vec(),
    }
}

/// Every honest aggregator that drew groups drew the same, and what the Transcripts say of them is that;
/// nothing is drawn before the reports are fixed, or where the task has no groups.
pub(super) fn groups_are_equal(evidence: &Evidence) -> Result<Violations, StoreError> {
    let mut violations = Violations::new();
    let Some((task, view)) = evidence.outcome()? else {
        return Ok(violations);
    };
    let mut first = None;
    for aggregator in evidence.with(|role| matches!(role, Role::Aggregator(_))) {
        let name = &aggregator.part.name;
        let Some(seed) = aggregator
            .store
            .get(Column::Aggregation, &key(view.batch, GROUP_SEED))?
        else {
            if view.transcript().is_some() && task.has_groups() {
                violations.push(format!("{name} has a transcript and drew no groups"));
            }
            continue;
        };
        let reports = concluded(&aggregator.store, view.batch)?;
        if !task.has_groups() || reports.is_none() {
            violations.push(format!("{name} drew groups too early, or where there are none"));
        }
        let seat = task.seat(&aggregator.part.node_key());
        let transcript = seat.and_then(|seat| view.seats.get(seat)?.transcript.as_ref());
        let signed = transcript.and_then(|held| held.value.group_seed);
        if signed.is_some_and(|signed| *signed.as_bytes() != *seed.as_slice()) {
            violations.push(format!("{name} signed other groups than it drew"));
        }
        if *first.get_or_insert_with(|| seed.clone()) != seed {
            violations.push(format!("{name} drew other groups than another honest aggregator"));
        }
    }
    Ok(violations)
}

fn add(sum: &mut [i128], values: &[i128]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += value;
    }
}

/// The noise in an aggregator's published share: the one draw that it persisted.
fn noise<'e>(
    evidence: &'e Evidence,
    aggregator: &super::Witness,
    task: &Task,
    view: &BatchView,
) -> Result<Result<&'e [Vec<i128>], String>, StoreError> {
    let name = &aggregator.part.name;
    let seat = task.seat(&aggregator.part.node_key());
    let share = seat.and_then(|seat| view.seats.get(seat)?.share.as_ref());
    let Some(share) = share.map(|held| &held.value.share) else {
        return Ok(Err(format!("{name} has no share in a released batch")));
    };
    let persisted = aggregator
        .store
        .get(Column::Aggregation, &key(view.batch, NOISY))?
        .unwrap_or_default();
    if !persisted.starts_with(share) {
        return Ok(Err(format!("{name} published a share that it did not persist")));
    }
    let draws = evidence
        .truth
        .noise
        .get(&aggregator.host)
        .map_or(&[][..], Vec::as_slice);
    Ok(match draws.iter().find(|draw| draw.share == *share) {
        None => Err(format!("{name} published a share it never drew")),
        Some(draw) if draw.sigma_squared != task.privacy.sigma_squared => {
            Err(format!("{name} drew noise of another scale than the task's"))
        }
        Some(draw) => Ok(draw.values.as_slice()),
    })
}
