//! Properties: the 27 of section 2.2.2.2, and for each packet the ones that belong in it.

use super::list::{Entry, List};
use super::read::Reader;
use super::write::{Block, Sink};
use super::{DecodeError, DecodeErrorKind, DecodeOptions, EncodeErrorKind, QoS, UnknownProperties};

macro_rules! property_ids {
    ($($name:ident = $value:literal, $text:literal, $data_type:ident;)+) => {
        /// A property's identifier (section 2.2.2.2).
        ///
        /// ```
        /// use mqtt_wasi::codec::PropertyId;
        ///
        /// assert_eq!(PropertyId::ContentType as u8, 0x03);
        /// assert_eq!(PropertyId::ContentType.name(), "Content Type");
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum PropertyId {
            $(#[doc = concat!($text, " (", stringify!($value), "), a ", stringify!($data_type), ".")] $name = $value,)+
        }

        impl PropertyId {
            /// Every property of the specification, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The property with this identifier. `None` if the specification has none.
            ///
            /// ```
            /// use mqtt_wasi::codec::PropertyId;
            ///
            /// assert_eq!(PropertyId::from_u8(0x26), Some(PropertyId::UserProperty));
            /// assert_eq!(PropertyId::from_u8(0x7F), None);
            /// ```
            #[must_use]
            pub const fn from_u8(value: u8) -> Option<Self> {
                match value {
                    $($value => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// The specification's name of the property.
            ///
            /// ```
            /// use mqtt_wasi::codec::PropertyId;
            ///
            /// assert_eq!(PropertyId::MaximumQos.name(), "Maximum QoS");
            /// ```
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            const fn data_type(self) -> DataType {
                match self {
                    $(Self::$name => DataType::$data_type,)+
                }
            }
        }
    };
}

property_ids! {
    PayloadFormatIndicator = 0x01, "Payload Format Indicator", Byte;
    MessageExpiryInterval = 0x02, "Message Expiry Interval", FourByteInteger;
    ContentType = 0x03, "Content Type", String;
    ResponseTopic = 0x08, "Response Topic", String;
    CorrelationData = 0x09, "Correlation Data", BinaryData;
    SubscriptionIdentifier = 0x0B, "Subscription Identifier", VariableByteInteger;
    SessionExpiryInterval = 0x11, "Session Expiry Interval", FourByteInteger;
    AssignedClientIdentifier = 0x12, "Assigned Client Identifier", String;
    ServerKeepAlive = 0x13, "Server Keep Alive", TwoByteInteger;
    AuthenticationMethod = 0x15, "Authentication Method", String;
    AuthenticationData = 0x16, "Authentication Data", BinaryData;
    RequestProblemInformation = 0x17, "Request Problem Information", Byte;
    WillDelayInterval = 0x18, "Will Delay Interval", FourByteInteger;
    RequestResponseInformation = 0x19, "Request Response Information", Byte;
    ResponseInformation = 0x1A, "Response Information", String;
    ServerReference = 0x1C, "Server Reference", String;
    ReasonString = 0x1F, "Reason String", String;
    ReceiveMaximum = 0x21, "Receive Maximum", TwoByteInteger;
    TopicAliasMaximum = 0x22, "Topic Alias Maximum", TwoByteInteger;
    TopicAlias = 0x23, "Topic Alias", TwoByteInteger;
    MaximumQos = 0x24, "Maximum QoS", Byte;
    RetainAvailable = 0x25, "Retain Available", Byte;
    UserProperty = 0x26, "User Property", StringPair;
    MaximumPacketSize = 0x27, "Maximum Packet Size", FourByteInteger;
    WildcardSubscriptionAvailable = 0x28, "Wildcard Subscription Available", Byte;
    SubscriptionIdentifierAvailable = 0x29, "Subscription Identifier Available", Byte;
    SharedSubscriptionAvailable = 0x2A, "Shared Subscription Available", Byte;
}

/// The data types of section 1.5, as far as properties use them.
enum DataType {
    Byte,
    TwoByteInteger,
    FourByteInteger,
    VariableByteInteger,
    String,
    BinaryData,
    StringPair,
}

/// Name and value of one User Property. The same name may appear more than once (section 3.3.2.3.7).
pub type UserProperty<'a> = (&'a str, &'a str);

/// User Properties in the order they have in the packet, which is kept `[MQTT-3.3.2-18]`.
pub type UserProperties<'a> = List<'a, UserProperty<'a>>;

/// The Subscription Identifiers of a received PUBLISH, each from 1 to 268,435,455 (section 3.3.2.3.8).
pub type SubscriptionIdentifiers<'a> = List<'a, u32>;

/// A property that a packet has once at most. `read` and `write` are told which, since types alone do not say the
/// range or the encoding.
trait Value<'a>: Sized {
    fn read(reader: &mut Reader<'a>, id: PropertyId) -> Result<Self, DecodeError>;
    fn write(&self, sink: &mut impl Sink, id: PropertyId);
}

impl<'a> Value<'a> for bool {
    fn read(reader: &mut Reader<'a>, id: PropertyId) -> Result<Self, DecodeError> {
        match reader.u8(id.name())? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(reader.error(DecodeErrorKind::ValueOutOfRange, id.name())),
        }
    }

    fn write(&self, sink: &mut impl Sink, _: PropertyId) {
        sink.u8((*self).into());
    }
}

/// Maximum QoS, which is 0 or 1: a server that can do QoS 2 does not send it (section 3.2.2.3.4).
impl<'a> Value<'a> for QoS {
    fn read(reader: &mut Reader<'a>, id: PropertyId) -> Result<Self, DecodeError> {
        Ok(if bool::read(reader, id)? { Self::AtLeastOnce } else { Self::AtMostOnce })
    }

    fn write(&self, sink: &mut impl Sink, id: PropertyId) {
        sink.require(*self != Self::ExactlyOnce, EncodeErrorKind::ValueOutOfRange, id.name());
        sink.u8(*self as u8);
    }
}

impl<'a> Value<'a> for u16 {
    fn read(reader: &mut Reader<'a>, id: PropertyId) -> Result<Self, DecodeError> {
        let value = reader.u16(id.name())?;
        if value == 0 && id.is_never_zero() {
            return Err(reader.error(DecodeErrorKind::ValueOutOfRange, id.name()));
        }
        Ok(value)
    }

    fn write(&self, sink: &mut impl Sink, id: PropertyId) {
        sink.require(*self != 0 || !id.is_never_zero(), EncodeErrorKind::ValueOutOfRange, id.name());
        sink.u16(*self);
    }
}

impl<'a> Value<'a> for u32 {
    fn read(reader: &mut Reader<'a>, id: PropertyId) -> Result<Self, DecodeError> {
        let value = match id {
            PropertyId::SubscriptionIdentifier => reader.varint(id.name())?,
            _ => reader.u32(id.name())?,
        };
        if value == 0 && id.is_never_zero() {
            return Err(reader.error(DecodeErrorKind::ValueOutOfRange, id.name()));
        }
        Ok(value)
    }

    fn write(&self, sink: &mut impl Sink, id: PropertyId) {
        sink.require(*self != 0 || !id.is_never_zero(), EncodeErrorKind::ValueOutOfRange, id.name());
        match id {
            PropertyId::SubscriptionIdentifier => sink.varint(*self, id.name()),
            _ => sink.u32(*self),
        }
    }
}

impl<'a> Value<'a> for &'a str {
    fn read(reader: &mut Reader<'a>, id: PropertyId) -> Result<Self, DecodeError> {
        match id {
            // A Topic Name of at least one character `[MQTT-3.3.2-14]` `[MQTT-4.7.3-1]`.
            PropertyId::ResponseTopic => reader.topic_name(id.name()),
            _ => reader.string(id.name()),
        }
    }

    fn write(&self, sink: &mut impl Sink, id: PropertyId) {
        match id {
            PropertyId::ResponseTopic => sink.topic_name(self, id.name()),
            _ => sink.string(self, id.name()),
        }
    }
}

impl<'a> Value<'a> for &'a [u8] {
    fn read(reader: &mut Reader<'a>, id: PropertyId) -> Result<Self, DecodeError> {
        reader.binary(id.name())
    }

    fn write(&self, sink: &mut impl Sink, id: PropertyId) {
        sink.binary(self, id.name());
    }
}

impl<'a> Value<'a> for UserProperty<'a> {
    fn read(reader: &mut Reader<'a>, id: PropertyId) -> Result<Self, DecodeError> {
        Ok((reader.string(id.name())?, reader.string(id.name())?))
    }

    fn write(&self, sink: &mut impl Sink, id: PropertyId) {
        sink.string(self.0, id.name());
        sink.string(self.1, id.name());
    }
}

