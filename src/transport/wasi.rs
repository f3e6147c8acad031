//! TCP through `wasi:sockets` itself, for the component, and for programs with std. Waits on pollables; never spins.

use alloc::vec::Vec;
use core::cell::Cell;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use super::addresses::Addresses;
use super::stream::{Layers, Stream};
use super::{Connector, Transferred, Transport};
use crate::error::{Error, TransportError, TransportErrorKind};
use crate::time::Instant;
use crate::url::BrokerUrl;
#[cfg(feature = "component")]
use crate::wit::wasi as host;
use host::clocks::monotonic_clock;
use host::io::poll::{self, Pollable};
use host::io::streams::{InputStream, OutputStream, StreamError};
use host::random::random::get_random_u64;
use host::sockets::instance_network::instance_network;
use host::sockets::ip_name_lookup::{ResolveAddressStream, resolve_addresses};
use host::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use host::sockets::tcp::{ShutdownType, TcpSocket};
use host::sockets::tcp_create_socket::create_tcp_socket;
#[cfg(not(feature = "component"))]
use wasip2 as host;

/// How long the last bytes may take to leave the host, and the peer to close too.
const LINGER: Duration = Duration::from_millis(500);

/// The most that is passed to the host in one call.
const MOST_WRITE: u64 = 1024 * 1024;

/// A TCP connection of the host.
pub(crate) struct WasiTransport {
    connection: Option<Connection>,
    /// The timer that was waited for last: whatever comes often ends before it, so it serves again. Not one that was
    /// ready.
    timer: Option<(Instant, Pollable)>,
}

/// A TCP connection of the host, with TLS over it where the URL says `mqtts://`.
pub(crate) type ComponentTransport = Stream<WasiTransport>;

/// Makes TCP connections of the host, to `mqtt://` brokers and, with the feature `tls`, to `mqtts://` brokers. Nothing
/// of it waits longer than it is told to.
pub(crate) struct WasiConnector {
    layers: Layers,
    attempt: Option<Attempt>,
}

/// An attempt to connect, and what it has come to. What is there last continues.
struct Attempt {
    url: BrokerUrl,
    until: Instant,
    /// The host looks the name up: what it has found so far.
    found: Vec<SocketAddr>,
    look_up: Option<LookUp>,
    /// What is left to try.
    addresses: Option<Addresses>,
    /// An address is being tried.
    connecting: Option<Connecting>,
    /// TLS is being agreed on.
    stream: Option<ComponentTransport>,
}

/// A name that is being looked up. In the order that these must be dropped in.
struct LookUp {
    ready: Pollable,
    stream: ResolveAddressStream,
}

/// A connection that is being made. Pollable and socket are in the order that they must be dropped in.
struct Connecting {
    ready: Pollable,
    socket: TcpSocket,
    address: SocketAddr,
    until: Instant,
}

impl WasiConnector {
    /// With these options for TLS; `None`: the defaults.
    #[cfg(feature = "tls")]
    pub(crate) fn with_tls(tls: Option<super::TlsOptions>) -> Result<Self, Error> {
        Ok(Self { layers: Layers::new(tls)?, attempt: None })
    }

    /// Without options.
    #[cfg(any(feature = "std", not(feature = "tls")))]
    pub(crate) const fn new() -> Self {
        Self { layers: Layers::none(), attempt: None }
    }

    /// What the attempt waits for, if it waits for the host.
    #[cfg(feature = "component")]
    fn waits_for(&self) -> Option<&Pollable> {
        let attempt = self.attempt.as_ref()?;
        if let Some(stream) = &attempt.stream {
            return stream.inner().connection.as_ref().map(|connection| &connection.readable);
        }
        let connecting = attempt.connecting.as_ref().map(|connecting| &connecting.ready);
        connecting.or(attempt.look_up.as_ref().map(|look_up| &look_up.ready))
    }

    fn try_to_advance(&mut self, until: Option<Instant>) -> Result<Option<ComponentTransport>, Error> {
        let Some(attempt) = &mut self.attempt else { return Ok(None) };
        let waits_until = until.map_or(attempt.until, |until| until.min(attempt.until));
        while attempt.stream.is_none() {
            if !attempt.step(&mut self.layers, waits_until)? {
                return Ok(None);
            }
        }
        if let Some(stream) = &mut attempt.stream
            && !stream.advance_handshake(waits_until)?
        {
            if WasiTransport::clock() < attempt.until {
                return Ok(None);
            }
            stream.close();
            return Err(TransportErrorKind::ConnectTimeout.because("during the TLS handshake").into());
        }
        Ok(attempt.stream.take())
    }
}

