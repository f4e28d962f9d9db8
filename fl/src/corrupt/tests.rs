//! What a user of corruptions would notice.

use super::*;
use proptest::prelude::*;

const SECRET: [u8; 32] = [7; 32];

/// An 8 × 8 ring, much like a zero among handwritten digits with values 0 to 16.
fn digit() -> Vec<f32> {
    let row = |bits: u8| (0..8).map(move |x| if bits >> (7 - x) & 1 == 1 { 15.0 } else { 0.0 });
    [0x3c, 0x7e, 0x66, 0x42, 0x42, 0x66, 0x7e, 0x3c]
        .into_iter()
        .flat_map(row)
        .collect()
}

fn corrupted(operator: Operator, severity: u8, record: u8) -> Vec<f32> {
    let mut pixels = digit();
    let frame = Frame {
        pixels: &mut pixels,
        width: 8,
        height: 8,
        max: 16.0,
    };
    apply(
        operator,
        frame,
        severity,
        &RecordKey {
            secret: &SECRET,
            record_id: &[record],
        },
    )
    .unwrap();
    pixels
}

fn distance(one: &[f32], other: &[f32]) -> f32 {
    one.iter()
        .zip(other)
        .map(|(a, b)| (a - b) * (a - b))
        .sum::<f32>()
        .sqrt()
}

#[test]
fn each_step_of_severity_takes_more_of_the_image() {
    for operator in Operator::ALL {
        let mean = |severity| {
            let all = (0..100).map(|record| distance(&corrupted(operator, severity, record), &digit()));
            all.sum::<f32>() / 100.0
        };
        let ladder: Vec<f32> = (1..=5).map(mean).collect();
        assert!(
            ladder.windows(2).all(|pair| pair[1] > 1.1 * pair[0]),
            "{operator:?} {ladder:?}"
        );
        // Against an image's norm of about 85: visible at 1, harsh and not hopeless at 5.
        assert!((8.0..35.0).contains(&ladder[0]), "{operator:?} {ladder:?}");
        assert!((40.0..80.0).contains(&ladder[4]), "{operator:?} {ladder:?}");
    }
}

#[test]
fn randomness_follows_record_secret_and_operator_alone() {
    for operator in [Operator::LowLight, Operator::SensorNoise, Operator::Occlusion] {
        assert_eq!(corrupted(operator, 3, 1), corrupted(operator, 3, 1));
        assert!((2..8).any(|record| corrupted(operator, 3, record) != corrupted(operator, 3, 1)));
    }
    let other = RecordKey {
        secret: &[8; 32],
        record_id: &[1],
    };
    let mut pixels = digit();
    let frame = Frame {
        pixels: &mut pixels,
        width: 8,
        height: 8,
        max: 16.0,
    };
    apply(Operator::SensorNoise, frame, 3, &other).unwrap();
    assert_ne!(pixels, corrupted(Operator::SensorNoise, 3, 1));
}

#[test]
fn the_corrupted_bytes_are_the_same_on_every_machine() {
    let digests: Vec<String> = Operator::ALL
        .into_iter()
        .map(|operator| {
            let bytes: Vec<u8> = corrupted(operator, 4, 9)
                .iter()
                .flat_map(|pixel| pixel.to_le_bytes())
                .collect();
            blake3::hash(&bytes).to_hex()[..16].to_owned()
        })
        .collect();
    assert_eq!(digests, GOLDEN);
}

const GOLDEN: [&str; 4] = [
    "224ac31c2d37fb04",
    "b066c8025a5a4df2",
    "b88bc892397dcc0d",
    "6b6944f91223892f",
];

#[test]
fn names_parse_and_nonsense_is_refused() {
    for operator in Operator::ALL {
        assert_eq!(Operator::parse(operator.name()), Ok(operator));
    }
    assert!(matches!(
        Operator::parse("fog"),
        Err(CorruptError::Unknown { .. })
    ));
    let key = RecordKey {
        secret: &SECRET,
        record_id: b"r",
    };
    let try_with = |pixels: &mut [f32], width, height, max, severity| {
        apply(
            Operator::Blur,
            Frame {
                pixels,
                width,
                height,
                max,
            },
            severity,
            &key,
        )
    };
    assert!(matches!(
        try_with(&mut digit(), 8, 8, 16.0, 0),
        Err(CorruptError::Severity { found: 0 })
    ));
    assert!(matches!(
        try_with(&mut digit(), 8, 8, 16.0, 6),
        Err(CorruptError::Severity { found: 6 })
    ));
    assert!(matches!(
        try_with(&mut digit(), 8, 7, 16.0, 1),
        Err(CorruptError::Shape { .. })
    ));
    assert!(matches!(
        try_with(&mut [], 0, 0, 16.0, 1),
        Err(CorruptError::Shape { .. })
    ));
    assert!(matches!(
        try_with(&mut digit(), 8, 8, 0.0, 1),
        Err(CorruptError::Range { .. })
    ));
    let mut broken = digit();
    broken[5] = f32::NAN;
    assert!(matches!(
        try_with(&mut broken, 8, 8, 16.0, 1),
        Err(CorruptError::Pixel { at: 5 })
    ));
}

proptest! {
    #[test]
    fn any_image_stays_in_its_range(
        width in 1usize..20,
        height in 1usize..20,
        max in 0.1f32..300.0,
        severity in 1u8..=5,
        seed in any::<u8>(),
    ) {
        for operator in Operator::ALL {
            let mut pixels: Vec<f32> =
                (0..width * height).map(|at| (at % 7) as f32 / 5.0 * max - 0.1).collect();
            let key = RecordKey { secret: &SECRET, record_id: &[seed] };
            let frame = Frame { pixels: &mut pixels, width, height, max };
            apply(operator, frame, severity, &key).unwrap();
            prop_assert!(pixels.iter().all(|pixel| (0.0..=max).contains(pixel)));
        }
    }
}