impl PropertyId {
    /// Whether the specification makes zero a Protocol Error.
    const fn is_never_zero(self) -> bool {
        matches!(self, Self::ReceiveMaximum | Self::MaximumPacketSize | Self::TopicAlias | Self::SubscriptionIdentifier)
    }

    /// The next identifier in a property block; `None` at the block's end, or where an unknown one makes the rest of
    /// the block unreadable and the options allow to continue without it.
    fn read(block: &mut Reader<'_>, options: DecodeOptions) -> Result<Option<Self>, DecodeError> {
        const FIELD: &str = "Property Identifier";
        if block.is_empty() {
            return Ok(None);
        }
        let value = block.varint(FIELD)?;
        match u8::try_from(value).ok().and_then(Self::from_u8) {
            Some(id) => Ok(Some(id)),
            None if options.unknown_properties == UnknownProperties::Skip => Ok(None),
            None => Err(block.error(DecodeErrorKind::UnknownProperty(value), FIELD)),
        }
    }

    /// Moves past this property's value.
    fn skip(self, block: &mut Reader<'_>) -> Result<(), DecodeError> {
        let name = self.name();
        match self.data_type() {
            DataType::Byte => block.take(1, name).map(drop),
            DataType::TwoByteInteger => block.take(2, name).map(drop),
            DataType::FourByteInteger => block.take(4, name).map(drop),
            DataType::VariableByteInteger => block.varint(name).map(drop),
            DataType::String | DataType::BinaryData => block.binary(name).map(drop),
            DataType::StringPair => block.binary(name).and_then(|_| block.binary(name)).map(drop),
        }
    }

