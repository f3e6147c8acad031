//! TCP through `wasi:sockets` itself, for the component, and for programs with std. Waits on pollables; never spins.

#[cfg(feature = "ws")]
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use super::addresses::Addresses;
#[cfg(feature = "host-tls")]
use super::host_tls::{Handshake, Secured, TlsOptions};
use super::stream::{Layers, Stream};
use super::{Connector, Transferred, Transport};
use crate::error::{Error, TransportError, TransportErrorKind};
#[cfg(feature = "component")]
use crate::landing::read_into;
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
#[cfg(feature = "host-tls")]
use host::tls::types::ClientConnection;
#[cfg(not(feature = "component"))]
use wasip2 as host;

/// How long the last bytes may take to leave the host, and the peer to close too.
const LINGER: Duration = Duration::from_millis(500);

/// The most that is passed to the host in one call.
const MOST_WRITE: u64 = 1024 * 1024;

/// A TCP connection of the host.
pub(crate) struct WasiTransport {
    connection: Option<Connection>,
    /// The timer that was waited for last: whatever comes often ends before it, so it serves again, also for what is
    /// later. Not one that was ready.
    timer: Option<(Instant, Pollable)>,
    /// What time it was when that was asked last, which is a call of the host.
    last_known: Cell<Instant>,
    /// Whether bytes were written since there was nothing more to read. An answer to them takes a while.
    awaits_answer: bool,
}

/// A TCP connection of the host, with TLS and WebSocket over it as the URL says.
pub(crate) type ComponentTransport = Stream<WasiTransport>;

/// Makes TCP connections of the host, to `mqtt://` brokers; with the feature `tls` to `mqtts://` brokers, with `ws` to
/// `ws://` brokers, and with both to `wss://` brokers. Nothing of it waits longer than it is told to.
pub(crate) struct WasiConnector {
    layers: Layers,
    #[cfg(feature = "host-tls")]
    tls: Option<TlsOptions>,
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
    /// The host does TLS.
    #[cfg(feature = "host-tls")]
    handshake: Option<Handshake>,
    /// TLS and WebSocket are being agreed on.
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
    #[cfg(all(feature = "std", feature = "tls"))]
    pub(crate) fn with_tls(tls: Option<super::TlsOptions>) -> Result<Self, Error> {
        let mut connector = Self::new();
        connector.layers.use_tls(tls)?;
        Ok(connector)
    }

    /// Without options.
    pub(crate) const fn new() -> Self {
        Self {
            layers: Layers::none(),
            #[cfg(feature = "host-tls")]
            tls: None,
            attempt: None,
        }
    }

    /// Connects through this proxy from now on.
    #[cfg(feature = "proxy")]
    pub(crate) fn use_proxy(&mut self, proxy: Option<super::Proxy>) {
        self.layers.use_proxy(proxy);
    }

    /// What the attempt waits for, if it waits for the host.
    #[cfg(feature = "component")]
    fn waits_for(&self) -> Option<&Pollable> {
        let attempt = self.attempt.as_ref()?;
        if let Some(stream) = &attempt.stream {
            return stream.inner().connection.as_ref().map(|connection| &connection.readable);
        }
        #[cfg(feature = "host-tls")]
        if let Some(handshake) = &attempt.handshake {
            return Some(&handshake.ready);
        }
        let connecting = attempt.connecting.as_ref().map(|connecting| &connecting.ready);
        connecting.or(attempt.look_up.as_ref().map(|look_up| &look_up.ready))
    }

