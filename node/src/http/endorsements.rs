//! Endorsements: signing one, and who endorses an identity.

use axum::Json;
use axum::extract::State;
use fieldmark_ledger::{endorsement, identity};
use fieldmark_node_core::io::Command;
use fieldmark_protocol::PublicKey;
use fieldmark_protocol::endorsement::Endorsement;
use fieldmark_protocol::task::CONTRIBUTOR_ROLE;
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::{Body, Path};
use super::failure::Failure;
use crate::handle::NodeHandle;

/// Whom to endorse, as what, until when.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Endorse {
    identity: PublicKey,
    #[serde(default)]
    role: Option<String>,
    /// In milliseconds since 1970; 0: it does not expire.
    #[serde(default)]
    expires_at_ms: u64,
    #[serde(default)]
    revoked: bool,
}

/// `POST endorsements`
pub(super) async fn endorse(
    State(handle): State<NodeHandle>,
    Body(wanted): Body<Endorse>,
) -> Result<Json<Value>, Failure> {
    let endorsement = Endorsement {
        subject: wanted.identity,
        role: wanted.role.unwrap_or_else(|| CONTRIBUTOR_ROLE.to_owned()),
        expires_at_ms: wanted.expires_at_ms,
        revoked: wanted.revoked,
    };
    let role = endorsement.role.clone();
    let reply = handle.command(Command::Endorse(endorsement)).await?;
    let record = super::models::recorded(reply)?;
    Ok(Json(json!({
        "endorsement": record,
        "identity": wanted.identity,
        "role": role,
        "revoked": wanted.revoked,
    })))
}

/// `GET endorsements/{identity}`: the latest word of everyone on an identity.
pub(super) async fn list(
    State(handle): State<NodeHandle>,
    Path(subject): Path<PublicKey>,
) -> Result<Json<Value>, Failure> {
    super::read(&handle, move |store| {
        let mut found = Vec::new();
        for view in endorsement::endorsements(store, &subject)? {
            found.push(json!({
                "id": view.id,
                "by": view.author,
                "by_name": identity::name(store, &view.author)?,
                "role": view.endorsement.role,
                "expires_at_ms": view.endorsement.expires_at_ms,
                "revoked": view.endorsement.revoked,
                "created_at_ms": view.created_at_ms,
            }));
        }
        Ok(Json(json!({ "identity": subject, "endorsements": found })))
    })
    .await
}
