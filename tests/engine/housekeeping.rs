//! What is asked of the broker when listeners come and go.

use mqtt_wasi::codec::{
    ConnackProperties, Packet, Publish, PublishProperties, QoS, ReasonCode, RetainHandling, SubscribeProperties,
    Subscription,
};
use mqtt_wasi::engine::{ListenerId, Overflow, Subscribing};
use mqtt_wasi::{Event, Options, Reconnect};

use crate::packets::{message, publish, suback, unsuback};
use crate::scenario::{Mode, SECOND, Scenario, kept, options};

fn lasting() -> Options {
    options().clean_start(false).session_expiry_interval(3600).reconnect(Reconnect::default())
}

fn connected() -> Scenario {
    Scenario::connected_with(Mode::Listeners, lasting(), ConnackProperties::default())
}

/// A listener to `a` whose subscription the broker has granted, and its Subscription Identifier.
fn listening(s: &mut Scenario) -> (ListenerId, u32) {
    let (listener, listening) = s.listen("a", Overflow::default());
    let identifier = s.broker_grants("a").expect("a Subscription Identifier");
    s.expect_subscribed(listening);
    (listener, identifier)
}

fn lose_connection(s: &mut Scenario) {
    s.broker_closes();
    s.expect_closed();
}

fn connect_again(s: &mut Scenario, session_present: bool) {
    s.wait(SECOND);
    s.expect_dial("a:1883");
    s.attempt_succeeds();
    s.broker_takes_connection(session_present, ConnackProperties::default());
}

/// What a user subscribes to, that can be told from what a listener does.
fn own() -> Subscription<'static> {
    Subscription { no_local: true, retain_as_published: true, ..Subscription::new("a", QoS::ExactlyOnce) }
}

/// The user subscribes to that, with the Subscription Identifier 5, and the broker grants it.
fn subscribe_for_oneself(s: &mut Scenario) {
    let subscriptions = kept::<[_]>(vec![own()]);
    let properties = SubscribeProperties { subscription_identifier: Some(5), ..SubscribeProperties::default() };
    let subscribing = s.ask(Subscribing { subscriptions, properties });
    let (packet_id, identifier) = s.expect_subscribe(own());
    assert_eq!(identifier, Some(5));
    s.broker_sends(suback(packet_id, &[ReasonCode::GrantedQos2]));
    assert!(s.take(subscribing).is_ok());
}

/// The user's own subscription is made again, as it was.
fn expect_own_again(s: &mut Scenario) {
    let again = Subscription { retain_handling: RetainHandling::DoNotSend, ..own() };
    let (packet_id, identifier) = s.expect_subscribe(again);
    assert_eq!(identifier, Some(5));
    s.broker_sends(suback(packet_id, &[ReasonCode::GrantedQos2]));
}

/// The broker sends a message of the subscriptions that have these identifiers.
fn broker_sends_of(s: &mut Scenario, identifiers: &[u32], message: Publish<'_>) {
    let properties = PublishProperties { subscription_identifiers: identifiers.into(), ..PublishProperties::default() };
    s.broker_sends(Packet::Publish(message.properties(properties)));
}

#[test]
fn filter_that_nobody_listens_to_any_more_is_unsubscribed_from() {
    let mut s = connected();
    let (one, _) = listening(&mut s);
    let other = s.engine.open_listener(Some("a"), Overflow::default(), s.now());
    s.close_listener(one);
    s.expect_nothing_sent();
    s.close_listener(other);
    let packet_id = s.expect_unsubscribe("a");
    s.broker_sends(unsuback(packet_id, &[ReasonCode::Success]));
    assert_eq!(s.engine.kept(), 0);
    lose_connection(&mut s);
    connect_again(&mut s, false);
    s.expect_usable();
}

#[test]
fn own_subscription_of_the_user_stays() {
    let mut s = connected();
    subscribe_for_oneself(&mut s);
    let (listener, identifier) = listening(&mut s);
    assert_ne!(identifier, 5);
    s.close_listener(listener);
    expect_own_again(&mut s);
    assert_eq!(s.engine.kept(), 0);
    // It is what is restored, too.
    lose_connection(&mut s);
    connect_again(&mut s, false);
    expect_own_again(&mut s);
    s.expect_usable();
}

#[test]
fn own_subscription_of_the_user_stays_though_there_is_no_connection() {
    for session_present in [false, true] {
        let mut s = connected();
        subscribe_for_oneself(&mut s);
        let (listener, _) = listening(&mut s);
        lose_connection(&mut s);
        s.close_listener(listener);
        connect_again(&mut s, session_present);
        if !session_present {
            // What the listener had is restored first.
            s.broker_grants("a");
        }
        expect_own_again(&mut s);
        assert_eq!(s.engine.kept(), 0);
        s.expect_usable();
    }
}

#[test]
fn own_subscription_that_is_under_way_when_a_listener_closes_stays() {
    let mut s = connected();
    let (listener, _) = listening(&mut s);
    let subscribing = s.subscribe("a");
    let (packet_id, _) = s.expect_subscribe(Subscription::new("a", QoS::AtLeastOnce));
    s.close_listener(listener);
    s.broker_sends(suback(packet_id, &[ReasonCode::GrantedQos1]));
    s.expect_subscribed(subscribing);
    // What was asked last is in effect.
    let mut is_subscribed = true;
    for packet in s.take_sent() {
        match crate::scenario::decode(&packet) {
            Packet::Subscribe(_) => is_subscribed = true,
            Packet::Unsubscribe(_) => is_subscribed = false,
            other => panic!("neither: {other:?}"),
        }
    }
    assert!(is_subscribed);
}

