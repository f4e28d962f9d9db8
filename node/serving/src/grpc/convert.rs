//! Requests and answers between the schema and the server's own types.

use bytes::Bytes;
use fieldmark_tensors::json::{NAME_BYTES_MAX, PARAMETERS_MAX, TENSORS_MAX};
use fieldmark_tensors::{Datatype, Elements, Parameter, Parameters, binary};
use std::collections::BTreeMap;

use super::proto;
use super::proto::infer_parameter::ParameterChoice;
use crate::{Answer, Failure, Request, Tensor, Wanted};

/// The schema's datatype of a name of the protocol.
pub(crate) fn data_type(name: &str) -> proto::DataType {
    use proto::DataType;
    match Datatype::parse(name) {
        None => DataType::TypeInvalid,
        Some(Datatype::Bool) => DataType::TypeBool,
        Some(Datatype::Uint8) => DataType::TypeUint8,
        Some(Datatype::Uint16) => DataType::TypeUint16,
        Some(Datatype::Uint32) => DataType::TypeUint32,
        Some(Datatype::Uint64) => DataType::TypeUint64,
        Some(Datatype::Int8) => DataType::TypeInt8,
        Some(Datatype::Int16) => DataType::TypeInt16,
        Some(Datatype::Int32) => DataType::TypeInt32,
        Some(Datatype::Int64) => DataType::TypeInt64,
        Some(Datatype::Fp16) => DataType::TypeFp16,
        Some(Datatype::Bf16) => DataType::TypeBf16,
        Some(Datatype::Fp32) => DataType::TypeFp32,
        Some(Datatype::Fp64) => DataType::TypeFp64,
        Some(Datatype::Bytes) => DataType::TypeString,
    }
}

/// A request out of its message.
pub(super) fn request(message: proto::ModelInferRequest) -> Result<Request, Failure> {
    bounded("inputs", message.inputs.len(), TENSORS_MAX)?;
    bounded("outputs", message.outputs.len(), TENSORS_MAX)?;
    let raw = message.raw_input_contents;
    if !raw.is_empty() && raw.len() != message.inputs.len() {
        return Err(Failure::invalid(format_args!(
            "raw_input_contents has {} entries for {} inputs; send one for each, or none",
            raw.len(),
            message.inputs.len()
        )));
    }
    let mut raw = raw.into_iter();
    let mut inputs = Vec::with_capacity(message.inputs.len());
    for input in message.inputs {
        inputs.push(tensor(input, raw.next())?);
    }
    if message.id.len() > NAME_BYTES_MAX {
        return Err(Failure::invalid(format_args!(
            "id is longer than {NAME_BYTES_MAX} bytes"
        )));
    }
    Ok(Request {
        id: message.id,
        parameters: parameters(message.parameters)?,
        inputs,
        outputs: message
            .outputs
            .into_iter()
            .map(wanted)
            .collect::<Result<_, _>>()?,
    })
}

fn bounded(what: &str, found: usize, limit: usize) -> Result<(), Failure> {
    if found > limit {
        return Err(Failure::invalid(format_args!(
            "the request has {found} {what}, at most {limit} are taken"
        )));
    }
    Ok(())
}

fn wanted(output: proto::model_infer_request::InferRequestedOutputTensor) -> Result<Wanted, Failure> {
    let parameters = parameters(output.parameters)?;
    refuse_shared_memory(&output.name, &parameters)?;
    let classification = match parameters.get("classification") {
        None => 0,
        Some(count) => count
            .as_u64()
            .ok_or_else(|| Failure::invalid("classification of a requested output is no number"))?,
    };
    Ok(Wanted {
        name: output.name,
        classification,
    })
}

fn refuse_shared_memory(name: &str, parameters: &Parameters) -> Result<(), Failure> {
    if !parameters.contains_key("shared_memory_region") {
        return Ok(());
    }
    let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    let message =
        format_args!("'{shown}' asks for shared memory of the client, which is not offered; send the data");
    Err(Failure::invalid(message))
}

fn parameters(given: BTreeMap<String, proto::InferParameter>) -> Result<Parameters, Failure> {
    bounded("parameters", given.len(), PARAMETERS_MAX)?;
    let mut parameters = Parameters::new();
    for (name, value) in given {
        let value = match value.parameter_choice {
            None => continue,
            Some(ParameterChoice::BoolParam(value)) => Parameter::Bool(value),
            Some(ParameterChoice::Int64Param(value)) => Parameter::Int(value),
            Some(ParameterChoice::Uint64Param(value)) => Parameter::Uint(value),
            Some(ParameterChoice::DoubleParam(value)) => Parameter::Double(value),
            Some(ParameterChoice::StringParam(value)) => Parameter::Text(value),
        };
        let text = if let Parameter::Text(text) = &value {
            text.len()
        } else {
            0
        };
        if name.len().max(text) > NAME_BYTES_MAX {
            return Err(Failure::invalid(format_args!(
                "a parameter is longer than {NAME_BYTES_MAX} bytes"
            )));
        }
        parameters.insert(name, value);
    }
    Ok(parameters)
}

