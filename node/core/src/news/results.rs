//! News from boards: results in which a release stands, releases that are worse than the one before, and
//! drift.

use std::collections::BTreeMap;

use fieldmark_fl::interval::{Micro, Release as Aggregate};
use fieldmark_fl::metrics::{self, Metric};
use fieldmark_fl::rank;
use fieldmark_fl::regression::{self, Drop, Standing};
use fieldmark_fl::schema::Schema;
use fieldmark_ledger::batch::Phase;
use fieldmark_ledger::board::{self as ledger_board, BoardInputs};
use fieldmark_ledger::catalogue::{Model, ReleaseView};
use fieldmark_ledger::{log, tasks};
use fieldmark_protocol::RecordId;
use fieldmark_protocol::machine::{Read, StoreError};
use fieldmark_protocol::trust::TrustPolicy;

use super::{News, NewsKind, news_id, published};
use crate::board::context;
use crate::params::{noises, schema_params};
use crate::reveal;

/// Challenges with a model's releases that are read, newest first by their operators' clocks. Each costs
/// about a millisecond.
pub const CHALLENGES_READ_MAX: usize = 64;

/// Population stability index from which on answers or inputs are said to have drifted: the lower end of the usual
/// band of a moderate shift (0.1 to 0.25).
pub const DRIFT_PSI: f64 = 0.1;

/// A released challenge.
struct Measured {
    inputs: BoardInputs,
    aggregate: Aggregate,
    at_ms: u64,
    trusted: bool,
}

impl Measured {
    fn place(&self, release: &RecordId) -> Option<u16> {
        let releases = &self.inputs.task.task.statistics.releases;
        let at = releases.iter().position(|id| id == release)?;
        u16::try_from(at).ok()
    }

    fn slice(&self, at: u16) -> &str {
        let slices = &self.inputs.task.task.statistics.slices;
        slices.get(usize::from(at)).map_or("", String::as_str)
    }

    fn name(&self) -> &str {
        &self.inputs.challenge.challenge.name
    }

    /// Shares that the result is the sum of.
    fn shares(&self) -> Vec<RecordId> {
        let shares = self.inputs.batch.shares().unwrap_or_default();
        shares.iter().map(|held| held.id).collect()
    }
}

/// Adds what the boards say of the model's releases.
pub(super) fn results(
    store: &dyn Read,
    model: &Model,
    releases: &[ReleaseView],
    policy: &TrustPolicy,
    found: &mut Vec<News>,
) -> Result<(), StoreError> {
    let boards = measured(store, releases, policy)?;
    for board in &boards {
        let standing = releases
            .iter()
            .filter(|release| board.place(&release.id).is_some());
        found.extend(standing.map(|release| aggregate(model, release, board)));
    }
    let trusted: Vec<&Measured> = boards.iter().filter(|board| board.trusted).collect();
    for board in &trusted {
        found.extend(releases.iter().flat_map(|release| drift(model, release, board)));
    }
    for release in releases {
        let Some(before) = before(releases, release) else {
            continue;
        };
        found.extend(regressions(model, release, before, &trusted));
    }
    Ok(())
}

/// The release that another is compared with: its parent if it names one of this model, else the one
/// published before it.
fn before<'r>(releases: &'r [ReleaseView], release: &ReleaseView) -> Option<&'r ReleaseView> {
    if let Some(parent) = release.release.parent {
        return releases.iter().find(|other| other.id == parent);
    }
    // Newest first.
    let at = releases.iter().position(|other| other.id == release.id)?;
    releases.get(at.checked_add(1)?)
}

/// Released challenges in which any of the releases stands, newest first.
fn measured(
    store: &dyn Read,
    releases: &[ReleaseView],
    policy: &TrustPolicy,
) -> Result<Vec<Measured>, StoreError> {
    let mut challenges = BTreeMap::new();
    for release in releases {
        for task in tasks::tasks_of(store, &release.id)? {
            for challenge in tasks::challenges_of(store, &task)? {
                challenges.insert((u64::MAX - challenge.created_at_ms, challenge.id), ());
            }
        }
    }
    let mut found = Vec::new();
    for (_, id) in challenges.into_keys().take(CHALLENGES_READ_MAX) {
        found.extend(measure(store, &id, policy)?);
    }
    Ok(found)
}

