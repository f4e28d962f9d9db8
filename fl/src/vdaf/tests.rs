//! What aggregators accept, what they refuse, and that nothing panics on the way.

use super::*;
use crate::privacy::NoiseScale;
use crate::schema::{RecordOutcome, SchemaParams, Statistics};
use prio::field::FieldElementWithInteger;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const CTX: &[u8] = b"fieldmark test task";
const KEY: [u8; 32] = [42; 32];
const NONCE: [u8; 16] = [3; 16];

fn vdaf(aggregators: u8) -> Vdaf {
    let statistics = Statistics {
        paired: true,
        calibration: true,
        extra: crate::schema::Extra::PLAIN,
    };
    let params = SchemaParams {
        models: 2,
        slices: 3,
        cap: 11,
        statistics,
    };
    Vdaf::new(&Schema::new(&params).unwrap(), aggregators).unwrap()
}

fn measurement(schema: &Schema, records: usize, salt: usize) -> Measurement {
    let outcomes: Vec<_> = (0..records)
        .map(|record| RecordOutcome {
            correct: (0..2)
                .map(|m| {
                    (0..3)
                        .map(|s| !(record * 7 + m * 3 + s + salt).is_multiple_of(3))
                        .collect()
                })
                .collect(),
            confidence: vec![vec![0.7; 3]; 2],
            details: None,
        })
        .collect();
    schema.measure(&outcomes).unwrap()
}

/// Runs verification among all aggregators, through the byte form of everything.
fn verify(vdaf: &Vdaf, shares: &Shares) -> Result<Vec<OutputShare>, VdafError> {
    let mut states = Vec::new();
    let mut verifier_shares = Vec::new();
    for (index, input) in (0..).zip(&shares.inputs) {
        let (state, share) = vdaf.verify_init(&KEY, CTX, index, &NONCE, &shares.public, input)?;
        let restored = vdaf.decode_state(&state.encode()?)?;
        assert!(restored == state);
        states.push(restored);
        verifier_shares.push(share);
    }
    let message = vdaf.combine(CTX, &verifier_shares)?;
    let finish = |state| vdaf.verify_next(CTX, state, &message);
    let outputs: Vec<OutputShare> = states.into_iter().map(finish).collect::<Result<_, _>>()?;
    for output in &outputs {
        assert!(vdaf.decode_output(&output.encode())? == *output);
    }
    Ok(outputs)
}

fn encoded(vdaf: &Vdaf) -> Vec<Field> {
    vdaf.circuit
        .encode_measurement(&measurement(vdaf.schema(), 5, 1))
        .unwrap()
}

fn refused(vdaf: &Vdaf, input: &[Field]) -> bool {
    let shares = shard::shard_unchecked(&vdaf.circuit, vdaf.aggregators(), CTX, &NONCE, input);
    matches!(
        verify(vdaf, &shares),
        Err(VdafError::Rejected { step: "combine", .. })
    )
}

#[test]
fn reports_add_up_whatever_the_number_of_aggregators() {
    for aggregators in [2, 3, 5] {
        let vdaf = vdaf(aggregators);
        let mut sums = vec![vdaf.zero(); usize::from(aggregators)];
        let mut expected = vec![0i128; vdaf.schema().len()];
        for seed in 0..4u8 {
            let salt = usize::from(seed);
            let measurement = measurement(vdaf.schema(), 2 + 3 * salt, salt);
            let shares = vdaf.shard(CTX, &measurement, &NONCE, &[seed; 32]).unwrap();
            for (sum, output) in sums.iter_mut().zip(verify(&vdaf, &shares).unwrap()) {
                let mut one = vdaf.zero();
                one.accumulate(&output).unwrap();
                sum.merge(&one).unwrap();
            }
            for (total, value) in expected.iter_mut().zip(vdaf.schema().release(&measurement)) {
                *total += value;
            }
        }
        assert_eq!(vdaf.unshard(&sums).unwrap(), expected);
        assert!(
            expected.iter().any(|&value| value < 0),
            "centring gives negative entries"
        );
        let missing = vdaf.unshard(&sums[1..]).unwrap_err();
        assert!(matches!(missing, VdafError::Incomplete { .. }));
    }
}

#[test]
fn the_largest_schema_works() {
    let statistics = Statistics {
        paired: true,
        calibration: true,
        extra: crate::schema::Extra::PLAIN,
    };
    let params = SchemaParams {
        models: 16,
        slices: 32,
        cap: 1_000_000,
        statistics,
    };
    let schema = Schema::new(&params).unwrap();
    let vdaf = Vdaf::new(&schema, 2).unwrap();
    let full = RecordOutcome {
        correct: vec![vec![true; 32]; 16],
        confidence: vec![vec![1.0; 32]; 16],
        details: None,
    };
    let one = schema.measure(&[full]).unwrap();
    let values = one.values().iter().map(|value| value * 1_000_000).collect();
    let most = Measurement::new(&schema, values).unwrap();
    let shares = vdaf.shard(CTX, &most, &NONCE, &[1; 32]).unwrap();
    let sums: Vec<_> = verify(&vdaf, &shares)
        .unwrap()
        .into_iter()
        .map(|output| AggregateShare(output.0))
        .collect();
    assert_eq!(vdaf.unshard(&sums).unwrap(), schema.release(&most));
    assert!(vdaf.report_bytes_max() < 1 << 21, "{}", vdaf.report_bytes_max());
}

