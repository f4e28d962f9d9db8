//! The plan of a challenge: what accuracy to expect, what each statistic costs, and whether it will tell
//! its models apart. Needs no node.

use std::collections::BTreeSet;

use fieldmark_fl::interval::{self, Expected, Typical, VIEW_CORRELATION};
use fieldmark_fl::metrics::guide;
use fieldmark_fl::plan::{self, Assumed, Noise};
use fieldmark_fl::privacy::{self, Delta, Epsilon};
use fieldmark_fl::schema::{ENTRIES_MAX, Family, Schema};
use fieldmark_protocol::task::{REPLICATE_GROUPS_MAX, REPORTS_MAX};
use serde::Serialize;

use super::{ChallengeSpec, SpecError};

/// Largest ε that a plan proposes.
const EPSILON_MAX: f64 = 20.0;

/// What a plan assumes of the models.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlanOptions {
    /// A typical field score.
    pub score: f64,
    /// Difference of field scores between neighbours in rank.
    pub gap: f64,
    /// Mean correlation between being right on two views of a record, 0 to 1.
    pub view_correlation: f64,
}

impl PlanOptions {
    fn typical(&self) -> Typical {
        Typical {
            score: self.score,
            view_correlation: self.view_correlation,
        }
    }
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            score: 0.8,
            gap: 0.02,
            view_correlation: VIEW_CORRELATION,
        }
    }
}

/// What a challenge would give, before anything is signed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// σ² of each aggregator's noise.
    pub sigma_squared: u64,
    /// Squared sensitivity of one source record.
    pub l2_squared: u64,
    /// Numbers in the vector, each with its noise.
    pub entries: usize,
    /// The typical field score assumed.
    pub score: f64,
    /// The difference between neighbours in rank assumed.
    pub gap: f64,
    /// The correlation between views of a record assumed.
    pub view_correlation: f64,
    /// Half-widths of 95% intervals and rank sets for several numbers of source records.
    pub expected: Vec<PlanRow>,
    /// What is collected and what each part costs everyone.
    pub statistics: Vec<StatisticRow>,
    /// Whether the expected number of reports separates anything.
    pub verdict: Verdict,
    /// What replicate groups cost; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicate_groups: Option<GroupsCost>,
}

/// What to expect of one number of records, in fractions of 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PlanRow {
    /// Reports assumed, each with as many records as it may count.
    pub reports: u32,
    /// Source records they make.
    pub records: u64,
    /// Of a model's field score.
    pub field: f64,
    /// Of one slice.
    pub slice: f64,
    /// Of the difference of two models' field scores.
    pub difference: f64,
    /// The part of `field` that is noise.
    pub field_noise: f64,
    /// Ranks in a model's rank set, on average.
    pub rank_set: f64,
    /// Least difference of two field scores that is separated with 80% chance.
    pub told_apart: f64,
    /// Chance that the best and the last model are separated.
    pub chance: f64,
}

/// What replicate groups cost, for the number of reports that the verdict is about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupsCost {
    /// Groups, each with the whole noise of every aggregator.
    pub groups: u32,
    /// By how much the variance of the noise in the total grows: their number.
    pub noise_variance_factor: u32,
    /// Fewest reports with which every group has the minimum batch.
    pub reports_needed: u64,
    /// What to expect without groups.
    pub without: PlanRow,
    /// What to expect with them.
    pub with: PlanRow,
    /// Why the groups cannot be, if they cannot.
    pub problem: Option<String>,
}

/// A part of what is collected.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatisticRow {
    /// Its name: `scores`, `paired`, `calibration`, `views` or a statistic's.
    pub name: &'static str,
    /// Numbers in the vector.
    pub entries: usize,
    /// Its part of the squared sensitivity, 0 to 1.
    pub share: f64,
    /// By how much all noise grows because of it.
    pub noise_factor: f64,
}

/// Whether a challenge will tell its models apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether the best and the last model are more likely than not to be separated.
    pub separable: bool,
    /// Reports it is about: the expected ones, or the fewest.
    pub reports: u32,
    /// Source records with which they are separated with 80% chance; absent if no number will do.
    pub records_needed: Option<u64>,
    /// ε with which they are separated with 80% chance; absent if no ε up to 20 will do.
    pub epsilon_needed: Option<f64>,
    /// The same in words.
    pub words: String,
}

