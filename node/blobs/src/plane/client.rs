//! The fetching side: missing groups in stripes over several streams, each group checked before it is
//! written.
//!
//! The last group goes first and alone: it is what proves the announced size. Then each stream takes the
//! next stripe of missing groups from a common queue as it becomes free, so that a slow one takes fewer.
//! The first failure ends all streams; what they had written stays.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::{Connection, RecvStream, VarInt};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::{BlobEndpoint, Inner, proved_key};
use crate::error::FetchError;
use crate::geometry::{BlobHash, group_len, groups};
use crate::provider::Provider;
use crate::store::{AcceptError, Opened, Partial};
use crate::wire::{FRAME_BYTES_MAX, REQUEST_GROUPS_MAX, Request, Status};

/// Stripes per stream, so that streams of unequal speed end together.
const STRIPES_PER_STREAM: u32 = 4;
/// Most streams of a fetch, whatever is configured.
const FETCH_STREAMS_MAX: u32 = 16;

/// How far a fetch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Groups that are there, earlier ones included.
    pub groups_done: u32,
    /// Groups of the blob.
    pub groups_total: u32,
    /// Bytes fetched by this call.
    pub bytes_fetched: u64,
    /// Bytes of the blob.
    pub bytes_total: u64,
}

/// What a fetch did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FetchReport {
    /// Bytes of the blob that were fetched by this call.
    pub bytes: u64,
    /// Groups that were fetched by this call.
    pub groups: u32,
    /// Groups that were there before.
    pub groups_before: u32,
}

