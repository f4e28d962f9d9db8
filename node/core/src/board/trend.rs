//! The windows of a challenge in a row: each model's field score over time, and what rose or fell.
//!
//! Windows are found by their links ([`fieldmark_ledger::series`]); scores come from their released batches.
//! A [`TrendCache`] keeps what was folded in, so that a reader who comes again costs the new windows alone;
//! the trend is the same with and without one.

use std::collections::BTreeMap;

use fieldmark_fl::board::{Direction, Series, SeriesWindow, WindowScores, field_change};
use fieldmark_ledger::batch::{self, BatchView, Phase};
use fieldmark_ledger::catalogue;
use fieldmark_ledger::series::{self, Window};
use fieldmark_protocol::RecordId;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::Read;
use fieldmark_protocol::task::Task;
use fieldmark_protocol::trust::TrustPolicy;
use serde::Serialize;

use super::{BoardError, Cell, Estimate, Fixed, cell, estimate};
use crate::io::phase_name;
use crate::params::schema_params;
use crate::reveal;

/// Layouts that a cache keeps; a reader of more starts anew.
const LAYOUTS_MAX: usize = 64;

/// All windows of a challenge.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trend {
    /// The challenge that was asked for.
    pub challenge: RecordId,
    /// Its windows, in the order of their openings.
    pub windows: Vec<TrendWindow>,
    /// The models of all windows, those of the newest first.
    pub models: Vec<ModelTrend>,
}

/// One window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrendWindow {
    /// The Challenge record.
    pub challenge: RecordId,
    /// Its name.
    pub name: String,
    /// Start of the window.
    pub opens_at_ms: u64,
    /// End of the window.
    pub closes_at_ms: u64,
    /// Phase of its batch.
    pub phase: &'static str,
    /// Whether the reader's policy accepts its committee.
    pub trusted: bool,
    /// Accepted reports, once they are agreed on.
    pub contributors: u64,
    /// Source records, with noise, once released.
    pub records: Option<Estimate>,
}

/// One model over the windows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelTrend {
    /// The Release record.
    pub release: RecordId,
    /// `name@version`.
    pub name: String,
    /// Released windows that it was entered in.
    pub points: Vec<Point>,
    /// Each point against the one before it.
    pub changes: Vec<Change>,
    /// Over all windows that measure just what the newest does, where these are several.
    pub pooled: Option<Cell>,
}

/// A model's field score in a window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// Index of the window.
    pub window: usize,
    /// The field score.
    pub field: Cell,
    /// Best and worst rank it could have.
    pub rank: [u16; 2],
}

/// From one window to a later one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Index of the earlier window.
    pub from: usize,
    /// Index of the later window.
    pub to: usize,
    /// Later score less earlier.
    pub difference: Fixed,
    /// Lower end of its interval, 95% for all models of the two windows together.
    pub lo: Fixed,
    /// Upper end.
    pub hi: Fixed,
    /// `rose`, `fell` or `unclear`.
    pub direction: Direction,
}

/// Released windows that were folded in before, by what they measure.
#[derive(Debug, Default)]
pub struct TrendCache {
    layouts: BTreeMap<ContentHash, Series<RecordId>>,
    folded: u64,
}

impl TrendCache {
    /// How many aggregates were folded in so far.
    #[must_use]
    pub fn folded(&self) -> u64 {
        self.folded
    }

    /// The scores of a window, folded in now if they were not before; nothing before its release.
    fn scores(&mut self, window: &Window, batch: &BatchView) -> Result<Option<&WindowScores>, BoardError> {
        let (id, task) = (window.task.id, &window.task.task);
        let layout = layout(task);
        if batch.phase != Phase::Released {
            // A contradiction may void what was released: then the pool is made anew.
            let held = self
                .layouts
                .get(&layout)
                .is_some_and(|held| held.window(&id).is_some());
            if held {
                self.layouts.remove(&layout);
            }
            return Ok(None);
        }
        if self.layouts.len() >= LAYOUTS_MAX && !self.layouts.contains_key(&layout) {
            self.layouts.clear();
        }
        let known = self
            .layouts
            .get(&layout)
            .is_some_and(|held| held.window(&id).is_some());
        if !known {
            self.fold(layout, &id, task, batch)?;
        }
        Ok(self.layouts.get(&layout).and_then(|held| held.window(&id)))
    }

    fn fold(
        &mut self,
        layout: ContentHash,
        id: &RecordId,
        task: &Task,
        batch: &BatchView,
    ) -> Result<(), BoardError> {
        let Some(aggregate) = reveal::sum(task, batch) else {
            return Ok(());
        };
        let statistics = &task.statistics;
        let models = statistics.releases.iter().map(RecordId::to_string).collect();
        let empty = Series::new(models, statistics.slices.clone(), schema_params(task))?;
        let series = self.layouts.entry(layout).or_insert(empty);
        let folded = series.insert(
            *id,
            &SeriesWindow {
                aggregate,
                sigma_squared: task.privacy.sigma_squared,
                aggregators: crate::params::noises(task),
                contributors: batch.transcript().map_or(0, |t| t.count),
            },
        );
        // A window whose aggregate cannot be read has no point; its own board says why.
        self.folded += u64::from(matches!(folded, Ok(true)));
        Ok(())
    }

