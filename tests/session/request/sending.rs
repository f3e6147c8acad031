//! Asking: what a request says, and when there is room for it.

use std::time::Duration;

use mqtt_wasi::codec::{ConnackProperties, PropertyId, Publish, PublishProperties};
use mqtt_wasi::{CallError, Error};

use super::{GRANTED, QOS_0, QOS_1, QOS_2, TIMEOUT, WOULD_BLOCK, ask, ask_at, asking, asking_with, replied};
use crate::packets::*;
use crate::scenario::{Scenario, options};

#[test]
fn first_request_waits_for_the_subscription_to_the_response_topic_and_the_second_does_not() {
    let mut s = Scenario::connected();
    assert_eq!(s.session.response_topic(), None);
    for _ in 0..2 {
        assert_eq!(s.try_request(&Publish::new("q", "1").qos(QOS_1), TIMEOUT), WOULD_BLOCK);
    }
    s.expect_subscribe(1, "replies/c");
    s.expect_nothing_sent();
    s.broker_sends(suback(1, &[GRANTED]));
    s.expect_no_event();
    assert_eq!(s.session.response_topic(), Some("replies/c"));
    let (first, _) = ask_at(&mut s, QOS_1, 2, "1");
    let (second, _) = ask_at(&mut s, QOS_2, 3, "2");
    assert_ne!(first, second);
}

#[test]
fn request_says_where_its_reply_goes_and_until_when_it_is_waited_for() {
    let mut s = asking();
    s.request(QOS_0, "a/b", "!", TIMEOUT);
    // The second call of this session, and the nonce 0x9E3779B97F4A7C15.
    let sent = b"\x30\x2F\x00\x03a/b\x28\x02\x00\x00\x00\x0A\x08\x00\x09replies/c\x09\x00\x14AAAAAAAAAp43ebl_SnwV!";
    assert_eq!(s.take_sent(), [sent]);
}

#[test]
fn correlation_data_is_another_for_each_request() {
    let mut s = asking();
    let mut correlations: Vec<_> = (0..100).map(|_| ask(&mut s, "1").1).collect();
    correlations.sort();
    correlations.dedup();
    assert_eq!(correlations.len(), 100);
}

#[test]
fn request_lives_as_many_whole_seconds_as_its_reply_is_waited_for() {
    let mut s = asking();
    let timeouts = [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60), (60_000, 60)];
    for (timeout, seconds) in timeouts {
        s.request(QOS_0, "q", "1", Duration::from_millis(timeout));
        s.expect_request(request(QOS_0, 0, "q", "1", seconds));
    }
    // No number of seconds that there is room for.
    s.request(QOS_0, "q", "1", Duration::MAX);
    let forever = request(QOS_0, 0, "q", "1", 0);
    s.expect_request(forever.properties(PublishProperties { message_expiry_interval: None, ..forever.properties }));
}

#[test]
fn lifetime_that_the_caller_gave_a_request_wins() {
    let mut s = asking();
    let properties = PublishProperties {
        message_expiry_interval: Some(3),
        content_type: Some("text/plain"),
        user_properties: (&[("unit", "kelvin")]).into(),
        ..Default::default()
    };
    s.try_request(&Publish::new("q", "1").properties(properties), TIMEOUT).unwrap();
    let properties = PublishProperties { response_topic: Some("replies/c"), ..properties };
    s.expect_request(Publish::new("q", "1").properties(properties));
    s.expect_deadline_in(TIMEOUT);
}

#[test]
fn response_topic_and_correlation_data_are_not_for_the_caller_to_set() {
    let mut s = asking();
    let response_topic = PublishProperties { response_topic: Some("mine"), ..Default::default() };
    let correlation_data = PublishProperties { correlation_data: Some(b"1"), ..Default::default() };
    for (properties, property) in
        [(response_topic, PropertyId::ResponseTopic), (correlation_data, PropertyId::CorrelationData)]
    {
        let refused = s.try_request(&Publish::new("q", "1").properties(properties), TIMEOUT);
        assert_eq!(refused, Err(CallError::PropertyNotAllowed(property)));
    }
}

#[test]
fn request_that_cannot_be_sent_waits_for_no_reply() {
    let mut s = asking_with(options(), ConnackProperties { maximum_packet_size: Some(70), ..Default::default() });
    let too_large = s.try_request(&Publish::new("q", &[b'x'; 70]), TIMEOUT);
    assert!(matches!(too_large, Err(CallError::PacketTooLarge { maximum: 70, .. })), "{too_large:?}");
    let (asked, correlation) = ask(&mut s, "1");
    s.broker_sends(replied(QOS_0, 0, &correlation, "one"));
    s.expect_replied(asked, "one");
}

#[test]
fn nothing_is_asked_without_a_connection() {
    let mut s = Scenario::new(options());
    assert_eq!(s.try_request(&Publish::new("q", "1"), TIMEOUT), Err(CallError::NotConnected));
    s.reconnected(false);
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    assert_eq!(s.try_request(&Publish::new("q", "1"), TIMEOUT), Err(CallError::NotConnected));
}

#[test]
fn only_so_many_requests_wait_for_their_replies() {
    let mut s = asking_with(options().pending_request_limit(2), ConnackProperties::default());
    let (first, correlation) = ask(&mut s, "1");
    let (second, _) = ask(&mut s, "2");
    let third = Publish::new("q", "3");
    assert_eq!(s.try_request(&third, TIMEOUT), WOULD_BLOCK);
    s.broker_sends(replied(QOS_0, 0, &correlation, "one"));
    s.expect_replied(first, "one");
    ask(&mut s, "3");
    assert_eq!(s.try_request(&third, TIMEOUT), WOULD_BLOCK);
    assert!(s.cancel_request(second));
    ask(&mut s, "4");
}
