//! Between tasks and their wire form. What a conversion cannot represent is refused; bounds are
//! checked in the task itself.

use std::collections::BTreeSet;

use super::{Aggregator, Eligibility, PROTOCOL_VERSION, Privacy, Recurrence, Statistics, Task, TaskError};
use crate::{PublicKey, wire};

pub(super) fn from_wire(wire: wire::Task) -> Result<Task, TaskError> {
    let statistics = wire.statistics.ok_or(TaskError::Missing("statistics"))?;
    let privacy = wire.privacy.ok_or(TaskError::Missing("privacy parameters"))?;
    let eligibility = wire.eligibility.ok_or(TaskError::Missing("eligibility"))?;
    if privacy.unit != 1 {
        return Err(TaskError::Unknown {
            what: "privacy unit",
            found: privacy.unit.into(),
        });
    }
    if privacy.relation != 1 {
        return Err(TaskError::Unknown {
            what: "neighbour relation",
            found: privacy.relation.into(),
        });
    }
    let id = |field| move |source| TaskError::Id { field, source };
    let seat = |a: wire::Aggregator| {
        Ok::<_, TaskError>(Aggregator {
            identity: PublicKey::from_slice(&a.identity).map_err(id("an aggregator's identity"))?,
            node_key: PublicKey::from_slice(&a.node_key).map_err(id("an aggregator's node key"))?,
            hpke_key: PublicKey::from_slice(&a.hpke_key).map_err(id("an aggregator's HPKE key"))?,
        })
    };
    Ok(Task {
        name: wire.name,
        committee: wire.committee.into_iter().map(seat).collect::<Result<_, _>>()?,
        statistics: Statistics::from_wire(statistics)?,
        privacy: Privacy {
            epsilon_micro: privacy.epsilon_micro,
            delta_pico: privacy.delta_pico,
            sigma_squared: privacy.sigma_squared,
            l2_squared: privacy.l2_squared,
        },
        eligibility: eligibility_from(&eligibility)?,
        min_batch: wire.min_batch,
        reports_expected: wire.reports_expected,
        opens_at_ms: wire.opens_at_ms,
        closes_at_ms: wire.closes_at_ms,
        window: wire.window,
        patience_ms: wire.patience_ms,
        recurrence: wire.recurrence.as_ref().map(Recurrence::from_wire),
        // A task without groups says nothing of them.
        replicate_groups: wire.replicate_groups.max(1),
    })
}

fn eligibility_from(wire: &wire::Eligibility) -> Result<Eligibility, TaskError> {
    match wire.kind() {
        wire::EligibilityKind::EligibilityOpen => Ok(Eligibility::Open),
        wire::EligibilityKind::EligibilityList => Ok(Eligibility::List(identities(wire)?)),
        wire::EligibilityKind::EligibilityEndorsedBy => Ok(Eligibility::EndorsedBy(identities(wire)?)),
        wire::EligibilityKind::EligibilityUnspecified => Err(TaskError::Unknown {
            what: "eligibility",
            found: u64::from(wire.kind.unsigned_abs()),
        }),
    }
}

fn identities(wire: &wire::Eligibility) -> Result<BTreeSet<PublicKey>, TaskError> {
    let source = |source| TaskError::Id {
        field: "an eligible identity",
        source,
    };
    let keys = wire
        .identities
        .iter()
        .map(|k| PublicKey::from_slice(k).map_err(source));
    let keys: Vec<PublicKey> = keys.collect::<Result<_, _>>()?;
    if !keys.is_sorted_by(|a, b| a < b) {
        return Err(TaskError::Order {
            what: "the eligible identities",
        });
    }
    Ok(keys.into_iter().collect())
}

pub(super) fn to_wire(task: &Task) -> wire::Task {
    let bytes = |list: &BTreeSet<PublicKey>| list.iter().map(|k| k.to_vec()).collect();
    let (kind, identities) = match &task.eligibility {
        Eligibility::Open => (wire::EligibilityKind::EligibilityOpen, Vec::new()),
        Eligibility::List(list) => (wire::EligibilityKind::EligibilityList, bytes(list)),
        Eligibility::EndorsedBy(list) => (wire::EligibilityKind::EligibilityEndorsedBy, bytes(list)),
    };
    let seat = |a: &Aggregator| wire::Aggregator {
        identity: a.identity.to_vec(),
        node_key: a.node_key.to_vec(),
        hpke_key: a.hpke_key.to_vec(),
    };
    wire::Task {
        name: task.name.clone(),
        protocol_version: PROTOCOL_VERSION,
        committee: task.committee.iter().map(seat).collect(),
        statistics: Some(task.statistics.to_wire()),
        privacy: Some(wire::PrivacyParameters {
            unit: 1,
            relation: 1,
            epsilon_micro: task.privacy.epsilon_micro,
            delta_pico: task.privacy.delta_pico,
            sigma_squared: task.privacy.sigma_squared,
            l2_squared: task.privacy.l2_squared,
        }),
        eligibility: Some(wire::Eligibility {
            kind: kind.into(),
            identities,
        }),
        min_batch: task.min_batch,
        reports_expected: task.reports_expected,
        opens_at_ms: task.opens_at_ms,
        closes_at_ms: task.closes_at_ms,
        window: task.window,
        patience_ms: task.patience_ms,
        recurrence: task.recurrence.map(Recurrence::to_wire),
        replicate_groups: match task.replicate_groups {
            1 => 0,
            groups => groups,
        },
    }
}
