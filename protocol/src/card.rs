//! Model cards: `README.md` with the Hugging Face YAML header, the single source of licence, tags
//! and task.
//!
//! Of the header's keys those are read that say what a model is and may be used for; keys that others define
//! are left alone. Where Hugging Face takes one value or a list, so does this.

use serde::{Deserialize, Serialize};

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
    /// A value given a name: aliases of aliases unfold to any size.
    #[error(
        "the model card's header: anchors and aliases are not read; write the value out where '{0}' stands"
    )]
    Anchor(String),
    /// No licence: nobody could know whether they may run it.
    #[error("the model card's header names no licence; add a line such as 'license: apache-2.0'")]
    NoLicense,
    /// `license: other` says nothing by itself.
    #[error(
        "the model card's header says 'license: other' without a name; add 'license_name: …' and, if the text is \
         somewhere, 'license_link: …'"
    )]
    UnnamedLicense,
    /// A value that cannot be what its key stands for.
    #[error("the model card's header: '{key}: {found}' {problem}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it says.
        found: String,
        /// What is wrong and what to do.
        problem: &'static str,
    },
}

/// What Fieldmark reads of a card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Card {
    /// `license:`; several are joined by ` AND `. For `other`, the `license_name:`.
    pub license: String,
    /// `license_link:`
    pub license_link: String,
    /// `tags:`
    pub tags: Vec<String>,
    /// `pipeline_tag:`
    pub task: String,
    /// `base_model:`, the models this one was made from, as Hugging Face names them.
    pub base_models: Vec<String>,
    /// `language:`
    pub languages: Vec<String>,
    /// `datasets:`
    pub datasets: Vec<String>,
    /// `metrics:`
    pub metrics: Vec<String>,
    /// `library_name:`
    pub library: String,
    /// First paragraph of the text that is not a heading.
    pub summary: String,
}

/// The header's keys that are read.
#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    license: OneOrMore,
    #[serde(default)]
    license_name: String,
    #[serde(default)]
    license_link: String,
    #[serde(default)]
    tags: OneOrMore,
    #[serde(default)]
    pipeline_tag: String,
    #[serde(default)]
    base_model: OneOrMore,
    #[serde(default)]
    language: OneOrMore,
    #[serde(default)]
    datasets: OneOrMore,
    #[serde(default)]
    metrics: OneOrMore,
    #[serde(default)]
    library_name: String,
}

/// A text, or a list of texts. YAML reads a bare `no`, the language, as a truth value.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    #[default]
    None,
    One(Scalar),
    More(Vec<Scalar>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Truth(bool),
    Number(f64),
}

impl OneOrMore {
    fn list(self) -> Vec<String> {
        let text = |scalar| match scalar {
            Scalar::Text(text) => text.trim().to_owned(),
            Scalar::Truth(truth) => if truth { "yes" } else { "no" }.to_owned(),
            Scalar::Number(number) => number.to_string(),
        };
        let list: Vec<String> = match self {
            Self::None => Vec::new(),
            Self::One(one) => vec![text(one)],
            Self::More(more) => more.into_iter().map(text).collect(),
        };
        list.into_iter().filter(|text| !text.is_empty()).collect()
    }
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
        if let Some(found) = anchor(header) {
            return Err(CardError::Anchor(found.chars().take(40).collect()));
        }
        let header: Header = serde_norway::from_str(header).map_err(|e| CardError::Syntax(e.to_string()))?;
        let license = license(header.license.list(), header.license_name.trim())?;
        let card = Self {
            license,
            license_link: header.license_link,
            tags: header.tags.list(),
            task: header.pipeline_tag,
            base_models: header.base_model.list(),
            languages: header.language.list(),
            datasets: header.datasets.list(),
            metrics: header.metrics.list(),
            library: header.library_name,
            summary: summary(body),
        };
        card.check()?;
        Ok(card)
    }

    /// Values that tools rely on have the form these tools know.
    fn check(&self) -> Result<(), CardError> {
        let wrong = |key, found: &str, problem| CardError::Value {
            key,
            found: found.chars().take(80).collect(),
            problem,
        };
        let word = |text: &str| {
            text.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        if !word(&self.task) {
            let problem = "is no task; write one of Hugging Face's, such as image-classification";
            return Err(wrong("pipeline_tag", &self.task, problem));
        }
        let named = |text: &&String| text.split('/').count() > 2 || text.contains(char::is_whitespace);
        if let Some(base) = self.base_models.iter().find(named) {
            return Err(wrong(
                "base_model",
                base,
                "is no model's name; write NAME or AUTHOR/NAME",
            ));
        }
        if let Some(language) = self.languages.iter().find(|text| !word(&text.to_lowercase())) {
            return Err(wrong(
                "language",
                language,
                "is no language code; write one such as en",
            ));
        }
        let link = &self.license_link;
        let reaches = link.is_empty() || link.starts_with("https://") || !link.contains(':');
        if !reaches {
            let problem = "is no https address and no file of the package";
            return Err(wrong("license_link", link, problem));
        }
        Ok(())
    }
}

