//! Corruptions of images, grey or in several channels, of any width and height, down to 8 × 8.
//!
//! | operator | what is done | by severity 1, 2, 3, 4, 5 |
//! | --- | --- | --- |
//! | `low-light` | less light, and shot noise of deviation 0.08·√signal | light left: 0.70, 0.50, 0.35, 0.24, 0.15 |
//! | `blur` | triangular kernel | reach in parts of the shorter side: 0.16, 0.21, 0.27, 0.34, 0.43 |
//! | `noise` | normal noise | deviation in parts of the range: 0.10, 0.17, 0.27, 0.42, 0.65 |
//! | `occlusion` | a half-grey block at a random place | its side in parts of the image's: 0.25, 0.375, 0.50, 0.625, 0.75 |
//! | `contrast` | values drawn towards the image's mean | contrast left: 0.70, 0.52, 0.38, 0.25, 0.12 |
//! | `compression` | quantised 8 × 8 cosine transform, as JPEG | steps, in JPEG's table of quality 50: 3, 5, 8, 14, 32 times |
//!
//! Determinism: only additions, multiplications, divisions and square roots, which are exactly
//! rounded on every machine; pixels are rounded to 1/4096 of the range at the end.

mod compression;

use super::{CorruptError, RecordKey, Stream, level};

/// Largest width and height.
pub const SIDE_MAX: usize = 16_384;
/// Most channels.
pub const CHANNELS_MAX: usize = 16;

/// Steps that pixels are rounded to.
const STEPS: f32 = 4096.0;

/// Light that is left, by severity.
const LIGHT: [f32; 5] = [0.70, 0.50, 0.35, 0.24, 0.15];
/// Shot noise in low light: deviation of a fully lit pixel at one unit of light, in parts of the
/// range. It grows in relation to the signal as light fades.
const SHOT: f32 = 0.08;
/// Reach of the blur in parts of the shorter side, by severity.
const BLUR: [f32; 5] = [0.16, 0.21, 0.27, 0.34, 0.43];
/// Deviation of the sensor's noise in parts of the range, by severity.
const NOISE: [f32; 5] = [0.10, 0.17, 0.27, 0.42, 0.65];
/// Side of the occluding block in parts of the image's sides, by severity.
const BLOCK: [f32; 5] = [0.25, 0.375, 0.50, 0.625, 0.75];
/// Brightness of the occluding block, in parts of the range.
const BLOCK_LEVEL: f32 = 0.5;

/// Contrast that is left, by severity.
const CONTRAST: [f32; 5] = [0.70, 0.52, 0.38, 0.25, 0.12];
/// Quantisation steps in parts of JPEG's table of quality 50, by severity.
const QUANTISATION: [f32; 5] = [3.0, 5.0, 8.0, 14.0, 32.0];

/// A condition of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operator {
    /// Less light, with the shot noise that comes with it.
    LowLight,
    /// Out of focus.
    Blur,
    /// Noise of the sensor.
    SensorNoise,
    /// A block in front of part of the image.
    Occlusion,
    /// Haze: all values near their mean.
    Contrast,
    /// Stored with loss.
    Compression,
}

impl Operator {
    /// All operators.
    pub const ALL: [Self; 6] = [
        Self::LowLight,
        Self::Blur,
        Self::SensorNoise,
        Self::Occlusion,
        Self::Contrast,
        Self::Compression,
    ];

    /// Its name in a task.
    pub fn name(self) -> &'static str {
        match self {
            Self::LowLight => "low-light",
            Self::Blur => "blur",
            Self::SensorNoise => "noise",
            Self::Occlusion => "occlusion",
            Self::Contrast => "contrast",
            Self::Compression => "compression",
        }
    }
}

/// An image to be changed in place: channel by channel, row by row, values from 0 to `max`.
#[derive(Debug)]
pub struct Frame<'a> {
    /// `channels · width · height` values.
    pub pixels: &'a mut [f32],
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Planes of the image, 1 for grey and 3 for colour; at most [`CHANNELS_MAX`].
    pub channels: usize,
    /// Top of the range.
    pub max: f32,
}

