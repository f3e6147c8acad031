//! TCP through `wasi:sockets` itself, for the component. Waits on pollables; never spins.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::net::IpAddr;
use core::time::Duration;

use super::stream::{Layers, Stream};
use super::{Connector, Transferred, Transport};
use crate::component::bindings::wasi::clocks::monotonic_clock;
use crate::component::bindings::wasi::io::poll::{self, Pollable};
use crate::component::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};
use crate::component::bindings::wasi::random::random::get_random_u64;
use crate::component::bindings::wasi::sockets::instance_network::instance_network;
use crate::component::bindings::wasi::sockets::ip_name_lookup::resolve_addresses;
use crate::component::bindings::wasi::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, Network,
};
use crate::component::bindings::wasi::sockets::tcp::{ShutdownType, TcpSocket};
use crate::component::bindings::wasi::sockets::tcp_create_socket::create_tcp_socket;
use crate::error::{Error, TransportError, TransportErrorKind};
use crate::options::Options;
use crate::time::Instant;
use crate::url::BrokerUrl;

/// How long the last bytes may take to leave the host, and the peer to close too.
const LINGER: Duration = Duration::from_millis(500);

/// As many addresses of a host are tried.
const MOST_ADDRESSES: usize = 16;

/// The most that is passed to the host in one call.
const MOST_WRITE: u64 = 1024 * 1024;

/// A TCP connection of the host.
pub(crate) struct WasiTransport {
    connection: Option<Connection>,
    /// The timer that was waited for last: whatever comes often ends before it, so it serves again.
    timer: Option<(Instant, Pollable)>,
}

/// A TCP connection of the host, with TLS over it where the URL says `mqtts://`.
pub(crate) type ComponentTransport = Stream<WasiTransport>;

/// Makes TCP connections of the host, to `mqtt://` brokers and, with the feature `tls`, to `mqtts://` brokers.
pub(crate) struct WasiConnector {
    layers: Layers,
}

impl WasiConnector {
    /// With what the options of a client say about TLS.
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        Ok(Self { layers: Layers::new(options)? })
    }
}

impl Connector for WasiConnector {
    type Transport = ComponentTransport;

    fn connect(&mut self, url: &BrokerUrl, timeout: Duration) -> Result<ComponentTransport, Error> {
        self.layers.connect(url, timeout, || WasiTransport::connect(&url.host, url.port, timeout))
    }

    fn wait(&mut self, duration: Duration) {
        timer_at(WasiTransport::clock() + duration).block();
    }

    fn random(&mut self) -> u64 {
        get_random_u64()
    }
}

/// The date, as the host has it.
#[cfg(feature = "tls")]
#[derive(Debug)]
pub(super) struct WallClock;

