//! SUBSCRIBE and UNSUBSCRIBE (sections 3.8 to 3.11).

use mqtt_wasi::SubscribeReason;
use mqtt_wasi::codec::{
    AckProperties, ConnackProperties, EncodeErrorKind, Packet, PacketType, QoS, ReasonCode, RetainHandling, Suback,
    Subscribe, SubscribeProperties, Subscription, TopicError, Unsubscribe, UnsubscribeProperties,
};
use mqtt_wasi::session::Event;
use mqtt_wasi::{CallError, Error, ProtocolError};

use crate::packets::*;
use crate::scenario::{Scenario, options};

fn subscribe<'a>(packet_id: u16, subscriptions: &'a [Subscription<'a>]) -> Packet<'a> {
    let properties = SubscribeProperties::default();
    Packet::Subscribe(Subscribe { packet_id: id(packet_id), properties, subscriptions: subscriptions.into() })
}

fn unsubscribe<'a>(packet_id: u16, filters: &'a [&'a str]) -> Packet<'a> {
    let properties = UnsubscribeProperties::default();
    Packet::Unsubscribe(Unsubscribe { packet_id: id(packet_id), properties, filters: filters.into() })
}

/// What the broker says, if it is no more than these.
fn reason(reason_codes: &[ReasonCode]) -> SubscribeReason {
    SubscribeReason { reason_codes: reason_codes.into(), reason_string: None, user_properties: Vec::new() }
}

#[test]
fn granted_qos_is_told_for_each_filter() {
    let mut s = Scenario::connected();
    let id = s.subscribe(&["a", "b/+", "c/#"]);
    let subscription = |filter| Subscription::new(filter, QoS::ExactlyOnce);
    s.expect_sent(subscribe(1, &[subscription("a"), subscription("b/+"), subscription("c/#")]));
    let granted = [ReasonCode::GRANTED_QOS_0, ReasonCode::GrantedQos1, ReasonCode::GrantedQos2];
    s.broker_sends(suback(1, &granted));
    s.expect_event(Event::Subscribed { id, result: Ok(reason(&granted)) });
    assert_eq!(reason(&granted).granted(), Ok(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]));
}

#[test]
fn refusal_is_told_for_each_filter() {
    for &refused in ReasonCode::ALL.iter().filter(|code| code.is_error() && code.is_valid_in(PacketType::Suback)) {
        let mut s = Scenario::connected();
        let operation = s.subscribe(&["a", "b"]);
        assert_eq!(s.take_sent().len(), 1);
        s.broker_sends(Packet::Suback(Suback {
            packet_id: id(1),
            properties: AckProperties { reason_string: Some("because"), user_properties: (&[("a", "b")]).into() },
            reason_codes: (&[ReasonCode::GrantedQos1, refused]).into(),
        }));
        let result = SubscribeReason {
            reason_string: Some("because".into()),
            user_properties: vec![("a".into(), "b".into())],
            ..reason(&[ReasonCode::GrantedQos1, refused])
        };
        assert_eq!(result.clone().granted(), Err(Error::SubscribeRefused(Box::new(result.clone()))));
        s.expect_event(Event::Subscribed { id: operation, result: Ok(result) });
        s.expect_usable();
    }
}

#[test]
fn subscription_is_sent_with_all_its_options() {
    let mut s = Scenario::connected();
    let subscription = Subscription {
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
        ..Subscription::new("a/#", QoS::AtLeastOnce)
    };
    let properties =
        SubscribeProperties { subscription_identifier: Some(300), user_properties: (&[("a", "b")]).into() };
    s.try_subscribe(&[subscription], properties).unwrap();
    s.expect_sent(Packet::Subscribe(Subscribe {
        packet_id: id(1),
        properties,
        subscriptions: (&[subscription]).into(),
    }));
}

#[test]
fn unsubscribing_is_told_for_each_filter() {
    let mut s = Scenario::connected();
    let id = s.unsubscribe(&["a", "b"]);
    s.expect_sent(unsubscribe(1, &["a", "b"]));
    let codes = [ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
    s.broker_sends(unsuback(1, &codes));
    s.expect_event(Event::Unsubscribed { id, result: Ok(reason(&codes)) });
}

#[test]
fn answers_may_come_in_any_order() {
    let mut s = Scenario::connected();
    let first = s.subscribe(&["a"]);
    let message = s.publish(QoS::AtLeastOnce, "a", "1");
    let second = s.unsubscribe(&["a"]);
    assert_eq!(s.take_sent().len(), 3);
    s.broker_sends_all(&[unsuback(3, &[ReasonCode::Success]), puback(2), suback(1, &[ReasonCode::GrantedQos2])]);
    s.expect_event(Event::Unsubscribed { id: second, result: Ok(reason(&[ReasonCode::Success])) });
    s.expect_published(message, ReasonCode::Success);
    s.expect_event(Event::Subscribed { id: first, result: Ok(reason(&[ReasonCode::GrantedQos2])) });
}

#[test]
fn requests_end_with_the_connection() {
    let mut s = Scenario::connected();
    let first = s.subscribe(&["a"]);
    let second = s.unsubscribe(&["b"]);
    assert_eq!(s.take_sent().len(), 2);
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    s.expect_event(Event::Subscribed { id: first, result: Err(Error::ConnectionClosed) });
    s.expect_event(Event::Unsubscribed { id: second, result: Err(Error::ConnectionClosed) });
    s.reconnected(true);
    s.expect_nothing_sent();
    s.expect_usable();
}

#[test]
fn requests_end_for_the_reason_that_the_connection_ends() {
    let mut s = Scenario::connected();
    let id = s.subscribe(&["a"]);
    assert_eq!(s.take_sent().len(), 1);
    s.broker_sends(puback(1));
    let error = Error::from(ProtocolError::UnknownPacketId(PacketType::Puback));
    s.expect_disconnected(error.clone());
    s.expect_event(Event::Subscribed { id, result: Err(error) });
    s.expect_sent(disconnect(ReasonCode::ProtocolError));
}

#[test]
fn requests_end_with_the_users_disconnect() {
    let mut s = Scenario::connected();
    let id = s.subscribe(&["a"]);
    s.disconnect(&mqtt_wasi::codec::Disconnect::new(ReasonCode::Success)).unwrap();
    s.expect_event(Event::Subscribed { id, result: Err(Error::ConnectionClosed) });
    assert_eq!(s.take_sent().len(), 2);
}

#[test]
fn answer_with_a_wrong_number_of_reason_codes_is_a_protocol_error() {
    let one = [ReasonCode::Success];
    let three = [ReasonCode::Success; 3];
    for codes in [&one[..], &three[..]] {
        for is_subscribe in [true, false] {
            let mut s = Scenario::connected();
            let id = if is_subscribe { s.subscribe(&["a", "b"]) } else { s.unsubscribe(&["a", "b"]) };
            assert_eq!(s.take_sent().len(), 1);
            s.broker_sends(if is_subscribe { suback(1, codes) } else { unsuback(1, codes) });
            s.expect_disconnected(ProtocolError::ReasonCodeCount);
            let result = Err(ProtocolError::ReasonCodeCount.into());
            s.expect_event(if is_subscribe {
                Event::Subscribed { id, result }
            } else {
                Event::Unsubscribed { id, result }
            });
            s.expect_sent(disconnect(ReasonCode::ProtocolError));
        }
    }
}

#[test]
fn answer_to_something_else_is_a_protocol_error() {
    let unsubscribe: fn(&mut Scenario) = |s| _ = s.unsubscribe(&["a"]);
    let subscribe: fn(&mut Scenario) = |s| _ = s.subscribe(&["a"]);
    let publish: fn(&mut Scenario) = |s| _ = s.publish(QoS::AtLeastOnce, "a", "1");
    let (granted, gone) = (suback(1, &[ReasonCode::Success]), unsuback(1, &[ReasonCode::Success]));
    for (before, packet) in [(unsubscribe, granted), (publish, granted), (subscribe, gone), (publish, gone)] {
        let mut s = Scenario::connected();
        before(&mut s);
        assert_eq!(s.take_sent().len(), 1);
        s.broker_sends(packet);
        let error = ProtocolError::UnknownPacketId(packet.packet_type()).into();
        assert_eq!(s.take_events().first(), Some(&Event::Disconnected(error)));
        s.expect_sent(disconnect(ReasonCode::ProtocolError));
    }
}

#[test]
fn answer_to_nothing_is_ignored() {
    let mut s = Scenario::connected();
    let operation = s.unsubscribe(&["a"]);
    assert_eq!(s.take_sent().len(), 1);
    for packet in [suback(2, &[ReasonCode::Success]), unsuback(9, &[ReasonCode::NotAuthorized])] {
        s.broker_sends(packet);
        s.expect_nothing_sent();
        s.expect_no_event();
    }
    s.broker_sends_all(&[unsuback(1, &[ReasonCode::Success]), unsuback(1, &[ReasonCode::Success])]);
    assert!(matches!(&s.take_events()[..], [Event::Unsubscribed { id, result: Ok(_) }] if *id == operation));
    s.expect_usable();
}

#[test]
fn problem_information_that_was_not_asked_for_is_a_protocol_error() {
    let mut s = Scenario::connected_with(options().request_problem_information(false), Default::default());
    s.subscribe(&["a"]);
    assert_eq!(s.take_sent().len(), 1);
    s.broker_sends(Packet::Suback(Suback {
        packet_id: id(1),
        properties: AckProperties { user_properties: (&[("a", "b")]).into(), ..Default::default() },
        reason_codes: (&[ReasonCode::Success]).into(),
    }));
    let error = ProtocolError::ProblemInformationNotRequested(PacketType::Suback).into();
    assert_eq!(s.take_events().first(), Some(&Event::Disconnected(error)));
    s.expect_sent(disconnect(ReasonCode::ProtocolError));
}

#[test]
fn what_the_broker_does_not_offer_is_not_asked_for() {
    let terms = ConnackProperties {
        maximum_packet_size: Some(30),
        wildcard_subscription_available: Some(false),
        subscription_identifier_available: Some(false),
        shared_subscription_available: Some(false),
        ..Default::default()
    };
    let mut s = Scenario::connected_with(options(), terms);
    let identified = SubscribeProperties { subscription_identifier: Some(1), ..Default::default() };
    let long = "x".repeat(30);
    let plain = SubscribeProperties::default();
    for (filter, properties, error) in [
        ("a/+", plain, CallError::WildcardSubscriptionsNotSupported),
        ("#", plain, CallError::WildcardSubscriptionsNotSupported),
        ("$share/g/a", plain, CallError::SharedSubscriptionsNotSupported),
        ("a", identified, CallError::SubscriptionIdentifiersNotSupported),
        (&long, plain, CallError::PacketTooLarge { size: 38, maximum: 30 }),
    ] {
        let subscriptions = [Subscription::new("fine", QoS::AtMostOnce), Subscription::new(filter, QoS::AtMostOnce)];
        let subscriptions = if filter == long { &subscriptions[1..] } else { &subscriptions[..] };
        assert_eq!(s.try_subscribe(subscriptions, properties), Err(error), "{filter}");
        s.expect_nothing_sent();
    }
    assert_eq!(s.try_unsubscribe(&[&long]), Err(CallError::PacketTooLarge { size: 37, maximum: 30 }));
    s.expect_usable();
}

#[test]
fn what_cannot_be_said_in_mqtt_is_not_sent() {
    let mut s = Scenario::connected();
    let shared_no_local = Subscription { no_local: true, ..Subscription::new("$share/g/a", QoS::AtMostOnce) };
    for (subscriptions, kind) in [
        (&[][..], EncodeErrorKind::EmptyList),
        (&[Subscription::new("", QoS::AtMostOnce)], EncodeErrorKind::InvalidTopic(TopicError::Empty)),
        (&[Subscription::new("a+", QoS::AtMostOnce)], EncodeErrorKind::InvalidTopic(TopicError::MisplacedWildcard)),
        (&[Subscription::new("$share/g", QoS::AtMostOnce)], EncodeErrorKind::InvalidTopic(TopicError::InvalidShare)),
        (&[shared_no_local], EncodeErrorKind::NoLocalOnSharedSubscription),
    ] {
        match s.try_subscribe(subscriptions, Default::default()) {
            Err(CallError::Invalid(error)) => assert_eq!(error.kind, kind),
            other => panic!("{other:?}"),
        }
        s.expect_nothing_sent();
    }
    let zero = SubscribeProperties { subscription_identifier: Some(0), ..Default::default() };
    assert!(s.try_subscribe(&[Subscription::new("a", QoS::AtMostOnce)], zero).is_err());
    assert!(s.try_unsubscribe(&[]).is_err());
    assert!(s.try_unsubscribe(&["a\0"]).is_err());
    s.expect_usable();
}

#[test]
fn requests_are_not_counted_against_the_receive_maximum() {
    let terms = ConnackProperties { receive_maximum: Some(1), ..Default::default() };
    let mut s = Scenario::connected_with(options(), terms);
    s.publish(QoS::AtLeastOnce, "a", "1");
    s.subscribe(&["a"]);
    s.unsubscribe(&["a"]);
    assert_eq!(s.take_sent().len(), 3);
}
