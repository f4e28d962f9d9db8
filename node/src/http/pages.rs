//! The public pages: ledger views turned into what `fieldmark-pages` renders. Read-only.

use axum::Extension;
use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use fieldmark_blobs::{BlobHash, BlobStore};
use fieldmark_ledger::catalogue::{self, ReleaseView};
use fieldmark_ledger::issues;
use fieldmark_node_core::board::{self, Board};
use fieldmark_node_core::io::phase_name;
use fieldmark_pages as pages;
use fieldmark_pages::{
    Author, CataloguePage, ChallengePage, ChallengeSummary, ChallengesPage, ModelPage, Placement,
    ReleaseSummary, Site, StatusPage, Version,
};
use fieldmark_protocol::RecordId;
use fieldmark_protocol::machine::Read;
use fieldmark_protocol::manifest::CARD_FILE;
use fieldmark_protocol::trust::TrustPolicy;
use fieldmark_supervisor::Isolation;

use super::boards::{self, Format, Weighting};
use super::challenges::{self, Found};
use super::extract::{Path, Query};
use super::failure::Failure;
use super::issues as issue_views;
use super::models::Search;
use crate::handle::NodeHandle;

/// Releases on the catalogue's page.
const RELEASES_SHOWN: usize = 200;
/// Challenges on a model's page, each with a board to compute.
const PLACEMENTS_MAX: usize = 16;

type Page = Result<Response, PageFailure>;

/// A failure that is shown as a page.
pub(super) struct PageFailure(Failure);

impl<E: Into<Failure>> From<E> for PageFailure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// What was asked for and is not here; [`finished`] makes the page.
#[derive(Clone)]
struct Missing(String);

impl IntoResponse for PageFailure {
    fn into_response(self) -> Response {
        match self.0.status {
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => {
                (StatusCode::NOT_FOUND, Extension(Missing(self.0.message))).into_response()
            }
            status => (
                status,
                "the page cannot be made; the node's operator finds why in its log\n",
            )
                .into_response(),
        }
    }
}

fn html(markup: impl Into<String>) -> Html<String> {
    Html(markup.into())
}

fn site(handle: &NodeHandle) -> Site {
    Site {
        isolation_off: handle.runners.config().isolation == Isolation::Off,
    }
}

/// The page for what is missing, and headers that keep what authors wrote from doing anything.
pub(super) async fn finished(State(handle): State<NodeHandle>, mut response: Response) -> Response {
    if let Some(Missing(what)) = response.extensions_mut().remove() {
        response = (response.status(), html(pages::not_found(site(&handle), &what))).into_response();
    }
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&pages::content_security_policy()) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Any other path.
pub(super) async fn nowhere(uri: Uri) -> PageFailure {
    Failure::not_found(uri.path()).into()
}

/// `GET /`
pub(super) async fn catalogue(State(handle): State<NodeHandle>, Query(search): Query<Search>) -> Page {
    let page = super::read(&handle, move |store| {
        let query = catalogue::Query {
            limit: catalogue::QUERY_LIMIT_MAX,
            ..search.query()
        };
        let found = catalogue::releases(store, &query)?;
        let releases = found.iter().take(RELEASES_SHOWN).map(summary).collect();
        Ok(CataloguePage {
            text: search.text,
            tag: search.tag,
            releases,
            total: found.len() as u64,
        })
    });
    Ok(html(pages::catalogue(site(&handle), &page.await?)).into_response())
}

/// `GET /models/{id}`
pub(super) async fn model(State(handle): State<NodeHandle>, Path(id): Path<String>) -> Page {
    let (blobs, trust) = (handle.blobs.clone(), handle.home.trust_now()?);
    let page = super::read(&handle, move |store| {
        let id = catalogue::resolve(store, &id)?;
        let view = catalogue::release(store, &id)?;
        let view = view.ok_or_else(|| Failure::not_found(format!("release {id}")))?;
        model_page(store, view, &blobs, &trust)
    });
    Ok(html(pages::model(site(&handle), &page.await?)).into_response())
}

