//! The targets, by what they decode.

use crate::memory::BYTES_MAX;

mod files;
mod frames;
mod local;
mod machine;
mod packages;
mod samples;
mod shares;
mod tensors;
mod wire;

/// A decoder under test.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it reads, for people.
    pub about: &'static str,
    /// Must return for whatever bytes.
    pub run: fn(&[u8]),
    /// Inputs to start from; the first ones are well formed.
    pub known: fn() -> Vec<Vec<u8>>,
    /// Most bytes that it may hold at once beyond [`PER_INPUT_BYTE`](crate::memory::PER_INPUT_BYTE) times its
    /// input.
    pub held_max: usize,
}

const fn named(
    name: &'static str,
    about: &'static str,
    run: fn(&[u8]),
    known: fn() -> Vec<Vec<u8>>,
) -> Target {
    Target {
        name,
        about,
        run,
        known,
        held_max: BYTES_MAX,
    }
}

/// Every target.
pub const TARGETS: &[Target] = &[
    named(
        "record",
        "a signed record as sent and as stored",
        wire::record,
        samples::records,
    ),
    named(
        "header",
        "a record's signed header",
        wire::header,
        samples::headers,
    ),
    named(
        "payload",
        "the payload of a record, by its kind",
        wire::payload,
        samples::payloads,
    ),
    named("fork", "a proof of equivocation", wire::fork, samples::forks),
    named(
        "address",
        "where a node is reached",
        wire::address,
        samples::addresses,
    ),
    named(
        "certificate",
        "a node's certificate",
        wire::certificate,
        samples::certificates,
    ),
    named("release", "a release", wire::release, samples::releases),
    named("task", "a task", wire::task, samples::tasks),
    named("challenge", "a challenge", wire::challenge, samples::challenges),
    named(
        "transcript",
        "what an aggregator accepted",
        wire::transcript,
        samples::transcripts,
    ),
    named(
        "committee",
        "commitment, share, aggregate and abort",
        wire::committee,
        samples::committee,
    ),
    named(
        "report",
        "a sealed report, whole and by seat",
        wire::report,
        samples::reports,
    ),
    named("receipt", "a leader's receipt", wire::receipt, samples::receipts),
    named(
        "rpc-request",
        "a request between nodes",
        wire::request,
        samples::requests,
    ),
    named(
        "rpc-response",
        "a response between nodes",
        wire::response,
        samples::responses,
    ),
    named(
        "announcement",
        "a gossip message",
        wire::announcement,
        samples::announcements,
    ),
    named(
        "runner",
        "frames between node and runner",
        wire::runner,
        samples::runner,
    ),
    named(
        "runner-frame",
        "a runner's response in its frame, and its outputs in shared memory",
        frames::runner,
        frames::runners,
    ),
    named(
        "runner-request",
        "a request in its frame, as a runner reads it",
        frames::supervisor,
        frames::supervisors,
    ),
    named(
        "rpc-frame",
        "requests and responses between nodes in their frames",
        frames::rpc,
        frames::rpcs,
    ),
    named(
        "blob-request",
        "a request for groups of a blob, and an answer's first byte",
        frames::blob_request,
        frames::blob_requests,
    ),
    named(
        "blob-group",
        "a group of a blob with its hashes, as a provider sends it",
        frames::blob_group,
        frames::blob_groups,
    ),
    named(
        "blob-bitmap",
        "which groups of a partial download are there",
        frames::bitmap,
        frames::bitmaps,
    ),
    named("seal", "a sealed share", shares::seal, shares::sealed),
    named(
        "input-share",
        "public and input share at an aggregator",
        shares::input,
        shares::inputs,
    ),
    named(
        "verifier-share",
        "verifier shares and messages",
        shares::verifier,
        shares::verifiers,
    ),
    named(
        "state",
        "stored verification states and sums",
        shares::state,
        shares::states,
    ),
    named("budget", "a stored privacy filter", files::budget, files::budgets),
    named(
        "sketch",
        "a stored sketch of a source's records",
        files::sketch,
        files::sketches,
    ),
    named("manifest", "fieldmark.toml", files::manifest, files::manifests),
    named(
        "drift",
        "drift.json, and rows placed in it",
        files::drift,
        files::drifts,
    ),
    named("card", "a model card", files::card, files::cards),
    named(
        "onnx",
        "an ONNX model, looked into",
        packages::onnx,
        packages::onnx_models,
    ),
    named(
        "torchscript",
        "a TorchScript archive, looked into",
        packages::torchscript,
        packages::torchscript_archives,
    ),
    named(
        "requirements",
        "locked requirements",
        packages::requirements,
        packages::all_requirements,
    ),
    named("trust-policy", "trust.toml", files::trust, files::trusts),
    named(
        "scenario",
        "a simulation's scenario.toml",
        files::scenario,
        files::scenarios,
    ),
    named(
        "spec",
        "a challenge's specification, and its plan",
        local::spec,
        local::specs,
    ),
    named(
        "condition",
        "a condition that makes a slice",
        local::condition,
        local::conditions,
    ),
    named(
        "weights",
        "weights of slices in an address",
        local::weights,
        local::all_weights,
    ),
    named(
        "infer-json",
        "inputs of a model as JSON, both forms",
        local::infer,
        local::infers,
    ),
    named(
        "infer-request",
        "a request to a model server: JSON, and binary data behind it",
        tensors::request,
        tensors::requests,
    ),
    named(
        "webhook",
        "a received webhook's headers and body, and an address",
        local::webhook,
        local::webhooks,
    ),
    named(
        "mechanism",
        "privacy mechanisms as JSON",
        local::mechanism,
        local::mechanisms,
    ),
    named(
        "reference",
        "reference figures of privacy as CSV",
        local::reference,
        local::references,
    ),
    named("csv", "a CSV dataset", files::csv, files::csvs),
    Target {
        // The crate reserves what a page's header announces, without touching it.
        held_max: BYTES_MAX + (2 << 30),
        ..named("parquet", "a Parquet dataset", files::parquet, files::parquets)
    },
    named("npz", "an NPZ dataset as a file", files::npz, files::npzs),
    named("npy", "one array of an NPZ dataset", files::npy, files::npys),
    named(
        "machine",
        "a whole node: requests, gossip, responses",
        machine::run,
        machine::known,
    ),
];

/// The target with this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
