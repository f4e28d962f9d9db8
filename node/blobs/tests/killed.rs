//! A downloading process is killed with SIGKILL, as a power switch or the system's memory killer would.
//! The bug it guards against: groups that were announced as fetched and are fetched again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use fieldmark_blobs::{BlobEndpoint, BlobHash, BlobServer, BlobStore, Provider, groups};
use fieldmark_net::public_key_of;

const SIZE: u64 = 32 << 20;
const SERVER_KEY: [u8; 32] = [1; 32];
const CLIENT_KEY: [u8; 32] = [2; 32];
/// Set for the process that is to be killed: store folder, provider address, blob hash.
const CHILD: &str = "FIELDMARK_TEST_DOWNLOAD";

fn endpoint(dir: &Path, key: [u8; 32]) -> (BlobStore, BlobEndpoint, SocketAddr) {
    let store = BlobStore::open(dir).unwrap();
    let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (endpoint, addr) = BlobServer::start(store.clone(), &key, bind, Arc::new(|_, _| true)).unwrap();
    (store, endpoint, addr)
}

fn provider(addr: SocketAddr) -> Provider {
    Provider {
        node_key: public_key_of(&SERVER_KEY).unwrap(),
        addr,
    }
}

/// Not a test: what the other test runs in a process of its own. It prints one line per group.
#[tokio::test(flavor = "multi_thread")]
async fn download_in_a_child_process() {
    let Ok(order) = std::env::var(CHILD) else { return };
    let [dir, addr, hash] = order.split('\n').collect::<Vec<_>>().try_into().unwrap();
    let (_store, endpoint, _) = endpoint(Path::new(dir), CLIENT_KEY);
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1000);
    let (addr, hash): (SocketAddr, BlobHash) = (addr.parse().unwrap(), hash.parse().unwrap());
    let fetch = tokio::spawn(async move { endpoint.fetch(&provider(addr), hash, SIZE, Some(sender)).await });
    while let Some(progress) = receiver.recv().await {
        println!("\ngroups {}", progress.groups_done);
    }
    fetch.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_killed_at_any_group_keeps_all_it_had_announced() {
    let (server_dir, client_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, _server, addr) = endpoint(server_dir.path(), SERVER_KEY);
    let data: Vec<u8> = (0..u32::try_from(SIZE / 4).unwrap())
        .flat_map(u32::to_le_bytes)
        .collect();
    let hash = store.import_bytes(&data).unwrap().hash;

    let mut before = 0;
    for kill_after in [1, 40, 170, 333] {
        let announced = download_and_kill(client_dir.path(), addr, &hash, kill_after);
        let store = BlobStore::open(client_dir.path()).unwrap();
        let missing = u32::try_from(store.missing_groups(&hash, SIZE).unwrap().len()).unwrap();
        let kept = groups(SIZE) - missing;
        assert!(
            kept >= announced && kept >= before,
            "{kept} kept, {announced} announced, {before} before"
        );
        before = kept;
    }

    let (store, client, _) = endpoint(client_dir.path(), CLIENT_KEY);
    let report = client.fetch(&provider(addr), hash, SIZE, None).await.unwrap();
    assert_eq!(
        (report.groups_before, report.groups),
        (before, groups(SIZE) - before)
    );
    assert_eq!(store.read(&hash, SIZE).unwrap(), data);
}

/// Runs the child until it has announced some groups, kills it and returns the last number announced.
fn download_and_kill(dir: &Path, addr: SocketAddr, hash: &BlobHash, kill_after: u32) -> u32 {
    let order = format!("{}\n{addr}\n{hash}", dir.display());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "download_in_a_child_process", "--nocapture"])
        .env(CHILD, order)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut announced = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some(groups) = line.unwrap().strip_prefix("groups ") {
            announced = groups.parse().unwrap();
        }
        if announced >= kill_after {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    announced
}
