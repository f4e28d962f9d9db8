//! Latency, memory and energy beside the scores: of public inputs, on one machine, unprotected by need.

use fieldmark_node_core::board::Board;
use maud::{Markup, html};

use super::Setting;
use crate::text;
use crate::view::SpeedView;

/// The table of all models; dashes where nobody measured.
pub(super) fn section(board: &Board, setting: &Setting<'_>) -> Markup {
    html! {
        section aria-labelledby="speed" {
            h2 #speed { "Latency and energy" }
            p.note {
                "Timed on this node with each model's public sample: nothing private is in it, so nothing protects it, and \
                 another machine has other figures. It is no part of the checkpoint. "
                @if setting.speeds.is_empty() {
                    "Nobody measured here yet: " code { "fieldmark leaderboard " (board.challenge.short()) " --speed" } "."
                }
            }
            div.scroll role="region" aria-labelledby="speed" tabindex="0" {
                table.plain.speed {
                    thead { tr {
                        th scope="col" { "Model" }
                        @for name in ["Half within", "95% within", "99% within", "Memory", "Energy a request"] {
                            th.number scope="col" { (name) }
                        }
                    } }
                    tbody {
                        @for row in &board.models {
                            tr {
                                th scope="row" { (setting.model(row)) }
                                @for value in values(setting.speeds.get(&row.release)) { td.number { (value) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn values(speed: Option<&SpeedView>) -> [String; 5] {
    let none = || "–".to_owned();
    let Some(speed) = speed else {
        return [none(), none(), none(), none(), none()];
    };
    let ms = |time: f64| format!("{time:.3} ms");
    [
        ms(speed.p50_ms),
        ms(speed.p95_ms),
        ms(speed.p99_ms),
        text::bytes(speed.memory_bytes),
        speed
            .energy_joules
            .map_or_else(none, |joules| format!("{joules:.3} J")),
    ]
}
