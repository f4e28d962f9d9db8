//! The rules against small made-up graphs.

use std::collections::BTreeMap;

use super::graph::Graph;
use super::*;

/// A graph from lines `from -> to` (normal) and `from ~> to` (tests or build scripts). The workspace's
/// packages lie in the folders that their layers name.
fn graph(lines: &[&str]) -> Graph {
    let mut graph = Graph::default();
    let mut index = BTreeMap::new();
    for line in lines {
        let normal = line.contains("->");
        let names: Vec<&str> = line.split(if normal { " -> " } else { " ~> " }).collect();
        let ends: Vec<usize> = names
            .iter()
            .map(|name| {
                let layer = LAYERS.iter().find(|layer| layer.package == *name);
                let folder = layer.map(|layer| layer.folder);
                *index.entry(*name).or_insert_with(|| graph.add(name, folder))
            })
            .collect();
        if let [from, to] = ends[..] {
            graph.link(from, to, normal);
        }
    }
    graph
}

fn printed(lines: &[&str]) -> Vec<String> {
    check(&graph(lines)).iter().map(ToString::to_string).collect()
}

#[test]
fn the_direction_of_the_house_is_accepted() {
    let lines = [
        "fieldmark-protocol -> fieldmark-proto",
        "fieldmark-ledger -> fieldmark-protocol",
        "fieldmark-fl -> fieldmark-protocol",
        "fieldmark-node-core -> fieldmark-ledger",
        "fieldmark-node-core -> fieldmark-fl",
        "fieldmark-node -> fieldmark-node-core",
        "fieldmark-node -> fieldmark-ledger-rocks",
        "fieldmark-node -> libp2p",
        "fieldmark-cli -> fieldmark-node",
        "fieldmark-simulations -> fieldmark-node-core",
        "fieldmark-runner -> tch",
        "tch -> torch-sys",
    ];
    assert_eq!(printed(&lines), [""; 0]);
}

#[test]
fn a_step_against_the_direction_is_named() {
    let found = printed(&["fieldmark-ledger -> fieldmark-fl"]);
    assert_eq!(found, ["fieldmark-ledger → fieldmark-fl: not in its direction"]);
}

#[test]
fn tests_keep_the_direction_too() {
    let found = printed(&["fieldmark-protocol ~> fieldmark-node-core"]);
    assert_eq!(
        found,
        ["fieldmark-protocol → fieldmark-node-core: not in its direction"]
    );
}

#[test]
fn io_reached_through_a_library_is_shown_with_its_path() {
    let found = printed(&[
        "fieldmark-fl -> prio",
        "prio -> helper",
        "helper -> tokio",
        "tokio -> mio",
    ]);
    assert_eq!(
        found,
        ["fieldmark-fl → prio → helper → tokio: pure packages reach no IO"]
    );
}

#[test]
fn build_scripts_and_tests_of_pure_packages_may_do_io() {
    assert_eq!(
        printed(&["fieldmark-proto ~> tempfile", "fieldmark-ledger ~> tokio"]),
        [""; 0]
    );
}

#[test]
fn nothing_but_the_runner_reaches_libtorch() {
    let found = printed(&["fieldmark-node -> helper", "helper -> torch-sys"]);
    assert_eq!(
        found,
        ["fieldmark-node → helper → torch-sys: only the runner is linked against libtorch"]
    );
}

#[test]
fn the_store_is_an_adapter_for_node_cli_and_tests() {
    let found = printed(&[
        "fieldmark-node-core -> fieldmark-ledger-rocks",
        "fieldmark-cli -> fieldmark-ledger-rocks",
        "fieldmark-tests -> fieldmark-ledger-rocks",
        "fieldmark-blobs -> fieldmark-ledger-rocks",
    ]);
    assert_eq!(
        found,
        ["fieldmark-node-core → fieldmark-ledger-rocks: not in its direction"]
    );
}

#[test]
fn a_package_without_a_layer_or_in_another_folder_is_named() {
    let mut graph = Graph::default();
    graph.add("fieldmark-attic", Some("attic"));
    graph.add("fieldmark-fl", Some("federated"));
    let found: Vec<String> = check(&graph).iter().map(ToString::to_string).collect();
    assert!(found[0].starts_with("fieldmark-attic (attic) has no layer"));
    assert_eq!(found[1], "fieldmark-fl lies in federated, expected in fl");
}

#[test]
fn layers_allow_no_circle() {
    let mut placed: Vec<&str> = Vec::new();
    let mut left: Vec<&Layer> = LAYERS.iter().collect();
    while !left.is_empty() {
        let before = left.len();
        left.retain(|layer| {
            let free = layer
                .may_use
                .iter()
                .flat_map(|group| *group)
                .all(|package| placed.contains(package));
            if free {
                placed.push(layer.package);
            }
            !free
        });
        assert!(
            left.len() < before,
            "a circle among {:?}",
            left.iter().map(|l| l.package).collect::<Vec<_>>()
        );
    }
}
