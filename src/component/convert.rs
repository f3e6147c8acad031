//! The engine's types as the interface's, and back.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::codec::{
    Disconnect, DisconnectProperties, EncodeError, EncodeErrorKind, Publish, PublishProperties, QoS, ReasonCode,
    RetainHandling, Subscription, UserProperty,
};
use crate::engine::{Event, Step};
use crate::error::{CallError, Error, ErrorKind};
use crate::message::{self, Message};
use crate::respond::Reply;
use crate::session::{Challenge, ConnectionInfo, Delivery, InFlightMessage, WillMessage};
use crate::wit::exports::mqtt_wasi::client::mqtt as wit;

impl From<QoS> for wit::Qos {
    fn from(qos: QoS) -> Self {
        match qos {
            QoS::AtMostOnce => Self::AtMostOnce,
            QoS::AtLeastOnce => Self::AtLeastOnce,
            QoS::ExactlyOnce => Self::ExactlyOnce,
        }
    }
}

impl From<wit::Qos> for QoS {
    fn from(qos: wit::Qos) -> Self {
        // They are numbered as MQTT has them.
        Self::from_u8(qos as u8).unwrap_or_default()
    }
}

impl<'a> TryFrom<&'a wit::Subscription> for Subscription<'a> {
    type Error = wit::Failure;

    fn try_from(subscription: &'a wit::Subscription) -> Result<Self, wit::Failure> {
        use wit::SubscriptionOptions as Options;
        let options = subscription.options;
        let retain_handling = match (options.contains(Options::RETAINED_IF_NEW), options.contains(Options::NO_RETAINED))
        {
            (false, false) => RetainHandling::Send,
            (true, false) => RetainHandling::SendIfNew,
            (false, true) => RetainHandling::DoNotSend,
            (true, true) => {
                return Err(wrong_call("invalid-argument", "use either retained-if-new or no-retained"));
            }
        };
        Ok(Self {
            filter: &subscription.filter,
            maximum_qos: subscription.maximum_qos.into(),
            no_local: options.contains(Options::NO_LOCAL),
            retain_as_published: options.contains(Options::RETAIN_AS_PUBLISHED),
            retain_handling,
        })
    }
}

/// What a call says of a message.
pub(crate) struct Said<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a wit::Payload,
    pub(crate) qos: wit::Qos,
    pub(crate) retain: bool,
    pub(crate) properties: &'a [wit::Property],
}

impl<'a> From<&'a wit::Publication> for Said<'a> {
    fn from(message: &'a wit::Publication) -> Self {
        let wit::Publication { topic, payload, qos, retain, properties } = message;
        Self { topic, payload, qos: *qos, retain: *retain, properties }
    }
}

impl<'a> Said<'a> {
    /// Its User Properties as the engine wants them, for [`Said::lend`].
    #[inline(never)]
    pub(crate) fn user_properties(&self) -> Vec<UserProperty<'a>> {
        let pairs = self.properties.iter().filter_map(|property| match property {
            wit::Property::UserProperty((name, value)) => Some((name.as_str(), value.as_str())),
            _ => None,
        });
        pairs.collect()
    }

    /// The message as the engine wants it.
    // One copy for all exports that take a message.
    #[inline(never)]
    pub(crate) fn lend(&self, user_properties: &'a [UserProperty<'a>]) -> Result<Publish<'a>, wit::Failure> {
        let mut properties =
            PublishProperties { user_properties: user_properties.into(), ..PublishProperties::default() };
        for property in self.properties {
            let is_new = match property {
                wit::Property::MessageExpiryIntervalSeconds(seconds) => {
                    properties.message_expiry_interval.replace(*seconds).is_none()
                }
                wit::Property::ContentType(content_type) => properties.content_type.replace(content_type).is_none(),
                wit::Property::ResponseTopic(topic) => properties.response_topic.replace(topic).is_none(),
                wit::Property::CorrelationData(data) => properties.correlation_data.replace(data).is_none(),
                wit::Property::TopicAlias(alias) => properties.topic_alias.replace(*alias).is_none(),
                wit::Property::UserProperty(_) => true,
            };
            if !is_new {
                return Err(wrong_call("invalid-argument", "a property other than user-property is given twice"));
            }
        }
        let payload = match self.payload {
            wit::Payload::Text(text) => {
                properties.payload_format_indicator = Some(true);
                text.as_bytes()
            }
            wit::Payload::Bytes(bytes) => bytes,
        };
        let Self { topic, qos, retain, .. } = *self;
        Ok(Publish { retain, properties, ..Publish::new(topic, payload) }.qos(qos.into()))
    }

    pub(crate) fn will(&self, delay_interval: Option<u32>) -> Result<WillMessage, wit::Failure> {
        let user_properties = self.user_properties();
        let publish = self.lend(&user_properties)?;
        if publish.properties.topic_alias.is_some() {
            return Err(wrong_call("invalid-argument", "a Will Message must not have a Topic Alias"));
        }
        let will_delay_interval = delay_interval.filter(|seconds| *seconds > 0);
        Ok(WillMessage { will_delay_interval, ..Message::of(&publish).into() })
    }
}

