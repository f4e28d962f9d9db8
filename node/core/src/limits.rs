//! How much one peer may ask: a token bucket for each peer and kind of message, with time passed in.
//!
//! The numbers are several times what an honest peer does at full speed; tests hold both sides. A request
//! over its limit is answered with a Retry refusal, gossip over its limit is not passed on, and whoever
//! floods loses score, which the network shell weighs when it chooses neighbours. What a peer sent before
//! a limit is reached is paid by the bounds on its streams and on the size of a message.

use std::collections::BTreeMap;

use fieldmark_protocol::PublicKey;
use fieldmark_protocol::wire::rpc_request::Body;

/// Peers remembered, connected or not, so that a new connection is no new start. 110 connections are
/// possible at a time; each peer costs about 200 bytes.
pub const PEERS_MAX: usize = 1_024;
/// Score that a request over its limit costs.
pub const PENALTY: u32 = 10;
/// Score that comes back each second.
pub const PENALTY_BACK: u32 = 1;
/// Most score that a peer can lose, below which the shell cuts it off.
pub const PENALTY_MAX: u32 = 20_000;
/// Shortest time between two changes of a peer's score, in milliseconds.
pub const SCORE_MS: u64 = 1_000;

/// What is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Traffic {
    /// Announcements. Default 500 a second, 20,000 at once: a neighbour passes on what all others say,
    /// also after a partition. Over the limit a message is ignored; its carrier is not to blame.
    Gossip,
    /// Frontier exchanges. Default 20 a second, 200 at once; one every 3 s and one for each record whose
    /// author is unknown is honest. Each costs a message of up to a megabyte.
    Frontier,
    /// Records and proofs fetched. Default 1,000 a second, 20,000 at once: twice a whole frontier of
    /// 10,000 logs. Each costs a scan.
    Fetch,
    /// Reports. Default 4 a second, 64 at once: an identity has one report in a window. Each costs a
    /// signature check and, the first time, a synced write.
    Upload,
    /// Steps of a committee. Default 1,000 a second, 2,000 at once; a leader has a few chunks under way
    /// and each costs more to verify than to send. Verification itself is bounded by
    /// [`crate::helper::PENDING_MAX`].
    Committee,
    /// What does not decode. Default 1 a second, 16 at once: a later version's requests are among it.
    Malformed,
}

impl Traffic {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Gossip,
        Self::Frontier,
        Self::Fetch,
        Self::Upload,
        Self::Committee,
        Self::Malformed,
    ];

    /// The kind of a request.
    #[must_use]
    pub fn of(request: &Body) -> Self {
        match request {
            Body::Frontier(_) => Self::Frontier,
            Body::FetchRange(_) | Body::FetchIds(_) | Body::FetchProofs(_) | Body::Inclusion(_) => {
                Self::Fetch
            }
            Body::Upload(_) => Self::Upload,
            Body::VerifyKeyShare(_) | Body::VerifyInit(_) | Body::VerifyFinish(_) | Body::Conclude(_) => {
                Self::Committee
            }
        }
    }

    /// Messages that a peer gets back each second.
    #[must_use]
    pub const fn per_second(self) -> u64 {
        match self {
            Self::Gossip => 500,
            Self::Frontier => 20,
            Self::Fetch | Self::Committee => 1_000,
            Self::Upload => 4,
            Self::Malformed => 1,
        }
    }

    /// Messages at once.
    #[must_use]
    pub const fn burst(self) -> u64 {
        match self {
            Self::Gossip | Self::Fetch => 20_000,
            Self::Frontier => 200,
            Self::Upload => 64,
            Self::Committee => 2_000,
            Self::Malformed => 16,
        }
    }
}

/// Whether a message is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is.
    Admitted,
    /// It is over the limit.
    Refused,
}

/// Tokens in thousandths, so that a rate per second fills by the millisecond.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    milli: u64,
    at_ms: u64,
}

impl Bucket {
    fn take(&mut self, now: u64, traffic: Traffic) -> bool {
        // A clock that jumped back fills nothing, and fills again from where it is now.
        let passed = now.saturating_sub(self.at_ms);
        let filled = self
            .milli
            .saturating_add(passed.saturating_mul(traffic.per_second()));
        self.milli = filled.min(traffic.burst() * 1_000);
        self.at_ms = now;
        match self.milli.checked_sub(1_000) {
            Some(left) => {
                self.milli = left;
                true
            }
            None => false,
        }
    }
}

#[derive(Debug, Default)]
struct Peer {
    buckets: BTreeMap<Traffic, Bucket>,
    seen_ms: u64,
    /// Score lost, as of `seen_ms`.
    penalty: u32,
    /// The penalty that was last told, and when.
    told: (u32, u64),
}

/// The buckets of all peers.
#[derive(Debug, Default)]
pub struct Limiter {
    peers: BTreeMap<PublicKey, Peer>,
}

