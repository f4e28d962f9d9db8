//! Starts, feeds, watches and ends isolated runner processes: one per loaded release.
//!
//! A [`Runner`] is a handle to the process, to which one request at a time is handed over; when the process
//! crashes, hangs or takes too much memory, the request that met this gets one error that names the release and
//! the cause, and the next request starts a new process, after a pause if it keeps happening. Large tensors
//! travel in an [`Arena`]. The isolation itself is made by `fieldmark-launcher` and the runners (see their
//! documentation); this crate decides how much a process may use and for how long, and links no framework.
//!
//! It does not batch, does not know manifests, and trusts nothing a runner sends: every frame is bounded, every
//! offset is checked, and texts are stripped of control characters.
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

mod arena;
mod backoff;
mod cgroup;
mod config;
#[doc(hidden)]
pub mod decoders;
mod error;
mod frame;
mod input;
mod lane;
mod launch;
mod layer;
mod limits;
mod probe;
mod process;
mod runner;
mod sample;
mod status;
mod tensor;
mod watch;

pub use arena::{Arena, OutsideRegion, Region};
pub use config::{Isolation, PythonRelease, RunnerSpec, Runtime, SupervisorConfig};
pub use error::{ConfigError, InferError, ProbeError, StartError};
pub use fieldmark_proto::v1::{RunnerFailureCode as FailureCode, Tensor};
pub use input::{Content, Input, Output};
pub use lane::Answer;
pub use layer::LayerProbe;
pub use limits::{Device, Limits, NoDevice};
pub use probe::probe_isolation;
pub use runner::{Runner, Turn};
pub use status::{EscapeCheck, Pause, RunnerState, RunnerStatus};
pub use tensor::{TensorError, tensor_f32, tensor_texts, tensor_values_f32};
