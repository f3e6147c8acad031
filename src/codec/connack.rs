//! CONNACK: the server's answer to CONNECT (section 3.2).

use super::property::ConnackProperties;
use super::read::Reader;
use super::write::Sink;
use super::{DecodeError, DecodeErrorKind, DecodeOptions, EncodeErrorKind, PacketType, ReasonCode};

/// CONNACK: whether the server accepts the connection, and on which terms.
///
/// ```
/// use mqtt_wasi::codec::{Connack, ConnackProperties, Packet};
///
/// let properties = ConnackProperties { receive_maximum: Some(20), ..ConnackProperties::default() };
/// let mut bytes = Vec::new();
/// Packet::Connack(Connack { session_present: true, properties, ..Connack::default() }).encode(&mut bytes)?;
/// assert_eq!(bytes, b"\x20\x06\x01\x00\x03\x21\x00\x14");
/// # Ok::<(), mqtt_wasi::codec::EncodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connack<'a> {
    /// Whether the server has a session for this client.
    pub session_present: bool,
    /// Success, or why the server refuses.
    pub reason_code: ReasonCode,
    /// The properties.
    pub properties: ConnackProperties<'a>,
}

impl<'a> Connack<'a> {
    pub(super) fn read(reader: &mut Reader<'a>, options: DecodeOptions) -> Result<Self, DecodeError> {
        const FLAGS: &str = "Connect Acknowledge Flags";
        let flags = reader.u8(FLAGS)?;
        if flags & !1 != 0 {
            return Err(reader.error(DecodeErrorKind::ReservedBits, FLAGS));
        }
        let session_present = flags != 0;
        let reason_code = reader.reason_code()?;
        if session_present && reason_code != ReasonCode::Success {
            return Err(reader.error(DecodeErrorKind::SessionPresentOnRefusal, FLAGS));
        }
        Ok(Self { session_present, reason_code, properties: ConnackProperties::read(reader, options)? })
    }
}

/// Success, without a session and without properties.
impl Default for Connack<'_> {
    fn default() -> Self {
        Self { session_present: false, reason_code: ReasonCode::Success, properties: ConnackProperties::default() }
    }
}

impl Connack<'_> {
    pub(super) fn write(&self, sink: &mut impl Sink) {
        sink.require(
            !self.session_present || self.reason_code == ReasonCode::Success,
            EncodeErrorKind::SessionPresentOnRefusal,
            "Connect Acknowledge Flags",
        );
        sink.u8(self.session_present.into());
        sink.reason_code(self.reason_code, PacketType::Connack);
        self.properties.write(sink);
    }
}
