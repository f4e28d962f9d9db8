//! What the columns of a table mean, and how a row is made of its cells. The same for every format.
//!
//! `record_id` names the source record, `slice` its view (without this column all rows are `clean`),
//! `label` (or `target`) the truth, `group` a group for fairness statistics, `attr.NAME` and the columns
//! named in the options are attributes, `text` is a text for models of texts, and every other column is
//! a feature.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::{DataError, Place, shortened};
use crate::limits::FEATURES_MAX;
use crate::options::ReadOptions;
use crate::row::{CLEAN, NoFeature, Row, feature_of_number, feature_of_text};
use crate::source::{Preference, Target, TargetKind, View};

/// Columns that an error lists.
const LISTED_MAX: usize = 12;
/// Most attributes.
const ATTRIBUTES_MAX: usize = 256;
/// Most bytes of a text.
const TEXT_BYTES_MAX: usize = fieldmark_fl::corrupt::text::TEXT_BYTES_MAX;

/// One value of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell<'a> {
    Missing,
    Text(&'a str),
    Number(f64),
    Integer(i64),
}

impl Cell<'_> {
    /// As text, without spaces around it; empty when missing.
    fn text(self) -> String {
        match self {
            Self::Missing => String::new(),
            Self::Text(text) => text.trim().to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Integer(number) => number.to_string(),
        }
    }

    fn is_missing(self) -> bool {
        match self {
            Self::Missing => true,
            Self::Text(text) => text.trim().is_empty(),
            Self::Number(number) => number.is_nan(),
            Self::Integer(_) => false,
        }
    }

    fn feature(self) -> Result<f32, NoFeature> {
        match self {
            Self::Missing => feature_of_text(""),
            Self::Text(text) => feature_of_text(text),
            Self::Number(number) => feature_of_number(number),
            #[expect(clippy::cast_precision_loss, reason = "rounded to a feature's width anyway")]
            Self::Integer(number) => feature_of_number(number as f64),
        }
    }
}

/// Which column is what.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    path: PathBuf,
    pub(crate) names: Vec<String>,
    record_id: usize,
    slice: Option<usize>,
    label: usize,
    group: Option<usize>,
    text: Option<usize>,
    /// With the names by which conditions know them.
    pub(crate) attributes: Vec<(usize, String)>,
    pub(crate) features: Vec<(usize, String)>,
    options: ReadOptions,
}

/// The columns without a part of their own, as attributes and features with their places.
type Divided = (Vec<(usize, String)>, Vec<(usize, String)>);

fn divided(names: &[String], taken: &[Option<usize>], options: &ReadOptions, images: bool) -> Divided {
    let (mut attributes, mut features) = (Vec::new(), Vec::new());
    for (at, name) in names.iter().enumerate() {
        if taken.contains(&Some(at)) {
            continue;
        }
        match name.strip_prefix("attr.") {
            Some(attribute) => attributes.push((at, attribute.to_owned())),
            None if images || options.attributes.contains(name) => attributes.push((at, name.clone())),
            None => features.push((at, shortened(name))),
        }
    }
    (attributes, features)
}

/// That a table has no more columns than are read.
fn bounded(path: &Path, features: usize, attributes: usize) -> Result<(), DataError> {
    for (what, found, limit) in [
        ("feature columns", features, FEATURES_MAX),
        ("attributes", attributes, ATTRIBUTES_MAX),
    ] {
        if found > limit {
            let (path, limit) = (path.to_owned(), limit as u64);
            return Err(DataError::TooMany { path, what, limit });
        }
    }
    Ok(())
}

