//! Reading the sums of a simulation as boards, and what comes out as HTML and as a table.

use fieldmark_fl::board::{Direction, Series, SeriesWindow, WindowScores, field_change};
use fieldmark_fl::bradley_terry::Fit;
use fieldmark_tables::{Table, TableError, Values};

use super::{FieldCell, FieldError, FieldReport, FieldScenario, ends, series};

/// Width of a plot, in pixels.
const WIDTH: f64 = 560.0;
/// Height of a row of a plot.
const ROW: f64 = 26.0;

/// The boards of a simulation as its windows arrive.
pub(super) struct Reading {
    scenario: FieldScenario,
    models: Vec<String>,
    slices: Vec<String>,
    pooled: Series<u32>,
    truths: Vec<(Vec<Vec<f64>>, u64)>,
    /// The window before.
    before: Option<WindowScores>,
    cells: Vec<FieldCell>,
}

impl Reading {
    pub(super) fn new(
        scenario: &FieldScenario,
        models: &[String],
        slices: &[String],
    ) -> Result<Self, FieldError> {
        Ok(Self {
            scenario: scenario.clone(),
            models: models.to_vec(),
            slices: slices.to_vec(),
            pooled: series(scenario, models, slices)?,
            truths: Vec::new(),
            before: None,
            cells: Vec::new(),
        })
    }

    /// Reads one window: every group, all together, and all but one.
    pub(super) fn window(
        &mut self,
        window: u16,
        groups: &[SeriesWindow],
        truth: &[Vec<f64>],
        records: u64,
    ) -> Result<(), FieldError> {
        let all = self.together(groups, None)?;
        self.add(window, 0, &all, truth);
        if groups.len() > 1 {
            for (at, group) in groups.iter().enumerate() {
                let number = i32::try_from(at + 1).unwrap_or(i32::MAX);
                let own = self.together(std::slice::from_ref(group), None)?;
                self.add(window, number, &own, truth);
                let others = self.together(groups, Some(at))?;
                self.add(window, -number, &others, truth);
            }
        }
        for (at, group) in (0u32..).zip(groups) {
            self.pooled.insert(u32::from(window) * 1_000 + at, group)?;
        }
        self.before = Some(all);
        self.truths.push((truth.to_vec(), records));
        Ok(())
    }

    /// The board of some groups' sum.
    fn together(&self, groups: &[SeriesWindow], without: Option<usize>) -> Result<WindowScores, FieldError> {
        let mut sum = series(&self.scenario, &self.models, &self.slices)?;
        for (at, group) in groups.iter().enumerate().filter(|(at, _)| Some(*at) != without) {
            sum.insert(u32::try_from(at).unwrap_or(u32::MAX), group)?;
        }
        let pooled = sum.view().pooled;
        pooled.map(WindowScores::from).ok_or(FieldError::NotFinite)
    }

    fn add(&mut self, window: u16, group: i32, scores: &WindowScores, truth: &[Vec<f64>]) {
        let rows = self
            .models
            .iter()
            .zip(truth)
            .zip(scores.fields.iter().zip(&scores.slices));
        for (at, (((model, rates), (field, slices)), rank)) in rows.zip(&scores.ranks).enumerate() {
            let before = self.before.as_ref().filter(|_| window > 0 && group == 0);
            let change = before.and_then(|before| field_change(before, at, scores, at));
            let change = change.map(|change| change.direction);
            let mean = rates.iter().sum::<f64>() / rates.len().max(1) as f64;
            let columns = std::iter::once((&"field".to_owned(), mean, field))
                .map(|(name, truth, score)| (name.clone(), truth, *score))
                .chain(
                    self.slices
                        .iter()
                        .zip(rates)
                        .zip(slices)
                        .map(|((name, rate), score)| (name.clone(), *rate, *score)),
                )
                .collect::<Vec<_>>();
            for (column, truth, score) in columns {
                let (value, interval, noise) = ends(&score);
                self.cells.push(FieldCell {
                    window,
                    group,
                    model: model.clone(),
                    rank: (column == "field").then_some((rank.best, rank.worst)),
                    change: change.filter(|_| column == "field"),
                    column,
                    truth,
                    score: value,
                    interval,
                    noise,
                    marked: score.marked(),
                });
            }
        }
    }

