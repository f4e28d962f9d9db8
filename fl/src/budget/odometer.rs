//! What was spent so far, by a bound that holds at every moment at once.
//!
//! Let Lₙ be the privacy loss of the first n releases on the transcript that came out, and Sₙ the sum
//! of their Rényi losses at order α, both chosen adaptively. exp((α − 1)(Lₙ − Sₙ)) is a non-negative
//! supermartingale that starts at 1, so by Ville's inequality the probability that Lₙ ever exceeds
//! Sₙ + ln(1/δ)/(α − 1) is at most δ (Feldman and Zrnic 2021; Whitehouse, Ramdas, Rogers and Wu 2023,
//! section 4). That is an odometer: it may be read at any time, also at one chosen because of what it
//! says, and each reading bounds the loss so far.
//!
//! A filter in zCDP is not bound to one order. Its odometer is the least of [`LEVELS`] such lines, one
//! for each halving of the limit, each at the order that is best where its share of the limit is spent
//! and each failing with δ/LEVELS, so that all hold together with probability 1 − δ.
//!
//! The bound is on the privacy loss itself and so is a little wider than the filter's own promise when
//! the limit is nearly reached; the promise holds all the same, so the odometer never shows more.

use super::{Accounting, Filter};
use libm::{log, sqrt};

/// Lines of the odometer of a filter in zCDP.
const LEVELS: i32 = 8;

impl Filter {
    /// ε spent so far, reserved charges included: with probability 1 − δ the privacy loss of all
    /// that was released never exceeds what this shows at that time. 0 while nothing is spent.
    #[must_use]
    pub fn odometer(&self) -> f64 {
        let spent = self.spent().value();
        if self.spent().units() == 0 {
            return 0.0;
        }
        let surprise = -log(self.delta().value());
        let shown = match self.accounting() {
            Accounting::Renyi(order) => line(spent, order.value() - 1.0, surprise),
            Accounting::Zcdp => {
                let surprise = surprise + log(f64::from(LEVELS));
                let level = |level: i32| {
                    let share = libm::scalbn(self.limit().value(), -level);
                    line(spent, sqrt(surprise / share), surprise)
                };
                (0..LEVELS).map(level).fold(f64::INFINITY, f64::min)
            }
        };
        // Over the rounding of the terms.
        (shown * (1.0 + 16.0 * f64::EPSILON)).min(self.epsilon().value())
    }
}

/// αS + ln(1/δ)/(α − 1) for S in ρ, `excess` = α − 1 and `surprise` = ln(1/δ).
fn line(spent: f64, excess: f64, surprise: f64) -> f64 {
    (1.0 + excess) * spent + surprise / excess
}

#[cfg(test)]
mod tests {
    use super::super::Order;
    use super::*;
    use crate::noise::{DiscreteGaussian, Ratio};
    use crate::privacy::{Delta, Epsilon, Relation, Rho};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn filter(accounting: Accounting, epsilon: f64, delta: f64) -> Filter {
        let (epsilon, delta) = (Epsilon::new(epsilon).unwrap(), Delta::new(delta).unwrap());
        Filter::with_accounting(Relation::AddOrRemoveOneRecord, accounting, epsilon, delta).unwrap()
    }

    #[test]
    fn the_odometer_grows_from_nothing_to_the_promise() {
        let order = Order::from_units(8_000_000).unwrap();
        for accounting in [Accounting::Zcdp, Accounting::Renyi(order)] {
            let mut filter = filter(accounting, 4.0, 1e-6);
            assert!(filter.odometer().abs() < f64::EPSILON);
            let (mut last, part) = (0.0, filter.limit().units() / 64);
            for id in 0..64 {
                filter.reserve([id; 32], Rho::from_units(part)).unwrap();
                let now = filter.odometer();
                assert!(now > 0.0 && now >= last && now <= 4.0);
                // Never below what a plan fixed in advance would be told.
                assert!(now * (1.0 + 1e-9) >= accounting.epsilon(filter.spent(), filter.delta()).min(4.0));
                last = now;
            }
        }
    }

    #[test]
    fn a_small_share_of_the_limit_is_told_much_less_than_the_promise() {
        let mut filter = filter(Accounting::Zcdp, 8.0, 1e-6);
        let share = filter.limit().units() / 100;
        filter.reserve([1; 32], Rho::from_units(share)).unwrap();
        let planned = Accounting::Zcdp.epsilon(filter.spent(), filter.delta());
        assert!(
            filter.odometer() < 1.4 * planned,
            "{} {planned}",
            filter.odometer()
        );
    }

    /// An analyst who stops when the odometer looks worst for it: the loss exceeds the odometer in
    /// some step in at most a share δ of the runs.
    #[test]
    fn the_loss_stays_below_the_odometer_at_every_step_of_an_adaptive_analyst() {
        let order = Order::from_units(6_000_000).unwrap();
        for accounting in [Accounting::Zcdp, Accounting::Renyi(order)] {
            let (runs, delta) = (4_000, 0.05);
            let mut exceeded = 0;
            let small = DiscreteGaussian::new(Ratio::from(100)).unwrap();
            let large = DiscreteGaussian::new(Ratio::from(16)).unwrap();
            for seed in 0..runs {
                let mut rng = ChaCha20Rng::seed_from_u64(seed);
                let mut filter = filter(accounting, 6.0, delta);
                let mut loss = 0.0;
                let mut beyond = false;
                for step in 0..40u8 {
                    // Lucky so far: ask small questions; unlucky: press on with large ones.
                    let (variance, noise) = if loss > 1.0 { (16, &large) } else { (100, &small) };
                    let rho = Rho::of_gaussian(1, variance).unwrap();
                    if filter.reserve([step; 32], rho).is_err() {
                        break;
                    }
                    let answer = (1 + noise.sample(&mut rng)) as f64;
                    // ln of the probabilities of the answer with and without the record.
                    loss += (answer - 0.5) / variance as f64;
                    beyond |= loss > filter.odometer();
                }
                exceeded += u32::from(beyond);
            }
            let share = f64::from(exceeded) / runs as f64;
            assert!(share <= delta, "{accounting}: {share}");
        }
    }
}
