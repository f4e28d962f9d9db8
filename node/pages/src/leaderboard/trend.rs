//! Field scores over the windows of a challenge: one small drawing per model on a common scale.

use fieldmark_fl::board::Direction;
use fieldmark_node_core::board::{Board, Change, ModelTrend, Point, Trend};
use maud::{Markup, html};

use super::Setting;
use super::scale::{self, Scale};
use crate::layout::Place;
use crate::text::{self, Digits};

/// Height of a drawing, in pixels, and what is left free above and below.
const HEIGHT: f64 = 128.0;
const MARGIN: f64 = 10.0;
/// Most windows drawn: the newest.
const DRAWN_MAX: usize = 48;

/// What all drawings share.
struct Chart<'a> {
    trend: &'a Trend,
    scale: Scale,
    digits: Digits,
    first: usize,
}

/// The section; nothing where fewer than two windows are known.
pub(super) fn section(board: &Board, trend: &Trend, setting: &Setting<'_>) -> Markup {
    let points = || trend.models.iter().flat_map(|model| &model.points);
    if trend.windows.len() < 2 {
        return html! {};
    }
    let chart = Chart {
        trend,
        scale: Scale::over(points().flat_map(|point| scale::values(&point.field))),
        digits: Digits::for_cells(points().map(|point| &point.field)),
        first: trend.windows.len().saturating_sub(DRAWN_MAX),
    };
    html! {
        section aria-labelledby="trend" {
            h2 #trend { "Trend over windows" }
            p.note {
                "Field score of each window with its 95% interval. ▲ rose and ▼ fell mark changes between neighbouring windows that \
                 are certain with 95% for all models together, whatever the windows' records have in common; the others are \
                 not certain."
            }
            @if points().next().is_none() { p.empty { "No window has been released yet." } }
            @else {
                div.trend { @for model in &trend.models { (chart.row(model, setting)) } }
            }
            (windows(board, trend, setting))
        }
    }
}

impl Chart<'_> {
    fn row(&self, model: &ModelTrend, setting: &Setting<'_>) -> Markup {
        html! {
            div.trend-row {
                div.name {
                    @if setting.place == Place::File { (text::reference(&model.name)) }
                    @else { a href={ "/models/" (model.release) } { (text::reference(&model.name)) } }
                    @if let Some(last) = model.points.last() {
                        span.interval { "last " (self.digits.cell(&last.field)) }
                    }
                    @if let Some(pooled) = &model.pooled {
                        span.interval { "all alike " (self.digits.cell(pooled)) }
                    }
                }
                (self.drawing(model))
                div.said { (said(self.trend, model, self.digits)) }
            }
        }
    }

    fn drawing(&self, model: &ModelTrend) -> Markup {
        let points: Vec<&Point> = model
            .points
            .iter()
            .filter(|point| point.window >= self.first)
            .collect();
        let words = points
            .iter()
            .map(|point| format!("{}: {}", self.name(point.window), self.digits.cell(&point.field)));
        let words = words.collect::<Vec<_>>().join("; ");
        html! {
            svg.trend-plot width="100%" height=(HEIGHT) role="img" aria-label={ (model.name) ": " (words) } {
                @let ticks = self.scale.ticks();
                @for (at, tick) in ticks.iter().enumerate() {
                    @let y = self.y(self.scale.place(*tick));
                    line.grid x1="0%" x2="100%" y1=(y) y2=(y) {}
                    // The ends are enough: more would touch each other.
                    @if at == 0 || at + 1 == ticks.len() { text x="0%" y=(y) dy="-2" { (self.scale.label(*tick)) } }
                }
                @for pair in points.windows(2) {
                    @if let [from, to] = pair { (self.step(from, to)) }
                }
                @for point in &points { (self.mark(point, model)) }
            }
        }
    }

    fn step(&self, from: &Point, to: &Point) -> Markup {
        html! {
            @if let (Some(one), Some(other)) = (from.field.score, to.field.score) {
                line.drop x1=(self.x(from.window)) y1=(self.y(self.scale.place(one)))
                    x2=(self.x(to.window)) y2=(self.y(self.scale.place(other))) {}
            }
        }
    }

    fn mark(&self, point: &Point, model: &ModelTrend) -> Markup {
        let (x, at) = (self.x(point.window), |score| self.y(self.scale.place(score)));
        let sign = change_to(model, point.window).and_then(|change| sign(change.direction));
        html! {
            @if let (Some(lo), Some(hi)) = (point.field.lo, point.field.hi) {
                line.full .conservative[point.field.conservative] x1=(x) x2=(x) y1=(at(lo)) y2=(at(hi)) {}
            }
            @if let (Some(lo), Some(hi)) = (point.field.noise_lo, point.field.noise_hi) {
                line.noise-bar x1=(x) x2=(x) y1=(at(lo)) y2=(at(hi)) {}
            }
            @if let Some(score) = point.field.score {
                circle.dot cx=(x) cy=(at(score)) r="3" { title { (self.name(point.window)) ": " (self.digits.cell(&point.field)) } }
                @if let Some(sign) = sign { text.sign x=(x) y=(at(score)) dx="8" dy="4" { (sign) } }
            }
        }
    }

    fn name(&self, window: usize) -> &str {
        self.trend.windows.get(window).map_or("", |window| &window.name)
    }

    /// Place of a window: from 10% to 95% of the width, in a hundredth of a percent.
    fn x(&self, window: usize) -> String {
        let count = self.trend.windows.len().saturating_sub(self.first).max(2);
        let at = (window.saturating_sub(self.first)) as f64 / (count - 1) as f64;
        format!("{:.2}%", 10.0 + 85.0 * at)
    }

    fn y(&self, place: f64) -> String {
        format!("{:.1}", HEIGHT - MARGIN - place * (HEIGHT - 2.0 * MARGIN))
    }
}

fn change_to(model: &ModelTrend, window: usize) -> Option<&Change> {
    model.changes.iter().find(|change| change.to == window)
}

fn sign(direction: Direction) -> Option<&'static str> {
    match direction {
        Direction::Rose => Some("▲"),
        Direction::Fell => Some("▼"),
        Direction::Unclear => None,
    }
}

/// What became certain last, in words.
fn said(trend: &Trend, model: &ModelTrend, digits: Digits) -> Markup {
    let name = |at: usize| trend.windows.get(at).map_or("", |window| window.name.as_str());
    let certain = model
        .changes
        .iter()
        .rev()
        .find(|change| change.direction != Direction::Unclear);
    html! {
        @match certain {
            Some(change) => {
                strong { @if change.direction == Direction::Rose { "▲ rose " } @else { "▼ fell " } }
                (digits.change(text::float(change.difference)))
                span.interval {
                    "[" (digits.change(text::float(change.lo))) ", " (digits.change(text::float(change.hi))) "] in " (name(change.to))
                }
            },
            None if model.changes.is_empty() => span.none { "one window" },
            None => span.none { "no certain change" },
        }
    }
}

fn windows(board: &Board, trend: &Trend, setting: &Setting<'_>) -> Markup {
    html! {
        details {
            summary { (text::plural(trend.windows.len() as u64, "window")) }
            ul {
                @for window in &trend.windows {
                    li {
                        @if setting.place == Place::File || window.challenge == board.challenge { (window.name) }
                        @else { a href={ "/challenges/" (window.challenge) } { (window.name) } }
                        " · opened " (text::day(window.opens_at_ms)) " · " (window.phase)
                        @if window.contributors > 0 { " · " (text::plural(window.contributors, "report")) }
                        @if !window.trusted { " · committee not accepted by this reader's policy" }
                    }
                }
            }
        }
    }
}
