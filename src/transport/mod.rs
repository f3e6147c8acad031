//! Byte streams that the blocking client runs over. They know nothing of MQTT.

#[cfg(any(
    feature = "std",
    all(feature = "wasi", target_os = "wasi", target_env = "p2"),
    all(feature = "component", target_arch = "wasm32")
))]
mod addresses;
#[cfg(all(feature = "std", any(target_os = "android", target_os = "linux")))]
mod gather;
#[cfg(all(feature = "host-tls", not(feature = "tls")))]
mod host_tls;
#[cfg(all(
    any(feature = "proxy", feature = "ws"),
    any(
        feature = "std",
        all(feature = "wasi", target_os = "wasi", target_env = "p2"),
        all(feature = "component", target_arch = "wasm32")
    )
))]
mod http;
#[cfg(all(
    feature = "proxy",
    any(
        feature = "std",
        all(feature = "wasi", target_os = "wasi", target_env = "p2"),
        all(feature = "component", target_arch = "wasm32")
    )
))]
mod proxy;
#[cfg(all(feature = "socket-options", not(target_family = "wasm")))]
mod socket;
#[cfg(any(
    feature = "std",
    all(feature = "wasi", target_os = "wasi", target_env = "p2"),
    all(feature = "component", target_arch = "wasm32")
))]
mod stream;
#[cfg(feature = "std")]
mod tcp;
#[cfg(all(feature = "std", not(all(target_os = "wasi", target_env = "p2"))))]
mod tcp_native;
#[cfg(all(any(feature = "std", feature = "wasi"), target_os = "wasi", target_env = "p2"))]
mod tcp_wasi;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tokio")]
mod tokio;
#[cfg(any(
    all(feature = "component", not(feature = "component-p3"), target_arch = "wasm32"),
    all(any(feature = "std", feature = "wasi"), target_os = "wasi", target_env = "p2")
))]
mod wasi;
#[cfg(all(feature = "component-p3", target_arch = "wasm32"))]
#[path = "wasi_p3.rs"]
mod wasi;
#[cfg(all(
    feature = "ws",
    any(
        feature = "std",
        all(feature = "wasi", target_os = "wasi", target_env = "p2"),
        all(feature = "component", target_arch = "wasm32")
    )
))]
mod websocket;

#[cfg(all(
    feature = "proxy",
    any(
        feature = "std",
        all(feature = "wasi", target_os = "wasi", target_env = "p2"),
        all(feature = "component", target_arch = "wasm32")
    )
))]
pub(crate) use self::proxy::Proxy;
#[cfg(all(feature = "socket-options", not(target_family = "wasm")))]
pub(crate) use self::socket::SocketOptions;
#[cfg(feature = "tokio")]
pub(crate) use self::{
    stream::Layers,
    tcp::now,
    tokio::{TokioConnection, connect},
};
#[cfg(all(feature = "host-tls", not(feature = "tls")))]
pub use host_tls::TlsOptions;
#[cfg(all(feature = "std", not(all(target_os = "wasi", target_env = "p2"))))]
pub use tcp_native::{TcpConnector, TcpTransport};
#[cfg(all(any(feature = "std", feature = "wasi"), target_os = "wasi", target_env = "p2"))]
pub use tcp_wasi::{TcpConnector, TcpTransport};
#[cfg(feature = "tls")]
pub use tls::{SkippedCertificate, TlsOptions, TlsTransport};
#[cfg(all(feature = "component", not(feature = "component-p3"), target_arch = "wasm32"))]
pub(crate) use wasi::{ComponentTransport, Interest, WasiConnector, WasiTransport, wait_for_any};
#[cfg(all(
    feature = "ws",
    any(
        feature = "std",
        all(feature = "wasi", target_os = "wasi", target_env = "p2"),
        all(feature = "component", target_arch = "wasm32")
    )
))]
pub use websocket::WebSocketTransport;
#[cfg(all(feature = "component-p3", target_arch = "wasm32"))]
pub(crate) use {
    stream::Layers,
    wasi::{Closing, WasiConnection, connect, now, sleep_until, spawn},
};

#[cfg(feature = "ws")]
use alloc::{string::String, vec::Vec};

use crate::error::{Error, TransportError};
use crate::time::Instant;
use crate::url::BrokerUrl;

