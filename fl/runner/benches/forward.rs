//! The forward of FP32[1,784] through a TorchScript archive, called in process: what serving is compared with.
//!
//! `cargo bench --profile dev -p fieldmark-runner --bench forward -- ARCHIVE` prints its median in microseconds.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench prints, and ends where it cannot go on"
)]

use std::time::Instant;

use anyhow::{Context as _, Result};
use tch::{CModule, Device, Kind, Tensor};

const WARM_UP: usize = 200;
const RUNS: usize = 5_000;

fn main() -> Result<()> {
    // Cargo adds an option of its own.
    let archive = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"));
    let module = CModule::load(archive.context("name a TorchScript archive")?)?;
    tch::set_num_threads(1);
    let _guard = tch::no_grad_guard();
    let input = [Tensor::f_rand([1, 784], (Kind::Float, Device::Cpu))?];
    let mut times = Vec::with_capacity(RUNS);
    for run in 0..WARM_UP + RUNS {
        let started = Instant::now();
        drop(module.forward_ts(&input)?);
        if run >= WARM_UP {
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
    }
    times.sort_by(f64::total_cmp);
    println!("{:.2}", times[RUNS / 2]);
    Ok(())
}
