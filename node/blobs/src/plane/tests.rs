//! Two endpoints on loopback, one of them at times an adversary.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

use fieldmark_net::public_key_of;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::error::{BlobError, FetchError};
use crate::geometry::{GROUP_BYTES, groups};
use crate::provider::Provider;
use crate::wire::{REQUEST_BYTES, Request, Status};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const SERVER_KEY: [u8; 32] = [1; 32];
const CLIENT_KEY: [u8; 32] = [2; 32];

struct Node {
    _dir: TempDir,
    store: BlobStore,
    endpoint: BlobEndpoint,
    provider: Provider,
}

fn node(key: [u8; 32], access: Access) -> Node {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    let limits = PlaneLimits {
        no_progress_timeout: Duration::from_secs(3),
        ..PlaneLimits::default()
    };
    let (endpoint, addr) = BlobServer::start_with(store.clone(), &key, LOOPBACK, access, limits).unwrap();
    let provider = Provider {
        node_key: public_key_of(&key).unwrap(),
        addr,
    };
    Node {
        _dir: dir,
        store,
        endpoint,
        provider,
    }
}

fn open_to_all() -> Access {
    Arc::new(|_, _| true)
}

fn pair() -> (Node, Node) {
    (node(SERVER_KEY, open_to_all()), node(CLIENT_KEY, open_to_all()))
}

fn bytes(size: u64) -> Vec<u8> {
    let mut out = vec![0; usize::try_from(size).unwrap()];
    blake3::Hasher::new().finalize_xof().fill(&mut out);
    out
}

/// What an adversary does with the frames that it serves.
#[derive(Clone, Copy)]
enum Deed {
    /// Flips a bit of this group.
    Corrupt(u32),
    /// Closes the connection after this many groups in all.
    Quit(u32),
    /// Announces a frame that is over the bound.
    Oversize,
    /// Sends nothing after the status.
    Stall,
}

/// An honest store behind a dishonest server.
struct Adversary {
    _dir: TempDir,
    store: BlobStore,
    provider: Provider,
}

fn adversary(deed: Deed) -> Adversary {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    let (endpoint, _) = endpoint(&SERVER_KEY, LOOPBACK, &PlaneLimits::default()).unwrap();
    let addr = endpoint.local_addr().unwrap();
    let (blobs, count) = (store.clone(), Arc::new(AtomicU32::new(0)));
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let connection = incoming.await.unwrap();
            while let Ok((send, receive)) = connection.accept_bi().await {
                tokio::spawn(misbehave(
                    deed,
                    connection.clone(),
                    send,
                    receive,
                    blobs.clone(),
                    Arc::clone(&count),
                ));
            }
        }
    });
    let provider = Provider {
        node_key: public_key_of(&SERVER_KEY).unwrap(),
        addr,
    };
    Adversary {
        _dir: dir,
        store,
        provider,
    }
}

async fn misbehave(
    deed: Deed,
    connection: quinn::Connection,
    mut send: quinn::SendStream,
    mut receive: quinn::RecvStream,
    store: BlobStore,
    served: Arc<AtomicU32>,
) -> Option<()> {
    let request = Request::decode(&receive.read_to_end(REQUEST_BYTES).await.ok()?).ok()?;
    let reader = store.reader(&request.hash).ok()?;
    send.write_all(&[Status::Groups.byte()]).await.ok()?;
    for group in request.first..request.first + request.count {
        let mut frame = reader.frame(group).ok()?;
        match deed {
            Deed::Corrupt(bad) if bad == group => *frame.last_mut()? ^= 1,
            Deed::Quit(after) if served.fetch_add(1, Ordering::SeqCst) >= after => {
                // A close overtakes bytes on their way; the pause lets those of whole groups arrive.
                tokio::time::sleep(Duration::from_millis(500)).await;
                connection.close(VarInt::from_u32(0), b"had enough");
                return None;
            }
            Deed::Oversize => {
                send.write_all(&u32::MAX.to_be_bytes()).await.ok()?;
                return None;
            }
            Deed::Stall => std::future::pending().await,
            _ => {}
        }
        send.write_all(&u32::try_from(frame.len()).ok()?.to_be_bytes())
            .await
            .ok()?;
        send.write_all(&frame).await.ok()?;
    }
    send.finish().ok()?;
    // Dropping the connection here would cut off what is still on its way.
    let _ = send.stopped().await;
    Some(())
}

