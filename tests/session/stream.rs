//! Messages whose payload is streamed to the broker: one packet, given bit by bit.

use std::time::Duration;

use mqtt_wasi::codec::{ConnackProperties, Disconnect, Packet, Publish, PublishProperties, QoS, ReasonCode};
use mqtt_wasi::session::{Event, OperationId, Snapshot, Status};
use mqtt_wasi::{CallError, Error, Options, ProtocolError, StreamError};
use proptest::prelude::*;

use crate::packets::*;
use crate::scenario::{Scenario, options};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;
const QOS_2: QoS = QoS::ExactlyOnce;

/// As many bytes of a payload wait at most.
const MOST_WAITING: usize = 64 * 1024;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn payload(len: usize) -> String {
    (0..len).map(|place| char::from(b'a' + (place * 31 % 26) as u8)).collect()
}

impl Scenario {
    /// Begins to stream a message with a payload that is this long.
    fn stream(&mut self, qos: QoS, topic: &str, len: usize) -> OperationId {
        self.try_stream(&Publish::new(topic, "").qos(qos), len).expect("a message that can be streamed now")
    }

    fn try_stream(&mut self, publish: &Publish<'_>, len: usize) -> Result<OperationId, CallError> {
        let operation = self.session.publish_streamed(publish, len as u64);
        self.streamed(publish.qos, operation.as_ref().ok().copied());
        operation
    }

    /// Gives so much of a payload as there is room for.
    fn give(&mut self, bytes: &str) -> usize {
        let len = self.session.put_payload(bytes.as_bytes(), self.now());
        self.go_on();
        len
    }

    fn source_fails(&mut self, error: StreamError) {
        self.session.fail_payload(error);
        self.go_on();
    }

    /// Gives all of a payload, as room comes.
    fn give_all(&mut self, payload: &str) {
        let mut given = 0;
        while given < payload.len() {
            let len = self.give(&payload[given..]);
            assert!(len > 0, "there is room once what came before has left");
            given += len;
        }
    }

    #[track_caller]
    fn expect_stream_failed(&mut self, id: OperationId, error: StreamError) {
        self.expect_event(Event::Published { id, result: Err(Error::Stream(error)) });
    }
}

fn cut(cause: Error, may_have_arrived: bool) -> StreamError {
    StreamError::Cut { cause: cause.into(), may_have_arrived }
}

#[test]
fn payload_that_comes_bit_by_bit_is_one_packet() {
    for qos in [QOS_0, QOS_1, QOS_2] {
        for len in [0, 1, 10, 118, 119, 127, 128, 16_370, 16_390, 200_000] {
            let mut s = Scenario::connected();
            let payload = payload(len);
            let message = s.stream(qos, "a/b", len);
            s.give_all(&payload);
            s.expect_sent(publish(qos, u16::from(qos != QOS_0), "a/b", &payload));
            match qos {
                QOS_0 => {}
                QOS_1 => s.broker_sends(puback(1)),
                QOS_2 => {
                    s.broker_sends(pubrec(1));
                    s.expect_sent(pubrel(1));
                    s.broker_sends(pubcomp(1));
                }
            }
            s.expect_published(Some(message), ReasonCode::Success);
            s.expect_usable();
        }
    }
}

#[test]
fn payload_of_the_message_comes_before_what_is_streamed() {
    let mut s = Scenario::connected();
    let properties = PublishProperties { content_type: Some("text/plain"), ..PublishProperties::default() };
    let head = Publish::new("a", "head,").retain(true).properties(properties);
    let message = s.try_stream(&head, 4).unwrap();
    s.give_all("body");
    s.expect_sent(Packet::Publish(Publish { payload: b"head,body", ..head }));
    s.expect_published(Some(message), ReasonCode::Success);
}

#[test]
fn message_at_qos_0_is_done_once_all_of_it_is_sent() {
    let mut s = Scenario::connected();
    let message = s.stream(QOS_0, "a", 4);
    s.give("12");
    s.network_takes(1);
    s.give("34");
    s.expect_no_event();
    s.network_flows();
    s.expect_sent(publish(QOS_0, 0, "a", "1234"));
    s.expect_published(Some(message), ReasonCode::Success);
}

