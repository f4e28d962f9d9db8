//! Reports (design §7.1): sealed shares of one contribution, bound together by one signature. The
//! leader gets all of them, each helper its own with the digests of the others.

use prost::Message;

use crate::aggregation::BatchId;
use crate::id::ContentHash;
use crate::key::{BadSignature, Domain};
use crate::task::{COMMITTEE_MAX, COMMITTEE_MIN, PROTOCOL_VERSION};
use crate::{PublicKey, ReportId, SecretKey, wire};

/// Most bytes of one sealed share.
pub const SEALED_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of a public share.
pub const PUBLIC_SHARE_BYTES_MAX: usize = 1024;

/// A report that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A field is missing or of the wrong length.
    #[error("the report's {0} is missing or of the wrong length")]
    Field(&'static str),
    /// The signature does not verify.
    #[error(transparent)]
    Signature(#[from] BadSignature),
}

/// What a report is about and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// The batch it belongs to.
    pub batch: BatchId,
    /// Its random id.
    pub report_id: ReportId,
    /// The identity it counts for.
    pub contributor: PublicKey,
    /// The certified node key that signs it.
    pub node_key: PublicKey,
}

impl Metadata {
    fn to_wire(self) -> wire::ReportMetadata {
        wire::ReportMetadata {
            task: self.batch.task.to_vec(),
            window: self.batch.window,
            report_id: self.report_id.to_vec(),
            contributor: self.contributor.to_vec(),
            node_key: self.node_key.to_vec(),
        }
    }

    fn from_wire(wire: Option<wire::ReportMetadata>) -> Result<Self, ReportError> {
        let wire = wire.ok_or(ReportError::Field("metadata"))?;
        Ok(Self {
            batch: BatchId::from_wire(&wire.task, wire.window).map_err(|_| ReportError::Field("task"))?,
            report_id: ReportId::from_slice(&wire.report_id).map_err(|_| ReportError::Field("id"))?,
            contributor: PublicKey::from_slice(&wire.contributor)
                .map_err(|_| ReportError::Field("contributor"))?,
            node_key: PublicKey::from_slice(&wire.node_key).map_err(|_| ReportError::Field("node key"))?,
        })
    }

    /// HPKE associated data of every share: what a share must not be moved away from.
    #[must_use]
    pub fn associated_data(&self, public_share: &[u8]) -> Vec<u8> {
        let batch = self.batch.key();
        [
            batch.as_slice(),
            self.report_id.as_bytes(),
            self.contributor.as_bytes(),
            ContentHash::of(public_share).as_bytes(),
        ]
        .concat()
    }
}

/// HPKE info of the share for the aggregator in `seat`.
#[must_use]
pub fn seal_info(seat: u8) -> Vec<u8> {
    let mut info = b"fieldmark/v1/share\0".to_vec();
    info.extend(PROTOCOL_VERSION.to_be_bytes());
    info.push(seat);
    info
}

fn signed_bytes(metadata: &Metadata, public_share: &[u8], digests: &[ContentHash]) -> Vec<u8> {
    let mut bytes = metadata.associated_data(public_share);
    bytes.extend(metadata.node_key.as_bytes());
    for digest in digests {
        bytes.extend(digest.as_bytes());
    }
    bytes
}

/// A report with all its sealed shares, as a contributor uploads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whose and about what.
    pub metadata: Metadata,
    /// The part of the proof that everyone sees.
    pub public_share: Vec<u8>,
    /// One per seat of the committee.
    pub sealed: Vec<Vec<u8>>,
    signature: Vec<u8>,
}

impl Report {
    /// Signs a report with the contributor's node key.
    #[must_use]
    pub fn sign(node: &SecretKey, metadata: Metadata, public_share: Vec<u8>, sealed: Vec<Vec<u8>>) -> Self {
        let bytes = signed_bytes(&metadata, &public_share, &digests(&sealed));
        let signature = node.sign(Domain::Report, &bytes).to_vec();
        Self {
            metadata,
            public_share,
            sealed,
            signature,
        }
    }

