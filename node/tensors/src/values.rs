//! Tensors as JSON: nested arrays by input name, and the tensor objects of the Open Inference Protocol.

use fieldmark_proto::v1::Tensor;
use fieldmark_protocol::release::TensorSpec;
use half::{bf16, f16};
use serde_json::{Value, json};

use crate::TensorError;
pub use crate::shape::fits;

/// Most values of one tensor.
pub const VALUES_MAX: usize = 1 << 26;

/// JSON that is not the tensor it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Not an object of inputs by name.
    #[error("an object with one value per input is expected, such as {{\"image\": [[0.0, …]]}}")]
    NoObject,
    /// An input is missing or not known.
    #[error("input '{name}' is {problem}; inputs are {}", known.join(", "))]
    Input {
        /// The input.
        name: String,
        /// `missing` or `not known`.
        problem: &'static str,
        /// The inputs there are.
        known: Vec<String>,
    },
    /// Nested arrays of unequal lengths.
    #[error("tensor '{name}': arrays at the same depth have different lengths; make them equal")]
    Ragged {
        /// The tensor.
        name: String,
    },
    /// A shape that does not fit.
    #[error("tensor '{name}' has shape {found:?}, {expected:?} is expected (-1 is any size)")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<i64>,
        /// The shape stated.
        expected: Vec<i64>,
    },
    /// A value of another type or range.
    #[error("tensor '{name}': {found} is no {datatype}")]
    Value {
        /// The tensor.
        name: String,
        /// The value.
        found: String,
        /// The datatype.
        datatype: String,
    },
    /// A datatype that there is not.
    #[error(
        "tensor '{name}': {datatype} is no datatype of the Open Inference Protocol, such as FP32, INT64 or BYTES (texts)"
    )]
    Datatype {
        /// The tensor.
        name: String,
        /// The datatype.
        datatype: String,
    },
    /// Inputs that cannot be filled with zeros.
    #[error(transparent)]
    Zeros(#[from] TensorError),
    /// More values than one tensor may have.
    #[error("tensor '{name}' has more than {VALUES_MAX} values; send fewer records at once")]
    TooMany {
        /// The tensor.
        name: String,
    },
}

/// Tensors from nested arrays by input name, checked against the inputs.
///
/// # Errors
/// [`ValueError`] naming the tensor.
pub fn from_json(value: &Value, inputs: &[TensorSpec]) -> Result<Vec<Tensor>, ValueError> {
    let object = value.as_object().ok_or(ValueError::NoObject)?;
    let known = || inputs.iter().map(|i| i.name.clone()).collect::<Vec<_>>();
    let wrong = |name: &str, problem| ValueError::Input {
        name: name.to_owned(),
        problem,
        known: known(),
    };
    if let Some(name) = object
        .keys()
        .find(|name| !inputs.iter().any(|i| i.name == **name))
    {
        return Err(wrong(name, "not known"));
    }
    let tensor = |spec: &TensorSpec| {
        let value = object
            .get(&spec.name)
            .ok_or_else(|| wrong(&spec.name, "missing"))?;
        let tensor = tensor(&spec.name, &spec.datatype, value)?;
        check_shape(spec, tensor)
    };
    inputs.iter().map(tensor).collect()
}

