//! What a server allows, and whom.

use std::sync::Arc;
use std::time::Duration;

use crate::memory::Memory;
use crate::{Failure, Page, Repository};

/// What a server allows, and whom.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Token that every request must bring (`Authorization: Bearer`), but for whether the server is live and
    /// ready. Default: none is needed.
    pub token: Option<String>,
    /// Whether `Host` must name this machine, which keeps web pages out whose name was rebound to it. Default:
    /// yes; for servers that other machines reach, no.
    pub local_only: bool,
    /// Whether models may be loaded and unloaded by request. Default: yes.
    pub control: bool,
    /// What is shown under `/` where models may be loaded by request, which is where only the owner asks. Default:
    /// nothing.
    pub page: Option<Page>,
    /// Longest request. Default: 64 MiB.
    pub body_bytes_max: usize,
    /// Memory for the bodies of all requests at once. Default: 1 GiB; at most 16 TiB.
    pub bodies_bytes_max: usize,
    /// Longest time for a request's body to arrive, and for an answer to be read on. Default: 60 s.
    pub body_timeout: Duration,
    /// Connections at a time; the next waits. Default: 1,024.
    pub connections_max: usize,
    /// Longest wait for a request's head, and so for the next request on an idle connection. Default: 60 s.
    pub head_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            token: None,
            local_only: true,
            control: true,
            page: None,
            body_bytes_max: 64 << 20,
            bodies_bytes_max: 1 << 30,
            body_timeout: Duration::from_secs(60),
            connections_max: 1024,
            head_timeout: Duration::from_secs(60),
        }
    }
}

/// What every handler works with.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) repository: Repository,
    pub(crate) options: Arc<ServerOptions>,
    pub(crate) memory: Memory,
}

impl Shared {
    pub(crate) fn new(repository: Repository, options: ServerOptions) -> Self {
        Self {
            repository,
            memory: Memory::new(options.bodies_bytes_max),
            options: Arc::new(options),
        }
    }

    /// Whether models may be loaded and unloaded.
    ///
    /// # Errors
    /// [`Failure`] of kind forbidden.
    pub(crate) fn controlled(&self) -> Result<(), Failure> {
        if self.options.control {
            return Ok(());
        }
        let message = "models of this server are loaded and unloaded by its owner alone; give it a token to do so \
                       from elsewhere";
        Err(Failure::new(crate::Kind::Forbidden, message))
    }
}
