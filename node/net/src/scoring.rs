//! The gossip score: thresholds, weights and how they follow the traffic.
//!
//! The defaults of the library reward a silent peer (time in the mesh alone gives more than silence can
//! cost), so every parameter is set here. The numbers follow the scheme of Ethereum's Lighthouse client:
//! weights of topics sum to 2, a topic gives at most 10 for time in the mesh (P1) and 40 for first
//! deliveries (P2), so at most 100 in all, capped at 50; one full deficit of deliveries (P3), or one
//! invalid message (P4), costs 100.
//!
//! P3 works only where traffic is steady: on a quiet topic it would punish everyone. It is off until this
//! node itself accepts [`P3_ON_RATE`] messages a second on a topic, and off again below [`P3_OFF_RATE`].
//! Where it is off nothing here catches a silent peer: the node's inventory audit does, through
//! [`crate::Command::Score`] with [`AUDIT_PENALTY`].

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use libp2p::gossipsub::{
    PeerScoreParams, PeerScoreThresholds, TopicScoreParams, score_parameter_decay_with_base,
};

use crate::topic::Topic;

/// Neighbours per topic that gossipsub aims for (D).
pub const MESH_N: usize = 8;
/// Fewest neighbours before new ones are added.
pub const MESH_N_LOW: usize = 6;
/// Most neighbours before some are dropped.
pub const MESH_N_HIGH: usize = 12;
/// Messages per second on a topic from which missing deliveries cost score.
pub const P3_ON_RATE: f64 = 1.0;
/// Messages per second below which they cost nothing again.
pub const P3_OFF_RATE: f64 = 0.5;
/// Values that [`crate::Command::Score`] is clamped to: a ban's worth below, the cap above.
pub const APPLICATION_SCORE_RANGE: RangeInclusive<f64> = -20_000.0..=50.0;
/// The application score of a peer that an inventory audit found silent: it outweighs all that such a
/// peer can earn.
pub const AUDIT_PENALTY: f64 = -100.0;

const DECAY_INTERVAL: Duration = Duration::from_secs(12);
const DECAY_TO_ZERO: f64 = 0.01;
/// Most that a peer earns on all topics together.
const TOPIC_SCORE_CAP: f64 = 50.0;
/// What a full deficit or one invalid message costs, whatever the topic's weight.
const PENALTY: f64 = 100.0;
const P1_MAX: f64 = 10.0;
const P2_MAX: f64 = 40.0;
/// Quanta of 12 s until P1 is full: an hour.
const P1_QUANTA: f64 = 300.0;
const P2_DECAY: Duration = Duration::from_secs(3600);
const P3_DECAY: Duration = Duration::from_secs(300);
/// A neighbour may miss all but one in this many messages.
const P3_TOLERANCE: f64 = 50.0;
const P3_WINDOW: Duration = Duration::from_secs(2);
const P3_ACTIVATION: Duration = Duration::from_secs(360);
/// Deliveries remembered while P3 is off, so that turning it on finds a credit.
const P3_CREDIT_MIN: f64 = 50.0;
const P4_DECAY: Duration = Duration::from_secs(2 * 3600);
const P7_DECAY: Duration = Duration::from_secs(600);

/// The scores at which a peer is cut off, step by step.
#[must_use]
pub fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -4_000.0,
        publish_threshold: -8_000.0,
        graylist_threshold: -16_000.0,
        accept_px_threshold: 100.0,
        opportunistic_graft_threshold: 5.0,
    }
}

/// The score of a whole peer on a quiet network.
#[must_use]
pub fn params(network: &str) -> PeerScoreParams {
    let topics = Topic::ALL
        .into_iter()
        .map(|topic| (topic.ident(network).hash(), topic_params(topic, None)))
        .collect();
    PeerScoreParams {
        topics,
        topic_score_cap: TOPIC_SCORE_CAP,
        app_specific_weight: 1.0,
        ip_colocation_factor_weight: -50.0,
        ip_colocation_factor_threshold: 8.0,
        ip_colocation_factor_whitelist: loopback(),
        behaviour_penalty_weight: -15.9,
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: decay(P7_DECAY),
        decay_interval: DECAY_INTERVAL,
        decay_to_zero: DECAY_TO_ZERO,
        retain_score: Duration::from_secs(3600),
        slow_peer_weight: -10.0,
        slow_peer_threshold: 0.0,
        slow_peer_decay: 0.1,
    }
}

