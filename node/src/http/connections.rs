//! A listener that bounds how many connections are open, and ends idle ones of other machines.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Most connections open at a time; the next waits.
const CONNECTIONS_MAX: usize = 256;
/// Longest silence of a connection that is not from this machine.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// The bounded listener.
pub(super) struct Connections {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    /// Programs of this machine may wait long for one answer, such as a pull.
    idle: Option<Duration>,
}

impl Connections {
    pub(super) fn new(listener: TcpListener) -> Self {
        let loopback = listener
            .local_addr()
            .is_ok_and(|address| address.ip().is_loopback());
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self {
            listener,
            slots,
            idle: (!loopback).then_some(IDLE_MAX),
        }
    }
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed; without a permit the connection would merely not be counted.
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let idle = self
            .idle
            .map(|limit| (limit, Box::pin(tokio::time::sleep(limit))));
        (
            Connection {
                stream,
                idle,
                _slot: slot,
            },
            address,
        )
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that gives its slot back when it ends.
pub(super) struct Connection {
    stream: TcpStream,
    idle: Option<(Duration, Pin<Box<Sleep>>)>,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Puts off the end of an idle connection.
    fn moved(&mut self) {
        if let Some((limit, sleep)) = &mut self.idle {
            sleep.as_mut().reset(Instant::now() + *limit);
        }
    }

    fn timed_out(&mut self, context: &mut Context<'_>) -> bool {
        self.idle
            .as_mut()
            .is_some_and(|(_, sleep)| sleep.as_mut().poll(context).is_ready())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_ready() {
            self.moved();
        } else if self.timed_out(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if polled.is_ready() {
            self.moved();
        } else if self.timed_out(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
