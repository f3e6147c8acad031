//! What the machine is, and how steady it was.

use std::fs;
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::results::Machine;

/// Times further apart than this, as a share of their median, say little.
const NOISY: f64 = 0.25;

/// The same work over and over while everything else is measured, seldom enough to be in nobody's way.
pub(crate) struct Calibration {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Calibration {
    pub(crate) fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || {
                let mut times = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    times.push(work());
                    thread::sleep(Duration::from_secs(1));
                }
                times
            }
        });
        Self { is_over, thread }
    }

    /// How far apart the middle nine tenths of the times lie, as a share of their median.
    fn end(self) -> f64 {
        self.is_over.store(true, Ordering::Relaxed);
        let mut times = self.thread.join().expect("nothing in it panics");
        times.sort();
        let at = |twentieth: usize| times[(times.len() - 1) * twentieth / 20].as_secs_f64();
        (at(19) - at(1)) / at(10)
    }
}

/// About a millisecond of the processor's time, counted by the thread's own clock.
fn work() -> Duration {
    let start = Instant::now();
    let mut state = black_box(1_u64);
    for _ in 0..1_000_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
    black_box(state);
    start.elapsed()
}

/// What the calibration takes now, in nanoseconds: the shortest of some times, which no other program has interrupted.
pub(crate) fn calibrate() -> f64 {
    const TIMES: usize = 40;
    let shortest = (0..TIMES).map(|_| work()).min().expect("there is more than one");
    shortest.as_secs_f64() * 1e9
}

impl Machine {
    pub(crate) fn is_noisy(&self) -> bool {
        self.noise > NOISY
    }

    /// What to think of times that were measured on it.
    pub(crate) fn warning(&self) -> String {
        format!(
            "the same work took times that lie {:.0} % apart while this ran: trust the counts, and ratios only where they are far from 1",
            self.noise * 100.0
        )
    }
}

/// Ends the calibration.
pub(crate) fn describe(has_mosquitto: bool, calibration: Calibration) -> Machine {
    Machine {
        date: first_line("date", &["-I"]).unwrap_or_default(),
        processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into()),
        cores: thread::available_parallelism().map_or(1, Into::into),
        memory: field("/proc/meminfo", "MemTotal")
            .and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok())
            .map_or(0, |kibibytes| kibibytes * 1024),
        system: first_line("uname", &["-sr"]).unwrap_or_default(),
        rustc: first_line("rustc", &["--version"]).unwrap_or_default(),
        mosquitto: has_mosquitto.then(mosquitto_version).flatten(),
        noise: calibration.end(),
    }
}

fn mosquitto_version() -> Option<String> {
    ["mosquitto", "/usr/sbin/mosquitto"].iter().find_map(|program| first_line(program, &["-h"]))
}

fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(Into::into)
}

/// What is behind the colon.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_start().strip_prefix(':')?.trim().to_owned()))
}