/// The score of one topic, given the messages per second that this node accepts on it, or `None` where
/// the topic is too quiet for missing deliveries to mean anything.
#[must_use]
pub fn topic_params(topic: Topic, steady_rate: Option<f64>) -> TopicScoreParams {
    let weight = topic_weight(topic);
    let rate = steady_rate.unwrap_or_else(|| expected_rate(topic));
    let first_cap = (2.0 * converged(rate, P2_DECAY) / as_f64(MESH_N)).max(1.0);
    let threshold = (converged(rate, P3_DECAY) / P3_TOLERANCE).max(1.0);
    let deficit_weight = if steady_rate.is_some() {
        -PENALTY / (weight * threshold * threshold)
    } else {
        0.0
    };
    TopicScoreParams {
        topic_weight: weight,
        time_in_mesh_weight: P1_MAX / P1_QUANTA,
        time_in_mesh_quantum: DECAY_INTERVAL,
        time_in_mesh_cap: P1_QUANTA,
        first_message_deliveries_weight: P2_MAX / first_cap,
        first_message_deliveries_decay: decay(P2_DECAY),
        first_message_deliveries_cap: first_cap,
        mesh_message_deliveries_weight: deficit_weight,
        mesh_message_deliveries_decay: decay(P3_DECAY),
        mesh_message_deliveries_cap: (4.0 * threshold).max(P3_CREDIT_MIN),
        mesh_message_deliveries_threshold: threshold,
        mesh_message_deliveries_window: P3_WINDOW,
        mesh_message_deliveries_activation: P3_ACTIVATION,
        mesh_failure_penalty_weight: deficit_weight,
        mesh_failure_penalty_decay: decay(P3_DECAY),
        invalid_message_deliveries_weight: -PENALTY / weight,
        invalid_message_deliveries_decay: decay(P4_DECAY),
    }
}

/// Counts accepted messages and says when a topic's parameters should change.
#[derive(Debug)]
pub(crate) struct RateMeter {
    topics: [TopicRate; Topic::ALL.len()],
}

#[derive(Debug, Clone, Copy, Default)]
struct TopicRate {
    accepted: u32,
    per_second: f64,
    /// The rate that the parameters in force were made for.
    in_force: Option<f64>,
}

impl RateMeter {
    /// How often [`Self::tick`] is called.
    pub(crate) const WINDOW: Duration = Duration::from_secs(60);
    /// The share of the newest window in the running mean.
    const NEWEST_SHARE: f64 = 0.25;

    pub(crate) fn new() -> Self {
        Self {
            topics: [TopicRate::default(); Topic::ALL.len()],
        }
    }

    /// Counts one accepted message.
    pub(crate) fn accepted(&mut self, topic: Topic) {
        if let Some(rate) = Self::position(topic).and_then(|index| self.topics.get_mut(index)) {
            rate.accepted = rate.accepted.saturating_add(1);
        }
    }

    /// Ends a window; returns the topics whose parameters should be replaced.
    pub(crate) fn tick(&mut self) -> Vec<(Topic, TopicScoreParams)> {
        let mut changed = Vec::new();
        for (topic, rate) in Topic::ALL.into_iter().zip(&mut self.topics) {
            let newest = f64::from(rate.accepted) / Self::WINDOW.as_secs_f64();
            rate.accepted = 0;
            rate.per_second += Self::NEWEST_SHARE * (newest - rate.per_second);
            let wanted = steady(rate.per_second, rate.in_force);
            if wanted != rate.in_force {
                rate.in_force = wanted;
                changed.push((topic, topic_params(topic, wanted)));
            }
        }
        changed
    }

    fn position(topic: Topic) -> Option<usize> {
        Topic::ALL.iter().position(|other| *other == topic)
    }
}

/// The rate that parameters should be made for: none while quiet, and otherwise the one in force as long
/// as it is within a factor of 2, so that parameters change seldom.
fn steady(rate: f64, in_force: Option<f64>) -> Option<f64> {
    match in_force {
        None => (rate >= P3_ON_RATE).then_some(rate),
        Some(_) if rate < P3_OFF_RATE => None,
        Some(old) if rate > old * 2.0 || rate < old / 2.0 => Some(rate),
        Some(old) => Some(old),
    }
}

/// How much a topic counts; the weights sum to 2.
fn topic_weight(topic: Topic) -> f64 {
    match topic {
        Topic::Releases | Topic::Heads | Topic::Aggregates => 0.5,
        Topic::Tasks => 0.4,
        Topic::Fraud => 0.1,
    }
}

/// Messages per second expected on a topic of a quiet network; scales only how fast P2 is earned.
fn expected_rate(topic: Topic) -> f64 {
    match topic {
        Topic::Heads => 0.2,
        Topic::Aggregates => 0.05,
        Topic::Releases | Topic::Tasks => 0.02,
        Topic::Fraud => 0.001,
    }
}

/// Where a counter settles that gets `rate` per second and decays.
fn converged(rate: f64, decay_time: Duration) -> f64 {
    rate * DECAY_INTERVAL.as_secs_f64() / (1.0 - decay(decay_time))
}