#[test]
fn nothing_else_is_sent_within_the_message_and_all_of_it_behind() {
    let mut s = Scenario::connected_with(options().keep_alive(60), Default::default());
    let message = s.stream(QOS_1, "a", 6);
    s.give("123");
    let other = s.publish(QOS_1, "b", "1");
    s.publish(QOS_0, "b", "2");
    s.broker_sends(publish(QOS_1, 7, "c", "3"));
    s.expect_message("c", "3");
    s.expect_nothing_sent();
    assert_eq!(s.waiting_to_be_sent(), 0, "what waits, waits behind the payload");
    s.give("456");
    s.expect_sent_all(&[
        publish(QOS_1, 1, "a", "123456"),
        publish(QOS_1, 2, "b", "1"),
        publish(QOS_0, 0, "b", "2"),
        puback(7),
    ]);
    s.broker_sends_all(&[puback(1), puback(2)]);
    s.expect_published(Some(message), ReasonCode::Success);
    s.expect_published(other, ReasonCode::Success);
    s.expect_usable();
}

#[test]
fn what_waits_behind_the_message_is_bounded() {
    let mut s = Scenario::connected_with(options().outbound_limit(1000), Default::default());
    let message = s.stream(QOS_0, "a", 1);
    let mut waiting = 0;
    while s.try_publish(&Publish::new("b", &payload(100))).is_ok() {
        waiting += 1;
        assert!(waiting < 20, "there is a bound");
    }
    assert!(waiting >= 8);
    s.give("1");
    assert_eq!(s.take_sent().len(), 1 + waiting);
    s.expect_published(Some(message), ReasonCode::Success);
    s.expect_usable();
}

#[test]
fn no_more_of_a_payload_is_taken_than_waits_to_be_sent() {
    let mut s = Scenario::connected();
    let payload = payload(1_000_000);
    let message = s.stream(QOS_0, "a", payload.len());
    s.network_stalls();
    assert_eq!(s.session.payload_room(), MOST_WAITING);
    assert_eq!(s.give(&payload), MOST_WAITING);
    assert_eq!(s.give(&payload[MOST_WAITING..]), 0);
    s.network_takes(10_000);
    assert_eq!(s.session.payload_room(), 10_000);
    s.network_flows();
    s.give_all(&payload[MOST_WAITING..]);
    assert_eq!(s.session.payload_room(), 0, "nothing is missing");
    s.expect_sent(publish(QOS_0, 0, "a", &payload));
    s.expect_published(Some(message), ReasonCode::Success);
}

#[test]
fn more_than_is_missing_is_not_taken() {
    let mut s = Scenario::connected();
    let message = s.stream(QOS_0, "a", 3);
    assert_eq!(s.give("1234567"), 3);
    assert_eq!(s.give("4567"), 0);
    s.expect_sent(publish(QOS_0, 0, "a", "123"));
    s.expect_published(Some(message), ReasonCode::Success);
    s.source_fails(StreamError::SourceFailed("too late".into()));
    s.expect_usable();
}

#[test]
fn one_message_at_a_time_is_streamed() {
    let mut s = Scenario::connected();
    let message = s.stream(QOS_1, "a", 1);
    assert_eq!(s.try_stream(&Publish::new("b", ""), 1), Err(CallError::WouldBlock));
    s.give("1");
    s.expect_sent(publish(QOS_1, 1, "a", "1"));
    let next = s.stream(QOS_1, "b", 1);
    s.give("2");
    s.expect_sent(publish(QOS_1, 2, "b", "2"));
    s.broker_sends_all(&[puback(1), puback(2)]);
    s.expect_published(Some(message), ReasonCode::Success);
    s.expect_published(Some(next), ReasonCode::Success);
}

#[test]
fn broker_that_takes_less_is_told_nothing() {
    let terms =
        ConnackProperties { maximum_packet_size: Some(1000), retain_available: Some(false), ..Default::default() };
    let mut s = Scenario::connected_with(options(), terms);
    let too_large = s.try_stream(&Publish::new("a", "").qos(QOS_1), 1000);
    assert!(matches!(too_large, Err(CallError::PacketTooLarge { .. })), "{too_large:?}");
    let retained = s.try_stream(&Publish::new("a", "").retain(true), 1);
    assert_eq!(retained, Err(CallError::RetainNotSupported));
    let message = s.stream(QOS_0, "a", 1000 - 7);
    s.give_all(&payload(993));
    s.expect_sent(publish(QOS_0, 0, "a", &payload(993)));
    s.expect_published(Some(message), ReasonCode::Success);
    s.expect_usable();
}

