//! When queries of the server scenario are due.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// A Poisson process: pauses between queries are exponential, with the rate's inverse as mean.
#[derive(Debug)]
pub(crate) struct Arrivals {
    draws: ChaCha8Rng,
    rate: f64,
    at: f64,
}

impl Arrivals {
    /// Arrivals at `rate` a second, above 0; equal seeds give equal arrivals.
    pub(crate) fn new(seed: u64, rate: f64) -> Self {
        Self {
            draws: ChaCha8Rng::seed_from_u64(seed),
            rate,
            at: 0.0,
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    /// When the next query is due, from the start.
    fn next(&mut self) -> Option<Duration> {
        // 53 bits, moved off zero, so that the logarithm is finite.
        let uniform = ((self.draws.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        self.at -= uniform.ln() / self.rate;
        Duration::try_from_secs_f64(self.at).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_follow_the_seed_and_the_rate() {
        let times: Vec<Duration> = Arrivals::new(4, 100.0).take(10_000).collect();
        assert!(times.is_sorted());
        let seconds = times[9_999].as_secs_f64();
        assert!((95.0..105.0).contains(&seconds), "{seconds}");
        assert_eq!(times, Arrivals::new(4, 100.0).take(10_000).collect::<Vec<_>>());
        // Pauses of a Poisson process vary as much as they are long.
        let pauses: Vec<f64> = times
            .windows(2)
            .map(|p| (p[1] - p[0]).as_secs_f64() * 100.0)
            .collect();
        let variance = pauses.iter().map(|p| (p - 1.0).powi(2)).sum::<f64>() / pauses.len() as f64;
        assert!((0.9..1.1).contains(&variance), "{variance}");
    }
}
