//! PUBLISH: an application message (section 3.3).

use alloc::vec::Vec;

#[cfg(feature = "stream")]
use super::packet::begin_streamed_frame;
#[cfg(not(target_family = "wasm"))]
use super::packet::first_byte;
use super::packet::{PacketType, begin_frame, framed_len};
use super::property::PublishProperties;
use super::read::Reader;
#[cfg(not(target_family = "wasm"))]
use super::write::{Block, SHORT, append_short, make_room};
#[cfg(feature = "bulk")]
use super::write::{Count, Front};
use super::write::{Measure, Sink};
use super::{DecodeError, DecodeErrorKind, DecodeOptions, EncodeError, EncodeErrorKind, PacketId, QoS};

const RETAIN: u8 = 0x01;
const QOS_SHIFT: u8 = 1;
const DUP: u8 = 0x08;

const TOPIC: &str = "Topic Name";

/// As [`SHORT`], where there are no properties.
#[cfg(not(target_family = "wasm"))]
const SHORT_PLAIN: usize = 64;

/// PUBLISH: a message, to the server or from it. Clients take one to [publish](crate::Client::publish).
///
/// ```
/// use mqtt_wasi::{Publish, PublishProperties, QoS};
///
/// let properties = PublishProperties { message_expiry_interval: Some(60), ..PublishProperties::default() };
/// let message = Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce).retain(true).properties(properties);
/// assert_eq!(message.payload, b"21.5");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Publish<'a> {
    /// DUP: whether the message may have been delivered before. Never at QoS 0. A session sets it by itself.
    pub dup: bool,
    /// How often the message is delivered.
    pub qos: QoS,
    /// To the server: whether it keeps the message for later subscribers. From the server: whether it had kept the
    /// message before the subscription was made; with
    /// [`Subscription::retain_as_published`](super::Subscription::retain_as_published), the flag that it was published
    /// with.
    pub retain: bool,
    /// The Topic Name: 1 to 65,535 bytes, without the wildcards `+` and `#`. Empty where
    /// [`PublishProperties::topic_alias`] stands for it.
    pub topic: &'a str,
    /// The Packet Identifier, at QoS 1 and 2 only. A session sets it by itself.
    pub packet_id: Option<PacketId>,
    /// The properties.
    pub properties: PublishProperties<'a>,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// A message at QoS 0, not retained, without properties. The payload may be text or bytes.
    ///
    /// ```
    /// use mqtt_wasi::{Publish, QoS};
    ///
    /// let message = Publish::new("sensors/kitchen", "21.5");
    /// assert_eq!(message, Publish::new("sensors/kitchen", &[0x32, 0x31, 0x2E, 0x35]));
    /// assert_eq!(message.qos, QoS::AtMostOnce);
    /// ```
    #[must_use]
    pub fn new(topic: &'a str, payload: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { topic, payload: payload.as_ref(), ..Self::default() }
    }

    /// Sets the QoS.
    ///
    /// ```
    /// use mqtt_wasi::{Publish, QoS};
    ///
    /// assert_eq!(Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce).qos, QoS::AtLeastOnce);
    /// ```
    #[must_use]
    pub const fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    /// Sets whether the server keeps the message for later subscribers.
    ///
    /// ```
    /// use mqtt_wasi::Publish;
    ///
    /// assert!(Publish::new("sensors/kitchen", "21.5").retain(true).retain);
    /// let deletes_it = Publish::new("sensors/kitchen", "").retain(true);
    /// # assert!(deletes_it.payload.is_empty());
    /// ```
    #[must_use]
    pub const fn retain(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    /// Sets the properties.
    ///
    /// ```
    /// use mqtt_wasi::{Publish, PublishProperties};
    ///
    /// let properties = PublishProperties {
    ///     content_type: Some("text/plain"),
    ///     user_properties: (&[("unit", "celsius")]).into(),
    ///     ..PublishProperties::default()
    /// };
    /// let message = Publish::new("sensors/kitchen", "21.5").properties(properties);
    /// assert_eq!(message.properties.user_properties.iter().next(), Some(("unit", "celsius")));
    /// ```
    #[must_use]
    pub const fn properties(mut self, properties: PublishProperties<'a>) -> Self {
        self.properties = properties;
        self
    }

    /// The same message with these User Properties instead.
    pub(crate) fn with_user_properties<'b>(&self, user_properties: &'b [super::UserProperty<'b>]) -> Publish<'b>
    where
        'a: 'b,
    {
        let properties = PublishProperties { user_properties: user_properties.into(), ..self.properties };
        Publish { properties, ..*self }
    }

    /// How many bytes the packet takes on the wire.
    ///
    /// # Errors
    /// [`EncodeError`] when the specification has no valid bytes for this packet.
    ///
    /// ```
    /// use mqtt_wasi::Publish;
    ///
    /// assert_eq!(Publish::new("a/b", "hi").encoded_len(), Ok(10));
    /// ```
    pub fn encoded_len(&self) -> Result<usize, EncodeError> {
        self.measure().map(|measured| measured.len())
    }

    /// Appends the packet to `buffer`, which grows at most once. On an error nothing is appended.
    ///
    /// # Errors
    /// [`EncodeError`] when the specification has no valid bytes for this packet.
    ///
    /// ```
    /// use mqtt_wasi::Publish;
    ///
    /// let mut bytes = Vec::new();
    /// Publish::new("a/b", "hi").encode(&mut bytes)?;
    /// assert_eq!(bytes, b"\x30\x08\x00\x03a/b\x00hi");
    /// # Ok::<(), mqtt_wasi::EncodeError>(())
    /// ```
    pub fn encode(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
        #[cfg(not(target_family = "wasm"))]
        return if self.properties.is_empty() && self.topic.len() <= SHORT_PLAIN - 5 {
            self.encode_plain(buffer)
        } else {
            self.encode_with_properties(buffer)
        };
        #[cfg(target_family = "wasm")]
        self.encode_measured(buffer)
    }

    /// More than this it is not long, if it has no properties.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn most_plain_len(&self) -> Option<usize> {
        let most_head = 1 + size_of::<u32>() + 2 + self.topic.len() + 2 + 1;
        self.properties.is_empty().then(|| most_head.saturating_add(self.payload.len()))
    }

    #[cfg(not(target_family = "wasm"))]
    #[inline(never)]
    fn encode_plain(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
        let likely_len = self.topic.len() + self.payload.len();
        let first_byte = first_byte(PacketType::Publish, self.flags());
        if append_short::<SHORT_PLAIN>(buffer, first_byte, &PlainHead(self), likely_len, self.payload) {
            return Ok(());
        }
        self.encode_measured(buffer)
    }

    #[cfg(not(target_family = "wasm"))]
    #[inline(never)]
    fn encode_with_properties(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
        let likely_len = 64 + self.topic.len() + self.payload.len();
        let first_byte = first_byte(PacketType::Publish, self.flags());
        if append_short::<SHORT>(buffer, first_byte, &Head(self), likely_len, self.payload) {
            return Ok(());
        }
        self.encode_measured(buffer)
    }

    #[cfg_attr(not(target_family = "wasm"), cold, inline(never))]
    fn encode_measured(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
        let measured = self.measure()?;
        #[cfg(not(target_family = "wasm"))]
        make_room(buffer, measured.len(), self.payload);
        measured.write(buffer);
        Ok(())
    }

    /// Checks and measures the packet, so that it can be written without doing so again.
    pub(crate) fn measure(&self) -> Result<Measured<'_>, EncodeError> {
        let mut measure = Measure::default();
        self.write(&mut measure);
        Ok(Measured { publish: self, remaining_length: measure.finish()? })
    }

    /// As [`Publish::measure`], where so many bytes follow behind the payload.
    #[cfg(feature = "stream")]
    pub(crate) fn measure_before(&self, payload_len: u64) -> Result<Measured<'_>, EncodeError> {
        let mut measure = Measure::default();
        self.write(&mut measure);
        measure.add(usize::try_from(payload_len).unwrap_or(usize::MAX));
        Ok(Measured { publish: self, remaining_length: measure.finish()? })
    }

    /// Reads the body of a PUBLISH whose fixed header has these flags.
    #[inline]
    pub(crate) fn decode(flags: u8, body: &'a [u8], options: DecodeOptions) -> Result<Self, DecodeError> {
        Self::decode_known(flags, body, options, None)
    }

    /// As [`Publish::decode`], where the Topic Name may be known already: then it is not looked at.
    #[cfg_attr(target_family = "wasm", inline)]
    #[cfg_attr(
        not(target_family = "wasm"),
        expect(clippy::inline_always, reason = "where size counts less than the copy of the whole message"),
        inline(always)
    )]
    pub(crate) fn decode_known(
        flags: u8,
        body: &'a [u8],
        options: DecodeOptions,
        topic: Option<&'a str>,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(PacketType::Publish, body);
        let Some(qos) = QoS::from_u8(flags >> QOS_SHIFT & 0b11) else {
            return Err(reader.error(DecodeErrorKind::InvalidQos, "QoS"));
        };
        let dup = flags & DUP != 0;
        if dup && qos == QoS::AtMostOnce {
            return Err(reader.error(DecodeErrorKind::DupOnQos0, "DUP"));
        }
        let topic = match topic {
            Some(topic) => reader.take(2 + topic.len(), TOPIC).map(|_| topic)?,
            None => reader.topic_name_or_empty(TOPIC)?,
        };
        let packet_id = if qos == QoS::AtMostOnce { None } else { Some(reader.packet_id()?) };
        let properties = PublishProperties::read(&mut reader, options)?;
        if topic.is_empty() && properties.topic_alias.is_none() {
            return Err(reader.error(DecodeErrorKind::MissingTopic, TOPIC));
        }
        let payload = reader.rest();
        Ok(Self { dup, qos, retain: flags & RETAIN != 0, topic, packet_id, properties, payload })
    }

    /// Makes one of the parts that [bulk](crate::bulk) frames have: the head is Topic Name and properties. Who
    /// publishes it checks what the Topic Name must not have.
    #[cfg(feature = "bulk")]
    pub(crate) fn decode_parts(flags: u8, head: &'a [u8], payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(PacketType::Publish, head);
        let Some(qos) = QoS::from_u8(flags >> QOS_SHIFT & 0b11) else {
            return Err(reader.error(DecodeErrorKind::InvalidQos, "QoS"));
        };
        let topic = reader.utf8(TOPIC)?;
        let properties = PublishProperties::read(&mut reader, DecodeOptions::default())?;
        if !reader.rest().is_empty() {
            return Err(reader.error(DecodeErrorKind::TrailingBytes, "Property Length"));
        }
        let (dup, retain) = (flags & DUP != 0, flags & RETAIN != 0);
        Ok(Self { dup, qos, retain, topic, packet_id: None, properties, payload })
    }

    /// How many bytes the head has, and what of the message is too long, if anything is.
    #[cfg(feature = "bulk")]
    pub(crate) fn head_len(&self) -> (usize, Result<(), EncodeError>) {
        let mut count = Count::default();
        self.write_head(&mut count);
        let len = count.len();
        count.bytes(self.payload);
        (len, count.finish())
    }

    /// The low four bits of the fixed header.
    pub(crate) const fn flags(&self) -> u8 {
        (if self.dup { DUP } else { 0 }) | (self.qos as u8) << QOS_SHIFT | (if self.retain { RETAIN } else { 0 })
    }
}

