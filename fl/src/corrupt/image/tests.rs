//! What a user of image corruptions would notice.

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
        channels: 1,
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
    // What compression takes depends on the image more than on the step: it has a test of its own.
    for operator in Operator::ALL.into_iter().filter(|o| *o != Operator::Compression) {
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
        channels: 1,
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

const GOLDEN: [&str; 6] = [
    "224ac31c2d37fb04",
    "b066c8025a5a4df2",
    "b88bc892397dcc0d",
    "6b6944f91223892f",
    "df19f7dece3ec730",
    "86a2711a73799886",
];

#[test]
fn nonsense_is_refused() {
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
                channels: 1,
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
        Err(CorruptError::NotFinite { at: 5 })
    ));
}

#[test]
fn compression_takes_more_with_each_step_and_leaves_flat_images_alone() {
    let image = |seed: usize| -> Vec<f32> {
        let at = |x: usize, y: usize| (x * 7 + y * 3 + seed * x * y / 5 + seed * 11) % 23;
        (0..24 * 20).map(|i| at(i % 24, i / 24) as f32 / 22.0).collect()
    };
    let compressed = |mut pixels: Vec<f32>, severity| {
        let frame = Frame {
            pixels: &mut pixels,
            width: 24,
            height: 20,
            channels: 1,
            max: 1.0,
        };
        let key = RecordKey {
            secret: &SECRET,
            record_id: b"r",
        };
        apply(Operator::Compression, frame, severity, &key).unwrap();
        pixels
    };
    let loss = |severity| {
        let all = (0..20).map(|seed| distance(&compressed(image(seed), severity), &image(seed)));
        all.sum::<f32>()
    };
    let ladder: Vec<f32> = (1..=5).map(loss).collect();
    assert!(
        ladder.windows(2).all(|pair| pair[1] > 1.05 * pair[0]),
        "{ladder:?}"
    );
    assert!(distance(&compressed(vec![0.5; 480], 1), &vec![0.5; 480]) < 1.0);
}

#[test]
fn colour_planes_share_their_block_and_keep_their_own_noise() {
    let planes = |operator| {
        let mut pixels: Vec<f32> = [digit(), digit(), digit()].concat();
        let frame = Frame {
            pixels: &mut pixels,
            width: 8,
            height: 8,
            channels: 3,
            max: 16.0,
        };
        let key = RecordKey {
            secret: &SECRET,
            record_id: &[1],
        };
        apply(operator, frame, 3, &key).unwrap();
        pixels.chunks(64).map(<[f32]>::to_vec).collect::<Vec<_>>()
    };
    for operator in [Operator::Occlusion, Operator::Blur, Operator::Compression] {
        let planes = planes(operator);
        assert!(planes.iter().all(|plane| *plane == planes[0]), "{operator:?}");
        assert_eq!(planes[0], corrupted(operator, 3, 1));
    }
    let noisy = planes(Operator::SensorNoise);
    assert_ne!(noisy[0], noisy[1]);
    assert_eq!(noisy[0], corrupted(Operator::SensorNoise, 3, 1));
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
            let frame = Frame { pixels: &mut pixels, width, height, channels: 1, max };
            apply(operator, frame, severity, &key).unwrap();
            prop_assert!(pixels.iter().all(|pixel| (0.0..=max).contains(pixel)));
        }
    }
}
