//! The memory that the bodies of all requests take at once, and the part of it that one of them holds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Failure;

/// Bytes that are counted as one.
const PAGE_BYTES: usize = 4096;
/// When another try is worth it.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// The memory of all bodies. Clones are the same memory.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    pages: Arc<Semaphore>,
}

impl Memory {
    pub(crate) fn new(bytes: usize) -> Self {
        let pages = bytes.div_ceil(PAGE_BYTES).min(Semaphore::MAX_PERMITS);
        Self {
            pages: Arc::new(Semaphore::new(pages)),
        }
    }

    /// The part of one body, of which nothing has arrived.
    pub(crate) fn part(&self) -> Part {
        Part {
            memory: self.clone(),
            held: None,
        }
    }
}

/// What one body holds of the memory; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Part {
    memory: Memory,
    held: Option<OwnedSemaphorePermit>,
}

impl Part {
    /// Holds so many bytes from now on, more or fewer than before.
    ///
    /// # Errors
    /// If other bodies take all of it.
    pub(crate) fn set(&mut self, bytes: usize) -> Result<(), Failure> {
        let wanted = bytes.div_ceil(PAGE_BYTES);
        let had = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if wanted > had {
            let more = u32::try_from(wanted - had).unwrap_or(u32::MAX);
            let more = Arc::clone(&self.memory.pages)
                .try_acquire_many_owned(more)
                .map_err(|_| {
                    let message = "other requests take all memory that this server gives to their bodies";
                    Failure::unavailable(message, FULL_PAUSE)
                })?;
            match &mut self.held {
                Some(held) => held.merge(more),
                None => self.held = Some(more),
            }
        } else if let Some(held) = &mut self.held {
            // What is split off is given back.
            drop(held.split(had - wanted));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_steps_take_no_more_than_their_sum() {
        let memory = Memory::new(8 * PAGE_BYTES);
        let mut part = memory.part();
        for bytes in 1..=2 * PAGE_BYTES {
            part.set(bytes).unwrap();
        }
        assert_eq!(memory.pages.available_permits(), 6);
        part.set(1).unwrap();
        assert_eq!(memory.pages.available_permits(), 7);
        let mut other = memory.part();
        other.set(7 * PAGE_BYTES).unwrap();
        assert!(part.set(PAGE_BYTES + 1).is_err());
        drop(other);
        part.set(8 * PAGE_BYTES).unwrap();
        part.set(0).unwrap();
        assert_eq!(memory.pages.available_permits(), 8);
    }
}
