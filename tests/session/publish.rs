//! Messages on their way to the broker (sections 3.3, 4.3 and 4.9).

use mqtt_wasi::codec::{
    Ack, AckProperties, ConnackProperties, EncodeErrorKind, Packet, PacketType, PropertyId, Publish, PublishProperties,
    QoS, ReasonCode, TopicError,
};
use mqtt_wasi::session::Event;
use mqtt_wasi::{CallError, Error, ProtocolError, Reason};

use crate::packets::*;
use crate::scenario::{Scenario, options};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;
const QOS_2: QoS = QoS::ExactlyOnce;

fn with_receive_maximum(receive_maximum: u16) -> Scenario {
    let terms = ConnackProperties { receive_maximum: Some(receive_maximum), ..Default::default() };
    Scenario::connected_with(options(), terms)
}

#[test]
fn message_at_qos_0_is_sent_and_forgotten() {
    let mut s = Scenario::connected();
    assert_eq!(s.publish(QOS_0, "a", "1"), None);
    s.expect_sent(publish(QOS_0, 0, "a", "1"));
    assert_eq!(s.session.in_flight(), 0);
}

#[test]
fn message_at_qos_1_is_in_flight_until_puback() {
    let mut s = Scenario::connected();
    let message = s.publish(QOS_1, "a", "1");
    s.expect_sent(publish(QOS_1, 1, "a", "1"));
    assert_eq!(s.session.in_flight(), 1);
    s.broker_sends(puback(1));
    s.expect_published(message, ReasonCode::Success);
    assert_eq!(s.session.in_flight(), 0);
}

#[test]
fn message_at_qos_2_is_in_flight_until_pubcomp() {
    let mut s = Scenario::connected();
    let message = s.publish(QOS_2, "a", "1");
    s.expect_sent(publish(QOS_2, 1, "a", "1"));
    s.broker_sends(pubrec(1));
    s.expect_sent(pubrel(1));
    s.expect_no_event();
    assert_eq!(s.session.in_flight(), 1);
    s.broker_sends(pubcomp(1));
    s.expect_published(message, ReasonCode::Success);
}

/// Messages so large leave from where they are kept, and others from a buffer.
#[test]
fn large_messages_and_small_ones_leave_in_their_order() {
    let large = "x".repeat(300_000);
    for piece in [7_777, 300_000, usize::MAX] {
        let mut s = Scenario::connected();
        s.network_stalls();
        s.publish(QOS_0, "a", "1");
        let first = s.publish(QOS_1, "a", &large);
        s.publish(QOS_0, "a", "2");
        s.publish(QOS_0, "a", "3");
        let second = s.publish(QOS_2, "a", &large);
        let third = s.publish(QOS_1, "b", &large);
        s.publish(QOS_1, "a", "4");
        for _ in 0..50 {
            s.network_takes(piece);
        }
        s.network_flows();
        s.expect_sent_all(&[
            publish(QOS_0, 0, "a", "1"),
            publish(QOS_1, 1, "a", &large),
            publish(QOS_0, 0, "a", "2"),
            publish(QOS_0, 0, "a", "3"),
            publish(QOS_2, 2, "a", &large),
            publish(QOS_1, 3, "b", &large),
            publish(QOS_1, 4, "a", "4"),
        ]);
        s.broker_sends(puback(3));
        s.expect_published(third, ReasonCode::Success);
        s.broker_sends(puback(1));
        s.expect_published(first, ReasonCode::Success);
        s.broker_sends(pubrec(2));
        s.expect_sent(pubrel(2));
        s.broker_sends(pubcomp(2));
        s.expect_published(second, ReasonCode::Success);
        assert_eq!(s.session.in_flight(), 1);
    }
}

