//! `publish`, `search`, `show` and `pull`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::args::{Global, Package, Reference, Search};
use crate::client::{Client, encoded};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

/// How often the progress of a pull is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// `publish`
pub(crate) fn publish(global: &Global, args: &Package, out: &Output) -> anyhow::Result<()> {
    let client = Client::connect(global)?;
    let folder = super::absolute(&args.dir)?;
    let spinner = out.spinner("checking, running and publishing the package");
    let published = client.post("releases", &json!({ "package": folder }))?;
    spinner.finish_and_clear();
    out.result(&published, || {
        let field = |name: &str| text::string(&published, name);
        format!(
            "published {}@{} as release {}",
            field("name"),
            field("version"),
            field("release")
        )
    })?;
    if published.get("served") == Some(&Value::Bool(false)) {
        out.note(
            "This node is no provider, so nobody can fetch the release from it; publish from a node that was made \
             with `fieldmark init --role provider`.",
        );
    }
    Ok(())
}

/// `search`
pub(crate) fn search(global: &Global, args: &Search, out: &Output) -> anyhow::Result<()> {
    let (words, tag) = (
        args.text.as_deref().unwrap_or_default(),
        args.tag.as_deref().unwrap_or_default(),
    );
    let path = format!("releases?text={}&tag={}", encoded(words), encoded(tag));
    let found = Client::connect(global)?.get(&path)?;
    out.result(&found, || {
        let releases = text::list(&found, "releases");
        if releases.is_empty() {
            return "no release matches".to_owned();
        }
        let rows: Vec<Vec<String>> = releases.iter().map(search_row).collect();
        text::table(&["release", "by", "licence", "size", "id", "summary"], &rows)
    })
}

fn search_row(release: &Value) -> Vec<String> {
    let field = |name: &str| text::string(release, name);
    let author = Some(field("author_name")).filter(|name| !name.is_empty());
    let withdrawn = if release.get("withdrawn") == Some(&Value::Bool(true)) {
        " (withdrawn)"
    } else {
        ""
    };
    vec![
        format!("{}@{}{withdrawn}", field("name"), field("version")),
        author.unwrap_or_else(|| text::short(&field("author"))),
        field("license"),
        text::bytes(text::number(release, "size_bytes")),
        text::short(&field("id")),
        field("summary").chars().take(60).collect(),
    ]
}

/// `show`
pub(crate) fn show(global: &Global, args: &Reference, out: &Output) -> anyhow::Result<()> {
    let release = Client::connect(global)?.get(&format!("releases/{}", encoded(&args.reference)))?;
    out.result(&release, || show_text(&release))
}

/// What the card's header says and the release does not.
fn card_rows(release: &Value) -> Vec<(&'static str, String)> {
    let words = |name: &str| match release.get("card").and_then(|card| card.get(name)) {
        Some(Value::Array(list)) => {
            let words = list.iter().filter_map(Value::as_str).map(text::plain);
            words.collect::<Vec<_>>().join(", ")
        }
        Some(Value::String(word)) => text::plain(word),
        _ => String::new(),
    };
    [
        ("made from", "base_models"),
        ("languages", "languages"),
        ("trained on", "datasets"),
        ("measured by", "metrics"),
        ("library", "library"),
        ("licence text", "license_link"),
    ]
    .map(|(shown, name)| (shown, words(name)))
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .collect()
}

fn show_text(release: &Value) -> String {
    let field = |name: &str| text::string(release, name);
    let tensors = |name: &str| {
        let one = |t: &Value| {
            format!(
                "{} {} {}",
                text::string(t, "name"),
                text::string(t, "datatype"),
                text::string(t, "shape")
            )
        };
        text::list(release, name)
            .iter()
            .map(one)
            .collect::<Vec<_>>()
            .join("; ")
    };
    let held = format!(
        "{} of {}",
        text::bytes(text::number(release, "held_bytes")),
        text::bytes(text::number(release, "size_bytes"))
    );
    let mut rows = vec![
        ("release", format!("{}@{}", field("name"), field("version"))),
        ("id", field("id")),
        ("author", format!("{} {}", field("author"), field("author_name"))),
        ("licence", field("license")),
        ("task", field("task")),
        ("tags", text::joined(release, "tags")),
        ("runtime", field("runtime")),
        ("inputs", tensors("inputs")),
        ("outputs", tensors("outputs")),
        ("labels", text::joined(release, "labels")),
        ("here", held),
        ("published", text::when(text::number(release, "published_at_ms"))),
        ("summary", field("summary")),
    ];
    rows.extend(card_rows(release));
    if release.get("withdrawn") == Some(&Value::Bool(true)) {
        rows.push(("withdrawn", field("withdrawn_reason")));
    }
    let file = |a: &Value| {
        vec![
            text::string(a, "path"),
            text::bytes(text::number(a, "size")),
            text::string(a, "blake3"),
        ]
    };
    let files: Vec<Vec<String>> = text::list(release, "artifacts").iter().map(file).collect();
    format!(
        "{}\n\n{}",
        text::fields(&rows),
        text::table(&["file", "size", "BLAKE3"], &files)
    )
}

/// `pull`: asks the node to fetch, and looks at what is here until it is done.
pub(crate) fn pull(global: &Global, args: &Reference, out: &Output) -> anyhow::Result<()> {
    let client = Client::connect(global)?;
    let path = format!("releases/{}", encoded(&args.reference));
    let release = client.get(&path)?;
    let (id, name) = (text::string(&release, "id"), text::string(&release, "name"));
    let bar = out.bytes_bar(text::number(&release, "size_bytes"), &format!("pulling {name}"));
    let (asking, body) = (client.clone(), json!({ "release": id }));
    let work = std::thread::spawn(move || asking.post("pulls", &body));
    while !work.is_finished() {
        // A look that fails is made up for by the next.
        if let Ok(now) = client.get(&format!("releases/{id}")) {
            bar.set_position(text::number(&now, "held_bytes"));
        }
        std::thread::sleep(LOOK);
    }
    let pulled = work
        .join()
        .map_err(|_| Failure::new(Exit::Failed, "failed", "the pull was interrupted"))?;
    bar.finish_and_clear();
    let pulled = pulled?;
    out.result(&pulled, || {
        format!(
            "{name} is here: {}",
            text::bytes(text::number(&pulled, "size_bytes"))
        )
    })
}
