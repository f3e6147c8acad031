//! CONNECT: the client asks for a connection (section 3.1).

use core::fmt;

use super::property::{ConnectProperties, WillProperties};
use super::read::Reader;
use super::write::Sink;
use super::{DecodeError, DecodeErrorKind, DecodeOptions, EncodeErrorKind, PropertyId, QoS};

const PROTOCOL_NAME: &[u8] = b"MQTT";
const PROTOCOL_VERSION: u8 = 5;

const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS_SHIFT: u8 = 3;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

/// CONNECT: the first packet of a connection.
///
/// ```
/// use mqtt_wasi::codec::{Connect, Packet};
///
/// let connect = Connect { client_id: "thermometer-7", keep_alive: 60, clean_start: true, ..Connect::default() };
/// let mut bytes = Vec::new();
/// Packet::Connect(connect).encode(&mut bytes)?;
/// assert_eq!(bytes, b"\x10\x1A\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x0Dthermometer-7");
/// # Ok::<(), mqtt_wasi::codec::EncodeError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Whether the server deletes its session for this Client Identifier.
    pub clean_start: bool,
    /// The Keep Alive in seconds: the longest time between two packets of the client. 0 turns it off.
    pub keep_alive: u16,
    /// The Client Identifier. Empty: the server assigns one `[MQTT-3.1.3-6]`.
    pub client_id: &'a str,
    /// The Will Message: the server publishes it if the connection ends without a normal DISCONNECT.
    pub will: Option<Will<'a>>,
    /// The User Name.
    pub user_name: Option<&'a str>,
    /// The Password. `Debug` does not show it.
    pub password: Option<&'a [u8]>,
    /// The properties.
    pub properties: ConnectProperties<'a>,
}

/// The Will Message (section 3.1.2.5).
///
/// ```
/// use mqtt_wasi::codec::{Connect, Packet, Will};
///
/// let will = Will { topic: "status/thermometer-7", payload: b"offline", ..Will::default() };
/// let connect = Packet::Connect(Connect { client_id: "thermometer-7", will: Some(will), ..Connect::default() });
/// let mut bytes = Vec::new();
/// connect.encode(&mut bytes)?;
/// assert_eq!(Packet::decode(&bytes)?, Some((connect, bytes.len())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Will<'a> {
    /// The QoS that it is published with.
    pub qos: QoS,
    /// Whether the server keeps the message for later subscribers.
    pub retain: bool,
    /// The Topic Name: 1 to 65,535 bytes, without the wildcards `+` and `#`.
    pub topic: &'a str,
    /// The payload, at most 65,535 bytes.
    pub payload: &'a [u8],
    /// The properties.
    pub properties: WillProperties<'a>,
}

impl<'a> Connect<'a> {
    pub(super) fn read(reader: &mut Reader<'a>, options: DecodeOptions) -> Result<Self, DecodeError> {
        if reader.binary("Protocol Name")? != PROTOCOL_NAME {
            return Err(reader.error(DecodeErrorKind::InvalidProtocolName, "Protocol Name"));
        }
        let version = reader.u8("Protocol Version")?;
        if version != PROTOCOL_VERSION {
            return Err(reader.error(DecodeErrorKind::UnsupportedProtocolVersion(version), "Protocol Version"));
        }
        let flags = reader.u8("Connect Flags")?;
        let will_flags = flags & (WILL_RETAIN | 0b11 << WILL_QOS_SHIFT);
        if flags & 1 != 0 || (flags & WILL == 0 && will_flags != 0) {
            return Err(reader.error(DecodeErrorKind::ReservedBits, "Connect Flags"));
        }
        let keep_alive = reader.u16("Keep Alive")?;
        let properties = ConnectProperties::read(reader, options)?;
        if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
            let id = PropertyId::AuthenticationMethod;
            return Err(reader.error(DecodeErrorKind::MissingProperty(id), id.name()));
        }
        Ok(Self {
            clean_start: flags & CLEAN_START != 0,
            keep_alive,
            client_id: reader.string("Client Identifier")?,
            will: if flags & WILL != 0 { Some(Will::read(reader, options, flags)?) } else { None },
            user_name: if flags & USER_NAME != 0 { Some(reader.string("User Name")?) } else { None },
            password: if flags & PASSWORD != 0 { Some(reader.binary("Password")?) } else { None },
            properties,
        })
    }
}

impl Connect<'_> {
    pub(super) fn write(&self, sink: &mut impl Sink) {
        sink.binary(PROTOCOL_NAME, "Protocol Name");
        sink.u8(PROTOCOL_VERSION);
        let will = self
            .will
            .map_or(0, |will| WILL | (will.qos as u8) << WILL_QOS_SHIFT | if will.retain { WILL_RETAIN } else { 0 });
        sink.u8(will
            | if self.clean_start { CLEAN_START } else { 0 }
            | self.user_name.map_or(0, |_| USER_NAME)
            | self.password.map_or(0, |_| PASSWORD));
        sink.u16(self.keep_alive);
        sink.require(
            self.properties.authentication_data.is_none() || self.properties.authentication_method.is_some(),
            EncodeErrorKind::MissingProperty,
            PropertyId::AuthenticationMethod.name(),
        );
        self.properties.write(sink);
        sink.string(self.client_id, "Client Identifier");
        if let Some(will) = &self.will {
            will.properties.write(sink);
            sink.topic_name(will.topic, "Will Topic");
            sink.binary(will.payload, "Will Payload");
        }
        if let Some(user_name) = self.user_name {
            sink.string(user_name, "User Name");
        }
        if let Some(password) = self.password {
            sink.binary(password, "Password");
        }
    }
}

impl fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("clean_start", &self.clean_start)
            .field("keep_alive", &self.keep_alive)
            .field("client_id", &self.client_id)
            .field("will", &self.will)
            .field("user_name", &self.user_name)
            .field("password", &self.password.map(|_| "(hidden)"))
            .finish_non_exhaustive()
    }
}

impl<'a> Will<'a> {
    fn read(reader: &mut Reader<'a>, options: DecodeOptions, flags: u8) -> Result<Self, DecodeError> {
        Ok(Self {
            qos: QoS::from_u8(flags >> WILL_QOS_SHIFT & 0b11)
                .ok_or_else(|| reader.error(DecodeErrorKind::InvalidQos, "Will QoS"))?,
            retain: flags & WILL_RETAIN != 0,
            properties: WillProperties::read(reader, options)?,
            topic: reader.topic_name("Will Topic")?,
            payload: reader.binary("Will Payload")?,
        })
    }
}
