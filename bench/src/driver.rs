//! Has every contender do every job: each time in a process of its own, so that none leaves anything behind for the
//! next, and all of them in turn, so that what slows the machine down for a while slows them all down.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use serde::{Deserialize, Serialize};

use crate::contenders::{self, Contender, Unable};
use crate::job::{Job, Pace, Work};
use crate::results::{ContenderResult, JobResult};
use crate::stage::{Sample, Stage};
use crate::target::{self, Suite, Target};

/// How much to measure.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    rounds: usize,
    /// About how long a measurement may take.
    time: Duration,
}

impl Effort {
    pub(crate) const FULL: Self = Self { rounds: 3, time: Duration::from_millis(200) };
    pub(crate) const QUICK: Self = Self { rounds: 1, time: Duration::from_millis(50) };
}

/// The sizes of messages, in bytes.
const SIZES: [usize; 4] = [16, 64, 1024, 65_536];

/// A measurement that takes longer than this has stalled.
const PATIENCE: Duration = Duration::from_secs(100);

/// Jobs of these numbers of operations differ in nothing but the operations.
const TRACED: [u32; 2] = [1_000, 3_000];

/// What a process that measures says.
#[derive(Serialize, Deserialize)]
enum Outcome {
    Measured { sample: Sample, sink_threads: Vec<i32> },
    Lacks(String),
    Failed(String),
}

/// Every job against the sink without TLS.
fn against_sink() -> Vec<Work> {
    let mut works = Vec::new();
    for qos in 0..=2 {
        for pace in [Pace::Pipelined, Pace::Awaited] {
            works.extend(SIZES.map(|size| Work::Publish { qos, size, pace }));
        }
    }
    for qos in 0..=2 {
        works.extend(SIZES.map(|size| Work::Receive { qos, size }));
    }
    works.extend([Work::Mixed { size: 64 }, Work::Connect, Work::Reconnect, Work::Subscribe, Work::Idle]);
    works
}

/// Those that a real broker is asked for, which sends messages only to who subscribed to them.
fn against_broker() -> Vec<Work> {
    let mut works: Vec<_> = (0..=2).map(|qos| Work::Publish { qos, size: 64, pace: Pace::Pipelined }).collect();
    works.extend([
        Work::Publish { qos: 1, size: 64, pace: Pace::Awaited },
        Work::Mixed { size: 64 },
        Work::Connect,
        Work::Subscribe,
    ]);
    works
}

/// Does the jobs whose names contain `filter`.
pub(crate) fn run(filter: &str, effort: Effort, mosquitto: Option<SocketAddr>) -> Vec<JobResult> {
    let mut plan = with(Target::Sink, against_sink());
    if let Some(address) = mosquitto {
        plan.extend(with(Target::Mosquitto(address), against_broker()));
    }
    plan.extend(by_tls());
    plan.extend(with(Target::WebSocket, target::BY_WEBSOCKET));
    carry_out(plan, filter, effort)
}

/// Does those of them that are done over WebSocket, and the same over TCP, by those alone who do both.
pub(crate) fn run_websocket(filter: &str, effort: Effort) -> Vec<JobResult> {
    let both = |work| [(work, Target::Sink), (work, Target::WebSocket)];
    let plan = target::BY_WEBSOCKET.into_iter().flat_map(both).collect();
    carry_out_by(|_| contenders::of(Target::WebSocket), plan, filter, effort)
}

/// Does those of them that are done by TLS.
pub(crate) fn run_tls(filter: &str, effort: Effort) -> Vec<JobResult> {
    carry_out(by_tls(), filter, effort)
}

/// The jobs that are done by TLS, with one cipher suite after the other.
fn by_tls() -> Vec<(Work, Target)> {
    Suite::ALL.into_iter().flat_map(|suite| with(Target::Tls(suite), target::BY_TLS)).collect()
}

fn with(target: Target, works: impl IntoIterator<Item = Work>) -> Vec<(Work, Target)> {
    works.into_iter().map(|work| (work, target)).collect()
}

fn carry_out(plan: Vec<(Work, Target)>, filter: &str, effort: Effort) -> Vec<JobResult> {
    carry_out_by(contenders::of, plan, filter, effort)
}

/// By these contenders.
fn carry_out_by(
    contenders: impl Fn(Target) -> &'static [Contender],
    mut plan: Vec<(Work, Target)>,
    filter: &str,
    effort: Effort,
) -> Vec<JobResult> {
    plan.retain(|(work, _)| work.to_string().contains(filter));
    let count = plan.len();
    let mut results = Vec::new();
    for (place, (work, target)) in plan.into_iter().enumerate() {
        eprintln!("job {} of {count}: {work}, {target}", place + 1);
        let result = measure_all(contenders(target), work, target, effort);
        print_table(&result);
        results.push(result);
    }
    results
}