#[test]
fn packet_has_no_more_bytes_than_its_length_can_tell() {
    let mut s = Scenario::connected();
    for len in [268_435_455, u64::from(u32::MAX), u64::MAX] {
        let refused = s.session.publish_streamed(&Publish::new("a", ""), len);
        assert!(matches!(refused, Err(CallError::Invalid(_))), "{len}: {refused:?}");
    }
    // Topic Name and Property Length have four bytes.
    s.session.publish_streamed(&Publish::new("a", ""), 268_435_455 - 4).expect("the longest there is");
    assert_eq!(s.session.transmit(), b"\x30\xFF\xFF\xFF\x7F\x00\x01a\x00");
    s.leave_the_rest();
}

#[test]
fn receive_maximum_counts_streamed_messages_too() {
    let terms = ConnackProperties { receive_maximum: Some(1), ..Default::default() };
    let mut s = Scenario::connected_with(options(), terms);
    let message = s.stream(QOS_1, "a", 1);
    s.give("1");
    s.expect_sent(publish(QOS_1, 1, "a", "1"));
    assert_eq!(s.try_publish(&Publish::new("b", "2").qos(QOS_1)), Err(CallError::WouldBlock));
    assert_eq!(s.try_stream(&Publish::new("b", "").qos(QOS_1), 1), Err(CallError::WouldBlock));
    s.broker_sends(puback(1));
    s.expect_published(Some(message), ReasonCode::Success);
    s.expect_usable();
}

#[test]
fn topic_alias_stands_for_the_topic_of_a_streamed_message() {
    let terms = ConnackProperties { topic_alias_maximum: Some(5), ..Default::default() };
    let mut s = Scenario::connected_with(options().outbound_topic_aliases(5), terms);
    let topic = "a/topic/that/is/long";
    let aliased = |topic, payload: &'static str| {
        let properties = PublishProperties { topic_alias: Some(1), ..PublishProperties::default() };
        Packet::Publish(Publish::new(topic, payload).properties(properties))
    };
    for (sent, payload) in [(topic, "12"), ("", "34")] {
        let message = s.stream(QOS_0, topic, 2);
        s.give(payload);
        s.expect_sent(aliased(sent, payload));
        s.expect_published(Some(message), ReasonCode::Success);
    }
    // One that was put in as an alias behind a payload that never came gets its Topic Name back.
    let message = s.stream(QOS_0, "b", 2);
    s.publish(QOS_0, topic, "56");
    s.connection_is_lost();
    s.expect_stream_failed(message, cut(Error::ConnectionClosed, false));
    s.expect_disconnected(Error::ConnectionClosed);
    s.reconnected(true);
    s.expect_sent(publish(QOS_0, 0, topic, "56"));
}

#[test]
fn source_that_ends_early_ends_the_connection_without_a_disconnect() {
    for qos in [QOS_0, QOS_1, QOS_2] {
        let mut s = Scenario::connected();
        let other = s.publish(QOS_1, "b", "1");
        s.expect_sent(publish(QOS_1, 1, "b", "1"));
        let message = s.stream(qos, "a", 10);
        s.give("123");
        s.publish(QOS_0, "b", "2");
        let why = StreamError::SourceTooShort { missing: 7 };
        s.source_fails(why.clone());
        s.expect_stream_failed(message, why.clone());
        s.expect_disconnected(Error::Stream(why));
        s.expect_status(Status::Closing);
        assert_eq!(s.waiting_to_be_sent(), 0, "nothing can be sent within a packet");
        s.connection_is_lost();
        s.reconnected(true);
        s.expect_sent_all(&[resent(QOS_1, 1, "b", "1"), publish(QOS_0, 0, "b", "2")]);
        s.broker_sends(puback(1));
        s.expect_published(other, ReasonCode::Success);
        s.expect_usable();
    }
}

