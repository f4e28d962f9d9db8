//! Ledgers: all the same, every fork proven, nothing acknowledged lost, and the same board everywhere.

use fieldmark_ledger::effect::{Effects, ledger_digest};
use fieldmark_ledger::log;
use fieldmark_node_core::board::board;
use fieldmark_protocol::machine::StoreError;

use super::{Evidence, Violations};
use crate::equivocator::FORKED_SEQ;

/// All honest nodes hold the same records in effect and the same proofs.
pub(super) fn converged(evidence: &Evidence) -> Result<Violations, StoreError> {
    let mut violations = Violations::new();
    let mut first = None;
    for witness in &evidence.witnesses {
        let digest = ledger_digest(&witness.store)?;
        let (other, name) = *first.get_or_insert((digest, &witness.part.name));
        if other != digest {
            violations.push(format!("the ledgers of {} and {name} differ", witness.part.name));
        }
    }
    Ok(violations)
}

/// Every equivocator is proven at every honest node at its forked place, and nobody else is.
pub(super) fn forks_are_proven(evidence: &Evidence) -> Result<Violations, StoreError> {
    let mut violations = Violations::new();
    for witness in &evidence.witnesses {
        let name = &witness.part.name;
        for key in &evidence.equivocators {
            let proof = log::proof(&witness.store, key)?;
            if proof.is_none_or(|proof| (proof.log(), proof.seq()) != (*key, FORKED_SEQ)) {
                violations.push(format!("{name} holds no proof against {}", key.short()));
            }
        }
        for (log, seq) in log::forks(&witness.store)? {
            if !evidence.equivocators.contains(&log) {
                violations.push(format!(
                    "{name} holds a proof against the honest {} at {seq}",
                    log.short()
                ));
            }
        }
    }
    Ok(violations)
}

/// Every record that a user was told of is in effect everywhere.
pub(super) fn acknowledged_are_held(evidence: &Evidence) -> Result<Violations, StoreError> {
    let mut violations = Violations::new();
    for witness in &evidence.witnesses {
        let effects = Effects::new(&witness.store);
        for id in &evidence.acknowledged {
            let counts = effects.held(id)?.is_some_and(|(_, effect)| effect.counts());
            if !counts {
                violations.push(format!("record {} is lost at {}", id.short(), witness.part.name));
            }
        }
    }
    Ok(violations)
}

/// The challenge's board is byte-identical everywhere.
pub(super) fn boards_are_equal(evidence: &Evidence) -> Result<Violations, StoreError> {
    let mut violations = Violations::new();
    let Some(posed) = evidence.posed else {
        return Ok(violations);
    };
    let mut first: Option<(Vec<u8>, &str)> = None;
    for witness in &evidence.witnesses {
        let name = &witness.part.name;
        let board = match board(&witness.store, &posed.challenge, &evidence.trust) {
            Ok(board) => board,
            Err(error) => {
                violations.push(format!("{name} has no board: {error}"));
                continue;
            }
        };
        let Ok(json) = serde_json::to_vec(&board) else {
            violations.push(format!("the board of {name} is not JSON"));
            continue;
        };
        let (other, whose) = first.get_or_insert((json.clone(), name));
        if *other != json {
            violations.push(format!("the boards of {name} and {whose} differ"));
        }
    }
    Ok(violations)
}
