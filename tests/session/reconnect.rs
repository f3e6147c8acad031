//! The session over one network connection after another (sections 4.1 and 4.4).

use mqtt_wasi::codec::{
    Ack, Connack, ConnackProperties, Disconnect, Packet, Publish, PublishProperties, QoS, ReasonCode,
};
use mqtt_wasi::session::{Event, OperationId};
use mqtt_wasi::{CallError, Error};

use crate::packets::*;
use crate::scenario::{Scenario, options};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;
const QOS_2: QoS = QoS::ExactlyOnce;

/// A client with messages in flight at these levels, and with the payloads 1, 2, …
fn with_in_flight(levels: &[QoS]) -> (Scenario, Vec<Option<OperationId>>) {
    let mut s = Scenario::connected();
    let messages = (1..).zip(levels).map(|(n, &qos)| s.publish(qos, "a", &format!("{n}"))).collect();
    assert_eq!(s.take_sent().len(), levels.len());
    (s, messages)
}

fn terms(receive_maximum: u16) -> ConnackProperties<'static> {
    ConnackProperties { receive_maximum: Some(receive_maximum), ..Default::default() }
}

#[test]
fn messages_in_flight_are_sent_again_in_their_first_order() {
    let (mut s, messages) = with_in_flight(&[QOS_1, QOS_2, QOS_1, QOS_2]);
    s.broker_sends(puback(1));
    s.expect_published(messages[0], ReasonCode::Success);
    s.reconnected(true);
    s.expect_one_write(&[resent(QOS_2, 2, "a", "2"), resent(QOS_1, 3, "a", "3"), resent(QOS_2, 4, "a", "4")]);
    s.broker_sends(puback(3));
    s.expect_published(messages[2], ReasonCode::Success);
}

#[test]
fn messages_are_sent_again_as_new_to_a_broker_without_the_session() {
    let (mut s, _) = with_in_flight(&[QOS_1, QOS_2]);
    s.reconnected(true);
    s.expect_one_write(&[resent(QOS_1, 1, "a", "1"), resent(QOS_2, 2, "a", "2")]);
    s.reconnected(false);
    s.expect_one_write(&[publish(QOS_1, 1, "a", "1"), publish(QOS_2, 2, "a", "2")]);
}

#[test]
fn messages_of_a_lost_session_are_discarded_where_the_options_say_so() {
    let mut s = Scenario::connected_with(options().restore_messages(false), Default::default());
    let first = s.publish(QOS_1, "a", "1");
    let second = s.publish(QOS_2, "b", "2");
    let released = s.publish(QOS_2, "c", "3");
    assert_eq!(s.take_sent().len(), 3);
    s.broker_sends(pubrec(3));
    s.expect_sent(pubrel(3));
    s.reconnected(true);
    s.expect_sent_all(&[pubrel(3), resent(QOS_1, 1, "a", "1"), resent(QOS_2, 2, "b", "2")]);
    s.reconnected(false);
    s.expect_nothing_sent();
    s.expect_published(released, ReasonCode::Success);
    for (id, topic) in [(first, "a"), (second, "b")] {
        s.expect_event(Event::MessageGivenUp { topic: topic.into(), attempts: 2 });
        s.expect_event(Event::Published { id: id.expect("QoS 1 or 2"), result: Err(Error::SessionLost) });
    }
    assert_eq!((s.session.in_flight(), s.session.stats().dropped), (0, 2));
    // No identifier is held back for a session that is gone.
    s.publish(QOS_2, "d", "4");
    assert_eq!(s.take_sent().len(), 1);
    s.reconnected(false);
    assert_eq!(s.take_events().len(), 2);
    s.expect_usable();
}

#[test]
fn message_is_sent_again_with_all_its_properties() {
    let mut s = Scenario::connected();
    let properties = PublishProperties { response_topic: Some("answers"), ..Default::default() };
    let message = Publish::new("a", "1").qos(QOS_1).retain(true).properties(properties);
    s.try_publish(&message).unwrap();
    assert_eq!(s.take_sent().len(), 1);
    s.reconnected(true);
    s.expect_sent(Packet::Publish(Publish { dup: true, packet_id: Some(id(1)), ..message }));
}

#[test]
fn message_at_qos_0_is_not_sent_again() {
    let mut s = Scenario::connected();
    s.publish(QOS_0, "a", "1");
    s.expect_sent(publish(QOS_0, 0, "a", "1"));
    s.reconnected(true);
    s.expect_nothing_sent();
}

