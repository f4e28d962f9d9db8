//! Tensors on the wire to tensors in libtorch and back, with every length checked.
//!
//! Inputs come from a person, outputs from an untrusted model: an output may claim a huge shape with no
//! memory behind it (an expanded scalar), so sizes are computed and compared before anything is copied.

use crate::failure::Failure;
use fieldmark_proto::v1;
use tch::{Device, Kind};

/// Most dimensions of a tensor.
const DIMENSIONS_MAX: usize = 16;

/// Open Inference Protocol name, libtorch kind, bytes per element.
const DATATYPES: [(&str, Kind, usize); 10] = [
    ("FP64", Kind::Double, 8),
    ("FP32", Kind::Float, 4),
    ("FP16", Kind::Half, 2),
    ("BF16", Kind::BFloat16, 2),
    ("INT64", Kind::Int64, 8),
    ("INT32", Kind::Int, 4),
    ("INT16", Kind::Int16, 2),
    ("INT8", Kind::Int8, 1),
    ("UINT8", Kind::Uint8, 1),
    ("BOOL", Kind::Bool, 1),
];

/// Checks an input and copies it into libtorch.
pub(crate) fn to_torch(tensor: &v1::Tensor) -> Result<tch::Tensor, Failure> {
    let name = &tensor.name;
    let Some((datatype, kind, width)) = DATATYPES
        .iter()
        .find(|(datatype, ..)| *datatype == tensor.datatype)
    else {
        let known: Vec<&str> = DATATYPES.iter().map(|(datatype, ..)| *datatype).collect();
        let found = &tensor.datatype;
        return Err(Failure::input(format!(
            "input {name:?}: datatype {found:?} is none of {}",
            known.join(", ")
        )));
    };
    let shape = &tensor.shape;
    let expected = bytes_of(shape, *width).ok_or_else(|| {
        Failure::input(format!(
            "input {name:?}: shape {shape:?} is negative, too large or has too many dimensions"
        ))
    })?;
    let found = tensor.data.len();
    if found != expected {
        return Err(Failure::input(format!(
            "input {name:?}: shape {shape:?} of {datatype} takes {expected} bytes, {found} given"
        )));
    }
    if *kind == Kind::Bool && tensor.data.iter().any(|byte| *byte > 1) {
        return Err(Failure::input(format!(
            "input {name:?}: a BOOL is neither 0 nor 1"
        )));
    }
    tch::Tensor::f_from_data_size(&tensor.data, shape, *kind)
        .map_err(|error| Failure::torch(v1::RunnerFailureCode::Input, &error))
}

/// Checks an output and copies it out of libtorch, if it fits in `bytes_left`.
pub(crate) fn from_torch(
    name: String,
    tensor: &tch::Tensor,
    bytes_left: usize,
) -> Result<v1::Tensor, Failure> {
    let fault = |error: &tch::TchError| Failure::torch(v1::RunnerFailureCode::Output, error);
    if !tensor.defined() || tensor.is_sparse() || tensor.is_mkldnn() || tensor.device() != Device::Cpu {
        return Err(Failure::output(format!(
            "output {name:?} is not a dense tensor in main memory"
        )));
    }
    let kind = tensor.f_kind().map_err(|error| fault(&error))?;
    let Some((datatype, _, width)) = DATATYPES.iter().find(|(_, known, _)| *known == kind) else {
        return Err(Failure::output(format!(
            "output {name:?} has elements of kind {kind:?}, which has no name"
        )));
    };
    let shape = tensor.size();
    let bytes = bytes_of(&shape, *width)
        .filter(|bytes| *bytes <= bytes_left)
        .ok_or_else(|| {
            Failure::output(format!(
                "output {name:?} of shape {shape:?} exceeds the {bytes_left} bytes left"
            ))
        })?;
    let mut data = vec![0; bytes];
    if bytes > 0 {
        tensor
            .f_copy_data_u8(&mut data, bytes / width)
            .map_err(|error| fault(&error))?;
    }
    Ok(v1::Tensor {
        name,
        datatype: (*datatype).to_owned(),
        shape,
        data,
        texts: Vec::new(),
    })
}

/// Bytes of a dense tensor; `None` for a negative extent, an overflow or too many dimensions.
fn bytes_of(shape: &[i64], width: usize) -> Option<usize> {
    if shape.len() > DIMENSIONS_MAX {
        return None;
    }
    let sizes: Vec<usize> = shape
        .iter()
        .map(|extent| usize::try_from(*extent).ok())
        .collect::<Option<_>>()?;
    // Extents that multiply beyond any memory are refused even if another extent is 0.
    sizes
        .iter()
        .filter(|size| **size > 0)
        .try_fold(width, |bytes, size| bytes.checked_mul(*size))?;
    sizes
        .iter()
        .try_fold(width, |bytes, size| bytes.checked_mul(*size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(datatype: &str, shape: &[i64], bytes: usize) -> v1::Tensor {
        v1::Tensor {
            name: "x".into(),
            datatype: datatype.into(),
            shape: shape.into(),
            data: vec![1; bytes],
            texts: Vec::new(),
        }
    }

    #[test]
    fn a_tensor_survives_the_round_trip() {
        for (datatype, _, width) in DATATYPES {
            let sent = input(datatype, &[2, 3], 6 * width);
            let received = from_torch("x".into(), &to_torch(&sent).unwrap(), usize::MAX).unwrap();
            assert_eq!(received, sent);
        }
    }

    #[test]
    fn a_scalar_and_an_empty_tensor_are_tensors() {
        assert_eq!(
            to_torch(&input("FP32", &[], 4)).unwrap().size(),
            Vec::<i64>::new()
        );
        let empty = to_torch(&input("FP32", &[0, 64], 0)).unwrap();
        assert_eq!(from_torch("x".into(), &empty, 0).unwrap().shape, vec![0, 64]);
    }

    #[test]
    fn lengths_that_do_not_fit_the_shape_are_refused() {
        for (shape, bytes) in [
            (&[2_i64, 2][..], 15),
            (&[2, 2], 17),
            (&[-1, 64], 256),
            (&[i64::MAX, i64::MAX], 4),
            (&[0, i64::MAX, i64::MAX], 0),
            (&[1; 17], 4),
        ] {
            assert!(
                to_torch(&input("FP32", shape, bytes)).is_err(),
                "{shape:?} with {bytes} bytes"
            );
        }
    }

    #[test]
    fn an_unknown_datatype_and_an_impossible_boolean_are_refused() {
        assert!(
            to_torch(&input("UINT16", &[1], 2))
                .unwrap_err()
                .message
                .contains("UINT16")
        );
        let mut odd = input("BOOL", &[1], 1);
        odd.data = vec![2];
        assert!(to_torch(&odd).is_err());
    }

    #[test]
    fn a_shape_without_memory_behind_it_is_not_copied() {
        let huge = tch::Tensor::f_zeros([1], (Kind::Float, Device::Cpu))
            .unwrap()
            .expand([1 << 40], false);
        assert!(
            from_torch("y".into(), &huge, 1 << 20)
                .unwrap_err()
                .message
                .contains("exceeds")
        );
    }
}
