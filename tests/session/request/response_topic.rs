//! Which Response Topic a client takes, and what becomes of it if the broker does not grant it.

use mqtt_wasi::codec::{ConnackProperties, Publish, ReasonCode};
use mqtt_wasi::{CallError, Options};

use super::{GRANTED, QOS_0, TIMEOUT, WOULD_BLOCK, ask, asking, replied};
use crate::packets::*;
use crate::scenario::{Scenario, options};

/// Which Response Topic a client with these options takes, whose broker takes the connection on these terms.
fn response_topic(options: Options, terms: ConnackProperties<'_>) -> String {
    let mut s = Scenario::connected_with(options, terms);
    assert_eq!(s.try_request(&Publish::new("q", "1"), TIMEOUT), WOULD_BLOCK);
    let topic = s.session.response_topic().expect("a request was made").to_owned();
    s.expect_subscribe(1, &topic);
    topic
}

fn information(response_information: &str) -> ConnackProperties<'_> {
    ConnackProperties { response_information: Some(response_information), ..Default::default() }
}

#[test]
fn response_topic_of_the_options_comes_first() {
    let options = options().response_topic("mine/replies");
    assert_eq!(response_topic(options.clone(), ConnackProperties::default()), "mine/replies");
    assert_eq!(response_topic(options, information("theirs")), "mine/replies");
}

#[test]
fn response_topic_begins_as_the_broker_says() {
    let options = options().request_response_information(true);
    for information_of_broker in ["their/replies", "their/replies/"] {
        assert_eq!(response_topic(options.clone(), information(information_of_broker)), "their/replies/c");
    }
}

#[test]
fn response_information_that_makes_no_topic_name_is_ignored() {
    for wrong in ["their/#", "their/+/replies", "#"] {
        assert_eq!(response_topic(options(), information(wrong)), "replies/c");
    }
}

#[test]
fn response_topic_has_the_client_identifier_that_the_broker_assigned() {
    let terms = ConnackProperties { assigned_client_identifier: Some("auto-1"), ..Default::default() };
    assert_eq!(response_topic(Options::new(), terms), "replies/auto-1");
}

#[test]
fn response_topic_has_no_character_that_means_something_to_a_broker() {
    for (client_id, topic) in [
        ("Thermometer-7", "replies/Thermometer-7"),
        ("a/b", "replies/a_2Fb"),
        ("+#$*.", "replies/_2B_23_24_2A_2E"),
        ("a_2Fb", "replies/a_5F2Fb"),
        ("grün", "replies/gr_C3_BCn"),
    ] {
        assert_eq!(response_topic(options().client_id(client_id), ConnackProperties::default()), topic);
    }
}

#[test]
fn response_topic_stays_whatever_the_next_broker_says() {
    let mut s = asking();
    s.reconnected_with(true, information("other"));
    let (asked, correlation) = ask(&mut s, "1");
    s.broker_sends(replied(QOS_0, 0, &correlation, "one"));
    s.expect_replied(asked, "one");
}

#[test]
fn refused_response_topic_fails_one_request_and_the_next_asks_again() {
    let mut s = Scenario::connected();
    let asked = Publish::new("q", "1");
    assert_eq!(s.try_request(&asked, TIMEOUT), WOULD_BLOCK);
    s.expect_subscribe(1, "replies/c");
    s.broker_sends(suback(1, &[ReasonCode::NotAuthorized]));
    s.expect_no_event();
    let refused = CallError::RepliesRefused(ReasonCode::NotAuthorized);
    assert_eq!(s.try_request(&asked, TIMEOUT), Err(refused));
    s.expect_nothing_sent();
    assert_eq!(s.try_request(&asked, TIMEOUT), WOULD_BLOCK);
    s.expect_subscribe(2, "replies/c");
    s.broker_sends(suback(2, &[GRANTED]));
    ask(&mut s, "1");
}

#[test]
fn response_topic_is_asked_for_again_when_the_connection_was_lost_before_the_answer() {
    for session_present in [true, false] {
        let mut s = Scenario::connected();
        assert_eq!(s.try_request(&Publish::new("q", "1"), TIMEOUT), WOULD_BLOCK);
        s.expect_subscribe(1, "replies/c");
        s.reconnected(session_present);
        s.expect_nothing_sent();
        assert_eq!(s.try_request(&Publish::new("q", "1"), TIMEOUT), WOULD_BLOCK);
        s.expect_subscribe(2, "replies/c");
        s.broker_sends(suback(2, &[GRANTED]));
        ask(&mut s, "1");
    }
}

#[test]
fn response_topic_is_asked_for_as_soon_as_there_is_room() {
    let mut s = Scenario::connected_with(options().outbound_limit(20), ConnackProperties::default());
    s.network_stalls();
    s.publish(QOS_0, "a", "a message that waits");
    assert_eq!(s.try_request(&Publish::new("q", "1"), TIMEOUT), WOULD_BLOCK);
    s.network_flows();
    s.expect_sent(publish(QOS_0, 0, "a", "a message that waits"));
    s.expect_nothing_sent();
    assert_eq!(s.try_request(&Publish::new("q", "1"), TIMEOUT), WOULD_BLOCK);
    s.expect_subscribe(1, "replies/c");
}
