//! Many uses: the distribution of the sum of their losses, by a tilted Fourier transform, and ε from it.
//!
//! With weights w(l) = p(l)·e^(θl − K), Σw = 1, the n-fold sum has p(s) = w*(s)·e^(nK − θs). w* comes
//! from a circular transform of `points` grid points that start at the window's lower end. Counted
//! outward are:
//! - probability of an infinite loss, and of sums above the window (Chernoff's bound from the exact
//!   probabilities): added to δ from above;
//! - sums outside of the window, which wrap around into it: they can only raise δ from above; from
//!   below their tilted weight, times the largest factor it can meet, is taken off;
//! - rounding: each Fourier coefficient is off by at most [`transform_error`], and the product of
//!   powers by Π(|φ| + e)^n − Π|φ|^n; their sum bounds the error of every probability, which is added
//!   from above and taken off from below;
//! - losses that are off by rounding: the sum of all slacks is added to ε, or taken off.

#![expect(
    clippy::cast_possible_wrap,
    reason = "lengths are at most CELLS_MAX or POINTS_MAX"
)]

use libm::{exp, expm1, floor, log, log1p, log2};
use realfft::RealFftPlanner;
use realfft::num_complex::Complex;

use super::cells::Cells;
use super::grid::{self, Pmf};
use super::window::Window;

/// ln of a share outside of the window that does not matter, and of one that does.
const LN_OUTSIDE_GOOD: f64 = -16.0;
const OUTSIDE_BAD: f64 = 1e-4;
/// A factor below e to minus this needs no closer look.
const VANISHED: f64 = 120.0;
/// Relative rounding of sums of weights, beside what grows with the number of uses.
const ROUNDING: f64 = 1e-9;

/// Bounds on ε, and whether ε lies below the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) upper: f64,
    pub(super) lower: f64,
    pub(super) below_window: bool,
    /// Whether too much lies outside of the window.
    pub(super) narrow: bool,
}

/// Computes both bounds on a grid.
pub(super) fn bounds(parts: &[(Cells, u64)], window: &Window, step: f64, points: usize, delta: f64) -> Found {
    let slack: f64 = parts
        .iter()
        .map(|(cells, count)| cells.slack * *count as f64)
        .sum();
    let start = start_of(window.low / step);
    let mut planner = RealFftPlanner::new();
    let mut composed = |round: fn(&Cells, f64) -> Pmf| {
        let pmfs: Vec<(Pmf, u64)> = parts
            .iter()
            .map(|(cells, count)| (round(cells, step), *count))
            .collect();
        let sum = Sum::compose(&mut planner, &pmfs, window, Grid { start, step, points });
        (pmfs, sum)
    };
    let (pmfs, sum) = composed(grid::from_above);
    let narrow = sum
        .as_ref()
        .is_some_and(|sum| sum.outside.is_nan() || sum.outside > OUTSIDE_BAD);
    let (upper, below_window) = match sum {
        Some(sum) => sum.upper(&pmfs, delta),
        None => (f64::INFINITY, false),
    };
    let (_, sum) = composed(grid::from_below);
    let lower = sum.map_or(0.0, |sum| sum.lower(delta));
    Found {
        upper: upper + slack,
        lower: (lower - slack).max(0.0),
        below_window,
        narrow,
    }
}

/// The points of the circular transform.
#[derive(Clone, Copy, Debug)]
struct Grid {
    /// The first loss, in steps.
    start: i64,
    step: f64,
    points: usize,
}

impl Grid {
    /// The place of a loss, in steps, wrapped around.
    fn place(self, index: i64) -> usize {
        usize::try_from(index.rem_euclid(self.points as i64)).unwrap_or(0)
    }
}

/// The tilted distribution of the sum.
struct Sum<'w> {
    window: &'w Window,
    grid: Grid,
    /// Tilted weights by wrapped loss.
    weights: Vec<f64>,
    /// Absolute error of each weight, relative error of all.
    error: f64,
    relative: f64,
    /// ΣnK at θ.
    ln_scale: f64,
    /// Bounds: ln P(sum above the window), and the tilted weight outside of it.
    ln_above: f64,
    outside: f64,
}