#[tokio::test]
async fn blobs_of_any_size_arrive_whole() {
    let (server, client) = pair();
    for size in [0, 1, GROUP_BYTES, GROUP_BYTES + 1, 3 << 20] {
        let data = bytes(size);
        let hash = server.store.import_bytes(&data).unwrap().hash;
        let report = client
            .endpoint
            .fetch(&server.provider, hash, size, None)
            .await
            .unwrap();
        let expected = if size == 0 { (0, 0) } else { (size, groups(size)) };
        assert_eq!(
            (report.bytes, report.groups, report.groups_before),
            (expected.0, expected.1, 0)
        );
        assert_eq!(client.store.read(&hash, size).unwrap(), data);
        client.store.verify(&hash).unwrap();
        let again = client
            .endpoint
            .fetch(&server.provider, hash, size, None)
            .await
            .unwrap();
        assert_eq!((again.groups, again.groups_before), (0, groups(size)));
    }
}

#[tokio::test]
async fn progress_ends_at_the_whole_blob() {
    let (server, client) = pair();
    let hash = server.store.import_bytes(&bytes(3 << 20)).unwrap().hash;
    let (sender, mut receiver) = mpsc::channel(100);
    client
        .endpoint
        .fetch(&server.provider, hash, 3 << 20, Some(sender))
        .await
        .unwrap();
    let mut last = None;
    while let Some(progress) = receiver.recv().await {
        last = Some(progress);
    }
    let whole = Progress {
        groups_done: 48,
        groups_total: 48,
        bytes_fetched: 3 << 20,
        bytes_total: 3 << 20,
    };
    assert_eq!(last, Some(whole));
}

#[tokio::test]
async fn a_killed_download_refetches_at_most_one_group_per_stream() {
    for after in [0, 1, 7, 30] {
        let quitter = adversary(Deed::Quit(after));
        let (server, client) = pair();
        let data = bytes(3 << 20);
        let hash = quitter.store.import_bytes(&data).unwrap().hash;
        server.store.import_bytes(&data).unwrap();

        let error = client
            .endpoint
            .fetch(&quitter.provider, hash, 3 << 20, None)
            .await
            .unwrap_err();
        assert!(matches!(error, FetchError::Lost { .. }), "{error:?}");
        let missing = u32::try_from(client.store.missing_groups(&hash, 3 << 20).unwrap().len()).unwrap();
        let kept = 48 - missing;
        let streams = PlaneLimits::default().fetch_streams;
        assert!(
            (after.saturating_sub(streams)..=after).contains(&kept),
            "{kept} of {after}"
        );

        let report = client
            .endpoint
            .fetch(&server.provider, hash, 3 << 20, None)
            .await
            .unwrap();
        assert_eq!((report.groups, report.groups_before), (missing, kept));
        assert_eq!(client.store.read(&hash, 3 << 20).unwrap(), data);
    }
}

#[tokio::test]
async fn a_download_aborted_at_any_moment_goes_on_from_the_groups_it_had_announced() {
    let (server, client) = pair();
    let data = bytes(8 << 20);
    let hash = server.store.import_bytes(&data).unwrap().hash;
    let (sender, mut receiver) = mpsc::channel(1000);
    let (endpoint, provider) = (client.endpoint.clone(), server.provider);
    let download = tokio::spawn(async move { endpoint.fetch(&provider, hash, 8 << 20, Some(sender)).await });
    let mut announced = 0;
    while announced < 20 {
        announced = receiver.recv().await.unwrap().groups_done;
    }
    download.abort();
    let _ = download.await;
    // The abort lets a write that has begun end.
    let report = loop {
        match client.endpoint.fetch(&server.provider, hash, 8 << 20, None).await {
            Err(FetchError::Store(BlobError::InUse { .. })) => {
                tokio::time::sleep(Duration::from_millis(5)).await
            }
            other => break other.unwrap(),
        }
    };
    assert!(report.groups_before >= announced, "{report:?} after {announced}");
    assert_eq!(report.groups + report.groups_before, 128);
    assert_eq!(client.store.read(&hash, 8 << 20).unwrap(), data);
}

