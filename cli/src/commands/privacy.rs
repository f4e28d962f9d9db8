//! `privacy`: accountants and calibrations on the command line. Needs no node.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use fieldmark_fl::privacy::meaning::Meaning;
use fieldmark_fl::privacy::reference::{self, Row};
use fieldmark_fl::privacy::spec::{self, AnyComposition};
use fieldmark_fl::privacy::{Bound, Delta, Epsilon as Promise, Method};
use serde_json::{Map, Value, json};

use crate::args::privacy::{Calibrate, Check, Epsilon, Explain, Mechanisms, Privacy, PrivacyAction};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// False alarms for which detections are told.
const FALSE_ALARMS: [f64; 3] = [0.001, 0.01, 0.1];
/// Prior beliefs for which guesses are told.
const PRIORS: [f64; 3] = [0.5, 0.1, 0.01];

/// `privacy`
pub(crate) fn privacy(args: &Privacy, out: &Output) -> anyhow::Result<()> {
    match &args.action {
        PrivacyAction::Epsilon(args) => epsilon(args, out),
        PrivacyAction::Calibrate(args) => calibrate(args, out),
        PrivacyAction::Check(args) => check(args, out),
        PrivacyAction::Explain(args) => explain(args, out),
    }
}

fn epsilon(args: &Epsilon, out: &Output) -> anyhow::Result<()> {
    let delta = Delta::new(args.delta)?;
    let composition = compose(&args.mechanisms)?;
    let bound = composition.epsilon(delta);
    let bound = finite(bound)?;
    let all = if args.all {
        composition.bounds(delta)
    } else {
        Vec::new()
    };
    let mut value = bound_json(&bound);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("delta".into(), delta.value().into());
        fields.insert("neighbouring".into(), composition.relation().to_string().into());
        if args.all {
            fields.insert("bounds".into(), all.iter().map(bound_json).collect());
        }
    }
    out.result(&value, || {
        let floor = bound.floor.map(|floor| format!("{floor:.6}")).unwrap_or_default();
        let mut lines = text::fields(&[
            ("epsilon", rounded_up(bound.epsilon)),
            ("delta", format!("{:e}", delta.value())),
            ("method", bound.method.to_string()),
            ("at least", floor),
            ("neighbours", composition.relation().to_string()),
        ]);
        for other in &all {
            lines.push_str(&format!("\n  {}  {}", rounded_up(other.epsilon), other.method));
        }
        lines
    })
}

fn calibrate(args: &Calibrate, out: &Output) -> anyhow::Result<()> {
    let (epsilon, delta) = (Promise::new(args.epsilon)?, Delta::new(args.delta)?);
    let (mechanism, params) = mechanism(&args.mechanism)?;
    let found = spec::calibrate(&mechanism, &params, epsilon, delta).map_err(usage)?;
    let mut value = bound_json(&found.bound);
    if let Some(fields) = value.as_object_mut() {
        fields.insert(found.parameter.into(), found.value.into());
        fields.insert("delta".into(), delta.value().into());
    }
    out.result(&value, || {
        text::fields(&[
            (found.parameter, rounded_up(found.value)),
            ("epsilon", rounded_up(found.bound.epsilon)),
            ("delta", format!("{:e}", delta.value())),
            ("method", found.bound.method.to_string()),
        ])
    })
}

/// One row of a reference file, computed.
struct Checked<'r> {
    row: &'r Row,
    outcome: Result<(f64, Method), String>,
}

impl Checked<'_> {
    fn inside(&self) -> bool {
        matches!(&self.outcome, Ok((value, _)) if self.row.contains(*value))
    }

    fn json(&self) -> Value {
        let (value, method, error) = match &self.outcome {
            Ok((value, method)) => (json!(value), json!(method.name()), Value::Null),
            Err(error) => (Value::Null, Value::Null, json!(error)),
        };
        let mut line = json!({
            "id": self.row.id, "value": value, "method": method,
            "lo": self.row.low, "hi": self.row.high, "inside": self.inside(),
        });
        if let (Some(fields), false) = (line.as_object_mut(), error.is_null()) {
            fields.insert("line".into(), self.row.line.into());
            fields.insert("error".into(), error);
        }
        line
    }

    fn text(&self) -> String {
        let low = self.row.low.map_or_else(|| "–".to_owned(), |low| low.to_string());
        let band = format!("{low} .. {}", self.row.high);
        let id = text::plain(&self.row.id);
        match &self.outcome {
            Ok((value, method)) => {
                let verdict = if self.inside() { "inside" } else { "OUTSIDE" };
                format!("{id:<6} {verdict:<8} {value:<22} {method:<24} {band}")
            }
            Err(error) => format!("{id:<6} line {}: {}", self.row.line, text::plain(error)),
        }
    }
}

