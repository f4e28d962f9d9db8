//! `fieldmark-runner-python`: runs one release written in Python, or builds an environment for some.
//!
//! It is started by `fieldmark-launcher` with one socket on descriptor 3, puts every layer of isolation around
//! itself with the interpreter, the system's libraries, the environment and the package as the only files, and then
//! executes the interpreter. What that runs first is `bootstrap/`, in this binary: it takes away `execve` as well,
//! and only then imports anything of the package. From there on it is the bootstrap that talks to the supervisor.
//!
//! With `--build FOLDER` it executes pip instead, on the locked requirements in that folder, with the network and that
//! folder granted in addition. No code of a package runs then: pip unpacks wheels.
//!
//! It fails closed, as every runner does: a layer that is not in force is named over the socket and on standard
//! error, and the exit status is 3.

mod bootstrap;
mod calls;
mod grants;
mod socket;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;
use fieldmark_sandbox::isolation::{self, Calls, Files, Grant, LayerError, Network, Plan};
use fieldmark_sandbox::{Device, IsolationMode, Options, complain};
use serde::Deserialize;
use serde_json::json;

/// Exit status when a layer of isolation is missing, or the interpreter does not start.
const EXIT_ISOLATION: u8 = 3;
/// Descriptors a model may have open: each import opens a file for a moment, libraries a few more.
const DESCRIPTORS_MAX: u64 = 128;
/// Longest file that building an environment may write.
const INSTALLED_FILE_BYTES_MAX: u64 = 16 << 30;
/// Where a release finds its package.
const PACKAGE: &str = "/package";
/// Where a release finds its environment.
const ENVIRONMENT: &str = "/environment";
/// Where a build finds its folder.
const BUILD: &str = "/build";

/// Runs a Python release, or builds an environment, behind isolation. Started by fieldmark-launcher.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// The interpreter.
    #[arg(long)]
    interpreter: PathBuf,
    /// Folder of the package.
    #[arg(long, required_unless_present = "build")]
    package: Option<PathBuf>,
    /// File in it that is run.
    #[arg(long, default_value = "predict.py")]
    entry: String,
    /// Folder of the environment.
    #[arg(long)]
    environment: Option<PathBuf>,
    /// Build an environment in this folder instead.
    #[arg(long, conflicts_with = "package")]
    build: Option<PathBuf>,
}

/// What a build is told over the socket: one line of JSON.
#[derive(Debug, Default, Deserialize)]
struct Order {
    /// Environment of pip.
    variables: BTreeMap<String, String>,
    /// Files and folders it must be able to read.
    readable: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let error = match &arguments.build {
        Some(folder) => build(&arguments, folder),
        None => run(&arguments),
    };
    complain(&error.to_string());
    if arguments.build.is_none() {
        socket::say_failed(&error.to_string());
    }
    ExitCode::from(EXIT_ISOLATION)
}

/// Turns this process into the interpreter that serves the release. Returns only on failure.
fn run(arguments: &Arguments) -> LayerError {
    let options = &arguments.options;
    if options.device != Device::Cpu {
        let cause = format!(
            "{} asked for; releases in Python run on the processor",
            options.device
        );
        return LayerError::new("device", "looking at the limits", cause);
    }
    let isolated = options.isolation == IsolationMode::Required;
    let package = arguments.package.as_deref().unwrap_or(Path::new("."));
    let (files, places) = if isolated {
        let mut read_only = grants::shared();
        read_only.push(Grant {
            outside: package.to_owned(),
            inside: PACKAGE.into(),
        });
        read_only.extend(arguments.environment.iter().map(|folder| Grant {
            outside: folder.clone(),
            inside: ENVIRONMENT.into(),
        }));
        let executable = grants::interpreter(&arguments.interpreter);
        let places = (
            PathBuf::from(PACKAGE),
            arguments.environment.as_ref().map(|_| PathBuf::from(ENVIRONMENT)),
        );
        (
            Files::Granted {
                read_only,
                executable,
                writable: Vec::new(),
            },
            places,
        )
    } else {
        (Files::None, (package.to_owned(), arguments.environment.clone()))
    };
    let threads = options.threads.to_string();
    let variables = grants::variables(&threads);
    let plan = Plan {
        descriptors_max: DESCRIPTORS_MAX,
        files,
        calls: Calls::Interpreter,
        ..Plan::new(options)
    };
    let granted = grants::places(&plan.files);
    let settings = json!({
        "frame_bytes_max": options.frame_bytes_max,
        "threads": options.threads,
        "arena_bytes": options.arena_bytes,
        "package": places.0,
        "entry": places.0.join(&arguments.entry),
        "environment": places.1,
        "executable": arguments.interpreter,
        "granted": granted,
        "variables": variables.keys().collect::<Vec<_>>(),
    });
    become_interpreter(
        &arguments.interpreter,
        &plan,
        isolated,
        settings,
        bootstrap::SERVE,
        &variables,
    )
}

