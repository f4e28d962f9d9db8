//! Who was compared with whom, and who beat whom, beyond the noise in the counts.

use super::PairCount;
use crate::interval::Estimate;
use libm::sqrt;

/// Deviations of noise by which a count must exceed zero to be believed.
const CLEAR_SIGMAS: f64 = 2.0;

/// Whether at least one comparison is behind a count, as far as its noise lets one say.
fn clear(count: Estimate) -> bool {
    count.value >= 0.5 + CLEAR_SIGMAS * sqrt(count.variance)
}

/// A model that the first one is not connected with by comparisons, if there is one.
pub(super) fn unreachable(models: usize, pairs: &[PairCount]) -> Option<usize> {
    let mut links = vec![Vec::new(); models];
    for pair in pairs {
        let compared = clear(Estimate {
            value: pair.wins.value + pair.losses.value,
            variance: pair.wins.variance + pair.losses.variance,
        });
        if compared {
            link(&mut links, pair.first, pair.second);
            link(&mut links, pair.second, pair.first);
        }
    }
    reached(&links).iter().position(|&seen| !seen)
}

/// Per model, whether it lies outside the largest group in which everyone beat everyone by way of
/// others: strengths are finite exactly within such a group (Ford 1957).
pub(super) fn separated(models: usize, pairs: &[PairCount]) -> Vec<bool> {
    let (mut beats, mut beaten_by) = (vec![Vec::new(); models], vec![Vec::new(); models]);
    for pair in pairs {
        if clear(pair.wins) {
            link(&mut beats, pair.first, pair.second);
            link(&mut beaten_by, pair.second, pair.first);
        }
        if clear(pair.losses) {
            link(&mut beats, pair.second, pair.first);
            link(&mut beaten_by, pair.first, pair.second);
        }
    }
    let mut group = vec![None; models];
    let mut largest: (usize, usize) = (0, 0);
    for start in 0..models {
        if group.get(start).is_some_and(Option::is_some) {
            continue;
        }
        let (down, up) = (reached_from(&beats, start), reached_from(&beaten_by, start));
        let mut size = 0;
        for (slot, (down, up)) in group.iter_mut().zip(down.into_iter().zip(up)) {
            if down && up {
                *slot = Some(start);
                size += 1;
            }
        }
        if size > largest.0 {
            largest = (size, start);
        }
    }
    group.iter().map(|&of| of != Some(largest.1)).collect()
}

fn link(links: &mut [Vec<usize>], from: u16, to: u16) {
    if let Some(list) = links.get_mut(usize::from(from)) {
        list.push(usize::from(to));
    }
}

fn reached(links: &[Vec<usize>]) -> Vec<bool> {
    reached_from(links, 0)
}

fn reached_from(links: &[Vec<usize>], start: usize) -> Vec<bool> {
    let mut seen = vec![false; links.len()];
    let mut open = vec![start];
    while let Some(at) = open.pop() {
        match seen.get_mut(at) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        open.extend(links.get(at).into_iter().flatten());
    }
    seen
}
