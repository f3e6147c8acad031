//! When the driver is gone, nobody waits for it.

use std::time::Duration;

use mqtt_wasi::codec::QoS;
use mqtt_wasi::engine::Overflow;
use mqtt_wasi::{CallError, Error};

use crate::calls::Came;
use crate::packets::publish;
use crate::scenario::{ALL, Asked, EVER, Mode, Scenario, a_message, options};
use crate::token::{Token, options_with, terms};

/// Something to ask for, and its name.
type Asking = (&'static str, fn(&mut Scenario) -> Asked);

/// What needs a connection, or something to happen to one.
const ASKING: [Asking; 12] = [
    ("publish at QoS 0", |s| s.publish(QoS::AtMostOnce, "a", "0")),
    ("publish at QoS 1", |s| s.publish(QoS::AtLeastOnce, "a", "1")),
    ("publish at QoS 2", |s| s.publish(QoS::ExactlyOnce, "a", "2")),
    ("flush", Scenario::flush),
    ("subscribe", |s| s.subscribe("a")),
    ("unsubscribe", |s| s.unsubscribe("a")),
    ("request", |s| s.request("q", EVER)),
    ("request at QoS 1", |s| s.request_at(QoS::AtLeastOnce, "q", EVER)),
    ("next event", |s| s.next_event(EVER)),
    ("authenticate", Scenario::authenticate),
    ("connect", Scenario::connect),
    ("wait for the connection", Scenario::wait_for_connection),
];

/// A client whose calls have all the time in the world.
fn patient(mode: Mode) -> Scenario {
    Scenario::connected_with(mode, options().response_timeout(EVER), Default::default())
}

#[test]
fn calls_that_wait_for_answers_end() {
    for mode in ALL {
        let mut s = patient(mode);
        let first = s.request("first", EVER);
        s.broker_grants("replies/c");
        s.expect_request("first");
        let second = s.request_at(QoS::AtLeastOnce, "second", EVER);
        let once = s.publish(QoS::AtLeastOnce, "a", "1");
        let exactly_once = s.publish(QoS::ExactlyOnce, "a", "2");
        let calls = [first, second, once, exactly_once, s.subscribe("a"), s.unsubscribe("b"), s.next_event(EVER)];
        s.take_sent();
        calls.iter().for_each(|call| s.expect_pending(*call));
        s.stop(Error::Stopped);
        for call in calls {
            s.expect_failed(call, Error::Stopped);
        }
    }
}

#[test]
fn calls_that_wait_for_room_end() {
    for mode in ALL {
        let options = options().response_timeout(EVER).in_flight_limit(1).outbound_limit(64).pending_request_limit(1);
        let mut s = Scenario::connected_with(mode, options, Default::default());
        let request = s.request("first", EVER);
        s.broker_grants("replies/c");
        s.expect_request("first");
        let in_flight = s.publish(QoS::AtLeastOnce, "a", "1");
        s.expect_sent(publish(QoS::AtLeastOnce, 2, "a", "1"));
        s.network_stalls();
        let fills_the_buffer = s.publish(QoS::AtMostOnce, "a", &"x".repeat(64));
        let calls = [
            request,
            in_flight,
            fills_the_buffer,
            s.publish(QoS::AtMostOnce, "a", "waits for room"),
            s.publish(QoS::ExactlyOnce, "a", "waits for quota"),
            s.request("waits for a place", EVER),
            s.subscribe("a"),
            s.unsubscribe("a"),
            s.flush(),
        ];
        calls.iter().for_each(|call| s.expect_pending(*call));
        s.stop(Error::Stopped);
        for call in calls {
            s.expect_failed(call, Error::Stopped);
        }
    }
}

#[test]
fn each_message_of_a_batch_has_its_result() {
    for mode in ALL {
        let mut s =
            Scenario::connected_with(mode, options().response_timeout(EVER).in_flight_limit(2), Default::default());
        let messages: Vec<_> = ["1", "2", "3", "4"].map(|payload| a_message(QoS::AtLeastOnce, "a", payload)).into();
        let batch = s.publish_all(&messages);
        s.expect_sent_all(&[publish(QoS::AtLeastOnce, 1, "a", "1"), publish(QoS::AtLeastOnce, 2, "a", "2")]);
        s.stop(Error::Stopped);
        s.expect(batch, Came::Batch(vec![Err(Error::Stopped); 4]));
        let batch = s.publish_all(&messages);
        s.expect(batch, Came::Batch(vec![Err(Error::Stopped); 4]));
    }
}

#[test]
fn calls_that_wait_for_a_connection_end() {
    for mode in ALL {
        for is_greeting in [false, true] {
            let mut s = Scenario::new(mode, options().response_timeout(EVER).connect_timeout(EVER));
            let connecting = s.connect();
            s.expect_dial("a:1883");
            if is_greeting {
                s.attempt_succeeds();
                s.expect_connect();
            }
            let mut calls: Vec<_> = ASKING
                .iter()
                // Another attempt would take the place of this one.
                .filter(|(name, _)| !["connect", "authenticate"].contains(name))
                .map(|(name, ask)| (*name, ask(&mut s)))
                .collect();
            calls.push(("connect", connecting));
            calls.iter().for_each(|(_, call)| s.expect_pending(*call));
            s.stop(Error::Stopped);
            for (name, call) in calls {
                assert_eq!(s.take(call), Err(Error::Stopped), "{name}");
            }
        }
    }
}

#[test]
fn calls_that_are_made_later_end_at_once() {
    for mode in ALL {
        let mut s = patient(mode);
        s.stop(Error::Stopped);
        for _ in 0..2 {
            for (name, ask) in ASKING {
                let call = ask(&mut s);
                assert_eq!(s.take(call), Err(Error::Stopped), "{name}");
            }
        }
        assert_eq!(s.engine.try_publish(&a_message(QoS::AtMostOnce, "a", "0")), Err(Error::Stopped));
        assert_eq!(s.engine.require_open(), Err(Error::Stopped));
        assert!(!s.engine.is_connected() && !s.engine.has_transport());
        let disconnecting = s.disconnect();
        s.expect_done(disconnecting);
        assert_eq!(s.engine.kept(), 0);
    }
}

#[test]
fn client_that_never_connected_is_stopped_too() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options());
        let call = s.publish(QoS::AtMostOnce, "a", "0");
        s.expect_failed(call, CallError::NotConnected);
        s.stop(Error::Stopped);
        for (name, ask) in ASKING {
            let call = ask(&mut s);
            assert_eq!(s.take(call), Err(Error::Stopped), "{name}");
        }
    }
}

