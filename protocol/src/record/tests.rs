//! Tests of `record`: what a caller notices.

use proptest::prelude::*;

use super::*;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn sample() -> Record {
    Record::sign(
        &key(1),
        key(1).public(),
        None,
        Kind::Profile,
        b"payload".to_vec(),
        1_700_000_000_000,
    )
}

#[test]
fn a_record_survives_the_wire() {
    let record = sample();
    assert_eq!(Record::decode(&record.encode()).unwrap(), record);
    assert_eq!(Record::decode_stored(&record.encode()).unwrap(), record);
}

#[test]
fn golden_bytes_of_a_record_header() {
    let expected = include_str!("golden_header.hex").trim();
    assert_eq!(hex::encode(&sample().signed.bytes), expected);
}

#[test]
fn a_swapped_payload_is_refused() {
    let mut wire = sample().to_wire();
    wire.payload = b"other".to_vec();
    assert!(matches!(Record::check(wire), Err(RecordError::Payload { .. })));
}

#[test]
fn a_header_signed_by_another_key_is_refused() {
    let mut wire = sample().to_wire();
    wire.signature = key(2).sign(Domain::Record, &wire.header).to_vec();
    assert!(matches!(Record::check(wire), Err(RecordError::Signature(_))));
}

#[test]
fn a_header_with_an_extra_field_is_refused_though_signed() {
    let mut wire = sample().to_wire();
    wire.header.extend([0x78, 1]);
    wire.signature = key(1).sign(Domain::Record, &wire.header).to_vec();
    assert!(matches!(
        Record::check(wire),
        Err(RecordError::Decode(DecodeError::NotCanonical { .. }))
    ));
}

#[test]
fn seq_zero_has_no_predecessor_and_later_ones_have() {
    let first = sample();
    let mut header = first.header().clone();
    header.seq = 3;
    let bytes = encode(&header);
    let signature = key(1).sign(Domain::Record, &bytes).to_vec();
    assert_eq!(
        SignedHeader::check(bytes, signature),
        Err(RecordError::Chain { seq: 3 })
    );
}

#[test]
fn an_oversized_payload_is_refused() {
    let record = Record::sign(
        &key(1),
        key(1).public(),
        None,
        Kind::Release,
        vec![0; PAYLOAD_BYTES_MAX + 1],
        1,
    );
    assert!(matches!(
        Record::check(record.to_wire()),
        Err(RecordError::Decode(DecodeError::TooLong { .. }))
    ));
}

#[test]
fn an_unknown_kind_is_kept() {
    let record = Record::sign(&key(1), key(1).public(), None, Kind::Unknown(900), vec![1], 1);
    assert_eq!(
        Record::decode(&record.encode()).unwrap().header().kind,
        Kind::Unknown(900)
    );
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Record::decode(&bytes);
        let _ = Record::decode_stored(&bytes);
    }

    #[test]
    fn a_truncated_record_is_refused(cut in 0usize..150) {
        let bytes = sample().encode();
        prop_assume!(cut < bytes.len());
        prop_assert!(Record::decode(&bytes[..cut]).is_err());
    }

    #[test]
    fn any_record_survives_the_wire(seed in 1u8..255, kind in 0u32..40, payload in proptest::collection::vec(any::<u8>(), 0..200), at in any::<u64>()) {
        let author = key(seed);
        let first = Record::sign(&author, author.public(), None, Kind::from_number(kind), payload, at);
        let next = Record::sign(&author, author.public(), Some((0, first.id())), Kind::Profile, vec![], at);
        prop_assert_eq!(Record::decode(&first.encode()).unwrap(), first);
        prop_assert_eq!(next.header().seq, 1);
    }
}
