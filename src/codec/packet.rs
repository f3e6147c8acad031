//! Control Packets: the fixed header, and one enum over all fifteen (section 2.1).

use alloc::vec::Vec;
use core::fmt;

use super::read::Reader;
#[cfg(not(target_family = "wasm"))]
use super::write::{Block, SHORT, append_short, make_room};
use super::write::{Sink, Writer};
use super::{
    Ack, Auth, Connack, Connect, DecodeError, DecodeErrorKind, DecodeOptions, Disconnect, EncodeError, Publish, Suback,
    Subscribe, Unsuback, Unsubscribe, varint,
};

/// The type of a Control Packet: the high four bits of its first byte (section 2.1.2).
///
/// ```
/// use mqtt_wasi::codec::PacketType;
///
/// assert_eq!(PacketType::Subscribe as u8, 8);
/// assert_eq!(PacketType::Subscribe.to_string(), "SUBSCRIBE");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PacketType {
    /// CONNECT, client to server.
    Connect = 1,
    /// CONNACK, server to client.
    Connack = 2,
    /// PUBLISH, both ways.
    Publish = 3,
    /// PUBACK, both ways.
    Puback = 4,
    /// PUBREC, both ways.
    Pubrec = 5,
    /// PUBREL, both ways.
    Pubrel = 6,
    /// PUBCOMP, both ways.
    Pubcomp = 7,
    /// SUBSCRIBE, client to server.
    Subscribe = 8,
    /// SUBACK, server to client.
    Suback = 9,
    /// UNSUBSCRIBE, client to server.
    Unsubscribe = 10,
    /// UNSUBACK, server to client.
    Unsuback = 11,
    /// PINGREQ, client to server.
    Pingreq = 12,
    /// PINGRESP, server to client.
    Pingresp = 13,
    /// DISCONNECT, both ways.
    Disconnect = 14,
    /// AUTH, both ways.
    Auth = 15,
}

