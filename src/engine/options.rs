//! How to connect, and how much may pile up: the options of a client.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::authenticate::CloneAuthenticator;
use crate::authenticate::Authenticator;
use crate::codec::{EncodeError, UnknownProperties};
use crate::session::{SessionOptions, Snapshot, WillMessage};
#[cfg(feature = "tls")]
use crate::transport::TlsOptions;
use crate::url::BrokerUrl;

/// How to connect, and how much may pile up.
///
/// ```
/// use core::time::Duration;
/// use mqtt_wasi::Options;
///
/// let options = Options::new()
///     .client_id("thermometer-7")
///     .keep_alive(30)
///     .login("sensor", "secret")
///     .connect_timeout(Duration::from_secs(5));
/// # let _ = options;
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) session: SessionOptions,
    pub(crate) response_timeout: Duration,
    pub(crate) reconnect: Option<Reconnect>,
    pub(crate) fallbacks: Vec<String>,
    pub(super) authenticator: Option<Box<dyn CloneAuthenticator>>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<TlsOptions>,
}

/// How a client connects again by itself when its connection is lost: after delays that grow, each a random part of what
/// it may be ("full jitter"), so that not all clients of a broker come back at once.
///
/// Some ends are final whatever this says: a broker that refuses the login or the Client Identifier, that says that
/// another client has taken over the session, or a network that this program may not use.
///
/// ```
/// use std::time::Duration;
/// use mqtt_wasi::{Options, Reconnect};
///
/// let patient = Reconnect { longest_delay: Duration::from_secs(300), ..Reconnect::default() };
/// let options = Options::new().client_id("thermometer-7").reconnect(patient);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconnect {
    /// The longest that the first delay may be. Doubles with every round of attempts. Default: 1 second.
    pub first_delay: Duration,
    /// The longest that any delay may be. A connection that lasts this long makes the delays begin anew. Default: 60
    /// seconds.
    pub longest_delay: Duration,
    /// How many rounds of attempts may fail one after the other before the client gives up; a round tries every broker
    /// once. `None`: any number. Default: `None`.
    pub attempts: Option<u32>,
    /// How many times in a row the client follows a broker that names another one to use (Server Reference, section
    /// 4.11). It logs in there as it did before, so a broker that is not to be trusted with that should not be connected
    /// to. 0: never. Default: 3.
    pub redirects: u8,
}

/// What the next connection of a client is made with that the last one was not: what is `None` stays as it is.
///
/// ```
/// use mqtt_wasi::ConnectChanges;
///
/// let new_token = ConnectChanges { password: Some(b"a new token".to_vec()), ..ConnectChanges::default() };
/// ```
#[derive(Clone, Default)]
pub struct ConnectChanges {
    /// The User Name.
    pub user_name: Option<String>,
    /// The Password, a new token for example.
    pub password: Option<Vec<u8>>,
    /// The Will Message; `Some(None)`: no will.
    pub will: Option<Option<WillMessage>>,
    /// The User Properties of CONNECT, in place of all before.
    pub user_properties: Option<Vec<(String, String)>>,
    /// The Authentication Data that CONNECT begins with.
    pub authentication_data: Option<Vec<u8>>,
    /// Whether the next connection starts a new session. What is in flight is sent as new then.
    pub clean_start: Option<bool>,
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
        }
    }
}

