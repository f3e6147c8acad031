//! Errors of the codec: invalid bytes from a peer ([`DecodeError`]), and packets that cannot be sent ([`EncodeError`]).

use core::fmt;

use super::{PacketType, PropertyId, ReasonCode, TopicError};

/// Bytes that are not a valid MQTT v5.0 Control Packet: what is wrong, and where.
///
/// ```
/// use mqtt_wasi::codec::{DecodeErrorKind, Packet};
///
/// let error = Packet::decode(b"\x30\x04\x00\x01\xFF\x00").unwrap_err();
/// assert_eq!((error.kind, error.field, error.offset), (DecodeErrorKind::InvalidUtf8, "Topic Name", 3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// The packet that it was found in. `None` if the fixed header has no valid packet type.
    pub packet_type: Option<PacketType>,
    /// The field that it was found in, as the specification names it.
    pub field: &'static str,
    /// How many bytes of the packet's body (what follows the Remaining Length) were read before it was found.
    pub offset: usize,
}

/// What is wrong with the bytes.
///
/// ```
/// use mqtt_wasi::codec::{DecodeErrorKind, Packet};
///
/// let error = Packet::decode(b"\x36\x00").unwrap_err();
/// assert_eq!(error.kind, DecodeErrorKind::InvalidQos);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// A length reaches past the end of the packet.
    UnexpectedEnd,
    /// Bytes are left after the last field.
    TrailingBytes,
    /// A Variable Byte Integer of more than four bytes, or longer than its value needs `[MQTT-1.5.5-1]`.
    VariableByteInteger,
    /// A string that is not well-formed UTF-8 `[MQTT-1.5.4-1]`.
    InvalidUtf8,
    /// A string with a null character `[MQTT-1.5.4-2]`.
    NullCharacter,
    /// Packet type 0, which is reserved (section 2.1.2).
    ReservedPacketType,
    /// Reserved bits that do not have the value that the specification demands `[MQTT-2.1.3-1]`.
    ReservedBits,
    /// A Packet Identifier of zero `[MQTT-2.2.1-3]`.
    ZeroPacketId,
    /// QoS 3, which does not exist `[MQTT-3.3.1-4]`.
    InvalidQos,
    /// DUP set on a QoS 0 message `[MQTT-3.3.1-2]`.
    DupOnQos0,
    /// A property identifier that is none of the 27 (section 2.2.2.2).
    UnknownProperty(u32),
    /// A property that is not allowed in this packet (section 2.2.2.2).
    PropertyNotAllowed(PropertyId),
    /// A property that may appear once appears twice.
    DuplicateProperty(PropertyId),
    /// A required property is missing.
    MissingProperty(PropertyId),
    /// A number outside its range in the specification.
    ValueOutOfRange,
    /// A Reason Code that does not exist, or is not allowed in this packet (section 2.4).
    InvalidReasonCode(u8),
    /// The Protocol Name is not `MQTT` `[MQTT-3.1.2-1]`.
    InvalidProtocolName,
    /// A Protocol Version other than 5 `[MQTT-3.1.2-2]`.
    UnsupportedProtocolVersion(u8),
    /// A Topic Name or Topic Filter breaks the rules of section 4.7.
    InvalidTopic(TopicError),
    /// An empty Topic Name without a Topic Alias (section 3.3.2.1).
    MissingTopic,
    /// SUBSCRIBE, SUBACK, UNSUBSCRIBE or UNSUBACK without an entry `[MQTT-3.8.3-2]`.
    EmptyList,
    /// No Local on a shared subscription `[MQTT-3.8.3-4]`.
    NoLocalOnSharedSubscription,
    /// Session Present with a Reason Code other than Success `[MQTT-3.2.2-6]`.
    SessionPresentOnRefusal,
}