impl PacketType {
    /// Every packet type, in ascending order.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::Connack,
        Self::Publish,
        Self::Puback,
        Self::Pubrec,
        Self::Pubrel,
        Self::Pubcomp,
        Self::Subscribe,
        Self::Suback,
        Self::Unsubscribe,
        Self::Unsuback,
        Self::Pingreq,
        Self::Pingresp,
        Self::Disconnect,
        Self::Auth,
    ];

    /// The packet type with this number, 1 to 15. `None` for others.
    ///
    /// ```
    /// use mqtt_wasi::codec::PacketType;
    ///
    /// assert_eq!(PacketType::from_u8(3), Some(PacketType::Publish));
    /// assert_eq!(PacketType::from_u8(0), None);
    /// ```
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            1..=15 => Some(Self::ALL[value as usize - 1]),
            _ => None,
        }
    }

    /// The type and the flags in the first byte of a packet.
    ///
    /// # Errors
    /// [`DecodeErrorKind::ReservedPacketType`] for type 0, and [`DecodeErrorKind::ReservedBits`] for flags other than
    /// those of section 2.1.3 `[MQTT-2.1.3-1]`.
    ///
    /// ```
    /// use mqtt_wasi::codec::PacketType;
    ///
    /// assert_eq!(PacketType::from_first_byte(0x32)?, (PacketType::Publish, 0b0010));
    /// assert!(PacketType::from_first_byte(0x41).is_err(), "PUBACK has no flags");
    /// # Ok::<(), mqtt_wasi::codec::DecodeError>(())
    /// ```
    pub fn from_first_byte(byte: u8) -> Result<(Self, u8), DecodeError> {
        let (number, flags) = (byte >> 4, byte & 0x0F);
        // What comes most, and with flags of its own.
        if number == Self::Publish as u8 {
            return Ok((Self::Publish, flags));
        }
        let packet_type = Self::from_u8(number);
        let kind = match packet_type {
            Some(packet_type) if packet_type.fixed_flags() == flags => return Ok((packet_type, flags)),
            Some(_) => DecodeErrorKind::ReservedBits,
            None => DecodeErrorKind::ReservedPacketType,
        };
        Err(DecodeError { kind, packet_type, field: "fixed header", offset: 0 })
    }

    /// The flags that every packet of this type has, except PUBLISH.
    const fn fixed_flags(self) -> u8 {
        match self {
            Self::Pubrel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Connack => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::Puback => "PUBACK",
            Self::Pubrec => "PUBREC",
            Self::Pubrel => "PUBREL",
            Self::Pubcomp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::Suback => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Unsuback => "UNSUBACK",
            Self::Pingreq => "PINGREQ",
            Self::Pingresp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        }
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Control Packet of any type. What it holds is borrowed: from the bytes that it was decoded from, or from its
/// sender.
///
/// ```
/// use mqtt_wasi::codec::{Packet, Publish};
///
/// let mut bytes = Vec::new();
/// Packet::Publish(Publish::new("a/b", "hi")).encode(&mut bytes)?;
/// Packet::Pingreq.encode(&mut bytes)?;
///
/// let (packet, len) = Packet::decode(&bytes)?.expect("a whole packet");
/// assert_eq!(packet, Packet::Publish(Publish::new("a/b", "hi")));
/// assert_eq!(Packet::decode(&bytes[len..])?, Some((Packet::Pingreq, 2)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// CONNECT (section 3.1).
    Connect(Connect<'a>),
    /// CONNACK (section 3.2).
    Connack(Connack<'a>),
    /// PUBLISH (section 3.3).
    Publish(Publish<'a>),
    /// PUBACK (section 3.4).
    Puback(Ack<'a>),
    /// PUBREC (section 3.5).
    Pubrec(Ack<'a>),
    /// PUBREL (section 3.6).
    Pubrel(Ack<'a>),
    /// PUBCOMP (section 3.7).
    Pubcomp(Ack<'a>),
    /// SUBSCRIBE (section 3.8).
    Subscribe(Subscribe<'a>),
    /// SUBACK (section 3.9).
    Suback(Suback<'a>),
    /// UNSUBSCRIBE (section 3.10).
    Unsubscribe(Unsubscribe<'a>),
    /// UNSUBACK (section 3.11).
    Unsuback(Unsuback<'a>),
    /// PINGREQ (section 3.12).
    Pingreq,
    /// PINGRESP (section 3.13).
    Pingresp,
    /// DISCONNECT (section 3.14).
    Disconnect(Disconnect<'a>),
    /// AUTH (section 3.15).
    Auth(Auth<'a>),
}

impl<'a> Packet<'a> {
    /// Reads the first packet of `bytes`. Returns the packet and its length in bytes, or `None` when more bytes are
    /// needed.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not a valid packet.
    ///
    /// ```
    /// use mqtt_wasi::codec::{DecodeErrorKind, Packet};
    ///
    /// assert_eq!(Packet::decode(b"\xC0\x00\x30")?, Some((Packet::Pingreq, 2)));
    /// assert_eq!(Packet::decode(b"\xC0")?, None);
    /// let error = Packet::decode(b"\xC0\x01\x00").unwrap_err();
    /// assert_eq!(error.kind, DecodeErrorKind::TrailingBytes);
    /// # Ok::<(), mqtt_wasi::codec::DecodeError>(())
    /// ```
    #[cfg_attr(not(target_family = "wasm"), inline)]
    pub fn decode(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        Self::decode_with(bytes, DecodeOptions::default())
    }

    /// As [`Packet::decode`], with options.
    ///
    /// # Errors
    /// As [`Packet::decode`].
    ///
    /// ```
    /// use mqtt_wasi::codec::{DecodeOptions, Packet};
    ///
    /// let options = DecodeOptions::default();
    /// assert_eq!(Packet::decode_with(b"\xC0\x00", options)?, Some((Packet::Pingreq, 2)));
    /// # Ok::<(), mqtt_wasi::codec::DecodeError>(())
    /// ```
    #[cfg_attr(not(target_family = "wasm"), inline)]
    pub fn decode_with(bytes: &'a [u8], options: DecodeOptions) -> Result<Option<(Self, usize)>, DecodeError> {
        let Some((header, start)) = FixedHeader::decode(bytes)? else {
            return Ok(None);
        };
        let end = start + header.remaining_length as usize;
        let Some(body) = bytes.get(start..end) else {
            return Ok(None);
        };
        let FixedHeader { packet_type, flags, .. } = header;
        // As in `decode_body`: those that come most are not moved more often than they must be.
        match packet_type {
            PacketType::Publish => {
                Publish::decode(flags, body, options).map(|packet| Some((Self::Publish(packet), end)))
            }
            PacketType::Puback | PacketType::Pubrec | PacketType::Pubrel | PacketType::Pubcomp => {
                Self::decode_ack(packet_type, body, options).map(|packet| Some((packet, end)))
            }
            _ => Self::decode_body(packet_type, flags, body, options).map(|packet| Some((packet, end))),
        }
    }

    /// Reads what follows the fixed header of a packet.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not a valid packet of this type.
    ///
    /// ```
    /// use mqtt_wasi::codec::{Ack, DecodeOptions, Packet, PacketId, PacketType};
    ///
    /// let packet = Packet::decode_body(PacketType::Puback, 0, b"\x00\x07", DecodeOptions::default())?;
    /// assert_eq!(packet, Packet::Puback(Ack::success(PacketId::new(7).unwrap())));
    /// # Ok::<(), mqtt_wasi::codec::DecodeError>(())
    /// ```
    pub fn decode_body(
        packet_type: PacketType,
        flags: u8,
        body: &'a [u8],
        options: DecodeOptions,
    ) -> Result<Self, DecodeError> {
        if let Some(packet) = Self::decode_from_server(packet_type, flags, body, options)? {
            return Ok(packet);
        }
        let mut reader = Reader::new(packet_type, body);
        let packet = match packet_type {
            PacketType::Connect => Self::Connect(Connect::read(&mut reader, options)?),
            PacketType::Subscribe => Self::Subscribe(Subscribe::read(&mut reader, options)?),
            PacketType::Unsubscribe => Self::Unsubscribe(Unsubscribe::read(&mut reader, options)?),
            _ => Self::Pingreq,
        };
        reader.finish()?;
        Ok(packet)
    }

    /// As [`Packet::decode_body`] for the packets that servers send; `None` for those that only clients do. A client
    /// that decodes with this has no code for the others.
    pub(crate) fn decode_from_server(
        packet_type: PacketType,
        flags: u8,
        body: &'a [u8],
        options: DecodeOptions,
    ) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::new(packet_type, body);
        let r = &mut reader;
        let packet = match packet_type {
            PacketType::Publish => {
                return Publish::decode(flags, body, options).map(|publish| Some(Self::Publish(publish)));
            }
            // They are as many as the messages, so they are not moved about as what may be any packet.
            PacketType::Puback | PacketType::Pubrec | PacketType::Pubrel | PacketType::Pubcomp => {
                return Self::decode_ack(packet_type, body, options).map(Some);
            }
            PacketType::Connack => Self::Connack(Connack::read(r, options)?),
            PacketType::Suback => Self::Suback(Suback::read(r, options)?),
            PacketType::Unsuback => Self::Unsuback(Unsuback::read(r, options)?),
            PacketType::Pingresp => Self::Pingresp,
            PacketType::Disconnect => Self::Disconnect(Disconnect::read(r, options)?),
            PacketType::Auth => Self::Auth(Auth::read(r, options)?),
            PacketType::Connect | PacketType::Subscribe | PacketType::Unsubscribe | PacketType::Pingreq => {
                return Ok(None);
            }
        };
        reader.finish()?;
        Ok(Some(packet))
    }

    #[inline]
    fn decode_ack(packet_type: PacketType, body: &'a [u8], options: DecodeOptions) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(packet_type, body);
        let ack = Ack::read(&mut reader, options)?;
        reader.finish()?;
        Ok(match packet_type {
            PacketType::Puback => Self::Puback(ack),
            PacketType::Pubrec => Self::Pubrec(ack),
            PacketType::Pubrel => Self::Pubrel(ack),
            _ => Self::Pubcomp(ack),
        })
    }

    /// The type of the packet.
    ///
    /// ```
    /// use mqtt_wasi::codec::{Packet, PacketType};
    ///
    /// assert_eq!(Packet::Pingreq.packet_type(), PacketType::Pingreq);
    /// ```
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::Connack(_) => PacketType::Connack,
            Self::Publish(_) => PacketType::Publish,
            Self::Puback(_) => PacketType::Puback,
            Self::Pubrec(_) => PacketType::Pubrec,
            Self::Pubrel(_) => PacketType::Pubrel,
            Self::Pubcomp(_) => PacketType::Pubcomp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::Suback(_) => PacketType::Suback,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::Unsuback(_) => PacketType::Unsuback,
            Self::Pingreq => PacketType::Pingreq,
            Self::Pingresp => PacketType::Pingresp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// How many bytes the packet takes on the wire.
    ///
    /// # Errors
    /// [`EncodeError`] when the specification has no valid bytes for this packet.
    ///
    /// ```
    /// use mqtt_wasi::codec::Packet;
    ///
    /// assert_eq!(Packet::Pingreq.encoded_len(), Ok(2));
    /// ```
    pub fn encoded_len(&self) -> Result<usize, EncodeError> {
        match self {
            Self::Publish(publish) => publish.encoded_len(),
            _ => self.remaining_length::<ANY>().map(framed_len),
        }
    }

    /// As [`Packet::encoded_len`] for the packets that clients send.
    pub(crate) fn encoded_len_from_client(&self) -> Result<usize, EncodeError> {
        self.remaining_length::<FROM_CLIENT>().map(framed_len)
    }

    /// Appends the packet to `buffer`, which grows at most once. On an error nothing is appended.
    ///
    /// # Errors
    /// [`EncodeError`] when the specification has no valid bytes for this packet.
    ///
    /// ```
    /// use mqtt_wasi::codec::{Packet, Publish};
    ///
    /// let mut bytes = Vec::new();
    /// Packet::Pingreq.encode(&mut bytes)?;
    /// assert_eq!(bytes, b"\xC0\x00");
    ///
    /// let error = Packet::Publish(Publish::new("sensors/#", "21.5")).encode(&mut bytes).unwrap_err();
    /// assert_eq!(error.field, "Topic Name");
    /// # Ok::<(), mqtt_wasi::codec::EncodeError>(())
    /// ```
    pub fn encode(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
        if let Self::Publish(publish) = self {
            return publish.encode(buffer);
        }
        self.encode_other(buffer)
    }

    /// As [`Packet::encode`] for all but PUBLISH.
    #[cfg_attr(not(target_family = "wasm"), inline(never))]
    fn encode_other(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
        if let Self::Puback(ack) | Self::Pubrec(ack) | Self::Pubcomp(ack) = self
            && ack.is_success()
        {
            buffer.extend_from_slice(&Ack::success_bytes(self.packet_type(), ack.packet_id));
            return Ok(());
        }
        #[cfg(not(target_family = "wasm"))]
        if self.append_short(buffer) {
            return Ok(());
        }
        self.encode_exactly(buffer)
    }

    #[cfg_attr(not(target_family = "wasm"), cold, inline(never))]
    fn encode_exactly(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
        #[cfg(not(target_family = "wasm"))]
        make_room(buffer, self.encoded_len()?, &[]);
        self.frame::<ANY>(buffer, false)
    }

    /// As [`Packet::encode`] for the packets that clients send, except PUBLISH, once
    /// [`Packet::encoded_len_from_client`] has found nothing wrong. A client that encodes with this has no code for the
    /// others.
    pub(crate) fn encode_from_client(&self, buffer: &mut Vec<u8>) {
        let framed = self.frame::<FROM_CLIENT>(buffer, true);
        debug_assert_eq!(framed, Ok(()), "checked before");
    }

    /// Appends any packet but PUBLISH, if it is valid; says whether it is.
    #[cfg(not(target_family = "wasm"))]
    #[inline(never)]
    fn append_short(&self, buffer: &mut Vec<u8>) -> bool {
        let packet_type = self.packet_type();
        let first_byte = first_byte(packet_type, packet_type.fixed_flags());
        let likely_len = match self {
            Self::Subscribe(subscribe) => subscribe.subscriptions.likely_len(),
            _ => 0,
        };
        append_short::<SHORT>(buffer, first_byte, &Body(self), likely_len, &[])
    }

    fn frame<const SENDER: u8>(&self, buffer: &mut Vec<u8>, is_checked: bool) -> Result<(), EncodeError> {
        let packet_type = self.packet_type();
        let first_byte = first_byte(packet_type, packet_type.fixed_flags());
        Writer::packet(buffer, first_byte, is_checked, |writer| self.write::<SENDER>(writer))
    }

    fn remaining_length<const SENDER: u8>(&self) -> Result<u32, EncodeError> {
        let mut measure = Writer::default();
        self.write::<SENDER>(&mut measure);
        measure.finish()
    }

    /// Writes the body of any packet but PUBLISH.
    fn write<const SENDER: u8>(&self, sink: &mut impl Sink) {
        match self {
            Self::Connack(_) | Self::Suback(_) | Self::Unsuback(_) if SENDER == FROM_CLIENT => {
                debug_assert!(false, "clients send no {}", self.packet_type());
            }
            Self::Connect(packet) => packet.write(sink),
            Self::Connack(packet) => packet.write(sink),
            Self::Puback(ack) | Self::Pubrec(ack) | Self::Pubrel(ack) | Self::Pubcomp(ack) => {
                ack.write(sink, self.packet_type());
            }
            Self::Subscribe(packet) => packet.write(sink),
            Self::Suback(packet) => packet.write(sink),
            Self::Unsubscribe(packet) => packet.write(sink),
            Self::Unsuback(packet) => packet.write(sink),
            Self::Publish(_) | Self::Pingreq | Self::Pingresp => {}
            Self::Disconnect(packet) => packet.write(sink),
            Self::Auth(packet) => packet.write(sink),
        }
    }
}

/// The body of any packet but PUBLISH.
#[cfg(not(target_family = "wasm"))]
struct Body<'p>(&'p Packet<'p>);

#[cfg(not(target_family = "wasm"))]
impl Block for Body<'_> {
    #[inline]
    fn put(&self, sink: &mut impl Sink) {
        self.0.write::<ANY>(sink);
    }
}

/// Whose packets are encoded.
const ANY: u8 = 0;
const FROM_CLIENT: u8 = 1;

/// The fixed header of a packet (section 2.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FixedHeader {
    pub(crate) packet_type: PacketType,
    pub(crate) flags: u8,
    pub(crate) remaining_length: u32,
}

impl FixedHeader {
    /// Reads a fixed header and its length, or `None` when more bytes are needed.
    #[inline]
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let (packet_type, flags) = PacketType::from_first_byte(first)?;
        match varint::decode(rest) {
            Ok(Some((remaining_length, len))) => Ok(Some((Self { packet_type, flags, remaining_length }, 1 + len))),
            Ok(None) => Ok(None),
            Err(kind) => {
                Err(DecodeError { kind, packet_type: Some(packet_type), field: "Remaining Length", offset: 0 })
            }
        }
    }
}

/// The length of a whole packet.
pub(super) const fn framed_len(remaining_length: u32) -> usize {
    1 + varint::len(remaining_length) + remaining_length as usize
}

pub(super) const fn first_byte(packet_type: PacketType, flags: u8) -> u8 {
    (packet_type as u8) << 4 | flags
}

/// As [`begin_frame`], for a packet that is not to be in memory as a whole.
#[cfg(feature = "stream")]
pub(super) fn begin_streamed_frame(packet_type: PacketType, flags: u8, remaining_length: u32, buffer: &mut Vec<u8>) {
    buffer.u8(first_byte(packet_type, flags));
    buffer.varint(remaining_length, "Remaining Length");
}

/// Makes room for a packet that was measured, and appends its fixed header.
pub(super) fn begin_frame(packet_type: PacketType, flags: u8, remaining_length: u32, buffer: &mut Vec<u8>) {
    buffer.reserve(framed_len(remaining_length));
    buffer.u8(first_byte(packet_type, flags));
    buffer.varint(remaining_length, "Remaining Length");
}

#[cfg(test)]
mod tests {
    use super::super::{
        AckProperties, AuthProperties, ConnectProperties, DisconnectProperties, PacketId, QoS, ReasonCode,
        SubscribeProperties, Subscription, UnsubscribeProperties, Will,
    };
    use super::*;

    /// Encodes in both ways, behind other bytes.
    fn assert_same(packet: Packet<'_>) {
        let (mut encoded, mut framed) = (alloc::vec![7], alloc::vec![7]);
        encoded.reserve(1_000);
        let result = packet.encode(&mut encoded);
        assert_eq!(result, packet.encode_exactly(&mut framed));
        assert!(encoded == framed, "{} bytes instead of {}", encoded.len(), framed.len());
        match packet.encoded_len() {
            Ok(len) => assert_eq!(encoded.len(), 1 + len),
            Err(error) => assert_eq!(result, Err(error)),
        }
    }

    /// Packets of each type with this text in one of their fields.
    fn assert_same_with(text: &str) {
        let packet_id = PacketId::new(7).unwrap();
        let user_properties: &[_] = &[("name", text)];
        let user_properties = user_properties.into();
        let will = Will { topic: text, payload: text.as_bytes(), ..Will::default() };
        for connect in [
            Connect { client_id: text, ..Connect::default() },
            Connect { will: Some(will), ..Connect::default() },
            Connect { user_name: Some(text), ..Connect::default() },
            Connect { password: Some(text.as_bytes()), ..Connect::default() },
            Connect {
                properties: ConnectProperties { authentication_data: Some(text.as_bytes()), ..Default::default() },
                ..Connect::default()
            },
        ] {
            assert_same(Packet::Connect(connect));
        }
        let properties = AckProperties { reason_string: Some(text), user_properties };
        for reason_code in [ReasonCode::Success, ReasonCode::GrantedQos1, ReasonCode::QuotaExceeded] {
            let ack = Ack { packet_id, reason_code, properties };
            assert_same(Packet::Puback(ack));
            assert_same(Packet::Pubrel(ack));
            let reason_codes: &[_] = &[reason_code];
            assert_same(Packet::Suback(Suback { packet_id, properties, reason_codes: reason_codes.into() }));
            assert_same(Packet::Unsuback(Unsuback { packet_id, properties, reason_codes: reason_codes.into() }));
            let properties = DisconnectProperties { reason_string: Some(text), ..Default::default() };
            assert_same(Packet::Disconnect(Disconnect { reason_code, properties }));
            let properties = AuthProperties { authentication_method: Some(text), ..Default::default() };
            assert_same(Packet::Auth(Auth { reason_code, properties }));
        }
        for count in [0, 1, 2, 7, 20] {
            let subscription = Subscription { no_local: true, ..Subscription::new(text, QoS::AtLeastOnce) };
            let subscriptions = alloc::vec![subscription; count];
            let subscribe = Subscribe {
                packet_id,
                properties: SubscribeProperties { user_properties, ..Default::default() },
                subscriptions: subscriptions.as_slice().into(),
            };
            assert_same(Packet::Subscribe(subscribe));
            assert_same(Packet::Subscribe(Subscribe { properties: SubscribeProperties::default(), ..subscribe }));
            let filters = alloc::vec![text; count];
            let properties = UnsubscribeProperties::default();
            let filters = filters.as_slice().into();
            assert_same(Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters }));
        }
    }

    #[test]
    fn packets_of_every_size_have_the_bytes_that_the_exact_way_gives_them() {
        let text = "t".repeat(260);
        (0..text.len()).for_each(|len| assert_same_with(&text[..len]));
        assert_same_with(&"t".repeat(65_535));
    }

    #[test]
    fn what_is_wrong_with_a_packet_is_what_the_exact_way_finds() {
        for text in
            ["\0", "a\0b", "#", "+", "a/+/b", "a/#", "a+", "#/a", "$share", "$share/g/a", "$share/+/a", "a b", "ü"]
        {
            assert_same_with(text);
        }
        assert_same_with(&"t".repeat(65_536));
    }
}
