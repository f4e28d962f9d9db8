//! What a scenario leaves to the seed: the table `[draw]`.
//!
//! Every field is a range `[least, most]`, both ends included; a field that is absent leaves what the
//! scenario says. With a `[draw]` table a scenario is a family of small ones, one for each seed.

use serde::Deserialize;

use super::{Adversary, Crash, Deed, EligibilityPlan, Partition, Scenario, When, Who};
use crate::draws::Draws;

/// Ranges that are drawn from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Draw {
    /// Members of the committee.
    pub aggregators: Option<[u64; 2]>,
    /// Models.
    pub researchers: Option<[u64; 2]>,
    /// Contributors.
    pub companies: Option<[u64; 2]>,
    /// Slices.
    pub slices: Option<[u64; 2]>,
    /// Fewest reports that are released.
    pub min_batch: Option<[u64; 2]>,
    /// Replicate groups: as many of them as the contributors on the list can fill.
    pub replicate_groups: Option<[u64; 2]>,
    /// Messages lost, in percent.
    pub loss_percent: Option<[u64; 2]>,
    /// Messages that arrive twice, in percent.
    pub duplicate_percent: Option<[u64; 2]>,
    /// Longest delay added to a message, in milliseconds: what lets messages overtake each other.
    pub jitter_ms: Option<[u64; 2]>,
    /// Partitions.
    pub partitions: Option<[u64; 2]>,
    /// Hosts that stop at a commit.
    pub crashes: Option<[u64; 2]>,
    /// Adversaries, each with a deed of its own.
    pub adversaries: Option<[u64; 2]>,
    /// Whether who may contribute is drawn, too.
    pub eligibility: bool,
}

/// A bound to check: field, least, most, found.
type Check = (&'static str, u64, u64, u64);

impl Draw {
    /// The bounds of every range: the same as for a fixed value.
    pub(super) fn checks(&self) -> Vec<Check> {
        let ranges = [
            ("aggregators", self.aggregators, 2, 5),
            ("researchers", self.researchers, 1, 16),
            ("companies", self.companies, 2, 400),
            ("slices", self.slices, 1, 32),
            (
                "min_batch",
                self.min_batch,
                2,
                self.companies.map_or(400, |[least, _]| least),
            ),
            ("replicate_groups", self.replicate_groups, 1, 16),
            ("loss_percent", self.loss_percent, 0, 90),
            ("duplicate_percent", self.duplicate_percent, 0, 90),
            ("jitter_ms", self.jitter_ms, 0, 10_000),
            ("partitions", self.partitions, 0, 8),
            ("crashes", self.crashes, 0, 8),
            ("adversaries", self.adversaries, 0, 3),
        ];
        let mut checks = Vec::new();
        for (field, range, min, max) in ranges {
            if let Some([low, high]) = range {
                checks.extend([(field, min, max, low), (field, low, max, high)]);
            }
        }
        checks
    }
}

/// Commits that a role makes at most in a small scenario, over which crashes are spread.
const COMMITS: [u64; 2] = [1, 45];

impl Scenario {
    /// The scenario of one seed: everything that is drawn is fixed.
    #[must_use]
    pub(crate) fn drawn(&self, seed: u64) -> Self {
        let Some(draw) = &self.draw else {
            return self.clone();
        };
        let mut draws = Draws::of(seed, "scenario");
        let mut fixed = Self {
            draw: None,
            ..self.clone()
        };
        let mut take = |range: Option<[u64; 2]>, field: &mut u64| {
            if let Some(range) = range {
                *field = draws.within(range);
            }
        };
        take(draw.aggregators, &mut fixed.aggregators);
        take(draw.researchers, &mut fixed.researchers);
        take(draw.companies, &mut fixed.companies);
        take(draw.slices, &mut fixed.challenge.slices);
        take(draw.min_batch, &mut fixed.challenge.min_batch);
        take(draw.loss_percent, &mut fixed.network.loss_percent);
        take(draw.duplicate_percent, &mut fixed.network.duplicate_percent);
        take(draw.jitter_ms, &mut fixed.network.jitter_ms[1]);
        if let Some(range) = draw.replicate_groups {
            // Of a stream of its own, so that what else a seed draws stays as it was.
            let mut draws = Draws::of(seed, "groups");
            let fill = fixed.companies / fixed.challenge.min_batch.max(1);
            fixed.challenge.replicate_groups = draws.within(range).min(fill).max(1);
        }
        if draw.eligibility {
            fixed.challenge.eligibility = eligibility(&mut draws);
        }
        let count = |range: Option<[u64; 2]>, draws: &mut Draws| range.map_or(0, |range| draws.within(range));
        for _ in 0..count(draw.partitions, &mut draws) {
            fixed.partition.push(partition(&mut draws));
        }
        for _ in 0..count(draw.adversaries, &mut draws) {
            let deed = deed(&mut draws);
            fixed.adversary.push(Adversary { deed });
        }
        for _ in 0..count(draw.crashes, &mut draws) {
            fixed.crash.push(crash(&mut draws));
        }
        fixed.nodes = fixed.roles();
        fixed
    }
}

fn eligibility(draws: &mut Draws) -> EligibilityPlan {
    match draws.below(3) {
        0 => EligibilityPlan::Open,
        1 => EligibilityPlan::List,
        _ => EligibilityPlan::Endorsed,
    }
}

fn partition(draws: &mut Draws) -> Partition {
    Partition {
        start_ms: [0, 9_000],
        length_ms: [500, 5_000],
        share_percent: draws.within([10, 50]),
    }
}

fn deed(draws: &mut Draws) -> Deed {
    let drawn = Deed::ALL.get(draws.index(Deed::ALL.len()));
    drawn.copied().unwrap_or(Deed::DropsAccepted)
}

fn crash(draws: &mut Draws) -> Crash {
    let who = match draws.below(8) {
        0..3 => Who::Leader,
        3..5 => Who::Helper,
        5..7 => Who::Company,
        _ => Who::Operator,
    };
    // One in eight stays down until its silence is called so.
    let long = draws.below(8) == 0;
    Crash {
        who,
        when: When::Start,
        commits: COMMITS,
        fault: None,
        down_ms: if long { [20_000, 30_000] } else { [100, 3_000] },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn family() -> Scenario {
        let text = "name = \"family\"\nacquainted = true\n[draw]\naggregators = [2, 5]\ncompanies = [4, 8]\n\
                    adversaries = [0, 1]\ncrashes = [0, 3]\neligibility = true";
        Scenario::parse(text, Path::new("x.toml")).unwrap()
    }

    #[test]
    fn a_seed_fixes_everything_and_all_of_a_range_comes_up() {
        let family = family();
        assert_eq!(family.drawn(5), family.drawn(5));
        let members: BTreeSet<u64> = (0..200).map(|seed| family.drawn(seed).aggregators).collect();
        assert_eq!(members, [2, 3, 4, 5].into());
        let deeds: BTreeSet<Deed> = (0..2_000)
            .flat_map(|seed| family.drawn(seed).adversary)
            .map(|adversary| adversary.deed)
            .collect();
        assert_eq!(deeds.len(), Deed::ALL.len());
    }

    #[test]
    fn without_a_draw_a_scenario_is_the_same_for_every_seed() {
        let plain = Scenario::parse("name = \"plain\"", Path::new("x.toml")).unwrap();
        assert_eq!(plain.drawn(1), plain.drawn(2));
    }
}
