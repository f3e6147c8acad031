//! Packets and their exact bytes, in full, in part and with more than there should be.

use mqtt_wasi::codec::{
    Ack, AckProperties, Auth, AuthProperties, Connack, ConnackProperties, Connect, ConnectProperties,
    DecodeErrorKind as Kind, Disconnect, DisconnectProperties, List, Packet, Publish, PublishProperties, QoS,
    ReasonCode, RetainHandling, Suback, Subscribe, SubscribeProperties, Subscription, SubscriptionIdentifiers,
    Unsuback, Unsubscribe, UnsubscribeProperties, UserProperties, Will, WillProperties, varint,
};

use crate::bytes::framed;
use crate::{ID, MALFORMED, assert_all_refused, decode, encode};

/// Bytes, the packet that they are, and the lengths at which its body may end early and be a packet all the same.
pub(crate) type Example = (&'static [u8], Packet<'static>, &'static [usize]);

pub(crate) fn examples() -> Vec<Example> {
    let ack = |reason_code| Ack { reason_code, ..Ack::success(ID) };
    let user_properties = UserProperties::from(&[("k", "v")]);
    vec![
        (
            b"\x10\x0D\0\x04MQTT\x05\x02\0\x3C\0\0\0",
            Packet::Connect(Connect { clean_start: true, keep_alive: 60, ..Connect::default() }),
            &[],
        ),
        // Figure 3-6, and a payload in the order of section 3.1.3.
        (
            b"\x10\x23\0\x04MQTT\x05\xCE\0\x0A\x05\x11\0\0\0\x0A\0\x02id\0\0\x01w\0\x03bye\0\x01u\0\x01p",
            Packet::Connect(Connect {
                clean_start: true,
                keep_alive: 10,
                client_id: "id",
                will: Some(Will { qos: QoS::AtLeastOnce, topic: "w", payload: b"bye", ..Will::default() }),
                user_name: Some("u"),
                password: Some(b"p"),
                properties: ConnectProperties { session_expiry_interval: Some(10), ..ConnectProperties::default() },
            }),
            &[],
        ),
        (
            b"\x10\x55\0\x04MQTT\x05\x34\0\0\
              \x23\x11\0\0\0\x01\x21\0\x02\x27\0\0\0\x03\x22\0\x04\x19\x01\x17\0\x26\0\x01k\0\x01v\
              \x15\0\x01m\x16\0\x01d\0\0\
              \x1F\x18\0\0\0\x05\x01\x01\x02\0\0\0\x06\x03\0\x01t\x08\0\x01r\x09\0\x01c\x26\0\x01k\0\x01v\
              \0\x01w\0\0",
            Packet::Connect(Connect {
                will: Some(Will {
                    qos: QoS::ExactlyOnce,
                    retain: true,
                    topic: "w",
                    payload: b"",
                    properties: WillProperties {
                        will_delay_interval: Some(5),
                        payload_format_indicator: Some(true),
                        message_expiry_interval: Some(6),
                        content_type: Some("t"),
                        response_topic: Some("r"),
                        correlation_data: Some(b"c"),
                        user_properties,
                    },
                }),
                properties: ConnectProperties {
                    session_expiry_interval: Some(1),
                    receive_maximum: Some(2),
                    maximum_packet_size: Some(3),
                    topic_alias_maximum: Some(4),
                    request_response_information: Some(true),
                    request_problem_information: Some(false),
                    user_properties,
                    authentication_method: Some("m"),
                    authentication_data: Some(b"d"),
                },
                ..Connect::default()
            }),
            &[],
        ),
        (
            b"\x20\x03\0\0\0",
            Packet::Connack(Connack {
                session_present: false,
                reason_code: ReasonCode::Success,
                properties: ConnackProperties::default(),
            }),
            &[],
        ),
        (
            b"\x20\x03\x01\0\0",
            Packet::Connack(Connack {
                session_present: true,
                reason_code: ReasonCode::Success,
                properties: ConnackProperties::default(),
            }),
            &[],
        ),
        (
            b"\x20\x3F\0\x9D\x3C\
              \x11\0\0\0\x01\x21\0\x02\x24\x01\x25\0\x27\0\0\0\x03\x12\0\x01i\x22\0\x04\x1F\0\x01r\x26\0\x01k\0\x01v\
              \x28\0\x29\x01\x2A\0\x13\0\x05\x1A\0\x01n\x1C\0\x01s\x15\0\x01m\x16\0\x01d",
            Packet::Connack(Connack {
                session_present: false,
                reason_code: ReasonCode::ServerMoved,
                properties: ConnackProperties {
                    session_expiry_interval: Some(1),
                    receive_maximum: Some(2),
                    maximum_qos: Some(QoS::AtLeastOnce),
                    retain_available: Some(false),
                    maximum_packet_size: Some(3),
                    assigned_client_identifier: Some("i"),
                    topic_alias_maximum: Some(4),
                    reason_string: Some("r"),
                    user_properties,
                    wildcard_subscription_available: Some(false),
                    subscription_identifier_available: Some(true),
                    shared_subscription_available: Some(false),
                    server_keep_alive: Some(5),
                    response_information: Some("n"),
                    server_reference: Some("s"),
                    authentication_method: Some("m"),
                    authentication_data: Some(b"d"),
                },
            }),
            &[],
        ),
        (b"\x30\x04\0\x01t\0", Packet::Publish(Publish::new("t", "")), &[]),
        // Figure 3-9.
        (
            b"\x32\x08\0\x03a/b\0\x0A\0",
            Packet::Publish(Publish { packet_id: Some(ID), ..Publish::new("a/b", "").qos(QoS::AtLeastOnce) }),
            &[],
        ),
        (
            b"\x30\x06\0\0\x03\x23\0\x07",
            Packet::Publish(
                Publish::new("", "").properties(PublishProperties { topic_alias: Some(7), ..Default::default() }),
            ),
            &[],
        ),
        (
            b"\x3D\x2A\0\x01t\0\x0A\
              \x22\x01\x01\x02\0\0\0\x06\x23\0\x07\x08\0\x01r\x09\0\x01c\x26\0\x01k\0\x01v\
              \x0B\x01\x0B\x80\x01\x03\0\x01thi",
            Packet::Publish(Publish {
                dup: true,
                qos: QoS::ExactlyOnce,
                retain: true,
                topic: "t",
                packet_id: Some(ID),
                properties: PublishProperties {
                    payload_format_indicator: Some(true),
                    message_expiry_interval: Some(6),
                    topic_alias: Some(7),
                    response_topic: Some("r"),
                    correlation_data: Some(b"c"),
                    user_properties,
                    subscription_identifiers: SubscriptionIdentifiers::from(&[1, 128]),
                    content_type: Some("t"),
                },
                payload: b"hi",
            }),
            &[40, 41],
        ),
        (b"\x40\x02\0\x0A", Packet::Puback(Ack::success(ID)), &[]),
        (b"\x40\x03\0\x0A\x10", Packet::Puback(ack(ReasonCode::NoMatchingSubscribers)), &[2]),
        (
            b"\x40\x18\0\x0A\0\x14\x1F\0\x03why\x26\0\x01k\0\x01v\x26\0\x01k\0\x01w",
            Packet::Puback(Ack {
                properties: AckProperties {
                    reason_string: Some("why"),
                    user_properties: UserProperties::from(&[("k", "v"), ("k", "w")]),
                },
                ..Ack::success(ID)
            }),
            &[2, 3],
        ),
        (b"\x50\x02\0\x0A", Packet::Pubrec(Ack::success(ID)), &[]),
        (b"\x50\x03\0\x0A\x97", Packet::Pubrec(ack(ReasonCode::QuotaExceeded)), &[2]),
        (b"\x62\x02\0\x0A", Packet::Pubrel(Ack::success(ID)), &[]),
        (b"\x62\x03\0\x0A\x92", Packet::Pubrel(ack(ReasonCode::PacketIdentifierNotFound)), &[2]),
        (b"\x70\x02\0\x0A", Packet::Pubcomp(Ack::success(ID)), &[]),
        (b"\x70\x03\0\x0A\x92", Packet::Pubcomp(ack(ReasonCode::PacketIdentifierNotFound)), &[2]),
        // Figures 3-19 and 3-21.
        (
            b"\x82\x0F\0\x0A\0\0\x03a/b\x01\0\x03c/d\x02",
            Packet::Subscribe(Subscribe {
                packet_id: ID,
                properties: SubscribeProperties::default(),
                subscriptions: List::from(
                    const { &[Subscription::new("a/b", QoS::AtLeastOnce), Subscription::new("c/d", QoS::ExactlyOnce)] },
                ),
            }),
            &[9],
        ),
        (
            b"\x82\x13\0\x0A\x0C\x0B\xFF\xFF\xFF\x7F\x26\0\x01k\0\x01v\0\x01#\x2E",
            Packet::Subscribe(Subscribe {
                packet_id: ID,
                properties: SubscribeProperties { subscription_identifier: Some(varint::MAX), user_properties },
                subscriptions: List::from(&[Subscription {
                    filter: "#",
                    maximum_qos: QoS::ExactlyOnce,
                    no_local: true,
                    retain_as_published: true,
                    retain_handling: RetainHandling::DoNotSend,
                }]),
            }),
            &[],
        ),
        (
            b"\x90\x06\0\x0A\0\0\x01\x87",
            Packet::Suback(Suback {
                packet_id: ID,
                properties: AckProperties::default(),
                reason_codes: List::from(&[
                    ReasonCode::GRANTED_QOS_0,
                    ReasonCode::GrantedQos1,
                    ReasonCode::NotAuthorized,
                ]),
            }),
            &[4, 5],
        ),
        // Figure 3-30.
        (
            b"\xA2\x0D\0\x0A\0\0\x03a/b\0\x03c/d",
            Packet::Unsubscribe(Unsubscribe {
                packet_id: ID,
                properties: UnsubscribeProperties::default(),
                filters: List::from(&["a/b", "c/d"]),
            }),
            &[8],
        ),
        (
            b"\xA2\x16\0\x0A\x07\x26\0\x01k\0\x01v\0\x0A$share/g/#",
            Packet::Unsubscribe(Unsubscribe {
                packet_id: ID,
                properties: UnsubscribeProperties { user_properties },
                filters: List::from(&["$share/g/#"]),
            }),
            &[],
        ),
        (
            b"\xB0\x05\0\x0A\0\0\x11",
            Packet::Unsuback(Unsuback {
                packet_id: ID,
                properties: AckProperties::default(),
                reason_codes: List::from(&[ReasonCode::Success, ReasonCode::NoSubscriptionExisted]),
            }),
            &[4],
        ),
        (b"\xC0\0", Packet::Pingreq, &[]),
        (b"\xD0\0", Packet::Pingresp, &[]),
        (b"\xE0\0", Packet::Disconnect(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)), &[]),
        (b"\xE0\x01\x04", Packet::Disconnect(Disconnect::new(ReasonCode::DisconnectWithWillMessage)), &[0]),
        (
            b"\xE0\x16\0\x14\x11\0\0\0\x01\x1F\0\x01r\x26\0\x01k\0\x01v\x1C\0\x01s",
            Packet::Disconnect(Disconnect {
                reason_code: ReasonCode::NORMAL_DISCONNECTION,
                properties: DisconnectProperties {
                    session_expiry_interval: Some(1),
                    reason_string: Some("r"),
                    user_properties,
                    server_reference: Some("s"),
                },
            }),
            &[0, 1],
        ),
        (
            b"\xF0\0",
            Packet::Auth(Auth { reason_code: ReasonCode::Success, properties: AuthProperties::default() }),
            &[],
        ),
        (
            b"\xF0\x15\x18\x13\x15\0\x01m\x16\0\x01d\x1F\0\x01r\x26\0\x01k\0\x01v",
            Packet::Auth(Auth {
                reason_code: ReasonCode::ContinueAuthentication,
                properties: AuthProperties {
                    authentication_method: Some("m"),
                    authentication_data: Some(b"d"),
                    reason_string: Some("r"),
                    user_properties,
                },
            }),
            &[0],
        ),
    ]
}