#[test]
fn connection_that_ends_within_a_large_message_loses_none() {
    let large = "x".repeat(300_000);
    for session_present in [false, true] {
        let mut s = Scenario::connected();
        s.network_stalls();
        s.publish(QOS_0, "a", "1");
        s.publish(QOS_1, "a", &large);
        s.publish(QOS_0, "a", "2");
        let other = s.publish(QOS_1, "b", &large);
        s.publish(QOS_0, "a", "3");
        s.network_takes(50_000);
        s.expect_sent(publish(QOS_0, 0, "a", "1"));
        s.reconnected(session_present);
        let again = if session_present { resent } else { publish };
        s.expect_sent_all(&[
            again(QOS_1, 1, "a", &large),
            again(QOS_1, 2, "b", &large),
            publish(QOS_0, 0, "a", "2"),
            publish(QOS_0, 0, "a", "3"),
        ]);
        s.broker_sends(puback(2));
        s.expect_published(other, ReasonCode::Success);
    }
}

#[test]
fn message_is_sent_with_all_its_properties() {
    let mut s = Scenario::connected();
    let properties = PublishProperties {
        payload_format_indicator: Some(true),
        message_expiry_interval: Some(60),
        response_topic: Some("answers"),
        correlation_data: Some(b"7"),
        user_properties: (&[("a", "1"), ("a", "2")]).into(),
        content_type: Some("text/plain"),
        ..Default::default()
    };
    let message = Publish::new("a", "1").retain(true).properties(properties);
    s.try_publish(&message).unwrap();
    s.expect_sent(Packet::Publish(message));
}

#[test]
fn dup_and_packet_identifier_are_not_the_users_to_set() {
    let mut s = Scenario::connected();
    let message = Publish { dup: true, packet_id: Some(id(500)), ..Publish::new("a", "1").qos(QOS_1) };
    s.try_publish(&message).unwrap();
    s.expect_sent(publish(QOS_1, 1, "a", "1"));
    s.try_publish(&Publish { qos: QOS_0, ..message }).unwrap();
    s.expect_sent(publish(QOS_0, 0, "a", "1"));
}

#[test]
fn acknowledged_message_is_not_sent_again() {
    let mut s = Scenario::connected();
    let message = s.publish(QOS_1, "a", "1");
    s.expect_sent(publish(QOS_1, 1, "a", "1"));
    s.broker_sends(puback(1));
    s.expect_published(message, ReasonCode::Success);
    s.reconnected(true);
    s.expect_nothing_sent();
}

#[test]
fn message_is_not_sent_again_over_the_same_connection() {
    let mut s = Scenario::connected();
    s.publish(QOS_1, "a", "1");
    s.publish(QOS_2, "a", "2");
    s.expect_sent_all(&[publish(QOS_1, 1, "a", "1"), publish(QOS_2, 2, "a", "2")]);
    s.broker_sends(Packet::Pingresp);
    s.wait(std::time::Duration::from_secs(50));
    s.expect_nothing_sent();
}

#[test]
fn messages_that_wait_together_leave_in_one_write() {
    let mut s = Scenario::connected();
    s.network_stalls();
    s.publish(QOS_0, "a", "1");
    s.publish(QOS_1, "a", "2");
    s.broker_sends(publish(QOS_1, 9, "b", "3"));
    s.expect_message("b", "3");
    s.network_flows();
    s.expect_one_write(&[publish(QOS_0, 0, "a", "1"), publish(QOS_1, 1, "a", "2"), puback(9)]);
}

#[test]
fn no_matching_subscribers_is_a_success() {
    let mut s = Scenario::connected();
    let first = s.publish(QOS_1, "a", "1");
    let second = s.publish(QOS_2, "a", "2");
    s.expect_sent_all(&[publish(QOS_1, 1, "a", "1"), publish(QOS_2, 2, "a", "2")]);
    s.broker_sends(Packet::Puback(ack(1, ReasonCode::NoMatchingSubscribers)));
    s.expect_published(first, ReasonCode::NoMatchingSubscribers);
    s.broker_sends(Packet::Pubrec(ack(2, ReasonCode::NoMatchingSubscribers)));
    s.expect_sent(pubrel(2));
    s.broker_sends(pubcomp(2));
    s.expect_published(second, ReasonCode::NoMatchingSubscribers);
}

