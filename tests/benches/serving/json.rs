//! FP32[1,784] through a layer of 784×10, as JSON.

use anyhow::Result;

use crate::echo::Echo;
use crate::load::{closed, json_body, message, percentile, reference, server};
use crate::{Options, Row};

pub(crate) fn rows(options: &Options) -> Result<Vec<Row>> {
    let (server, _scratch) = server(&[reference("layer")], &[])?;
    let request = || {
        message(
            &server,
            "layer",
            &[("content-type", "application/json".to_owned())],
            json_body("x", &[1, 784]),
        )
    };
    let many = closed(request(), 8)?;
    let one = closed(request(), 1)?;
    let p50 = percentile(&one, 50.0)?;
    let echo = Echo::start()?;
    let bare = percentile(&closed(echo.message(json_body("x", &[1, 784])), 1)?, 50.0)?;
    let mut rows = vec![
        Row::new(
            "json/8-connections",
            many.samples_per_second,
            "requests/s",
            5_000.0,
            "goal",
        ),
        Row::new(
            "json/8-connections-p99",
            percentile(&many, 99.0)?,
            "ms",
            3.0,
            "goal",
        ),
        Row::new("json/1-connection-p50", p50, "ms", 0.35, "goal"),
        Row::new(
            "json/1-connection-p99",
            percentile(&one, 99.0)?,
            "ms",
            p50,
            "its p50",
        ),
    ];
    rows.push(Row::new(
        "json/1-connection-p50-over-bare",
        p50,
        "ms",
        bare,
        "a bare hyper server that reads the body",
    ));
    if let Some(forward_us) = options.forward_us {
        rows.push(Row::new(
            "json/overhead-p50",
            p50 * 1e3 - forward_us,
            "us",
            150.0,
            "goal",
        ));
        rows.push(Row::new(
            "json/overhead-beyond-bare-p50",
            (p50 - bare) * 1e3 - forward_us,
            "us",
            150.0,
            "goal, without what HTTP costs by itself",
        ));
        rows.push(Row::new(
            "json/1-connection-p50-over-forward",
            p50 * 1e3,
            "us",
            forward_us,
            "the forward in process",
        ));
    }
    server.stop()?;
    Ok(rows)
}
