//! The leaderboard as the terminal shows it, and how precise it has to be.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Widest half of a 95% interval of a field score, in points.
const FIELD_POINTS_MAX: f64 = 4.0;
/// Widest half of a 95% interval of a slice's score, in points.
const SLICE_POINTS_MAX: f64 = 8.0;

/// What `fieldmark leaderboard --json` prints, as far as it is shown here.
#[derive(Debug, Deserialize)]
pub(super) struct Scoreboard {
    name: String,
    checkpoint: String,
    epsilon: f64,
    delta: f64,
    unit: String,
    contributors: usize,
    clean_slice: String,
    models: Vec<Row>,
    records: Option<Estimate>,
}

#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    rank: [u16; 2],
    #[serde(flatten)]
    field: Score,
    slices: BTreeMap<String, Score>,
    worst_slice: Option<String>,
}

/// A score and its interval, in fractions.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Score {
    score: Option<f64>,
    lo: Option<f64>,
    hi: Option<f64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Estimate {
    value: f64,
    lo: f64,
    hi: f64,
}

/// Half-widths of 95% intervals, in points: the widest of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Widths {
    /// Of a field score.
    pub(super) field: f64,
    /// Of one slice.
    pub(super) slice: f64,
}

impl Widths {
    /// Those that `fieldmark challenge plan --json` expects of so many reports.
    pub(super) fn expected(plan: &Value, reports: u64) -> Result<Self> {
        let rows = plan.get("expected").and_then(Value::as_array);
        let row = rows.and_then(|rows| {
            rows.iter()
                .find(|row| row.get("reports") == Some(&reports.into()))
        });
        let row = row.with_context(|| format!("the plan says nothing about {reports} reports: {plan}"))?;
        let points = |name: &str| {
            let width = row.get(name).and_then(Value::as_f64);
            width
                .map(|width| width * 100.0)
                .with_context(|| format!("no '{name}' in the plan: {plan}"))
        };
        Ok(Self {
            field: points("field")?,
            slice: points("slice")?,
        })
    }

    /// Fails when they are too wide.
    pub(super) fn check(&self) -> Result<()> {
        let Self { field, slice } = self;
        if *field > FIELD_POINTS_MAX || *slice > SLICE_POINTS_MAX {
            bail!(
                "the intervals are too wide: ±{field:.1} points for a field score (at most ±{FIELD_POINTS_MAX}), \
                 ±{slice:.1} for a slice (at most ±{SLICE_POINTS_MAX})"
            );
        }
        Ok(())
    }
}

impl fmt::Display for Widths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "field ±{:.1} points, slice ±{:.1} points",
            self.field, self.slice
        )
    }
}

impl Scoreboard {
    /// Reads a board.
    pub(super) fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).context("the board is not as expected")
    }

    /// The widest intervals it has.
    pub(super) fn widths(&self) -> Result<Widths> {
        let widest = |scores: &mut dyn Iterator<Item = Score>| {
            let points = scores.map(Score::half_width_points).collect::<Option<Vec<f64>>>();
            points.map(|points| points.into_iter().fold(0.0, f64::max))
        };
        let field = widest(&mut self.models.iter().map(|row| row.field));
        let slice = widest(&mut self.models.iter().flat_map(|row| row.slices.values().copied()));
        let (field, slice) = field.zip(slice).context("a score of the board has no interval")?;
        Ok(Widths { field, slice })
    }

    /// Fails when a report or a model is missing.
    pub(super) fn check(&self, contributors: usize, models: usize) -> Result<()> {
        let (found, rows) = (self.contributors, self.models.len());
        ensure!(
            found == contributors,
            "{found} reports were counted, {contributors} were sent"
        );
        ensure!(
            rows == models,
            "the board has {rows} models, the challenge {models}"
        );
        Ok(())
    }

    /// What differs between the ranking on clean images and the one in the field.
    fn moves(&self) -> Vec<String> {
        let clean = |row: &Row| row.slices.get(&self.clean_slice).and_then(|cell| cell.score);
        let mut by_clean: Vec<&Row> = self.models.iter().collect();
        // Stable: equal scores keep the field's order.
        by_clean.sort_by(|a, b| {
            clean(b)
                .partial_cmp(&clean(a))
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        let place = |rows: &[&Row], name: &str| rows.iter().position(|row| row.name == name).unwrap_or(0) + 1;
        let by_field: Vec<&Row> = self.models.iter().collect();
        let describe = |row: &&Row| {
            let (before, now) = (place(&by_clean, &row.name), place(&by_field, &row.name));
            let loss = clean(row)
                .zip(row.field.score)
                .map_or_else(String::new, |(clean, field)| {
                    format!(
                        ", {:.1} points less than on clean images",
                        (clean - field) * 100.0
                    )
                });
            let moved = if before == now {
                format!("stays {now}")
            } else {
                format!("{before} → {now}")
            };
            format!("{}: {moved}{loss}", row.name)
        };
        by_field.iter().map(describe).collect()
    }
}

impl Score {
    fn half_width_points(self) -> Option<f64> {
        Some((self.hi? - self.lo?) / 2.0 * 100.0)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.score, self.lo, self.hi) {
            (Some(score), Some(lo), Some(hi)) => {
                let text = format!("{:.1} [{:.1}, {:.1}]", score * 100.0, lo * 100.0, hi * 100.0);
                f.pad(&text)
            }
            _ => f.pad("not estimable"),
        }
    }
}

impl fmt::Display for Scoreboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            epsilon,
            delta,
            unit,
            contributors,
            checkpoint,
            ..
        } = self;
        let records = self.records.map_or_else(String::new, |records| {
            format!(
                ", {:.0} images (between {:.0} and {:.0})",
                records.value, records.lo, records.hi
            )
        });
        writeln!(f, "{name}: {contributors} companies{records}")?;
        writeln!(
            f,
            "epsilon {epsilon}, delta {delta:e} per {unit}\ncheckpoint {checkpoint}\n"
        )?;
        writeln!(
            f,
            "{:<6} {:<22} {:<20} {:<20} worst slice",
            "rank", "model", "field", "clean"
        )?;
        for row in &self.models {
            let rank = match row.rank {
                [best, worst] if best == worst => best.to_string(),
                [best, worst] => format!("{best}–{worst}"),
            };
            let missing = Score {
                score: None,
                lo: None,
                hi: None,
            };
            let clean = row.slices.get(&self.clean_slice).copied().unwrap_or(missing);
            let worst = row.worst_slice.as_deref().unwrap_or("none");
            let of_worst = row.slices.get(worst).copied().unwrap_or(missing);
            writeln!(
                f,
                "{rank:<6} {:<22} {:<20} {clean:<20} {worst} {of_worst}",
                row.name, row.field
            )?;
        }
        writeln!(f, "\nfrom the clean ranking to the field's:")?;
        for line in self.moves() {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}
