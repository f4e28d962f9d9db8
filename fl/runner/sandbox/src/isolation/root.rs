//! Replaces the root folder by a read-only one that is empty, or holds the granted folders and devices. After
//! this no path leads anywhere else.
//!
//! Granted folders are bind mounts, with everything below them, of which nothing keeps its set-user bits; all
//! but the writable ones are read-only, all but the device nodes without devices.
//!
//! With device nodes there is a `/proc` as well, of the runner's own process namespace: a GPU's driver reads in it
//! who it runs in, and names its threads there. Landlock says what of it may be opened.
#![expect(unsafe_code, reason = "mount_setattr, which rustix does not wrap")]

use super::{Files, Grant, LayerError};
use rustix::fs::{FileType, StatVfsMountFlags, stat, statvfs};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, unmount};
use rustix::process::{chdir, pivot_root};
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Folders every Linux system has; the new file system is mounted over one for a moment, which hides what is
/// below it. The second is used when something below the first is granted.
const STAGES: [&str; 2] = ["/proc", "/sys"];
const EMPTY: &str = "empty-root";
const GRANTED: &str = "granted-root";
/// The step that fails where a container covers parts of `/proc`: the kernel then allows no other one.
const PROCESSES_STEP: &str = "mounting a /proc of its own, which a GPU's driver reads (a container must leave /proc \
                              uncovered: in Docker, --security-opt systempaths=unconfined)";

/// The kernel's `struct mount_attr`, and the bits of its first field.
#[repr(C)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}
const READ_ONLY: u64 = 1;
const NO_SET_USER: u64 = 2;
const NO_DEVICES: u64 = 4;
const NO_EXECUTION: u64 = 8;

/// One mount of the new root.
struct Mount<'a> {
    outside: &'a Path,
    inside: &'a Path,
    writable: bool,
    device: bool,
}

/// Mounts a new file system with what is granted, makes it the root and detaches the old one.
pub(super) fn replace(files: &Files, devices: &[PathBuf]) -> Result<String, LayerError> {
    let mounts = mounts(files, devices);
    let layer = if mounts.is_empty() { EMPTY } else { GRANTED };
    let fail = |step: &str| {
        let step = step.to_owned();
        move |error: rustix::io::Errno| LayerError::new(layer, step, error)
    };
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let data = if mounts.is_empty() {
        flags |= MountFlags::RDONLY;
        c"size=4k,nr_inodes=2,mode=0555"
    } else {
        c"size=1m,nr_inodes=4096,mode=0755"
    };
    let stage = stage(&mounts);
    mount("none", stage, "tmpfs", flags, Some(data)).map_err(fail("mounting a new file system"))?;
    if !devices.is_empty() {
        mount_processes(stage).map_err(|error| LayerError::new(layer, PROCESSES_STEP, error))?;
    }
    for one in &mounts {
        // Closed before what lies inside it is mounted, which may be writable. The place of something granted
        // inside a granted folder must therefore exist in that folder.
        bind(one, stage, layer)?;
        close(one, stage, layer)?;
    }
    chdir(stage).map_err(fail("entering it"))?;
    // With both arguments the same, the old root ends up on top of the new one and is then detached.
    pivot_root(".", ".").map_err(fail("making it the root"))?;
    unmount(".", UnmountFlags::DETACH).map_err(fail("detaching the old root"))?;
    chdir("/").map_err(fail("entering the new root"))?;
    if !mounts.is_empty() {
        set_attributes(Path::new("/"), READ_ONLY, 0)
            .map_err(|error| LayerError::new(layer, "making the new root read-only", error))?;
    }
    if !devices.is_empty() {
        verify_processes().map_err(|cause| LayerError::new(layer, "looking at the new /proc", cause))?;
    }
    verify(&mounts, layer)?;
    Ok(layer.to_owned())
}

/// Mounts a `/proc` of this process namespace in the new root, read-only but for the threads' own files: the
/// driver writes their names.
fn mount_processes(stage: &str) -> std::io::Result<()> {
    let processes = Path::new(stage).join("proc");
    std::fs::create_dir(&processes)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", &processes, "proc", flags, None::<&CStr>)?;
    // A mount of its own, so that it stays writable. It also keeps the folder in the kernel's memory: looked up
    // anew it would be another one, about which Landlock has no rule.
    let threads = processes.join("1/task");
    mount_bind(&threads, &threads)?;
    set_attributes(&processes, READ_ONLY, 0)
}

/// Process 1 of the new `/proc` is this one, and only its threads' files are writable.
fn verify_processes() -> Result<(), String> {
    let own = std::fs::read_link("/proc/self").map_err(|error| error.to_string())?;
    let flags = statvfs("/proc").map_err(|error| error.to_string())?.f_flag;
    match own == Path::new("1") && flags.contains(StatVfsMountFlags::RDONLY) {
        true => Ok(()),
        false => Err("it is not this process's own, or not read-only".to_owned()),
    }
}

