//! This node's own words on models: issues it opens, comments, closes and reopens.
//!
//! What is signed is public for ever. Nothing is added here to what the caller shows and confirms, but the
//! change of state that a close or reopen follows.

use fieldmark_ledger::{catalogue, issues};
use fieldmark_protocol::issue::{Action, Comment, Issue};
use fieldmark_protocol::machine::StoreError;
use fieldmark_protocol::{Kind, RecordId};

use crate::author::{self, Signer};
use crate::context::Context;
use crate::io::{CommandError, Reply};

type Outcome = Result<Result<Reply, CommandError>, StoreError>;

fn refuse(code: &'static str, message: String) -> Outcome {
    Ok(Err(CommandError::new(code, message)))
}

/// Signs and announces an issue on a release that is known here.
pub(crate) fn open(ctx: &mut Context<'_>, issue: &Issue) -> Outcome {
    if let Err(error) = issue.check() {
        return refuse("invalid", error.to_string());
    }
    if catalogue::release(&ctx.view, &issue.release)?.is_none() {
        return refuse(
            "not-found",
            format!("no release {} is known here", issue.release.short()),
        );
    }
    let id = author::append(ctx, Signer::Identity, Kind::Issue, issue.encode())?;
    Ok(Ok(Reply::Recorded(vec![id])))
}

/// Signs and announces a comment; `opens` also reopens (`true`) or closes (`false`) the issue.
pub(crate) fn comment(ctx: &mut Context<'_>, issue: RecordId, body: &str, opens: Option<bool>) -> Outcome {
    let Some(thread) = issues::thread(&ctx.view, &issue)? else {
        return refuse("not-found", format!("no issue {} is known here", issue.short()));
    };
    let view = &thread.issue;
    if let Some(opens) = opens {
        if ctx.identity() != view.author && ctx.identity() != view.model.owner {
            return refuse(
                "refused",
                "only the issue's author and the model's owner close and reopen it; comment on it instead"
                    .into(),
            );
        }
        if view.state.open == opens {
            let state = if opens { "open" } else { "closed" };
            return refuse("conflict", format!("issue {} is {state} already", issue.short()));
        }
    }
    let after = view.state.change.as_ref().map(|change| change.comment);
    let comment = Comment {
        issue,
        body: body.to_owned(),
        action: match opens {
            None => Action::Note,
            Some(false) => Action::Close { after },
            Some(true) => Action::Reopen { after },
        },
    };
    if let Err(error) = comment.check() {
        return refuse("invalid", error.to_string());
    }
    let id = author::append(ctx, Signer::Identity, Kind::Comment, comment.encode())?;
    Ok(Ok(Reply::Recorded(vec![id])))
}
