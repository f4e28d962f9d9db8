//! This node's own logs: signs records, stores them, announces them.
//!
//! A record is signed on what the store holds and persisted before it is broadcast, so that a crash
//! never makes this node sign two records for one place.

use fieldmark_ledger::log::{self, Ingest};
use fieldmark_ledger::{catalogue, identity, tasks};
use fieldmark_protocol::address::{NodeCertificate, Roles};
use fieldmark_protocol::aggregation::{Abort, AbortReason, BatchId};
use fieldmark_protocol::challenge::Challenge;
use fieldmark_protocol::endorsement::Endorsement;
use fieldmark_protocol::machine::{StoreError, Topic};
use fieldmark_protocol::release::Release;
use fieldmark_protocol::task::Task;
use fieldmark_protocol::{Kind, PublicKey, Record, RecordId, wire};
use prost::Message;

use crate::context::Context;
use crate::io::{CommandError, Reply};
use crate::{blobs, params};

/// Which of the node's keys signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signer {
    Identity,
    Node,
}

/// Signs, stores and announces the next record of one of this node's logs.
pub(crate) fn append(
    ctx: &mut Context<'_>,
    signer: Signer,
    kind: Kind,
    payload: Vec<u8>,
) -> Result<RecordId, StoreError> {
    let key = match signer {
        Signer::Identity => ctx.keys().identity.clone(),
        Signer::Node => ctx.keys().node.clone(),
    };
    let prev = log::last(&ctx.view, &key.public())?;
    let record = Record::sign(&key, ctx.identity(), prev, kind, payload, ctx.now);
    let id = record.id();
    if let Ingest::Stored(batch) = log::ingest(&ctx.view, &record)? {
        ctx.persist(batch);
        ctx.broadcast(
            Topic::of(kind),
            wire::announcement::Body::Record(record.to_wire()),
        );
        ctx.stored(record);
    }
    Ok(id)
}

/// Introduces this node to the network the first time it starts.
pub(crate) fn introduce(ctx: &mut Context<'_>, name: &str, roles: Roles) -> Result<(), StoreError> {
    let identity = ctx.identity();
    if identity::profile(&ctx.view, &identity)?.is_none_or(|p| p.name != name) {
        let profile = wire::Profile {
            name: name.to_owned(),
            about: String::new(),
        };
        append(ctx, Signer::Identity, Kind::Profile, profile.encode_to_vec())?;
    }
    let held = identity::certified_for(&ctx.view, &identity, &ctx.node_key())?;
    if held.is_none_or(|certified| certified.certificate.roles != roles) {
        let hpke = PublicKey::new(ctx.keys().hpke_public);
        let certificate = NodeCertificate::new(identity, &ctx.keys().node, hpke, roles);
        append(ctx, Signer::Identity, Kind::NodeCertificate, certificate.encode())?;
    }
    Ok(())
}

type Outcome = Result<Result<Reply, CommandError>, StoreError>;

fn refuse(code: &'static str, message: String) -> Outcome {
    Ok(Err(CommandError::new(code, message)))
}

/// Publishes a release; its artifacts are in the blob store already.
pub(crate) fn publish(ctx: &mut Context<'_>, release: &Release) -> Outcome {
    if let Err(error) = release.check() {
        return refuse("invalid", error.to_string());
    }
    let mine = catalogue::by_author(&ctx.view, &ctx.identity())?;
    let same =
        |r: &&catalogue::ReleaseView| r.release.name == release.name && r.release.version == release.version;
    if let Some(before) = mine.iter().find(same) {
        if before.release == *release {
            return Ok(Ok(Reply::Recorded(vec![before.id])));
        }
        return refuse(
            "conflict",
            format!(
                "{}@{} was published before with other content (release {}); \
                 a release never changes: raise the version in fieldmark.toml",
                release.name,
                release.version,
                before.id.short()
            ),
        );
    }
    let id = append(ctx, Signer::Identity, Kind::Release, release.encode())?;
    blobs::mark_complete(ctx, id);
    Ok(Ok(Reply::Recorded(vec![id])))
}