#[test]
fn own_subscription_that_was_given_up_does_not_stay() {
    let mut s = connected();
    subscribe_for_oneself(&mut s);
    let (listener, _) = listening(&mut s);
    let unsubscribing = s.unsubscribe("a");
    let packet_id = s.expect_unsubscribe("a");
    s.broker_sends(unsuback(packet_id, &[ReasonCode::Success]));
    s.expect_unsubscribed(unsubscribing);
    s.close_listener(listener);
    s.expect_unsubscribe("a");
}

#[test]
fn listener_that_closes_without_a_connection_is_unsubscribed_over_the_next() {
    let mut s = connected();
    let (listener, _) = listening(&mut s);
    lose_connection(&mut s);
    s.close_listener(listener);
    connect_again(&mut s, true);
    let packet_id = s.expect_unsubscribe("a");
    s.broker_sends(unsuback(packet_id, &[ReasonCode::Success]));
    assert_eq!(s.engine.kept(), 0);
    s.expect_usable();
}

#[test]
fn listener_that_closes_without_a_connection_is_not_restored() {
    let mut s = connected();
    let (listener, _) = listening(&mut s);
    lose_connection(&mut s);
    s.close_listener(listener);
    connect_again(&mut s, false);
    s.expect_nothing_sent();
    assert_eq!(s.engine.kept(), 0);
    s.expect_usable();
}

#[test]
fn unsubscribing_that_the_connection_ends_before_is_done_over_the_next() {
    let mut s = connected();
    let (listener, _) = listening(&mut s);
    s.close_listener(listener);
    s.expect_unsubscribe("a");
    lose_connection(&mut s);
    connect_again(&mut s, true);
    let packet_id = s.expect_unsubscribe("a");
    s.broker_sends(unsuback(packet_id, &[ReasonCode::Success]));
    assert_eq!(s.engine.kept(), 0);
}

#[test]
fn listener_that_closes_before_it_is_subscribed_is_not_restored() {
    let mut s = connected();
    let (listener, listening) = s.listen("a", Overflow::default());
    let (packet_id, _) = s.expect_subscribe(Subscription::new("a", QoS::AtLeastOnce));
    s.cancel(listening);
    s.close_listener(listener);
    s.expect_unsubscribe("a");
    s.broker_sends(suback(packet_id, &[ReasonCode::GrantedQos1]));
    lose_connection(&mut s);
    connect_again(&mut s, false);
    s.expect_nothing_sent();
    s.expect_usable();
}

#[test]
fn listener_that_comes_back_in_time_stays_subscribed() {
    let mut s = connected();
    let (listener, _) = listening(&mut s);
    lose_connection(&mut s);
    s.close_listener(listener);
    let (listener, listening) = s.listen("a", Overflow::default());
    connect_again(&mut s, true);
    let identifier = s.broker_grants("a");
    s.expect_subscribed(listening);
    broker_sends_of(&mut s, &[identifier.expect("a Subscription Identifier")], message(QoS::AtMostOnce, 0, "a", "1"));
    assert_eq!(s.heard_by(listener), ["1"]);
    s.expect_usable();
}

#[test]
fn listeners_are_subscribed_again_when_the_broker_has_lost_the_session() {
    let mut s = connected();
    let (listener, identifier) = listening(&mut s);
    lose_connection(&mut s);
    connect_again(&mut s, false);
    assert_eq!(s.broker_grants("a"), Some(identifier));
    s.broker_sends(publish(QoS::AtMostOnce, 0, "a", "1"));
    assert_eq!(s.heard_by(listener), ["1"]);
    s.expect_event(Event::Disconnected(mqtt_wasi::Error::ConnectionClosed));
    s.expect_event(Event::Connected { session_present: false });
    s.expect_event(Event::SubscriptionRestored { filter: "a".into(), qos: QoS::AtLeastOnce });
    s.expect_no_event();
}

#[test]
fn message_that_names_a_subscription_twice_comes_once() {
    let mut s = connected();
    let (listener, identifier) = listening(&mut s);
    let everything = s.listen_to_everything(Overflow::default());
    broker_sends_of(&mut s, &[identifier, identifier], message(QoS::AtLeastOnce, 1, "a", "1"));
    assert_eq!(s.heard_by(listener), ["1"]);
    assert_eq!(s.heard_by(everything), ["1"]);
    s.expect_sent(crate::packets::puback(1));
}

#[test]
fn unsubscribing_waits_for_room() {
    let options = lasting().outbound_limit(64);
    let mut s = Scenario::connected_with(Mode::Listeners, options, ConnackProperties::default());
    let (listener, _) = listening(&mut s);
    s.network_stalls();
    let fills_the_buffer = s.publish(QoS::AtMostOnce, "b", &"x".repeat(60));
    s.close_listener(listener);
    s.network_flows();
    s.expect_sent(publish(QoS::AtMostOnce, 0, "b", &"x".repeat(60)));
    s.expect_published(fills_the_buffer);
    s.expect_unsubscribe("a");
}
