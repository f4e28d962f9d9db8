//! `evaluate`: local scores of releases on a private dataset.

use serde_json::{Value, json};

use crate::args::{Evaluate, Global};
use crate::client::Client;
use crate::output::Output;
use crate::text;

/// `evaluate`
pub(crate) fn evaluate(global: &Global, args: &Evaluate, out: &Output) -> anyhow::Result<()> {
    let client = Client::connect(global)?;
    let spinner = out.spinner(&format!("evaluating on {}", args.dataset));
    let body = json!({ "releases": args.references, "dataset": args.dataset });
    let scores = client.post("evaluate", &body)?;
    spinner.finish_and_clear();
    out.result(&scores, || scores_text(&scores))
}

fn scores_text(scores: &Value) -> String {
    let models = text::list(scores, "models");
    let slices = |model: &Value| {
        model
            .get("slices")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let names: Vec<String> = models
        .first()
        .map(|m| slices(m).keys().cloned().collect())
        .unwrap_or_default();
    let header: Vec<&str> = ["model", "mean"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .collect();
    let row = |model: &Value| {
        let by_slice = slices(model);
        let mut cells = vec![text::string(model, "name"), text::fraction(model.get("score"))];
        cells.extend(names.iter().map(|name| text::fraction(by_slice.get(name))));
        cells
    };
    let rows: Vec<Vec<String>> = models.iter().map(row).collect();
    let records = text::number(scores, "records");
    let table = text::table(&header, &rows);
    let agreement = scores.get("view_correlation").and_then(Value::as_f64);
    let agreement = agreement.map_or_else(String::new, |found| {
        format!(
            "\nbeing right on two views of a record correlates by {found:.2}, which \
             `challenge plan --view-correlation` takes"
        )
    });
    format!(
        "{table}\n\n{records} records of {}; nothing left this machine, no budget was spent{agreement}",
        text::string(scores, "dataset")
    )
}
