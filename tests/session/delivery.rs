//! Messages on their way from the broker (sections 3.3, 4.3 and 4.9).

use mqtt_wasi::codec::{Ack, DecodeErrorKind, Packet, Publish, PublishProperties, QoS, ReasonCode, TopicError};
use mqtt_wasi::frame::FrameError;
use mqtt_wasi::session::{Event, Status};
use mqtt_wasi::{Error, Options, ProtocolError};

use crate::packets::*;
use crate::scenario::{Scenario, options};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;
const QOS_2: QoS = QoS::ExactlyOnce;

/// Two clients: one whose user lets messages wait until the story tells of them, and one whose user does not.
fn received_either_way(options: Options) -> [Scenario; 2] {
    let connected = || Scenario::connected_with(options.clone(), Default::default());
    [connected(), connected().receiving_at_once()]
}

#[test]
fn message_at_qos_0_is_received_and_not_answered() {
    for mut s in received_either_way(options()) {
        s.broker_sends(publish(QOS_0, 0, "a", "1"));
        s.expect_message("a", "1");
        s.expect_no_message();
        s.expect_nothing_sent();
    }
}

#[test]
fn message_at_qos_1_is_acknowledged_when_the_user_has_it() {
    let mut s = Scenario::connected();
    s.broker_sends(publish(QOS_1, 5, "a", "1"));
    s.expect_nothing_sent();
    s.expect_message("a", "1");
    s.expect_sent(puback(5));
}

#[test]
fn message_at_qos_2_is_acknowledged_in_two_steps() {
    for mut s in received_either_way(options()) {
        s.broker_sends(publish(QOS_2, 5, "a", "1"));
        s.expect_message("a", "1");
        s.expect_sent(pubrec(5));
        s.broker_sends(pubrel(5));
        s.expect_sent(pubcomp(5));
    }
}

#[test]
fn message_is_received_with_all_it_carries() {
    let mut s = Scenario::connected();
    let message = Publish {
        dup: true,
        retain: true,
        ..message(QOS_1, 7, "a", "1").properties(PublishProperties {
            payload_format_indicator: Some(true),
            message_expiry_interval: Some(60),
            response_topic: Some("answers"),
            correlation_data: Some(b"7"),
            user_properties: (&[("a", "1"), ("a", "2")]).into(),
            subscription_identifiers: (&[3, 300]).into(),
            content_type: Some("text/plain"),
            ..Default::default()
        })
    };
    s.broker_sends(Packet::Publish(message));
    assert_eq!(s.session.receive(), Some(message));
    assert_eq!(s.receive(), None);
    s.expect_sent(puback(7));
}

#[test]
fn acknowledgements_leave_in_the_order_of_the_messages() {
    let mut s = Scenario::connected();
    let qos_of = |n: u16| if n.is_multiple_of(2) { QOS_1 } else { QOS_2 };
    for n in [3, 1, 2, 6, 5, 4] {
        s.broker_sends(publish(qos_of(n), n, "a", "1"));
    }
    while s.receive().is_some() {}
    s.expect_sent_all(&[pubrec(3), pubrec(1), puback(2), puback(6), pubrec(5), puback(4)]);
}

#[test]
fn message_at_qos_2_that_comes_again_is_received_once() {
    for mut s in received_either_way(options()) {
        s.broker_sends(publish(QOS_2, 5, "a", "1"));
        s.expect_message("a", "1");
        s.expect_sent(pubrec(5));
        s.broker_sends(resent(QOS_2, 5, "a", "1"));
        s.expect_no_message();
        s.expect_sent(pubrec(5));
    }
}

#[test]
fn packet_identifier_is_free_for_another_message_after_pubrel() {
    for mut s in received_either_way(options()) {
        for payload in ["1", "2"] {
            s.broker_sends(publish(QOS_2, 5, "a", payload));
            s.expect_message("a", payload);
            s.expect_sent(pubrec(5));
            s.broker_sends(pubrel(5));
            s.expect_sent(pubcomp(5));
        }
    }
}