impl Columns {
    /// Finds the columns of a table. With `images` there are no features: a view is read elsewhere, and
    /// the column `record_id` may be the one called `images`.
    pub(crate) fn new(
        path: &Path,
        names: Vec<String>,
        options: &ReadOptions,
        images: Option<&'static str>,
    ) -> Result<Self, DataError> {
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
            let (path, column) = (path.to_owned(), shortened(twice));
            return Err(DataError::ColumnTwice { path, column });
        }
        let missing = |what, name| DataError::Missing {
            path: path.to_owned(),
            what,
            name,
            found: names.iter().take(LISTED_MAX).map(|n| shortened(n)).collect(),
        };
        let find = |name: &str| names.iter().position(|n| n == name);
        let record_id = find("record_id").or_else(|| images.and_then(find));
        let record_id = record_id.ok_or_else(|| missing("column", images.unwrap_or("record_id")))?;
        if let Some(images) = images.filter(|name| find(name).is_none()) {
            return Err(missing("column", images));
        }
        let label = find("label").or_else(|| find("target"));
        let label = label.ok_or_else(|| missing("column", "label"))?;
        let (slice, group, text) = (
            find("slice"),
            find("group"),
            find("text").filter(|_| images.is_none()),
        );
        let taken = [
            Some(record_id),
            Some(label),
            slice,
            group,
            text,
            images.and_then(find),
        ];
        let (attributes, features) = divided(&names, &taken, options, images.is_some());
        let unknown = options.attributes.iter().find(|a| find(a).is_none());
        if let Some(unknown) = unknown {
            let detail = format!(
                "--attributes names the column '{}', which is not there",
                shortened(unknown)
            );
            return Err(DataError::options(path, detail));
        }
        if text.is_none() && images.is_none() && features.is_empty() {
            return Err(missing("feature column such as", "x0"));
        }
        if let (Some(_), Some((_, feature))) = (text, features.first()) {
            let detail = format!(
                "there is a column 'text' and a feature '{feature}'; a dataset is of texts or of numbers: name the other columns with --attributes"
            );
            return Err(DataError::options(path, detail));
        }
        bounded(path, features.len(), attributes.len())?;
        Ok(Self {
            path: path.to_owned(),
            names,
            record_id,
            slice,
            label,
            group,
            text,
            attributes,
            features,
            options: options.clone(),
        })
    }

    /// Whether views are texts.
    pub(crate) fn is_text(&self) -> bool {
        self.text.is_some()
    }

    /// Makes a row of its cells and counts those that are missing.
    pub(crate) fn row<'c>(
        &self,
        place: Place,
        cell: impl Fn(usize) -> Cell<'c>,
        missing: &mut [u64],
    ) -> Result<Row, DataError> {
        let optional = |at: usize| Some(cell(at)).filter(|c| !c.is_missing()).map(Cell::text);
        for (at, count) in missing.iter_mut().enumerate() {
            *count += u64::from(cell(at).is_missing() && Some(at) != self.text);
        }
        let view = match self.text {
            Some(at) => View::Text(self.text_of(place, cell(at))?),
            None => View::Numbers(
                self.features
                    .iter()
                    .map(|(at, name)| self.feature(place, name, cell(*at)))
                    .collect::<Result<_, _>>()?,
            ),
        };
        let row = Row {
            place,
            record_id: cell(self.record_id).text(),
            slice: self.slice.map_or_else(|| CLEAN.to_owned(), |at| cell(at).text()),
            target: self.target(place, cell(self.label))?,
            group: self.group.and_then(optional),
            attributes: self.attributes.iter().map(|(at, _)| optional(*at)).collect(),
            view,
        };
        row.check(&self.path)?;
        Ok(row)
    }

    fn text_of(&self, place: Place, cell: Cell<'_>) -> Result<String, DataError> {
        let text = match cell {
            Cell::Text(text) => text.to_owned(),
            other => other.text(),
        };
        if text.trim().is_empty() {
            return Err(self.value(place, "text", "", "a text", "write the text or remove the record"));
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(self.value(place, "text", &text, "a text of at most 1 MiB", "split the text"));
        }
        Ok(text)
    }

    fn feature(&self, place: Place, name: &str, cell: Cell<'_>) -> Result<f32, DataError> {
        if let (true, Some(fill)) = (cell.is_missing(), self.options.fill) {
            return Ok(fill);
        }
        let value = cell
            .feature()
            .map_err(|problem| self.value(place, name, &cell.text(), problem.expected, problem.fix))?;
        match self.options.range {
            Some(range) if !(range.low..=range.high).contains(&value) => Err(DataError::OutOfRange {
                path: self.path.clone(),
                place,
                column: name.into(),
                found: value,
                low: range.low,
                high: range.high,
            }),
            _ => Ok(value),
        }
    }

    fn target(&self, place: Place, cell: Cell<'_>) -> Result<Target, DataError> {
        let text = cell.text();
        let column = self.names.get(self.label).map_or("label", String::as_str);
        let wrong = |expected, fix| self.value(place, column, &text, expected, fix);
        match self.options.target {
            TargetKind::Class => {
                let known = &self.options.labels;
                if !known.is_empty() && !known.contains(&text) {
                    let fix = "correct the label, remove the record, or add the label to --labels";
                    return Err(wrong("one of the labels stated with --labels", fix));
                }
                Ok(Target::Class(text))
            }
            TargetKind::Value => {
                let number = text.parse::<f64>().ok().filter(|n| n.is_finite());
                let fix = "write a number or remove the record; for classes leave --target away";
                number
                    .map(Target::Value)
                    .ok_or_else(|| wrong("a finite number", fix))
            }
            TargetKind::Preference => match text.as_str() {
                "a" => Ok(Target::Preference(Preference::A)),
                "b" => Ok(Target::Preference(Preference::B)),
                "tie" => Ok(Target::Preference(Preference::Tie)),
                _ => Err(wrong("'a', 'b' or 'tie'", "write which answer was preferred")),
            },
        }
    }

    fn value(
        &self,
        place: Place,
        column: &str,
        found: &str,
        expected: &'static str,
        fix: &'static str,
    ) -> DataError {
        DataError::Value {
            path: self.path.clone(),
            place,
            column: column.into(),
            found: shortened(found).into(),
            expected,
            fix,
        }
    }
}