/// Turns this process into pip. Returns only on failure.
fn build(arguments: &Arguments, folder: &Path) -> LayerError {
    let order = match socket::read_line().map(|line| serde_json::from_slice::<Order>(&line)) {
        Ok(Ok(order)) => order,
        Ok(Err(error)) => return LayerError::new("order", "reading it from descriptor 3", error),
        Err(error) => return LayerError::new("order", "reading it from descriptor 3", error),
    };
    let isolated = arguments.options.isolation == IsolationMode::Required;
    let inside = if isolated { Path::new(BUILD) } else { folder };
    let mut read_only = grants::shared();
    read_only.extend(grants::network(&order.readable));
    let plan = Plan {
        threads_max: None,
        descriptors_max: DESCRIPTORS_MAX * 4,
        file_bytes_max: INSTALLED_FILE_BYTES_MAX,
        files: Files::Granted {
            read_only,
            executable: grants::interpreter(&arguments.interpreter),
            writable: vec![Grant {
                outside: folder.to_owned(),
                inside: inside.to_owned(),
            }],
        },
        network: Network::Host,
        calls: Calls::Install,
        ..Plan::new(&arguments.options)
    };
    let work = inside.join("work").display().to_string();
    let mut variables = grants::variables("1");
    variables.extend(order.variables);
    for name in ["HOME", "TMPDIR"] {
        variables.insert(name.to_owned(), work.clone());
    }
    let settings = json!({ "folder": inside });
    become_interpreter(
        &arguments.interpreter,
        &plan,
        isolated,
        settings,
        bootstrap::INSTALL,
        &variables,
    )
}

/// Enters the layers and executes the interpreter on `code`, with what it needs to know as its first argument.
fn become_interpreter(
    interpreter: &Path,
    plan: &Plan<'_>,
    isolated: bool,
    mut settings: serde_json::Value,
    code: &[&str],
    variables: &BTreeMap<String, String>,
) -> LayerError {
    let filter = match isolation::no_execute_program() {
        Ok(filter) => filter
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>(),
        Err(error) => return error,
    };
    let layers = match isolated.then(|| isolation::enter(plan)) {
        Some(Ok(layers)) => layers,
        Some(Err(error)) => return error,
        None => Vec::new(),
    };
    if let Some(settings) = settings.as_object_mut() {
        settings.insert("isolated".to_owned(), json!(isolated));
        settings.insert("layers".to_owned(), json!(layers));
        settings.insert("filter".to_owned(), json!(filter));
        settings.insert("calls".to_owned(), json!(calls::numbers()));
    }
    let error = Command::new(interpreter)
        .args([
            "-I",
            "-S",
            "-B",
            "-X",
            "utf8",
            "-c",
            &code.concat(),
            &settings.to_string(),
        ])
        .env_clear()
        .envs(variables)
        .exec();
    LayerError::new(
        "interpreter",
        format!("executing {}", interpreter.display()),
        error,
    )
}

#[cfg(test)]
mod tests;
