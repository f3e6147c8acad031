//! How to connect, and how much may pile up: the options of a client.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::authenticate::CloneAuthenticator;
use super::brokers;
use super::prepare::BeforeConnect;
use crate::authenticate::Authenticator;
use crate::codec::{EncodeError, UnknownProperties};
use crate::error::Error;
use crate::session::{SessionOptions, Snapshot, WillMessage};
#[cfg(any(feature = "tls", feature = "host-tls"))]
use crate::transport::TlsOptions;
use crate::url::BrokerUrl;

/// How to connect, and how much may pile up: the options of a client. Each has a default.
///
/// Options are checked when a client is made. [`Options::validate`] does the same.
///
#[doc = example!()]
/// use std::time::Duration;
/// use mqtt_wasi::{Client, Options, Reconnect};
///
/// let options = Options::new()
///     .client_id("thermometer-7")
///     .login("sensor", "secret")
///     .keep_alive(30)
///     .session_expiry_interval(3600)
///     .connect_timeout(Duration::from_secs(5))
///     .reconnect(Reconnect::default());
/// let client = Client::connect(&url, options)?;
/// assert_eq!(client.client_id(), "thermometer-7");
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) session: SessionOptions,
    pub(crate) response_timeout: Duration,
    pub(crate) reconnect: Option<Reconnect>,
    pub(crate) fallbacks: Vec<String>,
    pub(super) authenticator: Option<Box<dyn CloneAuthenticator>>,
    pub(super) before_connect: Option<BeforeConnect>,
    #[cfg(any(feature = "tls", feature = "host-tls"))]
    pub(crate) tls: Option<TlsOptions>,
    #[cfg(feature = "ws")]
    pub(crate) websocket_headers: Vec<(String, String)>,
    #[cfg(feature = "proxy")]
    pub(crate) proxy: Option<ProxySettings>,
    #[cfg(all(feature = "socket-options", not(target_family = "wasm")))]
    pub(crate) sockets: crate::transport::SocketOptions,
    #[cfg(feature = "store")]
    pub(super) store: Option<super::store::Handle>,
}

#[cfg(all(feature = "socket-options", not(target_family = "wasm")))]
impl Options {
    /// The address of this machine to connect from. Addresses of the broker that are of the other family are not tried
    /// then. Default: the system's choice. Natively, with the feature `socket-options`, as the options below.
    ///
    /// ```
    /// use mqtt_wasi::Options;
    ///
    /// let options = Options::new().bind_address([127, 0, 0, 1]);
    /// ```
    #[must_use]
    pub fn bind_address(mut self, address: impl Into<core::net::IpAddr>) -> Self {
        self.sockets.bind_address = Some(address.into());
        self
    }

    /// After how long without a byte the system itself asks whether the peer is still there (`SO_KEEPALIVE`), in whole
    /// seconds. MQTT has its own [Keep Alive](Options::keep_alive), which also finds brokers that hang. Default: off.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mqtt_wasi::Options;
    ///
    /// let options = Options::new().tcp_keep_alive(Duration::from_secs(60));
    /// ```
    #[must_use]
    pub const fn tcp_keep_alive(mut self, time: Duration) -> Self {
        self.sockets.keep_alive = Some(time);
        self
    }

    /// How many bytes the system holds for the peer, and from it (`SO_SNDBUF`, `SO_RCVBUF`), in place of what it would
    /// find out by itself. The system may round them. Default: the system's.
    ///
    /// ```
    /// use mqtt_wasi::Options;
    ///
    /// let options = Options::new().socket_buffers(64 * 1024, 64 * 1024);
    /// ```
    #[must_use]
    pub const fn socket_buffers(mut self, send: usize, receive: usize) -> Self {
        self.sockets.send_buffer = Some(send);
        self.sockets.receive_buffer = Some(receive);
        self
    }
}

/// Which proxy to connect through, and to whom without it.
#[cfg(feature = "proxy")]
#[derive(Clone)]
#[cfg_attr(
    not(any(
        feature = "std",
        all(feature = "wasi", target_os = "wasi", target_env = "p2"),
        all(feature = "component", target_arch = "wasm32")
    )),
    allow(dead_code, reason = "there is no transport that could use it")
)]
pub(crate) struct ProxySettings {
    url: String,
    bypass: String,
}

