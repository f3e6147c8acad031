//! Requests and the replies to them (section 4.10).

use std::collections::BTreeMap;
use std::time::Duration;

use mqtt_wasi::codec::{
    ConnackProperties, Packet, PropertyId, Publish, PublishProperties, QoS, ReasonCode, SubscribeProperties,
    Subscription,
};
use mqtt_wasi::session::{Event, OperationId, Snapshot, Status};
use mqtt_wasi::{Error, Failure, Options, RequestError};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::packets::*;
use crate::scenario::{Scenario, options};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;
const QOS_2: QoS = QoS::ExactlyOnce;

const GRANTED: ReasonCode = ReasonCode::GrantedQos1;
const WOULD_BLOCK: Result<OperationId, RequestError> = Err(RequestError::WouldBlock);

const TIMEOUT: Duration = Duration::from_secs(10);

/// A client with these options whose broker sends it replies.
fn asking_with(options: Options, terms: ConnackProperties<'_>) -> Scenario {
    let mut s = Scenario::connected_with(options, terms);
    assert_eq!(s.try_request(&Publish::new("q", "{}"), TIMEOUT), WOULD_BLOCK);
    s.expect_subscribe(1, "replies/c");
    s.broker_sends(suback(1, &[GRANTED]));
    s
}

fn asking() -> Scenario {
    asking_with(options(), ConnackProperties::default())
}

/// A request at QoS 0, and its Correlation Data.
#[track_caller]
fn ask(s: &mut Scenario, payload: &str) -> (OperationId, Vec<u8>) {
    let asked = s.request(QOS_0, "q", payload, TIMEOUT);
    (asked, s.expect_request(request(QOS_0, 0, "q", payload, 10)))
}

/// A request at QoS 1 or 2 that the broker has not acknowledged, and its Correlation Data.
#[track_caller]
fn ask_at(s: &mut Scenario, qos: QoS, packet_id: u16, payload: &str) -> (OperationId, Vec<u8>) {
    let asked = s.request(qos, "q", payload, TIMEOUT);
    (asked, s.expect_request(request(qos, packet_id, "q", payload, 10)))
}

fn replied<'a>(qos: QoS, packet_id: u16, correlation: &'a [u8], payload: &'a str) -> Packet<'a> {
    Packet::Publish(reply(qos, packet_id, correlation, payload))
}

fn replied_again<'a>(qos: QoS, packet_id: u16, correlation: &'a [u8], payload: &'a str) -> Packet<'a> {
    Packet::Publish(Publish { dup: true, ..reply(qos, packet_id, correlation, payload) })
}

/// Replies that were dropped: late ones, and those to nothing.
fn dropped(s: &Scenario) -> (u64, u64) {
    (s.session.stats().late_replies, s.session.stats().unmatched_replies)
}

// ---------------------------------------------------------------------------------------------------------------------
// Asking

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
        assert_eq!(refused, Err(RequestError::PropertyNotAllowed(property)));
    }
}

#[test]
fn request_that_cannot_be_sent_waits_for_no_reply() {
    let mut s = asking_with(options(), ConnackProperties { maximum_packet_size: Some(70), ..Default::default() });
    let too_large = s.try_request(&Publish::new("q", &[b'x'; 70]), TIMEOUT);
    assert!(matches!(too_large, Err(RequestError::PacketTooLarge { maximum: 70, .. })), "{too_large:?}");
    let (asked, correlation) = ask(&mut s, "1");
    s.broker_sends(replied(QOS_0, 0, &correlation, "one"));
    s.expect_replied(asked, "one");
}

