//! One runner of a pool: takes batches from the queue, runs them, and gives each request its part.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fieldmark_supervisor::{InferError, Runner, Turn};

use super::batch::{Batch, join, split};
use super::pending::Pending;
use super::queue::Queue;
use super::{Ran, Reply};
use crate::request::declared;
use crate::statistics::{Statistics, Timing};
use crate::tensor::returned;
use crate::{Failure, Kind, Servable, Tensor};

/// Longest time that a runner stays away from the queue after failures before it looks again.
const AWAY_MAX: Duration = Duration::from_secs(1);

/// A runner and what its tasks share.
#[derive(Debug)]
pub(super) struct Replica {
    runner: Runner,
    servable: Arc<Servable>,
    queue: Arc<Queue>,
    statistics: Arc<Statistics>,
    healthy: AtomicBool,
}

impl Replica {
    pub(super) fn new(
        runner: Runner,
        servable: &Arc<Servable>,
        queue: &Arc<Queue>,
        statistics: &Arc<Statistics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            runner,
            servable: Arc::clone(servable),
            queue: Arc::clone(queue),
            statistics: Arc::clone(statistics),
            healthy: AtomicBool::new(true),
        })
    }

    /// Runs batches until the queue is closed and empty.
    pub(super) async fn run(self: Arc<Self>) {
        while let Some(batch) = self.queue.next().await {
            self.run_batch(batch).await;
        }
    }

    async fn run_batch(&self, batch: Batch) {
        let mut requests = batch.into_requests();
        let taken = Instant::now();
        let inputs = match join(&mut requests) {
            Ok(inputs) => inputs,
            Err(error) => return fail_all(requests, &Failure::invalid(error)),
        };
        // Decided once: inputs that were not kept cannot be put back.
        let company = self.has_company();
        let kept = (requests.len() == 1 && company).then(|| inputs.clone());
        let joined = Instant::now();
        let turn = self.runner.turn().await;
        if requests.iter().all(|request| request.reply.is_closed()) {
            // Everybody has left while the one before ran.
            return;
        }
        let outcome = ask_in(turn, &self.runner, inputs).await;
        let came = Instant::now();
        match outcome {
            Ok(outputs) => {
                self.set_healthy(true);
                let timing = Timing {
                    queue: Duration::ZERO,
                    input: joined - taken,
                    infer: came - joined,
                    output: Duration::ZERO,
                };
                self.answer(requests, outputs, taken, timing);
            }
            Err(error @ (InferError::BackingOff { .. } | InferError::Restart { .. })) if company => {
                let pause = match error {
                    InferError::BackingOff { retry_in, .. } => retry_in.min(AWAY_MAX),
                    _ => AWAY_MAX,
                };
                self.set_healthy(false);
                if let ([one], Some(kept)) = (requests.as_mut_slice(), kept) {
                    one.inputs = kept;
                }
                self.queue.put_back(requests);
                tokio::time::sleep(pause).await;
            }
            Err(error) => self.failed(requests, error).await,
        }
    }

    /// Whether another runner could take what this one cannot, and the queue is still fed.
    fn has_company(&self) -> bool {
        let own = usize::from(self.healthy.load(Ordering::Acquire));
        let others = self.queue.healthy().saturating_sub(own);
        others > 0 && !self.queue.is_closed()
    }

    /// Gives each request its part of the outputs.
    fn answer(&self, requests: Vec<Pending>, outputs: Vec<Tensor>, taken: Instant, mut timing: Timing) {
        let started = Instant::now();
        let outputs = match declared(&self.servable, outputs) {
            Ok(outputs) => outputs,
            Err(failure) => return fail_all(requests, &failure),
        };
        let rows: Vec<usize> = requests.iter().map(|request| request.rows).collect();
        let parts = match requests.len() {
            1 => Some(vec![outputs]),
            _ => split(&outputs, &rows),
        };
        let Some(parts) = parts else {
            let title = self.servable.title();
            let all = rows.iter().sum::<usize>();
            let message = format!(
                "release {title}: it did not return {all} records for {all}, so its requests cannot be put \
                 together; serve it with at most 1 record at once"
            );
            return fail_all(requests, &Failure::new(Kind::Internal, message));
        };
        timing.output = started.elapsed();
        self.statistics.executed(rows.iter().sum(), timing);
        for (request, outputs) in requests.into_iter().zip(parts) {
            let timing = Timing {
                queue: taken.saturating_duration_since(request.arrived),
                ..timing
            };
            let rows = request.rows;
            // A client that left does not read its answer.
            let _ = request.reply.send(Ok(Ran {
                outputs,
                rows,
                timing,
            }));
        }
    }

    /// A batch failed. If it held several requests, each is run alone, so that one bad request fails alone.
    async fn failed(&self, requests: Vec<Pending>, error: InferError) {
        self.set_healthy(!matches!(
            error,
            InferError::BackingOff { .. } | InferError::Restart { .. }
        ));
        let again = matches!(
            error,
            InferError::Rejected { .. }
                | InferError::Crashed { .. }
                | InferError::MemoryExceeded { .. }
                | InferError::TooLarge { .. }
        );
        if requests.len() == 1 || !again {
            return fail_all(requests, &error.into());
        }
        for request in requests {
            if !request.reply.is_closed() {
                Box::pin(self.run_batch(Batch::new(request, 1))).await;
            }
        }
    }

    fn set_healthy(&self, healthy: bool) {
        if self.healthy.swap(healthy, Ordering::AcqRel) != healthy {
            self.queue.set_healthy(healthy);
        }
    }
}

fn fail_all(requests: Vec<Pending>, failure: &Failure) {
    for request in requests {
        let reply: Reply = Err(failure.clone());
        // A client that left does not read its answer.
        let _ = request.reply.send(reply);
    }
}

/// Runs inputs once.
pub(super) async fn ask(runner: &Runner, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, InferError> {
    ask_in(runner.turn().await, runner, inputs).await
}

/// Runs inputs once, in a turn of the runner's.
async fn ask_in(turn: Turn, runner: &Runner, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, InferError> {
    let answer = turn.forward(inputs.into_iter().map(Into::into).collect()).await?;
    let checked = answer
        .outputs
        .into_iter()
        .map(returned)
        .collect::<Result<Vec<_>, _>>();
    checked.map_err(|error| InferError::Rejected {
        name: runner.status().name,
        code: fieldmark_supervisor::FailureCode::Output,
        message: error.to_string(),
    })
}
