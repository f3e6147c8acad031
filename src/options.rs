//! What a client tells the broker when it connects, and the bounds it keeps to.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::codec::{
    Connect, ConnectProperties, DecodeOptions, EncodeError, Packet, QoS, UnknownProperties, UserProperty, Will,
    WillProperties,
};
use crate::reconnect::Reconnect;
use crate::session::Snapshot;
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
    pub(crate) client_id: String,
    pub(crate) clean_start: bool,
    pub(crate) keep_alive: u16,
    pub(crate) user_name: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) will: Option<WillMessage>,
    pub(crate) session_expiry_interval: u32,
    pub(crate) receive_maximum: u16,
    pub(crate) maximum_packet_size: u32,
    pub(crate) topic_alias_maximum: u16,
    pub(crate) outbound_topic_aliases: u16,
    pub(crate) request_response_information: bool,
    pub(crate) request_problem_information: bool,
    pub(crate) authentication_method: Option<String>,
    pub(crate) authentication_data: Option<Vec<u8>>,
    pub(crate) user_properties: Vec<(String, String)>,
    pub(crate) decode: DecodeOptions,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) outbound_limit: usize,
    pub(crate) in_flight_limit: u16,
    pub(crate) backlog_limit: usize,
    pub(crate) restore_subscriptions: bool,
    pub(crate) adopt_session: bool,
    pub(crate) resume: Option<Snapshot>,
    pub(crate) reconnect: Option<Reconnect>,
    pub(crate) fallbacks: Vec<String>,
    pub(crate) response_topic: Option<String>,
    pub(crate) pending_request_limit: usize,
    #[cfg(feature = "json")]
    pub(crate) json_envelope: bool,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<TlsOptions>,
}

/// The message that the broker publishes for the client when the connection ends without a normal DISCONNECT
/// (section 3.1.2.5).
///
/// ```
/// use mqtt_wasi::{QoS, WillMessage};
///
/// let mut will = WillMessage::new("status/thermometer-7", "gone");
/// will.qos = QoS::AtLeastOnce;
/// will.will_delay_interval = Some(30);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WillMessage {
    /// The Topic Name.
    pub topic: String,
    /// The payload, of 65,535 bytes at most.
    pub payload: Vec<u8>,
    /// The QoS.
    pub qos: QoS,
    /// Whether the broker keeps it for subscribers to come.
    pub retain: bool,
    /// Seconds that the broker waits before it publishes it.
    pub will_delay_interval: Option<u32>,
    /// Whether the payload is UTF-8 text.
    pub payload_format_indicator: Option<bool>,
    /// The message's lifetime in seconds.
    pub message_expiry_interval: Option<u32>,
    /// What the payload is, a MIME type for example.
    pub content_type: Option<String>,
    /// The Topic Name for a response.
    pub response_topic: Option<String>,
    /// Tells the requester which request a response answers.
    pub correlation_data: Option<Vec<u8>>,
    /// User Properties.
    pub user_properties: Vec<(String, String)>,
}

impl Options {
    /// A clean start with an identifier made up by the broker, a Keep Alive of 60 seconds, and the default bounds.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            client_id: String::new(),
            clean_start: true,
            keep_alive: 60,
            user_name: None,
            password: None,
            will: None,
            session_expiry_interval: 0,
            receive_maximum: u16::MAX,
            maximum_packet_size: 16 * 1024 * 1024,
            topic_alias_maximum: 0,
            outbound_topic_aliases: 0,
            request_response_information: false,
            request_problem_information: true,
            authentication_method: None,
            authentication_data: None,
            user_properties: Vec::new(),
            decode: DecodeOptions { unknown_properties: UnknownProperties::Malformed },
            connect_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(30),
            outbound_limit: 1024 * 1024,
            in_flight_limit: 1024,
            backlog_limit: 4 * 1024 * 1024,
            restore_subscriptions: true,
            adopt_session: false,
            resume: None,
            reconnect: None,
            fallbacks: Vec::new(),
            response_topic: None,
            pending_request_limit: 4096,
            #[cfg(feature = "json")]
            json_envelope: false,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// The Client Identifier. Empty, the default: the broker makes one up, which later connections of the same client
    /// then use.
    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// Whether the first connection makes the broker forget the session it has for this Client Identifier. Default:
    /// yes. Later connections of the same client always go on with the session.
    #[must_use]
    pub const fn clean_start(mut self, clean_start: bool) -> Self {
        self.clean_start = clean_start;
        self
    }

    /// The Keep Alive in seconds; 0 turns it off. Default: 60. The broker may demand another.
    #[must_use]
    pub const fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    /// The User Name and Password.
    #[must_use]
    pub fn login(mut self, user_name: impl Into<String>, password: impl Into<Vec<u8>>) -> Self {
        self.user_name = Some(user_name.into());
        self.password = Some(password.into());
        self
    }

    /// The User Name alone.
    #[must_use]
    pub fn user_name(mut self, user_name: impl Into<String>) -> Self {
        self.user_name = Some(user_name.into());
        self
    }

