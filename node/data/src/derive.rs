//! Slices that are in no file: by condition and by corruption, made for one record at a time.
//!
//! A slice by condition holds of each record the first view for which the condition holds: the base view
//! first, then the others in the order of their slices' names. A slice by corruption holds the corrupted
//! base view. A record without such a view is absent from the slice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fieldmark_fl::corrupt::{self, Corruption, Frame, RecordKey};
use fieldmark_protocol::text;

use crate::error::DataError;
use crate::options::{RULES_MAX, ReadOptions};
use crate::predicate::Predicate;
use crate::row::{CLEAN, Row};
use crate::source::{Source, View};
use crate::summary::Summary;

/// The conditions of a dataset, parsed.
#[derive(Debug)]
pub(crate) struct Rules {
    attributes: Vec<String>,
    conditions: Vec<(String, Predicate)>,
}

impl Rules {
    /// Parses the conditions and checks the names they ask for.
    pub(crate) fn new(
        path: &Path,
        options: &ReadOptions,
        attributes: Vec<String>,
    ) -> Result<Self, DataError> {
        let mut names = BTreeSet::new();
        let made = options.slices.iter().map(|rule| &rule.slice);
        for name in made.chain(options.corruptions.iter().map(|rule| &rule.slice)) {
            if let Err(error) = text::name("a slice's name", name) {
                return Err(DataError::options(path, error.to_string()));
            }
            if !names.insert(name) {
                return Err(DataError::options(
                    path,
                    format!("the slice '{name}' is made twice; rename one"),
                ));
            }
        }
        if options.slices.len() > RULES_MAX || options.corruptions.len() > RULES_MAX {
            let (path, what, limit) = (path.to_owned(), "slices to be made", RULES_MAX as u64);
            return Err(DataError::TooMany { path, what, limit });
        }
        let mut conditions = Vec::new();
        for rule in &options.slices {
            let wrong = |detail: String| {
                DataError::options(
                    path,
                    format!(
                        "slice '{}', condition \"{}\": {detail}",
                        rule.slice, rule.condition
                    ),
                )
            };
            let predicate = Predicate::parse(&rule.condition).map_err(|e| wrong(e.to_string()))?;
            let known = |name: &&str| {
                ["label", "group", "slice"].contains(name) || attributes.iter().any(|a| a == plain(name))
            };
            if let Some(unknown) = predicate.names().into_iter().find(|name| !known(name)) {
                let mut all = vec!["label", "group", "slice"];
                all.extend(attributes.iter().map(String::as_str).take(20));
                return Err(wrong(format!(
                    "there is no attribute '{unknown}', known are {}; name a column with --attributes to use it",
                    all.join(", ")
                )));
            }
            conditions.push((rule.slice.clone(), predicate));
        }
        Ok(Self {
            attributes,
            conditions,
        })
    }

    /// Which conditions hold for a row, a bit for each.
    pub(crate) fn bits(&self, row: &Row) -> u64 {
        let target = row.target.to_string();
        let value = |name: &str| match name {
            "label" => Some(target.as_str()),
            "group" => row.group.as_deref(),
            "slice" => Some(row.slice.as_str()),
            name => {
                let at = self.attributes.iter().position(|a| a == plain(name))?;
                row.attributes.get(at)?.as_deref()
            }
        };
        let holds = |(at, (_, predicate)): (usize, &(String, Predicate))| {
            u64::from(predicate.holds(value))
                .checked_shl(u32::try_from(at).unwrap_or(64))
                .unwrap_or(0)
        };
        self.conditions
            .iter()
            .enumerate()
            .map(holds)
            .fold(0, |all, bit| all | bit)
    }
}

/// An attribute's name without the prefix of its column.
fn plain(name: &str) -> &str {
    name.strip_prefix("attr.").unwrap_or(name)
}

