//! The list of metrics and statistics, from which the guide is made: formula, what it needs, cost.
//!
//! `docs/guides/metrics.md` is [`markdown`], and a test says so when it is not.

use super::Metric;
use crate::schema::{
    Extra, Family, Part, SUM_STEPS, Schema, SchemaError, SchemaParams, ScoreKind, Statistic, Statistics,
};
use std::fmt::Write as _;

/// What a larger value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Larger is better.
    Higher,
    /// Smaller is better.
    Lower,
    /// Nearer to zero is better.
    NearZero,
}

/// A metric in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its name on a page.
    pub label: &'static str,
    /// The statistic it is made from; nothing where scores suffice.
    pub statistic: Option<Statistic>,
    /// How it is computed.
    pub formula: &'static str,
    /// Its range.
    pub range: &'static str,
    /// Which way is good.
    pub better: Better,
}

impl Metric {
    /// Every metric, in the order of the guide.
    pub const ALL: [Self; 23] = [
        Self::Accuracy,
        Self::Precision,
        Self::Recall,
        Self::F1,
        Self::Mcc,
        Self::Ece,
        Self::Brier,
        Self::LogLoss,
        Self::Rmse,
        Self::Mae,
        Self::Bias,
        Self::R2,
        Self::Auroc,
        Self::Psi,
        Self::Ks,
        Self::Js,
        Self::InputPsi,
        Self::InputKs,
        Self::InputJs,
        Self::ParityGap,
        Self::OddsGap,
        Self::CorruptionError,
        Self::CorruptionDrop,
    ];

    /// The metric in words.
    pub fn describe(self) -> Description {
        let (name, label, statistic) = self.names();
        let (formula, range, better) = self.meaning();
        Description {
            name,
            label,
            statistic,
            formula,
            range,
            better,
        }
    }

    fn names(self) -> (&'static str, &'static str, Option<Statistic>) {
        use Statistic as S;
        match self {
            Self::Accuracy => ("accuracy", "Accuracy", Some(S::Confusion)),
            Self::Precision => ("precision", "Precision", Some(S::Confusion)),
            Self::Recall => ("recall", "Recall", Some(S::Confusion)),
            Self::F1 => ("f1", "F1", Some(S::Confusion)),
            Self::Mcc => ("mcc", "MCC", Some(S::Confusion)),
            Self::Ece => ("ece", "Calibration error", Some(S::CalibrationBins)),
            Self::Brier => ("brier", "Brier score", Some(S::Brier)),
            Self::LogLoss => ("log-loss", "Log-loss", Some(S::LogLoss)),
            Self::Rmse => ("rmse", "RMSE", Some(S::Regression)),
            Self::Mae => ("mae", "MAE", Some(S::Regression)),
            Self::Bias => ("bias", "Mean error", Some(S::Regression)),
            Self::R2 => ("r2", "R²", Some(S::Regression)),
            Self::Auroc => ("auroc", "AUROC", Some(S::ScoreHistogram)),
            Self::Psi => ("psi", "Drift (PSI)", Some(S::Drift)),
            Self::Ks => ("ks", "Drift (KS)", Some(S::Drift)),
            Self::Js => ("js", "Drift (JS)", Some(S::Drift)),
            Self::InputPsi => ("input-psi", "Input drift (PSI)", Some(S::InputDrift)),
            Self::InputKs => ("input-ks", "Input drift (KS)", Some(S::InputDrift)),
            Self::InputJs => ("input-js", "Input drift (JS)", Some(S::InputDrift)),
            Self::ParityGap => ("parity-gap", "Parity gap", Some(S::GroupConfusion)),
            Self::OddsGap => ("odds-gap", "Equalised-odds gap", Some(S::GroupConfusion)),
            Self::CorruptionError => ("corruption-error", "Corruption error", None),
            Self::CorruptionDrop => ("corruption-drop", "Corruption drop", None),
        }
    }

