//! Well-formed messages to start from.

use fieldmark_protocol::address::{NodeAddress, NodeCertificate, Roles};
use fieldmark_protocol::aggregation::{
    Abort, AbortReason, Aggregate, AggregateShare, BatchId, RejectionReason, ShareCommitment, Transcript,
    commitment,
};
use fieldmark_protocol::challenge::{Challenge, Slice};
use fieldmark_protocol::fork::EquivocationProof;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::release::{Artifact, Release, TensorSpec};
use fieldmark_protocol::report::{Metadata, Receipt, Report};
use fieldmark_protocol::task::{Aggregator, Eligibility, Extra, Privacy, Statistics, Task};
use fieldmark_protocol::wire::{announcement, rpc_request, rpc_response};
use fieldmark_protocol::{Kind, PublicKey, Record, RecordId, ReportId, SecretKey, merkle, wire};
use prost::Message;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn batch() -> BatchId {
    BatchId {
        task: RecordId::new([1; 32]),
        window: 0,
    }
}

fn record_of(kind: Kind, payload: Vec<u8>) -> Record {
    let key = key(7);
    Record::sign(&key, key.public(), None, kind, payload, 1_000)
}

pub(super) fn records() -> Vec<Vec<u8>> {
    let profile = record_of(Kind::Profile, b"\x0a\x05alice".to_vec());
    vec![profile.encode(), record_of(Kind::Task, task().encode()).encode()]
}

pub(super) fn headers() -> Vec<Vec<u8>> {
    let record = record_of(Kind::Profile, b"\x0a\x05alice".to_vec());
    vec![record.signed_header().to_wire().header]
}

pub(super) fn payloads() -> Vec<Vec<u8>> {
    let of = |kind: Kind, payload: Vec<u8>| {
        let number = u8::try_from(kind.number()).unwrap_or(u8::MAX);
        [vec![number], payload].concat()
    };
    let first = |mut of: Vec<Vec<u8>>| of.swap_remove(0);
    vec![
        of(Kind::Profile, b"\x0a\x05alice\x12\x05hello".to_vec()),
        of(Kind::NodeCertificate, first(certificates())),
        of(
            Kind::NodeRevocation,
            [vec![0x0a, 32], vec![3; 32], b"\x12\x04gone".to_vec()].concat(),
        ),
        of(Kind::Release, first(releases())),
        of(Kind::Withdrawal, [vec![0x0a, 32], vec![3; 32]].concat()),
        of(Kind::Task, first(tasks())),
        of(Kind::Challenge, first(challenges())),
        of(Kind::Transcript, first(transcripts())),
        of(Kind::ShareCommitment, first(committee())),
        of(Kind::Abort, abort().encode()),
    ]
}

pub(super) fn forks() -> Vec<Vec<u8>> {
    let one = record_of(Kind::Profile, b"\x0a\x05alice".to_vec());
    let other = record_of(Kind::Profile, b"\x0a\x03bob".to_vec());
    let proof = EquivocationProof::of(&one, &other);
    proof
        .map(|proof| vec![proof.to_wire().encode_to_vec()])
        .unwrap_or_default()
}

fn node_address() -> NodeAddress {
    let multiaddrs = vec!["/ip4/127.0.0.1/udp/4001/quic-v1".into()];
    NodeAddress::sign(&key(4), multiaddrs, Some("127.0.0.1:4002".into()), 5)
}

pub(super) fn addresses() -> Vec<Vec<u8>> {
    vec![node_address().to_wire().encode_to_vec()]
}

pub(super) fn certificates() -> Vec<Vec<u8>> {
    let hpke = PublicKey::new([9; 32]);
    let certificate = NodeCertificate::new(PublicKey::new([3; 32]), &key(4), hpke, Roles(Roles::AGGREGATOR));
    vec![certificate.encode()]
}

pub(super) fn releases() -> Vec<Vec<u8>> {
    let tensor = |name: &str| TensorSpec {
        name: name.into(),
        datatype: "FP32".into(),
        shape: vec![-1, 4],
    };
    let release = Release {
        name: "digits".into(),
        version: "1.0.0".into(),
        runtime: "onnx".into(),
        artifacts: vec![Artifact {
            path: "model.onnx".into(),
            blake3: ContentHash::new([1; 32]),
            sha256: ContentHash::new([2; 32]),
            size: 1,
        }],
        entry: "model.onnx".into(),
        inputs: vec![tensor("in")],
        outputs: vec![tensor("out")],
        labels: vec!["0".into(), "1".into()],
        license: "MIT".into(),
        tags: vec!["vision".into()],
        task: "image-classification".into(),
        summary: "Reads digits.".into(),
        parent: Some(RecordId::new([5; 32])),
        reference: Vec::new(),
        input_reference: vec![5, 1],
    };
    vec![release.encode()]
}