/// A PUBLISH that is known to be valid, and how long it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured<'a> {
    publish: &'a Publish<'a>,
    remaining_length: u32,
}

impl Measured<'_> {
    pub(crate) const fn len(&self) -> usize {
        framed_len(self.remaining_length)
    }

    pub(crate) fn write(&self, buffer: &mut Vec<u8>) {
        begin_frame(PacketType::Publish, self.publish.flags(), self.remaining_length, buffer);
        self.publish.write(buffer);
    }

    /// The same of a packet that more follows in, for which no room is made.
    #[cfg(feature = "stream")]
    pub(crate) fn write_streamed(&self, buffer: &mut Vec<u8>) {
        begin_streamed_frame(PacketType::Publish, self.publish.flags(), self.remaining_length, buffer);
        self.publish.write(buffer);
    }
}

/// All of a PUBLISH's body but the payload.
#[cfg(not(target_family = "wasm"))]
struct Head<'p>(&'p Publish<'p>);

#[cfg(not(target_family = "wasm"))]
impl Block for Head<'_> {
    #[inline]
    fn put(&self, sink: &mut impl Sink) {
        self.0.write_to_properties(sink);
        self.0.properties.write(sink);
    }
}

/// The same, where there are no properties.
#[cfg(not(target_family = "wasm"))]
struct PlainHead<'p>(&'p Publish<'p>);

