//! What happened to a model, as a pure function of the ledger and a reader's trust policy: new releases and
//! withdrawals, issues and what is said on them, results of challenges, and regressions.
//!
//! Every item follows from records that are held and count; its id is a hash of what it is about, so the
//! same item has the same id on every node and after every restart, and receivers can tell repeats. Its time
//! is that of the records, by their authors' clocks. An item goes away when the records it rests on stop
//! counting; what was delivered stays delivered.
//!
//! Results of committees that the reader's policy does not accept are told as such, and nothing is concluded
//! from them: whoever runs a committee of its own could otherwise raise an alarm about any model.

pub mod item;
mod results;

use fieldmark_ledger::catalogue::{self, Model, ReleaseView};
use fieldmark_ledger::issues;
use fieldmark_protocol::PublicKey;
use fieldmark_protocol::RecordId;
use fieldmark_protocol::machine::{Read, StoreError};
use fieldmark_protocol::trust::TrustPolicy;

pub use item::{News, NewsKind, news_id};
pub use results::{CHALLENGES_READ_MAX, DRIFT_PSI};

/// Everything that happened to a model, oldest first.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn news(store: &dyn Read, model: &Model, policy: &TrustPolicy) -> Result<Vec<News>, StoreError> {
    let releases = catalogue::of_model(store, model)?;
    let mut found = Vec::new();
    for release in &releases {
        found.push(published(model, release));
        found.extend(withdrawn(model, release));
    }
    words(store, model, &mut found)?;
    results::results(store, model, &releases, policy, &mut found)?;
    found.sort_by_key(|news| (news.at_ms, news.id));
    found.dedup_by_key(|news| news.id);
    Ok(found)
}

fn published(model: &Model, release: &ReleaseView) -> News {
    News {
        id: news_id(NewsKind::Release, model, &[release.id.as_bytes()]),
        kind: NewsKind::Release,
        model: model.name.clone(),
        owner: model.owner,
        release: release.id,
        version: release.release.version.clone(),
        at_ms: release.created_at_ms,
        title: format!("{} was published", release.label()),
        detail: release.release.summary.clone(),
        path: format!("/models/{}", release.id),
        records: vec![release.id],
    }
}

fn withdrawn(model: &Model, release: &ReleaseView) -> Option<News> {
    let withdrawal = release.withdrawn.as_ref()?;
    Some(News {
        id: news_id(NewsKind::Withdrawal, model, &[release.id.as_bytes()]),
        kind: NewsKind::Withdrawal,
        at_ms: withdrawal.created_at_ms,
        title: format!("{} was withdrawn", release.label()),
        detail: withdrawal.reason.clone(),
        records: vec![withdrawal.id],
        ..published(model, release)
    })
}

/// Issues and comments that the model's page shows.
fn words(store: &dyn Read, model: &Model, found: &mut Vec<News>) -> Result<(), StoreError> {
    for issue in issues::issues(store, model)?.issues {
        let Some(thread) = issues::thread(store, &issue.id)? else {
            continue;
        };
        let item = |kind: NewsKind, record: RecordId, at_ms, title: String, detail: &str| News {
            id: news_id(kind, model, &[record.as_bytes()]),
            kind,
            model: model.name.clone(),
            owner: model.owner,
            release: issue.release,
            version: issue.version.clone(),
            at_ms,
            title,
            detail: detail.to_owned(),
            path: format!("/issues/{}", issue.id),
            records: vec![record],
        };
        let by = |name: &Option<String>, key: &PublicKey| name.clone().unwrap_or_else(|| key.short());
        let reporter = by(&issue.author_name, &issue.author);
        let title = format!("{reporter} opened an issue: {}", issue.title);
        found.push(item(
            NewsKind::Issue,
            issue.id,
            issue.created_at_ms,
            title,
            &issue.body,
        ));
        for comment in &thread.comments {
            let (kind, did) = match comment.opens {
                None => (NewsKind::Comment, "commented on"),
                Some(false) => (NewsKind::IssueClosed, "closed"),
                Some(true) => (NewsKind::IssueReopened, "reopened"),
            };
            let who = by(&comment.author_name, &comment.author);
            let title = format!("{who} {did} the issue: {}", issue.title);
            found.push(item(
                kind,
                comment.id,
                comment.created_at_ms,
                title,
                &comment.body,
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
