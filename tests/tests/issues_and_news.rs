//! What researchers live in: issues travel between nodes, and subscriptions tell what happened, printed and
//! by webhook, over a power failure.
//!
//! What this guards: an issue that only its author sees; a stranger who closes it; news that a killed node
//! forgets, or tells under another id; a webhook that reaches into the machine's own network.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use fieldmark_tests::{Nodes, Participant, People, Programs, packages, until, user_cache};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);
const CAST: [(&str, &[&str]); 3] = [
    ("ada", &["provider"]),
    ("atlas", &["contributor"]),
    ("mallory", &["contributor"]),
];
const MODEL: &str = "digits-logistic";

/// One message that a webhook got.
#[derive(Debug, Clone)]
struct Message {
    head: String,
    body: String,
}

impl Message {
    fn header(&self, name: &str) -> Result<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found
            .map(|(_, value)| value)
            .with_context(|| format!("no {name} in {}", self.head))
    }

    fn field(&self, name: &str) -> Result<String> {
        let value: Value = serde_json::from_str(&self.body)?;
        Ok(text(&value, name).to_owned())
    }
}

/// A webhook's receiver: takes every message, or refuses every one.
#[derive(Debug, Clone)]
struct Receiver {
    url: String,
    got: Arc<Mutex<Vec<Message>>>,
    refuses: Arc<Mutex<bool>>,
}

