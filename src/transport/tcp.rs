//! TCP through `std::net`.

use alloc::string::ToString;
use core::time::Duration;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(not(all(target_os = "wasi", target_env = "p2")))]
use std::{
    net::{SocketAddr, ToSocketAddrs},
    sync::OnceLock,
};

#[cfg(not(all(target_os = "wasi", target_env = "p2")))]
use super::addresses::Addresses;
#[cfg(any(target_os = "android", target_os = "linux"))]
use super::gather::Gather;
use super::{Transferred, Transport};
use crate::error::{TransportError, TransportErrorKind};
use crate::time::Instant;

/// While the peer takes nothing, how long to wait for it before looking at what it sends, and the other way round.
const STALLED: Duration = Duration::from_millis(20);

/// How long [`Transport::close`] waits for the peer to close too.
const LINGER: Duration = Duration::from_millis(500);

/// The TCP connection itself.
#[derive(Debug)]
pub(super) struct Tcp {
    pub(super) stream: TcpStream,
    /// The read timeout that is set, to set it only when it changes.
    read_timeout: Option<Duration>,
    /// Whether the peer took nothing when it was last written to.
    is_stalled: bool,
    is_closed: bool,
    /// `None` for a Unix socket, which holds nothing back.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    gather: Option<Gather>,
}

impl Tcp {
    #[cfg(not(all(target_os = "wasi", target_env = "p2")))]
    pub(super) fn connect(addresses: impl ToSocketAddrs, until: Instant) -> Result<Self, TransportError> {
        Self::connect_by(addresses, until, open)
    }

    /// The same, with these options of the socket.
    #[cfg(all(feature = "socket-options", not(target_family = "wasm")))]
    pub(super) fn connect_with(
        addresses: impl ToSocketAddrs,
        until: Instant,
        options: super::SocketOptions,
    ) -> Result<Self, TransportError> {
        Self::connect_by(addresses, until, |address, timeout| {
            let socket = options.socket(address)?;
            socket.connect_timeout(&address.into(), timeout.max(Duration::from_millis(1)))?;
            Ok(socket.into())
        })
    }

    #[cfg(not(all(target_os = "wasi", target_env = "p2")))]
    fn connect_by(
        addresses: impl ToSocketAddrs,
        until: Instant,
        open: impl Fn(SocketAddr, Duration) -> io::Result<TcpStream>,
    ) -> Result<Self, TransportError> {
        let resolved = addresses.to_socket_addrs().map_err(unknown_host)?;
        let mut addresses = Addresses::new(resolved, until);
        while let Some((address, until)) = addresses.next(now()) {
            match open(address, until.saturating_duration_since(now())).map_err(TransportError::from) {
                Ok(stream) => return Self::over(stream),
                Err(error) => addresses.failed(address, &error),
            }
        }
        Err(addresses.into_error())
    }

