//! Inputs of one request from files: JSON, arrays, tables, texts and pictures.

use std::path::Path;

use anyhow::Context as _;
use fieldmark_node_data::{ImageShape, Range};
use fieldmark_protocol::release::TensorSpec;
use fieldmark_tensors::fits;
use serde_json::{Value, json};

use crate::failure::Failure;

/// Endings of pictures.
const PICTURES: [&str; 5] = ["png", "jpg", "jpeg", "bmp", "webp"];

/// The request's inputs: an object by name from JSON, or one tensor from rows of numbers, lines of text or a picture,
/// which is scaled to `range`. `note` hears how a picture was read.
pub(crate) fn read(
    path: &Path,
    inputs: &[TensorSpec],
    range: Option<Range>,
    note: &dyn Fn(&str),
) -> anyhow::Result<Value> {
    let ending = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let text =
        || std::fs::read_to_string(path).with_context(|| format!("{}: cannot read it", path.display()));
    let is_picture = PICTURES.contains(&ending.as_str());
    if range.is_some() && !is_picture {
        let message = format!(
            "{}: --range is for pictures alone; leave it out, other inputs are taken as they are",
            path.display()
        );
        return Err(Failure::usage(message).into());
    }
    if ending == "json" {
        return serde_json::from_str(&text()?)
            .with_context(|| format!("{}: this is not JSON", path.display()));
    }
    let [input] = inputs else {
        let message = format!(
            "{}: the model has {} inputs; give them by name in a .json file",
            path.display(),
            inputs.len()
        );
        return Err(Failure::usage(message).into());
    };
    if input.datatype == "BYTES" {
        let content = text()?;
        let texts: Vec<&str> = content.lines().collect();
        return Ok(json!({ input.name.clone(): texts }));
    }
    let (shape, values) = if is_picture {
        picture(path, input, range, note)?
    } else {
        let matrix = fieldmark_node_data::matrix(path)?;
        let found: Vec<i64> = matrix
            .shape
            .iter()
            .map(|size| i64::try_from(*size))
            .collect::<Result<_, _>>()?;
        let shape = fitted(&input.shape, &found).ok_or_else(|| {
            let (name, shape) = (&input.name, &input.shape);
            Failure::usage(format!(
                "{}: numbers of shape {found:?} do not fit input '{name}' of shape {shape:?} (-1 is any size)",
                path.display()
            ))
        })?;
        (shape, matrix.values)
    };
    let data: Vec<Value> = values
        .iter()
        .map(|value| number(*value, &input.datatype))
        .collect();
    Ok(json!([{ "name": input.name, "datatype": input.datatype, "shape": shape, "data": data }]))
}

/// A number as JSON has it for a datatype: whole ones without a fraction where the datatype wants it.
fn number(value: f64, datatype: &str) -> Value {
    let whole = !datatype.starts_with("FP") && value.fract() == 0.0 && value.abs() < 9e15;
    match datatype {
        "BOOL" if value == 0.0 || value == 1.0 => json!(value == 1.0),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and within ±9e15, as just checked"
        )]
        _ if whole => json!(value as i64),
        _ => json!(value),
    }
}

/// How an input holds a picture.
#[derive(Debug, Clone, Copy)]
struct Layout {
    channels: usize,
    height: Option<usize>,
    width: Option<usize>,
    /// Channels come last.
    interleaved: bool,
    /// The tensor's shape, of channels, height and width.
    shape: fn(i64, i64, i64) -> Vec<i64>,
}

/// A picture scaled to what the input's shape and the range say, with the shape that it has then.
fn picture(
    path: &Path,
    input: &TensorSpec,
    range: Option<Range>,
    note: &dyn Fn(&str),
) -> anyhow::Result<(Vec<i64>, Vec<f64>)> {
    let layout = layout(&input.shape).ok_or_else(|| {
        let (name, shape) = (&input.name, &input.shape);
        Failure::usage(format!(
            "{}: input '{name}' of shape {shape:?} is no picture; pictures have 1 or 3 channels before or after height \
             and width, or as many numbers as a square has",
            path.display()
        ))
    })?;
    let is_whole = input.datatype.contains("INT");
    let high = if is_whole { 255.0 } else { 1.0 };
    let scale = range.unwrap_or(Range { low: 0.0, high });
    let shape = ImageShape {
        width: layout.width,
        height: layout.height,
        channels: Some(layout.channels),
    };
    let picture = fieldmark_node_data::picture(path, shape, scale)?;
    let channels = match picture.channels {
        1 => "1 channel".to_owned(),
        more => format!("{more} channels"),
    };
    let hint = range.map_or(" (--range says otherwise)", |_| "");
    note(&format!(
        "{}: {} × {} pixels, {channels}, values {} to {}{hint}",
        path.display(),
        picture.width,
        picture.height,
        scale.low,
        scale.high
    ));
    let value = |value: &f32| f64::from(if is_whole { value.round() } else { *value });
    let planes: Vec<f64> = picture.values.iter().map(value).collect();
    let pixels = picture.width * picture.height;
    let values = if layout.interleaved && layout.channels > 1 && pixels > 0 {
        let at = |pixel: usize| planes.iter().skip(pixel).step_by(pixels).copied();
        (0..pixels).flat_map(at).collect()
    } else {
        planes
    };
    let (channels, height, width) = (
        i64::try_from(picture.channels)?,
        i64::try_from(picture.height)?,
        i64::try_from(picture.width)?,
    );
    Ok(((layout.shape)(channels, height, width), values))
}

