//! Has every contender do every job: each time in a process of its own, so that none leaves anything behind for the
//! next, and all of them in turn, so that what slows the machine down for a while slows them all down. An earlier
//! revision's contenders are measured by that revision's program, next to today's.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use serde::{Deserialize, Serialize};

use crate::before::{self, Before};
use crate::contenders::{self, Contender, Unable};
use crate::gates::Broken;
use crate::job::{Job, Pace, Work};
use crate::machine;
use crate::results::{ContenderResult, JobResult, Quantity};
use crate::rounds::Rounds;
use crate::stage::{Sample, Stage};
use crate::target::{self, Suite, Target};

/// How much to measure.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Rounds of most jobs.
    rounds: usize,
    /// Rounds of the jobs whose figures are told elsewhere, and of what is compared with an earlier revision.
    rounds_of_headlines: usize,
    /// Up to so many are done of those until their spread is within its gate.
    most_rounds: usize,
    /// About how long a measurement may take.
    time: Duration,
}

impl Effort {
    pub(crate) const FULL: Self =
        Self { rounds: 3, rounds_of_headlines: 5, most_rounds: 11, time: Duration::from_millis(200) };
    pub(crate) const QUICK: Self =
        Self { rounds: 1, rounds_of_headlines: 1, most_rounds: 1, time: Duration::from_millis(50) };

    /// What it is, in a sentence.
    pub(crate) fn declared(self) -> String {
        let Self { rounds, rounds_of_headlines, most_rounds, .. } = self;
        format!(
            "There are {rounds} rounds, and {rounds_of_headlines} of the headlines and of what is compared with an \
             earlier revision. There, rows whose spread is too large continue until it is not, and what seems to be behind \
             the earlier revision until it is not, for {most_rounds} rounds at most. Headlines are publishing and receiving 64 B at QoS 0 and 1, pipelined."
        )
    }
}

/// The sizes of messages, in bytes.
const SIZES: [usize; 4] = [16, 64, 1024, 65_536];

/// A measurement that takes longer than this has stalled.
const PATIENCE: Duration = Duration::from_secs(100);

/// Who has failed so often is not asked again.
const MOST_FAILURES: usize = 2;

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

/// What is asked for.
pub(crate) struct Driver {
    /// What the names of the jobs must contain.
    pub(crate) filter: String,
    pub(crate) effort: Effort,
    /// An earlier revision to be measured beside this one.
    pub(crate) before: Option<Before>,
}

impl Driver {
    /// Does all jobs.
    pub(crate) fn run(&self, mosquitto: Option<SocketAddr>) -> Vec<JobResult> {
        let mut plan = with(Target::Sink, against_sink());
        if let Some(address) = mosquitto {
            plan.extend(with(Target::Mosquitto(address), against_broker()));
        }
        plan.extend(by_tls());
        plan.extend(with(Target::WebSocket, target::BY_WEBSOCKET));
        self.carry_out(contenders::of, plan)
    }

    /// Does those of them that are done over WebSocket, and the same over TCP, by those alone who do both.
    pub(crate) fn run_websocket(&self) -> Vec<JobResult> {
        let both = |work| [(work, Target::Sink), (work, Target::WebSocket)];
        let plan = target::BY_WEBSOCKET.into_iter().flat_map(both).collect();
        self.carry_out(|_| contenders::of(Target::WebSocket), plan)
    }

    /// Does those of them that are done by TLS.
    pub(crate) fn run_tls(&self) -> Vec<JobResult> {
        self.carry_out(contenders::of, by_tls())
    }

    /// By these contenders.
    fn carry_out(
        &self,
        contenders: impl Fn(Target) -> &'static [Contender],
        mut plan: Vec<(Work, Target)>,
    ) -> Vec<JobResult> {
        plan.retain(|(work, _)| work.to_string().contains(&self.filter));
        let count = plan.len();
        let mut results = Vec::new();
        for (place, (work, target)) in plan.into_iter().enumerate() {
            eprintln!("job {} of {count}: {work}, {target}", place + 1);
            let start = Instant::now();
            let result = self.measure_all(contenders(target), work, target);
            print_table(&result);
            eprintln!("{:.0} s", start.elapsed().as_secs_f64());
            results.push(result);
        }
        results
    }