fn measure(
    store: &dyn Read,
    challenge: &RecordId,
    policy: &TrustPolicy,
) -> Result<Option<Measured>, StoreError> {
    let Some(inputs) = ledger_board::gather(store, challenge)? else {
        return Ok(None);
    };
    let task = &inputs.task.task;
    let read = || {
        let sum = reveal::sum(task, &inputs.batch)?;
        let schema = Schema::new(&schema_params(task)).ok()?;
        Aggregate::new(&schema, &sum, task.privacy.sigma_squared, noises(task)).ok()
    };
    // What cannot be read has a board that says so.
    let Some(aggregate) = (inputs.batch.phase == Phase::Released).then(read).flatten() else {
        return Ok(None);
    };
    let mut at_ms = 0;
    for share in inputs.batch.shares().unwrap_or_default() {
        let record = log::record(store, &share.id)?;
        at_ms = at_ms.max(record.map_or(0, |record| record.header().created_at_ms));
    }
    let trusted = policy.accepts(task);
    Ok(Some(Measured {
        inputs,
        aggregate,
        at_ms,
        trusted,
    }))
}

fn aggregate(model: &Model, release: &ReleaseView, board: &Measured) -> News {
    let count = board.inputs.batch.transcript().map_or(0, |t| t.count);
    let doubt = if board.trusted {
        ""
    } else {
        "; your trust policy does not accept its committee"
    };
    let challenge = board.inputs.challenge.id;
    News {
        id: news_id(
            NewsKind::Aggregate,
            model,
            &[
                challenge.as_bytes(),
                board.inputs.task.id.as_bytes(),
                release.id.as_bytes(),
            ],
        ),
        kind: NewsKind::Aggregate,
        at_ms: board.at_ms,
        title: format!("{} was measured in {}", release.label(), board.name()),
        detail: format!("{count} contributors{doubt}"),
        path: format!("/challenges/{challenge}"),
        records: board.shares(),
        ..published(model, release)
    }
}

/// The drift of a release's answers and of its inputs from its references, where the board measures it and the whole
/// interval of the population stability index lies above [`DRIFT_PSI`].
fn drift(model: &Model, release: &ReleaseView, board: &Measured) -> Vec<News> {
    let Some(at) = board.place(&release.id) else {
        return Vec::new();
    };
    let context = context(&board.inputs);
    let found = metrics::metrics(&board.aggregate, at, &context);
    let slices = board.inputs.task.task.statistics.slices.len();
    // Inputs of the other slices are meant to be unlike the author's.
    let expected = |measured: &metrics::Measured| match measured.slice {
        Some(_) => measured.slice == context.clean_slice,
        None => slices == 1,
    };
    let shifted = |of: Metric| {
        let of_slice = |measured: &metrics::Measured| {
            let asked = measured.metric == of && (of == Metric::Psi || expected(measured));
            let interval = measured.value.full().filter(|_| asked)?;
            let value = measured.value.value()?;
            let what = measured.slice.map_or("all slices", |slice| board.slice(slice));
            (interval.low.to_f64() > DRIFT_PSI).then(|| line(what, value, interval.low, interval.high))
        };
        found.iter().filter_map(of_slice).collect::<Vec<String>>()
    };
    let challenge = board.inputs.challenge.id;
    let news = |(of, what): (Metric, &str)| {
        let parts = shifted(of);
        let shown: [&[u8]; 2] = [challenge.as_bytes(), release.id.as_bytes()];
        // Answers came first, and keep the ids they had.
        let own = (of != Metric::Psi).then_some(what.as_bytes());
        let told: Vec<&[u8]> = shown.into_iter().chain(own).collect();
        (!parts.is_empty()).then(|| News {
            id: news_id(NewsKind::Drift, model, &told),
            kind: NewsKind::Drift,
            at_ms: board.at_ms,
            title: format!(
                "the {what} of {} have drifted in {}",
                release.label(),
                board.name()
            ),
            detail: format!(
                "population stability index {} (95% each by itself, above {DRIFT_PSI})",
                parts.join("; ")
            ),
            path: format!("/challenges/{challenge}"),
            records: board.shares(),
            ..published(model, release)
        })
    };
    let all = [(Metric::Psi, "answers"), (Metric::InputPsi, "inputs")];
    all.into_iter().filter_map(news).collect()
}

/// Regressions of a release: on each board where both stand, or else between the latest board of each.
fn regressions(
    model: &Model,
    release: &ReleaseView,
    before: &ReleaseView,
    boards: &[&Measured],
) -> Vec<News> {
    let stands = |board: &&&Measured, id: &RecordId| board.place(id).is_some();
    let shared: Vec<_> = boards
        .iter()
        .filter(|board| stands(board, &release.id) && stands(board, &before.id))
        .collect();
    let mut found = Vec::new();
    for board in &shared {
        found.extend(on_one_board(model, release, before, board));
    }
    if !shared.is_empty() {
        return found;
    }
    let newest = |id: &RecordId| boards.iter().find(|board| stands(board, id));
    if let (Some(ours), Some(theirs)) = (newest(&release.id), newest(&before.id)) {
        found.extend(across_boards(model, release, before, ours, theirs));
    }
    found
}

