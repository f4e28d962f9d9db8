//! Tests of `open`: what a caller notices.

use super::*;
use crate::format::CURRENT;

fn version_of(dir: &Path, format: &Format) -> u32 {
    let store = RocksReader {
        db: Arc::new(open(dir, format).unwrap()),
        dir: dir.into(),
    };
    let bytes = store.get(Column::Meta, VERSION_KEY).unwrap().unwrap();
    u32::from_be_bytes(bytes.try_into().unwrap())
}

#[test]
fn a_new_folder_gets_the_newest_version() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        version_of(&dir.path().join("made/on/the/way"), &CURRENT),
        CURRENT.version()
    );
}

#[test]
fn each_step_runs_once_and_leaves_its_version() {
    const NEXT: Format = Format {
        steps: &[|store| {
            let mut batch = Batch::new();
            let before = store.get(Column::Meta, b"runs")?.unwrap_or_default();
            batch.put(Column::Meta, *b"runs", [before, vec![1]].concat());
            Ok(batch)
        }],
    };
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(version_of(dir.path(), &Format { steps: &[] }), 1);
    for _ in 0..2 {
        assert_eq!(version_of(dir.path(), &NEXT), 2);
    }
    let store = RocksReader {
        db: Arc::new(open(dir.path(), &NEXT).unwrap()),
        dir: dir.path().into(),
    };
    assert_eq!(store.get(Column::Meta, b"runs").unwrap(), Some(vec![1]));
}

#[test]
fn a_failed_step_leaves_the_version_before() {
    const BROKEN: Format = Format {
        steps: &[|_| {
            Err(StoreError::Engine {
                step: "test",
                detail: "no".into(),
            })
        }],
    };
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), &CURRENT).unwrap());
    assert!(matches!(
        open(dir.path(), &BROKEN),
        Err(OpenError::Store { step: "migrate", .. })
    ));
    assert_eq!(version_of(dir.path(), &CURRENT), 1);
}

#[test]
fn a_newer_version_is_refused_even_with_unknown_columns() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), &CURRENT).unwrap());
    let mut names: Vec<&str> = Column::ALL.iter().map(|c| c.name()).collect();
    names.extend(["default", "of_the_future"]);
    let db = DB::open_cf(&tuning::database(), dir.path(), names).unwrap();
    let mut store = RocksStore {
        reader: RocksReader {
            db: Arc::new(db),
            dir: dir.path().into(),
        },
    };
    store.commit(&stamped(Batch::new(), 7)).unwrap();
    drop(store);
    let error = open(dir.path(), &CURRENT).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::Newer {
                found: 7,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("update fieldmark"));
}

#[test]
fn data_without_a_version_is_not_taken_for_a_new_store() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), &CURRENT).unwrap();
    let mut store = RocksStore {
        reader: RocksReader {
            db: Arc::new(db),
            dir: dir.path().into(),
        },
    };
    let mut batch = Batch::new();
    batch.put(Column::Budgets, *b"source", *b"spent");
    batch.delete(Column::Meta, VERSION_KEY);
    store.commit(&batch).unwrap();
    drop(store);
    assert!(matches!(
        open(dir.path(), &CURRENT),
        Err(OpenError::Damaged { .. })
    ));
}