fn tensor(
    input: proto::model_infer_request::InferInputTensor,
    raw: Option<Bytes>,
) -> Result<Tensor, Failure> {
    let shown: String = input.name.chars().filter(|c| !c.is_control()).take(80).collect();
    let wrong = |problem: &dyn std::fmt::Display| Failure::invalid(format_args!("input '{shown}' {problem}"));
    let datatype = Datatype::parse(&input.datatype)
        .ok_or_else(|| wrong(&"has a datatype that is not the protocol's"))?;
    refuse_shared_memory(&input.name, &parameters(input.parameters)?)?;
    let elements = match (raw, input.contents) {
        (Some(_), Some(contents)) if contents != proto::InferTensorContents::default() => {
            return Err(wrong(&"has both contents and raw_input_contents"));
        }
        (Some(raw), _) => binary::decode(datatype, &input.shape, raw).map_err(|error| wrong(&error))?,
        (None, Some(contents)) => listed(datatype, contents).map_err(|problem| wrong(&problem))?,
        (None, None) => {
            listed(datatype, proto::InferTensorContents::default()).map_err(|problem| wrong(&problem))?
        }
    };
    let tensor = fieldmark_tensors::Tensor {
        name: input.name,
        datatype,
        shape: input.shape,
        elements,
    };
    tensor.check().map_err(Failure::invalid)?;
    Ok(tensor.into())
}

/// Elements out of the list of their kind; every other list must be empty.
fn listed(datatype: Datatype, mut contents: proto::InferTensorContents) -> Result<Elements, String> {
    fn dense<const N: usize, T>(list: Vec<T>, bytes: impl Fn(T) -> Option<[u8; N]>) -> Option<Elements> {
        let mut out = Vec::with_capacity(list.len() * N);
        for element in list {
            out.extend_from_slice(&bytes(element)?);
        }
        Some(Elements::Dense(out.into()))
    }
    let taken = &mut contents;
    let elements = match datatype {
        Datatype::Bool => dense(std::mem::take(&mut taken.bool_contents), |v| Some([u8::from(v)])),
        Datatype::Int8 => dense(std::mem::take(&mut taken.int_contents), |v| {
            Some(i8::try_from(v).ok()?.to_le_bytes())
        }),
        Datatype::Int16 => dense(std::mem::take(&mut taken.int_contents), |v| {
            Some(i16::try_from(v).ok()?.to_le_bytes())
        }),
        Datatype::Int32 => dense(std::mem::take(&mut taken.int_contents), |v| Some(v.to_le_bytes())),
        Datatype::Int64 => dense(std::mem::take(&mut taken.int64_contents), |v| {
            Some(v.to_le_bytes())
        }),
        Datatype::Uint8 => dense(std::mem::take(&mut taken.uint_contents), |v| {
            Some(u8::try_from(v).ok()?.to_le_bytes())
        }),
        Datatype::Uint16 => dense(std::mem::take(&mut taken.uint_contents), |v| {
            Some(u16::try_from(v).ok()?.to_le_bytes())
        }),
        Datatype::Uint32 => dense(std::mem::take(&mut taken.uint_contents), |v| {
            Some(v.to_le_bytes())
        }),
        Datatype::Uint64 => dense(std::mem::take(&mut taken.uint64_contents), |v| {
            Some(v.to_le_bytes())
        }),
        Datatype::Fp32 => dense(std::mem::take(&mut taken.fp32_contents), |v| {
            Some(v.to_le_bytes())
        }),
        Datatype::Fp64 => dense(std::mem::take(&mut taken.fp64_contents), |v| {
            Some(v.to_le_bytes())
        }),
        Datatype::Bytes => {
            let texts = std::mem::take(&mut taken.bytes_contents);
            if texts.len() > binary::TEXTS_MAX {
                return Err(format!("has more than {} elements", binary::TEXTS_MAX));
            }
            Some(Elements::Texts(texts))
        }
        Datatype::Fp16 | Datatype::Bf16 => {
            return Err(format!("is {datatype}, which only raw_input_contents can carry"));
        }
    };
    let elements = elements.ok_or_else(|| format!("has an element that is no {datatype}"))?;
    if contents != proto::InferTensorContents::default() {
        return Err(format!(
            "has contents of another kind than its datatype {datatype}"
        ));
    }
    Ok(elements)
}

/// An answer as its message, elements raw.
pub(super) fn response(answer: Answer) -> Result<proto::ModelInferResponse, Failure> {
    let mut outputs = Vec::with_capacity(answer.outputs.len());
    let mut raw = Vec::with_capacity(answer.outputs.len());
    for output in answer.outputs {
        let bytes = binary::encode(&output.elements());
        raw.push(bytes.ok_or_else(|| Failure::invalid("an element is too long for raw_output_contents"))?);
        outputs.push(proto::model_infer_response::InferOutputTensor {
            name: output.name,
            datatype: output.datatype.name().to_owned(),
            shape: output.shape,
            parameters: BTreeMap::new(),
            contents: None,
        });
    }
    Ok(proto::ModelInferResponse {
        model_name: answer.model,
        model_version: answer.version,
        id: answer.id,
        parameters: BTreeMap::new(),
        outputs,
        raw_output_contents: raw,
    })
}