impl DecodeError {
    /// The Reason Code for the DISCONNECT (or CONNACK) that answers these bytes.
    ///
    /// Section 4.13.1 has 0x81 and 0x82 answer whatever has no more specific code in section 3.14.2.1. Which of the two
    /// it is follows from section 1.2:
    ///
    /// - **Malformed Packet (0x81)**: the packet cannot be parsed. A length does not fit, a string is not UTF-8 or has
    ///   a null character, a flag or reserved bit is wrong, a Reason Code is not one of this packet, a Topic Name or
    ///   Topic Filter is not formed as one, a property does not belong here or its value is not of its data type
    ///   (section 2.2.2.2).
    /// - **Protocol Error (0x82)**: the packet can be parsed, and what it says is not allowed. A number is out of
    ///   range, a Packet Identifier is 0, a property is there twice or is missing, something is empty that must not be,
    ///   a Response Topic, which is a well-formed string, has wildcards; or the packet must not come now, for which see
    ///   [`ProtocolError`](crate::ProtocolError).
    ///
    /// More specific are 0x84 for CONNECT in another version, and 0x93, 0x94 and 0x95 for limits. 0x8F and 0x90 are
    /// not: they are for topics that are correctly formed, and not accepted (section 3.14.2.1).
    ///
    /// ```
    /// use mqtt_wasi::codec::{Packet, ReasonCode};
    ///
    /// let error = Packet::decode(b"\x00\x00").unwrap_err();
    /// assert_eq!(error.reason_code(), ReasonCode::MalformedPacket);
    /// ```
    #[must_use]
    pub const fn reason_code(&self) -> ReasonCode {
        use DecodeErrorKind as Kind;
        match self.kind {
            Kind::ZeroPacketId
            | Kind::DuplicateProperty(_)
            | Kind::MissingProperty(_)
            | Kind::ValueOutOfRange
            | Kind::InvalidTopic(TopicError::Empty)
            | Kind::MissingTopic
            | Kind::EmptyList
            | Kind::NoLocalOnSharedSubscription
            | Kind::SessionPresentOnRefusal => ReasonCode::ProtocolError,
            // The only topic that is a property.
            Kind::InvalidTopic(_) if matches!(self.field.as_bytes(), b"Response Topic") => ReasonCode::ProtocolError,
            Kind::UnsupportedProtocolVersion(_) | Kind::InvalidProtocolName => ReasonCode::UnsupportedProtocolVersion,
            _ => ReasonCode::MalformedPacket,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.packet_type {
            Some(packet_type) => write!(f, "{packet_type}, {}, byte {}: {}", self.field, self.offset, self.kind),
            None => write!(f, "{}: {}", self.field, self.kind),
        }
    }
}

impl core::error::Error for DecodeError {}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedEnd => f.write_str("a length reaches past the end of the packet"),
            Self::TrailingBytes => f.write_str("bytes are left after the last field"),
            Self::VariableByteInteger => f.write_str("not a valid Variable Byte Integer"),
            Self::InvalidUtf8 => f.write_str("not well-formed UTF-8"),
            Self::NullCharacter => f.write_str("a string has a null character"),
            Self::ReservedPacketType => f.write_str("packet type 0 is reserved"),
            Self::ReservedBits => f.write_str("reserved bits have the wrong value"),
            Self::ZeroPacketId => f.write_str("a Packet Identifier must not be zero"),
            Self::InvalidQos => f.write_str("QoS 3 does not exist"),
            Self::DupOnQos0 => f.write_str("DUP is set on a QoS 0 message"),
            Self::UnknownProperty(id) => write!(f, "unknown property identifier {id:#04x}"),
            Self::PropertyNotAllowed(id) => write!(f, "{} is not allowed in this packet", id.name()),
            Self::DuplicateProperty(id) => write!(f, "{} appears more than once", id.name()),
            Self::MissingProperty(id) => write!(f, "{} is missing", id.name()),
            Self::ValueOutOfRange => f.write_str("the value is out of range"),
            Self::InvalidReasonCode(code) => write!(f, "Reason Code {code:#04x} is not allowed in this packet"),
            Self::InvalidProtocolName => f.write_str("the Protocol Name is not MQTT"),
            Self::UnsupportedProtocolVersion(version) => write!(f, "Protocol Version {version} is not 5"),
            Self::InvalidTopic(error) => error.fmt(f),
            Self::MissingTopic => f.write_str("the Topic Name is empty and there is no Topic Alias"),
            Self::EmptyList => f.write_str("at least one entry is needed"),
            Self::NoLocalOnSharedSubscription => f.write_str("No Local is set on a shared subscription"),
            Self::SessionPresentOnRefusal => f.write_str("Session Present is set on a refusal"),
        }
    }
}

