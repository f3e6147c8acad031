//! Where a contender keeps its connections, with what they cost counted.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_gettime};

use super::CrowdSample;
use super::crowd::TELL_PINGS;
use crate::stage::{resident_memory, wake_ups};

/// As many are connected first, and pay for what all share.
pub(super) const FIRST: u32 = 10;

/// Other files that a process has open.
const OTHER_FILES: u64 = 100;

/// What a process may have in memory before it connects no more, in bytes: a client may take megabytes.
const MOST_MEMORY: u64 = 2 << 30;

/// How long after the last one is connected all of them count as idle.
pub(super) const SETTLING: Duration = Duration::from_secs(1);

/// A contender that is measured. It connects [`FIRST`] clients and calls [`Hall::begin`], connects one more
/// while [`Hall::has_room`], and calls [`Hall::connected`], lets [`SETTLING`] pass and calls [`Hall::settled`], lets
/// [`Hall::idle`] pass and calls [`Hall::end`]. It keeps all clients alive meanwhile.
pub(super) struct Hall {
    address: SocketAddr,
    /// How many there may be, and how many there are.
    most: u32,
    connections: u32,
    idle: Duration,
    /// To ask the peer what it has counted.
    control: TcpStream,
    begun: Option<Reading>,
    connected: Option<Duration>,
    settled: Option<Reading>,
    sample: Option<CrowdSample>,
}

/// All counters at one moment.
struct Reading {
    time: Instant,
    cpu: Duration,
    memory: u64,
    wake_ups: u64,
    pings: u64,
}

impl Hall {
    /// With fewer connections than are wanted where this process cannot have as many files.
    pub(super) fn new(address: SocketAddr, wanted: u32, idle: Duration) -> Self {
        let files = raise_file_limit().expect("the limit of files");
        let control = TcpStream::connect(address).expect("the peer listens");
        Self {
            address,
            most: possible(wanted, files),
            connections: 0,
            idle,
            control,
            begun: None,
            connected: None,
            settled: None,
            sample: None,
        }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// Whether there is to be one connection more, which counts as made then.
    pub(super) fn has_room(&mut self) -> bool {
        let has_room = self.connections < self.most && resident_memory() < MOST_MEMORY;
        self.connections += u32::from(has_room);
        has_room
    }

    /// How many there will be in all, at most.
    pub(super) const fn all(&self) -> usize {
        (FIRST + self.most) as usize
    }

    pub(super) const fn idle(&self) -> Duration {
        self.idle
    }

    pub(super) fn begin(&mut self) {
        self.begun = Some(self.read());
    }

    pub(super) fn connected(&mut self) {
        self.connected = self.begun.as_ref().map(|begun| begun.time.elapsed());
    }

    pub(super) fn settled(&mut self) {
        self.settled = Some(self.read());
    }

    pub(super) fn end(&mut self) {
        let end = self.read();
        let begun = self.begun.as_ref().expect("it has begun");
        let settled = self.settled.as_ref().expect("it has settled");
        let nanoseconds = |time: Duration| time.as_nanos() as u64;
        self.sample = Some(CrowdSample {
            connections: self.connections,
            connected_bytes: settled.memory.saturating_sub(begun.memory),
            idle_bytes: end.memory.saturating_sub(begun.memory),
            connect_wall_ns: nanoseconds(self.connected.expect("all are connected")),
            connect_cpu_ns: nanoseconds(settled.cpu - begun.cpu),
            idle_wall_ns: nanoseconds(end.time - settled.time),
            idle_cpu_ns: nanoseconds(end.cpu - settled.cpu),
            idle_wake_ups: end.wake_ups - settled.wake_ups,
            pings: end.pings - settled.pings,
        });
    }

    /// What was measured.
    ///
    /// # Panics
    /// When the contender never came to the end.
    pub(super) fn into_sample(self) -> CrowdSample {
        self.sample.expect("the contender came to the end")
    }

    fn read(&mut self) -> Reading {
        Reading {
            time: Instant::now(),
            cpu: clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from),
            memory: resident_memory(),
            wake_ups: wake_ups(&[]),
            pings: self.pings().expect("the peer tells"),
        }
    }

    fn pings(&mut self) -> io::Result<u64> {
        let mut pings = [0; 8];
        self.control.write_all(&[TELL_PINGS])?;
        self.control.read_exact(&mut pings)?;
        Ok(u64::from_be_bytes(pings))
    }
}

/// Lets this process have as many files open as it may let itself; how many that are.
pub(super) fn raise_file_limit() -> nix::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// How many of the wanted connections there can be with so many files.
fn possible(wanted: u32, files: u64) -> u32 {
    let room = files.saturating_sub(OTHER_FILES + u64::from(FIRST));
    u32::try_from(room).map_or(wanted, |room| wanted.min(room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_connections_than_files() {
        assert_eq!(possible(10_000, 20_000), 10_000);
        assert_eq!(possible(10_000, 1_024), 914);
        assert_eq!(possible(10_000, 50), 0);
        assert_eq!(possible(10_000, u64::MAX), 10_000);
    }
}