#[test]
fn every_packet_has_exactly_these_bytes() {
    for (bytes, packet, _) in examples() {
        assert_eq!(decode(bytes), packet);
        assert_eq!(encode(&packet), bytes, "{packet:?}");
    }
}

#[test]
fn what_may_be_left_out_may_be_there() {
    for (long, short) in [
        (&b"\x40\x03\0\x0A\0"[..], &b"\x40\x02\0\x0A"[..]),
        (b"\x40\x04\0\x0A\0\0", b"\x40\x02\0\x0A"),
        (b"\x40\x04\0\x0A\x10\0", b"\x40\x03\0\x0A\x10"),
        (b"\x50\x03\0\x0A\0", b"\x50\x02\0\x0A"),
        (b"\x50\x04\0\x0A\0\0", b"\x50\x02\0\x0A"),
        (b"\x50\x04\0\x0A\x10\0", b"\x50\x03\0\x0A\x10"),
        (b"\x62\x03\0\x0A\0", b"\x62\x02\0\x0A"),
        (b"\x62\x04\0\x0A\0\0", b"\x62\x02\0\x0A"),
        (b"\x62\x04\0\x0A\x92\0", b"\x62\x03\0\x0A\x92"),
        (b"\x70\x03\0\x0A\0", b"\x70\x02\0\x0A"),
        (b"\x70\x04\0\x0A\0\0", b"\x70\x02\0\x0A"),
        (b"\x70\x04\0\x0A\x92\0", b"\x70\x03\0\x0A\x92"),
        (b"\xE0\x01\0", b"\xE0\0"),
        (b"\xE0\x02\0\0", b"\xE0\0"),
        (b"\xE0\x02\x8B\0", b"\xE0\x01\x8B"),
    ] {
        assert_eq!(decode(long), decode(short));
        assert_eq!(encode(&decode(long)), short, "the short form is the one to send");
    }
}

