//! Tests of `issue`: what a caller notices.

use proptest::prelude::*;

use super::*;
use crate::machine::Topic;
use crate::record::HEADER_BYTES_MAX;
use crate::{Kind, Record, SecretKey};

fn issue() -> Issue {
    Issue {
        release: RecordId::new([7; 32]),
        title: "Sevens with a bar are read as ones".into(),
        body: "Since 1.2.0, **every** barred seven.\n\n- till 7\n".into(),
        slice: Some("low-light".into()),
        environment: Some(Environment {
            os: "linux".into(),
            arch: "x86_64".into(),
            runtime: "torchscript".into(),
            runtime_version: "libtorch 2.11.0".into(),
            device: "cpu".into(),
            program: "fieldmark 0.1.0".into(),
        }),
    }
}

fn comment() -> Comment {
    Comment {
        issue: RecordId::new([8; 32]),
        body: "Fixed in 1.2.1.".into(),
        action: Action::Close {
            after: Some(RecordId::new([9; 32])),
        },
    }
}

#[test]
fn golden_bytes_of_an_issue_and_a_comment() {
    let golden = include_str!("golden.hex");
    let mut lines = golden.lines();
    assert_eq!(lines.next(), Some(hex::encode(issue().encode()).as_str()));
    assert_eq!(lines.next(), Some(hex::encode(comment().encode()).as_str()));
}

#[test]
fn an_environment_has_no_room_for_a_path_or_a_name_at_a_machine() {
    for value in [
        "/home/ada/data",
        "ada@till-7",
        "C:\\data",
        "a\nb",
        "é",
        &"x".repeat(65),
    ] {
        let mut issue = issue();
        issue.environment = Some(Environment {
            device: value.to_owned(),
            ..Environment::default()
        });
        assert!(issue.check().is_err(), "{value:?}");
        assert!(Issue::decode(&issue.encode()).is_err(), "{value:?}");
    }
}

#[test]
fn titles_are_one_line_and_comments_say_or_do_something() {
    for title in [
        "",
        "  ",
        "a\nb",
        "a\tb",
        "\u{1b}[2J",
        &"x".repeat(TITLE_BYTES_MAX + 1),
    ] {
        let issue = Issue {
            title: title.to_owned(),
            ..issue()
        };
        assert!(
            matches!(Issue::decode(&issue.encode()), Err(IssueError::Text(_))),
            "{title:?}"
        );
    }
    let silent = Comment {
        body: " \n".into(),
        action: Action::Note,
        ..comment()
    };
    assert!(matches!(
        Comment::decode(&silent.encode()),
        Err(IssueError::Text(TextError::Empty { .. }))
    ));
    let close = Comment {
        body: String::new(),
        ..comment()
    };
    assert_eq!(Comment::decode(&close.encode()).unwrap(), close);
}

#[test]
fn actions_of_tomorrow_and_notes_that_follow_a_change_are_refused() {
    let mut wire = wire::Comment {
        issue: vec![8; 32],
        body: "words".into(),
        action: 3,
        after: vec![],
    };
    assert_eq!(Comment::decode(&wire.encode_to_vec()), Err(IssueError::Action(3)));
    wire.action = 0;
    wire.after = vec![9; 32];
    assert_eq!(Comment::decode(&wire.encode_to_vec()), Err(IssueError::After));
    wire.action = 1;
    wire.after = vec![9; 31];
    assert!(matches!(
        Comment::decode(&wire.encode_to_vec()),
        Err(IssueError::Id { .. })
    ));
}

#[test]
fn the_largest_issue_fits_its_gossip_topic() {
    let largest = Environment {
        os: "x".repeat(ENVIRONMENT_BYTES_MAX),
        arch: "x".repeat(ENVIRONMENT_BYTES_MAX),
        runtime: "x".repeat(ENVIRONMENT_BYTES_MAX),
        runtime_version: "x".repeat(ENVIRONMENT_BYTES_MAX),
        device: "x".repeat(ENVIRONMENT_BYTES_MAX),
        program: "x".repeat(ENVIRONMENT_BYTES_MAX),
    };
    let issue = Issue {
        title: "x".repeat(TITLE_BYTES_MAX),
        body: "x".repeat(BODY_BYTES_MAX),
        slice: Some("x".repeat(text::NAME_BYTES_MAX)),
        environment: Some(largest),
        ..issue()
    };
    let key = SecretKey::from_seed(&[1; 32]);
    let record = Record::sign(&key, key.public(), None, Kind::Issue, issue.encode(), u64::MAX);
    assert!(Issue::decode(record.payload()).is_ok());
    assert!(record.encode().len() + HEADER_BYTES_MAX < Topic::of(Kind::Issue).bytes_max());
}

fn any_text(bytes: usize) -> impl Strategy<Value = String> {
    proptest::string::string_regex("[ -~\n\té√]{0,80}")
        .unwrap()
        .prop_filter("bounded", move |text| text.len() <= bytes)
}

proptest! {
    #[test]
    fn whatever_passes_the_check_survives_its_payload(
        release: [u8; 32],
        title in any_text(TITLE_BYTES_MAX),
        body in any_text(BODY_BYTES_MAX),
        slice in proptest::option::of("[a-z][a-z0-9._-]{0,20}"),
        device in proptest::option::of("[a-zA-Z0-9 .:+_-]{0,64}"),
    ) {
        let environment = device.map(|device| Environment { device, ..Environment::default() });
        let issue = Issue { release: RecordId::new(release), title, body, slice, environment };
        let decoded = Issue::decode(&issue.encode());
        prop_assert_eq!(decoded.is_ok(), issue.check().is_ok());
        if let Ok(decoded) = decoded {
            prop_assert_eq!(decoded, issue);
        }
    }

    #[test]
    fn a_comment_survives_its_payload(
        issue: [u8; 32],
        body in any_text(BODY_BYTES_MAX),
        action in 0u8..3,
        after in proptest::option::of(any::<[u8; 32]>()),
    ) {
        let after = after.map(RecordId::new);
        let action = match action {
            0 => Action::Note,
            1 => Action::Close { after },
            _ => Action::Reopen { after },
        };
        let comment = Comment { issue: RecordId::new(issue), body, action };
        let decoded = Comment::decode(&comment.encode());
        prop_assert_eq!(decoded.is_ok(), comment.check().is_ok());
        if let Ok(decoded) = decoded {
            prop_assert_eq!(decoded, comment);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Issue::decode(&bytes);
        let _ = Comment::decode(&bytes);
    }
}
