//! Messages whose payload is streamed from the broker: taken as it comes, and never in memory as a whole.

use std::time::Duration;

use mqtt_wasi::codec::{Packet, Publish, PublishProperties, QoS, ReasonCode};
use mqtt_wasi::session::{Event, Status};
use mqtt_wasi::{Error, Options, ProtocolError};
use proptest::prelude::*;

use crate::packets::*;
use crate::scenario::{Scenario, options};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;
const QOS_2: QoS = QoS::ExactlyOnce;

/// Messages above this are streamed.
const ABOVE: u32 = 1000;

/// As much of a payload is read ahead, and what a read brings beyond that.
const MOST_AHEAD: usize = 128 * 1024;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn payload(len: usize) -> String {
    (0..len).map(|place| char::from(b'a' + (place * 31 % 26) as u8)).collect()
}

fn streaming(options: Options) -> Scenario {
    let options = options.stream_above(ABOVE).maximum_packet_size(268_435_460);
    Scenario::connected_with(options, Default::default())
}

impl Scenario {
    /// The next message is streamed: it has this topic, and a payload that is this long.
    #[track_caller]
    fn expect_head(&mut self, topic: &str, len: usize) {
        let came = self.session.receive().map(|publish| (publish.topic.to_owned(), publish.payload.len()));
        assert_eq!(came, Some((topic.to_owned(), 0)));
        assert_eq!(self.session.payload_left(), Some(len as u64));
        self.go_on();
    }

    /// Takes so much of a payload as has come, and at most this much.
    fn take(&mut self, most: usize) -> String {
        let came = self.session.payload();
        let taken = String::from_utf8(came[..came.len().min(most)].to_vec()).unwrap();
        self.session.payload_taken(taken.len());
        self.go_on();
        taken
    }

    /// Takes all of a payload that comes.
    fn take_all(&mut self) -> String {
        let mut taken = String::new();
        loop {
            let some = self.take(usize::MAX);
            if some.is_empty() {
                return taken;
            }
            taken.push_str(&some);
        }
    }
}

#[test]
fn large_message_comes_as_a_head_and_a_payload_and_is_acknowledged_behind_it() {
    for qos in [QOS_0, QOS_1, QOS_2] {
        for pieces in [usize::MAX, 1000, 7] {
            let mut s = streaming(options());
            let payload = payload(200_000);
            s.network_delivers_pieces_of(pieces);
            s.broker_sends(publish(qos, u16::from(qos != QOS_0) * 7, "a", &payload));
            s.expect_head("a", payload.len());
            let first = s.take(199_999);
            s.expect_nothing_sent();
            let taken = first + &s.take_all();
            assert!(taken == payload);
            assert_eq!(s.session.payload_left(), None);
            match qos {
                QOS_0 => {}
                QOS_1 => s.expect_sent(puback(7)),
                QOS_2 => {
                    s.expect_sent(pubrec(7));
                    s.broker_sends(pubrel(7));
                    s.expect_sent(pubcomp(7));
                }
            }
            s.expect_usable();
        }
    }
}

#[test]
fn messages_that_are_not_larger_come_as_they_always_do() {
    let mut s = streaming(options());
    // Fixed header, Topic Name and Property Length have seven bytes.
    let (small, large) = (payload(1000 - 7), payload(1000 - 6));
    s.broker_sends_all(&[publish(QOS_0, 0, "a", &small), publish(QOS_0, 0, "a", &large), publish(QOS_0, 0, "b", "1")]);
    s.expect_message("a", &small);
    s.expect_head("a", large.len());
    s.expect_no_message();
    assert!(s.take_all() == large);
    s.expect_message("b", "1");
}

#[test]
fn what_is_behind_the_payload_waits_for_who_takes_it() {
    let mut s = streaming(options());
    let message = s.publish(QOS_1, "p", "1");
    s.expect_sent(publish(QOS_1, 1, "p", "1"));
    let payload = payload(2000);
    s.broker_sends_all(&[publish(QOS_1, 7, "a", &payload), puback(1), publish(QOS_1, 8, "b", "2")]);
    s.expect_head("a", payload.len());
    s.take(1999);
    s.expect_no_event();
    s.expect_no_message();
    s.take(1);
    s.expect_published(message, ReasonCode::Success);
    s.expect_message("b", "2");
    s.expect_sent_all(&[puback(7), puback(8)]);
}

