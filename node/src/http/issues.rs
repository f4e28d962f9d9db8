//! Issues: list, show, open, comment; as JSON, and as what the pages render.

use axum::Json;
use axum::extract::State;
use fieldmark_ledger::catalogue::{self, ReleaseView};
use fieldmark_ledger::issues::{self, Collapsed, IssueView, Thread};
use fieldmark_node_core::io::Command;
use fieldmark_pages::{Author, ChangeEntry, CommentEntry, Hidden, IssueEntry, IssueList, IssuePage};
use fieldmark_protocol::issue::{Environment, Issue};
use fieldmark_protocol::machine::Read;
use fieldmark_protocol::{PublicKey, RecordId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::extract::{Body, Path};
use super::failure::Failure;
use super::models::recorded;
use crate::handle::NodeHandle;

/// The library that runs `torchscript` releases, as setup pins it.
const LIBTORCH: &str = "libtorch 2.11.0";

/// An issue in a list.
#[derive(Debug, Serialize)]
pub struct IssueRow {
    /// The Issue record.
    pub id: RecordId,
    /// Name of the model.
    pub model: String,
    /// The model's owner.
    pub owner: PublicKey,
    /// The Release record.
    pub release: RecordId,
    /// That release's version.
    pub version: String,
    /// Who reported it.
    pub author: PublicKey,
    /// Their published name.
    pub author_name: Option<String>,
    /// One line.
    pub title: String,
    /// The slice it was seen on.
    pub slice: Option<String>,
    /// The author's clock.
    pub created_at_ms: u64,
    /// Whether it is open.
    pub open: bool,
    /// Who closed or reopened it last.
    pub changed: Option<ChangeRow>,
}

/// A close or reopen.
#[derive(Debug, Serialize)]
pub struct ChangeRow {
    comment: RecordId,
    by: PublicKey,
    by_name: Option<String>,
    at_ms: u64,
}

/// What is left out of a flood.
#[derive(Debug, Serialize)]
pub struct CollapsedRow {
    author: PublicKey,
    author_name: Option<String>,
    count: usize,
}

/// The issues of a model.
#[derive(Debug, Serialize)]
pub struct IssueRows {
    /// Name of the model.
    pub model: String,
    /// Its owner.
    pub owner: PublicKey,
    /// Open ones first, newest first.
    pub issues: Vec<IssueRow>,
    /// What is left out, by author.
    pub collapsed: Vec<CollapsedRow>,
}

/// An issue with its comments.
#[derive(Debug, Serialize)]
pub struct IssueDetail {
    #[serde(flatten)]
    row: IssueRow,
    body: String,
    environment: Option<Value>,
    comments: Vec<CommentRow>,
    collapsed: Vec<CollapsedRow>,
}

#[derive(Debug, Serialize)]
struct CommentRow {
    id: RecordId,
    author: PublicKey,
    author_name: Option<String>,
    body: String,
    created_at_ms: u64,
    /// `closed` or `reopened`, where the comment did that.
    action: Option<&'static str>,
}

/// `GET models/{ref}/issues`
pub(super) async fn list(
    State(handle): State<NodeHandle>,
    Path(reference): Path<String>,
) -> Result<Json<IssueRows>, Failure> {
    super::read(&handle, move |store| {
        let view = release(store, &reference)?;
        let found = issues::issues(store, &view.model())?;
        Ok(Json(IssueRows {
            model: view.release.name.clone(),
            owner: view.author,
            issues: found.issues.into_iter().map(row).collect(),
            collapsed: found.collapsed.into_iter().map(collapsed).collect(),
        }))
    })
    .await
}

/// `GET issues/{id}`
pub(super) async fn show(
    State(handle): State<NodeHandle>,
    Path(id): Path<String>,
) -> Result<Json<IssueDetail>, Failure> {
    super::read(&handle, move |store| {
        let id = issues::resolve(store, &id)?;
        let thread = issues::thread(store, &id)?;
        let thread =
            thread.ok_or_else(|| Failure::not_found(format!("no issue {} is known here", id.short())))?;
        Ok(Json(detail(thread)))
    })
    .await
}

/// `GET /models/{id}/issues.json` of the public pages.
pub(super) async fn public_list(
    state: State<NodeHandle>,
    reference: Path<String>,
) -> Result<Json<IssueRows>, Failure> {
    list(state, reference).await
}

/// `GET /issues/{id}/issue.json` of the public pages.
pub(super) async fn public_show(
    state: State<NodeHandle>,
    id: Path<String>,
) -> Result<Json<IssueDetail>, Failure> {
    show(state, id).await
}

/// An issue to be opened.
#[derive(Debug, Deserialize)]
pub(super) struct Open {
    title: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    slice: Option<String>,
    /// Leave out what it was seen on.
    #[serde(default)]
    without_environment: bool,
    /// Only show what would be signed.
    #[serde(default)]
    dry_run: bool,
}

/// `POST models/{ref}/issues`: signs an issue on the release that the reference names, or shows it.
pub(super) async fn open(
    State(handle): State<NodeHandle>,
    Path(reference): Path<String>,
    Body(open): Body<Open>,
) -> Result<Json<Value>, Failure> {
    let view = super::read(&handle, move |store| release(store, &reference)).await?;
    let environment = (!open.without_environment).then(|| environment(&view.release.runtime));
    let issue = Issue {
        release: view.id,
        title: open.title,
        body: open.body,
        slice: open.slice,
        environment,
    };
    issue.check().map_err(|e| Failure::invalid(e.to_string()))?;
    let told = issue.environment.as_ref().map(environment_json);
    let mut answer = json!({
        "model": view.release.name,
        "release": view.id,
        "version": view.release.version,
        "title": issue.title,
        "body": issue.body,
        "slice": issue.slice,
        "environment": told,
        "issue": null,
    });
    if !open.dry_run {
        let id = recorded(handle.command(Command::OpenIssue(issue)).await?)?;
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("issue".into(), json!(id));
        }
    }
    Ok(Json(answer))
}

