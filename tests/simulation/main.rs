//! Simulations: a few clients, a broker, and a network for an hour of virtual time, in which links stall and are reset and
//! outlive their connections, hosts go down, sessions are lost, clocks jump, processes end, and credentials expire. All of it
//! follows from a seed. What is promised holds all the time: see `ledger.rs` for messages, `client.rs` for calls and bounds,
//! and `broker.rs` for what a client may send.
//!
//! `cargo xtask simulate` goes through many more seeds than the test. `SIMULATE_SEEDS` and `SIMULATE_FROM` choose them, and
//! `SIMULATE_ALOUD` tells what happens.

mod arena;
mod broker;
#[path = "../support/calls.rs"]
mod calls;
mod client;
mod clock;
mod ledger;
mod link;
mod random;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use ledger::Tally;

/// As many seeds are tried in every run of the tests.
const SEEDS: u64 = 100;

#[test]
fn an_hour_of_any_seed_keeps_what_is_promised() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let from = number("SIMULATE_FROM").unwrap_or(0);
    let end = from + number("SIMULATE_SEEDS").unwrap_or(SEEDS);
    let is_loud = std::env::var_os("SIMULATE_ALOUD").is_some();
    let next = AtomicU64::new(from);
    let (failed, total) = (Mutex::new(Vec::new()), Mutex::new(Tally::default()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    match catch_unwind(AssertUnwindSafe(|| world::live(seed, is_loud))) {
                        Ok(tally) => total.lock().expect("no panic").add(tally),
                        Err(_) => {
                            eprintln!("seed {seed} failed: replay it with `cargo xtask simulate --from {seed} --seeds 1 --aloud`");
                            failed.lock().expect("no panic").push(seed);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic");
    assert!(failed.is_empty(), "these seeds failed: {failed:?}");
    let total = total.into_inner().expect("no panic");
    eprintln!("{total:?}");
    // A world in which nothing happens promises nothing.
    let is_enough = |count: usize, each: u64| end - from < 20 || count as u64 >= (end - from) * each;
    assert!(is_enough(total.accepted, 300) && is_enough(total.arrived, 300), "{total:?}");
    assert!(is_enough(total.arrived_again, 2) && is_enough(total.handed, 300), "{total:?}");
    assert!(is_enough(total.connections, 30) && is_enough(total.sessions_lost, 1), "{total:?}");
    assert!(is_enough(total.calls, 500) && is_enough(total.calls_failed, 20), "{total:?}");
    assert!(is_enough(total.logins_refused, 1) && is_enough(total.taken_over, 1), "{total:?}");
    assert!(is_enough(total.crashes, 1), "{total:?}");
}
