//! The version of what is on disk, and the way from old ones to the newest.
//!
//! The version is a big-endian `u32` under the key `format` of the `meta` column. Version 1: the columns
//! of [`fieldmark_protocol::machine::Column`], with the indexes that `fieldmark_ledger::index` lays out.
//!
//! A change of layout adds a [`Step`] to [`STEPS`] and a fixture of the version before to the tests. A
//! step returns a batch, which is committed together with the new version: a crash leaves the old
//! version or the new one. A step over more than fits into memory writes keys of a new layout beside the
//! old ones in several commits of its own first; it may run twice.

use fieldmark_protocol::machine::{Batch, Read, StoreError};

/// Key of the version in the `meta` column.
pub const VERSION_KEY: &[u8] = b"format";

/// Brings a store from one version to the next.
pub type Step = fn(&dyn Read) -> Result<Batch, StoreError>;

/// Steps from version 1 on: the n-th leads from version n to n + 1.
pub const STEPS: &[Step] = &[];

/// The version this program writes.
pub(crate) const CURRENT: Format = Format { steps: STEPS };

/// The versions that a program knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    pub(crate) steps: &'static [Step],
}

impl Format {
    /// The newest version.
    pub(crate) fn version(&self) -> u32 {
        u32::try_from(self.steps.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1)
    }

    /// The step that leads on from `version`, if it is not the newest.
    pub(crate) fn step(&self, version: u32) -> Option<Step> {
        let index = usize::try_from(version.checked_sub(1)?).ok()?;
        self.steps.get(index).copied()
    }
}