    /// Over a stream of which nothing is known.
    pub(super) fn new(stream: TcpStream) -> Result<Self, TransportError> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(None)?;
        Self::over(stream)
    }

    /// Over a stream that blocks, and that no timeout was set of.
    fn over(stream: TcpStream) -> Result<Self, TransportError> {
        // One write holds all there is to say, so waiting for more (Nagle's algorithm) only delays it. `Gather` knows
        // when it does not.
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(STALLED))?;
        Ok(Self {
            stream,
            read_timeout: None,
            is_stalled: false,
            is_closed: false,
            #[cfg(any(target_os = "android", target_os = "linux"))]
            gather: Some(Gather::default()),
        })
    }

    /// A Unix socket, which the same calls of the system read, write and close.
    #[cfg(unix)]
    pub(super) fn connect_to_socket(path: &str) -> Result<Self, TransportError> {
        let stream = std::os::unix::net::UnixStream::connect(path).map_err(|error| of_socket(path, error))?;
        let stream = TcpStream::from(std::os::fd::OwnedFd::from(stream));
        stream.set_write_timeout(Some(STALLED))?;
        Ok(Self {
            stream,
            read_timeout: None,
            is_stalled: false,
            is_closed: false,
            #[cfg(any(target_os = "android", target_os = "linux"))]
            gather: None,
        })
    }

    /// Writes what the peer takes, waiting for that a little if it `may_wait`; `None` when the peer takes nothing.
    fn write(&mut self, bytes: &[u8], may_wait: bool) -> Result<Option<usize>, TransportError> {
        #[cfg(any(target_os = "android", target_os = "linux"))]
        if let Some(gather) = &mut self.gather {
            gather.before_write(&self.stream, bytes.len(), now);
        }
        if !may_wait {
            self.stream.set_nonblocking(true)?;
        }
        let written = self.stream.write(bytes);
        if !may_wait {
            self.stream.set_nonblocking(false)?;
        }
        match written {
            Ok(sent) => Ok(Some(sent)),
            // A signal ends a write that has a timeout, without anything being wrong.
            Err(error) if is_timeout(&error) || error.kind() == ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(broken(error)),
        }
    }

    /// Reads, waiting no longer than `timeout`; `None` when nothing came.
    fn read(&mut self, buffer: &mut [u8], timeout: Option<Duration>) -> Result<Option<usize>, TransportError> {
        if timeout == Some(Duration::ZERO) {
            self.stream.set_nonblocking(true)?;
            let result = read_once(&self.stream, buffer);
            self.stream.set_nonblocking(false)?;
            return result;
        }
        if self.read_timeout != timeout {
            self.stream.set_read_timeout(timeout)?;
            self.read_timeout = timeout;
        }
        read_once(&self.stream, buffer)
    }

    fn remaining(&self, until: Option<Instant>) -> Option<Duration> {
        until.map(|until| until.saturating_duration_since(self.now()))
    }
}

impl Transport for Tcp {
    fn now(&self) -> Instant {
        now()
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        until: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        let received = |read: Option<usize>| match read {
            Some(received) => Transferred { received, closed: received == 0, sent: 0 },
            None => Transferred::default(),
        };
        // The socket takes bytes at once unless the peer has stopped reading. Then it may be waiting to be read from,
        // so both are tried in turns.
        while !outgoing.is_empty() {
            // Waiting anew before each read would slow a peer down that has much to say before it reads on.
            let sent = self.write(outgoing, !self.is_stalled || incoming.is_empty())?;
            self.is_stalled = sent.is_none();
            if let Some(sent) = sent {
                return Ok(Transferred { sent, ..Transferred::default() });
            }
            let read = if incoming.is_empty() { None } else { self.read(incoming, Some(STALLED))? };
            if read.is_some() || self.remaining(until) == Some(Duration::ZERO) {
                return Ok(received(read));
            }
        }
        #[cfg(any(target_os = "android", target_os = "linux"))]
        self.gather.iter_mut().for_each(Gather::interrupt);
        if incoming.is_empty() {
            std::thread::sleep(self.remaining(until).unwrap_or(Duration::ZERO));
            return Ok(Transferred::default());
        }
        let first = self.read(incoming, self.remaining(until).map(coarse))?;
        if first.is_some() {
            return Ok(received(first));
        }
        match self.remaining(until) {
            Some(Duration::ZERO) => Ok(Transferred::default()),
            remaining => Ok(received(self.read(incoming, remaining)?)),
        }
    }

