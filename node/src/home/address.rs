//! Where a running node's API is: written by the node, read by programs that talk to it. Reading it
//! touches no key but the API token.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use super::{Home, HomeError, files, token_of};

const ADDRESS: &str = "api-address";

/// Address and token of a running node's private API.
#[derive(Clone)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// Bearer token.
    pub token: String,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({})", self.address)
    }
}

impl Endpoint {
    /// Finds the node that runs in a data folder. It may have been killed since it wrote its address.
    ///
    /// # Errors
    /// [`HomeError::NotRunning`] when no node left its address; [`HomeError::Missing`] where there is no
    /// data folder; [`HomeError::Mode`] and [`HomeError::Damaged`].
    pub fn find(dir: &Path) -> Result<Self, HomeError> {
        if !dir.join(super::CONFIG).exists() {
            return Err(HomeError::Missing { path: dir.to_owned() });
        }
        let path = dir.join(ADDRESS);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(HomeError::NotRunning { path: dir.to_owned() });
            }
            Err(error) => return Err(HomeError::io("read", &path)(error)),
        };
        let address = text
            .trim()
            .parse()
            .map_err(|_| HomeError::damaged(&path, "not an address"))?;
        Ok(Self {
            address,
            token: token_of(dir)?,
        })
    }
}

impl Home {
    /// Says where the API listens.
    ///
    /// # Errors
    /// [`HomeError::Io`].
    pub fn write_api_address(&self, address: SocketAddr) -> Result<(), HomeError> {
        files::replace(&self.path().join(ADDRESS), format!("{address}\n").as_bytes())
    }

    /// Says that no API listens any more. A file that is gone already is fine.
    ///
    /// # Errors
    /// [`HomeError::Io`].
    pub fn remove_api_address(&self) -> Result<(), HomeError> {
        let path = self.path().join(ADDRESS);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(HomeError::io("remove", &path)(error)),
            _ => Ok(()),
        }
    }
}