#[test]
fn message_at_qos_1_that_comes_again_is_received_again() {
    for mut s in received_either_way(options()) {
        for packet in [publish(QOS_1, 5, "a", "1"), resent(QOS_1, 5, "a", "1")] {
            s.broker_sends(packet);
            s.expect_message("a", "1");
            s.expect_sent(puback(5));
        }
    }
}

#[test]
fn pubrel_for_an_unknown_message_is_answered_so() {
    let mut s = Scenario::connected();
    s.broker_sends(pubrel(5));
    s.expect_sent(Packet::Pubcomp(ack(5, ReasonCode::PacketIdentifierNotFound)));
    s.expect_usable();
}

#[test]
fn receive_maximum_counts_messages_until_they_are_acknowledged() {
    for mut s in received_either_way(options().receive_maximum(2)) {
        for n in 1..100 {
            s.broker_sends_all(&[publish(QOS_1, n, "a", "1"), publish(QOS_2, 1000, "a", "2")]);
            s.expect_message("a", "1");
            s.expect_message("a", "2");
            s.expect_sent_all(&[puback(n), pubrec(1000)]);
            s.broker_sends(pubrel(1000));
            s.expect_sent(pubcomp(1000));
        }
    }
}

#[test]
fn broker_that_floods_past_the_receive_maximum_is_disconnected() {
    for qos in [QOS_1, QOS_2] {
        let mut s = Scenario::connected_with(options().receive_maximum(2), Default::default());
        for n in 1..=3 {
            s.broker_sends(publish(qos, n, "a", "1"));
        }
        s.expect_disconnected(ProtocolError::ReceiveMaximumExceeded);
        s.expect_sent(disconnect(ReasonCode::ReceiveMaximumExceeded));
        s.expect_message("a", "1");
        s.expect_message("a", "1");
        s.expect_no_message();
        s.expect_status(Status::Closing);
        s.connection_is_lost();
        s.reconnected(false);
        s.expect_usable();
    }
}

#[test]
fn message_that_was_one_too_many_is_not_lost() {
    let mut s = Scenario::connected_with(options().receive_maximum(1), Default::default());
    s.broker_sends_all(&[publish(QOS_2, 1, "a", "1"), publish(QOS_2, 2, "a", "2")]);
    s.expect_disconnected(ProtocolError::ReceiveMaximumExceeded);
    s.expect_sent(disconnect(ReasonCode::ReceiveMaximumExceeded));
    s.expect_message("a", "1");
    s.connection_is_lost();
    s.reconnected(true);
    s.broker_sends(resent(QOS_2, 1, "a", "1"));
    s.expect_no_message();
    s.expect_sent(pubrec(1));
    s.broker_sends(pubrel(1));
    s.expect_sent(pubcomp(1));
    s.broker_sends(resent(QOS_2, 2, "a", "2"));
    s.expect_message("a", "2");
    s.expect_sent(pubrec(2));
}

#[test]
fn packet_over_the_maximum_packet_size_is_refused_at_its_first_bytes() {
    let mut s = Scenario::connected_with(options().maximum_packet_size(100), Default::default());
    s.broker_sends_bytes(b"\x30\x63");
    s.expect_disconnected(Error::Malformed(FrameError::PacketTooLarge { size: 101, maximum: 100 }));
    s.expect_sent(disconnect(ReasonCode::PacketTooLarge));
    s.connection_is_lost();
    s.reconnected(false);
    s.expect_usable();
}

#[test]
fn packet_of_the_maximum_packet_size_is_taken() {
    let mut s = Scenario::connected_with(options().maximum_packet_size(100), Default::default());
    let payload = "x".repeat(94);
    s.broker_sends(publish(QOS_0, 0, "a", &payload));
    s.expect_message("a", &payload);
}

#[test]
fn topic_alias_is_refused_since_connect_allowed_none() {
    for mut s in received_either_way(options()) {
        let properties = PublishProperties { topic_alias: Some(3), ..Default::default() };
        s.broker_sends(Packet::Publish(Publish::new("a", "1").properties(properties)));
        s.expect_disconnected(ProtocolError::TopicAliasInvalid(3));
        s.expect_sent(disconnect(ReasonCode::TopicAliasInvalid));
    }
}