impl<'w> Sum<'w> {
    /// Composes; nothing if some part has no finite loss, or the transform fails.
    fn compose(
        planner: &mut RealFftPlanner<f64>,
        parts: &[(Pmf, u64)],
        window: &'w Window,
        grid: Grid,
    ) -> Option<Self> {
        let forward = planner.plan_fft_forward(grid.points);
        let mut product = forward.make_output_vec();
        product.fill(Complex::new(1.0, 0.0));
        let mut error = PowerError::new(product.len(), grid.points);
        let mut spectrum = forward.make_output_vec();
        let mut ln_scale = 0.0;
        let mut relative = ROUNDING;
        for (index, (pmf, count)) in parts.iter().enumerate() {
            let cumulant = pmf.cumulant(window.tilt, window.cumulant(index, window.tilt), grid.step);
            let mut weights = tilted(pmf, window.tilt, cumulant, grid)?;
            forward.process(&mut weights, &mut spectrum).ok()?;
            error.add(&spectrum, *count);
            for (all, one) in product.iter_mut().zip(&spectrum) {
                *all *= power(*one, *count);
            }
            let uses = *count as f64;
            ln_scale += uses * cumulant;
            let reach = pmf.last().unsigned_abs().max(pmf.first.unsigned_abs()) as f64 * grid.step;
            relative += uses * 4.0 * f64::EPSILON * (2.0 + window.tilt * reach + cumulant.abs());
        }
        let error = error.of_points(&product, grid.points);
        let mut sum = Self {
            window,
            grid,
            weights: inverse(planner, product, grid.points)?,
            error,
            relative,
            ln_scale,
            ln_above: f64::NEG_INFINITY,
            outside: 0.0,
        };
        sum.bound_outside(parts);
        Some(sum)
    }

    /// Chernoff's bounds on what is below and above the window: for every exponent one that holds, so
    /// smaller ones are tried where the first guess is poor.
    fn bound_outside(&mut self, parts: &[(Pmf, u64)]) {
        let (step, window) = (self.grid.step, self.window);
        let total = |t: f64| -> f64 {
            let numbered = parts.iter().enumerate();
            numbered
                .map(|(index, (pmf, count))| *count as f64 * pmf.cumulant(t, window.cumulant(index, t), step))
                .sum()
        };
        let (start, end) = (self.grid.start, self.grid.start + self.grid.points as i64);
        let extreme = |pick: fn(&Pmf) -> i64| -> f64 {
            parts
                .iter()
                .map(|(pmf, count)| pick(pmf) as f64 * *count as f64)
                .sum()
        };
        let ln_scale = self.ln_scale;
        let tilted = |exponent: f64, place: i64| {
            let moved = total(window.tilt + exponent) - ln_scale - exponent * place as f64 * step;
            if moved.is_nan() { f64::INFINITY } else { moved }
        };
        if extreme(Pmf::last) >= end as f64 {
            let ln_share = least_of_halves(|part| tilted(window.tilt_above * part, end));
            self.ln_above = ln_share + ln_scale - window.tilt * end as f64 * step;
            self.outside += exp(ln_share);
        }
        if extreme(Pmf::first_used) < start as f64 {
            self.outside += exp(least_of_halves(|part| tilted(-window.tilt_below * part, start)));
        }
    }

    /// The ε that surely suffices, and whether it lies below the window.
    fn upper(&self, parts: &[(Pmf, u64)], delta: f64) -> (f64, bool) {
        let infinite: f64 = parts
            .iter()
            .map(|(pmf, count)| pmf.infinite * *count as f64)
            .sum();
        let target = (delta - infinite - exp(self.ln_above)) * (1.0 - ROUNDING);
        if target.is_nan() || target <= 0.0 {
            return (f64::INFINITY, false);
        }
        let weight = |value: f64| (value.max(0.0) + self.error) * (1.0 + self.relative);
        match self.crossing(weight, |_| target) {
            Some(epsilon) => (epsilon, false),
            None => ((self.grid.start as f64 * self.grid.step).max(0.0), true),
        }
    }

    /// An ε that surely does not suffice, or 0.
    fn lower(&self, delta: f64) -> f64 {
        let weight = |value: f64| (value - self.error).max(0.0) * (1.0 - self.relative).max(0.0);
        // What wrapped around meets at most the factor at the loss looked at.
        let target = |loss: f64| {
            delta + self.outside * (1.0 + self.relative) * exp(self.ln_scale - self.window.tilt * loss)
        };
        self.crossing(weight, target).unwrap_or(0.0)
    }

    /// The ε, from the top of the window down, where δ(ε) reaches `target` of the loss below; 0 where it
    /// does not before 0; nothing if it does not in the window.
    fn crossing(&self, weight: impl Fn(f64) -> f64, target: impl Fn(f64) -> f64) -> Option<f64> {
        let Grid { start, step, points } = self.grid;
        let down = exp(-step);
        // δ at a grid point: the sum of p above it, less the sum of p·e^(point − loss).
        let (mut total, mut weighted) = (0.0, 0.0);
        for index in (start..start + points as i64).rev() {
            let loss = index as f64 * step;
            weighted *= down;
            let sought = target(loss);
            if total - weighted > sought {
                let epsilon = loss + log((total - sought) / weighted);
                return Some(epsilon.clamp(loss, loss + step).max(0.0));
            }
            if loss <= 0.0 {
                return Some(0.0);
            }
            let value = self.weights.get(self.grid.place(index)).copied().unwrap_or(0.0);
            let p = weight(value) * exp(self.ln_scale - self.window.tilt * loss);
            total += p;
            weighted += p;
        }
        None
    }
}

