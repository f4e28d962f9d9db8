//! The `Post` port of the machines: one signed message to one webhook.
//!
//! A webhook is an address that somebody typed, and this node may stand inside a company's network. So the
//! name is resolved once, every address it resolves to is checked, and exactly those are connected to: a name
//! that changes its mind between check and connection gains nothing. Unless the subscription allows private
//! targets, addresses of this machine, of private and of other special networks are refused. Redirects are
//! not followed, proxies of the environment not used, and of the answer only the status is looked at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fieldmark_node_core::compute::Post;
use fieldmark_protocol::webhook::{HEADER_EVENT, HEADER_KEY, HEADER_SIGNATURE, HEADER_TIMESTAMP};
use tokio::sync::Semaphore;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

/// Longest time for one message: name, connection, TLS, sending and the answer's head together.
const MESSAGE_MAX: Duration = Duration::from_secs(15);
/// Messages under way at a time; others wait.
const MESSAGES_MAX: usize = 4;

/// Slots of all messages of this process.
static SLOTS: Semaphore = Semaphore::const_new(MESSAGES_MAX);
/// The system's certificate authorities, read at the first message over https.
static AUTHORITIES: OnceLock<RootCerts> = OnceLock::new();

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
pub(crate) async fn post(post: Post) -> Result<(), String> {
    let _slot = SLOTS
        .acquire()
        .await
        .map_err(|_| "the node is stopping".to_owned())?;
    let sent = tokio::task::spawn_blocking(move || send(&post)).await;
    sent.unwrap_or_else(|_| Err("sending was interrupted".to_owned()))
}

fn send(post: &Post) -> Result<(), String> {
    check_address(&post.url, post.allow_private).map_err(|e| e.to_string())?;
    let config = Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(MESSAGE_MAX))
        .max_idle_connections(0)
        .user_agent(concat!("fieldmark/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls())
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
    let response = request.send(&post.body[..]).map_err(|error| error.to_string())?;
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

fn tls() -> TlsConfig {
    let authorities = AUTHORITIES.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a certificate authority of the system cannot be read");
        }
        let owned = |der: rustls::pki_types::CertificateDer<'static>| Certificate::from_der(&der).to_owned();
        RootCerts::from(found.certs.into_iter().map(owned))
    });
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(authorities.clone())
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use fieldmark_protocol::id::ContentHash;
    use fieldmark_protocol::webhook::{self, Received};
    use fieldmark_protocol::{PublicKey, SecretKey};

    use super::*;

    #[test]
    fn addresses_of_machines_that_should_not_be_reached_are_not_public() {
        for special in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2001:db8::1",
            "2002:a00:1::1",
            "2001::1",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
        for public in [
            "93.184.216.34",
            "1.1.1.1",
            "2606:4700::1111",
            "2a00:1450::1",
            "64:ff9b::101:101",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn addresses_are_refused_by_what_they_say() {
        let refused = |url: &str| check_address(url, false).unwrap_err();
        assert!(matches!(refused("ftp://example.org/"), AddressError::Scheme(_)));
        assert!(matches!(refused("example.org"), AddressError::Malformed(_)));
        assert!(matches!(
            refused("https://a:b@example.org/"),
            AddressError::Userinfo
        ));
        for private in [
            "http://127.0.0.1:80/x",
            "http://[::1]/",
            "https://LOCALHOST/",
            "http://10.0.0.1/",
            "http://a.localhost/",
        ] {
            assert!(matches!(refused(private), AddressError::Private(_)), "{private}");
            assert_eq!(check_address(private, true), Ok(()));
        }
        assert_eq!(check_address("https://example.org/hook?x=1", false), Ok(()));
    }

    fn message(url: String, allow_private: bool) -> Post {
        let (key, body) = (SecretKey::from_seed(&[1; 32]), br#"{"kind":"issue"}"#.to_vec());
        Post {
            url,
            allow_private,
            key: key.public(),
            timestamp_ms: 5,
            signature: webhook::sign(&key, 5, &body),
            item: ContentHash::new([9; 32]),
            body,
        }
    }

    /// Answers one request with `answer`, and returns what was asked.
    fn receiver(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut text, mut buffer) = (String::new(), [0; 4096]);
            while !text.contains("\"}") {
                let read = stream.read(&mut buffer).unwrap();
                text.push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
            stream.write_all(answer.as_bytes()).unwrap();
            text
        });
        (url, served)
    }

    #[tokio::test]
    async fn a_message_arrives_as_it_was_signed() {
        let (url, served) = receiver("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert_eq!(post(message(url, true)).await, Ok(()));
        let text = served.join().unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let header = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_owned()).unwrap()
        };
        let key: PublicKey = header(HEADER_KEY).parse().unwrap();
        let received = Received {
            key,
            timestamp_ms: header(HEADER_TIMESTAMP).parse().unwrap(),
            signature: &header(HEADER_SIGNATURE),
            body: body.as_bytes(),
        };
        assert_eq!(received.check(5, 0), Ok(()));
        assert_eq!(header(HEADER_EVENT), ContentHash::new([9; 32]).to_string());
    }

    #[tokio::test]
    async fn a_redirect_is_no_acknowledgement_and_not_followed() {
        let (url, served) = receiver(
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
        let error = post(message(url, true)).await.unwrap_err();
        assert!(error.contains("302") && error.contains("not followed"), "{error}");
        served.join().unwrap();
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_this_machine_is_refused_before_it_is_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let own = hosts
            .lines()
            .filter(|line| line.starts_with("127."))
            .flat_map(|line| line.split_whitespace().skip(1))
            .find(|name| *name != "localhost" && !name.starts_with("localhost."));
        for host in [Some("2130706433"), Some("0x7f000001"), own]
            .into_iter()
            .flatten()
        {
            let url = format!("http://{host}:{port}/");
            let error = post(message(url, false)).await.unwrap_err();
            assert!(!error.is_empty(), "{host}");
            assert!(listener.accept().is_err(), "{host} was connected to");
        }
    }
}