#[test]
fn a_packet_that_has_not_all_come_is_no_error() {
    for (bytes, ..) in examples() {
        for len in 0..bytes.len() {
            assert_eq!(Packet::decode(&bytes[..len]), Ok(None), "{:02X?}", &bytes[..len]);
        }
    }
}

#[test]
fn a_body_that_ends_early_is_refused_at_every_byte() {
    for (bytes, _, shorter_forms) in examples() {
        let body = &bytes[2..];
        for len in 0..body.len() {
            let shortened = framed(bytes[0], &body[..len]);
            let decoded = Packet::decode(&shortened);
            assert_eq!(decoded.is_ok(), shorter_forms.contains(&len), "{shortened:02X?}: {decoded:?}");
        }
    }
}

#[test]
fn bytes_behind_the_last_field_are_refused() {
    assert_all_refused([
        (b"\x10\x0E\0\x04MQTT\x05\x02\0\x3C\0\0\0\0", Kind::TrailingBytes, MALFORMED),
        (b"\x20\x04\0\0\0\0", Kind::TrailingBytes, MALFORMED),
        (b"\x40\x05\0\x0A\0\0\0", Kind::TrailingBytes, MALFORMED),
        (b"\x50\x05\0\x0A\0\0\0", Kind::TrailingBytes, MALFORMED),
        (b"\x62\x05\0\x0A\0\0\0", Kind::TrailingBytes, MALFORMED),
        (b"\x70\x05\0\x0A\0\0\0", Kind::TrailingBytes, MALFORMED),
        (b"\xC0\x01\0", Kind::TrailingBytes, MALFORMED),
        (b"\xD0\x01\0", Kind::TrailingBytes, MALFORMED),
        (b"\xE0\x03\0\0\0", Kind::TrailingBytes, MALFORMED),
        (b"\xF0\x07\x18\x04\x15\0\x01m\0", Kind::TrailingBytes, MALFORMED),
        // Behind an entry of a list, they are taken for the next one.
        (b"\x82\x08\0\x0A\0\0\x01t\0\0", Kind::UnexpectedEnd, MALFORMED),
        (b"\x90\x05\0\x0A\0\0\xFF", Kind::InvalidReasonCode(0xFF), MALFORMED),
        (b"\xA2\x07\0\x0A\0\0\x01t\0", Kind::UnexpectedEnd, MALFORMED),
        (b"\xB0\x05\0\x0A\0\0\xFF", Kind::InvalidReasonCode(0xFF), MALFORMED),
    ]);
}