    pub(super) fn report(
        mut self,
        scenario: &FieldScenario,
        seed: u64,
        strengths: Option<Fit>,
        hash: String,
    ) -> FieldReport {
        let records: u64 = self.truths.iter().map(|(_, records)| records).sum();
        let mut truth = vec![vec![0.0; self.slices.len()]; self.models.len()];
        for (rates, weight) in &self.truths {
            for (sum, rate) in truth.iter_mut().flatten().zip(rates.iter().flatten()) {
                *sum += rate * *weight as f64 / records.max(1) as f64;
            }
        }
        let pooled = self.pooled.view().pooled;
        let separable = pooled.as_ref().is_some_and(|table| table.separable);
        if let Some(table) = pooled {
            self.add(0, 0, &WindowScores::from(table), &truth);
        }
        let held = |cell: &&FieldCell| {
            cell.interval
                .is_some_and(|(lo, hi)| lo <= cell.truth && cell.truth <= hi)
        };
        let estimated = self.cells.iter().filter(|cell| cell.interval.is_some()).count();
        FieldReport {
            scenario: scenario.name.clone(),
            seed,
            clients: scenario.clients,
            records,
            epsilon: scenario.epsilon,
            aggregators: scenario.aggregators,
            groups: scenario.groups,
            covered: self.cells.iter().filter(held).count() as f64 / estimated.max(1) as f64,
            models: self.models,
            slices: self.slices,
            cells: self.cells,
            separable,
            strengths,
            hash,
        }
    }
}

impl FieldReport {
    /// All scores as a table, for Parquet.
    ///
    /// # Errors
    /// None in practice; see [`Table::new`].
    pub fn table(&self) -> Result<Table, TableError> {
        let cells = &self.cells;
        let number = |of: fn(&FieldCell) -> Option<f64>| Values::Number(cells.iter().map(of).collect());
        let whole = |of: fn(&FieldCell) -> Option<i64>| Values::Whole(cells.iter().map(of).collect());
        let columns = vec![
            ("window", whole(|cell| Some(cell.window.into()))),
            ("group", whole(|cell| Some(cell.group.into()))),
            ("model", Values::text(cells.iter().map(|cell| cell.model.clone()))),
            (
                "column",
                Values::text(cells.iter().map(|cell| cell.column.clone())),
            ),
            ("truth", number(|cell| Some(cell.truth))),
            ("score", number(|cell| cell.score)),
            ("lo", number(|cell| cell.interval.map(|ends| ends.0))),
            ("hi", number(|cell| cell.interval.map(|ends| ends.1))),
            ("noise_lo", number(|cell| cell.noise.map(|ends| ends.0))),
            ("noise_hi", number(|cell| cell.noise.map(|ends| ends.1))),
            (
                "marked",
                Values::Flag(cells.iter().map(|cell| cell.marked).collect()),
            ),
            ("rank_best", whole(|cell| cell.rank.map(|rank| rank.0.into()))),
            ("rank_worst", whole(|cell| cell.rank.map(|rank| rank.1.into()))),
        ];
        Table::new(
            columns
                .into_iter()
                .map(|(name, values)| (name.to_owned(), values))
                .collect(),
        )
    }

