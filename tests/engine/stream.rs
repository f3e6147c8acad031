//! Messages whose payload is streamed to the broker: the call, its time, and who waits for whom.

use std::time::Duration;

use mqtt_wasi::codec::{ConnackProperties, Publish, QoS, ReasonCode};
use mqtt_wasi::engine::{Overflow, PublishingStream};
use mqtt_wasi::{CallError, Error, Event, Reconnect, StreamError};

use crate::packets::{disconnect, puback, pubcomp, publish, pubrec, pubrel};
use crate::scenario::{ALL, Asked, Mode, SECOND, Scenario, kept, options};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

fn payload(len: usize) -> String {
    (0..len).map(|place| char::from(b'a' + (place * 31 % 26) as u8)).collect()
}

fn connected(mode: Mode) -> Scenario {
    Scenario::connected_with(mode, options().response_timeout(RESPONSE_TIMEOUT), ConnackProperties::default())
}

fn reconnecting(mode: Mode) -> Scenario {
    let options = options().session_expiry_interval(60).reconnect(Reconnect::default());
    Scenario::connected_with(mode, options.response_timeout(RESPONSE_TIMEOUT), ConnackProperties::default())
}

impl Scenario {
    fn stream(&mut self, qos: QoS, topic: &str, len: usize) -> Asked {
        let message: Box<Publish<'static>> = Box::new(Publish::new(kept::<str>(topic), "").qos(qos));
        self.ask(PublishingStream { message: kept(message), payload_len: len as u64 })
    }

    fn give(&mut self, asked: Asked, payload: &str) -> usize {
        let (id, now) = (self.call_id(asked), self.now());
        let len = id.map_or(0, |id| self.engine.put_payload(id, payload.as_bytes(), now));
        self.wake_and_settle();
        len
    }

    /// Gives all of a payload, as its user is woken for more.
    fn give_all(&mut self, asked: Asked, payload: &str) {
        let mut given = 0;
        while given < payload.len() {
            let len = self.give(asked, &payload[given..]);
            assert!(len > 0, "there is room once what came before has left");
            given += len;
        }
    }

    fn source_fails(&mut self, asked: Asked, error: StreamError) {
        let (id, now) = (self.call_id(asked).expect("a call that is under way"), self.now());
        self.engine.fail_payload(id, error, now);
        self.wake_and_settle();
    }
}

fn cut(cause: Error, may_have_arrived: bool) -> Error {
    Error::Stream(StreamError::Cut { cause: cause.into(), may_have_arrived })
}

#[test]
fn streamed_message_is_published_at_every_qos() {
    for mode in ALL {
        let mut s = connected(mode);
        let payload = payload(300_000);
        let message = s.stream(QOS_0, "a", payload.len());
        s.give_all(message, &payload);
        s.expect_sent(publish(QOS_0, 0, "a", &payload));
        s.expect_published(message);
        let message = s.stream(QOS_1, "a", payload.len());
        s.give_all(message, &payload);
        s.expect_sent(publish(QOS_1, 1, "a", &payload));
        s.expect_pending(message);
        s.broker_sends(puback(1));
        s.expect_published(message);
        let message = s.stream(QoS::ExactlyOnce, "a", payload.len());
        s.give_all(message, &payload);
        s.expect_sent(publish(QoS::ExactlyOnce, 2, "a", &payload));
        s.broker_sends(pubrec(2));
        s.expect_sent(pubrel(2));
        s.broker_sends(pubcomp(2));
        s.expect_published(message);
        s.expect_usable();
    }
}

#[test]
fn who_gives_the_payload_is_woken_when_there_is_room() {
    let mut s = connected(Mode::Listeners);
    let payload = payload(200_000);
    let message = s.stream(QOS_0, "a", payload.len());
    s.network_stalls();
    let mut given = s.give(message, &payload);
    assert_eq!(given, 64 * 1024);
    assert_eq!(s.give(message, &payload[given..]), 0);
    let rings = s.rings(message);
    s.network_takes(1000);
    assert_eq!(s.rings(message), rings, "so little room is not worth it");
    s.network_takes(40_000);
    assert_eq!(s.rings(message), rings + 1);
    s.network_flows();
    while given < payload.len() {
        given += s.give(message, &payload[given..]);
    }
    s.expect_sent(publish(QOS_0, 0, "a", &payload));
    s.expect_published(message);
}