#[test]
fn one_aggregator_is_no_committee() {
    let schema = vdaf(2).schema().clone();
    for aggregators in [0, 1, 6, 255] {
        let error = Vdaf::new(&schema, aggregators).unwrap_err();
        assert!(matches!(error, VdafError::Aggregators { found } if found == aggregators));
    }
}

#[test]
fn an_honest_input_is_accepted_by_the_unchecked_path_too() {
    let vdaf = vdaf(2);
    assert!(!refused(&vdaf, &encoded(&vdaf)));
}

#[test]
fn counting_more_correct_than_records_is_refused() {
    let vdaf = vdaf(3);
    let mut input = encoded(&vdaf);
    // The bits of n = 5 (cap 11: weights 1, 2, 4, 4) cleared: every value now exceeds its bound.
    for bit in &mut input[..4] {
        *bit = Field::zero();
    }
    assert!(refused(&vdaf, &input));
}

#[test]
fn a_value_raised_by_one_is_refused() {
    let vdaf = vdaf(2);
    let honest = encoded(&vdaf);
    for at in 4..honest.len() {
        let mut input = honest.clone();
        input[at] = Field::one() - input[at];
        assert!(refused(&vdaf, &input), "flipped element {at}");
    }
}

#[test]
fn more_records_than_the_cap_are_refused() {
    let vdaf = vdaf(2);
    let mut input = encoded(&vdaf);
    // n = 100 by an element that is not a bit, with slacks that make every sum right.
    input[0] = Field::from(96);
    let mut rest = 4;
    for entry in vdaf.schema().entries().iter().skip(1) {
        let bits = (entry.per_record_max * 11).ilog2() as usize + 1;
        input[rest + bits] += Field::from(u128::from(entry.per_record_max) * 95);
        rest += 2 * bits;
    }
    assert_eq!(rest, input.len());
    assert!(refused(&vdaf, &input));
}

#[test]
fn a_negative_slack_is_refused() {
    let vdaf = vdaf(2);
    let mut input = encoded(&vdaf);
    // The first value gains two and its slack loses two, by elements that are not bits.
    input[4] += Field::from(2);
    input[8] -= Field::from(2);
    assert!(refused(&vdaf, &input));
}

#[test]
fn altered_shares_are_refused_by_every_aggregator() {
    let vdaf = vdaf(3);
    let shares = vdaf
        .shard(CTX, &measurement(vdaf.schema(), 4, 0), &NONCE, &[1; 32])
        .unwrap();
    assert!(verify(&vdaf, &shares).is_ok());
    let positions = [
        0,
        16 * 20,
        shares.inputs[0].len() - 40,
        shares.inputs[0].len() - 1,
    ];
    for at in positions {
        let mut altered = shares.clone();
        altered.inputs[0][at] ^= 1;
        assert!(verify(&vdaf, &altered).is_err(), "leader byte {at}");
    }
    for at in [0, 31, 32, 63] {
        let mut altered = shares.clone();
        altered.inputs[2][at] ^= 1;
        assert!(verify(&vdaf, &altered).is_err(), "helper byte {at}");
        let mut altered = shares.clone();
        altered.public[at] ^= 1;
        assert!(verify(&vdaf, &altered).is_err(), "public byte {at}");
    }
}

#[test]
fn a_report_belongs_to_its_context_and_nonce() {
    let vdaf = vdaf(2);
    let shares = vdaf
        .shard(
            b"another task",
            &measurement(vdaf.schema(), 4, 0),
            &NONCE,
            &[1; 32],
        )
        .unwrap();
    assert!(verify(&vdaf, &shares).is_err());
    let shares = vdaf
        .shard(CTX, &measurement(vdaf.schema(), 4, 0), &[9; 16], &[1; 32])
        .unwrap();
    assert!(verify(&vdaf, &shares).is_err());
}

#[test]
fn sharding_repeats_with_its_seed_and_a_reused_seed_hides_differences() {
    let vdaf = vdaf(2);
    let (one, two) = (measurement(vdaf.schema(), 4, 0), measurement(vdaf.schema(), 4, 1));
    let shares = vdaf.shard(CTX, &one, &NONCE, &[1; 32]).unwrap();
    assert!(shares == vdaf.shard(CTX, &one, &NONCE, &[1; 32]).unwrap());
    assert!(shares != vdaf.shard(CTX, &one, &NONCE, &[2; 32]).unwrap());
    assert_ne!(
        shares.inputs[1],
        vdaf.shard(CTX, &two, &NONCE, &[1; 32]).unwrap().inputs[1]
    );
}