#[test]
fn no_matching_subscribers_is_told_of_its_own_message_only() {
    let mut s = Scenario::connected();
    // More than there are identifiers that are not used before.
    for number in 0..200_u16 {
        let reason_code = if number % 3 == 0 { ReasonCode::NoMatchingSubscribers } else { ReasonCode::Success };
        let message = s.publish(QOS_2, "a", "1");
        let sent = s.take_sent();
        // Behind the fixed header and a Topic Name of one byte.
        let id = u16::from_be_bytes([sent[0][5], sent[0][6]]);
        s.broker_sends(Packet::Pubrec(ack(id, reason_code)));
        s.expect_sent(pubrel(id));
        s.broker_sends(pubcomp(id));
        s.expect_published(message, reason_code);
    }
}

#[test]
fn no_matching_subscribers_is_told_after_a_reconnect() {
    let mut s = Scenario::connected();
    let message = s.publish(QOS_2, "a", "1");
    s.expect_sent(publish(QOS_2, 1, "a", "1"));
    s.broker_sends(Packet::Pubrec(ack(1, ReasonCode::NoMatchingSubscribers)));
    s.expect_sent(pubrel(1));
    s.reconnected(true);
    s.expect_sent(pubrel(1));
    s.broker_sends(pubcomp(1));
    s.expect_published(message, ReasonCode::NoMatchingSubscribers);
}

#[test]
fn every_refusal_of_a_message_is_told_with_its_reason() {
    let mut s = Scenario::connected();
    for &reason_code in ReasonCode::ALL.iter().filter(|code| code.is_error() && code.is_valid_in(PacketType::Puback)) {
        for qos in [QOS_1, QOS_2] {
            let message = s.publish(qos, "a", "1");
            let sent = s.take_sent();
            let Ok(Some((Packet::Publish(Publish { packet_id: Some(packet_id), .. }), _))) = Packet::decode(&sent[0])
            else {
                panic!("PUBLISH")
            };
            let properties = AckProperties { reason_string: Some("because"), user_properties: (&[("a", "b")]).into() };
            let refusal = Ack { packet_id, reason_code, properties };
            s.broker_sends(if qos == QOS_1 { Packet::Puback(refusal) } else { Packet::Pubrec(refusal) });
            s.expect_event(Event::Published {
                id: message.unwrap(),
                result: Err(Error::PublishRefused(Box::new(Reason {
                    reason_code,
                    reason_string: Some("because".into()),
                    server_reference: None,
                    user_properties: vec![("a".into(), "b".into())],
                }))),
            });
        }
    }
    s.expect_usable();
}

#[test]
fn pubcomp_that_knows_nothing_of_the_message_still_ends_it() {
    let mut s = Scenario::connected();
    let message = s.publish(QOS_2, "a", "1");
    s.expect_sent(publish(QOS_2, 1, "a", "1"));
    s.broker_sends(pubrec(1));
    s.expect_sent(pubrel(1));
    s.broker_sends(Packet::Pubcomp(ack(1, ReasonCode::PacketIdentifierNotFound)));
    s.expect_published(message, ReasonCode::PacketIdentifierNotFound);
}

#[test]
fn pubrec_again_is_answered_again() {
    let mut s = Scenario::connected();
    s.publish(QOS_2, "a", "1");
    s.expect_sent(publish(QOS_2, 1, "a", "1"));
    s.broker_sends_all(&[pubrec(1), pubrec(1)]);
    s.expect_sent_all(&[pubrel(1), pubrel(1)]);
}

#[test]
fn pubrec_for_an_unknown_message_lets_the_broker_go_of_it() {
    let mut s = Scenario::connected();
    s.broker_sends(pubrec(77));
    s.expect_sent(Packet::Pubrel(ack(77, ReasonCode::PacketIdentifierNotFound)));
    s.broker_sends(Packet::Pubcomp(ack(77, ReasonCode::PacketIdentifierNotFound)));
    s.expect_usable();
}

