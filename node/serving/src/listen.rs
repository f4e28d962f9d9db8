//! A socket with a bound on connections, on the time for a request's head, and a graceful end.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use crate::ServerOptions;

/// Most bytes read at once from an HTTP/1.1 connection; a head must fit. Small enough for the allocator to keep for the
/// next read, and for the processor's cache.
const BUFFER_BYTES: usize = 64 * 1024;
/// Most bytes of the header fields of a request over HTTP/2.
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;
/// What an HTTP/2 client sends first.
const PREFACE_BYTES: usize = 24;
/// Pause between two looks for it.
const PREFACE_PAUSE: Duration = Duration::from_millis(10);
/// Most header fields of a request.
const HEADERS_MAX: usize = 128;
/// Most streams of one HTTP/2 connection at a time.
const STREAMS_MAX: u32 = 256;
/// Bytes that may be on their way to this server on one HTTP/2 stream, and twice that on a connection.
const WINDOW_BYTES: u32 = 4 << 20;
/// How often a silent HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Pause after a connection could not be accepted: too many files are open, for one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Tells servers to stop. Clones tell the same servers.
#[derive(Debug, Clone)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stop {
    /// Stops every server that was started with this: no new connection is taken, requests that were begun
    /// are answered.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn wait(&self) {
        let mut told = self.0.subscribe();
        // The sender is in `self`, so it is not gone.
        let _ = told.wait_for(|stop| *stop).await;
    }
}

/// A router and how it is spoken to.
#[derive(Debug, Clone)]
pub struct Face {
    /// Its paths.
    pub router: Router,
    /// Over HTTP/2 alone, as gRPC needs it; otherwise over HTTP/1.1 alone.
    pub http2: bool,
}

/// Serves a face (see [`crate::rest::face`] and [`crate::grpc::face`]) until told to stop; returns once every
/// request that was begun is answered, or the time for that is over.
pub async fn serve(listener: TcpListener, face: Face, options: &ServerOptions, stop: Stop, drain: Duration) {
    let slots = Arc::new(Semaphore::new(options.connections_max.max(1)));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.wait() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (face, stop, options) = (face.clone(), stop.clone(), options.clone());
                connections.spawn(async move {
                    let _slot = slot;
                    connection(stream, face, &options, &stop).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(drain, ended).await.is_err() {
        tracing::warn!(
            left = connections.len(),
            "connections were still open when the time to drain ended"
        );
        connections.shutdown().await;
    }
}

async fn connection(stream: TcpStream, face: Face, options: &ServerOptions, stop: &Stop) {
    // Answers are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let Face { router, http2 } = face;
    let head = options.head_timeout;
    let speaks = async { !http2 || prefaced(&stream, head).await };
    let speaks = tokio::select! {
        biased;
        speaks = speaks => speaks,
        () = stop.wait() => false,
    };
    if !speaks {
        return;
    }
    let service = service_fn(move |request: Request<Incoming>| answer(router.clone(), request));
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(BUFFER_BYTES)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(2 * WINDOW_BYTES)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    let builder = if http2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    };
    // A client that does not read on would keep its answer in memory.
    let mut stream = Box::pin(TimeoutStream::new(stream));
    stream
        .as_mut()
        .set_write_timeout_pinned(Some(options.body_timeout));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.wait() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "a connection ended early");
    }
}

/// Whether a client sends as much as an HTTP/2 preface in time. What it sends is left to be read.
async fn prefaced(stream: &TcpStream, within: Duration) -> bool {
    let looking = async {
        let mut seen = [0; PREFACE_BYTES];
        loop {
            match stream.peek(&mut seen).await {
                Ok(0) | Err(_) => return false,
                Ok(PREFACE_BYTES) => return true,
                Ok(_) => tokio::time::sleep(PREFACE_PAUSE).await,
            }
        }
    };
    tokio::time::timeout(within, looking).await.unwrap_or(false)
}

fn answer(
    router: Router,
    request: Request<Incoming>,
) -> impl Future<Output = Result<axum::response::Response, Infallible>> {
    router.oneshot(request.map(Body::new))
}
