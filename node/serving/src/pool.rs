//! The runners of one model version, and the bounded queue in front of them.
//!
//! Each runner has a task that takes what waits, puts it together where that is allowed, and hands it over.
//! Where nothing is put together, a second task per runner has the next request ready when the first comes
//! back. A request whose client left is dropped while it waits; one that runs is run to its end.

mod batch;
mod pending;
mod queue;
mod replica;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use fieldmark_supervisor::{Arena, Runner, RunnerSpec, RunnerStatus};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::request::declared;
use crate::statistics::{Statistics, Timing};
use crate::{Failure, Servable, Tensor};
use pending::Pending;
use queue::Queue;
use replica::Replica;

/// An answer of a runner, and how long its parts took.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) outputs: Vec<Tensor>,
    pub(crate) rows: usize,
    pub(crate) timing: Timing,
}

/// What comes back for a request.
pub(crate) type Reply = Result<Ran, Failure>;

/// A model's runners.
#[derive(Debug)]
pub(crate) struct Pool {
    queue: Arc<Queue>,
    runners: Vec<Runner>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    arena: Option<Arena>,
    /// Whether the first size of every tensor is the number of records.
    by_record: bool,
}

impl Pool {
    /// Starts every runner and warms it up.
    ///
    /// # Errors
    /// If a runner does not start, or fails on the warm-up.
    pub(crate) async fn start(
        servable: &Arc<Servable>,
        statistics: &Arc<Statistics>,
    ) -> Result<Self, Failure> {
        let count = servable.options.replicas.max(1);
        let (arena, mut spec) = (shared_memory(servable), servable.spec.clone());
        spec.arena.clone_from(&arena);
        let starting = (0..count).map(|_| Box::pin(started(servable, spec.clone())));
        let runners = futures::future::try_join_all(starting).await?;
        let queue = Arc::new(Queue::new(servable, count));
        let lanes = if servable.batch_max() > 1 { 1 } else { 2 };
        let mut tasks = Vec::new();
        for runner in &runners {
            let replica = Replica::new(runner.clone(), servable, &queue, statistics);
            for _ in 0..lanes {
                tasks.push(tokio::spawn(Arc::clone(&replica).run()));
            }
        }
        Ok(Self {
            queue,
            runners,
            tasks: Mutex::new(tasks),
            arena,
            by_record: servable.is_by_record(),
        })
    }

    /// Puts a request into the queue. Dropping the receiver takes it out again.
    ///
    /// # Errors
    /// If the queue is full.
    pub(crate) fn submit(&self, inputs: Vec<Tensor>) -> Result<oneshot::Receiver<Reply>, Failure> {
        let (reply, answer) = oneshot::channel();
        let inputs = inputs
            .into_iter()
            .map(|input| input.share(self.arena.as_ref()))
            .collect();
        self.queue.push(Pending::new(inputs, self.by_record, reply))?;
        Ok(answer)
    }

    /// Drops requests that nobody waits for any more.
    pub(crate) fn prune(&self) {
        self.queue.prune();
    }

    /// Memory that all runners of the model share with the server, for large tensors.
    pub(crate) fn arena(&self) -> Option<&Arena> {
        self.arena.as_ref()
    }

    /// Requests that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Whether a runner is there that is not waiting after failures. One whose wait is over is: the next request
    /// starts it.
    pub(crate) fn is_healthy(&self) -> bool {
        let now = Instant::now();
        let waits = |runner: &Runner| runner.status().pause.is_some_and(|pause| pause.until > now);
        !self.runners.iter().all(waits)
    }

    /// What the runners are doing.
    pub(crate) fn status(&self) -> Vec<RunnerStatus> {
        self.runners.iter().map(Runner::status).collect()
    }

    /// Runs what waits, then ends the runners.
    pub(crate) async fn close(&self) {
        self.queue.close();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            // A task that panicked has ended as well; its runner is ended below.
            let _ = task.await;
        }
        futures::future::join_all(self.runners.iter().cloned().map(Runner::shutdown)).await;
    }
}

/// Memory for large tensors: addresses, which take no memory until they are used.
fn shared_memory(servable: &Servable) -> Option<Arena> {
    if let Some(arena) = &servable.spec.arena {
        return Some(arena.clone());
    }
    match Arena::new(Arena::BYTES_DEFAULT) {
        Ok(arena) => Some(arena),
        Err(error) => {
            tracing::warn!(release = %servable.title(), %error, "no shared memory; large tensors travel in frames");
            None
        }
    }
}

/// One runner, started and warmed up.
async fn started(servable: &Arc<Servable>, spec: RunnerSpec) -> Result<Runner, Failure> {
    let runner = Runner::start(&servable.config, spec).await?;
    if servable.options.warm_up.is_empty() {
        return Ok(runner);
    }
    let warm = warm_up(servable, &runner).await;
    if let Err(failure) = warm {
        runner.shutdown().await;
        return Err(failure);
    }
    Ok(runner)
}

async fn warm_up(servable: &Servable, runner: &Runner) -> Result<(), Failure> {
    let fail = |cause: &dyn std::fmt::Display| {
        let title = servable.title();
        Failure::new(
            crate::Kind::Internal,
            format!("release {title}: its run on the sample failed: {cause}"),
        )
    };
    let outputs = replica::ask(runner, servable.options.warm_up.clone()).await;
    let outputs = outputs.map_err(|failure| fail(&failure))?;
    declared(servable, outputs).map_err(|failure| fail(&failure))?;
    Ok(())
}
