//! How large a dataset may be.

/// Most rows of a file.
pub const ROWS_MAX: u64 = 50_000_000;
/// Most features of a row.
pub const FEATURES_MAX: usize = 1 << 20;
/// Most distinct labels of a file; more means that the column holds no classes.
pub const LABELS_MAX: usize = 1024;
/// Most distinct groups of a file.
pub const GROUPS_MAX: usize = 1024;