/// A small task, as its golden bytes have it.
fn task() -> Task {
    let seat = |b: u8| Aggregator {
        identity: key(b).public(),
        node_key: key(b + 10).public(),
        hpke_key: key(b + 20).public(),
    };
    let golden = hex::decode(include_str!("../../../protocol/src/task/golden_task.hex").trim());
    let held = golden.ok().and_then(|bytes| Task::decode(&bytes).ok());
    held.unwrap_or_else(|| Task {
        committee: vec![seat(1), seat(2), seat(3)],
        ..plain_task()
    })
}

fn plain_task() -> Task {
    Task {
        name: "digits-in-the-field".into(),
        committee: Vec::new(),
        statistics: Statistics {
            releases: vec![RecordId::new([1; 32]), RecordId::new([2; 32])],
            slices: vec!["clean".into(), "blur".into()],
            records_max: 400,
            paired: true,
            calibration: true,
            extra: Extra::default(),
        },
        privacy: Privacy {
            epsilon_micro: 2_000_000,
            delta_pico: 1_000_000,
            sigma_squared: 90_000,
            l2_squared: 12_000,
        },
        eligibility: Eligibility::Open,
        min_batch: 4,
        reports_expected: 5,
        opens_at_ms: 1_000,
        closes_at_ms: 61_000,
        window: 0,
        patience_ms: 0,
        recurrence: None,
        replicate_groups: 1,
    }
}

pub(super) fn tasks() -> Vec<Vec<u8>> {
    vec![task().encode()]
}

pub(super) fn challenges() -> Vec<Vec<u8>> {
    let challenge = Challenge {
        name: "digits".into(),
        scenario: "Digits under bad light.".into(),
        task: RecordId::new([1; 32]),
        slices: vec![Slice {
            name: "clean".into(),
            description: "As photographed.".into(),
        }],
        clean_slice: "clean".into(),
        metric: "accuracy".into(),
        previous: None,
    };
    vec![challenge.encode()]
}

pub(super) fn transcripts() -> Vec<Vec<u8>> {
    let ids = [ReportId::new([1; 16]), ReportId::new([2; 16])];
    let transcript = Transcript {
        batch: batch(),
        count: 2,
        report_root: merkle::root(&ids),
        group_seed: None,
        rejections: vec![(RejectionReason::Proof, 1)],
    };
    let drawn = Transcript {
        group_seed: Some(ContentHash::of(b"seed")),
        ..transcript.clone()
    };
    vec![transcript.encode(), drawn.encode()]
}

fn abort() -> Abort {
    Abort {
        batch: batch(),
        reason: AbortReason::ByHand,
        detail: "a typo".into(),
    }
}

pub(super) fn committee() -> Vec<Vec<u8>> {
    let (share, nonce) = (vec![1; 48], [2; 32]);
    let promise = ShareCommitment {
        batch: batch(),
        transcript: ContentHash::new([3; 32]),
        commitment: commitment(batch(), &share, &nonce),
    };
    let aggregate = Aggregate {
        batch: batch(),
        count: 2,
        values: vec![-1, 0, i64::MAX],
        shares: vec![RecordId::new([4; 32]); 3],
    };
    let share = AggregateShare {
        batch: batch(),
        share,
        nonce,
    };
    vec![
        promise.encode(),
        share.encode(),
        aggregate.encode(),
        abort().encode(),
    ]
}

fn a_report() -> Report {
    let node = key(4);
    let metadata = Metadata {
        batch: batch(),
        report_id: ReportId::new([2; 16]),
        contributor: key(3).public(),
        node_key: node.public(),
    };
    Report::sign(
        &node,
        metadata,
        vec![7; 96],
        vec![vec![1; 200], vec![2; 112], vec![3; 112]],
    )
}

pub(super) fn reports() -> Vec<Vec<u8>> {
    let report = a_report();
    let seats = report.clone().into_seats();
    let seats = seats.iter().map(|seat| seat.to_wire().encode_to_vec());
    std::iter::once(report.encode()).chain(seats).collect()
}