    fn try_to_advance(&mut self, until: Option<Instant>) -> Result<Option<ComponentTransport>, Error> {
        let Some(attempt) = &mut self.attempt else { return Ok(None) };
        let waits_until = until.map_or(attempt.until, |until| until.min(attempt.until));
        while attempt.stream.is_none() {
            #[cfg(feature = "host-tls")]
            if let Some(is_on) = attempt.step_in_handshake(&mut self.layers, waits_until)? {
                if !is_on {
                    return Ok(None);
                }
                continue;
            }
            #[cfg(feature = "host-tls")]
            let tls = self.tls.as_ref();
            if !attempt.step(
                &mut self.layers,
                waits_until,
                #[cfg(feature = "host-tls")]
                tls,
            )? {
                return Ok(None);
            }
        }
        if let Some(stream) = &mut attempt.stream
            && !stream.advance_handshake(waits_until)?
        {
            if WasiTransport::clock() < attempt.until {
                return Ok(None);
            }
            let when = stream.handshake();
            stream.close();
            return Err(TransportErrorKind::ConnectTimeout.because(when).into());
        }
        Ok(attempt.stream.take())
    }
}

impl Attempt {
    /// Takes one step towards a stream; whether there may be another before `waits_until`.
    fn step(
        &mut self,
        layers: &mut Layers,
        waits_until: Instant,
        #[cfg(feature = "host-tls")] tls: Option<&TlsOptions>,
    ) -> Result<bool, Error> {
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
                #[cfg(feature = "host-tls")]
                if self.url.scheme.is_encrypted() {
                    let Connecting { ready, socket, .. } = connecting;
                    drop(ready);
                    self.handshake = Some(Handshake::begin(&self.url.host, tls, streams, socket));
                    return Ok(true);
                }
                let connection = connecting.finish(streams);
                self.stream = Some(layers.begin(&self.url, WasiTransport::new(connection))?);
            }
        } else if let Some(addresses) = &mut self.addresses {
            let Some((address, until)) = addresses.next(WasiTransport::clock()) else {
                let addresses = self.addresses.take();
                let error = addresses.map_or(TransportErrorKind::UnknownHost.because(""), Addresses::into_error);
                return Err(layers.failed(&self.url, error).into());
            };
            match Connecting::start(address, until) {
                Ok(connecting) => self.connecting = Some(connecting),
                Err(error) => addresses.failed(address, &error.into()),
            }
        } else if let Some(look_up) = &self.look_up {
            match look_up.stream.resolve_next_address() {
                Ok(Some(address)) => {
                    self.found.push(SocketAddr::new(ip_address(address), layers.place(&self.url).1));
                }
                Ok(None) => self.resolved(),
                Err(ErrorCode::WouldBlock) => {
                    let is_ready = wait(&look_up.ready, waits_until);
                    if is_ready || WasiTransport::clock() < self.until {
                        return Ok(is_ready);
                    }
                    return Err(TransportErrorKind::ConnectTimeout.because("while looking up the name").into());
                }
                Err(error) => return Err(layers.failed(&self.url, look_up_error(error)).into()),
            }
        } else {
            layers.prepare(&self.url)?;
            // An address needs no look-up, which the host may not allow.
            let (host, port) = layers.place(&self.url);
            if let Ok(address) = host.parse::<IpAddr>() {
                self.found.push(SocketAddr::new(address, port));
                self.resolved();
            } else {
                let stream = resolve_addresses(&instance_network(), host)
                    .map_err(|error| layers.failed(&self.url, look_up_error(error)))?;
                self.look_up = Some(LookUp { ready: stream.subscribe(), stream });
            }
        }
        Ok(true)
    }

    /// The same while the host does TLS; `None` while it does not.
    #[cfg(feature = "host-tls")]
    fn step_in_handshake(&mut self, layers: &mut Layers, waits_until: Instant) -> Result<Option<bool>, Error> {
        let Some(handshake) = self.handshake.take() else { return Ok(None) };
        let handshake = match handshake.end()? {
            Ok(secured) => {
                let connection = Connection::secured(secured);
                self.stream = Some(layers.begin(&self.url, WasiTransport::new(connection))?);
                return Ok(Some(true));
            }
            Err(handshake) => handshake,
        };
        let is_ready = wait(&handshake.ready, waits_until);
        if is_ready || WasiTransport::clock() < self.until {
            self.handshake = Some(handshake);
            return Ok(Some(is_ready));
        }
        Err(TransportErrorKind::ConnectTimeout.because("during the TLS handshake").into())
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
        Connection {
            readable,
            writable,
            input,
            output,
            #[cfg(feature = "host-tls")]
            tls: None,
            socket,
            is_watched: Cell::new(false),
        }
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
            #[cfg(feature = "host-tls")]
            handshake: None,
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
        self.layers.use_tls(Some(tls))
    }

    #[cfg(feature = "host-tls")]
    fn use_tls(&mut self, tls: TlsOptions) -> Result<(), Error> {
        self.tls = Some(tls);
        Ok(())
    }

    #[cfg(feature = "ws")]
    fn use_websocket_headers(&mut self, headers: Vec<(String, String)>) -> Result<(), Error> {
        self.layers.use_websocket_headers(headers)
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
#[cfg(all(not(feature = "std"), feature = "tls"))]
#[derive(Debug)]
pub(super) struct WallClock;

#[cfg(all(not(feature = "std"), feature = "tls"))]
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
    /// TLS, if the host does it: the streams are those within.
    #[cfg(feature = "host-tls")]
    tls: Option<ClientConnection>,
    socket: TcpSocket,
    /// Whether somebody else has a pollable of the input stream, and may keep it longer than the connection.
    is_watched: Cell<bool>,
}