impl ChallengeSpec {
    /// What to expect of the challenge.
    ///
    /// # Errors
    /// [`SpecError`] for a specification whose numbers do not fit together.
    pub fn plan(&self, options: &PlanOptions) -> Result<Plan, SpecError> {
        self.check()?;
        let schema = self.schema()?;
        let privacy = self.privacy(&schema)?;
        let noise = self.noise(privacy.sigma_squared);
        let least = self.least();
        let reports = BTreeSet::from([least, self.reports_expected.max(least), least.saturating_mul(10)]);
        let expected = reports
            .into_iter()
            .map(|reports| self.row(&schema, noise, reports, options));
        Ok(Plan {
            sigma_squared: privacy.sigma_squared,
            l2_squared: privacy.l2_squared,
            entries: schema.len(),
            score: options.score,
            gap: options.gap,
            view_correlation: options.view_correlation,
            expected: expected.collect(),
            statistics: statistics(&schema),
            verdict: self.verdict(&schema, noise, options),
            replicate_groups: self.groups_cost(&schema, noise, options),
        })
    }

    /// Fewest reports that are released: the minimum batch for every group.
    fn least(&self) -> u32 {
        self.min_batch.max(1).saturating_mul(self.replicate_groups.max(1))
    }

    /// The noise in the total: of every aggregator, once for every replicate group.
    fn noise(&self, sigma_squared: u64) -> Noise {
        let groups = usize::try_from(self.replicate_groups).unwrap_or(usize::MAX);
        Noise {
            sigma_squared,
            aggregators: u8::try_from(self.committee.len().saturating_mul(groups)).unwrap_or(u8::MAX),
        }
    }

    fn groups_cost(&self, schema: &Schema, with: Noise, options: &PlanOptions) -> Option<GroupsCost> {
        if self.replicate_groups == 1 {
            return None;
        }
        let reports = self.reports_expected.max(self.least());
        let without = Noise {
            aggregators: u8::try_from(self.committee.len()).unwrap_or(u8::MAX),
            ..with
        };
        Some(GroupsCost {
            groups: self.replicate_groups,
            noise_variance_factor: self.replicate_groups,
            reports_needed: u64::from(self.least()),
            without: self.row(schema, without, reports, options),
            with: self.row(schema, with, reports, options),
            problem: self.groups_problem(schema),
        })
    }

    /// Why the task could not be signed with as many groups, or would never be released.
    fn groups_problem(&self, schema: &Schema) -> Option<String> {
        let (groups, least) = (self.replicate_groups, u64::from(self.least()));
        if !(1..=REPLICATE_GROUPS_MAX).contains(&groups) {
            return Some(format!(
                "there can be 1 to {REPLICATE_GROUPS_MAX} groups, {groups} are asked for"
            ));
        }
        let listed = self.eligible.as_ref().map(|list| list.len() as u64);
        let expected = (self.reports_expected != 0).then_some(u64::from(self.reports_expected));
        let bounds = [
            ("contributors are eligible", listed),
            ("reports are expected", expected),
            ("reports fit into a batch", Some(u64::from(REPORTS_MAX))),
        ];
        let short = bounds
            .into_iter()
            .find(|(_, most)| most.is_some_and(|most| most < least));
        if let Some((what, Some(most))) = short {
            return Some(format!(
                "{groups} groups of at least {} reports need {least}, and only {most} {what}: the challenge could \
                 not be signed; take fewer groups or a smaller min_batch",
                self.min_batch
            ));
        }
        let room = ENTRIES_MAX / schema.len().max(1);
        (usize::try_from(groups).is_ok_and(|groups| groups > room)).then(|| {
            format!(
                "{groups} groups of {} numbers do not fit into a share of {ENTRIES_MAX}; take at most {room}, or \
                 collect fewer statistics",
                schema.len()
            )
        })
    }

    fn row(&self, schema: &Schema, noise: Noise, reports: u32, options: &PlanOptions) -> PlanRow {
        let records = self.records(reports);
        let (sigma_squared, aggregators) = (noise.sigma_squared, noise.aggregators);
        let width: Expected =
            interval::expected_half_width(schema, sigma_squared, aggregators, records, &options.typical());
        let ranking = plan::separation(schema, noise, records, &assumed(options));
        PlanRow {
            reports,
            records,
            field: width.field.total,
            slice: width.slice.total,
            difference: width.difference.total,
            field_noise: width.field.noise,
            rank_set: ranking.rank_set,
            told_apart: ranking.told_apart,
            chance: ranking.chance,
        }
    }

    fn records(&self, reports: u32) -> u64 {
        u64::from(reports).saturating_mul(u64::from(self.records_max))
    }

    fn verdict(&self, schema: &Schema, noise: Noise, options: &PlanOptions) -> Verdict {
        let reports = self.reports_expected.max(self.least());
        let assumed = assumed(options);
        let expected = plan::separation(schema, noise, self.records(reports), &assumed);
        let mut verdict = Verdict {
            separable: expected.separable(),
            reports,
            records_needed: plan::records_needed(schema, noise, &assumed),
            epsilon_needed: self.epsilon_needed(schema, self.records(reports), &assumed),
            words: String::new(),
        };
        verdict.words = self.words(&verdict, expected.chance, options);
        verdict
    }

