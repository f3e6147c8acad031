//! A received message that owns what it holds.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::{Publish, QoS, UserProperties, UserProperty};

/// A received message. All fields are public. Later versions may add some.
///
/// ```
/// use mqtt_wasi::{Message, Publish, QoS};
///
/// let message = Message::from(Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce));
/// let Message { topic, payload, qos, .. } = message;
/// assert_eq!((topic.as_str(), &payload[..], qos), ("sensors/kitchen", &b"21.5"[..], QoS::AtLeastOnce));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The Topic Name. Always in full, also where the broker sent a Topic Alias.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// The QoS that the message was delivered with.
    pub qos: QoS,
    /// Whether the broker had kept the message before the subscription was made; with
    /// [`Subscription::retain_as_published`](crate::Subscription::retain_as_published), the flag that it was published
    /// with.
    pub retain: bool,
    /// Whether the broker sent the message again, so it may have been received before.
    pub dup: bool,
    /// Whether the payload is UTF-8 text. `None`: unspecified bytes.
    pub payload_format_indicator: Option<bool>,
    /// What is left of the lifetime of the message, in seconds.
    pub message_expiry_interval: Option<u32>,
    /// What the payload is, for example a MIME type.
    pub content_type: Option<String>,
    /// The Topic Name for a response.
    pub response_topic: Option<String>,
    /// Tells the requester which request a response is for.
    pub correlation_data: Option<Vec<u8>>,
    /// The identifiers of the subscriptions that the message matched, without those that the async client uses for its
    /// listeners.
    pub subscription_identifiers: Vec<u32>,
    /// User Properties. Names may repeat, and the order is kept.
    pub user_properties: Vec<(String, String)>,
}

impl From<Publish<'_>> for Message {
    fn from(publish: Publish<'_>) -> Self {
        Self::of(&publish)
    }
}

impl Message {
    /// As the conversion, for a PUBLISH that stays where it is.
    pub(crate) fn of(publish: &Publish<'_>) -> Self {
        Self::with_identifiers(publish, publish.properties.subscription_identifiers.iter().collect())
    }

    /// Whether a message has no properties that are for its receiver, except Subscription Identifiers.
    #[inline]
    pub(crate) const fn is_plain(publish: &Publish<'_>) -> bool {
        let properties = &publish.properties;
        properties.payload_format_indicator.is_none()
            && properties.message_expiry_interval.is_none()
            && properties.content_type.is_none()
            && properties.response_topic.is_none()
            && properties.correlation_data.is_none()
            && properties.user_properties.is_empty()
    }

    /// The same, with other Subscription Identifiers.
    #[inline]
    pub(crate) fn with_identifiers(publish: &Publish<'_>, subscription_identifiers: Vec<u32>) -> Self {
        let properties = &publish.properties;
        Self {
            topic: publish.topic.to_owned(),
            payload: publish.payload.to_owned(),
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
            payload_format_indicator: properties.payload_format_indicator,
            message_expiry_interval: properties.message_expiry_interval,
            content_type: properties.content_type.map(ToOwned::to_owned),
            response_topic: properties.response_topic.map(ToOwned::to_owned),
            correlation_data: properties.correlation_data.map(ToOwned::to_owned),
            subscription_identifiers,
            user_properties: owned(&properties.user_properties),
        }
    }
}

#[cfg(all(feature = "component", target_arch = "wasm32"))]
impl Message {
    /// The message as it came, except for what its connection knew of it.
    pub(crate) fn lend<'a>(&'a self, user_properties: &'a [UserProperty<'a>]) -> Publish<'a> {
        let properties = crate::codec::PublishProperties {
            payload_format_indicator: self.payload_format_indicator,
            message_expiry_interval: self.message_expiry_interval,
            topic_alias: None,
            response_topic: self.response_topic.as_deref(),
            correlation_data: self.correlation_data.as_deref(),
            user_properties: user_properties.into(),
            subscription_identifiers: self.subscription_identifiers.as_slice().into(),
            content_type: self.content_type.as_deref(),
        };
        let Self { topic, payload, qos, retain, dup, .. } = self;
        Publish { topic, payload, qos: *qos, retain: *retain, dup: *dup, packet_id: None, properties }
    }
}

/// User Properties that own what they say.
pub(crate) fn owned(user_properties: &UserProperties<'_>) -> Vec<(String, String)> {
    user_properties.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The pairs as the codec wants them.
pub(crate) fn borrowed(pairs: &[(String, String)]) -> Vec<UserProperty<'_>> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
