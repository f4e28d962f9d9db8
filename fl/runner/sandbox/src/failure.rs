//! A refused or failed request, as the supervisor will read it.

use fieldmark_proto::v1::RunnerFailureCode;

/// Longest message sent to the supervisor; a model chooses the text of its exceptions.
const MESSAGE_BYTES_MAX: usize = 2 << 10;

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
        let exhausted = [
            "can't allocate memory",
            "std::bad_alloc",
            "Cannot allocate memory",
            "Failed to allocate memory",
            "out of memory",
            "OutOfMemoryError",
        ];
        let code = if exhausted.iter().any(|sign| text.contains(sign)) {
            RunnerFailureCode::Memory
        } else {
            code
        };
        Self::new(code, telling_line(text))
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
        ] {
            let failure = Failure::thrown(RunnerFailureCode::Model, text);
            assert_eq!(failure.code, RunnerFailureCode::Memory, "{text}");
        }
    }

    #[test]
    fn a_message_is_one_bounded_line() {
        let failure = Failure::input("é\n".repeat(4000));
        assert!(failure.message.len() <= MESSAGE_BYTES_MAX + '…'.len_utf8());
        assert!(!failure.message.contains('\n'));
    }
}
