//! The table attempt × runtime × who denies it: what is in its cells, and the page that shows it.

use std::path::PathBuf;

use fieldmark_package::PackageError;

use super::{FailureCode, InferError, StartError};

/// In the order of the page.
pub(crate) const ATTEMPTS: [&str; 25] = [
    "read outside",
    "write outside",
    "TCP",
    "UDP",
    "Unix sockets",
    "network interfaces",
    "signals",
    "ptrace",
    "/proc of others",
    "exec",
    "fork bomb",
    "thread bomb",
    "memory bomb",
    "shared memory",
    "CPU spin",
    "endless output",
    "huge tensors",
    "wrong shapes",
    "NaN flood",
    "segfault",
    "hang",
    "descriptors left open",
    "core dumps",
    "timing out on load",
    "forged answers",
];
/// In the order of the columns.
pub(crate) const RUNTIMES: [&str; 3] = ["torchscript", "onnx", "python"];
/// Around the table on the page.
const MARKS: [&str; 2] = [
    "<!-- escapes: what the suite sees -->\n",
    "<!-- end of escapes -->",
];
/// With this variable set, the page is written instead of compared.
const WRITE: &str = "FIELDMARK_WRITE_ESCAPES";

/// Who stopped an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    Seccomp,
    Files,
    Descriptors,
    Threads,
    Closed,
    Memory,
    Time,
    Output,
    Sample,
    Crash,
    Nonsense,
    PassedOn,
    NoCore,
    Impossible,
}

impl Denial {
    /// By what the kernel answered.
    pub(crate) fn of_kernel(words: &str) -> Self {
        let says = |signs: &[&str]| signs.iter().any(|sign| words.contains(sign));
        match () {
            () if says(&["Operation not permitted", "Function not implemented"]) => Self::Seccomp,
            () if says(&["No such file", "Permission denied", "Read-only file system"]) => Self::Files,
            () if says(&["Too many open files"]) => Self::Descriptors,
            () if says(&["can't start new thread"]) => Self::Threads,
            () if says(&["none but the socket"]) => Self::Closed,
            () => panic!("'{words}' is no denial"),
        }
    }

    /// By how a request ended.
    pub(crate) fn of_request(error: &InferError) -> Self {
        match error {
            InferError::Rejected {
                code: FailureCode::Model,
                message,
                ..
            } if message.contains("denied: ") => Self::of_kernel(message),
            InferError::Rejected {
                code: FailureCode::Output,
                ..
            } => Self::Output,
            InferError::Rejected {
                code: FailureCode::Memory,
                ..
            }
            | InferError::MemoryExceeded { .. } => Self::Memory,
            InferError::TimedOut { .. } => Self::Time,
            InferError::Crashed { cause, .. }
                if cause.contains("announced") || cause.contains("response") =>
            {
                Self::Nonsense
            }
            InferError::Crashed { .. } => Self::Crash,
            other => panic!("{other}"),
        }
    }

    /// By how a start ended.
    pub(crate) fn of_start(error: &StartError) -> Self {
        match error {
            StartError::TimedOut { .. } => Self::Time,
            other => panic!("{other}"),
        }
    }

    /// By why a package was not packed.
    pub(crate) fn of_package(error: &PackageError) -> Self {
        match error {
            PackageError::Output { .. } => Self::Sample,
            other => panic!("{other}"),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Seccomp => "denied by seccomp",
            Self::Files => "denied by the root folder and Landlock",
            Self::Descriptors => "stopped by the limit on descriptors",
            Self::Threads => "stopped by the limit on threads",
            Self::Closed => "the launcher passes on none but its own",
            Self::Memory => "ended by the memory limit",
            Self::Time => "killed by the time limit",
            Self::Output => "refused by the check of outputs",
            Self::Sample => "refused when packed, by the run on the sample",
            Self::Crash => "its own process ends, one request fails",
            Self::Nonsense => "killed by the supervisor, which reads bounded frames",
            Self::PassedOn => "passed on as NaN, in JSON as null",
            Self::NoCore => "none is written: limit 0",
            Self::Impossible => "the format has no way to",
        }
    }
}

/// One attempt with all runtimes.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) attempt: &'static str,
    pub(crate) denials: [Denial; 3],
}

/// The table as it stands on the page.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = format!(
        "| attempt | {} |\n| --- | --- | --- | --- |\n",
        RUNTIMES.join(" | ")
    );
    for Row { attempt, denials } in rows {
        let cells = denials.map(Denial::words);
        text.push_str(&format!("| {attempt} | {} |\n", cells.join(" | ")));
    }
    text
}

/// The page shows this very table.
pub(crate) fn compare_with_the_page(seen: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/threat-model.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let [begin, end] = MARKS;
    let (before, rest) = page
        .split_once(begin)
        .expect("the page has a place for the table");
    let (shown, after) = rest.split_once(end).expect("the place has an end");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, format!("{before}{begin}{seen}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(
        shown, seen,
        "docs/threat-model.md is not what the suite sees; run it with {WRITE}=1"
    );
}
