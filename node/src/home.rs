//! The data folder of a node: layout, configuration, keys, trust policy and API token.
//!
//! ```text
//! config.toml   format version and settings; written last, so a folder without it is unfinished
//! identity.key  Ed25519 seed of the identity        ┐
//! node.key      Ed25519 seed of the node            │ 32 bytes in hex, mode 0600
//! hpke.key      seed of the HPKE key pair           │
//! secret.key    keys a dataset's corruptions        ┘
//! trust.toml    aggregators = ["…"]
//! api-token     bearer token of the private API, mode 0600
//! api-address   where the running node's API listens; removed when it ends
//! ledger/       RocksDB       blobs/   blob store
//! ```
//!
//! The folder has mode 0700. Modes are checked whenever a secret is read, and a file that others can
//! read is refused, because it may have been read already.

mod address;
mod config;
mod error;
mod files;

use std::fmt;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use fieldmark_protocol::SecretKey;
use fieldmark_protocol::trust::{TRUSTED_MAX, TrustPolicy};
use zeroize::Zeroizing;

pub use address::Endpoint;
pub use config::{Config, FORMAT, MachinePolicy, Role};
pub use error::HomeError;

const CONFIG: &str = "config.toml";
const TRUST: &str = "trust.toml";
const TOKEN: &str = "api-token";
const IDENTITY: &str = "identity.key";
const NODE: &str = "node.key";
const HPKE: &str = "hpke.key";
const SECRET: &str = "secret.key";
/// Files that only the owner may read.
pub const SECRET_FILES: [&str; 5] = [IDENTITY, NODE, HPKE, SECRET, TOKEN];

/// What a new data folder is made with.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// Name that others see; `None`: made from the identity.
    pub name: Option<String>,
    /// Network to join; `None`: `main`.
    pub network: Option<String>,
    /// What the node does for others; empty: [`Role::Contributor`] and [`Role::Provider`].
    pub roles: Vec<Role>,
    /// Whom it trusts as aggregators.
    pub trust: TrustPolicy,
}

