//! Times and counts of the codec, the frame reader, the session and the blocking client, native, without a network; and
//! how long requests take, with one.
//!
//! `cargo xtask bench [--quick] [FILTER]` prints for each job the median time of an operation over many rounds and how
//! far apart the middle half of the rounds lies, and what does not depend on the machine: allocations, and the
//! transport writes of the client, both per operation. Without a filter, the requests come behind them; `--latency` has
//! them alone.

#[path = "../../host-tests/src/broker.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests need more of it")]
mod broker;
mod counting;
mod jobs;
mod latency;
mod wire;

use std::time::{Duration, Instant};

use counting::allocations;
use latency::Effort;

/// Something to measure: `run` does `operations` of it.
struct Job {
    name: &'static str,
    operations: u64,
    /// What DESIGN allows, in nanoseconds.
    budget: Option<f64>,
    run: Box<dyn FnMut() -> Counts>,
}

/// What a run did beside taking time.
#[derive(Default)]
struct Counts {
    writes: u64,
}

fn main() {
    let (mut is_quick, mut only_latency, mut filter) = (false, false, String::new());
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--quick" => is_quick = true,
            "--latency" => only_latency = true,
            "--help" => return println!("usage: cargo xtask bench [--quick] [--latency | FILTER]"),
            text => filter = text.into(),
        }
    }
    if !only_latency {
        run_jobs(&filter, if is_quick { 20 } else { 200 });
    }
    if only_latency || filter.is_empty() {
        latency::run(if is_quick { Effort::QUICK } else { Effort::FULL });
    }
}

fn run_jobs(filter: &str, rounds: usize) {
    println!("{:<44} {:>9} {:>7} {:>8} {:>9} {:>9}", "job", "ns/op", "spread", "budget", "allocs/op", "writes/op");
    let mut jobs: Vec<Job> = jobs::all().into_iter().filter(|job| job.name.contains(filter)).collect();
    for job in &mut jobs {
        println!("{}", measure(job, rounds));
    }
}

fn measure(job: &mut Job, rounds: usize) -> String {
    // The first run finds buffers to be grown.
    (job.run)();
    let before = allocations();
    let counts = (job.run)();
    let per_operation = |count: u64| count as f64 / job.operations as f64;
    let (allocations, writes) = (per_operation(allocations() - before), per_operation(counts.writes));
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            (job.run)();
            start.elapsed()
        })
        .collect();
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 4].as_secs_f64() * 1e9 / job.operations as f64;
    let spread = (at(3) - at(1)) / at(2) * 100.0;
    let budget = job.budget.map_or(String::new(), |budget| format!("{budget:.0}"));
    format!("{:<44} {:>9.1} {spread:>6.1}% {budget:>8} {allocations:>9.4} {writes:>9.4}", job.name, at(2))
}