#[cfg(feature = "proxy")]
impl Options {
    /// Connects through a proxy: `http://[user:password@]host[:port]`, which is asked by CONNECT (RFC 9110, section
    /// 9.3.6), or `socks5://[user:password@]host[:port]` (RFC 1928, RFC 1929; `socks5h://` means the same). The ports
    /// are 80 and 1080 where the URL has none. The proxy looks the broker's name up. TLS and WebSocket lie over it, so
    /// it does not see what is said within TLS. Default: none.
    ///
    /// A client fails with [`UrlError::Proxy`](crate::UrlError::Proxy) for a URL that is not one of these.
    ///
    #[doc = std_example!()]
    /// use mqtt_wasi::{Client, Options, ProxyFailure, TransportErrorKind};
    ///
    /// // Something that is no proxy.
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let proxy = format!("http://user:secret@{}", listener.local_addr()?);
    /// let client = std::thread::spawn(|| Client::connect("mqtt://broker.local", Options::new().proxy(proxy)));
    /// std::io::Write::write_all(&mut listener.accept()?.0, b"220 mail.example\r\n")?;
    /// let Err(mqtt_wasi::Error::Transport(error)) = client.join().unwrap() else { panic!() };
    /// assert_eq!(error.kind, TransportErrorKind::Proxy(ProxyFailure::InvalidAnswer));
    /// assert!(!error.message.contains("secret"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(ProxySettings { url: url.into(), bypass: String::new() });
        self
    }

    /// Connects through the proxy that the environment names now: `HTTPS_PROXY`, or else `ALL_PROXY`, except to what
    /// `NO_PROXY` lists: names with their subdomains, addresses, blocks of addresses such as `10.0.0.0/8`, each with or
    /// without a port, or `*`. The same variables in lower case come first. Without one there is no proxy.
    ///
    /// ```
    /// use mqtt_wasi::Options;
    ///
    /// let options = Options::new().proxy_from_environment();
    /// ```
    #[cfg(feature = "std")]
    #[must_use]
    pub fn proxy_from_environment(mut self) -> Self {
        let variable = |name: &str| {
            let lower = std::env::var(name.to_ascii_lowercase()).or_else(|_| std::env::var(name));
            lower.ok().filter(|value| !value.is_empty())
        };
        let bypass = variable("NO_PROXY").unwrap_or_default();
        self.proxy = variable("HTTPS_PROXY").or_else(|| variable("ALL_PROXY")).map(|url| ProxySettings { url, bypass });
        self
    }

    /// The proxy, checked.
    #[cfg(any(
        feature = "std",
        all(feature = "wasi", target_os = "wasi", target_env = "p2"),
        all(feature = "component", target_arch = "wasm32")
    ))]
    pub(crate) fn checked_proxy(&self) -> Result<Option<crate::transport::Proxy>, Error> {
        let checked = self.proxy.as_ref().map(|proxy| crate::transport::Proxy::new(&proxy.url, &proxy.bypass));
        Ok(checked.transpose()?)
    }
}

/// How a client connects again by itself when its connection is lost. It waits before each round of attempts. Delays
/// grow, and each is random up to its bound ("full jitter"), so that the clients of a broker do not all come back at
/// once.
///
/// By default the policy does not cover the first connection: see [`Reconnect::first_connect`].
///
/// Some failures are final: a refused login or Client Identifier, a session that another client has taken over, a
/// broker without MQTT v5.0, and a network that this program may not use. [`Reconnect::retry_if`] decides otherwise.
///
/// ```
/// use std::time::Duration;
/// use mqtt_wasi::{Options, Reconnect};
///
/// let patient = Reconnect { longest_delay: Duration::from_secs(300), ..Reconnect::default() };
/// assert_eq!(patient.first_delay, Duration::from_secs(1));
/// assert_eq!(patient.attempts, None, "no bound");
/// let options = Options::new().client_id("thermometer-7").reconnect(patient);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconnect {
    /// The bound of the first delay. It doubles with each round of attempts. Default: 1 second.
    pub first_delay: Duration,
    /// The bound of all delays. After a connection that lasted this long, delays begin with the first again. Default:
    /// 60 seconds.
    pub longest_delay: Duration,
    /// How many rounds of attempts in a row may fail before the client gives up. A round tries each broker once.
    /// `None`, the default: no bound.
    pub attempts: Option<u32>,
    /// How many times in a row the client follows a broker that names another server (section 4.11). It sends the same
    /// login there, so connect only to brokers that you trust with that. 0: never. Default: 3.
    pub redirects: u8,
    /// How many connections in a row may end at the same message from the broker, which the client has to refuse, at
    /// least 1. Then it gives up: a broker that keeps the session would send the message again and again. Default: 10.
    /// [`u32::MAX`]: no bound. To continue without such messages see [`Options::skip_refused_messages`].
    pub refusals: u32,
    /// How long the call that makes the first connection may take, with as many attempts as this policy allows. Then it
    /// fails with [`Error::NoConnectionInTime`]. `None`, the default: the policy does not cover the first connection.
    /// Each broker is tried once, and the call fails with the last failure.
    pub first_connect: Option<Duration>,
    /// Decides which failures are final: set it with [`Reconnect::retry_if`].
    pub retries: Option<Retries>,
}

/// Decides which failures are final: see [`Reconnect::retry_if`].
///
/// ```
/// use mqtt_wasi::{Reconnect, Retries};
///
/// let retries: Option<Retries> = Reconnect::default().retry_if(|_| true).retries;
/// assert!(retries.is_some());
/// ```
#[derive(Clone)]
pub struct Retries(Arc<dyn Fn(&Error) -> bool + Send + Sync>);

impl fmt::Debug for Retries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retries").finish_non_exhaustive()
    }
}

/// Equal are those of one origin.
impl PartialEq for Retries {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Retries {}

impl Reconnect {
    /// Whether to try again after a failure is decided by `retry`, in place of [`Reconnect::is_final_by_default`]. It
    /// is asked each time that a connection ends or an attempt fails. It must return at once, and must not call the
    /// client.
    ///
    #[doc = memory_example!()]
    /// # let _ = network;
    /// use mqtt_wasi::{Error, Options, ReasonCode, Reconnect};
    ///
    /// // This broker refuses every login for a while after it has started.
    /// let policy = Reconnect::default().retry_if(|error| {
    ///     let is_refused_login = error.reason_code() == Some(ReasonCode::NotAuthorized);
    ///     is_refused_login || !Reconnect::is_final_by_default(error)
    /// });
    /// let options = Options::new().reconnect(policy);
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn retry_if(mut self, retry: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        self.retries = Some(Retries(Arc::new(retry)));
        self
    }

