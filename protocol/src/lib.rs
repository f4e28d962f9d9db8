//! Identities, records, manifests, tasks and reports of Fieldmark as checked types over canonical
//! bytes, and the contract that every sans-IO machine keeps ([`machine`]).
//!
//! Bytes from peers, files and users enter through constructors that check every bound and return an
//! error; a value of a type in this package is valid. Nothing here reads a clock, a file or a socket.

pub mod address;
pub mod aggregation;
pub mod card;
pub mod challenge;
pub mod decode;
pub mod endorsement;
pub mod fork;
pub mod groups;
pub mod id;
pub mod issue;
pub mod key;
pub mod machine;
pub mod manifest;
pub mod merkle;
pub mod record;
pub mod release;
pub mod report;
pub mod task;
pub mod text;
pub mod trust;
pub mod webhook;

pub use fieldmark_proto::v1 as wire;
pub use id::{RecordId, ReportId, ServedId};
pub use key::{PublicKey, SecretKey};
pub use record::{Kind, Record};
