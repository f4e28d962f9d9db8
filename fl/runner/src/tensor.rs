//! Tensors of the protocol to tensors in libtorch and back.
//!
//! An input in shared memory is used where it lies. Outputs come from an untrusted model: their sizes are
//! compared before anything is copied.
#![expect(
    unsafe_code,
    reason = "tensors over shared memory, and filling tensors of libtorch's own"
)]

use crate::thrown;
use fieldmark_sandbox::{Datatype, Dense, Failure, FailureCode, Input, Outputs};
use tch::{Device, Kind};

/// What libtorch's kinds are called in the protocol. libtorch 2.11 has unsigned kinds of 16 bits and more, but
/// next to no operators for them, and `tch` no names.
const KINDS: [(Datatype, Kind); 10] = [
    (Datatype::Fp64, Kind::Double),
    (Datatype::Fp32, Kind::Float),
    (Datatype::Fp16, Kind::Half),
    (Datatype::Bf16, Kind::BFloat16),
    (Datatype::Int64, Kind::Int64),
    (Datatype::Int32, Kind::Int),
    (Datatype::Int16, Kind::Int16),
    (Datatype::Int8, Kind::Int8),
    (Datatype::Uint8, Kind::Uint8),
    (Datatype::Bool, Kind::Bool),
];

/// Hands an input to libtorch, on `device`: without a copy if it lies in shared memory, else with one.
pub(crate) fn to_torch(input: &Input<'_>, dense: &Dense<'_>, device: Device) -> Result<tch::Tensor, Failure> {
    let (name, datatype) = (input.name, dense.datatype);
    let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == datatype) else {
        return Err(Failure::input(format!(
            "input {name:?}: TorchScript has no {}; use a wider signed datatype",
            datatype.name()
        )));
    };
    let wrong = |error: tch::TchError| thrown(FailureCode::Input, &error);
    let tensor = match dense.in_place() {
        Some(bytes) => over(bytes, input.shape, *kind),
        None => filled(dense, input.shape, *kind),
    };
    match device {
        Device::Cpu => tensor.map_err(wrong),
        device => tensor
            .and_then(|tensor| tensor.f_to_device(device))
            .map_err(wrong),
    }
}

/// A tensor over bytes that stay mapped for the life of the process.
fn over(bytes: &[u8], shape: &[i64], kind: Kind) -> Result<tch::Tensor, tch::TchError> {
    let mut strides = vec![1; shape.len()];
    for at in (1..shape.len()).rev() {
        let next = strides
            .get(at)
            .zip(shape.get(at))
            .map(|(stride, extent)| stride * extent.max(&1));
        if let Some((stride, next)) = strides.get_mut(at - 1).zip(next) {
            *stride = next;
        }
    }
    // SAFETY: the bytes are as many as shape and kind say (checked with the input), aligned for the kind, and
    // in shared memory, which is never unmapped.
    unsafe { tch::Tensor::f_from_blob(bytes.as_ptr(), shape, &strides, kind, Device::Cpu) }
}

/// A tensor of libtorch's own, with the parts copied into it.
fn filled(dense: &Dense<'_>, shape: &[i64], kind: Kind) -> Result<tch::Tensor, tch::TchError> {
    if let [part] = dense.parts() {
        return tch::Tensor::f_from_data_size(part, shape, kind);
    }
    let tensor = tch::Tensor::f_empty(shape, (kind, Device::Cpu))?;
    let bytes = dense.bytes();
    let start = tensor.data_ptr().cast::<u8>();
    if bytes > 0 && !start.is_null() {
        // SAFETY: a new dense tensor of this shape and kind has exactly these bytes, and nobody else knows it.
        dense.copy_to(unsafe { std::slice::from_raw_parts_mut(start, bytes) });
    }
    Ok(tensor)
}

/// Checks an output and passes it on.
pub(crate) fn from_torch(
    name: String,
    tensor: &tch::Tensor,
    outputs: &mut Outputs<'_>,
) -> Result<(), Failure> {
    let fault = |error: tch::TchError| thrown(FailureCode::Output, &error);
    if !tensor.defined() || tensor.is_sparse() || tensor.is_mkldnn() {
        return Err(Failure::output(format!("output {name:?} is not a dense tensor")));
    }
    let kind = tensor.f_kind().map_err(fault)?;
    let Some((datatype, _)) = KINDS.iter().find(|(_, known)| *known == kind) else {
        return Err(Failure::output(format!(
            "output {name:?} has elements of kind {kind:?}, which has no name"
        )));
    };
    outputs.dense(name, *datatype, tensor.size(), |target| {
        let elements = target.len() / datatype.width();
        if elements == 0 {
            return Ok(());
        }
        tensor.f_copy_data_u8(target, elements).map_err(fault)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldmark_proto::v1;
    use fieldmark_sandbox::{Content, bytes_of, testing};

    fn input(datatype: &str, shape: &[i64], bytes: usize) -> v1::Tensor {
        v1::Tensor {
            name: "x".into(),
            datatype: datatype.into(),
            shape: shape.into(),
            data: vec![1; bytes].into(),
            ..v1::Tensor::default()
        }
    }

    fn to(tensor: &v1::Tensor) -> Result<tch::Tensor, Failure> {
        testing::read(std::slice::from_ref(tensor), |inputs| match &inputs[0].content {
            Content::Dense(dense) => to_torch(&inputs[0], dense, Device::Cpu),
            Content::Texts(_) => unreachable!("numbers were given"),
        })
    }

    fn from(tensor: &tch::Tensor, bytes_max: usize) -> Result<v1::Tensor, Failure> {
        let mut outputs = Outputs::inline(bytes_max);
        from_torch("x".into(), tensor, &mut outputs)?;
        Ok(outputs.finish().remove(0))
    }

    #[test]
    fn a_tensor_survives_the_round_trip() {
        for (datatype, _) in KINDS {
            let sent = input(datatype.name(), &[2, 3], 6 * datatype.width());
            assert_eq!(from(&to(&sent).unwrap(), 1 << 20).unwrap(), sent);
        }
    }

    #[test]
    fn a_scalar_and_an_empty_tensor_are_tensors() {
        assert_eq!(to(&input("FP32", &[], 4)).unwrap().size(), Vec::<i64>::new());
        let empty = to(&input("FP32", &[0, 64], 0)).unwrap();
        assert_eq!(from(&empty, 1 << 10).unwrap().shape, vec![0, 64]);
    }

    #[test]
    fn memory_of_others_becomes_a_tensor_without_a_copy() {
        let values: Vec<f32> = (0..6_u8).map(f32::from).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor = over(&bytes, &[2, 3], Kind::Float).unwrap();
        assert_eq!(tensor.double_value(&[1, 2]), 5.0);
        assert_eq!(tensor.data_ptr().cast_const().cast::<u8>(), bytes.as_ptr());
        assert_eq!(over(&[], &[0, 3], Kind::Float).unwrap().numel(), 0);
    }

    #[test]
    fn a_datatype_that_torchscript_lacks_is_named() {
        assert!(
            to(&input("UINT16", &[1], 2))
                .unwrap_err()
                .message
                .contains("UINT16")
        );
    }

    #[test]
    fn a_shape_without_memory_behind_it_is_not_copied() {
        let huge = tch::Tensor::f_zeros([1], (Kind::Float, Device::Cpu))
            .unwrap()
            .expand([1 << 40], false);
        assert_eq!(bytes_of(&huge.size(), 4), Some(4 << 40));
        assert!(from(&huge, 1 << 20).unwrap_err().message.contains("exceeds"));
    }
}
