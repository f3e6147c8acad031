//! DISCONNECT: the last packet of a connection, from either side (section 3.14).

use super::property::DisconnectProperties;
use super::read::Reader;
use super::write::Sink;
use super::{DecodeError, DecodeOptions, PacketType, ReasonCode};

/// DISCONNECT: why the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// The reason.
    pub reason_code: ReasonCode,
    /// The properties.
    pub properties: DisconnectProperties<'a>,
}

impl<'a> Disconnect<'a> {
    /// A DISCONNECT without properties.
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
