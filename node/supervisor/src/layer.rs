//! A layer of isolation, as a machine offers it.

/// One layer on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerProbe {
    /// Its name, for example `user-namespace`.
    pub layer: String,
    /// Whether releases are refused without it.
    pub required: bool,
    /// Whether it is there.
    pub available: bool,
    /// A version, or what the kernel said.
    pub detail: String,
    /// How to get it, if it is missing.
    pub hint: Option<String>,
}

/// How to get a layer that is missing.
pub(crate) fn hint(layer: &str) -> Option<&'static str> {
    match layer {
        "user-namespace" | "id-map" => Some(
            "allow user namespaces: sysctl user.max_user_namespaces above 0, on Debian \
             kernel.unprivileged_userns_clone=1, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0 or an \
             AppArmor profile for fieldmark-launcher; in a container, a seccomp profile that permits unshare",
        ),
        "pid-namespace" | "network-namespace" | "ipc-namespace" | "mount-namespace" | "uts-namespace" => {
            Some(
                "use a kernel with all namespaces built in, and in a container a profile that permits unshare",
            )
        }
        "landlock" => Some("use Linux 5.13 or later with landlock in the boot parameter lsm="),
        "seccomp" => Some("use a kernel with CONFIG_SECCOMP_FILTER"),
        "cgroup" => Some(
            "optional: memory is then limited by the kernel's resource limit for private memory, and the rest \
             is watched by the supervisor, ten times a second",
        ),
        _ => None,
    }
}
