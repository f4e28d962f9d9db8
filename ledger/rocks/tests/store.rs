//! The store as a node uses it: reopening, locking, damage, crashes and old versions.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use fieldmark_ledger::store::MemoryStore;
use fieldmark_ledger::{catalogue, effect, log};
use fieldmark_ledger_rocks::{OpenError, RocksStore};
use fieldmark_protocol::machine::{Batch, Column, Read, Store};
use fieldmark_protocol::{Kind, Record, SecretKey};

fn write(store: &mut impl Store, column: Column, key: &[u8], value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(column, key, value);
    store.commit(&batch).unwrap();
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = RocksStore::open(dir.path()).unwrap();
    for column in Column::ALL {
        write(&mut store, column, b"key", column.name().as_bytes());
    }
    drop(store);
    let started = Instant::now();
    let store = RocksStore::open(dir.path()).unwrap();
    let opened_in = started.elapsed();
    for column in Column::ALL {
        assert_eq!(
            store.get(column, b"key").unwrap().as_deref(),
            Some(column.name().as_bytes())
        );
    }
    assert!(opened_in.as_millis() < 1000, "opening took {opened_in:?}");
}

#[test]
fn a_batch_applies_in_order_and_scans_like_the_store_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rocks, mut memory) = (RocksStore::open(dir.path()).unwrap(), MemoryStore::new());
    let mut batch = Batch::new();
    for i in 0..=255u8 {
        batch.put(Column::Views, vec![i / 64, i], vec![i]);
    }
    batch.put(Column::Views, vec![255, 255, 1], vec![1]);
    batch.put(Column::Records, vec![1, 100], vec![9]);
    batch.delete(Column::Views, vec![1, 100]);
    batch.put(Column::Views, vec![1, 101], vec![7]);
    rocks.commit(&batch).unwrap();
    memory.commit(&batch).unwrap();
    let reader = rocks.reader();
    for prefix in [&[][..], &[1], &[1, 100], &[255], &[255, 255], &[9]] {
        for from in [&[][..], &[1, 99], &[2], &[255, 255, 255]] {
            for limit in [0, 1, 5, usize::MAX] {
                let expected = memory.scan(Column::Views, prefix, from, limit).unwrap();
                assert_eq!(reader.scan(Column::Views, prefix, from, limit).unwrap(), expected);
            }
        }
    }
}

#[test]
fn readers_on_other_threads_see_a_commit_and_a_snapshot_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = RocksStore::open(dir.path()).unwrap();
    let reader = store.reader();
    let snapshot = reader.snapshot();
    write(&mut store, Column::Meta, b"k", b"v");
    assert_eq!(snapshot.get(Column::Meta, b"k").unwrap(), None);
    assert!(snapshot.scan(Column::Meta, b"k", b"k", 9).unwrap().is_empty());
    let other = store.reader();
    let seen = std::thread::spawn(move || other.get(Column::Meta, b"k").unwrap());
    assert_eq!(seen.join().unwrap().as_deref(), Some(&b"v"[..]));
}

#[test]
fn a_second_node_on_a_folder_is_told_about_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let first = RocksStore::open(dir.path()).unwrap();
    let error = RocksStore::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(
        error.to_string().starts_with("another node is running on "),
        "{error}"
    );
    let reader = first.reader();
    drop(first);
    assert!(
        RocksStore::open(dir.path()).is_err(),
        "a reader still holds the folder"
    );
    drop(reader);
    RocksStore::open(dir.path()).unwrap();
}

#[test]
fn a_second_process_on_a_folder_is_told_about_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path()).unwrap();
    assert!(
        child("child_opens", dir.path()).success(),
        "the child saw no lock"
    );
    drop(store);
}

#[test]
#[ignore = "run by a_second_process_on_a_folder_is_told_about_the_first"]
fn child_opens() {
    let Some(dir) = std::env::var_os("FIELDMARK_TEST_DIR") else {
        return;
    };
    let error = RocksStore::open(Path::new(&dir)).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
}

/// Runs one ignored test of this file in another process.
fn child(test: &str, dir: &Path) -> std::process::ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored"])
        .env("FIELDMARK_TEST_DIR", dir)
        .output()
        .unwrap()
        .status
}

/// The bug this would catch: a commit that returns before its log is on disk.
#[test]
fn a_killed_process_keeps_every_commit_that_returned() {
    let dir = tempfile::tempdir().unwrap();
    assert!(
        !child("child_commits_and_dies", dir.path()).success(),
        "the child was to abort"
    );
    let store = RocksStore::open(dir.path()).unwrap();
    assert_eq!(store.scan_all(Column::Aggregation, &[]).unwrap().len(), 100);
}

#[test]
#[ignore = "run by a_killed_process_keeps_every_commit_that_returned"]
fn child_commits_and_dies() {
    let Some(dir) = std::env::var_os("FIELDMARK_TEST_DIR") else {
        return;
    };
    let mut store = RocksStore::open(Path::new(&dir)).unwrap();
    for i in 0..100u8 {
        write(&mut store, Column::Aggregation, &[i], &[i; 1000]);
    }
    std::process::abort();
}

fn file(dir: &Path, is_it: fn(&str) -> bool) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files
        .find(|path| is_it(&path.file_name().unwrap().to_string_lossy()))
        .unwrap()
}

fn manifest(dir: &Path) -> std::path::PathBuf {
    file(dir, |name| name.starts_with("MANIFEST-"))
}

