//! Packages that cannot run.

use std::fs;
use std::path::Path;

use anyhow::Result;
use fieldmark_tests::{Node, NodeOptions};

use crate::{COMPANY, FAILED, NOT_FOUND, alone, edit, refused, trained_package};

/// A way to spoil a package, and what the refusal says.
struct Damage {
    make: fn(&Path) -> Result<()>,
    says: &'static [&'static str],
}

const DAMAGES: [Damage; 5] = [
    Damage {
        make: |package| Ok(fs::write(package.join("model.pt"), "not a model")?),
        says: &["digits-logistic@1.0.0", "TorchScript"],
    },
    Damage {
        make: |package| Ok(fs::write(package.join("model.pt"), b"\x80\x04K\x01.")?),
        says: &["model.pt", "pickle"],
    },
    Damage {
        make: |package| Ok(fs::remove_file(package.join("model.pt"))?),
        says: &["model.pt"],
    },
    Damage {
        make: |package| edit(&package.join("fieldmark.toml"), "[-1, 10]", "[-1, 7]"),
        says: &["logits", "fieldmark.toml"],
    },
    Damage {
        make: |package| edit(&package.join("fieldmark.toml"), "torchscript", "cobol"),
        says: &["cobol"],
    },
];

#[test]
fn packages_that_cannot_run_are_refused_before_anything_is_signed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let solo = alone(&folder, COMPANY)?;
    let (node, _) = Node::started(&solo, folder.path(), &NodeOptions::default())?;
    for Damage { make, says } in DAMAGES {
        let scratch = tempfile::tempdir()?;
        let package = trained_package(solo.programs(), scratch.path())?;
        make(&package)?;
        let package = package.to_string_lossy();
        refused(&solo.run(&["pack", &package])?, FAILED, says);
        refused(&solo.run(&["publish", &package])?, FAILED, says);
    }
    refused(
        &solo.run(&["show", "digits-logistic"])?,
        NOT_FOUND,
        &["digits-logistic"],
    );
    let package = trained_package(solo.programs(), folder.path())?;
    solo.ask(&["publish", &package.to_string_lossy()])?;
    node.stop()
}
