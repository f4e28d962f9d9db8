//! A part in a simulation: a role with its keys and options, and what becomes of both in a node.

use fieldmark_fl::seal;
use fieldmark_node_core::NodeOptions;
use fieldmark_node_core::context::{Keys, Policy};
use fieldmark_protocol::address::Roles;
use fieldmark_protocol::task::Aggregator;
use fieldmark_protocol::trust::TrustPolicy;
use fieldmark_protocol::{PublicKey, SecretKey};

use crate::draws;
use crate::scenario::{Deed, Who};

/// Number of a host.
pub(crate) type HostId = usize;

/// What a host is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Operator,
    /// By position among the researchers.
    Researcher(u64),
    /// By seat.
    Aggregator(u64),
    /// By position among the companies.
    Company(u64),
    Relay,
    /// An equivocator's face: which equivocator, and which half of the network it shows itself to.
    Face {
        equivocator: u64,
        half: u64,
    },
}

impl Role {
    /// Whether it is one of an equivocator's faces.
    pub(crate) fn is_face(self) -> bool {
        matches!(self, Self::Face { .. })
    }

    /// Whether a crash of `who` may hit it.
    pub(crate) fn is(self, who: Who) -> bool {
        match who {
            Who::Leader => self == Self::Aggregator(0),
            Who::Helper => matches!(self, Self::Aggregator(seat) if seat > 0),
            Who::Company => matches!(self, Self::Company(_)),
            Who::Researcher => matches!(self, Self::Researcher(_)),
            Who::Operator => self == Self::Operator,
            Who::Relay => self == Self::Relay,
        }
    }

    /// What its node is certified for.
    pub(crate) fn protocol(self) -> Roles {
        match self {
            Self::Aggregator(_) => Roles(Roles::AGGREGATOR),
            Self::Company(_) => Roles(Roles::CONTRIBUTOR),
            Self::Researcher(_) | Self::Face { .. } => Roles(Roles::PROVIDER),
            Self::Operator | Self::Relay => Roles(0),
        }
    }

    fn name(self, at: HostId) -> String {
        match self {
            Self::Operator => "operator".to_owned(),
            Self::Researcher(number) => format!("researcher-{number}"),
            Self::Aggregator(seat) => format!("aggregator-{seat}"),
            Self::Company(number) => format!("company-{number}"),
            Self::Relay => format!("relay-{at}"),
            Self::Face { equivocator, .. } => format!("equivocator-{equivocator}"),
        }
    }
}

/// A part: a role with its keys.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) role: Role,
    pub(crate) name: String,
    pub(crate) keys: Keys,
    /// What it does instead of following the protocol.
    pub(crate) deed: Option<Deed>,
}

impl Part {
    pub(crate) fn new(seed: u64, at: HostId, role: Role, number: u64) -> Self {
        let key = |purpose| SecretKey::from_seed(&draws::secret(seed, purpose, number));
        let (hpke, hpke_public) = seal::keypair(&draws::secret(seed, "hpke key", number));
        let keys = Keys {
            identity: key("identity key"),
            node: key("node key"),
            hpke,
            hpke_public,
        };
        Self {
            role,
            name: role.name(at),
            keys,
            deed: None,
        }
    }

    /// Whether it follows the protocol.
    pub(crate) fn honest(&self) -> bool {
        !self.role.is_face() && self.deed.is_none()
    }

    pub(crate) fn identity(&self) -> PublicKey {
        self.keys.identity.public()
    }

    pub(crate) fn node_key(&self) -> PublicKey {
        self.keys.node.public()
    }

    /// Its seat in a committee.
    pub(crate) fn seat(&self) -> Aggregator {
        Aggregator {
            identity: self.identity(),
            node_key: self.node_key(),
            hpke_key: PublicKey::new(self.keys.hpke_public),
        }
    }

    /// What its node is started with; `life` counts its starts.
    pub(crate) fn options(&self, seed: u64, at: HostId, life: u64, trust: &TrustPolicy) -> NodeOptions {
        let number = u64::try_from(at).unwrap_or(u64::MAX);
        // The faces of one equivocator must sign the same profile and certificate.
        let seed = draws::secret(seed, &format!("life {life}"), number);
        let policy = Policy {
            trust: trust.clone(),
            epsilon_max: 20.0,
            delta_max: 0.0,
            records_max: 0,
            ..Policy::default()
        };
        NodeOptions {
            keys: self.keys.clone(),
            name: self.name.clone(),
            roles: self.role.protocol(),
            policy,
            seed,
        }
    }
}
