//! Rényi cumulants of Gaussian noise on a sample of the records.

use libm::{exp, expm1, floor, log, log1p};

use crate::normal::ln_cdf;

/// Largest α − 1 for which series are summed; beyond it the result is infinite.
const EXCESS_MAX: f64 = 700.0;
/// Least α − 1 for which the series for a Poisson sample is summed: nearer to 1 its terms fall too slowly.
const EXCESS_MIN: f64 = 0.25;
/// Terms below e to this power of the sum end a series.
const NEGLIGIBLE: f64 = -30.0;
/// Most terms of a series.
const TERMS_MAX: f64 = 20_000.0;
/// Relative error allowed for in each sum of terms.
const ROUNDING: f64 = 1e-12;

/// ln A_α of the Poisson-subsampled Gaussian at α = 1 + `excess`, for any real α > 1, under adding or
/// removing one record: the two series of Mironov, Talwar and Zhang (2019, section 3.3), which bound
/// both directions (their theorem 5).
pub(super) fn poisson(rate: f64, sigma: f64, excess: f64) -> f64 {
    if !(EXCESS_MIN..=EXCESS_MAX).contains(&excess) {
        return f64::INFINITY;
    }
    let order = 1.0 + excess;
    let (ln_rate, ln_rest) = (log(rate), log1p(-rate));
    let split = sigma * sigma * (ln_rest - ln_rate) + 0.5;
    let growth = |k: f64| k * (k - 1.0) / (2.0 * sigma * sigma);
    let mut sums = SignedSum::default();
    let (mut ln_binomial, mut positive) = (0.0, true);
    let mut i = 0.0;
    loop {
        let j = order - i;
        let left = ln_binomial + j * ln_rest + i * ln_rate + growth(i) + ln_cdf((split - i) / sigma);
        let right = ln_binomial + i * ln_rest + j * ln_rate + growth(j) + ln_cdf((j - split) / sigma);
        sums.add(left, positive);
        sums.add(right, positive);
        let last = left.max(right);
        // Beyond α the signs alternate and the terms fall: what is left out is less than the last.
        if i > order && last < NEGLIGIBLE + sums.ln_positive.max(0.0) {
            sums.add(last + core::f64::consts::LN_2, true);
            break;
        }
        if i > TERMS_MAX {
            return f64::INFINITY;
        }
        // C(α, i + 1) = C(α, i)·(α − i)/(i + 1).
        positive ^= j < 0.0;
        ln_binomial += log(j.abs() / (i + 1.0));
        i += 1.0;
    }
    sums.ln_difference()
}

/// The same for a discrete Gaussian whose value changes by at most `1/sigma` of its parameter: an upper bound at
/// any real α.
///
/// At an integer α the moment is Σ C(α, k)·(1 − γ)^(α − k)·γ^k·E[(p/q)^k]. A change by an integer Δ shifts the
/// distribution on its own grid, so that E[(p/q)^k] = e^(k(k − 1)Δ²/2σ²) exactly as for the continuous one, and
/// the sum is the same number; it grows with Δ. The reflection x ↦ Δ − x exchanges the two distributions,
/// which is all that the bound of both directions needs (Mironov, Talwar and Zhang 2019, theorem 5, with sums
/// for integrals). Between integers the cumulant is convex in α and 0 at 1, so a chord is above it.
pub(super) fn poisson_discrete(rate: f64, sigma: f64, excess: f64) -> f64 {
    chord(excess, |excess| poisson(rate, sigma, excess))
}

/// The chord between the integers around `excess` of what is convex, known at integers and 0 at 0.
fn chord(excess: f64, cumulant: impl Fn(f64) -> f64) -> f64 {
    let below = floor(excess);
    let share = excess - below;
    let low = if below < 1.0 { 0.0 } else { cumulant(below) };
    if share == 0.0 {
        low
    } else {
        low * (1.0 - share) + cumulant(below + 1.0) * share
    }
}

/// Sums of positive and of negative terms, as logarithms.
struct SignedSum {
    ln_positive: f64,
    ln_negative: f64,
}

impl Default for SignedSum {
    fn default() -> Self {
        Self {
            ln_positive: f64::NEG_INFINITY,
            ln_negative: f64::NEG_INFINITY,
        }
    }
}

impl SignedSum {
    fn add(&mut self, ln_term: f64, positive: bool) {
        let sum = if positive {
            &mut self.ln_positive
        } else {
            &mut self.ln_negative
        };
        *sum = ln_add(*sum, ln_term);
    }