    /// Pooled field scores of a layout, if several windows have it, in the task's order.
    fn pooled(&self, task: &Task) -> Vec<Cell> {
        let Some(series) = self.layouts.get(&layout(task)) else {
            return Vec::new();
        };
        let view = series.view();
        match view.pooled {
            Some(table) if view.windows.len() > 1 => table.rows.iter().map(|row| cell(&row.field)).collect(),
            _ => Vec::new(),
        }
    }
}

/// What a task measures, under which windows can be pooled.
fn layout(task: &Task) -> ContentHash {
    ContentHash::of(format!("{:?}", task.statistics).as_bytes())
}

/// The trend of the series that a challenge stands in.
///
/// # Errors
/// [`BoardError`]: the challenge is not known, or an aggregate cannot be read.
pub fn trend(
    store: &dyn Read,
    challenge: &RecordId,
    policy: &TrustPolicy,
    cache: &mut TrendCache,
) -> Result<Trend, BoardError> {
    let found = series::windows(store, challenge)?;
    if found.is_empty() {
        return Err(BoardError::NoChallenge(*challenge));
    }
    let mut batches = Vec::new();
    for window in &found {
        batches.push(batch::batch(store, window.task.batch())?);
    }
    // First what is no longer released, so that nothing that counts is thrown away after it was folded in.
    for (window, batch) in found
        .iter()
        .zip(&batches)
        .filter(|(_, b)| b.phase != Phase::Released)
    {
        cache.scores(window, batch)?;
    }
    let mut scores: Vec<Option<WindowScores>> = Vec::new();
    for (window, batch) in found.iter().zip(&batches) {
        scores.push(cache.scores(window, batch)?.cloned());
    }
    let windows = found
        .iter()
        .zip(&batches)
        .zip(&scores)
        .map(|((window, batch), scores)| shown(window, batch, scores.as_ref(), policy));
    let newest = found.last().map(|window| &window.task.task);
    let pooled = newest.map(|task| cache.pooled(task)).unwrap_or_default();
    let mut models = Vec::new();
    for release in releases(&found) {
        let own = newest.and_then(|task| task.statistics.releases.iter().position(|id| *id == release));
        let name = catalogue::release(store, &release)?;
        models.push(ModelTrend {
            name: name.map_or_else(|| release.short(), |view| view.label()),
            points: points(&found, &scores, &release),
            changes: changes(&found, &scores, &release),
            pooled: own.and_then(|at| pooled.get(at).copied()),
            release,
        });
    }
    Ok(Trend {
        challenge: *challenge,
        windows: windows.collect(),
        models,
    })
}

fn shown(
    window: &Window,
    batch: &BatchView,
    scores: Option<&WindowScores>,
    policy: &TrustPolicy,
) -> TrendWindow {
    let task = &window.task.task;
    TrendWindow {
        challenge: window.challenge.id,
        name: window.challenge.challenge.name.clone(),
        opens_at_ms: task.opens_at_ms,
        closes_at_ms: task.closes_at_ms,
        phase: phase_name(&batch.phase),
        trusted: policy.accepts(task),
        contributors: batch.transcript().map_or(0, |t| t.count),
        records: scores.map(|scores| estimate(scores.records.value, scores.records.interval)),
    }
}

/// All releases: those of the newest window in its order, then those that earlier ones had besides.
fn releases(windows: &[Window]) -> Vec<RecordId> {
    let mut found = Vec::new();
    for release in windows
        .iter()
        .rev()
        .flat_map(|window| &window.task.task.statistics.releases)
    {
        if !found.contains(release) {
            found.push(*release);
        }
    }
    found
}

/// Windows with scores of a release: index, scores, and its place in them.
fn places<'a>(
    windows: &'a [Window],
    scores: &'a [Option<WindowScores>],
    release: &'a RecordId,
) -> impl Iterator<Item = (usize, &'a WindowScores, usize)> {
    let all = windows.iter().zip(scores).enumerate();
    all.filter_map(move |(index, (window, scores))| {
        let entered = &window.task.task.statistics.releases;
        let at = entered.iter().position(|id| id == release)?;
        Some((index, scores.as_ref()?, at))
    })
}

