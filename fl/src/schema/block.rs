//! Blocks: the parts that a task's vector is made of, their bounds, weights and cost.
//!
//! A block is a table of `copies · cells` entries that share a bound and a weight. In each copy
//! one record adds at most `per_record_max` in all: copies of one cell are sums, copies of several
//! cells are tables in which every view falls into one cell (a confusion table, a histogram). The
//! largest norm is reached when all views of a record fall into the same cell, so a copy adds
//! `(weight · per_record_max)²` to the squared sensitivity, however many cells it has.
//!
//! Tables are not centred: centring would turn one changed cell into as many as there are. That a
//! record's views add up to at most `per_record_max` over all cells of a copy is what honest
//! contributors do; proofs bound each entry by itself. Privacy is about an honest contributor's own
//! records, so its sensitivity need not be proved to others; influence is bounded by the proofs.

use fieldmark_protocol::release::INPUT_BINS_MAX;

use super::choice::{ScoreKind, Statistic};
use super::{CONFIDENCE_MAX, SchemaParams, pairs};

/// Steps of a score that is not just right or wrong, and of a bin's confidence: even, so that a view
/// that is missing can stand exactly in the middle.
pub const STEPS: u32 = 64;
/// Steps of a quantised sum: so fine that small squared errors and losses do not all round to zero.
pub const SUM_STEPS: u32 = 4096;
/// Steps of a record's mean score before it is squared, where scores are not just right or wrong.
pub const SQUARE_STEPS: u32 = 16;
/// Log-loss is clipped here, in nats: a probability of the truth of 1 in 403.
pub const LOG_LOSS_MAX: f64 = 6.0;

/// Share of the counts' squared sensitivity, in percent, that all squares together may take.
const SQUARES_SHARE_PERCENT: u64 = 7;
/// The same for all differences together.
const DIFFERENCES_SHARE_PERCENT: u64 = 13;
/// The same for all wins together.
const WINS_SHARE_PERCENT: u64 = 25;
/// Weights are scaled up to a squared sensitivity of the counts near this, so that rounding
/// weights to integers costs nothing; only where a task collects more than the plain statistics.
const FINE_SENSITIVITY: u64 = 1 << 38;

/// A table of a statistic beyond scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Part {
    /// Views by truth and answer: cell `truth · classes + answer`.
    Confusion,
    /// Views by bin of confidence.
    BinViews,
    /// Confidence by bin of confidence, in steps of 1/[`STEPS`].
    BinConfidence,
    /// Right answers by bin of confidence.
    BinCorrect,
    /// Half the Brier score, in steps of 1/[`SUM_STEPS`] like all sums.
    Brier,
    /// Log-loss as a part of [`LOG_LOSS_MAX`], in steps.
    LogLoss,
    /// (1 + error)/2 with the error as a part of the target's range, in steps.
    Error,
    /// Squared error as a part of the squared range, in steps.
    SquaredError,
    /// Absolute error as a part of the range, in steps.
    AbsoluteError,
    /// The target's place in its range, in steps; one for all models.
    Target,
    /// Its square, in steps; one for all models.
    SquaredTarget,
    /// Views by truth (negative, then positive) and bin of the positive class's score.
    Histogram,
    /// Views by group, truth and answer: cell `4 · group + 2 · truth + answer`, 1 being positive.
    GroupConfusion,
    /// Views by answer: by class, or by bin of the target's range.
    Drift,
    /// Views by outlyingness of their inputs, in the bins of the release's reference.
    InputDrift,
}

impl Part {
    /// Every part, in the order of the vector.
    pub const ALL: [Self; 15] = [
        Self::Confusion,
        Self::BinViews,
        Self::BinConfidence,
        Self::BinCorrect,
        Self::Brier,
        Self::LogLoss,
        Self::Error,
        Self::SquaredError,
        Self::AbsoluteError,
        Self::Target,
        Self::SquaredTarget,
        Self::Histogram,
        Self::GroupConfusion,
        Self::Drift,
        Self::InputDrift,
    ];

