//! The namespaces every runner gets.

use crate::system::{Fork, fork_into};
use crate::{LayerFailure, system};
use rustix::process::{Pid, WaitOptions, waitpid};
use std::io;

/// One kind of namespace.
pub(crate) struct Namespace {
    /// The layer's name in reports.
    pub(crate) layer: &'static str,
    /// Its link in `/proc/self/ns`.
    pub(crate) link: &'static str,
    flag: libc::c_int,
}

/// All kinds, the user namespace first: it owns the others.
pub(crate) const NAMESPACES: [Namespace; 6] = [
    Namespace {
        layer: "user-namespace",
        link: "user",
        flag: libc::CLONE_NEWUSER,
    },
    Namespace {
        layer: "pid-namespace",
        link: "pid",
        flag: libc::CLONE_NEWPID,
    },
    Namespace {
        layer: "network-namespace",
        link: "net",
        flag: libc::CLONE_NEWNET,
    },
    Namespace {
        layer: "ipc-namespace",
        link: "ipc",
        flag: libc::CLONE_NEWIPC,
    },
    Namespace {
        layer: "mount-namespace",
        link: "mnt",
        flag: libc::CLONE_NEWNS,
    },
    Namespace {
        layer: "uts-namespace",
        link: "uts",
        flag: libc::CLONE_NEWUTS,
    },
];

/// Forks into all of them at once, but for the network's where the machine's network is to stay reachable. A
/// failure names the first kind that fails on its own.
pub(crate) fn fork_isolated(network: bool) -> Result<Fork, LayerFailure> {
    let all = NAMESPACES
        .iter()
        .filter(|namespace| !(network && namespace.flag == libc::CLONE_NEWNET))
        .fold(0, |flags, namespace| flags | namespace.flag);
    fork_into(all).map_err(|error| {
        let culprit = NAMESPACES
            .iter()
            .find_map(|namespace| try_alone(namespace).err().map(|e| (namespace, e)));
        match culprit {
            Some((namespace, error)) => {
                LayerFailure::new(namespace.layer, "the kernel refused to make it", error)
            }
            None => LayerFailure::new(
                "user-namespace",
                "the kernel refused all namespaces at once",
                error,
            ),
        }
    })
}

/// Makes one kind of namespace in a child that ends at once.
pub(crate) fn try_alone(namespace: &Namespace) -> io::Result<()> {
    match fork_into(libc::CLONE_NEWUSER | namespace.flag)? {
        Fork::Child => system::leave(0),
        Fork::Parent(pid) => reap(pid),
    }
}

fn reap(pid: Pid) -> io::Result<()> {
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(()),
        }
    }
}

/// The namespaces this process is in, as `user=4026531837,…`: the runner checks that its own differ.
pub(crate) fn own_namespaces() -> Result<String, LayerFailure> {
    let mut listed = Vec::with_capacity(NAMESPACES.len());
    for Namespace { layer, link, .. } in &NAMESPACES {
        let target = std::fs::read_link(format!("/proc/self/ns/{link}"))
            .map_err(|error| LayerFailure::new(layer, format!("reading /proc/self/ns/{link}"), error))?;
        let target = target.to_string_lossy();
        let inode = target
            .split_once('[')
            .and_then(|(_, rest)| rest.strip_suffix(']'))
            .unwrap_or_default();
        listed.push(format!("{link}={inode}"));
    }
    Ok(listed.join(","))
}
