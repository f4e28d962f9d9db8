//! Arguments of the commands that work on package folders.

use std::path::PathBuf;

use clap::Args;

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
    #[command(flatten)]
    pub(crate) runner: RunnerArgs,
}