/// Corrupts an image in place. Values outside the range are clamped first.
///
/// # Errors
/// A severity, shape or range that makes no sense, or a pixel that is not finite; the image is
/// then unchanged.
pub fn apply(
    operator: Operator,
    frame: Frame<'_>,
    severity: u8,
    key: &RecordKey<'_>,
) -> Result<(), CorruptError> {
    check(&frame)?;
    let mut stream = Stream::new(operator.name(), key);
    let Frame {
        pixels,
        width,
        height,
        max,
        ..
    } = frame;
    match operator {
        Operator::LowLight => low_light(pixels, max, level(&LIGHT, severity)?, &mut stream),
        Operator::Blur => {
            let reach = level(&BLUR, severity)?;
            for plane in pixels.chunks_mut(width * height) {
                blur(plane, width, height, reach);
            }
        }
        Operator::SensorNoise => {
            let deviation = level(&NOISE, severity)? * max;
            pixels
                .iter_mut()
                .for_each(|pixel| *pixel += deviation * stream.normal());
        }
        Operator::Occlusion => {
            let side = level(&BLOCK, severity)?;
            let columns = span(width, side, &mut stream);
            let rows = span(height, side, &mut stream);
            for plane in pixels.chunks_mut(width * height) {
                occlude(plane, width, &rows, &columns, BLOCK_LEVEL * max);
            }
        }
        Operator::Contrast => contrast(pixels, max, level(&CONTRAST, severity)?),
        Operator::Compression => {
            let steps = level(&QUANTISATION, severity)?;
            for plane in pixels.chunks_mut(width * height) {
                compression::compress(plane, width, max, steps);
            }
        }
    }
    for pixel in pixels {
        let steps = (pixel.clamp(0.0, max) / max * STEPS + 0.5).floor();
        *pixel = steps / STEPS * max;
    }
    Ok(())
}

fn check(frame: &Frame<'_>) -> Result<(), CorruptError> {
    let Frame {
        pixels,
        width,
        height,
        channels,
        max,
    } = frame;
    let sides = 1..=SIDE_MAX;
    let fits = sides.contains(width) && sides.contains(height) && (1..=CHANNELS_MAX).contains(channels);
    if !fits || width * height * channels != pixels.len() {
        return Err(CorruptError::Shape {
            width: *width,
            height: *height,
            channels: *channels,
            pixels: pixels.len(),
        });
    }
    if !(*max > 0.0 && max.is_finite()) {
        return Err(CorruptError::Range { found: *max });
    }
    match pixels.iter().position(|pixel| !pixel.is_finite()) {
        Some(at) => Err(CorruptError::NotFinite { at }),
        None => Ok(()),
    }
}

fn occlude(
    plane: &mut [f32],
    width: usize,
    rows: &std::ops::Range<usize>,
    columns: &std::ops::Range<usize>,
    grey: f32,
) {
    for row in plane.chunks_mut(width).take(rows.end).skip(rows.start) {
        let covered = row.iter_mut().take(columns.end).skip(columns.start);
        covered.for_each(|pixel| *pixel = grey);
    }
}

fn contrast(pixels: &mut [f32], max: f32, left: f32) {
    let (mut sum, mut count) = (0.0_f64, 0.0_f64);
    for pixel in pixels.iter() {
        sum += f64::from(pixel.clamp(0.0, max));
        count += 1.0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a mean of numbers of this width")]
    let mean = (sum / count) as f32;
    for pixel in pixels {
        *pixel = mean + (pixel.clamp(0.0, max) - mean) * left;
    }
}

fn low_light(pixels: &mut [f32], max: f32, light: f32, stream: &mut Stream) {
    for pixel in pixels {
        let lit = (*pixel / max).clamp(0.0, 1.0) * light;
        *pixel = (lit + SHOT * lit.sqrt() * stream.normal()) * max;
    }
}

/// Separable blur with a triangular kernel, renormalised at the borders.
fn blur(pixels: &mut [f32], width: usize, height: usize, reach: f32) {
    #[expect(clippy::cast_precision_loss, reason = "sides are at most 16384")]
    let reach = (reach * width.min(height) as f32).max(1.05);
    for row in pixels.chunks_mut(width) {
        let smooth = smoothed(row, reach);
        row.copy_from_slice(&smooth);
    }
    for column in 0..width {
        let line: Vec<f32> = pixels.iter().skip(column).step_by(width).copied().collect();
        let smooth = smoothed(&line, reach);
        for (pixel, value) in pixels.iter_mut().skip(column).step_by(width).zip(smooth) {
            *pixel = value;
        }
    }
}

fn smoothed(line: &[f32], reach: f32) -> Vec<f32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and below 16384"
    )]
    let whole = reach as usize;
    let at = |centre: usize| {
        let first = centre.saturating_sub(whole);
        let near = line.iter().enumerate().take(centre + whole + 1).skip(first);
        let (sum, weights) = near.fold((0.0, 0.0), |(sum, weights), (position, value)| {
            #[expect(clippy::cast_precision_loss, reason = "distances are below 16384")]
            let weight = (reach - position.abs_diff(centre) as f32).max(0.0);
            (sum + weight * value, weights + weight)
        });
        sum / weights
    };
    (0..line.len()).map(at).collect()
}

/// A random stretch of a side, `part` of its length but at least one pixel.
fn span(side: usize, part: f32, stream: &mut Stream) -> std::ops::Range<usize> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "sides are at most 16384"
    )]
    let length = ((side as f32 * part + 0.5) as usize).clamp(1, side);
    let room = side - length + 1;
    let start = (usize::from(stream.next_u16()) * room) >> 16;
    start..start + length
}

#[cfg(test)]
mod tests;
