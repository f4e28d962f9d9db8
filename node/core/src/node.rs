//! One node: its machines put together, and who gets which input.

use fieldmark_ledger::tasks;
use fieldmark_protocol::address::Roles;
use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::machine::{Read, StoreError};
use fieldmark_protocol::wire::{rpc_request, rpc_response};
use fieldmark_protocol::{Kind, PublicKey, Record, ReportId, wire};
use prost::Message;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::addresses;
use crate::author;
use crate::blobs::Blobs;
use crate::compute::JobResult;
use crate::context::{Context, Keys, Loopback, Policy, Purpose, Shared, Work};
use crate::contributor::Contributor;
use crate::feedback::Feedback;
use crate::helper::Helper;
use crate::io::{Command, CommandId, InboundId, Input, JobId, Output, Reply, RequestId, Verdict};
use crate::issues;
use crate::leader::Leader;
use crate::limits::Traffic;
use crate::reveal::Reveal;
use crate::rpc::{self, RefusalCode};
use crate::seat::{self, Concluded};
use crate::subscriptions::Subscriptions;
use crate::sync::Sync;

/// Longest time a node goes without being called, in milliseconds.
pub const IDLE_MS_MAX: u64 = 5_000;

/// Who a node is and what its owner decided.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Its keys.
    pub keys: Keys,
    /// The name in its profile.
    pub name: String,
    /// What it does for others.
    pub roles: Roles,
    /// What its owner allows.
    pub policy: Policy,
    /// Seed of its randomness: from the operating system in production, fixed in simulation.
    pub seed: [u8; 32],
}

/// All machines of one node.
#[derive(Debug)]
pub struct NodeCore {
    shared: Shared,
    name: String,
    roles: Roles,
    sync: Sync,
    blobs: Blobs,
    contributor: Contributor,
    leader: Leader,
    helper: Helper,
    reveal: Reveal,
    subscriptions: Subscriptions,
    feedback: Feedback,
}

impl NodeCore {
    /// A node that has not started: hand it [`Input::Start`] first.
    #[must_use]
    pub fn new(options: NodeOptions) -> Self {
        let rng = ChaCha20Rng::from_seed(options.seed);
        Self {
            shared: Shared::new(options.keys, options.policy, rng),
            name: options.name,
            roles: options.roles,
            sync: Sync::default(),
            blobs: Blobs::default(),
            contributor: Contributor::default(),
            leader: Leader::default(),
            helper: Helper::default(),
            reveal: Reveal::default(),
            subscriptions: Subscriptions::default(),
            feedback: Feedback::default(),
        }
    }

    /// Takes one input. `now` is in milliseconds since 1970 and may jump.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails or is damaged; the node must stop then.
    pub fn handle(&mut self, now: u64, input: Input, store: &dyn Read) -> Result<(), StoreError> {
        let mut parts = Parts {
            name: &self.name,
            roles: self.roles,
            sync: &mut self.sync,
            blobs: &mut self.blobs,
            contributor: &mut self.contributor,
            leader: &mut self.leader,
            helper: &mut self.helper,
            reveal: &mut self.reveal,
            subscriptions: &mut self.subscriptions,
            feedback: &mut self.feedback,
        };
        let mut ctx = Context::new(now, store, &mut self.shared);
        parts.route(&mut ctx, input)?;
        parts.settle(&mut ctx)?;
        parts.tick(&mut ctx)?;
        parts.settle(&mut ctx)?;
        let next = parts
            .deadline(ctx.shared.ledger_revision)
            .clamp(now + 1, now.saturating_add(IDLE_MS_MAX));
        ctx.timer(next);
        Ok(())
    }

    /// The next output, in the order they are to be done.
    pub fn poll(&mut self) -> Option<Output> {
        self.shared.outputs.pop_front()
    }
}

/// The machines, apart from what they share.
struct Parts<'a> {
    name: &'a str,
    roles: Roles,
    sync: &'a mut Sync,
    blobs: &'a mut Blobs,
    contributor: &'a mut Contributor,
    leader: &'a mut Leader,
    helper: &'a mut Helper,
    reveal: &'a mut Reveal,
    subscriptions: &'a mut Subscriptions,
    feedback: &'a mut Feedback,
}

