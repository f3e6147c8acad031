//! What brokers send, made from bytes: mostly what makes sense, now and then what does not.

use mqtt_wasi::codec::{
    Ack, AckProperties, Auth, AuthProperties, Connack, ConnackProperties, Disconnect, Packet, PacketId, Publish,
    PublishProperties, QoS, ReasonCode, Suback, Unsuback,
};

use super::input::Input;
use super::{METHOD, RESPONSE_TOPIC, TOPICS};

/// The payloads of messages are the first bytes of this.
const PAYLOAD: &[u8] = &[b'x'; 255];

const CODES: [ReasonCode; 3] = [ReasonCode::Success, ReasonCode::NotAuthorized, ReasonCode::GrantedQos2];

/// The bytes of a packet; none where the specification has none for it.
pub(crate) fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // On an error nothing is appended.
    let _ = packet.encode(&mut bytes);
    bytes
}

/// CONNACK: `flags`, and the terms if the flags say so.
///
/// ```text
/// flags = session present, refused, terms follow, Topic Alias Maximum 2, the other method, no wildcards,
///         no shared subscriptions, Assigned Client Identifier                             from the lowest bit on
/// terms = Receive Maximum:2  Maximum Packet Size:2  Maximum QoS:2  no RETAIN:1  Server Keep Alive of a second:1
/// ```
pub(crate) fn connack(input: &mut Input<'_>, has_method: bool) -> Vec<u8> {
    let flags = input.byte();
    let is_set = |bit: u8| flags >> bit & 1 != 0;
    let terms = if is_set(2) { input.byte() } else { 0 };
    let properties = ConnackProperties {
        receive_maximum: [None, Some(1), Some(2), Some(3)][usize::from(terms & 3)],
        maximum_packet_size: [None, Some(4), Some(20), Some(100)][usize::from(terms >> 2 & 3)],
        maximum_qos: [None, Some(QoS::AtMostOnce), Some(QoS::AtLeastOnce), None][usize::from(terms >> 4 & 3)],
        retain_available: (terms >> 6 & 1 != 0).then_some(false),
        server_keep_alive: (terms >> 7 != 0).then_some(1),
        topic_alias_maximum: is_set(3).then_some(2),
        authentication_method: (has_method != is_set(4)).then_some(METHOD),
        wildcard_subscription_available: is_set(5).then_some(false),
        shared_subscription_available: is_set(6).then_some(false),
        assigned_client_identifier: is_set(7).then_some("assigned"),
        ..ConnackProperties::default()
    };
    let reason_code = if is_set(1) { ReasonCode::ServerBusy } else { ReasonCode::Success };
    bytes(&Packet::Connack(Connack { session_present: is_set(0), reason_code, properties }))
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP: its kind in the lowest two bits, its Reason Code above, and whether there is a
/// Reason String in the highest.
pub(crate) fn ack(kind: u8, packet_id: PacketId) -> Vec<u8> {
    let reason_string = (kind >> 7 != 0).then_some("because");
    let reason_code = match kind >> 2 & 3 {
        0 => ReasonCode::Success,
        1 => ReasonCode::QuotaExceeded,
        2 => ReasonCode::PacketIdentifierNotFound,
        _ => ReasonCode::NoMatchingSubscribers,
    };
    let ack = Ack { packet_id, reason_code, properties: AckProperties { reason_string, ..Default::default() } };
    bytes(&match kind & 3 {
        0 => Packet::Puback(ack),
        1 => Packet::Pubrec(ack),
        2 => Packet::Pubrel(ack),
        _ => Packet::Pubcomp(ack),
    })
}

/// SUBACK: 1 to 4 Reason Codes.
pub(crate) fn suback(input: &mut Input<'_>, packet_id: PacketId) -> Vec<u8> {
    let codes = codes(input);
    let properties = AckProperties::default();
    bytes(&Packet::Suback(Suback { packet_id, properties, reason_codes: codes.as_slice().into() }))
}

/// UNSUBACK: 1 to 4 Reason Codes.
pub(crate) fn unsuback(input: &mut Input<'_>, packet_id: PacketId) -> Vec<u8> {
    let codes = codes(input);
    let properties = AckProperties::default();
    bytes(&Packet::Unsuback(Unsuback { packet_id, properties, reason_codes: codes.as_slice().into() }))
}

fn codes(input: &mut Input<'_>) -> Vec<ReasonCode> {
    (0..=input.byte() % 4).map(|_| input.pick(&CODES)).collect()
}

/// PUBLISH, and the length of its payload.
///
/// ```text
/// flags = QoS:2  topic:3  DUP:1  Topic Alias:2                                               from the lowest bit on
/// ```
pub(crate) fn publish(flags: u8, packet_id: PacketId, payload_len: u8) -> Vec<u8> {
    let qos = QoS::from_u8(flags & 3).unwrap_or_default();
    let has_id = qos != QoS::AtMostOnce;
    let topic_alias = Some(u16::from(flags >> 6)).filter(|&alias| alias != 0);
    let properties = PublishProperties { topic_alias, ..PublishProperties::default() };
    let topic = TOPICS[usize::from(flags >> 2 & 7)];
    let message = Publish::new(topic, &PAYLOAD[..usize::from(payload_len)]).qos(qos).properties(properties);
    let dup = has_id && flags >> 5 & 1 != 0;
    bytes(&Packet::Publish(Publish { dup, packet_id: has_id.then_some(packet_id), ..message }))
}

/// PUBLISH that replies to a request.
///
/// ```text
/// flags = QoS:2  unused:3  DUP:1  Topic Alias:2                                              from the lowest bit on
/// ```
pub(crate) fn reply(flags: u8, packet_id: PacketId, correlation: &[u8]) -> Vec<u8> {
    let qos = QoS::from_u8(flags & 3).unwrap_or_default();
    let has_id = qos != QoS::AtMostOnce;
    let topic_alias = Some(u16::from(flags >> 6)).filter(|&alias| alias != 0);
    let correlation_data = Some(correlation);
    let properties = PublishProperties { topic_alias, correlation_data, ..PublishProperties::default() };
    let message = Publish::new(RESPONSE_TOPIC, "reply").qos(qos).properties(properties);
    let dup = has_id && flags >> 5 & 1 != 0;
    bytes(&Packet::Publish(Publish { dup, packet_id: has_id.then_some(packet_id), ..message }))
}

/// DISCONNECT.
pub(crate) fn disconnect(input: &mut Input<'_>) -> Vec<u8> {
    let codes = [ReasonCode::ServerShuttingDown, ReasonCode::Success, ReasonCode::DisconnectWithWillMessage];
    bytes(&Packet::Disconnect(Disconnect::new(input.pick(&codes))))
}

/// AUTH: Continue authentication or Success, of the client's method or of another.
pub(crate) fn auth(input: &mut Input<'_>) -> Vec<u8> {
    let byte = input.byte();
    let reason_code = if byte & 1 == 0 { ReasonCode::ContinueAuthentication } else { ReasonCode::Success };
    let method = if byte & 2 == 0 { METHOD } else { "other" };
    let properties = AuthProperties {
        authentication_method: Some(method),
        authentication_data: Some(b"challenge"),
        ..AuthProperties::default()
    };
    bytes(&Packet::Auth(Auth { reason_code, properties }))
}

/// What a broker that behaves answers to what the client sent.
pub(crate) fn answer(packet: &Packet<'_>, session_present: bool, has_method: bool) -> Vec<u8> {
    let properties = AckProperties::default();
    bytes(&match packet {
        Packet::Connect(_) => {
            let authentication_method = has_method.then_some(METHOD);
            let properties = ConnackProperties { authentication_method, ..ConnackProperties::default() };
            Packet::Connack(Connack { session_present, reason_code: ReasonCode::Success, properties })
        }
        Packet::Publish(Publish { qos: QoS::AtLeastOnce, packet_id: Some(id), .. }) => {
            Packet::Puback(Ack::success(*id))
        }
        Packet::Publish(Publish { packet_id: Some(id), .. }) => Packet::Pubrec(Ack::success(*id)),
        Packet::Pubrel(ack) => Packet::Pubcomp(Ack::success(ack.packet_id)),
        Packet::Subscribe(subscribe) => {
            let codes: Vec<_> = subscribe.subscriptions.iter().map(|_| ReasonCode::GrantedQos1).collect();
            let reason_codes = codes.as_slice().into();
            return bytes(&Packet::Suback(Suback { packet_id: subscribe.packet_id, properties, reason_codes }));
        }
        // Messages at QoS 0, and answers to what this broker sent.
        Packet::Publish(_) | Packet::Puback(_) => return Vec::new(),
        other => panic!("nothing else is under way: {other:?}"),
    })
}
