//! What a session tells the broker when it connects, and the bounds it keeps to.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::Snapshot;
use crate::codec::{
    Connect, ConnectProperties, DecodeOptions, EncodeError, EncodeErrorKind, Packet, QoS, UnknownProperties,
    UserProperty, Will, WillProperties, validate_topic_name,
};
#[cfg(feature = "json")]
use crate::error::CallError;
#[cfg(feature = "json")]
use crate::message::Message;
use crate::message::borrowed;

/// The part of a client's options that its session needs. Made of [`Options`](crate::Options), which document
/// each.
///
/// ```
/// use mqtt_wasi::Options;
/// use mqtt_wasi::session::{Session, SessionOptions};
///
/// let options: SessionOptions = Options::new().client_id("thermometer-7").into();
/// assert_eq!(Session::new(options).client_id(), "thermometer-7");
/// ```
#[derive(Clone)]
pub struct SessionOptions {
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
    pub(crate) outbound_limit: usize,
    pub(crate) in_flight_limit: u16,
    pub(crate) backlog_limit: usize,
    pub(crate) restore_subscriptions: bool,
    pub(crate) restore_messages: bool,
    pub(crate) adopt_session: bool,
    pub(crate) resume: Option<Snapshot>,
    #[cfg(feature = "store")]
    pub(crate) stored: Option<super::store::Stored>,
    pub(crate) response_topic: Option<String>,
    pub(crate) pending_request_limit: usize,
    pub(crate) filters_per_subscribe: u16,
    pub(crate) attempts_per_message: u32,
    pub(crate) skip_refused_messages: bool,
    #[cfg(feature = "stream")]
    pub(crate) stream_above: u32,
    #[cfg(feature = "json")]
    pub(crate) envelope: Option<&'static Envelope>,
}

/// The Will Message: the broker publishes it if the connection ends without a normal DISCONNECT (section 3.1.2.5).
///
#[doc = connect_example!()]
/// use mqtt_wasi::{Options, QoS, WillMessage};
///
/// let mut will = WillMessage::new("status/thermometer-7", "offline");
/// will.qos = QoS::AtLeastOnce;
/// will.will_delay_interval = Some(30);
/// let sent = connect(Options::new().will(will)).will.expect("CONNECT has the Will Message");
/// assert_eq!((sent.topic, sent.payload), ("status/thermometer-7", &b"offline"[..]));
/// assert_eq!(sent.properties.will_delay_interval, Some(30));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WillMessage {
    /// The Topic Name: 1 to 65,535 bytes, without the wildcards `+` and `#`.
    pub topic: String,
    /// The payload, at most 65,535 bytes.
    pub payload: Vec<u8>,
    /// The QoS that it is published with.
    pub qos: QoS,
    /// Whether the broker keeps the message for later subscribers.
    pub retain: bool,
    /// How long the broker waits before it publishes the message, in seconds. `None`: not at all. It waits no longer
    /// than it keeps the session: without a [Session Expiry Interval](crate::Options::session_expiry_interval) this has
    /// no effect (section 3.1.3.2.2).
    pub will_delay_interval: Option<u32>,
    /// Whether the payload is UTF-8 text. `None`: unspecified bytes.
    pub payload_format_indicator: Option<bool>,
    /// The lifetime of the message in seconds. `None`: it does not expire.
    pub message_expiry_interval: Option<u32>,
    /// What the payload is, for example a MIME type.
    pub content_type: Option<String>,
    /// The Topic Name for a response.
    pub response_topic: Option<String>,
    /// Tells the requester which request a response is for.
    pub correlation_data: Option<Vec<u8>>,
    /// User Properties.
    pub user_properties: Vec<(String, String)>,
}

#[cfg(all(feature = "component", target_arch = "wasm32"))]
impl From<crate::message::Message> for WillMessage {
    fn from(message: crate::message::Message) -> Self {
        Self {
            topic: message.topic,
            payload: message.payload,
            qos: message.qos,
            retain: message.retain,
            will_delay_interval: None,
            payload_format_indicator: message.payload_format_indicator,
            message_expiry_interval: message.message_expiry_interval,
            content_type: message.content_type,
            response_topic: message.response_topic,
            correlation_data: message.correlation_data,
            user_properties: message.user_properties,
        }
    }
}

/// Where a reply goes: the Response Topic and the Correlation Data.
#[cfg(feature = "json")]
pub(crate) type Address = (String, Option<Vec<u8>>);

#[cfg(feature = "json")]
type WrapRequest = fn(payload: &[u8], response_topic: &str, correlation_data: &[u8]) -> Result<Vec<u8>, CallError>;

#[cfg(feature = "json")]
type WrapReply = fn(payload: &[u8], failure: Option<&str>, correlation_data: Option<&[u8]>) -> Option<Vec<u8>>;

/// How requests and replies say in their payloads, too, where a reply goes and what it answers. The session asks, and
/// knows no format itself.
#[cfg(feature = "json")]
#[derive(Debug)]
pub(crate) struct Envelope {
    /// The payload of a request, with the Response Topic and the Correlation Data.
    pub(crate) wrap_request: WrapRequest,
    /// The Correlation Data of a reply, and the reply as it would be without an envelope.
    pub(crate) unwrap_reply: fn(Message) -> (Option<Vec<u8>>, Message),
    /// The Response Topic and Correlation Data in the payload of a request, if it has them.
    pub(crate) reply_address: fn(&[u8]) -> Option<Address>,
    /// The payload of a reply, or of an error, with the Correlation Data; `None` if it cannot be.
    pub(crate) wrap_reply: WrapReply,
}

impl SessionOptions {
    pub(crate) const fn new() -> Self {
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
            outbound_limit: 1024 * 1024,
            in_flight_limit: 1024,
            backlog_limit: 4 * 1024 * 1024,
            restore_subscriptions: true,
            restore_messages: true,
            adopt_session: false,
            resume: None,
            #[cfg(feature = "store")]
            stored: None,
            response_topic: None,
            pending_request_limit: 4096,
            filters_per_subscribe: 64,
            attempts_per_message: 100,
            skip_refused_messages: false,
            #[cfg(feature = "stream")]
            stream_above: u32::MAX,
            #[cfg(feature = "json")]
            envelope: None,
        }
    }

    /// Fails unless CONNECT has valid bytes for these options.
    pub(crate) fn validate(&self) -> Result<(), EncodeError> {
        if let Some(Err(error)) = self.response_topic.as_deref().map(validate_topic_name) {
            return Err(EncodeError { kind: EncodeErrorKind::InvalidTopic(error), field: "Response Topic" });
        }
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

impl fmt::Debug for SessionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_connect(&self.client_id, self.clean_start, |connect| {
            f.debug_struct("SessionOptions")
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
    ///
    /// ```
    /// use mqtt_wasi::WillMessage;
    ///
    /// let will = WillMessage::new("status/thermometer-7", "offline");
    /// assert_eq!(will.payload, b"offline");
    /// assert!(!will.retain);
    /// ```
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
