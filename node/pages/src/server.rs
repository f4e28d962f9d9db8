//! The private page of a server: which models it serves, how they do, and whether what they are asked has
//! drifted. It is for the server's owner alone, because live inputs are the owner's data.

use maud::{Markup, html};

use crate::layout::{Document, Place, isolation_off};
use crate::text;

/// A server and its models.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerPage {
    /// Whether every model can be asked.
    pub ready: bool,
    /// The models, in order.
    pub models: Vec<ServedModel>,
}

/// A version of a model that is served, or was.
#[derive(Debug, Clone, PartialEq)]
pub struct ServedModel {
    /// `name@version`.
    pub title: String,
    /// What it is doing, such as `READY`.
    pub state: String,
    /// What is wrong, where something is.
    pub trouble: Option<String>,
    /// What runs it.
    pub runtime: String,
    /// Where it runs: `cpu` or a GPU.
    pub device: String,
    /// Whether its runners are isolated.
    pub isolated: bool,
    /// Runner processes.
    pub replicas: u64,
    /// Processes started after the first ones.
    pub restarts: u64,
    /// Memory of all its runners, in bytes.
    pub memory_bytes: u64,
    /// Most memory of one runner, in bytes.
    pub memory_bytes_max: u64,
    /// Threads within one operation.
    pub threads: u64,
    /// Longest time for a request, in milliseconds.
    pub request_timeout_ms: u64,
    /// Requests that wait, and how many may.
    pub queue: (u64, u64),
    /// Requests answered.
    pub answered: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Half of the requests took at most this long, in milliseconds.
    pub p50_ms: f64,
    /// 99% of them.
    pub p99_ms: f64,
    /// Drift of each feature; empty for a model that came without a reference.
    pub drift: Vec<DriftView>,
}

/// How a feature stands against the release's reference.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftView {
    /// The feature.
    pub name: String,
    /// Rows in the window.
    pub records: u64,
    /// PSI and about what chance alone makes of it; nothing while there are too few rows.
    pub psi: Option<(f64, f64)>,
    /// KS and what chance alone exceeds.
    pub ks: Option<(f64, f64)>,
    /// Whether the feature has drifted: judged by χ², KS and the values that are no numbers.
    pub drifted: bool,
}

/// The page. It loads itself again every ten seconds.
#[must_use]
pub fn server(page: &ServerPage) -> Markup {
    let body = html! {
        p.eyebrow { "Server" }
        h1 { "Models served here" }
        @if page.models.iter().any(|model| !model.isolated) {
            (isolation_off("A model here can read files, reach the network and do whatever the user who started the server can."))
        }
        @if !page.ready { p.banner { "Not every model can be asked right now." } }
        @if page.models.is_empty() {
            p.empty { "Nothing is loaded." }
        } @else {
            div.scroll { (models(&page.models)) }
            @for model in page.models.iter().filter(|model| !model.drift.is_empty()) { (drift(model)) }
        }
    };
    Document {
        title: "Models served here",
        place: Place::Server,
        refreshes: true,
        live: None,
        body,
    }
    .render()
}

fn models(models: &[ServedModel]) -> Markup {
    html! {
        table.plain {
            thead {
                tr {
                    th scope="col" { "Model" }
                    th scope="col" { "State" }
                    th.number scope="col" { "Answered" }
                    th.number scope="col" { "Failed" }
                    th.number scope="col" { "p50" }
                    th.number scope="col" { "p99" }
                    th.number scope="col" { "Waiting" }
                    th scope="col" { "Memory" }
                    th scope="col" { "Limits" }
                }
            }
            tbody { @for model in models { (row(model)) } }
        }
    }
}