#[test]
fn the_messages_keep_their_bytes() {
    let vdaf = vdaf(3);
    let shares = vdaf
        .shard(CTX, &measurement(vdaf.schema(), 4, 0), &NONCE, &[1; 32])
        .unwrap();
    assert_eq!(shares.public.len(), vdaf.public_share_bytes());
    let bytes = [shares.public.clone(), shares.inputs.concat()].concat();
    assert_eq!(blake3::hash(&bytes).to_hex().as_str(), GOLDEN);
    let sealed = 3 * seal::OVERHEAD_BYTES;
    assert_eq!(bytes.len() + sealed, vdaf.report_bytes_max());
}

const GOLDEN: &str = "36b97363ec3e084279d174552567ff95db91f578066091ec86881397ca6ad240";

#[test]
fn a_measurement_of_another_schema_is_refused() {
    let vdaf = vdaf(2);
    let params = SchemaParams {
        cap: 50,
        ..vdaf.schema().params()
    };
    let wider = Schema::new(&params).unwrap();
    let error = vdaf
        .shard(CTX, &measurement(&wider, 40, 0), &NONCE, &[1; 32])
        .unwrap_err();
    assert!(matches!(error, VdafError::Measurement(_)));
}

#[test]
fn noise_is_added_to_every_entry() {
    let vdaf = vdaf(2);
    let mut share = vdaf.zero();
    let mut rng = ChaCha20Rng::from_seed([5; 32]);
    share
        .add_noise(
            NoiseScale {
                sigma_squared: 1 << 40,
            },
            &mut rng,
        )
        .unwrap();
    let vector = vdaf.unshard(&[share.clone(), vdaf.zero()]).unwrap();
    assert!(vector.iter().all(|&value| value != 0 && value.abs() < 1 << 24));
    assert!(vdaf.decode_share(&share.encode()).unwrap() == share);
    assert!(
        share
            .add_noise(NoiseScale { sigma_squared: 0 }, &mut rng)
            .is_err()
    );
}

#[test]
fn lengths_indices_and_counts_are_checked() {
    let vdaf = vdaf(2);
    let shares = vdaf
        .shard(CTX, &measurement(vdaf.schema(), 4, 0), &NONCE, &[1; 32])
        .unwrap();
    let init = |ctx: &[u8], index, public: &[u8], input: &[u8]| {
        vdaf.verify_init(&KEY, ctx, index, &NONCE, public, input)
    };
    assert!(matches!(
        init(CTX, 2, &shares.public, &shares.inputs[1]),
        Err(VdafError::Index { .. })
    ));
    assert!(matches!(
        init(CTX, 1, &shares.public, &shares.inputs[0]),
        Err(VdafError::Bytes { .. })
    ));
    assert!(matches!(
        init(CTX, 1, &shares.public[1..], &shares.inputs[1]),
        Err(VdafError::Bytes { .. })
    ));
    let long = vec![0; CTX_BYTES_MAX + 1];
    assert!(matches!(
        init(&long, 1, &shares.public, &shares.inputs[1]),
        Err(VdafError::Context { .. })
    ));
    let (state, share) = init(CTX, 1, &shares.public, &shares.inputs[1]).unwrap();
    assert!(matches!(
        vdaf.combine(CTX, std::slice::from_ref(&share)),
        Err(VdafError::Incomplete { .. })
    ));
    assert!(vdaf.combine(CTX, &[share.clone(), share[1..].to_vec()]).is_err());
    assert!(vdaf.verify_next(CTX, state.clone(), &[0; 31]).is_err());
    assert!(vdaf.verify_next(CTX, state, &[0; 32]).is_err());
    assert!(vdaf.decode_state(&[]).is_err());
    assert!(vdaf.decode_state(&[7; 65]).is_err());
    assert!(vdaf.decode_share(&[0; 17]).is_err());
    assert!(
        Field::modulus() > 0
            && vdaf
                .decode_share(&vec![0xff; vdaf.aggregate_share_bytes()])
                .is_err()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_of_any_length_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let vdaf = vdaf(2);
        let public = vec![1; vdaf.public_share_bytes()];
        for index in 0..2 {
            let _ = vdaf.verify_init(&KEY, CTX, index, &NONCE, &public, &bytes);
        }
        prop_assert!(vdaf.combine(CTX, &[bytes.clone(), bytes.clone()]).is_err());
        let _ = vdaf.decode_state(&bytes);
        let _ = vdaf.decode_share(&bytes);
    }

    #[test]
    fn any_shares_of_the_right_length_are_refused(seed in any::<u64>()) {
        let vdaf = vdaf(2);
        let mut stream = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
        let mut random = |len: usize| {
            let mut bytes = vec![0; len];
            stream.fill(&mut bytes);
            // Below the modulus, so that decoding succeeds.
            bytes.iter_mut().skip(15).step_by(16).for_each(|byte| *byte &= 0x7f);
            bytes
        };
        let inputs = (0..2).map(|index| random(vdaf.input_share_bytes(index))).collect();
        let shares = Shares { public: random(vdaf.public_share_bytes()), inputs };
        prop_assert!(verify(&vdaf, &shares).is_err());
    }
}