/// The first word that may be an anchor: `&` where a value may begin, and a name. Without anchors there are no aliases.
fn anchor(header: &str) -> Option<&str> {
    let begins = |before: &str| {
        let last = before.chars().next_back();
        last.is_none_or(|c| c.is_whitespace() || "[{,:?-\u{feff}".contains(c))
    };
    header.match_indices('&').find_map(|(at, _)| {
        let (before, word) = header.split_at_checked(at)?;
        let word = word.split_whitespace().next().filter(|word| word.len() > 1)?;
        begins(before).then_some(word)
    })
}

fn license(licenses: Vec<String>, name: &str) -> Result<String, CardError> {
    match licenses.as_slice() {
        [] => Err(CardError::NoLicense),
        [one] if one == "other" && name.is_empty() => Err(CardError::UnnamedLicense),
        [one] if one == "other" => Ok(name.to_owned()),
        several => Ok(several.join(" AND ")),
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
    fn values_that_would_unfold_are_refused_before_they_are_read() {
        let mut bomb = String::from("---\nlicense: mit\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..40 {
            let ten = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{ten}]\n"));
        }
        bomb.push_str("tags: *a39\n---\n");
        assert_eq!(Card::parse(&bomb), Err(CardError::Anchor("&a0".to_owned())));
        for value in [
            "- &a x",
            "[&a x]",
            "{?&a b: 1}",
            "{b: 1,&a c: 2}",
            "{\"b\":&a 1}",
            "\n  &a x",
        ] {
            let card = format!("---\nlicense: mit\nx: {value}\n---\n");
            assert!(matches!(Card::parse(&card), Err(CardError::Anchor(_))), "{value}");
        }
        let alias = Card::parse("---\nlicense: mit\ntags: *a\n---\n");
        assert!(matches!(alias, Err(CardError::Syntax(_))));
        let plain = Card::parse("---\nlicense: mit\ntags: [R&D, AT&T, this & that]\n---\n").unwrap();
        assert_eq!(plain.tags, ["R&D", "AT&T", "this & that"]);
    }

    #[test]
    fn what_hugging_face_takes_as_one_or_many_is_taken_either_way() {
        let card = "---\nlicense: [mit, apache-2.0]\ntags: digits\nlanguage:\n- en\n- no\n\
                    base_model: acme/digits\ndatasets: [mnist]\nmetrics: accuracy\nlibrary_name: sklearn\n\
                    model-index:\n- name: x\n---\n";
        let card = Card::parse(card).unwrap();
        assert_eq!(card.license, "mit AND apache-2.0");
        assert_eq!(
            (card.tags, card.languages),
            (vec!["digits".to_owned()], vec!["en".to_owned(), "no".to_owned()])
        );
        assert_eq!(
            (card.base_models, card.library.as_str()),
            (vec!["acme/digits".to_owned()], "sklearn")
        );
        assert_eq!(
            (card.datasets, card.metrics),
            (vec!["mnist".to_owned()], vec!["accuracy".to_owned()])
        );
    }

    #[test]
    fn values_that_no_tool_would_understand_are_named() {
        for (line, sign) in [
            ("pipeline_tag: Image Classification", "pipeline_tag"),
            ("base_model: a/b/c", "base_model"),
            ("language: English (UK)", "language"),
            ("license_link: http://example.org", "license_link"),
        ] {
            let error = Card::parse(&format!("---\nlicense: mit\n{line}\n---\n")).unwrap_err();
            assert!(
                matches!(error, CardError::Value { key, .. } if key == sign),
                "{error}"
            );
        }
        assert_eq!(
            Card::parse("---\nlicense: other\n---\n"),
            Err(CardError::UnnamedLicense)
        );
        let named = Card::parse("---\nlicense: other\nlicense_name: acme-1\n---\n").unwrap();
        assert_eq!(named.license, "acme-1");
    }

    #[test]
    fn the_first_paragraph_is_the_summary() {
        let card = Card::parse("---\nlicense: mit\n---\n# Title\n\nOne\ntwo.\n\nThree.").unwrap();
        assert_eq!(card.summary, "One two.");
        assert_eq!(body("---\nlicense: mit\n---\n# Title"), "\n# Title");
    }
}
