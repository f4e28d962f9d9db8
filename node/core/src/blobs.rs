//! Fetches the artifacts of releases: which blobs are missing, from whom, and when to try again. The
//! verified transfer and its bitmap are the blob plane's; one provider at a time is asked.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_ledger::{addresses, catalogue, identity};
use fieldmark_protocol::PublicKey;
use fieldmark_protocol::RecordId;
use fieldmark_protocol::address::Roles;
use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::machine::{Batch, Column, Read, StoreError};

use crate::compute::Job;
use crate::context::{Context, Work};
use crate::io::{CommandError, CommandId, Event, Reply};

/// Wait after a failed fetch, in milliseconds; doubles every [`TRIES_PER_WAIT`] tries up to
/// [`RETRY_MS_MAX`].
pub const RETRY_MS: u64 = 500;
/// Tries between two doublings: not everyone who provides blobs has the one that is missing.
pub const TRIES_PER_WAIT: u32 = 4;
/// Longest wait between two tries.
pub const RETRY_MS_MAX: u64 = 30_000;
/// Tries after which a waiting user is told; fetching goes on.
pub const TRIES_BEFORE_REPLY: u32 = 12;

const WANTED: u8 = b'w';
const COMPLETE: u8 = b'c';

fn key(tag: u8, release: &RecordId) -> Vec<u8> {
    [&[tag][..], release.as_bytes()].concat()
}

/// Whether every artifact of the release is in this node's blob store.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub fn is_complete(store: &dyn Read, release: &RecordId) -> Result<bool, StoreError> {
    Ok(store.get(Column::Downloads, &key(COMPLETE, release))?.is_some())
}

/// Takes note that every artifact is here.
pub(crate) fn mark_complete(ctx: &mut Context<'_>, release: RecordId) {
    let mut batch = Batch::new();
    batch.put(Column::Downloads, key(COMPLETE, &release), []);
    batch.delete(Column::Downloads, key(WANTED, &release));
    ctx.persist(batch);
}

#[derive(Debug, Default)]
struct Download {
    missing: BTreeMap<ContentHash, u64>,
    retry_at: u64,
    tries: u32,
    waiting: BTreeSet<CommandId>,
    bytes: u64,
}

/// The downloads under way.
#[derive(Debug, Default)]
pub(crate) struct Blobs {
    downloads: BTreeMap<RecordId, Download>,
}

impl Blobs {
    /// Resumes what was wanted before a restart.
    pub(crate) fn start(&mut self, ctx: &mut Context<'_>) -> Result<(), StoreError> {
        for (key, _) in ctx.view.scan_all(Column::Downloads, &[WANTED])? {
            let id = key.get(1..).and_then(|k| RecordId::from_slice(k).ok());
            let id = id.ok_or_else(|| StoreError::damaged(Column::Downloads, &key, "not a release id"))?;
            self.want(ctx, id)?;
        }
        Ok(())
    }

    /// Starts to fetch a release, durably. Does nothing if it is here or on its way.
    pub(crate) fn want(&mut self, ctx: &mut Context<'_>, id: RecordId) -> Result<bool, StoreError> {
        if is_complete(&ctx.view, &id)? || self.downloads.contains_key(&id) {
            return Ok(true);
        }
        let Some(view) = catalogue::release(&ctx.view, &id)? else {
            return Ok(false);
        };
        let mut batch = Batch::new();
        batch.put(Column::Downloads, key(WANTED, &id), []);
        ctx.persist(batch);
        let missing = view
            .release
            .artifacts
            .iter()
            .map(|a| (a.blake3, a.size))
            .collect();
        let download = Download {
            missing,
            retry_at: ctx.now,
            bytes: view.release.size(),
            ..Download::default()
        };
        self.downloads.insert(id, download);
        self.tick(ctx)?;
        Ok(true)
    }

    /// A user wants a release and waits for it.
    pub(crate) fn pull(
        &mut self,
        ctx: &mut Context<'_>,
        command: CommandId,
        id: RecordId,
    ) -> Result<(), StoreError> {
        if !self.want(ctx, id)? {
            let message = format!(
                "no release {} is known here; `fieldmark search` lists them",
                id.short()
            );
            ctx.reply(command, Err(CommandError::new("not-found", message)));
            return Ok(());
        }
        match self.downloads.get_mut(&id) {
            Some(download) => {
                download.waiting.insert(command);
            }
            None => {
                let bytes = catalogue::release(&ctx.view, &id)?.map_or(0, |v| v.release.size());
                ctx.reply(command, Ok(Reply::Pulled { bytes }));
            }
        }
        Ok(())
    }

