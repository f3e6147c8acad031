//! What happens in the field: brokers that come back otherwise than they went, poisonous messages, credentials that change
//! from one connection to the next, and first connections that take their time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use mqtt_wasi::codec::{Connack, ConnackProperties, Packet, QoS, ReasonCode};
use mqtt_wasi::engine::{Call, Publishing};
use mqtt_wasi::{
    CallError, ConnectAttempt, ConnectChanges, Error, Event, Options, Reconnect, TlsFailure, TransportErrorKind,
    WillMessage,
};

use crate::packets::{bytes, connack, puback, publish, resent};
use crate::scenario::{ALL, Dial, Habits, Mode, SECOND, Scenario, options, transport_failed, unreachable};

fn refused(reason_code: ReasonCode) -> Packet<'static> {
    Packet::Connack(Connack { reason_code, ..Connack::default() })
}

// ---------------------------------------------------------------------------------------------------------------------
// Every failed attempt is told

#[test]
fn call_that_waits_in_vain_for_a_connection_tells_why_there_is_none() {
    for mode in ALL {
        let options = options().response_timeout(300 * SECOND).reconnect(Reconnect::default());
        let mut s = Scenario::connected_with(mode, options, ConnackProperties::default());
        let message = s.publish(QoS::AtLeastOnce, "a", "1");
        s.take_sent();
        s.broker_closes();
        s.expect_closed();
        // It comes back with another certificate.
        let failure = transport_failed(TransportErrorKind::Tls(TlsFailure::UnknownIssuer));
        for _ in 0..3 {
            s.wait_for_dial("a:1883");
            s.attempt_fails(failure.clone());
        }
        let stats = s.engine.stats();
        assert_eq!((stats.failed_attempts, stats.last_failure), (3, Some("tls-unknown-issuer")));
        assert_eq!(s.engine.last_failure(), Some(&failure));
        let waiting = s.request("?", SECOND / 2);
        s.wait(SECOND / 2);
        s.expect_failed(waiting, Error::NoConnectionInTime(failure.clone().into()));
        s.look_away(Habits { dial: Dial::Hangs, ..Habits::GOOD });
        s.wait(300 * SECOND);
        let Err(error) = s.take(message) else { panic!("nobody has acknowledged it") };
        assert_eq!((error.name(), error.kind()), ("timeout", mqtt_wasi::ErrorKind::TimedOut));
        assert!(std::error::Error::source(&error).is_some());
        s.look_back();
        s.leave_the_rest();
    }
}

#[test]
fn cause_is_gone_with_the_next_connection() {
    for mode in ALL {
        let options = options().response_timeout(5 * SECOND).reconnect(Reconnect::default());
        let mut s = Scenario::connected_with(mode, options, ConnackProperties::default());
        assert_eq!(s.engine.last_failure(), None);
        s.broker_closes();
        s.expect_closed();
        assert_eq!(s.engine.last_failure(), Some(&Error::ConnectionClosed));
        s.wait_for_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(false, ConnackProperties::default());
        assert_eq!((s.engine.last_failure(), s.engine.stats().last_failure), (None, None));
        let message = s.publish(QoS::AtLeastOnce, "a", "1");
        s.take_sent();
        s.wait(5 * SECOND);
        s.expect_failed(message, Error::Timeout);
    }
}

#[test]
fn failed_attempts_are_told_of_rarely_also_where_brokers_fail_in_different_ways() {
    for mode in ALL {
        let options = options().fallback("mqtt://b").reconnect(Reconnect::default());
        let mut s = Scenario::connected_with(mode, options, ConnackProperties::default());
        s.broker_closes();
        s.expect_closed();
        let failures = [unreachable(), transport_failed(TransportErrorKind::UnknownHost)];
        for round in 0..64 {
            for (place, failure) in ["a:1883", "b:1883"].iter().zip(&failures) {
                // The first of them fails in turn in one way and another.
                let in_turn = if round % 2 == 0 { Error::ConnectTimeout } else { failure.clone() };
                let failure = if *place == "a:1883" { in_turn } else { failure.clone() };
                s.wait_for_dial(place);
                s.attempt_fails(failure);
            }
        }
        s.expect_event(Event::Disconnected(Error::ConnectionClosed));
        let mut told = Vec::new();
        while let Some(event) = s.engine.take_event(s.now()) {
            let Event::AttemptFailed { error, .. } = event else { panic!("{event:?}") };
            told.push(error);
        }
        for failure in [failures[0].clone(), failures[1].clone(), Error::ConnectTimeout] {
            let count = told.iter().filter(|error| **error == failure).count();
            assert!((4..=7).contains(&count), "{failure}: {count}");
        }
        assert_eq!(s.engine.stats().failed_attempts, 128);
        s.leave_the_rest();
    }
}

