//! The TCP connections of native clients, through `std::net`.

use alloc::borrow::ToOwned;
#[cfg(feature = "ws")]
use alloc::{string::String, vec::Vec};
use core::time::Duration;
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{self, RecvTimeoutError};

use super::stream::{Layers, Stream};
use super::tcp::{Tcp, now};
use super::{Connector, Transferred, Transport};
use crate::error::{Error, TransportError, TransportErrorKind};
use crate::time::Instant;
use crate::url::BrokerUrl;

/// A TCP connection, with TLS and WebSocket over it as the URL says.
///
#[doc = example!()]
/// # let address = broker.address();
/// use std::time::Duration;
/// use mqtt_wasi::{Client, Options, TcpTransport};
///
/// let transport = TcpTransport::connect(&address, Duration::from_secs(10))?;
/// let client = Client::connect_over(transport, Options::new())?;
/// assert!(client.is_connected());
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug)]
pub struct TcpTransport(Stream<Tcp>);

impl TcpTransport {
    /// Connects without TLS, to the first of these addresses that accepts the connection, within `timeout` in all. IPv6
    /// and IPv4 addresses take turns, and each has its share of the time that is left.
    ///
    /// # Errors
    /// [`TransportErrorKind::UnknownHost`], [`TransportErrorKind::ConnectionRefused`],
    /// [`TransportErrorKind::Unreachable`], [`TransportErrorKind::ConnectTimeout`],
    /// [`TransportErrorKind::AccessDenied`], [`TransportErrorKind::Other`].
    ///
    #[doc = example!()]
    /// # let address = broker.address();
    /// use std::time::Duration;
    /// use mqtt_wasi::{TcpTransport, TransportErrorKind};
    ///
    /// assert!(TcpTransport::connect(&address, Duration::from_secs(10)).is_ok());
    /// let refused = TcpTransport::connect("127.0.0.1:1", Duration::from_secs(10)).unwrap_err();
    /// assert_eq!(refused.kind, TransportErrorKind::ConnectionRefused);
    /// ```
    pub fn connect(addresses: impl ToSocketAddrs, timeout: Duration) -> Result<Self, TransportError> {
        Tcp::connect(addresses, now() + timeout).map(|tcp| Self(Stream::plain(tcp)))
    }

    /// Takes over a connected stream.
    ///
    /// # Errors
    /// [`TransportError`] when the options of the stream cannot be set.
    ///
    #[doc = example!()]
    /// # let address = broker.address();
    /// use std::net::TcpStream;
    /// use mqtt_wasi::{Client, Options, TcpTransport};
    ///
    /// let stream = TcpStream::connect(&address)?;
    /// let client = Client::connect_over(TcpTransport::new(stream)?, Options::new())?;
    /// assert!(client.is_connected());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(stream: TcpStream) -> Result<Self, TransportError> {
        Tcp::new(stream).map(|tcp| Self(Stream::plain(tcp)))
    }

    /// The stream itself. Not on `wasm32-wasip2`, where a connection is one of the host and not a `TcpStream`.
    ///
    /// `TCP_NODELAY` is set. On Linux the transport turns it off while it is given many small writes in a row, and on
    /// again behind them, so what the caller sets does not last.
    ///
    #[doc = example!()]
    /// # let address = broker.address();
    /// use std::time::Duration;
    /// use mqtt_wasi::TcpTransport;
    ///
    /// let transport = TcpTransport::connect(&address, Duration::from_secs(10))?;
    /// assert!(transport.stream().nodelay().unwrap());
    /// # Ok::<(), mqtt_wasi::TransportError>(())
    /// ```
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

/// Connects over TCP, to `mqtt://` brokers; with the feature `tls` to `mqtts://` brokers, with `ws` to `ws://` brokers,
/// and with both to `wss://` brokers.
///
/// To look a name up may take long, and cannot be interrupted. So a thread does that, and it connects where the caller
/// does not wait for it. The thread ends by itself. On `wasm32-wasip2` there are no threads, and none is needed: no
/// call waits longer than it is told to.
///
#[doc = example!()]
/// use mqtt_wasi::transport::TcpConnector;
/// use mqtt_wasi::{Client, Options};
///
/// let client = Client::connect_with(TcpConnector::new(), &url, Options::new())?;
/// assert!(client.is_connected());
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
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
    Elsewhere(mpsc::Receiver<Result<Tcp, TransportError>>),
    /// TLS and WebSocket are being agreed on.
    Handshake(Stream<Tcp>),
}

