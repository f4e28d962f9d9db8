//! 16 MB up by the binary extension, four bytes down, beside a bare hyper server that reads the same body.

use anyhow::Result;

use crate::echo::Echo;
use crate::load::{closed, message, reference, server};
use crate::{Options, Row};

const BYTES: usize = 16 << 20;

pub(crate) fn rows(_: &Options) -> Result<Vec<Row>> {
    let head = serde_json::json!({
        "inputs": [{
            "name": "x", "datatype": "FP32", "shape": [BYTES / 4],
            "parameters": {"binary_data_size": BYTES},
        }],
        "outputs": [{"name": "total", "parameters": {"binary_data": true}}],
    });
    let head = head.to_string().into_bytes();
    let length = head.len().to_string();
    let body = [head, vec![0; BYTES]].concat();
    let bytes = body.len() as f64;
    let (server, _scratch) = server(&[reference("total")], &[])?;
    let headers = [
        ("inference-header-content-length", length),
        ("content-type", "application/octet-stream".to_owned()),
    ];
    let served = closed(message(&server, "total", &headers, body.clone()), 2)?;
    let alone = closed(message(&server, "total", &headers, body.clone()), 1)?;
    let echo = Echo::start()?;
    let bare = closed(echo.message(body), 2)?;
    let rate = |per_second: f64| per_second * bytes / 1e9;
    let rows = vec![
        Row::new(
            "upload/16-MB-2-connections",
            rate(served.samples_per_second),
            "GB/s",
            1.0,
            "goal",
        ),
        Row::new(
            "upload/16-MB-1-connection",
            rate(alone.samples_per_second),
            "GB/s",
            1.0,
            "goal",
        ),
        Row::new(
            "upload/16-MB-2-connections-over-bare",
            rate(served.samples_per_second),
            "GB/s",
            rate(bare.samples_per_second),
            "a bare hyper server that reads the body",
        ),
    ];
    server.stop()?;
    Ok(rows)
}
