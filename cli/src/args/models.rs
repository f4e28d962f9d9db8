//! Arguments of the commands that work on package folders.

use std::path::PathBuf;

use clap::Args;
use fieldmark_node_data::Range;
use fieldmark_package::{Allowance, Bytes, Place};

use super::IsolationArg;

/// With what a package is run.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunnerArgs {
    /// Interpreter of python packages, a name on the PATH or a path
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub(crate) python: PathBuf,
    /// Whether the model runs isolated; `off` lets it do whatever you can do
    #[arg(long, value_enum, default_value = "required")]
    pub(crate) isolation: IsolationArg,
    /// Most memory of one runner, such as 512MiB or 4GiB [default: 2GiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<Bytes>,
    /// Threads within one operation of a model [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) threads: Option<u32>,
    /// Where models compute: cpu, cuda:0, … [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<Place>,
    /// Most memory of the GPU for one runner, such as 4GiB [default: all there is]
    #[arg(long, value_name = "SIZE")]
    pub(crate) gpu_memory: Option<Bytes>,
}

impl RunnerArgs {
    /// What a release may use, where these options say something.
    pub(crate) fn allowance(&self) -> Allowance {
        Allowance {
            memory: self.memory,
            threads: self.threads,
            device: self.device,
            gpu_memory: self.gpu_memory,
            ..Allowance::default()
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct InitModel {
    /// TorchScript file, ONNX file, or folder with predict.py
    #[arg(long, value_name = "PATH")]
    pub(crate) from: PathBuf,
    /// Folder to start [default: one of the file's name here, or the folder itself]
    pub(crate) dir: Option<PathBuf>,
    /// Only read the artifact; run nothing to find out shapes
    #[arg(long)]
    pub(crate) no_run: bool,
    #[command(flatten)]
    pub(crate) runner: RunnerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Pack {
    /// Folder with fieldmark.toml, README.md and the model's files
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) runner: RunnerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RunPackage {
    /// Package folder
    #[arg(value_name = "DIR")]
    pub(crate) package: PathBuf,
    /// .json with arrays by input name, .npy, .csv with one row per line, a picture (.png, .jpg, .bmp, .webp), or
    /// for a model of texts a file with one text per line [default: the package's sample]
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// What black to white become when the input is a picture, such as 0..16 [default: 0..1, or 0..255 for whole
    /// numbers]
    #[arg(long, value_name = "LOW..HIGH", value_parser = range, allow_hyphen_values = true, requires = "input")]
    pub(crate) range: Option<Range>,
    #[command(flatten)]
    pub(crate) runner: RunnerArgs,
}

/// Parses `0..16`.
pub(crate) fn range(text: &str) -> Result<Range, String> {
    let ends = text.split_once("..").and_then(|(low, high)| {
        let (low, high): (f32, f32) = (low.parse().ok()?, high.parse().ok()?);
        (low < high && low.is_finite() && high.is_finite()).then_some(Range { low, high })
    });
    ends.ok_or_else(|| "write LOW..HIGH, such as 0..16".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_two_ends_in_order() {
        let (low, high) = (-1.0, 16.0);
        assert_eq!(range("-1..16"), Ok(Range { low, high }));
        for wrong in ["3", "5..1", "a..b", "0..inf"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }
}