#[test]
fn message_that_was_cut_with_its_connection_is_not_sent_again() {
    for qos in [QOS_0, QOS_1, QOS_2] {
        for is_given in [false, true] {
            let mut s = Scenario::connected();
            let message = s.stream(qos, "a", 10);
            s.network_takes(3);
            if is_given {
                s.give("1234567890");
            }
            s.publish(QOS_0, "b", "2");
            let other = s.publish(QOS_1, "b", "3");
            s.connection_is_lost();
            s.expect_stream_failed(message, cut(Error::ConnectionClosed, false));
            s.expect_disconnected(Error::ConnectionClosed);
            s.reconnected(true);
            let id = if qos == QOS_0 { 1 } else { 2 };
            s.expect_sent_all(&[resent(QOS_1, id, "b", "3"), publish(QOS_0, 0, "b", "2")]);
            s.broker_sends(puback(id));
            s.expect_published(other, ReasonCode::Success);
            s.expect_usable();
        }
    }
}

#[test]
fn message_that_was_sent_and_not_acknowledged_may_have_arrived() {
    for qos in [QOS_1, QOS_2] {
        let mut s = Scenario::connected();
        let message = s.stream(qos, "a", 3);
        s.give("123");
        s.expect_sent(publish(qos, 1, "a", "123"));
        s.connection_is_lost();
        s.expect_stream_failed(message, cut(Error::ConnectionClosed, true));
        s.expect_disconnected(Error::ConnectionClosed);
        assert_eq!(s.session.in_flight(), 0);
        s.reconnected(true);
        s.expect_usable();
    }
}

#[test]
fn identifier_of_a_message_that_may_have_arrived_is_not_used_while_the_broker_has_the_session() {
    let mut s = Scenario::connected();
    let message = s.stream(QOS_2, "a", 3);
    s.give("123");
    s.expect_sent(publish(QOS_2, 1, "a", "123"));
    s.connection_is_lost();
    s.expect_stream_failed(message, cut(Error::ConnectionClosed, true));
    s.expect_disconnected(Error::ConnectionClosed);
    s.reconnected(true);
    assert!(!identifiers_used(&mut s).contains(&1));
}

/// The Packet Identifiers of so many messages that each identifier that may be is used again.
fn identifiers_used(s: &mut Scenario) -> Vec<u16> {
    let mut used = Vec::new();
    for _ in 0..200 {
        let message = s.publish(QOS_1, "u", "1");
        let sent = s.take_sent().remove(0);
        let Ok(Some((Packet::Publish(Publish { packet_id: Some(id), .. }), _))) = Packet::decode(&sent) else {
            panic!("PUBLISH")
        };
        s.broker_sends(puback(id.get()));
        s.expect_published(message, ReasonCode::Success);
        used.push(id.get());
    }
    used
}

#[test]
fn message_at_qos_2_is_completed_over_the_next_connection_once_the_broker_has_it() {
    let mut s = Scenario::connected();
    let message = s.stream(QOS_2, "a", 3);
    s.give("123");
    s.expect_sent(publish(QOS_2, 1, "a", "123"));
    s.broker_sends(pubrec(1));
    s.expect_sent(pubrel(1));
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    s.reconnected(true);
    s.expect_sent(pubrel(1));
    s.broker_sends(pubcomp(1));
    s.expect_published(Some(message), ReasonCode::Success);
    s.expect_usable();
}

#[test]
fn broker_that_refuses_the_message_is_heard() {
    for (qos, refusal) in [
        (QOS_1, Packet::Puback(ack(1, ReasonCode::QuotaExceeded))),
        (QOS_2, Packet::Pubrec(ack(1, ReasonCode::QuotaExceeded))),
    ] {
        let mut s = Scenario::connected();
        let message = s.stream(qos, "a", 3);
        s.give("123");
        s.expect_sent(publish(qos, 1, "a", "123"));
        s.broker_sends(refusal);
        let Some(Event::Published { id, result: Err(Error::PublishRefused(reason)) }) = s.take_events().pop() else {
            panic!("it is refused")
        };
        assert_eq!((id, reason.reason_code), (message, ReasonCode::QuotaExceeded));
        s.expect_usable();
    }
}

#[test]
fn acknowledgement_of_what_the_broker_cannot_have_breaks_the_protocol() {
    for (qos, packet) in [(QOS_1, puback(1)), (QOS_2, pubrec(1))] {
        let mut s = Scenario::connected();
        let message = s.stream(qos, "a", 3);
        s.give("1");
        let packet_type = packet.packet_type();
        s.broker_sends(packet);
        let error = Error::Protocol(ProtocolError::UnknownPacketId(packet_type));
        s.expect_stream_failed(message, cut(error.clone(), false));
        s.expect_disconnected(error);
        assert_eq!(s.waiting_to_be_sent(), 0, "there is no DISCONNECT within a packet");
    }
}

