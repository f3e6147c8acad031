//! Bytes to packets and packets to bytes, for either side of a connection. `no_std`.
//!
//! # In scope
//! All 15 Control Packets of MQTT v5.0, with all 27 properties and every Reason Code. Decoding borrows from the bytes
//! and never allocates. Encoding writes in place into one buffer, which grows once at most. Both are strict: what the
//! specification forbids in a packet on its own is an error, which tells what is wrong, where, and which Reason Code
//! answers it.
//!
//! # Out of scope
//! What depends on more than one packet: that is the [session](crate::session)'s. MQTT before version 5.
//!
//! # An example
//! ```
//! use mqtt_wasi::codec::{Packet, PacketId, Publish, PublishProperties, QoS};
//!
//! let publish = Publish {
//!     packet_id: PacketId::new(7),
//!     ..Publish::new("t", "21.5").qos(QoS::AtLeastOnce).properties(PublishProperties {
//!         content_type: Some("text/plain"),
//!         ..PublishProperties::default()
//!     })
//! };
//! let mut bytes = Vec::new();
//! publish.encode(&mut bytes)?;
//! assert_eq!(bytes, b"\x32\x17\x00\x01t\x00\x07\x0D\x03\x00\x0Atext/plain21.5");
//! assert_eq!(Packet::decode(&bytes)?, Some((Packet::Publish(publish), 25)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod error;
mod list;
mod packet;
mod property;
mod publish;
mod qos;
mod read;
mod reason;
mod subscribe;
mod topic;
mod unsubscribe;
pub mod varint;
mod write;

pub use ack::Ack;
pub use auth::Auth;
pub use connack::Connack;
pub use connect::{Connect, Will};
pub use disconnect::Disconnect;
pub use error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
pub use list::{Iter, List};
pub(crate) use packet::FixedHeader;
pub use packet::{Packet, PacketType};
pub use property::{
    AckProperties, AuthProperties, ConnackProperties, ConnectProperties, DisconnectProperties, PropertyId,
    PublishProperties, SubscribeProperties, SubscriptionIdentifiers, UnsubscribeProperties, UserProperties,
    UserProperty, WillProperties,
};
pub use publish::Publish;
pub use qos::QoS;
pub use reason::ReasonCode;
pub use subscribe::{RetainHandling, Suback, Subscribe, Subscription};
pub use topic::{TopicError, topic_matches, validate_topic_filter, validate_topic_name};
pub(crate) use topic::{has_wildcard, is_shared, levels_match, subscribed_filter};
pub use unsubscribe::{Unsuback, Unsubscribe};

/// A Packet Identifier, 1 to 65,535 (section 2.2.1).
pub type PacketId = core::num::NonZeroU16;

/// How strictly packets are read.
///
/// ```
/// use mqtt_wasi::codec::{DecodeOptions, Packet, UnknownProperties};
///
/// let connack = b"\x20\x05\x00\x00\x02\x7F\x01"; // with a property 0x7F
/// assert!(Packet::decode_with(connack, DecodeOptions::default()).is_err());
/// let lenient = DecodeOptions { unknown_properties: UnknownProperties::Skip };
/// assert!(Packet::decode_with(connack, lenient)?.is_some());
/// # Ok::<(), mqtt_wasi::codec::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DecodeOptions {
    /// What to do about a property that MQTT v5.0 does not define.
    pub unknown_properties: UnknownProperties,
}

/// What to do about a property that MQTT v5.0 does not define (section 2.2.2.2).
///
/// ```
/// use mqtt_wasi::codec::{DecodeOptions, Packet, UnknownProperties};
///
/// let message = b"\x30\x07\x00\x01t\x02\x7F\x01!"; // with a property 0x7F
/// let skip = DecodeOptions { unknown_properties: UnknownProperties::Skip };
/// let (packet, _) = Packet::decode_with(message, skip)?.expect("a whole packet");
/// assert!(matches!(packet, Packet::Publish(publish) if publish.payload == b"!"));
/// # Ok::<(), mqtt_wasi::codec::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownProperties {
    /// The packet is malformed, as the specification demands.
    #[default]
    Malformed,
    /// Accept the packet, without this property and those after it, since its length is not known.
    Skip,
}
