//! Topic Aliases, both ways (section 3.3.2.3.4).

use mqtt_wasi::codec::{ConnackProperties, Packet, Publish, PublishProperties, QoS, ReasonCode};
use mqtt_wasi::{CallError, Options, ProtocolError};

use crate::packets::*;
use crate::scenario::{Scenario, options};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;

fn terms(topic_alias_maximum: u16) -> ConnackProperties<'static> {
    ConnackProperties { topic_alias_maximum: Some(topic_alias_maximum), ..Default::default() }
}

/// A client that uses this many aliases by itself, and a broker that takes as many.
fn with_aliases(aliases: u16) -> Scenario {
    Scenario::connected_with(options().outbound_topic_aliases(aliases), terms(aliases))
}

fn aliased<'a>(topic: &'a str, alias: u16, payload: &'a str) -> Publish<'a> {
    let properties = PublishProperties { topic_alias: Some(alias), ..Default::default() };
    Publish::new(topic, payload).properties(properties)
}

/// A client that takes aliases up to 3, whose user lets messages wait, and one whose user does not.
fn taking_aliases() -> [Scenario; 2] {
    let connected = || Scenario::connected_with(options().topic_alias_maximum(3), Default::default());
    [connected(), connected().receiving_at_once()]
}

// ---------------------------------------------------------------------------------------------------------------------
// From the broker

#[test]
fn every_topic_alias_up_to_the_maximum_is_taken() {
    for mut s in taking_aliases() {
        for (alias, topic) in [(3, "three"), (1, "one"), (2, "two")] {
            s.broker_sends(Packet::Publish(aliased(topic, alias, "named")));
            s.expect_message(topic, "named");
        }
        for (alias, topic) in [(1, "one"), (2, "two"), (3, "three")] {
            s.broker_sends(Packet::Publish(aliased("", alias, "alone")));
            s.expect_message(topic, "alone");
        }
    }
}

#[test]
fn alias_stands_for_the_last_topic_it_came_with() {
    for mut s in taking_aliases() {
        s.broker_sends_all(&[
            Packet::Publish(aliased("first", 1, "1")),
            Packet::Publish(aliased("", 1, "2")),
            Packet::Publish(aliased("second", 1, "3")),
            Packet::Publish(aliased("", 1, "4")),
        ]);
        // What waited while the alias changed keeps the topic that it came with.
        for (topic, payload) in [("first", "1"), ("first", "2"), ("second", "3"), ("second", "4")] {
            s.expect_message(topic, payload);
        }
    }
}

#[test]
fn repeated_message_may_tell_what_an_alias_stands_for() {
    for mut s in taking_aliases() {
        let message = Publish { packet_id: Some(id(5)), ..aliased("a/b", 2, "1").qos(QoS::ExactlyOnce) };
        s.broker_sends(Packet::Publish(message));
        s.expect_message("a/b", "1");
        s.expect_sent(pubrec(5));
        let properties = PublishProperties { topic_alias: Some(3), ..Default::default() };
        s.broker_sends(Packet::Publish(Publish { dup: true, properties, ..message }));
        s.expect_sent(pubrec(5));
        s.broker_sends(Packet::Publish(aliased("", 3, "2")));
        s.expect_message("a/b", "2");
    }
}

#[test]
fn topic_alias_over_the_maximum_is_told_to_the_broker() {
    for mut s in taking_aliases() {
        s.broker_sends(Packet::Publish(aliased("a", 4, "1")));
        s.expect_no_message();
        s.expect_disconnected(ProtocolError::TopicAliasInvalid(4));
        s.expect_sent(disconnect(ReasonCode::TopicAliasInvalid));
    }
}

#[test]
fn topic_alias_that_stands_for_nothing_is_a_protocol_error() {
    for mut s in taking_aliases() {
        s.broker_sends(Packet::Publish(aliased("a", 1, "1")));
        s.expect_message("a", "1");
        s.broker_sends(Packet::Publish(aliased("", 2, "2")));
        s.expect_no_message();
        s.expect_disconnected(ProtocolError::UnknownTopicAlias(2));
        s.expect_sent(disconnect(ReasonCode::ProtocolError));
    }
}