    fn measure_all(&self, contenders: &'static [Contender], work: Work, target: Target) -> JobResult {
        let mut result =
            JobResult { job: work.to_string(), against: target.to_string(), calibration: None, contenders: Vec::new() };
        let mut entrants: Vec<(Entrant<'_>, Option<Job>)> = Vec::new();
        for entrant in contenders.iter().flat_map(|contender| self.entrants(contender)) {
            let mut own = entrant.result();
            let today = entrants.last().and_then(|(_, job)| *job).filter(|_| entrant.before.is_some());
            let job = fit(entrant, work, target, self.effort.time, today, &mut own);
            entrants.push((entrant, job));
            result.contenders.push(own);
        }
        let calibration_before = machine::calibrate();
        let mut round = 0;
        loop {
            let rows = entrants.iter().zip(&result.contenders);
            let due = rows.map(|((entrant, _), row)| {
                round < self.least_rounds(*entrant, work, target)
                    || round < self.most_rounds(*entrant, work, target)
                        && (is_unsteady(&result, row) || is_ahead_of_today(&result, row))
            });
            let due: Vec<bool> = due.collect();
            if !due.contains(&true) {
                break;
            }
            let is_due = |&place: &usize| due[place] || is_compared(&result, place, &due);
            let mut places: Vec<usize> = (0..entrants.len()).filter(is_due).collect();
            // Nobody is always the one behind another.
            if round % 2 == 1 {
                places.reverse();
            }
            for place in places {
                let (entrant, Some(job)) = entrants[place] else { continue };
                let own = &mut result.contenders[place];
                let sample = if has_given_up(own) { None } else { note(entrant.measure(job, target), own) };
                own.samples.push(sample);
            }
            round += 1;
        }
        result.calibration = Some([calibration_before, machine::calibrate()]);
        if target == Target::Sink && is_traced(work) {
            for ((entrant, job), own) in entrants.iter().zip(&mut result.contenders) {
                if entrant.before.is_none() && job.is_some() && own.failed.is_none() {
                    own.system_calls = system_calls(*entrant, work);
                }
            }
        }
        // What an earlier revision did not have yet is no row.
        let is_unknown = |row: &ContenderResult| row.failed.as_deref().is_some_and(before::is_unknown);
        result.contenders.retain(|row| row.revision.is_none() || !is_unknown(row));
        result
    }

    /// Of this build, and of the earlier one.
    fn entrants<'a>(&'a self, contender: &'static Contender) -> impl Iterator<Item = Entrant<'a>> {
        let before = self.before.as_ref().filter(|_| contender.is_ours());
        let then = before.map(|before| Entrant { contender, before: Some(before) });
        std::iter::once(Entrant { contender, before: None }).chain(then)
    }

    fn least_rounds(&self, entrant: Entrant<'_>, work: Work, target: Target) -> usize {
        if self.continues(entrant, work, target) { self.effort.rounds_of_headlines } else { self.effort.rounds }
    }

    fn most_rounds(&self, entrant: Entrant<'_>, work: Work, target: Target) -> usize {
        if self.continues(entrant, work, target) { self.effort.most_rounds } else { self.effort.rounds }
    }

    /// Whether an entrant continues while its spread is too large.
    fn continues(&self, entrant: Entrant<'_>, work: Work, target: Target) -> bool {
        // By TLS, today's component with wide arithmetic is beside the earlier one without.
        let is_by_tls = matches!(target, Target::Tls(_)) && entrant.contender.is_ours();
        let is_beside = self.before.is_some() && (entrant.before.is_some() || is_by_tls);
        is_headline(work, target) || is_beside
    }
}

/// A contender of this build, or of an earlier revision's.
#[derive(Clone, Copy)]
struct Entrant<'a> {
    contender: &'static Contender,
    before: Option<&'a Before>,
}

