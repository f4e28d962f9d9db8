//! The contributors and the network: starts the roles, uploads, waits for the release, and measures.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fieldmark_protocol::aggregation::Aggregate;
use fieldmark_protocol::wire::{announcement, rpc_request, rpc_response};
use fieldmark_protocol::{Kind, Record, wire};
use prost::Message;

use crate::cast::{Cast, Reports, SEATS};
use crate::link::{Carries, Frame, NETWORK};
use crate::{Options, Row, percentile};

/// Uploads on their way when they go as fast as they can.
const UNDER_WAY: usize = 16;
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(1_800);
/// Syncs that the disk's own figure is taken from.
const SYNCS: usize = 200;
/// Frames that the contributors have not read yet.
const FRAMES_MAX: usize = 1 << 16;
/// Goals.
const MEGABYTES: f64 = 300.0;
const UPLOAD_MS: f64 = 20.0;

/// What was measured.
pub(crate) struct Measured {
    verified_s: f64,
    released_s: f64,
    reports: usize,
    upload_p99_ms: f64,
    upload_p50_ms: f64,
    sync_p99_ms: f64,
    upload_rate: f64,
    peak_mb: Vec<f64>,
    pub(crate) sum_is_right: bool,
}

impl Measured {
    pub(crate) fn rows(&self, baseline: f64) -> Vec<Row> {
        let row = |name, value, unit, baseline, baseline_name| Row {
            name,
            value,
            unit,
            baseline,
            baseline_name,
        };
        let in_memory = "the same verifications in memory on all cores";
        let goal = UPLOAD_MS + self.sync_p99_ms;
        let goal_name = "20 ms and the disk's own sync p99";
        let mut rows = vec![
            row(
                "verified",
                self.reports as f64 / self.verified_s,
                "reports/s",
                baseline,
                in_memory,
            ),
            row(
                "released",
                self.reports as f64 / self.released_s,
                "reports/s",
                baseline,
                in_memory,
            ),
            row("upload_p99", self.upload_p99_ms, "ms", goal, goal_name),
            row("upload_p50", self.upload_p50_ms, "ms", goal, goal_name),
            row(
                "upload_rate",
                self.upload_rate,
                "reports/s",
                baseline / 2.0,
                "half of the in-memory rate",
            ),
            row("disk_sync_p99", self.sync_p99_ms, "ms", UPLOAD_MS, "20 ms"),
        ];
        let names = ["leader_peak", "helper_1_peak", "helper_2_peak"];
        for (name, peak) in names.into_iter().zip(&self.peak_mb) {
            rows.push(row(name, *peak, "MB", MEGABYTES, "the goal of 300 MB"));
        }
        rows
    }
}

/// The sockets to the roles.
#[derive(Clone)]
struct Network {
    roles: Arc<Vec<Mutex<UnixStream>>>,
}

impl Network {
    fn carry(&self, frame: &Frame) {
        let mut socket = self.roles[usize::from(frame.to)]
            .lock()
            .expect("no sender failed");
        frame
            .write(&mut *socket)
            .and_then(|()| socket.flush())
            .expect("the role runs");
    }
}

pub(crate) fn run(cast: &Cast, reports: &Reports, options: &Options, rate: f64, folder: &Path) -> Measured {
    let sync_p99_ms = sync_p99_ms(folder, reports.bytes);
    cast.write_records(&folder.join("records"));
    let listener = UnixListener::bind(folder.join("socket")).expect("a socket");
    let mut children: Vec<Child> = (0..SEATS).map(|seat| start(seat, folder)).collect();
    let (told, hears) = sync_channel(FRAMES_MAX);
    let network = connect(&listener, &told);
    let timed = open_loop(&network, &hears, reports, options.timed, rate / 2.0);
    let mut later = Later::default();
    hurry(&network, &hears, reports, options.timed..cast.reports, &mut later);
    let mut sent = BTreeMap::new();
    let closed = Instant::now();
    while later.released.is_none() {
        later.hear(&hears, &mut sent);
    }
    let since = |at: Option<Instant>| at.map_or(f64::NAN, |at| (at - closed).as_secs_f64());
    let peak_mb = children.iter().map(|child| peak_mb(child.id())).collect();
    for child in &mut children {
        // It ends with this process in any case.
        let _ = child.kill();
        let _ = child.wait();
    }
    Measured {
        verified_s: since(later.concluded),
        released_s: since(later.released),
        reports: cast.reports,
        upload_p99_ms: timed.p99_ms,
        upload_p50_ms: timed.p50_ms,
        sync_p99_ms,
        upload_rate: timed.rate,
        peak_mb,
        sum_is_right: later
            .values
            .is_some_and(|values| is_sum(&values, &reports.sum, cast)),
    }
}

/// Uploads at a fixed rate.
struct Timed {
    p50_ms: f64,
    p99_ms: f64,
    rate: f64,
}

/// An open loop: the time of each upload is fixed beforehand, however long the others take.
fn open_loop(
    network: &Network,
    hears: &Receiver<Frame>,
    reports: &Reports,
    count: usize,
    rate: f64,
) -> Timed {
    let interval = Duration::from_secs_f64(1.0 / rate);
    let start = Instant::now();
    let (mut sent, mut latencies) = (BTreeMap::new(), Vec::new());
    for number in 0..count {
        let at = start + interval * number as u32;
        let (peer, report) = reports.read(number);
        let upload = upload(number, peer, &report);
        while let Ok(heard) = hears.recv_timeout(at.saturating_duration_since(Instant::now())) {
            latencies.extend(receipt(&heard, &mut sent));
        }
        sent.insert(number as u64, at);
        network.carry(&upload);
    }
    while !sent.is_empty() {
        let heard = hears.recv_timeout(PATIENCE).expect("receipts arrive");
        latencies.extend(receipt(&heard, &mut sent));
    }
    Timed {
        p50_ms: percentile(&mut latencies, 0.50),
        p99_ms: percentile(&mut latencies, 0.99),
        rate: count as f64 / start.elapsed().as_secs_f64(),
    }
}