#[test]
fn refused_logins_are_told_of_by_their_reason_codes() {
    for mode in ALL {
        let options = options().reconnect(Reconnect::default());
        let mut s = Scenario::connected_with(mode, options, ConnackProperties::default());
        s.broker_closes();
        s.expect_closed();
        s.expect_event(Event::Disconnected(Error::ConnectionClosed));
        for code in [ReasonCode::ServerUnavailable, ReasonCode::ServerBusy, ReasonCode::ServerUnavailable] {
            s.wait_for_dial("a:1883");
            s.attempt_succeeds();
            s.expect_connect();
            s.broker_sends(refused(code));
            s.expect_closed();
            match s.engine.take_event(s.now()) {
                Some(event @ Event::AttemptFailed { .. }) => assert_eq!(event.code(), Some(code as u8)),
                other => panic!("{other:?}"),
            }
        }
        s.leave_the_rest();
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The first connection

#[test]
fn policy_does_not_cover_the_first_connection_by_default() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options().reconnect(Reconnect::default()));
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_fails(unreachable());
        s.expect_failed(connecting, unreachable());
        s.wait(600 * SECOND);
        s.expect_no_dial();
    }
}

#[test]
fn policy_can_cover_the_first_connection() {
    for mode in ALL {
        let policy = Reconnect { first_connect: Some(600 * SECOND), ..Reconnect::default() };
        let mut s = Scenario::new(mode, options().fallback("mqtt://b").reconnect(policy));
        let connecting = s.connect();
        for _ in 0..3 {
            for place in ["a:1883", "b:1883"] {
                s.wait_for_dial(place);
                s.attempt_fails(unreachable());
            }
            s.expect_pending(connecting);
        }
        s.wait_for_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(false, ConnackProperties::default());
        s.expect_connected(connecting, false);
        // Whoever has the client now is told.
        for failures in [1, 2, 4] {
            s.expect_event(Event::AttemptFailed { failures, error: unreachable() });
        }
        s.expect_no_event();
        s.expect_usable();
    }
}

#[test]
fn first_connection_has_its_time() {
    for mode in ALL {
        let policy = Reconnect { first_connect: Some(100 * SECOND), ..Reconnect::default() };
        let mut s = Scenario::new(mode, options().reconnect(policy));
        let connecting = s.connect();
        s.look_away(Habits { dial: Dial::Fails, ..Habits::GOOD });
        s.wait(Duration::from_millis(99_999));
        s.expect_pending(connecting);
        s.wait(Duration::from_millis(1));
        s.expect_failed(connecting, Error::NoConnectionInTime(unreachable().into()));
        s.leave_the_rest();
    }
}

