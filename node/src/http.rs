//! HTTP of a node: the private API for the command line and programs of this machine, and the public
//! pages.
//!
//! The API listens on loopback only, wants the data folder's token with every request, and refuses
//! requests whose `Host` or `Origin` is not this machine (see [`guard`]). The pages need no token, change
//! nothing and may be bound elsewhere. Handlers translate between JSON, commands and views, and decide
//! nothing. What they read from the store they read on a blocking thread.
//!
//! | path under `/api/v1` | handlers |
//! | --- | --- |
//! | `status`, `events`, `shutdown` | `node` |
//! | `releases`, `releases/{ref}`, `pulls` | [`models`] |
//! | `challenges/{ref}/speed` | [`challenges`] |
//! | `infer`, `evaluate` | `runs` |
//! | `budgets`, `budgets/limit` | `budgets` |
//! | `subscriptions`, `subscriptions/{id}`, `…/news`, `…/confirm`, `models/{ref}/news` | [`subscriptions`] |
//! | `models/{ref}/issues`, `issues/{id}`, `…/comments` | [`issues`] |
//! | `feedback`, `served`, `served/forget` | `served`, which also serves the page `/label` |
//! | `windows`, `challenges/{ref}/enrol` | `windows` |
//! | `datasets` | `datasets` |
//! | `challenges`, `challenges/{ref}`, `…/join`, `…/abort` | [`challenges`] |
//! | `challenges/{ref}/board`, `….html`, `….csv`, `….parquet`, `…/provenance.json` | `boards` |

pub mod challenges;
pub mod failure;
pub mod guard;
pub mod issues;
pub mod models;
pub mod spec;
pub mod subscriptions;

mod boards;
mod budgets;
mod connections;
mod datasets;
mod endorsements;
mod extract;
mod live;
mod next;
mod node;
mod pages;
mod receipts;
mod runs;
mod served;
mod windows;

use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};
use axum::{Router, middleware};
use fieldmark_protocol::machine::Read;
use tokio::net::TcpListener;

use crate::handle::NodeHandle;
use boards::Format;
use connections::Connections;
use failure::Failure;
use guard::Guard;

/// Most bytes of a request, but for [`INFER_BYTES_MAX`].
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of a request with inputs for a model.
pub const INFER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The private API.
pub fn api(handle: NodeHandle) -> Router {
    let guard = Guard::new(handle.home.token());
    let routes = Router::new()
        .route("/status", get(node::status))
        .route("/events", get(node::events))
        .route("/shutdown", post(node::shutdown))
        .route("/releases", get(models::list).post(models::publish))
        .route("/releases/{reference}", get(models::show))
        .route("/pulls", post(models::pull))
        .route("/models/{reference}/issues", get(issues::list).post(issues::open))
        .route("/models/{reference}/news", get(subscriptions::all))
        .route(
            "/subscriptions",
            get(subscriptions::list).post(subscriptions::create),
        )
        .route("/subscriptions/{id}", delete(subscriptions::end))
        .route("/subscriptions/{id}/news", get(subscriptions::news_of))
        .route("/subscriptions/{id}/confirm", post(subscriptions::confirm))
        .route("/issues/{id}", get(issues::show))
        .route("/issues/{id}/comments", post(issues::comment))
        .route(
            "/infer",
            post(runs::infer).layer(DefaultBodyLimit::max(INFER_BYTES_MAX)),
        )
        .route("/served", get(served::list))
        .route("/served/forget", post(served::forget))
        .route("/feedback", post(served::feedback))
        .route("/windows", get(windows::list))
        .route("/challenges/{reference}/enrol", post(windows::enrol))
        .route("/evaluate", post(runs::evaluate))
        .route("/datasets", get(datasets::list).post(datasets::add))
        .route("/budgets", get(budgets::list))
        .route("/budgets/limit", post(budgets::limit))
        .route("/challenges", get(challenges::list).post(challenges::create))
        .route("/challenges/{reference}", get(challenges::show))
        .route("/challenges/{reference}/join", post(challenges::join))
        .route("/challenges/{reference}/abort", post(challenges::abort))
        .route("/challenges/{reference}/receipt", get(receipts::receipt))
        .route("/challenges/{reference}/speed", get(challenges::speed))
        .route("/challenges/{reference}/next", post(next::next))
        .route("/challenges/{reference}/trend", boards::trend_route())
        .route("/endorsements", post(endorsements::endorse))
        .route("/endorsements/{identity}", get(endorsements::list))
        .route("/challenges/{reference}/board", boards::route(Format::Json))
        .route("/challenges/{reference}/board.html", boards::route(Format::Html))
        .route("/challenges/{reference}/board.csv", boards::route(Format::Csv))
        .route(
            "/challenges/{reference}/board.parquet",
            boards::route(Format::Parquet),
        )
        .route(
            "/challenges/{reference}/provenance.json",
            boards::route(Format::Provenance),
        )
        .fallback(|| async { Failure::not_found("there is nothing under this path of the API") })
        .method_not_allowed_fallback(|| async {
            Failure::invalid("this path of the API does not take this method")
        });
    let guarded = Router::new()
        .nest("/api/v1", routes)
        .fallback(|| async { Failure::not_found("the API is under /api/v1") })
        .layer(middleware::from_fn_with_state(guard.clone(), guard::check));
    // The page holds no data: it asks the API with the token that only its owner gives it.
    let page = Router::new()
        .route("/label", get(served::page))
        .layer(middleware::from_fn(guard::local_only));
    page.merge(guarded)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(handle)
}

/// The public pages.
pub fn pages(handle: NodeHandle) -> Router {
    Router::new()
        .route("/", get(pages::catalogue))
        .route("/models/{id}", get(pages::model))
        .route("/models/{id}/issues.json", get(issues::public_list))
        .route("/models/{id}/feed.atom", get(subscriptions::feed))
        .route("/models/{id}/live", get(live::model))
        .route("/issues/{id}", get(pages::issue))
        .route("/issues/{id}/issue.json", get(issues::public_show))
        .route("/challenges", get(pages::challenges))
        .route("/challenges/{id}", get(pages::challenge))
        .route("/challenges/{id}/live", get(live::challenge))
        .route("/challenges/{id}/board.json", exported(Format::Json))
        .route("/challenges/{id}/board.csv", exported(Format::Csv))
        .route("/challenges/{id}/board.parquet", exported(Format::Parquet))
        .route("/challenges/{id}/trend.json", get(pages::trend))
        .route("/challenges/{id}/provenance.json", exported(Format::Provenance))
        .route("/status", get(pages::status))
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(pages::nowhere)
        .layer(DefaultBodyLimit::max(0))
        .layer(middleware::map_response_with_state(
            handle.clone(),
            pages::finished,
        ))
        .with_state(handle)
}

/// A board of the public pages in a format.
fn exported(format: Format) -> axum::routing::MethodRouter<NodeHandle> {
    get(move |state, path, query| pages::board(state, path, query, format))
}

/// Serves until the task is ended; how many connections are open at a time is bounded.
pub async fn serve(listener: TcpListener, router: Router, handle: NodeHandle) {
    let connections = Connections::new(listener);
    if let Err(error) = axum::serve(connections, router).await {
        tracing::error!(node = %handle.home.path().display(), %error, "HTTP ended");
    }
}

/// Reads from the store where it holds up nobody.
async fn read<T: Send + 'static>(
    handle: &NodeHandle,
    view: impl FnOnce(&dyn Read) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let store = handle.store.clone();
    blocking(move || view(&store)).await
}

/// Runs disk or processor work on a blocking thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Failure::internal("the work was interrupted"))?
}