    fn meaning(self) -> (&'static str, &'static str, Better) {
        use Better::{Higher, Lower, NearZero};
        match self {
            Self::Accuracy => ("Σ c[k][k] / N", "0 to 1", Higher),
            Self::Precision => (
                "c[k][k] / Σ_t c[t][k]; without a class, the mean over classes",
                "0 to 1",
                Higher,
            ),
            Self::Recall => (
                "c[k][k] / Σ_a c[k][a]; without a class, the mean over classes",
                "0 to 1",
                Higher,
            ),
            Self::F1 => (
                "2c[k][k] / (Σ_t c[t][k] + Σ_a c[k][a]); without a class, the mean over classes",
                "0 to 1",
                Higher,
            ),
            Self::Mcc => (
                "(N·Σ c[k][k] − Σ p_k·t_k) / √((N² − Σp_k²)(N² − Σt_k²))",
                "−1 to 1",
                Higher,
            ),
            Self::Ece => (
                "Σ_b √max(d_b² − Var d_b, 0) / N, d_b = correct_b − confidence_b",
                "0 to 1",
                Lower,
            ),
            Self::Brier => ("Σ Σ_k (p_k − y_k)² / n", "0 to 2", Lower),
            Self::LogLoss => ("Σ min(−ln p_truth, 6) / n", "0 to 6 nats", Lower),
            Self::Rmse => ("R·√(Σe²/n), e as a part of the target's range R", "0 to R", Lower),
            Self::Mae => ("R·Σ|e|/n", "0 to R", Lower),
            Self::Bias => ("R·Σe/n", "−R to R", NearZero),
            Self::R2 => ("1 − (Σe²/n) / (Σy²/n − (Σy/n)²)", "up to 1", Higher),
            Self::Auroc => ("Σ_b pos_b·(Σ_{a<b} neg_a + ½·neg_b) / (P·N)", "0 to 1", Higher),
            Self::Psi | Self::InputPsi => ("Σ (p − r)·ln(p/r)", "0 up", Lower),
            Self::Ks | Self::InputKs => ("max_j |Σ_{i≤j} (p_i − r_i)|", "0 to 1", Lower),
            Self::Js | Self::InputJs => ("½KL(p‖m) + ½KL(r‖m), m = (p + r)/2, in bits", "0 to 1", Lower),
            Self::ParityGap => ("max over groups g, h of |P(+ ∣ g) − P(+ ∣ h)|", "0 to 1", Lower),
            Self::OddsGap => (
                "max over truths t and groups g, h of |P(+ ∣ t, g) − P(+ ∣ t, h)|",
                "0 to 1",
                Lower,
            ),
            Self::CorruptionError => (
                "mean over corrupted slices of E(m, s) / E(first model, s)",
                "0 up; 1 is the first model",
                Lower,
            ),
            Self::CorruptionDrop => (
                "mean of E(m, s) over corrupted slices less E(m, clean)",
                "−1 to 1",
                Lower,
            ),
        }
    }
}

/// A statistic's entries, its part of the squared sensitivity, and what it needs, in words. `M` models, `S`
/// slices, `C` classes, `B` bins, `G` groups; `w` is the block's weight.
fn words(statistic: Statistic) -> (&'static str, &'static str, &'static str) {
    match statistic {
        Statistic::Confusion => ("M·C²", "M·(w·S)²", "classes"),
        Statistic::CalibrationBins => ("3·M·B", "M·S²·(w₁² + (64w₂)² + w₃²)", "classes as targets, bins"),
        Statistic::Brier | Statistic::LogLoss => ("M", "M·(4096w)²", "classes as targets"),
        Statistic::Regression => (
            "3·M + 2",
            "4096²·(M·(w₁² + w₂² + w₃²) + w₄² + w₅²)",
            "a target range",
        ),
        Statistic::ScoreHistogram => ("2·M·B", "M·(w·S)²", "classes, a positive class, bins"),
        Statistic::Wins => ("M·(M − 1)", "pairs·(2w)²; one pair for preferences", "two models"),
        Statistic::GroupConfusion => ("4·M·G", "M·(w·S)²", "classes, a positive class, groups"),
        Statistic::Drift => (
            "M·C, or M·B for regressions",
            "M·(w·S)²",
            "classes, or a target range and bins",
        ),
        Statistic::InputDrift => ("10·M", "M·(w·S)²", "models that run"),
    }
}

