//! Each call has a time of its own, and what came of it in time is told, whenever somebody asks.

use std::time::Duration;

use mqtt_wasi::Error;
use mqtt_wasi::codec::{Packet, QoS, ReasonCode, Subscription};
use mqtt_wasi::engine::Overflow;

use crate::packets::{bytes, disconnect, puback, publish, reply, suback};
use crate::scenario::{ALL, EVER, Mode, SECOND, Scenario, options};

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

fn hasty(mode: Mode) -> Scenario {
    Scenario::connected_with(mode, options().response_timeout(RESPONSE_TIMEOUT).in_flight_limit(1), Default::default())
}

#[test]
fn message_that_takes_longer_than_the_keep_alive_arrives() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, options().keep_alive(10), Default::default());
        let listener = (mode == Mode::Listeners).then(|| s.listen_to_everything(Overflow::default()));
        s.take_sent();
        // 6 MB in 55 seconds, and the answers to all pings behind them.
        let payload = "x".repeat(6_000_000);
        for piece in bytes(&publish(QoS::AtMostOnce, 0, "a", &payload)).chunks(6_000_000 / 55) {
            s.wait(SECOND);
            s.broker_sends_bytes(piece);
        }
        s.broker_sends(Packet::Pingresp);
        let pings = s.take_sent();
        assert!(!pings.is_empty() && pings.iter().all(|sent| *sent == bytes(&Packet::Pingreq)), "pings alone");
        let came = match listener {
            Some(listener) => s.take_message(listener).is_some(),
            None => s.receive() == Some(payload),
        };
        assert!(came);
        s.expect_usable();
    }
}

#[test]
fn answer_that_came_in_time_is_told_however_late_it_is_asked_for() {
    for mode in ALL {
        let mut s = hasty(mode);
        let request = s.request("q", RESPONSE_TIMEOUT);
        s.broker_grants("replies/c");
        let correlation = s.expect_request("q");
        let message = s.publish(QoS::AtLeastOnce, "a", "1");
        s.expect_sent(publish(QoS::AtLeastOnce, 2, "a", "1"));
        let subscribing = s.subscribe("a");
        let (packet_id, _) = s.expect_subscribe(Subscription::new("a", QoS::AtLeastOnce));
        s.users_leave();
        s.wait(RESPONSE_TIMEOUT - Duration::from_millis(1));
        s.broker_sends_all(&[
            puback(2),
            suback(packet_id, &[ReasonCode::GrantedQos1]),
            Packet::Publish(reply(QoS::AtMostOnce, 0, &correlation, "r")),
        ]);
        s.wait(100 * RESPONSE_TIMEOUT);
        s.users_return();
        s.expect_published(message);
        s.expect_subscribed(subscribing);
        s.expect_replied(request, "r");
    }
}

#[test]
fn answer_that_waits_to_be_read_when_time_is_up_came_in_time() {
    for mode in ALL {
        let mut s = hasty(mode);
        let message = s.publish(QoS::AtLeastOnce, "a", "1");
        s.expect_sent(publish(QoS::AtLeastOnce, 1, "a", "1"));
        s.driver_leaves();
        s.broker_sends(puback(1));
        s.wait(2 * RESPONSE_TIMEOUT);
        s.expect_pending(message);
        s.driver_returns();
        s.expect_published(message);
        s.expect_usable();
    }
}

#[test]
fn answer_that_comes_too_late_changes_nothing() {
    for mode in ALL {
        let mut s = hasty(mode);
        let message = s.publish(QoS::AtLeastOnce, "a", "1");
        s.expect_sent(publish(QoS::AtLeastOnce, 1, "a", "1"));
        s.users_leave();
        s.wait(RESPONSE_TIMEOUT);
        s.broker_sends(puback(1));
        s.users_return();
        s.expect_failed(message, Error::Timeout);
        s.expect_usable();
    }
}

#[test]
fn outcome_is_never_overwritten() {
    for mode in ALL {
        let mut s = hasty(mode);
        let subscribing = s.subscribe("a");
        let published = s.publish(QoS::AtLeastOnce, "a", "1");
        s.take_sent();
        s.users_leave();
        s.broker_sends(puback(2));
        s.wait(RESPONSE_TIMEOUT);
        s.broker_closes();
        s.expect_closed();
        s.stop(Error::Stopped);
        s.users_return();
        s.expect_published(published);
        s.expect_failed(subscribing, Error::Timeout);
    }
}

