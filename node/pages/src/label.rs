//! The labelling page: served predictions that wait for a truth, one at a time.
//!
//! It is the one page that needs a script, because it talks to the private API with a token that must never
//! be in an address a server sees: `fieldmark label` opens it with the token behind the `#`. The page itself
//! holds no data, so it is served without the token. Script and style are known by their hashes.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::layout::{STYLE, base64};

const SCRIPT: &str = include_str!("label.js");
const LABEL_STYLE: &str = include_str!("label.css");

/// The page.
#[must_use]
pub fn label() -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { "Label · Fieldmark" }
                style { (PreEscaped(STYLE)) }
                style { (PreEscaped(LABEL_STYLE)) }
            }
            body {
                main #main.labelling {
                    h1 { "What was it?" }
                    p { "Predictions this node served, and the truth you know. Nothing of this page leaves the machine." }
                    noscript { p.notice { "This page needs a script to talk to your node. "
                        code { "fieldmark label --list" } " works without." } }
                    p #message role="status" { "Asking the node …" }
                    div #tally {}
                    section #card hidden {
                        p #why {}
                        canvas #picture width="8" height="8" role="img" aria-label="the input" {}
                        pre #input {}
                        p { "The model said " strong #answer {} " with certainty " span #certainty {} "." }
                        div #labels role="group" aria-label="Labels" {}
                        p { button #skip type="button" { "Skip" } }
                    }
                    fieldset {
                        legend { "Order" }
                        label { input #order-field type="radio" name="order" value="field" checked;
                            " Those that count for the field score first" }
                        label { input #order-uncertain type="radio" name="order" value="uncertain";
                            " Least certain first: for yourself only, never reported" }
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// Its `Content-Security-Policy`: this script, these styles, this node, and nothing else.
#[must_use]
pub fn label_content_security_policy() -> String {
    let hash = |text: &str| base64(&Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}' 'sha256-{}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE),
        hash(LABEL_STYLE)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_and_style_stand_in_the_page_as_they_are_hashed() {
        let page = label().into_string();
        assert!(page.contains(SCRIPT) && page.contains(LABEL_STYLE));
        assert!(!SCRIPT.contains("</") && !LABEL_STYLE.contains('<'));
        assert!(label_content_security_policy().contains("connect-src 'self'"));
    }

    #[test]
    fn what_the_node_says_is_never_taken_for_markup() {
        for dangerous in [
            "innerHTML",
            "outerHTML",
            "document.write",
            "eval(",
            "insertAdjacent",
        ] {
            assert!(!SCRIPT.contains(dangerous), "{dangerous}");
        }
    }
}