fn measure_all(contenders: &'static [Contender], work: Work, target: Target, effort: Effort) -> JobResult {
    let mut running: Vec<_> = contenders
        .iter()
        .map(|contender| {
            let mut result = ContenderResult {
                contender: contender.name.into(),
                samples: Vec::new(),
                system_calls: None,
                lacks: None,
                failed: None,
            };
            let job = fit(contender, work, target, effort.time, &mut result);
            (contender, job, result)
        })
        .collect();
    for _ in 0..effort.rounds {
        for (contender, job, result) in &mut running {
            if let Some(job) = job
                && result.failed.is_none()
                && let Some(sample) = note(measure(contender, *job, target), result)
            {
                result.samples.push(sample);
            }
        }
    }
    if target == Target::Sink && is_traced(work) {
        for (contender, job, result) in &mut running {
            if job.is_some() && result.failed.is_none() {
                result.system_calls = system_calls(contender, work);
            }
        }
    }
    let contenders = running.into_iter().map(|(_, _, result)| result).collect();
    JobResult { job: work.to_string(), against: target.to_string(), contenders }
}

/// How many operations of a contender take about as long as they may; `None` when it cannot do the job.
fn fit(contender: &Contender, work: Work, target: Target, time: Duration, result: &mut ContenderResult) -> Option<Job> {
    let (pilot, most) = match work {
        Work::Reconnect => return Some(Job { work, operations: 10_000, warm_up: 0 }),
        Work::Subscribe => return Some(Job { work, operations: 1_000, warm_up: 0 }),
        Work::Idle => return Some(Job { work, operations: 2_000, warm_up: 0 }),
        Work::Connect | Work::Resume => (20, 2_000),
        _ if work.size() > 10_000 => (100, 20_000),
        _ => (500, 2_000_000),
    };
    let time = time.as_nanos() as u64;
    let mut operations = pilot;
    loop {
        let job = Job { work, operations, warm_up: operations / 2 };
        let wall = note(measure(contender, job, target), result)?.wall_ns.max(1);
        let fitting = |factor: u64| (u64::from(operations) * factor / 100).clamp(pilot.into(), most.into()) as u32;
        // The last message of a guest may wait 40 ms for TCP, which must not pass for the time that all of them take.
        if operations == most || wall >= time / 2 {
            let operations = fitting(100 * time / wall);
            return Some(Job { work, operations, warm_up: operations / 10 });
        }
        operations = fitting((100 * time / wall).clamp(200, 2_000));
    }
}

/// Takes the sample out, or notes why there is none.
fn note(outcome: Outcome, result: &mut ContenderResult) -> Option<Sample> {
    match outcome {
        Outcome::Measured { sample, .. } => return Some(sample),
        Outcome::Lacks(what) => result.lacks = Some(what),
        Outcome::Failed(why) => result.failed = Some(why),
    }
    None
}

/// Has a process of its own do a job.
fn measure(contender: &Contender, job: Job, target: Target) -> Outcome {
    measure_in(Command::new(program()), contender, job, target)
}

fn measure_in(mut command: Command, contender: &Contender, job: Job, target: Target) -> Outcome {
    let Job { work, operations, warm_up } = job;
    command.args(["measure", contender.name, &work.to_string(), &operations.to_string(), &warm_up.to_string()]);
    command.arg(target.argument());
    let (variable, components) = components();
    command.env(variable, components).env("RUST_BACKTRACE", "0");
    match output_in_time(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())) {
        Ok((stdout, stderr)) => serde_json::from_str(&stdout).unwrap_or_else(|_| {
            // The last words of a panic.
            let mut words = stderr.lines().filter(|line| !line.starts_with("note:") && !line.trim().is_empty());
            Outcome::Failed(words.next_back().unwrap_or("ended without a word").into())
        }),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Outcome::Failed("stalled".into()),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// What a process prints; it is killed when it takes too long.
pub(crate) fn output_in_time(command: &mut Command) -> io::Result<(String, String)> {
    let mut child = command.spawn()?;
    let read = |mut pipe: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut text = String::new();
            // What is no text is no result either.
            let _ = pipe.read_to_string(&mut text);
            text
        })
    };
    let stdout = read(Box::new(child.stdout.take().expect("it is piped")));
    let stderr = read(Box::new(child.stderr.take().expect("it is piped")));
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(2));
    }
    let text = |thread: thread::JoinHandle<String>| thread.join().map_err(|_| io::Error::other("reading panicked"));
    Ok((text(stdout)?, text(stderr)?))
}

