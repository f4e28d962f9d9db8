//! What the engine may take: memory, threads, files. Chosen for a node that idles in little memory and
//! opens quickly, and whose writes are small and synced.

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options};

/// Cache of decompressed blocks, indexes and filters, shared by all columns. 8 MiB.
pub const BLOCK_CACHE_BYTES: usize = 8 << 20;
/// Writes held in memory before they are sorted to disk, all columns together. 8 MiB.
pub const WRITE_BUFFERS_BYTES: usize = 8 << 20;
/// The same for one column. 2 MiB.
pub const WRITE_BUFFER_BYTES: usize = 2 << 20;
/// What a column's write buffer grows by: a column that is hardly used costs no more than this. 64 KiB.
pub const ARENA_BYTES: usize = 64 << 10;
/// Most bytes of write-ahead log, which is what opening has to replay. 16 MiB.
pub const LOG_BYTES_MAX: u64 = 16 << 20;
/// Most files kept open.
pub const OPEN_FILES_MAX: i32 = 128;

/// Values from this size on are kept in files of their own and not rewritten whenever their column is
/// compacted: long reports that wait to be verified. 32 KiB, the length of the longest record.
pub const BLOB_BYTES_MIN: u64 = 32 << 10;
/// Largest such file. 64 MiB; one goes when nothing in it is needed. Values are never moved from file to
/// file: those of a batch go together, and whoever uploads would wait for the moving.
pub const BLOB_FILE_BYTES: u64 = 64 << 20;
/// Bytes after which a file being written is sent to the disk, so that its sync at the end is short. 1 MiB.
pub const SYNC_BYTES: u64 = 1 << 20;

/// Options of the database.
pub(crate) fn database() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_db_write_buffer_size(WRITE_BUFFERS_BYTES);
    options.set_max_total_wal_size(LOG_BYTES_MAX);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_max_file_opening_threads(1);
    options.set_max_background_jobs(1);
    options.set_bytes_per_sync(SYNC_BYTES);
    options.set_skip_stats_update_on_db_open(true);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    // A torn record at the end of the log was never acknowledged; a damaged one before it was, and
    // losing it silently would let an aggregator draw its noise twice.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_recycle_log_file_num(0);
    // A log file that is lost as a whole is noticed too, once another one has followed it.
    options.set_track_and_verify_wals_in_manifest(true);
    options
}

/// Options of one column family.
pub(crate) fn column(cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_arena_block_size(ARENA_BYTES);
    options.set_max_write_buffer_number(2);
    options.set_enable_blob_files(true);
    options.set_min_blob_size(BLOB_BYTES_MIN);
    options.set_blob_file_size(BLOB_FILE_BYTES);
    options
}

/// The cache that all columns share.
pub(crate) fn cache() -> Cache {
    Cache::new_lru_cache(BLOCK_CACHE_BYTES)
}
