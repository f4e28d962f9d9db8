//! Names and free text that others will read: lengths and characters are bounded here.

/// A text that cannot be shown or used as a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// Empty where something is needed.
    #[error("{what} is empty")]
    Empty {
        /// What the text is.
        what: &'static str,
    },
    /// Longer than allowed.
    #[error("{what} has {found} bytes, at most {limit} are taken")]
    TooLong {
        /// What the text is.
        what: &'static str,
        /// Bytes allowed.
        limit: usize,
        /// Bytes given.
        found: usize,
    },
    /// A character outside the allowed set.
    #[error("{what} '{text}' may hold only a-z, 0-9, '-', '_' and '.', and starts with a letter or digit")]
    Name {
        /// What the text is.
        what: &'static str,
        /// The text.
        text: String,
    },
    /// A control character, which a terminal would obey.
    #[error("{what} holds a control character")]
    Control {
        /// What the text is.
        what: &'static str,
    },
}

/// Longest name of a model, slice, challenge or tensor, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Checks a name: 1 to [`NAME_BYTES_MAX`] of `a-z 0-9 - _ .`, first a letter or digit.
///
/// # Errors
/// [`TextError`] naming `what`.
pub fn name(what: &'static str, text: &str) -> Result<(), TextError> {
    free(what, text, NAME_BYTES_MAX)?;
    let first = text.chars().next().ok_or(TextError::Empty { what })?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if !text.chars().all(fits) || matches!(first, '-' | '_' | '.') {
        return Err(TextError::Name {
            what,
            text: text.to_owned(),
        });
    }
    Ok(())
}

/// Checks a version: like a name, with `+` and upper case for what semver allows.
///
/// # Errors
/// [`TextError`] naming `what`.
pub fn version(what: &'static str, text: &str) -> Result<(), TextError> {
    name(what, &text.to_ascii_lowercase().replace('+', "-"))
}

/// Checks free text: at most `limit` bytes and no control character but line break and tab.
///
/// # Errors
/// [`TextError`] naming `what`.
pub fn free(what: &'static str, text: &str, limit: usize) -> Result<(), TextError> {
    if text.len() > limit {
        return Err(TextError::TooLong {
            what,
            limit,
            found: text.len(),
        });
    }
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(TextError::Control { what });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_words() {
        assert!(name("model", "digits-cnn_2.1").is_ok());
        assert!(matches!(name("model", ""), Err(TextError::Empty { .. })));
        assert!(matches!(name("model", "../x"), Err(TextError::Name { .. })));
        assert!(matches!(
            name("model", &"a".repeat(65)),
            Err(TextError::TooLong { .. })
        ));
    }

    #[test]
    fn a_terminal_escape_is_refused() {
        assert!(matches!(
            free("summary", "\u{1b}[31m", 100),
            Err(TextError::Control { .. })
        ));
    }
}
