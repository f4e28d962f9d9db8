//! Messages and records.

use fieldmark_ledger::payload::Body;
use fieldmark_node_core::rpc;
use fieldmark_protocol::address::{NodeAddress, NodeCertificate};
use fieldmark_protocol::aggregation::{Abort, Aggregate, AggregateShare, ShareCommitment, Transcript};
use fieldmark_protocol::challenge::Challenge;
use fieldmark_protocol::fork::EquivocationProof;
use fieldmark_protocol::record::SignedHeader;
use fieldmark_protocol::release::Release;
use fieldmark_protocol::report::{Receipt, Report, SeatReport};
use fieldmark_protocol::task::Task;
use fieldmark_protocol::{Kind, PublicKey, Record, SecretKey, wire};
use prost::Message;

pub(super) fn record(bytes: &[u8]) {
    for record in [Record::decode(bytes), Record::decode_stored(bytes)]
        .into_iter()
        .flatten()
    {
        // What decodes is written as it came.
        assert_eq!(Record::decode_stored(&record.encode()).ok(), Some(record.clone()));
        drop(Body::of(&record));
    }
}

pub(super) fn header(bytes: &[u8]) {
    drop(SignedHeader::check(bytes.to_vec(), vec![0; 64]));
}

/// The first byte is the kind, the rest is signed as its payload: what any stranger can do.
pub(super) fn payload(bytes: &[u8]) {
    let (kind, payload) = bytes
        .split_first()
        .map_or((0, bytes), |(kind, rest)| (*kind, rest));
    let key = SecretKey::from_seed(&[7; 32]);
    let kind = Kind::from_number(u32::from(kind));
    let record = Record::sign(&key, key.public(), None, kind, payload.to_vec(), 1);
    drop(Body::of(&record));
}

pub(super) fn fork(bytes: &[u8]) {
    drop(EquivocationProof::decode(bytes));
}

pub(super) fn address(bytes: &[u8]) {
    drop(NodeAddress::decode(bytes));
}

pub(super) fn certificate(bytes: &[u8]) {
    drop(NodeCertificate::decode(PublicKey::new([3; 32]), bytes));
}

pub(super) fn release(bytes: &[u8]) {
    if let Ok(release) = Release::decode(bytes) {
        assert_eq!(Release::decode(&release.encode()), Ok(release));
    }
}

pub(super) fn task(bytes: &[u8]) {
    if let Ok(task) = Task::decode(bytes) {
        assert_eq!(Task::decode(&task.encode()), Ok(task.clone()));
        // A task is checked against its statistics before anyone acts on it.
        drop(fieldmark_node_core::params::check(&task));
    }
}

pub(super) fn challenge(bytes: &[u8]) {
    if let Ok(challenge) = Challenge::decode(bytes) {
        assert_eq!(Challenge::decode(&challenge.encode()), Ok(challenge));
    }
}

pub(super) fn transcript(bytes: &[u8]) {
    if let Ok(transcript) = Transcript::decode(bytes) {
        assert_eq!(Transcript::decode(&transcript.encode()), Ok(transcript));
    }
}

pub(super) fn committee(bytes: &[u8]) {
    drop(ShareCommitment::decode(bytes));
    drop(AggregateShare::decode(bytes));
    drop(Aggregate::decode(bytes));
    drop(Abort::decode(bytes));
}

pub(super) fn report(bytes: &[u8]) {
    if let Ok(wire) = wire::Report::decode(bytes) {
        if let Ok(report) = Report::stored(wire.clone()) {
            drop(report.into_seats());
        }
        drop(Report::check(wire));
    }
    if let Ok(wire) = wire::HelperReport::decode(bytes) {
        drop(SeatReport::check(wire, 1));
    }
}

pub(super) fn receipt(bytes: &[u8]) {
    if let Ok(wire) = wire::Receipt::decode(bytes) {
        drop(Receipt::check(wire, PublicKey::new([8; 32])));
    }
}

pub(super) fn request(bytes: &[u8]) {
    drop(rpc::request(bytes));
}

pub(super) fn response(bytes: &[u8]) {
    drop(rpc::response(bytes));
}

pub(super) fn announcement(bytes: &[u8]) {
    let Ok(announcement) = wire::Announcement::decode(bytes) else {
        return;
    };
    match announcement.body {
        Some(wire::announcement::Body::Record(record)) => drop(Record::check(record)),
        Some(wire::announcement::Body::Proof(proof)) => drop(EquivocationProof::check(proof)),
        Some(wire::announcement::Body::Address(address)) => drop(NodeAddress::check(address)),
        None => {}
    }
}

pub(super) fn runner(bytes: &[u8]) {
    use fieldmark_proto::v1::{RunnerRequest, RunnerResponse};
    drop(RunnerRequest::decode(bytes));
    drop(RunnerResponse::decode(bytes));
}