#[test]
fn topic_alias_of_the_broker_means_nothing_over_the_next_connection() {
    for mut s in taking_aliases() {
        s.broker_sends(Packet::Publish(aliased("a", 1, "1")));
        s.expect_message("a", "1");
        s.reconnected(true);
        s.broker_sends(Packet::Publish(aliased("", 1, "2")));
        s.expect_no_message();
        s.expect_disconnected(ProtocolError::UnknownTopicAlias(1));
        s.expect_sent(disconnect(ReasonCode::ProtocolError));
    }
}

#[test]
fn waiting_message_keeps_its_topic_over_the_next_connection() {
    let mut s = Scenario::connected_with(options().topic_alias_maximum(3), Default::default());
    s.broker_sends_all(&[Packet::Publish(aliased("a", 1, "1")), Packet::Publish(aliased("", 1, "2"))]);
    s.reconnected(false);
    s.broker_sends(Packet::Publish(aliased("b", 1, "3")));
    for (topic, payload) in [("a", "1"), ("a", "2"), ("b", "3")] {
        s.expect_message(topic, payload);
    }
}

#[test]
fn received_message_has_no_alias() {
    let mut s = Scenario::connected_with(options().topic_alias_maximum(3), Default::default());
    s.broker_sends(Packet::Publish(aliased("a", 1, "1")));
    assert_eq!(s.session.receive(), Some(Publish::new("a", "1")));
}

#[test]
fn connect_says_how_many_aliases_are_taken() {
    let mut s = Scenario::new(options().topic_alias_maximum(7));
    s.connect();
    let sent = s.take_sent();
    let Ok(Some((Packet::Connect(connect), _))) = Packet::decode(&sent[0]) else { panic!("CONNECT") };
    assert_eq!(connect.properties.topic_alias_maximum, Some(7));
}

// ---------------------------------------------------------------------------------------------------------------------
// To the broker

#[test]
fn repeated_topic_is_sent_once() {
    let mut s = with_aliases(2);
    for payload in ["1", "2", "3"] {
        s.publish(QOS_0, "long/topic", payload);
    }
    s.expect_sent(Packet::Publish(aliased("long/topic", 1, "1")));
    s.expect_sent(Packet::Publish(aliased("", 1, "2")));
    s.expect_sent(Packet::Publish(aliased("", 1, "3")));
}

#[test]
fn least_recently_used_alias_goes_to_a_new_topic() {
    let mut s = with_aliases(2);
    for topic in ["first", "second", "first", "third", "first", "second"] {
        s.publish(QOS_0, topic, "");
    }
    for (topic, alias) in [("first", 1), ("second", 2), ("", 1), ("third", 2), ("", 1), ("second", 2)] {
        s.expect_sent(Packet::Publish(aliased(topic, alias, "")));
    }
}

#[test]
fn topic_as_short_as_an_alias_has_none() {
    let mut s = with_aliases(2);
    s.publish(QOS_0, "abc", "1");
    s.publish(QOS_0, "abc", "2");
    s.expect_sent_all(&[publish(QOS_0, 0, "abc", "1"), publish(QOS_0, 0, "abc", "2")]);
}

#[test]
fn broker_that_takes_fewer_aliases_gets_no_more() {
    let mut s = Scenario::connected_with(options().outbound_topic_aliases(100), terms(1));
    for topic in ["first", "second"] {
        s.publish(QOS_0, topic, "");
    }
    s.expect_sent_all(&[Packet::Publish(aliased("first", 1, "")), Packet::Publish(aliased("second", 1, ""))]);
    s.reconnected(true);
    s.publish(QOS_0, "first", "");
    s.expect_sent(publish(QOS_0, 0, "first", ""));
}

#[test]
fn message_that_is_sent_again_has_its_topic() {
    let mut s = with_aliases(2);
    for payload in ["1", "2"] {
        s.publish(QOS_1, "long/topic", payload);
    }
    s.expect_sent(Packet::Publish(Publish { packet_id: Some(id(1)), ..aliased("long/topic", 1, "1").qos(QOS_1) }));
    s.expect_sent(Packet::Publish(Publish { packet_id: Some(id(2)), ..aliased("", 1, "2").qos(QOS_1) }));
    s.reconnected_with(true, terms(2));
    s.expect_sent_all(&[resent(QOS_1, 1, "long/topic", "1"), resent(QOS_1, 2, "long/topic", "2")]);
    s.publish(QOS_0, "long/topic", "3");
    s.expect_sent(Packet::Publish(aliased("long/topic", 1, "3")));
}

