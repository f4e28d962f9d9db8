//! The answer to an inference request as JSON, written once into one buffer.

use half::{bf16, f16};

use crate::{Datatype, Elements};

/// The answer could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// BYTES that are no text have no JSON form.
    #[error(
        "output '{name}' holds bytes that are no UTF-8 text; ask for it as binary data ('binary_data': true)"
    )]
    Text {
        /// The output.
        name: String,
    },
}

/// What an answer says beside its outputs.
#[derive(Debug, Clone, Copy)]
pub struct AnswerHead<'a> {
    /// The model.
    pub model_name: &'a str,
    /// Its version.
    pub model_version: &'a str,
    /// The request's id; left out if empty.
    pub id: &'a str,
}

/// How an output's elements are sent.
#[derive(Debug, Clone, Copy)]
pub enum Form<'a> {
    /// In the JSON, flat.
    Json(&'a Elements),
    /// So many bytes after the JSON.
    Binary(usize),
}

/// An output of an answer.
#[derive(Debug, Clone, Copy)]
pub struct OutputTensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// What its elements are.
    pub datatype: Datatype,
    /// Sizes, outermost first.
    pub shape: &'a [i64],
    /// Its elements.
    pub form: Form<'a>,
}

/// Writes an answer.
///
/// # Errors
/// [`WriteError::Text`] for BYTES without a JSON form.
pub fn write_answer(head: &AnswerHead<'_>, outputs: &[OutputTensor<'_>]) -> Result<Vec<u8>, WriteError> {
    let mut out = Vec::with_capacity(256 + outputs.iter().map(room).sum::<usize>());
    out.extend_from_slice(b"{\"model_name\":");
    text(&mut out, head.model_name);
    out.extend_from_slice(b",\"model_version\":");
    text(&mut out, head.model_version);
    if !head.id.is_empty() {
        out.extend_from_slice(b",\"id\":");
        text(&mut out, head.id);
    }
    out.extend_from_slice(b",\"outputs\":[");
    for (index, output) in outputs.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_output(&mut out, output)?;
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// About how long an output becomes.
fn room(output: &OutputTensor<'_>) -> usize {
    let data = match output.form {
        Form::Binary(_) => 0,
        Form::Json(Elements::Dense(bytes)) => bytes.len().saturating_mul(3),
        Form::Json(texts @ Elements::Texts(_)) => texts.bytes(),
    };
    data.saturating_add(128)
}

fn write_output(out: &mut Vec<u8>, output: &OutputTensor<'_>) -> Result<(), WriteError> {
    out.extend_from_slice(b"{\"name\":");
    text(out, output.name);
    out.extend_from_slice(b",\"datatype\":\"");
    out.extend_from_slice(output.datatype.name().as_bytes());
    out.extend_from_slice(b"\",\"shape\":");
    let mut buffer = itoa::Buffer::new();
    list(out, output.shape, |out, size| {
        out.extend_from_slice(buffer.format(*size).as_bytes());
    });
    match output.form {
        Form::Binary(bytes) => {
            out.extend_from_slice(b",\"parameters\":{\"binary_data_size\":");
            out.extend_from_slice(buffer.format(bytes).as_bytes());
            out.push(b'}');
        }
        Form::Json(Elements::Dense(bytes)) => {
            out.extend_from_slice(b",\"data\":");
            dense(out, output.datatype, bytes);
        }
        Form::Json(Elements::Texts(texts)) => {
            out.extend_from_slice(b",\"data\":");
            let mut readable = true;
            list(out, texts, |out, bytes| match std::str::from_utf8(bytes) {
                Ok(element) => text(out, element),
                Err(_) => readable = false,
            });
            if !readable {
                let name = output.name.to_owned();
                return Err(WriteError::Text { name });
            }
        }
    }
    out.push(b'}');
    Ok(())
}

fn dense(out: &mut Vec<u8>, datatype: Datatype, bytes: &[u8]) {
    match datatype {
        Datatype::Bool | Datatype::Bytes => list(out, bytes, |out, byte| {
            out.extend_from_slice(if *byte == 0 { b"false" } else { b"true" });
        }),
        Datatype::Uint8 => whole(out, bytes, u8::from_le_bytes),
        Datatype::Uint16 => whole(out, bytes, u16::from_le_bytes),
        Datatype::Uint32 => whole(out, bytes, u32::from_le_bytes),
        Datatype::Uint64 => whole(out, bytes, u64::from_le_bytes),
        Datatype::Int8 => whole(out, bytes, i8::from_le_bytes),
        Datatype::Int16 => whole(out, bytes, i16::from_le_bytes),
        Datatype::Int32 => whole(out, bytes, i32::from_le_bytes),
        Datatype::Int64 => whole(out, bytes, i64::from_le_bytes),
        Datatype::Fp16 => float(out, bytes, |b| f16::from_le_bytes(b).to_f32()),
        Datatype::Bf16 => float(out, bytes, |b| bf16::from_le_bytes(b).to_f32()),
        Datatype::Fp32 => float(out, bytes, f32::from_le_bytes),
        Datatype::Fp64 => float(out, bytes, f64::from_le_bytes),
    }
}

fn whole<const N: usize, T: itoa::Integer>(out: &mut Vec<u8>, bytes: &[u8], read: fn([u8; N]) -> T) {
    let mut buffer = itoa::Buffer::new();
    list(out, bytes.as_chunks::<N>().0, |out, element| {
        out.extend_from_slice(buffer.format(read(*element)).as_bytes());
    });
}

fn float<const N: usize, T: ryu::Float + Into<f64>>(out: &mut Vec<u8>, bytes: &[u8], read: fn([u8; N]) -> T) {
    let mut buffer = ryu::Buffer::new();
    list(out, bytes.as_chunks::<N>().0, |out, element| {
        let element: T = read(*element);
        if element.into().is_finite() {
            out.extend_from_slice(buffer.format_finite(element).as_bytes());
        } else {
            out.extend_from_slice(b"null");
        }
    });
}

fn list<T>(out: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// Writing a text to memory cannot fail.
fn text(out: &mut Vec<u8>, text: &str) {
    let written = serde_json::to_writer(&mut *out, text);
    debug_assert!(written.is_ok(), "a text has a JSON form");
}