/// A statistic's cost in one layout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// The statistic.
    pub statistic: Statistic,
    /// Entries of the vector.
    pub entries: usize,
    /// Bits that a report proves, values with their slack.
    pub bits: u64,
    /// Its part of the squared sensitivity.
    pub l2_squared: u64,
    /// By how much all noise grows because of it: √(Δ² with it / Δ² without it).
    pub noise_factor: f64,
}

/// What every statistic beyond scores costs in a layout, in the order of the statistics.
pub fn costs(schema: &Schema) -> Vec<Cost> {
    let all = schema.l2_sensitivity_squared();
    let cap = u64::from(schema.cap());
    let cost = |statistic: Statistic| {
        let blocks = schema.blocks().iter();
        let blocks = blocks.filter(|block| block.family.statistic() == Some(statistic));
        let mut cost = Cost {
            statistic,
            entries: 0,
            bits: 0,
            l2_squared: 0,
            noise_factor: 1.0,
        };
        for block in blocks {
            let bound = u64::from(block.per_record_max) * cap;
            cost.entries += block.entries();
            cost.bits += 2 * block.entries() as u64 * (u64::from(bound.max(1).ilog2()) + 1);
            cost.l2_squared += block.l2_squared();
        }
        cost.noise_factor = growth(all, cost.l2_squared);
        cost
    };
    let collected = schema.params().statistics.extra.collected;
    collected.iter().map(cost).collect()
}

/// √(all / (all − part)).
pub fn growth(all: u64, part: u64) -> f64 {
    libm::sqrt(all as f64 / (all.saturating_sub(part).max(1)) as f64)
}

/// The layout that the guide's examples are of: 3 models, 5 slices, 400 records, 10 classes (or 2),
/// 10 bins, 3 groups, with one statistic and paired squares.
fn example(statistic: Statistic) -> Result<Schema, SchemaError> {
    Schema::new(&SchemaParams {
        models: 3,
        slices: 5,
        cap: 400,
        statistics: Statistics {
            paired: true,
            calibration: false,
            extra: Extra {
                score: if statistic == Statistic::Regression {
                    ScoreKind::Closeness
                } else {
                    ScoreKind::Correct
                },
                collected: std::iter::once(statistic).collect(),
                classes: if statistic == Statistic::Regression { 0 } else { 10 },
                bins: 10,
                groups: 3,
                ..Extra::PLAIN
            },
        },
    })
}

/// The guide to metrics.
///
/// # Errors
/// The example layouts are valid; an error means that they no longer are.
pub fn markdown() -> Result<String, SchemaError> {
    let mut text = String::from(INTRODUCTION);
    statistics_table(&mut text)?;
    text.push_str(METRICS);
    for metric in Metric::ALL {
        let words = metric.describe();
        let statistic = words.statistic.map_or("scores alone", Statistic::name);
        let better = match words.better {
            Better::Higher => "higher",
            Better::Lower => "lower",
            Better::NearZero => "near zero",
        };
        // Bars would end the cell of a table.
        let formula = words.formula.replace('|', "∣");
        let _ = writeln!(
            text,
            "| {} (`{}`) | `{statistic}` | {formula} | {} | {better} |",
            words.label, words.name, words.range
        );
    }
    text.push_str(INTERVALS);
    Ok(text)
}

