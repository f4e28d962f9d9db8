//! What people and programs on this machine write: specifications, conditions, weights, JSON, webhooks.

use fieldmark_fl::privacy::reference;
use fieldmark_fl::privacy::spec::AnyComposition;
use fieldmark_node::http::spec::{ChallengeSpec, PlanOptions};
use fieldmark_node_core::board::parse_weights;
use fieldmark_node_data::predicate::Predicate;
use fieldmark_package::values;
use fieldmark_protocol::SecretKey;
use fieldmark_protocol::release::TensorSpec;
use fieldmark_protocol::webhook::{self as signed, Received};
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn spec(bytes: &[u8]) {
    if let Ok(spec) = toml::from_str::<ChallengeSpec>(&text(bytes)) {
        drop(spec.plan(&PlanOptions::default()));
    }
}

pub(super) fn specs() -> Vec<Vec<u8>> {
    let spec = "name = \"loans\"\nclean_slice = \"all\"\nmodels = [\"a\", \"b\"]\n\
                committee = [\"x\", \"y\"]\nepsilon = 1.0\ndelta = 1e-6\nrecords_max = 200\n\
                window_seconds = 60\nmin_batch = 5\nstatistics = [\"confusion\", \"group-confusion\"]\n\
                classes = [\"no\", \"yes\"]\npositive = \"yes\"\ngroups = [\"north\", \"south\"]\nbins = 10\n\
                [[slice]]\nname = \"all\"\n[[slice]]\nname = \"dark\"\n";
    vec![spec.into()]
}

/// Up to a first line break the condition, after it what every name means.
pub(super) fn condition(bytes: &[u8]) {
    let text = text(bytes);
    let (condition, value) = text.split_once('\n').unwrap_or((&text, "1"));
    if let Ok(condition) = Predicate::parse(condition) {
        condition.holds(|_| Some(value));
        condition.holds(|_| None);
    }
}

pub(super) fn conditions() -> Vec<Vec<u8>> {
    let nested = [b"not ".repeat(40), b"(".repeat(40), b"x = 1".to_vec()].concat();
    vec![
        b"site = 'Kiel' and not (hour >= 20 or hour < 6)\nKiel".to_vec(),
        b"`a b` in [1, 'x', -2e3] or label is not missing\n1".to_vec(),
        nested,
    ]
}

pub(super) fn weights(bytes: &[u8]) {
    let slices = ["clean".to_owned(), "low-light".to_owned()];
    drop(parse_weights(&text(bytes), &slices));
}

pub(super) fn all_weights() -> Vec<Vec<u8>> {
    vec![
        b"low-light:2,clean:0.5".to_vec(),
        b"clean:1e300,low-light:nan".to_vec(),
    ]
}

pub(super) fn infer(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let inputs = [TensorSpec {
        name: "image".to_owned(),
        datatype: "FP32".to_owned(),
        shape: vec![-1, 2],
    }];
    drop(values::from_json(&value, &inputs));
    if let Ok(tensor) = values::from_protocol(&value, &inputs) {
        assert!(values::to_protocol(&tensor).is_ok());
    }
}

pub(super) fn infers() -> Vec<Vec<u8>> {
    vec![
        br#"{"image": [[1.0, 2], [3, 4.5]]}"#.to_vec(),
        br#"{"name": "image", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4]}"#.to_vec(),
        br#"{"name": "image", "datatype": "FP32", "shape": [4611686018427387904, 2], "data": []}"#.to_vec(),
    ]
}

/// Up to a first line break the signature or address, after it the body.
pub(super) fn webhook(bytes: &[u8]) {
    let text = text(bytes);
    let (head, body) = text.split_once('\n').unwrap_or((&text, ""));
    let key = SecretKey::from_seed(&[1; 32]).public();
    let received = Received {
        key,
        timestamp_ms: 5,
        signature: head,
        body: body.as_bytes(),
    };
    drop(received.check(5, 0));
    for allow_private in [false, true] {
        drop(fieldmark_node::webhook::check_address(head, allow_private));
    }
}

pub(super) fn webhooks() -> Vec<Vec<u8>> {
    let signature = signed::sign(&SecretKey::from_seed(&[1; 32]), 5, b"{}");
    vec![
        format!("{signature}\n{{}}").into(),
        b"https://hooks.example.org:8443/fieldmark?x=1\n".to_vec(),
        b"http://[::ffff:127.0.0.1]/\n".to_vec(),
    ]
}

pub(super) fn mechanism(bytes: &[u8]) {
    let Ok(Value::Array(parts)) = serde_json::from_slice(bytes) else {
        return;
    };
    // What it costs to account for is not looked at: steps may be many.
    drop(AnyComposition::read_list(&parts));
}

pub(super) fn mechanisms() -> Vec<Vec<u8>> {
    vec![
        br#"[{"mechanism": "gaussian", "sigma": 2.0, "l2_sensitivity": 1.0, "count": 3}]"#.to_vec(),
        br#"[{"m": "laplace", "b": 1.0}, {"m": "discrete_gaussian", "sigma": 3}]"#.to_vec(),
        br#"[{"m": "poisson_subsampled_gaussian", "q": 0.01, "sigma": 1.1, "steps": 1000}]"#.to_vec(),
        br#"[{"m": "randomized_response", "noise_parameter": 0.5, "num_buckets": 2}]"#.to_vec(),
    ]
}

pub(super) fn reference(bytes: &[u8]) {
    for row in reference::read(bytes).into_iter().flatten().take(8) {
        drop(row.composition());
        drop(row.delta());
    }
}

pub(super) fn references() -> Vec<Vec<u8>> {
    let figures = include_str!("../../../fl/tests/data/dp_reference.csv");
    let of_rows = |first: usize, count: usize| {
        let header = figures.lines().take(1);
        let rows = header.chain(figures.lines().skip(first).take(count));
        rows.collect::<Vec<_>>().join("\n").into_bytes()
    };
    vec![of_rows(1, 3), of_rows(20, 2), of_rows(40, 2)]
}