#[test]
fn others_wait_for_the_streamed_message() {
    for mode in ALL {
        let mut s = connected(mode);
        let message = s.stream(QOS_0, "a", 2);
        s.give(message, "1");
        let next = s.stream(QOS_0, "b", 1);
        let other = s.publish(QOS_0, "c", "3");
        let flush = s.flush();
        s.expect_nothing_sent();
        assert_eq!(s.give(next, "x"), 0, "it is not its turn");
        s.give(message, "2");
        s.expect_sent_all(&[publish(QOS_0, 0, "a", "12"), publish(QOS_0, 0, "c", "3")]);
        s.expect_published(message);
        s.expect_published(other);
        s.expect_done(flush);
        s.give(next, "4");
        s.expect_sent(publish(QOS_0, 0, "b", "4"));
        s.expect_published(next);
        s.expect_usable();
    }
}

#[test]
fn messages_come_while_one_is_streamed() {
    let mut s = connected(Mode::Listeners);
    let listener = s.listen_to_everything(Overflow::default());
    let message = s.stream(QOS_0, "a", 2);
    s.give(message, "1");
    s.broker_sends(publish(QOS_1, 7, "b", "2"));
    assert_eq!(s.heard_by(listener), ["2"]);
    s.give(message, "3");
    s.expect_sent_all(&[publish(QOS_0, 0, "a", "13"), puback(7)]);
    s.expect_published(message);
}

#[test]
fn source_has_all_the_time_that_the_keep_alive_leaves_it() {
    for mode in ALL {
        let mut s = connected(mode);
        let message = s.stream(QOS_1, "a", 3);
        let waiting = s.stream(QOS_1, "b", 1);
        for byte in ["1", "2", "3"] {
            s.wait(20 * RESPONSE_TIMEOUT);
            s.give(message, byte);
        }
        s.expect_sent(publish(QOS_1, 1, "a", "123"));
        s.wait(RESPONSE_TIMEOUT - SECOND);
        s.broker_sends(puback(1));
        s.expect_published(message);
        s.give(waiting, "4");
        s.expect_sent(publish(QOS_1, 2, "b", "4"));
        s.wait(RESPONSE_TIMEOUT);
        s.expect_failed(waiting, Error::Timeout);
        // It is still in flight, as any other message.
        s.broker_sends(puback(2));
        s.expect_usable();
    }
}

#[test]
fn network_that_takes_nothing_in_time_fails_the_call_and_ends_the_connection() {
    for mode in ALL {
        let mut s = connected(mode);
        s.network_stalls();
        let message = s.stream(QOS_1, "a", 1_000_000);
        s.give(message, &payload(100_000));
        s.wait(RESPONSE_TIMEOUT);
        s.expect_failed(message, Error::Timeout);
        s.expect_closed();
        s.expect_event(Event::Disconnected(Error::Stream(StreamError::Abandoned)));
    }
}

#[test]
fn network_that_takes_a_little_at_a_time_is_waited_for() {
    for mode in ALL {
        let mut s = connected(mode);
        let payload = payload(1000);
        s.network_stalls();
        let message = s.stream(QOS_1, "a", payload.len());
        s.give(message, &payload);
        for _ in 0..100 {
            s.wait(RESPONSE_TIMEOUT - SECOND);
            s.network_takes(10);
        }
        s.network_flows();
        s.expect_sent(publish(QOS_1, 1, "a", &payload));
        s.broker_sends(puback(1));
        s.expect_published(message);
        s.expect_usable();
    }
}

#[test]
fn source_that_fails_ends_the_connection_and_the_client_makes_another() {
    for mode in ALL {
        for why in [StreamError::SourceFailed("gone".into()), StreamError::SourceTooShort { missing: 2 }] {
            let mut s = reconnecting(mode);
            let message = s.stream(QOS_1, "a", 3);
            s.give(message, "1");
            let other = s.publish(QOS_1, "b", "2");
            s.source_fails(message, why.clone());
            s.expect_failed(message, Error::Stream(why.clone()));
            s.expect_closed();
            s.expect_event(Event::Disconnected(Error::Stream(why)));
            s.wait_for_dial("a:1883");
            s.attempt_succeeds();
            s.broker_takes_connection(true, ConnackProperties::default());
            s.expect_event(Event::Connected { session_present: true });
            let sent = s.take_sent();
            assert_eq!(sent.len(), 1, "the other message: {sent:?}");
            s.broker_sends(puback(2));
            s.expect_published(other);
            s.expect_usable();
        }
    }
}

#[test]
fn call_that_is_given_up_within_its_message_ends_the_connection() {
    for mode in ALL {
        let mut s = reconnecting(mode);
        let message = s.stream(QOS_1, "a", 3);
        s.give(message, "1");
        s.cancel(message);
        s.expect_closed();
        s.expect_event(Event::Disconnected(Error::Stream(StreamError::Abandoned)));
        s.wait_for_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(true, ConnackProperties::default());
        s.expect_event(Event::Connected { session_present: true });
        s.expect_usable();
        assert_eq!(s.engine.kept(), 0);
    }
}