#[test]
fn acknowledgement_of_something_else_is_a_protocol_error() {
    type Act = fn(&mut Scenario);
    let at_qos_1: Act = |s| _ = s.publish(QOS_1, "a", "1");
    let at_qos_2: Act = |s| _ = s.publish(QOS_2, "a", "1");
    let released: Act = |s| {
        s.publish(QOS_2, "a", "1");
        s.broker_sends(pubrec(1));
    };
    let subscribed: Act = |s| _ = s.subscribe(&["a"]);
    let refused = Packet::Pubrec(ack(1, ReasonCode::QuotaExceeded));
    for (before, packet) in [
        (at_qos_1, pubrec(1)),
        (at_qos_1, refused),
        (at_qos_1, pubcomp(1)),
        (at_qos_2, puback(1)),
        (at_qos_2, pubcomp(1)),
        (released, puback(1)),
        (released, refused),
        (subscribed, puback(1)),
        (subscribed, pubrec(1)),
        (subscribed, pubcomp(1)),
    ] {
        let mut s = Scenario::connected();
        before(&mut s);
        s.take_sent();
        s.broker_sends(packet);
        s.expect_sent(disconnect(ReasonCode::ProtocolError));
        let events = s.take_events();
        let expected = ProtocolError::UnknownPacketId(packet.packet_type()).into();
        assert_eq!(events.first(), Some(&Event::Disconnected(expected)), "{packet:?}");
    }
}

#[test]
fn acknowledgement_of_nothing_changes_nothing() {
    // Brokers send some after they have lost a session, or late, to a message that was given up.
    let refused = ack(7, ReasonCode::UnspecifiedError);
    let refusals = [Packet::Puback(refused), Packet::Pubrec(refused)];
    let mut s = Scenario::connected();
    let operation = s.publish(QOS_1, "a", "1");
    s.expect_sent(publish(QOS_1, 1, "a", "1"));
    for packet in refusals.into_iter().chain([puback(7), pubcomp(7), suback(7, &[ReasonCode::Success])]) {
        s.broker_sends(packet);
        s.expect_nothing_sent();
        s.expect_no_event();
    }
    assert_eq!((s.session.in_flight(), s.session.stats().refused), (1, 0));
    s.broker_sends_all(&[puback(1), puback(1)]);
    s.expect_published(operation, ReasonCode::Success);
    s.expect_usable();
}

#[test]
fn receive_maximum_of_the_broker_is_kept() {
    let mut s = with_receive_maximum(2);
    let first = s.publish(QOS_1, "a", "1");
    s.publish(QOS_2, "a", "2");
    s.expect_sent_all(&[publish(QOS_1, 1, "a", "1"), publish(QOS_2, 2, "a", "2")]);
    assert_eq!(s.try_publish(&Publish::new("a", "3").qos(QOS_1)), Err(CallError::WouldBlock));
    s.expect_nothing_sent();
    s.publish(QOS_0, "a", "qos 0 is not counted");
    s.expect_sent(publish(QOS_0, 0, "a", "qos 0 is not counted"));

    s.broker_sends(puback(1));
    s.expect_published(first, ReasonCode::Success);
    s.publish(QOS_1, "a", "3");
    s.expect_sent(publish(QOS_1, 3, "a", "3"));
    assert_eq!(s.try_publish(&Publish::new("a", "4").qos(QOS_2)), Err(CallError::WouldBlock));
}

#[test]
fn message_at_qos_2_counts_until_pubcomp() {
    let mut s = with_receive_maximum(1);
    let message = s.publish(QOS_2, "a", "1");
    s.broker_sends(pubrec(1));
    s.expect_sent_all(&[publish(QOS_2, 1, "a", "1"), pubrel(1)]);
    assert_eq!(s.try_publish(&Publish::new("a", "2").qos(QOS_1)), Err(CallError::WouldBlock));
    s.broker_sends(pubcomp(1));
    s.expect_published(message, ReasonCode::Success);
    s.expect_usable();
}

