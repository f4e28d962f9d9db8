//! Behaviour of judging: what a task's owner and a dataset's owner would notice.

use std::collections::BTreeMap;

use fieldmark_protocol::task::{Statistic, TargetRange};

use super::*;

fn release(name: &str, labels: &[&str]) -> Release {
    Release {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        runtime: "torchscript".to_owned(),
        artifacts: Vec::new(),
        entry: String::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        labels: labels.iter().map(|l| (*l).to_owned()).collect(),
        license: String::new(),
        tags: Vec::new(),
        task: String::new(),
        summary: String::new(),
        parent: None,
        reference: Vec::new(),
        input_reference: Vec::new(),
    }
}

fn source(target: Target, slices: &[&str]) -> Source {
    let view = |slice: &&str| ((*slice).to_owned(), View::Numbers(vec![0.5]));
    Source {
        record_id: "r1".to_owned(),
        target,
        group: Some("south".to_owned()),
        attributes: BTreeMap::new(),
        views: slices.iter().map(view).collect(),
    }
}

fn classes() -> Extra {
    Extra {
        collected: [Statistic::Confusion, Statistic::GroupConfusion].into(),
        classes: vec!["no".to_owned(), "yes".to_owned()],
        positive: Some(1),
        groups: vec!["north".to_owned(), "south".to_owned()],
        ..Extra::default()
    }
}

#[test]
fn answers_are_counted_in_the_task_s_order_of_classes() {
    let (extra, slices) = (classes(), ["clean".to_owned()]);
    let question = Question {
        slices: &slices,
        extra: &extra,
    };
    let release = release("m", &["yes", "no"]);
    question.fits(&release).unwrap();
    let source = source(Target::Class("yes".to_owned()), &["clean"]);
    let view = question.view(&release, &source, &[3.0, 1.0]).unwrap();
    assert!(view.correct && view.flagged && view.answer == Some(1) && view.positive > 0.8);
    let outcome = question
        .outcome(&source, vec![vec![Some(view)]], &[&release])
        .unwrap()
        .unwrap();
    let details = outcome.details.unwrap();
    assert_eq!(
        (details.class, details.positive, details.group),
        (Some(1), Some(true), Some(1))
    );
    assert!(question.view(&release, &source, &[f32::NAN, 0.0]).is_err());
}

#[test]
fn a_release_with_other_classes_is_refused() {
    let (extra, slices) = (classes(), []);
    let question = Question {
        slices: &slices,
        extra: &extra,
    };
    let error = question.fits(&release("m", &["yes", "no", "maybe"])).unwrap_err();
    assert!(error.contains("must be the same"), "{error}");
}

#[test]
fn a_label_outside_the_task_s_classes_names_the_record() {
    let (extra, slices) = (classes(), ["clean".to_owned()]);
    let question = Question {
        slices: &slices,
        extra: &extra,
    };
    let source = source(Target::Class("maybe".to_owned()), &["clean"]);
    let views = vec![vec![Some(ViewOutcome::default())]];
    let error = question.outcome(&source, views, &[]).unwrap_err();
    assert!(error.message.contains("'r1'") && error.message.contains("maybe"));
}

#[test]
fn views_may_be_missing_only_where_the_task_says_so() {
    let mut extra = classes();
    let slices = ["clean".to_owned(), "blur".to_owned()];
    let chunk = [
        source(Target::Class("yes".to_owned()), &["clean"]),
        source(Target::Class("no".to_owned()), &["clean", "blur"]),
    ];
    let rows = |extra: &Extra| {
        let question = Question {
            slices: &slices,
            extra,
        };
        question.rows(&chunk, "blur").map(|(records, _)| records)
    };
    assert!(rows(&extra).unwrap_err().message.contains("blur"));
    extra.missing_views = true;
    assert_eq!(rows(&extra).unwrap(), [1]);
    let question = Question {
        slices: &slices,
        extra: &extra,
    };
    let nothing = question.outcome(&chunk[0], vec![vec![None, None]], &[]).unwrap();
    assert_eq!(nothing, None);
}

#[test]
fn a_number_is_judged_within_the_declared_range() {
    let extra = Extra {
        score: ScoreKind::Closeness,
        collected: [Statistic::Regression].into(),
        target_range: Some(TargetRange {
            low_micro: 0,
            high_micro: 20_000_000,
        }),
        ..Extra::default()
    };
    let slices = ["clean".to_owned()];
    let question = Question {
        slices: &slices,
        extra: &extra,
    };
    let release = release("m", &[]);
    assert_eq!(question.width(&release), 1);
    let source = source(Target::Value(5.0), &["clean"]);
    let view = question.view(&release, &source, &[15.0]).unwrap();
    assert_eq!((view.error, view.place), (0.5, 0.75));
    let outcome = question
        .outcome(&source, vec![vec![Some(view)]], &[&release])
        .unwrap()
        .unwrap();
    assert_eq!(outcome.details.unwrap().target, Some(0.25));
}

#[test]
fn a_preference_is_between_two_named_models() {
    let extra = Extra {
        score: ScoreKind::Preference,
        collected: [Statistic::Wins].into(),
        ..Extra::default()
    };
    let slices = ["all".to_owned()];
    let question = Question {
        slices: &slices,
        extra: &extra,
    };
    let (one, two) = (release("one", &[]), release("two", &[]));
    let mut source = source(Target::Preference(Preference::B), &["all"]);
    source.attributes = BTreeMap::from([
        ("a".to_owned(), "two@1.0.0".to_owned()),
        ("b".to_owned(), "one".to_owned()),
    ]);
    let outcome = question
        .outcome(&source, Vec::new(), &[&one, &two])
        .unwrap()
        .unwrap();
    let expected = Preferred {
        first: 1,
        second: 0,
        winner: Some(0),
    };
    assert_eq!(outcome.details.unwrap().preferred, Some(expected));
    source.attributes.insert("b".to_owned(), "three".to_owned());
    let error = question.outcome(&source, Vec::new(), &[&one, &two]).unwrap_err();
    assert!(error.message.contains("column 'b'"));
}