#[test]
fn message_at_qos_0_that_never_left_is_sent_over_the_next_connection() {
    for session_present in [false, true] {
        let mut s = Scenario::connected();
        s.publish(QOS_0, "a", "1");
        s.expect_sent(publish(QOS_0, 0, "a", "1"));
        s.network_stalls();
        s.publish(QOS_0, "a", "2");
        s.publish(QOS_0, "b", "3");
        // The broker does not answer either, and the network goes once more.
        s.connection_is_lost();
        s.expect_disconnected(Error::ConnectionClosed);
        s.connect();
        s.expect_connect();
        s.connection_is_lost();
        s.expect_disconnected(Error::ConnectionClosed);
        s.reconnected(session_present);
        s.expect_one_write(&[publish(QOS_0, 0, "a", "2"), publish(QOS_0, 0, "b", "3")]);
        s.reconnected(true);
        s.expect_nothing_sent();
    }
}

#[test]
fn messages_at_qos_0_follow_those_in_flight() {
    let (mut s, messages) = with_in_flight(&[QOS_1]);
    s.network_stalls();
    s.publish(QOS_0, "b", "2");
    s.reconnected(true);
    s.expect_one_write(&[resent(QOS_1, 1, "a", "1"), publish(QOS_0, 0, "b", "2")]);
    s.broker_sends(puback(1));
    s.expect_published(messages[0], ReasonCode::Success);
    assert_eq!((s.session.stats().retransmitted, s.session.stats().reconnects), (1, 1));
}

#[test]
fn message_at_qos_0_that_the_broker_takes_no_more_is_told_of() {
    let mut s = Scenario::connected();
    s.network_stalls();
    s.publish(QOS_0, "a", "a payload of some length");
    s.publish(QOS_0, "a", "1");
    let terms = ConnackProperties { maximum_packet_size: Some(20), ..Default::default() };
    s.reconnected_with(true, terms);
    s.expect_event(Event::MessageDropped(CallError::PacketTooLarge { size: 30, maximum: 20 }));
    s.expect_sent(publish(QOS_0, 0, "a", "1"));
    assert_eq!(s.session.stats().dropped, 1);
}

#[test]
fn message_that_never_left_is_sent_over_the_next_connection() {
    let mut s = Scenario::connected();
    s.network_takes(5);
    let message = s.publish(QOS_1, "a", "1");
    s.reconnected(true);
    s.expect_sent(resent(QOS_1, 1, "a", "1"));
    s.broker_sends(puback(1));
    s.expect_published(message, ReasonCode::Success);
}

#[test]
fn released_message_goes_on_with_pubrel() {
    let (mut s, messages) = with_in_flight(&[QOS_2]);
    s.broker_sends(pubrec(1));
    s.expect_sent(pubrel(1));
    s.reconnected(true);
    s.expect_sent(pubrel(1));
    s.broker_sends(pubcomp(1));
    s.expect_published(messages[0], ReasonCode::Success);
}

#[test]
fn released_message_has_arrived_even_if_the_session_is_lost() {
    let (mut s, messages) = with_in_flight(&[QOS_2]);
    s.broker_sends(pubrec(1));
    s.expect_sent(pubrel(1));
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    s.connect();
    s.expect_connect();
    s.broker_sends(connack(false, Default::default()));
    s.expect_event(Event::Connected { session_present: false });
    s.expect_published(messages[0], ReasonCode::Success);
    s.expect_usable();
}

#[test]
fn acknowledgement_that_came_before_the_end_counts() {
    let (mut s, messages) = with_in_flight(&[QOS_1]);
    s.caller_leaves();
    s.broker_sends(puback(1));
    s.caller_returns();
    s.connection_is_lost();
    s.expect_published(messages[0], ReasonCode::Success);
    s.expect_disconnected(Error::ConnectionClosed);
    s.reconnected(true);
    s.expect_nothing_sent();
}

#[test]
fn lower_receive_maximum_is_kept_by_what_is_sent_again() {
    let (mut s, messages) = with_in_flight(&[QOS_1, QOS_2, QOS_1, QOS_1]);
    s.reconnected_with(true, terms(2));
    s.expect_sent_all(&[resent(QOS_1, 1, "a", "1"), resent(QOS_2, 2, "a", "2")]);
    s.broker_sends(puback(1));
    s.expect_published(messages[0], ReasonCode::Success);
    s.expect_sent(resent(QOS_1, 3, "a", "3"));
    s.broker_sends(pubrec(2));
    s.expect_sent(pubrel(2));
    s.broker_sends(pubcomp(2));
    s.expect_published(messages[1], ReasonCode::Success);
    s.expect_sent(resent(QOS_1, 4, "a", "4"));
}

