//! libtorch on an NVIDIA GPU. The binary is linked against the CPU libraries only; with a GPU asked for, the
//! CUDA library is opened before the layers, which registers itself, and the device is opened behind them:
//! the driver starts threads, which must be inside.
#![expect(
    unsafe_code,
    reason = "setting a variable before libtorch reads it, and asking CUDA for the size of its memory"
)]

use crate::thrown;
use fieldmark_sandbox::{Failure, FailureCode, Library, Options, Reach, gpu_reach};
use std::ffi::{c_int, c_void};
use tch::{Device, Kind, Tensor};

/// libtorch's CUDA half, found along the binary's own library path.
const LIBRARY: &str = "libtorch_cuda.so";
/// Where libtorch's allocator looks for its settings, when the device is first used.
const SETTINGS: &str = "PYTORCH_CUDA_ALLOC_CONF";

/// Opens the CUDA library and says what must stay reachable.
pub(crate) fn open(options: &Options) -> Result<Reach, Failure> {
    // First whether there is a device at all: that is the likelier want, and the better message.
    gpu_reach(options.device)?;
    // Behind the layers only real paths exist, and it opens further libraries beside itself.
    let named = options.libraries.as_ref().map(|folder| folder.join(LIBRARY));
    let named = named.map(|path| path.canonicalize().unwrap_or(path));
    let name = named.map_or_else(|| LIBRARY.to_owned(), |path| path.display().to_string());
    Library::open(&name).map_err(|cause| {
        Failure::new(
            FailureCode::Device,
            format!(
                "libtorch's CUDA libraries cannot be opened: {cause}; get them with `cargo xtask setup --gpu`"
            ),
        )
    })?;
    gpu_reach(options.device)
}

/// Opens device `number` and computes something on it.
pub(crate) fn settle(number: usize, memory_bytes_max: Option<u64>) -> Result<(), Failure> {
    let broken = |cause: String| Failure::new(FailureCode::Device, format!("cuda:{number}: {cause}"));
    let found = tch::Cuda::device_count();
    if !usize::try_from(found).is_ok_and(|found| number < found) {
        return Err(broken(format!(
            "libtorch sees {found} devices; CUDA 13 needs NVIDIA's driver 580 or later (`nvidia-smi` says which \
             there is), and sees no device that CUDA_VISIBLE_DEVICES leaves out"
        )));
    }
    if let Some(bytes) = memory_bytes_max {
        limit(number, bytes).map_err(broken)?;
    }
    let ones = Tensor::f_ones([16, 16], (Kind::Float, Device::Cuda(number)))
        .and_then(|ones| ones.f_matmul(&ones))
        .and_then(|product| product.f_sum(Kind::Float))
        .and_then(|sum| sum.f_to_device(Device::Cpu))
        .map_err(|error| thrown(FailureCode::Device, &error))?;
    match ones.double_value(&[]) {
        4096.0 => Ok(()),
        wrong => Err(broken(format!("16 · 16 · 16 came out as {wrong}"))),
    }
}

/// Waits for the work that `device` has been given so far, and tells what of it failed: what is copied from the
/// device is copied after all of that.
pub(crate) fn wait(device: Device) -> Result<(), Failure> {
    Tensor::f_empty([1], (Kind::Uint8, device))
        .and_then(|one| one.f_to_device(Device::Cpu))
        .map(drop)
        .map_err(|error| thrown(FailureCode::Model, &error))
}

/// Keeps this process below `bytes` of the device's memory: a part of all there is, as libtorch takes it.
fn limit(number: usize, bytes: u64) -> Result<(), String> {
    let total = total(number)?;
    let part = (bytes as f64 / total as f64).clamp(0.0, 1.0);
    // SAFETY: no other thread of this program reads or writes the environment: it is one thread so far but for
    // the driver's own, which do not.
    unsafe { std::env::set_var(SETTINGS, format!("per_process_memory_fraction:{part:.6}")) };
    Ok(())
}

/// Bytes of memory of a device. Opens it.
fn total(number: usize) -> Result<usize, String> {
    type SetDevice = unsafe extern "C" fn(c_int) -> c_int;
    type MemoryInfo = unsafe extern "C" fn(*mut usize, *mut usize) -> c_int;
    let library = Library::open("libcudart.so.13")?;
    let device = c_int::try_from(number).map_err(|error| error.to_string())?;
    let (set, info) = (
        library.symbol(c"cudaSetDevice"),
        library.symbol(c"cudaMemGetInfo"),
    );
    if set.is_null() || info.is_null() {
        return Err("CUDA's runtime library lacks what asks for the size of the memory".to_owned());
    }
    // SAFETY: these are the runtime library's functions of these names, whose signatures these are.
    let (set, info) = unsafe {
        (
            std::mem::transmute::<*mut c_void, SetDevice>(set),
            std::mem::transmute::<*mut c_void, MemoryInfo>(info),
        )
    };
    let (mut free, mut total) = (0, 0);
    // SAFETY: the pointers are to two local numbers, which the call fills.
    let status = unsafe {
        match set(device) {
            0 => info(&raw mut free, &raw mut total),
            status => status,
        }
    };
    match status {
        0 if total > 0 => Ok(total),
        status => Err(format!("CUDA's runtime library answered error {status}")),
    }
}
