//! Who waits for what, and in which order they get it.

use mqtt_wasi::codec::{ConnackProperties, Packet, QoS, ReasonCode, Subscription};
use mqtt_wasi::{CallError, Error, Reconnect};

use crate::packets::{bytes, puback, publish, reply, suback, unsuback};
use crate::scenario::{ALL, Asked, EVER, Habits, Mode, SECOND, Scenario, options};
use crate::token::{Token, auth, options_with, terms};

/// A client with one message in flight, and no room for another.
fn without_quota(mode: Mode) -> (Scenario, Asked) {
    let terms = ConnackProperties { receive_maximum: Some(1), ..terms() };
    let options = options_with(&Token::default()).response_timeout(10 * SECOND);
    let mut s = Scenario::connected_with(mode, options, terms);
    let in_flight = s.publish(QoS::AtLeastOnce, "a", "1");
    s.expect_sent(publish(QoS::AtLeastOnce, 1, "a", "1"));
    (s, in_flight)
}

/// A client with one request that waits for its reply, and no place for another; and its Correlation Data.
fn without_place(mode: Mode, timeout: std::time::Duration) -> (Scenario, Asked, Vec<u8>) {
    let mut s = Scenario::connected_with(mode, options().pending_request_limit(1), Default::default());
    let first = s.request("first", timeout);
    s.broker_grants("replies/c");
    let correlation = s.expect_request("first");
    (s, first, correlation)
}

fn reply_to(correlation: &[u8]) -> Packet<'_> {
    Packet::Publish(reply(QoS::AtMostOnce, 0, correlation, "r"))
}

#[test]
fn all_that_waits_to_be_sent_is_counted_whatever_its_size() {
    for mode in ALL {
        let mut s = Scenario::connected(mode);
        s.network_stalls();
        let large = "x".repeat(300_000);
        s.publish(QoS::AtMostOnce, "a", "1");
        s.publish(QoS::AtLeastOnce, "a", &large);
        s.publish(QoS::AtMostOnce, "a", "2");
        let packets = [
            publish(QoS::AtMostOnce, 0, "a", "1"),
            publish(QoS::AtLeastOnce, 1, "a", &large),
            publish(QoS::AtMostOnce, 0, "a", "2"),
        ];
        let bytes: usize = packets.iter().map(|packet| bytes(packet).len()).sum();
        assert_eq!(s.engine.outgoing(), bytes);
        s.network_takes(10_000);
        assert_eq!(s.engine.outgoing(), bytes - 10_000);
        s.network_flows();
        s.expect_sent_all(&packets);
        assert_eq!(s.engine.outgoing(), 0);
        s.leave_the_rest();
    }
}

#[test]
fn what_needs_no_quota_does_not_wait_for_it() {
    for mode in ALL {
        let (mut s, in_flight) = without_quota(mode);
        let waiting = s.publish(QoS::ExactlyOnce, "a", "2");
        s.expect_nothing_sent();
        let message = s.publish(QoS::AtMostOnce, "a", "0");
        s.expect_sent(publish(QoS::AtMostOnce, 0, "a", "0"));
        s.expect_published(message);
        let subscribing = s.subscribe("b");
        let (packet_id, _) = s.expect_subscribe(Subscription::new("b", QoS::AtLeastOnce));
        let unsubscribing = s.unsubscribe("c");
        let other_packet_id = s.expect_unsubscribe("c");
        let authenticating = s.authenticate();
        s.expect_sent(auth(ReasonCode::ReAuthenticate, "token"));
        s.broker_sends_all(&[
            auth(ReasonCode::Success, "trust me"),
            unsuback(other_packet_id, &[ReasonCode::Success]),
            suback(packet_id, &[ReasonCode::GrantedQos1]),
        ]);
        s.expect_done(authenticating);
        s.expect_unsubscribed(unsubscribing);
        s.expect_subscribed(subscribing);
        s.expect_pending(in_flight);
        s.expect_pending(waiting);
        s.leave_the_rest();
    }
}

#[test]
fn messages_are_sent_in_the_order_they_came() {
    for mode in ALL {
        let (mut s, in_flight) = without_quota(mode);
        let waiting = ["2", "3", "4"].map(|payload| s.publish(QoS::AtLeastOnce, "a", payload));
        s.expect_nothing_sent();
        s.broker_sends(puback(1));
        s.expect_published(in_flight);
        for (message, payload) in waiting.into_iter().zip(["2", "3", "4"]) {
            let sent = s.take_sent();
            assert_eq!(sent.len(), 1, "one at a time");
            let Packet::Publish(publish) = crate::scenario::decode(&sent[0]) else { panic!("PUBLISH") };
            assert_eq!(publish.payload, payload.as_bytes());
            s.expect_pending(message);
            s.broker_sends(puback(publish.packet_id.expect("QoS 1").get()));
            s.expect_published(message);
        }
        s.expect_usable();
    }
}

