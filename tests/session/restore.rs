//! What becomes of subscriptions when the broker loses the session (sections 3.1.2.4 and 4.1).

use mqtt_wasi::codec::{
    Connack, ConnackProperties, Packet, QoS, ReasonCode, RetainHandling, Subscribe, SubscribeProperties, Subscription,
};
use mqtt_wasi::session::{Event, OperationId};
use mqtt_wasi::{Error, Options};

use crate::packets::*;
use crate::scenario::{Scenario, options};

const GRANTED: ReasonCode = ReasonCode::GrantedQos2;

/// A client that is subscribed to these filters at QoS 2.
fn subscribed_with(options: Options, filters: &[&str]) -> Scenario {
    let mut s = Scenario::connected_with(options, ConnackProperties::default());
    let operation = s.subscribe(filters);
    s.expect_sent(subscribe(1, None, &subscriptions(filters)));
    s.broker_sends(suback(1, &vec![GRANTED; filters.len()]));
    expect_subscribed(&mut s, operation);
    s
}

fn subscribed(filters: &[&str]) -> Scenario {
    subscribed_with(options(), filters)
}

fn subscriptions<'a>(filters: &[&'a str]) -> Vec<Subscription<'a>> {
    filters.iter().map(|filter| Subscription::new(filter, QoS::ExactlyOnce)).collect()
}

