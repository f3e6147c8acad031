//! The TCP connections of clients on `wasm32-wasip2`, through the sockets of WASI themselves: `std::net` has those of a
//! C library, which are 50 KB of a program and know no timeout for connecting.

#[cfg(feature = "ws")]
use alloc::{string::String, vec::Vec};
use core::fmt;
#[cfg(feature = "std")]
use {
    super::stream::Stream,
    super::tcp::{Tcp, unknown_host},
    super::wasi::WasiTransport,
    alloc::boxed::Box,
    core::time::Duration,
    std::net::{TcpStream, ToSocketAddrs},
};

use super::wasi::{ComponentTransport, WasiConnector};
use super::{Connector, Transferred, Transport};
use crate::error::{Error, TransportError};
use crate::time::Instant;
use crate::url::BrokerUrl;

/// A TCP connection, with TLS and WebSocket over it as the URL says.
pub struct TcpTransport(Inner);

enum Inner {
    Host(ComponentTransport),
    /// Behind a pointer, so that programs which bring no stream of the standard library do not link one.
    #[cfg(feature = "std")]
    Standard(Box<dyn Transport + Send>),
}

impl TcpTransport {
    /// Connects without TLS, to the first of these addresses that accepts the connection, within `timeout` in all. IPv6
    /// and IPv4 addresses take turns, and each has its share of the time that is left.
    ///
    /// # Errors
    /// [`TransportErrorKind::UnknownHost`](crate::TransportErrorKind::UnknownHost),
    /// [`TransportErrorKind::ConnectionRefused`](crate::TransportErrorKind::ConnectionRefused),
    /// [`TransportErrorKind::Unreachable`](crate::TransportErrorKind::Unreachable),
    /// [`TransportErrorKind::ConnectTimeout`](crate::TransportErrorKind::ConnectTimeout),
    /// [`TransportErrorKind::AccessDenied`](crate::TransportErrorKind::AccessDenied),
    /// [`TransportErrorKind::Other`](crate::TransportErrorKind::Other).
    #[cfg(feature = "std")]
    pub fn connect(addresses: impl ToSocketAddrs, timeout: Duration) -> Result<Self, TransportError> {
        let until = WasiTransport::clock() + timeout;
        let resolved = addresses.to_socket_addrs().map_err(unknown_host)?;
        WasiTransport::connect(resolved, until).map(|transport| Self(Inner::Host(Stream::plain(transport))))
    }

    /// Takes over a connected stream.
    ///
    /// # Errors
    /// [`TransportError`] when the options of the stream cannot be set.
    #[cfg(feature = "std")]
    pub fn new(stream: TcpStream) -> Result<Self, TransportError> {
        Ok(Self(Inner::Standard(Box::new(Stream::plain(Tcp::new(stream)?)))))
    }

    fn inner(&self) -> &dyn Transport {
        match &self.0 {
            Inner::Host(stream) => stream,
            #[cfg(feature = "std")]
            Inner::Standard(stream) => &**stream,
        }
    }

    fn inner_mut(&mut self) -> &mut dyn Transport {
        match &mut self.0 {
            Inner::Host(stream) => stream,
            #[cfg(feature = "std")]
            Inner::Standard(stream) => &mut **stream,
        }
    }
}

impl fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpTransport").finish_non_exhaustive()
    }
}

impl Transport for TcpTransport {
    fn now(&self) -> Instant {
        self.inner().now()
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        until: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        self.inner_mut().transfer(outgoing, incoming, until)
    }

    fn now_after_transfer(&self) -> Instant {
        self.inner().now_after_transfer()
    }

    fn close(&mut self) {
        self.inner_mut().close();
    }
}

/// Connects over TCP, to `mqtt://` brokers; with the feature `tls` to `mqtts://` brokers, with `ws` to `ws://` brokers,
/// and with both to `wss://` brokers. No call waits longer than it is told to.
pub struct TcpConnector(WasiConnector);

impl TcpConnector {
    /// Without options: at `mqtts://` URLs with the defaults of TLS.
    #[must_use]
    pub const fn new() -> Self {
        Self(WasiConnector::new())
    }

    /// With these options at `mqtts://` URLs. `None`: the defaults.
    ///
    /// # Errors
    /// [`TlsFailure::Configuration`](crate::TlsFailure::Configuration) for options that cannot be used.
    #[cfg(feature = "tls")]
    pub fn with_tls(tls: Option<super::TlsOptions>) -> Result<Self, Error> {
        WasiConnector::with_tls(tls).map(Self)
    }

    /// Through this proxy: see [`Options::proxy`](crate::Options::proxy).
    ///
    /// # Errors
    /// [`UrlError::Proxy`](crate::UrlError::Proxy).
    #[cfg(feature = "proxy")]
    pub fn with_proxy(self, url: &str) -> Result<Self, Error> {
        Ok(self.through(Some(super::Proxy::new(url, "")?)))
    }

    #[cfg(feature = "proxy")]
    pub(crate) fn through(mut self, proxy: Option<super::Proxy>) -> Self {
        self.0.use_proxy(proxy);
        self
    }

    /// With these headers, by name and value, in the opening request at `ws://` and `wss://` URLs, in place of all
    /// before.
    ///
    /// # Errors
    /// [`WebSocketFailure::Configuration`](crate::WebSocketFailure::Configuration) for headers that cannot be sent.
    #[cfg(feature = "ws")]
    pub fn with_websocket_headers(mut self, headers: Vec<(String, String)>) -> Result<Self, Error> {
        self.0.use_websocket_headers(headers)?;
        Ok(self)
    }
}

impl Default for TcpConnector {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TcpConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpConnector").finish_non_exhaustive()
    }
}

impl Connector for TcpConnector {
    type Transport = TcpTransport;

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn start(&mut self, url: BrokerUrl, until: Instant) {
        self.0.start(url, until);
    }

    fn advance(&mut self, until: Option<Instant>) -> Option<Result<TcpTransport, Error>> {
        self.0.advance(until).map(|made| made.map(|stream| TcpTransport(Inner::Host(stream))))
    }

    fn cancel(&mut self) {
        self.0.cancel();
    }

    #[cfg(feature = "tls")]
    fn use_tls(&mut self, tls: super::TlsOptions) -> Result<(), Error> {
        self.0.use_tls(tls)
    }

    #[cfg(feature = "ws")]
    fn use_websocket_headers(&mut self, headers: Vec<(String, String)>) -> Result<(), Error> {
        self.0.use_websocket_headers(headers)
    }

    fn wait(&mut self, until: Instant) {
        self.0.wait(until);
    }

    fn random(&mut self) -> u64 {
        self.0.random()
    }
}
