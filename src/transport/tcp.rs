//! TCP through `std::net`, native and on `wasm32-wasip2`.

use alloc::string::ToString;
use core::time::Duration;
use std::io::{self, ErrorKind, Read, Write};
#[cfg(not(target_family = "wasm"))]
use std::net::IpAddr;
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::OnceLock;
#[cfg(not(target_family = "wasm"))]
use std::sync::mpsc::{self, RecvTimeoutError};

use super::addresses::Addresses;
use super::stream::{Layers, Stream};
use super::{Connector, Transferred, Transport};
use crate::error::{Error, TransportError, TransportErrorKind};
use crate::time::Instant;
use crate::url::BrokerUrl;

/// While the peer takes nothing, how long to wait for it before looking at what it sends, and the other way round.
const STALLED: Duration = Duration::from_millis(20);

/// How long [`Transport::close`] waits for the peer to close too.
const LINGER: Duration = Duration::from_millis(500);

/// A TCP connection, with TLS over it where the URL says `mqtts://`.
#[derive(Debug)]
pub struct TcpTransport(Stream<Tcp>);

/// The TCP connection itself.
#[derive(Debug)]
pub(super) struct Tcp {
    stream: TcpStream,
    /// The read timeout that is set, to set it only when it changes.
    read_timeout: Option<Duration>,
    /// Whether the peer took nothing when it was last written to.
    is_stalled: bool,
    is_closed: bool,
}

impl TcpTransport {
    /// Connects to the first of these addresses that takes the connection, within `timeout` in all, without TLS. IPv6 and
    /// IPv4 addresses take turns, and each has its share of the time that is left.
    ///
    /// On `wasm32-wasip2` the host's own timeout holds instead: the standard library cannot tell a refused connection
    /// from a made one with a timeout there.
    ///
    /// # Errors
    /// [`TransportErrorKind::UnknownHost`], [`TransportErrorKind::ConnectionRefused`],
    /// [`TransportErrorKind::Unreachable`], [`TransportErrorKind::ConnectTimeout`],
    /// [`TransportErrorKind::AccessDenied`].
    pub fn connect(addresses: impl ToSocketAddrs, timeout: Duration) -> Result<Self, TransportError> {
        Tcp::connect(addresses, now() + timeout).map(|tcp| Self(Stream::plain(tcp)))
    }

    /// Takes over a connected stream.
    ///
    /// # Errors
    /// [`TransportError`] when the stream's options cannot be set.
    pub fn new(stream: TcpStream) -> Result<Self, TransportError> {
        Tcp::new(stream).map(|tcp| Self(Stream::plain(tcp)))
    }

    /// The stream itself.
    #[must_use]
    pub const fn stream(&self) -> &TcpStream {
        &self.0.inner().stream
    }
}

impl Transport for TcpTransport {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        until: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        self.0.transfer(outgoing, incoming, until)
    }

    fn close(&mut self) {
        self.0.close();
    }
}

impl Tcp {
    fn connect(addresses: impl ToSocketAddrs, until: Instant) -> Result<Self, TransportError> {
        let resolved = addresses.to_socket_addrs().map_err(unknown_host)?;
        let mut addresses = Addresses::new(resolved, until);
        while let Some((address, until)) = addresses.next(now()) {
            match open(address, until.saturating_duration_since(now())).map_err(TransportError::from) {
                Ok(stream) => return Self::new(stream),
                Err(error) => addresses.failed(address, &error),
            }
        }
        Err(addresses.into_error())
    }