impl Options {
    /// A clean start with an identifier made up by the broker, a Keep Alive of 60 seconds, and the default bounds.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            session: SessionOptions::new(),
            response_timeout: Duration::from_secs(30),
            reconnect: None,
            fallbacks: Vec::new(),
            authenticator: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// The Client Identifier. Empty, the default: the broker makes one up, which later connections of the same client
    /// then use.
    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.session.client_id = client_id.into();
        self
    }

    /// Whether the first connection makes the broker forget the session it has for this Client Identifier. Default:
    /// yes. Later connections of the same client always go on with the session.
    #[must_use]
    pub const fn clean_start(mut self, clean_start: bool) -> Self {
        self.session.clean_start = clean_start;
        self
    }

    /// The Keep Alive in seconds; 0 turns it off. Default: 60. The broker may demand another.
    #[must_use]
    pub const fn keep_alive(mut self, seconds: u16) -> Self {
        self.session.keep_alive = seconds;
        self
    }

    /// The User Name and Password.
    #[must_use]
    pub fn login(mut self, user_name: impl Into<String>, password: impl Into<Vec<u8>>) -> Self {
        self.session.user_name = Some(user_name.into());
        self.session.password = Some(password.into());
        self
    }

    /// The User Name alone.
    #[must_use]
    pub fn user_name(mut self, user_name: impl Into<String>) -> Self {
        self.session.user_name = Some(user_name.into());
        self
    }

    /// The Password alone, a token for example, which v5.0 allows (section 3.1.2.9).
    #[must_use]
    pub fn password(mut self, password: impl Into<Vec<u8>>) -> Self {
        self.session.password = Some(password.into());
        self
    }

    /// The Authentication Method of enhanced authentication (section 4.12), with the data that it begins with, if any. See
    /// [`Session::answer_challenge`](crate::session::Session::answer_challenge) for what comes then.
    #[must_use]
    pub fn authentication(mut self, method: impl Into<String>, data: Option<Vec<u8>>) -> Self {
        self.session.authentication_method = Some(method.into());
        self.session.authentication_data = data;
        self
    }

    /// Enhanced authentication with an [`Authenticator`], which each connection begins anew (section 4.12). All of it has the
    /// time that CONNACK has. Each client that is made with these options gets a clone of its own.
    #[must_use]
    pub fn authenticator(mut self, authenticator: impl Authenticator + Clone + Send + 'static) -> Self {
        self.session.authentication_method = Some(authenticator.method().into());
        self.authenticator = Some(Box::new(authenticator));
        self
    }

    /// The Will Message.
    #[must_use]
    pub fn will(mut self, will: WillMessage) -> Self {
        self.session.will = Some(will);
        self
    }

    /// Whether the first connection without a clean start may take up a session that the broker has and this client knows
    /// nothing of: messages that wait for it are received, and what an earlier process had in flight is not sent again.
    /// Default: no, the connection is ended as the specification has it `[MQTT-3.2.2-4]`. See [`Options::resume`] for
    /// going on with a session in full.
    #[must_use]
    pub const fn adopt_session(mut self, adopt: bool) -> Self {
        self.session.adopt_session = adopt;
        self
    }

    /// Goes on with the session of an earlier process. There is no clean start then, and the Client Identifier is the
    /// session's, whatever else the options say.
    #[must_use]
    pub fn resume(mut self, snapshot: Snapshot) -> Self {
        self.session.resume = Some(snapshot);
        self
    }

    /// Has the client connect again by itself when its connection is lost. Default: no, its calls fail until it is told to.
    #[must_use]
    pub const fn reconnect(mut self, policy: Reconnect) -> Self {
        self.reconnect = Some(policy);
        self
    }

    /// Whom to trust and what to show at `mqtts://` URLs. Default: Mozilla's roots and nothing.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Adds the URL of another broker, to try when the connection to those before it fails. A session is not taken along,
    /// unless the brokers share it.
    #[must_use]
    pub fn fallback(mut self, url: impl Into<String>) -> Self {
        self.fallbacks.push(url.into());
        self
    }

    /// Whether subscriptions that the broker has lost with the session are asked for again by themselves, when the client
    /// connects again. Their User Properties are not. Default: yes;
    /// [`Event::SubscriptionLost`](crate::Event::SubscriptionLost) tells of each otherwise.
    #[must_use]
    pub const fn restore_subscriptions(mut self, restore: bool) -> Self {
        self.session.restore_subscriptions = restore;
        self
    }

    /// Seconds that the broker keeps the session after the connection ends. Default: 0, it ends with the connection;
    /// `u32::MAX`: it never ends.
    #[must_use]
    pub const fn session_expiry_interval(mut self, seconds: u32) -> Self {
        self.session.session_expiry_interval = seconds;
        self
    }

    /// How many QoS 1 and 2 messages the broker may send before the first is acknowledged, 1 to 65,535. Default:
    /// 65,535. They are acknowledged as they are received by the caller, so this bounds what waits.
    #[must_use]
    pub const fn receive_maximum(mut self, receive_maximum: u16) -> Self {
        self.session.receive_maximum = receive_maximum;
        self
    }

    /// The largest packet to accept, in bytes, not 0. Default: 16 MiB. The broker leaves out larger messages
    /// `[MQTT-3.1.2-25]`.
    #[must_use]
    pub const fn maximum_packet_size(mut self, bytes: u32) -> Self {
        self.session.maximum_packet_size = bytes;
        self
    }

    /// The highest Topic Alias that the broker may use. Default: 0, none. Each takes as many bytes as its Topic Name, up to
    /// 65,535. Messages are received with their full Topic Name either way.
    #[must_use]
    pub const fn topic_alias_maximum(mut self, topic_alias_maximum: u16) -> Self {
        self.session.topic_alias_maximum = topic_alias_maximum;
        self
    }

    /// How many Topic Names get a Topic Alias by themselves, if the broker takes as many: those that were published to
    /// last. Saves bytes where long Topic Names repeat, for some time to find them. Default: 0, none.
    #[must_use]
    pub const fn outbound_topic_aliases(mut self, aliases: u16) -> Self {
        self.session.outbound_topic_aliases = aliases;
        self
    }

    /// Whether to ask the broker for Response Information. Default: no.
    #[must_use]
    pub const fn request_response_information(mut self, request: bool) -> Self {
        self.session.request_response_information = request;
        self
    }

    /// Whether the broker may explain failures with Reason Strings and User Properties. Default: yes.
    #[must_use]
    pub const fn request_problem_information(mut self, request: bool) -> Self {
        self.session.request_problem_information = request;
        self
    }

    /// Adds a User Property to CONNECT.
    #[must_use]
    pub fn user_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.session.user_properties.push((name.into(), value.into()));
        self
    }

    /// What to do about property identifiers outside the 27 of the specification. Default: the packet is malformed.
    #[must_use]
    pub const fn unknown_properties(mut self, unknown_properties: UnknownProperties) -> Self {
        self.session.decode.unknown_properties = unknown_properties;
        self
    }

    /// How long making the connection may take, from looking the name up to the end of the TLS handshake, whichever of the
    /// host's addresses it is; and then how long CONNACK may take. Default: 10 seconds each.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.session.connect_timeout = timeout;
        self
    }

    /// How long a call waits for the broker: for its answer to publish, subscribe, unsubscribe and authenticate again, and
    /// for room. Default: 30 seconds. Requests have a timeout of their own.
    #[must_use]
    pub const fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// How many bytes may wait to be sent, and how many to be acknowledged, before [`CallError::WouldBlock`]. Default: 1
    /// MiB. One packet always may.
    ///
    /// [`CallError::WouldBlock`]: crate::CallError::WouldBlock
    #[must_use]
    pub const fn outbound_limit(mut self, bytes: usize) -> Self {
        self.session.outbound_limit = bytes;
        self
    }

    /// How many QoS 1 and 2 messages may be in flight, if the broker's Receive Maximum is no lower. Default: 1024.
    #[must_use]
    pub const fn in_flight_limit(mut self, messages: u16) -> Self {
        self.session.in_flight_limit = messages;
        self
    }

    /// How many bytes of messages may wait to be received before no more is read off the connection. Default: 4 MiB.
    #[must_use]
    pub const fn backlog_limit(mut self, bytes: usize) -> Self {
        self.session.backlog_limit = bytes;
        self
    }

    /// The Response Topic of requests, to which the client subscribes at QoS 1. Nothing but replies to this client should
    /// come there, and it has to stay the same for as long as the session does. Default: made of the broker's Response
    /// Information, if it gave [any](Options::request_response_information), or else `replies`, and of the Client
    /// Identifier, in which whatever is no letter, no digit and not `-` is written as `_` and its byte in hexadecimal:
    /// `replies/thermometer-7`.
    #[must_use]
    pub fn response_topic(mut self, topic: impl Into<String>) -> Self {
        self.session.response_topic = Some(topic.into());
        self
    }

    /// How many Topic Filters one SUBSCRIBE has at the most when subscriptions are restored. Default: 64. Some brokers close
    /// the connection over more than they take, AWS IoT over more than 8.
    #[must_use]
    pub const fn filters_per_subscribe(mut self, filters: u16) -> Self {
        self.session.filters_per_subscribe = filters;
        self
    }

    /// How many times a message at QoS 1 or 2 is sent at the most, over as many connections. Then it is given up, as
    /// [`Event::MessageGivenUp`](crate::Event::MessageGivenUp) tells, and those behind it go on. Default: any number. With a
    /// bound, a message at which a broker closes the connection does not stop all others for ever; a link that fails
    /// often uses attempts up, too.
    #[must_use]
    pub const fn attempts_per_message(mut self, attempts: u32) -> Self {
        self.session.attempts_per_message = Some(attempts);
        self
    }

    /// How many requests may wait for their replies. Default: 4,096.
    #[must_use]
    pub const fn pending_request_limit(mut self, requests: usize) -> Self {
        self.session.pending_request_limit = requests;
        self
    }

    /// Whether requests and replies say in their JSON payloads, too, what Response Topic and Correlation Data say, for
    /// peers behind AMQP brokers that read it there: a request gets the members `correlationId` and `replyTo`, the latter
    /// as a [routing key](crate::rabbitmq::routing_key), and a reply is `{"correlationId": …, "result": …}`. Requests
    /// have to be JSON objects then, and replies JSON. Default: no.
    #[cfg(feature = "json")]
    #[must_use]
    pub const fn json_envelope(mut self, envelope: bool) -> Self {
        self.session.envelope = if envelope { Some(&crate::envelope::JSON) } else { None };
        self
    }

    /// Takes the User Name and the Password of a URL, each unless there is one already.
    #[must_use]
    pub fn login_from(mut self, url: BrokerUrl) -> Self {
        self.session.user_name = self.session.user_name.or(url.user_name);
        self.session.password = self.session.password.or(url.password);
        self
    }

    /// Fails unless CONNECT has valid bytes for these options.
    ///
    /// # Errors
    /// [`EncodeError`] that names the option: a Client Identifier of more than 65,535 bytes, for example.
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
    /// What the session is told of the options of a client.
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
