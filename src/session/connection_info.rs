//! What a broker sent in CONNACK, as a value that owns it (section 3.2.2.3).

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::{Connack, QoS};
use crate::message::owned;

/// What the broker sent in CONNACK (section 3.2.2.3), with the specification's defaults where it sent nothing.
///
#[doc = memory_example!()]
/// use mqtt_wasi::{Client, Options, QoS};
///
/// let client = Client::connect_over(network, Options::new())?;
/// let info = client.connection_info().expect("there is a connection");
/// assert_eq!((info.maximum_qos, info.receive_maximum), (QoS::ExactlyOnce, 65_535));
/// assert_eq!(info.client_id, "assigned-0");
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The Client Identifier: the one of the options, or the one that the broker assigned.
    pub client_id: String,
    /// Whether the broker still had the session.
    pub session_present: bool,
    /// How long the broker keeps the session in seconds, if it differs from the options.
    pub session_expiry_interval: Option<u32>,
    /// How many QoS 1 and 2 messages the broker handles at once.
    pub receive_maximum: u16,
    /// The highest QoS that the broker accepts.
    pub maximum_qos: QoS,
    /// Whether the broker keeps retained messages.
    pub retain_available: bool,
    /// The largest packet in bytes that the broker accepts. `None`: no bound.
    pub maximum_packet_size: Option<u32>,
    /// The highest Topic Alias that the broker accepts. 0: none.
    pub topic_alias_maximum: u16,
    /// Whether Topic Filters may have wildcards.
    pub wildcard_subscription_available: bool,
    /// Whether subscriptions may have identifiers.
    pub subscription_identifier_available: bool,
    /// Whether subscriptions may be shared.
    pub shared_subscription_available: bool,
    /// The Keep Alive in seconds, if the broker demands another than the options.
    pub server_keep_alive: Option<u16>,
    /// What Response Topics may be made of.
    pub response_information: Option<String>,
    /// Another server to use.
    pub server_reference: Option<String>,
    /// The Reason String.
    pub reason_string: Option<String>,
    /// User Properties.
    pub user_properties: Vec<(String, String)>,
}

impl ConnectionInfo {
    pub(super) fn new(client_id: &str, connack: &Connack<'_>) -> Self {
        let properties = &connack.properties;
        let text = |text: Option<&str>| text.map(ToOwned::to_owned);
        Self {
            client_id: client_id.to_owned(),
            session_present: connack.session_present,
            session_expiry_interval: properties.session_expiry_interval,
            receive_maximum: properties.receive_maximum.unwrap_or(u16::MAX),
            maximum_qos: properties.maximum_qos.unwrap_or(QoS::ExactlyOnce),
            retain_available: properties.retain_available.unwrap_or(true),
            maximum_packet_size: properties.maximum_packet_size,
            topic_alias_maximum: properties.topic_alias_maximum.unwrap_or(0),
            wildcard_subscription_available: properties.wildcard_subscription_available.unwrap_or(true),
            subscription_identifier_available: properties.subscription_identifier_available.unwrap_or(true),
            shared_subscription_available: properties.shared_subscription_available.unwrap_or(true),
            server_keep_alive: properties.server_keep_alive,
            response_information: text(properties.response_information),
            server_reference: text(properties.server_reference),
            reason_string: text(properties.reason_string),
            user_properties: owned(&properties.user_properties),
        }
    }
}