#[cfg(feature = "tls")]
impl rustls::time_provider::TimeProvider for WallClock {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let now = crate::component::bindings::wasi::clocks::wall_clock::now();
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
    /// Connects to the first address of `host` that takes the connection, within `timeout` in all.
    pub(crate) fn connect(host: &str, port: u16, timeout: Duration) -> Result<Self, TransportError> {
        let until = Self::clock() + timeout;
        let network = instance_network();
        let addresses: Vec<IpAddress> =
            Addresses::new(&network, host, until)?.take(MOST_ADDRESSES).collect::<Result<_, _>>()?;
        let mut failure = TransportErrorKind::UnknownHost.because("no address for this name");
        for (left, address) in (1..=addresses.len() as u32).rev().zip(addresses) {
            // An address that does not answer leaves the others their share of the time.
            let now = Self::clock();
            let share = until.saturating_duration_since(now) / left;
            match open(&network, socket_address(address, port), now + share) {
                Ok(connection) => return Ok(Self { connection: Some(connection), timer: None }),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    pub(crate) fn clock() -> Instant {
        Instant::from_start(Duration::from_nanos(monotonic_clock::now()))
    }

    /// A pollable of the bytes that come; `None` without a connection.
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
        let connection = self.connection.as_ref().ok_or(TransportErrorKind::ConnectionReset.because("closed"))?;
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
            pollables.extend((!incoming.is_empty()).then_some(&connection.readable));
            pollables.extend((!outgoing.is_empty()).then_some(&connection.writable));
            pollables.extend(timer.map(|(_, timer)| timer));
            poll::poll(&pollables);
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

/// Waits until one of these can read, if it wants input, or write, if it has something to; or until `until`.
pub(crate) fn wait_for_any<'a>(transports: impl Iterator<Item = (&'a WasiTransport, bool, bool)>, until: Instant) {
    let timer = timer_at(until);
    let mut pollables = Vec::from([&timer]);
    for (transport, wants_input, has_outgoing) in transports {
        let Some(connection) = &transport.connection else { continue };
        pollables.extend(wants_input.then_some(&connection.readable));
        pollables.extend(has_outgoing.then_some(&connection.writable));
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

/// Connects to one address.
fn open(network: &Network, address: IpSocketAddress, until: Instant) -> Result<Connection, TransportError> {
    let family = match address {
        IpSocketAddress::Ipv4(_) => IpAddressFamily::Ipv4,
        IpSocketAddress::Ipv6(_) => IpAddressFamily::Ipv6,
    };
    let socket = create_tcp_socket(family)?;
    socket.start_connect(network, address)?;
    let ready = socket.subscribe();
    let (input, output) = loop {
        match socket.finish_connect() {
            Err(ErrorCode::WouldBlock) if wait(&ready, until) => {}
            Err(ErrorCode::WouldBlock) => return Err(ErrorCode::Timeout.into()),
            result => break result?,
        }
    };
    drop(ready);
    let (readable, writable) = (input.subscribe(), output.subscribe());
    Ok(Connection { readable, writable, input, output, socket, is_watched: Cell::new(false) })
}

/// The addresses of a host, as the host of this component looks them up.
enum Addresses {
    Literal(Option<IpAddress>),
    LookUp {
        // In the order they must be dropped in.
        ready: Pollable,
        stream: crate::component::bindings::wasi::sockets::ip_name_lookup::ResolveAddressStream,
        until: Instant,
    },
}

impl Addresses {
    fn new(network: &Network, host: &str, until: Instant) -> Result<Self, TransportError> {
        // An address needs no look-up, which the host may not allow.
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Self::Literal(Some(match address {
                IpAddr::V4(address) => IpAddress::Ipv4(address.octets().into()),
                IpAddr::V6(address) => IpAddress::Ipv6(address.segments().into()),
            })));
        }
        let stream = resolve_addresses(network, host).map_err(look_up_error)?;
        Ok(Self::LookUp { ready: stream.subscribe(), stream, until })
    }
}

impl Iterator for Addresses {
    type Item = Result<IpAddress, TransportError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Literal(address) => address.take().map(Ok),
            Self::LookUp { ready, stream, until } => loop {
                match stream.resolve_next_address() {
                    Ok(address) => return address.map(Ok),
                    Err(ErrorCode::WouldBlock) if wait(ready, *until) => {}
                    Err(ErrorCode::WouldBlock) => return Some(Err(ErrorCode::Timeout.into())),
                    Err(error) => return Some(Err(look_up_error(error))),
                }
            },
        }
    }
}

fn socket_address(address: IpAddress, port: u16) -> IpSocketAddress {
    match address {
        IpAddress::Ipv4(address) => IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address }),
        IpAddress::Ipv6(address) => {
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info: 0, address, scope_id: 0 })
        }
    }
}

fn look_up_error(error: ErrorCode) -> TransportError {
    match error {
        // What a host says that allows no look-ups at all.
        ErrorCode::AccessDenied | ErrorCode::PermanentResolverFailure => {
            TransportErrorKind::AccessDenied.because("the host allows no name look-up; an IP address needs none")
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

impl TransportErrorKind {
    fn because(self, message: &str) -> TransportError {
        TransportError { kind: self, message: String::from(message) }
    }
}