fn check(args: &Check, out: &Output) -> anyhow::Result<()> {
    let name = args.file.display();
    let bytes = read(&args.file)?;
    let rows = reference::read(&bytes).with_context(|| format!("{name}: cannot read the reference rows"))?;
    let mut outside = 0;
    for row in &rows {
        let outcome = match row.figure() {
            Ok(figure) => Ok((figure.value, figure.method)),
            Err(error) => Err(error.to_string()),
        };
        let checked = Checked { row, outcome };
        outside += usize::from(!checked.inside());
        out.event(&checked.json(), || checked.text())?;
    }
    if outside > 0 {
        let message = format!(
            "{name}: {outside} of {} rows are not inside their band",
            rows.len()
        );
        return Err(Failure::new(Exit::Failed, "outside", message).into());
    }
    out.note(&format!("all {} rows are inside their band", rows.len()));
    Ok(())
}

fn explain(args: &Explain, out: &Output) -> anyhow::Result<()> {
    let delta = Delta::new(args.delta)?;
    let (epsilon, bound) = match args.epsilon {
        Some(epsilon) => (Promise::new(epsilon)?.value(), None),
        None => {
            let bound = finite(compose(&args.mechanisms)?.epsilon(delta))?;
            (bound.epsilon, Some(bound))
        }
    };
    let meaning = Meaning::of(epsilon, delta);
    let value = json!({
        "epsilon": epsilon,
        "delta": delta.value(),
        "method": bound.map(|bound| bound.method.name()),
        "odds_factor": meaning.odds_factor(),
        "advantage_max": meaning.advantage_max(),
        "detection_max": FALSE_ALARMS.map(|alarm| json!({"false_alarm": alarm, "detection": meaning.detection_max(alarm)})),
        "right_guess_max": PRIORS.map(|prior| json!({"prior": prior, "right": meaning.right_guess_max(prior)})),
    });
    out.result(&value, || words(meaning, epsilon, delta, bound))
}

/// The meaning in sentences.
fn words(meaning: Meaning, epsilon: f64, delta: Delta, bound: Option<Bound>) -> String {
    let percent = |share: f64| format!("{:.2}%", share * 100.0);
    let mut lines = vec![format!("ε = {}, δ = {:e}", rounded_up(epsilon), delta.value())];
    if let Some(bound) = bound {
        lines.push(format!("This ε is an upper bound, found by {}.", bound.method));
    }
    lines.push(String::new());
    lines.push(format!(
        "Whoever sees all results and knows everything but whether one record was used can change their \
         odds about it by a factor of at most {:.2}, but for an event of probability about {:e}.",
        meaning.odds_factor(),
        delta.value()
    ));
    lines.push(format!(
        "No attack detects the record more than {} points of probability oftener when it was there than \
         when it was not (its advantage; 0 is a blind guess, 100 certainty).",
        percent(meaning.advantage_max()).trim_end_matches('%')
    ));
    for alarm in FALSE_ALARMS {
        lines.push(format!(
            "  with false alarms in {} of cases it detects at most {}",
            percent(alarm),
            percent(meaning.detection_max(alarm))
        ));
    }
    for prior in PRIORS {
        lines.push(format!(
            "  who believed with {} that it was there guesses right at most {} of the time (blindly: {})",
            percent(prior),
            percent(meaning.right_guess_max(prior)),
            percent(prior.max(1.0 - prior))
        ));
    }
    lines.push(String::new());
    lines.push("This holds for every attack and whatever else is known; it is no statement about how likely an attack is.".to_owned());
    lines.join("\n")
}

