//! The demo's convolutional network at 32 connections, with requests run one by one and put together.

use anyhow::Result;
use fieldmark_tests::{Programs, packages, user_cache};

use crate::load::{closed, json_body, message, percentile, server};
use crate::{Options, Row};

const CONNECTIONS: usize = 32;
const MODEL: &str = "digits-cnn";
/// What setup keeps in the cache.
const DATA: &str = "data/digits.csv.gz";
const TRAINING_ROWS: &str = "0..560";

pub(crate) fn rows(_: &Options) -> Result<Vec<Row>> {
    let cache = user_cache()?;
    let made = packages(
        &Programs::beside_this_test()?,
        &cache,
        &cache.join(DATA),
        TRAINING_ROWS,
    )?;
    let package = made.of("cnn");
    let mut measured = Vec::new();
    for batch_max in ["1", "32"] {
        let (server, _scratch) = server(std::slice::from_ref(&package), &["--batch-max", batch_max])?;
        let body = json_body("image", &[1, 64]);
        let headers = [("content-type", "application/json".to_owned())];
        measured.push(closed(message(&server, MODEL, &headers, body), CONNECTIONS)?);
        server.stop()?;
    }
    let [one, many] = measured.as_slice() else {
        return Ok(Vec::new());
    };
    Ok(vec![
        Row::new(
            "batching/cnn-32-connections",
            many.samples_per_second,
            "requests/s",
            3.0 * one.samples_per_second,
            "three times batch size 1",
        ),
        Row::new(
            "batching/cnn-over-batch-size-1",
            many.samples_per_second,
            "requests/s",
            one.samples_per_second,
            "batch size 1",
        ),
        Row::new(
            "batching/cnn-32-connections-p99",
            percentile(many, 99.0)?,
            "ms",
            percentile(one, 99.0)?,
            "batch size 1",
        ),
    ])
}