#[test]
fn nobody_is_woken_in_vain() {
    let (mut s, in_flight) = without_quota(Mode::Listeners);
    let waiting = [0; 100].map(|_| s.publish(QoS::AtLeastOnce, "a", "2"));
    s.expect_nothing_sent();
    s.look_away(Habits::GOOD);
    s.broker_sends(puback(1));
    s.expect_published(in_flight);
    for message in waiting {
        s.expect_published(message);
        assert_eq!(s.rings(message), 2, "once to be sent, and once since it was answered");
    }
    s.look_back();
}

#[test]
fn message_that_was_given_up_keeps_its_quota_until_it_is_acknowledged() {
    for mode in ALL {
        let (mut s, in_flight) = without_quota(mode);
        let waiting = s.publish(QoS::AtLeastOnce, "a", "2");
        s.cancel(in_flight);
        s.expect_nothing_sent();
        s.broker_sends(puback(1));
        s.expect_sent(publish(QoS::AtLeastOnce, 2, "a", "2"));
        s.broker_sends(puback(2));
        s.expect_published(waiting);
    }
}

#[test]
fn all_are_woken_for_whom_there_is_room() {
    for mode in ALL {
        let terms = ConnackProperties { receive_maximum: Some(3), ..ConnackProperties::default() };
        let mut s = Scenario::connected_with(mode, options(), terms);
        let messages = ["1", "2", "3", "4", "5", "6", "7"].map(|payload| s.publish(QoS::AtLeastOnce, "a", payload));
        s.take_sent();
        s.broker_sends_all(&[puback(1), puback(2), puback(3)]);
        messages[..3].iter().for_each(|message| s.expect_published(*message));
        s.expect_sent_all(&[
            publish(QoS::AtLeastOnce, 4, "a", "4"),
            publish(QoS::AtLeastOnce, 5, "a", "5"),
            publish(QoS::AtLeastOnce, 6, "a", "6"),
        ]);
        s.expect_nothing_sent();
        s.broker_sends_all(&[puback(5), puback(4), puback(6)]);
        messages[3..6].iter().for_each(|message| s.expect_published(*message));
        s.expect_sent(publish(QoS::AtLeastOnce, 7, "a", "7"));
        s.broker_sends(puback(7));
        s.expect_published(messages[6]);
    }
}

#[test]
fn request_that_waits_for_quota_keeps_no_other_from_its_place() {
    for mode in ALL {
        let (mut s, in_flight) = without_quota(mode);
        let first = s.request_at(QoS::AtLeastOnce, "first", EVER);
        s.broker_grants("replies/c");
        s.expect_nothing_sent();
        let second = s.request("second", EVER);
        let correlation = s.expect_request("second");
        s.broker_sends(reply_to(&correlation));
        s.expect_replied(second, "r");
        s.broker_sends(puback(1));
        s.expect_published(in_flight);
        let correlation = s.expect_request("first");
        s.broker_sends(reply_to(&correlation));
        s.expect_replied(first, "r");
    }
}

#[test]
fn nobody_overtakes_who_waits() {
    for mode in ALL {
        let (mut s, in_flight) = without_quota(mode);
        let waiting = s.publish(QoS::AtLeastOnce, "a", "2");
        // There is quota, and whose it is has not come for it.
        s.users_leave();
        s.broker_sends(puback(1));
        let later = s.publish(QoS::AtLeastOnce, "a", "3");
        let message = crate::scenario::a_message(QoS::AtLeastOnce, "a", "4");
        assert_eq!(s.engine.try_publish(&message), Err(CallError::WouldBlock.into()));
        s.expect_nothing_sent();
        s.users_return();
        s.expect_published(in_flight);
        s.expect_sent(publish(QoS::AtLeastOnce, 2, "a", "2"));
        s.broker_sends(puback(2));
        s.expect_published(waiting);
        s.expect_sent(publish(QoS::AtLeastOnce, 3, "a", "3"));
        s.broker_sends(puback(3));
        s.expect_published(later);
    }
}

#[test]
fn who_leaves_the_queue_makes_way() {
    for mode in ALL {
        for is_cancelled in [false, true] {
            let (mut s, in_flight) = without_quota(mode);
            s.wait(SECOND);
            let leaves = s.publish(QoS::AtLeastOnce, "a", "2");
            s.wait(SECOND);
            let stays = s.publish(QoS::AtLeastOnce, "a", "3");
            if is_cancelled {
                s.cancel(leaves);
                s.broker_sends(puback(1));
                s.expect_published(in_flight);
            } else {
                s.wait(9 * SECOND);
                s.expect_failed(in_flight, Error::Timeout);
                s.expect_failed(leaves, Error::Timeout);
                s.broker_sends(puback(1));
            }
            s.expect_sent(publish(QoS::AtLeastOnce, 2, "a", "3"));
            s.broker_sends(puback(2));
            s.expect_published(stays);
            s.expect_usable();
        }
    }
}

#[test]
fn who_leaves_the_queue_when_it_is_its_turn_makes_way() {
    for mode in ALL {
        let (mut s, in_flight) = without_quota(mode);
        let leaves = s.publish(QoS::AtLeastOnce, "a", "2");
        let stays = s.publish(QoS::AtLeastOnce, "a", "3");
        s.users_leave();
        s.broker_sends(puback(1));
        s.cancel(leaves);
        s.users_return();
        s.expect_published(in_flight);
        s.expect_sent(publish(QoS::AtLeastOnce, 2, "a", "3"));
        s.broker_sends(puback(2));
        s.expect_published(stays);
    }
}

