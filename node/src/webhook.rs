//! The `Post` port of the machines: one signed message to one webhook.
//!
//! A webhook is an address that somebody typed, and this node may stand inside a company's network. So the
//! name is resolved once, every address it resolves to is checked, and exactly those are connected to: a name
//! that changes its mind between check and connection gains nothing. Unless the subscription allows private
//! targets, addresses of this machine, of private and of other special networks are refused. Redirects are
//! not followed, proxies of the environment not used, and of the answer only the status is looked at.
//! Whose certificates are accepted over https is in `webhook/authorities.rs`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use fieldmark_node_core::compute::Post;
use fieldmark_protocol::webhook::{HEADER_EVENT, HEADER_KEY, HEADER_SIGNATURE, HEADER_TIMESTAMP};
use tokio::sync::Semaphore;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

mod authorities;

pub use authorities::{Authorities, AuthoritiesError};

/// Longest time for one message: name, connection, TLS, sending and the answer's head together.
const MESSAGE_MAX: Duration = Duration::from_secs(15);
/// Messages under way at a time; others wait.
const MESSAGES_MAX: usize = 4;

/// Slots of all messages of this process.
static SLOTS: Semaphore = Semaphore::const_new(MESSAGES_MAX);

/// An address that a webhook cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Not a URL.
    #[error("'{0}' is not an address such as https://example.org/hook")]
    Malformed(String),
    /// Neither http nor https.
    #[error("'{0}' is neither http nor https")]
    Scheme(String),
    /// A user or password in the address, which logs and lists would show.
    #[error(
        "an address with a user or password is not taken; give the receiver another way to know its caller"
    )]
    Userinfo,
    /// An address of this machine or of a private network, named as such.
    #[error("{0} is an address of this machine or of a private network; --allow-private takes it")]
    Private(String),
}

/// Checks what can be known of a webhook's address without resolving its name.
///
/// # Errors
/// [`AddressError`] saying what is wrong.
pub fn check_address(url: &str, allow_private: bool) -> Result<(), AddressError> {
    let malformed = || AddressError::Malformed(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| malformed())?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(_) => return Err(AddressError::Scheme(url.to_owned())),
        None => return Err(malformed()),
    }
    let authority = uri.authority().ok_or_else(malformed)?;
    if authority.as_str().contains('@') {
        return Err(AddressError::Userinfo);
    }
    let host = authority.host();
    let bare = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    let special = bare.eq_ignore_ascii_case("localhost")
        || bare.to_ascii_lowercase().ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| !is_public(address));
    if special && !allow_private {
        return Err(AddressError::Private(host.to_owned()));
    }
    Ok(())
}

/// Whether an address can be one of the public internet.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// The special-purpose registry of IPv4 (RFC 6890), as far as packets could go somewhere.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19)))
}

/// Only global unicast, 2000::/3, less documentation, Teredo and 6to4; addresses that carry an IPv4 one are
/// what that one is.
fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    let [first, second, ..] = address.segments();
    if first == 0x64 && second == 0xff9b {
        let [.., a, b, c, d] = address.octets();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    let documentation = (first == 0x2001 && second == 0xdb8) || (first == 0x3fff && second < 0x1000);
    (0x2000..0x4000).contains(&first)
        && !documentation
        && first != 0x2002
        && !(first == 0x2001 && second < 0x200)
}

/// Resolves names, and refuses them when any of their addresses is not public.
#[derive(Debug, Default)]
struct Public(DefaultResolver);

impl Resolver for Public {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.0.resolve(uri, config, timeout)?;
        match found.iter().find(|address| !is_public(address.ip())) {
            Some(special) => {
                let refused =
                    AddressError::Private(format!("{} ({})", uri.host().unwrap_or_default(), special.ip()));
                Err(Error::Other(refused.into()))
            }
            None => Ok(found),
        }
    }
}

/// Posts a message; acknowledged by any status from 200 to 299.
pub(crate) async fn post(post: Post, authorities: Arc<Authorities>) -> Result<(), String> {
    let _slot = SLOTS
        .acquire()
        .await
        .map_err(|_| "the node is stopping".to_owned())?;
    let sent = tokio::task::spawn_blocking(move || send(&post, &authorities)).await;
    sent.unwrap_or_else(|_| Err("sending was interrupted".to_owned()))
}

fn send(post: &Post, authorities: &Authorities) -> Result<(), String> {
    check_address(&post.url, post.allow_private).map_err(|e| e.to_string())?;
    let config = Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(MESSAGE_MAX))
        .max_idle_connections(0)
        .user_agent(concat!("fieldmark/", env!("CARGO_PKG_VERSION")))
        .tls_config(authorities.tls())
        .build();
    let connector = DefaultConnector::default();
    let agent = if post.allow_private {
        Agent::with_parts(config, connector, DefaultResolver::default())
    } else {
        Agent::with_parts(config, connector, Public::default())
    };
    let request = agent
        .post(&post.url)
        .header("Content-Type", "application/json")
        .header(HEADER_KEY, post.key.to_string())
        .header(HEADER_TIMESTAMP, post.timestamp_ms.to_string())
        .header(HEADER_SIGNATURE, &post.signature)
        .header(HEADER_EVENT, post.item.to_string());
    let response = request
        .send(&post.body[..])
        .map_err(|e| authorities::explained(&e))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let hint = if status.is_redirection() {
        "; redirects are not followed, subscribe with the address it should be"
    } else {
        ""
    };
    Err(format!("the receiver answered {status}{hint}"))
}

#[cfg(test)]
mod tests;