/// Where channels, height and width are in a shape.
fn layout(shape: &[i64]) -> Option<Layout> {
    let channels = |size: i64| usize::try_from(size).ok().filter(|size| [1, 3].contains(size));
    let side = |size: i64| usize::try_from(size).ok();
    let one = |channels, (height, width): (i64, i64), interleaved, shape: fn(i64, i64, i64) -> Vec<i64>| {
        Some(Layout {
            channels,
            height: side(height),
            width: side(width),
            interleaved,
            shape,
        })
    };
    let square = |size: i64| Some(size.isqrt()).filter(|root| root * root == size);
    match *shape {
        [-1 | 1, c, h, w] if channels(c).is_some() => {
            one(channels(c)?, (h, w), false, |c, h, w| vec![1, c, h, w])
        }
        [-1 | 1, h, w, c] if channels(c).is_some() => {
            one(channels(c)?, (h, w), true, |c, h, w| vec![1, h, w, c])
        }
        [c, h, w] if channels(c).is_some() => one(channels(c)?, (h, w), false, |c, h, w| vec![c, h, w]),
        [h, w, c] if channels(c).is_some() => one(channels(c)?, (h, w), true, |c, h, w| vec![h, w, c]),
        [-1, h, w] => one(1, (h, w), false, |_, h, w| vec![1, h, w]),
        [-1 | 1, n] if n > 0 => one(1, (square(n)?, square(n)?), false, |_, h, w| vec![1, h * w]),
        [n] if n > 0 => one(1, (square(n)?, square(n)?), false, |_, h, w| vec![h * w]),
        _ => None,
    }
}

/// The shape in which numbers of a file fit an input: as they are, as one record, as the only one of a file, or each
/// row folded into the sizes of a record, in order. Sizes are never exchanged: that would be another picture.
fn fitted(stated: &[i64], found: &[i64]) -> Option<Vec<i64>> {
    let as_one = [&[1][..], found].concat();
    let mut ways = vec![found, as_one.as_slice()];
    ways.extend(found.strip_prefix(&[1]));
    let whole = ways.iter().find(|way| fits(stated, way)).map(|way| way.to_vec());
    whole.or_else(|| ways.iter().find_map(|way| folded(stated, way)))
}

