//! Where a contender does its job: beside a sink in the same process, with everything counted that the contender costs
//! and nothing of what the sink does.

use std::fs;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::counting::{self, Allocations};
use crate::job::{Job, Work};
use crate::sink::{Sink, Traffic};
use crate::target::Target;

/// What one contender cost, from [`Stage::begin`] to [`Stage::end`]. An earlier revision's program may not say all of
/// it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) operations: u32,
    pub(crate) wall_ns: u64,
    /// Processor time of all threads but the sink's.
    pub(crate) cpu_ns: u64,
    /// Processor time of the sink.
    #[serde(default)]
    pub(crate) sink_cpu_ns: u64,
    /// Allocations and reallocations that went through Rust's allocator, without the sink's.
    #[serde(default)]
    pub(crate) allocations: u64,
    #[serde(default)]
    pub(crate) allocated_bytes: u64,
    /// How often a thread other than the sink's gave up the processor by itself, to be woken up again.
    #[serde(default)]
    pub(crate) wake_ups: u64,
    /// What the contender wrote to its connections, in bytes; zero against a real broker, where nobody counts.
    #[serde(default)]
    pub(crate) bytes_out: u64,
    /// What it was sent, in bytes.
    #[serde(default)]
    pub(crate) bytes_in: u64,
    /// The most memory that the process ever had in use, in bytes, the sink included.
    #[serde(default)]
    pub(crate) peak_memory: u64,
    /// What a guest's linear memory had grown to, in bytes.
    pub(crate) linear_memory: Option<u64>,
    /// From the start of an instance until it was connected, in nanoseconds; the module was compiled before.
    pub(crate) start_ns: Option<u64>,
}

/// The stage of one job.
pub(crate) struct Stage {
    job: Job,
    address: SocketAddr,
    /// There is none against a real broker.
    sink: Option<Sink>,
    leaves_nagle_on: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    begun: Option<Reading>,
    sample: Option<Sample>,
    linear_memory: Option<u64>,
    start_ns: Option<u64>,
}

/// All counters at one moment.
struct Reading {
    time: Instant,
    cpu_ns: u64,
    sink_cpu_ns: u64,
    allocations: Allocations,
    wake_ups: u64,
    traffic: Traffic,
}

impl Stage {
    /// With a sink of its own, unless there is a real broker.
    pub(crate) fn new(job: Job, target: Target) -> Self {
        let (address, sink) = match target {
            Target::Mosquitto(address) => (address, None),
            Target::Sink | Target::Tls(_) | Target::WebSocket => {
                let sink = Sink::start(job.work, target);
                (sink.address(), Some(sink))
            }
        };
        Self { job, address, sink, leaves_nagle_on: AtomicBool::new(false), state: Mutex::default() }
    }

    /// Where the contender is to connect.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL, which says whether by TLS or over WebSocket.
    pub(crate) fn url(&self) -> String {
        let scheme = match (self.ca().is_some(), self.is_websocket()) {
            (true, _) => "mqtts",
            (false, true) => "ws",
            (false, false) => "mqtt",
        };
        format!("{scheme}://{}", self.address)
    }

    /// Whether the contender is to speak WebSocket.
    pub(crate) fn is_websocket(&self) -> bool {
        self.sink.as_ref().is_some_and(Sink::is_websocket)
    }

    /// Whom the contender is to trust, in PEM; `None` without TLS.
    pub(crate) fn ca(&self) -> Option<&str> {
        self.sink.as_ref()?.ca()
    }

    pub(crate) const fn job(&self) -> Job {
        self.job
    }

    /// The contender is to turn `TCP_NODELAY` off. Most have no switch for it.
    pub(crate) fn leave_nagle_on(&self) {
        self.leaves_nagle_on.store(true, Ordering::Relaxed);
    }

    /// Whether it is to.
    pub(crate) fn leaves_nagle_on(&self) -> bool {
        self.leaves_nagle_on.load(Ordering::Relaxed)
    }

    /// Has the sink send so many more messages, at the QoS and of the size that the job says. The contender has
    /// subscribed before. Does nothing before a real broker, where somebody else publishes.
    pub(crate) fn send(&self, messages: u32) {
        if let Some(sink) = &self.sink {
            sink.send(messages);
        }
    }

    /// [`Work::Reconnect`] only: waits until no more messages come, [begins](Stage::begin), and cuts the connection.
    /// From then on everything is acknowledged.
    pub(crate) fn cut(&self) {
        let sink = self.sink.as_ref().expect("only a sink cuts connections");
        sink.wait_for_silence();
        self.begin();
        sink.cut();
    }

    /// The contender is connected for the first time. Only a guest's host wants to know.
    pub(crate) const fn connected(&self) {}