impl TcpConnector {
    /// Without options: at `mqtts://` URLs with the defaults of TLS.
    ///
    #[doc = std_example!()]
    /// use mqtt_wasi::transport::{Connector, TcpConnector};
    ///
    /// let mut connector = TcpConnector::new();
    /// assert!(connector.advance(None).is_none(), "nothing was started");
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self { layers: Layers::none(), attempt: None }
    }

    /// With these options at `mqtts://` URLs. `None`: the defaults.
    ///
    /// # Errors
    /// [`TlsFailure::Configuration`](crate::TlsFailure::Configuration) for options that cannot be used.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::transport::TcpConnector;
    /// use mqtt_wasi::{Client, Options, TlsOptions};
    ///
    /// let connector = TcpConnector::with_tls(Some(TlsOptions::new().alpn(["mqtt"])))?;
    /// let client = Client::connect_with(connector, &url, Options::new())?; // such as "mqtts://broker.local"
    /// assert!(client.is_connected());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[cfg(feature = "tls")]
    pub fn with_tls(tls: Option<super::TlsOptions>) -> Result<Self, Error> {
        let mut connector = Self::new();
        connector.layers.use_tls(tls)?;
        Ok(connector)
    }

    /// With these headers, by name and value, in the opening request at `ws://` and `wss://` URLs, in place of all
    /// before.
    ///
    /// # Errors
    /// [`WebSocketFailure::Configuration`](crate::WebSocketFailure::Configuration) for headers that cannot be sent.
    ///
    #[doc = std_example!()]
    /// use mqtt_wasi::transport::TcpConnector;
    ///
    /// let token = ("Authorization".to_string(), "Bearer a-token".to_string());
    /// assert!(TcpConnector::new().with_websocket_headers(vec![token]).is_ok());
    /// let invalid = ("X-Two-Lines".to_string(), "one\r\ntwo".to_string());
    /// assert!(TcpConnector::new().with_websocket_headers(vec![invalid]).is_err());
    /// ```
    #[cfg(feature = "ws")]
    pub fn with_websocket_headers(mut self, headers: Vec<(String, String)>) -> Result<Self, Error> {
        self.layers.use_websocket_headers(headers)?;
        Ok(self)
    }

    /// Through this proxy: see [`Options::proxy`](crate::Options::proxy).
    ///
    /// # Errors
    /// [`UrlError::Proxy`](crate::UrlError::Proxy).
    ///
    #[doc = std_example!()]
    /// use mqtt_wasi::transport::TcpConnector;
    ///
    /// assert!(TcpConnector::new().with_proxy("socks5://localhost").is_ok());
    /// assert!(TcpConnector::new().with_proxy("ftp://localhost").is_err());
    /// ```
    #[cfg(feature = "proxy")]
    pub fn with_proxy(mut self, url: &str) -> Result<Self, Error> {
        self.layers.use_proxy(Some(super::Proxy::new(url, "")?));
        Ok(self)
    }

    #[cfg(feature = "socket-options")]
    pub(crate) const fn with_sockets(mut self, options: super::SocketOptions) -> Self {
        self.layers.sockets = options;
        self
    }

    #[cfg(feature = "proxy")]
    pub(crate) fn through(mut self, proxy: Option<super::Proxy>) -> Self {
        self.layers.use_proxy(proxy);
        self
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
                    #[cfg(unix)]
                    if url.scheme == crate::url::Scheme::Unix {
                        *stage = match begin(layers, url, Tcp::connect_to_socket(&url.host)) {
                            Ok(stream) => Stage::Handshake(stream),
                            Err(error) => return Some(Err(error)),
                        };
                        continue;
                    }
                    // An address needs no look-up, and whoever waits for as long as it may take need not be kept from it.
                    let place = layers.place(url);
                    if place.0.parse::<IpAddr>().is_err() || waits_until < *end {
                        *stage = match connect_elsewhere(layers, place, *end) {
                            Ok(connected) => Stage::Elsewhere(connected),
                            Err(error) => return Some(Err(error.into())),
                        };
                        continue;
                    }
                    let connected = dial(layers, place, *end);
                    match begin(layers, url, connected) {
                        Ok(stream) => Stage::Handshake(stream),
                        Err(error) => return Some(Err(error)),
                    }
                }
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
                        let when = stream.handshake();
                        stream.close();
                        return Some(Err(timeout(when).into()));
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
        self.layers.use_tls(Some(tls))
    }

    #[cfg(feature = "ws")]
    fn use_websocket_headers(&mut self, headers: Vec<(String, String)>) -> Result<(), Error> {
        self.layers.use_websocket_headers(headers)
    }

    fn wait(&mut self, until: Instant) {
        std::thread::sleep(until.saturating_duration_since(now()));
    }

    fn random(&mut self) -> u64 {
        crate::random::seed()
    }
}

/// Begins to speak over a connection, if it was made.
fn begin(layers: &mut Layers, url: &BrokerUrl, connected: Result<Tcp, TransportError>) -> Result<Stream<Tcp>, Error> {
    layers.begin(url, connected.map_err(|error| layers.failed(url, error))?)
}

/// Connects with the options of the sockets. Without any, as std does, which asks the system less.
#[cfg_attr(not(feature = "socket-options"), allow(unused_variables))]
fn dial(layers: &Layers, place: (&str, u16), until: Instant) -> Result<Tcp, TransportError> {
    #[cfg(feature = "socket-options")]
    if layers.sockets != super::SocketOptions::NONE {
        return Tcp::connect_with(place, until, layers.sockets);
    }
    Tcp::connect(place, until)
}

fn connect_elsewhere(
    layers: &Layers,
    (host, port): (&str, u16),
    until: Instant,
) -> Result<mpsc::Receiver<Result<Tcp, TransportError>>, TransportError> {
    let (connected, receiver) = mpsc::channel();
    let (host, layers) = (host.to_owned(), layers.clone());
    let connect = move || {
        // Nobody may be left who wants it.
        let _ = connected.send(dial(&layers, (host.as_str(), port), until));
    };
    std::thread::Builder::new().name("mqtt-connect".into()).spawn(connect)?;
    Ok(receiver)
}

fn timeout(when: &str) -> TransportError {
    TransportErrorKind::ConnectTimeout.because(when)
}
