//! The coverage study of [`fieldmark_fl::coverage`] over all settings of the published table, on many
//! cores, and its verdict; `coverage/page.rs` writes `docs/coverage.md`.
//!
//! A *cell* is one score (a model's field score, or a model on a slice) of one structure in one setting,
//! over all its challenges. Where fewer than one in a hundred of its intervals carry a mark, its coverage
//! must be 95 ± 1.5%; where more do, at least 93.5%. Cells that could be estimated in less than a quarter
//! of the challenges have too few intervals for that and are taken together, field scores and slices
//! apart.

use fieldmark_fl::coverage::{
    CellTally, Protection, RECORDS, STRUCTURES, Study, StudyError, Tally, protections,
};
use serde::Serialize;

use crate::parallel;

mod page;

/// Challenges in one job: short enough that cores stay busy to the end.
const BLOCK: u64 = 250;
/// Marks from which a cell counts as marked.
const MARKED_SHARE: f64 = 0.01;
/// Estimable share below which cells are taken together.
const SPARSE_SHARE: f64 = 0.25;
/// Least coverage of any cell.
const COVERAGE_MIN: f64 = 0.935;
/// Most coverage of a cell without marks.
const COVERAGE_MAX: f64 = 0.965;
/// Stated confidence of rank sets.
const RANK_CONFIDENCE: f64 = 0.95;
/// Standard errors that a measured figure may lie outside for having been measured.
const STANDARD_ERRORS: f64 = 2.0;

/// How much to simulate.
#[derive(Debug, Clone, Copy)]
pub struct CoverageOptions {
    /// Challenges of each structure in each setting; the published table has 10,000.
    pub challenges: u64,
    /// Threads; 0: one per core. The result is the same.
    pub threads: usize,
}

/// Least and greatest of a figure over cells; nothing without cells.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Range {
    /// The least.
    pub least: f64,
    /// The greatest.
    pub most: f64,
}

/// One setting, or one structure of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoverageRow {
    /// The structure; absent: all of them.
    pub structure: Option<&'static str>,
    /// Records of a challenge.
    pub records: u32,
    /// ε at δ = 1e-6.
    pub epsilon: f64,
    /// Number of aggregators.
    pub aggregators: u8,
    /// Share of scores that could be estimated.
    pub estimable: f64,
    /// Share of those with a mark.
    pub marked: f64,
    /// Coverage of noise-only intervals in cells without marks.
    pub noise: Option<Range>,
    /// Coverage of full intervals in cells without marks.
    pub full: Option<Range>,
    /// Least coverage, of either interval, in cells with marks.
    pub marked_least: Option<f64>,
    /// Mean half width of the full interval of field scores.
    pub field_half_width: f64,
    /// Mean half width of the full interval of slices.
    pub slice_half_width: f64,
    /// How often all rank sets of a challenge were right: the least over structures.
    pub ranks: f64,
    /// How often all intervals of differences held at once: the least over structures.
    pub differences: f64,
    /// How often anything was separated.
    pub separated: f64,
    /// Whether all figures are within what is promised.
    pub passed: bool,
}

/// The whole study.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    /// Challenges of each structure in each setting.
    pub challenges: u64,
    /// One row per setting, over all structures.
    pub settings: Vec<CoverageRow>,
    /// One row per structure and setting.
    pub structures: Vec<CoverageRow>,
    /// Whether every row passed.
    pub passed: bool,
}

impl Coverage {
    /// Runs the study: 27 settings of seven structures. 10,000 challenges take some minutes of one core.
    ///
    /// # Errors
    /// None for the built-in settings.
    pub fn run(options: &CoverageOptions) -> Result<Self, StudyError> {
        let studies: Vec<Study> = STRUCTURES
            .iter()
            .map(|&structure| Study::new(structure))
            .collect::<Result<_, _>>()?;
        let mut jobs = Vec::new();
        for study in &studies {
            for records in RECORDS {
                let starts = (0..options.challenges).step_by(usize::try_from(BLOCK).unwrap_or(usize::MAX));
                jobs.extend(starts.map(|first| (study, records, first)));
            }
        }
        let tallies = parallel::map(jobs.len(), parallel::threads(options.threads), |at| {
            let Some((study, records, first)) = jobs.get(at) else {
                return Ok(Vec::new());
            };
            let end = options.challenges.min(first + BLOCK);
            study.run(*records, &protections(), *first..end)
        })?;
        let per_part = usize::try_from(options.challenges.div_ceil(BLOCK)).unwrap_or(usize::MAX);
        let parts: Vec<Vec<Tally>> = tallies.chunks(per_part.max(1)).map(summed).collect();
        Ok(Self::of(options.challenges, &parts))
    }

    /// From the tallies of each structure and number of records, in that order.
    fn of(challenges: u64, parts: &[Vec<Tally>]) -> Self {
        let (mut settings, mut structures) = (Vec::new(), Vec::new());
        for (at, records) in RECORDS.into_iter().enumerate() {
            for (which, protection) in protections().into_iter().enumerate() {
                let of_setting: Vec<(&'static str, &Tally)> = STRUCTURES
                    .iter()
                    .zip(parts.chunks(RECORDS.len()))
                    .filter_map(|(structure, part)| Some((structure.name(), part.get(at)?.get(which)?)))
                    .collect();
                let all: Vec<&Tally> = of_setting.iter().map(|(_, tally)| *tally).collect();
                settings.push(row(None, records, protection, &all));
                for (name, tally) in of_setting {
                    structures.push(row(Some(name), records, protection, &[tally]));
                }
            }
        }
        let passed = settings.iter().chain(&structures).all(|row| row.passed);
        Self {
            challenges,
            settings,
            structures,
            passed,
        }
    }
}

fn summed(parts: &[Vec<Tally>]) -> Vec<Tally> {
    let mut parts = parts.iter();
    let mut sum = parts.next().cloned().unwrap_or_default();
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(sum, more)| sum.merge(more));
    }
    sum
}