#[test]
fn new_messages_wait_behind_those_of_the_last_connection() {
    let (mut s, messages) = with_in_flight(&[QOS_1, QOS_1]);
    s.reconnected_with(true, terms(1));
    s.expect_sent(resent(QOS_1, 1, "a", "1"));
    let new = Publish::new("a", "3").qos(QOS_1);
    assert_eq!(s.try_publish(&new), Err(CallError::WouldBlock));
    s.broker_sends(puback(1));
    s.expect_published(messages[0], ReasonCode::Success);
    s.expect_sent(resent(QOS_1, 2, "a", "2"));
    assert_eq!(s.try_publish(&new), Err(CallError::WouldBlock));
    s.broker_sends(puback(2));
    s.expect_published(messages[1], ReasonCode::Success);
    let message = s.try_publish(&new).unwrap();
    s.expect_sent(publish(QOS_1, 3, "a", "3"));
    s.broker_sends(puback(3));
    s.expect_published(message, ReasonCode::Success);
}

#[test]
fn pubrel_sent_again_makes_no_room_for_one_message_too_many() {
    let (mut s, messages) = with_in_flight(&[QOS_2, QOS_1]);
    s.broker_sends(pubrec(1));
    s.expect_sent(pubrel(1));
    s.reconnected_with(true, terms(1));
    s.expect_one_write(&[pubrel(1), resent(QOS_1, 2, "a", "2")]);
    s.broker_sends(pubcomp(1));
    s.expect_published(messages[0], ReasonCode::Success);
    let one_too_many = Publish::new("a", "3").qos(QOS_1);
    assert_eq!(s.try_publish(&one_too_many), Err(CallError::WouldBlock));
    s.broker_sends(puback(2));
    s.expect_published(messages[1], ReasonCode::Success);
    s.expect_usable();
}

/// A client with a message that waits to be sent again until there is room for it in the outbound buffer.
fn with_no_room_to_send_again(long: &str) -> Scenario {
    let mut s = Scenario::connected_with(options().outbound_limit(1000), Default::default());
    let short = s.publish(QOS_1, "a", "1");
    s.publish(QOS_1, "a", long);
    assert_eq!(s.take_sent().len(), 2);
    s.reconnected_with(true, terms(1));
    s.expect_sent(resent(QOS_1, 1, "a", "1"));
    s.network_stalls();
    s.publish(QOS_0, "a", &long[..200]);
    s.broker_sends(puback(1));
    s.expect_published(short, ReasonCode::Success);
    assert!(s.waiting_to_be_sent() <= 1000);
    s
}

#[test]
fn what_is_sent_again_waits_for_room_with_new_messages_behind_it() {
    let long = "x".repeat(900);
    let mut s = with_no_room_to_send_again(&long);
    assert_eq!(s.try_publish(&Publish::new("a", "3").qos(QOS_1)), Err(CallError::WouldBlock));
    s.network_flows();
    s.expect_sent_all(&[publish(QOS_0, 0, "a", &long[..200]), resent(QOS_1, 2, "a", &long)]);
}

#[test]
fn what_waits_to_be_sent_again_does_not_follow_disconnect() {
    let long = "x".repeat(900);
    let mut s = with_no_room_to_send_again(&long);
    s.disconnect(&Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).unwrap();
    s.network_flows();
    s.expect_sent_all(&[publish(QOS_0, 0, "a", &long[..200]), disconnect(ReasonCode::NORMAL_DISCONNECTION)]);
}

