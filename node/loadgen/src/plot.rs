//! A picture of latencies: percentiles from left to right, so that the tail is wide enough to read.

use std::fmt::Write as _;

use crate::Report;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
/// Space for axes: left, top, right, bottom.
const MARGINS: (f64, f64, f64, f64) = (70.0, 40.0, 150.0, 50.0);
const COLOURS: [&str; 4] = ["#1b6ca8", "#c1440e", "#2e7d32", "#7b4ea3"];
/// Percentiles marked below, in percent.
const MARKS: [f64; 6] = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99];
/// The rightmost percentile.
const PERCENT_MAX: f64 = 99.99;

/// An SVG with one line for each report. The title may hold anything.
#[must_use]
pub fn plot(title: &str, reports: &[Report]) -> String {
    let times = reports
        .iter()
        .flat_map(|report| report.latency_ms.iter().map(|(_, ms)| *ms));
    let (least, most) = times
        .filter(|ms| *ms > 0.0)
        .fold((f64::MAX, 0.0f64), |(low, high), ms| (low.min(ms), high.max(ms)));
    let low = if least < most { least.log10().floor() } else { -1.0 };
    let high = most.max(1e-3).log10().ceil().max(low + 1.0);
    let scale = Scale { low, high };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{}\" y=\"22\" font-size=\"15\">{}</text>\n",
        MARGINS.0,
        escaped(title)
    );
    axes(&mut svg, &scale);
    for (at, report) in reports.iter().enumerate() {
        let colour = COLOURS.get(at % COLOURS.len()).copied().unwrap_or("#000");
        let shown = report
            .latency_ms
            .iter()
            .filter(|(percent, ms)| *percent <= PERCENT_MAX && *ms > 0.0);
        let points: Vec<String> = shown
            .map(|(percent, ms)| format!("{:.1},{:.1}", x(*percent), scale.y(*ms)))
            .collect();
        let (key_x, key_y) = (WIDTH - MARGINS.2 + 14.0, MARGINS.1 + 20.0 * (at as f64 + 1.0));
        // Writing to a string does not fail.
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>\n\
             <text x=\"{key_x}\" y=\"{key_y}\" fill=\"{colour}\">{}</text>",
            points.join(" "),
            report.scenario.name()
        );
    }
    svg.push_str("</svg>\n");
    svg
}

struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn y(&self, ms: f64) -> f64 {
        let part = (ms.log10() - self.low) / (self.high - self.low);
        HEIGHT - MARGINS.3 - part * (HEIGHT - MARGINS.1 - MARGINS.3)
    }
}

/// Each further nine takes as much space as the one before.
fn x(percent: f64) -> f64 {
    let nines = |percent: f64| -(1.0 - percent / 100.0).log10();
    MARGINS.0 + nines(percent.min(PERCENT_MAX)) / nines(PERCENT_MAX) * (WIDTH - MARGINS.0 - MARGINS.2)
}

fn axes(svg: &mut String, scale: &Scale) {
    let (bottom, right) = (HEIGHT - MARGINS.3, WIDTH - MARGINS.2);
    for percent in MARKS {
        let at = x(percent);
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"{}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/>\n\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{percent}%</text>",
            MARGINS.1,
            bottom + 18.0
        );
    }
    let mut power = scale.low;
    while power <= scale.high {
        let (ms, y) = (10f64.powf(power), scale.y(10f64.powf(power)));
        let _ = writeln!(
            svg,
            "<line x1=\"{}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{ms} ms</text>",
            MARGINS.0,
            MARGINS.0 - 8.0,
            y + 4.0
        );
        power += 1.0;
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">percentile of queries</text>",
        f64::midpoint(MARGINS.0, right),
        HEIGHT - 12.0
    );
}

fn escaped(text: &str) -> String {
    let plain = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    plain.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Figure, Scenario};

    #[test]
    fn a_plot_has_a_line_for_each_report_and_no_foreign_markup() {
        let report = |scenario| Report {
            scenario,
            seed: 1,
            figure: Figure {
                name: "x".into(),
                value: Some(1.0),
                unit: "ms",
                note: None,
            },
            queries: 3,
            samples_per_query: 1,
            failures: 0,
            failure: None,
            seconds: 1.0,
            samples_per_second: 3.0,
            latency_ms: vec![(0.0, 0.5), (50.0, 1.0), (99.0, 20.0), (100.0, 30.0)],
            joules_per_sample: None,
        };
        let svg = plot(
            "<script>",
            &[report(Scenario::SingleStream), report(Scenario::Server)],
        );
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(
            !svg.contains("<script>") && !svg.contains("NaN") && !svg.contains("inf"),
            "{svg}"
        );
        let empty = plot("nothing", &[]);
        assert!(!empty.contains("NaN") && empty.ends_with("</svg>\n"));
    }
}
