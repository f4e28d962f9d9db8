//! The store: what a user of it would notice.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;
use crate::geometry::{GROUP_BYTES, group_len};

const SIZES: [u64; 6] = [0, 1, 1024, GROUP_BYTES, GROUP_BYTES + 1, 3 << 20];

fn store() -> (TempDir, BlobStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    (dir, store)
}

/// Bytes without a period that a group could hide.
fn bytes(size: u64, seed: u8) -> Vec<u8> {
    let mut out = vec![0; usize::try_from(size).unwrap()];
    blake3::Hasher::new()
        .update(&[seed])
        .finalize_xof()
        .fill(&mut out);
    out
}

fn files_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A second store in which the blob is incomplete, with some groups taken from the first.
fn partial_with(source: &BlobStore, hash: &BlobHash, groups: &[u32]) -> (TempDir, BlobStore) {
    let (dir, target) = store();
    let size = source.size(hash).unwrap();
    let Opened::Partial(partial) = target.open_partial(hash, size).unwrap() else {
        panic!("complete")
    };
    let reader = source.reader(hash).unwrap();
    for group in groups {
        partial.accept(*group, &reader.frame(*group).unwrap()).unwrap();
    }
    (dir, target)
}

#[test]
fn what_is_imported_is_read_back_and_has_both_hashes() {
    let (_dir, store) = store();
    for size in SIZES {
        let data = bytes(size, 1);
        let imported = store.import_bytes(&data).unwrap();
        assert_eq!(imported.hash, BlobHash::of(&data));
        assert_eq!(imported.sha256, <[u8; 32]>::from(Sha256::digest(&data)));
        assert_eq!((imported.size, imported.already_stored), (size, false));
        assert_eq!(store.read(&imported.hash, size).unwrap(), data);
        assert_eq!(fs::read(store.path_of(&imported.hash).unwrap()).unwrap(), data);
        store.verify(&imported.hash).unwrap();
        assert!(store.missing_groups(&imported.hash, size).unwrap().is_empty());
    }
}

#[test]
fn importing_twice_stores_once_and_leaves_nothing_behind() {
    let (dir, store) = store();
    let file = dir.path().join("model.bin");
    fs::write(&file, bytes(100_000, 2)).unwrap();
    let first = store.import_path(&file).unwrap();
    let second = store.import_path(&file).unwrap();
    assert_eq!(
        second,
        Imported {
            already_stored: true,
            ..first
        }
    );
    assert_eq!(store.usage().bytes, 100_000);
    assert!(files_in(&dir.path().join("tmp")).is_empty());
}

#[test]
fn blobs_pins_and_usage_survive_a_restart() {
    let (dir, store) = store();
    let imported = store.import_bytes(&bytes(70_000, 3)).unwrap();
    store.pin(&imported.hash).unwrap();
    let usage = store.usage();
    drop(store);
    let store = BlobStore::open(dir.path()).unwrap();
    assert!(store.contains(&imported.hash) && store.is_pinned(&imported.hash));
    assert_eq!(store.usage(), usage);
    store.verify(&imported.hash).unwrap();
}

#[test]
fn a_second_process_is_kept_out() {
    let (dir, _store) = store();
    let error = BlobStore::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
}

#[test]
fn the_quota_is_kept_and_its_error_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        dir: dir.path().to_path_buf(),
        quota_bytes: 1000,
    };
    let store = BlobStore::open_with(config).unwrap();
    let first = store.import_bytes(&bytes(600, 4)).unwrap();
    let error = store.import_bytes(&bytes(600, 5)).unwrap_err();
    assert!(matches!(
        error,
        BlobError::QuotaExceeded {
            needed: 600,
            used: 600,
            quota: 1000
        }
    ));
    assert!(error.to_string().contains("raise the quota"));
    let fetched = BlobHash::of(b"elsewhere");
    assert!(matches!(
        store.open_partial(&fetched, 600),
        Err(BlobError::QuotaExceeded { .. })
    ));
    store.remove(&first.hash).unwrap();
    store.import_bytes(&bytes(600, 5)).unwrap();
    assert_eq!(store.usage().bytes, 600);
}

