//! What is going to happen, by time and then by the order in which it was planned.

use std::collections::BTreeMap;

/// A queue in virtual time. Two things planned for one millisecond happen in the order of planning.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    items: BTreeMap<(u64, u64), T>,
    next: u64,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self {
            items: BTreeMap::new(),
            next: 0,
        }
    }

    /// Plans `item` for `at`, in virtual milliseconds.
    pub(crate) fn plan(&mut self, at: u64, item: T) {
        self.items.insert((at, self.next), item);
        self.next += 1;
    }

    /// Takes the next thing with its time.
    pub(crate) fn pop(&mut self) -> Option<(u64, T)> {
        self.items.pop_first().map(|((at, _), item)| (at, item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_decides_and_then_the_order_of_planning() {
        let mut queue = Queue::new();
        for (at, name) in [(5, "c"), (3, "a"), (5, "d"), (3, "b")] {
            queue.plan(at, name);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [(3, "a"), (3, "b"), (5, "c"), (5, "d")]);
    }
}
