//! `cargo xtask layers`: who may depend on whom, checked against what cargo resolved.
//!
//! The rules are the tables below; `layers/graph.rs` holds the graph they are checked on. What is looked
//! at is the build of the whole workspace on this machine, with the features of all packages united.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

mod graph;
#[cfg(test)]
mod tests;

use graph::Graph;

/// A package of the workspace, its folder, and the workspace packages it may depend on.
struct Layer {
    package: &'static str,
    folder: &'static str,
    may_use: &'static [&'static [&'static str]],
}

const fn layer(
    package: &'static str,
    folder: &'static str,
    may_use: &'static [&'static [&'static str]],
) -> Layer {
    Layer {
        package,
        folder,
        may_use,
    }
}

const PROTO: &str = "fieldmark-proto";
const PROTOCOL: &str = "fieldmark-protocol";
const LEDGER: &str = "fieldmark-ledger";
const ROCKS: &str = "fieldmark-ledger-rocks";
const FL: &str = "fieldmark-fl";
const RUNNER: &str = "fieldmark-runner";
const SANDBOX: &str = "fieldmark-sandbox";
const PYTHON_RUNNER: &str = "fieldmark-runner-python";
const ONNX: &str = "fieldmark-runner-onnx";
const LAUNCHER: &str = "fieldmark-launcher";
const NODE: &str = "fieldmark-node";
const CORE: &str = "fieldmark-node-core";
const DATA: &str = "fieldmark-node-data";
const SUPERVISOR: &str = "fieldmark-supervisor";
const NET: &str = "fieldmark-net";
const BLOBS: &str = "fieldmark-blobs";
const PACKAGE: &str = "fieldmark-package";
const PAGES: &str = "fieldmark-pages";
const LOADGEN: &str = "fieldmark-loadgen";
const SERVING: &str = "fieldmark-serving";
const TENSORS: &str = "fieldmark-tensors";
const TABLES: &str = "fieldmark-tables";
const CLI: &str = "fieldmark-cli";
const SIMULATIONS: &str = "fieldmark-simulations";
const FUZZ: &str = "fieldmark-fuzz";
const TESTS: &str = "fieldmark-tests";
const XTASK: &str = "xtask";

/// What is below the node's machines.
const BELOW_CORE: &[&str] = &[PROTO, PROTOCOL, LEDGER, FL];

/// What is below the node's rooms.
const BELOW_ROOMS: &[&str] = &[PROTO, PROTOCOL, LEDGER, FL, ROCKS, CORE, DATA];

/// The node's rooms.
const ROOMS: &[&str] = &[
    SERVING, TENSORS, SUPERVISOR, PACKAGE, NET, BLOBS, PAGES, TABLES, LOADGEN,
];

/// Every package of the workspace. One that is not built yet is no violation; one that is not listed is.
const LAYERS: &[Layer] = &[
    layer(PROTO, "proto", &[]),
    layer(PROTOCOL, "protocol", &[&[PROTO]]),
    layer(LEDGER, "ledger", &[&[PROTO, PROTOCOL]]),
    layer(ROCKS, "ledger/rocks", &[&[PROTO, PROTOCOL, LEDGER]]),
    layer(FL, "fl", &[&[PROTO, PROTOCOL]]),
    layer(SANDBOX, "fl/runner/sandbox", &[&[PROTO]]),
    layer(PYTHON_RUNNER, "fl/runner/python", &[&[PROTO, SANDBOX]]),
    layer(RUNNER, "fl/runner", &[&[PROTO, PROTOCOL, FL, SANDBOX]]),
    layer(ONNX, "fl/runner/onnx", &[&[PROTO, SANDBOX]]),
    layer(LAUNCHER, "fl/runner/launcher", &[]),
    layer(CORE, "node/core", &[BELOW_CORE]),
    layer(DATA, "node/data", &[&[PROTO, PROTOCOL, FL]]),
    layer(TENSORS, "node/tensors", &[&[PROTO, PROTOCOL]]),
    layer(LOADGEN, "node/loadgen", &[]),
    layer(SERVING, "node/serving", &[&[PROTO, TENSORS, SUPERVISOR]]),
    layer(SUPERVISOR, "node/supervisor", &[BELOW_ROOMS]),
    layer(NET, "node/net", &[BELOW_ROOMS]),
    layer(BLOBS, "node/blobs", &[BELOW_ROOMS, &[NET]]),
    layer(
        PACKAGE,
        "node/package",
        &[BELOW_ROOMS, &[TENSORS, SUPERVISOR, BLOBS]],
    ),
    layer(PAGES, "node/pages", &[BELOW_ROOMS]),
    layer(TABLES, "node/tables", &[]),
    layer(NODE, "node", &[BELOW_ROOMS, ROOMS]),
    layer(SIMULATIONS, "simulations", &[BELOW_CORE, &[CORE, TABLES]]),
    layer(FUZZ, "fuzz", &[BELOW_ROOMS, ROOMS, &[NODE, SANDBOX, SIMULATIONS]]),
    layer(CLI, "cli", &[BELOW_ROOMS, ROOMS, &[NODE, SIMULATIONS]]),
    layer(TESTS, "tests", &[BELOW_ROOMS, ROOMS, &[NODE, SIMULATIONS, CLI]]),
    layer(XTASK, "xtask", &[&[TESTS]]),
];

/// Packages without socket, task, file, clock or thread of their own.
const PURE: &[&str] = &[PROTO, PROTOCOL, LEDGER, FL, CORE];

/// Crates that do IO, wait or start threads.
const IO: &[&str] = &[
    "async-io",
    "async-std",
    "axum",
    "crossbeam-channel",
    "hyper",
    "librocksdb-sys",
    "libp2p",
    "mio",
    "ort",
    "quinn",
    "quinn-proto",
    "quinn-udp",
    "rayon",
    "reqwest",
    "rocksdb",
    "rustls",
    "smol",
    "socket2",
    "tch",
    "tempfile",
    "tokio",
    "torch-sys",
    "ureq",
];

/// Whom a ban concerns.
enum Scope {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

/// Crates that some packages reach by no path of normal dependencies.
struct Ban {
    scope: Scope,
    crates: &'static [&'static str],
    why: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        scope: Scope::Only(PURE),
        crates: IO,
        why: "pure packages reach no IO",
    },
    Ban {
        scope: Scope::AllBut(&[RUNNER]),
        crates: &["torch-sys"],
        why: "only the runner is linked against libtorch",
    },
    Ban {
        scope: Scope::AllBut(&[ONNX]),
        crates: &["ort-sys"],
        why: "only the runner of ONNX models opens ONNX Runtime",
    },
    // Fuzz targets are linked with the shells, whose decoders they call without a socket.
    Ban {
        scope: Scope::Only(&[
            SIMULATIONS,
            DATA,
            SANDBOX,
            RUNNER,
            PYTHON_RUNNER,
            ONNX,
            LAUNCHER,
            PAGES,
        ]),
        crates: &["libp2p", "quinn", "librocksdb-sys"],
        why: "only the node's shells speak to the network and the store",
    },
    Ban {
        scope: Scope::Only(&[XTASK]),
        crates: &["libp2p", "librocksdb-sys"],
        why: "xtask runs before these can be built",
    },
];

/// A rule broken.
#[derive(Debug, PartialEq, Eq)]
enum Violation {
    Unlisted {
        package: String,
        folder: String,
    },
    Misplaced {
        package: String,
        folder: String,
        expected: &'static str,
    },
    Direction {
        package: String,
        uses: String,
    },
    Reach {
        path: Vec<String>,
        why: &'static str,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlisted { package, folder } => {
                write!(
                    f,
                    "{package} ({folder}) has no layer: add it to LAYERS in xtask/src/layers.rs"
                )
            }
            Self::Misplaced {
                package,
                folder,
                expected,
            } => {
                write!(f, "{package} lies in {folder}, expected in {expected}")
            }
            Self::Direction { package, uses } => {
                write!(f, "{package} → {uses}: not in its direction")
            }
            Self::Reach { path, why } => write!(f, "{}: {why}", path.join(" → ")),
        }
    }
}