#[test]
fn broker_that_ends_the_connection_within_the_message_says_why() {
    let mut s = Scenario::connected();
    let message = s.stream(QOS_1, "a", 1_000_000);
    s.give("1");
    s.broker_sends(disconnect(ReasonCode::QuotaExceeded));
    let events = s.take_events();
    let [Event::Published { id, result: Err(failure) }, Event::Disconnected(_)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(*id, message);
    assert_eq!(failure.reason_code(), Some(ReasonCode::QuotaExceeded));
}

#[test]
fn message_that_is_given_up_within_it_ends_the_connection() {
    let mut s = Scenario::connected();
    let message = s.stream(QOS_1, "a", 3);
    s.give("1");
    let listed = s.session.messages_in_flight();
    assert_eq!((listed[0].message.topic.as_str(), listed[0].message.payload.len()), ("a", 0));
    assert!(s.give_up(listed[0].id));
    s.expect_stream_failed(message, StreamError::Abandoned);
    s.expect_disconnected(Error::Stream(StreamError::Abandoned));
    s.connection_is_lost();
    s.reconnected(true);
    s.expect_usable();
}

#[test]
fn disconnect_leaves_behind_the_message() {
    let mut s = Scenario::connected();
    let message = s.stream(QOS_0, "a", 3);
    s.give("12");
    s.disconnect(&Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).unwrap();
    s.expect_nothing_sent();
    s.give("3");
    s.expect_sent_all(&[publish(QOS_0, 0, "a", "123"), disconnect(ReasonCode::NORMAL_DISCONNECTION)]);
    s.expect_published(Some(message), ReasonCode::Success);
}

#[test]
fn snapshot_has_nothing_of_a_streamed_message_but_its_identifier() {
    let mut s = Scenario::connected();
    for (qos, payload) in [(QOS_1, "1"), (QOS_2, "2")] {
        s.stream(qos, "a", 1);
        s.give(payload);
    }
    s.publish(QOS_1, "b", "3");
    s.stream(QOS_2, "a", 1);
    s.publish(QOS_0, "b", "4");
    s.publish(QOS_2, "b", "5");
    let snapshot = s.session.snapshot();
    s.take_sent();
    s.leave_the_rest();
    let mut s = Scenario::new(options().resume(Snapshot::from_bytes(&snapshot).expect("what was just made")));
    s.takes_over(s.session.in_flight());
    assert_eq!(s.session.snapshot(), snapshot);
    s.reconnected(true);
    s.expect_sent_all(&[resent(QOS_1, 3, "b", "3"), resent(QOS_2, 5, "b", "5"), publish(QOS_0, 0, "b", "4")]);
    // The broker may have 2 and 4. 1 was at QoS 1, and its identifier is free.
    let used = identifiers_used(&mut s);
    assert!(used.contains(&1) && !used.contains(&2) && !used.contains(&4), "{used:?}");
    s.leave_the_rest();
}

/// A client with a Keep Alive of 60 seconds that has sent one of three bytes.
fn within_a_message() -> (Scenario, OperationId) {
    let mut s = Scenario::connected_with(options().keep_alive(60), Default::default());
    let message = s.stream(QOS_0, "a", 3);
    s.give("1");
    (s, message)
}

#[test]
fn slow_source_keeps_the_connection_as_long_as_the_keep_alive_allows() {
    let (mut s, message) = within_a_message();
    for byte in ["2", "3"] {
        s.expect_deadline_in(secs(60));
        s.wait(Duration::from_millis(59_999));
        s.expect_status(Status::Connected);
        s.give(byte);
    }
    s.expect_sent(publish(QOS_0, 0, "a", "123"));
    s.expect_published(Some(message), ReasonCode::Success);
    // Nothing was heard for so long that a ping is due at once.
    s.wait(secs(0));
    s.expect_sent(Packet::Pingreq);
    s.broker_sends(Packet::Pingresp);
    s.expect_usable();
}

#[test]
fn source_that_stalls_for_the_keep_alive_ends_the_connection() {
    let (mut s, message) = within_a_message();
    s.wait(secs(60));
    s.expect_stream_failed(message, StreamError::SourceStalled);
    s.expect_disconnected(Error::Stream(StreamError::SourceStalled));
    s.connection_is_lost();
    s.reconnected(true);
    s.expect_usable();
}

#[test]
fn source_may_stall_for_ever_without_a_keep_alive() {
    let mut s = Scenario::connected_with(options().keep_alive(0), Default::default());
    let message = s.stream(QOS_0, "a", 1);
    s.wait(secs(1_000_000));
    s.give("1");
    s.expect_sent(publish(QOS_0, 0, "a", "1"));
    s.expect_published(Some(message), ReasonCode::Success);
}

#[test]
fn ping_that_is_due_waits_behind_a_payload_that_moves() {
    let mut s = Scenario::connected_with(options().keep_alive(60), Default::default());
    let payload = payload(1000);
    let message = s.stream(QOS_0, "a", payload.len());
    // For 1,000 seconds a byte a second leaves, and nothing is heard.
    s.network_stalls();
    s.give(&payload);
    for _ in 0..1000 {
        s.wait(secs(1));
        s.network_takes(1);
        s.expect_status(Status::Connected);
    }
    s.network_flows();
    s.expect_sent_all(&[publish(QOS_0, 0, "a", &payload), Packet::Pingreq]);
    s.expect_published(Some(message), ReasonCode::Success);
    s.broker_sends(Packet::Pingresp);
    s.expect_usable();
}

#[test]
fn network_that_takes_nothing_of_a_payload_is_dead() {
    let (mut s, message) = within_a_message();
    s.network_stalls();
    s.give("2");
    s.wait(secs(100));
    s.expect_stream_failed(message, cut(Error::KeepAliveTimeout, false));
    s.expect_disconnected(Error::KeepAliveTimeout);
}

#[test]
fn ping_that_was_out_before_the_message_has_to_be_answered() {
    let mut s = Scenario::connected_with(options().keep_alive(60), Default::default());
    s.wait(secs(55));
    s.expect_sent(Packet::Pingreq);
    let message = s.stream(QOS_0, "a", 1000);
    // The source is slow, but gives, and nothing comes back.
    for _ in 0..20 {
        s.give("1");
        s.wait(secs(10));
    }
    s.expect_stream_failed(message, cut(Error::KeepAliveTimeout, false));
    s.expect_disconnected(Error::KeepAliveTimeout);
}

#[test]
fn network_has_its_time_after_a_source_that_stalled() {
    let mut s = Scenario::connected_with(options().keep_alive(60), Default::default());
    let message = s.stream(QOS_0, "a", 4);
    // A ping is due, and waits behind the payload.
    s.network_stalls();
    s.give("1");
    s.wait(secs(20));
    s.network_flows();
    s.wait(secs(40));
    s.network_stalls();
    s.give("2");
    s.wait(secs(25));
    s.expect_status(Status::Connected);
    s.network_flows();
    s.give("34");
    s.take_sent();
    s.expect_published(Some(message), ReasonCode::Success);
    s.broker_sends(Packet::Pingresp);
    s.expect_usable();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// However the payload comes, and the network takes it, and whatever else is sent meanwhile: all arrives, in order.
    #[test]
    fn packets_are_whole_and_in_order(
        len in 0_usize..150_000,
        moves in prop::collection::vec((0_u8..6, 0_usize..40_000), 1..60),
    ) {
        let mut s = Scenario::connected_with(Options::new().client_id("c").outbound_limit(100_000), Default::default());
        let payload = payload(len);
        s.network_stalls();
        let mut expected = vec![bytes(&publish(QOS_0, 0, "a", &payload))];
        s.stream(QOS_0, "a", len);
        let (mut given, mut packet_id) = (0, 0);
        for (what, size) in moves {
            match what {
                0 | 1 => given += s.give(&payload[given..(given + size).min(len)]),
                2 | 3 => s.network_takes(size),
                4 => {
                    let text = payload.get(..size / 100).unwrap_or_default();
                    if s.try_publish(&Publish::new("b", text)).is_ok() {
                        expected.push(bytes(&publish(QOS_0, 0, "b", text)));
                    }
                }
                _ => {
                    packet_id += 1;
                    s.broker_sends(publish(QOS_1, packet_id, "c", "1"));
                    s.expect_message("c", "1");
                    expected.push(bytes(&puback(packet_id)));
                }
            }
        }
        s.network_flows();
        s.give_all(&payload[given..]);
        prop_assert!(s.take_sent() == expected);
        s.take_events();
        s.expect_usable();
    }
}
