//! The handle to a running release.
//!
//! Whoever has a request waits for the runner's lane and then makes the exchange itself: no task lies in
//! between. A caller that goes away in the middle of it leaves the exchange to finish in a task of its own, so
//! that the socket never holds half a frame.

use crate::input::Input;
use crate::lane::{Answer, Lane};
use crate::status::Board;
use crate::{EscapeCheck, InferError, RunnerSpec, RunnerStatus, StartError, SupervisorConfig, Tensor};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// A loaded release in an isolated process of its own. Clones share the process; it ends with the last one.
#[derive(Debug, Clone)]
pub struct Runner {
    lane: Arc<Mutex<Lane>>,
    board: Board,
}

impl Runner {
    /// Starts a process, isolates it and loads the release.
    ///
    /// # Errors
    /// If the process cannot be started or isolated, or the release cannot be loaded within the limits.
    pub async fn start(config: &SupervisorConfig, spec: RunnerSpec) -> Result<Self, StartError> {
        let limits = spec.limits.clone().unwrap_or_else(|| config.limits.clone());
        let board = Board::new(RunnerStatus {
            name: spec.name.clone(),
            runtime: spec.runtime.name(),
            limits: limits.clone(),
            ..RunnerStatus::default()
        });
        let lane = Box::pin(Lane::start(config.clone(), spec, limits, board.clone())).await?;
        Ok(Self {
            lane: Arc::new(Mutex::new(lane)),
            board,
        })
    }

    /// Runs the release once. Requests are answered in turn; the time limit counts from a request's own turn.
    ///
    /// # Errors
    /// If the request is wrong, or the process fails on it: see [`InferError`]. Other requests are unaffected.
    pub async fn infer(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, InferError> {
        let inputs = inputs.into_iter().map(Input::from).collect();
        let answer = self.forward(inputs).await?;
        Ok(answer.outputs.into_iter().map(Tensor::from).collect())
    }

    /// As [`Runner::infer`], with tensors in shared memory where they are large.
    ///
    /// # Errors
    /// As [`Runner::infer`]; also if a shared part is not of this release's arena.
    pub async fn forward(&self, inputs: Vec<Input>) -> Result<Answer, InferError> {
        self.turn().await.forward(inputs).await
    }

    /// Lets the isolated process try to break out in every way it knows, and reports each attempt.
    ///
    /// # Errors
    /// If the process fails, or runs without isolation.
    pub async fn self_test(&self) -> Result<Vec<EscapeCheck>, InferError> {
        let Turn(mut lane) = self.turn().await;
        to_the_end(async move { lane.self_test().await }).await
    }

    /// What the runner is doing, as last seen.
    pub fn status(&self) -> RunnerStatus {
        self.board.read()
    }

    /// Ends the process after the requests that already wait, for all clones of this handle. Returns once it
    /// is gone.
    pub async fn shutdown(self) {
        let Turn(mut lane) = self.turn().await;
        to_the_end(async move { lane.stop().await }).await;
    }

    /// Waits until it is this caller's turn; turns are taken in the order of arrival.
    pub async fn turn(&self) -> Turn {
        Turn(self.lane.clone().lock_owned().await)
    }
}

/// The right to ask a runner next; nobody else does while it is held.
#[derive(Debug)]
pub struct Turn(OwnedMutexGuard<Lane>);

impl Turn {
    /// As [`Runner::forward`].
    ///
    /// # Errors
    /// As [`Runner::forward`].
    pub async fn forward(self, inputs: Vec<Input>) -> Result<Answer, InferError> {
        let Self(mut lane) = self;
        to_the_end(async move { lane.infer(inputs).await }).await
    }
}

/// Runs `exchange`; if this future is dropped before it is done, the rest of it runs in a task of its own.
fn to_the_end<F>(exchange: F) -> ToTheEnd<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    ToTheEnd {
        exchange: Some(Box::pin(exchange)),
    }
}

struct ToTheEnd<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    exchange: Option<Pin<Box<F>>>,
}

impl<F> Future for ToTheEnd<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(exchange) = &mut self.exchange else {
            return Poll::Pending;
        };
        let output = ready!(exchange.as_mut().poll(context));
        self.exchange = None;
        Poll::Ready(output)
    }
}

impl<F> Drop for ToTheEnd<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn drop(&mut self) {
        // Without a runtime the exchange is dropped, and the process, which it holds, ends with it.
        if let (Some(exchange), Ok(runtime)) = (self.exchange.take(), Handle::try_current()) {
            runtime.spawn(exchange);
        }
    }
}