#[test]
fn alias_by_hand_is_sent_with_its_topic_once() {
    let mut s = Scenario::connected_with(options(), terms(5));
    for message in [aliased("a", 5, "1"), aliased("a", 5, "2"), aliased("", 5, "3"), aliased("b", 5, "4")] {
        s.try_publish(&message).unwrap();
    }
    s.try_publish(&aliased("", 5, "5").qos(QOS_1)).unwrap();
    for message in [aliased("a", 5, "1"), aliased("", 5, "2"), aliased("", 5, "3"), aliased("b", 5, "4")] {
        s.expect_sent(Packet::Publish(message));
    }
    s.expect_sent(Packet::Publish(Publish { packet_id: Some(id(1)), ..aliased("", 5, "5").qos(QOS_1) }));
    s.reconnected_with(true, terms(5));
    s.expect_sent(resent(QOS_1, 1, "b", "5"));
    assert_eq!(s.try_publish(&aliased("", 5, "6")), Err(CallError::UnknownTopicAlias(5)));
}

#[test]
fn alias_by_hand_stays_the_users() {
    let mut s = with_aliases(2);
    s.try_publish(&aliased("by hand", 2, "")).unwrap();
    for topic in ["first", "second", "by hand"] {
        s.publish(QOS_0, topic, "");
    }
    for (topic, alias) in [("by hand", 2), ("first", 1), ("second", 1), ("", 2)] {
        s.expect_sent(Packet::Publish(aliased(topic, alias, "")));
    }
}

#[test]
fn alias_that_the_broker_does_not_take_is_refused_here() {
    let mut s = Scenario::connected_with(options(), terms(2));
    for alias in [0, 3] {
        let result = s.try_publish(&aliased("a", alias, ""));
        assert_eq!(result, Err(CallError::TopicAliasInvalid { maximum: 2 }));
    }
    let mut s = Scenario::connected();
    assert_eq!(s.try_publish(&aliased("a", 1, "")), Err(CallError::TopicAliasInvalid { maximum: 0 }));
    s.expect_usable();
}

#[test]
fn alias_of_a_message_that_was_not_taken_is_not_used_up() {
    let mut s = Scenario::connected_with(options().outbound_topic_aliases(2).in_flight_limit(1), terms(2));
    s.publish(QOS_1, "first", "");
    assert_eq!(s.take_sent().len(), 1);
    let second = Publish::new("second", "").qos(QOS_1);
    assert_eq!(s.try_publish(&second), Err(CallError::WouldBlock));
    s.publish(QOS_0, "second", "");
    s.expect_sent(Packet::Publish(aliased("second", 2, "")));
}

#[test]
fn alias_that_would_make_a_message_too_large_is_left_out() {
    let terms = ConnackProperties { maximum_packet_size: Some(12), ..terms(2) };
    let mut s = Scenario::connected_with(options().outbound_topic_aliases(2), terms);
    s.publish(QOS_0, "topic", "ab");
    s.expect_sent(publish(QOS_0, 0, "topic", "ab"));
}

#[test]
fn message_at_qos_0_that_never_left_gets_its_topic_back() {
    let mut s = with_aliases(1);
    s.publish(QOS_0, "a/long/topic", "1");
    s.expect_sent(Packet::Publish(aliased("a/long/topic", 1, "1")));
    s.publish(QOS_0, "a/long/topic", "2");
    s.expect_sent(Packet::Publish(aliased("", 1, "2")));
    s.network_stalls();
    for (topic, payload) in [("a/long/topic", "3"), ("another/long/topic", "4"), ("another/long/topic", "5")] {
        s.publish(QOS_0, topic, payload);
    }
    s.reconnected_with(true, terms(1));
    s.expect_sent_all(&[
        publish(QOS_0, 0, "a/long/topic", "3"),
        publish(QOS_0, 0, "another/long/topic", "4"),
        publish(QOS_0, 0, "another/long/topic", "5"),
    ]);
}

#[test]
fn aliases_take_no_part_where_nobody_asked_for_them() {
    let mut s = Scenario::connected_with(Options::new(), terms(100));
    s.publish(QOS_0, "long/topic", "1");
    s.publish(QOS_0, "long/topic", "2");
    s.expect_sent_all(&[publish(QOS_0, 0, "long/topic", "1"), publish(QOS_0, 0, "long/topic", "2")]);
}
