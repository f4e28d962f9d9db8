//! What neighbouring inputs are: as a value for budgets and files, and as a type for accountants, so
//! that mechanisms analysed under different relations do not compose.

use core::fmt;

use serde::{Deserialize, Serialize};

/// What neighbouring inputs are. A filter keeps one; tasks under another are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Relation {
    /// One source record, with all its views, is there or not.
    AddOrRemoveOneRecord,
    /// One source record is exchanged for another; how many there are is public.
    ReplaceOneRecord,
    /// One organisation's report is exchanged for the zero report; who took part is public.
    ReplaceReportByZero,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AddOrRemoveOneRecord => "one record added or removed",
            Self::ReplaceOneRecord => "one record replaced by another",
            Self::ReplaceReportByZero => "one report replaced by the zero report",
        })
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A neighbour relation as a type.
pub trait Neighbours: sealed::Sealed + Copy + fmt::Debug + Default {
    /// The relation as a value.
    const RELATION: Relation;
}

/// One record is there or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddRemove;

/// One record is exchanged for another. A sum clipped to norm C has sensitivity 2C under it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplaceOne;

/// One report is exchanged for the zero report. No amplification by sampling is claimed under it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplaceByZero;

impl sealed::Sealed for AddRemove {}
impl sealed::Sealed for ReplaceOne {}
impl sealed::Sealed for ReplaceByZero {}

impl Neighbours for AddRemove {
    const RELATION: Relation = Relation::AddOrRemoveOneRecord;
}

impl Neighbours for ReplaceOne {
    const RELATION: Relation = Relation::ReplaceOneRecord;
}

impl Neighbours for ReplaceByZero {
    const RELATION: Relation = Relation::ReplaceReportByZero;
}