impl Parts<'_> {
    fn route(&mut self, ctx: &mut Context<'_>, input: Input) -> Result<(), StoreError> {
        match input {
            Input::Start => {
                author::introduce(ctx, self.name, self.roles)?;
                self.blobs.start(ctx)?;
                self.leader.start(ctx)?;
                self.reveal.start(ctx)?;
                self.subscriptions.start(ctx)?;
                self.feedback.start(ctx)?;
                self.contributor.start(ctx, self.blobs)
            }
            Input::Listening { multiaddrs, blobs } => addresses::announce(ctx, multiaddrs, blobs),
            Input::Connected { peer } => {
                ctx.shared.connected.insert(peer);
                self.sync.connected(ctx, peer)
            }
            Input::Disconnected { peer } => {
                ctx.shared.connected.remove(&peer);
                self.sync.disconnected(&peer);
                Ok(())
            }
            Input::Gossip {
                message,
                topic,
                from,
                data,
            } => {
                if !ctx.admits(from, Traffic::Gossip) {
                    ctx.verdict(message, Verdict::Ignore);
                    return Ok(());
                }
                self.sync.gossip(ctx, message, topic, from, &data)
            }
            Input::Request { peer, inbound, data } => self.request(ctx, peer, inbound, &data),
            Input::Response { request, result } => self.response(ctx, request, result),
            Input::Done { job, result } => self.done(ctx, job, result),
            Input::Timer => Ok(()),
            Input::Command { id, command } => self.command(ctx, id, *command),
        }
    }

    fn request(
        &mut self,
        ctx: &mut Context<'_>,
        peer: PublicKey,
        inbound: InboundId,
        data: &[u8],
    ) -> Result<(), StoreError> {
        let body = rpc::request(data);
        let traffic = body.as_ref().map_or(Traffic::Malformed, Traffic::of);
        if !ctx.admits(peer, traffic) {
            ctx.refuse(inbound, RefusalCode::Retry, "too many requests; come again later");
            return Ok(());
        }
        let Ok(body) = body else {
            ctx.refuse(inbound, RefusalCode::Rejected, "the request does not decode");
            return Ok(());
        };
        match body {
            rpc_request::Body::Upload(report) => self.leader.upload(ctx, inbound, report),
            rpc_request::Body::VerifyKeyShare(_)
            | rpc_request::Body::VerifyInit(_)
            | rpc_request::Body::VerifyFinish(_)
            | rpc_request::Body::Conclude(_) => self.helper.request(ctx, peer, inbound, body),
            rpc_request::Body::Inclusion(query) => included(ctx, inbound, &query),
            _ => self.sync.request(ctx, peer, inbound, body),
        }
    }

    fn response(
        &mut self,
        ctx: &mut Context<'_>,
        request: RequestId,
        result: Result<Vec<u8>, String>,
    ) -> Result<(), StoreError> {
        let Some((peer, purpose)) = ctx.shared.requests.remove(&request) else {
            return Ok(());
        };
        let body: Option<rpc_response::Body> = result.ok().and_then(|data| rpc::response(&data).ok());
        match purpose {
            Purpose::Upload(batch) => self.contributor.uploaded(ctx, batch, body),
            Purpose::Inclusion { batch, seat } => {
                self.contributor.included(ctx, self.blobs, batch, seat, body)
            }
            Purpose::Committee { batch, seat, ask } => self.leader.answer(ctx, batch, (seat, ask), body),
            _ => self.sync.response(ctx, peer, purpose, body),
        }
    }

    fn done(&mut self, ctx: &mut Context<'_>, job: JobId, result: JobResult) -> Result<(), StoreError> {
        let Some(work) = ctx.shared.jobs.remove(&job) else {
            return Ok(());
        };
        match (work, result) {
            (Work::Evaluate(batch), JobResult::Evaluated(result)) => {
                self.contributor.evaluated(ctx, self.blobs, batch, result)
            }
            (Work::Shard(metadata), JobResult::Sharded(result)) => {
                self.contributor.sharded(ctx, self.blobs, metadata, result)
            }
            (Work::Fetch { release, blob }, JobResult::Fetched(result)) => {
                self.blobs.fetched(ctx, release, blob, result)
            }
            (Work::LeaderInit { batch, chunk }, JobResult::Initiated(results)) => {
                self.leader.initiated(ctx, batch, chunk, results)
            }
            (Work::Combine { batch, chunk }, JobResult::Combined(results)) => {
                self.leader.combined(ctx, batch, chunk, results)
            }
            (Work::HelperInit { batch, inbound }, JobResult::Initiated(results)) => {
                self.helper.initiated(ctx, batch, inbound, results);
                Ok(())
            }
            (Work::HelperFinish { batch, inbound }, JobResult::Finished(results)) => {
                self.helper.finished(ctx, batch, inbound, results);
                Ok(())
            }
            (Work::Add { batch, upto, group }, JobResult::Added(result)) => {
                self.reveal.added(ctx, batch, (upto, group), result)
            }
            (Work::Post { subscription, item }, JobResult::Posted(result)) => {
                self.subscriptions.posted(ctx, subscription, item, result);
                Ok(())
            }
            (Work::Noise(batch), JobResult::Noised(result)) => self.reveal.noised(ctx, batch, result),
            _ => Ok(()),
        }
    }

    fn command(&mut self, ctx: &mut Context<'_>, id: CommandId, command: Command) -> Result<(), StoreError> {
        let result = match command {
            Command::Publish(release) => author::publish(ctx, &release)?,
            Command::CreateChallenge { task, challenge } => author::create_challenge(ctx, &task, &challenge)?,
            Command::Abort { batch, detail } => author::abort(ctx, batch, &detail)?,
            Command::AddDataset {
                dataset,
                sketch,
                budget,
            } => crate::datasets::add(ctx, &dataset, &sketch, &budget)?,
            Command::LimitBudget {
                epsilon,
                delta,
                raise,
            } => crate::budgets::set_organisation_limit(ctx, epsilon, delta, raise)?,
            Command::Join { task, dataset } => self.contributor.join(ctx, self.blobs, task, &dataset)?,
            Command::OpenIssue(issue) => issues::open(ctx, &issue)?,
            Command::Comment { issue, body, opens } => issues::comment(ctx, issue, &body, opens)?,
            Command::Endorse(endorsement) => author::endorse(ctx, &endorsement)?,
            Command::Subscribe {
                release,
                channel,
                history,
            } => self.subscriptions.subscribe(ctx, release, channel, history)?,
            Command::Unsubscribe { subscription } => self.subscriptions.unsubscribe(ctx, subscription)?,
            Command::ConfirmNews { subscription, items } => {
                self.subscriptions.confirm(ctx, subscription, &items)?
            }
            Command::Serve { release, answers } => crate::served::serve(ctx, release, answers)?,
            Command::Label {
                request_id,
                label,
                local,
            } => crate::served::label(ctx, request_id, label, local)?,
            Command::Forget { before_ms } => crate::served::forget(ctx, before_ms)?,
            Command::Enrol { task, budget } => self.feedback.enrol(ctx, task, &budget)?,
            Command::Trust(trust) => {
                ctx.shared.policy.trust = trust;
                self.subscriptions.look_again();
                Ok(Reply::Recorded(Vec::new()))
            }
            // Replies when the download ends.
            Command::Pull { release } => return self.blobs.pull(ctx, id, release),
        };
        ctx.reply(id, result);
        Ok(())
    }

    /// Shows the machines what took its place in the ledger and what this node told itself, until
    /// nothing more follows.
    fn settle(&mut self, ctx: &mut Context<'_>) -> Result<(), StoreError> {
        loop {
            self.settle_records(ctx)?;
            match ctx.shared.loopback.pop_front() {
                Some(Loopback::Request { inbound, data }) => {
                    let own = ctx.node_key();
                    self.request(ctx, own, inbound, &data)?;
                }
                Some(Loopback::Response { request, data }) => self.response(ctx, request, Ok(data))?,
                None => return Ok(()),
            }
        }
    }

    fn settle_records(&mut self, ctx: &mut Context<'_>) -> Result<(), StoreError> {
        while let Some(record) = ctx.fresh.pop_front() {
            self.sync.stored(ctx, &record)?;
            if record.header().kind == Kind::Task
                && let Some(task) = tasks::task(&ctx.view, &record.id())?
            {
                self.leader.task(ctx, &task)?;
                self.reveal.task(ctx, &task)?;
                self.feedback.task(ctx, &task)?;
            }
            if let Some(batch) = concerns(&record) {
                self.batch_moved(ctx, batch)?;
            }
        }
        Ok(())
    }

    fn batch_moved(&mut self, ctx: &mut Context<'_>, batch: BatchId) -> Result<(), StoreError> {
        if self.reveal.advance(ctx, batch)? {
            self.leader.ended(&batch);
        }
        self.contributor.advance(ctx, self.blobs, batch)
    }

    fn tick(&mut self, ctx: &mut Context<'_>) -> Result<(), StoreError> {
        self.sync.tick(ctx)?;
        self.blobs.tick(ctx)?;
        self.leader.tick(ctx)?;
        self.subscriptions.tick(ctx)?;
        self.feedback.tick(ctx, self.contributor, self.blobs)?;
        for batch in self.reveal.active() {
            if self.reveal.advance(ctx, batch)? {
                self.leader.ended(&batch);
            }
        }
        for batch in self.contributor.batches() {
            self.contributor.advance(ctx, self.blobs, batch)?;
        }
        Ok(())
    }

    fn deadline(&self, revision: u64) -> u64 {
        let each = [
            self.sync.deadline(),
            self.blobs.deadline(),
            self.leader.deadline(),
            self.contributor.deadline(),
            self.subscriptions.deadline(revision),
            self.feedback.deadline(),
        ];
        each.into_iter().min().unwrap_or(u64::MAX)
    }
}