impl Attempt {
    /// Takes one step towards a stream; whether there may be another before `waits_until`.
    fn step(&mut self, layers: &mut Layers, waits_until: Instant) -> Result<bool, Error> {
        if let Some(connecting) = &self.connecting {
            let streams = match connecting.socket.finish_connect() {
                Ok(streams) => streams,
                Err(ErrorCode::WouldBlock) => {
                    let is_ready = wait(&connecting.ready, waits_until.min(connecting.until));
                    if is_ready || WasiTransport::clock() < connecting.until {
                        return Ok(is_ready);
                    }
                    return Ok(self.failed(ErrorCode::Timeout));
                }
                Err(error) => return Ok(self.failed(error)),
            };
            if let Some(connecting) = self.connecting.take() {
                let connection = Some(connecting.finish(streams));
                self.stream = Some(layers.begin(&self.url, WasiTransport { connection, timer: None })?);
            }
        } else if let Some(addresses) = &mut self.addresses {
            let Some((address, until)) = addresses.next(WasiTransport::clock()) else {
                return Err(self
                    .addresses
                    .take()
                    .map_or(TransportErrorKind::UnknownHost.because(""), Addresses::into_error)
                    .into());
            };
            match Connecting::start(address, until) {
                Ok(connecting) => self.connecting = Some(connecting),
                Err(error) => addresses.failed(address, &error.into()),
            }
        } else if let Some(look_up) = &self.look_up {
            match look_up.stream.resolve_next_address() {
                Ok(Some(address)) => self.found.push(SocketAddr::new(ip_address(address), self.url.port)),
                Ok(None) => self.resolved(),
                Err(ErrorCode::WouldBlock) => {
                    let is_ready = wait(&look_up.ready, waits_until);
                    if is_ready || WasiTransport::clock() < self.until {
                        return Ok(is_ready);
                    }
                    return Err(TransportErrorKind::ConnectTimeout.because("while looking up the name").into());
                }
                Err(error) => return Err(look_up_error(error).into()),
            }
        } else {
            layers.prepare(&self.url)?;
            // An address needs no look-up, which the host may not allow.
            if let Ok(address) = self.url.host.parse::<IpAddr>() {
                self.found.push(SocketAddr::new(address, self.url.port));
                self.resolved();
            } else {
                let stream = resolve_addresses(&instance_network(), &self.url.host).map_err(look_up_error)?;
                self.look_up = Some(LookUp { ready: stream.subscribe(), stream });
            }
        }
        Ok(true)
    }

    fn resolved(&mut self) {
        self.look_up = None;
        self.addresses = Some(Addresses::new(core::mem::take(&mut self.found), self.until));
    }

    /// The address that is being tried has failed: on to the next.
    fn failed(&mut self, error: ErrorCode) -> bool {
        if let (Some(connecting), Some(addresses)) = (self.connecting.take(), &mut self.addresses) {
            addresses.failed(connecting.address, &error.into());
        }
        true
    }
}

impl Connecting {
    fn start(address: SocketAddr, until: Instant) -> Result<Self, ErrorCode> {
        let (family, remote) = match address {
            SocketAddr::V4(address) => {
                let (port, octets) = (address.port(), address.ip().octets().into());
                (IpAddressFamily::Ipv4, IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: octets }))
            }
            SocketAddr::V6(address) => {
                let (port, segments) = (address.port(), address.ip().segments().into());
                let address = Ipv6SocketAddress { port, flow_info: 0, address: segments, scope_id: 0 };
                (IpAddressFamily::Ipv6, IpSocketAddress::Ipv6(address))
            }
        };
        let socket = create_tcp_socket(family)?;
        socket.start_connect(&instance_network(), remote)?;
        Ok(Self { ready: socket.subscribe(), socket, address, until })
    }

    /// Waits until it is made, or its time is over.
    #[cfg(feature = "std")]
    fn wait(self) -> Result<Connection, ErrorCode> {
        loop {
            match self.socket.finish_connect() {
                Ok(streams) => return Ok(self.finish(streams)),
                Err(ErrorCode::WouldBlock) if wait(&self.ready, self.until) => {}
                Err(ErrorCode::WouldBlock) => return Err(ErrorCode::Timeout),
                Err(error) => return Err(error),
            }
        }
    }

    fn finish(self, (input, output): (InputStream, OutputStream)) -> Connection {
        let Self { ready, socket, .. } = self;
        drop(ready);
        let (readable, writable) = (input.subscribe(), output.subscribe());
        Connection { readable, writable, input, output, socket, is_watched: Cell::new(false) }
    }
}

impl Connector for WasiConnector {
    type Transport = ComponentTransport;

    fn now(&self) -> Instant {
        WasiTransport::clock()
    }