#[test]
fn refused_message_counts_no_longer() {
    let mut s = with_receive_maximum(1);
    for packet in [
        Packet::Puback(ack(1, ReasonCode::QuotaExceeded)),
        Packet::Pubrec(ack(2, ReasonCode::QuotaExceeded)),
        Packet::Pubcomp(ack(3, ReasonCode::PacketIdentifierNotFound)),
    ] {
        let qos = if packet.packet_type() == PacketType::Puback { QOS_1 } else { QOS_2 };
        s.publish(qos, "a", "1");
        if packet.packet_type() == PacketType::Pubcomp {
            s.broker_sends(pubrec(3));
        }
        s.broker_sends(packet);
        assert_eq!(s.take_events().len(), 1);
    }
    s.take_sent();
    s.expect_usable();
}

#[test]
fn in_flight_limit_of_the_user_is_kept_where_the_brokers_is_higher() {
    let mut s = Scenario::connected_with(options().in_flight_limit(1), Default::default());
    s.publish(QOS_1, "a", "1");
    s.expect_sent(publish(QOS_1, 1, "a", "1"));
    assert_eq!(s.try_publish(&Publish::new("a", "2").qos(QOS_1)), Err(CallError::WouldBlock));
}

#[test]
fn outbound_limit_is_kept_and_frees_as_bytes_leave() {
    let mut s = Scenario::connected_with(options().outbound_limit(100), Default::default());
    s.network_stalls();
    let payload = "x".repeat(40);
    let message = Publish::new("a", &payload);
    s.try_publish(&message).unwrap();
    s.try_publish(&message).unwrap();
    assert_eq!(s.try_publish(&message), Err(CallError::WouldBlock));
    assert!(matches!(s.try_subscribe(&[], Default::default()), Err(CallError::Invalid(_))));
    assert_eq!(s.waiting_to_be_sent(), 2 * 46);

    s.network_takes(46);
    s.try_publish(&message).unwrap();
    s.network_flows();
    s.expect_sent_all(&[Packet::Publish(message); 3]);
    s.expect_usable();
}

#[test]
fn requests_wait_for_room_as_messages_do() {
    let mut s = Scenario::connected_with(options().outbound_limit(10), Default::default());
    s.network_stalls();
    s.publish(QOS_0, "a", "12345");
    let subscription = mqtt_wasi::codec::Subscription::new("a", QOS_0);
    assert_eq!(s.try_subscribe(&[subscription], Default::default()), Err(CallError::WouldBlock));
    assert_eq!(s.try_unsubscribe(&["a"]), Err(CallError::WouldBlock));
    s.network_flows();
    s.expect_sent(publish(QOS_0, 0, "a", "12345"));
    s.subscribe(&["a"]);
    assert_eq!(s.take_sent().len(), 1);
}

#[test]
fn one_message_over_the_outbound_limit_can_be_sent_alone() {
    let mut s = Scenario::connected_with(options().outbound_limit(10), Default::default());
    let payload = "x".repeat(1000);
    let message = s.publish(QOS_1, "a", &payload);
    s.expect_sent(publish(QOS_1, 1, "a", &payload));
    let another = Publish::new("a", "2").qos(QOS_1);
    assert_eq!(s.try_publish(&another), Err(CallError::WouldBlock), "the first is still kept");
    s.broker_sends(puback(1));
    s.expect_published(message, ReasonCode::Success);
    s.try_publish(&another).unwrap();
    s.expect_sent(publish(QOS_1, 2, "a", "2"));
}

#[test]
fn what_the_broker_does_not_take_is_not_sent() {
    let terms = ConnackProperties {
        maximum_qos: Some(QOS_1),
        retain_available: Some(false),
        maximum_packet_size: Some(20),
        ..Default::default()
    };
    let mut s = Scenario::connected_with(options(), terms);
    let long = "x".repeat(14);
    for (message, error) in [
        (Publish::new("a", "1").qos(QOS_2), CallError::QosNotSupported { maximum: QOS_1 }),
        (Publish::new("a", "1").retain(true), CallError::RetainNotSupported),
        (Publish::new("a", &long).qos(QOS_1), CallError::PacketTooLarge { size: 22, maximum: 20 }),
    ] {
        assert_eq!(s.try_publish(&message), Err(error));
        s.expect_nothing_sent();
    }
    let just_fits = Publish::new("a", &long[2..]).qos(QOS_1);
    let message = s.try_publish(&just_fits).unwrap();
    s.expect_sent(Packet::Publish(Publish { packet_id: Some(id(1)), ..just_fits }));
    s.broker_sends(puback(1));
    s.expect_published(message, ReasonCode::Success);
}