#[test]
fn broker_waits_while_nobody_takes_the_payload() {
    for is_received in [false, true] {
        let mut s = streaming(options());
        let payload = payload(1_000_000);
        s.broker_sends(publish(QOS_0, 0, "a", &payload));
        if is_received {
            s.expect_head("a", payload.len());
        }
        assert!(!s.is_reading());
        assert!(payload.len() - s.unread() <= MOST_AHEAD, "{} are unread", s.unread());
        if !is_received {
            s.expect_head("a", payload.len());
        }
        assert!(s.take_all() == payload);
        assert!(s.is_reading());
        s.expect_usable();
    }
}

#[test]
fn message_is_acknowledged_by_hand_whenever_that_is() {
    let mut s = streaming(options());
    let payload = payload(2000);
    s.broker_sends(publish(QOS_1, 7, "a", &payload));
    let delivery = s.session.receive_unacknowledged().and_then(|(_, delivery)| delivery).expect("a QoS 1 message");
    assert!(s.take_all() == payload);
    s.expect_nothing_sent();
    assert!(s.acknowledge(delivery));
    s.expect_sent(puback(7));
    s.expect_usable();
}

#[test]
fn payload_that_is_given_up_is_skipped_and_then_acknowledged() {
    for is_by_hand in [false, true] {
        let mut s = streaming(options());
        let payload = payload(500_000);
        s.network_delivers(300_000);
        s.broker_sends(publish(QOS_1, 7, "a", &payload));
        let delivery = if is_by_hand {
            s.session.receive_unacknowledged().unwrap().1
        } else {
            s.expect_head("a", payload.len());
            None
        };
        s.take(1000);
        s.session.skip_payload();
        s.go_on();
        assert_eq!((s.session.payload_left(), s.session.payload().len()), (None, 0));
        s.expect_nothing_sent();
        s.network_flows();
        match delivery {
            None => s.expect_sent(puback(7)),
            Some(delivery) => {
                s.expect_nothing_sent();
                s.acknowledge(delivery);
                s.expect_sent(puback(7));
            }
        }
        s.expect_usable();
    }
}

#[test]
fn message_whose_connection_ends_within_it_comes_again() {
    for qos in [QOS_1, QOS_2] {
        for is_received in [false, true] {
            let mut s = streaming(options());
            let payload = payload(200_000);
            s.network_delivers(100_000);
            s.broker_sends(publish(qos, 7, "a", &payload));
            if is_received {
                s.expect_head("a", payload.len());
                s.take(70_000);
            }
            s.connection_is_lost();
            s.expect_disconnected(Error::ConnectionClosed);
            assert_eq!((s.session.payload_left(), s.session.payload().len()), (None, 0));
            s.expect_no_message();
            s.reconnected(true);
            s.broker_sends(resent(qos, 7, "a", &payload));
            s.expect_head("a", payload.len());
            assert!(s.take_all() == payload);
            s.expect_sent(if qos == QOS_1 { puback(7) } else { pubrec(7) });
        }
    }
}

#[test]
fn message_at_qos_2_is_received_exactly_once() {
    let mut s = streaming(options());
    let payload = payload(200_000);
    s.broker_sends(publish(QOS_2, 7, "a", &payload));
    s.expect_head("a", payload.len());
    assert!(s.take_all() == payload);
    s.expect_sent(pubrec(7));
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    s.reconnected(true);
    s.broker_sends_all(&[resent(QOS_2, 7, "a", &payload), publish(QOS_0, 0, "b", "1")]);
    // Who receives finds nothing of it, and the rest is skipped.
    s.expect_no_message();
    s.expect_sent(pubrec(7));
    s.expect_message("b", "1");
    s.broker_sends(pubrel(7));
    s.expect_sent(pubcomp(7));
    s.expect_usable();
}

