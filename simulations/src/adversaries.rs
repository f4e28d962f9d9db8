//! Adversaries, named by their deed. Each is the production node with somebody between it and the world,
//! who changes, swallows or adds what passes: inputs, outputs, and the results of its own work. They send
//! the same messages as everybody else and hold no keys but their own.

mod craft;
mod drops_accepted;
mod lies_in_its_log;
mod lies_to_helpers;
mod replays;
mod sends_more;
mod spoils_shares;
mod spoils_work;

use fieldmark_ledger::tasks;
use fieldmark_node_core::compute::{Job, JobResult};
use fieldmark_node_core::context::Keys;
use fieldmark_node_core::io::{Input, Output};
use fieldmark_protocol::machine::{RPC_BYTES_MAX, Read};
use fieldmark_protocol::task::Task;
use fieldmark_protocol::{RecordId, ReportId, decode, wire};
use prost::Message;

use crate::disk::Disk;
use crate::draws::Draws;
use crate::part::Part;
use crate::scenario::Deed;

pub(crate) use craft::accomplices;

/// What an adversary has at hand.
pub(crate) struct Scene<'a> {
    /// What its own clock shows.
    pub(crate) now: u64,
    pub(crate) keys: &'a Keys,
    pub(crate) disk: &'a Disk,
    /// Where it notes what its further reports hold, for the checkers.
    pub(crate) sent: &'a mut Vec<(ReportId, Vec<u64>)>,
}

impl Scene<'_> {
    /// The task, as its own node knows it.
    fn task(&self, id: &[u8]) -> Option<Task> {
        let id = RecordId::from_slice(id).ok()?;
        tasks::task(self.disk as &dyn Read, &id)
            .ok()?
            .map(|view| view.task)
    }
}

/// Who stands between a node and the world. What is not overridden passes unchanged.
pub(crate) trait Adversary: std::fmt::Debug {
    /// What the node gets to hear, and what is said in its place.
    fn hears(&mut self, _scene: &mut Scene<'_>, input: Input) -> (Option<Input>, Vec<Output>) {
        (Some(input), Vec::new())
    }

    /// What the world gets to hear.
    fn says(&mut self, _scene: &mut Scene<'_>, output: Output) -> Vec<Output> {
        vec![output]
    }

    /// What comes of its work.
    fn works(&mut self, _scene: &mut Scene<'_>, _job: &Job, result: JobResult) -> JobResult {
        result
    }
}

/// The adversary that does a deed.
pub(crate) fn of(deed: Deed, seed: u64, part: &Part) -> Box<dyn Adversary> {
    let draws = Draws::of(seed, &format!("adversary {}", part.name));
    match deed {
        Deed::DropsAccepted => Box::new(drops_accepted::DropsAccepted::default()),
        Deed::Replays => Box::new(replays::Replays),
        Deed::Inflates => Box::new(lies_in_its_log::LiesInItsLog::inflates(part)),
        Deed::FalseSum => Box::new(lies_in_its_log::LiesInItsLog::false_sum(part)),
        Deed::OpensOtherwise => Box::new(lies_in_its_log::LiesInItsLog::opens_otherwise(part)),
        Deed::ConcludesEarly => Box::new(lies_to_helpers::ConcludesEarly),
        Deed::SecondKey => Box::new(lies_to_helpers::SecondKey),
        Deed::TwoStories => Box::new(lies_to_helpers::TwoStories),
        Deed::MalformedShare => Box::new(spoils_shares::SpoilsShares::malformed()),
        Deed::WrongShare => Box::new(spoils_shares::SpoilsShares::wrong()),
        Deed::FalseAggregateShare => Box::new(spoils_shares::ShiftsItsSum),
        Deed::InvalidProof => Box::new(spoils_work::SpoilsReport::proof()),
        Deed::OutOfRange => Box::new(spoils_work::SpoilsReport::value()),
        Deed::TwoReports => Box::new(sends_more::SendsMore::two_reports(draws)),
        Deed::Sybils => Box::new(sends_more::SendsMore::sybils(draws)),
    }
}

/// The body of a request.
fn request(data: &[u8]) -> Option<wire::rpc_request::Body> {
    decode::bounded::<wire::RpcRequest>("a request", data, RPC_BYTES_MAX)
        .ok()?
        .body
}

/// A request with this body.
fn of_request(body: wire::rpc_request::Body) -> Vec<u8> {
    wire::RpcRequest { body: Some(body) }.encode_to_vec()
}

/// A request of the adversary's own, whose answer its node does not know.
fn further(peer: fieldmark_protocol::PublicKey, number: u64, body: wire::rpc_request::Body) -> Output {
    Output::Send {
        peer,
        request: u64::MAX - number,
        data: of_request(body),
    }
}
