//! Follows the trust policy's file while the node runs.

use std::time::Duration;

use crate::handle::NodeHandle;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Tells the machines soon after the owner has changed whom it trusts: nothing more may be sent to whom it no longer
/// trusts. A file that cannot be read changes nothing, and is said once.
pub(crate) async fn follow(handle: NodeHandle) {
    let (mut known, mut readable) = (handle.home.trust.clone(), true);
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        match handle.home.trust_now() {
            Ok(now) if now == known => readable = true,
            Ok(now) => {
                if handle.refresh_trust().await.is_ok() {
                    tracing::info!("the trust policy has changed");
                    known = now;
                }
                readable = true;
            }
            Err(error) if readable => {
                tracing::warn!(%error, "the trust policy cannot be read; the one before holds");
                readable = false;
            }
            Err(_) => {}
        }
    }
}