    /// The least ε, to a hundredth, with which the best and the last model are separated with 80% chance.
    fn epsilon_needed(&self, schema: &Schema, records: u64, assumed: &Assumed) -> Option<f64> {
        let enough = |hundredths: u32| {
            let epsilon = Epsilon::new(f64::from(hundredths) / 100.0).ok()?;
            let delta = Delta::new(self.delta).ok()?;
            let scale = privacy::calibrate(schema.l2_sensitivity_squared(), epsilon, delta).ok()?;
            let expected = plan::separation(schema, self.noise(scale.sigma_squared), records, assumed);
            Some(expected.chance >= plan::NEEDED_CHANCE)
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a constant of 2,000"
        )]
        let (mut low, mut high) = (0, (EPSILON_MAX * 100.0) as u32);
        enough(high)?.then_some(())?;
        while high - low > 1 {
            let middle = low.midpoint(high);
            if enough(middle)? {
                high = middle;
            } else {
                low = middle;
            }
        }
        Some(f64::from(high) / 100.0)
    }

    fn words(&self, verdict: &Verdict, chance: f64, options: &PlanOptions) -> String {
        let models = self.models.len();
        if models < 2 {
            return "one model: there is nothing to separate".to_owned();
        }
        let points = |part: f64| format!("{:.1} points", part * 100.0);
        let apart = points(options.gap * models.saturating_sub(1) as f64);
        let records = self.records(verdict.reports);
        if verdict.separable {
            return format!(
                "separable: with {records} records the best and the last model, {apart} apart, are told apart with {:.0}% \
                 chance",
                chance * 100.0
            );
        }
        let needed = match (verdict.records_needed, verdict.epsilon_needed) {
            (Some(records), Some(epsilon)) => format!("{records} records, or ε = {epsilon}, would do"),
            (Some(records), None) => format!("{records} records would do; no ε up to {EPSILON_MAX} would"),
            (None, Some(epsilon)) => format!("ε = {epsilon} would do"),
            (None, None) => "neither more records nor a larger ε would do".to_owned(),
        };
        format!(
            "not separable: with {records} records the best and the last model, {apart} apart, are told apart with only {:.0}% \
             chance; for 80%, {needed}",
            chance * 100.0
        )
    }
}

fn assumed(options: &PlanOptions) -> Assumed {
    Assumed {
        typical: options.typical(),
        gap: options.gap,
    }
}