/// `GET /issues/{id}`
pub(super) async fn issue(State(handle): State<NodeHandle>, Path(id): Path<String>) -> Page {
    let page = super::read(&handle, move |store| {
        let id = issues::resolve(store, &id)?;
        let thread = issues::thread(store, &id)?;
        let thread = thread.ok_or_else(|| Failure::not_found(format!("issue {id}")))?;
        Ok(issue_views::page(thread))
    });
    Ok(html(pages::issue(site(&handle), &page.await?)).into_response())
}

/// `GET /challenges`
pub(super) async fn challenges(State(handle): State<NodeHandle>) -> Page {
    let trust = handle.home.trust_now()?;
    let page = super::read(&handle, move |store| {
        let all = challenges::all(store)?;
        let summary = |found: &Found| challenge_summary(store, found, &trust);
        Ok(ChallengesPage {
            challenges: all.iter().map(summary).collect::<Result<_, _>>()?,
        })
    });
    Ok(html(pages::challenges(site(&handle), &page.await?)).into_response())
}

/// `GET /challenges/{id}`
pub(super) async fn challenge(
    State(handle): State<NodeHandle>,
    Path(id): Path<String>,
    Query(weighting): Query<Weighting>,
) -> Page {
    let trust = handle.home.trust_now()?;
    let node = handle.clone();
    let (found, board, trend) = super::read(&handle, move |store| {
        let found = challenges::find(store, &id)?;
        let board = boards::weighted(store, &found.challenge.id, &trust, &weighting)?;
        let trend = boards::trend_of(&node, store, &found.challenge.id, &trust)?;
        Ok((found, board, trend))
    })
    .await?;
    let releases: Vec<RecordId> = board.models.iter().map(|row| row.release).collect();
    let speeds = boards::shown(&handle.speeds.held(&releases));
    let operator = Author {
        identity: found.challenge.author,
        name: found.challenge.author_name.clone(),
    };
    let page = pages::challenge(
        site(&handle),
        &ChallengePage {
            board: &board,
            stage: challenges::row(&found).stage,
            trend: Some(&trend),
            speeds: &speeds,
            slices: &found.challenge.challenge.slices,
            operator: Some(&operator),
            opens_at_ms: found.task.task.opens_at_ms,
            closes_at_ms: found.task.task.closes_at_ms,
            reports_expected: found.task.task.reports_expected,
            reports: found.batch.transcript().map(|t| t.count),
        },
    );
    Ok(html(page).into_response())
}

/// `GET /challenges/{id}/board.json`, `….csv`, `….parquet` and `…/provenance.json`
pub(super) async fn board(
    State(handle): State<NodeHandle>,
    Path(id): Path<String>,
    Query(weighting): Query<Weighting>,
    format: Format,
) -> Page {
    let trust = handle.home.trust_now()?;
    Ok(boards::respond(&handle, id, trust, weighting, format).await?)
}

/// `GET /challenges/{id}/trend.json`
pub(super) async fn trend(State(handle): State<NodeHandle>, Path(id): Path<String>) -> Page {
    let trust = handle.home.trust_now()?;
    let node = handle.clone();
    let found = super::read(&handle, move |store| {
        let id = challenges::find(store, &id)?.challenge.id;
        boards::trend_of(&node, store, &id, &trust)
    });
    Ok(axum::Json(found.await?).into_response())
}

/// `GET /status`
pub(super) async fn status(State(handle): State<NodeHandle>) -> Page {
    let home = std::sync::Arc::clone(&handle.home);
    let state = handle.clone();
    let page = super::read(&handle, move |store| {
        let starting = || {
            Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "starting",
                "the node is starting",
            )
        };
        let status = state.status().ok_or_else(starting)?;
        let every = catalogue::Query {
            limit: catalogue::QUERY_LIMIT_MAX,
            ..catalogue::Query::default()
        };
        Ok(StatusPage {
            node: status.name,
            network: home.config.network.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            identity: status.ready.identity,
            node_key: status.ready.node_key,
            roles: home
                .config
                .roles
                .iter()
                .map(|role| role.name().to_owned())
                .collect(),
            peers: status.peers.len() as u64,
            logs: status.logs as u64,
            records: status.records,
            forks: status.forks as u64,
            releases: catalogue::releases(store, &every)?.len() as u64,
            challenges: fieldmark_ledger::tasks::challenges(store)?.len() as u64,
        })
    });
    Ok(html(pages::status(site(&handle), &page.await?)).into_response())
}