#[cfg(not(target_family = "wasm"))]
impl Block for PlainHead<'_> {
    #[inline]
    fn put(&self, sink: &mut impl Sink) {
        self.0.write_to_properties(sink);
        sink.u8(0);
    }
}

impl Publish<'_> {
    pub(super) fn write(&self, sink: &mut impl Sink) {
        self.write_to_properties(sink);
        self.properties.write(sink);
        sink.bytes(self.payload);
    }

    #[cfg_attr(
        not(target_family = "wasm"),
        expect(clippy::inline_always, reason = "it is where most packets are made"),
        inline(always)
    )]
    fn write_to_properties(&self, sink: &mut impl Sink) {
        sink.require(!self.dup || self.qos != QoS::AtMostOnce, EncodeErrorKind::DupOnQos0, "DUP");
        self.write_topic(sink);
        sink.require(
            self.packet_id.is_some() == (self.qos != QoS::AtMostOnce),
            EncodeErrorKind::PacketId,
            "Packet Identifier",
        );
        if let Some(packet_id) = self.packet_id {
            sink.u16(packet_id.get());
        }
    }

    /// Writes the head to the front of `bytes`, which has room for [`Publish::head_len`].
    #[cfg(feature = "bulk")]
    pub(crate) fn put_head(&self, bytes: &mut [u8]) {
        self.write_head(&mut Front(bytes));
    }

    #[cfg(feature = "bulk")]
    fn write_head(&self, sink: &mut impl Sink) {
        self.write_topic(sink);
        self.properties.write(sink);
    }

    #[cfg_attr(
        not(target_family = "wasm"),
        expect(clippy::inline_always, reason = "it is where most packets are made"),
        inline(always)
    )]
    fn write_topic(&self, sink: &mut impl Sink) {
        if self.topic.is_empty() {
            sink.require(self.properties.topic_alias.is_some(), EncodeErrorKind::MissingTopic, TOPIC);
            sink.u16(0);
        } else {
            sink.topic_name(self.topic, TOPIC);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::super::write::room_for_short;
    use super::*;

    /// Encodes in both ways, behind other bytes.
    fn assert_same(publish: &Publish<'_>) {
        let (mut encoded, mut measured) = (alloc::vec![7], alloc::vec![7]);
        encoded.reserve(1_000 + publish.payload.len());
        let result = publish.encode(&mut encoded);
        assert_eq!(result, publish.encode_measured(&mut measured));
        assert!(encoded == measured, "{} bytes instead of {}", encoded.len(), measured.len());
        match publish.encoded_len() {
            Ok(len) => assert_eq!(encoded.len(), 1 + len),
            Err(error) => assert_eq!(result, Err(error)),
        }
    }

    #[test]
    fn messages_of_every_size_have_the_bytes_that_were_measured() {
        let text = "t".repeat(300);
        let payload = alloc::vec![b'x'; 16_700];
        for topic_len in 0..300 {
            let properties = PublishProperties { content_type: Some(&text[..topic_len / 2]), ..Default::default() };
            for payload_len in [0, 1, 60, 61, 62, 63, 64, 90, 91, 92, 93, 120, 121, 122, 123, 124, 125, 126, 127, 128] {
                let publish = Publish::new(&text[..topic_len], &payload[..payload_len]);
                assert_same(&publish);
                assert_same(&publish.properties(properties));
            }
        }
        for topic_len in [1, 27, 59, 60, 200] {
            for payload_len in 16_100..16_400 {
                assert_same(&Publish::new(&text[..topic_len], &payload[..payload_len]));
            }
        }
        for topic_len in [300, 65_535, 65_536] {
            assert_same(&Publish::new(&"t".repeat(topic_len), "21.5"));
        }
        for payload_len in [2_097_132, 2_097_133, 2_097_134, 2_097_151, 2_097_152] {
            assert_same(&Publish::new("sensors/kitchen", &alloc::vec![0; payload_len]));
        }
    }

    #[test]
    fn what_is_wrong_with_a_message_is_what_measuring_it_finds() {
        let good = Publish { packet_id: PacketId::new(7), ..Publish::new("t", "21.5").qos(QoS::AtLeastOnce) };
        for topic in ["", "a+", "a\0", "#", "a b", "sensors/kitchen/+", "$SYS"] {
            for (qos, dup) in [(QoS::AtMostOnce, true), (QoS::AtMostOnce, false), (QoS::ExactlyOnce, true)] {
                for packet_id in [None, PacketId::new(7)] {
                    assert_same(&Publish { dup, packet_id, topic, ..good.qos(qos) });
                }
            }
        }
        let long = "a".repeat(65_536);
        for text in ["", "\0", "a\0b", "a+", &long, &long[..120], &long[..127], &long[..200]] {
            let user_properties: &[_] = &[("name", text), (text, "value")];
            let properties = [
                PublishProperties { content_type: Some(text), ..Default::default() },
                PublishProperties { response_topic: Some(text), ..Default::default() },
                PublishProperties { correlation_data: Some(text.as_bytes()), ..Default::default() },
                PublishProperties { user_properties: user_properties.into(), ..Default::default() },
            ];
            properties.into_iter().for_each(|properties| assert_same(&good.properties(properties)));
        }
        for number in [0, 1, 0x0FFF_FFFF, 0x1000_0000] {
            let identifiers: &[u32] = &[number];
            let properties = [
                PublishProperties { topic_alias: Some(number as u16), ..Default::default() },
                PublishProperties { subscription_identifiers: identifiers.into(), ..Default::default() },
            ];
            for properties in properties {
                assert_same(&good.properties(properties));
                assert_same(&Publish { topic: "", ..good.properties(properties) });
            }
        }
    }

    #[test]
    fn a_buffer_grows_once_at_most() {
        for topic_len in [1, 59, 60, 187, 188, 189, 1_000] {
            for payload_len in [0, 64, 1_000] {
                let (topic, payload) = ("t".repeat(topic_len), alloc::vec![b'x'; payload_len]);
                let publish = Publish::new(&topic, &payload);
                let mut buffer = Vec::new();
                publish.encode(&mut buffer).unwrap();
                let capacity = buffer.capacity();
                assert_eq!(capacity, publish.encoded_len().unwrap().max(room_for_short::<SHORT>(&payload)));
                buffer.clear();
                publish.encode(&mut buffer).unwrap();
                assert_eq!(buffer.capacity(), capacity);
            }
        }
    }

    #[test]
    fn a_buffer_with_room_does_not_grow_and_keeps_what_it_has_when_encoding_fails() {
        let mut buffer = Vec::with_capacity(1_000);
        buffer.extend_from_slice(b"before");
        let text = String::from("a\0");
        Publish::new(&text, "21.5").encode(&mut buffer).unwrap_err();
        assert_eq!((buffer.as_slice(), buffer.capacity()), (&b"before"[..], 1_000));
        Publish::new("t", "21.5").encode(&mut buffer).unwrap();
        assert_eq!((buffer.as_slice(), buffer.capacity()), (&b"before\x30\x08\0\x01t\x0021.5"[..], 1_000));
    }
}
