//! What the users of the simulated nodes do: researchers publish, the operator poses a challenge once it
//! knows the models and the committee, companies make their data known and join, and the faces of an
//! equivocator publish two stories.
//!
//! A user whose node crashed before it answered asks again after the restart.

use std::collections::BTreeMap;

use fieldmark_fl::budget::RecordSketch;
use fieldmark_fl::privacy::{Delta, Epsilon, PrivacyError, calibrate};
use fieldmark_fl::schema::Schema;
use fieldmark_ledger::{catalogue, identity, tasks};
use fieldmark_node_core::io::{Command, CommandError, CommandId, Reply, SourceBudget};
use fieldmark_node_core::params::schema_params;
use fieldmark_protocol::RecordId;
use fieldmark_protocol::challenge::{Challenge, Slice};
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::StoreError;
use fieldmark_protocol::release::{Artifact, Release, TensorSpec};
use fieldmark_protocol::task::{Aggregator, Eligibility, Privacy, SKEW_MS, Statistics, Task};

use crate::draws::Draws;
use crate::equivocator;
use crate::host::Host;
use crate::part::{HostId, Part, Role};
use crate::ports::{self, Ports};
use crate::scenario::{ChallengePlan, EligibilityPlan, Scenario};

/// How often users look at their nodes, in virtual milliseconds.
pub(crate) const LOOK_MS: u64 = 200;
/// From the signing of a challenge to the opening of its window.
const LEAD_MS: u64 = 500;

/// What a user wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errand {
    Publish,
    AddDataset,
    Create,
    Join,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// From then on.
    Due(u64),
    /// A joining company learnt of the task and thinks until then.
    Thinking(u64),
    Asked(CommandId),
    Done,
}

#[derive(Debug)]
struct Plan {
    host: HostId,
    errand: Errand,
    progress: Progress,
    thinks_ms: u64,
}

/// The challenge as it was acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Posed {
    pub(crate) challenge: RecordId,
    pub(crate) task: RecordId,
    /// By the operator's clock.
    pub(crate) opens_at_ms: u64,
    pub(crate) closes_at_ms: u64,
}

/// All users.
#[derive(Debug)]
pub(crate) struct Script {
    plans: Vec<Plan>,
    plan: ChallengePlan,
    next: CommandId,
    draws: Draws,
    /// Models by who published them.
    published: BTreeMap<HostId, RecordId>,
    models: usize,
    window: [u64; 2],
    pub(crate) posed: Option<Posed>,
    pub(crate) acknowledged: Vec<RecordId>,
    pub(crate) violations: Vec<String>,
}

