//! What a hostile broker, or a careless user, cannot make the session hold.

use std::time::Duration;

use mqtt_wasi::codec::{
    Ack, AckProperties, ConnackProperties, Disconnect, Packet, Publish, QoS, ReasonCode, Subscription, UserProperty,
};
use mqtt_wasi::frame::FrameError;
use mqtt_wasi::session::{Event, Status};
use mqtt_wasi::{CallError, Error};

use crate::packets::*;
use crate::scenario::{Scenario, options};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;
const QOS_2: QoS = QoS::ExactlyOnce;

/// More answers than this never wait, in bytes: one of four bytes for each message that may be unacknowledged, and as
/// much again for what is read at once.
const MOST_ANSWERS: usize = 2 * 4 * 65_536;

/// A broker that sends this a hundred thousand times and takes nothing.
fn flooded_with(packet: Packet<'_>) -> Scenario {
    let mut s = Scenario::connected();
    s.network_stalls();
    let segment = bytes(&packet).repeat(1000);
    for _ in 0..100 {
        s.broker_sends_bytes(&segment);
    }
    s
}

#[test]
fn broker_that_does_not_read_its_answers_is_not_read_either() {
    let not_found = ReasonCode::PacketIdentifierNotFound;
    for (packet, answer) in
        [(pubrel(7), Packet::Pubcomp(ack(7, not_found))), (pubrec(7), Packet::Pubrel(ack(7, not_found)))]
    {
        let mut s = flooded_with(packet);
        assert!(s.waiting_to_be_sent() < MOST_ANSWERS, "{}", s.waiting_to_be_sent());
        assert!(!s.is_reading());
        assert!(s.unread() > 0);

        s.network_flows();
        assert_eq!((s.unread(), s.is_reading()), (0, true));
        let sent = s.take_sent();
        assert_eq!(sent.len(), 100_000, "every one is answered in the end");
        assert!(sent.iter().all(|sent| *sent == bytes(&answer)));
        s.expect_usable();
    }
}

#[test]
fn message_repeated_without_end_is_not_answered_without_end() {
    let mut s = Scenario::connected();
    s.broker_sends(publish(QOS_2, 5, "a", "1"));
    s.expect_message("a", "1");
    s.expect_sent(pubrec(5));
    s.network_stalls();
    s.observer.broker_is_hostile = true;
    s.broker_sends_bytes(&bytes(&resent(QOS_2, 5, "a", "1")).repeat(100_000));
    assert!(s.waiting_to_be_sent() < MOST_ANSWERS);
    assert!(!s.is_reading());
    s.network_flows();
    assert_eq!(s.take_sent().len(), 100_000);
}

#[test]
fn small_messages_wait_in_the_socket_once_too_many_wait_to_be_received() {
    let mut s = Scenario::connected_with(options().backlog_limit(10_000), Default::default());
    let message = bytes(&publish(QOS_0, 0, "t", ""));
    s.broker_sends_bytes(&message.repeat(100_000));
    assert!(!s.is_reading());
    assert!(s.unread() > (100_000 * message.len()) - 10_000 - 64 * 1024);
    let mut received = 0;
    while s.receive().is_some() {
        received += 1;
    }
    assert_eq!(received, 100_000, "none is lost");
    assert!(s.is_reading());
}

#[test]
fn broker_that_takes_no_acknowledgements_is_not_read_for_long() {
    let mut s = Scenario::connected();
    s.network_stalls();
    let mut received = 0;
    for _ in 0..10 {
        s.broker_sends_bytes(&bytes(&publish(QOS_1, 5, "t", "")).repeat(20_000));
        while s.receive().is_some() {
            received += 1;
        }
    }
    assert!((65_536..200_000).contains(&received), "{received}");
    assert!(s.waiting_to_be_sent() < MOST_ANSWERS, "{}", s.waiting_to_be_sent());
    assert!(!s.is_reading());
    s.leave_the_rest();
}

#[test]
fn answers_that_were_sent_wait_no_longer() {
    // The outbound buffer is never empty, as it is not while a user keeps publishing.
    let mut s = Scenario::connected();
    s.network_stalls();
    for _ in 0..1_000 {
        s.broker_sends_all(&[publish(QOS_1, 5, "a", "1"); 100]);
        for _ in 0..100 {
            s.expect_message("a", "1");
        }
        assert!(s.is_reading());
        s.network_takes(s.waiting_to_be_sent() - 1);
    }
    s.network_flows();
    assert_eq!(s.take_sent().len(), 100_000);
}

#[test]
fn broker_that_floods_and_takes_nothing_is_given_up() {
    let mut s = flooded_with(pubrel(7));
    s.wait(Duration::from_secs(55 + 31));
    s.expect_disconnected(Error::KeepAliveTimeout);
    s.expect_status(Status::Closing);
}

