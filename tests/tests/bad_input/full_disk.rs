//! A disk that fills up while the node runs: a small file system of its own, in a mount namespace that
//! an ordinary user can make.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use fieldmark_tests::{Node, NodeOptions, Participant, Programs};

use crate::{COMPANY, LIMIT};

/// Room for a fresh node, several times over.
const DISK_BYTES: u64 = 64 << 20;
/// What is left when the trouble begins.
const FREE_BYTES: u64 = 96 << 10;
/// More datasets than fit, even where the store reserved room in advance.
const DATASETS_MAX: usize = 1_000;
/// Labels of a dataset, which its entry in the store repeats.
const LABELS: usize = 1_000;

/// A file system in memory. It ends with its holder, and that with this test.
struct Disk {
    holder: Child,
    path: PathBuf,
}

impl Disk {
    fn mount(folder: &Path) -> Result<Self> {
        let at = folder.join("disk");
        fs::create_dir(&at)?;
        // Reading from this test keeps the holder there as long as the test is.
        let script = r#"mount -t tmpfs -o "size=$2,mode=0700" none "$1" && echo mounted && exec cat"#;
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
            .arg(&at)
            .arg(DISK_BYTES.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start unshare (package util-linux)")?;
        let mut line = String::new();
        let output = holder.stdout.take().context("its output is piped")?;
        BufReader::new(output).read_line(&mut line)?;
        ensure!(
            line == "mounted\n",
            "this system lets nobody mount in a namespace of their own"
        );
        // The kernel shows another process's mounts under its root.
        let inside = at.strip_prefix("/").context("an absolute path")?;
        let path = PathBuf::from(format!("/proc/{}/root", holder.id())).join(inside);
        Ok(Self { holder, path })
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    /// Fills it up to [`FREE_BYTES`].
    fn fill(&self) -> Result<()> {
        // Written until it does not fit, then made shorter: no count of free blocks is needed.
        let mut file = fs::File::create(self.ballast())?;
        let failed = std::io::copy(&mut std::io::repeat(1), &mut file);
        ensure!(failed.is_err(), "the disk has no end");
        let full = file.metadata()?.len();
        Ok(file.set_len(full.saturating_sub(FREE_BYTES))?)
    }

    fn relieve(&self) -> Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// A dataset whose entry in the store is long.
fn wordy(number: usize) -> String {
    let row = |label: usize| format!("r{number}-{label},clean,{label:0>100},{number}\n");
    "record_id,slice,label,x0\n".to_owned() + &(0..LABELS).map(row).collect::<String>()
}

/// Has datasets taken note of, one after the other, until that fails; returns those acknowledged.
fn add_until_it_fails(solo: &Participant, folder: &Path) -> Result<Vec<String>> {
    let mut acknowledged = Vec::new();
    for number in 0..DATASETS_MAX {
        let name = format!("d{number}");
        let path = folder.join(format!("{name}.csv"));
        fs::write(&path, wordy(number))?;
        let answer = solo.run(&["dataset", "add", &path.to_string_lossy(), "--name", &name])?;
        if answer.code != Some(0) {
            let said = format!("{}{}", answer.stdout, answer.stderr);
            ensure!(!said.contains("panicked"), "{said}");
            return Ok(acknowledged);
        }
        acknowledged.push(name);
    }
    anyhow::bail!("{DATASETS_MAX} datasets fitted into {FREE_BYTES} bytes")
}

#[test]
fn a_full_disk_stops_the_node_and_nothing_acknowledged_is_lost() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let disk = Disk::mount(folder.path())?;
    let solo = Participant::init(&Programs::beside_this_test()?, &disk.path, "solo", COMPANY)?;
    let (mut node, _) = Node::started(&solo, folder.path(), &NodeOptions::default())?;
    disk.fill()?;
    let acknowledged = add_until_it_fails(&solo, folder.path())?;
    assert!(!acknowledged.is_empty(), "nothing fitted");

    let ended = node.wait(LIMIT)?;
    assert_eq!(ended.code(), Some(1), "{}", node.last_words());
    let words = node.last_words().to_lowercase();
    assert!(words.contains("no space left"), "{words}");
    assert!(!words.contains("panicked"), "{words}");

    disk.relieve()?;
    let (node, _) = Node::started(&solo, folder.path(), &NodeOptions::default())?;
    let known = solo.ask(&["dataset", "list"])?.to_string();
    for name in &acknowledged {
        assert!(
            known.contains(&format!("\"{name}\"")),
            "{name} was acknowledged and is lost"
        );
    }
    node.stop()
}