    fn close(&mut self) {
        if self.is_closed {
            return;
        }
        self.is_closed = true;
        #[cfg(any(target_os = "android", target_os = "linux"))]
        drop(self.gather.take());
        if self.stream.shutdown(Shutdown::Write).is_err() {
            // It is closed from the other side by now, which is as good.
            return;
        }
        // Closing with bytes unread would make the system take back what was sent, so they are read.
        let until = self.now() + LINGER;
        let mut unread = [0; 4096];
        while let Some(remaining) = self.remaining(Some(until)).filter(|remaining| !remaining.is_zero()) {
            match self.read(&mut unread, Some(remaining)) {
                Ok(Some(1..)) => {}
                // So is this.
                Ok(Some(0)) => return,
                Ok(None) | Err(_) => break,
            }
        }
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// One clock for all connections, so that time continues from one to the next.
#[cfg(not(all(target_os = "wasi", target_env = "p2")))]
pub(crate) fn now() -> Instant {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    Instant::from_start(START.get_or_init(std::time::Instant::now).elapsed())
}

/// One clock for all connections, so that time continues from one to the next.
#[cfg(all(target_os = "wasi", target_env = "p2"))]
pub(crate) fn now() -> Instant {
    super::wasi::WasiTransport::clock()
}

#[cfg(not(all(target_os = "wasi", target_env = "p2")))]
fn open(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    // No time at all is an error of its own there.
    TcpStream::connect_timeout(&address, timeout.max(Duration::from_millis(1)))
}

fn read_once(mut stream: &TcpStream, buffer: &mut [u8]) -> Result<Option<usize>, TransportError> {
    loop {
        return match stream.read(buffer) {
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if is_timeout(&error) => Ok(None),
            Err(error) => Err(broken(error)),
        };
    }
}

/// Whether nothing but the time that was set for it ended a read or write. Elsewhere than on Windows that a connection
/// has timed out means that the system gave it up.
fn is_timeout(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || (cfg!(windows) && error.kind() == ErrorKind::TimedOut)
}

/// What an error means on a connection that was made.
pub(super) fn broken(error: io::Error) -> TransportError {
    match error.kind() {
        ErrorKind::TimedOut => TransportError { kind: TransportErrorKind::ConnectionReset, message: error.to_string() },
        _ => error.into(),
    }
}

/// What an error of looking a name up means.
pub(super) fn unknown_host(error: io::Error) -> TransportError {
    let kind = match error.kind() {
        ErrorKind::PermissionDenied => TransportErrorKind::AccessDenied,
        _ => TransportErrorKind::UnknownHost,
    };
    TransportError { kind, message: error.to_string() }
}

/// A little less than `duration`, and the same for many durations, so that the timeout is seldom set anew.
fn coarse(duration: Duration) -> Duration {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let shift = 60_u32.saturating_sub(millis.leading_zeros());
    if millis < 16 { duration } else { Duration::from_millis(millis >> shift << shift) }
}

/// Why nothing could be connected to at this path.
#[cfg(unix)]
pub(super) fn of_socket(path: &str, error: io::Error) -> TransportError {
    let is_missing = error.kind() == ErrorKind::NotFound;
    let TransportError { kind, message } = error.into();
    let kind = if is_missing { TransportErrorKind::ConnectionRefused } else { kind };
    TransportError { kind, message: std::format!("{path}: {message}") }
}

impl From<io::Error> for TransportError {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::ConnectionRefused => TransportErrorKind::ConnectionRefused,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                TransportErrorKind::ConnectionReset
            }
            ErrorKind::TimedOut => TransportErrorKind::ConnectTimeout,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => {
                TransportErrorKind::Unreachable
            }
            ErrorKind::PermissionDenied => TransportErrorKind::AccessDenied,
            _ => TransportErrorKind::Other,
        };
        Self { kind, message: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_timeouts_are_never_later_and_seldom_new() {
        for millis in [1, 15, 16, 100, 999, 54_999, 55_000, u64::MAX] {
            let duration = Duration::from_millis(millis);
            assert!(coarse(duration) <= duration);
            assert!(coarse(duration) >= duration / 16 * 14, "{millis}");
        }
        assert_eq!(coarse(Duration::from_micros(54_999_999)), coarse(Duration::from_micros(54_000_001)));
    }
}