impl Entrant<'_> {
    /// Without a sample.
    fn result(self) -> ContenderResult {
        ContenderResult {
            contender: self.contender.name.into(),
            revision: self.before.map(|before| before.revision.clone()),
            samples: Vec::new(),
            system_calls: None,
            lacks: None,
            failed: None,
        }
    }

    /// Has a process of its own do a job.
    fn measure(self, job: Job, target: Target) -> Outcome {
        measure_in(Command::new(self.program()), self, job, target)
    }

    fn program(self) -> PathBuf {
        match self.before {
            Some(before) => before.program.clone(),
            None => env::current_exe().expect("a running program is somewhere"),
        }
    }

    /// The variable that says where the components are, and what it says.
    fn components(self) -> (&'static str, PathBuf) {
        let (variable, folder) = components();
        (variable, self.before.map_or_else(|| folder.clone(), |before| before.components.clone()))
    }
}

/// The jobs whose figures are told elsewhere.
fn is_headline(work: Work, target: Target) -> bool {
    let is_small = matches!(
        work,
        Work::Publish { qos: 0 | 1, size: 64, pace: Pace::Pipelined } | Work::Receive { qos: 0 | 1, size: 64 }
    );
    is_small && target == Target::Sink
}

/// Whether another row that is due is compared with this one.
fn is_compared(result: &JobResult, place: usize, due: &[bool]) -> bool {
    let row = &result.contenders[place];
    let mut others = result.contenders.iter().zip(due).filter(|(_, is_due)| **is_due).map(|(other, _)| other);
    others.any(|other| result.compared_with(other).is_some_and(|compared| std::ptr::eq(compared, row)))
}

fn has_given_up(row: &ContenderResult) -> bool {
    row.samples.iter().filter(|sample| sample.is_none()).count() >= MOST_FAILURES
}

/// Whether it is only the spread that keeps a row from being valid. As long as it has no other round, that stays so.
fn is_unsteady(result: &JobResult, row: &ContenderResult) -> bool {
    let spread = |quantity| matches!(result.broken(row, quantity), Some(Broken::Spread(_)));
    spread(WALL) || spread(CPU)
}

/// Whether a row of an earlier revision is better than today's, for which a few rounds are no proof.
fn is_ahead_of_today(result: &JobResult, row: &ContenderResult) -> bool {
    let is_ahead = |quantity| result.judged(row, quantity).is_some_and(|ratio| ratio.median < 1.0 && ratio.is_sure());
    row.revision.is_some() && (is_ahead(WALL) || is_ahead(CPU))
}

const WALL: Quantity = |sample| sample.wall_ns;
const CPU: Quantity = |sample| sample.cpu_ns;

fn with(target: Target, works: impl IntoIterator<Item = Work>) -> Vec<(Work, Target)> {
    works.into_iter().map(|work| (work, target)).collect()
}

/// The jobs that are done by TLS, with one cipher suite after the other.
fn by_tls() -> Vec<(Work, Target)> {
    Suite::ALL.into_iter().flat_map(|suite| with(Target::Tls(suite), target::BY_TLS)).collect()
}

