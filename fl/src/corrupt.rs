//! Corruptions of greyscale images: what slices are made of.
//!
//! Four conditions of the field at severities 1 to 5, for any width and height, down to 8 × 8.
//! Randomness is keyed by the contributor's secret, the record and the operator, so the corrupted
//! view of a record depends on that record alone and never on its batch, and it cannot be
//! predicted by the author of a model. The severity is not part of the key: a record's five
//! severities show the same noise, scaled.
//!
//! Determinism: only additions, multiplications, divisions and square roots, which are exactly
//! rounded on every machine; pixels are rounded to 1/4096 of the range at the end.

use thiserror::Error;

/// Largest width and height.
pub const SIDE_MAX: usize = 16_384;
/// Severities are 1 to this.
pub const SEVERITY_MAX: u8 = 5;

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
}

/// Why an image cannot be corrupted.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum CorruptError {
    /// No operator has this name.
    #[error("no corruption is called {found:?}: there are low-light, blur, noise and occlusion")]
    Unknown {
        /// The name given.
        found: String,
    },
    /// The severity is not 1 to 5.
    #[error("severity is {found}, must be between 1 and {SEVERITY_MAX}")]
    Severity {
        /// The severity given.
        found: u8,
    },
    /// Width and height do not fit the pixels.
    #[error("{width} × {height} does not describe {pixels} pixels (sides 1 to {SIDE_MAX})")]
    Shape {
        /// Width given.
        width: usize,
        /// Height given.
        height: usize,
        /// Pixels given.
        pixels: usize,
    },
    /// The top of the range is not a positive number.
    #[error("the range's top is {found}, must be positive")]
    Range {
        /// The value given.
        found: f32,
    },
    /// A pixel is not a finite number.
    #[error("pixel {at} is not finite")]
    Pixel {
        /// Index of the pixel.
        at: usize,
    },
}

impl Operator {
    /// All operators.
    pub const ALL: [Self; 4] = [Self::LowLight, Self::Blur, Self::SensorNoise, Self::Occlusion];

    /// Its name in a task: `low-light`, `blur`, `noise` or `occlusion`.
    pub fn name(self) -> &'static str {
        match self {
            Self::LowLight => "low-light",
            Self::Blur => "blur",
            Self::SensorNoise => "noise",
            Self::Occlusion => "occlusion",
        }
    }

    /// The operator of a name.
    ///
    /// # Errors
    /// No operator has the name.
    pub fn parse(name: &str) -> Result<Self, CorruptError> {
        let found = Self::ALL.into_iter().find(|operator| operator.name() == name);
        found.ok_or_else(|| CorruptError::Unknown {
            found: name.to_owned(),
        })
    }
}

/// An image to be changed in place: row by row, values from 0 to `max`.
#[derive(Debug)]
pub struct Frame<'a> {
    /// `width · height` values.
    pub pixels: &'a mut [f32],
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Top of the range.
    pub max: f32,
}

/// What keys a record's randomness.
#[derive(Clone, Copy)]
pub struct RecordKey<'a> {
    /// The contributor's local secret.
    pub secret: &'a [u8; 32],
    /// The record's own name or hash.
    pub record_id: &'a [u8],
}

impl std::fmt::Debug for RecordKey<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RecordKey(..)")
    }
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
    let level = |ladder: &[f32; 5]| {
        let step = usize::from(severity).checked_sub(1);
        step.and_then(|step| ladder.get(step).copied())
            .ok_or(CorruptError::Severity { found: severity })
    };
    let mut stream = Stream::new(operator, key);
    let Frame {
        pixels,
        width,
        height,
        max,
    } = frame;
    match operator {
        Operator::LowLight => low_light(pixels, max, level(&LIGHT)?, &mut stream),
        Operator::Blur => blur(pixels, width, height, level(&BLUR)?),
        Operator::SensorNoise => {
            let deviation = level(&NOISE)? * max;
            pixels
                .iter_mut()
                .for_each(|pixel| *pixel += deviation * stream.normal());
        }
        Operator::Occlusion => {
            let side = level(&BLOCK)?;
            let columns = span(width, side, &mut stream);
            let rows = span(height, side, &mut stream);
            for row in pixels.chunks_mut(width).take(rows.end).skip(rows.start) {
                row.iter_mut()
                    .take(columns.end)
                    .skip(columns.start)
                    .for_each(|p| *p = BLOCK_LEVEL * max);
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
        max,
    } = frame;
    let sides = 1..=SIDE_MAX;
    if !sides.contains(width) || !sides.contains(height) || width * height != pixels.len() {
        return Err(CorruptError::Shape {
            width: *width,
            height: *height,
            pixels: pixels.len(),
        });
    }
    if !(*max > 0.0 && max.is_finite()) {
        return Err(CorruptError::Range { found: *max });
    }
    match pixels.iter().position(|pixel| !pixel.is_finite()) {
        Some(at) => Err(CorruptError::Pixel { at }),
        None => Ok(()),
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

/// Random numbers of one record and operator: BLAKE3's output, keyed by the local secret.
struct Stream {
    reader: blake3::OutputReader,
}

impl Stream {
    fn new(operator: Operator, key: &RecordKey<'_>) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(key.secret);
        hasher.update(b"fieldmark corruption v1");
        hasher.update(operator.name().as_bytes());
        hasher.update(&[0]);
        hasher.update(key.record_id);
        Self {
            reader: hasher.finalize_xof(),
        }
    }

    fn next_u16(&mut self) -> u16 {
        let mut bytes = [0; 2];
        self.reader.fill(&mut bytes);
        u16::from_le_bytes(bytes)
    }

    /// Nearly standard normal: twelve uniform numbers less their mean (Irwin and Hall). Integers
    /// until the last step, so the same on every machine.
    fn normal(&mut self) -> f32 {
        let mut bytes = [0; 24];
        self.reader.fill(&mut bytes);
        let (words, _) = bytes.as_chunks::<2>();
        let sum: i32 = words
            .iter()
            .map(|word| i32::from(u16::from_le_bytes(*word)))
            .sum();
        #[expect(clippy::cast_precision_loss, reason = "below 2²⁰")]
        let centred = (sum - 6 * 65_535) as f32;
        centred / 65_536.0
    }
}

#[cfg(test)]
mod tests;
