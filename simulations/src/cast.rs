//! Who takes part: the role of every simulated node, and who does not follow the protocol, drawn from the seed.
//!
//! Hosts are numbered: the operator, the researchers, the aggregators (leader first), the companies, the
//! relays, and last two hosts for each equivocator, its faces.

use fieldmark_protocol::trust::TrustPolicy;

use crate::acquaintance;
use crate::draws::Draws;
use crate::part::{HostId, Part, Role};
use crate::scenario::Scenario;

/// Everyone, by host number.
pub(crate) fn cast(scenario: &Scenario, seed: u64) -> Vec<Part> {
    let mut roles = vec![Role::Operator];
    if !scenario.acquainted {
        roles.extend((0..scenario.researchers).map(Role::Researcher));
    }
    roles.extend((0..scenario.aggregators).map(Role::Aggregator));
    roles.extend((0..scenario.companies).map(Role::Company));
    roles.extend((0..scenario.relays()).map(|_| Role::Relay));
    let honest = u64::try_from(roles.len()).unwrap_or(u64::MAX);
    for equivocator in 0..scenario.equivocators {
        roles.extend([0, 1].map(|half| Role::Face { equivocator, half }));
    }
    let part = |(at, role): (HostId, Role)| {
        let number = match role {
            Role::Face { equivocator, .. } => honest + equivocator,
            _ => u64::try_from(at).unwrap_or(u64::MAX),
        };
        if scenario.acquainted {
            acquaintance::part(at, role)
        } else {
            Part::new(seed, at, role, number)
        }
    };
    let mut parts: Vec<Part> = roles.into_iter().enumerate().map(part).collect();
    assign(scenario, seed, &mut parts);
    parts
}

/// Hands out the deeds: each to somebody who can do it and has none yet. Where nobody is left, the deed is
/// not done.
fn assign(scenario: &Scenario, seed: u64, parts: &mut [Part]) {
    let mut draws = Draws::of(seed, "adversaries");
    for adversary in &scenario.adversary {
        let who = adversary.deed.who();
        let mut fit: Vec<&mut Part> = parts
            .iter_mut()
            .filter(|part| part.role.is(who) && part.deed.is_none())
            .collect();
        let chosen = draws.index(fit.len());
        if let Some(part) = fit.get_mut(chosen) {
            part.deed = Some(adversary.deed);
        }
    }
}

/// The policy that everyone has: it names the committee.
pub(crate) fn trust(parts: &[Part]) -> TrustPolicy {
    let seats = parts
        .iter()
        .filter(|part| matches!(part.role, Role::Aggregator(_)));
    TrustPolicy {
        aggregators: seats.map(Part::identity).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn faces_share_their_keys_and_nobody_else_does() {
        let text = "name = \"cast\"\nnodes = 20\nequivocators = 2";
        let parts = cast(&Scenario::parse(text, Path::new("x")).unwrap(), 3);
        assert_eq!(parts.len(), 22);
        let keys: std::collections::BTreeSet<_> = parts.iter().map(Part::node_key).collect();
        assert_eq!(keys.len(), 20);
        assert_eq!(parts[18].node_key(), parts[19].node_key());
        assert_eq!(trust(&parts).aggregators.len(), 3);
    }
}
