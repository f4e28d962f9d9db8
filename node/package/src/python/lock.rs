//! `requirements.txt`, taken only where it locks every package by version and hash.
//!
//! What `pip-compile --generate-hashes` and `uv pip compile --generate-hashes` write is read: one requirement a
//! line, `NAME[EXTRA]==VERSION ; MARKER --hash=sha256:…`, lines joined by a backslash, comments. Everything that
//! could reach another index, a file, a repository or a build step is refused by its line. pip is never given the
//! package's file but [`Lock::canonical`], which holds nothing else than what was understood here.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Most requirements of a package.
const REQUIREMENTS_MAX: usize = 1000;
/// Most hashes of one requirement: a wheel per platform and version of Python.
const HASHES_MAX: usize = 1000;
/// Longest name, version or marker.
const TEXT_BYTES_MAX: usize = 512;
/// Hash algorithms that pip takes, with the length of their digests in hexadecimal.
const ALGORITHMS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];
const FIX: &str = "write the file with `pip-compile --generate-hashes` or `uv pip compile --generate-hashes`";

/// A line that does not lock a package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}; {FIX}")]
pub struct LockError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

/// One package, locked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requirement {
    /// Its name in the index's normal form: small letters, digits and hyphens.
    pub name: String,
    /// Extras, sorted.
    pub extras: BTreeSet<String>,
    /// Its version.
    pub version: String,
    /// Environment marker; empty: always.
    pub marker: String,
    /// `ALGORITHM:DIGEST` of every file that may be installed.
    pub hashes: BTreeSet<String>,
}

/// All requirements of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    requirements: BTreeSet<Requirement>,
}

impl Lock {
    /// Reads a requirements file.
    ///
    /// # Errors
    /// [`LockError`] with the line and how to lock.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let mut requirements = BTreeSet::new();
        for (line, joined) in joined_lines(text) {
            let requirement = requirement(&joined).map_err(|problem| LockError { line, problem })?;
            let twice = requirements
                .iter()
                .any(|r: &Requirement| r.name == requirement.name && r.marker == requirement.marker);
            let problem = match () {
                () if twice => format!("{} is required twice", requirement.name),
                () if requirements.len() >= REQUIREMENTS_MAX => {
                    format!("more than {REQUIREMENTS_MAX} packages are required")
                }
                () => {
                    requirements.insert(requirement);
                    continue;
                }
            };
            return Err(LockError { line, problem });
        }
        Ok(Self { requirements })
    }

    /// Whether nothing is required.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The requirements in order of their names.
    pub fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        self.requirements.iter()
    }

    /// The one way to write this lock: sorted, one line each, every hash. Equal locks have equal text, whatever
    /// tool wrote the file.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        for Requirement {
            name,
            extras,
            version,
            marker,
            hashes,
        } in &self.requirements
        {
            let extras: Vec<&str> = extras.iter().map(String::as_str).collect();
            let extras = if extras.is_empty() {
                String::new()
            } else {
                format!("[{}]", extras.join(","))
            };
            let marker = if marker.is_empty() {
                String::new()
            } else {
                format!(" ; {marker}")
            };
            let hashes: String = hashes.iter().map(|hash| format!(" --hash={hash}")).collect();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}{extras}=={version}{marker}{hashes}");
        }
        text
    }
}

/// Lines with their continuations, without comments and empty ones, each with the number of its first line.
fn joined_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        let line = without_comment(line);
        let continued = line.trim_end().ends_with('\\');
        let content = line.trim_end().trim_end_matches('\\').trim();
        let (_, joined) = open.get_or_insert_with(|| (at + 1, String::new()));
        joined.push(' ');
        joined.push_str(content);
        if !continued {
            lines.extend(open.take());
        }
    }
    lines.extend(open);
    lines.retain(|(_, line)| !line.trim().is_empty());
    lines
}

fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with('#') {
        return "";
    }
    line.find(" #")
        .or_else(|| line.find("\t#"))
        .and_then(|at| line.get(..at))
        .unwrap_or(line)
}

