//! What long work says while it goes on, for whoever shows it.

use std::fmt;
use std::sync::Arc;

type Show = dyn Fn(&str) + Send + Sync;

/// Takes one line at a time; [`Progress::default`] forgets them.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<Show>>);

impl Progress {
    /// Hands every line to `show`.
    pub fn new(show: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(show)))
    }

    /// Says what is going on.
    pub fn say(&self, line: &str) {
        if let Some(show) = &self.0 {
            show(line);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress")
            .field("shown", &self.0.is_some())
            .finish()
    }
}
