//! Commands without a node, and programs without the token.

use std::fs;

use anyhow::Result;
use fieldmark_tests::{Node, NodeOptions, Participant};

use crate::{COMPANY, FAILED, NO_NODE, alone, refused};

#[test]
fn a_command_without_a_node_says_how_to_start_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let solo = alone(&folder, COMPANY)?;
    let commands: [&[&str]; 5] = [
        &["status"],
        &["search"],
        &["challenge", "list"],
        &["budget"],
        &["leaderboard", "digits"],
    ];
    let expect_no_node = |solo: &Participant| -> Result<()> {
        for words in commands {
            refused(&solo.run(words)?, NO_NODE, &["fieldmark node run"]);
        }
        Ok(())
    };
    expect_no_node(&solo)?;
    // A node that was killed leaves its address behind.
    let (node, _) = Node::started(&solo, folder.path(), &NodeOptions::default())?;
    solo.ask(&["status"])?;
    node.kill();
    expect_no_node(&solo)?;
    // Where there is no data folder at all, that is what is missing.
    let nowhere = solo.with_data(&folder.path().join("nowhere"));
    let answer = nowhere.run(&["status"])?;
    refused(
        &answer,
        answer.code.filter(|code| *code != 0).unwrap_or(FAILED),
        &["nowhere", "fieldmark init"],
    );
    Ok(())
}

#[test]
fn a_wrong_token_opens_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let solo = alone(&folder, COMPANY)?;
    let (node, ready) = Node::started(&solo, folder.path(), &NodeOptions::default())?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    for path in ["status", "budgets", "datasets", "events", "challenges"] {
        let url = format!("http://{}/api/v1/{path}", ready.api);
        let (bare, wrong) = (
            agent.get(&url),
            agent.get(&url).header("Authorization", "Bearer 00ff"),
        );
        for request in [bare, wrong] {
            let mut answer = request.call()?;
            assert_eq!(answer.status(), 401, "{path}");
            let text = answer.body_mut().read_to_string()?;
            assert!(
                text.contains("unauthorized") && text.contains("api-token"),
                "{text}"
            );
        }
    }
    let stop = format!("http://{}/api/v1/shutdown", ready.api);
    assert_eq!(agent.post(&stop).send_empty()?.status(), 401);

    let token = solo.data.join("api-token");
    let right = fs::read_to_string(&token)?;
    fs::write(&token, format!("{}\n", "00".repeat(32)))?;
    refused(&solo.run(&["status"])?, FAILED, &["token"]);
    fs::write(&token, right)?;
    solo.ask(&["status"])?;
    node.stop()
}