impl Limiter {
    /// No peer yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one message of a peer. With the second value, the peer's score changes to it.
    pub fn admit(&mut self, now: u64, peer: PublicKey, traffic: Traffic) -> (Admission, Option<i32>) {
        if !self.peers.contains_key(&peer) {
            self.make_room();
        }
        let peer = self.peers.entry(peer).or_insert_with(|| Peer {
            seen_ms: now,
            ..Peer::default()
        });
        let full = Bucket {
            milli: traffic.burst() * 1_000,
            at_ms: now,
        };
        let admitted = peer.buckets.entry(traffic).or_insert(full).take(now, traffic);
        peer.forgive(now);
        if !admitted && traffic != Traffic::Gossip {
            peer.penalty = peer.penalty.saturating_add(PENALTY).min(PENALTY_MAX);
        }
        let admission = if admitted {
            Admission::Admitted
        } else {
            Admission::Refused
        };
        (admission, peer.score(now))
    }

    /// Forgets the peer that was silent longest when there are too many.
    fn make_room(&mut self) {
        if self.peers.len() < PEERS_MAX {
            return;
        }
        let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.seen_ms);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.peers.remove(&key);
        }
    }
}

impl Peer {
    fn forgive(&mut self, now: u64) {
        let seconds = now.saturating_sub(self.seen_ms) / 1_000;
        if seconds > 0 || now < self.seen_ms {
            let back = u32::try_from(seconds)
                .unwrap_or(u32::MAX)
                .saturating_mul(PENALTY_BACK);
            self.penalty = self.penalty.saturating_sub(back);
            self.seen_ms = now;
        }
    }

    /// The score to tell, when it has changed and the last change is not too young.
    fn score(&mut self, now: u64) -> Option<i32> {
        let (penalty, at) = self.told;
        let young = at != 0 && now.saturating_sub(at) < SCORE_MS;
        if penalty == self.penalty || young {
            return None;
        }
        self.told = (self.penalty, now);
        i32::try_from(self.penalty).ok().map(|penalty| -penalty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn peer(byte: u8) -> PublicKey {
        PublicKey::new([byte; 32])
    }

    /// Messages admitted of `count` in `ms` milliseconds, evenly spread, and the last score told.
    fn admitted(limiter: &mut Limiter, traffic: Traffic, count: u64, ms: u64) -> (u64, Option<i32>) {
        let (mut admitted, mut last) = (0, None);
        for n in 0..count {
            let (admission, score) = limiter.admit(NOW + n * ms / count, peer(1), traffic);
            admitted += u64::from(admission == Admission::Admitted);
            last = score.or(last);
        }
        (admitted, last)
    }

    #[test]
    fn an_honest_peer_at_full_speed_is_never_refused() {
        for (traffic, count, ms) in [
            // A whole frontier fetched at once, then a second one.
            (Traffic::Fetch, 20_000, 1_000),
            // A leader of four chunks that take a hundredth of a second each, two steps every time.
            (Traffic::Committee, 8_000, 10_000),
            // A report for each of 64 windows that close at once, and each of them repeated every 20 s.
            (Traffic::Upload, 64, 1),
            (Traffic::Upload, 3 * 64, 60_000),
            // An exchange every 3 s, and strangers' records in between.
            (Traffic::Frontier, 1_200, 60_000),
            (Traffic::Gossip, 30_000, 60_000),
        ] {
            let found = admitted(&mut Limiter::new(), traffic, count, ms);
            assert_eq!(found, (count, None), "{traffic:?}");
        }
    }

    #[test]
    fn a_flood_gets_its_burst_and_its_rate_and_loses_score() {
        for traffic in Traffic::ALL {
            let (found, score) = admitted(&mut Limiter::new(), traffic, 200_000, 10_000);
            let most = traffic.burst() + 10 * traffic.per_second();
            assert!(
                (most - 1..=most).contains(&found),
                "{traffic:?}: {found} of {most}"
            );
            assert_eq!(score.is_some(), traffic != Traffic::Gossip, "{traffic:?}");
            assert!(score.is_none_or(|s| s <= -1_000), "{traffic:?}: {score:?}");
        }
    }

    #[test]
    fn a_flood_costs_nobody_else_and_is_forgiven_in_time() {
        let mut limiter = Limiter::new();
        admitted(&mut limiter, Traffic::Upload, 10_000, 1_000);
        assert_eq!(
            limiter.admit(NOW, peer(2), Traffic::Upload),
            (Admission::Admitted, None)
        );
        assert_eq!(limiter.admit(NOW, peer(1), Traffic::Fetch).0, Admission::Admitted);
        let later = NOW + 1_000 * u64::from(PENALTY_MAX) + 2_000;
        assert_eq!(
            limiter.admit(later, peer(1), Traffic::Upload),
            (Admission::Admitted, Some(0))
        );
    }

    #[test]
    fn many_peers_take_bounded_memory_and_a_clock_may_jump_back() {
        let mut limiter = Limiter::new();
        for n in 0..3 * PEERS_MAX as u64 {
            let key = PublicKey::new(*blake3::hash(&n.to_be_bytes()).as_bytes());
            limiter.admit(NOW + n, key, Traffic::Upload);
        }
        assert_eq!(limiter.peers.len(), PEERS_MAX);
        for _ in 0..Traffic::Upload.burst() {
            limiter.admit(NOW, peer(3), Traffic::Upload);
        }
        assert_eq!(
            limiter.admit(NOW - 500_000, peer(3), Traffic::Upload).0,
            Admission::Refused
        );
        assert_eq!(
            limiter.admit(NOW - 499_000, peer(3), Traffic::Upload).0,
            Admission::Admitted
        );
    }
}
