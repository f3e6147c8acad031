//! Short names for the packets that stories are made of.

use mqtt_wasi::codec::{
    Ack, Connack, ConnackProperties, Disconnect, Packet, PacketId, Publish, PublishProperties, QoS, ReasonCode, Suback,
    Unsuback,
};

pub(crate) fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("a Packet Identifier is not zero")
}

/// PUBLISH. A Packet Identifier goes with QoS 1 and 2 only.
pub(crate) fn message<'a>(qos: QoS, packet_id: u16, topic: &'a str, payload: &'a str) -> Publish<'a> {
    Publish { packet_id: PacketId::new(packet_id), ..Publish::new(topic, payload).qos(qos) }
}

pub(crate) fn publish<'a>(qos: QoS, packet_id: u16, topic: &'a str, payload: &'a str) -> Packet<'a> {
    Packet::Publish(message(qos, packet_id, topic, payload))
}

/// PUBLISH with DUP.
pub(crate) fn resent<'a>(qos: QoS, packet_id: u16, topic: &'a str, payload: &'a str) -> Packet<'a> {
    Packet::Publish(Publish { dup: true, ..message(qos, packet_id, topic, payload) })
}

/// PUBLISH that asks for a reply to the Response Topic of the client `c`, within so many seconds.
pub(crate) fn request<'a>(qos: QoS, packet_id: u16, topic: &'a str, payload: &'a str, seconds: u32) -> Publish<'a> {
    let properties = PublishProperties {
        response_topic: Some("replies/c"),
        message_expiry_interval: Some(seconds),
        ..PublishProperties::default()
    };
    message(qos, packet_id, topic, payload).properties(properties)
}

/// PUBLISH that answers the request of the client `c` with this Correlation Data.
pub(crate) fn reply<'a>(qos: QoS, packet_id: u16, correlation: &'a [u8], payload: &'a str) -> Publish<'a> {
    let properties = PublishProperties { correlation_data: Some(correlation), ..PublishProperties::default() };
    message(qos, packet_id, "replies/c", payload).properties(properties)
}

pub(crate) fn ack(packet_id: u16, reason_code: ReasonCode) -> Ack<'static> {
    Ack { reason_code, ..Ack::success(id(packet_id)) }
}

pub(crate) fn puback(packet_id: u16) -> Packet<'static> {
    Packet::Puback(Ack::success(id(packet_id)))
}

pub(crate) fn pubrec(packet_id: u16) -> Packet<'static> {
    Packet::Pubrec(Ack::success(id(packet_id)))
}

pub(crate) fn pubrel(packet_id: u16) -> Packet<'static> {
    Packet::Pubrel(Ack::success(id(packet_id)))
}

pub(crate) fn pubcomp(packet_id: u16) -> Packet<'static> {
    Packet::Pubcomp(Ack::success(id(packet_id)))
}

/// CONNACK that takes the connection.
pub(crate) fn connack(session_present: bool, properties: ConnackProperties<'_>) -> Packet<'_> {
    Packet::Connack(Connack { session_present, reason_code: ReasonCode::Success, properties })
}

pub(crate) fn suback(packet_id: u16, reason_codes: &[ReasonCode]) -> Packet<'_> {
    let properties = Default::default();
    Packet::Suback(Suback { packet_id: id(packet_id), properties, reason_codes: reason_codes.into() })
}

pub(crate) fn unsuback(packet_id: u16, reason_codes: &[ReasonCode]) -> Packet<'_> {
    let properties = Default::default();
    Packet::Unsuback(Unsuback { packet_id: id(packet_id), properties, reason_codes: reason_codes.into() })
}

pub(crate) fn disconnect(reason_code: ReasonCode) -> Packet<'static> {
    Packet::Disconnect(Disconnect::new(reason_code))
}

pub(crate) fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes).expect("a valid packet");
    bytes
}