/// All mounts, outer folders first.
fn mounts<'a>(files: &'a Files, devices: &'a [PathBuf]) -> Vec<Mount<'a>> {
    let of = |grant: &'a Grant, writable| Mount {
        outside: &grant.outside,
        inside: &grant.inside,
        writable,
        device: false,
    };
    let mut mounts: Vec<Mount<'a>> = match files {
        Files::None => Vec::new(),
        Files::Granted {
            read_only,
            executable,
            writable,
        } => {
            let fixed = read_only.iter().chain(executable).map(|grant| of(grant, false));
            fixed
                .chain(writable.iter().map(|grant| of(grant, true)))
                .collect()
        }
    };
    mounts.extend(devices.iter().map(|path| Mount {
        outside: path,
        inside: path,
        writable: true,
        device: true,
    }));
    mounts.sort_by_key(|mount| mount.inside.components().count());
    mounts
}

fn bind(mount: &Mount<'_>, stage: &str, layer: &'static str) -> Result<(), LayerError> {
    let shown = mount.outside.display();
    let target = staged(stage, mount.inside).ok_or_else(|| {
        LayerError::new(
            layer,
            format!("granting {shown}"),
            "the path is not absolute and plain",
        )
    })?;
    let found =
        stat(mount.outside).map_err(|error| LayerError::new(layer, format!("looking at {shown}"), error))?;
    let made = if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
        std::fs::create_dir_all(&target)
    } else {
        place_of_file(&target)
    };
    made.map_err(|error| LayerError::new(layer, format!("making {}", mount.inside.display()), error))?;
    mount_bind_recursive(mount.outside, &target)
        .map_err(|error| LayerError::new(layer, format!("mounting {shown}"), error))
}

fn place_of_file(target: &Path) -> std::io::Result<()> {
    if target.exists() {
        return Ok(());
    }
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::File::create(target).map(drop)
}

/// Takes the rights away that this mount is not to have, below it as well.
fn close(mount: &Mount<'_>, stage: &str, layer: &'static str) -> Result<(), LayerError> {
    let Some(target) = staged(stage, mount.inside) else {
        return Ok(());
    };
    let mut attributes = NO_SET_USER;
    if !mount.writable {
        attributes |= READ_ONLY;
    }
    if !mount.device {
        attributes |= NO_DEVICES;
    }
    if mount.writable {
        attributes |= NO_EXECUTION;
    }
    set_attributes(&target, attributes, libc::AT_RECURSIVE)
        .map_err(|error| LayerError::new(layer, format!("closing {}", mount.inside.display()), error))
}

fn set_attributes(path: &Path, attributes: u64, flags: libc::c_int) -> std::io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attributes = Attributes {
        set: attributes,
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    // SAFETY: the kernel reads the string and the structure, whose size is given; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

fn stage(mounts: &[Mount<'_>]) -> &'static str {
    let [usual, other] = STAGES;
    if mounts.iter().any(|mount| mount.outside.starts_with(usual)) {
        other
    } else {
        usual
    }
}

/// Where `inside` lies while the new root is still mounted over `stage`.
fn staged(stage: &str, inside: &Path) -> Option<PathBuf> {
    let relative = inside.strip_prefix("/").ok()?;
    let plain = relative
        .components()
        .all(|component| matches!(component, Component::Normal(_)));
    (plain && relative.components().next().is_some()).then(|| Path::new(stage).join(relative))
}

/// The new root holds what was granted and nothing else, and what is read-only is.
fn verify(mounts: &[Mount<'_>], layer: &'static str) -> Result<(), LayerError> {
    let fail = |cause: String| LayerError::new(layer, "looking at the new root", cause);
    let processes = mounts
        .iter()
        .any(|mount| mount.device)
        .then(|| OsString::from("proc"));
    let expected: BTreeSet<OsString> = mounts
        .iter()
        .filter_map(|mount| mount.inside.components().nth(1))
        .map(|component| component.as_os_str().to_owned())
        .chain(processes)
        .collect();
    let entries = std::fs::read_dir("/").map_err(|error| fail(error.to_string()))?;
    for entry in entries {
        let name = entry.map_err(|error| fail(error.to_string()))?.file_name();
        if !expected.contains(&name) {
            return Err(fail(format!("{} is there and was not granted", name.display())));
        }
    }
    let root = [(Path::new("/"), false)];
    for (path, writable) in root
        .into_iter()
        .chain(mounts.iter().map(|mount| (mount.inside, mount.writable)))
    {
        let found = statvfs(path).map_err(|error| fail(format!("{}: {error}", path.display())))?;
        if !writable && !found.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Err(fail(format!("{} is not read-only", path.display())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_absolute_paths_have_a_place() {
        assert_eq!(
            staged("/proc", Path::new("/usr/lib")),
            Some(PathBuf::from("/proc/usr/lib"))
        );
        for path in ["usr", "/", "/a/../b", ""] {
            assert_eq!(staged("/proc", Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn outer_folders_are_mounted_first() {
        let grant = |path: &str| Grant::in_place(path);
        let files = Files::Granted {
            read_only: vec![grant("/a/b/c"), grant("/a")],
            executable: vec![grant("/a/b")],
            writable: vec![],
        };
        let order: Vec<_> = mounts(&files, &[])
            .iter()
            .map(|mount| mount.inside.to_owned())
            .collect();
        assert_eq!(order, [Path::new("/a"), Path::new("/a/b"), Path::new("/a/b/c")]);
    }
}