    /// Gives out fetches whose time has come.
    pub(crate) fn tick(&mut self, ctx: &mut Context<'_>) -> Result<(), StoreError> {
        let due: Vec<RecordId> = self
            .downloads
            .iter()
            .filter(|(_, d)| d.retry_at <= ctx.now)
            .map(|(id, _)| *id)
            .collect();
        for release in due {
            let Some(download) = self.downloads.get_mut(&release) else {
                continue;
            };
            let Some((&blob, &size)) = download.missing.first_key_value() else {
                continue;
            };
            if ctx.working_on(Work::Fetch { release, blob }) {
                continue;
            }
            match provider(ctx, &release, download.tries)? {
                Some((provider, address)) => {
                    download.retry_at = u64::MAX;
                    let job = Job::Fetch {
                        blob,
                        size,
                        provider,
                        address,
                    };
                    ctx.compute(job, Work::Fetch { release, blob });
                }
                None => self.failed(ctx, release, "nobody who has it is known yet".into()),
            }
        }
        Ok(())
    }

    /// A fetch ended.
    pub(crate) fn fetched(
        &mut self,
        ctx: &mut Context<'_>,
        release: RecordId,
        blob: ContentHash,
        result: Result<(), String>,
    ) -> Result<(), StoreError> {
        if let Err(detail) = result {
            self.failed(ctx, release, detail);
            return Ok(());
        }
        let Some(download) = self.downloads.get_mut(&release) else {
            return Ok(());
        };
        download.missing.remove(&blob);
        download.retry_at = ctx.now;
        if download.missing.is_empty() {
            let done = self.downloads.remove(&release).unwrap_or_default();
            mark_complete(ctx, release);
            ctx.event(Event::Pulled { release });
            for command in done.waiting {
                ctx.reply(command, Ok(Reply::Pulled { bytes: done.bytes }));
            }
        }
        self.tick(ctx)
    }

    fn failed(&mut self, ctx: &mut Context<'_>, release: RecordId, detail: String) {
        let Some(download) = self.downloads.get_mut(&release) else {
            return;
        };
        let wait = RETRY_MS
            .saturating_mul(1 << (download.tries / TRIES_PER_WAIT).min(10))
            .min(RETRY_MS_MAX);
        download.tries += 1;
        download.retry_at = ctx.now + wait;
        if download.tries >= TRIES_BEFORE_REPLY {
            for command in std::mem::take(&mut download.waiting) {
                let message = format!(
                    "release {} could not be fetched after {} tries: {detail}; the node goes on trying",
                    release.short(),
                    download.tries
                );
                ctx.reply(command, Err(CommandError::new("unreachable", message)));
            }
        }
        ctx.event(Event::PullFailed { release, detail });
    }

    /// When [`Blobs::tick`] has something to do next.
    pub(crate) fn deadline(&self) -> u64 {
        self.downloads
            .values()
            .map(|d| d.retry_at)
            .min()
            .unwrap_or(u64::MAX)
    }
}

/// Whom to ask at the given try: the author's nodes and everyone else who provides blobs, in turn. The
/// author's address may arrive only after others were tried in vain, so it gets every second try.
fn provider(
    ctx: &Context<'_>,
    release: &RecordId,
    tries: u32,
) -> Result<Option<(PublicKey, String)>, StoreError> {
    let Some(view) = catalogue::release(&ctx.view, release)? else {
        return Ok(None);
    };
    let (mut authors, mut others) = (Vec::new(), Vec::new());
    for address in addresses::all(&ctx.view)? {
        let Some(socket) = address.blobs else { continue };
        let Some(certified) = identity::certificate(&ctx.view, &address.node_key)? else {
            continue;
        };
        if address.node_key == ctx.node_key() || !certified.certificate.roles.has(Roles::PROVIDER) {
            continue;
        }
        let list = if certified.identity == view.author {
            &mut authors
        } else {
            &mut others
        };
        list.push((address.node_key, socket));
    }
    let asks_author = others.is_empty() || (tries.is_multiple_of(2) && !authors.is_empty());
    let list = if asks_author { authors } else { others };
    let turn = usize::try_from(tries / 2)
        .unwrap_or(0)
        .checked_rem(list.len())
        .unwrap_or(0);
    Ok(list.into_iter().nth(turn))
}