fn requirement(line: &str) -> Result<Requirement, String> {
    let line = line.trim();
    refuse_other_sources(line)?;
    let (head, options) = match line.find(" --") {
        Some(at) => line.split_at(at),
        None => (line, ""),
    };
    let (pinned, marker) = head.split_once(';').map_or((head, ""), |(p, m)| (p, m.trim()));
    let pinned: String = pinned.split_whitespace().collect();
    let Some((name, version)) = pinned.split_once("==") else {
        return Err(format!("'{}' names no version with ==", shown(&pinned)));
    };
    let (name, extras) = split_extras(name)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+!".contains(c);
    if version.is_empty() || version.len() > TEXT_BYTES_MAX || !version.chars().all(plain) {
        return Err(format!("'{}' is no exact version", shown(version)));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || " ._-+!<>=~()'\"".contains(c);
    if marker.len() > TEXT_BYTES_MAX || !marker.chars().all(fits) {
        return Err(format!("'{}' is no environment marker", shown(marker)));
    }
    let marker = marker.split_whitespace().collect::<Vec<_>>().join(" ");
    let hashes = options
        .split_whitespace()
        .map(hash)
        .collect::<Result<BTreeSet<_>, _>>()?;
    if hashes.is_empty() || hashes.len() > HASHES_MAX {
        return Err(format!(
            "{name} has {} hashes, 1 to {HASHES_MAX} are expected",
            hashes.len()
        ));
    }
    Ok(Requirement {
        name,
        extras,
        version: version.to_owned(),
        marker,
        hashes,
    })
}

/// Refuses what is no package of an index.
fn refuse_other_sources(line: &str) -> Result<(), String> {
    let first = line.split([' ', '=']).next().unwrap_or_default();
    let problem = match first {
        "-e" | "--editable" => "an editable install runs code of its folder, so it is refused",
        "-r" | "--requirement" | "-c" | "--constraint" => "other files are not followed",
        _ if first.starts_with('-') => {
            "options are refused: which index is used is for whoever runs the model to say"
        }
        _ if line.contains("://") || line.contains(" @ ") || line.starts_with("git+") => {
            "addresses and repositories are refused; only packages of the index are taken, as wheels"
        }
        _ if first.starts_with(['.', '/']) || first.ends_with(".whl") || first.ends_with(".tar.gz") => {
            "files are refused; only packages of the index are taken, as wheels"
        }
        _ => return Ok(()),
    };
    Err(format!("'{}': {problem}", shown(line)))
}

fn split_extras(name: &str) -> Result<(String, BTreeSet<String>), String> {
    let (name, extras) = match name.split_once('[') {
        None => (name, ""),
        Some((name, rest)) => {
            let inner = rest
                .strip_suffix(']')
                .ok_or_else(|| format!("'{}' has no ]", shown(rest)))?;
            (name, inner)
        }
    };
    let extras = extras.split(',').filter(|e| !e.is_empty()).map(normal_name);
    Ok((normal_name(name)?, extras.collect::<Result<_, _>>()?))
}

/// A name in the index's normal form: runs of `-`, `_` and `.` are one hyphen.
fn normal_name(name: &str) -> Result<String, String> {
    let separator = |c: char| matches!(c, '-' | '_' | '.');
    let fits = |c: char| c.is_ascii_alphanumeric() || separator(c);
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if name.len() > TEXT_BYTES_MAX
        || !name.chars().all(fits)
        || !ends(name.chars().next())
        || !ends(name.chars().last())
    {
        return Err(format!("'{}' is no name of a package", shown(name)));
    }
    let parts: Vec<&str> = name.split(separator).filter(|part| !part.is_empty()).collect();
    Ok(parts.join("-").to_ascii_lowercase())
}

fn hash(option: &str) -> Result<String, String> {
    let Some(hash) = option.strip_prefix("--hash=") else {
        return Err(format!(
            "'{}' is refused; a requirement has hashes and no other options",
            shown(option)
        ));
    };
    let hash = hash.to_ascii_lowercase();
    let known = hash.split_once(':').is_some_and(|(algorithm, digest)| {
        ALGORITHMS.contains(&(algorithm, digest.len())) && digest.bytes().all(|b| b.is_ascii_hexdigit())
    });
    if known {
        Ok(hash)
    } else {
        Err(format!(
            "'{}' is no hash of sha256, sha384 or sha512",
            shown(option)
        ))
    }
}

/// The start of what was found.
fn shown(text: &str) -> String {
    let start: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
    if start.len() < text.len() {
        format!("{start}…")
    } else {
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(digit: char) -> String {
        format!("sha256:{}", String::from(digit).repeat(64))
    }

    #[test]
    fn what_the_usual_tools_write_is_understood_and_written_one_way() {
        let (a, b) = (digest('a'), digest('b'));
        let compiled = format!(
            "#\n# by pip-compile\n#\nNumPy==2.1.0 \\\n    --hash={b} \\\n    --hash={a}\n    # via scikit-learn\n\
             scikit_learn[all]==1.5.2 ; python_version >= \"3.9\" \\\n    --hash={a}\n"
        );
        let lock = Lock::parse(&compiled).unwrap();
        let canonical = format!(
            "numpy==2.1.0 --hash={a} --hash={b}\n\
             scikit-learn[all]==1.5.2 ; python_version >= \"3.9\" --hash={a}\n"
        );
        assert_eq!(lock.canonical(), canonical);
        assert_eq!(Lock::parse(&canonical).unwrap(), lock);
        assert!(Lock::parse("# nothing\n\n").unwrap().is_empty());
    }

    #[test]
    fn lines_that_do_not_lock_are_named_with_the_way_to_lock() {
        let a = digest('a');
        for (text, line, sign) in [
            ("numpy==2.1.0\n".to_owned(), 1, "0 hashes"),
            (format!("\nnumpy>=2 --hash={a}\n"), 2, "=="),
            (format!("numpy==2.* --hash={a}"), 1, "exact version"),
            ("-e .\n".to_owned(), 1, "editable"),
            ("--index-url https://example.org\n".to_owned(), 1, "options"),
            ("--extra-index-url=https://example.org\n".to_owned(), 1, "options"),
            ("-r other.txt\n".to_owned(), 1, "other files"),
            (
                format!("numpy @ https://example.org/n.whl --hash={a}"),
                1,
                "addresses",
            ),
            (format!("git+https://example.org/n --hash={a}"), 1, "addresses"),
            (format!("./numpy.whl --hash={a}"), 1, "files"),
            (
                format!("numpy==2.1.0 --hash=md5:{}", "a".repeat(32)),
                1,
                "no hash",
            ),
            (
                format!("numpy==2.1.0 --hash={a} --global-option=x"),
                1,
                "no other options",
            ),
            (format!("numpy==1 --hash={a}\nnumpy==2 --hash={a}"), 2, "twice"),
            (format!("numpy==1;`x` --hash={a}"), 1, "marker"),
        ] {
            let error = Lock::parse(&text).unwrap_err();
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(error.to_string().contains(sign), "{text}: {error}");
            assert!(error.to_string().contains("--generate-hashes"), "{error}");
        }
    }
}
