//! The pair of distributions that is worst for a mechanism, as the loss between them.
//!
//! On a Poisson sample the pair is the mixture with weight γ against the second distribution when a
//! record is removed, and the reverse when it is added; on a sample of fixed size with one record
//! replaced it is the first where the loss is positive and the second where it is negative (Zhu, Dong
//! and Wang 2022, theorem 11). Losses here are those of removal; [`super::cells`] reflects them.

use libm::{exp, expm1, log, log1p};

use super::super::discrete::{self, Atom, Atoms};
use super::super::kind::{Base, Kind, Sampling};
use super::Direction;
use super::smooth::{Smooth, Split};

/// Losses beyond this count as infinite.
pub(super) const LOSS_MAX: f64 = 600.0;

/// The losses of one mechanism.
#[derive(Debug)]
pub(super) struct Pair {
    smooth: Option<Smooth>,
    atoms: Vec<Atom>,
    /// Probability at each end that is not in `atoms`.
    pub(super) lost: f64,
    sampling: Sampling,
    /// All atoms are multiples of this.
    pub(super) lattice: Option<f64>,
    /// The ends of the part with a density: beyond them at most `lost` is left.
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Pair {
    /// The pair of a mechanism, complete but for `lost` at each end; nothing for a mechanism that is
    /// only known by its zCDP, or too wide to list.
    pub(super) fn of(kind: &Kind, lost: f64) -> Option<Self> {
        let (smooth, atoms, sampling, lattice) = match *kind {
            Kind::Concentrated { .. } => return None,
            Kind::Pure { epsilon } => {
                let atoms = discrete::response_atoms(2.0 / (1.0 + exp(epsilon)), 2);
                (None, atoms, Sampling::Whole, Some(epsilon))
            }
            Kind::Response { noise, buckets } => {
                let atoms = discrete::response_atoms(noise, buckets);
                let lattice = atoms.list.first().map(|atom| atom.loss);
                (None, atoms, Sampling::Whole, lattice)
            }
            Kind::Noise { base, sampling } => {
                let (smooth, atoms, lattice) = of_base(base, lost)?;
                (smooth, atoms, sampling, lattice)
            }
        };
        let rate = rate_of(sampling);
        let atoms_lost = atoms.lost;
        let sampled = |atom: Atom| Atom {
            loss: sampled_loss(atom.loss, rate),
            p: (1.0 - rate) * atom.q + rate * atom.p,
            q: atom.q,
        };
        let mut pair = Self {
            smooth,
            atoms: atoms.list.into_iter().map(sampled).collect(),
            lost: atoms_lost,
            sampling,
            lattice: lattice.filter(|_| sampling == Sampling::Whole),
            low: 0.0,
            high: 0.0,
        };
        if smooth.is_some() {
            pair.high = end(|loss| pair.split(loss).p_above <= lost);
            pair.low = -end(|loss| pair.split(-loss).q_below <= lost);
        }
        Some(pair)
    }

    /// Whether adding and removing cost the same.
    pub(super) fn is_symmetric(&self) -> bool {
        !matches!(self.sampling, Sampling::Poisson { .. })
    }

    /// Whether one record is replaced in a sample of fixed size.
    pub(super) fn is_fixed_size(&self) -> bool {
        matches!(self.sampling, Sampling::FixedSize { .. })
    }

    /// The atoms, in descending order of loss.
    pub(super) fn atoms(&self) -> &[Atom] {
        &self.atoms
    }

    /// The part with a density, split at a loss.
    pub(super) fn split(&self, loss: f64) -> Split {
        let Some(smooth) = self.smooth else {
            return Split::all_above(0.0, 0.0);
        };
        let rate = rate_of(self.sampling);
        match base_loss(loss, rate) {
            Some(base) => smooth.split(base).mixed(rate),
            None => Split::all_above(smooth.mass(), smooth.mass()),
        }
    }

    /// Probabilities of the part with a density between ascending `bounds`, under both neighbours.
    pub(super) fn masses(&self, bounds: impl Iterator<Item = f64>) -> Vec<(f64, f64)> {
        if self.smooth.is_none() {
            return Vec::new();
        }
        let mut splits = bounds.map(|loss| self.split(loss));
        let Some(mut left) = splits.next() else {
            return Vec::new();
        };
        let between = |from: (f64, f64), to: (f64, f64)| {
            let (below, above) = (to.0 - from.0, from.1 - to.1);
            if to.0 < to.1 { below } else { above }.max(0.0)
        };
        splits
            .map(|right| {
                let p = between((left.p_below, left.p_above), (right.p_below, right.p_above));
                let q = between((left.q_below, left.q_above), (right.q_below, right.q_above));
                left = right;
                (p, q)
            })
            .collect()
    }

    /// How far a boundary's loss may be off by rounding, for any boundary in use.
    pub(super) fn slack(&self) -> f64 {
        let spread = match self.smooth {
            Some(Smooth::Gaussian { sigma }) => 1.0 / (sigma * sigma),
            Some(Smooth::Laplace { scale }) => 1.0 / scale,
            None => 0.0,
        };
        let losses = self.atoms.iter().map(|atom| atom.loss.abs().min(LOSS_MAX));
        let reach = losses.fold(self.high.max(-self.low), f64::max);
        8.0 * f64::EPSILON * (4.0 - log(rate_of(self.sampling)) + spread.min(LOSS_MAX) + reach)
    }

    /// From the least loss to the largest.
    pub(super) fn span(&self) -> f64 {
        let losses = || self.atoms.iter().map(|atom| atom.loss.clamp(-LOSS_MAX, LOSS_MAX));
        let (low, high) = (
            losses().fold(self.low, f64::min),
            losses().fold(self.high, f64::max),
        );
        let both = if self.is_fixed_size() {
            2.0 * high.max(-low)
        } else {
            high - low
        };
        both.max(1e-9)
    }

    /// A rough picture of the loss in one direction: logarithms of probabilities, and losses. It guides
    /// the choice of a tilt and a window; nothing rests on it.
    pub(super) fn sketch(&self, direction: Direction) -> Vec<(f64, f64)> {
        let bounds = self.sketch_bounds();
        let masses = self.masses(bounds.iter().copied());
        let smooth = masses
            .into_iter()
            .filter(|(p, q)| *p > 0.0 && *q > 0.0)
            .map(|(p, q)| (p, q, log(p / q)));
        let atoms = self.atoms.iter().map(|atom| (atom.p, atom.q, atom.loss));
        let all = smooth.chain(atoms.filter(|(p, q, _)| *p > 0.0 && *q > 0.0));
        let remove = |(p, _, loss): (f64, f64, f64)| (log(p), loss);
        let add = |(_, q, loss): (f64, f64, f64)| (log(q), -loss);
        if self.is_fixed_size() {
            let positive: Vec<_> = all.filter(|(_, _, loss)| *loss > 0.0).collect();
            let used: f64 = positive.iter().map(|(p, q, _)| p + q).sum();
            let mut list = vec![(log((1.0 - used).max(1e-300)), 0.0)];
            list.extend(positive.iter().copied().map(remove));
            list.extend(positive.into_iter().map(add));
            return list;
        }
        match direction {
            Direction::Remove => all.map(remove).collect(),
            Direction::Add => all.map(add).collect(),
        }
    }

    /// Boundaries that grow by a sixteenth of their distance from 0.
    fn sketch_bounds(&self) -> Vec<f64> {
        let side = |most: f64| {
            let mut places = Vec::new();
            let mut place = 1e-8;
            while place < most {
                places.push(place);
                place *= 1.0 + 1.0 / 16.0;
            }
            places.push(most);
            places
        };
        let mut bounds: Vec<f64> = side(-self.low).into_iter().rev().map(|place| -place).collect();
        bounds.push(0.0);
        bounds.extend(side(self.high));
        bounds
    }
}

/// The density, the atoms and the lattice of a query's noise.
fn of_base(base: Base, lost: f64) -> Option<(Option<Smooth>, Atoms, Option<f64>)> {
    let none = Atoms {
        list: Vec::new(),
        lost: 0.0,
    };
    Some(match base {
        Base::Gaussian { sigma } => (Some(Smooth::Gaussian { sigma }), none, None),
        Base::Laplace { scale } => {
            let most = 1.0 / scale;
            let far = exp(-most) / 2.0;
            let end = |loss: f64, p: f64, q: f64| Atom { loss, p, q };
            let list = vec![end(most, 0.5, far), end(-most, far, 0.5)];
            (
                Some(Smooth::Laplace { scale }),
                Atoms { list, lost: 0.0 },
                Some(most),
            )
        }
        Base::DiscreteGaussian { sigma, sensitivity } => {
            let atoms = discrete::gaussian_atoms(sigma, sensitivity, lost)?;
            let lattice = sensitivity as f64 / (2.0 * sigma * sigma);
            (None, atoms, Some(lattice))
        }
        Base::DiscreteLaplace { rate, sensitivity } => {
            (None, discrete::laplace_atoms(rate, sensitivity)?, Some(rate))
        }
    })
}

fn rate_of(sampling: Sampling) -> f64 {
    match sampling {
        Sampling::Whole => 1.0,
        Sampling::Poisson { rate } | Sampling::FixedSize { rate } => rate,
    }
}

/// ln(1 − γ + γe^l), the loss on a sample.
fn sampled_loss(loss: f64, rate: f64) -> f64 {
    if rate >= 1.0 {
        loss
    } else if loss > LOSS_MAX {
        loss + log(rate)
    } else {
        log1p(rate * expm1(loss))
    }
}

/// The loss on all records whose loss on a sample is `loss`; nothing below all of them.
fn base_loss(loss: f64, rate: f64) -> Option<f64> {
    if rate >= 1.0 {
        return Some(loss);
    }
    // Each form keeps the difference of nearly equal numbers exact where it arises.
    let excess = if loss < -0.5 {
        (exp(loss) - (1.0 - rate)) / rate - 1.0
    } else {
        expm1(loss) / rate
    };
    (excess > -1.0).then(|| log1p(excess))
}

/// The least loss from which on `rare` holds, at most [`LOSS_MAX`].
fn end(rare: impl Fn(f64) -> bool) -> f64 {
    let mut high = 1e-6;
    while !rare(high) && high < LOSS_MAX {
        high *= 2.0;
    }
    if high >= LOSS_MAX {
        return LOSS_MAX;
    }
    let mut low = 0.0;
    for _ in 0..30 {
        let middle = (low + high) / 2.0;
        if rare(middle) { high = middle } else { low = middle }
    }
    high
}
