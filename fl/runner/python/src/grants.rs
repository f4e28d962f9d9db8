//! Which files an interpreter needs, and nothing else of the machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fieldmark_sandbox::isolation::{Files, Grant};

/// Folders of the system's libraries and the loader, where they are.
const LIBRARIES: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];
/// What libraries read: where other libraries are, and time zones.
const SHARED: [&str; 2] = ["/etc/ld.so.cache", "/usr/share/zoneinfo"];
/// How names are resolved and whose certificates count.
const NETWORK: [&str; 9] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ssl",
    "/etc/pki",
    "/usr/share/ca-certificates",
];

/// The interpreter, the libraries beside it, and the system's. No prefix as a whole: it may be a person's own folder,
/// such as `~/.local`.
pub(crate) fn interpreter(program: &Path) -> Vec<Grant> {
    let prefix = program.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    let mut paths: Vec<PathBuf> = LIBRARIES.iter().map(PathBuf::from).collect();
    paths.extend([prefix.join("lib"), prefix.join("lib64"), program.to_owned()]);
    existing(paths)
}

/// What every interpreter reads beside itself.
pub(crate) fn shared() -> Vec<Grant> {
    existing(SHARED.iter().map(PathBuf::from).collect())
}

/// What reaching an index takes, and what the user's settings for it name.
pub(crate) fn network(readable: &[PathBuf]) -> Vec<Grant> {
    let system = NETWORK.iter().map(PathBuf::from);
    existing(system.chain(readable.iter().cloned()).collect())
}

/// Those that are there, each once, without what lies in another one.
fn existing(mut paths: Vec<PathBuf>) -> Vec<Grant> {
    paths.retain(|path| path.exists());
    paths.sort();
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !kept.iter().any(|outer| path.starts_with(outer)) {
            kept.push(path);
        }
    }
    kept.into_iter().map(Grant::in_place).collect()
}

/// Where everything granted is, inside.
pub(crate) fn places(files: &Files) -> Vec<&Path> {
    match files {
        Files::None => Vec::new(),
        Files::Granted {
            read_only,
            executable,
            writable,
        } => {
            let all = read_only.iter().chain(executable).chain(writable);
            all.map(|grant| grant.inside.as_path()).collect()
        }
    }
}

/// The environment of the interpreter: threads of numerical libraries, and texts as UTF-8.
pub(crate) fn variables(threads: &str) -> BTreeMap<String, String> {
    let counted = [
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    ];
    let mut variables: BTreeMap<String, String> = counted
        .iter()
        .map(|name| ((*name).to_owned(), threads.to_owned()))
        .collect();
    variables.insert("OMP_WAIT_POLICY".to_owned(), "passive".to_owned());
    variables.insert("LC_ALL".to_owned(), "C.UTF-8".to_owned());
    // Which of its kernels a library takes is the machine's matter; it is found out wrongly on some processors.
    for name in ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"] {
        variables.extend(std::env::var(name).map(|value| (name.to_owned(), value)));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_interpreter_grants_no_more_than_libraries_and_itself() {
        let grants = interpreter(Path::new("/usr/bin/env"));
        let inside: Vec<&Path> = grants.iter().map(|grant| grant.inside.as_path()).collect();
        assert!(inside.contains(&Path::new("/usr/bin/env")) && inside.contains(&Path::new("/usr/lib")));
        for path in ["/usr", "/usr/bin", "/etc", "/home", "/"] {
            assert!(!inside.contains(&Path::new(path)), "{path}");
        }
    }

    #[test]
    fn what_lies_beside_an_interpreter_elsewhere_is_not_granted() {
        let prefix = tempfile::tempdir().unwrap();
        for folder in ["bin", "lib/python3.11", "share/keys"] {
            std::fs::create_dir_all(prefix.path().join(folder)).unwrap();
        }
        let program = prefix.path().join("bin/python3");
        std::fs::write(&program, "").unwrap();
        let mut own = interpreter(&program);
        own.retain(|grant| grant.inside.starts_with(prefix.path()));
        assert_eq!(own, [program, prefix.path().join("lib")].map(Grant::in_place));
    }

    #[test]
    fn a_path_inside_another_is_granted_once() {
        let paths = vec![
            PathBuf::from("/usr/lib"),
            PathBuf::from("/usr"),
            PathBuf::from("/none"),
        ];
        assert_eq!(existing(paths), [Grant::in_place("/usr")]);
    }
}