#[test]
fn message_that_the_broker_takes_no_longer_fails() {
    let long = "x".repeat(100);
    let unacceptable = [
        (
            Publish::new("a", &long).qos(QOS_1),
            ConnackProperties { maximum_packet_size: Some(50), ..Default::default() },
            CallError::PacketTooLarge { size: 108, maximum: 50 },
        ),
        (
            Publish::new("a", "1").qos(QOS_2),
            ConnackProperties { maximum_qos: Some(QOS_1), ..Default::default() },
            CallError::QosNotSupported { maximum: QOS_1 },
        ),
        (
            Publish::new("a", "1").qos(QOS_1).retain(true),
            ConnackProperties { retain_available: Some(false), ..Default::default() },
            CallError::RetainNotSupported,
        ),
    ];
    for (message, terms, error) in unacceptable {
        for session_present in [true, false] {
            let (mut s, messages) = with_in_flight(&[QOS_1]);
            let unacceptable = s.try_publish(&message).unwrap().unwrap();
            let last = s.publish(QOS_1, "a", "3");
            assert_eq!(s.take_sent().len(), 2);
            s.reconnected_with(session_present, terms);
            s.expect_event(Event::MessageGivenUp { topic: "a".into(), attempts: 1 });
            s.expect_event(Event::Published { id: unacceptable, result: Err(error.into()) });
            let again = if session_present { resent } else { publish };
            s.expect_one_write(&[again(QOS_1, 1, "a", "1"), again(QOS_1, 3, "a", "3")]);
            s.broker_sends_all(&[puback(1), puback(3)]);
            s.expect_published(messages[0], ReasonCode::Success);
            s.expect_published(last, ReasonCode::Success);
            s.expect_usable();
        }
    }
}

#[test]
fn messages_survive_connection_after_connection() {
    let (mut s, messages) = with_in_flight(&[QOS_1, QOS_2]);
    for _ in 0..5 {
        s.reconnected(true);
        s.expect_one_write(&[resent(QOS_1, 1, "a", "1"), resent(QOS_2, 2, "a", "2")]);
    }
    s.broker_sends_all(&[puback(1), pubrec(2)]);
    s.expect_published(messages[0], ReasonCode::Success);
    s.expect_sent(pubrel(2));
}

#[test]
fn message_that_waits_to_be_received_survives_the_connection() {
    for session_present in [true, false] {
        let mut s = Scenario::connected();
        s.broker_sends(publish(QOS_0, 0, "a", "1"));
        s.reconnected(session_present);
        s.expect_message("a", "1");
        s.expect_nothing_sent();
    }
}

#[test]
fn message_that_the_broker_sends_again_is_received_once() {
    for qos in [QOS_1, QOS_2] {
        let mut s = Scenario::connected();
        s.broker_sends(publish(qos, 5, "a", "1"));
        s.reconnected(true);
        s.broker_sends(resent(qos, 5, "a", "1"));
        s.expect_message("a", "1");
        s.expect_sent(if qos == QOS_1 { puback(5) } else { pubrec(5) });
        s.expect_no_message();
    }
}

#[test]
fn message_of_a_session_that_the_broker_lost_is_received_all_the_same() {
    for qos in [QOS_1, QOS_2] {
        let mut s = Scenario::connected();
        s.broker_sends(publish(qos, 5, "a", "1"));
        s.reconnected(false);
        // The identifier is the broker's to use for another message now.
        s.broker_sends(publish(qos, 5, "a", "2"));
        s.expect_message("a", "1");
        s.expect_nothing_sent();
        s.expect_message("a", "2");
        s.expect_sent(if qos == QOS_1 { puback(5) } else { pubrec(5) });
    }
}

#[test]
fn message_of_a_session_lost_long_ago_is_not_taken_for_one_that_comes_again() {
    let mut s = Scenario::connected();
    s.broker_sends_all(&[publish(QOS_1, 4, "a", "1"), publish(QOS_2, 5, "a", "2")]);
    s.reconnected(false);
    s.reconnected(true);
    s.expect_message("a", "1");
    s.expect_message("a", "2");
    s.expect_nothing_sent();
}

#[test]
fn message_can_be_received_while_there_is_no_connection() {
    let mut s = Scenario::connected();
    s.broker_sends(publish(QOS_2, 5, "a", "1"));
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    s.expect_message("a", "1");
    s.expect_nothing_sent();
    // The broker does not know that it was received.
    s.reconnected(true);
    s.broker_sends(resent(QOS_2, 5, "a", "1"));
    s.expect_no_message();
    s.expect_sent(pubrec(5));
}

