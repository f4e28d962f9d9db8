//! Tests of `news`: what a subscriber is told.

use fieldmark_ledger::payload::Withdrawal;
use fieldmark_protocol::Kind;
use fieldmark_protocol::issue::{Action, Comment, Issue};

use super::*;
use crate::testing::{Field, Signer, release};

fn model(field: &Field) -> Model {
    Model {
        owner: field.ada.author,
        name: "digits".into(),
    }
}

fn told(field: &Field) -> Vec<News> {
    news(&field.store, &model(field), &field.policy()).unwrap()
}

fn of_kind(news: &[News], kind: NewsKind) -> Vec<&News> {
    news.iter().filter(|item| item.kind == kind).collect()
}

/// What programs of receivers are written against.
#[test]
fn golden_id_of_an_item() {
    let model = Model {
        owner: PublicKey::new([1; 32]),
        name: "digits".into(),
    };
    let id = news_id(NewsKind::Issue, &model, &[&[2; 32]]);
    assert_eq!(id.to_string(), include_str!("golden_id.hex").trim());
    assert_ne!(id, news_id(NewsKind::Comment, &model, &[&[2; 32]]));
}

#[test]
fn releases_withdrawals_and_words_are_told_in_order() {
    let mut field = Field::new();
    let first = field.ada.release(&mut field.store, "1.0.0");
    let mut bob = Signer::identity(9);
    let issue = Issue {
        release: first,
        title: "Sevens are ones".into(),
        body: "Every barred seven.".into(),
        slice: None,
        environment: None,
    };
    let issue = bob.say(&mut field.store, Kind::Issue, issue.encode());
    field.ada.clock = bob.clock;
    let close = Comment {
        issue,
        body: "Fixed.".into(),
        action: Action::Close { after: None },
    };
    field.ada.say(&mut field.store, Kind::Comment, close.encode());
    let withdrawal = Withdrawal {
        release: first,
        reason: "barred sevens".into(),
    };
    field
        .ada
        .say(&mut field.store, Kind::Withdrawal, withdrawal.encode());
    let news = told(&field);
    let kinds: Vec<_> = news.iter().map(|item| item.kind).collect();
    assert_eq!(
        kinds,
        [
            NewsKind::Release,
            NewsKind::Issue,
            NewsKind::IssueClosed,
            NewsKind::Withdrawal
        ]
    );
    assert!(
        news[1].title.ends_with("opened an issue: Sevens are ones"),
        "{}",
        news[1].title
    );
    assert_eq!(news[1].path, format!("/issues/{issue}"));
    assert_eq!(news[3].detail, "barred sevens");
    assert_eq!(told(&field), news, "the same ledger tells the same");
}

#[test]
fn a_result_is_told_once_for_each_release_that_stands_in_it() {
    let mut field = Field::new();
    let first = field.ada.release(&mut field.store, "1.0.0");
    let second = field.ada.release(&mut field.store, "2.0.0");
    field.challenge("tills", &[second, first], &["clean"], &[&[90], &[90]]);
    let news = told(&field);
    let results = of_kind(&news, NewsKind::Aggregate);
    assert_eq!(results.len(), 2);
    assert!(
        results
            .iter()
            .any(|item| item.title == "digits@2.0.0 was measured in tills")
    );
    assert_eq!(results[0].detail, "5 contributors");
    assert_eq!(results[0].records.len(), 2, "it cites the shares");
    assert!(of_kind(&news, NewsKind::Regression).is_empty());
}

#[test]
fn a_release_that_fell_on_a_slice_of_the_same_board_is_a_regression() {
    let mut field = Field::new();
    let first = field.ada.release(&mut field.store, "1.0.0");
    let second = field.ada.release(&mut field.store, "2.0.0");
    field.challenge(
        "tills",
        &[first, second],
        &["clean", "low-light"],
        &[&[90, 90], &[95, 60]],
    );
    let news = told(&field);
    let regressions = of_kind(&news, NewsKind::Regression);
    let [item] = regressions.as_slice() else {
        panic!("{news:#?}")
    };
    assert_eq!(
        item.title,
        "digits@2.0.0 is significantly worse than digits@1.0.0 in tills"
    );
    assert!(item.detail.contains("low-light -0.300"), "{}", item.detail);
    assert!(!item.detail.contains("clean"), "{}", item.detail);
    assert!(item.detail.contains("on one board"), "{}", item.detail);
    assert_eq!((item.release, item.version.as_str()), (second, "2.0.0"));
}

