//! How a request ends that gets no reply.

use std::time::Duration;

use mqtt_wasi::codec::{ConnackProperties, Packet, ReasonCode};
use mqtt_wasi::session::{Event, OperationId, Status};
use mqtt_wasi::{CallError, Error};

use super::{QOS_0, QOS_1, QOS_2, TIMEOUT, ask, ask_at, asking, dropped, replied};
use crate::packets::*;
use crate::scenario::Scenario;

#[test]
fn request_ends_when_its_time_is_up() {
    let mut s = asking();
    let (asked, correlation) = ask(&mut s, "1");
    s.expect_deadline_in(TIMEOUT);
    s.wait(TIMEOUT - Duration::from_millis(1));
    s.expect_no_event();
    s.wait(Duration::from_millis(1));
    s.expect_unanswered(asked, Error::Timeout);
    s.expect_status(Status::Connected);
    s.broker_sends(replied(QOS_1, 7, &correlation, "one"));
    s.expect_sent(puback(7));
    s.expect_no_message();
    assert_eq!(dropped(&s), (1, 0));
}

#[test]
fn requests_end_in_the_order_of_their_deadlines() {
    let mut s = asking();
    let asked = [3, 1, 2].map(|seconds| s.request(QOS_0, "q", "1", Duration::from_secs(seconds)));
    s.take_sent();
    for (number, pending_requests) in [(1, 2), (2, 1), (0, 0)] {
        s.expect_deadline_in(Duration::from_secs(1));
        s.wait(Duration::from_secs(1));
        s.expect_unanswered(asked[number], Error::Timeout);
        assert_eq!(s.session.stats().pending_requests, pending_requests);
    }
}

#[test]
fn request_ends_in_time_without_a_connection() {
    let mut s = asking();
    let (asked, _) = ask(&mut s, "1");
    s.wait(Duration::from_secs(4));
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    s.expect_deadline_in(Duration::from_secs(6));
    s.wait(Duration::from_secs(6));
    s.expect_unanswered(asked, Error::Timeout);
}

#[test]
fn request_ends_in_time_while_the_next_connection_is_made() {
    let mut s = asking();
    let (asked, _) = ask(&mut s, "1");
    s.wait(Duration::from_secs(5));
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    s.connect();
    s.expect_connect();
    s.expect_deadline_in(Duration::from_secs(5));
    s.wait(Duration::from_secs(5));
    s.expect_unanswered(asked, Error::Timeout);
    s.expect_status(Status::Connecting);
}

#[test]
fn request_is_given_up_once() {
    let mut s = asking();
    let (asked, correlation) = ask(&mut s, "1");
    assert!(s.cancel_request(asked));
    assert!(!s.cancel_request(asked));
    s.broker_sends(replied(QOS_1, 7, &correlation, "one"));
    s.expect_sent(puback(7));
    s.wait(TIMEOUT);
    s.expect_no_event();
    assert_eq!(dropped(&s), (1, 0));
}

#[test]
fn request_that_has_ended_cannot_be_given_up() {
    let mut s = asking();
    let [(answered, correlation), (timed_out, _)] = ["1", "2"].map(|payload| ask(&mut s, payload));
    s.broker_sends(replied(QOS_0, 0, &correlation, "one"));
    s.expect_replied(answered, "one");
    s.wait(TIMEOUT);
    s.expect_unanswered(timed_out, Error::Timeout);
    assert!(!s.cancel_request(answered));
    assert!(!s.cancel_request(timed_out));
}

#[test]
fn acknowledged_request_goes_on_waiting_without_an_event() {
    let mut s = asking();
    let (one, first) = ask_at(&mut s, QOS_1, 2, "1");
    let (two, second) = ask_at(&mut s, QOS_2, 3, "2");
    s.broker_sends_all(&[puback(2), pubrec(3)]);
    s.expect_sent(pubrel(3));
    s.broker_sends(pubcomp(3));
    s.expect_no_event();
    assert_eq!(s.session.in_flight(), 0);
    s.broker_sends_all(&[replied(QOS_0, 0, &second, "two"), replied(QOS_0, 0, &first, "one")]);
    s.expect_replied(two, "two");
    s.expect_replied(one, "one");
}