#[test]
fn nothing_is_asked_without_a_connection() {
    let mut s = Scenario::new(options());
    assert_eq!(s.try_request(&Publish::new("q", "1"), TIMEOUT), Err(RequestError::NotConnected));
    s.reconnected(false);
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    assert_eq!(s.try_request(&Publish::new("q", "1"), TIMEOUT), Err(RequestError::NotConnected));
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

// ---------------------------------------------------------------------------------------------------------------------
// The Response Topic

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
    let refused = RequestError::RepliesRefused(ReasonCode::NotAuthorized);
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

// ---------------------------------------------------------------------------------------------------------------------
// Replies

#[test]
fn replies_reach_their_requests_in_any_order() {
    let mut s = asking();
    let asked = ["1", "2", "3"].map(|payload| ask(&mut s, payload));
    for (number, payload) in [(1, "two"), (2, "three"), (0, "one")] {
        let (request, correlation) = &asked[number];
        s.broker_sends(replied(QOS_0, 0, correlation, payload));
        s.expect_replied(*request, payload);
    }
    assert_eq!(dropped(&s), (0, 0));
}

#[test]
fn reply_is_all_that_the_responder_said() {
    let mut s = asking();
    let (asked, correlation) = ask(&mut s, "1");
    let plain = reply(QOS_1, 7, &correlation, "one");
    let properties = PublishProperties {
        content_type: Some("text/plain"),
        user_properties: (&[("unit", "kelvin")]).into(),
        ..plain.properties
    };
    s.broker_sends(Packet::Publish(plain.properties(properties)));
    let message = s.expect_replied(asked, "one");
    s.expect_sent(puback(7));
    assert_eq!((&*message.topic, message.qos), ("replies/c", QOS_1));
    assert_eq!(message.correlation_data, Some(correlation));
    assert_eq!(message.content_type.as_deref(), Some("text/plain"));
    assert_eq!(message.user_properties, [("unit".into(), "kelvin".into())]);
}

#[test]
fn reply_is_acknowledged_as_its_qos_demands() {
    for is_receiving in [false, true] {
        let mut s = if is_receiving { asking().receiving_at_once() } else { asking() };
        let [one, two, three] = ["1", "2", "3"].map(|payload| ask(&mut s, payload));
        s.broker_sends(replied(QOS_0, 0, &one.1, "one"));
        s.expect_replied(one.0, "one");
        s.expect_nothing_sent();
        s.broker_sends(replied(QOS_1, 7, &two.1, "two"));
        s.expect_replied(two.0, "two");
        s.expect_sent(puback(7));
        s.broker_sends(replied(QOS_2, 8, &three.1, "three"));
        s.expect_replied(three.0, "three");
        s.expect_sent(pubrec(8));
        s.broker_sends(pubrel(8));
        s.expect_sent(pubcomp(8));
        s.expect_no_message();
    }
}

#[test]
fn reply_overtakes_messages_that_wait_and_its_acknowledgement_does_not() {
    let mut s = asking();
    let [one, two] = ["1", "2"].map(|payload| ask(&mut s, payload));
    s.broker_sends_all(&[
        publish(QOS_1, 1, "a", "first"),
        replied(QOS_1, 2, &one.1, "one"),
        publish(QOS_2, 3, "a", "second"),
        replied(QOS_2, 4, &two.1, "two"),
        publish(QOS_0, 0, "a", "third"),
    ]);
    s.expect_replied(one.0, "one");
    s.expect_replied(two.0, "two");
    s.expect_nothing_sent();
    s.expect_message("a", "first");
    s.expect_one_write(&[puback(1), puback(2)]);
    s.expect_message("a", "second");
    s.expect_one_write(&[pubrec(3), pubrec(4)]);
    s.broker_sends_all(&[pubrel(3), pubrel(4)]);
    s.expect_sent_all(&[pubcomp(3), pubcomp(4)]);
    s.expect_message("a", "third");
}

#[test]
fn messages_received_at_once_and_replies_are_acknowledged_in_their_order() {
    let mut s = asking().receiving_at_once();
    let (asked, correlation) = ask(&mut s, "1");
    s.broker_sends_all(&[
        publish(QOS_1, 1, "a", "first"),
        replied(QOS_1, 2, &correlation, "one"),
        publish(QOS_1, 3, "a", "second"),
    ]);
    s.expect_replied(asked, "one");
    s.expect_message("a", "first");
    s.expect_message("a", "second");
    s.expect_sent_all(&[puback(1), puback(2), puback(3)]);
}

#[test]
fn acknowledgement_of_a_reply_waits_for_the_message_that_is_acknowledged_by_hand_before_it() {
    let mut s = asking();
    let [one, two] = ["1", "2"].map(|payload| ask(&mut s, payload));
    s.broker_sends_all(&[publish(QOS_1, 1, "a", "first"), replied(QOS_1, 2, &one.1, "one")]);
    s.expect_replied(one.0, "one");
    let (_, first) = s.receive_unacknowledged().expect("a message");
    // One that comes when the message is held already.
    s.broker_sends(replied(QOS_2, 3, &two.1, "two"));
    s.expect_replied(two.0, "two");
    s.expect_nothing_sent();
    assert!(s.acknowledge(first.expect("at QoS 1")));
    s.expect_one_write(&[puback(1), puback(2), pubrec(3)]);
}

#[test]
fn replies_count_against_the_receive_maximum_until_they_are_acknowledged() {
    let mut s = asking_with(options().receive_maximum(1), ConnackProperties::default());
    for packet_id in 1..=5 {
        let (asked, correlation) = ask(&mut s, "1");
        s.broker_sends(replied(QOS_1, packet_id, &correlation, "one"));
        s.expect_replied(asked, "one");
        s.expect_sent(puback(packet_id));
    }
}

#[test]
fn reply_at_qos_2_that_is_sent_again_is_the_same_reply() {
    let mut s = asking();
    let (asked, correlation) = ask(&mut s, "1");
    s.broker_sends(replied(QOS_2, 7, &correlation, "one"));
    s.expect_replied(asked, "one");
    s.expect_sent(pubrec(7));
    s.reconnected(true);
    s.broker_sends(replied_again(QOS_2, 7, &correlation, "one"));
    s.expect_sent(pubrec(7));
    assert_eq!(dropped(&s), (0, 0));
}

#[test]
fn reply_that_the_connection_ended_before_acknowledging_comes_again_and_is_handed_out_once() {
    for (qos, late) in [(QOS_1, 1), (QOS_2, 0)] {
        let mut s = asking();
        let (asked, correlation) = ask(&mut s, "1");
        s.broker_sends_all(&[publish(QOS_1, 1, "a", "first"), replied(qos, 2, &correlation, "one")]);
        s.expect_replied(asked, "one");
        s.reconnected(true);
        s.broker_sends_all(&[resent(QOS_1, 1, "a", "first"), replied_again(qos, 2, &correlation, "one")]);
        s.expect_message("a", "first");
        let sent = s.take_sent();
        assert_eq!(sent.len(), 2, "both are acknowledged: {sent:?}");
        assert_eq!(dropped(&s), (late, 0));
    }
}

#[test]
fn second_reply_to_a_request_is_late() {
    let mut s = asking();
    let (asked, correlation) = ask(&mut s, "1");
    s.broker_sends_all(&[replied(QOS_0, 0, &correlation, "one"), replied(QOS_1, 7, &correlation, "another")]);
    s.expect_replied(asked, "one");
    s.expect_sent(puback(7));
    assert_eq!(dropped(&s), (1, 0));
}

#[test]
fn what_answers_nothing_is_dropped() {
    let mut s = asking();
    let (asked, correlation) = ask(&mut s, "1");
    s.broker_sends(publish(QOS_1, 7, "replies/c", "no Correlation Data"));
    s.expect_sent(puback(7));
    // The right number, and a nonce that is off by one bit.
    let mut guessed = correlation.clone();
    guessed[19] = if guessed[19] == b'A' { b'B' } else { b'A' };
    // A number that no request has had yet.
    let mut early = correlation.clone();
    early[8] = b'_';
    let foreign = [&b""[..], b"1", &[0xFF; 20], &guessed, &early, &correlation[..19]];
    for (count, foreign) in (2..).zip(foreign) {
        s.broker_sends(replied(QOS_0, 0, foreign, "foreign"));
        s.expect_no_event();
        assert_eq!(dropped(&s), (0, count), "{foreign:?}");
    }
    s.expect_no_message();
    s.broker_sends(replied(QOS_0, 0, &correlation, "one"));
    s.expect_replied(asked, "one");
}

#[test]
fn messages_to_other_topics_are_no_replies() {
    let mut s = asking();
    let (_, correlation) = ask(&mut s, "1");
    for topic in ["replies", "replies/", "replies/c/", "replies/C", "replies/c2", "c"] {
        s.broker_sends(Packet::Publish(Publish { topic, ..reply(QOS_0, 0, &correlation, "one") }));
        s.expect_message(topic, "one");
    }
    assert_eq!(dropped(&s), (0, 0));
}

#[test]
fn reply_with_an_alias_alone_is_found() {
    for is_receiving in [false, true] {
        let s = asking_with(options().topic_alias_maximum(3), ConnackProperties::default());
        let mut s = if is_receiving { s.receiving_at_once() } else { s };
        let [one, two, three] = ["1", "2", "3"].map(|payload| ask(&mut s, payload));
        let aliased = |topic, message: Publish<'static>| {
            let properties = PublishProperties { topic_alias: Some(2), ..message.properties };
            Packet::Publish(Publish { topic, properties, ..message })
        };
        let [first, second, third] = [&one, &two, &three].map(|(_, correlation)| correlation.clone().leak() as &[u8]);
        s.broker_sends(aliased("replies/c", reply(QOS_1, 7, first, "one")));
        s.expect_replied(one.0, "one");
        s.expect_sent(puback(7));
        s.broker_sends(aliased("", reply(QOS_1, 8, second, "two")));
        s.expect_replied(two.0, "two");
        s.expect_sent(puback(8));
        s.broker_sends_all(&[publish(QOS_1, 9, "a", "first"), aliased("", reply(QOS_1, 10, third, "three"))]);
        s.expect_replied(three.0, "three");
        s.expect_message("a", "first");
        s.expect_sent_all(&[puback(9), puback(10)]);
    }
}