#[test]
fn payload_that_had_come_as_a_whole_is_kept_at_qos_0() {
    for is_received in [false, true] {
        let mut s = streaming(options());
        let payload = payload(5000);
        s.broker_sends(publish(QOS_0, 0, "a", &payload));
        let mut taken = String::new();
        if is_received {
            s.expect_head("a", payload.len());
            taken = s.take(1000);
        }
        s.connection_is_lost();
        s.expect_disconnected(Error::ConnectionClosed);
        s.reconnected(false);
        s.broker_sends(publish(QOS_0, 0, "b", &payload));
        if is_received {
            s.expect_no_message();
            taken += &s.take_all();
            assert!(taken == payload);
        } else {
            s.expect_message("a", &payload);
        }
        s.expect_head("b", payload.len());
        assert!(s.take_all() == payload);
        s.expect_usable();
    }
}

#[test]
fn connection_lives_for_an_hour_in_which_nobody_takes_the_payload() {
    let mut s = streaming(options().keep_alive(60));
    let payload = payload(1_000_000);
    s.broker_sends(publish(QOS_1, 7, "a", &payload));
    s.expect_head("a", payload.len());
    let mut pings = 0;
    for _ in 0..60 {
        s.wait(secs(60));
        for sent in s.take_sent() {
            assert_eq!(sent, bytes(&Packet::Pingreq));
            pings += 1;
            // It is behind the payload.
            s.broker_sends(Packet::Pingresp);
        }
        s.expect_status(Status::Connected);
    }
    assert!(pings >= 59, "{pings} pings");
    assert!(s.take_all() == payload);
    s.expect_sent(puback(7));
    s.wait(secs(30));
    s.expect_status(Status::Connected);
    s.take_sent();
    s.leave_the_rest();
}

#[test]
fn connection_that_is_dead_within_a_payload_is_found() {
    let mut s = streaming(options().keep_alive(60));
    s.network_delivers(1500);
    s.broker_sends(publish(QOS_1, 7, "a", &payload(100_000)));
    s.expect_head("a", 100_000);
    s.take_all();
    s.wait(secs(200));
    s.take_sent();
    s.expect_disconnected(Error::KeepAliveTimeout);
}

#[test]
fn topic_alias_stands_for_the_topic() {
    let mut s = streaming(options().topic_alias_maximum(5));
    let payload = payload(5000);
    let aliased = |topic| {
        let properties = PublishProperties { topic_alias: Some(3), ..PublishProperties::default() };
        Packet::Publish(Publish { properties, ..message(QOS_0, 0, topic, &payload) })
    };
    s.broker_sends_all(&[aliased("a/b"), aliased("")]);
    for _ in 0..2 {
        s.expect_head("a/b", payload.len());
        assert!(s.take_all() == payload);
    }
    s.expect_usable();
}

#[test]
fn reply_comes_as_a_whole() {
    let mut s = streaming(options());
    s.try_request(&Publish::new("q", "1"), secs(10)).expect_err("it has not subscribed to replies");
    s.expect_subscribe(1, "replies/c");
    s.broker_sends(suback(1, &[ReasonCode::GrantedQos1]));
    let request = s.request(QOS_0, "q", "1", secs(10));
    let correlation = s.expect_request(Publish {
        properties: PublishProperties {
            response_topic: Some("replies/c"),
            message_expiry_interval: Some(10),
            ..PublishProperties::default()
        },
        ..Publish::new("q", "1")
    });
    let payload = payload(200_000);
    s.broker_sends(Packet::Publish(reply(QOS_0, 0, &correlation, &payload)));
    s.expect_replied(request, &payload);
    s.expect_usable();
}

#[test]
fn invalid_message_ends_the_connection_before_its_payload_comes() {
    let mut s = streaming(options());
    // A Topic Name with a null character.
    s.broker_sends_bytes(b"\x30\xFF\xFF\x3F\x00\x01\x00\x00");
    let events = s.take_events();
    assert!(matches!(events[..], [Event::Disconnected(Error::Malformed(_))]), "{events:?}");
    s.expect_sent(disconnect(ReasonCode::MalformedPacket));
}

