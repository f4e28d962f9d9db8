//! `init-model` and `pack`: package folders, without a node.

use fieldmark_node::home::{Home, HomeError};
use fieldmark_package::{self as package, Allowances, Packed, Progress, Workshop, starter};
use fieldmark_supervisor::SupervisorConfig;
use indicatif::ProgressBar;
use serde_json::json;

use crate::args::Global;
use crate::args::models::{InitModel, Pack, RunnerArgs};
use crate::client::data_dir;
use crate::output::Output;
use crate::text;

/// Most characters of a line of progress.
const PROGRESS_CHARACTERS: usize = 100;

/// Where packages are made ready to run: beside a node's data, so that a node finds the same environments.
pub(crate) fn workshop(global: &Global, args: &RunnerArgs, spinner: ProgressBar) -> anyhow::Result<Workshop> {
    let mut config = SupervisorConfig::beside_current_exe()?;
    config.isolation = super::isolation::permitted(global, args.isolation)?;
    let mut workshop = Workshop::new(super::cache(global)?, config);
    workshop.python.clone_from(&args.python);
    workshop.allowed = allowed(global)?;
    workshop.asked = args.allowance();
    workshop.progress = Progress::new(move |line| {
        spinner.set_message(line.chars().take(PROGRESS_CHARACTERS).collect::<String>());
    });
    Ok(workshop)
}

/// What the owner of the data folder says that releases may use; nothing where there is none.
fn allowed(global: &Global) -> anyhow::Result<Allowances> {
    match Home::config_of(&data_dir(global)?) {
        Ok(config) => Ok(config.limits),
        Err(HomeError::Missing { .. }) => Ok(Allowances::new()),
        Err(error) => Err(error.into()),
    }
}

/// `init-model`
pub(crate) fn init_model(global: &Global, args: &InitModel, out: &Output) -> anyhow::Result<()> {
    let from = super::absolute(&args.from)?;
    let spinner = out.spinner("looking into the model");
    let workshop = if args.no_run {
        None
    } else {
        Some(workshop(global, &args.runner, spinner.clone())?)
    };
    let config = workshop.map(|workshop| {
        let mut config = workshop.config;
        workshop.asked.apply(&mut config.limits);
        config
    });
    let started = super::block_on(Box::pin(starter::start(
        &from,
        args.dir.as_deref(),
        config.as_ref(),
    )))??;
    spinner.finish_and_clear();
    let folder = started.folder.display().to_string();
    let value = json!({
        "folder": folder,
        "written": started.written,
        "to_fill_in": started.open,
        "facts": started.facts,
    });
    out.result(&value, || {
        let mut lines = vec![format!("started {folder}: {}", started.written.join(", "))];
        lines.extend(
            started
                .facts
                .iter()
                .map(|fact| format!("  {}", text::plain(fact))),
        );
        if !started.open.is_empty() {
            lines.push("To fill in:".to_owned());
            lines.extend(started.open.iter().map(|open| format!("  {}", text::plain(open))));
        }
        lines.push(format!("Then: fieldmark pack {folder}"));
        lines.join("\n")
    })
}

/// `pack`
pub(crate) fn pack(global: &Global, args: &Pack, out: &Output) -> anyhow::Result<()> {
    let folder = super::absolute(&args.dir)?;
    let spinner = out.spinner("checking, hashing and running the package");
    let workshop = workshop(global, &args.runner, spinner.clone())?;
    let packed = super::block_on(Box::pin(package::pack(&folder, &workshop)))??;
    spinner.finish_and_clear();
    let release = &packed.release;
    let artifact = |a: &fieldmark_protocol::release::Artifact| json!({ "path": a.path, "size": a.size, "blake3": a.blake3, "sha256": a.sha256 });
    let value = json!({
        "name": release.name,
        "version": release.version,
        "license": release.license,
        "tags": release.tags,
        "size_bytes": release.size(),
        "artifacts": release.artifacts.iter().map(artifact).collect::<Vec<_>>(),
        "trial": packed.trial,
    });
    out.result(&value, || packed_text(&packed))
}

fn packed_text(packed: &Packed) -> String {
    let (release, trial) = (&packed.release, &packed.trial);
    let row = |a: &fieldmark_protocol::release::Artifact| {
        vec![a.path.clone(), text::bytes(a.size), a.blake3.to_string()]
    };
    let rows: Vec<Vec<String>> = release.artifacts.iter().map(row).collect();
    let summary = text::fields(&[
        (
            "package",
            format!("{}@{}, {}", release.name, release.version, release.license),
        ),
        ("outputs", trial.outputs.join("; ")),
        ("loaded in", format!("{} ms", trial.load_ms)),
        ("ran in", format!("{} ms", trial.infer_ms)),
        ("isolated by", trial.layers.join(", ")),
    ]);
    format!("{}\n\n{summary}", text::table(&["file", "size", "BLAKE3"], &rows))
}
