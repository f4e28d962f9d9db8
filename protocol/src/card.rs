//! Model cards: `README.md` with the Hugging Face YAML header, the single source of licence, tags
//! and task.

use serde::Deserialize;

/// Most bytes of a card.
pub const CARD_BYTES_MAX: usize = 1024 * 1024;

/// A card that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// Larger than [`CARD_BYTES_MAX`].
    #[error("the model card has {0} bytes, at most {CARD_BYTES_MAX} are taken")]
    TooLong(usize),
    /// No YAML block between two `---` lines at the top.
    #[error(
        "the model card README.md does not start with a YAML header between '---' lines; \
         begin it with\n---\nlicense: apache-2.0\n---"
    )]
    NoHeader,
    /// The header is not YAML of the expected shape.
    #[error("the model card's header cannot be read: {0}")]
    Syntax(String),
    /// No licence: nobody could know whether they may run it.
    #[error("the model card's header names no licence; add a line such as 'license: apache-2.0'")]
    NoLicense,
}

/// What Fieldmark reads of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// `license:`
    pub license: String,
    /// `tags:`
    pub tags: Vec<String>,
    /// `pipeline_tag:`
    pub task: String,
    /// First paragraph of the text that is not a heading.
    pub summary: String,
}

#[derive(Deserialize)]
struct Header {
    license: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    pipeline_tag: String,
}

impl Card {
    /// Reads a card.
    ///
    /// # Errors
    /// [`CardError`] with what to add.
    pub fn parse(text: &str) -> Result<Self, CardError> {
        if text.len() > CARD_BYTES_MAX {
            return Err(CardError::TooLong(text.len()));
        }
        let (header, body) = split(text).ok_or(CardError::NoHeader)?;
        let header: Header = serde_norway::from_str(header).map_err(|e| CardError::Syntax(e.to_string()))?;
        let license = header
            .license
            .filter(|l| !l.trim().is_empty())
            .ok_or(CardError::NoLicense)?;
        Ok(Self {
            license,
            tags: header.tags,
            task: header.pipeline_tag,
            summary: summary(body),
        })
    }
}

/// The text below the YAML header, for showing the card.
#[must_use]
pub fn body(text: &str) -> &str {
    split(text).map_or(text, |(_, body)| body)
}

fn split(text: &str) -> Option<(&str, &str)> {
    let rest = text
        .strip_prefix("---\n")
        .or_else(|| text.strip_prefix("---\r\n"))?;
    let end = rest.find("\n---")?;
    let (header, after) = rest.split_at(end);
    let body = after.trim_start_matches('\n').trim_start_matches('-');
    Some((header, body))
}

fn summary(body: &str) -> String {
    let paragraph = body
        .split("\n\n")
        .map(str::trim)
        .find(|p| !p.is_empty() && !p.starts_with('#'))
        .unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(240).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_without_a_header_or_licence_says_what_to_add() {
        assert_eq!(Card::parse("# Model"), Err(CardError::NoHeader));
        assert_eq!(Card::parse("---\ntags: [a]\n---\n"), Err(CardError::NoLicense));
    }

    #[test]
    fn the_first_paragraph_is_the_summary() {
        let card = Card::parse("---\nlicense: mit\n---\n# Title\n\nOne\ntwo.\n\nThree.").unwrap();
        assert_eq!(card.summary, "One two.");
        assert_eq!(body("---\nlicense: mit\n---\n# Title"), "\n# Title");
    }
}