    /// A page of its own with plots: pooled scores, trends, groups, strengths.
    #[must_use]
    pub fn html(&self) -> String {
        let mut page = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\"><title>{name}</title><style>{STYLE}</style><h1>{name}</h1><p>{} clients, \
             {} records in all windows, ε = {} per record, {} aggregators, {} group(s), seed {}. {:.1}% of all full \
             intervals hold the truth. {}</p>",
            self.clients,
            self.records,
            self.epsilon,
            self.aggregators,
            self.groups,
            self.seed,
            100.0 * self.covered,
            if self.separable {
                "Some models are told apart."
            } else {
                "The models are not yet separable."
            },
            name = escaped(&self.scenario),
        );
        let columns = std::iter::once("field").chain(self.slices.iter().map(String::as_str));
        page.push_str(
            "<p>Dot: estimate. Thick: noise alone. Thin: noise and sampling. Red line: truth. *: may cover more than \
             95%. Hidden: too few records for the slice to be shown.</p><h2>All windows together</h2>",
        );
        for column in columns {
            let rows = self.rows(
                |cell| cell.window == 0 && cell.column == column,
                |cell| {
                    let rank = cell
                        .rank
                        .map_or(String::new(), |(best, worst)| format!(", rank {best}–{worst}"));
                    format!("{}{rank}", cell.model)
                },
            );
            page.push_str(&section(column, &rows));
        }
        page.push_str("<h2>Trend of field scores</h2>");
        for model in &self.models {
            let of = |cell: &FieldCell| {
                cell.window > 0 && cell.group == 0 && cell.column == "field" && cell.model == *model
            };
            page.push_str(&section(
                model,
                &self.rows(of, |cell| format!("window {}{}", cell.window, went(cell.change))),
            ));
        }
        if self.groups > 1 {
            page.push_str("<h2>Replicate groups of the first window, and all but one</h2>");
            for model in &self.models {
                let of =
                    |cell: &FieldCell| cell.window == 1 && cell.column == "field" && cell.model == *model;
                let label = |cell: &FieldCell| match cell.group {
                    0 => "all groups".to_owned(),
                    group if group < 0 => format!("without group {}", -group),
                    group => format!("group {group}"),
                };
                page.push_str(&section(model, &self.rows(of, label)));
            }
        }
        page.push_str(&self.strengths_text());
        page + "</html>\n"
    }

    fn rows(
        &self,
        take: impl Fn(&FieldCell) -> bool,
        label: impl Fn(&FieldCell) -> String,
    ) -> Vec<(String, FieldCell)> {
        let taken = self.cells.iter().filter(|cell| take(cell));
        taken.map(|cell| (label(cell), cell.clone())).collect()
    }

    fn strengths_text(&self) -> String {
        let Some(fit) = &self.strengths else {
            return "<h2>Strengths</h2><p>The noise in the comparisons leaves no strengths.</p>".to_owned();
        };
        let mut text = String::from(
            "<h2>Strengths from compared pairs (Bradley–Terry)</h2><table><tr><th>model<th>strength<th>95% \
             interval<th>rank</tr>",
        );
        for (model, strength) in self.models.iter().zip(&fit.strengths) {
            text.push_str(&format!(
                "<tr><td>{}<td>{}<td>{} to {}<td>{}–{}</tr>",
                escaped(model),
                strength.value,
                strength.interval.low,
                strength.interval.high,
                strength.rank.best,
                strength.rank.worst
            ));
        }
        text + "</table>"
    }
}

const STYLE: &str = "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}svg{width:100%;\
                     height:auto}table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:left}";

/// What is certain of a change, in words.
fn went(change: Option<Direction>) -> &'static str {
    match change {
        Some(Direction::Rose) => ", rose",
        Some(Direction::Fell) => ", fell",
        Some(Direction::Unclear) | None => "",
    }
}

/// A plot of rows on one scale, with its heading.
fn section(title: &str, rows: &[(String, FieldCell)]) -> String {
    let values = rows.iter().flat_map(|(_, cell)| {
        let (lo, hi) = cell.interval.unwrap_or((cell.truth, cell.truth));
        [lo, hi, cell.truth]
    });
    let (least, most) = values.fold((1.0f64, 0.0f64), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    let span = (most - least).max(0.01);
    let x = |value: f64| 170.0 + (WIDTH - 190.0) * (value - least) / span;
    let height = ROW * (rows.len() + 1) as f64;
    let mut svg = format!(
        "<h3>{title}</h3><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\"><text x=\"170\" \
         y=\"14\" font-size=\"11\">{least:.3}</text><text x=\"{}\" y=\"14\" font-size=\"11\" \
         text-anchor=\"end\">{most:.3}</text>",
        WIDTH - 20.0,
        title = escaped(title),
    );
    for (at, (label, cell)) in rows.iter().enumerate() {
        let y = ROW * (at as f64 + 1.5);
        let line = |(lo, hi): (f64, f64), width: u32| {
            format!(
                "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#246\" stroke-width=\"{width}\"/>",
                x(lo),
                x(hi)
            )
        };
        svg.push_str(&format!(
            "<text x=\"0\" y=\"{}\" font-size=\"11\">{}{}</text>",
            y + 4.0,
            escaped(label),
            match cell.score {
                None => ", hidden",
                Some(_) if cell.marked => " *",
                Some(_) => "",
            }
        ));
        svg.extend(cell.interval.map(|ends| line(ends, 1)));
        svg.extend(cell.noise.map(|ends| line(ends, 5)));
        svg.extend(
            cell.score
                .map(|score| format!("<circle cx=\"{:.1}\" cy=\"{y}\" r=\"4\"/>", x(score))),
        );
        svg.push_str(&format!(
            "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1}\" y2=\"{2}\" stroke=\"#c22\"/>",
            x(cell.truth),
            y - 8.0,
            y + 8.0
        ));
    }
    svg + "</svg>"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