/// Checks the workspace and prints every violation.
///
/// # Errors
/// When a rule is broken, or cargo cannot resolve the workspace.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let graph = Graph::from_metadata(&workspace.metadata()?)?;
    let violations = check(&graph);
    for violation in &violations {
        eprintln!("layers: {violation}");
    }
    match violations.len() {
        0 => {
            println!("layers: {} packages, no violation", graph.members().count());
            Ok(())
        }
        1 => bail!("1 violation of the layers"),
        several => bail!("{several} violations of the layers"),
    }
}

fn check(graph: &Graph) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (package, folder) in graph.members() {
        match LAYERS.iter().find(|layer| layer.package == package) {
            None => violations.push(Violation::Unlisted {
                package: package.into(),
                folder: folder.into(),
            }),
            Some(layer) => check_member(graph, layer, folder, &mut violations),
        }
    }
    violations
}

fn check_member(graph: &Graph, layer: &Layer, folder: &str, violations: &mut Vec<Violation>) {
    let package = layer.package;
    if folder != layer.folder {
        let expected = layer.folder;
        violations.push(Violation::Misplaced {
            package: package.into(),
            folder: folder.into(),
            expected,
        });
    }
    for uses in graph.direct(package) {
        if graph.is_member(uses) && !layer.allows(uses) {
            violations.push(Violation::Direction {
                package: package.into(),
                uses: uses.into(),
            });
        }
    }
    for ban in BANS.iter().filter(|ban| ban.concerns(package)) {
        let banned: BTreeSet<&str> = ban.crates.iter().copied().collect();
        violations.extend(
            graph
                .reached(package, &banned)
                .into_iter()
                .map(|path| Violation::Reach { path, why: ban.why }),
        );
    }
}

impl Layer {
    fn allows(&self, package: &str) -> bool {
        self.may_use.iter().any(|group| group.contains(&package))
    }
}

impl Ban {
    fn concerns(&self, package: &str) -> bool {
        match self.scope {
            Scope::Only(packages) => packages.contains(&package),
            Scope::AllBut(packages) => !packages.contains(&package),
        }
    }
}
