//! Short names for the packets that brokers send.
//!
//! ```
//! use mqtt_wasi_testing::packets;
//!
//! assert_eq!(packets::bytes(&[packets::puback(7)]), b"\x40\x02\x00\x07");
//! ```

use mqtt_wasi::ReasonCode;
use mqtt_wasi::codec::{Ack, Connack, ConnackProperties, Disconnect, Packet, PacketId, Publish, QoS, Suback, Unsuback};

/// CONNACK that takes the connection.
#[must_use]
pub fn connack(properties: ConnackProperties<'_>) -> Packet<'_> {
    Packet::Connack(Connack { session_present: false, reason_code: ReasonCode::Success, properties })
}

/// CONNACK that refuses the connection.
#[must_use]
pub fn refusal<'a>(reason_code: ReasonCode, properties: ConnackProperties<'a>) -> Packet<'a> {
    Packet::Connack(Connack { session_present: false, reason_code, properties })
}

/// PUBLISH at QoS 0.
#[must_use]
pub fn publish<'a>(topic: &'a str, payload: &'a [u8]) -> Packet<'a> {
    Packet::Publish(Publish::new(topic, payload))
}

/// PUBLISH at QoS 1.
#[must_use]
pub fn publish_qos1<'a>(packet_id: u16, topic: &'a str, payload: &'a [u8]) -> Packet<'a> {
    let publish = Publish::new(topic, payload).qos(QoS::AtLeastOnce);
    Packet::Publish(Publish { packet_id: Some(id(packet_id)), ..publish })
}

/// PUBACK with Success.
#[must_use]
pub fn puback(packet_id: u16) -> Packet<'static> {
    Packet::Puback(Ack::success(id(packet_id)))
}

/// SUBACK with a Reason Code for each filter, in order.
#[must_use]
pub fn suback(packet_id: u16, reason_codes: &[ReasonCode]) -> Packet<'_> {
    let properties = Default::default();
    Packet::Suback(Suback { packet_id: id(packet_id), properties, reason_codes: reason_codes.into() })
}

/// UNSUBACK with a Reason Code for each filter, in order.
#[must_use]
pub fn unsuback(packet_id: u16, reason_codes: &[ReasonCode]) -> Packet<'_> {
    let properties = Default::default();
    Packet::Unsuback(Unsuback { packet_id: id(packet_id), properties, reason_codes: reason_codes.into() })
}

/// DISCONNECT with this Reason Code, without properties.
#[must_use]
pub fn disconnect(reason_code: ReasonCode) -> Packet<'static> {
    Packet::Disconnect(Disconnect::new(reason_code))
}

/// The bytes of these packets, one behind the other.
///
/// # Panics
/// When the specification has no bytes for one.
#[must_use]
pub fn bytes(packets: &[Packet<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for packet in packets {
        packet.encode(&mut bytes).expect("a valid packet");
    }
    bytes
}

fn id(packet_id: u16) -> PacketId {
    PacketId::new(packet_id).expect("a Packet Identifier is not zero")
}
