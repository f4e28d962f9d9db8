//! `fieldmark dataset`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::text;

#[derive(Debug, Args)]
pub(crate) struct Dataset {
    #[command(subcommand)]
    pub(crate) action: DatasetAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DatasetAction {
    /// Tell the node of a dataset; the data stays where it is
    #[command(
        after_help = "Examples:\n  fieldmark dataset add ward-7.csv --name ward-7 --epsilon 4\n  fieldmark dataset add lab.csv --name lab --epsilon 4 --order 8\n  fieldmark dataset add till.parquet --name till --attributes hour --slice \"night=hour >= 20 or hour < 6\"\n  fieldmark dataset add photos/ --name photos --size 8x8 --channels 1 --severity-of low-light=3,blur=2"
    )]
    Add(DatasetAdd),
    /// Check a dataset and say what it holds; needs no node
    #[command(after_help = "Example:\n  fieldmark dataset check ward-7.csv --labels 0,1,2 --range 0..16")]
    Check(DatasetCheck),
    /// List the datasets
    #[command(after_help = "Example:\n  fieldmark dataset list")]
    List,
    /// Write corrupted views of every record to a file; the guide on datasets lists the corruptions
    #[command(
        after_help = "Example:\n  fieldmark dataset views digits.csv --out ward-7.csv --clean --max 16 \\\n    --severity-of low-light=3,blur=2,occlusion=3,sensor-noise=2"
    )]
    Views(Views),
}

/// How a dataset is read.
#[derive(Debug, Args)]
pub(crate) struct Reading {
    /// What a label is: class, value (a number) or preference (a, b or tie)
    #[arg(long, value_name = "KIND", default_value = "class")]
    pub(crate) target: String,
    /// Columns that are no features, beside those called attr.NAME
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub(crate) attributes: Vec<String>,
    /// Labels there may be [default: any]
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    pub(crate) labels: Vec<String>,
    /// Bounds of every feature, such as 0..16; images are scaled to them [default for images: 0..1]
    #[arg(long, value_name = "LOW..HIGH", allow_hyphen_values = true)]
    pub(crate) range: Option<String>,
    /// What stands for a missing feature [default: it is an error]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) fill: Option<f32>,
    /// Size of the images, such as 8x8 [default: that of the first, or a square]
    #[arg(long, value_name = "WxH")]
    pub(crate) size: Option<String>,
    /// 1 for grey images, 3 for colour [default: as the first image, or 1]
    #[arg(long, value_name = "N")]
    pub(crate) channels: Option<usize>,
    /// Slice of which others are made [default: clean, or the only one]
    #[arg(long, value_name = "SLICE")]
    pub(crate) base: Option<String>,
    /// A slice of the records for which a condition holds; may be given several times
    #[arg(long, value_name = "NAME=CONDITION")]
    pub(crate) slice: Vec<String>,
    /// Slices of corrupted views with severities 1 to 5, such as low-light=3,dusk:low-light=1
    #[arg(long, value_name = "[SLICE:]NAME=N", value_delimiter = ',')]
    pub(crate) severity_of: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DatasetAdd {
    /// .csv, .parquet or .npz with record_id, label and features, or a folder of images
    pub(crate) file: PathBuf,
    /// Its name
    #[arg(long)]
    pub(crate) name: String,
    /// The data source whose budget it spends [default: the name]
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// ε of a new source's budget [default: 4]
    #[arg(long, value_parser = text::finite)]
    pub(crate) epsilon: Option<f64>,
    /// δ of a new source's budget [default: 0.000001]
    #[arg(long, value_parser = text::finite)]
    pub(crate) delta: Option<f64>,
    /// Rényi order that a new source's budget is kept at, for ever [default: zCDP, every order at once]
    #[arg(long, value_name = "ALPHA", value_parser = text::finite)]
    pub(crate) order: Option<f64>,
    #[command(flatten)]
    pub(crate) reading: Reading,
}

#[derive(Debug, Args)]
pub(crate) struct DatasetCheck {
    /// .csv, .parquet or .npz with record_id, label and features, or a folder of images
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) reading: Reading,
}

#[derive(Debug, Args)]
pub(crate) struct Views {
    /// As for `dataset add`
    pub(crate) file: PathBuf,
    /// CSV file to write; must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Write the views that are in the file too
    #[arg(long)]
    pub(crate) clean: bool,
    /// Width of the images [default: they are square]
    #[arg(long)]
    pub(crate) width: Option<usize>,
    /// Largest value a feature can have; short for --range 0..N
    #[arg(long, value_name = "N", conflicts_with = "range")]
    pub(crate) max: Option<f32>,
    #[command(flatten)]
    pub(crate) reading: Reading,
}
