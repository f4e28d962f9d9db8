//! What the phases of a batch mean, in words.

use fieldmark_node_core::board::Board;
use fieldmark_node_core::lifecycle::Stage;
use maud::{Markup, html};

use crate::text::plural;

/// The way a batch goes when nothing goes wrong.
const WAY: [(&str, &str); 5] = [
    ("open", "Open"),
    ("verifying", "Verifying"),
    ("committing", "Committing"),
    ("revealing", "Revealing"),
    ("released", "Released"),
];

/// Whether something is still under way, so that the page should be loaded again.
pub(crate) fn under_way(phase: &str) -> bool {
    matches!(phase, "open" | "verifying" | "committing" | "revealing")
}

/// Name and sign of a phase; the sign differs too, so that colour is not needed.
pub(crate) fn badge(phase: &str) -> Markup {
    let (class, sign) = match phase {
        "released" => ("good", "●"),
        "aborted" | "void" | "disagreement" => ("bad", "✕"),
        "open" => ("live", "○"),
        _ => ("live", "◐"),
    };
    html! { span class={ "badge " (class) } { span aria-hidden="true" { (sign) } " " (phase) } }
}

/// The word of a challenge's life, with its batch's phase where that says more.
pub(crate) fn stage(stage: Stage, phase: &str) -> Markup {
    let (class, sign) = match stage {
        Stage::Draft | Stage::Registered => ("", "◌"),
        Stage::Open => ("live", "○"),
        Stage::Closing => ("live", "◐"),
        Stage::Closed if phase == "released" => ("good", "●"),
        Stage::Closed | Stage::Aborted => ("bad", "✕"),
    };
    let more = match stage {
        Stage::Closing if phase != "open" => Some(phase),
        Stage::Closed => Some(phase),
        _ => None,
    };
    html! {
        span class={ "badge " (class) } {
            span aria-hidden="true" { (sign) } " " (stage.name()) @if let Some(more) = more { ": " (more) }
        }
    }
}

/// Where the batch stands among the steps, for phases that are under way.
pub(crate) fn steps(phase: &str) -> Markup {
    let here = WAY.iter().position(|(name, _)| *name == phase);
    html! {
        ol.steps aria-label="Steps of the measurement" {
            @for (at, (_, label)) in WAY.iter().enumerate() {
                li.done[here.is_some_and(|here| at < here)] aria-current=[(here == Some(at)).then_some("step")] {
                    (label)
                }
            }
        }
    }
}

/// One or two sentences for a board without scores.
pub(crate) fn sentence(board: &Board, reports: u64) -> String {
    let so_far = plural(reports, "report");
    match board.phase {
        "open" => "Open for reports. Nothing but their number is visible before the close.".into(),
        "verifying" => format!("The window has closed. The aggregators verify {so_far} together."),
        "committing" => {
            "The aggregators agree on which reports count and commit to their noisy shares.".into()
        }
        "revealing" => {
            "Shares are being published; the batch counts as released. Scores need every share.".into()
        }
        "aborted" => "Aborted. Nothing was released.".into(),
        "void" => {
            "Void. Aggregators published values that contradict each other, so no number is given.".into()
        }
        "disagreement" => {
            "No result. The aggregators' transcripts differ, so no share was committed or published.".into()
        }
        other => format!("The batch is in the phase '{other}', which this version does not know."),
    }
}