/// How many operations of a contender take about as long as they may; `None` when it cannot do the job. An earlier
/// revision begins with a tenth of what today's does.
fn fit(
    entrant: Entrant<'_>,
    work: Work,
    target: Target,
    time: Duration,
    today: Option<Job>,
    result: &mut ContenderResult,
) -> Option<Job> {
    let (pilot, most) = match work {
        Work::Reconnect => return Some(Job { work, operations: 10_000, warm_up: 0 }),
        Work::Subscribe => return Some(Job { work, operations: 1_000, warm_up: 0 }),
        Work::Idle => return Some(Job { work, operations: 2_000, warm_up: 0 }),
        Work::Connect | Work::Resume => (20, 2_000),
        _ if work.size() > 10_000 => (100, 20_000),
        _ => (500, 2_000_000),
    };
    // Where one alone takes milliseconds, fewer than the first try has are enough.
    let least = pilot / 10;
    let time = time.as_nanos() as u64;
    let mut operations = today.map_or(pilot, |job| (job.operations / 10).max(pilot));
    loop {
        let job = Job { work, operations, warm_up: operations / 2 };
        let wall = note(entrant.measure(job, target), result)?.wall_ns.max(1);
        let fitting = |factor: u64| (u64::from(operations) * factor / 100).clamp(least.into(), most.into()) as u32;
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

fn measure_in(mut command: Command, entrant: Entrant<'_>, job: Job, target: Target) -> Outcome {
    let Job { work, operations, warm_up } = job;
    command.args(["measure", entrant.contender.name, &work.to_string(), &operations.to_string(), &warm_up.to_string()]);
    command.arg(target.argument());
    let (variable, components) = entrant.components();
    command.env(variable, components).env("RUST_BACKTRACE", "0");
    match output_in_time(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())) {
        Ok((stdout, stderr)) => serde_json::from_str(&stdout).unwrap_or_else(|_| {
            // The last words of a panic.
            let mut words = stderr.lines().filter(|line| !line.starts_with("note:") && !line.trim().is_empty());
            let silence = if stdout.is_empty() { "ended without a word" } else { "its result cannot be read" };
            Outcome::Failed(words.next_back().unwrap_or(silence).into())
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
fn system_calls(entrant: Entrant<'_>, work: Work) -> Option<f64> {
    let [few, many] = TRACED.map(|operations| all_system_calls(entrant, Job { work, operations, warm_up: 500 }));
    Some((many? - few?).max(0.0) / f64::from(TRACED[1] - TRACED[0]))
}

fn all_system_calls(entrant: Entrant<'_>, job: Job) -> Option<f64> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let file = env::temp_dir().join(format!("mqtt-wasi-bench-{}-{number}", std::process::id()));
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&file).arg(entrant.program());
    let outcome = measure_in(command, entrant, job, Target::Sink);
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
    let median = |rounds: Option<Rounds>| rounds.map_or(f64::NAN, |rounds| rounds.median);
    println!("\n{}, {}", result.job, result.against);
    println!(
        "{:<48} {:>12} {:>7} {:>9} {:>7} {:>9} {:>9}",
        "contender", "ops/s", "time x", "cpu ns/op", "cpu x", "allocs/op", "calls/op"
    );
    for row in &result.contenders {
        let name = row.label();
        if let Some(why) = row.lacks.as_ref().or(row.failed.as_ref()) {
            println!("{name:<48} {why}");
        }
        if row.samples.iter().all(Option::is_none) {
            continue;
        }
        let ratio = |quantity| median(result.reference().and_then(|reference| row.ratio(reference, quantity)));
        let speed = 1e9 / median(row.rounds(WALL));
        let (cpu, allocations) = (median(row.rounds(CPU)), median(row.rounds(|sample| sample.allocations)));
        let calls = row.system_calls.map_or(String::new(), |calls| format!("{calls:.3}"));
        let broken = [("time", WALL), ("cpu", CPU)].map(|(name, quantity): (_, Quantity)| {
            result.broken(row, quantity).map_or(String::new(), |broken| format!("  {name} {broken}"))
        });
        println!(
            "{name:<48} {speed:>12.0} {:>7.2} {cpu:>9.0} {:>7.2} {allocations:>9.3} {calls:>9}{}",
            ratio(WALL),
            ratio(CPU),
            broken.concat()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headlines_are_small_messages_with_the_sink() {
        let publish = Work::Publish { qos: 1, size: 64, pace: Pace::Pipelined };
        assert!(is_headline(publish, Target::Sink));
        assert!(!is_headline(publish, Target::WebSocket));
        assert!(!is_headline(Work::Receive { qos: 2, size: 64 }, Target::Sink));
        assert!(!is_headline(Work::Publish { qos: 0, size: 64, pace: Pace::Awaited }, Target::Sink));
    }
}