#[test]
fn call_that_is_given_up_before_or_behind_its_message_changes_nothing() {
    for mode in ALL {
        let mut s = connected(mode);
        let message = s.stream(QOS_1, "a", 1);
        let waiting = s.stream(QOS_1, "b", 1);
        s.cancel(waiting);
        s.give(message, "1");
        s.expect_sent(publish(QOS_1, 1, "a", "1"));
        s.cancel(message);
        s.broker_sends(puback(1));
        s.expect_usable();
        assert_eq!(s.engine.kept(), 0);
    }
}

#[test]
fn connection_that_ends_fails_the_call_though_the_client_makes_another() {
    for mode in ALL {
        for is_given in [false, true] {
            let mut s = reconnecting(mode);
            let message = s.stream(QOS_1, "a", 1);
            if is_given {
                s.give(message, "1");
                s.expect_sent(publish(QOS_1, 1, "a", "1"));
            }
            s.broker_closes();
            s.expect_failed(message, cut(Error::ConnectionClosed, is_given));
            s.expect_closed();
            s.expect_event(Event::Disconnected(Error::ConnectionClosed));
            s.wait_for_dial("a:1883");
            s.attempt_succeeds();
            s.broker_takes_connection(true, ConnackProperties::default());
            s.expect_event(Event::Connected { session_present: true });
            s.expect_usable();
        }
    }
}

#[test]
fn call_waits_for_a_connection_like_any_other() {
    for mode in ALL {
        let mut s = reconnecting(mode);
        s.broker_closes();
        s.expect_closed();
        let message = s.stream(QOS_1, "a", 1);
        assert_eq!(s.give(message, "1"), 0);
        s.wait_for_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(true, ConnackProperties::default());
        s.give(message, "1");
        s.expect_sent(publish(QOS_1, 1, "a", "1"));
        s.broker_sends(puback(1));
        s.expect_published(message);
        s.expect_event(Event::Disconnected(Error::ConnectionClosed));
        s.expect_event(Event::Connected { session_present: true });
        s.expect_usable();
    }
}

#[test]
fn message_that_the_broker_does_not_take_fails_at_once() {
    for mode in ALL {
        let terms = ConnackProperties { maximum_packet_size: Some(1000), ..ConnackProperties::default() };
        let mut s = Scenario::connected_with(mode, options(), terms);
        let message = s.stream(QOS_1, "a", 1000);
        assert!(matches!(s.take(message), Err(Error::Call(CallError::PacketTooLarge { .. }))));
        s.expect_usable();
    }
}

#[test]
fn disconnect_gives_the_message_the_time_that_it_has_itself() {
    for mode in ALL {
        let mut s = connected(mode);
        let message = s.stream(QOS_0, "a", 2);
        s.give(message, "1");
        let disconnecting = s.disconnect();
        s.wait(SECOND);
        s.expect_pending(disconnecting);
        s.give(message, "2");
        s.expect_sent_all(&[publish(QOS_0, 0, "a", "12"), disconnect(ReasonCode::NORMAL_DISCONNECTION)]);
        s.expect_done(disconnecting);
        s.expect_published(message);
        s.expect_closed();
    }
}

#[test]
fn disconnect_ends_within_a_message_that_takes_too_long() {
    for mode in ALL {
        for fails in [false, true] {
            let mut s = connected(mode);
            let message = s.stream(QOS_0, "a", 2);
            s.give(message, "1");
            let disconnecting = s.disconnect();
            if fails {
                s.source_fails(message, StreamError::SourceTooShort { missing: 1 });
                s.expect_failed(message, Error::Stream(StreamError::SourceTooShort { missing: 1 }));
                s.expect_failed(disconnecting, Error::ConnectionClosed);
            } else {
                s.wait(5 * SECOND);
                s.expect_failed(message, cut(Error::ConnectionClosed, false));
                s.expect_failed(disconnecting, Error::Timeout);
            }
            s.expect_closed();
            s.expect_nothing_sent();
        }
    }
}

#[test]
fn driver_that_stops_ends_the_call() {
    for mode in ALL {
        let mut s = connected(mode);
        let message = s.stream(QOS_0, "a", 2);
        s.give(message, "1");
        s.stop(Error::Stopped);
        let failure = s.take(message).unwrap_err();
        assert!(matches!(failure, Error::Stopped | Error::Stream(_)), "{failure:?}");
    }
}

#[test]
fn payload_that_was_given_takes_no_more() {
    let mut s = connected(Mode::Listeners);
    let message = s.stream(QOS_1, "a", 2);
    assert_eq!(s.give(message, "123"), 2);
    assert_eq!(s.give(message, "3"), 0);
    s.source_fails(message, StreamError::SourceFailed("too late".into()));
    s.expect_sent(publish(QOS_1, 1, "a", "12"));
    s.broker_sends(puback(1));
    s.expect_published(message);
    s.expect_usable();
}