    fn start(&mut self, url: BrokerUrl, until: Instant) {
        self.attempt = Some(Attempt {
            url,
            until,
            found: Vec::new(),
            look_up: None,
            addresses: None,
            connecting: None,
            stream: None,
        });
    }

    fn advance(&mut self, until: Option<Instant>) -> Option<Result<ComponentTransport, Error>> {
        let advanced = self.try_to_advance(until).transpose();
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
        timer_at(until).block();
    }

    fn random(&mut self) -> u64 {
        get_random_u64()
    }

    fn as_any(&self) -> Option<&dyn core::any::Any> {
        Some(self)
    }
}

/// The date, as the host has it.
#[cfg(all(feature = "component", feature = "tls"))]
#[derive(Debug)]
pub(super) struct WallClock;

#[cfg(all(feature = "component", feature = "tls"))]
impl rustls::time_provider::TimeProvider for WallClock {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let now = host::clocks::wall_clock::now();
        Some(rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(now.seconds)))
    }
}

/// What must be dropped in this order: a host traps when something is dropped before what was made from it.
struct Connection {
    readable: Pollable,
    writable: Pollable,
    input: InputStream,
    output: OutputStream,
    socket: TcpSocket,
    /// Whether somebody else has a pollable of the input stream, and may keep it longer than the connection.
    is_watched: Cell<bool>,
}

impl WasiTransport {
    /// Connects to the first of these addresses that takes the connection, until then at the latest.
    #[cfg(feature = "std")]
    pub(super) fn connect(
        resolved: impl IntoIterator<Item = SocketAddr>,
        until: Instant,
    ) -> Result<Self, TransportError> {
        let mut addresses = Addresses::new(resolved, until);
        while let Some((address, until)) = addresses.next(Self::clock()) {
            match Connecting::start(address, until).and_then(Connecting::wait) {
                Ok(connection) => return Ok(Self { connection: Some(connection), timer: None }),
                Err(error) => addresses.failed(address, &error.into()),
            }
        }
        Err(addresses.into_error())
    }

    pub(crate) fn clock() -> Instant {
        Instant::from_start(Duration::from_nanos(monotonic_clock::now()))
    }

    /// A pollable of the bytes that come; `None` without a connection.
    #[cfg(feature = "component")]
    pub(crate) fn readiness(&self) -> Option<Pollable> {
        let connection = self.connection.as_ref()?;
        connection.is_watched.set(true);
        Some(connection.input.subscribe())
    }
}

impl Transport for WasiTransport {
    fn now(&self) -> Instant {
        Self::clock()
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        until: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        let connection = self.connection.as_ref().ok_or(TransportErrorKind::ConnectionReset.because("it is closed"))?;
        loop {
            let sent = connection.write(outgoing)?;
            if sent > 0 {
                return Ok(Transferred { sent, ..Transferred::default() });
            }
            if let Some(received) = connection.read(incoming)? {
                return Ok(Transferred { received, closed: received == 0, sent: 0 });
            }
            if until.is_some_and(|until| Self::clock() >= until) {
                return Ok(Transferred::default());
            }
            let timer = match until {
                Some(until) if self.timer.as_ref().is_some_and(|(at, _)| *at == until) => self.timer.as_ref(),
                Some(until) => Some(&*self.timer.insert((until, timer_at(until)))),
                None => None,
            };
            let mut pollables = Vec::with_capacity(3);
            pollables.extend(timer.map(|(_, timer)| timer));
            pollables.extend((!incoming.is_empty()).then_some(&connection.readable));
            pollables.extend((!outgoing.is_empty()).then_some(&connection.writable));
            let ready = poll::poll(&pollables);
            if timer.is_some() && ready.contains(&0) {
                // It stays ready for ever. If the host's clock was set back, or runs slower than its timers, the time
                // has not come by that, and what is waited for is asked anew.
                self.timer = None;
            }
        }
    }

    fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.linger();
            connection.release();
        }
    }
}

impl Drop for WasiTransport {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.release();
        }
    }
}

impl Connection {
    /// Sends what the host takes without waiting.
    fn write(&self, outgoing: &[u8]) -> Result<usize, TransportError> {
        if outgoing.is_empty() {
            return Ok(0);
        }
        let room = self.output.check_write()?.min(MOST_WRITE) as usize;
        let len = room.min(outgoing.len());
        if len > 0 {
            self.output.write(&outgoing[..len])?;
        }
        Ok(len)
    }