/// Ends a request.
type End = fn(&mut Scenario, OperationId, &[u8]);

const ENDS: [End; 3] = [
    |s, asked, correlation| {
        s.broker_sends(replied(QOS_0, 0, correlation, "one"));
        s.expect_replied(asked, "one");
    },
    |s, asked, _| {
        s.wait(TIMEOUT);
        s.expect_unanswered(asked, Error::Timeout);
    },
    |s, asked, _| assert!(s.cancel_request(asked)),
];

#[test]
fn acknowledgement_that_comes_after_a_request_has_ended_is_no_event() {
    for end in ENDS {
        let mut s = asking();
        let (asked, correlation) = ask_at(&mut s, QOS_1, 2, "1");
        end(&mut s, asked, &correlation);
        s.broker_sends(puback(2));
        s.expect_no_event();
        let (asked, correlation) = ask_at(&mut s, QOS_2, 3, "2");
        s.broker_sends(pubrec(3));
        s.expect_sent(pubrel(3));
        end(&mut s, asked, &correlation);
        s.broker_sends(pubcomp(3));
        s.expect_no_event();
        s.expect_usable();
    }
}

#[test]
fn refusal_that_comes_after_a_request_has_ended_is_no_event() {
    for end in ENDS {
        let mut s = asking();
        let (asked, correlation) = ask_at(&mut s, QOS_1, 2, "1");
        end(&mut s, asked, &correlation);
        s.broker_sends(Packet::Puback(ack(2, ReasonCode::QuotaExceeded)));
        s.expect_no_event();
        s.expect_usable();
    }
}

#[test]
fn request_that_nobody_is_there_to_answer_ends_at_once() {
    let mut s = asking();
    let (asked, correlation) = ask_at(&mut s, QOS_1, 2, "1");
    s.broker_sends(Packet::Puback(ack(2, ReasonCode::NoMatchingSubscribers)));
    s.expect_unanswered(asked, Error::NoResponder);
    s.broker_sends(replied(QOS_0, 0, &correlation, "somebody came"));
    assert_eq!(dropped(&s), (1, 0));
}

#[test]
fn request_at_qos_2_that_nobody_is_there_to_answer_ends_at_once() {
    let mut s = asking();
    let (asked, _) = ask_at(&mut s, QOS_2, 2, "1");
    s.broker_sends(Packet::Pubrec(ack(2, ReasonCode::NoMatchingSubscribers)));
    s.expect_sent(pubrel(2));
    s.broker_sends(pubcomp(2));
    s.expect_unanswered(asked, Error::NoResponder);
}

#[test]
fn refused_request_ends_with_the_refusal() {
    let mut s = asking();
    let refused = || Error::PublishRefused(Box::new(ReasonCode::NotAuthorized.into()));
    let (asked, _) = ask_at(&mut s, QOS_1, 2, "1");
    s.broker_sends(Packet::Puback(ack(2, ReasonCode::NotAuthorized)));
    s.expect_unanswered(asked, refused());
    let (asked, _) = ask_at(&mut s, QOS_2, 3, "2");
    s.broker_sends(Packet::Pubrec(ack(3, ReasonCode::NotAuthorized)));
    s.expect_unanswered(asked, refused());
    s.expect_usable();
}

#[test]
fn request_that_the_next_broker_does_not_take_ends_with_the_reason() {
    let mut s = asking();
    let (asked, _) = ask_at(&mut s, QOS_2, 2, "1");
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    s.reconnected_with(true, ConnackProperties { maximum_qos: Some(QOS_1), ..Default::default() });
    s.expect_event(Event::MessageGivenUp { topic: "q".into(), attempts: 1 });
    s.expect_unanswered(asked, CallError::QosNotSupported { maximum: QOS_1 }.into());
}
