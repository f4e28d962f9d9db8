//! The command line that all runners share; the supervisor and the launcher write it.

use clap::{Args, ValueEnum};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Whether the process must be isolated before it reads anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IsolationMode {
    /// All layers, or no service.
    Required,
    /// None. The release can do whatever the user who started it can.
    Off,
}

/// Where a release computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The NVIDIA GPU of this number, counted from 0 as the driver does.
    Cuda(u32),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            text.strip_prefix("cuda:")?
                .parse()
                .ok()
                .filter(|number| *number < 64)
        };
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            other => number(other)
                .map(Self::Cuda)
                .ok_or_else(|| format!("{other:?} is no device: cpu, or cuda:0 to cuda:63")),
        }
    }
}

/// What a runner is told about its surroundings and limits.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Whether the isolation layers must be in force.
    #[arg(long, value_enum, default_value = "required")]
    pub isolation: IsolationMode,
    /// Namespaces of the launcher, as `user=INODE,…`: the runner's own must differ.
    #[arg(long)]
    pub outside: Option<String>,
    /// User and group to become for good, when started as root.
    #[arg(long)]
    pub drop_to: Option<u32>,
    /// Most bytes of private memory.
    #[arg(long, default_value_t = 2 << 30)]
    pub memory_bytes_max: u64,
    /// Most seconds of CPU time over the life of the process.
    #[arg(long, default_value_t = 86_400)]
    pub cpu_seconds_max: u64,
    /// Threads within one operation.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub threads: u32,
    /// Longest frame read or written.
    #[arg(long, default_value_t = 64 << 20, value_parser = clap::value_parser!(u32).range(1024..))]
    pub frame_bytes_max: u32,
    /// Bytes of the memory shared with the supervisor, on descriptor 4; 0 if there is none.
    #[arg(long, default_value_t = 0)]
    pub arena_bytes: u64,
    /// Where to compute: cpu, or cuda:N.
    #[arg(long, default_value_t)]
    pub device: Device,
    /// Most bytes of GPU memory; without it, all there is.
    #[arg(long)]
    pub gpu_memory_bytes_max: Option<u64>,
    /// Folder with the framework's shared libraries, looked into first.
    #[arg(long)]
    pub libraries: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_survives_the_round_trip_and_others_are_refused() {
        for device in [Device::Cpu, Device::Cuda(0), Device::Cuda(7)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        for text in ["", "gpu", "cuda:", "cuda:-1", "cuda:64", "cpu:0"] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
    }
}