/// A tensor from an object `{"name", "shape", "datatype", "data"}` of the Open Inference Protocol, with
/// flat or nested data, checked against the inputs.
///
/// # Errors
/// [`ValueError`] naming the tensor.
pub fn from_protocol(value: &Value, inputs: &[TensorSpec]) -> Result<Tensor, ValueError> {
    let name = value
        .get("name")
        .and_then(Value::as_str)
        .ok_or(ValueError::NoObject)?;
    let spec = inputs
        .iter()
        .find(|i| i.name == name)
        .ok_or_else(|| ValueError::Input {
            name: name.to_owned(),
            problem: "not known",
            known: inputs.iter().map(|i| i.name.clone()).collect(),
        })?;
    let datatype = value
        .get("datatype")
        .and_then(Value::as_str)
        .unwrap_or(&spec.datatype);
    if datatype != spec.datatype {
        let (name, found, datatype) = (name.to_owned(), datatype.to_owned(), spec.datatype.clone());
        return Err(ValueError::Value {
            name,
            found,
            datatype,
        });
    }
    let data = value.get("data").ok_or(ValueError::NoObject)?;
    let mut tensor = tensor(name, datatype, data)?;
    if let Some(stated) = value.get("shape").and_then(Value::as_array) {
        let shape: Vec<i64> = stated.iter().filter_map(Value::as_i64).collect();
        let count = |shape: &[i64]| {
            shape
                .iter()
                .try_fold(1_i64, |product, size| product.checked_mul(*size))
        };
        if count(&shape) != count(&tensor.shape) || shape.len() != stated.len() {
            let (name, found) = (name.to_owned(), tensor.shape);
            return Err(ValueError::Shape {
                name,
                found,
                expected: shape,
            });
        }
        tensor.shape = shape;
    }
    check_shape(spec, tensor)
}

/// Zeros, or empty texts, of the stated shapes, with 1 for sizes that are the caller's.
///
/// # Errors
/// [`ValueError::Zeros`] naming the tensor.
pub fn zeros(inputs: &[TensorSpec]) -> Result<Vec<Tensor>, ValueError> {
    let made = crate::zeros(inputs)?;
    Ok(made.into_iter().map(Tensor::from).collect())
}

/// A tensor as an object of the Open Inference Protocol, data flat.
///
/// # Errors
/// [`ValueError::Datatype`] for what JSON cannot carry, [`ValueError::Value`] for a text that is no UTF-8.
pub fn to_protocol(tensor: &Tensor) -> Result<Value, ValueError> {
    let text = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).map(|text| json!(text));
        text.map_err(|_| ValueError::Value {
            name: tensor.name.clone(),
            found: "a text that is not UTF-8".to_owned(),
            datatype: "text in JSON".to_owned(),
        })
    };
    let data: Vec<Value> = match Element::of(&tensor.name, &tensor.datatype)? {
        Element::Text => tensor
            .texts
            .iter()
            .map(|bytes| text(bytes))
            .collect::<Result<_, _>>()?,
        Element::Bytes(width) => tensor
            .data
            .chunks_exact(width)
            .map(|bytes| read(&tensor.datatype, bytes))
            .collect(),
    };
    Ok(json!({ "name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape, "data": data }))
}

fn check_shape(spec: &TensorSpec, tensor: Tensor) -> Result<Tensor, ValueError> {
    if fits(&spec.shape, &tensor.shape) {
        return Ok(tensor);
    }
    Err(ValueError::Shape {
        name: tensor.name,
        found: tensor.shape,
        expected: spec.shape.clone(),
    })
}

fn tensor(name: &str, datatype: &str, value: &Value) -> Result<Tensor, ValueError> {
    let element = Element::of(name, datatype)?;
    let mut shape = Vec::new();
    let mut inner = value;
    while let Some(array) = inner.as_array() {
        shape.push(array.len());
        let Some(first) = array.first() else { break };
        inner = first;
    }
    let mut filler = Filler {
        name,
        datatype,
        element,
        data: Vec::new(),
        texts: Vec::new(),
        count: 0,
    };
    filler.fill(value, &shape)?;
    let shape = shape
        .into_iter()
        .map(|size| i64::try_from(size).unwrap_or(i64::MAX))
        .collect();
    Ok(Tensor {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape,
        data: filler.data.into(),
        texts: filler.texts.into_iter().map(Into::into).collect(),
        ..Tensor::default()
    })
}

/// Collects the elements of nested arrays.
struct Filler<'a> {
    name: &'a str,
    datatype: &'a str,
    element: Element,
    data: Vec<u8>,
    texts: Vec<Vec<u8>>,
    count: usize,
}

impl Filler<'_> {
    fn fill(&mut self, value: &Value, shape: &[usize]) -> Result<(), ValueError> {
        let ragged = || ValueError::Ragged {
            name: self.name.to_owned(),
        };
        match (value.as_array(), shape.split_first()) {
            (Some(array), Some((size, rest))) if array.len() == *size => {
                array.iter().try_for_each(|inner| self.fill(inner, rest))
            }
            (None, None) => self.push(value),
            _ => Err(ragged()),
        }
    }

    fn push(&mut self, value: &Value) -> Result<(), ValueError> {
        self.count += 1;
        if self.count > VALUES_MAX {
            return Err(ValueError::TooMany {
                name: self.name.to_owned(),
            });
        }
        let wrong = || ValueError::Value {
            name: self.name.to_owned(),
            found: value.to_string().chars().take(40).collect(),
            datatype: self.datatype.to_owned(),
        };
        match self.element {
            Element::Text => self.texts.push(value.as_str().ok_or_else(wrong)?.into()),
            Element::Bytes(_) => self
                .data
                .extend(bytes_of(self.datatype, value).ok_or_else(wrong)?),
        }
        Ok(())
    }
}