    /// The Password alone, a token for example, which v5.0 allows (section 3.1.2.9).
    #[must_use]
    pub fn password(mut self, password: impl Into<Vec<u8>>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The Authentication Method of enhanced authentication (section 4.12), with the data that it begins with, if any. See
    /// [`Session::answer_challenge`](crate::session::Session::answer_challenge) for what comes then.
    #[must_use]
    pub fn authentication(mut self, method: impl Into<String>, data: Option<Vec<u8>>) -> Self {
        self.authentication_method = Some(method.into());
        self.authentication_data = data;
        self
    }

    /// The Will Message.
    #[must_use]
    pub fn will(mut self, will: WillMessage) -> Self {
        self.will = Some(will);
        self
    }

    /// Whether the first connection without a clean start may take up a session that the broker has and this client knows
    /// nothing of: messages that wait for it are received, and what an earlier process had in flight is not sent again.
    /// Default: no, the connection is ended as the specification has it `[MQTT-3.2.2-4]`. See [`Options::resume`] for
    /// going on with a session in full.
    #[must_use]
    pub const fn adopt_session(mut self, adopt: bool) -> Self {
        self.adopt_session = adopt;
        self
    }

    /// Goes on with the session of an earlier process. There is no clean start then, and the Client Identifier is the
    /// session's, whatever else the options say.
    #[must_use]
    pub fn resume(mut self, snapshot: Snapshot) -> Self {
        self.resume = Some(snapshot);
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
    /// [`Event::SubscriptionLost`](crate::session::Event::SubscriptionLost) tells of each otherwise.
    #[must_use]
    pub const fn restore_subscriptions(mut self, restore: bool) -> Self {
        self.restore_subscriptions = restore;
        self
    }

    /// Seconds that the broker keeps the session after the connection ends. Default: 0, it ends with the connection;
    /// `u32::MAX`: it never ends.
    #[must_use]
    pub const fn session_expiry_interval(mut self, seconds: u32) -> Self {
        self.session_expiry_interval = seconds;
        self
    }

    /// How many QoS 1 and 2 messages the broker may send before the first is acknowledged, 1 to 65,535. Default:
    /// 65,535. They are acknowledged as they are received by the caller, so this bounds what waits.
    #[must_use]
    pub const fn receive_maximum(mut self, receive_maximum: u16) -> Self {
        self.receive_maximum = receive_maximum;
        self
    }

    /// The largest packet to accept, in bytes, not 0. Default: 16 MiB. The broker leaves out larger messages
    /// `[MQTT-3.1.2-25]`.
    #[must_use]
    pub const fn maximum_packet_size(mut self, bytes: u32) -> Self {
        self.maximum_packet_size = bytes;
        self
    }

    /// The highest Topic Alias that the broker may use. Default: 0, none. Each takes as many bytes as its Topic Name, up to
    /// 65,535. Messages are received with their full Topic Name either way.
    #[must_use]
    pub const fn topic_alias_maximum(mut self, topic_alias_maximum: u16) -> Self {
        self.topic_alias_maximum = topic_alias_maximum;
        self
    }

    /// How many Topic Names get a Topic Alias by themselves, if the broker takes as many: those that were published to
    /// last. Saves bytes where long Topic Names repeat, for some time to find them. Default: 0, none.
    #[must_use]
    pub const fn outbound_topic_aliases(mut self, aliases: u16) -> Self {
        self.outbound_topic_aliases = aliases;
        self
    }

    /// Whether to ask the broker for Response Information. Default: no.
    #[must_use]
    pub const fn request_response_information(mut self, request: bool) -> Self {
        self.request_response_information = request;
        self
    }

    /// Whether the broker may explain failures with Reason Strings and User Properties. Default: yes.
    #[must_use]
    pub const fn request_problem_information(mut self, request: bool) -> Self {
        self.request_problem_information = request;
        self
    }

    /// Adds a User Property to CONNECT.
    #[must_use]
    pub fn user_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.user_properties.push((name.into(), value.into()));
        self
    }

    /// What to do about property identifiers outside the 27 of the specification. Default: the packet is malformed.
    #[must_use]
    pub const fn unknown_properties(mut self, unknown_properties: UnknownProperties) -> Self {
        self.decode.unknown_properties = unknown_properties;
        self
    }

    /// How long making the connection may take, and then how long CONNACK may take. Default: 10 seconds each.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a call waits for the broker's answer: to publish, subscribe, unsubscribe and authenticate again.
    /// Default: 30 seconds.
    #[must_use]
    pub const fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// How many bytes may wait to be sent, and how many to be acknowledged, before [`RequestError::WouldBlock`]. Default: 1
    /// MiB. One packet always may.
    ///
    /// [`RequestError::WouldBlock`]: crate::RequestError::WouldBlock
    #[must_use]
    pub const fn outbound_limit(mut self, bytes: usize) -> Self {
        self.outbound_limit = bytes;
        self
    }

    /// How many QoS 1 and 2 messages may be in flight, if the broker's Receive Maximum is no lower. Default: 1024.
    #[must_use]
    pub const fn in_flight_limit(mut self, messages: u16) -> Self {
        self.in_flight_limit = messages;
        self
    }

    /// How many bytes of messages may wait to be received before no more is read off the connection. Default: 4 MiB.
    #[must_use]
    pub const fn backlog_limit(mut self, bytes: usize) -> Self {
        self.backlog_limit = bytes;
        self
    }

    /// The Response Topic of requests, to which the client subscribes at QoS 1. Nothing but replies to this client should come there, and it has to stay the same
    /// for as long as the session does. Default: made of the broker's Response Information, if it gave
    /// [any](Options::request_response_information), or else `replies`, and of the Client Identifier, in which whatever
    /// is no letter, no digit and not `-` is written as `_` and its byte in hexadecimal: `replies/thermometer-7`.
    #[must_use]
    pub fn response_topic(mut self, topic: impl Into<String>) -> Self {
        self.response_topic = Some(topic.into());
        self
    }

    /// How many requests may wait for their replies. Default: 4,096.
    #[must_use]
    pub const fn pending_request_limit(mut self, requests: usize) -> Self {
        self.pending_request_limit = requests;
        self
    }

    /// Whether requests and replies say in their JSON payloads, too, what Response Topic and Correlation Data say, for
    /// peers behind AMQP brokers that read it there: a request gets the members `correlationId` and `replyTo`, the latter
    /// as a [routing key](crate::rabbitmq::routing_key), and a reply is `{"correlationId": …, "result": …}`. Requests
    /// have to be JSON objects then, and replies JSON. Default: no.
    #[cfg(feature = "json")]
    #[must_use]
    pub const fn json_envelope(mut self, envelope: bool) -> Self {
        self.json_envelope = envelope;
        self
    }

    /// Takes the login of a URL, unless there is one already.
    #[must_use]
    pub fn login_from(mut self, url: BrokerUrl) -> Self {
        if self.user_name.is_none() && self.password.is_none() {
            self.user_name = url.user_name;
            self.password = url.password;
        }
        self
    }

    /// Fails unless CONNECT has valid bytes for these options.
    ///
    /// # Errors
    /// [`EncodeError`] that names the option: a Client Identifier of more than 65,535 bytes, for example.
    pub fn validate(&self) -> Result<(), EncodeError> {
        self.with_connect(&self.client_id, self.clean_start, |connect| {
            Packet::Connect(*connect).encoded_len_from_client()
        })
        .map(drop)
    }

    /// Lends the CONNECT of these options to `use_it`.
    pub(crate) fn with_connect<R>(
        &self,
        client_id: &str,
        clean_start: bool,
        use_it: impl FnOnce(&Connect<'_>) -> R,
    ) -> R {
        let user_properties = borrowed(&self.user_properties);
        let will_user_properties = self.will.as_ref().map(|will| borrowed(&will.user_properties)).unwrap_or_default();
        use_it(&Connect {
            clean_start,
            keep_alive: self.keep_alive,
            client_id,
            will: self.will.as_ref().map(|will| will.lend(&will_user_properties)),
            user_name: self.user_name.as_deref(),
            password: self.password.as_deref(),
            properties: ConnectProperties {
                session_expiry_interval: (self.session_expiry_interval != 0).then_some(self.session_expiry_interval),
                receive_maximum: (self.receive_maximum != u16::MAX).then_some(self.receive_maximum),
                maximum_packet_size: Some(self.maximum_packet_size),
                topic_alias_maximum: (self.topic_alias_maximum != 0).then_some(self.topic_alias_maximum),
                request_response_information: self.request_response_information.then_some(true),
                request_problem_information: (!self.request_problem_information).then_some(false),
                user_properties: user_properties.as_slice().into(),
                authentication_method: self.authentication_method.as_deref(),
                authentication_data: self.authentication_data.as_deref(),
            },
        })
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_connect(&self.client_id, self.clean_start, |connect| {
            f.debug_struct("Options")
                .field("connect", connect)
                .field("connect_timeout", &self.connect_timeout)
                .field("outbound_limit", &self.outbound_limit)
                .field("in_flight_limit", &self.in_flight_limit)
                .field("backlog_limit", &self.backlog_limit)
                .finish()
        })
    }
}

impl WillMessage {
    /// A message at QoS 0, not retained, without properties.
    #[must_use]
    pub fn new(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self { topic: topic.into(), payload: payload.into(), ..Self::default() }
    }

    fn lend<'a>(&'a self, user_properties: &'a [UserProperty<'a>]) -> Will<'a> {
        Will {
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            payload: &self.payload,
            properties: WillProperties {
                will_delay_interval: self.will_delay_interval,
                payload_format_indicator: self.payload_format_indicator,
                message_expiry_interval: self.message_expiry_interval,
                content_type: self.content_type.as_deref(),
                response_topic: self.response_topic.as_deref(),
                correlation_data: self.correlation_data.as_deref(),
                user_properties: user_properties.into(),
            },
        }
    }
}

/// The pairs as the codec wants them.
pub(crate) fn borrowed(pairs: &[(String, String)]) -> Vec<UserProperty<'_>> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
