//! How often a client connects to a broker that does not keep the connection.

use std::time::Duration;

use mqtt_wasi::codec::{ConnackProperties, Disconnect, Packet, PacketType, QoS, ReasonCode};
use mqtt_wasi::{Error, Event, Reconnect};

use crate::scenario::{ALL, Dial, Habits, Mode, SECOND, Scenario, options, unreachable};

const CLOSES_AT_SUBSCRIBE: Habits = Habits { closes_at: Some(PacketType::Subscribe), ..Habits::GOOD };

/// A client that connects by itself, and whose calls have this long.
fn persistent(mode: Mode, response_timeout: Duration, policy: Reconnect) -> Scenario {
    let options = options().response_timeout(response_timeout).reconnect(policy);
    let mut s = Scenario::connected_with(mode, options, Default::default());
    s.dialed.clear();
    s
}

/// How long each attempt was made after the one before.
fn delays(dialed: &[mqtt_wasi::Instant]) -> Vec<Duration> {
    dialed.windows(2).map(|two| two[1].saturating_duration_since(two[0])).collect()
}

/// Of how many connections that were closed the events tell.
fn told_of_closing(s: &mut Scenario) -> Vec<u32> {
    let events = std::iter::from_fn(|| s.engine.take_event(s.now()));
    let times = events.filter_map(|event| match event {
        Event::RepeatedlyClosed { times } => Some(times),
        _ => None,
    });
    times.collect()
}

#[test]
fn subscribing_ends_in_time_where_the_broker_closes_at_it() {
    for mode in ALL {
        let mut s = persistent(mode, 8 * SECOND, Reconnect::default());
        s.look_away(CLOSES_AT_SUBSCRIBE);
        let subscribing = s.subscribe("a");
        s.wait(Duration::from_millis(7_999));
        s.expect_pending(subscribing);
        s.wait(Duration::from_millis(1));
        s.expect_failed(subscribing, Error::NoConnectionInTime(Error::ConnectionClosed.into()));
        assert!((2..=8).contains(&s.dialed.len()), "attempts in 8 seconds: {}", s.dialed.len());
        // Nobody subscribes any more, and so the broker keeps the connection.
        s.dialed.clear();
        s.wait(60 * SECOND);
        assert!(s.dialed.len() <= 1);
        assert!(s.engine.is_connected());
        s.look_away(Habits::GOOD);
        let subscribing = s.subscribe("a");
        s.expect_subscribed(subscribing);
        assert_eq!(s.engine.kept(), 0);
        s.look_back();
    }
}

#[test]
fn attempts_grow_rare() {
    for mode in ALL {
        let mut s = persistent(mode, 600 * SECOND, Reconnect::default());
        s.look_away(CLOSES_AT_SUBSCRIBE);
        let subscribing = s.subscribe("a");
        s.wait(60 * SECOND);
        assert!((3..=12).contains(&s.dialed.len()), "attempts in a minute: {}", s.dialed.len());
        s.wait(539 * SECOND);
        s.expect_pending(subscribing);
        assert!((8..=40).contains(&s.dialed.len()), "attempts in ten minutes: {}", s.dialed.len());
        let longest = delays(&s.dialed).into_iter().max();
        assert!(longest > Some(10 * SECOND) && longest <= Some(60 * SECOND), "{longest:?}");
        s.wait(SECOND);
        s.expect_failed(subscribing, Error::NoConnectionInTime(Error::ConnectionClosed.into()));
        s.look_back();
    }
}

#[test]
fn attempts_to_reach_nobody_grow_rare() {
    for mode in ALL {
        for dial in [Dial::Fails, Dial::Hangs] {
            let mut s = persistent(mode, SECOND, Reconnect::default());
            s.look_away(Habits { dial, ..Habits::GOOD });
            s.broker_closes();
            s.wait(600 * SECOND);
            assert!((8..=40).contains(&s.dialed.len()), "attempts in ten minutes: {}", s.dialed.len());
            s.look_back();
        }
    }
}

#[test]
fn connection_that_lasted_makes_the_delays_begin_anew() {
    for mode in ALL {
        let policy = Reconnect { longest_delay: 30 * SECOND, ..Reconnect::default() };
        let mut s = persistent(mode, SECOND, policy);
        for _ in 0..10 {
            s.look_away(Habits { dial: Dial::Fails, ..Habits::GOOD });
            s.broker_closes();
            s.wait(300 * SECOND);
            s.look_away(Habits::GOOD);
            s.wait(30 * SECOND);
            assert!(s.engine.is_connected());
            s.wait(30 * SECOND);
            s.dialed.clear();
            s.broker_closes();
            assert_eq!(s.dialed.len(), 0, "not at once");
            s.wait(SECOND);
            assert_eq!(s.dialed.len(), 1, "the first delay is a second at the most");
            s.wait(30 * SECOND);
        }
        s.look_back();
    }
}