/// What one value of a tensor is.
#[derive(Clone, Copy)]
enum Element {
    /// So many bytes.
    Bytes(usize),
    /// A text.
    Text,
}

impl Element {
    /// Of a datatype that JSON can carry.
    fn of(name: &str, datatype: &str) -> Result<Self, ValueError> {
        Ok(match datatype {
            "BOOL" | "UINT8" | "INT8" => Self::Bytes(1),
            "UINT16" | "INT16" | "FP16" | "BF16" => Self::Bytes(2),
            "FP32" | "UINT32" | "INT32" => Self::Bytes(4),
            "FP64" | "UINT64" | "INT64" => Self::Bytes(8),
            "BYTES" => Self::Text,
            _ => {
                return Err(ValueError::Datatype {
                    name: name.to_owned(),
                    datatype: datatype.to_owned(),
                });
            }
        })
    }
}

fn bytes_of(datatype: &str, value: &Value) -> Option<Vec<u8>> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to the tensor's precision is meant"
    )]
    let single = || value.as_f64().map(|v| v as f32).filter(|v| v.is_finite());
    let (signed, unsigned) = (value.as_i64(), value.as_u64());
    Some(match datatype {
        "BOOL" => vec![u8::from(value.as_bool()?)],
        "FP32" => single()?.to_le_bytes().to_vec(),
        "FP16" => finite(f16::from_f64(value.as_f64()?), f16::is_finite)?
            .to_le_bytes()
            .to_vec(),
        "BF16" => finite(bf16::from_f64(value.as_f64()?), bf16::is_finite)?
            .to_le_bytes()
            .to_vec(),
        "FP64" => value.as_f64()?.to_le_bytes().to_vec(),
        "UINT8" => u8::try_from(unsigned?).ok()?.to_le_bytes().to_vec(),
        "UINT16" => u16::try_from(unsigned?).ok()?.to_le_bytes().to_vec(),
        "UINT32" => u32::try_from(unsigned?).ok()?.to_le_bytes().to_vec(),
        "UINT64" => unsigned?.to_le_bytes().to_vec(),
        "INT8" => i8::try_from(signed?).ok()?.to_le_bytes().to_vec(),
        "INT16" => i16::try_from(signed?).ok()?.to_le_bytes().to_vec(),
        "INT32" => i32::try_from(signed?).ok()?.to_le_bytes().to_vec(),
        "INT64" => signed?.to_le_bytes().to_vec(),
        _ => return None,
    })
}

fn finite<T: Copy>(value: T, is_finite: fn(T) -> bool) -> Option<T> {
    Some(value).filter(|value| is_finite(*value))
}