#[test]
fn malformed_message_is_told_to_the_broker_with_what_is_wrong() {
    for (bytes, kind, reason_code) in [
        (&b"\x30\x04\x00\x01\xFF\x00"[..], DecodeErrorKind::InvalidUtf8, ReasonCode::MalformedPacket),
        (b"\x36\x06\x00\x01a\x00\x01\x00", DecodeErrorKind::InvalidQos, ReasonCode::MalformedPacket),
        (b"\x32\x06\x00\x01a\x00\x00\x00", DecodeErrorKind::ZeroPacketId, ReasonCode::ProtocolError),
        (b"\x30\x02\x00\x01", DecodeErrorKind::UnexpectedEnd, ReasonCode::MalformedPacket),
        (b"\x30\x03\x00\x00\x00", DecodeErrorKind::MissingTopic, ReasonCode::ProtocolError),
        (b"\x30\x04\x00\x01#\x00", DecodeErrorKind::InvalidTopic(TopicError::Wildcard), ReasonCode::MalformedPacket),
        (b"\x00\x00", DecodeErrorKind::ReservedPacketType, ReasonCode::MalformedPacket),
        (b"\x30\xFF\xFF\xFF\xFF", DecodeErrorKind::VariableByteInteger, ReasonCode::MalformedPacket),
        (b"\xD1\x00", DecodeErrorKind::ReservedBits, ReasonCode::MalformedPacket),
        (b"\xD0\x01\x00", DecodeErrorKind::TrailingBytes, ReasonCode::MalformedPacket),
        (b"\x40\x03\x00\x01\x42", DecodeErrorKind::InvalidReasonCode(0x42), ReasonCode::MalformedPacket),
    ] {
        for mut s in received_either_way(options()) {
            s.broker_sends_bytes(bytes);
            match s.take_events().as_slice() {
                [Event::Disconnected(Error::Malformed(FrameError::Malformed(error)))] => assert_eq!(error.kind, kind),
                other => panic!("{bytes:02X?}: {other:?}"),
            }
            s.expect_sent(disconnect(reason_code));
            s.expect_status(Status::Closing);
            s.connection_is_lost();
            s.reconnected(false);
            s.expect_usable();
        }
    }
}

#[test]
fn messages_before_a_malformed_packet_are_received() {
    let mut s = Scenario::connected();
    let mut bytes = bytes(&publish(QOS_1, 1, "a", "1"));
    bytes.extend_from_slice(b"\x00");
    s.broker_sends_bytes(&bytes);
    assert_eq!(s.take_events().len(), 1);
    s.expect_message("a", "1");
    s.expect_sent(disconnect(ReasonCode::MalformedPacket));
}

#[test]
fn any_split_of_the_stream_comes_to_the_same() {
    for piece in [1, 2, 3, 7, 64, usize::MAX] {
        let mut s = Scenario::connected();
        s.network_delivers_pieces_of(piece);
        let operation = s.publish(QOS_1, "up", "0");
        s.expect_sent(publish(QOS_1, 1, "up", "0"));
        let long = "x".repeat(10_000);
        s.broker_sends_all(&[
            publish(QOS_1, 1, "a", "1"),
            puback(1),
            publish(QOS_2, 2, "a", &long),
            Packet::Pingresp,
            publish(QOS_0, 0, "b", ""),
            pubrel(9),
            publish(QOS_1, 3, "c", "3"),
        ]);
        s.expect_published(operation, ReasonCode::Success);
        for (topic, payload) in [("a", "1"), ("a", &long), ("b", ""), ("c", "3")] {
            s.expect_message(topic, payload);
        }
        s.expect_sent_all(&[
            Packet::Pubcomp(ack(9, ReasonCode::PacketIdentifierNotFound)),
            puback(1),
            pubrec(2),
            puback(3),
        ]);
    }
}

#[test]
fn messages_stay_readable_while_more_arrive() {
    let mut s = Scenario::connected();
    let payloads: Vec<_> = (0..200).map(|n| format!("{n}").repeat(n)).collect();
    for (n, payload) in payloads.iter().enumerate() {
        s.broker_sends(publish(QOS_0, 0, "a", payload));
        if n % 3 == 0 {
            s.expect_message("a", &payloads[n / 3]);
        }
    }
    for payload in &payloads[67..] {
        s.expect_message("a", payload);
    }
}