    /// The next property of this kind in a block that was checked before.
    fn find<'a, T: Value<'a>>(self, block: &mut Reader<'a>) -> Option<T> {
        const SKIP: DecodeOptions = DecodeOptions { unknown_properties: UnknownProperties::Skip };
        loop {
            let id = Self::read(block, SKIP).ok().flatten()?;
            if id == self {
                return T::read(block, id).ok();
            }
            id.skip(block).ok()?;
        }
    }
}

impl<'a> Entry<'a> for UserProperty<'a> {
    fn next(block: &mut Reader<'a>) -> Option<Self> {
        PropertyId::UserProperty.find(block)
    }
}

impl<'a> Entry<'a> for u32 {
    fn next(block: &mut Reader<'a>) -> Option<Self> {
        PropertyId::SubscriptionIdentifier.find(block)
    }
}

/// A field of a packet's property set: there once at most, or any number of times.
trait Field<'a> {
    /// Reads one occurrence. `rest` is the block from this occurrence's identifier on.
    fn add(&mut self, block: &mut Reader<'a>, id: PropertyId, rest: &'a [u8]) -> Result<(), DecodeError>;
    fn put(&self, sink: &mut impl Sink, id: PropertyId);
    fn is_absent(&self) -> bool;
}

impl<'a, T: Value<'a>> Field<'a> for Option<T> {
    fn add(&mut self, block: &mut Reader<'a>, id: PropertyId, _: &'a [u8]) -> Result<(), DecodeError> {
        if self.is_some() {
            return Err(block.error(DecodeErrorKind::DuplicateProperty(id), id.name()));
        }
        *self = Some(T::read(block, id)?);
        Ok(())
    }

    fn put(&self, sink: &mut impl Sink, id: PropertyId) {
        if let Some(value) = self {
            sink.u8(id as u8);
            value.write(sink, id);
        }
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<'a, T: Value<'a> + Entry<'a>> Field<'a> for List<'a, T> {
    fn add(&mut self, block: &mut Reader<'a>, id: PropertyId, rest: &'a [u8]) -> Result<(), DecodeError> {
        T::read(block, id)?;
        if self.is_empty() {
            *self = List::wire(rest);
        }
        Ok(())
    }

    #[cfg_attr(not(target_family = "wasm"), inline)]
    fn put(&self, sink: &mut impl Sink, id: PropertyId) {
        if cfg!(target_family = "wasm") || !self.is_empty() {
            put_each(self, sink, id);
        }
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

fn put_each<'a, T: Value<'a> + Entry<'a>>(list: &List<'a, T>, sink: &mut impl Sink, id: PropertyId) {
    for value in list {
        sink.u8(id as u8);
        value.write(sink, id);
    }
}

macro_rules! properties {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty = $id:ident,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $name<'a> {
            $($(#[$field_meta])* pub $field: $type,)+
        }

        impl<'a> $name<'a> {
            /// Reads a Property Length and the properties behind it.
            #[inline]
            pub(super) fn read(reader: &mut Reader<'a>, options: DecodeOptions) -> Result<Self, DecodeError> {
                if reader.take_zero() { Ok(Self::default()) } else { Self::read_block(reader, options) }
            }

            #[inline(never)]
            fn read_block(reader: &mut Reader<'a>, options: DecodeOptions) -> Result<Self, DecodeError> {
                let mut properties = Self::default();
                let mut block = reader.property_block()?;
                loop {
                    let rest = block.peek();
                    match PropertyId::read(&mut block, options)? {
                        $(Some(id @ PropertyId::$id) => properties.$field.add(&mut block, id, rest)?,)+
                        Some(id) => return Err(block.error(DecodeErrorKind::PropertyNotAllowed(id), id.name())),
                        None => return Ok(properties),
                    }
                }
            }

            /// Writes a Property Length and the properties behind it.
            #[cfg_attr(not(target_family = "wasm"), inline)]
            pub(super) fn write(&self, sink: &mut impl Sink) {
                if self.is_empty() { sink.u8(0) } else { sink.block(self, "Property Length") }
            }

            /// Whether no property is set.
            #[doc = concat!("\n```\nuse mqtt_wasi::codec::", stringify!($name), ";\n")]
            #[doc = concat!("assert!(", stringify!($name), "::default().is_empty());\n```")]
            #[must_use]
            pub fn is_empty(&self) -> bool {
                $(self.$field.is_absent())&&+
            }
        }

        impl Block for $name<'_> {
            fn put(&self, sink: &mut impl Sink) {
                $(self.$field.put(sink, PropertyId::$id);)+
            }
        }
    )+};
}