/// A connected byte stream, and the clock for it: what [`Client::connect_over`](crate::Client::connect_over) takes.
///
#[doc = memory_example!()]
/// use mqtt_wasi::transport::{Transferred, Transport};
/// use mqtt_wasi::{Client, Instant, Options, TransportError};
///
/// /// Counts the bytes that another transport moves.
/// struct Counting<T> {
///     inner: T,
///     moved: usize,
/// }
///
/// impl<T: Transport> Transport for Counting<T> {
///     fn now(&self) -> Instant {
///         self.inner.now()
///     }
///
///     fn transfer(
///         &mut self,
///         outgoing: &[u8],
///         incoming: &mut [u8],
///         until: Option<Instant>,
///     ) -> Result<Transferred, TransportError> {
///         let moved = self.inner.transfer(outgoing, incoming, until)?;
///         self.moved += moved.sent + moved.received;
///         Ok(moved)
///     }
///
///     fn close(&mut self) {
///         self.inner.close();
///     }
/// }
///
/// let client = Client::connect_over(Counting { inner: network, moved: 0 }, Options::new().client_id("c"))?;
/// assert!(client.transport().expect("there is a connection").moved > 0);
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
pub trait Transport {
    /// What time it is. Never goes back, and continues over the next transport of the same client.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::Instant;
    /// use mqtt_wasi::transport::Transport;
    ///
    /// assert_eq!(Transport::now(&network), Instant::ZERO);
    /// ```
    fn now(&self) -> Instant;

    /// Moves bytes both ways: sends what it can of `outgoing`, and puts what has come into `incoming`. Waits until at
    /// least one byte moved, the peer closed the stream, or `until` has passed. `None`: waits for ever.
    ///
    /// With an `until` that has passed already it does not wait at all. With an empty `incoming` it reads nothing.
    /// Sending must not wait for a peer that waits to be read from.
    ///
    /// # Errors
    /// [`TransportError`] when the stream broke. That the time ran out is no error.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::transport::Transport;
    ///
    /// let connect = b"\x10\x0E\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x01c";
    /// let mut incoming = [0; 100];
    /// let moved = network.transfer(connect, &mut incoming, None)?;
    /// assert_eq!((moved.sent, incoming[0]), (connect.len(), 0x20), "the broker answers CONNACK");
    /// # Ok::<(), mqtt_wasi::TransportError>(())
    /// ```
    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        until: Option<Instant>,
    ) -> Result<Transferred, TransportError>;

    /// What time it was at the end of the last [`Transport::transfer`]. Not later, and as early as the time that was
    /// [told](Transport::now) before that only if it did not wait. Where to tell the time is a call of the system, a
    /// transport that knows saves one by this. Default: it tells what time it is.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::transport::Transport;
    ///
    /// network.transfer(&[], &mut [0; 100], Some(network.now()))?;
    /// assert_eq!(network.now_after_transfer(), network.now(), "it has not waited");
    /// # Ok::<(), mqtt_wasi::TransportError>(())
    /// ```
    fn now_after_transfer(&self) -> Instant {
        self.now()
    }

    /// Closes the stream, such that what was sent arrives. Harmless if it is closed.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::transport::Transport;
    ///
    /// network.close();
    /// network.close();
    /// assert!(network.transfer(&[], &mut [0; 100], None)?.closed);
    /// # Ok::<(), mqtt_wasi::TransportError>(())
    /// ```
    fn close(&mut self);
}

/// Connects transports, for a client that connects by itself, step by step. Also does the waiting of the client while
/// there is no transport. See [`Client::connect_with`](crate::Client::connect_with).
///
#[doc = memory_example!()]
/// # use broker::Memory;
/// use mqtt_wasi::transport::Connector;
/// use mqtt_wasi::{BrokerUrl, Client, Error, Instant, Options};
///
/// /// Connects to a broker in memory.
/// struct InMemory {
///     network: Memory,
///     is_asked: bool,
/// }
///
/// impl Connector for InMemory {
///     type Transport = Memory;
///
///     fn now(&self) -> Instant {
///         self.network.now()
///     }
///
///     fn start(&mut self, _url: BrokerUrl, _until: Instant) {
///         self.is_asked = true;
///     }
///
///     fn advance(&mut self, _until: Option<Instant>) -> Option<Result<Memory, Error>> {
///         // Never waits: it is connected at once.
///         std::mem::take(&mut self.is_asked).then(|| Ok(self.network.again()))
///     }
///
///     fn cancel(&mut self) {
///         self.is_asked = false;
///     }
///
///     fn wait(&mut self, until: Instant) {
///         self.network.pass(until.saturating_duration_since(self.now()));
///     }
///
///     fn random(&mut self) -> u64 {
///         0x7f3c_11d0_5a9e_4b21
///     }
/// }
///
/// let connector = InMemory { network, is_asked: false };
/// let client = Client::connect_with(connector, "mqtt://broker.local", Options::new())?;
/// assert!(client.is_connected());
/// # Ok::<(), Error>(())
/// ```
pub trait Connector {
    /// What it connects.
    type Transport: Transport;