    /// Takes what has come; zero bytes when the peer closed, `None` when there is nothing yet.
    fn read(&self, incoming: &mut [u8]) -> Result<Option<usize>, TransportError> {
        if incoming.is_empty() {
            return Ok(None);
        }
        match self.input.read(incoming.len() as u64) {
            Ok(bytes) if bytes.is_empty() => Ok(None),
            Ok(bytes) => {
                incoming[..bytes.len()].copy_from_slice(&bytes);
                Ok(Some(bytes.len()))
            }
            Err(StreamError::Closed) => Ok(Some(0)),
            Err(error) => Err(error.into()),
        }
    }

    /// Closes the connection and gives its handles back to the host, unless that would trap or hang.
    ///
    /// To drop the input stream before a pollable that was made of it traps, and when its owner drops that cannot be
    /// known. To drop the output stream while bytes wait in the host waits for a peer that may never take them. In both
    /// cases the socket is shut down, and its handles stay until the instance ends.
    fn release(self) {
        let is_stuck = matches!(self.output.check_write(), Ok(0));
        if self.is_watched.get() || is_stuck {
            let _ = self.socket.shutdown(ShutdownType::Both);
            core::mem::forget(self);
        }
    }

    /// Ends the connection such that what was sent arrives.
    fn linger(&self) {
        let until = WasiTransport::clock() + LINGER;
        let timer = timer_at(until);
        let mut unread = [0; 4096];
        // The peer may have closed by now, which is as good; nothing is left to tell about it.
        let _ = self.output.flush();
        while matches!(self.output.check_write(), Ok(0)) && !timer.ready() {
            poll::poll(&[&self.writable, &timer]);
        }
        let _ = self.socket.shutdown(ShutdownType::Send);
        while !timer.ready() {
            match self.read(&mut unread) {
                Ok(Some(1..)) => {}
                Ok(None) => drop(poll::poll(&[&self.readable, &timer])),
                _ => break,
            }
        }
        let _ = self.socket.shutdown(ShutdownType::Both);
    }
}

/// What a client waits for.
#[cfg(feature = "component")]
pub(crate) enum Interest<'a> {
    /// To continue to connect.
    Connector(&'a WasiConnector),
    /// To read or write.
    Transport { transport: &'a WasiTransport, reads: bool, writes: bool },
}

/// Waits until one of these can continue, or until `until`.
#[cfg(feature = "component")]
pub(crate) fn wait_for_any<'a>(interests: impl Iterator<Item = Interest<'a>>, until: Instant) {
    let timer = timer_at(until);
    let mut pollables = Vec::from([&timer]);
    for interest in interests {
        match interest {
            Interest::Connector(connector) => pollables.extend(connector.waits_for()),
            Interest::Transport { transport, reads, writes } => {
                let Some(connection) = &transport.connection else { continue };
                pollables.extend(reads.then_some(&connection.readable));
                pollables.extend(writes.then_some(&connection.writable));
            }
        }
    }
    poll::poll(&pollables);
}

fn timer_at(until: Instant) -> Pollable {
    let nanos = until.saturating_duration_since(Instant::ZERO).as_nanos();
    monotonic_clock::subscribe_instant(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Waits for `pollable`; `false` when `until` came first.
fn wait(pollable: &Pollable, until: Instant) -> bool {
    poll::poll(&[pollable, &timer_at(until)]).contains(&0)
}

fn ip_address(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).into(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => Ipv6Addr::new(a, b, c, d, e, f, g, h).into(),
    }
}

fn look_up_error(error: ErrorCode) -> TransportError {
    match error {
        // What a host says that allows no look-ups at all.
        ErrorCode::AccessDenied | ErrorCode::PermanentResolverFailure => {
            TransportErrorKind::AccessDenied.because("name look-up is not allowed (an IP address needs none)")
        }
        _ => TransportErrorKind::UnknownHost.because(error.name()),
    }
}

impl From<ErrorCode> for TransportError {
    fn from(error: ErrorCode) -> Self {
        let kind = match error {
            ErrorCode::AccessDenied => TransportErrorKind::AccessDenied,
            ErrorCode::ConnectionRefused => TransportErrorKind::ConnectionRefused,
            ErrorCode::RemoteUnreachable => TransportErrorKind::Unreachable,
            ErrorCode::Timeout => TransportErrorKind::ConnectTimeout,
            ErrorCode::ConnectionReset | ErrorCode::ConnectionAborted => TransportErrorKind::ConnectionReset,
            _ => TransportErrorKind::Other,
        };
        kind.because(error.name())
    }
}

impl From<StreamError> for TransportError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Closed => TransportErrorKind::ConnectionReset.because("the stream is closed"),
            StreamError::LastOperationFailed(error) => {
                Self { kind: TransportErrorKind::ConnectionReset, message: error.to_debug_string() }
            }
        }
    }
}