/// A loaded data folder. Never printed with its secrets.
#[derive(Clone)]
pub struct Home {
    /// The long-lived key of the organisation or person.
    pub identity: SecretKey,
    /// The key of this node.
    pub node_key: SecretKey,
    /// Seed of the HPKE key pair (`fl::seal::keypair`).
    pub hpke_seed: [u8; 32],
    /// Keys the corruptions of this node's datasets.
    pub dataset_secret: [u8; 32],
    /// Whom this node trusts as aggregators, as loaded.
    pub trust: TrustPolicy,
    /// Settings.
    pub config: Config,
    path: PathBuf,
    token: String,
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home")
            .field("path", &self.path)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Home {
    /// Makes a new data folder with fresh keys. Nothing existing is ever overwritten.
    ///
    /// # Errors
    /// [`HomeError::Exists`] and [`HomeError::NotEmpty`] for a folder that holds something;
    /// [`HomeError::Invalid`] for bad options; [`HomeError::Io`] and [`HomeError::Entropy`].
    pub fn create(dir: &Path, options: InitOptions) -> Result<Self, HomeError> {
        if dir.join(CONFIG).exists() {
            return Err(HomeError::Exists { path: dir.to_owned() });
        }
        let (name, roles) = (options.name.clone(), options.roles.clone());
        let network = options.network.unwrap_or_else(|| "main".to_owned());
        let mut config = Config::new(name.unwrap_or_else(|| "unnamed".to_owned()), network, roles);
        config.check(&dir.join(CONFIG))?;
        check_trust(&options.trust, &dir.join(TRUST))?;
        make_folder(dir)?;
        let identity = files::create_secret(&dir.join(IDENTITY))?;
        files::create_secret(&dir.join(NODE))?;
        files::create_secret(&dir.join(HPKE))?;
        files::create_secret(&dir.join(SECRET))?;
        files::create_secret(&dir.join(TOKEN))?;
        files::replace(&dir.join(TRUST), trust_text(&options.trust).as_bytes())?;
        if options.name.is_none() {
            config.name = format!("node-{}", SecretKey::from_seed(&identity).public().short());
        }
        files::replace(&dir.join(CONFIG), config.to_toml().as_bytes())?;
        Self::open(dir)
    }

    /// Loads a data folder.
    ///
    /// # Errors
    /// [`HomeError::Missing`] where there is none; [`HomeError::Newer`] and [`HomeError::Older`] for
    /// another version's; [`HomeError::Mode`] when others can read a secret; [`HomeError::Damaged`]
    /// naming the file.
    pub fn open(dir: &Path) -> Result<Self, HomeError> {
        let config = Self::config_of(dir)?;
        files::check_mode(dir)?;
        let key = |name: &str| files::read_secret(&dir.join(name));
        Ok(Self {
            identity: SecretKey::from_seed(&*key(IDENTITY)?),
            node_key: SecretKey::from_seed(&*key(NODE)?),
            hpke_seed: *key(HPKE)?,
            dataset_secret: *key(SECRET)?,
            trust: read_trust(&dir.join(TRUST))?,
            config,
            path: dir.to_owned(),
            token: token_of(dir)?,
        })
    }

    /// The settings of a data folder alone, for who needs none of its keys.
    ///
    /// # Errors
    /// As [`Home::open`], of `config.toml`.
    pub fn config_of(dir: &Path) -> Result<Config, HomeError> {
        let path = dir.join(CONFIG);
        if !path.exists() {
            return Err(HomeError::Missing { path: dir.to_owned() });
        }
        Config::parse(&path, &files::read_text(&path)?)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the ledger is.
    #[must_use]
    pub fn ledger_dir(&self) -> PathBuf {
        self.path.join("ledger")
    }

    /// Where the blobs are.
    #[must_use]
    pub fn blobs_dir(&self) -> PathBuf {
        self.path.join("blobs")
    }

    /// Bearer token of the private API.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The trust policy as the file has it now; `trust` is what it was when the folder was loaded.
    ///
    /// # Errors
    /// [`HomeError::Damaged`] and [`HomeError::Io`].
    pub fn trust_now(&self) -> Result<TrustPolicy, HomeError> {
        read_trust(&self.path.join(TRUST))
    }

    /// Replaces the trust policy, in the file and here.
    ///
    /// # Errors
    /// [`HomeError::Invalid`] when it names too many; [`HomeError::Io`].
    pub fn save_trust(&mut self, trust: TrustPolicy) -> Result<(), HomeError> {
        let path = self.path.join(TRUST);
        check_trust(&trust, &path)?;
        files::replace(&path, trust_text(&trust).as_bytes())?;
        self.trust = trust;
        Ok(())
    }
}

/// Reads a trust policy file, as `leaderboard --trust-policy` takes it.
///
/// # Errors
/// [`HomeError::Damaged`] and [`HomeError::Io`].
pub fn read_trust(path: &Path) -> Result<TrustPolicy, HomeError> {
    let text = files::read_text(path)?;
    let trust: TrustPolicy = toml::from_str(&text).map_err(|e| HomeError::damaged(path, e.to_string()))?;
    check_trust(&trust, path)?;
    Ok(trust)
}

/// The API token of a data folder, for programs that talk to its node.
pub(crate) fn token_of(dir: &Path) -> Result<String, HomeError> {
    let secret: Zeroizing<[u8; 32]> = files::read_secret(&dir.join(TOKEN))?;
    Ok(hex::encode(*secret))
}

fn check_trust(trust: &TrustPolicy, path: &Path) -> Result<(), HomeError> {
    let found = trust.aggregators.len();
    if found > TRUSTED_MAX {
        let detail = format!("{found} identities are named, at most {TRUSTED_MAX} are taken");
        return Err(HomeError::Invalid {
            path: path.to_owned(),
            detail,
        });
    }
    Ok(())
}

fn trust_text(trust: &TrustPolicy) -> String {
    let keys: Vec<String> = trust
        .aggregators
        .iter()
        .map(|key| format!("    \"{key}\",\n"))
        .collect();
    format!(
        "# Identities accepted as aggregators.\naggregators = [\n{}]\n",
        keys.concat()
    )
}

fn make_folder(dir: &Path) -> Result<(), HomeError> {
    match fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(HomeError::NotEmpty { path: dir.to_owned() });
            }
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(HomeError::io("protect", dir))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if let Some(parent) = dir.parent() {
                fs::create_dir_all(parent).map_err(HomeError::io("create", parent))?;
            }
            fs::DirBuilder::new()
                .mode(0o700)
                .create(dir)
                .map_err(HomeError::io("create", dir))
        }
        Err(error) => Err(HomeError::io("read", dir)(error)),
    }
}

#[cfg(test)]
mod tests;
