//! Data folders that are in use, damaged, or of another version.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use fieldmark_tests::{Node, NodeOptions};

use crate::{COMPANY, FAILED, LIMIT, alone, edit, refused, trained_package};

#[test]
fn a_second_node_on_a_data_folder_is_refused_and_the_first_goes_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let solo = alone(&folder, COMPANY)?;
    let (node, _) = Node::started(&solo, folder.path(), &NodeOptions::default())?;
    let data = solo.data.to_string_lossy().into_owned();
    refused(
        &solo.run_within(&["node", "run"], LIMIT)?,
        FAILED,
        &["another node", &data],
    );
    solo.ask(&["status"])?;
    node.stop()
}

/// A way to spoil a data folder, and what the refusal says.
struct Damage {
    what: &'static str,
    make: fn(&Path) -> Result<()>,
    says: &'static [&'static str],
}

const DAMAGES: [Damage; 7] = [
    Damage {
        what: "a newer format",
        make: |data| edit(&data.join("config.toml"), "format = 1", "format = 99"),
        says: &["99", "update"],
    },
    Damage {
        what: "a format from before the first release",
        make: |data| edit(&data.join("config.toml"), "format = 1", "format = 0"),
        says: &["older", "fieldmark init"],
    },
    Damage {
        what: "settings that are none",
        make: |data| Ok(fs::write(data.join("config.toml"), "}{")?),
        says: &["config.toml"],
    },
    Damage {
        what: "a key that is cut off",
        make: |data| Ok(fs::write(data.join("identity.key"), "ab\n")?),
        says: &["identity.key"],
    },
    Damage {
        what: "a key for all to read",
        make: |data| set_mode(&data.join("node.key"), 0o644),
        says: &["node.key", "chmod 600"],
    },
    Damage {
        what: "a store whose manifest is cut off",
        make: |data| Ok(fs::write(file_in(&data.join("ledger"), "MANIFEST")?, "MANIFEST")?),
        says: &["ledger", "backup"],
    },
    Damage {
        what: "a store that names no manifest",
        make: |data| Ok(fs::write(data.join("ledger/CURRENT"), "nothing\n")?),
        says: &["ledger", "backup"],
    },
];

#[test]
fn a_damaged_or_newer_data_folder_is_refused_and_left_as_it_is() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let solo = alone(&folder, COMPANY)?;
    let package = trained_package(solo.programs(), folder.path())?;
    let (node, _) = Node::started(&solo, folder.path(), &NodeOptions::default())?;
    solo.ask(&["publish", &package.to_string_lossy()])?;
    node.stop()?;

    let whole = contents(&solo.data)?;
    for Damage { what, make, says } in DAMAGES {
        make(&solo.data)?;
        let damaged = contents(&solo.data)?;
        refused(&solo.run_within(&["node", "run"], LIMIT)?, FAILED, says);
        let after = contents(&solo.data)?;
        let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&after), names(&damaged), "{what}");
        assert!(after == damaged, "{what}: a file was changed");
        for (path, content) in &whole {
            fs::write(path, content)?;
        }
        set_mode(&solo.data.join("node.key"), 0o600)?;
    }
    let (node, _) = Node::started(&solo, folder.path(), &NodeOptions::default())?;
    solo.ask(&["show", "digits-logistic@1.0.0"])?;
    node.stop()
}

/// Every file of a folder with its content, but for what RocksDB tells about itself.
fn contents(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
        let entry = entry?;
        if entry.path().is_dir() {
            found.extend(contents(&entry.path())?);
        } else if !entry.file_name().to_string_lossy().starts_with("LOG") {
            found.insert(entry.path(), fs::read(entry.path())?);
        }
    }
    Ok(found)
}

/// The file in a folder whose name starts so.
fn file_in(folder: &Path, start: &str) -> Result<PathBuf> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(start) {
            return Ok(entry.path());
        }
    }
    bail!("no {start} in {}", folder.display())
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}
