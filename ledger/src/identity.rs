//! Identities: their profiles, and the nodes that they certified.

use fieldmark_protocol::address::NodeCertificate;
use fieldmark_protocol::machine::{Read, StoreError};
use fieldmark_protocol::{PublicKey, RecordId};

use crate::effect::Effects;
use crate::index::{self, Index};
use crate::log;
use crate::payload::Body;

/// An identity as it presents itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileView {
    /// The Profile record.
    pub id: RecordId,
    /// Whose it is.
    pub identity: PublicKey,
    /// The name. Anyone can choose any: show the key beside it.
    pub name: String,
    /// Free text.
    pub about: String,
    /// The author's clock.
    pub created_at_ms: u64,
}

/// A node key with the certificate that holds for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// Who answers for the node.
    pub identity: PublicKey,
    /// The NodeCertificate record.
    pub id: RecordId,
    /// What was certified.
    pub certificate: NodeCertificate,
}

/// The newest profile of an identity, by its own clock.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn profile(store: &dyn Read, identity: &PublicKey) -> Result<Option<ProfileView>, StoreError> {
    let effects = Effects::new(store);
    let mut newest: Option<ProfileView> = None;
    for hit in index::all(store, Index::Profiles, &[identity.as_bytes()])? {
        let id = hit.id()?;
        let Some((record, effect)) = effects.held(&id)? else {
            continue;
        };
        let Some(Body::Profile(profile)) = Body::of(&record).filter(|_| effect.counts()) else {
            continue;
        };
        let created_at_ms = record.header().created_at_ms;
        if newest
            .as_ref()
            .is_none_or(|n| (n.created_at_ms, n.id) < (created_at_ms, id))
        {
            let (name, about) = (profile.name, profile.about);
            newest = Some(ProfileView {
                id,
                identity: *identity,
                name,
                about,
                created_at_ms,
            });
        }
    }
    Ok(newest)
}

/// The name of an identity.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn name(store: &dyn Read, identity: &PublicKey) -> Result<Option<String>, StoreError> {
    Ok(profile(store, identity)?.map(|profile| profile.name))
}

/// The certificate that holds for a node key; `None` once it is revoked. If several identities
/// certified it, which takes the node's consent to each, the one with the lowest key answers.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn certificate(store: &dyn Read, node_key: &PublicKey) -> Result<Option<Certified>, StoreError> {
    let mut before = None;
    for hit in index::all(store, Index::Certificates, &[node_key.as_bytes()])? {
        let identity = hit.part(33)?;
        if before.replace(identity) == Some(identity) {
            continue;
        }
        if let Some(certified) = certified_for(store, &identity, node_key)? {
            return Ok(Some(certified));
        }
    }
    Ok(None)
}

/// The latest certificate by `identity` that holds for a node key; `None` once it is revoked.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn certified_for(
    store: &dyn Read,
    identity: &PublicKey,
    node_key: &PublicKey,
) -> Result<Option<Certified>, StoreError> {
    let parts: [&[u8]; 2] = [node_key.as_bytes(), identity.as_bytes()];
    if !index::hits(store, Index::Revocations, &parts, 1)?.is_empty() {
        return Ok(None);
    }
    let Some((_, id)) = Effects::new(store).certificates(identity, node_key)?.pop() else {
        return Ok(None);
    };
    let Some(record) = log::record(store, &id)? else {
        return Ok(None);
    };
    Ok(match Body::of(&record) {
        Some(Body::Certificate(certificate)) => Some(Certified {
            identity: *identity,
            id,
            certificate,
        }),
        _ => None,
    })
}

/// The nodes that an identity answers for, by node key.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn nodes_of(store: &dyn Read, identity: &PublicKey) -> Result<Vec<Certified>, StoreError> {
    let mut nodes: Vec<PublicKey> = Vec::new();
    for hit in index::all(store, Index::Nodes, &[identity.as_bytes()])? {
        nodes.push(hit.part(33)?);
    }
    nodes.dedup();
    let certified = nodes
        .iter()
        .map(|node| certified_for(store, identity, node).transpose());
    certified.flatten().collect()
}

/// Every identity with a record that counts, sorted.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn identities(store: &dyn Read) -> Result<Vec<PublicKey>, StoreError> {
    let effects = Effects::new(store);
    let mut found: Vec<PublicKey> = Vec::new();
    for hit in index::all(store, Index::AuthorLogs, &[])? {
        let (author, key) = (hit.part(1)?, hit.part(33)?);
        if found.last() == Some(&author) {
            continue;
        }
        let held = log::chain(store, &key)?.is_some_and(|chain| chain.author == author);
        if held && effects.end(&author, &key)? > 0 {
            found.push(author);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