fn points(windows: &[Window], scores: &[Option<WindowScores>], release: &RecordId) -> Vec<Point> {
    let point = |(window, scores, at): (usize, &WindowScores, usize)| {
        let rank = scores.ranks.get(at)?;
        Some(Point {
            window,
            field: cell(scores.fields.get(at)?),
            rank: [rank.best, rank.worst],
        })
    };
    places(windows, scores, release).filter_map(point).collect()
}

fn changes(windows: &[Window], scores: &[Option<WindowScores>], release: &RecordId) -> Vec<Change> {
    let shown: Vec<_> = places(windows, scores, release)
        .filter(|(_, scores, at)| {
            scores
                .fields
                .get(*at)
                .is_some_and(|field| field.value().is_some())
        })
        .collect();
    let pairs = shown.iter().zip(shown.iter().skip(1));
    pairs
        .filter_map(|(&(from, older, before), &(to, newer, after))| {
            let change = field_change(older, before, newer, after)?;
            Some(Change {
                from,
                to,
                difference: Fixed(change.difference),
                lo: Fixed(change.interval.low),
                hi: Fixed(change.interval.high),
                direction: change.direction,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::board;
    use crate::testing::Field;

    /// Three windows: two of two models, then one that lost the first and gained a third.
    fn field() -> (Field, [RecordId; 3], [RecordId; 3]) {
        let mut field = Field::new();
        let [a, b, c] =
            ["1.0.0", "2.0.0", "3.0.0"].map(|version| field.ada.release(&mut field.store, version));
        let slices = ["clean", "blur"];
        let first = field.challenge("w0", &[a, b], &slices, &[&[90, 80], &[80, 70]]);
        let second = field.next("w1", first, &[a, b], &slices, &[&[90, 80], &[60, 50]]);
        let third = field.next("w2", second, &[b, c], &slices, &[&[61, 50], &[95, 90]]);
        (field, [a, b, c], [first, second, third])
    }

    fn of(field: &Field, id: &RecordId, cache: &mut TrendCache) -> Trend {
        trend(&field.store, id, &field.policy(), cache).unwrap()
    }

    #[test]
    fn a_fall_is_told_a_late_model_joins_and_a_withdrawn_one_keeps_its_row() {
        let (field, [a, b, c], [first, second, third]) = field();
        let found = of(&field, &second, &mut TrendCache::default());
        let names: Vec<RecordId> = found.windows.iter().map(|window| window.challenge).collect();
        assert_eq!(names, [first, second, third]);
        let model = |id: RecordId| found.models.iter().find(|model| model.release == id).unwrap();
        assert_eq!(
            found.models.iter().map(|m| m.release).collect::<Vec<_>>(),
            [b, c, a]
        );
        let directions = |id| {
            model(id)
                .changes
                .iter()
                .map(|change| change.direction)
                .collect::<Vec<_>>()
        };
        assert_eq!(directions(b), [Direction::Fell, Direction::Unclear]);
        assert_eq!(directions(a), [Direction::Unclear]);
        assert_eq!((model(a).points.len(), model(c).points.len()), (2, 1));
        // What it was entered in lists it still, and the next window, which it is not in, does not.
        let rows = |id: &RecordId| {
            let board = board(&field.store, id, &field.policy()).unwrap();
            board.models.iter().map(|row| row.release).collect::<Vec<_>>()
        };
        assert!(rows(&second).contains(&a) && !rows(&third).contains(&a));
        assert_eq!(
            board(&field.store, &third, &field.policy()).unwrap().previous,
            Some(second)
        );
    }

    #[test]
    fn only_new_aggregates_are_folded_in_and_the_trend_is_that_from_scratch() {
        let (mut field, [a, b, _], [first, second, third]) = field();
        let mut cache = TrendCache::default();
        of(&field, &first, &mut cache);
        assert_eq!(cache.folded(), 3);
        of(&field, &third, &mut cache);
        assert_eq!(cache.folded(), 3);
        let slices = ["clean", "blur"];
        let fourth = field.next("w3", second, &[a, b], &slices, &[&[80, 70], &[60, 50]]);
        let kept = of(&field, &fourth, &mut cache);
        assert_eq!(cache.folded(), 4);
        assert_eq!(kept, of(&field, &fourth, &mut TrendCache::default()));
        assert!(kept.models.iter().any(|model| model.pooled.is_some()));
    }

    #[test]
    fn a_window_that_became_void_leaves_the_trend() {
        let (mut field, _, [first, second, third]) = field();
        let mut cache = TrendCache::default();
        of(&field, &first, &mut cache);
        field.contradict(second);
        let kept = of(&field, &third, &mut cache);
        assert_eq!(kept.windows[1].phase, "void");
        assert_eq!(kept, of(&field, &third, &mut TrendCache::default()));
        let seats = board(&field.store, &second, &field.policy()).unwrap();
        assert!(
            seats
                .notices
                .iter()
                .any(|notice| notice.contains("not the sum of the shares")),
            "{:?}",
            seats.notices
        );
    }
}
