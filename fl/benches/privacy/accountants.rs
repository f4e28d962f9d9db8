//! The accountants.

use std::hint::black_box;

use fieldmark_fl::privacy::{Delta, Rho, analytic_gaussian_sigma, epsilon_of};

use super::{Row, median_ms};

/// Prints each number as soon as it is measured.
pub(super) fn rows(print: &mut dyn FnMut(Row)) {
    let (Ok(delta), Ok(epsilon)) = (Delta::new(1e-5), 1.0.try_into()) else {
        return;
    };
    let conversion = median_ms(20, || {
        black_box(epsilon_of(Rho::from_units(5_000_000_000), delta));
    });
    let calibration = median_ms(20, || {
        let _ = black_box(analytic_gaussian_sigma(epsilon, delta, 1.0));
    });
    for (name, value) in [
        ("zcdp-conversion", conversion),
        ("gaussian-calibration", calibration),
    ] {
        print(Row {
            name: name.to_owned(),
            value,
            unit: "ms",
            baseline: 1.0,
            baseline_name: "goal",
        });
    }
}