impl Script {
    /// Users of the cast; `models` are published already.
    pub(crate) fn new(scenario: &Scenario, seed: u64, parts: &[Part], models: &[RecordId]) -> Self {
        let mut draws = Draws::of(seed, "script");
        let [adds, creates, thinks] = if scenario.acquainted {
            [[0, 300], [100, 600], [0, 700]]
        } else {
            [[500, 4_000], [3_000, 5_000], [0, 2_500]]
        };
        let mut plans = Vec::new();
        for (host, part) in parts.iter().enumerate() {
            let mut add = |errand, range| {
                let (progress, thinks_ms) = (Progress::Due(draws.within(range)), draws.within(thinks));
                plans.push(Plan {
                    host,
                    errand,
                    progress,
                    thinks_ms,
                });
            };
            match part.role {
                Role::Operator => add(Errand::Create, creates),
                Role::Researcher(_) => add(Errand::Publish, [1_000, 4_000]),
                Role::Company(_) => {
                    add(Errand::AddDataset, adds);
                    add(Errand::Join, [0, 0]);
                }
                Role::Face { .. } => add(Errand::Publish, [3_000, 12_000]),
                Role::Aggregator(_) | Role::Relay => {}
            }
        }
        Self {
            plans,
            plan: scenario.challenge.clone(),
            next: 0,
            draws,
            published: models.iter().copied().enumerate().collect(),
            models: usize::try_from(scenario.researchers).unwrap_or(usize::MAX),
            window: [0; 2],
            posed: None,
            acknowledged: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// Whether every user is done.
    pub(crate) fn is_over(&self) -> bool {
        self.plans.iter().all(|plan| plan.progress == Progress::Done)
    }

    /// What users ask of their nodes now.
    ///
    /// # Errors
    /// [`StoreError`] when a store is damaged.
    pub(crate) fn look(
        &mut self,
        now: u64,
        hosts: &[Host],
        ports: &Ports,
    ) -> Result<Vec<(HostId, CommandId, Command)>, StoreError> {
        let mut asked = Vec::new();
        for at in 0..self.plans.len() {
            let Some(plan) = self.plans.get(at) else { continue };
            let (host, errand, thinks_ms) = (plan.host, plan.errand, plan.thinks_ms);
            let due = match plan.progress {
                Progress::Due(due) | Progress::Thinking(due) => due,
                Progress::Asked(_) | Progress::Done => continue,
            };
            let thinking = matches!(plan.progress, Progress::Thinking(_));
            let Some(user) = hosts.get(host).filter(|h| h.is_up() && now >= due) else {
                continue;
            };
            if errand == Errand::Join && !thinking {
                if self.may_join(user)? {
                    self.advance(at, Progress::Thinking(now + thinks_ms));
                }
                continue;
            }
            let Some(command) = self.command(now, errand, user, hosts, ports)? else {
                continue;
            };
            self.next += 1;
            asked.push((host, self.next, command));
            self.advance(at, Progress::Asked(self.next));
        }
        Ok(asked)
    }

    fn advance(&mut self, at: usize, progress: Progress) {
        if let Some(plan) = self.plans.get_mut(at) {
            plan.progress = progress;
        }
    }

    /// Whether a company's node knows the task and its data.
    fn may_join(&self, user: &Host) -> Result<bool, StoreError> {
        let Some(posed) = self.posed else { return Ok(false) };
        let known = tasks::task(user.disk(), &posed.task)?.is_some();
        Ok(known && fieldmark_node_core::datasets::dataset(user.disk(), "field")?.is_some())
    }

    fn command(
        &mut self,
        now: u64,
        errand: Errand,
        user: &Host,
        hosts: &[Host],
        ports: &Ports,
    ) -> Result<Option<Command>, StoreError> {
        Ok(match (errand, user.part.role) {
            (Errand::Publish, Role::Researcher(number)) => {
                Some(Command::Publish(release(&format!("model-{number}"))))
            }
            (Errand::Publish, Role::Face { half, .. }) => Some(Command::Publish(equivocator::story(
                release(&user.part.name),
                half,
            ))),
            (Errand::AddDataset, Role::Company(number)) => {
                let host = hosts
                    .iter()
                    .position(|h| h.part.role == Role::Company(number))
                    .unwrap_or(0);
                Some(Command::AddDataset {
                    dataset: ports.dataset(host),
                    sketch: RecordSketch::default(),
                    budget: SourceBudget {
                        epsilon: Some(self.plan.budget_epsilon),
                        delta: Some(self.plan.delta),
                        order: None,
                    },
                })
            }
            (Errand::Create, _) => self.create(now, user, hosts, ports)?,
            (Errand::Join, _) => self.posed.map(|posed| Command::Join {
                task: posed.task,
                dataset: "field".to_owned(),
            }),
            _ => None,
        })
    }

    /// The challenge, once the operator's node knows all it names.
    fn create(
        &mut self,
        now: u64,
        user: &Host,
        hosts: &[Host],
        ports: &Ports,
    ) -> Result<Option<Command>, StoreError> {
        let parts = || hosts.iter().map(|host| &host.part);
        let committee: Vec<Aggregator> = parts()
            .filter(|part| matches!(part.role, Role::Aggregator(_)))
            .map(Part::seat)
            .collect();
        let companies = parts()
            .filter(|part| matches!(part.role, Role::Company(_)))
            .map(Part::identity);
        for release in self.published.values() {
            if catalogue::release(user.disk(), release)?.is_none() {
                return Ok(None);
            }
        }
        for seat in &committee {
            if identity::certificate(user.disk(), &seat.node_key)?.is_none() {
                return Ok(None);
            }
        }
        if self.published.len() < self.models {
            return Ok(None);
        }
        let opens_at_ms = user.clock(now) + LEAD_MS;
        let closes_at_ms = opens_at_ms + self.plan.window_ms;
        let mut task = Task {
            name: "field".to_owned(),
            committee,
            statistics: Statistics {
                releases: self.published.values().copied().collect(),
                slices: ports.slices().to_vec(),
                records_max: u32::try_from(self.plan.records).unwrap_or(u32::MAX),
                paired: self.plan.paired,
                calibration: self.plan.calibration,
                extra: ports::extra(&self.plan),
            },
            privacy: Privacy {
                epsilon_micro: 0,
                delta_pico: 0,
                sigma_squared: 1,
                l2_squared: 1,
            },
            eligibility: match self.plan.eligibility {
                EligibilityPlan::Open => Eligibility::Open,
                EligibilityPlan::List => Eligibility::List(companies.collect()),
                EligibilityPlan::Endorsed => Eligibility::EndorsedBy([user.part.identity()].into()),
            },
            min_batch: u32::try_from(self.plan.min_batch).unwrap_or(u32::MAX),
            reports_expected: 0,
            opens_at_ms,
            closes_at_ms,
            window: 0,
            patience_ms: self.plan.patience_ms,
            recurrence: None,
            replicate_groups: u32::try_from(self.plan.replicate_groups).unwrap_or(u32::MAX),
        };
        match privacy(&self.plan, &task) {
            Ok(privacy) => task.privacy = privacy,
            Err(error) => {
                self.violations
                    .push(format!("no noise fits the scenario: {error}"));
                return Ok(None);
            }
        }
        self.window = [opens_at_ms, closes_at_ms];
        Ok(Some(Command::CreateChallenge {
            challenge: challenge(ports.slices()),
            task,
        }))
    }

    /// A node answered.
    pub(crate) fn replied(
        &mut self,
        host: &Host,
        now: u64,
        id: CommandId,
        result: Result<Reply, CommandError>,
    ) {
        let Some(at) = self
            .plans
            .iter()
            .position(|plan| plan.progress == Progress::Asked(id))
        else {
            return;
        };
        let Some(plan) = self.plans.get(at) else { return };
        let (at_host, errand) = (plan.host, plan.errand);
        self.advance(at, Progress::Done);
        match (errand, result) {
            (_, Ok(Reply::Recorded(ids))) => {
                if !host.part.role.is_face() {
                    self.acknowledged.extend(&ids);
                }
                self.recorded(at_host, errand, host.part.role, &ids);
            }
            (_, Ok(_)) => {}
            // A company that learnt of the task too late.
            (Errand::Join, Err(_)) if host.clock(now) + SKEW_MS >= self.window[1] => {}
            (_, Err(error)) => {
                self.violations
                    .push(format!("{} could not {errand:?}: {error}", host.part.name));
            }
        }
    }

    fn recorded(&mut self, host: HostId, errand: Errand, role: Role, ids: &[RecordId]) {
        match (errand, role, ids) {
            (Errand::Publish, Role::Researcher(_), [release]) => {
                self.published.insert(host, *release);
            }
            (Errand::Create, _, [challenge, task]) => {
                let [opens_at_ms, closes_at_ms] = self.window;
                self.posed = Some(Posed {
                    challenge: *challenge,
                    task: *task,
                    opens_at_ms,
                    closes_at_ms,
                });
            }
            _ => {}
        }
    }

    /// A node started again: what it was asked and did not answer is asked again.
    pub(crate) fn restarted(&mut self, host: HostId, now: u64) {
        let draws = &mut self.draws;
        for plan in self.plans.iter_mut().filter(|plan| plan.host == host) {
            if let Progress::Asked(_) = plan.progress {
                let due = now + draws.within([100, 1_000]);
                let join = plan.errand == Errand::Join;
                plan.progress = if join {
                    Progress::Thinking(due)
                } else {
                    Progress::Due(due)
                };
            }
        }
    }
}

/// A release of one file.
pub(crate) fn release(name: &str) -> Release {
    let tensor = |name: &str, size| TensorSpec {
        name: name.to_owned(),
        datatype: "FP32".to_owned(),
        shape: vec![-1, size],
    };
    let artifact = Artifact {
        path: "model.pt".to_owned(),
        blake3: ContentHash::of(name.as_bytes()),
        sha256: ContentHash::of(&[name.as_bytes(), b" as SHA-256"].concat()),
        size: 1_000_000,
    };
    Release {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        runtime: "torchscript".to_owned(),
        entry: artifact.path.clone(),
        artifacts: vec![artifact],
        inputs: vec![tensor("image", 64)],
        outputs: vec![tensor("logits", 10)],
        labels: (0..10).map(|label| label.to_string()).collect(),
        license: "Apache-2.0".to_owned(),
        tags: vec!["simulated".to_owned()],
        task: "image-classification".to_owned(),
        summary: "A simulated model.".to_owned(),
        parent: None,
        reference: Vec::new(),
        input_reference: Vec::new(),
    }
}

fn challenge(slices: &[String]) -> Challenge {
    let slice = |name: &String| Slice {
        name: name.clone(),
        description: String::new(),
    };
    Challenge {
        name: "in-the-field".to_owned(),
        scenario: "Simulated records under simulated conditions.".to_owned(),
        // Filled in by the node.
        task: RecordId::new([0; 32]),
        slices: slices.iter().map(slice).collect(),
        clean_slice: slices.first().cloned().unwrap_or_default(),
        metric: "accuracy".to_owned(),
        previous: None,
    }
}

/// The noise for the scenario's promise.
fn privacy(plan: &ChallengePlan, task: &Task) -> Result<Privacy, PrivacyError> {
    let (epsilon, delta) = (Epsilon::new(plan.epsilon)?, Delta::new(plan.delta)?);
    let l2_squared = Schema::new(&schema_params(task)).map_or(0, |schema| schema.l2_sensitivity_squared());
    let scale = calibrate(l2_squared, epsilon, delta)?;
    Ok(Privacy {
        epsilon_micro: whole(plan.epsilon * 1e6),
        delta_pico: whole(plan.delta * 1e12),
        sigma_squared: scale.sigma_squared,
        l2_squared,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded, positive and small"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}
