//! The ports of a simulated node: evaluation by a seeded statistical model in the place of data and
//! runners, and blobs that are there or not. Every measurement and every noise that was drawn is noted
//! here, for the checkers.
//!
//! Pure jobs run the production code; how long work takes is drawn.

use std::collections::BTreeMap;

use fieldmark_fl::schema::{RecordOutcome, Schema, SchemaParams};
use fieldmark_fl::synthetic;
use fieldmark_fl::vdaf::Vdaf;
use fieldmark_node_core::compute::{self, Job, JobResult, Shape};
use fieldmark_node_core::io::Dataset;
use fieldmark_protocol::aggregation::{BatchId, FIELD_BYTES};
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::task::{Extra, Statistic};
use fieldmark_protocol::{PublicKey, ReportId};

use crate::draws::Draws;
use crate::part::{HostId, Part, Role};
use crate::scenario::{ChallengePlan, Scenario};

/// One draw of an aggregator's noise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Noise {
    /// The noisy share that came of it.
    pub(crate) share: Vec<u8>,
    /// The noise alone, centred, by replicate group.
    pub(crate) values: Vec<Vec<i128>>,
    /// Its squared scale.
    pub(crate) sigma_squared: u64,
}

/// What was really measured and drawn.
#[derive(Debug, Clone, Default)]
pub(crate) struct Truth {
    /// Measurements by batch and identity.
    pub(crate) measured: BTreeMap<(BatchId, PublicKey), Vec<u64>>,
    /// What adversaries put into reports beside their node's own, by report.
    pub(crate) sent: BTreeMap<ReportId, Vec<u64>>,
    /// Draws of noise by host.
    pub(crate) noise: BTreeMap<HostId, Vec<Noise>>,
    /// What went wrong while it was noted.
    pub(crate) violations: Vec<String>,
}

/// The data of the companies and the work of all nodes.
#[derive(Debug)]
pub(crate) struct Ports {
    draws: Draws,
    outcomes: BTreeMap<HostId, Vec<RecordOutcome>>,
    slices: Vec<String>,
    pub(crate) truth: Truth,
}

impl Ports {
    pub(crate) fn new(scenario: &Scenario, seed: u64, parts: &[Part]) -> Self {
        let mut draws = Draws::of(seed, "ports");
        let slices = (0..scenario.challenge.slices).map(slice_name).collect();
        let companies = parts
            .iter()
            .enumerate()
            .filter(|(_, p)| matches!(p.role, Role::Company(_)));
        let companies: Vec<HostId> = companies.map(|(at, _)| at).collect();
        let outcomes = companies
            .iter()
            .copied()
            .zip(population(scenario, &mut draws))
            .collect();
        Self {
            draws,
            outcomes,
            slices,
            truth: Truth::default(),
        }
    }

    /// The slices of the challenge.
    pub(crate) fn slices(&self) -> &[String] {
        &self.slices
    }

    /// The dataset of a company.
    pub(crate) fn dataset(&self, host: HostId) -> Dataset {
        let records = self.outcomes.get(&host).map_or(0, Vec::len);
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let mut slices = self.slices.clone();
        slices.sort_unstable();
        Dataset {
            name: "field".to_owned(),
            source: format!("source-{host}"),
            version: ContentHash::of(&count(host).to_be_bytes()).to_string(),
            path: String::new(),
            records: count(records),
            rows: count(records * slices.len()),
            slices,
            features: 64,
            labels: (0..10).map(|label| label.to_string()).collect(),
            ..Dataset::default()
        }
    }

    /// How long a job takes.
    pub(crate) fn duration(&mut self, job: &Job) -> u64 {
        match job {
            Job::Evaluate { .. } => self.draws.within([100, 1_500]),
            Job::Fetch { .. } => self.draws.within([50, 800]),
            _ => self.draws.within([1, 60]),
        }
    }

    /// Does a job that is not [`Job::Fetch`] and notes what the checkers want to know.
    pub(crate) fn run(&mut self, host: HostId, identity: PublicKey, job: &Job) -> Option<JobResult> {
        match job {
            Job::Evaluate { batch, schema, .. } => Some(JobResult::Evaluated(
                self.evaluate(host, identity, *batch, schema),
            )),
            Job::Noise {
                shape, sigma_squared, ..
            } => {
                let result = compute::run(job);
                if let Some(JobResult::Noised(Ok(share))) = &result {
                    self.note_noise(host, *sigma_squared, noise_values(shape, job), share);
                }
                result
            }
            _ => compute::run(job),
        }
    }

