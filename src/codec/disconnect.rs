//! DISCONNECT: the last packet of a connection, from either side (section 3.14).

use super::property::DisconnectProperties;
use super::read::Reader;
use super::write::Sink;
use super::{DecodeError, DecodeOptions, PacketType, ReasonCode};

/// DISCONNECT: why the connection ends.
///
/// ```
/// use mqtt_wasi::{Disconnect, DisconnectProperties, ReasonCode};
///
/// let properties = DisconnectProperties { session_expiry_interval: Some(0), ..DisconnectProperties::default() };
/// let disconnect = Disconnect { properties, ..Disconnect::new(ReasonCode::DisconnectWithWillMessage) };
/// assert_eq!(disconnect.reason_code, ReasonCode::DisconnectWithWillMessage);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why. From a client: with [`ReasonCode::NORMAL_DISCONNECTION`] the server deletes the Will Message; with others
    /// it publishes it.
    pub reason_code: ReasonCode,
    /// The properties.
    pub properties: DisconnectProperties<'a>,
}

impl<'a> Disconnect<'a> {
    /// A DISCONNECT without properties.
    ///
    /// ```
    /// use mqtt_wasi::codec::{Disconnect, Packet, ReasonCode};
    ///
    /// let mut bytes = Vec::new();
    /// Packet::Disconnect(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).encode(&mut bytes)?;
    /// assert_eq!(bytes, b"\xE0\x00");
    /// # Ok::<(), mqtt_wasi::codec::EncodeError>(())
    /// ```
    #[must_use]
    pub fn new(reason_code: ReasonCode) -> Self {
        Self { reason_code, properties: DisconnectProperties::default() }
    }

    pub(super) fn read(reader: &mut Reader<'a>, options: DecodeOptions) -> Result<Self, DecodeError> {
        let mut disconnect = Self::new(ReasonCode::NORMAL_DISCONNECTION);
        if !reader.is_empty() {
            disconnect.reason_code = reader.reason_code()?;
        }
        if !reader.is_empty() {
            disconnect.properties = DisconnectProperties::read(reader, options)?;
        }
        Ok(disconnect)
    }
}

/// Writes the shortest form, which leaves out Normal disconnection and an empty Property Length.
impl Disconnect<'_> {
    pub(super) fn write(&self, sink: &mut impl Sink) {
        if self.reason_code != ReasonCode::NORMAL_DISCONNECTION || !self.properties.is_empty() {
            sink.reason_code(self.reason_code, PacketType::Disconnect);
        }
        if !self.properties.is_empty() {
            self.properties.write(sink);
        }
    }
}
