//! The inputs of a challenge's leaderboard, and the checkpoint that names them (design §4, §9).
//!
//! Two readers with equal checkpoints print the same board: nothing else may flow into one. Hence the
//! withdrawals and the profiles that a board shows are inputs too. Aggregate records are inputs only
//! where they void the batch or a seat published two that differ, because the sum is computed from the shares; aborts only where they end it.

use std::collections::BTreeMap;

use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::{Read, StoreError};
use fieldmark_protocol::trust::TrustPolicy;
use fieldmark_protocol::{PublicKey, RecordId};

use crate::batch::{self, BatchView, Phase, Seat};
use crate::catalogue::{self, ReleaseView};
use crate::effect::Effects;
use crate::identity::{self, ProfileView};
use crate::log;
use crate::tasks::{ChallengeView, TaskView, challenge_view, task_view};

/// Everything a board is computed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardInputs {
    /// The challenge.
    pub challenge: ChallengeView,
    /// The task it is measured by.
    pub task: TaskView,
    /// Its releases that are held, in the task's order.
    pub releases: Vec<ReleaseView>,
    /// Its releases that are not.
    pub missing: Vec<RecordId>,
    /// What the committee published.
    pub batch: BatchView,
    /// Proven forks of the logs and identities involved, by log.
    pub forks: Vec<(PublicKey, u64)>,
    /// Profiles of the identities involved, for the names that a board shows.
    pub profiles: BTreeMap<PublicKey, ProfileView>,
    /// Records to hand out with the inputs so that others can check them: certificates of the node keys
    /// that signed. Not part of the checkpoint.
    pub supporting: Vec<RecordId>,
}

impl BoardInputs {
    /// Ids of the records that the board is derived from, sorted.
    #[must_use]
    pub fn ids(&self) -> Vec<RecordId> {
        let mut ids = vec![self.challenge.id, self.task.id];
        ids.extend(self.releases.iter().map(|release| release.id));
        ids.extend(
            self.releases
                .iter()
                .filter_map(|release| Some(release.withdrawn.as_ref()?.id)),
        );
        ids.extend(self.profiles.values().map(|profile| profile.id));
        for seat in &self.batch.seats {
            ids.extend(seat.transcript.as_ref().map(|held| held.id));
            ids.extend(seat.commitment.as_ref().map(|held| held.id));
            ids.extend(seat.share.as_ref().map(|held| held.id));
        }
        ids.extend(self.batch.contradictions.iter().flat_map(|found| found.records));
        match self.batch.phase {
            Phase::Void => ids.extend(self.batch.aggregates.iter().map(|held| held.id)),
            Phase::Aborted => ids.extend(self.batch.aborts.iter().map(|held| held.id)),
            _ => {}
        }
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

/// Gathers the inputs of a challenge's board; `None` when the challenge or its task is not held or does
/// not count.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn gather(store: &dyn Read, challenge: &RecordId) -> Result<Option<BoardInputs>, StoreError> {
    let effects = Effects::new(store);
    let Some(challenge) = challenge_view(&effects, challenge)? else {
        return Ok(None);
    };
    let Some(task) = task_view(&effects, &challenge.challenge.task)? else {
        return Ok(None);
    };
    let (mut releases, mut missing) = (Vec::new(), Vec::new());
    for id in &task.task.statistics.releases {
        match catalogue::release(store, id)? {
            Some(release) => releases.push(release),
            None => missing.push(*id),
        }
    }
    let batch = batch::view(&effects, &task)?;
    let signers = signers(&challenge, &task, &releases, &batch.seats);
    let mut forks = Vec::new();
    for key in signers.iter().flat_map(|(author, log)| [author, log]) {
        forks.extend(log::fork(store, key)?.map(|seq| (*key, seq)));
    }
    forks.sort_unstable();
    forks.dedup();
    let (mut supporting, mut profiles) = (Vec::new(), BTreeMap::new());
    for (author, log) in &signers {
        profiles.extend(identity::profile(store, author)?.map(|profile| (*author, profile)));
        supporting.extend(effects.certificates(author, log)?.into_iter().map(|(_, id)| id));
    }
    supporting.sort_unstable();
    supporting.dedup();
    Ok(Some(BoardInputs {
        challenge,
        task,
        releases,
        missing,
        batch,
        forks,
        profiles,
        supporting,
    }))
}

/// (author, log) of everything involved.
fn signers(
    challenge: &ChallengeView,
    task: &TaskView,
    releases: &[ReleaseView],
    seats: &[Seat],
) -> Vec<(PublicKey, PublicKey)> {
    let mut signers = vec![(challenge.author, challenge.log), (task.author, task.log)];
    signers.extend(releases.iter().map(|release| (release.author, release.log)));
    signers.extend(
        seats
            .iter()
            .map(|seat| (seat.aggregator.identity, seat.aggregator.node_key)),
    );
    signers
}

/// The checkpoint of a board: BLAKE3 over the sorted input ids, the proven forks and the hash of the
/// reader's trust policy, each list led by its length.
#[must_use]
pub fn checkpoint(inputs: &BoardInputs, policy: &TrustPolicy) -> ContentHash {
    let ids = inputs.ids();
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"fieldmark/v1/board\0");
    hasher.update(&(ids.len() as u64).to_be_bytes());
    for id in &ids {
        hasher.update(id.as_bytes());
    }
    hasher.update(&(inputs.forks.len() as u64).to_be_bytes());
    for (log, seq) in &inputs.forks {
        hasher.update(log.as_bytes());
        hasher.update(&seq.to_be_bytes());
    }
    hasher.update(policy.hash().as_bytes());
    ContentHash::new(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests;
