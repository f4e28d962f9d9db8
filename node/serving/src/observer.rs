//! What the surroundings of a server may add: where models come from, and who looks at the answers.

use std::fmt;
use std::pin::Pin;

use crate::{Failure, Servable, Tensor};

/// Looks at the answers of one version, as long as that is served.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// A request was answered: its inputs and all outputs, in the model's order. Called on the request's own
    /// task before the answer leaves: it must not block.
    fn answered(&self, inputs: &[Tensor], outputs: &[Tensor]);

    /// What it has to say, for the owner of the server; null for nothing.
    fn notes(&self) -> serde_json::Value;
}

/// The future of a catalog's answer.
pub type Offered<'a> = Pin<Box<dyn Future<Output = Result<Vec<Servable>, Failure>> + Send + 'a>>;

/// Where models come from when one is to be loaded.
pub trait Catalog: Send + Sync + 'static {
    /// Every version of a model that should be served now, as it is found now.
    ///
    /// # Errors
    /// [`Failure`] of kind not found for a model that is not known, and for one that cannot be served.
    fn offer<'a>(&'a self, model: &'a str) -> Offered<'a>;

    /// Names of the models that are known, loaded or not.
    fn names(&self) -> Vec<String>;
}
