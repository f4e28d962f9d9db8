//! The windows of one challenge: those that name each other as previous, and those of a task that recurs.
//!
//! Only windows of one author belong together: anyone may name any record as previous, and a stranger
//! must not be able to put a window into somebody else's trend.

use std::collections::BTreeMap;

use fieldmark_protocol::RecordId;
use fieldmark_protocol::machine::{Read, StoreError};

use crate::tasks::{self, ChallengeView, TaskView};

/// Most windows of a series that are read: the newest.
pub const WINDOWS_READ_MAX: usize = 512;

/// One window: a challenge and its task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The challenge.
    pub challenge: ChallengeView,
    /// The task it is measured by.
    pub task: TaskView,
}

impl Window {
    /// Whether two windows of one author are of one series by themselves.
    fn touches(&self, other: &Self) -> bool {
        let (one, two) = (&self.challenge, &other.challenge);
        let linked = one.challenge.previous == Some(two.id) || two.challenge.previous == Some(one.id);
        let recurs = self.task.task.recurrence.is_some() && other.task.task.recurrence.is_some();
        linked || (recurs && self.task.task.name == other.task.task.name)
    }
}

/// The windows of the series that a challenge stands in, itself included, in the order of their openings;
/// empty when it is not held or does not count.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn windows(store: &dyn Read, challenge: &RecordId) -> Result<Vec<Window>, StoreError> {
    let Some(own) = tasks::challenge(store, challenge)? else {
        return Ok(Vec::new());
    };
    let mut others = BTreeMap::new();
    for challenge in tasks::challenges(store)? {
        if challenge.author != own.author {
            continue;
        }
        if let Some(task) = tasks::task(store, &challenge.challenge.task)?.filter(|t| t.author == own.author)
        {
            others.insert(challenge.id, Window { challenge, task });
        }
    }
    let mut found: Vec<Window> = others.remove(&own.id).into_iter().collect();
    // Everything that touches what was found, until nothing is left that does.
    let mut looked = 0;
    while let Some(window) = found.get(looked).cloned() {
        let near: Vec<RecordId> = others
            .iter()
            .filter(|(_, other)| window.touches(other))
            .map(|(id, _)| *id)
            .collect();
        found.extend(near.iter().filter_map(|id| others.remove(id)));
        looked += 1;
    }
    found.sort_by_key(|window| {
        (
            window.task.task.opens_at_ms,
            window.task.task.window,
            window.challenge.id,
        )
    });
    let surplus = found.len().saturating_sub(WINDOWS_READ_MAX);
    Ok(found.split_off(surplus))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Signer, World, task};
    use fieldmark_protocol::Kind;
    use fieldmark_protocol::challenge::{Challenge, Slice};

    /// Poses a window that names another as its previous one.
    fn next(signer: &mut Signer, world: &mut World, previous: RecordId, opens_at_ms: u64) -> RecordId {
        let mut task = task(&[world.release], &world.nodes);
        (task.opens_at_ms, task.closes_at_ms) = (opens_at_ms, opens_at_ms + 1_000);
        let posed = signer.sign(Kind::Task, task.encode());
        let challenge = Challenge {
            name: format!("from-{opens_at_ms}"),
            scenario: String::new(),
            task: posed.id(),
            slices: vec![Slice {
                name: "clean".into(),
                description: String::new(),
            }],
            clean_slice: "clean".into(),
            metric: "accuracy".into(),
            previous: Some(previous),
        };
        let challenge = signer.sign(Kind::Challenge, challenge.encode());
        let id = challenge.id();
        world.records.extend([posed, challenge]);
        id
    }

    #[test]
    fn windows_follow_their_links_and_a_strangers_window_does_not_count() {
        let mut world = World::released();
        let first = world.challenge;
        let mut operator = world.operator_node.clone();
        let second = next(&mut operator, &mut world, first, 11_000);
        let third = next(&mut operator, &mut world, second, 21_000);
        let mut stranger = Signer::identity(77);
        let alone = next(&mut stranger, &mut world, first, 5_000);
        let store = world.store();
        let found = |id: &RecordId| -> Vec<RecordId> {
            let windows = windows(&store, id).unwrap();
            windows.iter().map(|window| window.challenge.id).collect()
        };
        for id in [first, second, third] {
            assert_eq!(found(&id), [first, second, third]);
        }
        assert_eq!(found(&alone), [alone]);
    }
}