impl WasiTransport {
    fn new(connection: Connection) -> Self {
        let last_known = Cell::new(Self::clock());
        Self { connection: Some(connection), timer: None, last_known, awaits_answer: false }
    }

    /// Connects to the first of these addresses that takes the connection, until then at the latest.
    #[cfg(feature = "std")]
    pub(super) fn connect(
        resolved: impl IntoIterator<Item = SocketAddr>,
        until: Instant,
    ) -> Result<Self, TransportError> {
        let mut addresses = Addresses::new(resolved, until);
        while let Some((address, until)) = addresses.next(Self::clock()) {
            match Connecting::start(address, until).and_then(Connecting::wait) {
                Ok(connection) => return Ok(Self::new(connection)),
                Err(error) => addresses.failed(address, &error.into()),
            }
        }
        Err(addresses.into_error())
    }

    pub(crate) fn clock() -> Instant {
        Instant::from_nanos(monotonic_clock::now())
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
    #[inline(never)]
    fn now(&self) -> Instant {
        let now = Self::clock();
        self.last_known.set(now);
        now
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        until: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        let connection = self.connection.as_ref().ok_or(TransportErrorKind::ConnectionReset.because("it is closed"))?;
        let (mut has_waited, mut is_known) = (false, true);
        let moved = loop {
            let sent = connection.write(outgoing)?;
            if sent > 0 {
                self.awaits_answer = true;
                break Transferred { sent, ..Transferred::default() };
            }
            let is_over = until.is_some_and(|until| until <= self.last_known.get());
            if is_over || has_waited || !self.awaits_answer {
                self.awaits_answer = false;
                if let Some(received) = connection.read(incoming)? {
                    break Transferred { received, closed: received == 0, sent: 0 };
                }
            }
            if is_over {
                break Transferred::default();
            }
            is_known = connection.wait(&mut self.timer, until, !incoming.is_empty(), !outgoing.is_empty());
            has_waited = true;
            if is_known {
                self.now();
            }
        };
        if !is_known {
            self.now();
        }
        Ok(moved)
    }

    fn now_after_transfer(&self) -> Instant {
        self.last_known.get()
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
    #[cfg(feature = "host-tls")]
    fn secured(Secured { input, output, tls, socket }: Secured) -> Self {
        let (readable, writable) = (input.subscribe(), output.subscribe());
        Self { readable, writable, input, output, tls: Some(tls), socket, is_watched: Cell::new(false) }
    }

    /// Sends what the host takes without waiting.
    fn write(&self, outgoing: &[u8]) -> Result<usize, TransportError> {
        if outgoing.is_empty() {
            return Ok(0);
        }
        let room = self.output.check_write()?.min(MOST_WRITE) as usize;
        let len = room.min(outgoing.len());
        if len > 0 {
            self.output.write(&outgoing[..len])?;
            #[cfg(feature = "host-tls")]
            if self.tls.is_some() {
                // The end of a record may wait within TLS for more, where TCP takes no more now.
                self.output.flush()?;
            }
        }
        Ok(len)
    }

    /// Takes what has come; zero bytes when the peer closed, `None` when there is nothing yet.
    fn read(&self, incoming: &mut [u8]) -> Result<Option<usize>, TransportError> {
        if incoming.is_empty() {
            return Ok(None);
        }
        match read_into(&self.input, incoming) {
            Ok(0) => Ok(None),
            Ok(len) => Ok(Some(len)),
            Err(StreamError::Closed) => Ok(Some(0)),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until there is something to read or write, or until then; whether the time it waited for is over, which
    /// may be before `until`.
    fn wait(&self, timer: &mut Option<(Instant, Pollable)>, until: Option<Instant>, reads: bool, writes: bool) -> bool {
        let waited_for = match until {
            // To wake up too early does no harm, and that once.
            Some(until) if timer.as_ref().is_some_and(|(at, _)| *at <= until) => timer.as_ref(),
            Some(until) => Some(&*timer.insert((until, timer_at(until)))),
            None => None,
        };
        let mut pollables = Vec::with_capacity(3);
        pollables.extend(waited_for.map(|(_, timer)| timer));
        pollables.extend(reads.then_some(&self.readable));
        pollables.extend(writes.then_some(&self.writable));
        let is_over = poll::poll(&pollables).contains(&0) && waited_for.is_some();
        if is_over {
            // It stays ready for ever. If the host's clock was set back, or runs slower than its timers, the time has not
            // come by that, and what is waited for is asked anew.
            *timer = None;
        }
        is_over
    }

    /// Closes the connection and gives its handles back to the host, unless that would trap or hang.
    ///
    /// To drop the input stream before a pollable that was made of it traps, and when its owner drops that cannot be
    /// known. To drop the output stream while bytes wait in the host waits for a peer that may never take them. In both
    /// cases the socket is shut down, and its handles stay until the instance ends.
    fn release(self) {
        // A host that does TLS looks whether it is done with a write when it is asked to wait for it.
        let is_stuck = matches!(self.output.check_write(), Ok(0)) && !self.writable.ready();
        if self.is_watched.get() || is_stuck {
            let _ = self.socket.shutdown(ShutdownType::Both);
            core::mem::forget(self);
        }
    }

    /// Waits until the host takes more, or the stream is closed.
    fn wait_until_written(&self, timer: &Pollable) {
        while matches!(self.output.check_write(), Ok(0)) && !timer.ready() {
            poll::poll(&[&self.writable, timer]);
        }
    }

    /// Ends the connection such that what was sent arrives.
    fn linger(&self) {
        let until = WasiTransport::clock() + LINGER;
        let timer = timer_at(until);
        let mut unread = [0; 4096];
        // The peer may have closed by now, which is as good; nothing is left to tell about it.
        let _ = self.output.flush();
        self.wait_until_written(&timer);
        #[cfg(feature = "host-tls")]
        if let Some(tls) = &self.tls {
            // The peer is told that this is the end, not a cut.
            tls.close_output();
            self.wait_until_written(&timer);
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

/// Reads what has come, without waiting; how many bytes that was.
#[cfg(not(feature = "component"))]
fn read_into(stream: &InputStream, incoming: &mut [u8]) -> Result<usize, StreamError> {
    let bytes = stream.read(incoming.len() as u64)?;
    incoming[..bytes.len()].copy_from_slice(&bytes);
    Ok(bytes.len())
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
    monotonic_clock::subscribe_instant(until.nanos())
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
