//! A page for the owner of a server, made by whoever starts it.

use std::fmt;
use std::sync::Arc;

use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::response::{Html, IntoResponse, Response};

use crate::Snapshot;

type Render = dyn Fn(&Snapshot) -> String + Send + Sync;

/// Turns the state of a server into HTML. The document states its own Content-Security-Policy.
#[derive(Clone)]
pub struct Page(Arc<Render>);

impl Page {
    /// A page made by `render`.
    pub fn new(render: impl Fn(&Snapshot) -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(render))
    }

    pub(crate) fn answer(&self, snapshot: &Snapshot) -> Response {
        let headers = [(CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
        (headers, Html(self.0(snapshot))).into_response()
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page")
    }
}