fn author(view: &ReleaseView) -> Author {
    Author {
        identity: view.author,
        name: view.author_name.clone(),
    }
}

fn summary(view: &ReleaseView) -> ReleaseSummary {
    let release = &view.release;
    ReleaseSummary {
        id: view.id,
        name: release.name.clone(),
        version: release.version.clone(),
        author: author(view),
        license: release.license.clone(),
        tags: release.tags.clone(),
        task: release.task.clone(),
        summary: release.summary.clone(),
        size_bytes: release.size(),
        published_at_ms: view.created_at_ms,
        withdrawn: view.withdrawn.is_some(),
    }
}

fn model_page(
    store: &dyn Read,
    view: ReleaseView,
    blobs: &BlobStore,
    trust: &TrustPolicy,
) -> Result<ModelPage, Failure> {
    let hash = |h: &fieldmark_protocol::id::ContentHash| BlobHash(*h.as_bytes());
    let card = view.release.artifacts.iter().find(|a| a.path == CARD_FILE);
    let card = card.and_then(|card| blobs.read(&hash(&card.blake3), pages::CARD_BYTES_MAX as u64).ok());
    let others = catalogue::by_author(store, &view.author)?;
    let other = |o: &&ReleaseView| o.release.name == view.release.name && o.id != view.id;
    let version = |o: &ReleaseView| Version {
        id: o.id,
        version: o.release.version.clone(),
        withdrawn: o.withdrawn.is_some(),
    };
    Ok(ModelPage {
        id: view.id,
        author: author(&view),
        published_at_ms: view.created_at_ms,
        withdrawn: view.withdrawn.is_some(),
        held: view
            .release
            .artifacts
            .iter()
            .all(|a| blobs.contains(&hash(&a.blake3))),
        card: card.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        versions: others.iter().filter(other).map(version).collect(),
        placements: placements(store, &view.id, trust)?,
        issues: issue_views::section(store, &view)?,
        release: view.release,
    })
}

fn placements(store: &dyn Read, release: &RecordId, trust: &TrustPolicy) -> Result<Vec<Placement>, Failure> {
    let entered = |found: &&Found| found.task.task.statistics.releases.contains(release);
    let mut placements = Vec::new();
    for found in challenges::all(store)?
        .iter()
        .filter(entered)
        .take(PLACEMENTS_MAX)
    {
        let board = board::board(store, &found.challenge.id, trust)?;
        let row = board.models.iter().find(|row| row.release == *release);
        let scored = row.filter(|row| row.field.score.is_some());
        placements.push(Placement {
            challenge: found.challenge.id,
            name: board.name.clone(),
            phase: board.phase.to_owned(),
            rank: scored.map(|row| row.rank),
            models: board.models.len() as u64,
            field: scored.map(|row| row.field),
        });
    }
    Ok(placements)
}

fn challenge_summary(
    store: &dyn Read,
    found: &Found,
    trust: &TrustPolicy,
) -> Result<ChallengeSummary, Failure> {
    let phase = phase_name(&found.batch.phase);
    let board: Option<Board> = match phase {
        "released" => Some(board::board(store, &found.challenge.id, trust)?),
        _ => None,
    };
    let row = challenges::row(found);
    Ok(ChallengeSummary {
        id: row.id,
        name: row.name,
        scenario: row.scenario,
        stage: row.stage,
        phase: phase.to_owned(),
        models: row.models as u64,
        slices: row.slices as u64,
        reports: row.reports,
        min_batch: row.min_batch,
        epsilon: row.epsilon,
        opens_at_ms: row.opens_at_ms,
        closes_at_ms: row.closes_at_ms,
        leader: board.and_then(|b| b.models.first().map(|m| m.name.clone())),
    })
}