/// The bug this would catch: the engine makes a new, empty store where a file of the old one is lost.
#[test]
fn a_damaged_folder_is_refused_with_what_to_do() {
    type Deed = fn(&Path);
    let deeds: [(&str, Deed); 7] = [
        ("CURRENT lost", |dir| {
            std::fs::remove_file(dir.join("CURRENT")).unwrap()
        }),
        ("CURRENT empty", |dir| {
            std::fs::write(dir.join("CURRENT"), "").unwrap()
        }),
        ("CURRENT points nowhere", |dir| {
            std::fs::write(dir.join("CURRENT"), "MANIFEST-999999\n").unwrap()
        }),
        ("MANIFEST lost", |dir| {
            std::fs::remove_file(manifest(dir)).unwrap()
        }),
        ("MANIFEST overwritten", |dir| {
            std::fs::write(manifest(dir), [0x5a; 4000]).unwrap()
        }),
        ("table lost", |dir| {
            // Opening moves the log into tables.
            drop(RocksStore::open(dir).unwrap());
            std::fs::remove_file(file(dir, |name| name.ends_with(".sst"))).unwrap();
        }),
        ("log damaged inside", |dir| {
            let mut logs: Vec<_> = std::fs::read_dir(dir)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|e| e == "log"))
                .collect();
            logs.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
            let log = logs.pop().unwrap();
            let mut bytes = std::fs::read(&log).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            std::fs::write(log, bytes).unwrap();
        }),
    ];
    for (name, deed) in deeds {
        let dir = tempfile::tempdir().unwrap();
        assert!(!child("child_commits_and_dies", dir.path()).success());
        deed(dir.path());
        let error = RocksStore::open(dir.path()).expect_err(name);
        assert!(matches!(error, OpenError::Damaged { .. }), "{name}: {error:?}");
        assert!(
            error.to_string().contains("restore the folder from a backup"),
            "{name}: {error}"
        );
    }
}

#[test]
fn a_store_that_was_never_finished_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("MANIFEST-000001"), "").unwrap();
    std::fs::write(dir.path().join("LOCK"), "").unwrap();
    RocksStore::open(dir.path()).unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "").unwrap();
    let error = RocksStore::open(&path).unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
}

/// A profile and a release, as version 1 stores them.
fn version_1() -> Vec<Record> {
    let key = SecretKey::from_seed(&[42; 32]);
    let author = key.public();
    let profile = fieldmark_ledger::payload::Profile {
        name: "Fixture".into(),
        about: String::new(),
    };
    let first = Record::sign(
        &key,
        author,
        None,
        Kind::Profile,
        profile.encode(),
        1_700_000_000_000,
    );
    let tensor = |name: &str| fieldmark_protocol::release::TensorSpec {
        name: name.into(),
        datatype: "FP32".into(),
        shape: vec![-1, 4],
    };
    let release = fieldmark_protocol::release::Release {
        name: "digits".into(),
        version: "1.0.0".into(),
        runtime: "onnx".into(),
        artifacts: vec![fieldmark_protocol::release::Artifact {
            path: "model.onnx".into(),
            blake3: fieldmark_protocol::id::ContentHash::of(b"model"),
            sha256: fieldmark_protocol::id::ContentHash::new([2; 32]),
            size: 5,
        }],
        entry: "model.onnx".into(),
        inputs: vec![tensor("in")],
        outputs: vec![tensor("out")],
        labels: vec![],
        license: "MIT".into(),
        tags: vec!["vision".into()],
        task: String::new(),
        summary: String::new(),
        parent: None,
        reference: Vec::new(),
        input_reference: Vec::new(),
    };
    let prev = Some((0, first.id()));
    let second = Record::sign(
        &key,
        author,
        prev,
        Kind::Release,
        release.encode(),
        1_700_000_000_001,
    );
    vec![first, second]
}

fn fill(store: &mut impl Store) {
    for record in version_1() {
        let log::Ingest::Stored(batch) = log::ingest(store, &record).unwrap() else {
            panic!("not stored")
        };
        store.commit(&batch).unwrap();
    }
    write(store, Column::Budgets, b"hospital", b"a filter");
}

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v1");

#[test]
fn a_store_of_version_1_opens_and_shows_what_it_held() {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(FIXTURE).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    let store = RocksStore::open(dir.path()).unwrap();
    let found = catalogue::releases(&store, &catalogue::Query::default()).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].label(), "digits@1.0.0");
    assert_eq!(found[0].author_name.as_deref(), Some("Fixture"));
    assert_eq!(
        store.get(Column::Budgets, b"hospital").unwrap().as_deref(),
        Some(&b"a filter"[..])
    );
    let mut fresh = MemoryStore::new();
    fill(&mut fresh);
    assert_eq!(
        effect::ledger_digest(&store).unwrap(),
        effect::ledger_digest(&fresh).unwrap()
    );
    for column in [Column::Records, Column::Logs, Column::Heads, Column::Views] {
        assert_eq!(
            store.scan_all(column, &[]).unwrap(),
            fresh.scan_all(column, &[]).unwrap(),
            "{column:?}"
        );
    }
}

/// `cargo test -p fieldmark-ledger-rocks -- --ignored write_the_fixture`, before a version's successor is
/// written; the fixture of a version never changes afterwards.
#[test]
#[ignore = "writes tests/fixtures/v1"]
fn write_the_fixture_of_this_version() {
    let fixture = Path::new(FIXTURE);
    assert!(!fixture.exists(), "a fixture never changes");
    fill(&mut RocksStore::open(fixture).unwrap());
    // Opening again moves the log into tables.
    drop(RocksStore::open(fixture).unwrap());
    for entry in std::fs::read_dir(fixture).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if ["OPTIONS", "LOG", "LOCK"]
            .iter()
            .any(|start| name.starts_with(start))
        {
            std::fs::remove_file(path).unwrap();
        }
    }
}
