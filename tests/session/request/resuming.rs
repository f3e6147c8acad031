//! Requests in another process, which goes on from a snapshot.

use mqtt_wasi::Options;
use mqtt_wasi::codec::Publish;
use mqtt_wasi::session::{Event, Snapshot};

use super::{GRANTED, QOS_0, QOS_1, TIMEOUT, WOULD_BLOCK, ask, ask_at, asking, dropped, replied};
use crate::packets::*;
use crate::scenario::{Scenario, options};

/// The process ends; another one goes on from the snapshot.
fn resumed(s: Scenario, options: Options, session_present: bool) -> Scenario {
    let snapshot = s.session.snapshot();
    s.leave_the_rest();
    let mut s = Scenario::new(options.resume(Snapshot::from_bytes(&snapshot).expect("what was just made")));
    s.takes_over(s.session.in_flight());
    assert_eq!(s.session.snapshot(), snapshot, "nothing was lost on the way");
    s.reconnected(session_present);
    s
}

#[test]
fn next_process_keeps_the_response_topic() {
    let mut s = resumed(asking(), options().response_topic("another"), true);
    assert_eq!(s.session.response_topic(), Some("replies/c"));
    let (asked, correlation) = ask(&mut s, "1");
    s.broker_sends(replied(QOS_0, 0, &correlation, "one"));
    s.expect_replied(asked, "one");
}

#[test]
fn next_process_restores_the_response_topic_if_the_broker_lost_the_session() {
    let mut s = resumed(asking(), options().restore_subscriptions(false), false);
    s.expect_subscribe(1, "replies/c");
    s.broker_sends(suback(1, &[GRANTED]));
    s.expect_no_event();
    ask(&mut s, "1");
}

#[test]
fn next_process_asks_for_the_response_topic_that_was_not_granted_before_the_snapshot() {
    let mut s = Scenario::connected();
    assert_eq!(s.try_request(&Publish::new("q", "1"), TIMEOUT), WOULD_BLOCK);
    s.take_sent();
    let mut s = resumed(s, options(), true);
    s.expect_nothing_sent();
    assert_eq!(s.try_request(&Publish::new("q", "1"), TIMEOUT), WOULD_BLOCK);
    s.expect_subscribe(1, "replies/c");
}

#[test]
fn replies_to_the_requests_of_an_earlier_process_are_dropped() {
    let mut s = asking();
    let earlier = ["1", "2", "3"].map(|payload| ask(&mut s, payload).1);
    let mut s = resumed(s, options(), true);
    // It counts from the beginning again, and so have requests the numbers of those before.
    let asked = ["4", "5", "6"].map(|payload| ask(&mut s, payload));
    for correlation in &earlier {
        s.broker_sends(replied(QOS_0, 0, correlation, "too late"));
    }
    s.expect_no_event();
    s.expect_no_message();
    let (late, unmatched) = dropped(&s);
    assert_eq!(late + unmatched, 3);
    for (request, correlation) in &asked {
        s.broker_sends(replied(QOS_0, 0, correlation, "in time"));
        s.expect_replied(*request, "in time");
    }
}

#[test]
fn request_in_flight_is_sent_again_by_the_next_process_which_waits_for_no_reply() {
    let mut s = asking();
    let (_, correlation) = ask_at(&mut s, QOS_1, 2, "1");
    let mut s = resumed(s, options(), true);
    assert_eq!(s.expect_request(Publish { dup: true, ..request(QOS_1, 2, "q", "1", 10) }), correlation);
    s.broker_sends_all(&[puback(2), replied(QOS_0, 0, &correlation, "one")]);
    let events = s.take_events();
    assert!(matches!(&events[..], [Event::Published { result: Ok(_), .. }]), "{events:?}");
    let (late, unmatched) = dropped(&s);
    assert_eq!(late + unmatched, 1);
}