    /// The statistic it belongs to.
    pub fn statistic(self) -> Statistic {
        match self {
            Self::Confusion => Statistic::Confusion,
            Self::BinViews | Self::BinConfidence | Self::BinCorrect => Statistic::CalibrationBins,
            Self::Brier => Statistic::Brier,
            Self::LogLoss => Statistic::LogLoss,
            Self::Error | Self::SquaredError | Self::AbsoluteError | Self::Target | Self::SquaredTarget => {
                Statistic::Regression
            }
            Self::Histogram => Statistic::ScoreHistogram,
            Self::GroupConfusion => Statistic::GroupConfusion,
            Self::Drift => Statistic::Drift,
            Self::InputDrift => Statistic::InputDrift,
        }
    }

    /// Whether it is a sum of quantised means rather than a table that views fall into.
    pub fn is_sum(self) -> bool {
        matches!(
            self,
            Self::Brier
                | Self::LogLoss
                | Self::Error
                | Self::SquaredError
                | Self::AbsoluteError
                | Self::Target
                | Self::SquaredTarget
        )
    }

    /// Whether all models share it.
    pub fn is_shared(self) -> bool {
        matches!(self, Self::Target | Self::SquaredTarget)
    }

    /// Its share of the counts' squared sensitivity, in percent.
    fn share_percent(self) -> u64 {
        match self {
            Self::Confusion => 60,
            Self::BinViews | Self::BinConfidence => 10,
            Self::BinCorrect => 20,
            Self::Brier | Self::LogLoss | Self::AbsoluteError => 8,
            Self::Error | Self::Target | Self::SquaredTarget => 5,
            Self::SquaredError => 10,
            Self::Histogram | Self::GroupConfusion => 40,
            Self::Drift | Self::InputDrift => 15,
        }
    }

    fn cells(self, params: &SchemaParams) -> usize {
        let extra = &params.statistics.extra;
        let (classes, bins) = (usize::from(extra.classes), usize::from(extra.bins));
        match self {
            Self::Confusion => classes * classes,
            Self::BinViews | Self::BinConfidence | Self::BinCorrect => bins,
            Self::Histogram => 2 * bins,
            Self::GroupConfusion => 4 * usize::from(extra.groups),
            Self::Drift if classes > 0 => classes,
            Self::Drift => bins,
            Self::InputDrift => INPUT_BINS_MAX,
            _ => 1,
        }
    }

    /// Whether it is kept apart by slice.
    pub(super) fn by_slice(self, params: &SchemaParams) -> bool {
        params.statistics.extra.by_slice && self != Self::GroupConfusion
    }

    /// What one view adds at most to one cell, in the part's own units.
    fn per_view_max(self) -> u32 {
        match self {
            Self::BinConfidence => STEPS,
            part if part.is_sum() => SUM_STEPS,
            _ => 1,
        }
    }

    fn block(self, params: &SchemaParams, counts: u64) -> Shape {
        let models = if self.is_shared() {
            1
        } else {
            usize::from(params.models)
        };
        let slices = usize::from(params.slices);
        let apart = self.by_slice(params);
        let copies = models * if apart { slices } else { 1 };
        let views = if apart || self.is_sum() {
            1
        } else {
            u32::from(params.slices)
        };
        let per_record_max = views * self.per_view_max();
        Shape {
            family: Family::Part(self),
            copies,
            touched: copies,
            cells: self.cells(params),
            per_record_max,
            weight: share(counts, self.share_percent(), copies, per_record_max),
            centred: self.is_sum(),
        }
    }
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Family {
    /// The record count.
    Records,
    /// Scores by model and slice.
    Scores,
    /// Squared field scores by model.
    Squares,
    /// Squared differences by pair of models.
    Differences,
    /// Mean confidence by model.
    Confidence,
    /// Views by slice, where records may lack some.
    Views,
    /// Wins by pair: the first model's, then the second's.
    Wins,
    /// A table of a statistic beyond scores.
    Part(Part),
}

impl Family {
    /// The statistic beyond scores that it belongs to, if any.
    pub fn statistic(self) -> Option<Statistic> {
        match self {
            Self::Wins => Some(Statistic::Wins),
            Self::Part(part) => Some(part.statistic()),
            _ => None,
        }
    }
}

/// A block of entries in the vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// What it holds.
    pub family: Family,
    /// Position of its first entry.
    pub start: usize,
    /// Number of tables.
    pub copies: usize,
    /// Tables that one record can add to.
    pub touched: usize,
    /// Entries of each.
    pub cells: usize,
    /// The most that one record adds to one table.
    pub per_record_max: u32,
    /// Multiplier in the released vector.
    pub weight: u64,
    /// Whether the released value is `weight · (2v − per_record_max · n)`.
    pub centred: bool,
}