    /// Whether the client does not connect again by itself after this failure, unless [`Reconnect::retry_if`] decides
    /// otherwise.
    ///
    /// ```
    /// use mqtt_wasi::{Error, ReasonCode, Reconnect};
    ///
    /// assert!(!Reconnect::is_final_by_default(&Error::ConnectionClosed));
    /// assert!(Reconnect::is_final_by_default(&Error::Disconnected(Box::new(ReasonCode::SessionTakenOver.into()))));
    /// ```
    #[must_use]
    pub fn is_final_by_default(error: &Error) -> bool {
        brokers::is_final(error)
    }

    pub(super) fn is_final(&self, error: &Error) -> bool {
        match &self.retries {
            Some(Retries(retry)) => !retry(error),
            None => brokers::is_final(error),
        }
    }
}

/// What to change for the next connection of a client, and those after it. What is `None` stays as it is.
///
/// ```
/// use mqtt_wasi::engine::Engine;
/// use mqtt_wasi::{ConnectChanges, Options};
///
/// let mut engine = Engine::new(Some("mqtt://localhost"), Options::new().login("thermometer-7", "a token"), 0)?;
/// let new_token = ConnectChanges { password: Some(b"a new token".to_vec()), ..ConnectChanges::default() };
/// engine.update(new_token)?; // as `Client::update` and `AsyncClient::update`
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct ConnectChanges {
    /// The User Name.
    pub user_name: Option<String>,
    /// The Password, for example a new token.
    pub password: Option<Vec<u8>>,
    /// The Will Message. `Some(None)`: no will.
    pub will: Option<Option<WillMessage>>,
    /// The User Properties of CONNECT, in place of all before.
    pub user_properties: Option<Vec<(String, String)>>,
    /// The Authentication Data of CONNECT.
    pub authentication_data: Option<Vec<u8>>,
    /// Whether the next connection begins a new session. What is in flight is then sent as new.
    pub clean_start: Option<bool>,
    /// Which certificates to trust and to show, in place of all TLS options before. It has no effect where the program
    /// makes the transports: set them there.
    #[cfg(any(feature = "tls", feature = "host-tls"))]
    pub tls: Option<TlsOptions>,
    /// The headers of the opening request at `ws://` and `wss://` URLs, in place of all before: for example with a new
    /// token.
    #[cfg(feature = "ws")]
    pub websocket_headers: Option<Vec<(String, String)>>,
}

impl ConnectChanges {
    pub(super) fn apply(self, options: &mut SessionOptions) {
        options.user_name = self.user_name.or(options.user_name.take());
        options.password = self.password.or(options.password.take());
        options.authentication_data = self.authentication_data.or(options.authentication_data.take());
        if let Some(will) = self.will {
            options.will = will;
        }
        if let Some(user_properties) = self.user_properties {
            options.user_properties = user_properties;
        }
    }
}

/// The secrets stay out of logs.
impl fmt::Debug for ConnectChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectChanges")
            .field("user_name", &self.user_name)
            .field("will", &self.will)
            .field("user_properties", &self.user_properties)
            .field("clean_start", &self.clean_start)
            .finish_non_exhaustive()
    }
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(60),
            attempts: None,
            redirects: 3,
            refusals: 10,
            first_connect: None,
            retries: None,
        }
    }
}