#[test]
fn nothing_is_read_while_too_much_waits_to_be_received() {
    let mut s = Scenario::connected_with(options().backlog_limit(100), Default::default());
    let payload = "x".repeat(44);
    for _ in 0..5 {
        s.broker_sends(publish(QOS_1, 1, "a", &payload));
    }
    assert_eq!((s.unread(), s.is_reading()), (3 * 52, false));
    s.expect_message("a", &payload);
    assert_eq!(s.unread(), 0, "one message gone, and a read is made again");
    for _ in 0..4 {
        s.expect_message("a", &payload);
    }
    s.expect_sent_all(&[puback(1); 5]);
    assert!(s.is_reading());
}

#[test]
fn only_what_waits_to_be_received_counts_against_the_backlog_limit() {
    let mut s = Scenario::connected_with(options().backlog_limit(100), Default::default());
    let mut packets = vec![Packet::Pingresp; 100];
    packets.push(publish(QOS_0, 0, "a", "1"));
    packets.push(pubrel(5));
    s.broker_sends_all(&packets);
    s.expect_sent(Packet::Pubcomp(ack(5, ReasonCode::PacketIdentifierNotFound)));
    assert!(s.is_reading());
    s.expect_message("a", "1");
}

#[test]
fn what_the_broker_says_behind_a_full_backlog_is_heard_later() {
    let mut s = Scenario::connected_with(options().backlog_limit(1), Default::default());
    let message = s.publish(QOS_1, "up", "0");
    s.expect_sent(publish(QOS_1, 1, "up", "0"));
    s.broker_sends_all(&[publish(QOS_0, 0, "a", "1"), publish(QOS_0, 0, "a", "2"), puback(1)]);
    s.expect_no_event();
    s.expect_message("a", "1");
    s.expect_no_event();
    s.expect_message("a", "2");
    s.expect_published(message, ReasonCode::Success);
}

#[test]
fn close_behind_a_full_backlog_loses_nothing_that_arrived() {
    let mut s = Scenario::connected_with(options().backlog_limit(1), Default::default());
    let message = s.publish(QOS_1, "up", "0");
    s.expect_sent(publish(QOS_1, 1, "up", "0"));
    s.broker_sends_all(&[publish(QOS_0, 0, "a", "1"), publish(QOS_0, 0, "a", "2"), puback(1)]);
    s.connection_is_lost();
    s.expect_published(message, ReasonCode::Success);
    s.expect_disconnected(Error::ConnectionClosed);
    s.expect_message("a", "1");
    s.expect_message("a", "2");
}

#[test]
fn success_needs_two_bytes_and_says_so_in_any_form() {
    let mut s = Scenario::connected();
    let message = s.publish(QOS_1, "a", "1");
    let another = s.publish(QOS_1, "a", "2");
    s.expect_sent_all(&[publish(QOS_1, 1, "a", "1"), publish(QOS_1, 2, "a", "2")]);
    s.broker_sends_bytes(b"\x40\x03\x00\x01\x00");
    s.expect_published(message, ReasonCode::Success);
    s.broker_sends_bytes(b"\x40\x04\x00\x02\x00\x00");
    s.expect_published(another, ReasonCode::Success);
    assert_eq!(bytes(&Packet::Puback(Ack::success(id(1)))), b"\x40\x02\x00\x01");
}

#[test]
fn message_that_expired_is_acknowledged_to_the_end() {
    let mut s = Scenario::connected();
    let properties = PublishProperties { message_expiry_interval: Some(1), ..Default::default() };
    s.broker_sends(Packet::Publish(Publish { properties, ..message(QoS::ExactlyOnce, 7, "a", "1") }));
    s.wait(std::time::Duration::from_secs(50));
    s.expect_message("a", "1");
    s.expect_sent(pubrec(7));
    s.broker_sends(pubrel(7));
    s.expect_sent(pubcomp(7));
}