/// Rows of a table as records of several dimensions, or such records as rows of a table.
fn folded(stated: &[i64], found: &[i64]) -> Option<Vec<i64>> {
    let ((_, record), (rows, row)) = (stated.split_first()?, found.split_first()?);
    let is_table = record.len() <= 1 || row.len() <= 1;
    let count = |sizes: &[i64]| sizes.iter().copied().try_fold(1, i64::checked_mul);
    let shape = [&[*rows][..], record].concat();
    (is_table && count(record)? == count(row)? && fits(stated, &shape)).then_some(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_the_shape_of_their_file() {
        let fitting: [(&[i64], &[i64], &[i64]); 10] = [
            (&[-1, -1], &[1, 128], &[1, 128]),
            (&[-1, 64], &[64], &[1, 64]),
            (&[4], &[1, 4], &[4]),
            (&[-1], &[5], &[5]),
            (&[-1], &[5, 1], &[5]),
            (&[-1, 1], &[5], &[5, 1]),
            (&[-1, 1, 8, 8], &[2, 64], &[2, 1, 8, 8]),
            (&[-1, 1, 8, 8], &[64], &[1, 1, 8, 8]),
            (&[-1, 1, 8, 8], &[1, 8, 8], &[1, 1, 8, 8]),
            (&[-1, 64], &[2, 8, 8], &[2, 64]),
        ];
        for (stated, found, shape) in fitting {
            assert_eq!(
                fitted(stated, found).as_deref(),
                Some(shape),
                "{stated:?} {found:?}"
            );
        }
        let unfit: [(&[i64], &[i64]); 6] = [
            (&[-1, 64], &[2, 65]),
            (&[-1, 3, 8, 8], &[1, 8, 8, 3]),
            (&[-1, 3, 8, 8], &[8, 8, 3]),
            (&[4, 2], &[2, 4]),
            (&[-1, i64::MAX, i64::MAX], &[1, 1]),
            (&[], &[4]),
        ];
        for (stated, found) in unfit {
            assert_eq!(fitted(stated, found), None, "{stated:?} {found:?}");
        }
    }

    #[test]
    fn shapes_tell_how_a_picture_lies() {
        let lies = |shape: &[i64]| layout(shape).map(|l| (l.channels, l.height, l.width, l.interleaved));
        assert_eq!(lies(&[-1, 3, 224, 200]), Some((3, Some(224), Some(200), false)));
        assert_eq!(lies(&[-1, 224, 200, 3]), Some((3, Some(224), Some(200), true)));
        assert_eq!(lies(&[-1, 64]), Some((1, Some(8), Some(8), false)));
        assert_eq!(lies(&[-1, 28, 28]), Some((1, Some(28), Some(28), false)));
        assert_eq!(lies(&[-1, 7]), None);
        assert_eq!(lies(&[]), None);
    }

    #[test]
    fn a_picture_is_scaled_and_whole_numbers_stay_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grey.png");
        std::fs::write(&path, WHITE).unwrap();
        let spec = |datatype: &str, shape: &[i64]| TensorSpec {
            name: "image".into(),
            datatype: datatype.into(),
            shape: shape.to_vec(),
        };
        let read = |input: TensorSpec| read(&path, &[input], None, &|_| {});
        let given = read(spec("UINT8", &[-1, 1, 2, 2])).unwrap();
        assert_eq!(given[0]["data"], json!([255, 255, 255, 255]));
        assert_eq!(given[0]["shape"], json!([1, 1, 2, 2]));
        let given = read(spec("FP32", &[-1, 2, 2, 3])).unwrap();
        assert_eq!(given[0]["data"].as_array().unwrap().len(), 12);
        assert_eq!(given[0]["shape"], json!([1, 2, 2, 3]));
        let free = read(spec("FP32", &[-1, 3, -1, -1])).unwrap();
        assert_eq!(free[0]["shape"], json!([1, 3, 1, 1]));
        let flat = read(spec("FP32", &[4])).unwrap();
        assert_eq!(flat[0]["shape"], json!([4]));
        let refused = read(spec("FP32", &[-1, 7])).unwrap_err();
        assert!(refused.to_string().contains("no picture"), "{refused}");
    }

    #[test]
    fn a_picture_has_the_range_that_is_stated_and_says_how_it_was_read() {
        let dir = tempfile::tempdir().unwrap();
        let (path, rows) = (dir.path().join("digit.png"), dir.path().join("rows.csv"));
        std::fs::write(&path, WHITE).unwrap();
        std::fs::write(&rows, "1,2,3,4\n").unwrap();
        let input = TensorSpec {
            name: "pixels".into(),
            datatype: "FP32".into(),
            shape: vec![-1, 4],
        };
        let heard = std::cell::RefCell::new(String::new());
        let read = |path: &Path, range: Option<Range>| {
            let note = |text: &str| *heard.borrow_mut() = text.to_owned();
            read(path, std::slice::from_ref(&input), range, &note)
        };
        read(&path, None).unwrap();
        let expected = "digit.png: 2 × 2 pixels, 1 channel, values 0 to 1 (--range says otherwise)";
        assert!(heard.borrow().ends_with(expected), "{}", heard.borrow());
        let sixteen = Some(Range { low: 0.0, high: 16.0 });
        let given = read(&path, sixteen).unwrap();
        assert_eq!(given[0]["data"], json!([16.0, 16.0, 16.0, 16.0]));
        assert!(heard.borrow().ends_with("values 0 to 16"), "{}", heard.borrow());
        let refused = read(&rows, sixteen).unwrap_err();
        assert!(refused.to_string().contains("pictures alone"), "{refused}");
    }

    /// One white pixel as PNG.
    const WHITE: &[u8] = b"\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00\x3a\x7e\x9b\x55\x00\x00\x00\x0a\x49\x44\x41\x54\x78\x9c\x63\xf8\x0f\x00\x01\x01\x01\x00\xb1\x38\xf6\x14\x00\x00\x00\x00\x49\x45\x4e\x44\xae\x42\x60\x82";
}
