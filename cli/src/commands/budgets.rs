//! `budget`

use serde_json::{Value, json};

use crate::args::{Budget, BudgetAction, BudgetLimit, Global};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::Output;
use crate::text;

/// What the organisation's budget is called in the table.
const ORGANISATION: &str = "(organisation)";

/// `budget`
pub(crate) fn budget(global: &Global, args: &Budget, out: &Output) -> anyhow::Result<()> {
    match &args.action {
        Some(BudgetAction::Limit(limit)) => set_limit(global, limit, out),
        None => show(global, args.dataset.as_deref(), out),
    }
}

fn show(global: &Global, name: Option<&str>, out: &Output) -> anyhow::Result<()> {
    let mut found = Client::connect(global)?.get("budgets")?;
    if let Some(name) = name
        && let Some(budgets) = found.get_mut("budgets").and_then(Value::as_array_mut)
    {
        let is = |v: &Value| v.as_str() == Some(name);
        budgets.retain(|b| b.get("source").is_some_and(is) || text::list(b, "datasets").iter().any(is));
        if budgets.is_empty() {
            let message = format!("no dataset or source '{name}'; `fieldmark dataset list` shows them");
            return Err(Failure::not_found(message).into());
        }
    }
    out.result(&found, || table(&found))
}

fn set_limit(global: &Global, limit: &BudgetLimit, out: &Output) -> anyhow::Result<()> {
    let body = json!({ "epsilon": limit.epsilon, "delta": limit.delta, "raise": limit.raise });
    let found = Client::connect(global)?.post("budgets/limit", &body)?;
    out.result(&found, || {
        format!(
            "the organisation's budget is ε = {} at δ = {:e}, over all data sources\n{}",
            limit.epsilon,
            limit.delta,
            table(&found)
        )
    })
}

/// What the parts of a budget are of.
const PARTS: &str = "Parts are of the whole budget as its filter adds charges up; ε does not add up that way. --json has \
                     them in ρ.";

/// Budgets by source and the organisation's. What is spent is told by the odometer.
fn table(found: &Value) -> String {
    let organisation = found.get("organisation").filter(|b| !b.is_null());
    let rows: Vec<Vec<String>> = text::list(found, "budgets")
        .iter()
        .chain(organisation)
        .map(row)
        .collect();
    let table = text::table(
        &[
            "source",
            "datasets",
            "ε spent",
            "ε limit",
            "δ",
            "reserved",
            "committed",
            "refunded",
            "left",
            "charges",
            "accounting",
        ],
        &rows,
    );
    format!("{table}\n{PARTS}")
}

fn row(budget: &Value) -> Vec<String> {
    let number = |name: &str| budget.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let part = |name: &str| format!("{:.1}%", 100.0 * number(name) / number("rho_limit"));
    let source = match text::string(budget, "source") {
        source if source.is_empty() => ORGANISATION.to_owned(),
        source => source,
    };
    vec![
        source,
        text::joined(budget, "datasets"),
        format!("{:.4}", number("epsilon_spent")),
        format!("{:.4}", number("epsilon_limit")),
        format!("{:e}", number("delta")),
        part("rho_reserved"),
        part("rho_committed"),
        part("rho_refunded"),
        part("rho_remaining"),
        text::string(budget, "charges"),
        text::string(budget, "accounting"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_the_organisation_and_shows_sums_by_state() {
        let budget = |source: &str| {
            json!({
                "source": source, "datasets": ["july"], "epsilon_spent": 1.5, "epsilon_limit": 4.0,
                "delta": 1e-6, "rho_reserved": 0.25, "rho_committed": 0.125, "rho_refunded": 0.0,
                "rho_limit": 0.5, "rho_remaining": 0.125, "charges": 3, "accounting": "filter in zCDP",
            })
        };
        let shown = table(&json!({ "budgets": [budget("ward")], "organisation": budget("") }));
        for part in ["ward", ORGANISATION, "1.5000", "50.0%", "25.0%", "0.0%", "zCDP"] {
            assert!(shown.contains(part), "{part} is missing from\n{shown}");
        }
        let without = table(&json!({ "budgets": [], "organisation": null }));
        assert!(!without.contains(ORGANISATION), "{without}");
    }
}