#[test]
fn garbage_is_what_is_neither_pinned_nor_in_use() {
    let (dir, store) = store();
    let [pinned, used, garbage] = [6, 7, 8].map(|seed| store.import_bytes(&bytes(5000, seed)).unwrap().hash);
    store.pin(&pinned).unwrap();
    let collected = store.collect_garbage(&BTreeSet::from([used])).unwrap();
    assert_eq!(
        collected,
        Collected {
            blobs: 1,
            bytes: 5000
        }
    );
    assert_eq!(
        store
            .list()
            .iter()
            .map(|(hash, _)| *hash)
            .collect::<BTreeSet<_>>(),
        BTreeSet::from([pinned, used])
    );
    assert!(store.path_of(&garbage).is_none());
    store.unpin(&pinned).unwrap();
    store.collect_garbage(&BTreeSet::new()).unwrap();
    assert_eq!(store.usage().bytes, 0);
    for shelf in fs::read_dir(dir.path().join("blobs")).unwrap() {
        assert!(files_in(&shelf.unwrap().path()).is_empty());
    }
}

#[test]
fn a_running_download_is_no_garbage_and_excludes_a_second_one() {
    let (_dir, store) = store();
    let hash = BlobHash::of(b"elsewhere");
    let download = store.open_partial(&hash, 9).unwrap();
    assert!(matches!(
        store.open_partial(&hash, 9),
        Err(BlobError::InUse { .. })
    ));
    assert_eq!(
        store.collect_garbage(&BTreeSet::new()).unwrap(),
        Collected::default()
    );
    assert!(matches!(store.remove(&hash), Err(BlobError::InUse { .. })));
    drop(download);
    assert_eq!(store.collect_garbage(&BTreeSet::new()).unwrap().blobs, 1);
}

