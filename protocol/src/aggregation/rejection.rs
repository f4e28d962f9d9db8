//! Why reports are not counted, by stable numbers.

/// Why a report was not counted. Numbers are stable on the wire; 0 means accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RejectionReason {
    /// The contributor's signature or certificate does not hold.
    Signature,
    /// The task does not admit the contributor.
    NotEligible,
    /// The identity already has a report in this window.
    Duplicate,
    /// A share does not open.
    Seal,
    /// The proof does not verify: a value out of range, or bytes that are no share.
    Proof,
    /// Wrong shape: number of shares, sizes, task or window.
    Malformed,
    /// It came before the window opened or after it closed.
    Time,
}

impl RejectionReason {
    /// Every reason, by number from 1.
    pub const ALL: [Self; 7] = [
        Self::Signature,
        Self::NotEligible,
        Self::Duplicate,
        Self::Seal,
        Self::Proof,
        Self::Malformed,
        Self::Time,
    ];

    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Signature => 1,
            Self::NotEligible => 2,
            Self::Duplicate => 3,
            Self::Seal => 4,
            Self::Proof => 5,
            Self::Malformed => 6,
            Self::Time => 7,
        }
    }

    /// The reason with this number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.number() == number)
    }

    /// Words for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::NotEligible => "not-eligible",
            Self::Duplicate => "duplicate",
            Self::Seal => "seal",
            Self::Proof => "proof",
            Self::Malformed => "malformed",
            Self::Time => "time",
        }
    }
}
