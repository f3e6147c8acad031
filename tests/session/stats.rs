//! What a session counts.

use std::time::Duration;

use mqtt_wasi::codec::{Packet, QoS, ReasonCode};
use mqtt_wasi::session::Event;

use crate::packets::*;
use crate::scenario::{Scenario, options};

#[test]
fn packets_and_bytes_are_counted_both_ways() {
    let mut s = Scenario::connected();
    let before = s.session.stats();
    assert_eq!((before.packets_sent, before.packets_received), (1, 1), "CONNECT and CONNACK");
    let message = s.publish(QoS::AtLeastOnce, "a", "1");
    s.expect_sent(publish(QoS::AtLeastOnce, 1, "a", "1"));
    assert_eq!(s.session.stats().in_flight, 1);
    s.broker_sends_all(&[puback(1), publish(QoS::AtMostOnce, 0, "b", "2")]);
    s.expect_published(message, ReasonCode::Success);
    s.expect_message("b", "2");
    let after = s.session.stats();
    assert_eq!((after.packets_sent, after.packets_received, after.in_flight), (2, 3, 0));
    let sent = bytes(&publish(QoS::AtLeastOnce, 1, "a", "1")).len();
    let received = bytes(&puback(1)).len() + bytes(&publish(QoS::AtMostOnce, 0, "b", "2")).len();
    assert_eq!(after.bytes_sent - before.bytes_sent, sent as u64);
    assert_eq!(after.bytes_received - before.bytes_received, received as u64);
}

#[test]
fn packets_that_never_left_do_not_count_as_sent() {
    let mut s = Scenario::connected();
    s.network_stalls();
    for payload in ["1", "2", "3"] {
        s.publish(QoS::AtMostOnce, "a", payload);
    }
    assert_eq!(s.session.stats().packets_sent, 4);
    s.connection_is_lost();
    s.expect_disconnected(mqtt_wasi::Error::ConnectionClosed);
    assert_eq!(s.session.stats().packets_sent, 1);
    s.reconnected(false);
    assert_eq!(s.session.stats().packets_sent, 5, "CONNECT, and the three after all");
    s.leave_the_rest();
}

#[test]
fn refusals_are_counted() {
    let mut s = Scenario::connected();
    s.publish(QoS::AtLeastOnce, "a", "1");
    s.publish(QoS::ExactlyOnce, "a", "2");
    s.subscribe(&["a", "b"]);
    s.broker_sends_all(&[
        Packet::Puback(ack(1, ReasonCode::QuotaExceeded)),
        Packet::Pubrec(ack(2, ReasonCode::NotAuthorized)),
        suback(3, &[ReasonCode::GrantedQos1, ReasonCode::NotAuthorized]),
    ]);
    assert_eq!(s.take_events().len(), 3);
    assert_eq!(s.session.stats().refused, 3);
    s.leave_the_rest();
}

#[test]
fn answer_to_a_ping_tells_the_round_trip() {
    let mut s = Scenario::connected_with(options().keep_alive(60), Default::default());
    assert_eq!(s.session.stats().ping_round_trip, None);
    s.wait(Duration::from_secs(55));
    s.expect_sent(Packet::Pingreq);
    s.wait(Duration::from_millis(120));
    s.broker_sends(Packet::Pingresp);
    assert_eq!(s.session.stats().ping_round_trip, Some(Duration::from_millis(120)));
}

#[test]
fn connections_after_the_first_are_counted() {
    let mut s = Scenario::connected();
    assert_eq!(s.session.stats().reconnects, 0);
    s.reconnected(true);
    s.reconnected(false);
    assert_eq!(s.session.stats().reconnects, 2);
    s.connect();
    s.expect_connect();
    s.connection_is_lost();
    assert!(matches!(s.take_events()[..], [Event::Disconnected(_), Event::Disconnected(_)]));
    assert_eq!(s.session.stats().reconnects, 2, "one that was not taken is none");
}
