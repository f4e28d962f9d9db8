//! Releases of the data folder, laid out as package folders of their own.
//!
//! A running node has ledger and blob store open, and answers what it knows; where none runs, the ledger is
//! read here. The files come out of the blob store's folder either way, which its node only adds to.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use fieldmark_blobs::{BlobHash, BlobStore};
use fieldmark_ledger::catalogue;
use fieldmark_ledger_rocks::RocksStore;
use fieldmark_node::home::{Endpoint, Home};
use serde_json::Value;

use crate::args::Global;
use crate::client::{Client, data_dir, encoded};
use crate::failure::{Exit, Failure, classify};
use crate::text;

/// Folder of the data folder in which releases are laid out; it can be deleted while nothing is served.
const FOLDER: &str = "serving";

/// A file of a release.
struct File {
    path: String,
    hash: BlobHash,
}

/// The folder with the files of a release, made if it is not there.
pub(crate) fn laid_out(global: &Global, reference: &str) -> anyhow::Result<PathBuf> {
    let home = Home::open(&data_dir(global)?)?;
    let files = match Endpoint::find(home.path()) {
        Ok(endpoint) => match asked(&Client::new(endpoint, home.path()), reference) {
            // The node was killed and left its address.
            Err(error) if classify(&error).0 == Exit::NoNode => read(&home, reference)?,
            answered => answered?,
        },
        Err(_) => read(&home, reference)?,
    };
    let mut hasher = blake3::Hasher::new();
    for file in &files {
        hasher.update(format!("{} {}\n", file.hash, file.path).as_bytes());
    }
    let folder = home.path().join(FOLDER).join(hasher.finalize().to_hex().as_str());
    for file in &files {
        let blob = BlobStore::path_in(&home.blobs_dir(), &file.hash).ok_or_else(|| {
            let message = format!(
                "{reference}: its file {} is not here; fetch it with `fieldmark pull {reference}`",
                text::plain(&file.path)
            );
            Failure::not_found(message)
        })?;
        place(&blob, &folder, &file.path)?;
    }
    Ok(folder)
}

/// What the running node says.
fn asked(client: &Client, reference: &str) -> anyhow::Result<Vec<File>> {
    let release = client.get(&format!("releases/{}", encoded(reference)))?;
    let file = |artifact: &Value| {
        let hash = text::string(artifact, "blake3")
            .parse()
            .context("the node's answer cannot be read")?;
        let path = text::string(artifact, "path");
        Ok(File { path, hash })
    };
    text::list(&release, "artifacts").iter().map(file).collect()
}

/// What the ledger says, while no node has it open.
fn read(home: &Home, reference: &str) -> anyhow::Result<Vec<File>> {
    let store = RocksStore::open(&home.ledger_dir())?;
    let id = catalogue::resolve(&store, reference).map_err(|error| Failure::not_found(error.to_string()))?;
    let view = catalogue::release(&store, &id)?;
    let view = view.ok_or_else(|| Failure::not_found(format!("no release {reference} is known here")))?;
    let file = |artifact: fieldmark_protocol::release::Artifact| File {
        path: artifact.path,
        hash: BlobHash(*artifact.blake3.as_bytes()),
    };
    Ok(view.release.artifacts.into_iter().map(file).collect())
}

/// Puts a blob into its place by a hard link, or by a copy where links do not reach.
fn place(blob: &Path, folder: &Path, path: &str) -> anyhow::Result<()> {
    let relative = Path::new(path);
    if !relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
    {
        let message = format!("the release has a file outside its folder: {}", text::plain(path));
        return Err(Failure::new(Exit::Failed, "refused", message).into());
    }
    let to = folder.join(relative);
    let fail = || format!("{}: cannot write it", to.display());
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).with_context(fail)?;
    }
    match fs::hard_link(blob, &to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(_) => fs::copy(blob, &to).map(drop).with_context(fail),
    }
}
