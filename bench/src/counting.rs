//! An allocator that counts how often it is asked, and for how much.
#![allow(unsafe_code, reason = "an allocator is unsafe by its trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// As many a thread keeps to itself, so that counting takes less time than what is counted.
const MOST_UNTOLD: u64 = 64;

thread_local! {
    static IS_COUNTED: Cell<bool> = const { Cell::new(true) };
    /// What this thread has not added to the sum: how often, and for how much.
    static UNTOLD: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

/// Allocations and reallocations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allocations {
    pub(crate) count: u64,
    /// What they asked for.
    pub(crate) bytes: u64,
}

/// How many there were since the start of the process, in every thread that is counted, except the last few of other
/// threads.
pub(crate) fn allocations() -> Allocations {
    tell();
    Allocations { count: COUNT.load(Ordering::Relaxed), bytes: BYTES.load(Ordering::Relaxed) }
}

/// Counts none of this thread from now on.
#[cfg(feature = "peers")]
pub(crate) fn leave_out_this_thread() {
    IS_COUNTED.set(false);
}

fn count(bytes: usize) {
    if IS_COUNTED.get() {
        let (count, sum) = UNTOLD.get();
        UNTOLD.set((count + 1, sum + bytes as u64));
        if count + 1 == MOST_UNTOLD {
            tell();
        }
    }
}

fn tell() {
    let (count, bytes) = UNTOLD.take();
    COUNT.fetch_add(count, Ordering::Relaxed);
    BYTES.fetch_add(bytes, Ordering::Relaxed);
}

// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