/// The slice that others are made of.
pub(crate) fn base(
    path: &Path,
    options: &ReadOptions,
    slices: &[String],
) -> Result<Option<String>, DataError> {
    let has = |name: &str| slices.iter().any(|slice| slice == name);
    match (&options.base, slices) {
        // No row could be used: the errors of the rows tell why.
        (_, []) => Ok(None),
        (Some(base), _) if has(base) => Ok(Some(base.clone())),
        (Some(base), _) => Err(DataError::NoSlice {
            path: path.to_owned(),
            slice: base.clone(),
            found: slices.to_vec(),
        }),
        (None, [only]) => Ok(Some(only.clone())),
        (None, _) if has(CLEAN) => Ok(Some(CLEAN.to_owned())),
        (None, _) if options.corruptions.is_empty() => Ok(None),
        (None, _) => {
            let detail = "it is not said of which slice corrupted views are made; name it with --base";
            Err(DataError::options(path, detail.to_owned()))
        }
    }
}

/// Makes records of rows.
#[derive(Debug)]
pub(crate) struct Derive {
    path: PathBuf,
    rules: Rules,
    base: Option<String>,
    corruptions: Vec<(String, Corruption, u8)>,
    /// Width, height and channels.
    image: [usize; 3],
    max: f32,
    fill: f32,
    secret: [u8; 32],
}

impl Derive {
    pub(crate) fn new(
        path: &Path,
        options: &ReadOptions,
        summary: &Summary,
        attributes: Vec<String>,
        secret: Option<&[u8; 32]>,
    ) -> Result<Self, DataError> {
        let rules = Rules::new(path, options, attributes)?;
        let corruptions = corruptions(path, options, summary.text)?;
        if !corruptions.is_empty() && secret.is_none() {
            let detail = "corrupted views need the node's dataset secret";
            return Err(DataError::options(path, detail.to_owned()));
        }
        let images = corruptions
            .iter()
            .any(|(_, c, _)| matches!(c, Corruption::Image(_)));
        Ok(Self {
            path: path.to_owned(),
            rules,
            base: base(path, options, &summary.file_slices)?,
            image: if images {
                shape(path, options, summary)?
            } else {
                [0; 3]
            },
            corruptions,
            max: options.range.map_or(1.0, |range| range.high),
            fill: options.fill.unwrap_or(0.0),
            secret: secret.copied().unwrap_or_default(),
        })
    }

    /// The record of rows that share an id.
    pub(crate) fn source(&self, rows: Vec<Row>) -> Result<Source, DataError> {
        let changed = || DataError::Changed {
            path: self.path.clone(),
        };
        let first = rows.first().ok_or_else(changed)?.clone();
        let mut chosen: BTreeMap<usize, (bool, String)> = BTreeMap::new();
        let mut views = BTreeMap::new();
        for row in rows {
            let bits = self.rules.bits(&row);
            let rank = (Some(&row.slice) != self.base.as_ref(), row.slice.clone());
            for at in (0..self.rules.conditions.len()).filter(|at| bits >> at & 1 == 1) {
                let best = chosen.entry(at).or_insert_with(|| rank.clone());
                *best = rank.clone().min(best.clone());
            }
            if views.insert(row.slice, row.view).is_some() {
                return Err(changed());
            }
        }
        let mut made = BTreeMap::new();
        for (at, (_, slice)) in chosen {
            if let (Some((name, _)), Some(view)) = (self.rules.conditions.get(at), views.get(&slice)) {
                made.insert(name.clone(), view.clone());
            }
        }
        if let Some(clean) = self.base.as_ref().and_then(|base| views.get(base)) {
            for (name, corruption, severity) in &self.corruptions {
                made.insert(
                    name.clone(),
                    self.corrupted(&first.record_id, clean, *corruption, *severity)?,
                );
            }
        }
        views.append(&mut made);
        let attributes = self.rules.attributes.iter().zip(first.attributes);
        Ok(Source {
            record_id: first.record_id,
            target: first.target,
            group: first.group,
            attributes: attributes
                .filter_map(|(name, value)| Some((name.clone(), value?)))
                .collect(),
            views,
        })
    }

