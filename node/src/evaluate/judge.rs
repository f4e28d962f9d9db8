//! From what models returned to the outcomes of records: the task's classes, groups and targets matched
//! with a dataset's and a release's by name.
//!
//! What a model returns is hostile until its shape and its numbers are checked here. Formulas are those
//! of `fieldmark_fl::schema`.

use fieldmark_fl::schema::{Details, Preferred, RecordOutcome, ViewOutcome};
use fieldmark_node_core::io::CommandError;
use fieldmark_node_data::{Preference, Source, Target, View};
use fieldmark_protocol::release::Release;
use fieldmark_protocol::task::{Extra, ScoreKind};

/// What a task asks of a dataset and its models.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    /// Slices, in the order of the task.
    pub(super) slices: &'a [String],
    /// How views are scored, and what is collected beyond that.
    pub(super) extra: &'a Extra,
}

impl Question<'_> {
    /// Whether right answers and confidences on records with every view are all that is asked.
    fn plain(&self) -> bool {
        let extra = self.extra;
        extra.score == ScoreKind::Correct && extra.collected.is_empty() && !extra.missing_views
    }

    /// Whether models have to be run at all.
    pub(super) fn needs_models(&self) -> bool {
        self.extra.score != ScoreKind::Preference
    }

    /// Numbers that a model returns for a row.
    pub(super) fn width(&self, release: &Release) -> usize {
        if self.extra.target_range.is_some() {
            1
        } else {
            release.labels.len()
        }
    }

    /// The classes of answers: the task's, or where it names none the release's own.
    fn classes<'r>(&'r self, release: &'r Release) -> &'r [String] {
        if self.extra.classes.is_empty() {
            &release.labels
        } else {
            &self.extra.classes
        }
    }

    /// That a release answers in the task's terms; says why not.
    pub(super) fn fits(&self, release: &Release) -> Result<(), String> {
        if self.extra.target_range.is_some() || self.extra.classes.is_empty() {
            return Ok(());
        }
        let classes = &self.extra.classes;
        let known = |class: &String| release.labels.contains(class);
        if classes.len() == release.labels.len() && classes.iter().all(known) {
            return Ok(());
        }
        Err(format!(
            "the task's classes are {classes:?}, the model knows {:?}; they must be the same",
            release.labels
        ))
    }

    /// The rows of a slice, and of which records they are.
    ///
    /// # Errors
    /// A record without the view, where the task does not let views be missing.
    pub(super) fn rows<'s>(
        &self,
        chunk: &'s [Source],
        slice: &str,
    ) -> Result<(Vec<usize>, Vec<&'s View>), CommandError> {
        let (mut records, mut rows) = (Vec::new(), Vec::new());
        for (at, source) in chunk.iter().enumerate() {
            if let Some(row) = source.views.get(slice) {
                records.push(at);
                rows.push(row);
            } else if !self.extra.missing_views {
                return Err(invalid(format!(
                    "record '{}' has no view of the slice '{slice}', and the task needs all",
                    source.record_id
                )));
            }
        }
        Ok((records, rows))
    }

    /// What one model made of one view.
    pub(super) fn view(
        &self,
        release: &Release,
        source: &Source,
        row: &[f32],
    ) -> Result<ViewOutcome, String> {
        if let Some(range) = self.extra.target_range {
            let target = source
                .target
                .value()
                .ok_or("the dataset's labels are no numbers")?;
            let prediction = row.first().copied().ok_or("the model returned nothing")?;
            let view = ViewOutcome::of_value(f64::from(prediction), target, range.ends());
            return view.ok_or_else(|| "the model returned NaN".to_owned());
        }
        let class = |name: &str| self.classes(release).iter().position(|c| c == name);
        let truth = source
            .target
            .class()
            .ok_or("the dataset's labels are no classes")?;
        let narrow = |at: Option<usize>| at.and_then(|at| u16::try_from(at).ok());
        let ordered = self.in_order(release, row);
        let view = ViewOutcome::of_logits(&ordered, narrow(class(truth)), self.extra.positive);
        view.ok_or_else(|| "the model returned NaN".to_owned())
    }

    /// A row of scores in the order of the task's classes.
    fn in_order(&self, release: &Release, row: &[f32]) -> Vec<f32> {
        let place = |class: &String| release.labels.iter().position(|label| label == class);
        let score = |class| place(class).and_then(|at| row.get(at)).copied();
        // A class without a score cannot be: `fits` was asked before.
        self.classes(release)
            .iter()
            .map(|c| score(c).unwrap_or(f32::NAN))
            .collect()
    }

    /// The outcome of a record from `views[model][slice]`; nothing if it has no view in any slice.
    pub(super) fn outcome(
        &self,
        source: &Source,
        views: Vec<Vec<Option<ViewOutcome>>>,
        releases: &[&Release],
    ) -> Result<Option<RecordOutcome>, CommandError> {
        if self.plain() {
            return Ok(Some(plain(&views)));
        }
        if self.needs_models() && views.iter().flatten().all(Option::is_none) {
            return Ok(None);
        }
        let extra = self.extra;
        let truth = source.target.class();
        let of = |names: &[String], name: Option<&str>| {
            let at = names.iter().position(|n| Some(n.as_str()) == name);
            at.and_then(|at| u16::try_from(at).ok())
        };
        let class = of(&extra.classes, truth);
        if !extra.classes.is_empty() && class.is_none() {
            let (id, classes) = (&source.record_id, &extra.classes);
            return Err(invalid(format!(
                "record '{id}' has the label '{}', the task's classes are {classes:?}",
                source.target
            )));
        }
        let target = extra.target_range.and_then(|range| {
            let (low, high) = range.ends();
            Some(((source.target.value()? - low) / (high - low)).clamp(0.0, 1.0))
        });
        Ok(Some(RecordOutcome::detailed(Details {
            class,
            positive: extra.positive.and_then(|positive| Some(class? == positive)),
            target,
            group: of(&extra.groups, source.group.as_deref()),
            views: if self.needs_models() { views } else { Vec::new() },
            preferred: self.preferred(source, releases)?,
        })))
    }

    /// The preference of a record, where the task asks for it: its attributes `a` and `b` name the models
    /// whose answers were compared.
    fn preferred(&self, source: &Source, releases: &[&Release]) -> Result<Option<Preferred>, CommandError> {
        if self.needs_models() {
            return Ok(None);
        }
        let id = &source.record_id;
        let Target::Preference(preference) = &source.target else {
            let message = format!("record '{id}' has no preference; the labels of this task are a, b or tie");
            return Err(invalid(message));
        };
        let model = |attribute: &str| {
            let name = source.attributes.get(attribute);
            let found = name.and_then(|name| releases.iter().position(|r| is_called(r, name)));
            found.and_then(|at| u16::try_from(at).ok()).ok_or_else(|| {
                invalid(format!(
                    "record '{id}': the column '{attribute}' must name one of the task's models, as name or name@version"
                ))
            })
        };
        let (first, second) = (model("a")?, model("b")?);
        if first == second {
            return Err(invalid(format!("record '{id}' compares a model with itself")));
        }
        Ok(Some(Preferred {
            first,
            second,
            winner: match preference {
                Preference::A => Some(first),
                Preference::B => Some(second),
                Preference::Tie => None,
            },
        }))
    }
}

fn is_called(release: &Release, name: &str) -> bool {
    name == release.name || name == format!("{}@{}", release.name, release.version)
}

fn invalid(message: String) -> CommandError {
    CommandError::new("invalid", message)
}

/// The tables of right answers and confidences alone.
fn plain(views: &[Vec<Option<ViewOutcome>>]) -> RecordOutcome {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a confidence has single precision"
    )]
    let narrow = |view: &ViewOutcome| view.confidence as f32;
    let correct = |row: &Vec<Option<ViewOutcome>>| row.iter().flatten().map(|v| v.correct).collect();
    let confidence = |row: &Vec<Option<ViewOutcome>>| row.iter().flatten().map(narrow).collect();
    RecordOutcome {
        correct: views.iter().map(correct).collect(),
        confidence: views.iter().map(confidence).collect(),
        details: None,
    }
}

#[cfg(test)]
mod tests;