    /// What comes before does not count; what follows does.
    pub(crate) fn begin(&self) {
        if let (Some(sink), Work::Publish { .. }) = (&self.sink, self.job.work) {
            // What the warm-up left behind must not arrive while the clock runs.
            sink.wait_for(self.job.warm_up.into());
        }
        let reading = self.read();
        self.state.lock().expect("nobody panicked").begun = Some(reading);
    }

    /// What was to be measured is done as far as the contender knows. Where it publishes, this waits until the sink
    /// has all of it: who has a runtime to drive awaits [`Stage::arrived`] before.
    pub(crate) fn end(&self) {
        if let (Some(sink), Work::Publish { .. }) = (&self.sink, self.job.work) {
            sink.wait_for(u64::from(self.job.warm_up) + u64::from(self.job.operations));
        }
        let now = self.read();
        let mut state = self.state.lock().expect("nobody panicked");
        let begun = state.begun.take().expect("begin comes before end");
        self.check_handshakes(now.traffic.resumed - begun.traffic.resumed);
        state.sample = Some(Sample {
            operations: self.job.operations,
            wall_ns: (now.time - begun.time).as_nanos() as u64,
            cpu_ns: (now.cpu_ns - begun.cpu_ns).saturating_sub(now.sink_cpu_ns - begun.sink_cpu_ns),
            sink_cpu_ns: now.sink_cpu_ns - begun.sink_cpu_ns,
            allocations: now.allocations.count - begun.allocations.count,
            allocated_bytes: now.allocations.bytes - begun.allocations.bytes,
            wake_ups: now.wake_ups - begun.wake_ups,
            bytes_out: now.traffic.received - begun.traffic.received,
            bytes_in: now.traffic.sent - begun.traffic.sent,
            peak_memory: 0,
            linear_memory: None,
            start_ns: None,
        });
    }

    /// Fails where TLS sessions were resumed that should not be, or the other way round: the figures would be of
    /// something else than the job.
    fn check_handshakes(&self, resumed: u64) {
        let Job { work, operations, .. } = self.job;
        let expected = match work {
            Work::Connect => 0,
            Work::Resume => operations.into(),
            _ => return,
        };
        assert!(resumed == expected, "{resumed} of {operations} TLS sessions were resumed, and not {expected}");
    }

    /// Completes when the sink has so many messages in all, those of the warm-up included. For contenders on a
    /// runtime; before a real broker it completes at once.
    pub(crate) async fn arrived(&self, messages: u32) {
        if let Some(sink) = &self.sink {
            sink.arrived(messages.into()).await;
        }
    }

    /// For guests: what their memory has grown to, in bytes.
    pub(crate) fn set_linear_memory(&self, bytes: u64) {
        self.state.lock().expect("nobody panicked").linear_memory = Some(bytes);
    }

    /// For guests: how long an instance took from its start until it was connected.
    pub(crate) fn set_start(&self, duration: Duration) {
        self.state.lock().expect("nobody panicked").start_ns = Some(duration.as_nanos() as u64);
    }

    /// What was measured.
    ///
    /// # Panics
    /// When the contender never came to the end.
    pub(crate) fn into_sample(self) -> Sample {
        let State { sample, linear_memory, start_ns, .. } = self.state.into_inner().expect("nobody panicked");
        Sample {
            peak_memory: peak_memory(),
            linear_memory,
            start_ns,
            ..sample.expect("the contender came to the end of its job")
        }
    }

    /// The threads that are not the contender's, by their numbers in the system.
    pub(crate) fn sink_threads(&self) -> &[i32] {
        self.sink.as_ref().map_or(&[], Sink::threads)
    }

    fn read(&self) -> Reading {
        let sink_threads = self.sink_threads();
        Reading {
            time: Instant::now(),
            cpu_ns: clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
                .map_or(0, |time| Duration::from(time).as_nanos() as u64),
            sink_cpu_ns: sink_threads.iter().map(|&thread| cpu_of(thread)).sum(),
            allocations: counting::allocations(),
            wake_ups: wake_ups(sink_threads),
            traffic: self.sink.as_ref().map_or(Traffic::default(), Sink::traffic),
        }
    }
}

/// Nanoseconds that a thread has run.
fn cpu_of(thread: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
}

/// How often threads of this process gave up the processor by themselves, except these.
pub(crate) fn wake_ups(without: &[i32]) -> u64 {
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return 0 };
    let others = threads.flatten().filter(|entry| {
        entry.file_name().to_string_lossy().parse().is_ok_and(|thread: i32| !without.contains(&thread))
    });
    others.filter_map(|entry| status_field(&entry.path().join("status"), "voluntary_ctxt_switches:")).sum()
}

fn peak_memory() -> u64 {
    // The kernel says kibibytes.
    status_field("/proc/self/status".as_ref(), "VmHWM:").unwrap_or(0) * 1024
}

/// What this process has in memory now, in bytes.
pub(crate) fn resident_memory() -> u64 {
    status_field("/proc/self/status".as_ref(), "VmRSS:").unwrap_or(0) * 1024
}

fn status_field(file: &std::path::Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