fn row(
    structure: Option<&'static str>,
    records: u32,
    protection: Protection,
    tallies: &[&Tally],
) -> CoverageRow {
    let cells: Vec<CellTally> = tallies.iter().flat_map(|tally| judged(tally)).collect();
    let (marked, plain): (Vec<&CellTally>, Vec<&CellTally>) =
        cells.iter().partition(|cell| cell.marks() >= MARKED_SHARE);
    let noise = range(plain.iter().map(|cell| cell.noise_coverage()));
    let full = range(plain.iter().map(|cell| cell.full_coverage()));
    let of_marked = marked
        .iter()
        .flat_map(|cell| [cell.noise_coverage(), cell.full_coverage()]);
    let ranks = least(tallies.iter().map(|tally| tally.ranks.confidence()));
    let differences = least(tallies.iter().map(|tally| tally.ranks.difference_confidence()));
    let trials = tallies.first().map_or(0, |tally| tally.ranks.trials);
    let every = pooled(tallies.iter().flat_map(|tally| tally.cells()));
    let fields = pooled(tallies.iter().flat_map(|tally| &tally.fields));
    let slices = pooled(tallies.iter().flat_map(|tally| &tally.slices));
    let separated = tallies.iter().map(|tally| tally.ranks.separation()).sum::<f64>();
    CoverageRow {
        structure,
        records,
        epsilon: protection.epsilon,
        aggregators: protection.aggregators,
        estimable: every.estimable(),
        marked: every.marks(),
        noise,
        full,
        marked_least: range(of_marked).map(|range| range.least),
        field_half_width: fields.half_widths().1,
        slice_half_width: slices.half_widths().1,
        ranks,
        differences,
        separated: separated / tallies.len().max(1) as f64,
        passed: cells.iter().all(within) && ranks >= RANK_CONFIDENCE - allowance(RANK_CONFIDENCE, trials),
    }
}

/// The cells of a tally, those that could seldom be estimated taken together; none where nothing could.
fn judged(tally: &Tally) -> Vec<CellTally> {
    let mut cells = Vec::new();
    for group in [&tally.fields, &tally.slices] {
        let (sparse, dense): (Vec<&CellTally>, Vec<_>) =
            group.iter().partition(|cell| cell.estimable() < SPARSE_SHARE);
        cells.extend(dense.into_iter().copied());
        let sparse = pooled(sparse);
        cells.extend((sparse.estimated > 0).then_some(sparse));
    }
    cells
}

fn within(cell: &CellTally) -> bool {
    let marked = cell.marks() >= MARKED_SHARE;
    [cell.noise_coverage(), cell.full_coverage()]
        .into_iter()
        .all(|coverage| {
            // The cells of one challenge share its record count, so a pooled cell has the precision of
            // one of them.
            let trials = cell.estimated.min(cell.trials);
            let slack = if cell.estimable() < SPARSE_SHARE {
                allowance(COVERAGE_MIN, trials / 15)
            } else {
                0.0
            };
            coverage >= COVERAGE_MIN - slack && (marked || coverage <= COVERAGE_MAX + slack)
        })
}

/// How far a measured share may lie below the true one by chance.
fn allowance(share: f64, trials: u64) -> f64 {
    STANDARD_ERRORS * (share * (1.0 - share) / trials.max(1) as f64).sqrt()
}

fn pooled<'a>(cells: impl IntoIterator<Item = &'a CellTally>) -> CellTally {
    let mut sum = CellTally::default();
    cells.into_iter().for_each(|cell| sum.merge(cell));
    sum
}

fn range(figures: impl IntoIterator<Item = f64>) -> Option<Range> {
    figures.into_iter().fold(None, |range: Option<Range>, figure| {
        let (least, most) = range.map_or((figure, figure), |range| (range.least, range.most));
        Some(Range {
            least: least.min(figure),
            most: most.max(figure),
        })
    })
}

fn least(figures: impl IntoIterator<Item = f64>) -> f64 {
    range(figures).map_or(0.0, |range| range.least)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(threads: usize) -> Coverage {
        let challenges = 4;
        Coverage::run(&CoverageOptions { challenges, threads }).unwrap()
    }

    #[test]
    fn the_study_is_the_same_on_one_thread_and_on_many() {
        let one = run(1);
        assert_eq!(one, run(3));
        assert_eq!((one.settings.len(), one.structures.len()), (27, 27 * 7));
    }

    #[test]
    fn the_page_has_every_setting_and_the_command_that_makes_it() {
        let page = run(2).markdown();
        assert!(page.contains("--challenges 4"));
        assert_eq!(
            page.lines()
                .filter(|line| line.starts_with("| 10,000 | 0.5 |"))
                .count(),
            3 * 8
        );
    }

    #[test]
    fn cells_outside_the_promise_fail() {
        let cell = |estimated, marked, hits| CellTally {
            trials: 10_000,
            estimated,
            marked,
            noise_hits: hits,
            full_hits: hits,
            ..CellTally::default()
        };
        assert!(within(&cell(10_000, 0, 9_500)));
        assert!(!within(&cell(10_000, 0, 9_300)));
        assert!(!within(&cell(10_000, 0, 9_700)));
        assert!(within(&cell(10_000, 5_000, 9_900)));
        assert!(!within(&cell(10_000, 5_000, 9_300)));
    }
}
