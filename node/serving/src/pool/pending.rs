//! A request that waits for a runner.

use std::time::Instant;

use tokio::sync::oneshot;

use super::Reply;
use crate::Tensor;

/// A request that waits.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) inputs: Vec<Tensor>,
    /// Records, if inputs and outputs have as many; 1 otherwise.
    pub(super) rows: usize,
    /// Whether it may run with others.
    pub(super) joinable: bool,
    pub(super) arrived: Instant,
    pub(super) reply: oneshot::Sender<Reply>,
}

impl Pending {
    /// `by_record` says whether the first size of every tensor is the number of records.
    pub(super) fn new(inputs: Vec<Tensor>, by_record: bool, reply: oneshot::Sender<Reply>) -> Self {
        let rows = rows_of(&inputs).filter(|rows| by_record && *rows > 0);
        Self {
            inputs,
            rows: rows.unwrap_or(1),
            joinable: rows.is_some(),
            arrived: Instant::now(),
            reply,
        }
    }
}

/// Records of inputs that all have as many; `None` if they differ, or one has no dimensions.
pub(super) fn rows_of(tensors: &[Tensor]) -> Option<usize> {
    let mut sizes = tensors.iter().map(|tensor| tensor.shape.first());
    let first = sizes.next()??;
    if sizes.any(|size| size != Some(first)) {
        return None;
    }
    usize::try_from(*first).ok()
}