/// Where the components are, built and compiled: no contender does that while it is measured.
fn components() -> &'static (&'static str, PathBuf) {
    static FOLDER: OnceLock<(&str, PathBuf)> = OnceLock::new();
    FOLDER.get_or_init(|| contenders::prepare().unwrap_or_else(|error| panic!("the components: {error:#}")))
}

fn program() -> PathBuf {
    env::current_exe().expect("a running program is somewhere")
}

/// In the process of its own: does the job, and says how it went.
pub(crate) fn measure_here(args: &[String]) {
    let [name, work, operations, warm_up, target] = args else { panic!("five arguments") };
    let job = Job {
        work: work.parse().expect("a job"),
        operations: operations.parse().expect("a number"),
        warm_up: warm_up.parse().expect("a number"),
    };
    let target = target.parse().expect("a target");
    let contender = contenders::of(target).iter().find(|contender| contender.name == name).expect("a contender");
    let stage = Stage::new(job, target);
    let outcome = match (contender.run)(&stage) {
        Ok(()) => {
            let sink_threads = stage.sink_threads().to_vec();
            Outcome::Measured { sample: stage.into_sample(), sink_threads }
        }
        Err(Unable::Lacks(what)) => Outcome::Lacks(what.into()),
        Err(Unable::Failed(why)) => Outcome::Failed(why),
    };
    let text = serde_json::to_string(&outcome).expect("it has nothing but numbers and text");
    println!("{text}");
    // Whatever a contender left running would only be waited for.
    io::stdout().flush().expect("somebody reads this");
    std::process::exit(0);
}

/// System calls are counted where messages are small: there they cost most.
const fn is_traced(work: Work) -> bool {
    matches!(work, Work::Publish { size: 64, .. } | Work::Receive { size: 64, .. } | Work::Mixed { .. })
}

/// System calls an operation, of all threads but the sink's; `None` without strace.
fn system_calls(contender: &Contender, work: Work) -> Option<f64> {
    let [few, many] = TRACED.map(|operations| all_system_calls(contender, Job { work, operations, warm_up: 500 }));
    Some((many? - few?).max(0.0) / f64::from(TRACED[1] - TRACED[0]))
}

fn all_system_calls(contender: &Contender, job: Job) -> Option<f64> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let file = env::temp_dir().join(format!("mqtt-wasi-bench-{}-{number}", std::process::id()));
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&file).arg(program());
    let outcome = measure_in(command, contender, job, Target::Sink);
    let text = fs::read_to_string(&file).unwrap_or_default();
    // It is in a folder for what nobody misses.
    let _ = fs::remove_file(&file);
    let Outcome::Measured { sink_threads, .. } = outcome else { return None };
    let is_counted = |line: &&str| {
        let thread = line.split(' ').next().and_then(|first| first.parse().ok());
        thread.is_some_and(|thread: i32| !sink_threads.contains(&thread)) && !line.contains(" resumed>")
    };
    Some(text.lines().filter(is_counted).count() as f64)
}

/// What the report says in full, in short.
fn print_table(result: &JobResult) {
    let median = |samples: &[Sample], of: fn(&Sample) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    println!("\n{}, {}", result.job, result.against);
    println!(
        "{:<44} {:>12} {:>9} {:>7} {:>9} {:>9}",
        "contender", "ops/s", "cpu ns/op", "ratio", "allocs/op", "calls/op"
    );
    let cpu = |sample: &Sample| sample.cpu_ns as f64 / f64::from(sample.operations);
    let reference = result.contenders.first().map_or(f64::NAN, |first| median(&first.samples, cpu));
    for contender in &result.contenders {
        let name = &contender.contender;
        if let Some(why) = contender.lacks.as_ref().or(contender.failed.as_ref()) {
            println!("{name:<44} {why}");
            continue;
        }
        let speed = median(&contender.samples, |sample| f64::from(sample.operations) * 1e9 / sample.wall_ns as f64);
        let allocations = median(&contender.samples, |sample| sample.allocations as f64 / f64::from(sample.operations));
        let cpu = median(&contender.samples, cpu);
        let calls = contender.system_calls.map_or(String::new(), |calls| format!("{calls:.3}"));
        println!("{name:<44} {speed:>12.0} {cpu:>9.0} {:>7.2} {allocations:>9.3} {calls:>9}", cpu / reference);
    }
}