properties! {
    /// The properties of CONNECT (section 3.1.2.11).
    ///
    /// ```
    /// use mqtt_wasi::codec::{Connect, ConnectProperties, Packet};
    ///
    /// let properties = ConnectProperties { session_expiry_interval: Some(3600), ..ConnectProperties::default() };
    /// let mut bytes = Vec::new();
    /// Packet::Connect(Connect { client_id: "c", properties, ..Connect::default() }).encode(&mut bytes)?;
    /// assert_eq!(bytes, b"\x10\x13\x00\x04MQTT\x05\x00\x00\x00\x05\x11\x00\x00\x0E\x10\x00\x01c");
    /// # Ok::<(), mqtt_wasi::codec::EncodeError>(())
    /// ```
    ConnectProperties {
        /// How long the server keeps the session after the connection ends, in seconds. Absent or 0: not at all.
        /// 0xFFFFFFFF: for ever.
        session_expiry_interval: Option<u32> = SessionExpiryInterval,
        /// How many QoS 1 and 2 messages the client handles at once, at least 1. Absent: 65,535.
        receive_maximum: Option<u16> = ReceiveMaximum,
        /// The largest packet in bytes that the client accepts, at least 1. Absent: no bound.
        maximum_packet_size: Option<u32> = MaximumPacketSize,
        /// The highest Topic Alias that the client accepts. Absent: 0, none.
        topic_alias_maximum: Option<u16> = TopicAliasMaximum,
        /// Whether the client asks for Response Information in CONNACK. Absent: no.
        request_response_information: Option<bool> = RequestResponseInformation,
        /// Whether the server may explain failures with Reason Strings and User Properties. Absent: yes.
        request_problem_information: Option<bool> = RequestProblemInformation,
        /// User Properties.
        user_properties: UserProperties<'a> = UserProperty,
        /// The Authentication Method (section 4.12).
        authentication_method: Option<&'a str> = AuthenticationMethod,
        /// The Authentication Data. Not without an Authentication Method.
        authentication_data: Option<&'a [u8]> = AuthenticationData,
    }

    /// The properties of the Will Message (section 3.1.3.2).
    ///
    /// ```
    /// use mqtt_wasi::codec::{Will, WillProperties};
    ///
    /// let properties = WillProperties { will_delay_interval: Some(30), ..WillProperties::default() };
    /// let will = Will { topic: "status/thermometer-7", payload: b"offline", properties, ..Will::default() };
    /// assert!(!will.properties.is_empty());
    /// ```
    WillProperties {
        /// How long the server waits before it publishes the message, in seconds. Absent: 0.
        will_delay_interval: Option<u32> = WillDelayInterval,
        /// Whether the payload is UTF-8 text. Absent: unspecified bytes.
        payload_format_indicator: Option<bool> = PayloadFormatIndicator,
        /// The lifetime of the message in seconds. Absent: it does not expire.
        message_expiry_interval: Option<u32> = MessageExpiryInterval,
        /// What the payload is, for example a MIME type.
        content_type: Option<&'a str> = ContentType,
        /// The Topic Name for a response.
        response_topic: Option<&'a str> = ResponseTopic,
        /// Tells the requester which request a response is for.
        correlation_data: Option<&'a [u8]> = CorrelationData,
        /// User Properties.
        user_properties: UserProperties<'a> = UserProperty,
    }

    /// The properties of CONNACK (section 3.2.2.3).
    ///
    /// ```
    /// use mqtt_wasi::codec::{Connack, ConnackProperties, Packet, QoS};
    ///
    /// let properties = ConnackProperties {
    ///     maximum_qos: Some(QoS::AtLeastOnce),
    ///     assigned_client_identifier: Some("c1"),
    ///     ..ConnackProperties::default()
    /// };
    /// let mut bytes = Vec::new();
    /// Packet::Connack(Connack { properties, ..Connack::default() }).encode(&mut bytes)?;
    /// assert_eq!(bytes, b"\x20\x0A\x00\x00\x07\x24\x01\x12\x00\x02c1");
    /// # Ok::<(), mqtt_wasi::codec::EncodeError>(())
    /// ```
    ConnackProperties {
        /// How long the server keeps the session, in seconds, if it differs from what the client asked for.
        session_expiry_interval: Option<u32> = SessionExpiryInterval,
        /// How many QoS 1 and 2 messages the server handles at once, at least 1. Absent: 65,535.
        receive_maximum: Option<u16> = ReceiveMaximum,
        /// The highest QoS that the server accepts, 0 or 1. Absent: 2.
        maximum_qos: Option<QoS> = MaximumQos,
        /// Whether the server keeps retained messages. Absent: yes.
        retain_available: Option<bool> = RetainAvailable,
        /// The largest packet in bytes that the server accepts, at least 1. Absent: no bound.
        maximum_packet_size: Option<u32> = MaximumPacketSize,
        /// The Client Identifier that the server assigned to a client without one.
        assigned_client_identifier: Option<&'a str> = AssignedClientIdentifier,
        /// The highest Topic Alias that the server accepts. Absent: 0, none.
        topic_alias_maximum: Option<u16> = TopicAliasMaximum,
        /// The Reason String: why, in words, for people.
        reason_string: Option<&'a str> = ReasonString,
        /// User Properties.
        user_properties: UserProperties<'a> = UserProperty,
        /// Whether Topic Filters may have wildcards. Absent: yes.
        wildcard_subscription_available: Option<bool> = WildcardSubscriptionAvailable,
        /// Whether subscriptions may have identifiers. Absent: yes.
        subscription_identifier_available: Option<bool> = SubscriptionIdentifierAvailable,
        /// Whether subscriptions may be shared. Absent: yes.
        shared_subscription_available: Option<bool> = SharedSubscriptionAvailable,
        /// The Keep Alive in seconds, if the server demands another than the client asked for.
        server_keep_alive: Option<u16> = ServerKeepAlive,
        /// What Response Topics may be made of.
        response_information: Option<&'a str> = ResponseInformation,
        /// Another server to use.
        server_reference: Option<&'a str> = ServerReference,
        /// The Authentication Method (section 4.12).
        authentication_method: Option<&'a str> = AuthenticationMethod,
        /// The Authentication Data. Not without an Authentication Method.
        authentication_data: Option<&'a [u8]> = AuthenticationData,
    }

    /// The properties of PUBLISH (section 3.3.2.3).
    ///
    /// ```
    /// use mqtt_wasi::{Publish, PublishProperties};
    ///
    /// let properties = PublishProperties {
    ///     message_expiry_interval: Some(60),
    ///     user_properties: (&[("unit", "celsius"), ("place", "kitchen")]).into(),
    ///     ..PublishProperties::default()
    /// };
    /// let message = Publish::new("sensors/kitchen", "21.5").properties(properties);
    /// assert_eq!(message.properties.user_properties.iter().count(), 2);
    /// ```
    PublishProperties {
        /// Whether the payload is UTF-8 text. Absent: unspecified bytes.
        payload_format_indicator: Option<bool> = PayloadFormatIndicator,
        /// The lifetime of the message in seconds. From the server: what is left of it. Absent: it does not expire.
        message_expiry_interval: Option<u32> = MessageExpiryInterval,
        /// A number that stands for the Topic Name, 1 to the receiver's Topic Alias Maximum. Once it was sent with a
        /// Topic Name, the Topic Name may be empty until the connection ends.
        topic_alias: Option<u16> = TopicAlias,
        /// The Topic Name for a response.
        response_topic: Option<&'a str> = ResponseTopic,
        /// Tells the requester which request a response is for.
        correlation_data: Option<&'a [u8]> = CorrelationData,
        /// User Properties.
        user_properties: UserProperties<'a> = UserProperty,
        /// The identifiers of the subscriptions that the message matched. A client sends none `[MQTT-3.3.4-6]`.
        subscription_identifiers: SubscriptionIdentifiers<'a> = SubscriptionIdentifier,
        /// What the payload is, for example a MIME type.
        content_type: Option<&'a str> = ContentType,
    }

    /// The properties of PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK (section 3.4.2.2).
    ///
    /// ```
    /// use mqtt_wasi::codec::{Ack, AckProperties, Packet, PacketId, ReasonCode};
    ///
    /// let properties = AckProperties { reason_string: Some("full"), ..AckProperties::default() };
    /// let packet_id = PacketId::new(7).unwrap();
    /// let refused = Ack { packet_id, reason_code: ReasonCode::QuotaExceeded, properties };
    /// let mut bytes = Vec::new();
    /// Packet::Puback(refused).encode(&mut bytes)?;
    /// assert_eq!(bytes, b"\x40\x0B\x00\x07\x97\x07\x1F\x00\x04full");
    /// # Ok::<(), mqtt_wasi::codec::EncodeError>(())
    /// ```
    AckProperties {
        /// The Reason String: why, in words, for people.
        reason_string: Option<&'a str> = ReasonString,
        /// User Properties.
        user_properties: UserProperties<'a> = UserProperty,
    }

    /// The properties of SUBSCRIBE (section 3.8.2.1).
    ///
    /// ```
    /// use mqtt_wasi::SubscribeProperties;
    ///
    /// let properties = SubscribeProperties { subscription_identifier: Some(7), ..SubscribeProperties::default() };
    /// assert!(!properties.is_empty());
    /// ```
    SubscribeProperties {
        /// The identifier, 1 to 268,435,455, which comes with each message of these subscriptions.
        subscription_identifier: Option<u32> = SubscriptionIdentifier,
        /// User Properties.
        user_properties: UserProperties<'a> = UserProperty,
    }

    /// The properties of UNSUBSCRIBE (section 3.10.2.1).
    ///
    /// ```
    /// use mqtt_wasi::UnsubscribeProperties;
    ///
    /// let properties = UnsubscribeProperties { user_properties: (&[("by", "operator")]).into() };
    /// assert!(!properties.is_empty());
    /// ```
    UnsubscribeProperties {
        /// User Properties.
        user_properties: UserProperties<'a> = UserProperty,
    }

    /// The properties of DISCONNECT (section 3.14.2.2).
    ///
    /// ```
    /// use mqtt_wasi::{Disconnect, DisconnectProperties, ReasonCode};
    ///
    /// let properties = DisconnectProperties { session_expiry_interval: Some(0), ..DisconnectProperties::default() };
    /// let forget_me = Disconnect { properties, ..Disconnect::new(ReasonCode::NORMAL_DISCONNECTION) };
    /// assert!(!forget_me.properties.is_empty());
    /// ```
    DisconnectProperties {
        /// How long the server keeps the session from now on, in seconds. Only a client sends it `[MQTT-3.14.2-2]`.
        /// Absent: as in CONNECT.
        session_expiry_interval: Option<u32> = SessionExpiryInterval,
        /// The Reason String: why, in words, for people.
        reason_string: Option<&'a str> = ReasonString,
        /// User Properties.
        user_properties: UserProperties<'a> = UserProperty,
        /// Another server to use. Only a server sends it.
        server_reference: Option<&'a str> = ServerReference,
    }

    /// The properties of AUTH (section 3.15.2.2).
    ///
    /// ```
    /// use mqtt_wasi::codec::{Auth, AuthProperties, ReasonCode};
    ///
    /// let properties = AuthProperties {
    ///     authentication_method: Some("TOKEN"),
    ///     authentication_data: Some(b"a token"),
    ///     ..AuthProperties::default()
    /// };
    /// let auth = Auth { reason_code: ReasonCode::ReAuthenticate, properties };
    /// assert_eq!(auth.properties.authentication_method, Some("TOKEN"));
    /// ```
    AuthProperties {
        /// The Authentication Method (section 4.12).
        authentication_method: Option<&'a str> = AuthenticationMethod,
        /// The Authentication Data.
        authentication_data: Option<&'a [u8]> = AuthenticationData,
        /// The Reason String: why, in words, for people.
        reason_string: Option<&'a str> = ReasonString,
        /// User Properties.
        user_properties: UserProperties<'a> = UserProperty,
    }
}
