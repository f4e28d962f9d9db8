//! Budgets of the data sources and of the whole organisation.

use axum::Json;
use axum::extract::State;
use fieldmark_node_core::io::{Command, Reply};
use fieldmark_node_core::spending::{self, BudgetView};
use serde::{Deserialize, Serialize};

use super::extract::Body;
use super::failure::Failure;
use crate::handle::NodeHandle;

/// Budgets by source, and the organisation's if its owner set one.
#[derive(Debug, Serialize)]
pub(super) struct Budgets {
    budgets: Vec<BudgetView>,
    organisation: Option<BudgetView>,
}

/// `GET budgets`
pub(super) async fn list(State(handle): State<NodeHandle>) -> Result<Json<Budgets>, Failure> {
    super::read(&handle, |store| {
        Ok(Json(Budgets {
            budgets: spending::budgets(store)?,
            organisation: spending::organisation_budget(store)?,
        }))
    })
    .await
}

/// The organisation's limit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    epsilon: f64,
    delta: f64,
    /// Whether it may be above the one before.
    #[serde(default)]
    raise: bool,
}

/// `POST budgets/limit`
pub(super) async fn limit(
    State(handle): State<NodeHandle>,
    Body(limit): Body<Limit>,
) -> Result<Json<Budgets>, Failure> {
    let Limit {
        epsilon,
        delta,
        raise,
    } = limit;
    let command = Command::LimitBudget {
        epsilon,
        delta,
        raise,
    };
    let Reply::Limited = handle.command(command).await? else {
        return Err(super::models::unexpected());
    };
    list(State(handle)).await
}
