//! Compression with loss: the quantised cosine transform of 8 × 8 blocks, as in baseline JPEG
//! (ITU-T T.81, A.3.3 and table K.1), without its entropy coding, which loses nothing.
//!
//! The cosines are written down and not computed, so that every machine has the same.

/// Side of a block.
const SIDE: usize = 8;
/// Values of a block.
const AREA: usize = SIDE * SIDE;

/// √(1/8), and cos(kπ/16)/2 for k from 1 to 7.
const COSINES: [f32; 8] = [
    0.353_553_39,
    0.490_392_64,
    0.461_939_77,
    0.415_734_8,
    0.353_553_39,
    0.277_785_12,
    0.191_341_72,
    0.097_545_16,
];

/// Steps of luminance at quality 50, row by row from low to high frequency (T.81, table K.1).
const STEPS: [f32; AREA] = [
    16.0, 11.0, 10.0, 16.0, 24.0, 40.0, 51.0, 61.0, 12.0, 12.0, 14.0, 19.0, 26.0, 58.0, 60.0, 55.0, 14.0,
    13.0, 16.0, 24.0, 40.0, 57.0, 69.0, 56.0, 14.0, 17.0, 22.0, 29.0, 51.0, 87.0, 80.0, 62.0, 18.0, 22.0,
    37.0, 56.0, 68.0, 109.0, 103.0, 77.0, 24.0, 35.0, 55.0, 64.0, 81.0, 104.0, 113.0, 92.0, 49.0, 64.0, 78.0,
    87.0, 103.0, 121.0, 120.0, 101.0, 72.0, 92.0, 95.0, 98.0, 112.0, 100.0, 103.0, 99.0,
];

/// Compresses one plane of rows of `width` values from 0 to `max`, with steps `coarseness` times those
/// of quality 50. Blocks that reach over the border are filled up with the values at the border.
pub(super) fn compress(plane: &mut [f32], width: usize, max: f32, coarseness: f32) {
    let Some(height) = plane.len().checked_div(width) else {
        return;
    };
    for top in (0..height).step_by(SIDE) {
        for left in (0..width).step_by(SIDE) {
            let mut block = [0.0; AREA];
            for (at, value) in block.iter_mut().enumerate() {
                let row = (top + at / SIDE).min(height - 1);
                let column = (left + at % SIDE).min(width - 1);
                let pixel = plane.get(row * width + column).copied().unwrap_or(0.0);
                *value = pixel.clamp(0.0, max) / max * 255.0 - 128.0;
            }
            let block = quantised(&block, coarseness);
            for (at, value) in block.iter().enumerate() {
                let (row, column) = (top + at / SIDE, left + at % SIDE);
                if column < width
                    && let Some(pixel) = plane.get_mut(row * width + column)
                {
                    *pixel = (value + 128.0) / 255.0 * max;
                }
            }
        }
    }
}

fn quantised(block: &[f32; AREA], coarseness: f32) -> [f32; AREA] {
    let mut frequencies = transposed(&rows(&transposed(&rows(block, basis)), basis));
    for (value, step) in frequencies.iter_mut().zip(STEPS) {
        let step = step * coarseness;
        *value = (*value / step + 0.5).floor() * step;
    }
    let inverse = |frequency, position| basis(position, frequency);
    transposed(&rows(&transposed(&rows(&frequencies, inverse)), inverse))
}

/// `out[r][k] = Σ_i weight(k, i) · in[r][i]`, summed in this order.
fn rows(block: &[f32; AREA], weight: impl Fn(usize, usize) -> f32) -> [f32; AREA] {
    let mut out = [0.0; AREA];
    for (row, into) in block.chunks_exact(SIDE).zip(out.chunks_exact_mut(SIDE)) {
        for (k, value) in into.iter_mut().enumerate() {
            *value = row
                .iter()
                .enumerate()
                .fold(0.0, |sum, (i, x)| sum + weight(k, i) * x);
        }
    }
    out
}

fn transposed(block: &[f32; AREA]) -> [f32; AREA] {
    let mut out = [0.0; AREA];
    for (at, value) in out.iter_mut().enumerate() {
        let from = at % SIDE * SIDE + at / SIDE;
        *value = block.get(from).copied().unwrap_or(0.0);
    }
    out
}

/// The cosine basis: √(1/8) at frequency 0, else cos((2·position + 1)·frequency·π/16)/2.
fn basis(frequency: usize, position: usize) -> f32 {
    let cosine = |at: usize| COSINES.get(at).copied().unwrap_or(0.0);
    if frequency == 0 {
        return cosine(0);
    }
    // The angle in sixteenths of π, folded into the first quarter; at half of π the cosine is 0.
    match (2 * position + 1) * frequency % 32 {
        0 => 0.5,
        at @ 1..=7 => cosine(at),
        at @ 9..=15 => -cosine(16 - at),
        16 => -0.5,
        at @ 17..=23 => -cosine(at - 16),
        at @ 25..=31 => cosine(32 - at),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_basis_is_the_cosine_and_orthonormal() {
        for frequency in 0..SIDE {
            for position in 0..SIDE {
                let angle = (2 * position + 1) as f64 * frequency as f64 * std::f64::consts::PI / 16.0;
                let scale = if frequency == 0 { 0.125_f64.sqrt() } else { 0.5 };
                let found = f64::from(basis(frequency, position));
                assert!(
                    (found - scale * angle.cos()).abs() < 1e-7,
                    "{frequency} {position}"
                );
            }
        }
    }

    #[test]
    fn fine_steps_lose_next_to_nothing() {
        let mut plane: Vec<f32> = (0..13 * 9).map(|at| (at * at % 31) as f32 / 30.0).collect();
        let before = plane.clone();
        compress(&mut plane, 13, 1.0, 1e-4);
        assert!(plane.iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-3));
    }
}