/// The least of `bound` at 1, 1/2, 1/4 …, until it is good enough.
fn least_of_halves(bound: impl Fn(f64) -> f64) -> f64 {
    let (mut part, mut least) = (1.0, f64::INFINITY);
    for _ in 0..6 {
        least = least.min(bound(part));
        if least < LN_OUTSIDE_GOOD {
            break;
        }
        part /= 2.0;
    }
    least
}

/// Tilted weights, wrapped around the grid.
fn tilted(pmf: &Pmf, tilt: f64, cumulant: f64, grid: Grid) -> Option<Vec<f64>> {
    if !cumulant.is_finite() {
        return None;
    }
    let mut weights = vec![0.0; grid.points];
    for (index, p) in pmf.terms() {
        if let Some(slot) = weights.get_mut(grid.place(index)) {
            *slot += p * exp(tilt * index as f64 * grid.step - cumulant);
        }
    }
    Some(weights)
}

/// The inverse transform, with its factor.
fn inverse(
    planner: &mut RealFftPlanner<f64>,
    mut spectrum: Vec<Complex<f64>>,
    points: usize,
) -> Option<Vec<f64>> {
    let backward = planner.plan_fft_inverse(points);
    for end in [0, points / 2] {
        if let Some(value) = spectrum.get_mut(end) {
            value.im = 0.0;
        }
    }
    let mut weights = backward.make_output_vec();
    backward.process(&mut spectrum, &mut weights).ok()?;
    let factor = 1.0 / points as f64;
    weights.iter_mut().for_each(|weight| *weight *= factor);
    Some(weights)
}

/// z to a power, by squaring; 0 where it would underflow.
fn power(mut z: Complex<f64>, mut exponent: u64) -> Complex<f64> {
    const TINY: f64 = 1e-150;
    let mut result = Complex::new(1.0, 0.0);
    while exponent > 0 {
        if z.norm_sqr() < TINY || result.norm_sqr() < TINY {
            return Complex::new(0.0, 0.0);
        }
        if exponent & 1 == 1 {
            result *= z;
        }
        exponent >>= 1;
        if exponent > 0 {
            z *= z;
        }
    }
    result
}

/// A bound on the error of one Fourier coefficient of weights that sum to 1. On the way through log₂ N
/// butterflies each weight meets at most one rounded product and one rounded sum a level, with rounded
/// factors: less than eight units in the last place a level (compare Higham 2002, theorem 24.2); twice
/// that is allowed, and four levels for the packing of real numbers.
fn transform_error(points: usize) -> f64 {
    8.0 * f64::EPSILON * (log2(points as f64) + 4.0)
}

/// Bounds on the error of a product of powers of Fourier coefficients.
struct PowerError {
    /// Error of a coefficient.
    coefficient: f64,
    /// Σ n·ln(|φ| + e), and Σ n·ln(1 + e/|φ|), by frequency.
    bounds: Vec<(f64, f64)>,
}

impl PowerError {
    fn new(frequencies: usize, points: usize) -> Self {
        Self {
            coefficient: transform_error(points),
            bounds: vec![(0.0, 0.0); frequencies],
        }
    }

    /// A factor, used `count` times.
    fn add(&mut self, spectrum: &[Complex<f64>], count: u64) {
        let uses = count as f64;
        let vanishing = exp(-VANISHED / uses);
        for ((upper, spread), value) in self.bounds.iter_mut().zip(spectrum) {
            // Each of the products rounds by less than four units in the last place.
            let size = value.norm_sqr().sqrt();
            let error = self.coefficient + 4.0 * f64::EPSILON * size;
            if size + error < vanishing {
                *spread = f64::INFINITY;
                *upper -= VANISHED;
                continue;
            }
            let log_spread = log1p(error / size);
            *spread += uses * log_spread;
            *upper += uses * (log(size) + log_spread).max(log(error));
        }
    }

    /// The error of every point of the inverse transform of `product`.
    fn of_points(&self, product: &[Complex<f64>], points: usize) -> f64 {
        let mut sum = 0.0;
        for ((upper, spread), value) in self.bounds.iter().zip(product) {
            // Π(|φ| + e)^n − Π|φ|^n, without cancellation where it is small.
            let power = if *spread < 1.0 {
                exp(upper - spread) * expm1(*spread)
            } else {
                exp(*upper)
            };
            sum += power + self.coefficient * value.norm_sqr().sqrt();
        }
        // Real weights: all frequencies but the ends stand for two.
        2.0 * sum / points as f64
    }
}

/// The first loss of the window, in steps.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the window is at most some million steps from 0"
)]
fn start_of(place: f64) -> i64 {
    floor(place) as i64 - 1
}