fn subscribe<'a>(packet_id: u16, identifier: Option<u32>, subscriptions: &'a [Subscription<'a>]) -> Packet<'a> {
    let properties = SubscribeProperties { subscription_identifier: identifier, ..Default::default() };
    Packet::Subscribe(Subscribe { packet_id: id(packet_id), properties, subscriptions: subscriptions.into() })
}

fn expect_subscribed(s: &mut Scenario, operation: OperationId) {
    let events = s.take_events();
    assert!(matches!(&events[..], [Event::Subscribed { id, result: Ok(_) }] if *id == operation), "{events:?}");
}

fn restored(filter: &str) -> Event {
    Event::SubscriptionRestored { filter: filter.into(), qos: QoS::ExactlyOnce }
}

fn lost(filter: &str, reason_code: Option<ReasonCode>) -> Event {
    Event::SubscriptionLost { filter: filter.into(), reason_code }
}

#[test]
fn subscriptions_of_a_lost_session_are_asked_for_again() {
    let mut s = subscribed(&["b", "a/+"]);
    s.reconnected(false);
    s.expect_sent(subscribe(2, None, &subscriptions(&["b", "a/+"])));
    s.expect_no_event();
    s.broker_sends(suback(2, &[ReasonCode::NotAuthorized, GRANTED]));
    s.expect_event(lost("b", Some(ReasonCode::NotAuthorized)));
    s.expect_event(restored("a/+"));
    assert_eq!(s.session.stats().refused, 1);
    // What was refused is not asked for once more.
    s.reconnected(false);
    s.expect_sent(subscribe(3, None, &subscriptions(&["a/+"])));
    s.broker_sends(suback(3, &[GRANTED]));
    s.expect_event(restored("a/+"));
}

#[test]
fn subscriptions_of_a_session_that_the_broker_kept_are_left_alone() {
    let mut s = subscribed(&["a"]);
    s.reconnected(true);
    s.expect_usable();
}

#[test]
fn subscriptions_are_asked_for_again_if_the_broker_may_have_lost_the_session_without_telling() {
    let mut s = subscribed(&["a"]);
    s.connection_is_lost();
    s.expect_event(Event::Disconnected(Error::ConnectionClosed));
    s.connect();
    s.expect_connect();
    // CONNACK of a new session is lost, and the next one tells of the session that is new.
    s.connection_is_lost();
    s.expect_event(Event::Disconnected(Error::ConnectionClosed));
    s.reconnected(true);
    let only_if_new = Subscription { retain_handling: RetainHandling::SendIfNew, ..subscriptions(&["a"])[0] };
    s.expect_sent(subscribe(2, None, &[only_if_new]));
    // The doubt outlives a connection that ends before the answer.
    s.reconnected(true);
    s.expect_sent(subscribe(3, None, &[only_if_new]));
    s.broker_sends(suback(3, &[GRANTED]));
    // It may have been there all the time.
    s.expect_no_event();
    // It is known again what the broker has, and that it sends retained messages for a new session.
    s.reconnected(true);
    s.expect_usable();
    s.reconnected(false);
    s.expect_sent(subscribe(5, None, &subscriptions(&["a"])));
}

#[test]
fn subscriptions_are_left_alone_after_an_attempt_that_the_broker_refused() {
    let mut s = subscribed(&["a"]);
    s.connection_is_lost();
    s.expect_event(Event::Disconnected(Error::ConnectionClosed));
    s.connect();
    s.expect_connect();
    let (reason_code, properties) = (ReasonCode::ServerBusy, ConnackProperties::default());
    s.broker_sends(Packet::Connack(Connack { session_present: false, reason_code, properties }));
    s.take_events();
    s.reconnected(true);
    s.expect_usable();
}

#[test]
fn subscriptions_that_the_broker_may_have_lost_are_left_alone_where_the_options_say_so() {
    let mut s = subscribed_with(options().restore_subscriptions(false), &["a"]);
    s.connection_is_lost();
    s.expect_event(Event::Disconnected(Error::ConnectionClosed));
    s.connect();
    s.expect_connect();
    s.connection_is_lost();
    s.expect_event(Event::Disconnected(Error::ConnectionClosed));
    s.reconnected(true);
    s.expect_usable();
    s.reconnected(false);
    s.expect_event(lost("a", None));
}

#[test]
fn subscriptions_are_reported_lost_where_the_options_say_so() {
    let mut s = subscribed_with(options().restore_subscriptions(false), &["a", "b"]);
    s.reconnected(false);
    s.expect_event(lost("a", None));
    s.expect_event(lost("b", None));
    s.reconnected(false);
    s.expect_usable();
}

#[test]
fn subscriptions_come_before_messages_so_that_no_answer_is_missed() {
    let mut s = subscribed(&["answers"]);
    let message = s.publish(QoS::AtLeastOnce, "questions", "1");
    s.expect_sent(publish(QoS::AtLeastOnce, 2, "questions", "1"));
    s.reconnected(false);
    s.expect_one_write(&[
        subscribe(3, None, &subscriptions(&["answers"])),
        publish(QoS::AtLeastOnce, 2, "questions", "1"),
    ]);
    s.broker_sends_all(&[suback(3, &[GRANTED]), puback(2)]);
    s.expect_event(restored("answers"));
    s.expect_published(message, ReasonCode::Success);
}

#[test]
fn unsubscribed_and_refused_filters_are_not_restored() {
    let mut s = subscribed(&["a", "b", "c"]);
    let operation = s.unsubscribe(&["a", "b"]);
    s.take_sent();
    s.broker_sends(unsuback(2, &[ReasonCode::Success, ReasonCode::NotAuthorized]));
    assert!(matches!(&s.take_events()[..], [Event::Unsubscribed { id, .. }] if *id == operation));
    s.reconnected(false);
    s.expect_sent(subscribe(3, None, &subscriptions(&["b", "c"])));
    s.broker_sends(suback(3, &[GRANTED, GRANTED]));
    s.expect_event(restored("b"));
    s.expect_event(restored("c"));
}

#[test]
fn each_subscription_keeps_its_options_and_its_identifier() {
    let mut s = Scenario::connected();
    let options = Subscription {
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
        ..Subscription::new("b", QoS::AtLeastOnce)
    };
    let entries = [(Some(7), Subscription::new("a", QoS::AtMostOnce)), (Some(9), options)];
    for (packet_id, (identifier, entry)) in (1..).zip(entries) {
        let properties = SubscribeProperties { subscription_identifier: identifier, ..Default::default() };
        let operation = s.try_subscribe(&[entry], properties).unwrap();
        s.take_sent();
        s.broker_sends(suback(packet_id, &[ReasonCode::Success]));
        expect_subscribed(&mut s, operation);
    }
    s.reconnected(false);
    for (packet_id, (identifier, entry)) in (3..).zip(entries) {
        s.expect_sent(subscribe(packet_id, identifier, &[entry]));
        s.broker_sends(suback(packet_id, &[GRANTED]));
        s.expect_event(restored(entry.filter));
    }
}

#[test]
fn restoring_goes_on_over_the_next_connection() {
    let mut s = subscribed(&["a", "b"]);
    s.reconnected(false);
    s.expect_sent(subscribe(2, None, &subscriptions(&["a", "b"])));
    for session_present in [true, false] {
        s.reconnected(session_present);
        let bytes = s.take_sent().pop().expect("SUBSCRIBE");
        let Some((Packet::Subscribe(again), _)) = Packet::decode(&bytes).unwrap() else { panic!("SUBSCRIBE") };
        assert!(again.subscriptions.iter().map(|subscription| subscription.filter).eq(["a", "b"]));
    }
    s.broker_sends(suback(4, &[GRANTED, GRANTED]));
    s.expect_event(restored("a"));
    s.expect_event(restored("b"));
}

#[test]
fn filters_that_the_broker_knows_no_more_are_lost_alone() {
    let mut s = subscribed(&["$share/group/a", "a/#", "b"]);
    let terms = ConnackProperties {
        wildcard_subscription_available: Some(false),
        shared_subscription_available: Some(false),
        ..Default::default()
    };
    s.reconnected_with(false, terms);
    s.expect_event(lost("a/#", Some(ReasonCode::WildcardSubscriptionsNotSupported)));
    s.expect_event(lost("$share/group/a", Some(ReasonCode::SharedSubscriptionsNotSupported)));
    s.expect_sent(subscribe(2, None, &subscriptions(&["b"])));
    s.broker_sends(suback(2, &[GRANTED]));
    s.expect_event(restored("b"));
}

#[test]
fn many_subscriptions_are_restored_in_packets_that_the_broker_takes() {
    let filters: Vec<String> = (0..1000).map(|n| format!("a/topic/filter/of/some/length/{n:04}")).collect();
    let mut s = Scenario::connected();
    for chunk in filters.chunks(50) {
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
        let operation = s.subscribe(&chunk);
        let bytes = s.take_sent().pop().unwrap();
        answer(&mut s, &bytes);
        expect_subscribed(&mut s, operation);
    }
    s.reconnected_with(false, ConnackProperties { maximum_packet_size: Some(1000), ..Default::default() });
    let mut told = Vec::new();
    loop {
        let sent = s.take_sent();
        if sent.is_empty() {
            break;
        }
        for bytes in sent {
            assert!(bytes.len() <= 1000, "a packet of {} bytes", bytes.len());
            answer(&mut s, &bytes);
        }
        told.extend(s.take_events());
    }
    assert_eq!(told, filters.iter().map(|filter| restored(filter)).collect::<Vec<_>>());
}

#[test]
fn restoring_waits_for_room_whatever_size_the_broker_takes() {
    let filters: Vec<String> = (0..20).map(|n| format!("a/topic/filter/{n:02}")).collect();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    let mut s = subscribed_with(options().outbound_limit(60), &filters);
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    s.connect();
    s.expect_connect();
    s.network_stalls();
    s.broker_sends(connack(false, ConnackProperties { maximum_packet_size: Some(100), ..Default::default() }));
    s.expect_event(Event::Connected { session_present: false });
    assert!(s.waiting_to_be_sent() <= 100, "one packet, and the others wait");
    s.network_flows();
    let mut told = Vec::new();
    while told.len() < filters.len() {
        for bytes in s.take_sent() {
            answer(&mut s, &bytes);
        }
        let events = s.take_events();
        assert!(!events.is_empty(), "restoring goes on");
        told.extend(events);
    }
    assert_eq!(told, filters.iter().map(|filter| restored(filter)).collect::<Vec<_>>());
}

/// What each SUBSCRIBE that was sent asks for.
fn asked_for(s: &mut Scenario) -> Vec<(u16, Vec<String>)> {
    let sent = s.take_sent();
    let asked = sent.iter().map(|bytes| match Packet::decode(bytes) {
        Ok(Some((Packet::Subscribe(asked), _))) => {
            (asked.packet_id.get(), asked.subscriptions.iter().map(|entry| entry.filter.to_owned()).collect())
        }
        other => panic!("SUBSCRIBE alone: {other:?}"),
    });
    asked.collect()
}

#[test]
fn fewer_are_restored_at_once_by_a_broker_that_closes_at_many() {
    let filters: Vec<String> = (10..50).map(|n| format!("a/{n}")).collect();
    let mut s = subscribed(&filters.iter().map(String::as_str).collect::<Vec<_>>());
    // As AWS IoT does: eight to a SUBSCRIBE, or the connection is over, and the session with it.
    let limit = 8;
    let (mut sizes, mut told) = (Vec::new(), Vec::new());
    while told.len() < filters.len() {
        s.reconnected(false);
        for (packet_id, asked) in asked_for(&mut s) {
            if sizes.last() != Some(&asked.len()) {
                sizes.push(asked.len());
            }
            if asked.len() > limit {
                s.connection_is_lost();
                s.expect_disconnected(Error::ConnectionClosed);
                break;
            }
            s.broker_sends(suback(packet_id, &vec![GRANTED; asked.len()]));
            told.extend(s.take_events());
        }
    }
    assert_eq!(sizes, [40, 20, 10, 5]);
    assert_eq!(told, filters.iter().map(|filter| restored(filter)).collect::<Vec<_>>());
    // What was learned holds for the next time.
    s.reconnected(false);
    assert!(asked_for(&mut s).iter().all(|(_, asked)| asked.len() <= limit));
}

#[test]
fn few_are_asked_for_together_until_the_network_is_not_to_blame() {
    let mut s = subscribed(&["a", "b"]);
    for _ in 0..3 {
        s.reconnected(false);
        assert_eq!(asked_for(&mut s).len(), 1);
    }
    for _ in 0..3 {
        s.reconnected(false);
        assert_eq!(asked_for(&mut s).len(), 2);
    }
    for (packet_id, filter) in asked_for_again(&mut s) {
        s.broker_sends(suback(packet_id, &[GRANTED]));
        s.expect_event(restored(&filter));
    }
}

/// As [`asked_for`] over another connection, one by one.
fn asked_for_again(s: &mut Scenario) -> Vec<(u16, String)> {
    s.reconnected(false);
    asked_for(s).into_iter().map(|(packet_id, filters)| (packet_id, filters.concat())).collect()
}

#[test]
fn filter_that_the_broker_ends_the_connection_for_is_lost_alone() {
    let mut s = subscribed(&["a", "b", "c"]);
    let refusal = ReasonCode::WildcardSubscriptionsNotSupported;
    let refused = |s: &mut Scenario| {
        s.broker_sends(disconnect(refusal));
        s.expect_disconnected(Error::Disconnected(Box::new(refusal.into())));
    };
    // They were asked for together, and so it is not known which it is.
    s.reconnected(false);
    assert_eq!(asked_for(&mut s).len(), 1);
    refused(&mut s);
    let again = asked_for_again(&mut s);
    assert_eq!(again.len(), 3);
    s.broker_sends(suback(again[0].0, &[GRANTED]));
    s.expect_event(restored("a"));
    refused(&mut s);
    s.expect_event(lost("b", Some(refusal)));
    let again: Vec<_> = asked_for_again(&mut s).into_iter().map(|(_, filter)| filter).collect();
    assert_eq!(again, ["c", "a"]);
}

/// The broker grants everything that this SUBSCRIBE asks for.
fn answer(s: &mut Scenario, bytes: &[u8]) {
    let Some((Packet::Subscribe(subscribe), _)) = Packet::decode(bytes).unwrap() else { panic!("SUBSCRIBE") };
    let codes = vec![GRANTED; subscribe.subscriptions.iter().count()];
    s.broker_sends(suback(subscribe.packet_id.get(), &codes));
}

#[test]
fn subscription_that_the_user_makes_again_is_not_restored_behind_its_back() {
    let mut s = subscribed(&["a"]);
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    s.reconnected(true);
    let again = Subscription::new("a", QoS::AtMostOnce);
    let operation = s.try_subscribe(&[again], Default::default()).unwrap();
    s.expect_sent(subscribe(2, None, &[again]));
    s.broker_sends(suback(2, &[ReasonCode::Success]));
    expect_subscribed(&mut s, operation);
    s.reconnected(false);
    s.expect_sent(subscribe(3, None, &[again]));
    s.broker_sends(suback(3, &[ReasonCode::Success]));
    s.expect_event(Event::SubscriptionRestored { filter: "a".into(), qos: QoS::AtMostOnce });
}

#[test]
fn as_few_filters_are_restored_at_once_as_the_options_say() {
    let filters = ["a", "b", "c", "d", "e"];
    let mut s = subscribed_with(options().filters_per_subscribe(2), &filters);
    s.reconnected(false);
    s.expect_sent_all(&[
        subscribe(2, None, &subscriptions(&filters[..2])),
        subscribe(3, None, &subscriptions(&filters[2..4])),
        subscribe(4, None, &subscriptions(&filters[4..])),
    ]);
}
