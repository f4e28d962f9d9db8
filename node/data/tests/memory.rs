//! Memory does not grow with the rows of a dataset, whether the rows of a record follow one another or not.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{BufWriter, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use fieldmark_node_data::{ReadOptions, open_with};

/// The system's allocator, which counts what is held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator that counts, for this test alone")]
// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Records of the files.
const RECORDS: u64 = 150_000;
/// Bytes that may be held. The ids alone, each with its two rows, would take more than twice as much.
const LIMIT: usize = 8 << 20;

#[test]
fn three_hundred_thousand_rows_take_a_few_megabytes() {
    let dir = tempfile::tempdir().unwrap();
    for scattered in [false, true] {
        let path = dir.path().join(format!("{scattered}.csv"));
        let mut out = BufWriter::new(std::fs::File::create(&path).unwrap());
        writeln!(out, "record_id,slice,label,x0,x1").unwrap();
        let row = |out: &mut BufWriter<std::fs::File>, id: u64, slice: &str| {
            writeln!(
                out,
                "record-with-a-long-name-{id:020},{slice},{},{id},{}",
                id % 10,
                id % 97
            )
            .unwrap();
        };
        if scattered {
            (0..RECORDS).for_each(|id| row(&mut out, id, "clean"));
            (0..RECORDS).for_each(|id| row(&mut out, id, "blur"));
        } else {
            (0..RECORDS).for_each(|id| {
                ["clean", "blur"]
                    .iter()
                    .for_each(|slice| row(&mut out, id, slice))
            });
        }
        out.into_inner().unwrap();
        let before = HELD.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let options = ReadOptions {
            sort_bytes: 2 << 20,
            ..ReadOptions::default()
        };
        let file = open_with(&path, &options).unwrap();
        assert_eq!(
            (file.summary().records, file.summary().rows),
            (RECORDS, 2 * RECORDS)
        );
        let mut next = 0;
        for source in file.records().unwrap() {
            let source = source.unwrap();
            assert!(source.record_id.ends_with(&format!("{next:020}")) && source.views.len() == 2);
            next += 1;
        }
        assert_eq!(next, RECORDS);
        let peak = PEAK.load(Ordering::Relaxed) - before;
        assert!(peak < LIMIT, "{peak} bytes were held, scattered: {scattered}");
    }
}