#[test]
fn damage_is_found_and_named() {
    let (_dir, store) = store();
    let hash = store.import_bytes(&bytes(3 << 20, 9)).unwrap().hash;
    let path = store.path_of(&hash).unwrap();
    let mut data = fs::read(&path).unwrap();
    data[5 * 65_536 + 17] ^= 1;
    fs::write(&path, &data).unwrap();
    for error in [
        store.verify(&hash).unwrap_err(),
        store.read(&hash, u64::MAX).unwrap_err(),
    ] {
        assert!(matches!(error, BlobError::Damaged { group: 5, .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()));
    }
    assert!(store.reader(&hash).unwrap().frame(5).is_err());
    assert!(store.reader(&hash).unwrap().frame(4).is_ok());
}

#[test]
fn a_truncated_blob_and_truncated_nodes_are_damage_not_a_panic() {
    let (dir, store) = store();
    let hash = store.import_bytes(&bytes(3 << 20, 10)).unwrap().hash;
    fs::write(store.shared.layout.outboard(&hash), b"short").unwrap();
    assert!(matches!(store.verify(&hash), Err(BlobError::Damaged { .. })));
    drop(store);
    let store = BlobStore::open(dir.path()).unwrap();
    fs::write(store.path_of(&hash).unwrap(), b"short").unwrap();
    assert!(matches!(store.verify(&hash), Err(BlobError::Damaged { .. })));
    assert!(matches!(
        store.read(&hash, u64::MAX),
        Err(BlobError::Damaged { .. })
    ));
}

#[test]
fn a_frame_is_the_path_and_the_group_and_nothing_else() {
    let (_dir, store) = store();
    for (size, depths) in [
        (1, vec![0]),
        (GROUP_BYTES, vec![0]),
        (GROUP_BYTES + 1, vec![1, 1]),
    ] {
        let hash = store.import_bytes(&bytes(size, 11)).unwrap().hash;
        let reader = store.reader(&hash).unwrap();
        for (group, depth) in (0..).zip(depths) {
            let expected = group_len(size, group) + 64 * depth;
            assert_eq!(
                count(reader.frame(group).unwrap().len()),
                expected,
                "{size} {group}"
            );
        }
    }
}

#[test]
fn groups_in_any_order_make_the_blob() {
    let (_dir, source) = store();
    for size in SIZES {
        let hash = source.import_bytes(&bytes(size, 12)).unwrap().hash;
        let all: Vec<u32> = (0..groups(size)).rev().collect();
        let (_dir, target) = store();
        match target.open_partial(&hash, size).unwrap() {
            Opened::Complete => assert_eq!(size, 0),
            Opened::Partial(partial) => {
                let reader = source.reader(&hash).unwrap();
                for group in &all {
                    assert!(!partial.finish().unwrap());
                    partial.accept(*group, &reader.frame(*group).unwrap()).unwrap();
                }
                assert!(partial.finish().unwrap());
            }
        }
        target.verify(&hash).unwrap();
        assert_eq!(target.usage().bytes, size);
        assert!(matches!(target.open_partial(&hash, size), Ok(Opened::Complete)));
    }
}

#[test]
fn a_wrong_frame_is_not_written() {
    let (_dir, source) = store();
    let hash = source.import_bytes(&bytes(3 << 20, 13)).unwrap().hash;
    let (_dir, target) = partial_with(&source, &hash, &[]);
    let Opened::Partial(partial) = target.open_partial(&hash, 3 << 20).unwrap() else {
        panic!("complete")
    };
    let good = source.reader(&hash).unwrap().frame(7).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let longer = [&good[..], &[0]].concat();
    for bad in [&flipped[..], &longer, &good[1..], &good[..good.len() - 1], &[]] {
        assert!(matches!(partial.accept(7, bad), Err(AcceptError::Bad)));
    }
    assert!(matches!(partial.accept(8, &good), Err(AcceptError::Bad)));
    assert_eq!(partial.present(), 0);
    assert!(
        fs::read(target.shared.layout.part(&hash))
            .unwrap()
            .iter()
            .all(|byte| *byte == 0)
    );
}

#[test]
fn a_killed_download_keeps_every_group_it_had() {
    let (_dir, source) = store();
    let hash = source.import_bytes(&bytes(3 << 20, 14)).unwrap().hash;
    let (dir, target) = partial_with(&source, &hash, &[0, 5, 47]);
    // Nothing is synced or closed in an orderly way here: the files are as a killed process leaves them.
    drop(target);
    let target = BlobStore::open(dir.path()).unwrap();
    let missing = target.missing_groups(&hash, 3 << 20).unwrap();
    assert_eq!(
        missing,
        (0..48)
            .filter(|group| ![0, 5, 47].contains(group))
            .collect::<Vec<_>>()
    );
    assert_eq!(target.usage().partials, 1);
}

#[test]
fn groups_that_a_power_failure_lost_are_fetched_again() {
    let (_dir, source) = store();
    let hash = source.import_bytes(&bytes(3 << 20, 15)).unwrap().hash;
    let (dir, target) = partial_with(&source, &hash, &[1, 2, 3]);
    let part = target.shared.layout.part(&hash);
    drop(target);
    // The bitmap reached the disk, group 2 did not.
    let mut data = fs::read(&part).unwrap();
    data[2 * 65_536..3 * 65_536].fill(0);
    fs::write(&part, data).unwrap();
    let target = BlobStore::open(dir.path()).unwrap();
    let Opened::Partial(partial) = target.open_partial(&hash, 3 << 20).unwrap() else {
        panic!("complete")
    };
    assert_eq!(partial.present(), 2);
    assert!(partial.missing().iter().any(|run| run.contains(&2)));
}

#[test]
fn an_import_completes_a_partial_blob() {
    let (_dir, source) = store();
    let data = bytes(3 << 20, 16);
    let hash = source.import_bytes(&data).unwrap().hash;
    let (dir, target) = partial_with(&source, &hash, &[1]);
    let Opened::Partial(partial) = target.open_partial(&hash, 3 << 20).unwrap() else {
        panic!("complete")
    };
    target.import_bytes(&data).unwrap();
    let reader = source.reader(&hash).unwrap();
    for group in 0..48 {
        partial.accept(group, &reader.frame(group).unwrap()).unwrap();
    }
    assert!(partial.finish().unwrap());
    drop(partial);
    assert_eq!(
        target.usage(),
        Usage {
            blobs: 1,
            partials: 0,
            bytes: 3 << 20,
            quota_bytes: u64::MAX
        }
    );
    drop(target);
    BlobStore::open(dir.path()).unwrap().verify(&hash).unwrap();
}

#[test]
fn a_lying_size_is_replaced_unless_a_last_group_has_proved_the_old_one() {
    let (_dir, source) = store();
    let hash = source.import_bytes(&bytes(3 << 20, 17)).unwrap().hash;
    let (_dir, target) = partial_with(&source, &hash, &[0]);
    assert!(matches!(
        target.open_partial(&hash, 1 << 20),
        Ok(Opened::Partial(_))
    ));
    let (_dir, target) = partial_with(&source, &hash, &[47]);
    let conflict = target.open_partial(&hash, 1 << 20);
    assert!(matches!(
        conflict,
        Err(BlobError::SizeConflict {
            announced: 1_048_576,
            ..
        })
    ));
    assert!(matches!(
        target.open_partial(&BlobHash::of(b"x"), 0),
        Err(BlobError::NotEmpty { .. })
    ));
    let too_large = target.open_partial(&BlobHash::of(b"x"), BLOB_BYTES_MAX + 1);
    assert!(matches!(too_large, Err(BlobError::TooLarge { .. })));
}

#[test]
fn leftovers_of_a_crash_are_removed_at_the_next_start() {
    let (dir, store) = store();
    let hash = store.import_bytes(&bytes(10, 18)).unwrap().hash;
    let orphan = BlobHash::of(b"orphan");
    let layout = &store.shared.layout;
    layout.create_shelf(&orphan).unwrap();
    let leftovers = [
        layout.temp_data(7),
        layout.outboard(&orphan),
        layout.bitmap(&orphan),
        layout.part(&hash),
        layout.bitmap(&hash),
    ];
    for path in &leftovers {
        fs::write(path, b"left").unwrap();
    }
    drop(store);
    // Orphans whose neighbour is removed in the same pass may need a second start.
    drop(BlobStore::open(dir.path()).unwrap());
    let store = BlobStore::open(dir.path()).unwrap();
    for path in &leftovers {
        assert!(!path.exists(), "{}", path.display());
    }
    store.verify(&hash).unwrap();
    assert_eq!(store.usage().bytes, 10);
}

#[test]
fn a_full_disk_is_named_with_the_file_and_the_fix() {
    use std::io::Write as _;
    let path = Path::new("/dev/full");
    let Ok(mut full) = File::options().write(true).open(path) else {
        return;
    };
    let error = full
        .write_all(&[0; 10])
        .map_err(BlobError::io("write", path))
        .unwrap_err();
    assert!(matches!(error, BlobError::DiskFull { .. }));
    assert!(error.to_string().contains("/dev/full") && error.to_string().contains("free space"));
}

#[test]
fn a_failed_import_leaves_the_store_as_it_was() {
    let (dir, store) = store();
    let before = store.usage();
    let shrunk = store.import(&b"shorter"[..], 100, Path::new("model.bin"));
    assert!(matches!(shrunk, Err(BlobError::SourceChanged { .. })));
    let grown = store.import(&b"longer"[..], 3, Path::new("model.bin"));
    assert!(matches!(grown, Err(BlobError::SourceChanged { .. })));
    // A folder in the way of the copy stands for any failing write.
    let next = store.index().next_temp;
    fs::create_dir(store.shared.layout.temp_data(next)).unwrap();
    assert!(matches!(
        store.import_bytes(b"blob"),
        Err(BlobError::Io { step: "create", .. })
    ));
    fs::remove_dir(store.shared.layout.temp_data(next)).unwrap();
    assert_eq!(store.usage(), before);
    assert!(files_in(&dir.path().join("tmp")).is_empty());
    store.import_bytes(b"blob").unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_size_survives_the_way_through_frames(size in 1..300_000_u64, seed: u8) {
        let (_dir, source) = store();
        let hash = source.import_bytes(&bytes(size, seed)).unwrap().hash;
        let all: Vec<u32> = (0..groups(size)).collect();
        let (_dir, target) = partial_with(&source, &hash, &all);
        let Opened::Partial(partial) = target.open_partial(&hash, size).unwrap() else { panic!("complete") };
        prop_assert!(partial.finish().unwrap());
        prop_assert_eq!(target.read(&hash, size).unwrap(), bytes(size, seed));
    }

    #[test]
    fn arbitrary_frames_never_panic(frame in proptest::collection::vec(any::<u8>(), 0..300), group: u32) {
        let (_dir, store) = store();
        let Opened::Partial(partial) = store.open_partial(&BlobHash([1; 32]), 200_000).unwrap() else {
            panic!("complete")
        };
        prop_assert!(matches!(partial.accept(group, &frame), Err(AcceptError::Bad)));
    }
}
