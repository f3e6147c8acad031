//! PUBACK, PUBREC, PUBREL and PUBCOMP: the steps that follow a PUBLISH at QoS 1 and 2 (sections 3.4 to 3.7).

use super::property::AckProperties;
use super::read::Reader;
use super::write::Sink;
use super::{DecodeError, DecodeOptions, PacketId, PacketType, ReasonCode};

/// The body of PUBACK, PUBREC, PUBREL and PUBCOMP, which all four share.
///
/// ```
/// use mqtt_wasi::codec::{Ack, Packet, PacketId, ReasonCode};
///
/// let refused = Ack { reason_code: ReasonCode::NotAuthorized, ..Ack::success(PacketId::new(7).unwrap()) };
/// let mut bytes = Vec::new();
/// Packet::Puback(refused).encode(&mut bytes)?;
/// assert_eq!(bytes, b"\x40\x03\x00\x07\x87");
/// # Ok::<(), mqtt_wasi::codec::EncodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The Packet Identifier of the PUBLISH.
    pub packet_id: PacketId,
    /// Success, or why not.
    pub reason_code: ReasonCode,
    /// The properties.
    pub properties: AckProperties<'a>,
}

impl<'a> Ack<'a> {
    /// Success, without properties: two bytes.
    ///
    /// ```
    /// use mqtt_wasi::codec::{Ack, Packet, PacketId};
    ///
    /// let mut bytes = Vec::new();
    /// Packet::Pubcomp(Ack::success(PacketId::new(7).unwrap())).encode(&mut bytes)?;
    /// assert_eq!(bytes, b"\x70\x02\x00\x07");
    /// # Ok::<(), mqtt_wasi::codec::EncodeError>(())
    /// ```
    #[must_use]
    pub fn success(packet_id: PacketId) -> Self {
        Self { packet_id, reason_code: ReasonCode::Success, properties: AckProperties::default() }
    }

    /// PUBACK, PUBREC or PUBCOMP that says Success, as it is on the wire.
    pub(crate) const fn success_bytes(packet_type: PacketType, packet_id: PacketId) -> [u8; 4] {
        let [high, low] = packet_id.get().to_be_bytes();
        [(packet_type as u8) << 4, 2, high, low]
    }

    /// Whether it says Success and nothing else.
    pub(super) fn is_success(&self) -> bool {
        self.reason_code == ReasonCode::Success && self.properties.is_empty()
    }

    pub(super) fn read(reader: &mut Reader<'a>, options: DecodeOptions) -> Result<Self, DecodeError> {
        let mut ack = Self::success(reader.packet_id()?);
        if !reader.is_empty() {
            ack.reason_code = reader.ack_reason_code()?;
        }
        if !reader.is_empty() {
            ack.properties = AckProperties::read(reader, options)?;
        }
        Ok(ack)
    }

    /// Writes the shortest form, which leaves out Success and an empty Property Length.
    pub(super) fn write(&self, sink: &mut impl Sink, packet_type: PacketType) {
        sink.u16(self.packet_id.get());
        if !self.is_success() {
            sink.reason_code(self.reason_code, packet_type);
        }
        if !self.properties.is_empty() {
            self.properties.write(sink);
        }
    }
}
