//! Shorthands for the tensors most models take and return.

use crate::Tensor;
use bytes::Bytes;

/// A tensor is not what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// Another datatype.
    #[error("tensor {name} is {found}, FP32 expected")]
    Datatype {
        /// The tensor.
        name: String,
        /// Its datatype.
        found: String,
    },
    /// Bytes that are no whole number of values, or not as many as the shape says.
    #[error("tensor {name} has {bytes} bytes, which its shape {shape:?} does not explain")]
    Length {
        /// The tensor.
        name: String,
        /// Bytes found.
        bytes: usize,
        /// Its shape.
        shape: Vec<i64>,
    },
}

/// An FP32 tensor; `values` in row-major order. Whether they fit `shape` is checked by the runner.
pub fn tensor_f32(name: &str, shape: &[i64], values: &[f32]) -> Tensor {
    Tensor {
        name: name.to_owned(),
        datatype: "FP32".to_owned(),
        shape: shape.to_vec(),
        data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..Tensor::default()
    }
}

/// A BYTES tensor of one dimension: a list of texts.
pub fn tensor_texts(name: &str, texts: &[&str]) -> Tensor {
    Tensor {
        name: name.to_owned(),
        datatype: "BYTES".to_owned(),
        shape: vec![i64::try_from(texts.len()).unwrap_or(i64::MAX)],
        texts: texts
            .iter()
            .map(|text| Bytes::copy_from_slice(text.as_bytes()))
            .collect(),
        ..Tensor::default()
    }
}

/// The values of an FP32 tensor in row-major order.
///
/// # Errors
/// If the datatype is another or the length does not fit the shape.
pub fn tensor_values_f32(tensor: &Tensor) -> Result<Vec<f32>, TensorError> {
    if tensor.datatype != "FP32" {
        return Err(TensorError::Datatype {
            name: tensor.name.clone(),
            found: tensor.datatype.clone(),
        });
    }
    let values = tensor.shape.iter().try_fold(1_usize, |product, extent| {
        usize::try_from(*extent)
            .ok()
            .and_then(|extent| product.checked_mul(extent))
    });
    let (chunks, rest) = tensor.data.as_chunks::<4>();
    if !rest.is_empty() || values != Some(chunks.len()) {
        let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
        return Err(TensorError::Length {
            name,
            bytes: tensor.data.len(),
            shape,
        });
    }
    Ok(chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_round_trip_and_lengths_are_checked() {
        let values = [1.5, -0.0, f32::MAX, 4.0];
        let mut tensor = tensor_f32("x", &[2, 2], &values);
        assert_eq!(tensor_values_f32(&tensor).unwrap(), values);
        tensor.shape = vec![3, 2];
        assert!(tensor_values_f32(&tensor).is_err());
        tensor.shape = vec![-1, -4];
        assert!(tensor_values_f32(&tensor).is_err());
        tensor.datatype = "INT32".into();
        assert!(matches!(
            tensor_values_f32(&tensor),
            Err(TensorError::Datatype { .. })
        ));
    }
}