/// The other uploads as fast as they are taken.
fn hurry(
    network: &Network,
    hears: &Receiver<Frame>,
    reports: &Reports,
    numbers: std::ops::Range<usize>,
    later: &mut Later,
) {
    let mut sent = BTreeMap::new();
    for number in numbers {
        let (peer, report) = reports.read(number);
        sent.insert(number as u64, Instant::now());
        network.carry(&upload(number, peer, &report));
        while sent.len() >= UNDER_WAY {
            later.hear(hears, &mut sent);
        }
    }
    while !sent.is_empty() {
        later.hear(hears, &mut sent);
    }
}

/// What the roles have told so far.
#[derive(Default)]
struct Later {
    concluded: Option<Instant>,
    released: Option<Instant>,
    values: Option<Vec<i64>>,
}

impl Later {
    fn hear(&mut self, hears: &Receiver<Frame>, sent: &mut BTreeMap<u64, Instant>) {
        let frame = hears.recv_timeout(PATIENCE).expect("the roles go on");
        match frame.carries {
            Carries::Phase if frame.from == 0 && frame.data == b"concluded" => {
                self.concluded.get_or_insert_with(Instant::now);
            }
            Carries::Gossip => {
                if let Some(aggregate) = aggregate(&frame.data) {
                    self.values = Some(aggregate.values);
                    self.released.get_or_insert_with(Instant::now);
                }
            }
            _ => drop(receipt(&frame, sent)),
        }
    }
}

fn start(seat: usize, folder: &Path) -> Child {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.arg("--role").arg(seat.to_string()).arg(folder);
    command.spawn().expect("a role starts")
}

/// Waits for every role to be ready, and passes on what they send each other.
fn connect(listener: &UnixListener, told: &SyncSender<Frame>) -> Network {
    let mut sockets = BTreeMap::new();
    while sockets.len() < SEATS {
        let (socket, _) = listener.accept().expect("a role connects");
        let mut reader = BufReader::with_capacity(1 << 20, socket.try_clone().expect("a socket"));
        // The first frame may follow the machines' first announcements.
        let hello = loop {
            let frame = Frame::read(&mut reader).expect("a role speaks");
            if frame.carries == Carries::Phase {
                break frame;
            }
        };
        sockets.insert(hello.from, (socket, reader));
    }
    let (writers, readers): (Vec<_>, Vec<_>) = sockets.into_values().map(|(s, r)| (Mutex::new(s), r)).unzip();
    let network = Network {
        roles: Arc::new(writers),
    };
    for mut reader in readers {
        let (network, told) = (network.clone(), told.clone());
        std::thread::spawn(move || {
            while let Ok(frame) = Frame::read(&mut reader) {
                if frame.to != NETWORK {
                    network.carry(&frame);
                } else if told.send(frame).is_err() {
                    return;
                }
            }
        });
    }
    network
}

fn upload(number: usize, peer: fieldmark_protocol::PublicKey, report: &[u8]) -> Frame {
    let report = wire::Report::decode(report).expect("a report");
    let body = Some(rpc_request::Body::Upload(report));
    Frame {
        to: 0,
        from: NETWORK,
        carries: Carries::Request,
        id: number as u64,
        peer,
        data: wire::RpcRequest { body }.encode_to_vec(),
    }
}

/// Milliseconds from the time an upload was due to its receipt.
fn receipt(frame: &Frame, sent: &mut BTreeMap<u64, Instant>) -> Option<f64> {
    if frame.carries != Carries::Response {
        return None;
    }
    let at = sent.remove(&frame.id)?;
    let response = wire::RpcResponse::decode(frame.data.as_slice()).expect("a response");
    match response.body {
        Some(rpc_response::Body::Receipt(_)) => Some(at.elapsed().as_secs_f64() * 1e3),
        other => panic!("an upload was not taken: {other:?}"),
    }
}

fn aggregate(announcement: &[u8]) -> Option<Aggregate> {
    let announcement = wire::Announcement::decode(announcement).ok()?;
    let Some(announcement::Body::Record(record)) = announcement.body else {
        return None;
    };
    let record = Record::check(record).ok()?;
    if record.header().kind != Kind::Aggregate {
        return None;
    }
    Aggregate::decode(record.payload()).ok()
}

/// Whether every value is within nine standard deviations of the noise of the true sum.
fn is_sum(values: &[i64], sum: &[i128], cast: &Cast) -> bool {
    let sigma = (cast.task.privacy.sigma_squared as f64 * SEATS as f64).sqrt();
    let near = |(value, sum): (&i64, &i128)| ((i128::from(*value) - sum).abs() as f64) < 9.0 * sigma;
    values.len() == sum.len() && values.iter().zip(sum).all(near)
}

/// The disk's own time for as many bytes as a report has, 99 of 100 times.
fn sync_p99_ms(folder: &Path, bytes: usize) -> f64 {
    let mut file = File::create(folder.join("syncs")).expect("a file");
    let data = vec![7; bytes];
    let mut times: Vec<f64> = (0..SYNCS)
        .map(|_| {
            let start = Instant::now();
            file.write_all(&data)
                .and_then(|()| file.sync_data())
                .expect("the disk writes");
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    percentile(&mut times, 0.99)
}

/// The most memory a process has held, in megabytes.
fn peak_mb(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kilobytes.map_or(f64::NAN, |kilobytes| kilobytes * 1024.0 / 1e6)
}
