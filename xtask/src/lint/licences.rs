//! Licences and origins of all packages in the build, against `deny.toml`.
//!
//! The file is cargo-deny's, whose advisories and bans need that tool; what can be judged from the
//! graph alone is judged here, so that the check runs everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, Package};
use serde::Deserialize;

use super::spdx;
use crate::workspace::Workspace;

/// The part of `deny.toml` that is judged here.
#[derive(Debug, Deserialize)]
struct Deny {
    licenses: Licences,
}

#[derive(Debug, Deserialize)]
struct Licences {
    allow: BTreeSet<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
    #[serde(default)]
    clarify: Vec<Clarification>,
}

/// Licences allowed for one package alone.
#[derive(Debug, Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    package: String,
    allow: BTreeSet<String>,
}

/// The licence of a package that states none, or a wrong one.
#[derive(Debug, Deserialize)]
struct Clarification {
    #[serde(rename = "crate")]
    package: String,
    expression: String,
}

/// Checks every package and prints every breach.
///
/// # Errors
/// When a licence is not allowed or a package comes from a git repository.
pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let path = workspace.root().join("deny.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let deny: Deny =
        toml::from_str(&text).with_context(|| format!("{} is not as expected", path.display()))?;
    let metadata = workspace.metadata()?;
    let packages = built(&metadata)?;
    let breaches: Vec<String> = packages
        .values()
        .flat_map(|package| deny.licenses.breaches_of(package))
        .collect();
    for breach in &breaches {
        eprintln!("licences: {breach}");
    }
    if !breaches.is_empty() {
        bail!("{} packages break deny.toml", breaches.len());
    }
    println!("licences: {} packages", packages.len());
    Ok(())
}

/// The packages that the build on this machine holds; others are only named by the lockfile.
fn built(metadata: &Metadata) -> Result<BTreeMap<String, &Package>> {
    let resolve = metadata.resolve.as_ref().context("cargo resolved nothing")?;
    let ids: BTreeSet<_> = resolve.nodes.iter().map(|node| &node.id).collect();
    let packages = metadata
        .packages
        .iter()
        .filter(|package| ids.contains(&package.id));
    Ok(packages
        .map(|package| (format!("{} {}", package.name, package.version), package))
        .collect())
}

impl Licences {
    fn breaches_of(&self, package: &Package) -> Option<String> {
        let shown = format!("{} {}", package.name, package.version);
        if let Some(source) = package
            .source
            .as_ref()
            .filter(|source| source.repr.starts_with("git+"))
        {
            return Some(format!("{shown} comes from {source}, not from a registry"));
        }
        self.breach(&package.name, package.license.as_deref())
            .map(|breach| format!("{shown}: {breach}"))
    }

    fn breach(&self, package: &str, stated: Option<&str>) -> Option<String> {
        let clarified = self.clarify.iter().find(|entry| entry.package == package);
        let Some(expression) = clarified.map(|entry| entry.expression.as_str()).or(stated) else {
            return Some("states no licence".to_owned());
        };
        let exception = self.exceptions.iter().find(|entry| entry.package == package);
        let allowed = |licence: &str| {
            self.allow.contains(licence) || exception.is_some_and(|entry| entry.allow.contains(licence))
        };
        match spdx::is_satisfied(expression, &allowed) {
            Ok(true) => None,
            Ok(false) => Some(format!("the licence `{expression}` is not allowed by deny.toml")),
            Err(error) => Some(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Licences {
        let text = r#"
            [licenses]
            allow = ["MIT"]
            exceptions = [{ crate = "prio", allow = ["MPL-2.0"] }]
            clarify = [{ crate = "silent", expression = "MIT", license-files = [] }]
        "#;
        toml::from_str::<Deny>(text).unwrap().licenses
    }

    #[test]
    fn a_licence_outside_the_list_is_named() {
        assert_eq!(rules().breach("a", Some("MIT OR GPL-3.0")), None);
        assert!(rules().breach("a", Some("GPL-3.0")).unwrap().contains("GPL-3.0"));
        assert_eq!(rules().breach("a", None).unwrap(), "states no licence");
    }

    #[test]
    fn an_exception_holds_for_its_package_alone() {
        assert_eq!(rules().breach("prio", Some("MPL-2.0 AND MIT")), None);
        assert!(rules().breach("other", Some("MPL-2.0")).is_some());
    }

    #[test]
    fn a_clarification_stands_in_for_what_is_not_stated() {
        assert_eq!(rules().breach("silent", None), None);
    }
}
