//! A server over HTTP/1.1 with kept connections: each request is the same bytes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;

use crate::System;

/// Longest time for one answer. A server that takes connections and never answers must end a run, not hang it.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// An address that cannot be asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HttpError {
    /// No address of the form `http://HOST:PORT/PATH`.
    #[error("'{0}' is not an address of the form http://HOST:PORT/PATH")]
    Address(String),
}

/// What is sent.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where, as `http://HOST:PORT/PATH`.
    pub url: String,
    /// Header fields beyond the usual.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// A server that is sent one message over and over. As many connections are opened as are needed at a time,
/// and kept.
#[derive(Debug)]
pub struct HttpSystem {
    message: Message,
    uri: Uri,
    address: String,
    answer_max: Duration,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl HttpSystem {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// [`HttpError`] when the address is none.
    pub fn new(message: Message) -> Result<Self, HttpError> {
        let refused = || HttpError::Address(message.url.clone());
        let uri: Uri = message.url.parse().map_err(|_| refused())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"));
        let port = authority.and_then(|a| a.port_u16()).unwrap_or(80);
        let host = authority.map(|a| a.host()).ok_or_else(refused)?;
        Ok(Self {
            address: format!("{host}:{port}"),
            answer_max: ANSWER_MAX,
            idle: Mutex::default(),
            uri,
            message,
        })
    }

    /// Sends the message and returns the answer's body.
    ///
    /// # Errors
    /// When there is no connection, the status is no success, or no answer comes for a minute; one line for a person.
    pub async fn answer(&self) -> Result<Bytes, String> {
        let answer = tokio::time::timeout(self.answer_max, self.exchange()).await;
        answer.unwrap_or_else(|_| {
            let seconds = self.answer_max.as_secs_f64();
            Err(format!("{}: no answer within {seconds} s", self.address))
        })
    }

    async fn exchange(&self) -> Result<Bytes, String> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match kept.filter(|kept| !kept.is_closed()) {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::post(path).header("host", &self.address);
        for (name, value) in &self.message.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(self.message.body.clone()))
            .map_err(|e| e.to_string())?;
        connection.ready().await.map_err(|e| e.to_string())?;
        let answer = connection
            .send_request(request)
            .await
            .map_err(|e| e.to_string())?;
        let status = answer.status();
        let body = answer
            .into_body()
            .collect()
            .await
            .map_err(|e| e.to_string())?
            .to_bytes();
        if !status.is_success() {
            let text: String = String::from_utf8_lossy(&body).chars().take(200).collect();
            return Err(format!("{status}: {text}"));
        }
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        Ok(body)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", self.address);
        let stream = TcpStream::connect(&self.address).await.map_err(|e| failed(&e))?;
        stream.set_nodelay(true).map_err(|e| failed(&e))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| failed(&e))?;
        // How a connection ends is seen by whoever uses it next.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}

impl System for HttpSystem {
    async fn ask(&self) -> Result<(), String> {
        self.answer().await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn system(url: &str) -> Result<HttpSystem, HttpError> {
        HttpSystem::new(Message {
            url: url.to_owned(),
            headers: Vec::new(),
            body: Bytes::from_static(b"{}"),
        })
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in ["127.0.0.1:80", "https://localhost/", "http://", "what is this"] {
            assert!(system(url).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_a_refusal_is_told() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let system = system(&format!("http://{}/x", listener.local_addr().unwrap())).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for status in ["200 OK", "429 Too Many Requests"] {
                let mut request = [0; 512];
                let read = stream.read(&mut request).await.unwrap();
                assert!(request[..read].starts_with(b"POST /x HTTP/1.1"));
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 4\r\n\r\nbusy");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        assert_eq!(system.ask().await, Ok(()));
        let refused = system.ask().await.unwrap_err();
        assert!(refused.contains("429") && refused.contains("busy"), "{refused}");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut system = system(&format!("http://{}/x", listener.local_addr().unwrap())).unwrap();
        system.answer_max = Duration::from_millis(50);
        let refused = system.ask().await.unwrap_err();
        assert!(refused.contains("no answer within 0.05 s"), "{refused}");
    }
}