/// A packet that cannot be encoded because MQTT v5.0 has no valid bytes for it.
///
/// ```
/// use mqtt_wasi::codec::{EncodeErrorKind, Publish, TopicError};
///
/// let error = Publish::new("sensors/#", "21.5").encoded_len().unwrap_err();
/// assert_eq!(error.field, "Topic Name");
/// assert_eq!(error.kind, EncodeErrorKind::InvalidTopic(TopicError::Wildcard));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncodeError {
    /// What is wrong.
    pub kind: EncodeErrorKind,
    /// The invalid field, as the specification names it.
    pub field: &'static str,
}

/// What is wrong with the packet.
///
/// ```
/// use mqtt_wasi::codec::{EncodeErrorKind, Publish};
///
/// let error = Publish::new("", "21.5").encoded_len().unwrap_err();
/// assert_eq!(error.kind, EncodeErrorKind::MissingTopic);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeErrorKind {
    /// A string or Binary Data of more than 65,535 bytes (section 1.5.4).
    TooLong,
    /// A string with a null character `[MQTT-1.5.4-2]`.
    NullCharacter,
    /// A number outside its range in the specification.
    ValueOutOfRange,
    /// A Reason Code that is not allowed in this packet (section 2.4).
    InvalidReasonCode,
    /// A Topic Name or Topic Filter breaks the rules of section 4.7.
    InvalidTopic(TopicError),
    /// An empty Topic Name without a Topic Alias (section 3.3.2.1).
    MissingTopic,
    /// A PUBLISH at QoS 1 or 2 without a Packet Identifier `[MQTT-2.2.1-3]`, or one at QoS 0 with one
    /// `[MQTT-2.2.1-2]`.
    PacketId,
    /// DUP set on a QoS 0 message `[MQTT-3.3.1-2]`.
    DupOnQos0,
    /// An empty list where at least one entry is needed.
    EmptyList,
    /// A property without the one that it depends on: Authentication Data without an Authentication Method.
    MissingProperty,
    /// No Local on a shared subscription `[MQTT-3.8.3-4]`.
    NoLocalOnSharedSubscription,
    /// Session Present with a Reason Code other than Success `[MQTT-3.2.2-6]`.
    SessionPresentOnRefusal,
    /// More than 268,435,455 bytes, the highest Remaining Length.
    PacketTooLarge,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid {}: {}", self.field, self.kind)
    }
}

impl core::error::Error for EncodeError {}

impl fmt::Display for EncodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "more than 65,535 bytes",
            Self::NullCharacter => "a string has a null character",
            Self::ValueOutOfRange => "the value is out of range",
            Self::InvalidReasonCode => "the Reason Code is not allowed in this packet",
            Self::InvalidTopic(error) => return error.fmt(f),
            Self::MissingTopic => "the Topic Name is empty and there is no Topic Alias",
            Self::PacketId => "a Packet Identifier is needed at QoS 1 and 2, and not allowed at QoS 0",
            Self::DupOnQos0 => "DUP is set on a QoS 0 message",
            Self::EmptyList => "at least one entry is needed",
            Self::MissingProperty => "Authentication Data needs an Authentication Method",
            Self::NoLocalOnSharedSubscription => "No Local is set on a shared subscription",
            Self::SessionPresentOnRefusal => "Session Present is set on a refusal",
            Self::PacketTooLarge => "the packet has more than 268,435,455 bytes",
        })
    }
}
