//! Tests of `catalogue`: what a caller notices.

use super::*;
use crate::store::MemoryStore;
use crate::testing::{Item, Signer, deliver};

/// Two authors; the first published digits 1 and 2 and faces 1, and withdrew digits 2.
struct Shelf {
    store: MemoryStore,
    ada: Signer,
    bob: Signer,
    digits_1: RecordId,
    digits_2: RecordId,
    faces: RecordId,
    bobs_digits: RecordId,
}

fn shelf() -> Shelf {
    let (mut ada, mut bob) = (Signer::identity(1), Signer::identity(2));
    let mut records = vec![ada.profile("Ada"), bob.profile("Bob")];
    let releases = [
        ada.release("digits", "1.0"),
        ada.release("digits", "2.0"),
        ada.release("faces", "1.0"),
        bob.release("digits", "1.0"),
    ];
    let [digits_1, digits_2, faces, bobs_digits] = releases.clone().map(|r| r.id());
    records.extend(releases);
    records.push(ada.withdraw(digits_2));
    records.push(bob.withdraw(digits_1));
    let mut store = MemoryStore::new();
    deliver(
        &mut store,
        &records.into_iter().map(Item::Record).collect::<Vec<_>>(),
    );
    Shelf {
        store,
        ada,
        bob,
        digits_1,
        digits_2,
        faces,
        bobs_digits,
    }
}

fn ids(views: &[ReleaseView]) -> Vec<RecordId> {
    views.iter().map(|view| view.id).collect()
}

#[test]
fn releases_are_listed_newest_first_and_found_by_words_tag_and_author() {
    let shelf = shelf();
    let find = |query: Query| ids(&releases(&shelf.store, &query).unwrap());
    let all = [shelf.bobs_digits, shelf.faces, shelf.digits_2, shelf.digits_1];
    assert_eq!(find(Query::default()), all);
    assert_eq!(
        find(Query {
            limit: 2,
            ..Query::default()
        }),
        all[..2]
    );
    assert_eq!(
        find(Query {
            text: "FACES ada".into(),
            ..Query::default()
        }),
        [shelf.faces]
    );
    assert_eq!(
        find(Query {
            text: "bob reads".into(),
            ..Query::default()
        }),
        [shelf.bobs_digits]
    );
    assert_eq!(
        find(Query {
            tag: Some("vision".into()),
            ..Query::default()
        })
        .len(),
        4
    );
    assert!(
        find(Query {
            tag: Some("audio".into()),
            ..Query::default()
        })
        .is_empty()
    );
    assert_eq!(
        find(Query {
            author: Some(shelf.bob.author),
            ..Query::default()
        }),
        [shelf.bobs_digits]
    );
    assert_eq!(by_author(&shelf.store, &shelf.ada.author).unwrap().len(), 3);
}

#[test]
fn only_the_author_withdraws_a_release() {
    let shelf = shelf();
    assert!(
        release(&shelf.store, &shelf.digits_2)
            .unwrap()
            .unwrap()
            .withdrawn
            .is_some()
    );
    assert!(
        release(&shelf.store, &shelf.digits_1)
            .unwrap()
            .unwrap()
            .withdrawn
            .is_none()
    );
}

#[test]
fn a_name_means_the_newest_release_that_is_not_withdrawn() {
    let shelf = shelf();
    let means = |text: &str| resolve(&shelf.store, text).unwrap();
    assert_eq!(means("faces"), shelf.faces);
    assert_eq!(means("ada/digits"), shelf.digits_1);
    assert_eq!(means("Ada/digits@2.0"), shelf.digits_2);
    assert_eq!(
        means(&format!("{}/digits@1.0", shelf.bob.author.short())),
        shelf.bobs_digits
    );
    assert_eq!(means(&shelf.digits_2.to_string()), shelf.digits_2);
    for digits in [6, 7, 63] {
        assert_eq!(
            means(&shelf.faces.to_string().to_uppercase()[..digits]),
            shelf.faces
        );
    }
}

#[test]
fn a_name_of_several_authors_is_refused_with_its_candidates() {
    let shelf = shelf();
    for text in ["digits", "digits@1.0"] {
        let Err(ResolveError::Ambiguous { candidates, .. }) = resolve(&shelf.store, text) else {
            panic!("{text} was resolved")
        };
        assert_eq!(candidates.len(), 2);
        assert!(candidates.iter().any(|c| c.label.ends_with("/digits@1.0")));
    }
}

#[test]
fn what_is_unknown_or_too_short_is_not_guessed() {
    let shelf = shelf();
    let short = shelf.faces.to_string()[..5].to_owned();
    for text in [
        "nothing",
        "",
        "carol/digits",
        "faces@9",
        short.as_str(),
        "é",
        "a/b/c@d@e",
    ] {
        let error = resolve(&shelf.store, text).unwrap_err();
        assert!(matches!(error, ResolveError::NotFound { .. }), "{text}: {error}");
    }
}
