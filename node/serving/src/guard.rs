//! Who may use a server: whoever has the token, where there is one; and no web page of another origin.
//!
//! As the node's private API does (its `http/guard.rs`): tokens are compared by their hashes, in constant
//! time; `Host` must name this machine where only it is served; `Origin`, which browsers add, must be the
//! server itself.

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::{Failure, Kind, ServerOptions};

/// Paths that need no token: they say no more than that a server is there.
const OPEN: [&str; 4] = [
    "/v2/health/live",
    "/v2/health/ready",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
];

/// What requests are checked against.
#[derive(Clone)]
pub(crate) struct Guard {
    token: Option<blake3::Hash>,
    local_only: bool,
    /// Whether failures are said as gRPC does.
    grpc: bool,
}

impl Guard {
    pub(crate) fn new(options: &ServerOptions, grpc: bool) -> Self {
        Self {
            token: options.token.as_ref().map(|token| blake3::hash(token.as_bytes())),
            local_only: options.local_only,
            grpc,
        }
    }

    fn admits(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Failure> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| uri.authority().map(|authority| authority.as_str()));
        if self.local_only && !host.is_some_and(is_local) {
            let message = "the Host header does not name this machine; use 127.0.0.1 or localhost";
            return Err(Failure::new(Kind::Forbidden, message));
        }
        if let Some(origin) = headers.get(ORIGIN) {
            let own = |scheme: &str| {
                host.is_some_and(|host| origin.as_bytes() == format!("{scheme}://{host}").as_bytes())
            };
            if !own("http") && !own("https") {
                let message = "the request comes from a web page of another origin";
                return Err(Failure::new(Kind::Forbidden, message));
            }
        }
        let Some(token) = self.token.filter(|_| !OPEN.contains(&uri.path())) else {
            return Ok(());
        };
        let given = headers
            .get(AUTHORIZATION)
            .map(HeaderValue::as_bytes)
            .unwrap_or_default();
        if blake3::hash(given.strip_prefix(b"Bearer ").unwrap_or_default()) == token {
            return Ok(());
        }
        let message =
            "the request has no or a wrong token; send 'Authorization: Bearer TOKEN' with this server's";
        Err(Failure::new(Kind::Unauthorized, message))
    }
}

/// Middleware that lets a request through or answers it.
pub(crate) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.admits(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) if guard.grpc => tonic::Status::from(failure).into_http::<axum::body::Body>(),
        Err(failure) => failure.into_response(),
    }
}

/// Whether a host with or without port is loopback, by number or as `localhost`.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(
        options: &ServerOptions,
        path: &str,
        headers: &[(&'static str, &'static str)],
    ) -> Option<Kind> {
        let headers = headers.iter().map(|(name, value)| {
            let name = axum::http::HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        let uri = path.parse().unwrap();
        let admitted = Guard::new(options, false).admits(&uri, &headers.collect());
        admitted.err().map(|failure| failure.kind)
    }

    #[test]
    fn rebound_names_and_pages_of_others_are_refused() {
        let options = ServerOptions::default();
        let of = |headers: &[_]| refused(&options, "/v2", headers);
        assert_eq!(of(&[("host", "localhost:8000")]), None);
        assert_eq!(
            of(&[("host", "[::1]:8000"), ("origin", "http://[::1]:8000")]),
            None
        );
        for host in [
            "evil.example",
            "10.0.0.1:8000",
            "127.0.0.1.evil.example",
            "localhost.evil",
        ] {
            assert_eq!(of(&[("host", host)]), Some(Kind::Forbidden), "{host}");
        }
        for origin in ["https://evil.example", "http://localhost:9", "null"] {
            let headers = [("host", "localhost:8000"), ("origin", origin)];
            assert_eq!(of(&headers), Some(Kind::Forbidden), "{origin}");
        }
        assert_eq!(of(&[]), Some(Kind::Forbidden));
        let options = ServerOptions {
            local_only: false,
            ..options
        };
        assert_eq!(refused(&options, "/v2", &[("host", "models.example")]), None);
    }

    #[test]
    fn the_token_opens_and_nothing_else_does() {
        let options = ServerOptions {
            token: Some("secret".into()),
            ..ServerOptions::default()
        };
        let host = ("host", "localhost");
        assert_eq!(
            refused(&options, "/v2", &[host, ("authorization", "Bearer secret")]),
            None
        );
        for wrong in ["", "Bearer ", "Bearer secre", "secret", "Basic secret"] {
            let answer = refused(&options, "/v2", &[host, ("authorization", wrong)]);
            assert_eq!(answer, Some(Kind::Unauthorized), "{wrong}");
        }
        assert_eq!(refused(&options, "/metrics", &[host]), Some(Kind::Unauthorized));
        assert_eq!(refused(&options, "/v2/health/live", &[host]), None);
    }
}