#[test]
fn answer_that_is_not_read_for_the_flood_before_it_is_not_missed() {
    let mut s = Scenario::connected();
    s.wait(Duration::from_secs(55));
    s.expect_sent(Packet::Pingreq);
    s.network_stalls();
    s.broker_sends_bytes(&bytes(&pubrel(7)).repeat(100_000));
    s.broker_sends(Packet::Pingresp);
    s.wait(Duration::from_secs(50));
    s.expect_status(Status::Connected);
    s.network_flows();
    assert_eq!((s.unread(), s.take_sent().len()), (0, 100_000));
    s.expect_usable();
}

#[test]
fn broker_that_floods_and_takes_a_little_is_not_given_up() {
    let mut s = flooded_with(pubrel(7));
    for _ in 0..20 {
        s.wait(Duration::from_secs(29));
        s.network_takes(50);
        assert!(!s.is_reading());
    }
    s.expect_status(Status::Connected);
    assert!(s.waiting_to_be_sent() < MOST_ANSWERS);
    s.leave_the_rest();
}

#[test]
fn user_cannot_have_more_in_flight_than_there_are_packet_identifiers() {
    let mut s = Scenario::connected_with(options().in_flight_limit(u16::MAX), Default::default());
    let request = s.subscribe(&["a"]);
    for _ in 0..65_534 {
        s.try_publish(&Publish::new("a", "").qos(QOS_1)).unwrap();
    }
    assert_eq!(s.try_publish(&Publish::new("a", "").qos(QOS_1)), Err(CallError::WouldBlock));
    let subscription = [Subscription::new("a", QOS_0)];
    assert_eq!(s.try_subscribe(&subscription, Default::default()), Err(CallError::WouldBlock));
    assert_eq!(s.try_unsubscribe(&["a"]), Err(CallError::WouldBlock));
    assert_eq!(s.take_sent().len(), 65_535);

    s.broker_sends(suback(1, &[ReasonCode::Success]));
    let another = s.subscribe(&["a"]);
    assert_ne!(request, another);
    s.leave_the_rest();
}

#[test]
fn messages_in_flight_take_no_more_memory_than_the_outbound_limit() {
    let mut s = Scenario::connected_with(options().outbound_limit(10_000), Default::default());
    let payload = "x".repeat(1000);
    let message = Publish::new("a", &payload).qos(QOS_2);
    let mut sent = 0;
    while s.try_publish(&message).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 10_000 / 1009);
    assert_eq!(s.take_sent().len(), sent);
    // What was released is not kept.
    s.broker_sends(pubrec(1));
    s.expect_sent(pubrel(1));
    s.try_publish(&message).unwrap();
    assert_eq!(s.take_sent().len(), 1);
}

#[test]
fn user_properties_without_end_are_over_the_maximum_packet_size() {
    let refusal = |user_properties: &[UserProperty<'_>]| {
        let properties = AckProperties { user_properties: user_properties.into(), ..Default::default() };
        bytes(&Packet::Puback(Ack { properties, ..ack(1, ReasonCode::QuotaExceeded) }))
    };
    let mut s = Scenario::connected_with(options().maximum_packet_size(10_000), Default::default());
    s.publish(QOS_1, "a", "1");
    s.publish(QOS_1, "a", "2");
    assert_eq!(s.take_sent().len(), 2);
    s.broker_sends_bytes(&refusal(&[("", ""); 1_990]));
    match s.take_events().as_slice() {
        [Event::Published { result: Err(Error::PublishRefused(reason)), .. }] => {
            assert_eq!(reason.user_properties.len(), 1_990);
        }
        other => panic!("{other:?}"),
    }
    let too_many = refusal(&[("", ""); 100_000]);
    s.broker_sends_bytes(&too_many[..10]);
    let size = too_many.len() as u64;
    s.expect_disconnected(Error::Malformed(FrameError::PacketTooLarge { size, maximum: 10_000 }));
    s.expect_sent(disconnect(ReasonCode::PacketTooLarge));
}

#[test]
fn what_comes_after_the_end_is_not_kept() {
    let mut s = Scenario::connected();
    s.disconnect(&Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).unwrap();
    s.expect_sent(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    s.broker_sends_bytes(&bytes(&publish(QOS_0, 0, "a", &"x".repeat(10_000_000)))[..9_000_000]);
    assert!(s.session.read_buffer().len() <= 64 * 1024, "no room is made for the rest of it");
}

#[test]
fn broker_that_takes_no_acknowledgement_is_left_without_a_packet_that_is_too_large() {
    for maximum in 1..5 {
        let mut s = Scenario::new(options());
        s.connect();
        s.expect_connect();
        let terms = ConnackProperties { maximum_packet_size: Some(maximum), ..Default::default() };
        s.broker_sends(connack(false, terms));
        s.expect_disconnected(CallError::PacketTooLarge { size: 5, maximum });
        s.expect_nothing_sent();
    }
    let terms = ConnackProperties { maximum_packet_size: Some(5), ..Default::default() };
    let mut s = Scenario::connected_with(options(), terms);
    s.broker_sends(pubrel(7));
    s.expect_sent(Packet::Pubcomp(ack(7, ReasonCode::PacketIdentifierNotFound)));
}