#[test]
fn releases_on_different_boards_are_compared_on_slices_of_equal_name_and_it_is_said() {
    let mut field = Field::new();
    let first = field.ada.release(&mut field.store, "1.0.0");
    field.challenge("tills", &[first], &["clean", "blur"], &[&[90, 90]]);
    let second = field.ada.release(&mut field.store, "2.0.0");
    field.challenge("wards", &[second], &["blur", "clean"], &[&[60, 90]]);
    let news = told(&field);
    let regressions = of_kind(&news, NewsKind::Regression);
    let [item] = regressions.as_slice() else {
        panic!("{news:#?}")
    };
    assert!(item.title.ends_with("in wards, against tills"), "{}", item.title);
    assert!(item.detail.starts_with("blur -0.300"), "{}", item.detail);
    assert!(
        item.detail.contains("whose contributors may differ"),
        "{}",
        item.detail
    );
}

#[test]
fn a_named_parent_comes_before_the_release_published_before() {
    let mut field = Field::new();
    let good = field.ada.release(&mut field.store, "1.0.0");
    let bad = field.ada.release(&mut field.store, "2.0.0");
    let mut third = release("3.0.0");
    third.parent = Some(good);
    let third = field.ada.say(&mut field.store, Kind::Release, third.encode());
    field.challenge("tills", &[good, bad, third], &["clean"], &[&[90], &[50], &[70]]);
    let titles: Vec<_> = told(&field)
        .into_iter()
        .filter(|item| item.kind == NewsKind::Regression)
        .map(|item| item.title)
        .collect();
    assert!(
        titles
            .iter()
            .any(|t| t.starts_with("digits@3.0.0 is significantly worse than digits@1.0.0"))
    );
    assert!(
        titles
            .iter()
            .any(|t| t.starts_with("digits@2.0.0 is significantly worse than digits@1.0.0"))
    );
    assert_eq!(titles.len(), 2, "{titles:?}");
}

#[test]
fn a_committee_that_the_reader_does_not_accept_raises_no_alarm() {
    let mut field = Field::new();
    let first = field.ada.release(&mut field.store, "1.0.0");
    let second = field.ada.release(&mut field.store, "2.0.0");
    field.challenge("sham", &[first, second], &["clean"], &[&[90], &[10]]);
    let news = news(&field.store, &model(&field), &TrustPolicy::default()).unwrap();
    assert!(of_kind(&news, NewsKind::Regression).is_empty());
    let results = of_kind(&news, NewsKind::Aggregate);
    assert!(
        results[0].detail.contains("does not accept"),
        "{}",
        results[0].detail
    );
    let trusted = told(&field);
    assert_eq!(
        results[0].id,
        of_kind(&trusted, NewsKind::Aggregate)[0].id,
        "the id is the item's alone"
    );
}

#[test]
fn inputs_that_moved_away_from_the_author_s_data_are_drift() {
    let mut field = Field::new();
    let declared = |version: &str| fieldmark_protocol::release::Release {
        input_reference: vec![500, 500],
        ..release(version)
    };
    let payload = declared("1.0.0").encode();
    let steady = field.ada.say(&mut field.store, Kind::Release, payload);
    let payload = declared("2.0.0").encode();
    let shifted = field.ada.say(&mut field.store, Kind::Release, payload);
    field.drift("wards", steady, 52);
    field.drift("tills", shifted, 90);
    let news = told(&field);
    let titles: Vec<&str> = of_kind(&news, NewsKind::Drift)
        .iter()
        .map(|item| item.title.as_str())
        .collect();
    assert_eq!(titles, ["the inputs of digits@2.0.0 have drifted in tills"]);
}

#[test]
fn answers_that_moved_away_from_the_declared_reference_are_drift_and_others_are_not() {
    let mut field = Field::new();
    let declared = |version: &str| fieldmark_protocol::release::Release {
        labels: vec!["one".into(), "seven".into()],
        reference: vec![50, 50],
        ..release(version)
    };
    let payload = declared("1.0.0").encode();
    let steady = field.ada.say(&mut field.store, Kind::Release, payload);
    let payload = declared("2.0.0").encode();
    let shifted = field.ada.say(&mut field.store, Kind::Release, payload);
    field.drift("wards", steady, 52);
    field.drift("tills", shifted, 90);
    let news = told(&field);
    let drifts = of_kind(&news, NewsKind::Drift);
    let [item] = drifts.as_slice() else {
        panic!("{news:#?}")
    };
    assert_eq!(item.title, "the answers of digits@2.0.0 have drifted in tills");
    assert!(
        item.detail.contains("population stability index all slices +0."),
        "{}",
        item.detail
    );
}
