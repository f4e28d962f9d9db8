//! Who takes part, the task, and the reports, made once and kept on disk.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use fieldmark_fl::privacy::{Delta, Epsilon, calibrate};
use fieldmark_fl::schema::{Measurement, Schema};
use fieldmark_fl::seal;
use fieldmark_node_core::compute::{self, Job, JobResult, Shape};
use fieldmark_node_core::context::{Keys, Policy};
use fieldmark_node_core::{NodeOptions, params};
use fieldmark_protocol::address::{NodeCertificate, Roles};
use fieldmark_protocol::aggregation::BatchId;
use fieldmark_protocol::report::{Metadata, Report};
use fieldmark_protocol::task::{
    Aggregator, Eligibility, Extra, PATIENCE_MS_RANGE, Privacy, Statistic, Statistics, Task,
};
use fieldmark_protocol::{Kind, PublicKey, Record, RecordId, ReportId, SecretKey, wire};
use prost::Message;

use crate::Options;

/// Aggregators: a leader and two helpers.
pub(crate) const SEATS: usize = 3;
/// Most records of a report: values of 11 bits.
const CAP: u32 = 2_047;

fn seed(what: &str, number: usize) -> [u8; 32] {
    *blake3::hash(format!("{what} {number}").as_bytes()).as_bytes()
}

/// The aggregator in a seat, as its process starts it.
pub(crate) fn aggregator(seat: usize) -> NodeOptions {
    let (hpke, hpke_public) = seal::keypair(&seed("hpke", seat));
    NodeOptions {
        keys: Keys {
            identity: SecretKey::from_seed(&seed("identity", seat)),
            node: SecretKey::from_seed(&seed("node", seat)),
            hpke,
            hpke_public,
        },
        name: format!("aggregator-{seat}"),
        roles: Roles(Roles::AGGREGATOR),
        policy: Policy::default(),
        seed: seed("randomness", seat),
    }
}

/// The task, and everyone's keys.
#[derive(Debug)]
pub(crate) struct Cast {
    pub(crate) task: Task,
    pub(crate) shape: Shape,
    pub(crate) batch: BatchId,
    /// The Task record, then each contributor's certificate.
    pub(crate) records: Vec<Record>,
    pub(crate) reports: usize,
}

impl Cast {
    pub(crate) fn new(options: &Options) -> Self {
        let seat = |seat| {
            let keys = aggregator(seat).keys;
            Aggregator {
                identity: keys.identity.public(),
                node_key: keys.node.public(),
                hpke_key: PublicKey::new(keys.hpke_public),
            }
        };
        let now = fieldmark_node::core_thread::now_ms();
        let mut task = Task {
            name: "bench".into(),
            committee: (0..SEATS).map(seat).collect(),
            statistics: Statistics {
                releases: (0..options.models)
                    .map(|m| RecordId::new(seed("release", m.into())))
                    .collect(),
                slices: vec!["clean".into()],
                records_max: CAP,
                paired: false,
                calibration: false,
                extra: Extra {
                    collected: [Statistic::Confusion].into(),
                    classes: (0..options.classes).map(|c| format!("class-{c}")).collect(),
                    ..Extra::default()
                },
            },
            privacy: Privacy {
                epsilon_micro: 1_000_000,
                delta_pico: 1_000_000,
                sigma_squared: 1,
                l2_squared: 1,
            },
            eligibility: Eligibility::Open,
            min_batch: 2,
            reports_expected: u32::try_from(options.reports).expect("fewer reports"),
            opens_at_ms: now - 1_000,
            closes_at_ms: now + 24 * 3_600_000,
            window: 0,
            patience_ms: PATIENCE_MS_RANGE.1,
            recurrence: None,
            replicate_groups: 1,
        };
        let schema = Schema::new(&params::schema_params(&task)).expect("a schema");
        let (epsilon, delta) = (
            Epsilon::new(1.0).expect("an epsilon"),
            Delta::new(1e-6).expect("a delta"),
        );
        task.privacy.l2_squared = schema.l2_sensitivity_squared();
        let scale = calibrate(task.privacy.l2_squared, epsilon, delta).expect("a scale");
        task.privacy.sigma_squared = scale.sigma_squared;
        params::check(&task).expect("the task's numbers belong together");
        let operator = SecretKey::from_seed(&seed("operator", 0));
        let record = Record::sign(&operator, operator.public(), None, Kind::Task, task.encode(), now);
        let batch = BatchId {
            task: record.id(),
            window: 0,
        };
        let certificates = (0..options.reports).map(|number| certificate(number, now));
        Self {
            shape: params::shape(&task),
            task,
            batch,
            records: std::iter::once(record).chain(certificates).collect(),
            reports: options.reports,
        }
    }

    /// The records, as the roles read them before they start.
    pub(crate) fn write_records(&self, path: &Path) {
        let records = self.records.iter().map(Record::to_wire).collect();
        let bytes = wire::Records { records }.encode_to_vec();
        std::fs::write(path, bytes).expect("the records are written");
    }
}