#[test]
fn reply_may_say_that_the_request_failed() {
    let mut s = asking();
    let (asked, correlation) = ask(&mut s, "1");
    let plain = reply(QOS_0, 0, &correlation, "details");
    let user_properties = (&[("unit", "kelvin"), ("reply-error", "no such sensor")]).into();
    s.broker_sends(Packet::Publish(plain.properties(PublishProperties { user_properties, ..plain.properties })));
    match &s.take_events()[..] {
        [Event::Replied { id, result: Err(Error::RequestFailed(failure)) }] if *id == asked => {
            let Failure { text, reply } = &**failure;
            assert_eq!((&**text, &*reply.payload), ("no such sensor", &b"details"[..]));
            assert_eq!(reply.user_properties[0], ("unit".into(), "kelvin".into()));
        }
        other => panic!("the request should have failed, not {other:?}"),
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// No reply

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
    s.expect_unanswered(asked, RequestError::QosNotSupported { maximum: QOS_1 }.into());
}

// ---------------------------------------------------------------------------------------------------------------------
// Over another connection

#[test]
fn replies_come_over_the_next_connection_if_the_broker_kept_the_session() {
    let mut s = asking();
    let (one, first) = ask(&mut s, "1");
    let (two, second) = ask_at(&mut s, QOS_1, 2, "2");
    s.reconnected(true);
    let again = s.expect_request(Publish { dup: true, ..request(QOS_1, 2, "q", "2", 10) });
    assert_eq!(again, second);
    s.expect_nothing_sent();
    s.broker_sends_all(&[puback(2), replied(QOS_0, 0, &second, "two"), replied(QOS_1, 7, &first, "one")]);
    s.expect_replied(two, "two");
    s.expect_replied(one, "one");
    s.expect_sent(puback(7));
    ask(&mut s, "3");
}

#[test]
fn response_topic_is_restored_before_requests_are_sent_again_if_the_broker_lost_the_session() {
    for restores in [true, false] {
        let mut s = asking_with(options().restore_subscriptions(restores), ConnackProperties::default());
        let (one, first) = ask(&mut s, "1");
        let (two, second) = ask_at(&mut s, QOS_1, 2, "2");
        s.reconnected(false);
        s.expect_subscribe(3, "replies/c");
        assert_eq!(s.expect_request(request(QOS_1, 2, "q", "2", 10)), second);
        s.broker_sends_all(&[suback(3, &[GRANTED]), puback(2)]);
        s.expect_no_event();
        s.broker_sends_all(&[replied(QOS_0, 0, &second, "two"), replied(QOS_0, 0, &first, "one")]);
        s.expect_replied(two, "two");
        s.expect_replied(one, "one");
        ask(&mut s, "3");
    }
}

#[test]
fn restoring_the_response_topic_goes_on_over_the_next_connection() {
    for session_present in [true, false] {
        let mut s = asking_with(options().restore_subscriptions(false), ConnackProperties::default());
        let (asked, correlation) = ask(&mut s, "1");
        s.reconnected(false);
        s.expect_subscribe(2, "replies/c");
        s.reconnected(session_present);
        s.expect_subscribe(3, "replies/c");
        s.broker_sends_all(&[suback(3, &[GRANTED]), replied(QOS_0, 0, &correlation, "one")]);
        s.expect_replied(asked, "one");
    }
}

#[test]
fn of_all_that_is_restored_the_user_hears_of_its_own_subscriptions() {
    for restores in [true, false] {
        let mut s = asking_with(options().restore_subscriptions(restores), ConnackProperties::default());
        s.subscribe(&["a", "z"]);
        s.take_sent();
        s.broker_sends(suback(2, &[ReasonCode::GrantedQos2; 2]));
        s.take_events();
        s.reconnected(false);
        if restores {
            assert_eq!(s.take_sent().len(), 1);
            // That of the replies comes first.
            s.broker_sends(suback(3, &[GRANTED, ReasonCode::GrantedQos2, ReasonCode::GrantedQos2]));
            for filter in ["a", "z"] {
                s.expect_event(Event::SubscriptionRestored { filter: filter.into(), qos: QOS_2 });
            }
        } else {
            s.expect_subscribe(3, "replies/c");
            for filter in ["a", "z"] {
                s.expect_event(Event::SubscriptionLost { filter: filter.into(), reason_code: None });
            }
            s.broker_sends(suback(3, &[GRANTED]));
        }
        s.expect_no_event();
    }
}

#[test]
fn response_topic_that_is_not_granted_again_fails_the_next_request() {
    let mut s = asking();
    let (asked, _) = ask(&mut s, "1");
    s.reconnected(false);
    s.expect_subscribe(2, "replies/c");
    s.broker_sends(suback(2, &[ReasonCode::QuotaExceeded]));
    s.expect_no_event();
    let refused = RequestError::RepliesRefused(ReasonCode::QuotaExceeded);
    assert_eq!(s.try_request(&Publish::new("q", "2"), TIMEOUT), Err(refused));
    assert_eq!(s.try_request(&Publish::new("q", "2"), TIMEOUT), WOULD_BLOCK);
    s.expect_subscribe(3, "replies/c");
    s.wait(TIMEOUT);
    s.expect_unanswered(asked, Error::Timeout);
}

#[test]
fn response_topic_is_restored_before_requests_however_little_room_there_is() {
    let mut s = asking_with(options().outbound_limit(100), ConnackProperties::default());
    for packet_id in 2..=4 {
        let filter = &format!("a/subscription/of/some/length/{packet_id}");
        // Each with an identifier of its own, so that each takes a packet.
        let subscription_identifier = Some(packet_id.into());
        let properties = SubscribeProperties { subscription_identifier, ..Default::default() };
        s.try_subscribe(&[Subscription::new(filter, QOS_1)], properties).unwrap();
        s.take_sent();
        s.broker_sends(suback(packet_id, &[GRANTED]));
    }
    s.take_events();
    ask_at(&mut s, QOS_1, 5, "1");
    s.reconnected(false);
    let mut is_asked_for = false;
    for bytes in s.take_sent() {
        match Packet::decode(&bytes).unwrap().unwrap().0 {
            Packet::Subscribe(subscribe) => {
                is_asked_for |= subscribe.subscriptions.iter().any(|subscription| subscription.filter == "replies/c");
            }
            Packet::Publish(_) => assert!(is_asked_for, "the request is sent before its reply is asked for"),
            other => panic!("nothing else is under way: {other:?}"),
        }
    }
    assert!(is_asked_for);
}

// ---------------------------------------------------------------------------------------------------------------------
// In another process

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

// ---------------------------------------------------------------------------------------------------------------------
// In a JSON envelope

#[cfg(feature = "json")]
mod envelope {
    use super::*;

    fn enveloping() -> Scenario {
        asking_with(options().json_envelope(true), ConnackProperties::default())
    }

    /// A request in its envelope, and its Correlation Data.
    fn ask_in_envelope(s: &mut Scenario) -> (OperationId, String) {
        let asked = s.request(QOS_0, "q", "{}", TIMEOUT);
        let bytes = s.take_sent().pop().expect("a request");
        let Some((Packet::Publish(request), _)) = Packet::decode(&bytes).unwrap() else { panic!("PUBLISH") };
        let correlation = request.properties.correlation_data.expect("Correlation Data");
        (asked, String::from_utf8(correlation.to_owned()).expect("text"))
    }

    #[test]
    fn request_says_in_its_payload_where_its_reply_goes() {
        let mut s = enveloping();
        s.request(QOS_1, "q", r#"{"x":[1,"2"],"a":{"correlationId":null}}"#, TIMEOUT);
        let bytes = s.take_sent().pop().expect("a request");
        let Some((Packet::Publish(request), _)) = Packet::decode(&bytes).unwrap() else { panic!("PUBLISH") };
        let correlation = std::str::from_utf8(request.properties.correlation_data.unwrap()).unwrap();
        let payload = std::str::from_utf8(request.payload).unwrap();
        assert_eq!(
            payload,
            format!(
                r#"{{"a":{{"correlationId":null}},"correlationId":"{correlation}","replyTo":"replies.c","x":[1,"2"]}}"#
            )
        );
        assert_eq!(request.properties.response_topic, Some("replies/c"));
    }

    #[test]
    fn request_that_is_no_json_object_is_not_sent() {
        let mut s = enveloping();
        for payload in ["", "text", "[1]", "1", "{", r#"{"a":1} {}"#] {
            let asked = s.try_request(&Publish::new("q", payload), TIMEOUT);
            assert_eq!(asked, Err(RequestError::NotJson), "{payload}");
        }
        ask_in_envelope(&mut s);
    }

    #[test]
    fn reply_is_found_by_what_its_payload_says() {
        let mut s = enveloping();
        for result in [r#"{"ok":true}"#, "21.5", r#""text""#, "null"] {
            let (asked, correlation) = ask_in_envelope(&mut s);
            let payload = format!(r#"{{ "result" : {result}, "correlationId" : "{correlation}" }}"#);
            s.broker_sends(publish(QOS_0, 0, "replies/c", &payload));
            s.expect_replied(asked, result);
        }
    }

    #[test]
    fn reply_without_an_envelope_is_what_it_is() {
        let mut s = enveloping();
        for payload in ["21.5", "no JSON", r#"{"ok":true}"#] {
            let (asked, correlation) = ask_in_envelope(&mut s);
            s.broker_sends(Packet::Publish(reply(QOS_0, 0, correlation.as_bytes(), payload)));
            s.expect_replied(asked, payload);
        }
    }

    #[test]
    fn envelope_that_answers_nothing_is_dropped() {
        let mut s = enveloping();
        let (_, correlation) = ask_in_envelope(&mut s);
        let payloads = ["no JSON", "{}", r#"{"correlationId":1,"result":1}"#, r#"{"correlationId":"1","result":1}"#];
        for (count, payload) in (1..).zip(payloads) {
            s.broker_sends(publish(QOS_0, 0, "replies/c", payload));
            assert_eq!(dropped(&s), (0, count), "{payload}");
        }
        // What the property says comes before what the payload says.
        let payload = format!(r#"{{"correlationId":"{correlation}","result":1}}"#);
        s.broker_sends(Packet::Publish(reply(QOS_0, 0, b"another", &payload)));
        assert_eq!(dropped(&s), (0, 5));
        s.expect_no_event();
    }

    #[test]
    fn payload_is_left_alone_without_the_option() {
        let mut s = asking();
        let (asked, correlation) = ask(&mut s, "no JSON");
        let correlation_text = std::str::from_utf8(&correlation).unwrap();
        let payload = format!(r#"{{"correlationId":"{correlation_text}","result":1}}"#);
        s.broker_sends(publish(QOS_0, 0, "replies/c", &payload));
        assert_eq!(dropped(&s), (0, 1));
        s.broker_sends(Packet::Publish(reply(QOS_0, 0, &correlation, &payload)));
        s.expect_replied(asked, &payload);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Many at once

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Answered { qos: QoS, times: usize },
    Late { qos: QoS },
    Forgotten,
}

fn fate() -> impl Strategy<Value = Fate> {
    let qos = || select(&[QOS_0, QOS_1, QOS_2][..]);
    prop_oneof![
        4 => (qos(), 1..3_usize).prop_map(|(qos, times)| Fate::Answered { qos, times }),
        1 => qos().prop_map(|qos| Fate::Late { qos }),
        1 => Just(Fate::Forgotten),
    ]
}

/// A broker with responders behind it.
#[derive(Default)]
struct Broker {
    /// What each request said, and its Correlation Data.
    asked: BTreeMap<String, Vec<u8>>,
    /// Whether it lets acknowledgements wait.
    is_slow: bool,
    /// The acknowledgements that wait.
    late: Vec<Packet<'static>>,
    last_id: u16,
}

impl Broker {
    /// Does its part until the client has nothing more to say.
    fn serve(&mut self, s: &mut Scenario) {
        loop {
            let sent = s.take_sent();
            if sent.is_empty() {
                return;
            }
            for bytes in sent {
                self.answer(s, Packet::decode(&bytes).expect("valid").expect("whole").0);
            }
        }
    }

    fn answer(&mut self, s: &mut Scenario, packet: Packet<'_>) {
        let answer = match packet {
            Packet::Publish(request) => {
                let correlation = request.properties.correlation_data.expect("only requests are sent");
                self.asked.insert(String::from_utf8_lossy(request.payload).into(), correlation.to_owned());
                match (request.qos, request.packet_id) {
                    (QOS_1, Some(id)) => puback(id.get()),
                    (_, Some(id)) => pubrec(id.get()),
                    _ => return,
                }
            }
            Packet::Pubrel(ack) => pubcomp(ack.packet_id.get()),
            Packet::Pubrec(ack) => return s.broker_sends(pubrel(ack.packet_id.get())),
            Packet::Subscribe(subscribe) => return s.broker_sends(suback(subscribe.packet_id.get(), &[GRANTED])),
            Packet::Puback(_) | Packet::Pubcomp(_) => return,
            other => panic!("nothing else is under way: {other:?}"),
        };
        if self.is_slow { self.late.push(answer) } else { s.broker_sends(answer) }
    }

    /// A responder answers this request with its number.
    fn replies(&mut self, s: &mut Scenario, qos: QoS, number: usize) {
        self.last_id += 1;
        let packet_id = if qos == QOS_0 { 0 } else { self.last_id };
        let payload = number.to_string();
        s.broker_sends(Packet::Publish(reply(qos, packet_id, &self.asked[&payload], &payload)));
        self.serve(s);
    }

    /// Acknowledges what it has let wait.
    fn catches_up(&mut self, s: &mut Scenario) {
        self.is_slow = false;
        self.late.drain(..).for_each(|packet| s.broker_sends(packet));
        self.serve(s);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_gets_its_own_reply_or_runs_out_of_time(
        requests in proptest::collection::vec((select(&[QOS_0, QOS_1, QOS_2][..]), fate()), 24..60),
        mut order in any::<u64>(),
        reconnects_after in any::<Index>(),
        session_present in any::<bool>(),
        is_slow in any::<bool>(),
        is_receiving in any::<bool>(),
    ) {
        let mut s = if is_receiving { asking().receiving_at_once() } else { asking() };
        let mut broker = Broker { is_slow, ..Broker::default() };
        let mut ids = Vec::new();
        let mut ask_some = |s: &mut Scenario, broker: &mut Broker, most: usize| {
            while ids.len() < most {
                ids.push(s.request(requests[ids.len()].0, "q", &ids.len().to_string(), TIMEOUT));
            }
            broker.serve(s);
        };
        let half = requests.len() / 2;
        ask_some(&mut s, &mut broker, half);

        // Which requests are answered, in any order, those of the first half before the connection is lost or after.
        let mut replies: Vec<(usize, QoS)> = (0..).zip(&requests).flat_map(|(number, (_, fate))| match *fate {
            Fate::Answered { qos, times } => vec![(number, qos); times],
            _ => Vec::new(),
        }).collect();
        replies.sort_by_cached_key(|_| {
            order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            order >> 32
        });
        let (first, second): (Vec<_>, Vec<_>) = replies.into_iter().partition(|(number, _)| *number < half);
        let before = reconnects_after.index(first.len() + 1);
        for &(number, qos) in &first[..before] {
            broker.replies(&mut s, qos, number);
        }
        let mut events = s.take_events();
        broker.late.clear();
        s.reconnected(session_present);
        broker.serve(&mut s);
        ask_some(&mut s, &mut broker, requests.len());
        for &(number, qos) in first[before..].iter().chain(&second) {
            broker.replies(&mut s, qos, number);
        }
        s.wait(TIMEOUT);
        for (number, (_, fate)) in requests.iter().enumerate() {
            if let Fate::Late { qos } = *fate {
                broker.replies(&mut s, qos, number);
            }
        }
        broker.catches_up(&mut s);

        events.extend(s.take_events());
        let mut results: BTreeMap<_, _> = events.into_iter().map(|event| match event {
            Event::Replied { id, result } => (id, result.map(|reply| String::from_utf8(reply.payload).unwrap())),
            other => panic!("nothing else happens: {other:?}"),
        }).collect();
        let mut dropped_replies = 0;
        for (number, (id, (_, fate))) in ids.iter().zip(&requests).enumerate() {
            let expected = match fate {
                Fate::Answered { times, .. } => {
                    dropped_replies += times - 1;
                    Ok(number.to_string())
                }
                Fate::Late { .. } => {
                    dropped_replies += 1;
                    Err(Error::Timeout)
                }
                Fate::Forgotten => Err(Error::Timeout),
            };
            prop_assert_eq!(results.remove(id), Some(expected), "request {}", number);
        }
        prop_assert_eq!(dropped(&s), (dropped_replies as u64, 0));
        prop_assert_eq!((s.session.stats().pending_requests, s.session.in_flight()), (0, 0));
        s.expect_usable();
    }
}
