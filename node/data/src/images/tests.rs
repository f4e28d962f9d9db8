//! Image folders, good and bad.

use image::{GrayImage, Luma, Rgb, RgbImage};

use super::*;
use crate::{ImageShape, Source};

fn grey(path: &Path, side: u32, level: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    GrayImage::from_pixel(side, side, Luma([level]))
        .save(path)
        .unwrap();
}

fn read(folder: &Path, options: &ReadOptions) -> Result<Vec<Source>, DataError> {
    crate::open_with(folder, options)?.records()?.collect()
}

fn sized(width: usize, height: usize, channels: usize) -> ReadOptions {
    ReadOptions {
        image: ImageShape {
            width: Some(width),
            height: Some(height),
            channels: Some(channels),
        },
        ..ReadOptions::default()
    }
}

#[test]
fn folders_are_labels_and_images_get_one_shape() {
    let dir = tempfile::tempdir().unwrap();
    grey(&dir.path().join("cat/a.png"), 4, 255);
    grey(&dir.path().join("dog/b.bmp"), 8, 51);
    let mut colours = RgbImage::from_pixel(6, 6, Rgb([255, 0, 0]));
    colours.put_pixel(0, 0, Rgb([255, 0, 0]));
    colours.save(dir.path().join("dog/c.png")).unwrap();
    let found = read(dir.path(), &sized(2, 2, 1)).unwrap();
    let ids: Vec<&str> = found.iter().map(|s| s.record_id.as_str()).collect();
    assert_eq!(ids, ["cat/a.png", "dog/b.bmp", "dog/c.png"]);
    assert_eq!(found[0].target.class(), Some("cat"));
    assert_eq!(found[0].views["clean"].numbers(), Some([1.0; 4].as_slice()));
    assert!(
        found[1].views["clean"]
            .numbers()
            .unwrap()
            .iter()
            .all(|v| (v - 0.2).abs() < 1e-6)
    );
    // In colour: plane by plane.
    let colour = read(dir.path(), &sized(2, 2, 3)).unwrap();
    assert_eq!(
        colour[2].views["clean"].numbers().unwrap(),
        [1., 1., 1., 1., 0., 0., 0., 0., 0., 0., 0., 0.]
    );
    let error = read(dir.path(), &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("8 × 8") && error.contains("--size"), "{error}");
}

#[test]
fn a_table_names_images_with_their_attributes() {
    let dir = tempfile::tempdir().unwrap();
    grey(&dir.path().join("a.png"), 2, 0);
    grey(&dir.path().join("b.png"), 2, 255);
    let table = |text: &str| fs::write(dir.path().join("metadata.csv"), text).unwrap();
    table("file_name,label,hour\na.png,x,23\nb.png,y,12\n");
    let options = ReadOptions {
        slices: vec![crate::SliceRule {
            slice: "night".into(),
            condition: "hour > 20".into(),
        }],
        ..ReadOptions::default()
    };
    let found = read(dir.path(), &options).unwrap();
    assert!(found[0].views.contains_key("night") && !found[1].views.contains_key("night"));
    for (path, words) in [
        ("../secret.png", "no path inside"),
        ("/etc/passwd", "no path inside"),
        ("nowhere.png", "no such image"),
        (".", "no path inside"),
    ] {
        table(&format!("file_name,label\n{path},x\n"));
        let error = read(dir.path(), &ReadOptions::default()).unwrap_err().to_string();
        assert!(error.contains(words), "{path}: {error}");
    }
}

#[test]
fn links_are_refused() {
    let outside = tempfile::tempdir().unwrap();
    grey(&outside.path().join("x/a.png"), 2, 9);
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("cat")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("x/a.png"), dir.path().join("cat/a.png")).unwrap();
    let refused = || read(dir.path(), &ReadOptions::default()).unwrap_err().to_string();
    assert!(refused().contains("link"), "{}", refused());
    fs::remove_file(dir.path().join("cat/a.png")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("x"), dir.path().join("dog")).unwrap();
    assert!(refused().contains("link"), "{}", refused());
    fs::write(dir.path().join("labels.csv"), "file,label\ndog/a.png,x\n").unwrap();
    assert!(refused().contains("link"), "{}", refused());
}

#[test]
fn bombs_cut_files_and_no_images_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cat/a.png");
    grey(&path, 16, 9);
    let whole = fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        read(dir.path(), &ReadOptions::default()).unwrap_err().to_string()
    };
    // The sides are bytes 16 to 23 of a PNG; its checksum follows the header's 17 bytes.
    let mut bomb = whole.clone();
    bomb[16..24].copy_from_slice(&[0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0]);
    let checksum = crc(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    let error = refused(&bomb);
    assert!(
        error.contains("100000 × 100000") && error.contains("a.png"),
        "{error}"
    );
    for bytes in [
        &whole[..whole.len() / 2],
        &whole[..20],
        b"no image at all".as_slice(),
        b"",
    ] {
        let error = refused(bytes);
        assert!(error.contains("a.png"), "{error}");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(read(dir.path(), &ReadOptions::default()).unwrap().len(), 1);
}

#[test]
fn a_picture_is_not_scaled_to_any_size_that_a_model_states() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cat/a.png");
    grey(&path, 2, 9);
    for (width, height) in [(0, 2), (2, SCALED_SIDE_MAX + 1)] {
        let shape = ImageShape {
            width: Some(width),
            height: Some(height),
            channels: Some(1),
        };
        let error = picture(&path, shape, Range { low: 0.0, high: 1.0 }).unwrap_err();
        assert!(error.to_string().contains("scaled"), "{error}");
    }
}

/// CRC-32 as PNG uses it.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| {
            if c & 1 == 1 {
                (c >> 1) ^ 0xedb8_8320
            } else {
                c >> 1
            }
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[test]
fn an_empty_folder_holds_no_rows() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        read(dir.path(), &ReadOptions::default()),
        Err(DataError::Empty { .. })
    ));
}
