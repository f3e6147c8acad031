//! Listeners that do not keep up, and who suffers from that.

use std::time::Duration;

use mqtt_wasi::Error;
use mqtt_wasi::codec::{ConnackProperties, Packet, QoS};
use mqtt_wasi::engine::{ListenerId, Overflow};

use crate::packets::{disconnect, puback, publish, unsuback};
use crate::scenario::{Asked, Habits, Mode, SECOND, Scenario, options};

/// A client that reads a few kilobytes ahead at the most, with a listener that holds the broker back behind so many
/// messages.
fn listening(capacity: usize) -> (Scenario, ListenerId) {
    let options = options().backlog_limit(4096);
    let mut s = Scenario::connected_with(Mode::Listeners, options, ConnackProperties::default());
    let (listener, listening) = s.listen("a", Overflow::Wait(capacity));
    s.broker_grants("a");
    s.expect_subscribed(listening);
    (s, listener)
}

/// A message is published, and its answer is behind more messages than the client reads ahead.
fn answer_behind_messages(s: &mut Scenario) -> Asked {
    s.broker_sends(publish(QoS::AtMostOnce, 0, "a", "full"));
    let message = s.publish(QoS::AtLeastOnce, "b", "1");
    s.expect_sent(publish(QoS::AtLeastOnce, 2, "b", "1"));
    let payload = "x".repeat(1024);
    let large = publish(QoS::AtMostOnce, 0, "a", &payload);
    s.broker_sends_all(&[large; 64]);
    s.broker_sends(puback(2));
    s.expect_pending(message);
    message
}

fn reconnect(s: &mut Scenario) {
    let connecting = s.connect();
    s.expect_sent(disconnect(mqtt_wasi::codec::ReasonCode::NORMAL_DISCONNECTION));
    s.expect_closed();
    s.expect_dial("a:1883");
    s.attempt_succeeds();
    s.broker_takes_connection(false, ConnackProperties::default());
    s.expect_connected(connecting, false);
}

#[test]
fn call_whose_answer_is_behind_messages_fails_after_a_second() {
    let (mut s, _) = listening(1);
    let message = answer_behind_messages(&mut s);
    s.wait(Duration::from_millis(999));
    s.expect_pending(message);
    s.wait(Duration::from_millis(1));
    s.expect_failed(message, Error::AnswerBehindMessages);
    assert!(s.unread() > 0, "what is behind is left where it is");
}

#[test]
fn call_whose_answer_is_behind_messages_succeeds_if_they_are_taken() {
    let (mut s, listener) = listening(1);
    let message = answer_behind_messages(&mut s);
    s.wait(Duration::from_millis(999));
    assert_eq!(s.heard_by(listener).len(), 65);
    s.expect_published(message);
    s.expect_usable();
}

#[test]
fn later_calls_work_once_the_slow_listener_is_gone() {
    let (mut s, listener) = listening(1);
    let message = answer_behind_messages(&mut s);
    s.wait(SECOND);
    s.expect_failed(message, Error::AnswerBehindMessages);
    s.close_listener(listener);
    assert_eq!(s.unread(), 0);
    let packet_id = s.expect_unsubscribe("a");
    s.broker_sends(unsuback(packet_id, &[mqtt_wasi::codec::ReasonCode::Success]));
    s.expect_usable();
    let subscribing = s.subscribe("c");
    s.broker_grants("c");
    s.expect_subscribed(subscribing);
    reconnect(&mut s);
    s.broker_grants("c");
    s.expect_usable();
    assert_eq!(s.engine.kept(), 0);
}

#[test]
fn reconnecting_works_while_the_slow_listener_is_there() {
    let (mut s, listener) = listening(1);
    let message = answer_behind_messages(&mut s);
    s.wait(SECOND);
    s.expect_failed(message, Error::AnswerBehindMessages);
    reconnect(&mut s);
    // The broker has lost the session: what was in flight is sent again.
    s.broker_grants("a");
    s.expect_sent(publish(QoS::AtLeastOnce, 2, "b", "1"));
    s.heard_by(listener);
    s.broker_sends(puback(2));
    s.expect_usable();
}

#[test]
fn disconnecting_works_while_the_slow_listener_is_there() {
    let (mut s, _) = listening(1);
    let message = answer_behind_messages(&mut s);
    let disconnecting = s.disconnect();
    s.expect_sent(disconnect(mqtt_wasi::codec::ReasonCode::NORMAL_DISCONNECTION));
    s.expect_closed();
    s.expect_done(disconnecting);
    // It came in time, though nobody could get at it.
    assert!(s.take(message).is_err());
}