#[tokio::test]
async fn a_provider_of_corrupt_bytes_is_named_and_nothing_wrong_is_written() {
    for bad in [0, 20, 47] {
        let corrupter = adversary(Deed::Corrupt(bad));
        let (server, client) = pair();
        let data = bytes(3 << 20);
        let hash = corrupter.store.import_bytes(&data).unwrap().hash;
        server.store.import_bytes(&data).unwrap();
        let error = client
            .endpoint
            .fetch(&corrupter.provider, hash, 3 << 20, None)
            .await
            .unwrap_err();
        let FetchError::BadGroup { provider, group, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!((*provider, *group), (corrupter.provider, bad));
        assert!(error.to_string().contains(&hex::encode(provider.node_key)));
        assert!(
            client
                .store
                .missing_groups(&hash, 3 << 20)
                .unwrap()
                .contains(&bad)
        );

        client
            .endpoint
            .fetch(&server.provider, hash, 3 << 20, None)
            .await
            .unwrap();
        assert_eq!(client.store.read(&hash, 3 << 20).unwrap(), data);
    }
}

#[tokio::test]
async fn frames_over_the_bound_and_silence_end_the_fetch() {
    let client = node(CLIENT_KEY, open_to_all());
    let oversizer = adversary(Deed::Oversize);
    let hash = oversizer.store.import_bytes(&bytes(1 << 20)).unwrap().hash;
    let error = client
        .endpoint
        .fetch(&oversizer.provider, hash, 1 << 20, None)
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Protocol { .. }), "{error:?}");
    let staller = adversary(Deed::Stall);
    staller.store.import_bytes(&bytes(1 << 20)).unwrap();
    let error = client
        .endpoint
        .fetch(&staller.provider, hash, 1 << 20, None)
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::NoProgress { .. }), "{error:?}");
}

#[tokio::test]
async fn another_node_at_the_address_is_refused_before_anything_is_asked() {
    let (server, client) = pair();
    let hash = server.store.import_bytes(b"blob").unwrap().hash;
    let provider = Provider {
        node_key: public_key_of(&[9; 32]).unwrap(),
        ..server.provider
    };
    let error = client.endpoint.fetch(&provider, hash, 4, None).await.unwrap_err();
    let FetchError::WrongPeer { found, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*found, hex::encode(server.provider.node_key));
    assert!(!client.store.contains(&hash));
}

#[tokio::test]
async fn a_lying_size_is_an_error_whoever_lies() {
    let (server, client) = pair();
    let data = bytes(3 << 20);
    let hash = server.store.import_bytes(&data).unwrap().hash;
    // The announcement lies, the provider is honest.
    for announced in [(3 << 20) - 1, (3 << 20) + 1, 1, 1 << 30] {
        let error = client
            .endpoint
            .fetch(&server.provider, hash, announced, None)
            .await
            .unwrap_err();
        let FetchError::SizeMismatch { actual, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(actual, 3 << 20);
    }
    // Provider and announcement agree on a lie: the first group asked for gives it away.
    let liar = node([3; 32], open_to_all());
    let other = liar.store.import_bytes(&bytes((3 << 20) + 5)).unwrap().hash;
    let path = liar.store.path_of(&other).unwrap();
    std::fs::write(path, &data).unwrap();
    let error = client
        .endpoint
        .fetch(&liar.provider, other, (3 << 20) + 5, None)
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Unavailable { .. }), "{error:?}");
    let error = client
        .endpoint
        .fetch(&server.provider, BlobHash::of(b"x"), 0, None)
        .await
        .unwrap_err();
    assert!(
        matches!(error, FetchError::Store(BlobError::NotEmpty { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn only_whom_the_rule_allows_gets_a_blob() {
    let client = node(CLIENT_KEY, open_to_all());
    let friend = client.provider.node_key;
    let server = node(SERVER_KEY, Arc::new(move |peer, _| *peer == friend));
    let stranger = node([4; 32], open_to_all());
    let hash = server.store.import_bytes(b"blob").unwrap().hash;
    client
        .endpoint
        .fetch(&server.provider, hash, 4, None)
        .await
        .unwrap();
    let error = stranger
        .endpoint
        .fetch(&server.provider, hash, 4, None)
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::NotOffered { .. }), "{error:?}");
    let unknown = BlobHash::of(b"unknown");
    let error = client
        .endpoint
        .fetch(&server.provider, unknown, 7, None)
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::NotOffered { .. }), "{error:?}");
}

