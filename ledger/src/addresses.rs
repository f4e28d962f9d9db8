//! Where nodes say they are reached: the newest signed address of each. Addresses are no records: one
//! replaces the one before it, and they count for nothing but being found.

use fieldmark_protocol::PublicKey;
use fieldmark_protocol::address::NodeAddress;
use fieldmark_protocol::machine::{Column, Read, StoreError};

/// Where a node says it is reached.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn of(store: &dyn Read, node: &PublicKey) -> Result<Option<NodeAddress>, StoreError> {
    let Some(bytes) = store.get(Column::Addresses, node.as_bytes())? else {
        return Ok(None);
    };
    let address = NodeAddress::decode(&bytes);
    Ok(Some(address.map_err(|e| {
        StoreError::damaged(Column::Addresses, node.as_bytes(), e)
    })?))
}

/// Every address known, by node key.
///
/// # Errors
/// [`StoreError`] when the store fails or is damaged.
pub fn all(store: &dyn Read) -> Result<Vec<NodeAddress>, StoreError> {
    let decode = |(key, value): (Vec<u8>, Vec<u8>)| {
        NodeAddress::decode(&value).map_err(|e| StoreError::damaged(Column::Addresses, &key, e))
    };
    store
        .scan_all(Column::Addresses, &[])?
        .into_iter()
        .map(decode)
        .collect()
}