fn decay(time: Duration) -> f64 {
    score_parameter_decay_with_base(time, DECAY_INTERVAL, DECAY_TO_ZERO)
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn loopback() -> HashSet<IpAddr> {
    HashSet::from([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Score of a neighbour on one topic, by the formulas of the gossipsub v1.1 specification.
    fn topic_score(params: &TopicScoreParams, in_mesh: Duration, first: f64, deliveries: f64) -> f64 {
        let quanta = in_mesh.as_secs_f64() / params.time_in_mesh_quantum.as_secs_f64();
        let p1 = quanta.min(params.time_in_mesh_cap) * params.time_in_mesh_weight;
        let p2 = first.min(params.first_message_deliveries_cap) * params.first_message_deliveries_weight;
        let deficit = (params.mesh_message_deliveries_threshold - deliveries).max(0.0);
        let active = in_mesh > params.mesh_message_deliveries_activation;
        let p3 = if active {
            deficit * deficit * params.mesh_message_deliveries_weight
        } else {
            0.0
        };
        params.topic_weight * (p1 + p2 + p3)
    }

    #[test]
    fn the_library_accepts_the_parameters() {
        params("main").validate().unwrap();
        thresholds().validate().unwrap();
        for topic in Topic::ALL {
            for rate in [1.0, 17.0, 1000.0] {
                topic_params(topic, Some(rate)).validate().unwrap();
            }
        }
    }

    #[test]
    fn the_largest_positive_score_is_100() {
        let day = Duration::from_secs(86_400);
        let best: f64 = Topic::ALL
            .iter()
            .map(|topic| topic_score(&topic_params(*topic, None), day, 1e9, 1e9))
            .sum();
        assert!((best - 100.0).abs() < 1e-9, "{best}");
    }

    #[test]
    fn one_invalid_message_outweighs_the_cap() {
        for topic in Topic::ALL {
            let params = topic_params(topic, None);
            assert!(params.topic_weight * params.invalid_message_deliveries_weight < -TOPIC_SCORE_CAP);
        }
    }

    #[test]
    fn an_audit_outweighs_everything_that_can_be_earned() {
        const { assert!(TOPIC_SCORE_CAP + AUDIT_PENALTY < 0.0) };
        assert!(APPLICATION_SCORE_RANGE.contains(&AUDIT_PENALTY));
    }

    #[test]
    fn a_quiet_network_punishes_nobody_for_silence() {
        for topic in Topic::ALL {
            let score = topic_score(&topic_params(topic, None), Duration::from_secs(86_400), 0.0, 0.0);
            assert!(score >= 0.0);
        }
    }

    proptest! {
        /// It sits in every mesh, forwards everything on the other topics and nothing on a busy one.
        #[test]
        fn a_peer_that_never_forwards_ends_below_zero(
            rate in P3_ON_RATE..10_000.0,
            silent in 0..Topic::ALL.len(),
            hours in 1..1_000_u64,
        ) {
            let time = Duration::from_secs(hours * 3600);
            let total: f64 = Topic::ALL.iter().enumerate().map(|(index, topic)| {
                if index == silent {
                    topic_score(&topic_params(*topic, Some(rate)), time, 0.0, 0.0)
                } else {
                    topic_score(&topic_params(*topic, None), time, 1e9, 1e9)
                }
            }).sum();
            prop_assert!(total.min(TOPIC_SCORE_CAP) < 0.0, "{total}");
        }

        /// A neighbour that delivers one message in 50 has no deficit once its counter has settled.
        #[test]
        fn an_honest_neighbour_is_never_in_deficit(rate in P3_ON_RATE..10_000.0, share in 0.03..1.0_f64) {
            let params = topic_params(Topic::Heads, Some(rate));
            let deliveries = converged(rate * share, P3_DECAY).min(params.mesh_message_deliveries_cap);
            prop_assert!(deliveries >= params.mesh_message_deliveries_threshold);
        }
    }

    #[test]
    fn missing_deliveries_count_only_while_traffic_is_steady() {
        let mut meter = RateMeter::new();
        assert!(meter.tick().is_empty());
        for _ in 0..60 * 8 {
            meter.accepted(Topic::Heads);
        }
        let changed = meter.tick();
        assert_eq!(changed.len(), 1);
        assert!(changed[0].0 == Topic::Heads && changed[0].1.mesh_message_deliveries_weight < 0.0);
        let off = (0..20).find_map(|_| {
            meter
                .tick()
                .pop()
                .filter(|(_, p)| p.mesh_message_deliveries_weight == 0.0)
        });
        assert!(off.is_some());
    }
}
