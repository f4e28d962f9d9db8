//! SPDX licence expressions, as far as Rust packages use them: `AND`, `OR`, `WITH`, brackets, and the
//! old `/` for `OR`.
//!
//! An expression is judged while it is read: each licence is allowed or not, `OR` needs one side, `AND`
//! both. `AND` binds more strongly.

use anyhow::{Result, bail};

/// Whether `expression` can be satisfied with licences that `allowed` accepts. A licence with an
/// exception is asked for as a whole (`Apache-2.0 WITH LLVM-exception`).
///
/// # Errors
/// When the expression cannot be read.
pub(super) fn is_satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader {
        words: &words,
        allowed,
    };
    let satisfied = reader.either()?;
    if let Some(word) = reader.words.first() {
        bail!("the licence expression `{expression}` cannot be read at `{word}`");
    }
    Ok(satisfied)
}

struct Reader<'a> {
    words: &'a [&'a str],
    allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Reader<'a> {
    fn either(&mut self) -> Result<bool> {
        let mut satisfied = self.both()?;
        while self.take("OR") {
            satisfied |= self.both()?;
        }
        Ok(satisfied)
    }

    fn both(&mut self) -> Result<bool> {
        let mut satisfied = self.one()?;
        while self.take("AND") {
            satisfied &= self.one()?;
        }
        Ok(satisfied)
    }

    fn one(&mut self) -> Result<bool> {
        if self.take("(") {
            let satisfied = self.either()?;
            if !self.take(")") {
                bail!("a licence expression lacks a closing bracket");
            }
            return Ok(satisfied);
        }
        let licence = self.name()?;
        if self.take("WITH") {
            let exception = self.name()?;
            return Ok((self.allowed)(&format!("{licence} WITH {exception}")));
        }
        Ok((self.allowed)(licence))
    }

    fn name(&mut self) -> Result<&'a str> {
        match self.words.split_first() {
            Some((word, rest)) if !["AND", "OR", "WITH", "(", ")"].contains(word) => {
                self.words = rest;
                Ok(word)
            }
            _ => bail!("a licence expression lacks a licence"),
        }
    }

    fn take(&mut self, word: &str) -> bool {
        match self.words.split_first() {
            Some((first, rest)) if *first == word => {
                self.words = rest;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn satisfied(expression: &str) -> bool {
        let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"];
        is_satisfied(expression, &|licence| allowed.contains(&licence)).unwrap()
    }

    #[test]
    fn one_of_several_suffices() {
        assert!(satisfied("GPL-3.0 OR MIT"));
        assert!(satisfied("Unlicense/MIT"));
        assert!(satisfied("Apache-2.0 / MIT"));
        assert!(!satisfied("GPL-3.0 OR BSL-1.0"));
    }

    #[test]
    fn all_joined_licences_count() {
        assert!(satisfied("MIT AND ISC"));
        assert!(!satisfied("MIT AND GPL-3.0"));
        assert!(satisfied("GPL-3.0 AND X OR MIT"));
        assert!(satisfied("(GPL-3.0 OR MIT) AND ISC"));
        assert!(!satisfied("GPL-3.0 AND (X OR MIT)"));
    }

    #[test]
    fn an_exception_is_part_of_the_licence() {
        assert!(satisfied("Apache-2.0 WITH LLVM-exception"));
        assert!(!satisfied("Apache-2.0"));
        assert!(!satisfied("MIT WITH LLVM-exception"));
    }

    #[test]
    fn nonsense_is_refused() {
        for expression in ["", "MIT AND", "(MIT", "MIT)", "OR MIT", "MIT ISC"] {
            assert!(is_satisfied(expression, &|_| true).is_err(), "{expression}");
        }
    }
}