#[test]
fn message_is_delivered_exactly_once_wherever_the_connection_breaks() {
    for breaks_after in 0..4 {
        let mut s = Scenario::connected();
        let moves: [fn(&mut Scenario); 4] = [
            |s| s.broker_sends(publish(QOS_2, 5, "a", "1")),
            |s| s.expect_message("a", "1"),
            |s| s.expect_sent(pubrec(5)),
            |s| s.broker_sends(pubrel(5)),
        ];
        s.network_stalls();
        for (n, a_move) in moves.into_iter().enumerate().take(breaks_after + 1) {
            if n == 2 {
                s.network_flows();
            }
            a_move(&mut s);
        }
        let is_received = breaks_after >= 1;
        let broker_knows = breaks_after >= 2;
        s.network_stalls();
        s.take_sent();
        s.reconnected(true);
        if !broker_knows {
            s.broker_sends(resent(QOS_2, 5, "a", "1"));
            if !is_received {
                s.expect_message("a", "1");
            }
            s.expect_sent(pubrec(5));
        }
        s.broker_sends(pubrel(5));
        let is_released = breaks_after >= 3;
        let reason_code = if is_released { ReasonCode::PacketIdentifierNotFound } else { ReasonCode::Success };
        s.expect_sent(Packet::Pubcomp(ack(5, reason_code)));
        s.expect_no_message();
    }
}

#[test]
fn full_backlog_does_not_keep_the_client_from_connecting() {
    let mut s = Scenario::connected_with(options().backlog_limit(1), Default::default());
    s.broker_sends(publish(QOS_0, 0, "a", "1"));
    assert!(!s.is_reading());
    s.reconnected(false);
    assert!(!s.is_reading());
    s.expect_message("a", "1");
    s.expect_usable();
}

#[test]
fn half_a_packet_of_the_last_connection_is_not_continued() {
    let mut s = Scenario::connected();
    s.broker_sends_bytes(&bytes(&publish(QOS_0, 0, "a", "1"))[..5]);
    s.reconnected(true);
    s.broker_sends(publish(QOS_0, 0, "b", "2"));
    s.expect_message("b", "2");
    s.expect_no_message();
}

#[test]
fn half_a_packet_of_the_client_is_sent_as_a_whole() {
    let mut s = Scenario::connected();
    s.network_takes(3);
    s.publish(QOS_0, "a", "1");
    s.reconnected(true);
    s.expect_sent(publish(QOS_0, 0, "a", "1"));
    s.expect_usable();
}

#[test]
fn pubrel_does_not_wait_for_a_message_that_must() {
    let (mut s, messages) = with_in_flight(&[QOS_1, QOS_1, QOS_2]);
    s.broker_sends(pubrec(3));
    s.expect_sent(pubrel(3));
    s.reconnected_with(true, terms(1));
    s.expect_one_write(&[pubrel(3), resent(QOS_1, 1, "a", "1")]);
    s.broker_sends(pubcomp(3));
    s.expect_published(messages[2], ReasonCode::Success);
    s.broker_sends(puback(1));
    s.expect_published(messages[0], ReasonCode::Success);
    s.expect_sent(resent(QOS_1, 2, "a", "2"));
}

#[test]
fn pubrel_packets_are_sent_again_in_the_order_of_pubrec() {
    let (mut s, _) = with_in_flight(&[QOS_2, QOS_2, QOS_2]);
    s.broker_sends_all(&[pubrec(3), pubrec(1), pubrec(2)]);
    s.expect_sent_all(&[pubrel(3), pubrel(1), pubrel(2)]);
    s.reconnected(true);
    s.expect_one_write(&[pubrel(3), pubrel(1), pubrel(2)]);
}

#[test]
fn message_released_before_its_turn_to_be_sent_again_is_not_sent_again() {
    let (mut s, _) = with_in_flight(&[QOS_1, QOS_2, QOS_1]);
    s.reconnected_with(true, terms(1));
    s.expect_sent(resent(QOS_1, 1, "a", "1"));
    // The broker repeats what it said over the last connection.
    s.broker_sends(pubrec(2));
    s.expect_sent(pubrel(2));
    s.broker_sends(puback(1));
    s.expect_sent(resent(QOS_1, 3, "a", "3"));
    assert_eq!(s.take_events().len(), 1);
}