pub(super) fn receipts() -> Vec<Vec<u8>> {
    let receipt = Receipt::sign(&key(8), batch(), ReportId::new([2; 16]), 12);
    vec![receipt.to_wire().encode_to_vec()]
}

/// One request of every kind.
pub(super) fn requests() -> Vec<Vec<u8>> {
    let (task, window) = (batch().task.to_vec(), 0);
    let seat = a_report().into_seats().swap_remove(1).to_wire();
    let bodies = [
        rpc_request::Body::Frontier(wire::Frontier {
            heads: vec![wire::Head {
                author: vec![1; 32],
                log: vec![2; 32],
                next: 3,
                head: vec![4; 32],
                standing: Vec::new(),
            }],
            forks: vec![wire::ProvenFork {
                log: vec![2; 32],
                seq: 1,
            }],
            addresses: vec![node_address().to_wire()],
        }),
        rpc_request::Body::FetchRange(wire::FetchRange {
            log: vec![2; 32],
            from: 0,
            limit: 10,
        }),
        rpc_request::Body::FetchIds(wire::FetchIds {
            ids: vec![vec![1; 32], vec![2; 32]],
        }),
        rpc_request::Body::FetchProofs(wire::FetchProofs {
            logs: vec![vec![2; 32]],
        }),
        rpc_request::Body::Upload(a_report().to_wire()),
        rpc_request::Body::VerifyKeyShare(wire::VerifyKeyShare {
            task: task.clone(),
            window,
            commitment: vec![4; 32],
            ..Default::default()
        }),
        rpc_request::Body::VerifyInit(wire::VerifyInit {
            task: task.clone(),
            window,
            verify_key: vec![5; 32],
            key_shares: vec![vec![6; 32]; 3],
            reports: vec![seat],
        }),
        rpc_request::Body::VerifyFinish(wire::VerifyFinish {
            task: task.clone(),
            window,
            messages: vec![wire::VerifyMessage {
                report_id: vec![2; 16],
                message: vec![6; 32],
            }],
        }),
        rpc_request::Body::Conclude(wire::Conclude {
            task,
            window,
            report_ids: vec![vec![1; 16], vec![2; 16]],
            rejected: vec![wire::Verdict {
                report_id: vec![3; 16],
                rejection: 5,
            }],
        }),
    ];
    let encode = |body| wire::RpcRequest { body: Some(body) }.encode_to_vec();
    bodies.into_iter().map(encode).collect()
}

/// One response of every kind.
pub(super) fn responses() -> Vec<Vec<u8>> {
    let record = record_of(Kind::Profile, b"\x0a\x05alice".to_vec());
    let receipt = Receipt::sign(&key(8), batch(), ReportId::new([2; 16]), 12);
    let bodies = [
        rpc_response::Body::Records(wire::Records {
            records: vec![record.to_wire()],
        }),
        rpc_response::Body::Proofs(wire::Proofs { proofs: Vec::new() }),
        rpc_response::Body::Receipt(receipt.to_wire()),
        rpc_response::Body::Outcomes(wire::VerifyOutcomes {
            outcomes: vec![wire::VerifyOutcome {
                report_id: vec![2; 16],
                verifier_share: vec![1; 64],
                rejection: 0,
            }],
        }),
        rpc_response::Body::Done(wire::Done {
            group_nonce: vec![7; 32],
        }),
        rpc_response::Body::Refusal(wire::Refusal {
            code: 1,
            detail: "not yet".into(),
        }),
    ];
    let encode = |body| wire::RpcResponse { body: Some(body) }.encode_to_vec();
    bodies.into_iter().map(encode).collect()
}

pub(super) fn announcements() -> Vec<Vec<u8>> {
    let record = record_of(Kind::Profile, b"\x0a\x05alice".to_vec());
    let bodies = [
        announcement::Body::Record(record.to_wire()),
        announcement::Body::Address(node_address().to_wire()),
    ];
    let encode = |body| wire::Announcement { body: Some(body) }.encode_to_vec();
    bodies.into_iter().map(encode).collect()
}

pub(super) fn runner() -> Vec<Vec<u8>> {
    vec![b"\x22\x00".to_vec(), b"\x0a\x04\x0a\x02\x08\x01".to_vec()]
}
