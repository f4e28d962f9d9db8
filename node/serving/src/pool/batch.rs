//! Requests that run at once: their inputs below each other, and the outputs taken apart again.

use std::time::Instant;

use fieldmark_tensors::TensorError;

use super::pending::{Pending, rows_of};
use crate::Tensor;
use crate::tensor::concatenate;

/// Requests that run at once. Never empty.
#[derive(Debug)]
pub(super) struct Batch {
    first: Pending,
    more: Vec<Pending>,
    rows: usize,
    limit: usize,
}

impl Batch {
    pub(super) fn new(first: Pending, limit: usize) -> Self {
        Self {
            rows: first.rows,
            limit: if first.joinable { limit } else { 0 },
            more: Vec::new(),
            first,
        }
    }

    /// When the first of it arrived.
    pub(super) fn arrived(&self) -> Instant {
        self.first.arrived
    }

    /// Whether another record could run with it.
    pub(super) fn has_room(&self) -> bool {
        self.rows < self.limit
    }

    /// Whether a request can run with it: as many inputs, equal in all but their first size.
    pub(super) fn takes(&self, other: &Pending) -> bool {
        let alike = |a: &Tensor, b: &Tensor| {
            a.name == b.name && a.datatype == b.datatype && a.shape.get(1..) == b.shape.get(1..)
        };
        other.joinable
            && self.rows + other.rows <= self.limit
            && self.first.inputs.len() == other.inputs.len()
            && self
                .first
                .inputs
                .iter()
                .zip(&other.inputs)
                .all(|(a, b)| alike(a, b))
    }

    pub(super) fn add(&mut self, pending: Pending) {
        self.rows += pending.rows;
        self.more.push(pending);
    }

    /// Its requests, in order.
    pub(super) fn into_requests(self) -> Vec<Pending> {
        let mut requests = self.more;
        requests.insert(0, self.first);
        requests
    }
}

/// The inputs of requests below each other; those of one alone are taken out of it.
pub(super) fn join(requests: &mut [Pending]) -> Result<Vec<Tensor>, TensorError> {
    if let [one] = requests {
        return Ok(std::mem::take(&mut one.inputs));
    }
    let Some((first, more)) = requests.split_first() else {
        return Ok(Vec::new());
    };
    let joined = first.inputs.iter().enumerate().map(|(place, input)| {
        let others = more.iter().filter_map(|request| request.inputs.get(place));
        let parts = std::iter::once(input).chain(others).cloned().collect();
        concatenate(&input.name, parts)
    });
    joined.collect()
}

/// Outputs by request; `None` if one does not have as many records as the inputs.
pub(super) fn split(outputs: &[Tensor], rows: &[usize]) -> Option<Vec<Vec<Tensor>>> {
    let all = rows.iter().sum::<usize>();
    if outputs
        .iter()
        .any(|output| rows_of(std::slice::from_ref(output)) != Some(all))
    {
        return None;
    }
    let mut from = 0;
    let mut parts = Vec::with_capacity(rows.len());
    for rows in rows {
        let to = from + rows;
        parts.push(
            outputs
                .iter()
                .map(|output| output.rows(from, to))
                .collect::<Option<Vec<_>>>()?,
        );
        from = to;
    }
    Some(parts)
}
