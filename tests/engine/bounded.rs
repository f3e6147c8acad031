//! What users give up leaves nothing behind.

use std::task::Waker;

use mqtt_wasi::codec::{ConnackProperties, QoS};
use mqtt_wasi::engine::{Call, NextEvent, Operation, Overflow, Publishing, Requesting};
use mqtt_wasi::{Error, Event, Reconnect};

use crate::memory;
use crate::packets::{puback, publish};
use crate::scenario::{ALL, EVER, Habits, Mode, SECOND, Scenario, a_message, options};

/// Makes a call again and again, and gives it up each time; nothing more is kept in the end.
fn give_up<O: Operation>(s: &mut Scenario, mode: Mode, times: u32, operation: impl Fn(u64) -> O) {
    let waker = (mode != Mode::OneByOne).then_some(Waker::noop());
    let (kept, mut live) = (s.engine.kept(), 0);
    for round in 0..times {
        if round == times / 10 {
            live = memory::live();
        }
        let mut call = Call::new(operation(round.into()));
        let now = s.now();
        assert!(s.engine.poll_call(&mut call, waker, &mut || now).is_pending());
        if let Some(id) = call.id() {
            s.engine.cancel(id, s.now());
        }
    }
    assert_eq!(s.engine.kept(), kept);
    assert!(memory::live() - live < 16 * 1024, "{} bytes more", memory::live() - live);
}

#[test]
fn events_that_nobody_waits_for_any_more() {
    for mode in ALL {
        let mut s = Scenario::connected(mode);
        give_up(&mut s, mode, 100_000, |_| NextEvent { timeout: EVER });
        give_up(&mut s, mode, 100_000, |_| NextEvent { timeout: 10 * SECOND });
        s.expect_usable();
    }
}

#[test]
fn requests_that_are_given_up() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, options().outbound_limit(64), ConnackProperties::default());
        let first = s.request("first", SECOND);
        s.broker_grants("replies/c");
        s.expect_request("first");
        s.wait(SECOND);
        s.expect_failed(first, Error::Timeout);
        s.network_stalls();
        let request = a_message(QoS::AtMostOnce, "q", "");
        for timeout in [EVER, 10 * SECOND] {
            give_up(&mut s, mode, 100_000, |nonce| Requesting { request: &request, timeout, nonce });
        }
        assert_eq!(s.engine.stats().pending_requests, 0);
        s.network_flows();
        // Only those left for which there was room.
        assert!(s.take_sent().len() < 3);
        s.expect_usable();
    }
}

#[test]
fn messages_that_are_given_up_in_the_queue() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, options().in_flight_limit(1), ConnackProperties::default());
        let in_flight = s.publish(QoS::AtLeastOnce, "a", "1");
        s.expect_sent(publish(QoS::AtLeastOnce, 1, "a", "1"));
        let message = a_message(QoS::AtLeastOnce, "a", "2");
        give_up(&mut s, mode, 100_000, |_| Publishing(&message));
        s.broker_sends(puback(1));
        s.expect_published(in_flight);
        s.expect_usable();
    }
}

#[test]
fn listeners_that_come_and_go() {
    let mut s = Scenario::connected(Mode::Listeners);
    let mut live = 0;
    for round in 0..100_000 {
        if round == 1_000 {
            live = memory::live();
        }
        let listener = s.engine.open_listener(None, Overflow::default(), s.now());
        s.engine.close_listener(listener, s.now());
    }
    assert_eq!(s.engine.kept(), 0);
    assert!(memory::live() - live < 4096, "{} bytes more", memory::live() - live);
    s.expect_usable();
}

#[test]
fn listeners_to_filters_that_come_and_go() {
    let mut s = Scenario::connected(Mode::Listeners);
    s.look_away(Habits::GOOD);
    let mut live = 0;
    for round in 0..100_000 {
        if round == 1_000 {
            live = memory::live();
        }
        let filter = format!("a/{round}");
        let listener = s.engine.open_listener(Some(&filter), Overflow::default(), s.now());
        s.settle();
        s.close_listener(listener);
    }
    assert_eq!(s.engine.kept(), 0);
    assert!(memory::live() - live < 4096, "{} bytes more", memory::live() - live);
    s.look_back();
    s.expect_usable();
}

#[test]
fn listeners_that_come_and_go_while_there_is_no_connection() {
    let mut s = Scenario::new(Mode::Listeners, options());
    for _ in 0..100_000 {
        let listener = s.engine.open_listener(Some("a"), Overflow::default(), s.now());
        s.engine.close_listener(listener, s.now());
        assert!(s.engine.kept() <= 1);
    }
    for round in 0..2_000 {
        let listener = s.engine.open_listener(Some(&format!("a/{round}")), Overflow::default(), s.now());
        s.engine.close_listener(listener, s.now());
    }
    // The broker was never asked for any of them.
    assert!(s.engine.kept() <= 1, "{} are kept", s.engine.kept());
}

#[test]
fn events_that_nobody_asks_for() {
    for mode in ALL {
        let options = options().reconnect(Reconnect::default());
        let mut s = Scenario::connected_with(mode, options, ConnackProperties::default());
        s.look_away(Habits::GOOD);
        for _ in 0..1_000 {
            s.broker_closes();
            // Within the longest delay there is another, which then lasts as long.
            s.wait(121 * SECOND);
            assert!(s.engine.is_connected());
        }
        s.look_back();
        for _ in 0..512 {
            s.expect_event(Event::Disconnected(Error::ConnectionClosed));
            s.expect_event(Event::Connected { session_present: false });
        }
        s.expect_no_event();
    }
}
