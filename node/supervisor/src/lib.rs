//! Starts, feeds, watches and ends isolated runner processes: one per loaded release.
//!
//! A [`Runner`] is a handle to a task that owns the process. It hands over one request at a time; when the
//! process crashes, hangs or takes too much memory, the request that met this gets one error that names the
//! release and the cause, and the next request starts a new process, after a pause if it keeps happening.
//! The isolation itself is made by `fieldmark-launcher` and `fieldmark-runner` (see their documentation);
//! this crate decides how much a process may use and for how long, and links no libtorch.
//!
//! It does not batch, does not know manifests, and trusts nothing a runner sends: every frame is bounded, and
//! texts are stripped of control characters.
//!
//! ```no_run
//! use fieldmark_supervisor::{Runner, RunnerSpec, SupervisorConfig, tensor_f32};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = SupervisorConfig::beside_current_exe()?;
//! let spec = RunnerSpec::new("digits-cnn@1.0.0", "digits/model.pt").outputs(["logits"]);
//! let runner = Runner::start(&config, spec).await?;
//! let logits = runner.infer(vec![tensor_f32("image", &[1, 64], &[0.0; 64])]).await?;
//! assert_eq!(logits[0].shape, [1, 10]);
//! runner.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod actor;
mod backoff;
mod config;
#[doc(hidden)]
pub mod decoders;
mod error;
mod frame;
mod launch;
mod probe;
mod process;
mod runner;
mod sample;
mod tensor;

pub use config::{Isolation, RunnerSpec, SupervisorConfig};
pub use error::{ConfigError, InferError, ProbeError, StartError};
pub use fieldmark_proto::v1::{RunnerFailureCode as FailureCode, Tensor};
pub use probe::{LayerProbe, probe_isolation};
pub use runner::{EscapeCheck, Runner, RunnerState, RunnerStatus};
pub use tensor::{TensorError, tensor_f32, tensor_texts, tensor_values_f32};