#[test]
fn connection_that_did_not_last_does_not() {
    for mode in ALL {
        let policy = Reconnect { longest_delay: 30 * SECOND, ..Reconnect::default() };
        let mut s = persistent(mode, SECOND, policy);
        s.look_away(Habits::GOOD);
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            s.broker_closes();
            let closed = s.now();
            s.wait(30 * SECOND);
            let dialed = *s.dialed.last().expect("an attempt within the longest delay");
            longest = longest.max(dialed.saturating_duration_since(closed));
            // It lasts for less than 30 seconds.
            assert!(s.engine.is_connected());
        }
        assert!(longest > 10 * SECOND, "{longest:?}");
        s.look_back();
    }
}

/// A second client with the same Client Identifier, at a broker that closes the first one's connection without a reason:
/// each takes the other's place as often as it connects.
#[test]
fn clients_that_throw_each_other_out_are_told_and_do_it_rarely() {
    for mode in ALL {
        let mut s = persistent(mode, SECOND, Reconnect::default());
        s.look_away(Habits::GOOD);
        let mut delays = Vec::new();
        for _ in 0..16 {
            s.wait(5 * SECOND);
            let closed = s.now();
            s.dialed.clear();
            s.broker_closes();
            while s.dialed.is_empty() {
                s.wait(SECOND);
            }
            delays.push(s.dialed[0].saturating_duration_since(closed));
        }
        let (first, later) = delays.split_at(3);
        assert!(first.iter().all(|delay| *delay <= 4 * SECOND), "as after any loss: {first:?}");
        assert!(later.iter().all(|delay| (30 * SECOND..=60 * SECOND).contains(delay)), "{later:?}");
        s.look_back();
        assert_eq!(told_of_closing(&mut s), [4, 8, 16]);
    }
}

#[test]
fn network_that_cuts_connections_that_lasted_is_no_other_client() {
    for mode in ALL {
        let mut s = persistent(mode, SECOND, Reconnect::default());
        s.look_away(Habits::GOOD);
        for _ in 0..10 {
            s.wait(90 * SECOND);
            assert!(s.engine.is_connected());
            s.broker_closes();
            s.wait(SECOND);
            assert!(s.engine.is_connected(), "the first delay is a second at the most");
        }
        s.look_back();
        assert!(told_of_closing(&mut s).is_empty());
    }
}

#[test]
fn reason_that_is_told_is_no_sign_of_another_client() {
    for mode in ALL {
        let mut s = persistent(mode, SECOND, Reconnect::default());
        s.look_away(Habits::GOOD);
        for _ in 0..10 {
            s.broker_sends(Packet::Disconnect(Disconnect::new(ReasonCode::ServerShuttingDown)));
            s.wait(60 * SECOND);
        }
        s.look_back();
        assert!(told_of_closing(&mut s).is_empty());
    }
}

#[test]
fn client_gives_up_after_as_many_attempts_as_it_is_told() {
    for mode in ALL {
        let policy = Reconnect { attempts: Some(2), ..Reconnect::default() };
        let mut s = persistent(mode, 60 * SECOND, policy);
        let message = s.publish(QoS::AtLeastOnce, "a", "1");
        s.take_sent();
        s.broker_closes();
        s.expect_closed();
        for _ in 0..2 {
            s.wait(2 * SECOND);
            s.expect_dial("a:1883");
            s.expect_pending(message);
            s.attempt_fails(unreachable());
        }
        s.expect_failed(message, unreachable());
        s.expect_event(Event::Disconnected(Error::ConnectionClosed));
        // Of the last one all calls tell.
        s.expect_event(Event::AttemptFailed { failures: 1, error: unreachable() });
        s.expect_no_event();
        let later = s.publish(QoS::AtLeastOnce, "a", "1");
        s.expect_failed(later, unreachable());
        s.wait(600 * SECOND);
        s.expect_no_dial();
    }
}

#[test]
fn failed_attempts_are_told_ever_less_often_while_they_fail_alike() {
    for mode in ALL {
        let mut s = persistent(mode, 60 * SECOND, Reconnect { longest_delay: 5 * SECOND, ..Reconnect::default() });
        s.broker_closes();
        s.expect_closed();
        s.expect_event(Event::Disconnected(Error::ConnectionClosed));
        for failures in 1..=9_u32 {
            s.wait(5 * SECOND);
            s.expect_dial("a:1883");
            s.attempt_fails(unreachable());
            if failures.is_power_of_two() {
                s.expect_event(Event::AttemptFailed { failures, error: unreachable() });
            }
            s.expect_no_event();
        }
        s.wait(5 * SECOND);
        s.expect_dial("a:1883");
        s.attempt_fails(Error::ConnectTimeout);
        s.expect_event(Event::AttemptFailed { failures: 10, error: Error::ConnectTimeout });
        s.wait(5 * SECOND);
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(true, ConnackProperties::default());
        s.expect_event(Event::Connected { session_present: true });
        // They are counted anew.
        s.broker_closes();
        s.expect_closed();
        s.expect_event(Event::Disconnected(Error::ConnectionClosed));
        s.wait(5 * SECOND);
        s.expect_dial("a:1883");
        s.attempt_fails(unreachable());
        s.expect_event(Event::AttemptFailed { failures: 1, error: unreachable() });
        s.expect_no_event();
        s.leave_the_rest();
    }
}
