//! Tests of `issues`: what a reader notices.

use proptest::prelude::*;

use fieldmark_protocol::Record;
use fieldmark_protocol::issue::Action;

use super::*;
use crate::store::MemoryStore;
use crate::testing::{Item, Signer, deliver, pull};

/// Ada owns the model, Bob reports, Mallory is neither.
struct Desk {
    records: Vec<Record>,
    ada: Signer,
    bob: Signer,
    mallory: Signer,
    model: Model,
    release: RecordId,
    issue: RecordId,
}

fn issue(release: RecordId, title: &str) -> Vec<u8> {
    Issue {
        release,
        title: title.into(),
        body: "Every **barred** seven.".into(),
        slice: Some("low-light".into()),
        environment: None,
    }
    .encode()
}

fn comment(issue: RecordId, body: &str, action: Action) -> Vec<u8> {
    Comment {
        issue,
        body: body.into(),
        action,
    }
    .encode()
}

impl Desk {
    fn new() -> Self {
        let (mut ada, mut bob, mut mallory) = (Signer::identity(1), Signer::identity(2), Signer::identity(3));
        let mut records = vec![ada.profile("Ada"), bob.profile("Bob"), mallory.profile("Mallory")];
        let release = ada.release("digits", "1.0.0");
        let reported = bob.sign(Kind::Issue, issue(release.id(), "Sevens are ones"));
        records.extend([release.clone(), reported.clone()]);
        Self {
            model: Model {
                owner: ada.author,
                name: "digits".into(),
            },
            release: release.id(),
            issue: reported.id(),
            records,
            ada,
            bob,
            mallory,
        }
    }

    fn change(&mut self, who: fn(&mut Self) -> &mut Signer, action: Action) -> RecordId {
        let payload = comment(self.issue, "", action);
        let record = who(self).sign(Kind::Comment, payload);
        let id = record.id();
        self.records.push(record);
        id
    }

    fn store(&self) -> MemoryStore {
        let mut store = MemoryStore::new();
        let items: Vec<Item> = self.records.iter().cloned().map(Item::Record).collect();
        deliver(&mut store, &items);
        store
    }

    fn state(&self) -> State {
        thread(&self.store(), &self.issue).unwrap().unwrap().issue.state
    }
}

#[test]
fn an_issue_shows_its_release_and_slice_on_its_model() {
    let desk = Desk::new();
    let found = issues(&desk.store(), &desk.model).unwrap();
    assert!(found.collapsed.is_empty());
    let [issue] = found.issues.as_slice() else {
        panic!("{} issues", found.issues.len())
    };
    assert_eq!((issue.id, issue.release), (desk.issue, desk.release));
    assert_eq!(issue.author_name.as_deref(), Some("Bob"));
    assert_eq!(
        (issue.version.as_str(), issue.slice.as_deref()),
        ("1.0.0", Some("low-light"))
    );
    assert!(issue.state.open && issue.state.change.is_none());
    let other = Model {
        owner: desk.bob.author,
        ..desk.model.clone()
    };
    assert!(issues(&desk.store(), &other).unwrap().issues.is_empty());
}

#[test]
fn an_issue_on_another_release_of_the_model_is_the_models() {
    let mut desk = Desk::new();
    let next = desk.ada.release("digits", "2.0.0");
    let second = desk.mallory.sign(Kind::Issue, issue(next.id(), "Slower"));
    desk.records.extend([next, second.clone()]);
    let found = issues(&desk.store(), &desk.model).unwrap();
    let ids: Vec<_> = found.issues.iter().map(|issue| issue.id).collect();
    assert_eq!(ids, [second.id(), desk.issue]);
}

#[test]
fn author_and_owner_close_and_reopen_and_nobody_else_does() {
    let mut desk = Desk::new();
    desk.change(|d| &mut d.mallory, Action::Close { after: None });
    assert!(desk.state().open, "a stranger closed it");
    let close = desk.change(|d| &mut d.ada, Action::Close { after: None });
    let state = desk.state();
    assert!(!state.open);
    assert_eq!(state.change.unwrap().by_name.as_deref(), Some("Ada"));
    desk.change(|d| &mut d.bob, Action::Reopen { after: Some(close) });
    assert!(desk.state().open);
    let comments = thread(&desk.store(), &desk.issue).unwrap().unwrap().comments;
    let told: Vec<_> = comments.iter().map(|c| c.opens).collect();
    assert_eq!(told.iter().filter(|opens| opens.is_none()).count(), 1, "{told:?}");
}

#[test]
fn a_change_dated_into_the_future_has_not_the_last_word() {
    let mut desk = Desk::new();
    desk.bob.clock = u64::MAX - 10;
    let close = desk.change(|d| &mut d.bob, Action::Close { after: None });
    assert!(!desk.state().open);
    desk.change(|d| &mut d.ada, Action::Reopen { after: Some(close) });
    assert!(desk.state().open);
}

#[test]
fn a_change_that_builds_on_a_strangers_or_a_missing_one_does_not_count() {
    let mut desk = Desk::new();
    let strangers = desk.change(|d| &mut d.mallory, Action::Close { after: None });
    for after in [strangers, RecordId::new([0xee; 32]), desk.issue] {
        desk.change(|d| &mut d.ada, Action::Close { after: Some(after) });
        assert!(desk.state().open, "{after}");
    }
}

