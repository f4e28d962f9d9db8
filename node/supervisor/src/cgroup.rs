//! A control group for each runner, where this process may make some: the kernel then keeps all memory of the
//! runner below its limit, page cache and shared memory included.
//!
//! Version 2 is used below this process's own group, if that hands the memory controller down; version 1 in
//! the memory hierarchy. The launcher's own process stays outside; it moves the runner in before the exec. A
//! group is removed once its process has been reaped; groups left by a node that was killed are removed by the
//! next one.

use crate::layer::{LayerProbe, hint};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Name of every group, before the node's process id and a number.
const PREFIX: &str = "fieldmark-runner-";
/// Above the limit that the supervisor and the resource limit keep, so that these, which can say more, are
/// first.
const LATER_BYTES: u64 = 64 << 20;

/// How memory is limited in a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Where groups can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    version: Version,
    folder: PathBuf,
}

impl Hierarchy {
    /// The one that groups can be made in, or why there is none.
    pub(crate) fn find() -> Result<Self, String> {
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let found = places(&own);
        let found = found.into_iter().find(|place| place.folder.is_dir());
        let place = found.ok_or("no hierarchy with memory limits is mounted")?;
        place.hand_down()?;
        place.sweep();
        // The only way to know: a group that lives for a moment.
        let trial = place
            .make(1 << 30)
            .map_err(|error| format!("{}: {error}", place.folder.display()))?;
        drop(trial);
        Ok(place)
    }

    /// Version 2 limits the members of a group only if the group above hands the controller down.
    fn hand_down(&self) -> Result<(), String> {
        if self.version == Version::One {
            return Ok(());
        }
        let control = self.folder.join("cgroup.subtree_control");
        let handed = fs::read_to_string(&control).unwrap_or_default();
        if handed.split_whitespace().any(|name| name == "memory") {
            return Ok(());
        }
        fs::write(&control, "+memory").map_err(|error| {
            format!(
                "{} does not hand the memory controller down: {error}; start fieldmark in a group of its own \
                 whose parent is delegated",
                self.folder.display()
            )
        })
    }

    /// A new, empty group that may hold `memory_bytes_max`.
    pub(crate) fn make(&self, memory_bytes_max: u64) -> io::Result<ControlGroup> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let group = ControlGroup {
            version: self.version,
            folder: self.folder.join(name),
        };
        fs::create_dir(&group.folder)?;
        group.limit(memory_bytes_max.saturating_add(LATER_BYTES))?;
        Ok(group)
    }

    /// Removes what nodes that are gone have left.
    fn sweep(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let process = name
                .to_str()
                .and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
            if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                // One whose members still live stays.
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// The hierarchies that `/proc/self/cgroup` names, as they are mounted on every common system.
fn places(own: &str) -> Vec<Hierarchy> {
    let below = |root: &str, path: &str| Path::new(root).join(path.trim_start_matches('/'));
    let place = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        match controllers {
            "" => Some(Hierarchy {
                version: Version::Two,
                folder: below("/sys/fs/cgroup", path),
            }),
            some if some.split(',').any(|name| name == "memory") => Some(Hierarchy {
                version: Version::One,
                folder: below("/sys/fs/cgroup/memory", path),
            }),
            _ => None,
        }
    };
    let mut places: Vec<_> = own.lines().filter_map(place).collect();
    // Where version 1 has the memory controller, version 2 has not.
    places.sort_by_key(|place| place.version == Version::Two);
    places
}

/// A group for one process. Dropping it removes it, if its process is gone.
#[derive(Debug)]
pub(crate) struct ControlGroup {
    version: Version,
    folder: PathBuf,
}

impl ControlGroup {
    /// Its folder, into which the launcher moves the runner.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn limit(&self, bytes: u64) -> io::Result<()> {
        let write = |file: &str, value: &str| fs::write(self.folder.join(file), value);
        match self.version {
            Version::Two => {
                write("memory.max", &bytes.to_string())?;
                // Not everywhere there; without it, the rest of a crowded release may be swapped out.
                let _ = write("memory.swap.max", "0");
            }
            Version::One => {
                write("memory.limit_in_bytes", &bytes.to_string())?;
                let _ = write("memory.memsw.limit_in_bytes", &bytes.to_string());
            }
        }
        Ok(())
    }

    /// Whether the kernel has killed a member for want of memory.
    pub(crate) fn out_of_memory(&self) -> bool {
        let file = match self.version {
            Version::Two => "memory.events",
            Version::One => "memory.oom_control",
        };
        let text = fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        let killed = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        killed.is_some_and(|count| count.trim() != "0")
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // While a member lives it stays, and is swept by a later node.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Whether control groups are used on this machine, for `doctor`.
pub(crate) fn probe() -> LayerProbe {
    let found = Hierarchy::find();
    let available = found.is_ok();
    let detail = match found {
        Ok(place) => {
            let version = if place.version == Version::Two { 2 } else { 1 };
            format!("version {version}, below {}", place.folder.display())
        }
        Err(cause) => cause,
    };
    LayerProbe {
        layer: "cgroup".to_owned(),
        required: false,
        available,
        detail,
        hint: if available {
            None
        } else {
            hint("cgroup").map(str::to_owned)
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(own: &str) -> Vec<(Version, String)> {
        places(own)
            .into_iter()
            .map(|place| (place.version, place.folder.display().to_string()))
            .collect()
    }

    #[test]
    fn the_memory_hierarchy_is_preferred_to_a_version_2_without_memory() {
        let hybrid = "5:memory:/user\n4:cpu,cpuacct:/\n0::/system.slice/x.service\n";
        assert_eq!(
            folders(hybrid),
            [
                (Version::One, "/sys/fs/cgroup/memory/user".to_owned()),
                (Version::Two, "/sys/fs/cgroup/system.slice/x.service".to_owned()),
            ]
        );
        assert_eq!(
            folders("0::/a\n"),
            [(Version::Two, "/sys/fs/cgroup/a".to_owned())]
        );
        assert!(folders("4:cpu:/\n?\n").is_empty());
    }
}