#[test]
fn disconnecting_is_done() {
    for mode in ALL {
        let mut s = patient(mode);
        s.network_stalls();
        let disconnecting = s.disconnect();
        s.expect_pending(disconnecting);
        s.stop(Error::Stopped);
        s.expect_done(disconnecting);
    }
}

#[test]
fn authenticating_again_ends() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, options_with(&Token::default()).response_timeout(EVER), terms());
        let under_way = s.authenticate();
        s.take_sent();
        let waits = s.authenticate();
        s.expect_pending(under_way);
        s.expect_pending(waits);
        s.stop(Error::Stopped);
        s.expect_failed(under_way, Error::Stopped);
        s.expect_failed(waits, Error::Stopped);
    }
}

#[test]
fn listeners_are_woken_and_keep_what_came() {
    let mut s = patient(Mode::Listeners);
    let (listener, listening) = s.listen("a", Overflow::default());
    let identifier = s.broker_grants("a");
    assert!(identifier.is_some());
    s.expect_subscribed(listening);
    let everything = s.listen_to_everything(Overflow::default());
    s.broker_sends(publish(QoS::AtMostOnce, 0, "a", "1"));
    assert_eq!(s.heard_by(listener), ["1"]);
    let bell = s.wait_for_message(listener);
    s.stop(Error::Stopped);
    assert_eq!(bell.rings(), 1);
    assert_eq!(s.heard_by(listener), [""; 0]);
    assert_eq!(s.heard_by(everything), ["1"]);
}

#[test]
fn listener_that_waits_for_its_subscription_ends() {
    let mut s = patient(Mode::Listeners);
    let (_, listening) = s.listen("a", Overflow::default());
    s.take_sent();
    s.expect_pending(listening);
    s.stop(Error::Stopped);
    s.expect_failed(listening, Error::Stopped);
    let (_, listening) = s.listen("b", Overflow::default());
    s.expect_failed(listening, Error::Stopped);
}

#[test]
fn time_without_end_does_not_overflow() {
    for mode in ALL {
        let mut s = patient(mode);
        let request = s.request("q", EVER);
        s.broker_grants("replies/c");
        s.expect_request("q");
        let calls = [request, s.publish(QoS::AtLeastOnce, "a", "1"), s.subscribe("a"), s.next_event(EVER)];
        s.take_sent();
        s.wait(Duration::from_secs(250 * 365 * 24 * 3600));
        calls.iter().for_each(|call| s.expect_pending(*call));
        s.stop(Error::Stopped);
        for call in calls {
            s.expect_failed(call, Error::Stopped);
        }
    }
}

#[test]
fn attempt_that_makes_a_connection_later_is_none_of_its_business() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options());
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.stop(Error::Stopped);
        s.expect_failed(connecting, Error::Stopped);
        s.attempt_that_was_given_up_succeeds();
        assert!(!s.engine.has_transport());
        assert_eq!(s.engine.require_open(), Err(Error::Stopped));
    }
}

#[test]
fn authenticator_that_answers_later_begins_nothing() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options_with(&Token::default()));
        s.authenticator_takes_its_time();
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.stop(Error::Stopped);
        s.expect_failed(connecting, Error::Stopped);
        s.authenticator_answers();
        assert!(!s.engine.has_transport());
        assert_eq!(s.engine.require_open(), Err(Error::Stopped));
    }
}

#[test]
fn message_that_was_to_leave_with_the_next_turn_fails() {
    for mode in ALL {
        let mut s = patient(mode);
        s.users_leave();
        s.driver_leaves();
        let message = s.publish(QoS::AtMostOnce, "a", "0");
        s.stop(Error::Stopped);
        s.users_return();
        s.expect_failed(message, Error::Stopped);
    }
}