#[test]
fn a_flood_is_collapsed_and_hides_nobody_elses_words() {
    let mut desk = Desk::new();
    for n in 0..ISSUES_SHOWN_PER_AUTHOR + 7 {
        let payload = issue(desk.release, &format!("spam {n}"));
        desk.records.push(desk.mallory.sign(Kind::Issue, payload));
    }
    for n in 0..COMMENTS_SHOWN_PER_AUTHOR + 3 {
        let payload = comment(desk.issue, &format!("spam {n}"), Action::Note);
        desk.records.push(desk.mallory.sign(Kind::Comment, payload));
    }
    let payload = comment(desk.issue, "Seen here, too.", Action::Note);
    desk.records.push(desk.ada.sign(Kind::Comment, payload));
    let store = desk.store();
    let found = issues(&store, &desk.model).unwrap();
    assert_eq!(found.issues.len(), ISSUES_SHOWN_PER_AUTHOR + 1);
    assert!(found.issues.iter().any(|issue| issue.id == desk.issue));
    assert!(!found.issues.iter().any(|issue| issue.title == "spam 6"));
    assert!(found.issues.iter().any(|issue| issue.title == "spam 7"));
    let hidden: Vec<_> = found.collapsed.iter().map(|c| (c.author, c.count)).collect();
    assert_eq!(hidden, [(desk.mallory.author, 7)]);
    let thread = thread(&store, &desk.issue).unwrap().unwrap();
    assert_eq!(thread.comments.len(), COMMENTS_SHOWN_PER_AUTHOR + 1);
    assert_eq!(thread.collapsed.iter().map(|c| c.count).sum::<usize>(), 3);
}

#[test]
fn the_limit_holds_over_all_releases_of_a_model() {
    let mut desk = Desk::new();
    for version in ["2.0.0", "3.0.0"] {
        let release = desk.ada.release("digits", version);
        for n in 0..ISSUES_SHOWN_PER_AUTHOR {
            let payload = issue(release.id(), &format!("{version} spam {n}"));
            desk.records.push(desk.mallory.sign(Kind::Issue, payload));
        }
        desk.records.push(release);
    }
    let found = issues(&desk.store(), &desk.model).unwrap();
    assert_eq!(found.issues.len(), ISSUES_SHOWN_PER_AUTHOR + 1);
    assert_eq!(found.collapsed[0].count, ISSUES_SHOWN_PER_AUTHOR);
}

#[test]
fn an_issue_whose_release_is_not_held_waits_for_it() {
    let mut desk = Desk::new();
    let store = desk.store();
    let unheld = RecordId::new([0xaa; 32]);
    let early = desk.bob.sign(Kind::Issue, issue(unheld, "Too early"));
    desk.records.push(early.clone());
    assert_eq!(thread(&desk.store(), &early.id()).unwrap(), None);
    assert!(matches!(
        resolve(&desk.store(), &early.id().to_string()),
        Err(ResolveError::NotFound { .. })
    ));
    assert_eq!(resolve(&store, &desk.issue.to_string()[..8]).unwrap(), desk.issue);
}

#[test]
fn words_beyond_the_end_of_a_log_do_not_count() {
    let mut desk = Desk::new();
    let mut equivocator = desk.mallory.clone();
    let payload = issue(desk.release, "one");
    desk.records.push(desk.mallory.sign(Kind::Issue, payload));
    let payload = issue(desk.release, "other");
    desk.records.push(equivocator.sign(Kind::Issue, payload));
    let found = issues(&desk.store(), &desk.model).unwrap();
    assert_eq!(found.issues.len(), 1, "{:?}", found.issues);
}

/// A busy desk: every sort of record about the issue, and two branches of one log.
fn busy() -> Desk {
    let mut desk = Desk::new();
    let first = desk.change(|d| &mut d.ada, Action::Close { after: None });
    let second = desk.change(|d| &mut d.bob, Action::Reopen { after: Some(first) });
    desk.change(|d| &mut d.bob, Action::Close { after: Some(second) });
    desk.change(|d| &mut d.ada, Action::Close { after: Some(second) });
    desk.change(|d| &mut d.mallory, Action::Close { after: Some(second) });
    let payload = comment(desk.issue, "words", Action::Note);
    desk.records.push(desk.mallory.sign(Kind::Comment, payload));
    let mut equivocator = desk.mallory.clone();
    let payload = issue(desk.release, "one");
    desk.records.push(desk.mallory.sign(Kind::Issue, payload));
    let payload = issue(desk.release, "other");
    desk.records.push(equivocator.sign(Kind::Issue, payload));
    desk
}

fn shown(store: &MemoryStore, desk: &Desk) -> String {
    format!(
        "{:#?}{:#?}",
        issues(store, &desk.model).unwrap(),
        thread(store, &desk.issue).unwrap()
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn replicas_agree_whatever_the_order_of_arrival(
        order in Just((0..14usize).collect::<Vec<_>>()).prop_shuffle(),
        cut in 0usize..14,
    ) {
        let desk = busy();
        let items: Vec<Item> = desk.records.iter().cloned().map(Item::Record).collect();
        prop_assume!(items.len() <= order.len());
        let arrives = |indices: &[usize]| -> Vec<Item> {
            indices.iter().filter_map(|at| items.get(*at).cloned()).collect()
        };
        let (mut ours, mut theirs) = (MemoryStore::new(), MemoryStore::new());
        deliver(&mut ours, &arrives(&order));
        deliver(&mut theirs, &arrives(&order[..cut]));
        let rest = arrives(&order[cut..]);
        let mut other = MemoryStore::new();
        deliver(&mut other, &rest);
        while pull(&mut theirs, &other) | pull(&mut other, &theirs) {}
        deliver(&mut theirs, &items);
        prop_assert_eq!(shown(&ours, &desk), shown(&theirs, &desk));
        prop_assert_eq!(shown(&ours, &desk), shown(&desk.store(), &desk));
    }
}