/// Registers a task and the challenge it measures.
pub(crate) fn create_challenge(ctx: &mut Context<'_>, task: &Task, challenge: &Challenge) -> Outcome {
    if let Err(error) = task.check() {
        return refuse("invalid", error.to_string());
    }
    if let Err(error) = params::check(task) {
        return refuse("invalid", error.to_string());
    }
    if let Err(error) = challenge.check() {
        return refuse("invalid", error.to_string());
    }
    let names: Vec<&String> = challenge.slices.iter().map(|s| &s.name).collect();
    if names != task.statistics.slices.iter().collect::<Vec<_>>() {
        return refuse(
            "invalid",
            "the challenge and its task name different slices".into(),
        );
    }
    let measured = task.statistics.extra.score.name();
    if challenge.metric != measured {
        let message = format!(
            "the challenge says that its scores are '{}', its task measures '{measured}'; give one of them for both",
            challenge.metric
        );
        return refuse("invalid", message);
    }
    for release in &task.statistics.releases {
        if catalogue::release(&ctx.view, release)?.is_none() {
            return refuse(
                "not-found",
                format!("no release {} is known here", release.short()),
            );
        }
    }
    if let Some(message) = unfit_committee(ctx, task)? {
        return refuse("invalid", message);
    }
    let task_id = append(ctx, Signer::Identity, Kind::Task, task.encode())?;
    let challenge = Challenge {
        task: task_id,
        ..challenge.clone()
    };
    let id = append(ctx, Signer::Identity, Kind::Challenge, challenge.encode())?;
    Ok(Ok(Reply::Recorded(vec![id, task_id])))
}

fn unfit_committee(ctx: &Context<'_>, task: &Task) -> Result<Option<String>, StoreError> {
    for seat in &task.committee {
        let Some(certified) = identity::certificate(&ctx.view, &seat.node_key)? else {
            return Ok(Some(format!(
                "no certified node {} is known here",
                seat.node_key.short()
            )));
        };
        let certificate = &certified.certificate;
        if certified.identity != seat.identity || certificate.hpke_key != seat.hpke_key {
            return Ok(Some(format!(
                "node {} is not certified by {} with that HPKE key",
                seat.node_key.short(),
                seat.identity.short()
            )));
        }
        if !certificate.roles.has(Roles::AGGREGATOR) {
            return Ok(Some(format!(
                "node {} of {} does not aggregate; its owner enables it with `fieldmark init --role aggregator`",
                seat.node_key.short(),
                seat.identity.short()
            )));
        }
    }
    Ok(None)
}

/// Signs a word on another identity, in the identity's own log.
pub(crate) fn endorse(ctx: &mut Context<'_>, endorsement: &Endorsement) -> Outcome {
    if let Err(error) = endorsement.check() {
        return refuse("invalid", error.to_string());
    }
    if endorsement.subject == ctx.identity() {
        return refuse("invalid", "nobody endorses itself".into());
    }
    let id = append(ctx, Signer::Identity, Kind::Endorsement, endorsement.encode())?;
    Ok(Ok(Reply::Recorded(vec![id])))
}

/// Ends a batch without a release, if no share is public yet.
pub(crate) fn abort(ctx: &mut Context<'_>, batch: BatchId, detail: &str) -> Outcome {
    use fieldmark_ledger::batch::Phase;
    let Some(task) = tasks::task(&ctx.view, &batch.task)? else {
        return refuse(
            "not-found",
            format!("no task {} is known here", batch.task.short()),
        );
    };
    let seat = task.task.seat(&ctx.node_key());
    if task.author != ctx.identity() && seat.is_none() {
        return refuse(
            "refused",
            "only the operator or an aggregator of a task can abort it".into(),
        );
    }
    match fieldmark_ledger::batch::batch(&ctx.view, batch)?.phase {
        Phase::Aborted => return refuse("conflict", "the batch is aborted already".into()),
        Phase::Shares | Phase::Released | Phase::Void => {
            return refuse(
                "conflict",
                "a share of the batch is public: it counts as released and cannot be aborted any more".into(),
            );
        }
        _ => {}
    }
    let abort = Abort {
        batch,
        reason: AbortReason::ByHand,
        detail: detail.to_owned(),
    };
    if let Err(error) = Abort::decode(&abort.encode()) {
        return refuse("invalid", error.to_string());
    }
    let signer = if task.author == ctx.identity() {
        Signer::Identity
    } else {
        Signer::Node
    };
    let id = append(ctx, signer, Kind::Abort, abort.encode())?;
    Ok(Ok(Reply::Recorded(vec![id])))
}