#[test]
fn first_connection_ends_with_what_is_final_and_with_the_attempts() {
    for mode in ALL {
        let policy = Reconnect { first_connect: Some(Duration::MAX), ..Reconnect::default() };
        let mut s = Scenario::new(mode, options().reconnect(policy.clone()));
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.expect_connect();
        s.broker_sends(refused(ReasonCode::BadUserNameOrPassword));
        let Err(error) = s.take(connecting) else { panic!("it was refused") };
        assert_eq!(error.reason_code(), Some(ReasonCode::BadUserNameOrPassword));
        s.leave_the_rest();

        let mut s = Scenario::new(mode, options().reconnect(Reconnect { attempts: Some(2), ..policy }));
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_fails(unreachable());
        s.wait_for_dial("a:1883");
        s.attempt_fails(unreachable());
        s.expect_failed(connecting, unreachable());
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// What is final

#[test]
fn user_decides_which_failures_are_final() {
    for mode in ALL {
        let policy = Reconnect::default().retry_if(|error| {
            let is_refused = error.reason_code() == Some(ReasonCode::NotAuthorized);
            is_refused || *error == Error::ConnectionClosed
        });
        let mut s = Scenario::connected_with(mode, options().reconnect(policy), ConnackProperties::default());
        s.broker_closes();
        s.expect_closed();
        // Final by default.
        s.wait_for_dial("a:1883");
        s.attempt_succeeds();
        s.expect_connect();
        s.broker_sends(refused(ReasonCode::NotAuthorized));
        s.expect_closed();
        s.wait_for_dial("a:1883");
        // Not final by default.
        s.attempt_fails(unreachable());
        s.wait(600 * SECOND);
        s.expect_no_dial();
        assert_eq!(s.engine.require_open(), Err(unreachable()));
    }
}

#[test]
fn tls_options_that_cannot_be_used_are_final() {
    assert!(Reconnect::is_final_by_default(&transport_failed(TransportErrorKind::Tls(TlsFailure::Configuration))));
    assert!(!Reconnect::is_final_by_default(&transport_failed(TransportErrorKind::Tls(TlsFailure::UnknownIssuer))));
}

// ---------------------------------------------------------------------------------------------------------------------
// Before each attempt

/// Options that have the callback set a will with the next number, and note what it is told.
fn numbered(options: Options, told: &Arc<Mutex<Vec<ConnectAttempt>>>) -> Options {
    let (number, told) = (AtomicU32::new(0), Arc::clone(told));
    options.before_connect(move |attempt| {
        told.lock().unwrap().push(attempt.clone());
        let number = number.fetch_add(1, Ordering::Relaxed);
        let will = WillMessage::new("status", number.to_string());
        let password = Some(format!("token {number}").into_bytes());
        ConnectChanges { will: Some(Some(will)), password, ..ConnectChanges::default() }
    })
}

#[track_caller]
fn expect_number(s: &mut Scenario, number: u32) {
    let connect = s.expect_connect();
    let Some((Packet::Connect(connect), _)) = Packet::decode(&connect).unwrap() else { panic!("CONNECT") };
    let number = number.to_string();
    assert_eq!(connect.will.map(|will| will.payload), Some(number.as_bytes()));
    assert_eq!(connect.password, Some(format!("token {number}").as_bytes()));
}

#[test]
fn user_is_asked_before_each_attempt() {
    for mode in ALL {
        let told = Arc::default();
        let mut s = Scenario::new(mode, numbered(options().reconnect(Reconnect::default()), &told));
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        expect_number(&mut s, 0);
        s.broker_sends(connack(false, ConnackProperties::default()));
        s.expect_connected(connecting, false);
        s.broker_closes();
        s.expect_closed();
        s.wait_for_dial("a:1883");
        s.attempt_fails(unreachable());
        s.wait_for_dial("a:1883");
        s.attempt_succeeds();
        expect_number(&mut s, 2);
        s.broker_sends(connack(false, ConnackProperties::default()));
        s.expect_usable();
        let told = told.lock().unwrap();
        let told: Vec<_> = told.iter().map(|attempt| (attempt.failures, attempt.cause.clone())).collect();
        assert_eq!(told, [(0, None), (0, Some(Error::ConnectionClosed)), (1, Some(unreachable()))]);
    }
}

#[test]
fn user_is_asked_about_connections_of_its_own_too() {
    for mode in ALL {
        let told = Arc::default();
        let mut s = Scenario::of(mode, None, numbered(options(), &told));
        for number in 0..2 {
            s.attach();
            let connecting = s.wait_for_connection();
            expect_number(&mut s, number);
            s.broker_sends(connack(false, ConnackProperties::default()));
            s.expect_connected(connecting, false);
            s.broker_closes();
            s.expect_closed();
        }
        assert!(told.lock().unwrap().iter().all(|attempt| attempt.url.is_none()));
    }
}

#[test]
fn user_may_take_its_time_and_no_longer() {
    let told = Arc::default();
    let mut s = Scenario::new(Mode::Listeners, numbered(options().reconnect(Reconnect::default()), &told));
    s.authenticator_takes_its_time();
    let connecting = s.connect();
    s.expect_no_dial();
    s.wait(9 * SECOND);
    let asking = s.authentication.take().expect("what the user is asked");
    // Meanwhile the client wants something else: the answer is of no use any more.
    let again = s.connect();
    let asking_again = s.authentication.take().expect("the same again");
    let late = asking.run();
    s.engine.authenticated(late, s.now());
    s.settle();
    s.expect_no_dial();
    s.engine.authenticated(asking_again.run(), s.now());
    s.settle();
    s.expect_dial("a:1883");
    s.attempt_fails(unreachable());
    for call in [connecting, again] {
        s.expect_failed(call, unreachable());
    }
    let connecting = s.connect();
    s.wait(10 * SECOND);
    s.expect_failed(connecting, Error::ConnectTimeout);
    s.leave_the_rest();
}

#[test]
fn user_that_panics_or_says_what_cannot_be_sent_ends_it() {
    let options = options().reconnect(Reconnect::default());
    let mut s = Scenario::new(Mode::Listeners, options.clone().before_connect(|_| panic!("as it does")));
    s.authenticator_takes_its_time();
    let connecting = s.connect();
    s.authenticator_panics();
    let Err(error) = s.take(connecting) else { panic!("nobody has said anything") };
    assert_eq!(error.name(), "authentication-failed");
    s.leave_the_rest();

    for mode in ALL {
        let mut s = Scenario::new(
            mode,
            options.clone().before_connect(|_| {
                let will = WillMessage::new("status/#", "");
                ConnectChanges { will: Some(Some(will)), ..ConnectChanges::default() }
            }),
        );
        let connecting = s.connect();
        assert!(matches!(s.take(connecting), Err(Error::Call(CallError::InvalidOptions(_)))));
        s.expect_no_dial();
        s.leave_the_rest();
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Poison

/// A message at QoS 1 whose Topic Name has a null character.
const POISON: &[u8] = b"\x32\x07\x00\x02a\0\x00\x07\x00";

#[test]
fn message_that_comes_again_and_again_and_has_to_be_refused_ends_it() {
    for mode in ALL {
        let policy = Reconnect { refusals: 4, ..Reconnect::default() };
        let mut s = Scenario::connected_with(mode, options().reconnect(policy), ConnackProperties::default());
        for connection in 1..=4 {
            s.broker_sends_bytes(POISON);
            assert_eq!(s.receive_nothing(), None);
            s.take_sent();
            s.expect_closed();
            if connection < 4 {
                s.wait_for_dial("a:1883");
                s.attempt_succeeds();
                s.broker_takes_connection(true, ConnackProperties::default());
            }
        }
        s.wait(600 * SECOND);
        s.expect_no_dial();
        let error = s.engine.require_open().unwrap_err();
        assert_eq!(error.name(), "malformed");
        let mut told = Vec::new();
        while let Some(event) = s.engine.take_event(s.now()) {
            if let Event::MessageRefused { times, is_skipped: false, .. } = &event {
                assert_eq!((event.name(), event.topic(), event.code()), ("message-refused", Some("a\0"), Some(0x81)));
                assert!(event.to_string().contains("Topic Name, byte 4"), "{event}");
                told.push(*times);
            }
        }
        assert_eq!(told, [2, 4]);
        s.leave_the_rest();
    }
}

#[test]
fn connections_in_between_that_end_otherwise_begin_the_count_anew() {
    for mode in ALL {
        let policy = Reconnect { refusals: 2, ..Reconnect::default() };
        let mut s = Scenario::connected_with(mode, options().reconnect(policy), ConnackProperties::default());
        for _ in 0..5 {
            s.broker_sends_bytes(POISON);
            assert_eq!(s.receive_nothing(), None);
            s.take_sent();
            s.expect_closed();
            for closes in [true, false] {
                s.wait_for_dial("a:1883");
                s.attempt_succeeds();
                s.broker_takes_connection(true, ConnackProperties::default());
                if closes {
                    s.broker_closes();
                    s.expect_closed();
                }
            }
        }
        s.leave_the_rest();
    }
}

#[test]
fn message_is_skipped_and_told_of_if_the_options_say_so() {
    for mode in ALL {
        let options = options().skip_refused_messages(true);
        let mut s = Scenario::connected_with(mode, options, ConnackProperties::default());
        s.broker_sends_bytes(POISON);
        assert_eq!(s.receive_nothing(), None);
        s.expect_sent(Packet::Puback(crate::packets::ack(7, ReasonCode::PayloadFormatInvalid)));
        let event = s.engine.take_event(s.now()).expect("an event");
        assert_eq!((event.name(), event.cause()), ("message-skipped", Some("malformed")));
        s.expect_usable();
    }
}

#[test]
fn call_of_a_message_that_is_given_up_ends() {
    for mode in ALL {
        let options =
            options().reconnect(Reconnect::default()).attempts_per_message(2).response_timeout(3_600 * SECOND);
        let mut s = Scenario::connected_with(mode, options, ConnackProperties::default());
        let poison = s.publish(QoS::AtLeastOnce, "poison", "1");
        let behind = s.publish(QoS::AtLeastOnce, "behind", "2");
        for _ in 0..2 {
            s.take_sent();
            s.broker_closes();
            s.expect_closed();
            s.wait_for_dial("a:1883");
            s.attempt_succeeds();
            s.broker_takes_connection(true, ConnackProperties::default());
        }
        s.expect_failed(poison, Error::GivenUp { attempts: 2 });
        s.expect_sent(resent(QoS::AtLeastOnce, 2, "behind", "2"));
        s.broker_sends(puback(2));
        s.expect_published(behind);

        // By hand, too.
        let message = s.publish(QoS::ExactlyOnce, "a", "3");
        s.take_sent();
        let listed = s.engine.messages_in_flight();
        assert!(s.engine.give_up_message(listed[0].id, s.now()));
        s.wake_and_settle();
        s.expect_failed(message, Error::GivenUp { attempts: 1 });
        assert_eq!(s.engine.kept(), 0);
        s.expect_usable();
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Calls that may not wait

#[test]
fn call_that_may_not_wait_does_what_can_be_done_at_once() {
    for mode in ALL {
        let options = options().response_timeout(Duration::ZERO);
        let mut s = Scenario::connected_with(mode, options, ConnackProperties::default());
        let message = s.publish(QoS::AtMostOnce, "a", "0");
        s.expect_sent(publish(QoS::AtMostOnce, 0, "a", "0"));
        s.expect_published(message);
        let flushing = s.flush();
        s.expect_done(flushing);
        // It leaves, though its answer cannot be waited for.
        let message = s.publish(QoS::AtLeastOnce, "a", "1");
        s.expect_sent(publish(QoS::AtLeastOnce, 1, "a", "1"));
        s.expect_failed(message, Error::Timeout);
        s.broker_sends(puback(1));
        let messages = [crate::scenario::a_message(QoS::AtMostOnce, "a", "2"); 3];
        let all = s.publish_all(&messages);
        s.expect(all, crate::calls::Came::Batch(vec![Ok(ReasonCode::Success); 3]));
        s.take_sent();
        // What the network does not take at once does not leave.
        s.network_stalls();
        let message = s.publish(QoS::AtMostOnce, "a", "3");
        s.expect_failed(message, Error::Timeout);
        s.leave_the_rest();
    }
}

#[test]
fn call_that_may_not_wait_is_polled_twice_at_the_most() {
    let options = options().response_timeout(Duration::ZERO);
    let mut s = Scenario::connected_with(Mode::OneByOne, options, ConnackProperties::default());
    let message = crate::scenario::a_message(QoS::AtMostOnce, "a", "0");
    let mut call = Call::new(Publishing(&message));
    let now = s.now();
    assert!(s.engine.poll_call(&mut call, None, &mut || now).is_pending());
    let turn = s.engine.turn(now);
    assert_eq!(turn.outgoing, bytes(&publish(QoS::AtMostOnce, 0, "a", "0")));
    let sent = turn.outgoing.len();
    s.engine.turned(Ok(mqtt_wasi::transport::Transferred { sent, ..Default::default() }), now);
    assert!(matches!(s.engine.poll_call(&mut call, None, &mut || now), Poll::Ready(Ok(_))));
}