/// A comment to be signed.
#[derive(Debug, Deserialize)]
pub(super) struct Words {
    #[serde(default)]
    body: String,
    /// Reopen (`true`) or close (`false`) the issue with it.
    #[serde(default)]
    opens: Option<bool>,
}

/// `POST issues/{id}/comments`
pub(super) async fn comment(
    State(handle): State<NodeHandle>,
    Path(id): Path<String>,
    Body(Words { body, opens }): Body<Words>,
) -> Result<Json<Value>, Failure> {
    let issue = super::read(&handle, move |store| Ok(issues::resolve(store, &id)?)).await?;
    let comment = recorded(handle.command(Command::Comment { issue, body, opens }).await?)?;
    Ok(Json(
        json!({ "issue": issue, "comment": comment, "opens": opens }),
    ))
}

/// What this node runs a release on: versions and classes, nothing of the machine, its files or its data.
fn environment(runtime: &str) -> Environment {
    Environment {
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        runtime: runtime.to_owned(),
        runtime_version: if runtime == "torchscript" { LIBTORCH } else { "" }.to_owned(),
        // The runner knows no other device yet.
        device: "cpu".to_owned(),
        program: concat!("fieldmark ", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}

fn environment_json(environment: &Environment) -> Value {
    let told = environment
        .values()
        .into_iter()
        .filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| (name.replace(' ', "_"), Value::from(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn release(store: &dyn Read, reference: &str) -> Result<ReleaseView, Failure> {
    let id = catalogue::resolve(store, reference)?;
    let view = catalogue::release(store, &id)?;
    view.ok_or_else(|| Failure::not_found(format!("no release {} is known here", id.short())))
}

fn row(view: IssueView) -> IssueRow {
    let changed = view.state.change.map(|change| ChangeRow {
        comment: change.comment,
        by: change.by,
        by_name: change.by_name,
        at_ms: change.at_ms,
    });
    IssueRow {
        id: view.id,
        model: view.model.name,
        owner: view.model.owner,
        release: view.release,
        version: view.version,
        author: view.author,
        author_name: view.author_name,
        title: view.title,
        slice: view.slice,
        created_at_ms: view.created_at_ms,
        open: view.state.open,
        changed,
    }
}

fn collapsed(collapsed: Collapsed) -> CollapsedRow {
    CollapsedRow {
        author: collapsed.author,
        author_name: collapsed.author_name,
        count: collapsed.count,
    }
}

fn detail(thread: Thread) -> IssueDetail {
    let comments = thread.comments.into_iter().map(|comment| CommentRow {
        id: comment.id,
        author: comment.author,
        author_name: comment.author_name,
        body: comment.body,
        created_at_ms: comment.created_at_ms,
        action: comment
            .opens
            .map(|opens| if opens { "reopened" } else { "closed" }),
    });
    IssueDetail {
        body: thread.issue.body.clone(),
        environment: thread.issue.environment.as_ref().map(environment_json),
        comments: comments.collect(),
        collapsed: thread.collapsed.into_iter().map(collapsed).collect(),
        row: row(thread.issue),
    }
}

// --- for the pages --------------------------------------------------------------------------------

fn entry(view: &IssueView) -> IssueEntry {
    IssueEntry {
        id: view.id,
        author: Author {
            identity: view.author,
            name: view.author_name.clone(),
        },
        title: view.title.clone(),
        version: view.version.clone(),
        slice: view.slice.clone(),
        created_at_ms: view.created_at_ms,
        open: view.state.open,
    }
}

fn hidden(collapsed: Vec<Collapsed>) -> Vec<Hidden> {
    let one = |c: Collapsed| Hidden {
        author: Author {
            identity: c.author,
            name: c.author_name,
        },
        count: c.count,
    };
    collapsed.into_iter().map(one).collect()
}

/// The issues of a release's model, for its page.
pub(super) fn section(store: &dyn Read, release: &ReleaseView) -> Result<IssueList, Failure> {
    let found = issues::issues(store, &release.model())?;
    Ok(IssueList {
        reference: release.label(),
        issues: found.issues.iter().map(entry).collect(),
        hidden: hidden(found.collapsed),
    })
}

/// The page of one issue.
pub(super) fn page(thread: Thread) -> IssuePage {
    let issue = &thread.issue;
    let comment = |c: issues::CommentView| CommentEntry {
        author: Author {
            identity: c.author,
            name: c.author_name,
        },
        body: c.body,
        created_at_ms: c.created_at_ms,
        opens: c.opens,
    };
    IssuePage {
        issue: entry(issue),
        reference: format!("{}@{}", issue.model.name, issue.version),
        release: issue.release,
        body: issue.body.clone(),
        environment: issue.environment.clone(),
        change: issue.state.change.as_ref().map(|change| ChangeEntry {
            by: Author {
                identity: change.by,
                name: change.by_name.clone(),
            },
            at_ms: change.at_ms,
        }),
        comments: thread.comments.into_iter().map(comment).collect(),
        hidden: hidden(thread.collapsed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_told_is_the_one_that_setup_installs() {
        let setup = include_str!("../../../xtask/src/setup/torch.rs");
        let version = LIBTORCH.rsplit(' ').next().unwrap();
        assert!(setup.contains(&format!("\"{version}\"")) || setup.contains(&format!("torch=={version}")));
    }

    #[test]
    fn what_is_filled_in_tells_nothing_of_the_machine() {
        let environment = environment("torchscript");
        let issue = Issue {
            release: RecordId::new([1; 32]),
            title: "t".into(),
            body: String::new(),
            slice: None,
            environment: Some(environment.clone()),
        };
        assert_eq!(Issue::decode(&issue.encode()).unwrap(), issue);
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = host.trim();
        assert!(host.is_empty() || environment.values().iter().all(|(_, value)| *value != host));
    }
}