    fn corrupted(
        &self,
        record: &str,
        clean: &View,
        corruption: Corruption,
        severity: u8,
    ) -> Result<View, DataError> {
        let failed = |source| DataError::Corrupt {
            path: self.path.clone(),
            record: record.to_owned(),
            source,
        };
        let key = RecordKey {
            secret: &self.secret,
            record_id: record.as_bytes(),
        };
        match (corruption, clean) {
            (Corruption::Text(operator), View::Text(text)) => {
                let text = corrupt::text::apply(operator, text, severity, &key).map_err(failed)?;
                Ok(View::Text(text))
            }
            (Corruption::Table(operator), View::Numbers(numbers)) => {
                let mut numbers = numbers.clone();
                corrupt::table::apply(operator, &mut numbers, self.fill, severity, &key).map_err(failed)?;
                Ok(View::Numbers(numbers))
            }
            (Corruption::Image(operator), View::Numbers(numbers)) => {
                let (max, mut pixels) = (self.max, numbers.clone());
                if let Some(outside) = pixels.iter().find(|pixel| **pixel < 0.0 || **pixel > max) {
                    let detail = format!(
                        "record '{record}' has a value of {outside}, outside 0 to {max}; state the range with --range (--max for `dataset views`)"
                    );
                    return Err(DataError::Image {
                        path: self.path.clone(),
                        detail,
                    });
                }
                let [width, height, channels] = self.image;
                let frame = Frame {
                    pixels: &mut pixels,
                    width,
                    height,
                    channels,
                    max,
                };
                corrupt::apply(operator, frame, severity, &key).map_err(failed)?;
                Ok(View::Numbers(pixels))
            }
            _ => Err(DataError::Changed {
                path: self.path.clone(),
            }),
        }
    }
}

/// The operators asked for, which must suit what the dataset holds.
pub(crate) fn corruptions(
    path: &Path,
    options: &ReadOptions,
    text: bool,
) -> Result<Vec<(String, Corruption, u8)>, DataError> {
    let parse = |rule: &crate::CorruptionRule| {
        let wrong = |detail: String| DataError::options(path, format!("slice '{}': {detail}", rule.slice));
        let operator = Corruption::parse(&rule.operator).map_err(|e| wrong(e.to_string()))?;
        if !(1..=corrupt::SEVERITY_MAX).contains(&rule.severity) {
            return Err(wrong(format!("a severity is 1 to 5, not {}", rule.severity)));
        }
        if matches!(operator, Corruption::Text(_)) != text {
            let (of, holds) = if text {
                ("numbers", "texts")
            } else {
                ("texts", "numbers")
            };
            return Err(wrong(format!(
                "{} is a corruption of {of}, the dataset holds {holds}",
                rule.operator
            )));
        }
        Ok((rule.slice.clone(), operator, rule.severity))
    };
    options.corruptions.iter().map(parse).collect()
}

/// Width, height and channels of every record.
fn shape(path: &Path, options: &ReadOptions, summary: &Summary) -> Result<[usize; 3], DataError> {
    if let Some(image) = summary.image {
        return Ok(image);
    }
    let features = usize::try_from(summary.features).unwrap_or(usize::MAX);
    let channels = options.image.channels.unwrap_or(1);
    let plane = features.checked_div(channels).unwrap_or(0);
    let width = options.image.width.unwrap_or_else(|| plane.isqrt());
    let height = options
        .image
        .height
        .unwrap_or_else(|| plane.checked_div(width).unwrap_or(0));
    let product = width
        .checked_mul(height)
        .and_then(|area| area.checked_mul(channels));
    if width == 0 || product != Some(features) {
        let detail = format!(
            "{features} features are no image of width {width} in {channels} channels; state its shape with --size and --channels (--width for `dataset views`)"
        );
        return Err(DataError::Image {
            path: path.to_owned(),
            detail,
        });
    }
    Ok([width, height, channels])
}
