//! Replies: which request each of them answers, and when it is acknowledged.

use mqtt_wasi::codec::{ConnackProperties, Packet, Publish, PublishProperties};
use mqtt_wasi::session::Event;
use mqtt_wasi::{Error, Failure};

use super::{QOS_0, QOS_1, QOS_2, ask, asking, asking_with, dropped, replied, replied_again};
use crate::packets::*;
use crate::scenario::options;

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