    /// What time it is, by the clock of the transports.
    ///
    #[doc = std_example!()]
    /// use mqtt_wasi::transport::{Connector, TcpConnector};
    ///
    /// let connector = TcpConnector::new();
    /// assert!(connector.now() <= connector.now());
    /// ```
    fn now(&self) -> Instant;

    /// Begins to connect to the broker at this URL, to be done by `until`. Gives up an attempt that is under way.
    ///
    #[doc = example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::transport::{Connector, TcpConnector};
    ///
    /// let mut connector = TcpConnector::new();
    /// connector.start(url.parse()?, connector.now() + Duration::from_secs(10));
    /// assert!(connector.advance(None).expect("it is done").is_ok());
    /// # Ok::<(), mqtt_wasi::UrlError>(())
    /// ```
    fn start(&mut self, url: BrokerUrl, until: Instant);

    /// Continues to connect, waiting for at most `until`. `None` for `until`: waits for ever. Returns earlier when
    /// there is a connection, or will be none. `None`: it is still connecting.
    ///
    /// # Errors
    /// [`Error::Transport`]; [`Error::Url`] for a scheme that it does not support.
    ///
    #[doc = example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::transport::{Connector, TcpConnector};
    ///
    /// let mut connector = TcpConnector::new();
    /// connector.start(url.parse()?, connector.now() + Duration::from_secs(10));
    /// let transport = loop {
    ///     let soon = connector.now() + Duration::from_millis(100);
    ///     if let Some(connected) = connector.advance(Some(soon)) {
    ///         break connected?;
    ///     }
    ///     // Something else, for a moment.
    /// };
    /// # drop(transport);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    fn advance(&mut self, until: Option<Instant>) -> Option<Result<Self::Transport, Error>>;

    /// Gives up an attempt that is under way.
    ///
    #[doc = example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::transport::{Connector, TcpConnector};
    ///
    /// let mut connector = TcpConnector::new();
    /// connector.start(url.parse()?, connector.now() + Duration::from_secs(10));
    /// connector.cancel();
    /// assert!(connector.advance(None).is_none(), "nothing is under way");
    /// # Ok::<(), mqtt_wasi::UrlError>(())
    /// ```
    fn cancel(&mut self);

    /// Waits, while nothing is under way.
    ///
    #[doc = std_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::transport::{Connector, TcpConnector};
    ///
    /// let mut connector = TcpConnector::new();
    /// let until = connector.now() + Duration::from_millis(10);
    /// connector.wait(until);
    /// assert!(connector.now() >= until);
    /// ```
    fn wait(&mut self, until: Instant);

    /// A random number with 64 random bits. It spreads attempts to connect, and keeps no secret.
    ///
    #[doc = std_example!()]
    /// use mqtt_wasi::transport::{Connector, TcpConnector};
    ///
    /// let mut connector = TcpConnector::new();
    /// assert_ne!(connector.random(), connector.random());
    /// ```
    fn random(&mut self) -> u64;

    /// Uses these options for TLS from the next connection on.
    ///
    /// # Errors
    /// [`Error::Transport`] for options that cannot be used; then it uses those before. A connector that does not
    /// implement this function cannot use any.
    #[cfg(any(feature = "tls", feature = "host-tls"))]
    fn use_tls(&mut self, tls: TlsOptions) -> Result<(), Error> {
        drop(tls);
        let message = "this connector cannot change its TLS options: implement Connector::use_tls".into();
        Err(TransportError { kind: crate::error::TransportErrorKind::Other, message }.into())
    }

    /// Sends these headers, by name and value, in the opening request of WebSocket from the next connection on, in
    /// place of all before. A connector without WebSocket has no use for them.
    ///
    /// # Errors
    /// [`Error::Transport`] for headers that cannot be sent; then it uses those before.
    #[cfg(feature = "ws")]
    fn use_websocket_headers(&mut self, headers: Vec<(String, String)>) -> Result<(), Error> {
        drop(headers);
        Ok(())
    }

    /// The connector itself, for callers that know its type.
    ///
    #[doc = std_example!()]
    /// use mqtt_wasi::transport::{Connector, TcpConnector};
    ///
    /// assert!(TcpConnector::new().as_any().is_none(), "unless the connector returns itself");
    /// ```
    fn as_any(&self) -> Option<&dyn core::any::Any> {
        None
    }
}

/// What [`Transport::transfer`] did.
///
/// ```
/// use mqtt_wasi::transport::Transferred;
///
/// let nothing = Transferred::default();
/// assert_eq!((nothing.sent, nothing.received, nothing.closed), (0, 0, false));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transferred {
    /// How many bytes of `outgoing` were sent.
    pub sent: usize,
    /// How many bytes of `incoming` were filled.
    pub received: usize,
    /// Whether the peer closed the stream. Nothing more will come.
    pub closed: bool,
}
