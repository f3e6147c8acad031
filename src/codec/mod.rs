//! Bytes to packets and packets to bytes, for either side of a connection, `no_std`.
//!
//! # In scope
//! All 15 Control Packets of MQTT v5.0 with all 27 properties and every Reason Code. Decoding borrows from the bytes
//! and never allocates; encoding measures first, then writes in place into one buffer. Both are strict: what the
//! specification forbids in a packet on its own is an error that says what is wrong, where, and which Reason Code
//! answers it.
//!
//! # Out of scope
//! What depends on more than one packet (the session does that), and MQTT before version 5.
//!
//! ```
//! use mqtt_wasi::codec::{Packet, PublishProperties, Publish, QoS, PacketId};
//!
//! let publish = Publish {
//!     packet_id: PacketId::new(7),
//!     ..Publish::new("t", b"21.5").qos(QoS::AtLeastOnce).properties(PublishProperties {
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DecodeOptions {
    /// What to do about a property identifier outside the 27.
    pub unknown_properties: UnknownProperties,
}

/// What to do about a property identifier outside the 27 of section 2.2.2.2.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownProperties {
    /// The packet is malformed, as the specification has it.
    #[default]
    Malformed,
    /// Go on without it. Its length cannot be known, so the rest of that packet's properties goes with it.
    Skip,
}
