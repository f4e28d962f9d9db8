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
pub(crate) const INPUTS_MAX: usize = 1024;
/// Outputs waiting for the shells.
pub(crate) const OUTPUTS_MAX: usize = 1024;
/// Most inputs committed together.
pub(crate) const GROUP_MAX: usize = 256;

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Runs the machines until inputs end or the store fails.
pub(crate) fn run(
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
        while group.len() < GROUP_MAX {
            match inputs.try_recv() {
                Ok(input) => group.push((now_ms(), input)),
                Err(_) => break,
            }
        }
    }
}
