//! Which version is the newest: numbers in a version are compared as numbers.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::Entry;

/// A part of a version. Words come before numbers, so that a pre-release is older than its release.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Word(&'a str),
    End,
    Number(u128),
}

/// Versions, the newest last.
pub(super) fn in_order(versions: &BTreeMap<String, Entry>) -> Vec<(&String, &Entry)> {
    let mut listed: Vec<_> = versions.iter().collect();
    listed.sort_by(|a, b| compare(a.0, b.0));
    listed
}

/// The newest that is loaded, or else the newest.
pub(super) fn newest(versions: &BTreeMap<String, Entry>) -> Option<&Entry> {
    if versions.len() == 1 {
        return versions.values().next();
    }
    let listed = in_order(versions);
    let loaded = listed.iter().rev().find(|(_, entry)| entry.loaded.is_some());
    loaded.or(listed.last()).map(|(_, entry)| *entry)
}

fn compare(a: &str, b: &str) -> Ordering {
    parts(a).cmp(&parts(b)).then_with(|| a.cmp(b))
}

fn parts(version: &str) -> Vec<Part<'_>> {
    let version = version.split('+').next().unwrap_or_default();
    let part = |text| match str::parse(text) {
        Ok(number) => Part::Number(number),
        Err(_) => Part::Word(text),
    };
    let mut parts: Vec<_> = version.split(['.', '-']).map(part).collect();
    parts.push(Part::End);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers_and_pre_releases_come_first() {
        let mut versions = ["1.10.0", "2", "1.9.0", "1.10.0-rc.2", "1.10.0-rc.10", "1.10.1"];
        versions.sort_by(|a, b| compare(a, b));
        assert_eq!(
            versions,
            ["1.9.0", "1.10.0-rc.2", "1.10.0-rc.10", "1.10.0", "1.10.1", "2"]
        );
    }
}
