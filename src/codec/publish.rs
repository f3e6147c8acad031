//! PUBLISH: an application message (section 3.3).

use alloc::vec::Vec;

use super::packet::{PacketType, begin_frame, framed_len};
use super::property::PublishProperties;
use super::read::Reader;
#[cfg(feature = "bulk")]
use super::write::{Count, Front, Length as _};
use super::write::{Measure, Sink};
use super::{DecodeError, DecodeErrorKind, DecodeOptions, EncodeError, EncodeErrorKind, PacketId, QoS};

const RETAIN: u8 = 0x01;
const QOS_SHIFT: u8 = 1;
const DUP: u8 = 0x08;

const TOPIC: &str = "Topic Name";

/// PUBLISH: a message, on its way to the server or from it.
///
/// ```
/// use mqtt_wasi::codec::Publish;
///
/// let mut bytes = Vec::new();
/// Publish::new("a/b", b"hi").encode(&mut bytes)?;
/// assert_eq!(bytes, b"\x30\x08\x00\x03a/b\x00hi");
/// # Ok::<(), mqtt_wasi::codec::EncodeError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Whether it may have been delivered before; never set at QoS 0.
    pub dup: bool,
    /// How often it is delivered.
    pub qos: QoS,
    /// To the server: keep it for subscribers to come. From the server: it was kept.
    pub retain: bool,
    /// The Topic Name; empty where [`PublishProperties::topic_alias`] stands for it.
    pub topic: &'a str,
    /// The Packet Identifier, at QoS 1 and 2 only.
    pub packet_id: Option<PacketId>,
    /// The properties.
    pub properties: PublishProperties<'a>,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// A message at QoS 0, not retained, without properties.
    #[must_use]
    pub fn new(topic: &'a str, payload: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { topic, payload: payload.as_ref(), ..Self::default() }
    }

    /// Sets the QoS.
    #[must_use]
    pub const fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    /// Sets whether the server keeps the message for subscribers to come.
    #[must_use]
    pub const fn retain(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    /// Sets the properties.
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
    pub fn encoded_len(&self) -> Result<usize, EncodeError> {
        self.measure().map(|measured| measured.len())
    }

    /// Appends the packet to `buffer`, which grows once at most. On an error nothing is appended.
    ///
    /// # Errors
    /// [`EncodeError`] when the specification has no valid bytes for this packet.
    pub fn encode(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.measure()?.write(buffer);
        Ok(())
    }

    /// Checks and measures the packet, so that it can be written without doing so again.
    pub(crate) fn measure(&self) -> Result<Measured<'_>, EncodeError> {
        let mut measure = Measure::default();
        self.write(&mut measure);
        Ok(Measured { publish: self, remaining_length: measure.finish()? })
    }

    /// Reads the body of a PUBLISH whose fixed header has these flags.
    #[inline]
    pub(crate) fn decode(flags: u8, body: &'a [u8], options: DecodeOptions) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(PacketType::Publish, body);
        let Some(qos) = QoS::from_u8(flags >> QOS_SHIFT & 0b11) else {
            return Err(reader.error(DecodeErrorKind::InvalidQos, "QoS"));
        };
        let dup = flags & DUP != 0;
        if dup && qos == QoS::AtMostOnce {
            return Err(reader.error(DecodeErrorKind::DupOnQos0, "DUP"));
        }
        let topic = reader.topic_name_or_empty(TOPIC)?;
        let packet_id = if qos == QoS::AtMostOnce { None } else { Some(reader.packet_id()?) };
        let properties = PublishProperties::read(&mut reader, options)?;
        if topic.is_empty() && properties.topic_alias.is_none() {
            return Err(reader.error(DecodeErrorKind::MissingTopic, TOPIC));
        }
        let payload = reader.rest();
        Ok(Self { dup, qos, retain: flags & RETAIN != 0, topic, packet_id, properties, payload })
    }

    /// Makes one of the parts that [bulk](crate::bulk) frames have: the head is Topic Name and properties. Who publishes it
    /// checks what the Topic Name must not have.
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
}

impl Publish<'_> {
    pub(super) fn write(&self, sink: &mut impl Sink) {
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
        self.properties.write(sink);
        sink.bytes(self.payload);
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

    fn write_topic(&self, sink: &mut impl Sink) {
        if self.topic.is_empty() {
            sink.require(self.properties.topic_alias.is_some(), EncodeErrorKind::MissingTopic, TOPIC);
            sink.u16(0);
        } else {
            sink.topic_name(self.topic, TOPIC);
        }
    }
}