fn statistics_table(text: &mut String) -> Result<(), SchemaError> {
    for statistic in Statistic::ALL {
        let schema = example(statistic)?;
        let found = costs(&schema);
        let Some(cost) = found.first() else { continue };
        let (entries, sensitivity, needs) = words(statistic);
        let _ = writeln!(
            text,
            "| `{}` | {needs} | {entries} | {sensitivity} | {} entries, {} bits, {:.0}% of Δ², noise ×{:.3} |",
            statistic.name(),
            cost.entries,
            cost.bits,
            100.0 * cost.l2_squared as f64 / schema.l2_sensitivity_squared() as f64,
            cost.noise_factor,
        );
    }
    let bound = |part: Part| {
        let schema = example(part.statistic())?;
        Ok::<_, SchemaError>(
            schema
                .block(Family::Part(part))
                .map_or(0, |block| block.per_record_max),
        )
    };
    let _ = writeln!(
        text,
        "\nSums are in steps of 1/{SUM_STEPS}; a record adds at most {} to a sum and, with 5 slices, at most {} to a \
         table.",
        bound(Part::Brier)?,
        bound(Part::Confusion)?,
    );
    Ok(())
}

const INTRODUCTION: &str = "# Metrics

What a challenge can measure, what each statistic costs, and how each metric is computed. This page is \
made from the program's own list (`fl/src/metrics/guide.rs`); a test fails when they differ.

## Scores

Every view of a record gets a score between 0 and 1; a slice's score is the mean over records, the field \
score the mean over slices. `metric` in the challenge says what a score is:

| metric | score of a view |
| --- | --- |
| `accuracy` | 1 if the answer is right, else 0 |
| `brier-score` | 1 − ½·Σ_k (p_k − y_k)² |
| `closeness` | 1 − min(∣e∣/R, 1) with the target's declared range R |
| `win-rate` | part of the other models beaten on the view, a tie counting half |
| `preference` | 1 for the model a person preferred, ½ each for a tie, ½ where it was not compared |

Records may lack views in some slices where the task says so (`missing_views`): then every slice has a count \
of its own and its score divides by that. Paired squares and mean confidences need every view and are then \
left out.

## Statistics beyond scores

A task collects what its specification lists in `statistics`. Every statistic raises the squared sensitivity \
Δ² and with it everyone's noise; `fieldmark challenge plan` shows by how much before anything is signed. \
`M` models, `S` slices, `C` classes, `B` bins, `G` groups, `w` the weight of the statistic's entries. A table \
into which each view of a record falls once adds (w·S)² per model, whatever its size, because at worst all \
views fall into one cell. With `by_slice = true` the tables are kept apart by slice: `S` times the entries, and \
M·S·w² instead of M·(w·S)². The last column is for 3 models, 5 slices, 400 records a report, 10 classes, 10 \
bins and 3 groups, with paired squares.

| statistic | needs | entries | part of Δ² | example |
| --- | --- | --- | --- | --- |
";

const METRICS: &str = "
## Metrics

`c[t][a]` are views of truth t answered a, `N` their number; `e` errors as parts of the range R; `p` the \
distribution of answers, or of inputs over ten bins of outlyingness, and `r` the reference that the release declares; `E` one less the score; `+` the \
positive answer.

| metric | from | formula | range | better |
| --- | --- | --- | --- | --- |
";

const INTERVALS: &str = "
The outlyingness of an input is the mean of ∣2F − 1∣ over its features, F being the place of the feature's value in \
the distribution that the release's reference file (`fieldmark reference`) gives: half of its bin's records and all \
of those below, as a part of all. It is 0 in the middle of the author's data and near 1 where every feature lies at an \
end of it; one minus it is the integrated depth of Cuevas and Fraiman (2009). Its bins are the deciles of the author's \
own records.

Wins have no metric of their own here: they are the input of the Bradley–Terry strengths.

## Intervals

Each value has two intervals of 95%: for what these records would show without noise, and for the population, \
from sampling and noise together. Ratios of a sum and the record count use Fieller's interval; smooth \
functions of a table the delta method; calibration error and drift the triangle inequality with the distance \
that errors alone make; gaps between groups simultaneous intervals of all pairs. A value is marked \
conservative where a worst case stands in for something not measured: that all views of a record agree, or that \
a bounded number varies as much as its mean allows. A value whose denominator lies within a few standard \
deviations of its noise is not given at all.

Log-loss is clipped at 6 nats and errors at the declared range, because a sensitivity has to be finite. \
Histograms lose what happens inside a bin.
";
