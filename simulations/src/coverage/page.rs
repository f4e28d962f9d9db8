//! `docs/coverage.md`.

use fieldmark_fl::coverage::STRUCTURES;

use super::{Coverage, CoverageRow, Range};

/// What comes before the tables.
const INTRODUCTION: &str = "\
# Coverage of intervals and rank sets

How often the intervals of a board hold what they claim, over simulated challenges without cryptography:
records drawn from populations with known rates, measured and summed by the code that contributors run,
noised by the exact sampler, read by the code that boards run. Three models, five slices, δ = 10⁻⁶,
paired statistics.

- *noise-only*: the interval for the score of these very records without noise.
- *full*: the interval for the true rate of the population.
- *marked*: scores with a mark on the board: an interval ends at 0 or 1 (`bound`), or is wider than 95%
  ask for, to be safe (`conservative`).
- Coverage is of single cells (one score of one structure, over all challenges in which it could be
  estimated): the least and the greatest. Cells with at least one marked interval in a hundred are in the
  column of marked cells, which shows the least coverage. Cells that could be estimated in less than a
  quarter of the challenges are taken together.
- *ranks*: how often all rank sets of a challenge hold all true ranks, stated: 95%. *differences*: how
  often all simultaneous intervals of differences hold. The least over structures.
- *separated*: how often any two models could be told apart, which is what the noise costs.

Promised: 95 ± 1.5% for cells without marks, at least 93.5% for cells with marks, at least 95% for ranks
(less two standard errors of the simulation).

The records of a challenge are independent draws, so the share of each site in them is random. Where every
site sends a fixed number of records and sites differ much, the full interval covers more than it says: the
differences between sites are then no sampling error, and no aggregate tells how large they are.
";

impl Coverage {
    /// The study as the page that is kept in `docs/`.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut page = String::from(INTRODUCTION);
        page.push_str(&format!(
            "\nMade by `fieldmark simulate --coverage --challenges {}` (the same on any number of threads).\n",
            self.challenges
        ));
        page.push_str(&format!(
            "\n## All structures\n\n{} challenges of each structure in each setting. {}\n\n",
            thousands(self.challenges),
            if self.passed {
                "Every figure is within what is promised."
            } else {
                "Rows marked ✗ are outside what is promised."
            }
        ));
        page.push_str(&table(self.settings.iter()));
        for structure in STRUCTURES {
            page.push_str(&format!(
                "\n## {}\n\n{}.\n\n",
                capitalised(structure.name()),
                capitalised(structure.text())
            ));
            let of = |row: &&CoverageRow| row.structure == Some(structure.name());
            page.push_str(&table(self.structures.iter().filter(of)));
        }
        page
    }
}

fn table<'a>(rows: impl Iterator<Item = &'a CoverageRow>) -> String {
    let mut text = String::from(
        "| records | ε | k | estimable | marked | noise-only | full | marked cells | ranks | differences | \
         separated | ± field | ± slice | |\n| --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: \
         | --: | --: | --- |\n",
    );
    for row in rows {
        let cells = [
            thousands(u64::from(row.records)),
            row.epsilon.to_string(),
            row.aggregators.to_string(),
            percent(row.estimable),
            percent(row.marked),
            span(row.noise),
            span(row.full),
            row.marked_least
                .map_or("–".to_owned(), |least| format!("≥ {}", percent(least))),
            percent(row.ranks),
            percent(row.differences),
            percent(row.separated),
            points(row, row.field_half_width),
            points(row, row.slice_half_width),
            if row.passed { "" } else { "✗" }.to_owned(),
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

fn span(range: Option<Range>) -> String {
    range.map_or("–".to_owned(), |range| {
        format!("{}–{}", percent(range.least), percent(range.most))
    })
}

fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}

fn points(row: &CoverageRow, half_width: f64) -> String {
    if row.estimable > 0.0 {
        percent(half_width)
    } else {
        "–".to_owned()
    }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}
