//! What releases may use on this machine, where its owner says something: for all of them, and for some by name.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use fieldmark_supervisor::{Device, Limits};
use serde::{Deserialize, Serialize};

/// The name that stands for every release.
pub const EVERY: &str = "*";
/// Most threads within one operation.
const THREADS_MAX: u32 = 256;
/// Longest time for a request, in seconds.
const SECONDS_MAX: u64 = 86_400;

/// By [`EVERY`], `NAME` or `NAME@VERSION`: the closer name goes before the wider one.
pub type Allowances = BTreeMap<String, Allowance>;

/// What a release may use; what is left out is decided elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allowance {
    /// Most memory of a process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// Most seconds of CPU time over the life of a process, which is then replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<u64>,
    /// Threads within one operation, 1 to 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Where it computes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Place>,
    /// Most memory of a GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_memory: Option<Bytes>,
    /// Longest time for one request, in seconds, 1 to 86,400.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_seconds: Option<u64>,
}

impl Allowance {
    /// Checks every bound.
    ///
    /// # Errors
    /// What is wrong, and what is taken.
    pub fn check(&self) -> Result<(), String> {
        let within = |what: &str, value: Option<u64>, most: u64| match value {
            Some(value) if !(1..=most).contains(&value) => {
                Err(format!("{what} = {value} is not 1 to {most}"))
            }
            _ => Ok(()),
        };
        within("threads", self.threads.map(u64::from), u64::from(THREADS_MAX))?;
        within("cpu_seconds", self.cpu_seconds, u64::from(u32::MAX))?;
        within("request_seconds", self.request_seconds, SECONDS_MAX)
    }

    /// Puts into limits what is said here.
    pub fn apply(&self, limits: &mut Limits) {
        if let Some(memory) = self.memory {
            limits.memory_bytes_max = memory.0;
        }
        if let Some(seconds) = self.cpu_seconds {
            limits.cpu_seconds_max = seconds;
        }
        if let Some(threads) = self.threads {
            limits.threads = threads;
        }
        if let Some(device) = self.device {
            limits.device = device.0;
        }
        if let Some(memory) = self.gpu_memory {
            limits.gpu_memory_bytes_max = Some(memory.0);
        }
        if let Some(seconds) = self.request_seconds {
            limits.request_timeout = Duration::from_secs(seconds);
        }
    }
}

/// Puts into limits what is said of a release of this name and version.
pub(crate) fn apply(allowances: &Allowances, name: &str, version: &str, limits: &mut Limits) {
    let title = format!("{name}@{version}");
    let said = [EVERY, name, &title].map(|name| allowances.get(name));
    said.into_iter().flatten().for_each(|said| said.apply(limits));
}

/// So many bytes, above 0; written with or without KiB, MiB or GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let factor = match unit {
            "" | "B" => 1_u64,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(format!("'{unit}' is no unit; use KiB, MiB or GiB")),
        };
        let number: u64 = number
            .parse()
            .map_err(|_| "a number is expected, such as 512MiB".to_owned())?;
        let bytes = number.checked_mul(factor).filter(|bytes| *bytes > 0);
        bytes
            .map(Self)
            .ok_or_else(|| "more than 0 and less than 16 EiB are expected".to_owned())
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        let unit = units.iter().find(|(_, factor)| self.0.is_multiple_of(*factor));
        match unit {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

impl TryFrom<String> for Bytes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        bytes.to_string()
    }
}

/// Where a release computes: `cpu`, `cuda:0`, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Place(pub Device);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|error: fieldmark_supervisor::NoDevice| error.to_string())
    }
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_survive_the_round_trip() {
        assert_eq!("512MiB".parse(), Ok(Bytes(512 << 20)));
        assert_eq!("4096".parse::<Bytes>().unwrap().to_string(), "4KiB");
        for bytes in [1, 1023, 1 << 10, 3 << 20, 5 << 30, u64::MAX] {
            assert_eq!(Bytes(bytes).to_string().parse(), Ok(Bytes(bytes)));
        }
        for wrong in ["", "MiB", "1MB", "0", "-1", "99999999999GiB"] {
            assert!(wrong.parse::<Bytes>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_closer_name_goes_before_the_wider_one() {
        let memory = |text: &str| Allowance {
            memory: Some(text.parse().unwrap()),
            ..Allowance::default()
        };
        let on_gpu = Allowance {
            device: Some("cuda:1".parse().unwrap()),
            gpu_memory: Some("8GiB".parse().unwrap()),
            ..memory("3GiB")
        };
        let said = Allowances::from([
            (EVERY.to_owned(), memory("1GiB")),
            ("net".to_owned(), on_gpu),
            ("net@2".to_owned(), memory("4GiB")),
        ]);
        let of = |name: &str, version: &str| {
            let mut limits = Limits::default();
            apply(&said, name, version, &mut limits);
            (
                limits.memory_bytes_max >> 30,
                limits.device,
                limits.gpu_memory_bytes_max,
            )
        };
        assert_eq!(of("other", "1"), (1, Device::Cpu, None));
        assert_eq!(of("net", "1"), (3, Device::Cuda(1), Some(8 << 30)));
        assert_eq!(of("net", "2"), (4, Device::Cuda(1), Some(8 << 30)));
    }

    #[test]
    fn what_is_out_of_bounds_is_told() {
        let wrong = Allowance {
            threads: Some(0),
            ..Allowance::default()
        };
        assert_eq!(wrong.check().unwrap_err(), "threads = 0 is not 1 to 256");
        assert_eq!(Allowance::default().check(), Ok(()));
        for text in [r#"{"memory": "1MB"}"#, r#"{"device": "gpu"}"#, r#"{"disk": 1}"#] {
            assert!(serde_json::from_str::<Allowance>(text).is_err(), "{text}");
        }
    }
}