impl BlobEndpoint {
    /// Fetches what is missing of a blob into the store; afterwards the blob is complete.
    ///
    /// `size` is the size that the blob was announced with. `progress` gets a value per group as long as it
    /// has room; a full channel never slows the fetch. Call it again, with this or another provider, after
    /// a failure or a kill: it goes on where it was.
    ///
    /// # Errors
    /// [`FetchError`] names the provider and what it did, or what the store lacks.
    pub async fn fetch(
        &self,
        provider: &Provider,
        hash: BlobHash,
        size: u64,
        progress: Option<mpsc::Sender<Progress>>,
    ) -> Result<FetchReport, FetchError> {
        // The semaphore is never closed.
        let _turn = self.inner.fetches.acquire().await.ok();
        let store = self.inner.store.clone();
        let opened = spawn_blocking(move || store.open_partial(&hash, size)).await;
        let partial = match opened.map_err(|error| stopped(provider, &error))?? {
            Opened::Complete => {
                return Ok(FetchReport {
                    groups_before: groups(size),
                    ..FetchReport::default()
                });
            }
            Opened::Partial(partial) => Arc::new(partial),
        };
        let before = partial.present();
        let connection = self.inner.connect(provider).await?;
        let fetch = Arc::new(Fetch {
            connection: connection.clone(),
            provider: *provider,
            hash,
            size,
            queue: Mutex::new(VecDeque::new()),
            partial: Arc::clone(&partial),
            no_progress_timeout: self.inner.limits.no_progress_timeout,
            fetched: Mutex::new(FetchReport {
                groups_before: before,
                ..FetchReport::default()
            }),
            progress,
        });
        let streams = self.inner.limits.fetch_streams.clamp(1, FETCH_STREAMS_MAX);
        let outcome = Fetch::run(&fetch, streams).await;
        connection.close(VarInt::from_u32(0), b"done");
        outcome?;
        let finished = spawn_blocking(move || partial.finish()).await;
        if !finished.map_err(|error| stopped(provider, &error))?? {
            return Err(fetch.protocol("groups are missing at the end"));
        }
        Ok(*fetch.fetched.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    async fn connect(&self, provider: &Provider) -> Result<Connection, FetchError> {
        let failed = |cause: String| FetchError::Connect {
            provider: *provider,
            cause,
        };
        // The name is not checked: the certificate names a key, not a host.
        let connecting = self
            .endpoint
            .connect_with(self.client.clone(), provider.addr, "fieldmark")
            .map_err(|error| failed(error.to_string()))?;
        let waited = self.limits.connect_timeout;
        let connection = timeout(waited, connecting)
            .await
            .map_err(|_| failed(format!("no answer in {} s", waited.as_secs())))?
            .map_err(|error| failed(error.to_string()))?;
        match proved_key(&connection) {
            Some(key) if key == provider.node_key => Ok(connection),
            other => {
                connection.close(VarInt::from_u32(3), b"another key was expected");
                let found = other.map_or_else(|| "no Ed25519 key".to_owned(), hex::encode);
                Err(FetchError::WrongPeer {
                    provider: *provider,
                    found,
                })
            }
        }
    }
}

/// One fetch from one provider.
struct Fetch {
    connection: Connection,
    provider: Provider,
    hash: BlobHash,
    size: u64,
    queue: Mutex<VecDeque<Range<u32>>>,
    partial: Arc<Partial>,
    no_progress_timeout: Duration,
    fetched: Mutex<FetchReport>,
    progress: Option<mpsc::Sender<Progress>>,
}

impl Fetch {
    async fn run(fetch: &Arc<Self>, streams: u32) -> Result<(), FetchError> {
        let mut missing = fetch.partial.missing();
        if let Some(last) = take_last(&mut missing, groups(fetch.size)) {
            fetch.stripe(last).await?;
        }
        let total: u32 = missing.iter().map(ExactSizeIterator::len).map(as_u32).sum();
        let stripe = (total / (streams * STRIPES_PER_STREAM)).clamp(1, REQUEST_GROUPS_MAX);
        fetch
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(missing);

        let mut workers = JoinSet::new();
        for _ in 0..streams.min(total) {
            let fetch = Arc::clone(fetch);
            workers.spawn(async move {
                while let Some(groups) = fetch.next_stripe(stripe) {
                    fetch.stripe(groups).await?;
                }
                Ok(())
            });
        }
        let mut outcome = Ok(());
        while let Some(ended) = workers.join_next().await {
            let ended = ended.unwrap_or_else(|error| Err(stopped(&fetch.provider, &error)));
            if outcome.is_ok() && ended.is_err() {
                outcome = ended;
                // The others fail at their next read, and are waited for: then nothing writes any more.
                fetch.connection.close(VarInt::from_u32(4), b"given up");
            }
        }
        outcome
    }

    /// The next groups to ask for, at most `most` in a row.
    fn next_stripe(&self, most: u32) -> Option<Range<u32>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let run = queue.pop_front()?;
        let end = run.end.min(run.start.saturating_add(most));
        if end < run.end {
            queue.push_front(end..run.end);
        }
        Some(run.start..end)
    }

    /// Asks for consecutive groups and takes them in.
    async fn stripe(&self, wanted: Range<u32>) -> Result<(), FetchError> {
        let (mut send, mut receive) = self
            .connection
            .open_bi()
            .await
            .map_err(|error| self.lost(&error))?;
        let count = wanted.end.saturating_sub(wanted.start);
        let request = Request {
            hash: self.hash,
            size: self.size,
            first: wanted.start,
            count,
        };
        send.write_all(&request.encode())
            .await
            .map_err(|error| self.lost(&error))?;
        // An error says that the stream is closed, which the read below reports.
        let _ = send.finish();
        self.status(&mut receive).await?;
        let mut frame = Vec::new();
        for group in wanted {
            frame = self.group(&mut receive, group, frame).await?;
        }
        Ok(())
    }

    async fn status(&self, receive: &mut RecvStream) -> Result<(), FetchError> {
        let (provider, hash) = (self.provider, self.hash);
        let mut byte = [0; 1];
        self.read(receive, &mut byte).await?;
        match Status::of_byte(byte[0]) {
            Some(Status::Groups) => Ok(()),
            Some(Status::NotOffered) => Err(FetchError::NotOffered { provider, hash }),
            Some(Status::OtherSize) => {
                let mut size = [0; 8];
                self.read(receive, &mut size).await?;
                let actual = u64::from_be_bytes(size);
                Err(FetchError::SizeMismatch {
                    provider,
                    hash,
                    announced: self.size,
                    actual,
                })
            }
            Some(Status::Malformed) => Err(FetchError::Refused { provider }),
            Some(Status::Unavailable) => Err(FetchError::Unavailable { provider, hash }),
            None => Err(self.protocol("an unknown answer")),
        }
    }

    /// Reads one group, checks and writes it; returns the buffer for the next one.
    async fn group(
        &self,
        receive: &mut RecvStream,
        group: u32,
        mut frame: Vec<u8>,
    ) -> Result<Vec<u8>, FetchError> {
        let mut length = [0; 4];
        self.read(receive, &mut length).await?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length == 0 {
            return Err(FetchError::Unavailable {
                provider: self.provider,
                hash: self.hash,
            });
        }
        if length > FRAME_BYTES_MAX {
            return Err(self.protocol("a group's frame is over the bound"));
        }
        frame.resize(length, 0);
        self.read(receive, &mut frame).await?;
        let partial = Arc::clone(&self.partial);
        let accepted = spawn_blocking(move || partial.accept(group, &frame).map(|()| frame)).await;
        match accepted.map_err(|error| stopped(&self.provider, &error))? {
            Ok(frame) => {
                self.count(group);
                Ok(frame)
            }
            Err(AcceptError::Bad) => Err(FetchError::BadGroup {
                provider: self.provider,
                hash: self.hash,
                group,
            }),
            Err(AcceptError::Store(error)) => Err(FetchError::Store(error)),
        }
    }

    fn count(&self, group: u32) {
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        fetched.groups += 1;
        fetched.bytes += group_len(self.size, group);
        if let Some(progress) = &self.progress {
            // A full or closed channel only means that nobody looks.
            let _ = progress.try_send(Progress {
                groups_done: fetched.groups_before + fetched.groups,
                groups_total: groups(self.size),
                bytes_fetched: fetched.bytes,
                bytes_total: self.size,
            });
        }
    }

    /// Fills a buffer, as long as bytes come.
    async fn read(&self, receive: &mut RecvStream, mut buffer: &mut [u8]) -> Result<(), FetchError> {
        while !buffer.is_empty() {
            let waited = self.no_progress_timeout;
            let read = timeout(waited, receive.read(buffer))
                .await
                .map_err(|_| FetchError::NoProgress {
                    provider: self.provider,
                    waited,
                })?
                .map_err(|error| self.lost(&error))?
                .ok_or_else(|| self.lost(&"the answer ended early"))?;
            buffer = buffer.get_mut(read..).unwrap_or_default();
        }
        Ok(())
    }

    fn lost(&self, cause: &impl ToString) -> FetchError {
        FetchError::Lost {
            provider: self.provider,
            cause: cause.to_string(),
        }
    }

    fn protocol(&self, what: &'static str) -> FetchError {
        FetchError::Protocol {
            provider: self.provider,
            what,
        }
    }
}

/// Takes the blob's last group out of the missing ones.
fn take_last(missing: &mut Vec<Range<u32>>, groups: u32) -> Option<Range<u32>> {
    let run = missing.last_mut().filter(|run| run.end == groups)?;
    run.end -= 1;
    let last = run.end..run.end + 1;
    if run.start >= run.end {
        missing.pop();
    }
    Some(last)
}

fn as_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A task was cancelled because the runtime shuts down, or panicked.
fn stopped(provider: &Provider, error: &JoinError) -> FetchError {
    FetchError::Lost {
        provider: *provider,
        cause: error.to_string(),
    }
}
