//! Who may use the private API: whoever holds the token, and no web page.
//!
//! The token is compared in constant time. `Host` must name this machine, so that a page whose name was
//! rebound to 127.0.0.1 is refused; `Origin`, which browsers add, must be the API itself.

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::failure::Failure;

/// What requests are checked against.
#[derive(Clone)]
pub struct Guard {
    /// Hash of the token: comparing hashes takes the same time wherever they differ.
    token: blake3::Hash,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guard(..)")
    }
}

impl Guard {
    /// A guard for this token.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self {
            token: blake3::hash(token.as_bytes()),
        }
    }

    fn admits(&self, headers: &HeaderMap, authority: Option<&str>) -> Result<(), Failure> {
        from_this_machine(headers, authority)?;
        let given = headers
            .get(AUTHORIZATION)
            .map(HeaderValue::as_bytes)
            .unwrap_or_default();
        let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
        if blake3::hash(given) != self.token {
            let message = "the request has no or a wrong token; send 'Authorization: Bearer' with the content \
                           of api-token in the data folder";
            return Err(Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", message));
        }
        Ok(())
    }
}

/// Refuses names that were rebound to this machine, and pages of other origins.
fn from_this_machine(headers: &HeaderMap, authority: Option<&str>) -> Result<(), Failure> {
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .or(authority);
    let local = host.filter(|host| is_local(host)).ok_or_else(|| {
        let message = "the Host header does not name this machine; use 127.0.0.1 or localhost";
        Failure::new(StatusCode::BAD_REQUEST, "host", message)
    })?;
    let own = format!("http://{local}");
    let foreign = |origin: &HeaderValue| origin.as_bytes() != own.as_bytes();
    if headers.get(ORIGIN).is_some_and(foreign) {
        let message = "the request comes from a web page of another origin";
        return Err(Failure::new(StatusCode::BAD_REQUEST, "origin", message));
    }
    Ok(())
}

/// Middleware for what needs no token but must not be had from elsewhere.
pub async fn local_only(request: Request, next: Next) -> Response {
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str().to_owned());
    match from_this_machine(request.headers(), authority.as_deref()) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

/// Middleware that lets a request through or answers it.
pub async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str().to_owned());
    match guard.admits(request.headers(), authority.as_deref()) {
        Ok(()) => next.run(request).await,
        Err(failure) => {
            let unauthorized = failure.status == StatusCode::UNAUTHORIZED;
            let mut response = failure.into_response();
            if unauthorized {
                response
                    .headers_mut()
                    .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
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
        .and_then(|n| n.strip_suffix(']'))
        .unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use axum::{Router, middleware};
    use tower::ServiceExt as _;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    async fn status(headers: &[(&str, &str)]) -> StatusCode {
        let router = Router::new()
            .route("/", get(|| async { "secret" }))
            .layer(middleware::from_fn_with_state(Guard::new(TOKEN), check));
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        router
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap()
            .status()
    }

    #[tokio::test]
    async fn the_token_opens_and_nothing_else_does() {
        let host = ("host", "127.0.0.1:4601");
        let bearer = format!("Bearer {TOKEN}");
        assert_eq!(status(&[host, ("authorization", &bearer)]).await, StatusCode::OK);
        for wrong in [
            "",
            "Bearer ",
            "Bearer 0123456789abcdee",
            TOKEN,
            "Basic 0123456789abcdef",
        ] {
            let answer = status(&[host, ("authorization", wrong)]).await;
            assert_eq!(answer, StatusCode::UNAUTHORIZED, "{wrong}");
        }
        assert_eq!(status(&[host]).await, StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn a_rebound_name_is_refused_even_with_the_token() {
        let bearer = format!("Bearer {TOKEN}");
        for host in [
            "evil.example",
            "evil.example:4601",
            "127.0.0.1.evil.example",
            "10.0.0.1:4601",
            "localhost.evil",
        ] {
            let answer = status(&[("host", host), ("authorization", &bearer)]).await;
            assert_eq!(answer, StatusCode::BAD_REQUEST, "{host}");
        }
        for host in ["localhost:1", "LOCALHOST", "[::1]:4601", "127.0.0.1"] {
            assert_eq!(
                status(&[("host", host), ("authorization", &bearer)]).await,
                StatusCode::OK,
                "{host}"
            );
        }
    }

    #[tokio::test]
    async fn a_web_page_of_another_origin_is_refused() {
        let bearer = format!("Bearer {TOKEN}");
        let with = async |origin: &str| {
            let host = ("host", "127.0.0.1:4601");
            status(&[host, ("authorization", &bearer), ("origin", origin)]).await
        };
        assert_eq!(with("http://127.0.0.1:4601").await, StatusCode::OK);
        for origin in ["https://evil.example", "http://127.0.0.1:9999", "null"] {
            assert_eq!(with(origin).await, StatusCode::BAD_REQUEST, "{origin}");
        }
    }
}
