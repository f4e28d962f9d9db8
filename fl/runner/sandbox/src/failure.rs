//! A refused or failed request, as the supervisor will read it.

use fieldmark_proto::v1::RunnerFailureCode;

/// Longest message sent to the supervisor; a model chooses the text of its exceptions.
const MESSAGE_BYTES_MAX: usize = 2 << 10;

/// What frameworks say of a failed allocation, in main memory or on a GPU.
const EXHAUSTED: [&str; 9] = [
    "can't allocate memory",
    "std::bad_alloc",
    "Cannot allocate memory",
    "Failed to allocate memory",
    "out of memory",
    "OutOfMemoryError",
    "is smaller than requested bytes",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
];
/// What libtorch says when GPU memory has run out and it cannot ask the driver who has it, as behind the layers.
const NO_REPORT: &str = "NVML_SUCCESS ==";
/// What frameworks say of an error on a GPU.
const LOST: [&str; 4] = ["CUDA error", "CUDA failure", "CUDNN_STATUS", "CUBLAS_STATUS"];

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whose fault it is.
    pub code: RunnerFailureCode,
    /// One line for a person.
    pub message: String,
}

impl Failure {
    /// A failure with a message of our own.
    #[must_use]
    pub fn new(code: RunnerFailureCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: one_line(&message.into()),
        }
    }

    /// A wrong input.
    #[must_use]
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(RunnerFailureCode::Input, message)
    }

    /// An output that cannot be passed on.
    #[must_use]
    pub fn output(message: impl Into<String>) -> Self {
        Self::new(RunnerFailureCode::Output, message)
    }

    /// An exception out of a framework, reduced to the line that says what happened. `code` is used unless the
    /// exception tells of a failed allocation, in main memory or on a GPU.
    #[must_use]
    pub fn thrown(code: RunnerFailureCode, text: &str) -> Self {
        let line = telling_line(text);
        if text.contains(NO_REPORT) {
            return Self::new(RunnerFailureCode::Memory, "CUDA out of memory");
        }
        if EXHAUSTED.iter().any(|sign| text.contains(sign)) {
            // libtorch goes on with the processes that share the GPU, which are not this caller's business.
            let own = line.split_once(". GPU ").map_or(line, |(own, _)| own);
            return Self::new(RunnerFailureCode::Memory, own);
        }
        Self::new(code, line)
    }

    /// Whether it tells of a GPU that this process can no longer use: after such an error CUDA answers every
    /// further call with it.
    pub(crate) fn device_is_lost(&self) -> bool {
        self.code != RunnerFailureCode::Memory && LOST.iter().any(|sign| self.message.contains(sign))
    }
}

/// Frameworks wrap the cause in a trace of frames; the cause is the line with the error's type, or else the
/// first.
fn telling_line(text: &str) -> &str {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let named = lines().rfind(|line| {
        let word = line.split(':').next().unwrap_or_default();
        word.ends_with("Error") && !word.contains(' ')
    });
    named
        .or_else(|| lines().next())
        .unwrap_or("the framework gave no reason")
}

fn one_line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if line.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX)
            .rev()
            .find(|end| line.is_char_boundary(*end))
            .unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_names_the_error_is_kept() {
        let trace = "The following operation failed in the TorchScript interpreter.\n\
            Traceback of TorchScript, serialized code (most recent call last):\n  File \"code\"\n\
            RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x3 and 64x10)\n";
        let failure = Failure::thrown(RunnerFailureCode::Model, trace);
        assert_eq!(
            failure.message,
            "RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x3 and 64x10)"
        );
        assert_eq!(failure.code, RunnerFailureCode::Model);
    }

    #[test]
    fn a_failed_allocation_is_told_apart() {
        for text in [
            "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.",
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.",
            "bfc_arena.cc:376 Available memory of 0 is smaller than requested bytes of 1073741824",
            "NVML_SUCCESS == DriverAPI::get()->nvmlInit_v2_() INTERNAL ASSERT FAILED at \"x.cpp\":1, please report",
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        ] {
            let failure = Failure::thrown(RunnerFailureCode::Model, text);
            assert_eq!(failure.code, RunnerFailureCode::Memory, "{text}");
            assert!(!failure.device_is_lost(), "{text}");
        }
    }

    #[test]
    fn other_processes_on_a_gpu_are_not_named() {
        let text = "CUDA out of memory. Tried to allocate 1.00 GiB. GPU 0 has a total capacity of 79.18 GiB of which \
            3.25 MiB is free. Process 4711 has 78.00 GiB memory in use. Process 4712 has 1.18 GiB memory in use.";
        let message = Failure::thrown(RunnerFailureCode::Model, text).message;
        assert_eq!(message, "CUDA out of memory. Tried to allocate 1.00 GiB");
    }

    #[test]
    fn a_gpu_that_is_lost_is_told_apart() {
        for (text, lost) in [
            ("RuntimeError: CUDA error: device-side assert triggered", true),
            (
                "CUDA failure 700: an illegal memory access was encountered ; GPU=0",
                true,
            ),
            ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", true),
            (
                "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(x)`",
                true,
            ),
            ("CUDA error: out of memory", false),
            ("RuntimeError: mat1 and mat2 shapes cannot be multiplied", false),
        ] {
            let failure = Failure::thrown(RunnerFailureCode::Model, text);
            assert_eq!(failure.device_is_lost(), lost, "{text}");
        }
    }

    #[test]
    fn a_message_is_one_bounded_line() {
        let failure = Failure::input("é\n".repeat(4000));
        assert!(failure.message.len() <= MESSAGE_BYTES_MAX + '…'.len_utf8());
        assert!(!failure.message.contains('\n'));
    }
}
