//! Tests of `aggregation`: what its records accept and refuse, and their golden bytes.

use super::*;

fn batch() -> BatchId {
    BatchId {
        task: RecordId::new([1; 32]),
        window: 3,
    }
}

#[test]
fn committee_records_survive_their_payloads() {
    let transcript = Transcript {
        batch: batch(),
        count: 5,
        report_root: ContentHash::of(b"r"),
        group_seed: None,
        rejections: vec![(RejectionReason::Duplicate, 1), (RejectionReason::Proof, 2)],
    };
    assert_eq!(Transcript::decode(&transcript.encode()).unwrap(), transcript);
    let aggregate = Aggregate {
        batch: batch(),
        count: 5,
        values: vec![-3, 7, i64::MAX],
        shares: vec![RecordId::new([2; 32])],
    };
    assert_eq!(Aggregate::decode(&aggregate.encode()).unwrap(), aggregate);
    let abort = Abort {
        batch: batch(),
        reason: AbortReason::ByHand,
        detail: "a typo".into(),
    };
    assert_eq!(Abort::decode(&abort.encode()).unwrap(), abort);
}

#[test]
fn only_the_committed_share_opens_a_commitment() {
    let share = AggregateShare {
        batch: batch(),
        share: vec![1; 32],
        nonce: [9; 32],
    };
    let promised = ShareCommitment {
        batch: batch(),
        transcript: ContentHash::of(b"t"),
        commitment: commitment(batch(), &share.share, &share.nonce),
    };
    assert_eq!(AggregateShare::decode(&share.encode()).unwrap(), share);
    assert_eq!(ShareCommitment::decode(&promised.encode()).unwrap(), promised);
    assert!(share.opens(&promised));
    let other = AggregateShare {
        share: vec![2; 32],
        ..share
    };
    assert!(!other.opens(&promised));
}

#[test]
fn repeated_rejection_reasons_are_refused() {
    let wire = wire::Transcript {
        task: vec![1; 32],
        report_root: vec![2; 32],
        rejections: vec![wire::Rejection { reason: 5, count: 1 }; 2],
        ..Default::default()
    };
    assert_eq!(
        Transcript::decode(&wire.encode_to_vec()),
        Err(AggregationError::Rejections)
    );
}

#[test]
fn a_share_of_broken_field_elements_is_refused() {
    let share = AggregateShare {
        batch: batch(),
        share: vec![1; 33],
        nonce: [9; 32],
    };
    assert_eq!(
        AggregateShare::decode(&share.encode()),
        Err(AggregationError::Share(33))
    );
}

#[test]
fn golden_bytes_of_a_transcript_with_groups_begin_as_without() {
    let mut transcript = Transcript {
        batch: batch(),
        count: 5,
        report_root: ContentHash::new([2; 32]),
        group_seed: None,
        rejections: vec![(RejectionReason::Proof, 2)],
    };
    let plain = transcript.encode();
    let golden = [
        "0a20",
        &"01".repeat(32),
        "100318052220",
        &"02".repeat(32),
        "2a0408051002",
    ]
    .concat();
    assert_eq!(hex::encode(&plain), golden);
    transcript.group_seed = Some(ContentHash::new([3; 32]));
    let with = transcript.encode();
    assert_eq!(with, [plain.as_slice(), &[0x32, 32], &[3; 32]].concat());
    assert_eq!(Transcript::decode(&with).unwrap(), transcript);
    assert_ne!(transcript.digest(), ContentHash::of(&plain));
    assert!(matches!(
        Transcript::decode(&[plain.as_slice(), &[0x32, 1, 3]].concat()),
        Err(AggregationError::Id {
            field: "the seed of the groups",
            ..
        })
    ));
}