#[test]
fn reading_is_held_back_until_half_is_taken() {
    let (mut s, listener) = listening(4);
    let messages = ["1", "2", "3", "4"].map(|payload| publish(QoS::AtMostOnce, 0, "a", payload));
    s.broker_sends_all(&messages);
    assert_eq!(s.unread(), 0);
    s.broker_sends(publish(QoS::AtMostOnce, 0, "a", "5"));
    assert!(s.unread() > 0);
    assert_eq!(s.hear_one(listener).as_deref(), Some("1"));
    assert!(s.unread() > 0, "three of four wait");
    assert_eq!(s.hear_one(listener).as_deref(), Some("2"));
    assert_eq!(s.unread(), 0);
    s.broker_sends(publish(QoS::AtMostOnce, 0, "a", "6"));
    s.broker_sends(publish(QoS::AtMostOnce, 0, "a", "7"));
    assert!(s.unread() > 0, "it is full again");
    assert_eq!(s.heard_by(listener), ["3", "4", "5", "6", "7"]);
    s.expect_usable();
}

#[test]
fn connection_lasts_while_reading_is_held_back() {
    let mut s = Scenario::connected_with(Mode::Listeners, options().keep_alive(10), ConnackProperties::default());
    s.look_away(Habits::GOOD);
    let listener = s.listen_to_everything(Overflow::Wait(1));
    s.broker_sends(publish(QoS::AtMostOnce, 0, "a", "1"));
    s.broker_sends(publish(QoS::AtMostOnce, 0, "a", "2"));
    s.wait(300 * SECOND);
    assert!(s.engine.is_connected());
    assert_eq!(s.heard_by(listener), ["1", "2"]);
    s.wait(300 * SECOND);
    assert!(s.engine.is_connected());
    s.look_back();
}

#[test]
fn one_full_listener_holds_back_what_others_wait_for() {
    let (mut s, slow) = listening(1);
    let fast = s.listen_to_everything(Overflow::Wait(1024));
    s.broker_sends(publish(QoS::AtMostOnce, 0, "a", "1"));
    s.broker_sends(publish(QoS::AtMostOnce, 0, "b", "2"));
    assert_eq!(s.heard_by(fast), ["1"]);
    let bell = s.wait_for_message(fast);
    assert_eq!(s.heard_by(slow), ["1"]);
    assert_eq!(bell.rings(), 1);
    assert_eq!(s.heard_by(fast), ["2"]);
}

#[test]
fn who_waits_for_an_answer_has_reading_go_on() {
    let (mut s, listener) = listening(1);
    s.broker_sends(publish(QoS::AtMostOnce, 0, "a", "1"));
    s.broker_sends(publish(QoS::AtMostOnce, 0, "a", "2"));
    assert!(s.unread() > 0);
    let message = s.publish(QoS::AtLeastOnce, "b", "1");
    s.expect_sent(publish(QoS::AtLeastOnce, 2, "b", "1"));
    s.broker_sends(puback(2));
    s.expect_published(message);
    assert_eq!(s.heard_by(listener), ["1", "2"]);
}

#[test]
fn who_takes_messages_one_by_one_is_told_at_once_that_an_answer_is_behind_them() {
    let options = options().backlog_limit(4096);
    let mut s = Scenario::connected_with(Mode::OneByOne, options, ConnackProperties::default());
    let message = s.publish(QoS::AtLeastOnce, "b", "1");
    s.expect_sent(publish(QoS::AtLeastOnce, 1, "b", "1"));
    let payload = "x".repeat(1024);
    s.broker_sends_all(&[publish(QoS::AtMostOnce, 0, "a", &payload); 64]);
    s.broker_sends(puback(1));
    s.expect_failed(message, Error::AnswerBehindMessages);
    for _ in 0..64 {
        assert!(s.receive().is_some());
    }
    assert_eq!(s.receive(), None);
    s.expect_usable();
}

#[test]
fn who_takes_messages_beside_other_calls_has_a_second_to_do_so() {
    let options = options().backlog_limit(4096);
    let mut s = Scenario::connected_with(Mode::AtOnce, options, ConnackProperties::default());
    let message = s.publish(QoS::AtLeastOnce, "b", "1");
    s.expect_sent(publish(QoS::AtLeastOnce, 1, "b", "1"));
    let payload = "x".repeat(1024);
    s.broker_sends_all(&[publish(QoS::AtMostOnce, 0, "a", &payload); 64]);
    s.broker_sends(puback(1));
    for _ in 0..8 {
        s.wait(Duration::from_millis(999));
        s.expect_pending(message);
        assert!(s.receive().is_some());
    }
    s.wait(Duration::from_millis(999));
    s.expect_pending(message);
    s.wait(Duration::from_millis(1));
    s.expect_failed(message, Error::AnswerBehindMessages);
    let late = s.publish(QoS::AtLeastOnce, "b", "2");
    s.expect_sent(publish(QoS::AtLeastOnce, 2, "b", "2"));
    s.broker_sends(puback(2));
    s.wait(SECOND);
    s.expect_failed(late, Error::AnswerBehindMessages);
    while s.receive().is_some() {}
    s.expect_usable();
}

