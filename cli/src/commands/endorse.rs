//! `endorse`: a signed word for another identity.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde_json::json;

use crate::args::{Endorse, Global};
use crate::client::Client;
use crate::output::Output;
use crate::text;

/// `endorse`
pub(crate) fn endorse(global: &Global, args: &Endorse, out: &Output) -> anyhow::Result<()> {
    let expires_at_ms = match args.days {
        None => 0,
        Some(days) => {
            let end = SystemTime::now() + Duration::from_secs(days.saturating_mul(24 * 3600));
            let since = end
                .duration_since(UNIX_EPOCH)
                .context("this machine's clock is before 1970")?;
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        }
    };
    let body = json!({
        "identity": args.identity,
        "role": args.role,
        "expires_at_ms": expires_at_ms,
        "revoked": args.revoke,
    });
    let signed = Client::connect(global)?.post("endorsements", &body)?;
    out.result(&signed, || {
        let word = if args.revoke {
            "no longer endorses"
        } else {
            "endorses"
        };
        format!(
            "this identity {word} {} as {}; record {}",
            text::short(&args.identity),
            args.role,
            text::string(&signed, "endorsement")
        )
    })
}