impl Block {
    /// Number of entries.
    pub fn entries(&self) -> usize {
        self.copies * self.cells
    }

    /// Its exact part of the squared sensitivity.
    pub fn l2_squared(&self) -> u64 {
        let amplitude = self.weight.saturating_mul(u64::from(self.per_record_max));
        amplitude
            .saturating_mul(amplitude)
            .saturating_mul(self.touched as u64)
    }
}

/// A block that has no place yet.
struct Shape {
    family: Family,
    copies: usize,
    touched: usize,
    cells: usize,
    per_record_max: u32,
    weight: u64,
    centred: bool,
}

impl Shape {
    fn sums(family: Family, copies: usize, per_record_max: u32, weight: u64) -> Self {
        Self {
            family,
            copies,
            touched: copies,
            cells: 1,
            per_record_max,
            weight,
            centred: !matches!(family, Family::Records | Family::Views),
        }
    }

    fn placed(self, start: usize) -> Block {
        Block {
            family: self.family,
            start,
            copies: self.copies,
            touched: self.touched,
            cells: self.cells,
            per_record_max: self.per_record_max,
            weight: self.weight,
            centred: self.centred,
        }
    }
}

/// Steps of a view's score.
pub(super) fn score_steps(params: &SchemaParams) -> u32 {
    let extra = &params.statistics.extra;
    match extra.score {
        ScoreKind::Correct if extra.missing_views => 2,
        ScoreKind::Correct => 1,
        ScoreKind::BrierScore | ScoreKind::Closeness => STEPS,
        ScoreKind::WinRate => 2 * (u32::from(params.models) - 1).max(1),
        ScoreKind::Preference => 2,
    }
}

/// The largest square of a record's mean score: of the number of right slices where scores are
/// right or wrong, of [`SQUARE_STEPS`] elsewhere.
pub(super) fn square_max(params: &SchemaParams) -> u32 {
    if score_steps(params) == 1 {
        u32::from(params.slices) * u32::from(params.slices)
    } else {
        SQUARE_STEPS * SQUARE_STEPS
    }
}

/// The blocks of a layout, in the order of the vector.
pub(super) fn blocks(params: &SchemaParams) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut start = 0;
    for shape in shapes(params) {
        let block = shape.placed(start);
        start += block.entries();
        blocks.push(block);
    }
    blocks
}

fn shapes(params: &SchemaParams) -> Vec<Shape> {
    let weights = Weights::of(params);
    let (models, slices) = (usize::from(params.models), usize::from(params.slices));
    let (statistics, extra) = (&params.statistics, &params.statistics.extra);
    let (steps, squares) = (score_steps(params), square_max(params));
    let preference = extra.score == ScoreKind::Preference;
    let score_weight = (weights.score / u64::from(steps)).max(1);
    let mut scores = Shape::sums(Family::Scores, models * slices, steps, score_weight);
    scores.touched = if preference {
        models.min(2) * slices
    } else {
        scores.copies
    };
    let mut shapes = vec![Shape::sums(Family::Records, 1, 1, weights.records), scores];
    if statistics.paired && (slices > 1 || steps > 1) {
        shapes.push(Shape::sums(Family::Squares, models, squares, weights.square));
    }
    if statistics.paired {
        shapes.push(Shape::sums(
            Family::Differences,
            pairs(models),
            squares,
            weights.difference,
        ));
    }
    if statistics.calibration {
        shapes.push(Shape::sums(
            Family::Confidence,
            models,
            CONFIDENCE_MAX,
            weights.confidence,
        ));
    }
    if extra.missing_views {
        shapes.push(Shape::sums(Family::Views, slices, 1, weights.score));
    }
    if extra.collected.has(Statistic::Wins) {
        let pairs = pairs(models);
        let touched = if preference { pairs.min(1) } else { pairs };
        shapes.push(Shape {
            family: Family::Wins,
            copies: pairs,
            touched,
            cells: 2,
            // A win counts twice, a tie once for each.
            per_record_max: 2,
            weight: share(weights.counts, WINS_SHARE_PERCENT, touched, 2),
            centred: false,
        });
    }
    let collected = Part::ALL
        .into_iter()
        .filter(|part| extra.collected.has(part.statistic()));
    shapes.extend(collected.map(|part| part.block(params, weights.counts)));
    shapes.retain(|shape| shape.copies > 0);
    shapes
}