impl Options {
    /// The defaults: a clean start, a Client Identifier assigned by the broker, and a Keep Alive of 60 seconds.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::Options;
    ///
    /// let sent = connect(Options::new()); // what the client sends as CONNECT
    /// assert_eq!((sent.clean_start, sent.client_id, sent.keep_alive), (true, "", 60));
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            session: SessionOptions::new(),
            response_timeout: Duration::from_secs(30),
            reconnect: None,
            fallbacks: Vec::new(),
            authenticator: None,
            before_connect: None,
            #[cfg(any(feature = "tls", feature = "host-tls"))]
            tls: None,
            #[cfg(feature = "ws")]
            websocket_headers: Vec::new(),
            #[cfg(feature = "proxy")]
            proxy: None,
            #[cfg(all(feature = "socket-options", not(target_family = "wasm")))]
            sockets: crate::transport::SocketOptions::NONE,
            #[cfg(feature = "store")]
            store: None,
        }
    }

    /// The Client Identifier. Default: empty, so the broker assigns one. Later connections of the client then use that.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::Options;
    ///
    /// assert_eq!(connect(Options::new().client_id("thermometer-7")).client_id, "thermometer-7");
    /// ```
    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.session.client_id = client_id.into();
        self
    }

    /// Whether the broker deletes its session for this Client Identifier at the first connection. Default: true. Later
    /// connections of the client always continue the session.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::Options;
    ///
    /// assert!(!connect(Options::new().client_id("thermometer-7").clean_start(false)).clean_start);
    /// ```
    #[must_use]
    pub const fn clean_start(mut self, clean_start: bool) -> Self {
        self.session.clean_start = clean_start;
        self
    }

    /// The Keep Alive in seconds. 0 turns it off. Default: 60. The broker may demand another.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::Options;
    ///
    /// assert_eq!(connect(Options::new().keep_alive(30)).keep_alive, 30);
    /// ```
    #[must_use]
    pub const fn keep_alive(mut self, seconds: u16) -> Self {
        self.session.keep_alive = seconds;
        self
    }

    /// The User Name and the Password. Default: those in the URL, if any.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::Options;
    ///
    /// let sent = connect(Options::new().login("sensor", "secret"));
    /// assert_eq!((sent.user_name, sent.password), (Some("sensor"), Some(&b"secret"[..])));
    /// ```
    #[must_use]
    pub fn login(mut self, user_name: impl Into<String>, password: impl Into<Vec<u8>>) -> Self {
        self.session.user_name = Some(user_name.into());
        self.session.password = Some(password.into());
        self
    }

    /// The User Name, without a Password. Default: the one in the URL, if any.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::Options;
    ///
    /// let sent = connect(Options::new().user_name("sensor"));
    /// assert_eq!((sent.user_name, sent.password), (Some("sensor"), None));
    /// ```
    #[must_use]
    pub fn user_name(mut self, user_name: impl Into<String>) -> Self {
        self.session.user_name = Some(user_name.into());
        self
    }

    /// The Password, for example a token. It needs no User Name (section 3.1.2.9). Default: the one in the URL, if any.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::Options;
    ///
    /// let sent = connect(Options::new().password("a token"));
    /// assert_eq!((sent.user_name, sent.password), (None, Some(&b"a token"[..])));
    /// ```
    #[must_use]
    pub fn password(mut self, password: impl Into<Vec<u8>>) -> Self {
        self.session.password = Some(password.into());
        self
    }

    /// The Authentication Method of enhanced authentication (section 4.12), and the Authentication Data of CONNECT, if
    /// any. For drivers of a [session](crate::session::Session::answer_challenge) or an engine that authenticate [step
    /// by step](crate::engine::Engine::authenticate_by_hand). A client uses [`Options::authenticator`].
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::Options;
    ///
    /// let sent = connect(Options::new().authentication("TOKEN", Some(b"a token".to_vec())));
    /// assert_eq!(sent.properties.authentication_method, Some("TOKEN"));
    /// assert_eq!(sent.properties.authentication_data, Some(&b"a token"[..]));
    /// ```
    #[must_use]
    pub fn authentication(mut self, method: impl Into<String>, data: Option<Vec<u8>>) -> Self {
        self.session.authentication_method = Some(method.into());
        self.session.authentication_data = data;
        self
    }

    /// Enhanced authentication with an [`Authenticator`] (section 4.12), which each connection begins anew. All of it
    /// has the time that [`Options::connect_timeout`] gives CONNACK. Each client that is made with these options has
    /// its own clone of the authenticator.
    ///
    #[doc = memory_example!()]
    /// # let token = broker::Token(b"a token".to_vec());
    /// use mqtt_wasi::{Client, Options};
    ///
    /// let options = Options::new().authenticator(token); // any `Authenticator`
    /// let client = Client::connect_over(network, options)?;
    /// assert!(client.is_connected());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn authenticator(mut self, authenticator: impl Authenticator + Clone + Send + 'static) -> Self {
        self.session.authentication_method = Some(authenticator.method().into());
        self.authenticator = Some(Box::new(authenticator));
        self
    }

    /// The Will Message: the broker publishes it if the connection ends without a normal DISCONNECT (section 3.1.2.5).
    /// Default: none.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::{Options, WillMessage};
    ///
    /// let sent = connect(Options::new().will(WillMessage::new("status/thermometer-7", "offline")));
    /// assert_eq!(sent.will.map(|will| will.topic), Some("status/thermometer-7"));
    /// ```
    #[must_use]
    pub fn will(mut self, will: WillMessage) -> Self {
        self.session.will = Some(will);
        self
    }

    /// Whether the first connection, without a clean start, may continue a session that the broker has and this client
    /// does not know. Messages that wait in it are received. What an earlier process had in flight is not sent again:
    /// for that see [`Options::resume`]. Default: false, and connecting fails with
    /// [`ProtocolError::UnknownSession`](crate::ProtocolError::UnknownSession) `[MQTT-3.2.2-4]`.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::{Client, Options};
    ///
    /// let options = Options::new().client_id("thermometer-7").session_expiry_interval(3600).clean_start(false);
    /// drop(Client::connect_over(network.clone(), options.clone())?);
    ///
    /// // In a later process, which knows nothing of the session:
    /// assert!(Client::connect_over(network.again(), options.clone()).is_err());
    /// let client = Client::connect_over(network.again(), options.adopt_session(true))?;
    /// assert!(client.connection_info().expect("there is a connection").session_present);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub const fn adopt_session(mut self, adopt: bool) -> Self {
        self.session.adopt_session = adopt;
        self
    }

    /// Continues the session of an earlier process: with its Client Identifier, and without a clean start, regardless
    /// of the other options.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::{Options, Snapshot};
    ///
    /// let options = Options::new().session_expiry_interval(3600);
    /// let bytes = Session::new(options.clone().client_id("thermometer-7")).snapshot(); // as `Client::snapshot`
    /// // In a later process:
    /// let sent = connect(options.resume(Snapshot::from_bytes(&bytes)?));
    /// assert_eq!((sent.client_id, sent.clean_start), ("thermometer-7", false));
    /// # Ok::<(), mqtt_wasi::SnapshotError>(())
    /// ```
    #[must_use]
    pub fn resume(mut self, snapshot: Snapshot) -> Self {
        self.session.resume = Some(snapshot);
        self
    }

    /// Whether and how the client connects again by itself when the connection is lost. Default: it does not, and calls
    /// fail until it is told to connect.
    ///
    #[doc = example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options, Publish, QoS, Reconnect};
    ///
    /// let policy = Reconnect { first_delay: Duration::from_millis(10), ..Reconnect::default() };
    /// let mut client = Client::connect(&url, Options::new().reconnect(policy))?;
    /// # broker.cut();
    /// // The connection is lost. The call connects again, and continues.
    /// client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// assert_eq!(client.stats().reconnects, 1);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn reconnect(mut self, policy: Reconnect) -> Self {
        self.reconnect = Some(policy);
        self
    }

    /// Which certificates to trust and to show at `mqtts://` and `wss://` URLs. Default: those of [`TlsOptions::new`].
    ///
    /// ```
    /// use mqtt_wasi::{Options, TlsOptions};
    ///
    /// let options = Options::new().tls(TlsOptions::new().alpn(["mqtt"]));
    /// assert!(options.validate().is_ok());
    /// ```
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Adds a header to the opening request at `ws://` and `wss://` URLs, for example `Authorization`. `Host` takes the
    /// place of the one that follows from the URL. `Debug` and errors do not show its value. Default: none but those of
    /// WebSocket.
    ///
    /// A client fails with [`WebSocketFailure::Configuration`](crate::WebSocketFailure::Configuration) for a header
    /// that cannot be sent, or that the handshake has itself.
    ///
    /// ```
    /// use mqtt_wasi::Options;
    ///
    /// let options = Options::new().websocket_header("Authorization", "Bearer a-token");
    /// assert!(!format!("{options:?}").contains("a-token"));
    /// ```
    #[cfg(feature = "ws")]
    #[must_use]
    pub fn websocket_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.websocket_headers.push((name.into(), value.into()));
        self
    }

    /// Adds the URL of another broker. Each is tried in turn when the ones before it fail. A session continues there
    /// only if the brokers share their sessions.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options};
    ///
    /// // Nothing listens at the first one.
    /// let client = Client::connect("mqtt://127.0.0.1:1", Options::new().fallback(&url))?;
    /// assert!(client.is_connected());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn fallback(mut self, url: impl Into<String>) -> Self {
        self.fallbacks.push(url.into());
        self
    }

    /// Whether the client subscribes again when the broker has lost the session, without the User Properties of the
    /// first time. Default: true. If false, [`Event::SubscriptionLost`](crate::Event::SubscriptionLost) tells of each.
    ///
    #[doc = memory_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Event, Options, QoS, Subscription};
    ///
    /// let mut client = Client::connect_over(network.clone(), Options::new().restore_subscriptions(false))?;
    /// client.subscribe(&[Subscription::new("sensors/+", QoS::AtLeastOnce)])?;
    /// # network.cut();
    /// # assert!(client.receive().is_err());
    /// # assert!(matches!(client.next_event(Duration::ZERO), Ok(Some(Event::Disconnected(_)))));
    /// // The connection is lost, and with it the session.
    /// assert!(!client.reconnect_over(network.again())?);
    /// assert_eq!(client.next_event(Duration::ZERO)?, Some(Event::Connected { session_present: false }));
    /// let lost = Event::SubscriptionLost { filter: "sensors/+".into(), reason_code: None };
    /// assert_eq!(client.next_event(Duration::ZERO)?, Some(lost));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub const fn restore_subscriptions(mut self, restore: bool) -> Self {
        self.session.restore_subscriptions = restore;
        self
    }

    /// Whether QoS 1 and 2 messages in flight are sent as new ones when the broker has lost the session. Then nothing
    /// is lost, but subscribers can get a message at QoS 2 twice. `false` follows the specification to the letter,
    /// which has the client discard its session too `[MQTT-3.2.2-5]`: each message in flight fails with
    /// [`Error::SessionLost`](crate::Error::SessionLost) and the event
    /// [`Event::MessageGivenUp`](crate::Event::MessageGivenUp). Default: true.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::{Event, Session};
    /// use mqtt_wasi::{Error, Options, Publish, QoS};
    ///
    /// let mut session = Session::new(Options::new().restore_messages(false));
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// session.transmitted(session.transmit().len(), network.now());
    /// // The connection is lost, and with it the session.
    /// session.connection_closed(Error::ConnectionClosed);
    /// # let mut network = network.again();
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// let is_lost = |event| matches!(event, Event::Published { result: Err(Error::SessionLost), .. });
    /// assert!(core::iter::from_fn(|| session.poll_event()).any(is_lost));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub const fn restore_messages(mut self, restore: bool) -> Self {
        self.session.restore_messages = restore;
        self
    }

    /// How long the broker keeps the session after the connection ends, in seconds. Default: 0, not at all. `u32::MAX`:
    /// for ever.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::Options;
    ///
    /// let sent = connect(Options::new().session_expiry_interval(3600));
    /// assert_eq!(sent.properties.session_expiry_interval, Some(3600));
    /// ```
    #[must_use]
    pub const fn session_expiry_interval(mut self, seconds: u32) -> Self {
        self.session.session_expiry_interval = seconds;
        self
    }

    /// How many QoS 1 and 2 messages the broker may send before the first is acknowledged, at least 1. Default: 65,535.
    /// Messages are acknowledged when they are received, so this bounds how many wait.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::Options;
    ///
    /// assert_eq!(connect(Options::new().receive_maximum(20)).properties.receive_maximum, Some(20));
    /// assert!(Options::new().receive_maximum(0).validate().is_err());
    /// ```
    #[must_use]
    pub const fn receive_maximum(mut self, receive_maximum: u16) -> Self {
        self.session.receive_maximum = receive_maximum;
        self
    }

    /// The largest packet to accept in bytes, at least 1. Default: 16 MiB. The broker drops larger messages
    /// `[MQTT-3.1.2-25]`.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::Options;
    ///
    /// let sent = connect(Options::new().maximum_packet_size(64 * 1024));
    /// assert_eq!(sent.properties.maximum_packet_size, Some(65_536));
    /// ```
    #[must_use]
    pub const fn maximum_packet_size(mut self, bytes: u32) -> Self {
        self.session.maximum_packet_size = bytes;
        self
    }

    /// The highest Topic Alias that the broker may use. Default: 0, none. Each takes as much memory as its Topic Name,
    /// up to 65,535 bytes. Received messages have their full Topic Name in any case.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::Options;
    ///
    /// assert_eq!(connect(Options::new().topic_alias_maximum(10)).properties.topic_alias_maximum, Some(10));
    /// ```
    #[must_use]
    pub const fn topic_alias_maximum(mut self, topic_alias_maximum: u16) -> Self {
        self.session.topic_alias_maximum = topic_alias_maximum;
        self
    }

    /// How many Topic Names the client gives a Topic Alias by itself, up to what the broker allows: those that were
    /// used last. Saves bytes where long Topic Names repeat. Default: 0, none.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::{Client, Options, Publish};
    ///
    /// let mut client = Client::connect_over(network, Options::new().outbound_topic_aliases(8))?;
    /// let mut sent = Vec::new();
    /// for reading in ["21.5", "21.6"] {
    ///     let before = client.stats().bytes_sent;
    ///     client.publish(&Publish::new("factory/hall-3/line-7/temperature", reading))?;
    ///     sent.push(client.stats().bytes_sent - before);
    /// }
    /// assert_eq!(sent, [45, 12]);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub const fn outbound_topic_aliases(mut self, aliases: u16) -> Self {
        self.session.outbound_topic_aliases = aliases;
        self
    }

    /// Whether to ask the broker for Response Information (section 3.1.2.11.6). Default: false.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::Options;
    ///
    /// let sent = connect(Options::new().request_response_information(true));
    /// assert_eq!(sent.properties.request_response_information, Some(true));
    /// ```
    #[must_use]
    pub const fn request_response_information(mut self, request: bool) -> Self {
        self.session.request_response_information = request;
        self
    }

    /// Whether the broker may explain failures with Reason Strings and User Properties (section 3.1.2.11.7). Default:
    /// true.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::Options;
    ///
    /// let sent = connect(Options::new().request_problem_information(false));
    /// assert_eq!(sent.properties.request_problem_information, Some(false));
    /// ```
    #[must_use]
    pub const fn request_problem_information(mut self, request: bool) -> Self {
        self.session.request_problem_information = request;
        self
    }

    /// Adds a User Property to CONNECT.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::Options;
    ///
    /// let sent = connect(Options::new().user_property("firmware", "1.4.2"));
    /// assert_eq!(sent.properties.user_properties.iter().next(), Some(("firmware", "1.4.2")));
    /// ```
    #[must_use]
    pub fn user_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.session.user_properties.push((name.into(), value.into()));
        self
    }

    /// Whether to accept packets with properties that MQTT v5.0 does not define. Default:
    /// [`UnknownProperties::Malformed`], and the connection ends.
    ///
    /// ```
    /// use mqtt_wasi::session::{Event, Session};
    /// use mqtt_wasi::{Instant, Options, UnknownProperties};
    ///
    /// let mut session = Session::new(Options::new().unknown_properties(UnknownProperties::Skip));
    /// session.connect(Instant::ZERO)?;
    /// let connack = b"\x20\x05\x00\x00\x02\x7F\x01"; // with a property 0x7F
    /// session.read_buffer()[..connack.len()].copy_from_slice(connack);
    /// session.received(connack.len(), Instant::ZERO);
    /// assert_eq!(session.poll_event(), Some(Event::Connected { session_present: false }));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub const fn unknown_properties(mut self, unknown_properties: UnknownProperties) -> Self {
        self.session.decode.unknown_properties = unknown_properties;
        self
    }

    /// How long it may take to make the network connection, from looking up the name to the end of the TLS handshake,
    /// over all addresses of the host; and then again how long the broker may take to answer CONNECT. Default: 10
    /// seconds.
    ///
    #[doc = std_example!()]
    /// use std::net::TcpListener;
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Error, Options};
    ///
    /// let silent = TcpListener::bind("127.0.0.1:0")?;
    /// let options = Options::new().connect_timeout(Duration::from_secs(1));
    /// let error = Client::connect_to(silent.local_addr()?, options).unwrap_err();
    /// assert_eq!(error, Error::ConnectTimeout);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.session.connect_timeout = timeout;
        self
    }

    /// The response timeout: how long calls that take no timeout wait for the broker, and for room. Default:
    /// 30 seconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mqtt_wasi::Options;
    /// use mqtt_wasi::engine::Engine;
    ///
    /// let options = Options::new().response_timeout(Duration::from_secs(5));
    /// let engine = Engine::new(Some("mqtt://localhost"), options, 0)?;
    /// assert_eq!(engine.response_timeout(), Duration::from_secs(5));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub const fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// How many bytes may wait to be sent, and how many to be acknowledged. Default: 1 MiB. One message always may.
    /// With more, calls wait for room, and those that never wait fail with [`CallError::WouldBlock`].
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::{CallError, Options};
    ///
    /// let mut session = Session::new(Options::new().outbound_limit(1000));
    /// session.connect(network.now())?;
    /// network.exchange(&mut session); // moves bytes to the broker and back
    /// session.publish(&Publish::new("image", &[0; 5000]))?;
    /// assert_eq!(session.publish(&Publish::new("image", &[0; 5000])), Err(CallError::WouldBlock));
    /// # Ok::<(), CallError>(())
    /// ```
    ///
    /// [`CallError::WouldBlock`]: crate::CallError::WouldBlock
    #[must_use]
    pub const fn outbound_limit(mut self, bytes: usize) -> Self {
        self.session.outbound_limit = bytes;
        self
    }

    /// How many QoS 1 and 2 messages may be in flight, up to the broker's Receive Maximum. Default: 1,024.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::{CallError, Options};
    ///
    /// let mut session = Session::new(Options::new().in_flight_limit(1));
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// let message = Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce);
    /// session.publish(&message)?;
    /// assert_eq!(session.publish(&message), Err(CallError::WouldBlock));
    /// network.exchange(&mut session); // the broker acknowledges the first
    /// assert!(session.publish(&message).is_ok());
    /// # Ok::<(), CallError>(())
    /// ```
    #[must_use]
    pub const fn in_flight_limit(mut self, messages: u16) -> Self {
        self.session.in_flight_limit = messages;
        self
    }

    /// How many bytes of messages may wait to be received before the client stops reading. Default: 4 MiB.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, Subscription};
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new().backlog_limit(1000));
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.subscribe(&[Subscription::new("image", QoS::AtMostOnce)], Default::default())?;
    /// network.exchange(&mut session);
    /// network.publish(Publish::new("image", &[0; 5000]));
    /// network.exchange(&mut session);
    /// assert!(session.is_paused(), "nothing more is read");
    /// session.receive();
    /// assert!(!session.is_paused());
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub const fn backlog_limit(mut self, bytes: usize) -> Self {
        self.session.backlog_limit = bytes;
        self
    }

    /// The Response Topic of requests, to which the client subscribes at QoS 1. No other messages should be published
    /// to it, and it must stay the same for as long as the session is kept. Default: the broker's [Response
    /// Information](Options::request_response_information), or else `replies`, followed by `/` and the Client
    /// Identifier: `replies/thermometer-7`. In that Client Identifier, each byte that is not a letter, a digit or `-`
    /// is written as `_` and two hexadecimal digits.
    ///
    #[doc = memory_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new().response_topic("plant-3/replies/thermometer-7"));
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// let request = Publish::new("calculator/add", "1 2");
    /// let _ = session.request(&request, Duration::from_secs(5), 0x7f3c_11d0, network.now());
    /// assert_eq!(session.response_topic(), Some("plant-3/replies/thermometer-7"));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn response_topic(mut self, topic: impl Into<String>) -> Self {
        self.session.response_topic = Some(topic.into());
        self
    }

    /// How many Topic Filters the client puts into one SUBSCRIBE when it restores subscriptions, at least 1. Default:
    /// 64. Some brokers take fewer, and close the connection over more: AWS IoT takes 8.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::{Client, Options, QoS, Subscription};
    ///
    /// let mut client = Client::connect_over(network.clone(), Options::new().filters_per_subscribe(1))?;
    /// client.subscribe(&["a", "b", "c"].map(|filter| Subscription::new(filter, QoS::AtMostOnce)))?;
    /// # network.cut();
    /// # assert!(client.receive().is_err());
    /// // The connection is lost, and the session with it.
    /// let before = client.stats().packets_sent;
    /// client.reconnect_over(network.again())?;
    /// client.flush()?;
    /// assert_eq!(client.stats().packets_sent - before, 4, "CONNECT, and a SUBSCRIBE for each filter");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub const fn filters_per_subscribe(mut self, filters: u16) -> Self {
        self.session.filters_per_subscribe = filters;
        self
    }

    /// How many connections may end at a QoS 1 or 2 message, after it was sent and before it was acknowledged, at least
    /// 1. Then the client gives the message up: the event [`Event::MessageGivenUp`](crate::Event::MessageGivenUp) tells
    /// of it, its call fails with [`Error::GivenUp`](crate::Error::GivenUp), and the messages after it are sent.
    /// Otherwise a message at which a broker closes the connection would stop all others for ever. Default: 100,
    /// so that a network that fails often costs no message. [`u32::MAX`]: no bound.
    ///
    /// A connection counts for the first message that is not acknowledged, since brokers answer in order. After more
    /// than half of these connections, messages are sent again one by one, so that no other message is meant. A
    /// connection does not count that the user ended, or the broker for another reason, such as Server shutting down.
    /// Snapshots have the counts in them.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::session::{Event, Session};
    /// use mqtt_wasi::{Error, Options};
    ///
    /// let mut session = Session::new(Options::new().attempts_per_message(1));
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// let id = session.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// // It is sent, and the connection ends before the broker acknowledges it.
    /// session.transmitted(session.transmit().len(), network.now());
    /// session.connection_closed(Error::ConnectionClosed);
    /// # let mut network = network.again();
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// let events: Vec<_> = std::iter::from_fn(|| session.poll_event()).collect();
    /// assert!(events.contains(&Event::MessageGivenUp { topic: "sensors/kitchen".into(), attempts: 1 }));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub const fn attempts_per_message(mut self, attempts: u32) -> Self {
        self.session.attempts_per_message = attempts;
        self
    }

    /// Whether to skip a message that the client has to refuse, because it is not valid MQTT or larger than the Maximum
    /// Packet Size, if it is known where it ends and how to acknowledge it. The broker gets the Reason Code Payload
    /// format invalid (0x99) for it at QoS 1 and 2. An event tells what is wrong:
    /// [`Event::MessageRefused`](crate::Event::MessageRefused). Default: false, and the connection ends, as MQTT
    /// demands (section 4.13). A broker that keeps the session sends the message again over the next one: see
    /// [`Reconnect::refusals`].
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::{Event, Session};
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new().skip_refused_messages(true));
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.poll_event();
    /// // A message at QoS 1 whose Topic Name has a null character.
    /// let message = b"\x32\x06\x00\x01\x00\x00\x07\x00";
    /// session.read_buffer()[..message.len()].copy_from_slice(message);
    /// session.received(message.len(), network.now());
    /// assert!(matches!(session.poll_event(), Some(Event::MessageRefused { is_skipped: true, .. })));
    /// assert_eq!(session.transmit(), b"\x40\x03\x00\x07\x99", "PUBACK");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub const fn skip_refused_messages(mut self, skip: bool) -> Self {
        self.session.skip_refused_messages = skip;
        self
    }

    /// How many requests may wait for their replies. Default: 4,096. With more, calls wait for room.
    ///
    #[doc = memory_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::{CallError, Options};
    ///
    /// let mut session = Session::new(Options::new().pending_request_limit(1));
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// let mut request = |nonce| {
    ///     session.request(&Publish::new("calculator/add", "1 2"), Duration::from_secs(5), nonce, network.now())
    /// };
    /// assert_eq!(request(1), Err(CallError::WouldBlock), "it subscribes to its Response Topic first");
    /// # drop(request);
    /// # network.exchange(&mut session);
    /// # let mut request = |nonce| {
    /// #     session.request(&Publish::new("calculator/add", "1 2"), Duration::from_secs(5), nonce, network.now())
    /// # };
    /// assert!(request(2).is_ok());
    /// assert_eq!(request(3), Err(CallError::WouldBlock));
    /// # Ok::<(), CallError>(())
    /// ```
    #[must_use]
    pub const fn pending_request_limit(mut self, requests: usize) -> Self {
        self.session.pending_request_limit = requests;
        self
    }

    /// Whether requests and replies carry Response Topic and Correlation Data in their JSON payloads too, for peers
    /// behind AMQP brokers that read them there. A request gets the members `correlationId` and `replyTo`, which is the
    /// Response Topic as a [routing key](crate::rabbitmq::routing_key). A reply is `{"correlationId": …, "result": …}`.
    /// Requests must be JSON objects, and replies JSON: otherwise calls fail with
    /// [`CallError::NotJson`](crate::CallError::NotJson). Default: false.
    ///
    #[doc = memory_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options, Publish, QoS, Subscription};
    ///
    /// let options = Options::new().client_id("terminal-7").json_envelope(true);
    /// let mut client = Client::connect_over(network, options)?;
    /// client.subscribe(&[Subscription::new("calculator/add", QoS::AtLeastOnce)])?;
    /// let request = Publish::new("calculator/add", r#"{"numbers": [1, 2]}"#).qos(QoS::AtLeastOnce);
    /// client.start_request_with(&request, Duration::from_secs(5), 0x7f3c_11d0)?;
    ///
    /// // What the other side receives:
    /// let message = client.receive()?;
    /// assert!(String::from_utf8_lossy(&message.payload).contains(r#""replyTo":"replies.terminal-7""#));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[cfg(feature = "json")]
    #[must_use]
    pub const fn json_envelope(mut self, envelope: bool) -> Self {
        self.session.envelope = if envelope { Some(&crate::envelope::JSON) } else { None };
        self
    }

    /// Takes User Name and Password from a URL, each unless the options have it already. Clients do that by themselves.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::{BrokerUrl, Options};
    ///
    /// let url: BrokerUrl = "mqtt://sensor:secret@localhost".parse()?;
    /// let sent = connect(Options::new().password("a token").login_from(url));
    /// assert_eq!((sent.user_name, sent.password), (Some("sensor"), Some(&b"a token"[..])));
    /// # Ok::<(), mqtt_wasi::UrlError>(())
    /// ```
    #[must_use]
    pub fn login_from(mut self, url: BrokerUrl) -> Self {
        self.session.user_name = self.session.user_name.or(url.user_name);
        self.session.password = self.session.password.or(url.password);
        self
    }

    /// Checks the options. A client does that when it is made.
    ///
    /// # Errors
    /// [`EncodeError`] for options that CONNECT has no valid bytes for, with the name of the field.
    ///
    /// ```
    /// use mqtt_wasi::Options;
    ///
    /// assert!(Options::new().client_id("thermometer-7").validate().is_ok());
    /// let error = Options::new().client_id("x".repeat(65_536)).validate().unwrap_err();
    /// assert_eq!(error.field, "Client Identifier");
    /// ```
    pub fn validate(&self) -> Result<(), EncodeError> {
        self.session.validate()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Options> for SessionOptions {
    /// The part of the options that the session needs.
    fn from(options: Options) -> Self {
        options.session
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("session", &self.session)
            .field("response_timeout", &self.response_timeout)
            .field("reconnect", &self.reconnect)
            .finish_non_exhaustive()
    }
}