/// What is collected, part by part.
fn statistics(schema: &Schema) -> Vec<StatisticRow> {
    let all = schema.l2_sensitivity_squared();
    let row = |name, entries, part: u64| StatisticRow {
        name,
        entries,
        share: part as f64 / all.max(1) as f64,
        noise_factor: guide::growth(all, part),
    };
    let group = |name, families: &[Family]| {
        let blocks = schema.blocks().iter();
        let (mut entries, mut part) = (0, 0);
        for block in blocks.filter(|block| families.contains(&block.family)) {
            entries += block.entries();
            part += block.l2_squared();
        }
        row(name, entries, part)
    };
    let own = [
        group("scores", &[Family::Records, Family::Scores]),
        group("paired", &[Family::Squares, Family::Differences]),
        group("calibration", &[Family::Confidence]),
        group("views", &[Family::Views]),
    ];
    let further = guide::costs(schema);
    let further = further
        .iter()
        .map(|cost| row(cost.statistic.name(), cost.entries, cost.l2_squared));
    let mut rows: Vec<StatisticRow> = own
        .into_iter()
        .filter(|row| row.entries > 0)
        .chain(further)
        .collect();
    if let Some(scores) = rows.first_mut() {
        // Everything else is measured against scores; without them there is no challenge.
        scores.noise_factor = 1.0;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = r#"
name = "loans"
clean_slice = "all"
models = ["a", "b", "c"]
committee = ["x", "y", "z"]
epsilon = 1.0
delta = 1e-6
records_max = 200
window_seconds = 60
min_batch = 5
statistics = ["confusion", "group-confusion", "score-histogram"]
classes = ["denied", "granted"]
positive = "granted"
groups = ["north", "south"]
[[slice]]
name = "all"
"#;

    fn spec(change: impl Fn(String) -> String) -> ChallengeSpec {
        toml::from_str(&change(SPEC.to_owned())).unwrap()
    }

    fn plan(spec: &ChallengeSpec) -> Plan {
        spec.plan(&PlanOptions::default()).unwrap()
    }

    #[test]
    fn every_statistic_has_its_cost() {
        let plan = plan(&spec(|s| s));
        let names: Vec<&str> = plan.statistics.iter().map(|row| row.name).collect();
        let expected = [
            "scores",
            "paired",
            "calibration",
            "confusion",
            "score-histogram",
            "group-confusion",
        ];
        assert_eq!(names, expected);
        let shares: f64 = plan.statistics.iter().map(|row| row.share).sum();
        assert!((shares - 1.0).abs() < 1e-9);
        let confusion = plan
            .statistics
            .iter()
            .find(|row| row.name == "confusion")
            .unwrap();
        assert!(confusion.noise_factor > 1.1 && confusion.entries == 12);
        let without = spec(|s| s.replace("\"confusion\", ", ""));
        let ratio = (plan.l2_squared as f64 / self::plan(&without).l2_squared as f64).sqrt();
        assert!((ratio - confusion.noise_factor).abs() < 0.01);
    }

    #[test]
    fn a_challenge_that_separates_nothing_says_so_and_what_would() {
        let plan = plan(&spec(|s| s));
        assert!(!plan.verdict.separable);
        assert!(plan.verdict.words.starts_with("not separable: with 1000 records"));
        let needed = plan.verdict.records_needed.unwrap();
        let enough = spec(|s| s.replace("records_max = 200", &format!("records_max = {}", needed / 5 + 1)));
        let plan = self::plan(&enough);
        assert!(plan.verdict.separable && plan.expected[0].chance >= 0.8);
        assert!(plan.verdict.words.starts_with("separable"));
    }

    #[test]
    fn views_that_agree_less_narrow_the_plan() {
        let two = spec(|s| format!("{s}[[slice]]\nname = \"dark\"\n"));
        let of = |view_correlation| {
            let options = PlanOptions {
                view_correlation,
                ..PlanOptions::default()
            };
            two.plan(&options).unwrap().expected[0].field
        };
        assert!(of(0.1) < of(0.5) && of(0.5) < of(1.0));
        assert_eq!(two.plan(&PlanOptions::default()).unwrap().view_correlation, 0.5);
    }

    #[test]
    fn replicate_groups_show_what_they_cost_and_whether_they_can_be_filled() {
        let with = |lines: &str| {
            plan(&spec(|s| {
                s.replace("min_batch = 5", &format!("min_batch = 5\n{lines}"))
            }))
        };
        assert_eq!(with("").replicate_groups, None);
        let grouped = with("replicate_groups = 4\nreports_expected = 40");
        let cost = grouped.replicate_groups.clone().unwrap();
        assert_eq!(
            (cost.groups, cost.noise_variance_factor, cost.reports_needed),
            (4, 4, 20)
        );
        assert_eq!(cost.problem, None);
        // Four times the variance is twice the noise.
        assert!((cost.with.field_noise / cost.without.field_noise - 2.0).abs() < 1e-6);
        assert!(cost.with.field > cost.without.field && cost.with.rank_set >= cost.without.rank_set);
        // The rows and the verdict are of the total with groups.
        let row = grouped.expected.iter().find(|row| row.reports == 40).unwrap();
        assert_eq!(*row, cost.with);
        let plain = with("reports_expected = 40");
        assert_eq!(
            *plain.expected.iter().find(|row| row.reports == 40).unwrap(),
            cost.without
        );
        assert!(grouped.verdict.records_needed > plain.verdict.records_needed);

        let problem = |lines: &str| with(lines).replicate_groups.unwrap().problem.unwrap();
        let few = problem("replicate_groups = 4\nreports_expected = 19");
        assert!(few.contains("need 20, and only 19 reports are expected"), "{few}");
        let listed = problem("replicate_groups = 2\neligible = [\"a\", \"b\"]");
        assert!(listed.contains("only 2 contributors are eligible"), "{listed}");
        assert!(problem("replicate_groups = 17").contains("1 to 16 groups"));
        assert!(problem("replicate_groups = 0").contains("1 to 16 groups"));
    }

    #[test]
    fn what_does_not_fit_names_its_key() {
        let refused = |from: &str, to: &str| {
            let error = spec(|s| s.replace(from, to))
                .plan(&PlanOptions::default())
                .unwrap_err();
            error.to_string()
        };
        assert!(refused("\"confusion\"", "\"confusions\"").contains("known are confusion"));
        assert!(refused("positive = \"granted\"", "positive = \"yes\"").contains("none of the classes"));
        assert!(refused("positive = \"granted\"", "").contains("a positive class"));
        assert!(refused("positive =", "metric = \"speed\"\npositive =").contains("brier-score"));
        assert!(refused("positive =", "target_range = [2.0, 1.0]\npositive =").contains("target_range"));
    }
}
