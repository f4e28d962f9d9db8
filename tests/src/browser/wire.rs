//! Commands and their answers over the browser's web socket, one at a time. Events are not looked at.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// Longest wait for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// The connection to a browser.
#[derive(Debug)]
pub(super) struct Wire {
    socket: WebSocket<TcpStream>,
    last: u64,
}

impl Wire {
    /// Connects to the browser that listens on `port` of this machine.
    pub(super) fn connect(port: u16, path: &str) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).context("cannot connect to Chromium")?;
        stream
            .set_read_timeout(Some(ANSWER_MAX))
            .context("cannot bound the wait for Chromium")?;
        let address = format!("ws://127.0.0.1:{port}{path}");
        let (socket, _) =
            tungstenite::client(address, stream).context("Chromium does not speak its protocol")?;
        Ok(Self { socket, last: 0 })
    }

    /// Sends a command, of a tab's session if one is named, and waits for its answer.
    pub(super) fn ask(&mut self, session: Option<&str>, method: &str, parameters: &Value) -> Result<Value> {
        self.last += 1;
        let id = self.last;
        let mut command = json!({ "id": id, "method": method, "params": parameters });
        if let (Some(session), Some(object)) = (session, command.as_object_mut()) {
            object.insert("sessionId".into(), session.into());
        }
        let failed = || format!("{method} got no answer from Chromium");
        self.socket
            .send(Message::text(command.to_string()))
            .with_context(failed)?;
        let started = Instant::now();
        while started.elapsed() < ANSWER_MAX {
            let Message::Text(text) = self.socket.read().with_context(failed)? else {
                continue;
            };
            let message: Value = serde_json::from_str(&text).with_context(failed)?;
            if message.get("id").and_then(Value::as_u64) != Some(id) {
                continue;
            }
            if let Some(error) = message.get("error") {
                bail!("Chromium refused {method}: {error}");
            }
            return Ok(message.get("result").cloned().unwrap_or_default());
        }
        bail!(
            "Chromium did not answer {method} within {} s",
            ANSWER_MAX.as_secs()
        )
    }
}
