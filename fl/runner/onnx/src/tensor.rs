//! Tensors of the protocol to values of ONNX Runtime and back.
//!
//! An input in shared memory is used where it lies; others are copied once, into memory of ONNX Runtime's own.
#![expect(
    unsafe_code,
    reason = "values over shared memory, and filling values of ONNX Runtime's own"
)]

use crate::thrown;
use bytes::Bytes;
use fieldmark_sandbox::{Content, Datatype, Dense, Failure, FailureCode, Input, Outputs};
use half::{bf16, f16};
use ort::memory::{Allocator, MemoryInfo};
use ort::session::SessionInputValue;
use ort::value::{
    DynTensor, DynTensorValueType, DynValue, Shape, Tensor, TensorElementType, TensorRefMut, ValueType,
};

/// What ONNX Runtime's element types are called in the protocol.
const ELEMENTS: [(Datatype, TensorElementType); 13] = [
    (Datatype::Bool, TensorElementType::Bool),
    (Datatype::Uint8, TensorElementType::Uint8),
    (Datatype::Uint16, TensorElementType::Uint16),
    (Datatype::Uint32, TensorElementType::Uint32),
    (Datatype::Uint64, TensorElementType::Uint64),
    (Datatype::Int8, TensorElementType::Int8),
    (Datatype::Int16, TensorElementType::Int16),
    (Datatype::Int32, TensorElementType::Int32),
    (Datatype::Int64, TensorElementType::Int64),
    (Datatype::Fp16, TensorElementType::Float16),
    (Datatype::Bf16, TensorElementType::Bfloat16),
    (Datatype::Fp32, TensorElementType::Float32),
    (Datatype::Fp64, TensorElementType::Float64),
];

/// The element type of a datatype.
fn element(datatype: Datatype) -> TensorElementType {
    let found = ELEMENTS.iter().find(|(known, _)| *known == datatype);
    found.map_or(TensorElementType::Float32, |(_, element)| *element)
}

/// The protocol's name of an element type.
pub(crate) fn name(element: TensorElementType) -> &'static str {
    let found = ELEMENTS.iter().find(|(_, known)| *known == element);
    match (found, element) {
        (Some((datatype, _)), _) => datatype.name(),
        (None, TensorElementType::String) => "BYTES",
        (None, _) => "a datatype without a name in the protocol",
    }
}

/// Hands an input to ONNX Runtime; `expected` is what the graph says of it.
pub(crate) fn to_onnx<'a>(input: &Input<'a>, expected: &ValueType) -> Result<SessionInputValue<'a>, Failure> {
    let wrong = |error: ort::Error| thrown(FailureCode::Input, &error);
    let given = match &input.content {
        Content::Dense(dense) => element(dense.datatype),
        Content::Texts(_) => TensorElementType::String,
    };
    match expected.tensor_type() {
        Some(wanted) if wanted != given => {
            return Err(Failure::input(format!(
                "input {:?} is {}, the model takes {}",
                input.name,
                name(given),
                name(wanted)
            )));
        }
        _ => {}
    }
    match &input.content {
        Content::Texts(texts) => to_texts(input, texts).map(SessionInputValue::from),
        Content::Dense(dense) => match dense.in_place() {
            Some(bytes) => over(bytes, input.shape, dense.datatype).map_err(wrong),
            None => filled(dense, input.shape)
                .map(SessionInputValue::from)
                .map_err(wrong),
        },
    }
}

fn to_texts(input: &Input<'_>, texts: &[Bytes]) -> Result<Tensor<String>, Failure> {
    let text = |(at, bytes): (usize, &Bytes)| match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&0) => Ok(text.to_owned()),
        Ok(_) => Err(Failure::input(format!(
            "input {:?}: text {at} contains the character NUL",
            input.name
        ))),
        Err(_) => Err(Failure::input(format!(
            "input {:?}: text {at} is not UTF-8",
            input.name
        ))),
    };
    let texts: Vec<String> = texts.iter().enumerate().map(text).collect::<Result<_, _>>()?;
    Tensor::from_string_array((input.shape, texts.as_slice()))
        .map_err(|error| thrown(FailureCode::Input, &error))
}

/// A value over bytes that stay mapped for the life of the process.
fn over<'a>(bytes: &'a [u8], shape: &[i64], datatype: Datatype) -> ort::Result<SessionInputValue<'a>> {
    macro_rules! of {
        ($element:ty) => {{
            let start = bytes.as_ptr().cast_mut().cast();
            // SAFETY: the bytes are as many as shape and datatype say (checked with the input), aligned for
            // it, and in shared memory, which is writable and never unmapped.
            let value = unsafe {
                TensorRefMut::<$element>::from_raw(MemoryInfo::default(), start, Shape::from(shape))
            }?;
            Ok(SessionInputValue::from(value))
        }};
    }
    match datatype {
        Datatype::Bool => of!(bool),
        Datatype::Uint8 => of!(u8),
        Datatype::Uint16 => of!(u16),
        Datatype::Uint32 => of!(u32),
        Datatype::Uint64 => of!(u64),
        Datatype::Int8 => of!(i8),
        Datatype::Int16 => of!(i16),
        Datatype::Int32 => of!(i32),
        Datatype::Int64 => of!(i64),
        Datatype::Fp16 => of!(f16),
        Datatype::Bf16 => of!(bf16),
        Datatype::Fp32 => of!(f32),
        Datatype::Fp64 => of!(f64),
    }
}

/// A value of ONNX Runtime's own, with the parts copied into it.
fn filled(dense: &Dense<'_>, shape: &[i64]) -> ort::Result<DynTensor> {
    let mut tensor = DynTensor::new(&Allocator::default(), element(dense.datatype), Shape::from(shape))?;
    let (start, bytes) = (tensor.data_ptr_mut().cast::<u8>(), dense.bytes());
    if bytes > 0 && !start.is_null() {
        // SAFETY: a new tensor of this shape and element type has exactly these bytes, and nobody else knows it.
        dense.copy_to(unsafe { std::slice::from_raw_parts_mut(start, bytes) });
    }
    Ok(tensor)
}

/// Checks an output and passes it on.
pub(crate) fn from_onnx(name: String, value: &DynValue, outputs: &mut Outputs<'_>) -> Result<(), Failure> {
    let fault = |error: ort::Error| thrown(FailureCode::Output, &error);
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err(Failure::output(format!(
            "output {name:?} is no tensor; a scikit-learn classifier is exported with options={{'zipmap': False}}"
        )));
    };
    let shape: Vec<i64> = shape.iter().copied().collect();
    if *ty == TensorElementType::String {
        let (_, texts) = value.try_extract_strings().map_err(fault)?;
        return outputs.texts(name, shape, texts.into_iter().map(String::into_bytes).collect());
    }
    let Some((datatype, _)) = ELEMENTS.iter().find(|(_, known)| known == ty) else {
        return Err(Failure::output(format!(
            "output {name:?} has elements of {ty}, which has no name in the protocol"
        )));
    };
    let tensor = value.view().downcast::<DynTensorValueType>().map_err(fault)?;
    if !tensor.memory_info().is_cpu_accessible() {
        return Err(Failure::output(format!("output {name:?} is not in main memory")));
    }
    let start = tensor.data_ptr().cast::<u8>();
    outputs.dense(name, *datatype, shape, |target| {
        if !target.is_empty() && !start.is_null() {
            // SAFETY: a dense tensor of this shape and element type has exactly these bytes, and lives until
            // after the copy; the target is other memory.
            unsafe { std::ptr::copy_nonoverlapping(start, target.as_mut_ptr(), target.len()) };
        }
        Ok(())
    })
}