    fn evaluate(
        &mut self,
        host: HostId,
        identity: PublicKey,
        batch: BatchId,
        params: &SchemaParams,
    ) -> Result<Vec<u64>, String> {
        let schema = Schema::new(params).map_err(|e| e.to_string())?;
        let outcomes = self.outcomes.get(&host).ok_or("this host has no data")?;
        let measurement = schema.measure(outcomes).map_err(|e| e.to_string())?;
        let values = measurement.values().to_vec();
        let before = self.truth.measured.insert((batch, identity), values.clone());
        if before.is_some_and(|before| before != values) {
            self.truth
                .violations
                .push(format!("n{host} measured the same data twice with other results"));
        }
        Ok(values)
    }

    fn note_noise(
        &mut self,
        host: HostId,
        sigma_squared: u64,
        values: Result<Vec<Vec<i128>>, String>,
        share: &[u8],
    ) {
        match values {
            Ok(values) => {
                let noise = Noise {
                    share: share.to_vec(),
                    values,
                    sigma_squared,
                };
                self.truth.noise.entry(host).or_default().push(noise);
            }
            Err(error) => self
                .truth
                .violations
                .push(format!("the noise of n{host}: {error}")),
        }
    }
}

/// The noise that a job adds, whatever it adds it to, by replicate group: the same job over sums of zero.
fn noise_values(shape: &Shape, job: &Job) -> Result<Vec<Vec<i128>>, String> {
    let schema = Schema::new(&shape.schema).map_err(|e| e.to_string())?;
    let vdaf = Vdaf::new(&schema, shape.aggregators).map_err(|e| e.to_string())?;
    let mut bare = job.clone();
    if let Job::Noise { sums, .. } = &mut bare {
        sums.clear();
    }
    let Some(JobResult::Noised(noise)) = compute::run(&bare) else {
        return Err("a job of noise drew none".to_owned());
    };
    let of_group = |part: &[u8]| {
        let mut shares = vec![vdaf.zero(); usize::from(shape.aggregators)];
        if let Some(first) = shares.first_mut() {
            *first = vdaf.decode_share(part).map_err(|e| e.to_string())?;
        }
        vdaf.unshard(&shares).map_err(|e| e.to_string())
    };
    noise?
        .chunks(schema.len().max(1) * FIELD_BYTES)
        .map(of_group)
        .collect()
}

/// Name of a slice by its number; the first stands for the laboratory.
fn slice_name(number: u64) -> String {
    if number == 0 {
        "clean".to_owned()
    } else {
        format!("condition-{number}")
    }
}

/// What the challenge collects beyond scores.
pub(crate) fn extra(plan: &ChallengePlan) -> Extra {
    if !plan.further {
        return Extra::default();
    }
    let needs_a_number = |statistic: &Statistic| *statistic == Statistic::Regression;
    let names = |list: [&str; 2]| list.map(str::to_owned).to_vec();
    Extra {
        collected: Statistic::ALL
            .into_iter()
            .filter(|s| !needs_a_number(s))
            .collect(),
        classes: names(["denied", "granted"]),
        positive: Some(1),
        groups: names(["north", "south"]),
        bins: 5,
        ..Extra::default()
    }
}

/// The records of every company, at most as many as a report may count.
fn population(scenario: &Scenario, draws: &mut Draws) -> Vec<Vec<RecordOutcome>> {
    let plan = &scenario.challenge;
    let cap = usize::try_from(plan.records).unwrap_or(usize::MAX);
    let statistics = synthetic::Scenario {
        skill: (0..scenario.researchers).map(|_| 0.8 + draws.unit()).collect(),
        harshness: (0..plan.slices)
            .map(|n| if n == 0 { 0.0 } else { draws.unit() })
            .collect(),
        severity: (0..scenario.companies).map(|_| 0.5 + draws.unit()).collect(),
        records: u32::try_from(plan.records * 3 / 4).unwrap_or(u32::MAX).max(2),
        confidences: plan.calibration || plan.further,
        blend: synthetic::Blend::default(),
    };
    let mut contributors = statistics.sample(draws.below(u64::MAX)).contributors;
    for outcomes in &mut contributors {
        outcomes.truncate(cap);
        for outcome in outcomes.iter_mut().filter(|_| plan.further) {
            let [class, group] = [(); 2].map(|()| u16::from(draws.unit() < 0.4));
            *outcome = synthetic::two_classes(outcome, class, group);
        }
    }
    contributors
}