impl wit::Message {
    #[inline(never)]
    pub(crate) fn new(publish: &Publish<'_>, delivery: Option<Delivery>) -> Self {
        let is_text = publish.properties.payload_format_indicator == Some(true);
        let text = if is_text { core::str::from_utf8(publish.payload).ok() } else { None };
        Self {
            topic: publish.topic.to_owned(),
            payload: match text {
                Some(text) => wit::Payload::Text(text.to_owned()),
                None => wit::Payload::Bytes(publish.payload.to_owned()),
            },
            qos: publish.qos.into(),
            retain: publish.retain,
            duplicate: publish.dup,
            delivery: delivery.map(Delivery::number),
            // An empty list takes as long to cross as a short one.
            properties: if Message::is_plain(publish) { None } else { properties(&publish.properties) },
            subscription_identifiers: match &publish.properties.subscription_identifiers {
                none if none.is_empty() => None,
                identifiers => Some(identifiers.iter().collect()),
            },
        }
    }
}

impl From<&Message> for wit::Message {
    fn from(message: &Message) -> Self {
        let user_properties = message::borrowed(&message.user_properties);
        Self::new(&message.lend(&user_properties), None)
    }
}

#[inline(never)]
fn properties(properties: &PublishProperties<'_>) -> Option<Vec<wit::Property>> {
    let PublishProperties { message_expiry_interval, content_type, response_topic, correlation_data, .. } = *properties;
    let mut list = Vec::new();
    if let Some(seconds) = message_expiry_interval {
        list.push(wit::Property::MessageExpiryIntervalSeconds(seconds));
    }
    if let Some(content_type) = content_type {
        list.push(wit::Property::ContentType(content_type.to_owned()));
    }
    if let Some(topic) = response_topic {
        list.push(wit::Property::ResponseTopic(topic.to_owned()));
    }
    if let Some(data) = correlation_data {
        list.push(wit::Property::CorrelationData(data.to_owned()));
    }
    for (name, value) in properties.user_properties.iter() {
        list.push(wit::Property::UserProperty((name.to_owned(), value.to_owned())));
    }
    if list.is_empty() { None } else { Some(list) }
}

impl From<ConnectionInfo> for wit::ConnectionInfo {
    fn from(info: ConnectionInfo) -> Self {
        Self {
            client_id: info.client_id,
            session_present: info.session_present,
            session_expiry_interval_seconds: info.session_expiry_interval,
            receive_maximum: info.receive_maximum,
            maximum_qos: info.maximum_qos.into(),
            retain_available: info.retain_available,
            maximum_packet_size: info.maximum_packet_size,
            topic_alias_maximum: info.topic_alias_maximum,
            wildcard_subscription_available: info.wildcard_subscription_available,
            subscription_identifier_available: info.subscription_identifier_available,
            shared_subscription_available: info.shared_subscription_available,
            server_keep_alive_seconds: info.server_keep_alive,
            response_information: info.response_information,
            server_reference: info.server_reference,
            reason_string: info.reason_string,
            user_properties: info.user_properties,
        }
    }
}

impl From<Event> for wit::Event {
    fn from(event: Event) -> Self {
        use wit::EventKind as Kind;
        let kind = match event {
            Event::Disconnected(_) | Event::AttemptFailed { .. } | Event::RepeatedlyClosed { .. } => Kind::Disconnected,
            Event::Connected { .. } => Kind::Connected,
            Event::SubscriptionRestored { .. } | Event::SubscriptionLost { .. } => Kind::Subscription,
            Event::MessageDropped(_)
            | Event::MessageGivenUp { .. }
            | Event::MessageRefused { .. }
            | Event::ReplyDropped { .. } => Kind::Message,
        };
        let subject = event.topic().map(Into::into);
        let (code, cause) = (event.code(), event.cause().map(Into::into));
        Self { kind, name: event.name().into(), message: event.to_string(), subject, code, cause }
    }
}