/// The weight with which `copies` tables of this bound take `percent` of the counts' squared
/// sensitivity.
fn share(counts: u64, percent: u64, copies: usize, per_record_max: u32) -> u64 {
    let parts = 100 * (copies as u64).max(1);
    ((counts.saturating_mul(percent) / parts).isqrt() / u64::from(per_record_max).max(1)).max(1)
}

/// The integer weights of a schema, in units chosen so that a square's weight stays an integer.
struct Weights {
    records: u64,
    /// Of a whole score, however many steps it has.
    score: u64,
    square: u64,
    difference: u64,
    confidence: u64,
    /// Squared sensitivity of records and scores, which the others are measured by.
    counts: u64,
}

impl Weights {
    /// Chooses the weights from the parameters by integer arithmetic alone.
    ///
    /// With a cell of amplitude 1, a score p = ½ + θ has the noise variance
    /// (Δ²/n²)·(1/4 + θ²/r²) for a record count of amplitude r, where Δ² = r² + M·S. For a single
    /// slice the best r² is 2θ√(MS), for the mean over slices 2θS√M. The count takes the geometric
    /// mean of the two at p = 0.8: r² = 0.6·√M·S^¾, about twice the weight of a cell for 3 models
    /// and 5 slices. Squares and differences share a fixed part of the squared sensitivity, so
    /// they cost less than a tenth of the noise; confidence has half a cell's amplitude.
    fn of(params: &SchemaParams) -> Self {
        let models = u64::from(params.models);
        let slices = u64::from(params.slices);
        let pairs = (models * (models - 1) / 2).max(1);
        let unit = slices * slices;
        let score = 2 * u64::from(CONFIDENCE_MAX) * unit;
        let records = records_weight(models, slices, score);
        let scale = scale(params, records * records + models * slices * score * score);
        let (records, score) = (records * scale, score * scale);
        let counts = records * records + models * slices * score * score;
        let squares = u64::from(square_max(params));
        let shared = |percent: u64, parts: u64| ((counts * percent / (100 * parts)).isqrt() / squares).max(1);
        Self {
            records,
            score,
            square: shared(SQUARES_SHARE_PERCENT, models),
            difference: shared(DIFFERENCES_SHARE_PERCENT, pairs),
            confidence: unit * scale,
            counts,
        }
    }
}

/// A power of two by which all weights are multiplied; 1 for plain statistics.
fn scale(params: &SchemaParams, counts: u64) -> u64 {
    if params.statistics.extra == super::Extra::PLAIN {
        return 1;
    }
    let mut scale = 1;
    while counts.saturating_mul(4 * scale * scale) <= FINE_SENSITIVITY {
        scale *= 2;
    }
    scale
}

/// `score · r` with r⁴ = 0.36·M·S^1.5, by integer square roots.
fn records_weight(models: u64, slices: u64, score: u64) -> u64 {
    let root_slices_milli = (slices * 1_000_000).isqrt();
    let fourth_power = 36 * models * slices * root_slices_milli;
    let score_squared = u128::from(score * score);
    let squared = (u128::from(fourth_power) * score_squared * score_squared / 100_000).isqrt();
    u64::try_from(squared.isqrt()).unwrap_or(u64::MAX).max(1)
}
