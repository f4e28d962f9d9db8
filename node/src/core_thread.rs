//! The one thread that owns machines and store (design §3). Inputs that wait together are committed in
//! one synced write; what they cause leaves after it.

use std::time::{SystemTime, UNIX_EPOCH};

use fieldmark_ledger_rocks::RocksStore;
use fieldmark_node_core::NodeCore;
use fieldmark_node_core::driver::Driver;
use fieldmark_node_core::io::{Input, Output};
use fieldmark_protocol::machine::StoreError;
use tokio::sync::mpsc;

/// Inputs waiting for the machines.
pub const INPUTS_MAX: usize = 1024;
/// Outputs waiting for the shells.
pub const OUTPUTS_MAX: usize = 1024;
/// Most inputs committed together.
pub const GROUP_MAX: usize = 256;
/// Bytes from the network after which no more inputs join a group. 8 MiB: a group of long reports is held
/// about four times while it is committed.
pub const GROUP_BYTES_MAX: usize = 8 << 20;

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Runs the machines until inputs end or the store fails.
///
/// # Errors
/// [`StoreError`] when the store fails: nothing that depends on what it did not take has left.
pub fn run(
    core: NodeCore,
    store: RocksStore,
    mut inputs: mpsc::Receiver<Input>,
    outputs: &mpsc::Sender<Output>,
) -> Result<(), StoreError> {
    let mut driver = Driver::new(core, store);
    let mut group = vec![(now_ms(), Input::Start)];
    loop {
        for output in driver.step(group.drain(..))? {
            if outputs.blocking_send(output).is_err() {
                return Ok(());
            }
        }
        match inputs.blocking_recv() {
            Some(input) => group.push((now_ms(), input)),
            None => return Ok(()),
        }
        let mut bytes = group.iter().map(|(_, input)| bytes_of(input)).sum::<usize>();
        while group.len() < GROUP_MAX && bytes < GROUP_BYTES_MAX {
            match inputs.try_recv() {
                Ok(input) => {
                    bytes += bytes_of(&input);
                    group.push((now_ms(), input));
                }
                Err(_) => break,
            }
        }
    }
}

/// Bytes that an input brings from the network.
fn bytes_of(input: &Input) -> usize {
    match input {
        Input::Gossip { data, .. } | Input::Request { data, .. } => data.len(),
        Input::Response { result, .. } => result.as_ref().map_or(0, Vec::len),
        _ => 0,
    }
}
