//! Searches over one variable, the same number of steps on every machine.

/// Steps of a golden-section search that ends at the rounding of the place.
const FINE: u32 = 48;
/// Steps after which the place is known to a hundredth of where the search began.
const ROUGH: u32 = 10;

/// The place and the least value that a golden-section search sees between `low` and `high`. Where
/// `value` has several valleys the result is one of them, never less than the function takes.
fn golden_minimum(mut low: f64, mut high: f64, steps: u32, value: impl Fn(f64) -> f64) -> (f64, f64) {
    const GOLDEN: f64 = 0.618_033_988_749_894_8;
    let mut best = (low, f64::INFINITY);
    for _ in 0..steps {
        let left = high - GOLDEN * (high - low);
        let right = low + GOLDEN * (high - low);
        let (at_left, at_right) = (value(left), value(right));
        for (place, found) in [(left, at_left), (right, at_right)] {
            if found < best.1 {
                best = (place, found)
            }
        }
        if at_left < at_right {
            high = right
        } else {
            low = left
        }
    }
    best
}

/// The least value seen on `coarse` (ascending places), refined between the neighbours of the best.
pub(super) fn grid_minimum(coarse: &[f64], value: impl Fn(f64) -> f64) -> (f64, f64) {
    refined_minimum(coarse, FINE, value)
}

/// Like [`grid_minimum`], with fewer steps, where the place need not be exact.
pub(super) fn rough_minimum(coarse: &[f64], value: impl Fn(f64) -> f64) -> (f64, f64) {
    refined_minimum(coarse, ROUGH, value)
}

fn refined_minimum(coarse: &[f64], steps: u32, value: impl Fn(f64) -> f64) -> (f64, f64) {
    let mut best = (0, f64::INFINITY);
    for (index, place) in coarse.iter().enumerate() {
        let found = value(*place);
        if found < best.1 {
            best = (index, found)
        }
    }
    let at = |index: usize| {
        coarse
            .get(index.min(coarse.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0.0)
    };
    let (low, high) = (at(best.0.saturating_sub(1)), at(best.0 + 1));
    let refined = golden_minimum(low, high, steps, value);
    if refined.1 < best.1 {
        refined
    } else {
        (at(best.0), best.1)
    }
}

/// The upper end of the place where `holds` turns from false to true between `low` (false) and
/// `high` (true), to the last bit or 200 halvings; `high` always holds.
pub(super) fn least_true(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..200 {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if holds(middle) {
            high = middle
        } else {
            low = middle
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottom_of_a_valley_is_found() {
        let (place, least) = golden_minimum(-3.0, 5.0, FINE, |x| (x - 1.25) * (x - 1.25) + 2.0);
        assert!((place - 1.25).abs() < 1e-6 && (least - 2.0).abs() < 1e-12);
        let coarse: Vec<f64> = (-8..=8).map(f64::from).collect();
        let (place, _) = grid_minimum(&coarse, |x| (x - 1.25).abs());
        assert!((place - 1.25).abs() < 1e-6);
    }

    #[test]
    fn a_threshold_is_found_to_the_last_bit() {
        let found = least_true(0.0, 4.0, |x| x * x >= 2.0);
        assert!(found * found >= 2.0 && (found - core::f64::consts::SQRT_2).abs() < 1e-15);
    }
}