    /// ln(positive − negative), rounded up by what the rounding of both can hide; 0 at least, for a
    /// cumulant is never negative.
    fn ln_difference(&self) -> f64 {
        let negative = exp(self.ln_negative - self.ln_positive) * (1.0 - ROUNDING);
        let value = self.ln_positive + log1p(ROUNDING - negative);
        if value.is_nan() {
            f64::INFINITY
        } else {
            value.max(0.0)
        }
    }
}

/// ln(e^a + e^b).
fn ln_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY {
        high
    } else {
        high + log1p(exp(low - high))
    }
}

/// The cumulant of Gaussian noise on a sample of fixed size, drawn without replacement, when one
/// record is replaced (Wang, Balle and Kasiviswanathan 2019, theorems 9 and 27), at α = 1 + `excess`.
/// Their bound is for integers; between them the cumulant is convex, so a chord is above it.
pub(super) fn fixed_size(rate: f64, sigma: f64, excess: f64) -> f64 {
    if excess > 255.0 {
        return f64::INFINITY;
    }
    chord(excess, |excess| fixed_size_integer(rate, sigma, excess + 1.0))
}

/// The bound at an integer order of at least 2.
fn fixed_size_integer(rate: f64, sigma: f64, order: f64) -> f64 {
    let cumulant = |j: f64| j * (j - 1.0) / (2.0 * sigma * sigma);
    // j = 2: γ²·C(α, 2)·min(4(e^ε(2) − 1), 2e^ε(2)).
    let (mut ln_power, mut ln_binomial) = (2.0 * log(rate), log(order * (order - 1.0) / 2.0));
    let second = (log(4.0) + log(expm1(cumulant(2.0)))).min(core::f64::consts::LN_2 + cumulant(2.0));
    let mut sum = ln_add(0.0, ln_power + ln_binomial + second);
    let mut j = 3.0;
    while j <= order {
        ln_power += log(rate);
        ln_binomial += log((order - j + 1.0) / j);
        // γ^j·C(α, j)·min(2e^((j − 1)ε(j)), 4·√(B(2⌊j/2⌋)·B(2⌈j/2⌉))).
        let plain = core::f64::consts::LN_2 + cumulant(j);
        let even = |k: f64| ln_difference_of_moments(2.0 * k, cumulant);
        let paired = log(4.0) + (even(floor(j / 2.0)) + even(floor((j + 1.0) / 2.0))) / 2.0;
        sum = ln_add(sum, ln_power + ln_binomial + plain.min(paired));
        j += 1.0;
    }
    sum + ROUNDING
}

/// ln B(ℓ), B(ℓ) = Σ (−1)^i·C(ℓ, i)·e^((i − 1)ε(i)) for even ℓ; infinite where the terms cancel so far
/// that the sum could not be trusted.
fn ln_difference_of_moments(length: f64, cumulant: impl Fn(f64) -> f64) -> f64 {
    let mut sums = SignedSum::default();
    let (mut ln_binomial, mut i) = (0.0, 0.0);
    while i <= length {
        sums.add(ln_binomial + cumulant(i), i % 2.0 == 0.0);
        ln_binomial += log((length - i) / (i + 1.0));
        i += 1.0;
    }
    let kept = -expm1(sums.ln_negative - sums.ln_positive);
    if kept > 1e-6 {
        sums.ln_positive + log(kept) + 1e-5
    } else {
        f64::INFINITY
    }
}

/// The largest order at which a Gaussian is looked at in tests.
#[cfg(test)]
pub(super) fn quadrature(rate: f64, sigma: f64, order: f64) -> f64 {
    // ∫ q(x)·(1 − γ + γ·e^((2x − 1)/2σ²))^α by the trapezium rule, which is spectrally exact here.
    let step = sigma / 64.0;
    let reach = 40.0 * sigma + 2.0 * order;
    let mut sum = 0.0;
    let mut x = -reach;
    while x < reach {
        let ratio = ln_add(log1p(-rate), log(rate) + (2.0 * x - 1.0) / (2.0 * sigma * sigma));
        let z = x / sigma;
        sum += exp(order * ratio - z * z / 2.0) * step;
        x += step;
    }
    log(sum / (sigma * libm::sqrt(2.0 * core::f64::consts::PI)))
}