#[test]
fn message_that_waits_comes_once_though_its_connection_is_lost() {
    for session_present in [false, true] {
        let options = options().clean_start(false).session_expiry_interval(3600).reconnect(Default::default());
        let mut s = Scenario::connected_with(Mode::Listeners, options, ConnackProperties::default());
        let (listener, listening) = s.listen("a", Overflow::default());
        s.broker_grants("a");
        s.expect_subscribed(listening);
        let other = s.listen_to_everything(Overflow::default());
        s.broker_sends(publish(QoS::AtLeastOnce, 7, "a", "1"));
        s.broker_closes();
        s.expect_closed();
        s.wait(SECOND);
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(session_present, ConnackProperties::default());
        if session_present {
            s.broker_sends(crate::packets::resent(QoS::AtLeastOnce, 7, "a", "1"));
        } else {
            s.broker_grants("a");
        }
        assert_eq!(s.heard_by(listener), ["1"]);
        assert_eq!(s.heard_by(other), ["1"]);
        if session_present {
            s.expect_sent(puback(7));
        }
        s.expect_usable();
    }
}

#[test]
fn message_at_qos_2_is_not_acknowledged_before_its_user_has_it_though_its_connection_is_over() {
    for takes_in_between in [false, true] {
        let mut s = Scenario::connected(Mode::Listeners);
        let listener = s.listen_to_everything(Overflow::Wait(1));
        s.broker_sends_all(&["1", "2"].map(|text| publish(QoS::ExactlyOnce, text.parse().unwrap(), "a", text)));
        s.network_breaks();
        s.expect_closed();
        if takes_in_between {
            // What was acknowledged meanwhile does not come again.
            assert_eq!(s.heard_by(listener), ["1", "2"]);
        }
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(true, ConnackProperties::default());
        s.expect_connected(connecting, true);
        for text in ["1", "2"] {
            let id = text.parse().unwrap();
            s.broker_sends(crate::packets::resent(QoS::ExactlyOnce, id, "a", text));
            if !takes_in_between {
                s.expect_nothing_sent();
                assert_eq!(s.heard_by(listener), [text]);
            }
            s.expect_sent(crate::packets::pubrec(id));
        }
        assert_eq!(s.heard_by(listener), [""; 0]);
    }
}

#[test]
fn messages_that_are_dropped_are_acknowledged() {
    for overflow in [Overflow::DropOldest(2), Overflow::DropNewest(2)] {
        let mut s = Scenario::connected(Mode::Listeners);
        let (listener, listening) = s.listen("a", overflow);
        s.broker_grants("a");
        s.expect_subscribed(listening);
        let messages: Vec<Packet<'_>> =
            [(1, "1"), (2, "2"), (3, "3")].map(|(id, payload)| publish(QoS::AtLeastOnce, id, "a", payload)).into();
        s.broker_sends_all(&messages);
        assert_eq!(s.engine.dropped(listener), 1);
        let (kept, acknowledged): (_, [u16; 3]) = match overflow {
            Overflow::DropOldest(_) => (["2", "3"], [1, 2, 3]),
            _ => (["1", "2"], [1, 2, 3]),
        };
        assert_eq!(s.heard_by(listener), kept);
        s.expect_sent_all(&acknowledged.map(puback));
    }
}

#[test]
fn message_of_two_listeners_is_acknowledged_when_both_have_it() {
    let mut s = Scenario::connected(Mode::Listeners);
    let (one, listening) = s.listen("a", Overflow::default());
    s.broker_grants("a");
    s.expect_subscribed(listening);
    let other = s.listen_to_everything(Overflow::default());
    s.broker_sends(publish(QoS::AtLeastOnce, 1, "a", "1"));
    assert_eq!(s.heard_by(one), ["1"]);
    s.expect_nothing_sent();
    assert_eq!(s.heard_by(other), ["1"]);
    s.expect_sent(puback(1));
    // One that closes is done with it.
    s.broker_sends(publish(QoS::AtLeastOnce, 2, "a", "2"));
    assert_eq!(s.heard_by(one), ["2"]);
    s.close_listener(other);
    s.expect_sent(puback(2));
}