fn row(model: &ServedModel) -> Markup {
    let tone = if model.state == "READY" { "good" } else { "warn" };
    let (waiting, may_wait) = model.queue;
    html! {
        tr {
            th scope="row" {
                bdi { (model.title) }
                div.key { (model.runtime) " on " (model.device) ", " @if model.replicas == 1 { "1 process" } @else { (text::count(model.replicas)) " processes" } }
                @if !model.isolated { span.badge.bad { "not isolated" } }
                @if model.drift.iter().any(|feature| feature.drifted) { " " span.badge.warn { "drift" } }
            }
            td {
                span class={ "badge " (tone) } { (model.state.to_lowercase()) }
                @if model.restarts > 0 { div.key { "started again " (text::count(model.restarts)) " times" } }
                @if let Some(trouble) = &model.trouble { div.key { (trouble) } }
            }
            td.number { (text::count(model.answered)) }
            td.number { (text::count(model.failed)) }
            td.number { (format!("{:.2} ms", model.p50_ms)) }
            td.number { (format!("{:.2} ms", model.p99_ms)) }
            td.number { (text::count(waiting)) " of " (text::count(may_wait)) }
            td { (text::bytes(model.memory_bytes)) }
            td {
                (text::bytes(model.memory_bytes_max)) ", " (text::plural(model.threads, "thread")) ", "
                (model.request_timeout_ms / 1000) " s"
            }
        }
    }
}

fn drift(model: &ServedModel) -> Markup {
    html! {
        section {
        h2 { "Drift of " bdi { (model.title) } }
        p.note {
            "What it is asked and answers now, against the reference that its author published. A feature has drifted \
             when χ² or KS exceeds what chance alone makes with so many rows, or when other parts of its values are no \
             numbers. PSI is not judged, and what chance makes of it is approximate."
        }
        div.scroll.fit {
            table.plain {
                thead {
                    tr {
                        th scope="col" { "Feature" }
                        th.number scope="col" { "Rows" }
                        th.number scope="col" { "PSI" }
                        th.number scope="col" { "by chance" }
                        th.number scope="col" { "KS" }
                        th.number scope="col" { "by chance" }
                        th scope="col" { "" }
                    }
                }
                tbody {
                    @for feature in &model.drift {
                        tr {
                            th scope="row" { (feature.name) }
                            td.number { (text::count(feature.records)) }
                            @for pair in [feature.psi, feature.ks] {
                                @match pair {
                                    Some((value, chance)) => {
                                        td.number { (format!("{value:.3}")) }
                                        td.number { "up to " (format!("{chance:.3}")) }
                                    }
                                    None => { td.number.none colspan="2" { "too few rows" } }
                                }
                            }
                            td { @if feature.drifted { span.badge.warn { "drift" } } }
                        }
                    }
                }
            }
        }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> ServedModel {
        ServedModel {
            title: "digits@1.0.0<b>".into(),
            state: "READY".into(),
            trouble: None,
            runtime: "torchscript".into(),
            device: "cpu".into(),
            isolated: true,
            replicas: 2,
            restarts: 0,
            memory_bytes: 90_000_000,
            memory_bytes_max: 2 << 30,
            threads: 1,
            request_timeout_ms: 30_000,
            queue: (0, 256),
            answered: 4_096,
            failed: 0,
            p50_ms: 0.31,
            p99_ms: 1.2,
            drift: Vec::new(),
        }
    }

    fn page(model: ServedModel) -> String {
        let models = vec![model];
        server(&ServerPage { ready: true, models }).into_string()
    }

    #[test]
    fn a_model_without_isolation_is_shouted_about() {
        assert!(!page(model()).contains("Isolation is off"));
        let open = ServedModel {
            isolated: false,
            ..model()
        };
        assert!(page(open).contains("Isolation is off"));
    }

    #[test]
    fn drift_is_shown_with_what_chance_makes_and_names_are_escaped() {
        let drift = vec![
            DriftView {
                name: "image.mean".into(),
                records: 400,
                psi: Some((0.4, 0.1)),
                ks: Some((0.2, 0.1)),
                drifted: true,
            },
            DriftView {
                name: "confidence".into(),
                records: 12,
                psi: None,
                ks: None,
                drifted: false,
            },
        ];
        let shown = page(ServedModel { drift, ..model() });
        assert!(shown.contains("0.400") && shown.contains("up to 0.100") && shown.contains("too few rows"));
        assert!(!shown.contains("<b>"));
    }
}