/// The mechanisms given, composed.
fn compose(args: &Mechanisms) -> anyhow::Result<AnyComposition> {
    let parts = match &args.file {
        Some(path) => {
            let name = path.display();
            let value: Value =
                serde_json::from_slice(&read(path)?).with_context(|| format!("{name}: not JSON"))?;
            match value {
                Value::Array(parts) => parts,
                Value::Object(mut fields) if fields.get("mechanism") == Some(&json!("mixed")) => match fields
                    .remove("parts")
                {
                    Some(Value::Array(parts)) => parts,
                    _ => {
                        return Err(Failure::usage(format!("{name}: a mixture needs a list of parts")).into());
                    }
                },
                one => vec![one],
            }
        }
        None if args.mechanisms.is_empty() => {
            return Err(Failure::usage("give at least one --mechanism, or --file").into());
        }
        None => {
            let parts: anyhow::Result<Vec<Value>> = args.mechanisms.iter().map(|text| part(text)).collect();
            parts?
        }
    };
    AnyComposition::read_list(&parts).map_err(usage)
}

fn usage(error: spec::SpecError) -> anyhow::Error {
    Failure::usage(error.to_string()).into()
}

/// `NAME,KEY=VALUE…` as a JSON object.
fn part(text: &str) -> anyhow::Result<Value> {
    let (name, mut params) = mechanism(text)?;
    params.insert("mechanism".into(), name.into());
    Ok(Value::Object(params))
}

/// `NAME,KEY=VALUE…` as a name and parameters.
fn mechanism(text: &str) -> anyhow::Result<(String, Map<String, Value>)> {
    let mut pieces = text.split(',').map(str::trim);
    let name = pieces.next().unwrap_or_default().to_owned();
    let mut params = Map::new();
    for piece in pieces {
        let Some((key, value)) = piece.split_once('=') else {
            return Err(Failure::usage(format!("{piece:?} in {text:?} must be KEY=VALUE")).into());
        };
        // Whole numbers, numbers, and else words.
        let parsed = value
            .parse::<u64>()
            .map(Value::from)
            .or_else(|_| value.parse::<f64>().map(Value::from));
        let parsed = parsed.unwrap_or_else(|_| value.into());
        if params.insert(key.trim().to_owned(), parsed).is_some() {
            return Err(Failure::usage(format!("{key} is given twice in {text:?}")).into());
        }
    }
    Ok((name, params))
}

fn finite(bound: Bound) -> anyhow::Result<Bound> {
    if bound.epsilon.is_finite() {
        return Ok(bound);
    }
    let message =
        "no method gives a finite ε for these mechanisms at this δ; use less of them, or more noise";
    Err(Failure::new(Exit::Failed, "unbounded", message).into())
}

fn bound_json(bound: &Bound) -> Value {
    let order = match bound.method {
        Method::Rdp { order } => Some(order),
        _ => None,
    };
    json!({
        "epsilon": bound.epsilon, "method": bound.method.name(), "order": order, "at_least": bound.floor,
    })
}

/// Six decimals, rounded up.
fn rounded_up(value: f64) -> String {
    format!("{:.6}", (value * 1e6).ceil() / 1e6)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::not_found(format!("{name}: there is no such file")).into());
        }
        Err(error) => return Err(anyhow::Error::from(error).context(format!("{name}: cannot read it"))),
    };
    if size > FILE_BYTES_MAX {
        return Err(Failure::usage(format!(
            "{name} has {size} bytes, at most {FILE_BYTES_MAX} are read"
        ))
        .into());
    }
    fs::read(path).with_context(|| format!("{name}: cannot read it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_are_read_as_people_type_them() {
        let (name, params) = mechanism("gaussian, sigma=1.5,count=3,neighbouring=replace_one").unwrap();
        assert_eq!(name, "gaussian");
        assert_eq!(params["sigma"], json!(1.5));
        assert_eq!(params["count"], json!(3));
        assert_eq!(params["neighbouring"], json!("replace_one"));
        assert!(mechanism("gaussian,sigma").is_err());
        assert!(mechanism("gaussian,sigma=1,sigma=2").is_err());
    }

    #[test]
    fn numbers_are_rounded_up() {
        assert_eq!(rounded_up(1.000_000_1), "1.000001");
        assert_eq!(rounded_up(2.5), "2.500000");
    }
}