#[test]
fn what_cannot_be_said_in_mqtt_is_not_sent() {
    let mut s = Scenario::connected();
    let too_long = "x".repeat(65_536);
    let properties = |properties| Publish::new("a", "1").properties(properties);
    for (message, kind) in [
        (Publish::new("a/+", "1"), EncodeErrorKind::InvalidTopic(TopicError::Wildcard)),
        (Publish::new("#", "1"), EncodeErrorKind::InvalidTopic(TopicError::Wildcard)),
        (Publish::new("", "1"), EncodeErrorKind::MissingTopic),
        (Publish::new("a\0", "1"), EncodeErrorKind::InvalidTopic(TopicError::NullCharacter)),
        (Publish::new(&too_long, "1"), EncodeErrorKind::InvalidTopic(TopicError::TooLong)),
        (
            properties(PublishProperties { response_topic: Some("a/#"), ..Default::default() }),
            EncodeErrorKind::InvalidTopic(TopicError::Wildcard),
        ),
        (
            properties(PublishProperties { content_type: Some("\0"), ..Default::default() }),
            EncodeErrorKind::NullCharacter,
        ),
        (
            properties(PublishProperties { correlation_data: Some(too_long.as_bytes()), ..Default::default() }),
            EncodeErrorKind::TooLong,
        ),
    ] {
        for qos in [QOS_0, QOS_1, QOS_2] {
            match s.try_publish(&Publish { qos, ..message }) {
                Err(CallError::Invalid(error)) => assert_eq!(error.kind, kind),
                other => panic!("{other:?}"),
            }
            s.expect_nothing_sent();
        }
    }
    s.expect_usable();
}

#[test]
fn subscription_identifier_is_not_the_users_to_set() {
    let mut s = Scenario::connected();
    let properties = PublishProperties { subscription_identifiers: (&[1]).into(), ..Default::default() };
    let error = CallError::PropertyNotAllowed(PropertyId::SubscriptionIdentifier);
    assert_eq!(s.try_publish(&Publish::new("a", "1").properties(properties)), Err(error));
    s.expect_usable();
}

#[test]
fn problem_information_that_was_not_asked_for_is_a_protocol_error() {
    let explained = |packet_id| Ack {
        properties: AckProperties { reason_string: Some("because"), ..Default::default() },
        ..Ack::success(id(packet_id))
    };
    for packet in [
        Packet::Puback(explained(1)),
        Packet::Pubrec(explained(2)),
        Packet::Pubcomp(explained(2)),
        Packet::Pubrel(explained(3)),
    ] {
        let mut s = Scenario::connected_with(options().request_problem_information(false), Default::default());
        s.publish(QOS_1, "a", "1");
        s.publish(QOS_2, "a", "2");
        s.take_sent();
        s.broker_sends(packet);
        s.expect_disconnected(ProtocolError::ProblemInformationNotRequested(packet.packet_type()));
        s.expect_sent(disconnect(ReasonCode::ProtocolError));
    }
}

#[test]
fn packet_identifiers_never_run_out() {
    let mut s = Scenario::connected();
    for _ in 0..70_000 {
        let message = s.publish(QOS_1, "a", "1");
        let sent = s.take_sent();
        let packet_id = u16::from_be_bytes([sent[0][5], sent[0][6]]);
        s.broker_sends(puback(packet_id));
        s.expect_published(message, ReasonCode::Success);
    }
}

#[test]
fn pubrel_packets_leave_in_the_order_of_pubrec() {
    let mut s = Scenario::connected();
    for payload in ["1", "2", "3"] {
        s.publish(QOS_2, "a", payload);
    }
    assert_eq!(s.take_sent().len(), 3);
    s.broker_sends_all(&[pubrec(3), pubrec(1), pubrec(2)]);
    s.expect_sent_all(&[pubrel(3), pubrel(1), pubrel(2)]);
}
