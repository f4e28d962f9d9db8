//! One aggregator as a process: the node's core thread over a RocksDB store, a pool for jobs, and a socket
//! in place of the network.

use std::io::{BufReader, BufWriter, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fieldmark_ledger::log::{self, Ingest};
use fieldmark_ledger::store::Pending;
use fieldmark_ledger_rocks::RocksStore;
use fieldmark_node::core_thread::{INPUTS_MAX, OUTPUTS_MAX, now_ms, run as run_core};
use fieldmark_node_core::NodeCore;
use fieldmark_node_core::compute::{self, Job};
use fieldmark_node_core::io::{Event, Input, JobId, Output};
use fieldmark_protocol::machine::{Store, Topic};
use fieldmark_protocol::{PublicKey, Record, wire};
use prost::Message;
use tokio::sync::mpsc;

use crate::cast::{SEATS, aggregator};
use crate::link::{Carries, Frame, NETWORK};

/// Records committed together before the start.
const GROUP: usize = 500;
/// Requests of one sender: the id of an inbound request is sender ‖ its own id.
const SENDER_SHIFT: u32 = 40;

pub(crate) fn run(seat: usize, folder: &Path) {
    let mut store = RocksStore::open(&folder.join(format!("ledger-{seat}"))).expect("a store");
    ingest(&mut store, &folder.join("records"));
    let socket = UnixStream::connect(folder.join("socket")).expect("the network is there");
    let (inputs, input_queue) = mpsc::channel(INPUTS_MAX);
    let (outputs, mut output_queue) = mpsc::channel(OUTPUTS_MAX);
    for other in (0..SEATS).filter(|other| *other != seat) {
        let peer = node_key(other);
        inputs
            .blocking_send(Input::Connected { peer })
            .expect("room for peers");
    }
    let core = NodeCore::new(aggregator(seat));
    std::thread::spawn(move || run_core(core, store, input_queue, &outputs).expect("the store holds"));
    let reader = socket.try_clone().expect("a socket");
    let arriving = inputs.clone();
    std::thread::spawn(move || receive(reader, &arriving));
    let (frames, frame_queue) = sync_channel(OUTPUTS_MAX);
    std::thread::spawn(move || send(socket, &frame_queue));
    let (jobs, job_queue) = sync_channel::<(JobId, Box<Job>)>(OUTPUTS_MAX);
    let job_queue = Arc::new(Mutex::new(job_queue));
    for _ in 0..crate::cores() {
        let (queue, inputs) = (Arc::clone(&job_queue), inputs.clone());
        std::thread::spawn(move || work(&queue, &inputs));
    }
    let (alarms, alarm_queue) = sync_channel(OUTPUTS_MAX);
    std::thread::spawn(move || ring(&alarm_queue, &inputs));

    let hello = frame(seat, NETWORK, Carries::Phase, 0, b"ready".to_vec());
    frames.send(hello).expect("the network listens");
    while let Some(output) = output_queue.blocking_recv() {
        let done = match output {
            Output::Compute { job, work } => jobs.send((job, work)).is_ok(),
            Output::Timer { at_ms } => alarms.send(at_ms).is_ok(),
            other => translate(seat, other)
                .into_iter()
                .all(|frame| frames.send(frame).is_ok()),
        };
        if !done {
            return;
        }
    }
}

fn node_key(seat: usize) -> PublicKey {
    aggregator(seat).keys.node.public()
}

fn frame(seat: usize, to: u8, carries: Carries, id: u64, data: Vec<u8>) -> Frame {
    Frame {
        to,
        from: seat as u8,
        carries,
        id,
        peer: node_key(seat),
        data,
    }
}

/// What the machines say, as frames.
fn translate(seat: usize, output: Output) -> Vec<Frame> {
    let others = || (0..SEATS).filter(|other| *other != seat).map(|other| other as u8);
    match output {
        Output::Send { peer, request, data } => {
            let to = (0..SEATS).position(|other| node_key(other) == peer);
            to.map(|to| frame(seat, to as u8, Carries::Request, request, data))
                .into_iter()
                .collect()
        }
        Output::Respond { inbound, data } => {
            let (to, id) = (
                (inbound >> SENDER_SHIFT) as u8,
                inbound & ((1 << SENDER_SHIFT) - 1),
            );
            vec![frame(seat, to, Carries::Response, id, data)]
        }
        Output::Broadcast { topic, data } => {
            let topic = Topic::ALL.iter().position(|t| *t == topic).unwrap_or(0) as u64;
            let to = others().chain([NETWORK]);
            to.map(|to| frame(seat, to, Carries::Gossip, topic, data.clone()))
                .collect()
        }
        Output::Event(Event::Batch { phase, reports, .. }) => {
            vec![frame(seat, NETWORK, Carries::Phase, reports, phase.into_bytes())]
        }
        _ => Vec::new(),
    }
}

fn receive(socket: UnixStream, inputs: &mpsc::Sender<Input>) {
    let mut socket = BufReader::with_capacity(1 << 20, socket);
    let mut gossip = 0_u64;
    while let Ok(frame) = Frame::read(&mut socket) {
        let input = match frame.carries {
            Carries::Request => Input::Request {
                peer: frame.peer,
                inbound: u64::from(frame.from) << SENDER_SHIFT | frame.id,
                data: frame.data,
            },
            Carries::Response => Input::Response {
                request: frame.id,
                result: Ok(frame.data),
            },
            _ => {
                gossip += 1;
                let mut message = [0; 32];
                message[..8].copy_from_slice(&gossip.to_le_bytes());
                Input::Gossip {
                    message,
                    topic: Topic::ALL[frame.id as usize],
                    from: frame.peer,
                    data: frame.data,
                }
            }
        };
        if inputs.blocking_send(input).is_err() {
            return;
        }
    }
}

fn send(socket: UnixStream, frames: &Receiver<Frame>) {
    let mut socket = BufWriter::with_capacity(1 << 20, socket);
    while let Ok(frame) = frames.recv() {
        let mut next = Some(frame);
        while let Some(frame) = next {
            if frame.write(&mut socket).is_err() {
                return;
            }
            next = frames.try_recv().ok();
        }
        if socket.flush().is_err() {
            return;
        }
    }
}

fn work(jobs: &Mutex<Receiver<(JobId, Box<Job>)>>, inputs: &mpsc::Sender<Input>) {
    loop {
        let next = jobs.lock().expect("no worker failed").recv();
        let Ok((job, work)) = next else { return };
        if let Some(result) = compute::run(&work) {
            drop(work);
            if inputs.blocking_send(Input::Done { job, result }).is_err() {
                return;
            }
        }
    }
}

/// Rings at the time asked for last.
fn ring(alarms: &Receiver<u64>, inputs: &mpsc::Sender<Input>) {
    let mut at = u64::MAX;
    loop {
        let wait = Duration::from_millis(at.saturating_sub(now_ms()).min(60_000));
        match alarms.recv_timeout(wait) {
            Ok(next) => at = next,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) if at <= now_ms() => {
                at = u64::MAX;
                if inputs.blocking_send(Input::Timer).is_err() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Takes in the records that everyone knows before the window opens.
fn ingest(store: &mut RocksStore, path: &Path) {
    let bytes = std::fs::read(path).expect("the records are there");
    let records = wire::Records::decode(bytes.as_slice()).expect("records").records;
    for group in records.chunks(GROUP) {
        let mut pending = Pending::new();
        for record in group {
            let record = Record::check(record.clone()).expect("a record");
            match log::ingest(&pending.over(store), &record).expect("the store holds") {
                Ingest::Stored(batch) => pending.absorb(batch),
                other => panic!("a record is not taken: {other:?}"),
            }
        }
        store.commit(&pending.into_batch()).expect("the store holds");
    }
}
