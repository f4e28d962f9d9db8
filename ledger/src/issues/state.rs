//! Whether an issue is open: the end of the longest chain of changes by those who may change it.

use std::collections::BTreeMap;

use fieldmark_protocol::issue::Comment;
use fieldmark_protocol::machine::StoreError;
use fieldmark_protocol::{PublicKey, RecordId};

use crate::effect::Effects;
use crate::identity;
use crate::index::{self, Index};
use crate::payload::Body;

/// Comments of one who may change the state that are looked through for changes, newest first.
pub(super) const CHANGES_READ_MAX: usize = 1_000;
/// Longest chain of changes that is told apart from a longer one.
pub(super) const CHAIN_MAX: usize = 1_000;

/// A close or reopen that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The Comment record.
    pub comment: RecordId,
    /// Who closed or reopened.
    pub by: PublicKey,
    /// Their name, if they published one.
    pub by_name: Option<String>,
    /// Their clock.
    pub at_ms: u64,
}

/// Whether an issue is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Whether it is.
    pub open: bool,
    /// What made it so; `None` for an issue that was never closed.
    pub change: Option<Change>,
}

/// One counted change of an issue's state.
#[derive(Debug, Clone, Copy)]
struct Step {
    by: PublicKey,
    at_ms: u64,
    opens: bool,
    after: Option<RecordId>,
}

/// The state of `issue`, which only the identities in `may` can change.
pub(super) fn state(
    effects: &Effects<'_>,
    issue: &RecordId,
    may: [PublicKey; 2],
) -> Result<State, StoreError> {
    let mut chains = Chains {
        effects,
        issue,
        may,
        depths: BTreeMap::new(),
    };
    let [first, second] = may;
    let mut best: Option<(usize, u64, RecordId, Step)> = None;
    for party in [Some(first), Some(second).filter(|second| *second != first)]
        .into_iter()
        .flatten()
    {
        let parts: [&[u8]; 2] = [issue.as_bytes(), party.as_bytes()];
        for hit in index::hits(effects.store(), Index::Comments, &parts, CHANGES_READ_MAX)? {
            let id = hit.id()?;
            let (Some(step), Some(depth)) = (chains.step(&id)?, chains.depth(id)?) else {
                continue;
            };
            let better = |b: &(usize, u64, RecordId, Step)| (depth, step.at_ms, id) > (b.0, b.1, b.2);
            if best.as_ref().is_none_or(better) {
                best = Some((depth, step.at_ms, id, step));
            }
        }
    }
    let Some((_, at_ms, comment, step)) = best else {
        return Ok(State {
            open: true,
            change: None,
        });
    };
    let by_name = identity::name(effects.store(), &step.by)?;
    Ok(State {
        open: step.opens,
        change: Some(Change {
            comment,
            by: step.by,
            by_name,
            at_ms,
        }),
    })
}

/// The chains of one issue.
struct Chains<'a, 's> {
    effects: &'a Effects<'s>,
    issue: &'a RecordId,
    may: [PublicKey; 2],
    depths: BTreeMap<RecordId, Option<usize>>,
}

impl Chains<'_, '_> {
    /// A held comment that counts and changes this issue's state.
    fn step(&self, id: &RecordId) -> Result<Option<Step>, StoreError> {
        let Some((record, effect)) = self.effects.held(id)? else {
            return Ok(None);
        };
        let Some(Body::Comment(Comment { issue, action, .. })) =
            Body::of(&record).filter(|_| effect.counts())
        else {
            return Ok(None);
        };
        let header = record.header();
        let fits = issue == *self.issue && self.may.contains(&header.author);
        Ok(action.opens().filter(|_| fits).map(|opens| Step {
            by: header.author,
            at_ms: header.created_at_ms,
            opens,
            after: action.after(),
        }))
    }

    /// Changes that lead up to this one, itself included; `None` when one of them is missing or no change
    /// of this issue. Ids are hashes of what names them, so chains have no loops.
    fn depth(&mut self, id: RecordId) -> Result<Option<usize>, StoreError> {
        let (mut path, mut at) = (Vec::new(), Some(id));
        let mut depth = Some(0);
        while let Some(id) = at {
            if let Some(known) = self.depths.get(&id) {
                depth = *known;
                break;
            }
            let Some(step) = self.step(&id)? else {
                depth = None;
                break;
            };
            path.push(id);
            at = step.after;
        }
        for id in path.into_iter().rev() {
            depth = depth.map(|depth| (depth + 1).min(CHAIN_MAX));
            self.depths.insert(id, depth);
        }
        Ok(depth)
    }
}