#[test]
fn identifier_of_a_message_that_was_given_up_is_not_used_again_in_this_session() {
    let mut s = Scenario::connected();
    let given_up = s.publish(QOS_2, "a", &"x".repeat(100)).unwrap();
    assert_eq!(s.take_sent().len(), 1);
    s.reconnected_with(true, ConnackProperties { maximum_packet_size: Some(50), ..Default::default() });
    let error = CallError::PacketTooLarge { size: 108, maximum: 50 };
    s.expect_event(Event::MessageGivenUp { topic: "a".into(), attempts: 1 });
    s.expect_event(Event::Published { id: given_up, result: Err(error.into()) });
    // The broker is told once that it may let go.
    s.broker_sends(pubrec(1));
    s.expect_sent(Packet::Pubrel(ack(1, ReasonCode::PacketIdentifierNotFound)));
    s.broker_sends(Packet::Pubcomp(ack(1, ReasonCode::PacketIdentifierNotFound)));
    let mut used = std::collections::BTreeSet::new();
    let mut next_id = |s: &mut Scenario| {
        let message = s.publish(QOS_1, "a", "1");
        let sent = s.take_sent();
        let Ok(Some((Packet::Publish(Publish { packet_id: Some(id), .. }), _))) = Packet::decode(&sent[0]) else {
            panic!("a message at QoS 1");
        };
        s.broker_sends(Packet::Puback(Ack::success(id)));
        s.expect_published(message, ReasonCode::Success);
        used.insert(id.get());
    };
    for _ in 0..200 {
        next_id(&mut s);
    }
    // Without the session nobody holds on to it.
    s.reconnected(false);
    for _ in 0..200 {
        next_id(&mut s);
    }
    let first_time = used.remove(&1);
    assert!(first_time && used.len() == 63, "{used:?}");
}

#[test]
fn message_is_received_once_though_a_connection_between_was_refused() {
    for qos in [QOS_1, QOS_2] {
        let mut s = Scenario::connected();
        s.broker_sends(publish(qos, 5, "a", "1"));
        s.connection_is_lost();
        s.expect_disconnected(Error::ConnectionClosed);
        s.connect();
        s.expect_connect();
        s.broker_sends(Packet::Connack(Connack { reason_code: ReasonCode::ServerBusy, ..Default::default() }));
        assert_eq!(s.take_events().len(), 1);
        s.reconnected(true);
        s.broker_sends(resent(qos, 5, "a", "1"));
        s.expect_nothing_sent();
        s.expect_message("a", "1");
        s.expect_sent(if qos == QOS_1 { puback(5) } else { pubrec(5) });
        s.expect_no_message();
    }
}

#[test]
fn message_that_was_sent_does_not_expire() {
    let mut s = Scenario::connected();
    let properties = PublishProperties { message_expiry_interval: Some(1), ..Default::default() };
    let message = Publish::new("a", "1").properties(properties);
    for qos in [QOS_1, QOS_2] {
        s.try_publish(&message.qos(qos)).unwrap();
    }
    assert_eq!(s.take_sent().len(), 2);
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    s.wait(std::time::Duration::from_secs(1_000));
    s.reconnected(true);
    for (packet_id, qos) in [(1, QOS_1), (2, QOS_2)] {
        s.expect_sent(Packet::Publish(Publish { dup: true, packet_id: Some(id(packet_id)), ..message.qos(qos) }));
    }
}

#[test]
fn refused_message_is_not_sent_again() {
    let (mut s, _) = with_in_flight(&[QOS_1, QOS_2]);
    s.broker_sends(Packet::Puback(ack(1, ReasonCode::QuotaExceeded)));
    s.broker_sends(Packet::Pubrec(ack(2, ReasonCode::QuotaExceeded)));
    assert_eq!(s.take_events().len(), 2);
    s.reconnected(true);
    s.expect_nothing_sent();
}

#[test]
fn message_is_given_up_after_as_many_attempts_as_the_options_say() {
    for (qos, session_present) in [(QOS_1, true), (QOS_1, false), (QoS::ExactlyOnce, true), (QoS::ExactlyOnce, false)] {
        let mut s = Scenario::connected_with(options().attempts_per_message(2), ConnackProperties::default());
        let poison = s.publish(qos, "poison", "1");
        let behind = s.publish(QOS_1, "behind", "2");
        s.take_sent();
        s.reconnected(session_present);
        assert_eq!(s.take_sent().len(), 2, "the second time");
        s.take_events();
        // The one behind is acknowledged, and the broker closes over the other.
        s.broker_sends(puback(2));
        s.expect_published(behind, ReasonCode::Success);
        let last = s.publish(QOS_1, "last", "3");
        s.take_sent();
        s.reconnected(session_present);
        s.expect_event(Event::MessageGivenUp { topic: "poison".into(), attempts: 2 });
        s.expect_event(Event::Published { id: poison.unwrap(), result: Err(Error::GivenUp { attempts: 2 }) });
        let again = if session_present { resent(QOS_1, 3, "last", "3") } else { publish(QOS_1, 3, "last", "3") };
        s.expect_sent(again);
        s.broker_sends(puback(3));
        s.expect_published(last, ReasonCode::Success);
        assert_eq!((s.session.stats().in_flight, s.session.stats().dropped), (0, 1));
    }
}