    /// Checks sizes and the signature under the node key it names. Whether that key may speak for the
    /// contributor is the ledger's knowledge.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn check(wire: wire::Report) -> Result<Self, ReportError> {
        let metadata = Metadata::from_wire(wire.metadata)?;
        let seats = (COMMITTEE_MIN..=COMMITTEE_MAX).contains(&wire.sealed.len());
        if !seats || wire.sealed.iter().any(|s| s.len() > SEALED_BYTES_MAX) {
            return Err(ReportError::Field("list of sealed shares"));
        }
        if wire.public_share.len() > PUBLIC_SHARE_BYTES_MAX {
            return Err(ReportError::Field("public share"));
        }
        let bytes = signed_bytes(&metadata, &wire.public_share, &digests(&wire.sealed));
        metadata
            .node_key
            .verify(Domain::Report, &bytes, &wire.signature)?;
        Ok(Self {
            metadata,
            public_share: wire.public_share,
            sealed: wire.sealed,
            signature: wire.signature,
        })
    }

    /// Reads a report that this node checked before it stored it: the fields again, the signature not.
    ///
    /// # Errors
    /// [`ReportError::Field`] when the bytes are no report, so that the store is damaged.
    pub fn stored(wire: wire::Report) -> Result<Self, ReportError> {
        Ok(Self {
            metadata: Metadata::from_wire(wire.metadata)?,
            public_share: wire.public_share,
            sealed: wire.sealed,
            signature: wire.signature,
        })
    }

    /// The wire form.
    #[must_use]
    pub fn to_wire(&self) -> wire::Report {
        wire::Report {
            metadata: Some(self.metadata.to_wire()),
            public_share: self.public_share.clone(),
            sealed: self.sealed.clone(),
            signature: self.signature.clone(),
        }
    }

    /// The encoded wire form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_wire().encode_to_vec()
    }

    /// What the aggregator in `seat` gets to see; `None` when there is no such seat.
    #[must_use]
    pub fn for_seat(&self, seat: usize) -> Option<SeatReport> {
        Some(SeatReport {
            metadata: self.metadata,
            public_share: self.public_share.clone(),
            sealed: self.sealed.get(seat)?.clone(),
            digests: digests(&self.sealed),
            signature: self.signature.clone(),
        })
    }

    /// What each aggregator gets to see, by seat. Every share is hashed once and moved, so that a long one
    /// is not copied.
    #[must_use]
    pub fn into_seats(self) -> Vec<SeatReport> {
        let digests = digests(&self.sealed);
        let (metadata, public_share, signature) = (self.metadata, self.public_share, self.signature);
        let seat = |sealed| SeatReport {
            metadata,
            public_share: public_share.clone(),
            sealed,
            digests: digests.clone(),
            signature: signature.clone(),
        };
        self.sealed.into_iter().map(seat).collect()
    }
}

fn digests(sealed: &[Vec<u8>]) -> Vec<ContentHash> {
    sealed.iter().map(|s| ContentHash::of(s)).collect()
}

/// A report as one aggregator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatReport {
    /// Whose and about what.
    pub metadata: Metadata,
    /// The part of the proof that everyone sees.
    pub public_share: Vec<u8>,
    /// The share sealed to this seat.
    pub sealed: Vec<u8>,
    digests: Vec<ContentHash>,
    signature: Vec<u8>,
}

impl SeatReport {
    /// Checks sizes, that the sealed share is the one signed for `seat`, and the signature.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn check(wire: wire::HelperReport, seat: usize) -> Result<Self, ReportError> {
        let metadata = Metadata::from_wire(wire.metadata)?;
        if wire.sealed.len() > SEALED_BYTES_MAX || wire.public_share.len() > PUBLIC_SHARE_BYTES_MAX {
            return Err(ReportError::Field("share"));
        }
        if !(COMMITTEE_MIN..=COMMITTEE_MAX).contains(&wire.sealed_digests.len()) {
            return Err(ReportError::Field("list of digests"));
        }
        let digest = |d: &Vec<u8>| ContentHash::from_slice(d).map_err(|_| ReportError::Field("digest"));
        let digests: Vec<_> = wire.sealed_digests.iter().map(digest).collect::<Result<_, _>>()?;
        if digests.get(seat) != Some(&ContentHash::of(&wire.sealed)) {
            return Err(ReportError::Field("sealed share"));
        }
        let bytes = signed_bytes(&metadata, &wire.public_share, &digests);
        metadata
            .node_key
            .verify(Domain::Report, &bytes, &wire.signature)?;
        Ok(Self {
            metadata,
            public_share: wire.public_share,
            sealed: wire.sealed,
            digests,
            signature: wire.signature,
        })
    }

    /// How many shares the contributor signed for.
    #[must_use]
    pub fn seats(&self) -> usize {
        self.digests.len()
    }

    /// The wire form.
    #[must_use]
    pub fn to_wire(&self) -> wire::HelperReport {
        wire::HelperReport {
            metadata: Some(self.metadata.to_wire()),
            public_share: self.public_share.clone(),
            sealed: self.sealed.clone(),
            sealed_digests: self.digests.iter().map(|d| d.to_vec()).collect(),
            signature: self.signature.clone(),
        }
    }
}