/// Proves to whoever knows a report's id that it was counted, if it was.
fn included(
    ctx: &mut Context<'_>,
    inbound: InboundId,
    query: &wire::InclusionQuery,
) -> Result<(), StoreError> {
    let ids = (
        BatchId::from_wire(&query.task, query.window),
        ReportId::from_slice(&query.report_id),
    );
    let (Ok(batch), Ok(report)) = ids else {
        ctx.refuse(inbound, RefusalCode::Rejected, "the report is not named by ids");
        return Ok(());
    };
    let group_seed = seat::group_seed(&ctx.view, batch)?;
    let has_groups = tasks::task(&ctx.view, &batch.task)?.is_some_and(|view| view.task.has_groups());
    let concluded = Concluded::load(&ctx.view, batch)?;
    match concluded.filter(|_| group_seed.is_some() == has_groups) {
        None => ctx.refuse(inbound, RefusalCode::Retry, "the batch is not concluded here"),
        Some(concluded) => match concluded.inclusion(&report, group_seed.as_ref()) {
            Some(inclusion) => ctx.respond(inbound, rpc_response::Body::Inclusion(inclusion)),
            None => ctx.refuse(inbound, RefusalCode::Rejected, "the report was not counted"),
        },
    }
    Ok(())
}

/// The batch that a committee record is about.
fn concerns(record: &Record) -> Option<BatchId> {
    let batch = |task: &[u8], window| BatchId::from_wire(task, window).ok();
    let payload = record.payload();
    match record.header().kind {
        Kind::Transcript => wire::Transcript::decode(payload)
            .ok()
            .and_then(|m| batch(&m.task, m.window)),
        Kind::ShareCommitment => wire::ShareCommitment::decode(payload)
            .ok()
            .and_then(|m| batch(&m.task, m.window)),
        Kind::AggregateShare => wire::AggregateShare::decode(payload)
            .ok()
            .and_then(|m| batch(&m.task, m.window)),
        Kind::Aggregate => wire::Aggregate::decode(payload)
            .ok()
            .and_then(|m| batch(&m.task, m.window)),
        Kind::Abort => wire::Abort::decode(payload)
            .ok()
            .and_then(|m| batch(&m.task, m.window)),
        _ => None,
    }
}