/// One value; NaN and infinities are null, as JSON has none.
fn read(datatype: &str, bytes: &[u8]) -> Value {
    fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
        bytes.try_into().unwrap_or([0; N])
    }
    match datatype {
        "BOOL" => json!(bytes != [0]),
        "FP32" => json!(f32::from_le_bytes(array(bytes))),
        "FP16" => json!(f16::from_le_bytes(array(bytes)).to_f32()),
        "BF16" => json!(bf16::from_le_bytes(array(bytes)).to_f32()),
        "FP64" => json!(f64::from_le_bytes(array(bytes))),
        "UINT8" => json!(u8::from_le_bytes(array(bytes))),
        "UINT16" => json!(u16::from_le_bytes(array(bytes))),
        "UINT32" => json!(u32::from_le_bytes(array(bytes))),
        "UINT64" => json!(u64::from_le_bytes(array(bytes))),
        "INT8" => json!(i8::from_le_bytes(array(bytes))),
        "INT16" => json!(i16::from_le_bytes(array(bytes))),
        "INT32" => json!(i32::from_le_bytes(array(bytes))),
        _ => json!(i64::from_le_bytes(array(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Vec<TensorSpec> {
        vec![TensorSpec {
            name: "image".into(),
            datatype: "FP32".into(),
            shape: vec![-1, 2],
        }]
    }

    #[test]
    fn nested_arrays_become_a_tensor_and_come_back_flat() {
        let tensors = from_json(&json!({"image": [[1.0, 2], [3, 4.5]]}), &spec()).unwrap();
        assert_eq!(tensors[0].shape, [2, 2]);
        let back = to_protocol(&tensors[0]).unwrap();
        assert_eq!(back["data"], json!([1.0, 2.0, 3.0, 4.5]));
        assert_eq!(from_protocol(&back, &spec()).unwrap(), tensors[0]);
    }

    #[test]
    fn wrong_inputs_are_named() {
        let error = |value: Value| from_json(&value, &spec()).unwrap_err();
        assert!(matches!(error(json!([1])), ValueError::NoObject));
        assert!(matches!(
            error(json!({})),
            ValueError::Input {
                problem: "missing",
                ..
            }
        ));
        assert!(matches!(
            error(json!({"image": [[1, 2]], "x": 1})),
            ValueError::Input {
                problem: "not known",
                ..
            }
        ));
        assert!(matches!(
            error(json!({"image": [[1, 2], [3]]})),
            ValueError::Ragged { .. }
        ));
        assert!(matches!(
            error(json!({"image": [[1, 2, 3]]})),
            ValueError::Shape { .. }
        ));
        assert!(matches!(
            error(json!({"image": [[1, "a"]]})),
            ValueError::Value { .. }
        ));
        assert!(matches!(
            error(json!({"image": [[1, 1e300]]})),
            ValueError::Value { .. }
        ));
    }

    #[test]
    fn short_floats_are_numbers_and_stay_in_their_range() {
        for (datatype, one) in [("FP16", [0, 0x3c]), ("BF16", [0x80, 0x3f])] {
            let spec = [TensorSpec {
                name: "x".into(),
                datatype: datatype.into(),
                shape: vec![1],
            }];
            let tensors = from_json(&json!({"x": [1]}), &spec).unwrap();
            assert_eq!(tensors[0].data.as_ref(), one);
            assert_eq!(to_protocol(&tensors[0]).unwrap()["data"], json!([1.0]));
            assert!(from_json(&json!({"x": [1e39]}), &spec).is_err());
        }
    }

    #[test]
    fn texts_become_a_tensor_and_come_back() {
        let spec = [TensorSpec {
            name: "text".into(),
            datatype: "BYTES".into(),
            shape: vec![-1],
        }];
        let given = json!({"text": ["good", "über"]});
        let tensors = from_json(&given, &spec).unwrap();
        assert_eq!(tensors[0].shape, [2]);
        let back = to_protocol(&tensors[0]).unwrap();
        assert_eq!(back["data"], given["text"]);
        assert_eq!(from_protocol(&back, &spec).unwrap(), tensors[0]);
        assert_eq!(zeros(&spec).unwrap()[0].texts, [&b""[..]]);
        let wrong = from_json(&json!({"text": [1]}), &spec);
        assert!(matches!(wrong, Err(ValueError::Value { .. })));
    }

    #[test]
    fn a_sample_of_zeros_has_one_record() {
        let zeros = zeros(&spec()).unwrap();
        assert_eq!(
            (zeros[0].shape.as_slice(), zeros[0].data.len()),
            ([1, 2].as_slice(), 8)
        );
    }
}
