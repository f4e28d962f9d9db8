//! The dependency graph: what cargo resolved, reduced to names and edges.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, PackageId};

/// Packages and who depends on whom. Nodes are single versions, so that a path is one that exists.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    name: String,
    /// Relative to the workspace; `None` outside it.
    folder: Option<String>,
    /// Dependencies of the built library or program.
    normal: BTreeSet<usize>,
    /// Dependencies of build scripts and tests alone.
    other: BTreeSet<usize>,
}

impl Graph {
    /// Reads the graph out of cargo's answer.
    ///
    /// # Errors
    /// When the answer has no resolved graph or names an unknown package.
    pub(super) fn from_metadata(metadata: &Metadata) -> Result<Self> {
        let resolve = metadata.resolve.as_ref().context("cargo resolved nothing")?;
        let members: BTreeSet<&PackageId> = metadata.workspace_members.iter().collect();
        let mut graph = Self::default();
        let mut index = BTreeMap::new();
        for node in &resolve.nodes {
            let package = metadata.packages.iter().find(|package| package.id == node.id);
            let package = package.with_context(|| format!("cargo described no {}", node.id))?;
            let folder = members.contains(&node.id).then(|| {
                let folder = package.manifest_path.parent();
                let inside = folder.and_then(|folder| folder.strip_prefix(&metadata.workspace_root).ok());
                inside.map(ToString::to_string).unwrap_or_default()
            });
            index.insert(&node.id, graph.add(&package.name, folder.as_deref()));
        }
        for node in &resolve.nodes {
            for dependency in &node.deps {
                let (Some(&from), Some(&to)) = (index.get(&node.id), index.get(&dependency.pkg)) else {
                    continue;
                };
                for kind in &dependency.dep_kinds {
                    graph.link(from, to, kind.kind == DependencyKind::Normal);
                }
            }
        }
        Ok(graph)
    }

    /// Adds a package; `folder` for one of the workspace.
    pub(super) fn add(&mut self, name: &str, folder: Option<&str>) -> usize {
        self.nodes.push(Node {
            name: name.to_owned(),
            folder: folder.map(str::to_owned),
            normal: BTreeSet::new(),
            other: BTreeSet::new(),
        });
        self.nodes.len() - 1
    }

    /// Adds a dependency between packages that [`Self::add`] returned.
    pub(super) fn link(&mut self, from: usize, to: usize, normal: bool) {
        if let Some(node) = self.nodes.get_mut(from) {
            let edges = if normal { &mut node.normal } else { &mut node.other };
            edges.insert(to);
        }
    }

    /// Names and folders of the workspace's packages.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.nodes
            .iter()
            .filter_map(|node| Some((node.name.as_str(), node.folder.as_deref()?)))
    }

    /// Whether the workspace has this package.
    pub(super) fn is_member(&self, name: &str) -> bool {
        self.members().any(|(member, _)| member == name)
    }

    /// What a package of the workspace depends on directly, for whatever purpose.
    pub(super) fn direct(&self, member: &str) -> BTreeSet<&str> {
        let node = self.member(member).and_then(|index| self.nodes.get(index));
        let edges = node
            .into_iter()
            .flat_map(|node| node.normal.iter().chain(&node.other));
        edges.filter_map(|&to| self.name(to)).collect()
    }

    /// The shortest path of normal dependencies from a package of the workspace to each of `targets`.
    /// A path ends at the first target it meets.
    pub(super) fn reached(&self, member: &str, targets: &BTreeSet<&str>) -> Vec<Vec<String>> {
        let Some(start) = self.member(member) else {
            return Vec::new();
        };
        let mut came_from = BTreeMap::from([(start, start)]);
        let mut queue = VecDeque::from([start]);
        let mut paths = Vec::new();
        while let Some(at) = queue.pop_front() {
            if at != start && self.name(at).is_some_and(|name| targets.contains(name)) {
                paths.push(self.path(&came_from, at));
                continue;
            }
            for &to in self.nodes.get(at).into_iter().flat_map(|node| &node.normal) {
                came_from.entry(to).or_insert_with(|| {
                    queue.push_back(to);
                    at
                });
            }
        }
        paths
    }

    fn path(&self, came_from: &BTreeMap<usize, usize>, end: usize) -> Vec<String> {
        let mut path = Vec::new();
        let mut at = end;
        loop {
            path.extend(self.name(at).map(str::to_owned));
            match came_from.get(&at) {
                Some(&before) if before != at => at = before,
                _ => break,
            }
        }
        path.reverse();
        path
    }

    fn member(&self, name: &str) -> Option<usize> {
        self.nodes
            .iter()
            .position(|node| node.folder.is_some() && node.name == name)
    }

    fn name(&self, index: usize) -> Option<&str> {
        self.nodes.get(index).map(|node| node.name.as_str())
    }
}