#[test]
fn each_call_ends_by_its_own_deadline() {
    for mode in ALL {
        let mut s = hasty(mode);
        let first = s.publish(QoS::AtLeastOnce, "a", "1");
        s.expect_sent(publish(QoS::AtLeastOnce, 1, "a", "1"));
        s.wait(4 * SECOND);
        let second = s.publish(QoS::AtLeastOnce, "a", "2");
        s.wait(Duration::from_millis(5_999));
        s.expect_pending(first);
        s.wait(Duration::from_millis(1));
        s.expect_failed(first, Error::Timeout);
        s.wait(Duration::from_millis(3_999));
        s.expect_pending(second);
        s.wait(Duration::from_millis(1));
        s.expect_failed(second, Error::Timeout);
        s.broker_sends(puback(1));
        s.expect_usable();
    }
}

#[test]
fn time_of_a_request_runs_while_it_waits_for_a_place() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, options().pending_request_limit(1), Default::default());
        let first = s.request("first", 2 * SECOND);
        s.broker_grants("replies/c");
        s.expect_request("first");
        let second = s.request("second", 3 * SECOND);
        let third = s.request("third", 3 * SECOND);
        s.wait(2 * SECOND);
        s.expect_failed(first, Error::Timeout);
        s.expect_request("second");
        s.wait(Duration::from_millis(999));
        s.expect_pending(second);
        s.wait(Duration::from_millis(1));
        s.expect_failed(second, Error::Timeout);
        // Its time was up as well when the place was free.
        s.expect_failed(third, Error::Timeout);
        s.wait(SECOND);
        assert_eq!(s.engine.stats().pending_requests, 0);
    }
}

#[test]
fn message_that_does_not_leave_in_time_fails() {
    for mode in ALL {
        let mut s = hasty(mode);
        s.network_stalls();
        let message = s.publish(QoS::AtMostOnce, "a", "0");
        let flushing = s.flush();
        s.wait(RESPONSE_TIMEOUT - Duration::from_millis(1));
        s.expect_pending(message);
        s.expect_pending(flushing);
        s.wait(Duration::from_millis(1));
        s.expect_failed(message, Error::Timeout);
        s.expect_failed(flushing, Error::Timeout);
        s.network_flows();
        // It was on its way.
        s.expect_sent(publish(QoS::AtMostOnce, 0, "a", "0"));
        s.expect_usable();
    }
}

#[test]
fn time_runs_while_there_is_no_connection() {
    for mode in ALL {
        let options = options().response_timeout(RESPONSE_TIMEOUT).reconnect(Default::default());
        let mut s = Scenario::connected_with(mode, options.connect_timeout(EVER), Default::default());
        let subscribing = s.subscribe("a");
        let message = s.publish(QoS::AtLeastOnce, "a", "1");
        s.take_sent();
        s.wait(4 * SECOND);
        s.broker_closes();
        s.expect_closed();
        let later = s.subscribe("b");
        s.wait(2 * SECOND);
        s.expect_dial("a:1883");
        s.wait(Duration::from_millis(3_999));
        s.expect_pending(subscribing);
        s.expect_pending(message);
        s.wait(Duration::from_millis(1));
        let in_vain = || Error::NoConnectionInTime(Error::ConnectionClosed.into());
        s.expect_failed(subscribing, in_vain());
        s.expect_failed(message, in_vain());
        s.expect_pending(later);
        s.wait(4 * SECOND);
        s.expect_failed(later, in_vain());
        assert_eq!(s.engine.kept(), 0);
        s.attempt_succeeds();
        s.broker_takes_connection(false, Default::default());
        // Nobody wants the subscriptions any more; a message that was on its way goes on.
        s.expect_sent(publish(QoS::AtLeastOnce, 2, "a", "1"));
        s.broker_sends(puback(2));
        s.expect_usable();
    }
}

#[test]
fn answer_that_came_before_the_end_of_the_connection_is_told() {
    for mode in ALL {
        let mut s = Scenario::connected(mode);
        let answered = s.publish(QoS::AtLeastOnce, "a", "1");
        let other = s.publish(QoS::AtLeastOnce, "a", "2");
        s.take_sent();
        s.broker_sends_all(&[puback(1), disconnect(ReasonCode::ServerBusy)]);
        s.expect_closed();
        s.expect_published(answered);
        s.expect_failed(other, Error::Disconnected(Box::new(ReasonCode::ServerBusy.into())));
    }
}

#[test]
fn waiting_for_an_event_ends_by_its_own_time() {
    for mode in ALL {
        let mut s = hasty(mode);
        let at_once = s.next_event(Duration::ZERO);
        s.expect_failed(at_once, Error::Timeout);
        let long = s.next_event(3 * SECOND);
        let short = s.next_event(SECOND);
        s.wait(SECOND);
        s.expect_failed(short, Error::Timeout);
        s.wait(Duration::from_millis(1_999));
        s.expect_pending(long);
        s.wait(Duration::from_millis(1));
        s.expect_failed(long, Error::Timeout);
    }
}