/// A contributor's identity key and node key.
fn contributor(number: usize) -> (SecretKey, SecretKey) {
    let key = |what| SecretKey::from_seed(&seed(what, number));
    (key("contributor"), key("contributor node"))
}

fn certificate(number: usize, now: u64) -> Record {
    let (identity, node) = contributor(number);
    let hpke = PublicKey::new(seed("unused", number));
    let certificate = NodeCertificate::new(identity.public(), &node, hpke, Roles(Roles::CONTRIBUTOR));
    Record::sign(
        &identity,
        identity.public(),
        None,
        Kind::NodeCertificate,
        certificate.encode(),
        now,
    )
}

/// Encoded reports on disk, and the sum of what they say.
#[derive(Debug)]
pub(crate) struct Reports {
    files: Vec<File>,
    /// File, offset, length, node key.
    places: Vec<(usize, u64, usize, PublicKey)>,
    pub(crate) sum: Vec<i128>,
    pub(crate) bytes: usize,
}

impl Reports {
    /// Makes every report, on all cores.
    pub(crate) fn make(cast: &Cast, folder: &Path) -> Self {
        let threads = crate::cores();
        let parts: Vec<Part> = std::thread::scope(|scope| {
            let make = |thread| scope.spawn(move || Part::make(cast, folder, thread, threads));
            let started: Vec<_> = (0..threads).map(make).collect();
            started
                .into_iter()
                .map(|t| t.join().expect("reports are made"))
                .collect()
        });
        let mut places = Vec::with_capacity(cast.reports);
        for number in 0..cast.reports {
            let (offset, length, node) = parts[number % threads].places[number / threads];
            places.push((number % threads, offset, length, node));
        }
        let entries = parts.first().map_or(0, |p| p.sum.len());
        let sum = (0..entries)
            .map(|at| parts.iter().map(|p| p.sum[at]).sum())
            .collect();
        Self {
            bytes: places.first().map_or(0, |p| p.2),
            files: parts.into_iter().map(|p| p.file).collect(),
            places,
            sum,
        }
    }

    /// An encoded report with the node key of its contributor.
    pub(crate) fn read(&self, number: usize) -> (PublicKey, Vec<u8>) {
        let (file, offset, length, node) = self.places[number];
        let mut bytes = vec![0; length];
        self.files[file]
            .read_exact_at(&mut bytes, offset)
            .expect("the report is read");
        (node, bytes)
    }
}

struct Part {
    file: File,
    places: Vec<(u64, usize, PublicKey)>,
    sum: Vec<i128>,
}

impl Part {
    fn make(cast: &Cast, folder: &Path, thread: usize, threads: usize) -> Self {
        let path = folder.join(format!("reports-{thread}"));
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path);
        let file = file.expect("a file for reports");
        let mut writer = BufWriter::new(&file);
        let schema = Schema::new(&cast.shape.schema).expect("a schema");
        let (mut places, mut sum, mut offset) = (Vec::new(), vec![0; schema.len()], 0);
        for number in (thread..cast.reports).step_by(threads) {
            let values = values(&schema, number);
            let measurement = Measurement::new(&schema, values.clone()).expect("values within bounds");
            for (sum, value) in sum.iter_mut().zip(schema.release(&measurement)) {
                *sum += value;
            }
            let (node, report) = report(cast, number, values);
            writer.write_all(&report).expect("the report is written");
            places.push((offset, report.len(), node));
            offset += report.len() as u64;
        }
        writer.flush().expect("the reports are written");
        drop(writer);
        // What the disk still owes would otherwise be paid while uploads are timed.
        file.sync_all().expect("the disk writes");
        Self { file, places, sum }
    }
}

/// Values that use the whole range.
fn values(schema: &Schema, number: usize) -> Vec<u64> {
    let records = u64::from(CAP) - (number % 7) as u64;
    let mut hash = blake3::Hasher::new()
        .update(&seed("values", number))
        .finalize_xof();
    let mut draw = || {
        let mut bytes = [0; 8];
        hash.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    };
    let entries = schema.entries().iter().skip(1);
    let values = entries.map(|e| draw() % (u64::from(e.per_record_max) * records + 1));
    std::iter::once(records).chain(values).collect()
}

fn report(cast: &Cast, number: usize, values: Vec<u64>) -> (PublicKey, Vec<u8>) {
    let (identity, node) = contributor(number);
    let metadata = Metadata {
        batch: cast.batch,
        report_id: ReportId::from_slice(&seed("report", number)[..16]).expect("16 bytes"),
        contributor: identity.public(),
        node_key: node.public(),
    };
    let job = Job::Shard {
        shape: cast.shape,
        metadata,
        values,
        recipients: cast
            .task
            .committee
            .iter()
            .map(|a| *a.hpke_key.as_bytes())
            .collect(),
        seed: seed("shard", number),
    };
    let Some(JobResult::Sharded(Ok((public, sealed)))) = compute::run(&job) else {
        panic!("a report is sharded");
    };
    (
        node.public(),
        Report::sign(&node, metadata, public, sealed).encode(),
    )
}
