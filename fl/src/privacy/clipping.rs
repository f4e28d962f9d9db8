//! Adaptive clipping: how the noise is split between the update and the count by which the clip norm
//! follows a quantile of the update norms (Andrew, Thakkar, McMahan and Ramaswamy 2021).

use libm::sqrt;

use super::PrivacyError;

/// The noise multiplier left for the update so that it and the clip-count query, which changes by at
/// most 1/2 and gets noise of `count_stddev`, together cost what a multiplier of `noise_multiplier`
/// costs: (z⁻² − (2σ_b)⁻²)^(−1/2) (theorem 1).
///
/// # Errors
/// Either number is not positive, or the count alone costs more than the whole.
pub fn adaptive_clipping_noise_split(noise_multiplier: f64, count_stddev: f64) -> Result<f64, PrivacyError> {
    for found in [noise_multiplier, count_stddev] {
        if !(found > 0.0 && found.is_finite()) {
            return Err(PrivacyError::Noise { found });
        }
    }
    let whole = 1.0 / (noise_multiplier * noise_multiplier);
    let count = 1.0 / (4.0 * count_stddev * count_stddev);
    if count >= whole {
        return Err(PrivacyError::CountNoise {
            found: count_stddev,
            least: noise_multiplier / 2.0,
        });
    }
    Ok(1.0 / sqrt(whole - count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_cost_what_the_whole_costs() {
        let update = adaptive_clipping_noise_split(1.0, 10.0).unwrap();
        assert!((update - 1.001_252_348_643_517_7).abs() < 1e-14);
        assert!(adaptive_clipping_noise_split(1.0, 0.5).is_err());
        assert!(adaptive_clipping_noise_split(f64::NAN, 10.0).is_err());
    }
}
