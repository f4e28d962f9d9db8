//! `config.toml`: a node's settings and the format version of its data folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use fieldmark_node_core::served::Keeping;
use fieldmark_node_core::served::draw::Rate;
use fieldmark_package::Allowances;
use fieldmark_protocol::task::RECORDS_MAX;
use fieldmark_protocol::text;
use serde::{Deserialize, Serialize};

use super::HomeError;

/// Format of the data folder that this version writes.
pub const FORMAT: u32 = 1;
/// Oldest format that can be loaded.
const FORMAT_MIN: u32 = 1;
/// Most addresses of a list.
const ADDRESSES_MAX: usize = 64;
/// Most bytes of a name that others see.
const NAME_BYTES_MAX: usize = 64;

/// What a node does for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Role {
    /// Sits on committees.
    Aggregator,
    /// Sends reports about its own datasets.
    Contributor,
    /// Serves the blobs it holds.
    Provider,
}

impl Role {
    /// Its name in files and options.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aggregator => "aggregator",
            Self::Contributor => "contributor",
            Self::Provider => "provider",
        }
    }
}

/// A node's settings. Options of `fieldmark node run` override them for one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Format of the data folder.
    pub format: u32,
    /// Name that others see: 1 to 64 bytes.
    pub name: String,
    /// Network to join: 1 to 32 of `a-z 0-9 -`. Nodes of different networks never talk.
    pub network: String,
    /// What the node does for others. Default: contributor and provider.
    #[serde(default = "default_roles")]
    pub roles: Vec<Role>,
    /// libp2p addresses to listen on. Default: any free QUIC port on all interfaces.
    #[serde(default = "default_listen")]
    pub listen: Vec<String>,
    /// libp2p addresses of nodes to join through. Default: none.
    #[serde(default)]
    pub bootstrap: Vec<String>,
    /// Where the private API listens. Default: a free port on loopback.
    #[serde(default = "loopback")]
    pub api: SocketAddr,
    /// Where the public pages listen. Default: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<SocketAddr>,
    /// Where blobs are served. Default: a free port on loopback.
    #[serde(default = "loopback")]
    pub blobs: SocketAddr,
    /// Whether nodes on the same LAN find each other. Default: false.
    #[serde(default)]
    pub mdns: bool,
    /// Most bytes of blobs kept. Default: 50 GiB.
    #[serde(default = "default_quota")]
    pub blob_bytes_max: u64,
    /// Largest ε of a task this node takes part in, 0.01 to 20. Default: 10.
    #[serde(default = "default_epsilon")]
    pub epsilon_max: f64,
    /// Largest δ of such a task, 1e-12 to 1e-3. Default: 1e-5.
    #[serde(default = "default_delta")]
    pub delta_max: f64,
    /// Most source records that a report to such a task may count. Default: a million.
    #[serde(default = "default_records")]
    pub records_max: u32,
    /// PEM file of certificate authorities that webhooks over https are checked against beside the system's;
    /// relative to the data folder. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_ca: Option<PathBuf>,
    /// Interpreter of models of the runtime `python`, a name on the `PATH` or a path. Default: `python3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<PathBuf>,
    /// What models may use on this machine: `[limits."*"]` for all, `[limits.NAME]` or `[limits."NAME@VERSION"]`
    /// for some. Options of a command go before it. Default: nothing is said.
    #[serde(default, skip_serializing_if = "Allowances::is_empty")]
    pub limits: Allowances,
    /// What becomes of the predictions it serves.
    #[serde(default)]
    pub serving: Serving,
    /// What is permitted on this machine.
    #[serde(default)]
    pub policy: MachinePolicy,
}

/// What is permitted on this machine, whatever a command line asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MachinePolicy {
    /// Whether `--isolation=off` is obeyed. Default: false.
    pub allow_isolation_off: bool,
}

/// What becomes of the predictions a node serves. They never leave it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Serving {
    /// Most predictions kept with their inputs; older inputs are dropped. 0 keeps nothing. Default: 10000.
    pub keep: u64,
    /// Which share of them counts for the field score, 0 to 1, where no feedback window declares another.
    /// Default: 1.
    pub rate: f64,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            keep: Keeping::default().inputs_max,
            rate: 1.0,
        }
    }
}

impl Serving {
    /// The same for the machines.
    #[must_use]
    pub fn keeping(&self) -> Keeping {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0 to 1000000; what is no number becomes 0"
        )]
        let ppm = (self.rate.clamp(0.0, 1.0) * 1e6).round() as u32;
        Keeping {
            inputs_max: self.keep,
            rate: Rate::from_ppm(ppm).unwrap_or(Rate::ALL),
        }
    }
}