#[test]
fn place_of_a_request_is_free_when_it_was_answered() {
    for mode in ALL {
        let (mut s, first, correlation) = without_place(mode, EVER);
        let second = s.request("second", EVER);
        let third = s.request("third", EVER);
        s.expect_nothing_sent();
        s.broker_sends(reply_to(&correlation));
        s.expect_replied(first, "r");
        let correlation = s.expect_request("second");
        s.expect_nothing_sent();
        s.broker_sends(reply_to(&correlation));
        s.expect_replied(second, "r");
        let correlation = s.expect_request("third");
        s.broker_sends(reply_to(&correlation));
        s.expect_replied(third, "r");
    }
}

#[test]
fn place_of_a_request_is_free_when_its_time_is_up() {
    for mode in ALL {
        let (mut s, first, correlation) = without_place(mode, SECOND);
        let second = s.request("second", EVER);
        s.wait(SECOND);
        s.expect_failed(first, Error::Timeout);
        let other_correlation = s.expect_request("second");
        s.broker_sends_all(&[reply_to(&correlation), reply_to(&other_correlation)]);
        s.expect_replied(second, "r");
        assert_eq!(s.engine.stats().late_replies, 1);
    }
}

#[test]
fn place_of_a_request_is_free_when_it_was_cancelled() {
    for mode in ALL {
        let (mut s, first, _) = without_place(mode, EVER);
        let second = s.request("second", EVER);
        let third = s.request("third", EVER);
        s.cancel(first);
        s.expect_request("second");
        s.cancel(second);
        let correlation = s.expect_request("third");
        s.broker_sends(reply_to(&correlation));
        s.expect_replied(third, "r");
    }
}

#[test]
fn place_of_a_request_is_free_when_its_connection_is_over_for_good() {
    for mode in ALL {
        let (mut s, first, _) = without_place(mode, EVER);
        let second = s.request("second", EVER);
        s.broker_closes();
        s.expect_closed();
        s.expect_failed(first, Error::ConnectionClosed);
        s.expect_failed(second, Error::ConnectionClosed);
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(false, ConnackProperties::default());
        s.expect_connected(connecting, false);
        s.broker_grants("replies/c");
        let third = s.request("third", EVER);
        let correlation = s.expect_request("third");
        s.broker_sends(reply_to(&correlation));
        s.expect_replied(third, "r");
    }
}

#[test]
fn requests_that_wait_for_their_response_topic_go_on_over_the_next_connection() {
    for mode in ALL {
        let options = options().reconnect(Reconnect::default());
        let mut s = Scenario::connected_with(mode, options, ConnackProperties::default());
        let requests = ["first", "second"].map(|payload| s.request(payload, EVER));
        s.expect_subscribe(Subscription::new("replies/c", QoS::AtLeastOnce));
        s.broker_closes();
        s.expect_closed();
        s.wait(SECOND);
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(false, ConnackProperties::default());
        s.broker_grants("replies/c");
        for (request, payload) in requests.into_iter().zip(["first", "second"]) {
            let correlation = s.expect_request(payload);
            s.broker_sends(reply_to(&correlation));
            s.expect_replied(request, "r");
        }
    }
}

#[test]
fn places_of_requests_are_free_again_though_the_connection_was_lost_meanwhile() {
    for mode in ALL {
        let options = options().reconnect(Reconnect::default()).pending_request_limit(1);
        let mut s = Scenario::connected_with(mode, options, ConnackProperties::default());
        let first = s.request("first", 5 * SECOND);
        s.broker_grants("replies/c");
        s.expect_request("first");
        let second = s.request("second", EVER);
        s.broker_closes();
        s.expect_closed();
        s.wait(SECOND);
        s.expect_dial("a:1883");
        s.wait(4 * SECOND);
        s.expect_failed(first, Error::NoConnectionInTime(Error::ConnectionClosed.into()));
        s.expect_pending(second);
        s.attempt_succeeds();
        s.broker_takes_connection(false, ConnackProperties::default());
        s.broker_grants("replies/c");
        let correlation = s.expect_request("second");
        s.broker_sends(reply_to(&correlation));
        s.expect_replied(second, "r");
    }
}

#[test]
fn message_that_is_too_large_for_the_room_there_is_waits_and_is_not_overtaken() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, options().outbound_limit(64), ConnackProperties::default());
        s.network_stalls();
        let first = s.publish(QoS::AtMostOnce, "a", &"1".repeat(40));
        let large = s.publish(QoS::AtMostOnce, "a", &"2".repeat(40));
        let small = s.publish(QoS::AtMostOnce, "a", "3");
        s.expect_pending(large);
        s.expect_pending(small);
        s.network_flows();
        for (message, payload) in [(first, "1".repeat(40)), (large, "2".repeat(40)), (small, "3".into())] {
            s.expect_sent(publish(QoS::AtMostOnce, 0, "a", &payload));
            s.expect_published(message);
        }
    }
}