#[test]
fn invalid_message_is_skipped_where_the_options_say_so() {
    let mut s = streaming(options().skip_refused_messages(true));
    let mut invalid = bytes(&publish(QOS_1, 7, "a", &payload(100_000)));
    let topic = invalid.iter().position(|byte| *byte == b'a').unwrap();
    invalid[topic] = 0;
    s.observer.broker_is_hostile = true;
    s.broker_sends_bytes(&invalid);
    s.broker_sends(publish(QOS_0, 0, "b", "1"));
    let events = s.take_events();
    assert!(matches!(events[..], [Event::MessageRefused { is_skipped: true, .. }]), "{events:?}");
    s.expect_sent(Packet::Puback(ack(7, ReasonCode::PayloadFormatInvalid)));
    s.expect_message("b", "1");
    s.leave_the_rest();
}

#[test]
fn message_above_the_maximum_packet_size_is_refused_as_always() {
    let mut s = Scenario::connected_with(options().stream_above(ABOVE).maximum_packet_size(5000), Default::default());
    s.broker_sends(publish(QOS_0, 0, "a", &payload(5000)));
    let events = s.take_events();
    assert!(matches!(events[..], [Event::Disconnected(Error::Malformed(_))]), "{events:?}");
    s.expect_sent(disconnect(ReasonCode::PacketTooLarge));
}

#[test]
fn receive_maximum_holds_for_streamed_messages() {
    let mut s = streaming(options().receive_maximum(1));
    s.broker_sends(publish(QOS_1, 7, "a", "1"));
    let (_, delivery) = s.receive_unacknowledged().expect("a message");
    s.observer.broker_is_hostile = true;
    s.broker_sends(publish(QOS_1, 8, "a", &payload(5000)));
    assert!(s.session.receive().is_none());
    s.go_on();
    s.expect_disconnected(Error::Protocol(ProtocolError::ReceiveMaximumExceeded));
    s.expect_sent(disconnect(ReasonCode::ReceiveMaximumExceeded));
    assert!(!s.acknowledge(delivery.unwrap()));
}

#[test]
fn snapshot_has_a_message_at_qos_2_only_once_all_of_it_was_taken() {
    let mut s = streaming(options());
    let payload = payload(5000);
    s.broker_sends(publish(QOS_2, 7, "a", &payload));
    s.expect_head("a", payload.len());
    let before = s.session.snapshot();
    assert!(s.take_all() == payload);
    let after = s.session.snapshot();
    s.expect_sent(pubrec(7));
    assert_eq!(after.len(), before.len() + 2, "an identifier");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// However the bytes come, and are taken: all messages arrive, in order.
    #[test]
    fn messages_arrive_in_order_however_they_come(
        sizes in prop::collection::vec(0_usize..100_000, 1..8),
        pieces in 1_usize..70_000,
        most in 1_usize..50_000,
        skips in prop::collection::vec(any::<bool>(), 8),
    ) {
        let mut s = streaming(options());
        s.network_delivers_pieces_of(pieces);
        let payloads: Vec<_> = sizes.iter().map(|size| payload(*size)).collect();
        let packets: Vec<_> =
            (1..).zip(&payloads).map(|(id, payload)| publish(QOS_1, id, "a", payload)).collect();
        s.broker_sends_all(&packets);
        for (payload, skips) in payloads.iter().zip(skips) {
            let came = s.session.receive().map(|publish| publish.payload.to_vec()).expect("a message");
            let Some(left) = s.session.payload_left() else {
                prop_assert!(came == payload.as_bytes());
                s.go_on();
                continue;
            };
            prop_assert_eq!(left, payload.len() as u64);
            if skips {
                s.session.skip_payload();
                s.go_on();
                continue;
            }
            let mut taken = String::new();
            while s.session.payload_left().is_some() {
                taken += &s.take(most);
            }
            prop_assert!(taken == *payload);
        }
        let acknowledged: Vec<_> = (1..).take(payloads.len()).map(|id| bytes(&puback(id))).collect();
        prop_assert_eq!(s.take_sent(), acknowledged);
        s.expect_usable();
    }
}