fn default_roles() -> Vec<Role> {
    vec![Role::Contributor, Role::Provider]
}

fn default_listen() -> Vec<String> {
    vec!["/ip4/0.0.0.0/udp/0/quic-v1".to_owned()]
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

const fn default_quota() -> u64 {
    50 << 30
}

const fn default_epsilon() -> f64 {
    10.0
}

const fn default_delta() -> f64 {
    1e-5
}

const fn default_records() -> u32 {
    RECORDS_MAX
}

impl Config {
    /// Default settings.
    #[must_use]
    pub fn new(name: String, network: String, mut roles: Vec<Role>) -> Self {
        if roles.is_empty() {
            roles = default_roles();
        }
        roles.sort();
        roles.dedup();
        Self {
            format: FORMAT,
            name,
            network,
            roles,
            listen: default_listen(),
            bootstrap: Vec::new(),
            api: loopback(),
            pages: None,
            blobs: loopback(),
            mdns: false,
            blob_bytes_max: default_quota(),
            epsilon_max: default_epsilon(),
            delta_max: default_delta(),
            records_max: default_records(),
            webhook_ca: None,
            python: None,
            limits: Allowances::new(),
            serving: Serving::default(),
            policy: MachinePolicy::default(),
        }
    }

    /// Parses and checks `config.toml`. The format is looked at first, so that a newer file is told
    /// from a damaged one.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, HomeError> {
        let damaged = |e: toml::de::Error| HomeError::damaged(path, e.to_string());
        let table: toml::Table = toml::from_str(text).map_err(damaged)?;
        let format = table.get("format").and_then(toml::Value::as_integer);
        let found = format.ok_or_else(|| HomeError::damaged(path, "there is no 'format = 1'"))?;
        if found > i64::from(FORMAT) {
            return Err(HomeError::Newer {
                path: path.to_owned(),
                found,
                known: FORMAT,
            });
        }
        if found < i64::from(FORMAT_MIN) {
            return Err(HomeError::Older {
                path: path.to_owned(),
                found,
                known: FORMAT_MIN,
            });
        }
        let config: Self = toml::from_str(text).map_err(damaged)?;
        config.check(path)?;
        Ok(config)
    }

    /// Checks every bound.
    pub(super) fn check(&self, path: &Path) -> Result<(), HomeError> {
        let invalid = |detail: String| {
            Err(HomeError::Invalid {
                path: path.to_owned(),
                detail,
            })
        };
        if self.name.trim().is_empty() {
            return invalid("the name is empty".to_owned());
        }
        if let Err(error) = text::free("the name", &self.name, NAME_BYTES_MAX) {
            return invalid(error.to_string());
        }
        let network = &self.network;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !(1..=32).contains(&network.len()) || !network.chars().all(fits) {
            return invalid(format!("network '{network}' is not 1 to 32 of a-z, 0-9 and '-'"));
        }
        if self.listen.len() > ADDRESSES_MAX || self.bootstrap.len() > ADDRESSES_MAX {
            return invalid(format!(
                "more than {ADDRESSES_MAX} addresses in listen or bootstrap"
            ));
        }
        if !self.api.ip().is_loopback() {
            let api = self.api;
            return invalid(format!(
                "api = \"{api}\" is not on loopback; the private API is for this machine, use 'pages' for others"
            ));
        }
        for (name, said) in &self.limits {
            if let Err(wrong) = said.check() {
                return invalid(format!("[limits.\"{name}\"]: {wrong}"));
            }
        }
        if !(0.0..=1.0).contains(&self.serving.rate) {
            return invalid(format!("serving.rate = {} is not 0 to 1", self.serving.rate));
        }
        if !(0.01..=20.0).contains(&self.epsilon_max) {
            return invalid(format!("epsilon_max = {} is not 0.01 to 20", self.epsilon_max));
        }
        if !(1e-12..=1e-3).contains(&self.delta_max) {
            return invalid(format!("delta_max = {:e} is not 1e-12 to 1e-3", self.delta_max));
        }
        if !(1..=RECORDS_MAX).contains(&self.records_max) {
            return invalid(format!(
                "records_max = {} is not 1 to {RECORDS_MAX}",
                self.records_max
            ));
        }
        Ok(())
    }

    /// The text of `config.toml`.
    pub(super) fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }
}
