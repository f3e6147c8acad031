//! AUTH: the steps of enhanced authentication (section 3.15).

use super::property::AuthProperties;
use super::read::Reader;
use super::write::Sink;
use super::{DecodeError, DecodeErrorKind, DecodeOptions, EncodeErrorKind, PacketType, PropertyId, ReasonCode};

/// AUTH: a step of enhanced authentication (section 4.12).
///
/// ```
/// use mqtt_wasi::codec::{Auth, AuthProperties, Packet, ReasonCode};
///
/// let properties = AuthProperties {
///     authentication_method: Some("TOKEN"),
///     authentication_data: Some(b"a token"),
///     ..AuthProperties::default()
/// };
/// let auth = Packet::Auth(Auth { reason_code: ReasonCode::ReAuthenticate, properties });
/// let mut bytes = Vec::new();
/// auth.encode(&mut bytes)?;
/// assert_eq!(Packet::decode(&bytes)?, Some((auth, bytes.len())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, Continue authentication or Re-authenticate.
    pub reason_code: ReasonCode,
    /// The properties. The Authentication Method must be among them, except in the form without bytes, which means
    /// Success.
    pub properties: AuthProperties<'a>,
}

impl<'a> Auth<'a> {
    pub(super) fn read(reader: &mut Reader<'a>, options: DecodeOptions) -> Result<Self, DecodeError> {
        if reader.is_empty() {
            return Ok(Self { reason_code: ReasonCode::Success, properties: AuthProperties::default() });
        }
        let reason_code = reader.reason_code()?;
        let properties = AuthProperties::read(reader, options)?;
        if properties.authentication_method.is_none() {
            let id = PropertyId::AuthenticationMethod;
            return Err(reader.error(DecodeErrorKind::MissingProperty(id), id.name()));
        }
        Ok(Self { reason_code, properties })
    }
}

impl Auth<'_> {
    pub(super) fn write(&self, sink: &mut impl Sink) {
        if self.reason_code == ReasonCode::Success && self.properties.is_empty() {
            return;
        }
        sink.reason_code(self.reason_code, PacketType::Auth);
        sink.require(
            self.properties.authentication_method.is_some(),
            EncodeErrorKind::MissingProperty,
            PropertyId::AuthenticationMethod.name(),
        );
        self.properties.write(sink);
    }
}
