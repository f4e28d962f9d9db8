//! The `fieldmark` command.
//!
//! Commands that concern a running node talk to its private API over loopback HTTP; `init`, `trust`,
//! `init-model`, `pack`, `run`, `dataset views`, `challenge plan`, `doctor`, `simulate`, `privacy`,
//! `webhook verify` and `completions` work without one.
//! No command asks a question. Everything is written through [`output::Output`]; every error says what,
//! where, why and what to do, and has a documented exit code ([`failure::Exit`]).

mod allocator;
mod args;
mod client;
mod commands;
mod failure;
mod output;
mod text;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};
use failure::Exit;
use output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let out = Output::new(cli.global.json, cli.global.quiet);
    match dispatch(&cli, &out) {
        Ok(()) => ExitCode::from(Exit::Ok.code()),
        Err(error) => {
            let (exit, code) = failure::classify(&error);
            out.error(code, &error);
            ExitCode::from(exit.code())
        }
    }
}

fn dispatch(cli: &Cli, out: &Output) -> anyhow::Result<()> {
    let global = &cli.global;
    match &cli.command {
        Command::Init(args) => commands::home::init(global, args, out),
        Command::Trust(args) => commands::home::trust(global, args, out),
        Command::Node(args) => commands::node::node(global, args, out),
        Command::Status => commands::node::status(global, out),
        Command::Events => commands::node::events(global, out),
        Command::InitModel(args) => commands::packages::init_model(global, args, out),
        Command::Pack(args) => commands::packages::pack(global, args, out),
        Command::Run(args) => commands::infer::run(global, args, out),
        Command::Publish(args) => commands::models::publish(global, args, out),
        Command::Search(args) => commands::models::search(global, args, out),
        Command::Show(args) => commands::models::show(global, args, out),
        Command::Pull(args) => commands::models::pull(global, args, out),
        Command::Infer(args) => commands::infer::infer(global, args, out),
        Command::Ps(args) => commands::ps::ps(global, args, out),
        Command::Bench(args) => commands::bench::bench(global, args, out),
        Command::Reference(args) => commands::reference::reference(global, args, out),
        Command::Serve(args) => commands::serve::serve(global, args, out),
        Command::Label(args) => commands::feedback::label(global, args, out),
        Command::Feedback(args) => commands::feedback::feedback(global, args, out),
        Command::Evaluate(args) => commands::evaluate::evaluate(global, args, out),
        Command::Dataset(args) => commands::datasets::dataset(global, args, out),
        Command::Budget(args) => commands::budgets::budget(global, args, out),
        Command::Challenge(args) => commands::challenges::challenge(global, args, out),
        Command::Endorse(args) => commands::endorse::endorse(global, args, out),
        Command::Privacy(args) => commands::privacy::privacy(args, out),
        Command::Leaderboard(args) => commands::leaderboard::leaderboard(global, args, out),
        Command::Subscribe(args) => commands::subscriptions::subscribe(global, args, out),
        Command::Unsubscribe(args) => commands::subscriptions::unsubscribe(global, args, out),
        Command::Subscriptions => commands::subscriptions::list(global, out),
        Command::Webhook(args) => commands::subscriptions::webhook(args, out),
        Command::Issue(args) => commands::issues::issue(global, args, out),
        Command::Doctor => commands::doctor::doctor(global, out),
        Command::Simulate(args) => commands::simulate::simulate(args, out),
        Command::Completions(args) => commands::completions(args, out),
    }
}
