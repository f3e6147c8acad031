//! How fast, how small, how steady, beside every peer: `cargo xtask bench --help` says what there is.
//!
//! Without the feature `peers` there is only what this crate alone costs without a network: that is what
//! `cargo xtask bench --counts` compares with its committed figures.

#![cfg_attr(not(feature = "peers"), allow(dead_code, reason = "times are for the comparison"))]

#[cfg(feature = "peers")]
mod before;
#[cfg(feature = "peers")]
mod codecs;
#[cfg(feature = "peers")]
mod contenders;
mod counting;
#[cfg(feature = "peers")]
mod driver;
#[cfg(feature = "peers")]
mod elements;
#[cfg(feature = "peers")]
mod gates;
#[cfg(feature = "peers")]
mod growth;
#[cfg(feature = "peers")]
mod job;
mod jobs;
#[cfg(feature = "peers")]
mod latency;
#[cfg(feature = "peers")]
mod machine;
#[cfg(feature = "peers")]
mod peers;
#[cfg(feature = "peers")]
mod prices;
#[cfg(feature = "peers")]
mod report;
#[cfg(feature = "peers")]
mod results;
#[cfg(feature = "peers")]
mod rounds;
#[cfg(feature = "peers")]
mod scale;
#[cfg(feature = "peers")]
mod sink;
#[cfg(feature = "peers")]
mod stage;
#[cfg(feature = "peers")]
mod target;
mod wire;

use std::time::{Duration, Instant};

use counting::allocations;

/// Something to measure: `run` does `operations` of it.
struct Job {
    name: &'static str,
    operations: u64,
    /// What is aimed at, in nanoseconds.
    budget: Option<f64>,
    run: Box<dyn FnMut() -> Counts>,
}

/// What a run did beside taking time.
#[derive(Default)]
struct Counts {
    writes: u64,
}

/// What a job cost, an operation.
struct Cost {
    /// The median of the rounds.
    nanoseconds: f64,
    /// How far apart the middle half of the rounds lies, as a share of the median.
    spread: f64,
    allocations: f64,
    writes: f64,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    #[cfg(feature = "peers")]
    peers::main(&args);
    #[cfg(not(feature = "peers"))]
    match args.as_slice() {
        [option] if option == "--counts" => print_counts(),
        _ => panic!("without the feature `peers` there is `--counts` only"),
    }
}

/// One line each: how many of what.
#[cfg(not(feature = "peers"))]
fn print_counts() {
    for mut job in jobs::all() {
        let Cost { allocations, writes, .. } = measure(&mut job, 1);
        println!("{allocations:.4}\tallocations\t{}", job.name);
        println!("{writes:.4}\twrites\t{}", job.name);
    }
}

/// Measures the jobs of this crate alone, and shows each.
#[cfg(feature = "peers")]
fn run_jobs(filter: &str, rounds: usize) -> Vec<results::EngineResult> {
    println!("{:<48} {:>9} {:>7} {:>8} {:>9} {:>9}", "job", "ns/op", "spread", "budget", "allocs/op", "writes/op");
    let jobs = jobs::all().into_iter().filter(|job| job.name.contains(filter));
    let run = |mut job: Job| {
        let Cost { nanoseconds: ns, spread, allocations, writes } = measure(&mut job, rounds);
        let budget = job.budget.map_or(String::new(), |budget| format!("{budget:.0}"));
        let percent = spread * 100.0;
        println!("{:<48} {ns:>9.1} {percent:>6.1}% {budget:>8} {allocations:>9.4} {writes:>9.4}", job.name);
        results::EngineResult { job: job.name.into(), ns, spread, budget: job.budget, allocations, writes }
    };
    jobs.map(run).collect()
}

fn measure(job: &mut Job, rounds: usize) -> Cost {
    // The first runs find buffers to be grown.
    for _ in 0..5 {
        (job.run)();
    }
    let before = allocations().count;
    let counts = (job.run)();
    let per_operation = |count: u64| count as f64 / job.operations as f64;
    let (allocations, writes) = (per_operation(allocations().count - before), per_operation(counts.writes));
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            (job.run)();
            start.elapsed()
        })
        .collect();
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 4].as_secs_f64() * 1e9 / job.operations as f64;
    Cost { nanoseconds: at(2), spread: (at(3) - at(1)) / at(2), allocations, writes }
}
