//! What one release may use, and where it computes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Most GPUs that are told apart.
const DEVICES_MAX: u32 = 64;

/// Where a release computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The NVIDIA GPU of this number, 0 to 63, counted as the driver does.
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

/// A text names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no device: cpu, or cuda:0 to cuda:63")]
pub struct NoDevice(String);

impl FromStr for Device {
    type Err = NoDevice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            let number = text.strip_prefix("cuda:")?.parse().ok()?;
            (number < DEVICES_MAX).then_some(Self::Cuda(number))
        };
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            other => number(other).ok_or_else(|| NoDevice(other.to_owned())),
        }
    }
}

/// What one process of a release may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of memory, the framework's own 50 to 100 MB and touched shared memory included. Default:
    /// 2 GiB. Enforced by the kernel for private memory, by a control group where there is one, and by the
    /// supervisor, which looks ten times a second at a busy process, for all of it.
    pub memory_bytes_max: u64,
    /// Most seconds of CPU time over the life of a process. Default: 86,400 (a day). The supervisor replaces a
    /// process between two requests before it gets there, so only a runaway is killed by it.
    pub cpu_seconds_max: u64,
    /// Threads within one operation, 1 to 256. Default: 1, the best choice for small models.
    pub threads: u32,
    /// Longest time for one request, counted from when the runner gets it. Default: 30 s.
    pub request_timeout: Duration,
    /// Longest time from starting the process to a loaded release. Default: 60 s.
    pub load_timeout: Duration,
    /// Where it computes. Default: the processor.
    pub device: Device,
    /// Most bytes of GPU memory; without it, all there is. Without meaning on the processor.
    pub gpu_memory_bytes_max: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 2 << 30,
            cpu_seconds_max: 86_400,
            threads: 1,
            request_timeout: Duration::from_secs(30),
            load_timeout: Duration::from_secs(60),
            device: Device::Cpu,
            gpu_memory_bytes_max: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_survives_the_round_trip_and_others_are_refused() {
        for device in [Device::Cpu, Device::Cuda(0), Device::Cuda(63)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        for text in ["", "gpu", "cuda:", "cuda:-1", "cuda:64", "cpu:0"] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
    }
}
