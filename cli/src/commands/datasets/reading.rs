//! From the options of the command line to those of the reader.

use fieldmark_fl::corrupt::Corruption;
use fieldmark_node_data::{CorruptionRule, ImageShape, Range, ReadOptions, SliceRule, TargetKind};

use crate::args::datasets::Reading;
use crate::args::models;
use crate::failure::Failure;

/// The reader's options.
pub(super) fn options(args: &Reading) -> Result<ReadOptions, Failure> {
    let target = TargetKind::parse(&args.target).ok_or_else(|| {
        let message = format!(
            "--target '{}': there are class, value and preference",
            args.target
        );
        Failure::usage(message)
    })?;
    let (width, height) = args.size.as_deref().map(size).transpose()?.unzip();
    Ok(ReadOptions {
        target,
        attributes: args.attributes.clone(),
        labels: args.labels.clone(),
        range: args.range.as_deref().map(range).transpose()?,
        fill: args.fill,
        image: ImageShape {
            width,
            height,
            channels: args.channels,
        },
        base: args.base.clone(),
        slices: args
            .slice
            .iter()
            .map(|text| rule(text))
            .collect::<Result<_, _>>()?,
        corruptions: args
            .severity_of
            .iter()
            .map(|text| corruption(text))
            .collect::<Result<_, _>>()?,
        ..ReadOptions::default()
    })
}

fn size(text: &str) -> Result<(usize, usize), Failure> {
    let sides = text
        .split_once('x')
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides.ok_or_else(|| Failure::usage(format!("--size '{text}': write WIDTHxHEIGHT, such as 8x8")))
}

fn range(text: &str) -> Result<Range, Failure> {
    models::range(text).map_err(|wrong| Failure::usage(format!("--range '{text}': {wrong}")))
}

/// Parses `night=hour >= 20`.
fn rule(text: &str) -> Result<SliceRule, Failure> {
    let parts = text
        .split_once('=')
        .filter(|(name, _)| !name.contains([' ', '<', '>', '!']));
    let (slice, condition) = parts.ok_or_else(|| {
        Failure::usage(format!(
            "--slice '{text}': write NAME=CONDITION, such as \"night=hour >= 20\""
        ))
    })?;
    Ok(SliceRule {
        slice: slice.trim().to_owned(),
        condition: condition.trim().to_owned(),
    })
}

/// Parses `blur=2` and `mist:blur=2`; `sensor-noise` is another word for `noise`, and keeps its name as
/// the slice's.
fn corruption(text: &str) -> Result<CorruptionRule, Failure> {
    let wrong = |detail: String| Failure::usage(format!("--severity-of '{text}': {detail}"));
    let (name, severity) = text
        .split_once('=')
        .ok_or_else(|| wrong("write NAME=SEVERITY, such as blur=2".to_owned()))?;
    let (slice, operator) = name.split_once(':').unwrap_or((name, name));
    let operator = if operator == "sensor-noise" {
        "noise"
    } else {
        operator
    };
    let operator = Corruption::parse(operator).map_err(|error| wrong(error.to_string()))?;
    let severity = severity.parse().ok().filter(|s| (1..=5).contains(s));
    let severity = severity.ok_or_else(|| wrong("a severity is 1 to 5".to_owned()))?;
    Ok(CorruptionRule {
        slice: slice.to_owned(),
        operator: operator.name().to_owned(),
        severity,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_are_parsed_and_refused_with_the_fix() {
        let noise = corruption("sensor-noise=2").unwrap();
        let parts = (noise.slice.as_str(), noise.operator.as_str(), noise.severity);
        assert_eq!(parts, ("sensor-noise", "noise", 2));
        let dusk = corruption("dusk:low-light=1").unwrap();
        assert_eq!(
            (dusk.slice.as_str(), dusk.operator.as_str()),
            ("dusk", "low-light")
        );
        for wrong in ["blur", "blur=0", "blur=9", "fog=2", "blur=x"] {
            assert!(corruption(wrong).unwrap_err().message.contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn ranges_sizes_and_conditions_are_parsed_and_refused_with_the_fix() {
        assert_eq!(
            range("-1..16").unwrap(),
            Range {
                low: -1.0,
                high: 16.0
            }
        );
        assert_eq!(size("8x6").unwrap(), (8, 6));
        let night = rule("night=hour >= 20 or hour = 3").unwrap();
        assert_eq!(
            (night.slice.as_str(), night.condition.as_str()),
            ("night", "hour >= 20 or hour = 3")
        );
        for wrong in ["3", "5..1", "a..b", "0..inf"] {
            assert!(range(wrong).unwrap_err().message.contains("0..16"), "{wrong}");
        }
        assert!(size("8").is_err() && rule("hour >= 20").is_err());
    }
}