/// The leader's word that it has a report durably.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The batch.
    pub batch: BatchId,
    /// The report.
    pub report_id: ReportId,
    /// The leader's time of receipt, which decides whether the report was in the window.
    pub received_at_ms: u64,
    signature: Vec<u8>,
}

impl Receipt {
    /// Signs a receipt with the leader's node key.
    #[must_use]
    pub fn sign(leader: &SecretKey, batch: BatchId, report_id: ReportId, received_at_ms: u64) -> Self {
        let bytes = receipt_bytes(batch, report_id, received_at_ms);
        Self {
            batch,
            report_id,
            received_at_ms,
            signature: leader.sign(Domain::Receipt, &bytes).to_vec(),
        }
    }

    /// Checks a receipt under the leader's node key.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn check(wire: wire::Receipt, leader: PublicKey) -> Result<Self, ReportError> {
        let batch =
            BatchId::from_wire(&wire.task, wire.window).map_err(|_| ReportError::Field("receipt's task"))?;
        let report_id =
            ReportId::from_slice(&wire.report_id).map_err(|_| ReportError::Field("receipt's id"))?;
        let bytes = receipt_bytes(batch, report_id, wire.received_at_ms);
        leader.verify(Domain::Receipt, &bytes, &wire.signature)?;
        Ok(Self {
            batch,
            report_id,
            received_at_ms: wire.received_at_ms,
            signature: wire.signature,
        })
    }

    /// The wire form.
    #[must_use]
    pub fn to_wire(&self) -> wire::Receipt {
        wire::Receipt {
            task: self.batch.task.to_vec(),
            window: self.batch.window,
            report_id: self.report_id.to_vec(),
            received_at_ms: self.received_at_ms,
            signature: self.signature.clone(),
        }
    }
}

fn receipt_bytes(batch: BatchId, report_id: ReportId, at_ms: u64) -> Vec<u8> {
    [batch.key().as_slice(), report_id.as_bytes(), &at_ms.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecordId;

    fn sample() -> Report {
        let node = SecretKey::from_seed(&[4; 32]);
        let metadata = Metadata {
            batch: BatchId {
                task: RecordId::new([1; 32]),
                window: 0,
            },
            report_id: ReportId::new([2; 16]),
            contributor: PublicKey::new([3; 32]),
            node_key: node.public(),
        };
        Report::sign(&node, metadata, vec![7; 10], vec![vec![1], vec![2], vec![3]])
    }

    #[test]
    fn a_report_survives_the_wire_whole_and_by_seat() {
        let report = sample();
        assert_eq!(Report::check(report.to_wire()).unwrap(), report);
        let mut seats = Vec::new();
        for seat in 0..3 {
            let own = report.for_seat(seat).unwrap();
            assert_eq!(SeatReport::check(own.to_wire(), seat).unwrap(), own);
            seats.push(own);
        }
        assert_eq!(report.for_seat(3), None);
        assert_eq!(Report::stored(report.to_wire()).unwrap(), report);
        assert_eq!(report.into_seats(), seats);
    }

    #[test]
    fn a_share_given_to_the_wrong_seat_is_refused() {
        let own = sample().for_seat(1).unwrap();
        assert_eq!(
            SeatReport::check(own.to_wire(), 2),
            Err(ReportError::Field("sealed share"))
        );
    }

    #[test]
    fn a_report_moved_to_another_task_or_contributor_is_refused() {
        for change in [
            |m: &mut wire::ReportMetadata| m.task = vec![9; 32],
            |m: &mut wire::ReportMetadata| m.contributor = vec![9; 32],
            |m: &mut wire::ReportMetadata| m.window = 9,
        ] {
            let mut wire = sample().to_wire();
            change(wire.metadata.as_mut().unwrap());
            assert!(matches!(Report::check(wire), Err(ReportError::Signature(_))));
        }
    }

    #[test]
    fn a_report_with_a_single_share_is_refused() {
        let mut wire = sample().to_wire();
        wire.sealed.truncate(1);
        assert!(Report::check(wire).is_err());
    }

    #[test]
    fn a_receipt_is_its_leaders() {
        let leader = SecretKey::from_seed(&[8; 32]);
        let report = sample();
        let receipt = Receipt::sign(&leader, report.metadata.batch, report.metadata.report_id, 12);
        assert_eq!(
            Receipt::check(receipt.to_wire(), leader.public()).unwrap(),
            receipt
        );
        assert!(Receipt::check(receipt.to_wire(), PublicKey::new([1; 32])).is_err());
    }
}
