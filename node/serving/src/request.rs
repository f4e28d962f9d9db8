//! A request for an inference and its answer, as REST and gRPC both make them, checked against the model.

use fieldmark_supervisor::Content;
use fieldmark_tensors::binary::TEXTS_MAX;
use fieldmark_tensors::{Datatype, Parameters, TensorSpec, fits};

use crate::{Failure, Servable, Tensor};

/// A request for an inference.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Chosen by the client and sent back; empty for none.
    pub id: String,
    /// Parameters of the request.
    pub parameters: Parameters,
    /// The inputs, in any order.
    pub inputs: Vec<Tensor>,
    /// The outputs wanted, in this order; empty for all.
    pub outputs: Vec<Wanted>,
}

/// An output that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// How many of the highest scores are wanted as classes; 0 for the scores themselves.
    pub classification: u64,
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The model.
    pub model: String,
    /// The version that answered.
    pub version: String,
    /// The request's id.
    pub id: String,
    /// The outputs wanted.
    pub outputs: Vec<Tensor>,
}

/// The inputs in the model's order, if they are what it takes.
///
/// # Errors
/// [`Failure`] of kind invalid, naming the input and what is expected.
pub(crate) fn arrange(servable: &Servable, given: Vec<Tensor>) -> Result<Vec<Tensor>, Failure> {
    let specs = &servable.inputs;
    let wrong = |message: String| Failure::invalid(format_args!("model '{}': {message}", servable.name));
    let names = || {
        specs
            .iter()
            .map(|spec| spec.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut slots: Vec<Option<Tensor>> = specs.iter().map(|_| None).collect();
    for tensor in given {
        let shown = shown(&tensor.name);
        let Some(place) = specs.iter().position(|spec| spec.name == tensor.name) else {
            return Err(wrong(format!(
                "there is no input '{shown}'; inputs are {}",
                names()
            )));
        };
        let (Some(spec), Some(slot)) = (specs.get(place), slots.get_mut(place)) else {
            continue;
        };
        check(spec, &tensor).map_err(wrong)?;
        if slot.replace(tensor).is_some() {
            return Err(wrong(format!("input '{shown}' is given twice")));
        }
    }
    let mut inputs = Vec::with_capacity(slots.len());
    for (slot, spec) in slots.into_iter().zip(specs) {
        let missing = || {
            wrong(format!(
                "input '{}' is missing; inputs are {}",
                spec.name,
                names()
            ))
        };
        inputs.push(slot.ok_or_else(missing)?);
    }
    Ok(inputs)
}

fn check(spec: &TensorSpec, tensor: &Tensor) -> Result<(), String> {
    if tensor.datatype.name() != spec.datatype {
        return Err(format!(
            "input '{}' is {}, {} is expected",
            spec.name, tensor.datatype, spec.datatype
        ));
    }
    tensor.check().map_err(|error| error.to_string())?;
    if !fits(&spec.shape, &tensor.shape) {
        return Err(format!(
            "input '{}' has shape {:?}, {:?} is expected (-1 is any size)",
            spec.name, tensor.shape, spec.shape
        ));
    }
    Ok(())
}

/// Whether what a model returned is what it declares; in the order declared.
///
/// # Errors
/// [`Failure`] of kind internal, naming the output: the model is at fault.
pub(crate) fn declared(servable: &Servable, mut outputs: Vec<Tensor>) -> Result<Vec<Tensor>, Failure> {
    let wrong = |message: String| {
        let title = servable.title();
        Failure::new(crate::Kind::Internal, format!("release {title}: {message}"))
    };
    let mut arranged = Vec::with_capacity(servable.outputs.len());
    for spec in &servable.outputs {
        let place = outputs.iter().position(|output| output.name == spec.name);
        let output = place.map(|place| outputs.swap_remove(place));
        let output = output.ok_or_else(|| wrong(format!("output '{}' is missing", spec.name)))?;
        if output.datatype.name() != spec.datatype || !fits(&spec.shape, &output.shape) {
            return Err(wrong(format!(
                "output '{}' is {} of shape {:?}, its manifest says {} of {:?}",
                spec.name, output.datatype, output.shape, spec.datatype, spec.shape
            )));
        }
        arranged.push(output);
    }
    Ok(arranged)
}

/// Whether the outputs wanted exist, before anything is run.
///
/// # Errors
/// [`Failure`] of kind invalid.
pub(crate) fn check_wanted(servable: &Servable, wanted: &[Wanted]) -> Result<(), Failure> {
    for (place, output) in wanted.iter().enumerate() {
        let shown = shown(&output.name);
        if !servable.outputs.iter().any(|spec| spec.name == output.name) {
            let names: Vec<&str> = servable.outputs.iter().map(|spec| spec.name.as_str()).collect();
            return Err(Failure::invalid(format_args!(
                "model '{}': there is no output '{shown}'; outputs are {}",
                servable.name,
                names.join(", ")
            )));
        }
        if wanted
            .iter()
            .take(place)
            .any(|earlier| earlier.name == output.name)
        {
            return Err(Failure::invalid(format_args!(
                "output '{shown}' is asked for twice"
            )));
        }
    }
    Ok(())
}

/// The outputs wanted out of all.
///
/// # Errors
/// [`Failure`] of kind invalid for scores that are none.
pub(crate) fn select(
    servable: &Servable,
    outputs: Vec<Tensor>,
    wanted: &[Wanted],
) -> Result<Vec<Tensor>, Failure> {
    if wanted.is_empty() {
        return Ok(outputs);
    }
    let mut selected = Vec::with_capacity(wanted.len());
    for output in wanted {
        let found = outputs.iter().find(|found| found.name == output.name);
        let found = found
            .ok_or_else(|| Failure::invalid(format_args!("there is no output '{}'", shown(&output.name))))?;
        selected.push(match output.classification {
            0 => found.clone(),
            count => classes(found, count, &servable.labels)?,
        });
    }
    Ok(selected)
}

/// The highest scores of each record as texts `score:index` or `score:index:label`.
fn classes(scores: &Tensor, count: u64, labels: &[String]) -> Result<Tensor, Failure> {
    let none = || {
        let message = "is no row of FP32 or FP64 scores for each record, so it has no classes";
        Failure::invalid(format_args!("output '{}' {message}", scores.name))
    };
    let bytes = scores.content.to_bytes();
    let values: Vec<f64> = match scores.datatype {
        Datatype::Fp32 => bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f64::from(f32::from_le_bytes(*b)))
            .collect(),
        Datatype::Fp64 => bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|b| f64::from_le_bytes(*b))
            .collect(),
        _ => return Err(none()),
    };
    let (width, outer) = scores.shape.split_last().ok_or_else(none)?;
    let width = usize::try_from(*width)
        .ok()
        .filter(|width| *width > 0)
        .ok_or_else(none)?;
    let kept = usize::try_from(count).unwrap_or(usize::MAX).min(width);
    if values.len() / width * kept > TEXTS_MAX {
        return Err(Failure::invalid(format_args!(
            "output '{}' has more than {TEXTS_MAX} classes of that many for each record; ask for fewer",
            scores.name
        )));
    }
    let mut texts = Vec::new();
    for row in values.chunks(width) {
        let mut order: Vec<(usize, f64)> = row.iter().copied().enumerate().collect();
        // The first of equals, as a stable order of all would have it.
        let higher = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if kept < order.len() {
            order.select_nth_unstable_by(kept, higher);
            order.truncate(kept);
        }
        order.sort_by(higher);
        for (index, score) in order {
            let text = match labels.get(index) {
                Some(label) => format!("{score:.6}:{index}:{label}"),
                None => format!("{score:.6}:{index}"),
            };
            texts.push(text.into());
        }
    }
    let mut shape = outer.to_vec();
    shape.push(i64::try_from(kept).unwrap_or(i64::MAX));
    Ok(Tensor {
        name: scores.name.clone(),
        datatype: Datatype::Bytes,
        shape,
        content: Content::Texts(texts),
    })
}

/// A name as it may stand in a message.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(80).collect()
}