    fn new(stream: TcpStream) -> Result<Self, TransportError> {
        stream.set_nonblocking(false)?;
        // One write holds all there is to say, so waiting for more (Nagle's algorithm) only delays it.
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(STALLED))?;
        stream.set_read_timeout(None)?;
        Ok(Self { stream, read_timeout: None, is_stalled: false, is_closed: false })
    }

    /// Writes what the peer takes, waiting for that a little if it `may_wait`; `None` when the peer takes nothing.
    fn write(&mut self, bytes: &[u8], may_wait: bool) -> Result<Option<usize>, TransportError> {
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
        // Closing with bytes unread would make the system take back what was sent, so they are read.
        let until = self.now() + LINGER;
        if self.stream.shutdown(Shutdown::Write).is_ok() {
            let mut unread = [0; 4096];
            while let Some(remaining) = self.remaining(Some(until)).filter(|remaining| !remaining.is_zero())
                && let Ok(Some(1..)) = self.read(&mut unread, Some(remaining))
            {}
        }
        // It may be closed from the other side by now, which is as good.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Makes TCP connections, to `mqtt://` brokers and, with the feature `tls`, to `mqtts://` brokers.
///
/// To look a name up can take longer than anybody wants to wait, and cannot be interrupted: that, and connecting where the
/// caller does not wait for it, is done by a thread, which ends by itself. On `wasm32-wasip2` there are no threads, and a
/// call waits for the host to connect.
#[derive(Debug, Default)]
pub struct TcpConnector {
    layers: Layers,
    attempt: Option<Attempt>,
}

/// An attempt to connect.
#[derive(Debug)]
struct Attempt {
    url: BrokerUrl,
    until: Instant,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Start,
    /// A thread connects.
    #[cfg(not(target_family = "wasm"))]
    Elsewhere(mpsc::Receiver<Result<Tcp, TransportError>>),
    /// TLS is being agreed on.
    Handshake(Stream<Tcp>),
}

impl TcpConnector {
    /// Without options.
    #[must_use]
    pub const fn new() -> Self {
        Self { layers: Layers::none(), attempt: None }
    }

    /// With these options for TLS; `None`: the defaults.
    ///
    /// # Errors
    /// [`TlsFailure::Configuration`](crate::TlsFailure::Configuration).
    #[cfg(feature = "tls")]
    pub fn with_tls(tls: Option<super::TlsOptions>) -> Result<Self, Error> {
        Ok(Self { layers: Layers::new(tls)?, attempt: None })
    }

    fn try_to_advance(&mut self, until: Option<Instant>) -> Option<Result<TcpTransport, Error>> {
        let Self { layers, attempt } = self;
        let Attempt { url, until: end, stage } = attempt.as_mut()?;
        let waits_until = until.map_or(*end, |until| until.min(*end));
        loop {
            *stage = match stage {
                Stage::Start => {
                    if let Err(error) = layers.prepare(url) {
                        return Some(Err(error));
                    }
                    // An address needs no look-up, and whoever waits for as long as it may take need not be kept from it.
                    #[cfg(not(target_family = "wasm"))]
                    if url.host.parse::<IpAddr>().is_err() || waits_until < *end {
                        *stage = match connect_elsewhere(url, *end) {
                            Ok(connected) => Stage::Elsewhere(connected),
                            Err(error) => return Some(Err(error.into())),
                        };
                        continue;
                    }
                    match begin(layers, url, Tcp::connect((url.host.as_str(), url.port), *end)) {
                        Ok(stream) => Stage::Handshake(stream),
                        Err(error) => return Some(Err(error)),
                    }
                }
                #[cfg(not(target_family = "wasm"))]
                Stage::Elsewhere(connected) => {
                    let wait = waits_until.saturating_duration_since(now());
                    let connected = match connected.recv_timeout(wait) {
                        Ok(connected) => connected,
                        Err(RecvTimeoutError::Timeout) if now() < *end => return None,
                        Err(RecvTimeoutError::Timeout) => Err(timeout("while looking up the name, or connecting")),
                        Err(RecvTimeoutError::Disconnected) => {
                            Err(TransportErrorKind::Other.because("the thread that connects panicked"))
                        }
                    };
                    match begin(layers, url, connected) {
                        Ok(stream) => Stage::Handshake(stream),
                        Err(error) => return Some(Err(error)),
                    }
                }
                Stage::Handshake(stream) => match stream.advance_handshake(waits_until) {
                    Ok(true) => {
                        let Some(Attempt { stage: Stage::Handshake(stream), .. }) = attempt.take() else { return None };
                        return Some(Ok(TcpTransport(stream)));
                    }
                    Ok(false) if now() < *end => return None,
                    Ok(false) => {
                        stream.close();
                        return Some(Err(timeout("during the TLS handshake").into()));
                    }
                    Err(error) => return Some(Err(error.into())),
                },
            };
        }
    }
}

impl Connector for TcpConnector {
    type Transport = TcpTransport;

    fn now(&self) -> Instant {
        now()
    }

    fn start(&mut self, url: BrokerUrl, until: Instant) {
        self.attempt = Some(Attempt { url, until, stage: Stage::Start });
    }

    fn advance(&mut self, until: Option<Instant>) -> Option<Result<TcpTransport, Error>> {
        let advanced = self.try_to_advance(until);
        if advanced.is_some() {
            self.attempt = None;
        }
        advanced
    }

    fn cancel(&mut self) {
        self.attempt = None;
    }

    #[cfg(feature = "tls")]
    fn use_tls(&mut self, tls: super::TlsOptions) -> Result<(), Error> {
        self.layers = Layers::new(Some(tls))?;
        Ok(())
    }

    fn wait(&mut self, until: Instant) {
        std::thread::sleep(until.saturating_duration_since(now()));
    }

    fn random(&mut self) -> u64 {
        getrandom::u64().unwrap_or_default()
    }
}

/// Begins to speak over a connection, if it was made.
fn begin(layers: &mut Layers, url: &BrokerUrl, connected: Result<Tcp, TransportError>) -> Result<Stream<Tcp>, Error> {
    layers.begin(url, connected?)
}

#[cfg(not(target_family = "wasm"))]
fn connect_elsewhere(
    url: &BrokerUrl,
    until: Instant,
) -> Result<mpsc::Receiver<Result<Tcp, TransportError>>, TransportError> {
    let (connected, receiver) = mpsc::channel();
    let (host, port) = (url.host.clone(), url.port);
    let connect = move || {
        // Nobody may be left who wants it.
        let _ = connected.send(Tcp::connect((host.as_str(), port), until));
    };
    std::thread::Builder::new().name("mqtt-connect".into()).spawn(connect)?;
    Ok(receiver)
}

fn timeout(when: &str) -> TransportError {
    TransportErrorKind::ConnectTimeout.because(when)
}

/// One clock for all connections, so that time goes on from one to the next.
pub(crate) fn now() -> Instant {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    Instant::from_start(START.get_or_init(std::time::Instant::now).elapsed())
}

fn open(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    if cfg!(target_os = "wasi") {
        TcpStream::connect(address)
    } else {
        // No time at all is an error of its own there.
        TcpStream::connect_timeout(&address, timeout.max(Duration::from_millis(1)))
    }
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

/// Whether nothing but the time that was set for it ended a read or write. Elsewhere than on Windows that a connection has
/// timed out means that the system gave it up.
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