#[tokio::test]
async fn a_damaged_copy_is_not_served() {
    let (server, client) = pair();
    let hash = server.store.import_bytes(&bytes(3 << 20)).unwrap().hash;
    let path = server.store.path_of(&hash).unwrap();
    let mut data = std::fs::read(&path).unwrap();
    data[70_000] ^= 1;
    std::fs::write(&path, data).unwrap();
    let error = client
        .endpoint
        .fetch(&server.provider, hash, 3 << 20, None)
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Unavailable { .. }), "{error:?}");
    assert!(client.store.missing_groups(&hash, 3 << 20).unwrap().contains(&1));
}

#[tokio::test]
async fn a_malformed_request_is_answered_as_such_and_a_long_one_cut_off() {
    let (server, _client) = pair();
    let (raw, config) = endpoint(&[5; 32], LOOPBACK, &PlaneLimits::default()).unwrap();
    let connection = raw
        .connect_with(config, server.provider.addr, "x")
        .unwrap()
        .await
        .unwrap();
    for request in [vec![0; 49], vec![1; 10], vec![1; 100_000]] {
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        // A server that has stopped reading is part of what is expected.
        let _ = send.write_all(&request).await;
        let _ = send.finish();
        assert_eq!(
            receive.read_to_end(100).await.unwrap(),
            [Status::Malformed.byte()]
        );
    }
}

#[tokio::test]
async fn a_peer_has_a_bounded_number_of_connections_and_its_newest_stay() {
    let (server, client) = pair();
    let hash = server.store.import_bytes(b"blob").unwrap().hash;
    let most = PlaneLimits::default().connections_per_peer_max;
    let (raw, config) = endpoint(&CLIENT_KEY, LOOPBACK, &PlaneLimits::default()).unwrap();
    let mut open = Vec::new();
    for _ in 0..most {
        open.push(
            raw.connect_with(config.clone(), server.provider.addr, "x")
                .unwrap()
                .await
                .unwrap(),
        );
    }
    // A node that was killed and comes back must not wait until its dead connections time out.
    client
        .endpoint
        .fetch(&server.provider, hash, 4, None)
        .await
        .unwrap();
    let first = tokio::time::timeout(Duration::from_secs(5), open[0].closed())
        .await
        .unwrap();
    assert!(first.to_string().contains("newer connections"), "{first}");
    assert!(
        open[1..]
            .iter()
            .all(|connection| connection.close_reason().is_none())
    );
}

#[tokio::test]
async fn many_fetches_at_once_wait_for_each_other() {
    let (server, client) = pair();
    let mut fetches = tokio::task::JoinSet::new();
    for seed in 0..20_u8 {
        let data = vec![seed; 200_000];
        let hash = server.store.import_bytes(&data).unwrap().hash;
        let (endpoint, provider) = (client.endpoint.clone(), server.provider);
        fetches.spawn(async move { endpoint.fetch(&provider, hash, 200_000, None).await });
    }
    while let Some(fetched) = fetches.join_next().await {
        assert_eq!(fetched.unwrap().unwrap().groups, 4);
    }
    assert_eq!(client.store.usage().blobs, 20);
}

#[tokio::test]
async fn nobody_at_the_address_and_a_port_in_use_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    let limits = PlaneLimits {
        connect_timeout: Duration::from_millis(300),
        ..PlaneLimits::default()
    };
    let (endpoint, addr) =
        BlobServer::start_with(store.clone(), &CLIENT_KEY, LOOPBACK, open_to_all(), limits).unwrap();
    let silent = UdpSocket::bind(LOOPBACK).unwrap();
    let provider = Provider {
        node_key: public_key_of(&SERVER_KEY).unwrap(),
        addr: silent.local_addr().unwrap(),
    };
    let error = endpoint
        .fetch(&provider, BlobHash::of(b"x"), 1, None)
        .await
        .unwrap_err();
    assert!(error.to_string().contains(&provider.addr.to_string()), "{error}");
    let error = BlobServer::start(store, &SERVER_KEY, addr, open_to_all()).unwrap_err();
    assert!(matches!(error, PlaneError::AddressInUse { addr: taken } if taken == addr));
}