fn on_one_board(
    model: &Model,
    release: &ReleaseView,
    before: &ReleaseView,
    board: &Measured,
) -> Option<News> {
    let (newer, older) = board.place(&release.id).zip(board.place(&before.id))?;
    let mut parts: Vec<String> = regression::on_one_board(&board.aggregate, newer, older)
        .iter()
        .map(|drop| told(board, drop))
        .collect();
    if let Some((difference, low, high)) = mean_drop(&board.aggregate, newer, older) {
        parts.insert(0, line("the mean of all slices", difference, low, high));
    }
    let how = "simultaneous intervals on one board";
    news(model, release, before, &parts, how, &[board])
}

/// The comparison of field scores that the board's rank sets rest on, if the newer is significantly worse.
fn mean_drop(aggregate: &Aggregate, newer: u16, older: u16) -> Option<(Micro, Micro, Micro)> {
    let ranking = rank::rank(aggregate);
    let pair = ranking
        .comparisons
        .iter()
        .find(|c| (c.first, c.second) == (newer.min(older), newer.max(older)))?;
    let turn = |value: Micro| Micro(value.0.saturating_neg());
    let (difference, low, high) = if pair.first == newer {
        (pair.difference, pair.interval.low, pair.interval.high)
    } else {
        (
            turn(pair.difference),
            turn(pair.interval.high),
            turn(pair.interval.low),
        )
    };
    (high < Micro(0)).then_some((difference, low, high))
}

fn across_boards(
    model: &Model,
    release: &ReleaseView,
    before: &ReleaseView,
    ours: &Measured,
    theirs: &Measured,
) -> Option<News> {
    let (newer, older) = ours.place(&release.id).zip(theirs.place(&before.id))?;
    let names = &theirs.inputs.task.task.statistics.slices;
    let equal = ours.inputs.task.task.statistics.slices.iter().zip(0u16..);
    let slices: Vec<(u16, u16)> = equal
        .filter_map(|(name, at)| {
            let there = names.iter().position(|other| other == name)?;
            Some((at, u16::try_from(there).ok()?))
        })
        .collect();
    let standing = |board, model| Standing {
        release: board,
        model,
    };
    let drops = regression::across_boards(
        standing(&ours.aggregate, newer),
        standing(&theirs.aggregate, older),
        &slices,
    );
    let parts: Vec<String> = drops.iter().map(|drop| told(ours, drop)).collect();
    let how = "disjoint intervals on slices of equal name of different boards, whose contributors may differ";
    news(model, release, before, &parts, how, &[ours, theirs])
}

fn told(board: &Measured, drop: &Drop) -> String {
    line(
        board.slice(drop.slice),
        drop.difference,
        drop.interval.low,
        drop.interval.high,
    )
}

fn line(what: &str, difference: Micro, low: Micro, high: Micro) -> String {
    format!(
        "{what} {:+.3} [{:+.3}, {:+.3}]",
        difference.to_f64(),
        low.to_f64(),
        high.to_f64()
    )
}

fn news(
    model: &Model,
    release: &ReleaseView,
    before: &ReleaseView,
    parts: &[String],
    how: &str,
    boards: &[&Measured],
) -> Option<News> {
    let (first, last) = (boards.first()?, boards.last()?);
    if parts.is_empty() {
        return None;
    }
    let mut about: Vec<&[u8]> = vec![release.id.as_bytes(), before.id.as_bytes()];
    about.extend(
        boards
            .iter()
            .map(|board| board.inputs.challenge.id.as_bytes().as_slice()),
    );
    let place = if boards.len() == 1 {
        first.name().to_owned()
    } else {
        format!("{}, against {}", first.name(), last.name())
    };
    Some(News {
        id: news_id(NewsKind::Regression, model, &about),
        kind: NewsKind::Regression,
        at_ms: boards
            .iter()
            .map(|board| board.at_ms)
            .max()?
            .max(release.created_at_ms),
        title: format!(
            "{} is significantly worse than {} in {place}",
            release.label(),
            before.label()
        ),
        detail: format!("{} ({how}, together 95%)", parts.join("; ")),
        path: format!("/challenges/{}", first.inputs.challenge.id),
        records: boards.iter().flat_map(|board| board.shares()).collect(),
        ..published(model, release)
    })
}
