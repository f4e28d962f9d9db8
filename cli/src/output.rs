//! The one way this program writes. Results go to standard output, everything else to standard error;
//! with `--json` results are JSON and progress is silent. A reader that went away ends the output, not
//! with an error.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::json;

/// Where and how to write.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    terminal: bool,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self {
            json,
            quiet,
            terminal: std::io::stderr().is_terminal(),
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// A result: JSON for programs, or text for people.
    pub(crate) fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.json {
            self.raw(&(serde_json::to_string_pretty(value)? + "\n"))
        } else {
            let text = text();
            self.raw(&format!("{}\n", text.trim_end()))
        }
    }

    /// One event of many: a line of JSON for programs, or text for people.
    pub(crate) fn event(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.json {
            self.raw(&(serde_json::to_string(value)? + "\n"))
        } else {
            self.raw(&(text() + "\n"))
        }
    }

    /// Text exactly as it is.
    pub(crate) fn raw(&self, text: &str) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Something to know beside the result.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            Self::err(text);
        }
    }

    /// Why it failed, with the causes behind it.
    pub(crate) fn error(&self, code: &str, error: &anyhow::Error) {
        if self.json {
            Self::err(&json!({ "error": { "code": code, "message": causes(error) } }).to_string());
        } else {
            Self::err(&format!("error: {}", causes(error)));
        }
    }

    /// A bar for work of `length` steps; hidden where nobody sees it.
    pub(crate) fn bar(&self, length: u64, what: &str) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(length), self.target());
        self.styled(bar, "{msg} [{bar:30}] {pos}/{len}", what)
    }

    /// A bar for bytes.
    pub(crate) fn bytes_bar(&self, bytes: u64, what: &str) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(bytes), self.target());
        self.styled(
            bar,
            "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}",
            what,
        )
    }

    /// A spinner for work of unknown length.
    pub(crate) fn spinner(&self, what: &str) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(None, self.target());
        bar.enable_steady_tick(Duration::from_millis(100));
        self.styled(bar, "{spinner} {msg} {elapsed}", what)
    }

    fn styled(&self, bar: ProgressBar, template: &str, what: &str) -> ProgressBar {
        // Templates are constants; one that did not parse would leave the default style.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.with_style(style.progress_chars("=> "))
            .with_message(what.to_owned())
    }

    fn target(&self) -> ProgressDrawTarget {
        if self.terminal && !self.json && !self.quiet {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        }
    }

    fn err(text: &str) {
        // There is nowhere left to say that standard error is closed.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

/// An error with its causes, none said twice.
fn causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let inner = std::io::Error::other("disk full");
        let error = anyhow::Error::from(inner).context("cannot write board.html");
        assert_eq!(causes(&error), "cannot write board.html: disk full");
        let error = anyhow::anyhow!("disk full").context("cannot write: disk full");
        assert_eq!(causes(&error), "cannot write: disk full");
    }
}
