//! What a GPU needs behind the layers: NVIDIA's device nodes by name, and the folders of the libraries that are
//! open, because CUDA opens further ones beside them when they are first needed.
#![expect(unsafe_code, reason = "opening a shared library")]

use crate::isolation::{Files, Grant};
use crate::{Device, Failure, FailureCode, Reach};
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_void};
use std::path::{Path, PathBuf};

/// Folders that hold nodes, and what their names start with.
const PLACES: [(&str, &str); 2] = [("/dev", "nvidia"), ("/dev/nvidia-caps", "nvidia-cap")];
/// What the driver's library and the loader read, where it is there.
const READ: [&str; 5] = [
    "/proc/driver/nvidia",
    "/proc/driver/nvidia-uvm",
    "/proc/devices",
    "/proc/modules",
    "/etc/ld.so.cache",
];
/// The node of unified memory, without which CUDA does not start. The kernel does not make it by itself.
const UNIFIED_MEMORY: &str = "/dev/nvidia-uvm";
/// The driver's library, by the name under which every other library asks for it.
const DRIVER: &str = "libcuda.so.1";

/// A shared library that stays open.
#[derive(Debug)]
pub struct Library(*mut c_void);

impl Library {
    /// Opens `name`, with its symbols for all later libraries. A name without a slash is looked for as the
    /// loader does, along the program's own library path first.
    ///
    /// # Errors
    /// What the loader says: the library or one it needs is missing.
    pub fn open(name: &str) -> Result<Self, String> {
        let file = CString::new(name).map_err(|error| error.to_string())?;
        // SAFETY: the string outlives the call. Libraries run code of their own when opened; which ones are
        // opened is decided by the runner's binary, before anything untrusted.
        let handle = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        if handle.is_null() {
            return Err(last_error(name));
        }
        Ok(Self(handle))
    }

    /// The address of a symbol, null if there is none.
    #[must_use]
    pub fn symbol(&self, name: &CStr) -> *mut c_void {
        // SAFETY: the handle is open and is never closed; the string outlives the call.
        unsafe { libc::dlsym(self.0, name.as_ptr()) }
    }
}

fn last_error(name: &str) -> String {
    // SAFETY: dlerror answers null or a string that is valid until the next call on this thread.
    let text = unsafe {
        let text = libc::dlerror();
        (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    };
    text.unwrap_or_else(|| format!("{name} cannot be opened"))
}

/// What stays reachable for `device`; nothing for the processor. Opens the driver's library, which starts no
/// thread, so that it need not be looked for behind the layers.
///
/// # Errors
/// With the code `Device` if there is no NVIDIA device on this machine, or the driver is not whole.
pub fn gpu_reach(device: Device) -> Result<Reach, Failure> {
    if device == Device::Cpu {
        return Ok(Reach::default());
    }
    let devices = nvidia_devices();
    let broken = |cause: String| {
        Failure::new(
            FailureCode::Device,
            format!("{device} was asked for, but {cause}"),
        )
    };
    if let Some(cause) = missing_node(&devices) {
        return Err(broken(cause.to_owned()));
    }
    Library::open(DRIVER).map_err(|cause| {
        broken(format!(
            "the library of NVIDIA's driver cannot be opened: {cause}; install the driver's libraries for CUDA, or \
             give them to the container"
        ))
    })?;
    let folders = std::fs::read_to_string("/proc/self/maps").map(|maps| library_folders(&maps));
    let folders = folders.unwrap_or_default().into_iter();
    let read = READ.iter().map(PathBuf::from).filter(|path| path.exists());
    Ok(Reach {
        files: Files::Granted {
            read_only: folders.chain(read).map(Grant::in_place).collect(),
            executable: Vec::new(),
            writable: Vec::new(),
        },
        devices,
    })
}

/// What is wrong with the nodes there are.
fn missing_node(devices: &[PathBuf]) -> Option<&'static str> {
    let unified = devices.iter().any(|path| path == Path::new(UNIFIED_MEMORY));
    match devices {
        [] => Some(
            "this machine has no NVIDIA device (/dev/nvidia*); run it on the cpu, or install NVIDIA's driver",
        ),
        _ if unified => None,
        _ => Some("/dev/nvidia-uvm is missing; run `nvidia-modprobe -u -c=0` once as root"),
    }
}

/// Every node of the driver on this machine: the control node, unified memory, each GPU. Empty without a GPU.
fn nvidia_devices() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = PLACES
        .iter()
        .flat_map(|(folder, prefix)| nodes(Path::new(folder), prefix))
        .collect();
    found.sort();
    found
}

fn nodes(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    use std::os::unix::fs::FileTypeExt;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_char_device()))
        .map(|entry| entry.path())
        .collect()
}

/// The folders of the shared libraries in `/proc/self/maps`; none that lies inside another.
fn library_folders(maps: &str) -> BTreeSet<PathBuf> {
    let library = |line: &str| {
        let path = Path::new(line.get(line.find('/')?..)?);
        let name = path.file_name()?.to_string_lossy();
        (name.contains(".so")).then(|| path.parent().map(Path::to_path_buf))?
    };
    let all: BTreeSet<PathBuf> = maps.lines().filter_map(library).collect();
    let inside = |folder: &Path| folder.ancestors().skip(1).any(|above| all.contains(above));
    all.iter().filter(|folder| !inside(folder)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_libraries_are_found_once_each() {
        let maps = "7f00-7f01 r-xp 0 08:01 7 /usr/lib/x86_64-linux-gnu/libc.so.6\n\
            7f01-7f02 r--p 0 08:01 7 /usr/lib/x86_64-linux-gnu/libm.so.6\n\
            7f02-7f03 r--p 0 08:01 7 /usr/lib/x86_64-linux-gnu/nvidia/libcuda.so.1\n\
            7f03-7f04 r--p 0 08:01 7 /opt/with space/libx.so\n\
            7f04-7f05 r--p 0 08:01 7 /usr/bin/program\n\
            7f05-7f06 rw-p 0 00:00 0 [heap]\n";
        let folders = library_folders(maps);
        let expected = [
            Path::new("/opt/with space"),
            Path::new("/usr/lib/x86_64-linux-gnu"),
        ];
        assert_eq!(folders.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_missing_node_is_told_with_what_to_do() {
        let nodes = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert!(missing_node(&[]).unwrap().contains("install NVIDIA's driver"));
        let without = nodes(&["/dev/nvidia0", "/dev/nvidiactl"]);
        assert!(
            missing_node(&without)
                .unwrap()
                .contains("nvidia-modprobe -u -c=0")
        );
        let all = nodes(&["/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl"]);
        assert_eq!(missing_node(&all), None);
    }

    #[test]
    fn the_processor_needs_nothing_and_a_missing_library_is_named() {
        let reach = gpu_reach(Device::Cpu).unwrap();
        assert!(reach.devices.is_empty() && reach.files == Files::None);
        assert!(
            Library::open("libnot-there.so")
                .unwrap_err()
                .contains("libnot-there.so")
        );
        assert!(!Library::open("libc.so.6").unwrap().symbol(c"malloc").is_null());
    }
}
