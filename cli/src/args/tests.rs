//! The command line as people type it.

use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::datasets::{Dataset, DatasetAction};
use super::*;

fn parse(line: &str) -> Result<Cli, ErrorKind> {
    Cli::try_parse_from(words(line)).map_err(|e| e.kind())
}

/// Words as a shell splits them: what is between single quotes is one.
fn words(line: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            all.push(part.to_owned());
        } else {
            all.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    all
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_leaf_command_has_an_example() {
    fn check(command: &clap::Command, path: &str) {
        let mut leaf = true;
        for inner in command.get_subcommands() {
            leaf = false;
            check(inner, &format!("{path} {}", inner.get_name()));
        }
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(!leaf || help.contains("Example"), "{path} has no example");
    }
    check(&Cli::command(), "fieldmark");
}

#[test]
fn every_example_parses() {
    fn examples(command: &clap::Command, found: &mut Vec<String>) {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let joined = help.replace("\\\n", " ");
        let lines = joined
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("fieldmark "));
        found.extend(lines.map(|line| line.split(['|', '>']).next().unwrap().to_owned()));
        command.get_subcommands().for_each(|inner| examples(inner, found));
    }
    let mut found = Vec::new();
    examples(&Cli::command(), &mut found);
    assert!(found.len() > 20, "{found:?}");
    for line in &found {
        assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).unwrap_err());
    }
}

#[test]
fn global_options_work_on_both_sides_of_the_command() {
    for line in [
        "fieldmark --json --data /d status",
        "fieldmark status --data /d --json",
    ] {
        let cli = parse(line).unwrap();
        assert!(cli.global.json && cli.global.data == Some("/d".into()), "{line}");
    }
}

#[test]
fn wrong_use_is_told_by_kind() {
    assert_eq!(
        parse("fieldmark publish").unwrap_err(),
        ErrorKind::MissingRequiredArgument
    );
    assert_eq!(
        parse("fieldmark pubish x").unwrap_err(),
        ErrorKind::InvalidSubcommand
    );
    assert_eq!(
        parse("fieldmark init --role boss").unwrap_err(),
        ErrorKind::InvalidValue
    );
    assert_eq!(
        parse("fieldmark evaluate --dataset d").unwrap_err(),
        ErrorKind::MissingRequiredArgument
    );
    assert_eq!(
        parse("fieldmark node run --api nowhere").unwrap_err(),
        ErrorKind::ValueValidation
    );
}

#[test]
fn severities_are_a_list() {
    let cli =
        parse("fieldmark dataset views in.csv --out o.csv --severity-of low-light=3,blur=2 --clean").unwrap();
    let Command::Dataset(Dataset {
        action: DatasetAction::Views(views),
    }) = cli.command
    else {
        panic!()
    };
    assert_eq!(views.reading.severity_of, ["low-light=3", "blur=2"]);
    assert!(views.clean);
}
