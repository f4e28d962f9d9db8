//! Talks to the running node's private API.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use fieldmark_node::home::Endpoint;
use serde::Serialize;
use serde_json::Value;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use crate::args::Global;
use crate::failure::{Exit, Failure};

/// Most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Longest time to connect: the node is on this machine.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// A connection to the node of one data folder.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    endpoint: Endpoint,
    data: PathBuf,
}

/// The data folder of this call.
pub(crate) fn data_dir(global: &Global) -> anyhow::Result<PathBuf> {
    if let Some(data) = &global.data {
        return Ok(data.clone());
    }
    let var = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = var("XDG_DATA_HOME").or_else(|| var("HOME").map(|home| home.join(".local/share")));
    let base =
        base.ok_or_else(|| Failure::usage("neither --data nor HOME is set; name a data folder with --data"))?;
    Ok(base.join("fieldmark"))
}

impl Client {
    /// The node of the call's data folder.
    pub(crate) fn connect(global: &Global) -> anyhow::Result<Self> {
        let data = data_dir(global)?;
        let endpoint = Endpoint::find(&data)?;
        Ok(Self::new(endpoint, &data))
    }

    pub(crate) fn new(endpoint: Endpoint, data: &Path) -> Self {
        let config = Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_MAX))
            .max_redirects(0)
            .build();
        Self {
            agent: Agent::new_with_config(config),
            endpoint,
            data: data.to_owned(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        parse(&self.get_text(path)?)
    }

    pub(crate) fn get_text(&self, path: &str) -> anyhow::Result<String> {
        let request = self
            .agent
            .get(self.url(path))
            .header("Authorization", self.bearer());
        self.answer(request.call())
    }

    pub(crate) fn post(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Value> {
        parse(&self.post_text(path, body)?)
    }

    pub(crate) fn post_text(&self, path: &str, body: &impl Serialize) -> anyhow::Result<String> {
        let request = self
            .agent
            .post(self.url(path))
            .header("Authorization", self.bearer());
        self.answer(request.send_json(body))
    }

    pub(crate) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        let request = self
            .agent
            .delete(self.url(path))
            .header("Authorization", self.bearer());
        parse(&self.answer(request.call())?)
    }

    pub(crate) fn get_bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let request = self
            .agent
            .get(self.url(path))
            .header("Authorization", self.bearer());
        self.answer_bytes(request.call())
    }

    pub(crate) fn post_bytes(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Vec<u8>> {
        let request = self
            .agent
            .post(self.url(path))
            .header("Authorization", self.bearer());
        self.answer_bytes(request.send_json(body))
    }

    /// Follows the node's events until it ends or `take` returns false.
    pub(crate) fn events(&self, mut take: impl FnMut(Value) -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let request = self
            .agent
            .get(self.url("events"))
            .header("Authorization", self.bearer());
        let response = request.call().map_err(|error| self.unreachable(&error))?;
        if response.status() != StatusCode::OK {
            return self.answer(Ok(response)).map(drop);
        }
        for line in BufReader::new(response.into_body().into_reader()).lines() {
            // The node ended: so do its events.
            let Ok(line) = line else { return Ok(()) };
            if let Some(data) = line.strip_prefix("data:")
                && !take(parse(data)?)?
            {
                return Ok(());
            }
        }
        Ok(())
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/api/v1/{path}", self.endpoint.address)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.endpoint.token)
    }

    fn answer(&self, result: Result<Response<Body>, ureq::Error>) -> anyhow::Result<String> {
        let bytes = self.answer_bytes(result)?;
        String::from_utf8(bytes).context("the node's answer is no text")
    }

    fn answer_bytes(&self, result: Result<Response<Body>, ureq::Error>) -> anyhow::Result<Vec<u8>> {
        let mut response = result.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec();
        let bytes = body.context("the node's answer was cut off")?;
        if status.is_success() {
            Ok(bytes)
        } else {
            Err(refused(status, &String::from_utf8_lossy(&bytes)).into())
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> anyhow::Error {
        let (address, data) = (self.endpoint.address, self.data.display());
        let message = format!(
            "the node of {data} does not answer at {address}: {error}; start it with `fieldmark node run --data {data}`"
        );
        Failure::new(Exit::NoNode, "no-node", message).into()
    }
}

/// What the node said, as this program's failure.
fn refused(status: StatusCode, text: &str) -> Failure {
    let answer: Option<Value> = serde_json::from_str(text).ok();
    let error = answer.as_ref().and_then(|a| a.get("error"));
    let field = |name: &str| error.and_then(|e| e.get(name)).and_then(Value::as_str);
    let code = field("code").unwrap_or("failed");
    let message = field("message").map_or_else(|| format!("the node answered {status}"), str::to_owned);
    Failure::new(Exit::of_code(code), code, message)
}

fn parse(text: &str) -> anyhow::Result<Value> {
    serde_json::from_str(text).context("the node's answer is not JSON; is it of another version?")
}

/// A reference as a part of a path.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    let byte = |b: u8| {
        if plain(b) {
            char::from(b).to_string()
        } else {
            format!("%{b:02X}")
        }
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_survive_a_path() {
        assert_eq!(encoded("acme/digits@1.0"), "acme%2Fdigits%401.0");
    }

    #[test]
    fn a_refusal_keeps_its_code_and_message() {
        let text = r#"{"error": {"code": "budget", "message": "spent"}}"#;
        let failure = refused(StatusCode::UNPROCESSABLE_ENTITY, text);
        assert_eq!((failure.exit, failure.message.as_str()), (Exit::Budget, "spent"));
        assert!(refused(StatusCode::BAD_GATEWAY, "<html>").message.contains("502"));
    }

    #[test]
    fn a_dead_node_exits_with_its_own_code() {
        let endpoint = Endpoint {
            address: "127.0.0.1:1".parse().unwrap(),
            token: String::new(),
        };
        let error = Client::new(endpoint, Path::new("/d")).get("status").unwrap_err();
        assert_eq!(crate::failure::classify(&error).0, Exit::NoNode);
        assert!(
            error.to_string().contains("fieldmark node run --data /d"),
            "{error}"
        );
    }
}
