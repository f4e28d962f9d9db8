//! Datasets that are none, or that fit no model.

use std::fs;

use anyhow::Result;
use fieldmark_tests::{Digits, Node, NodeOptions, user_cache};

use crate::{COMPANY, FAILED, NOT_FOUND, alone, refused, trained_package};

#[test]
fn a_dataset_that_does_not_fit_the_model_is_told_by_its_columns() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let solo = alone(&folder, COMPANY)?;
    let (node, _) = Node::started(&solo, folder.path(), &NodeOptions::default())?;
    let package = trained_package(solo.programs(), folder.path())?;
    solo.ask(&["publish", &package.to_string_lossy()])?;

    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let add = |path: &str, name: &str| solo.run(&["dataset", "add", path, "--name", name]);
    refused(&add(&file("empty.csv", ""), "empty")?, FAILED, &["empty.csv"]);
    refused(
        &add(&file("bare.csv", "a,b\n1,2\n"), "bare")?,
        FAILED,
        &["bare.csv", "record_id"],
    );
    let word = file("word.csv", "record_id,slice,label,x0\nr1,clean,1,blue\n");
    refused(&add(&word, "word")?, FAILED, &["word.csv", "x0", "blue"]);
    refused(
        &add("/no/such/file.csv", "gone")?,
        NOT_FOUND,
        &["/no/such/file.csv"],
    );

    // Three features are a fine dataset; only the model needs others.
    let narrow = file("narrow.csv", "record_id,slice,label,x0,x1,x2\nr1,clean,1,1,2,3\n");
    add(&narrow, "narrow")?.success()?;
    let answer = solo.run(&["evaluate", "digits-logistic", "--dataset", "narrow"])?;
    refused(&answer, FAILED, &["narrow", "3", "64"]);

    // The node took no harm: a dataset that fits is evaluated.
    let digits = Digits::read(&user_cache()?.join("data/digits.csv.gz"))?;
    let (clean, views) = (folder.path().join("clean.csv"), folder.path().join("views.csv"));
    digits
        .deal(560..600, 1, 40, 1)?
        .iter()
        .try_for_each(|hand| hand.write(&clean))?;
    let (clean, views) = (clean.to_string_lossy(), views.to_string_lossy());
    solo.ask(&[
        "dataset",
        "views",
        &clean,
        "--out",
        &views,
        "--severity-of",
        "blur=2",
        "--clean",
        "--max",
        "16",
    ])?;
    add(&views, "digits")?.success()?;
    solo.ask(&["evaluate", "digits-logistic", "--dataset", "digits"])?;
    node.stop()
}