/// A failure of the kind wrong-call.
#[inline(never)]
pub(crate) fn wrong_call(name: &str, message: &str) -> wit::Failure {
    failure(wit::FailureKind::WrongCall, name, message.to_owned())
}

pub(crate) fn failure(kind: wit::FailureKind, name: &str, message: String) -> wit::Failure {
    wit::Failure { kind, name: name.to_owned(), message, code: None }
}

impl From<CallError> for wit::Failure {
    fn from(error: CallError) -> Self {
        Error::Call(error).into()
    }
}

impl From<Error> for wit::Failure {
    #[inline(never)]
    fn from(error: Error) -> Self {
        let (kind, name) = error.kind_and_name();
        let kind = match kind {
            ErrorKind::WrongCall => wit::FailureKind::WrongCall,
            ErrorKind::TryLater => wit::FailureKind::TryLater,
            ErrorKind::TimedOut => wit::FailureKind::TimedOut,
            ErrorKind::Refused => wit::FailureKind::Refused,
            ErrorKind::ConnectionOver => wit::FailureKind::ConnectionOver,
            ErrorKind::NotTrusted => wit::FailureKind::NotTrusted,
            ErrorKind::ProtocolBroken => wit::FailureKind::ProtocolBroken,
        };
        let message = match &error {
            Error::RequestFailed(failure) => failure.text.clone(),
            error => error.to_string(),
        };
        Self { code: error.reason_code().map(|code| code as u8), ..failure(kind, name, message) }
    }
}

/// As many milliseconds as can be told.
pub(crate) fn in_millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

pub(crate) fn reply_of(payload: wit::Payload) -> Reply {
    match payload {
        wit::Payload::Text(text) => Reply { is_text: true, payload: text.into_bytes(), ..Reply::default() },
        wit::Payload::Bytes(bytes) => Reply::new(bytes),
    }
}

/// A reply with properties.
pub(crate) fn reply_with(payload: wit::Payload, properties: Vec<wit::Property>) -> Result<Reply, wit::Failure> {
    let mut reply = reply_of(payload);
    for property in properties {
        match property {
            wit::Property::ContentType(content_type) if reply.content_type.is_none() => {
                reply.content_type = Some(content_type);
            }
            wit::Property::UserProperty(pair) => reply.user_properties.push(pair),
            _ => {
                let message = "a reply may have one Content Type and User Properties, and no other property";
                return Err(wrong_call("invalid-argument", message));
            }
        }
    }
    Ok(reply)
}

pub(crate) fn in_flight(messages: Vec<InFlightMessage>) -> Vec<wit::InFlightMessage> {
    let list = messages.into_iter().map(|InFlightMessage { id, message, attempts }| wit::InFlightMessage {
        id,
        topic: message.topic,
        payload_bytes: message.payload.len() as u32,
        attempts,
    });
    list.collect()
}

impl From<Step> for wit::AuthenticationStep {
    fn from(step: Step) -> Self {
        let (is_authenticated, said) = match step {
            Step::Challenge(said) => (false, said),
            Step::Authenticated(said) => (true, said),
        };
        let Challenge { data, reason_string, user_properties } = said;
        Self { is_authenticated, data, reason_string, user_properties }
    }
}

impl wit::Disconnection {
    /// The DISCONNECT that it stands for.
    pub(crate) fn lend<'a>(&'a self, user_properties: &'a [UserProperty<'a>]) -> Result<Disconnect<'a>, CallError> {
        let properties = DisconnectProperties {
            session_expiry_interval: self.session_expiry_interval_seconds,
            reason_string: self.reason_string.as_deref(),
            user_properties: user_properties.into(),
            server_reference: None,
        };
        let invalid = EncodeError { kind: EncodeErrorKind::InvalidReasonCode, field: "Reason Code" };
        let code = self.code.unwrap_or(ReasonCode::NORMAL_DISCONNECTION as u8);
        let reason_code = ReasonCode::from_u8(code).ok_or(CallError::Invalid(invalid))?;
        Ok(Disconnect { reason_code, properties })
    }
}

pub(crate) const fn millis(timeout_ms: u32) -> Duration {
    Duration::from_millis(timeout_ms as u64)
}
