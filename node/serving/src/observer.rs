//! What the surroundings of a server may add: where models come from, and who looks at the answers.

use std::pin::Pin;
use std::time::Duration;

use fieldmark_tensors::Parameters;

use crate::{Failure, Servable, Tensor};

/// An answered request.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// The model.
    pub model: &'a str,
    /// The version that answered.
    pub version: &'a str,
    /// The id that the client gave; empty for none.
    pub id: &'a str,
    /// The inputs, in the model's order.
    pub inputs: &'a [Tensor],
    /// All outputs, in the model's order.
    pub outputs: &'a [Tensor],
    /// From arrival to answer.
    pub latency: Duration,
}

/// Told of each answered request, before the answer leaves. Called on the request's own task: it must not
/// block.
pub trait Observer: Send + Sync + 'static {
    /// A request was answered. What is returned is added to the answer's parameters.
    fn answered(&self, answered: &Answered<'_>) -> Parameters;

    /// What it has to say about a version, for the owner of the server; null for nothing.
    fn notes(&self, model: &str, version: &str) -> serde_json::Value {
        let _ = (model, version);
        serde_json::Value::Null
    }
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
