//! UNSUBSCRIBE and UNSUBACK (sections 3.10 and 3.11).

use super::list::{Entry, List};
use super::property::{AckProperties, UnsubscribeProperties};
use super::read::Reader;
use super::write::Sink;
use super::{DecodeError, DecodeOptions, EncodeErrorKind, PacketId, PacketType, ReasonCode};

/// UNSUBSCRIBE: the client asks for no more messages.
///
/// ```
/// use mqtt_wasi::codec::{Packet, PacketId, Unsubscribe, UnsubscribeProperties};
///
/// let unsubscribe = Packet::Unsubscribe(Unsubscribe {
///     packet_id: PacketId::new(2).unwrap(),
///     properties: UnsubscribeProperties::default(),
///     filters: (&["a/+"]).into(),
/// });
/// let mut bytes = Vec::new();
/// unsubscribe.encode(&mut bytes)?;
/// assert_eq!(bytes, b"\xA2\x08\x00\x02\x00\x00\x03a/+");
/// # Ok::<(), mqtt_wasi::codec::EncodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// The Packet Identifier.
    pub packet_id: PacketId,
    /// The properties.
    pub properties: UnsubscribeProperties<'a>,
    /// The Topic Filters, as they were subscribed to: at least one.
    pub filters: List<'a, &'a str>,
}

/// UNSUBACK: the server's answer to each entry of an UNSUBSCRIBE.
///
/// ```
/// use mqtt_wasi::codec::{AckProperties, Packet, PacketId, ReasonCode, Unsuback};
///
/// let unsuback = Packet::Unsuback(Unsuback {
///     packet_id: PacketId::new(2).unwrap(),
///     properties: AckProperties::default(),
///     reason_codes: (&[ReasonCode::NoSubscriptionExisted]).into(),
/// });
/// let mut bytes = Vec::new();
/// unsuback.encode(&mut bytes)?;
/// assert_eq!(bytes, b"\xB0\x04\x00\x02\x00\x11");
/// # Ok::<(), mqtt_wasi::codec::EncodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsuback<'a> {
    /// The Packet Identifier of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// The properties.
    pub properties: AckProperties<'a>,
    /// A Reason Code for each entry of the UNSUBSCRIBE, in order `[MQTT-3.11.3-1]`.
    pub reason_codes: List<'a, ReasonCode>,
}

impl<'a> Unsubscribe<'a> {
    pub(super) fn read(reader: &mut Reader<'a>, options: DecodeOptions) -> Result<Self, DecodeError> {
        Ok(Self {
            packet_id: reader.packet_id()?,
            properties: UnsubscribeProperties::read(reader, options)?,
            filters: reader.list("Topic Filter", Reader::topic_filter)?,
        })
    }
}

impl Unsubscribe<'_> {
    pub(super) fn write(&self, sink: &mut impl Sink) {
        sink.u16(self.packet_id.get());
        self.properties.write(sink);
        sink.require(!self.filters.is_empty(), EncodeErrorKind::EmptyList, "Topic Filter");
        for filter in &self.filters {
            sink.topic_filter(filter);
        }
    }
}

impl<'a> Entry<'a> for &'a str {
    fn next(reader: &mut Reader<'a>) -> Option<Self> {
        reader.topic_filter().ok()
    }
}

impl<'a> Unsuback<'a> {
    pub(super) fn read(reader: &mut Reader<'a>, options: DecodeOptions) -> Result<Self, DecodeError> {
        Ok(Self {
            packet_id: reader.packet_id()?,
            properties: AckProperties::read(reader, options)?,
            reason_codes: reader.list("Reason Code", Reader::reason_code)?,
        })
    }
}

impl Unsuback<'_> {
    pub(super) fn write(&self, sink: &mut impl Sink) {
        sink.u16(self.packet_id.get());
        self.properties.write(sink);
        sink.reason_codes(&self.reason_codes, PacketType::Unsuback);
    }
}