impl Receiver {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let receiver = Self {
            url: format!("http://127.0.0.1:{port}/hook"),
            got: Arc::default(),
            refuses: Arc::default(),
        };
        let serving = receiver.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A sender that was killed in the middle has not sent a message.
                let _ = serving.serve(stream);
            }
        });
        Ok(receiver)
    }

    fn serve(&self, mut stream: TcpStream) -> Result<()> {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        let message = loop {
            let read = stream.read(&mut buffer)?;
            ensure!(read > 0, "cut off");
            bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
            let text = String::from_utf8_lossy(&bytes);
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let message = Message {
                head: head.to_owned(),
                body: body.to_owned(),
            };
            if message.header("content-length")?.parse() == Ok(body.len()) {
                break message;
            }
        };
        let refuses = *locked(&self.refuses);
        let status = if refuses {
            "503 Service Unavailable"
        } else {
            "204 No Content"
        };
        if !refuses {
            locked(&self.got).push(message);
        }
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        Ok(())
    }

    fn messages(&self) -> Vec<Message> {
        locked(&self.got).clone()
    }

    fn wait_for(&self, title: &str) -> Result<Message> {
        until(&format!("a message on '{title}'"), LIMIT, || {
            Ok(self.messages().into_iter().find(|m| m.body.contains(title)))
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn issues(one: &Participant) -> Result<Vec<Value>> {
    let found = one.ask(&["issue", "list", MODEL])?;
    Ok(found
        .get("issues")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default())
}

/// Waits until somebody's node knows the issue in this state, and returns it.
fn wait_for_issue(one: &Participant, id: &str, open: bool, comments: usize) -> Result<Value> {
    until(&format!("{} to see issue {id}", one.name), LIMIT, || {
        let answer = one.run(&["issue", "show", MODEL, id])?;
        if answer.code != Some(0) {
            return Ok(None);
        }
        let issue = answer.json()?;
        let count = issue
            .get("comments")
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        Ok((issue.get("open") == Some(&open.into()) && count == comments).then_some(issue))
    })
}

fn publish(ada: &Participant, others: &[&Participant]) -> Result<()> {
    let cache = user_cache()?;
    let data = cache.join("data/digits.csv.gz");
    let packages = packages(ada.programs(), &cache, &data, "0..560")?;
    ada.ask(&["publish", &packages.of("logistic").to_string_lossy()])?;
    for one in others {
        one.ask_until_found(&["show", MODEL], LIMIT, || Ok(()))?;
    }
    Ok(())
}

/// Issues: dry run, opening, travelling, closing and who may.
fn talk(ada: &Participant, atlas: &Participant, mallory: &Participant) -> Result<String> {
    let open = [
        "issue",
        "open",
        MODEL,
        "--title",
        "Barred sevens are ones",
        "--slice",
        "low-light",
        "--body",
        "Every **one**.",
    ];
    let draft = atlas.ask(&[&open[..], &["--dry-run"]].concat())?;
    ensure!(draft.get("issue") == Some(&Value::Null), "{draft}");
    ensure!(
        draft.pointer("/environment/os") == Some(&"linux".into()),
        "{draft}"
    );
    ensure!(issues(atlas)?.is_empty(), "a dry run signed something");
    let opened = atlas.ask(&open)?;
    let id = text(&opened, "issue").to_owned();
    let seen = wait_for_issue(ada, &id, true, 0)?;
    ensure!(
        text(&seen, "slice") == "low-light" && text(&seen, "version") == "1.0.0",
        "{seen}"
    );
    ensure!(
        seen.get("environment") == draft.get("environment"),
        "{seen} is not {draft}"
    );

    wait_for_issue(mallory, &id, true, 0)?;
    let refused = mallory.run(&["issue", "close", MODEL, &id])?;
    ensure!(
        refused.code == Some(1) && refused.stderr.contains("refused"),
        "{refused:?}"
    );
    mallory.ask(&["issue", "comment", MODEL, &id, "--body", "Here, too."])?;
    wait_for_issue(ada, &id, true, 1)?;
    ada.ask(&["issue", "close", MODEL, &id[..10], "--body", "Fixed in 1.0.1."])?;
    wait_for_issue(atlas, &id, false, 2)?;
    atlas.ask(&["issue", "reopen", MODEL, &id])?;
    wait_for_issue(ada, &id, true, 3)?;
    let unknown = atlas.run(&["issue", "show", MODEL, "ffffffffff"])?;
    ensure!(unknown.code == Some(3), "{unknown:?}");
    Ok(id)
}

fn verify(ada: &Participant, folder: &std::path::Path, message: &Message) -> Result<()> {
    let file = folder.join("message.json");
    std::fs::write(&file, &message.body)?;
    let words = |body: &str, signature: &str| -> Result<Option<i32>> {
        std::fs::write(&file, body)?;
        let words = [
            "webhook",
            "verify",
            &file.to_string_lossy(),
            "--key",
            message.header("Fieldmark-Key")?,
            "--timestamp",
            message.header("Fieldmark-Timestamp")?,
            "--signature",
            signature,
        ];
        Ok(ada.run(&words)?.code)
    };
    let signature = message.header("Fieldmark-Signature")?;
    ensure!(words(&message.body, signature)? == Some(0), "{message:?}");
    ensure!(
        words(&message.body.replace("issue", "Issue"), signature)? == Some(1),
        "a forged body passes"
    );
    ensure!(
        words(&message.body, &"00".repeat(64))? == Some(1),
        "a forged signature passes"
    );
    ensure!(message.header("Fieldmark-Event")? == message.field("id")?);
    Ok(())
}

/// The receiver is away, something happens, the power fails, and the message comes all the same.
fn lose_power(
    nodes: &mut Nodes,
    ada: &Participant,
    atlas: &Participant,
    receiver: &Receiver,
    id: &str,
) -> Result<Message> {
    receiver.wait_for("reopened the issue")?;
    *locked(&receiver.refuses) = true;
    atlas.ask(&["issue", "comment", MODEL, id, "--body", "Said into the dark."])?;
    wait_for_issue(ada, id, true, 4)?;
    let failed = |nodes: &Nodes| -> Result<Option<()>> {
        let events = nodes.of("ada")?.0.events()?;
        Ok(events
            .iter()
            .any(|event| text(event, "event") == "delivery-failed")
            .then_some(()))
    };
    until("a delivery to fail", LIMIT, || failed(nodes))?;
    let before = nodes.kill("ada")?;
    *locked(&receiver.refuses) = false;
    nodes.restart(ada, &before)?;
    let late = receiver.wait_for("Said into the dark.")?;
    ensure!(late.field("kind")? == "comment", "{late:?}");
    let mut ids: Vec<String> = receiver
        .messages()
        .iter()
        .map(|m| m.field("id"))
        .collect::<Result<_>>()?;
    let sent = ids.len();
    ids.sort_unstable();
    ids.dedup();
    ensure!(
        ids.len() == 5 && sent == 5,
        "{sent} messages on {} events",
        ids.len()
    );
    Ok(late)
}

#[test]
fn issues_travel_and_subscriptions_tell_them_over_a_power_failure() -> Result<()> {
    let programs = Programs::beside_this_test()?;
    let folder = tempfile::tempdir()?;
    let people = People::init(&programs, &folder.path().join("data"), &CAST)?;
    let mut nodes = Nodes::start(&people, folder.path())?;
    let (ada, atlas, mallory) = (
        people.named("ada")?,
        people.named("atlas")?,
        people.named("mallory")?,
    );
    publish(ada, &[atlas, mallory])?;

    // A webhook into this machine has to be allowed.
    let receiver = Receiver::start()?;
    let into_itself = ada.run(&["subscribe", MODEL, "--webhook", &receiver.url])?;
    ensure!(
        into_itself.code == Some(1) && into_itself.stderr.contains("--allow-private"),
        "{into_itself:?}"
    );
    ada.ask(&["subscribe", MODEL, "--webhook", &receiver.url, "--allow-private"])?;
    let quiet = ada.ask(&["subscribe", MODEL])?;
    ensure!(quiet.get("news") == Some(&Value::Array(vec![])), "{quiet}");

    let id = talk(ada, atlas, mallory)?;
    let message = receiver.wait_for("opened an issue: Barred sevens are ones")?;
    verify(ada, folder.path(), &message)?;

    let printed = ada.ask(&["subscribe", MODEL])?;
    let kinds: Vec<&str> = printed
        .get("news")
        .and_then(Value::as_array)
        .context("no news")?
        .iter()
        .map(|item| text(item, "kind"))
        .collect();
    ensure!(
        kinds == ["issue", "comment", "issue-closed", "issue-reopened"],
        "{printed}"
    );
    let again = ada.ask(&["subscribe", MODEL])?;
    ensure!(
        again.get("news") == Some(&Value::Array(vec![])),
        "told twice: {again}"
    );

    let late = lose_power(&mut nodes, ada, atlas, &receiver, &id)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let signed: u128 = late.header("Fieldmark-Timestamp")?.parse()?;
    ensure!(now.abs_diff(signed) < 60_000, "signed at {signed}, now {now}");
    ada.ask(&["unsubscribe", MODEL])?;
    let left = ada.ask(&["subscriptions"])?;
    ensure!(left.get("subscriptions") == Some(&Value::Array(vec![])), "{left}");
    nodes.stop()
}
