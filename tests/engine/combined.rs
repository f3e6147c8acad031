//! What goes wrong when two things meet that are harmless alone.

use std::time::Duration;

use mqtt_wasi::codec::{
    ConnackProperties, Disconnect, DisconnectProperties, Packet, PacketType, Publish, PublishProperties, QoS,
    ReasonCode, Subscription,
};
use mqtt_wasi::engine::{Enqueueing, Overflow};
use mqtt_wasi::{Authenticator, Error, Event, Options, Reconnect, Responder};

use crate::calls::Came;
use crate::packets::{self, connack, disconnect, puback, publish, suback, unsuback};
use crate::scenario::{ALL, Mode, SECOND, Scenario, a_message, decode, options, unreachable};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;

/// Trusts so many brokers, and no other.
#[derive(Clone)]
struct Distrustful(u32);

impl Authenticator for Distrustful {
    fn method(&self) -> &str {
        "method"
    }

    fn start(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(Some(Vec::new()))
    }

    fn answer(&mut self, _: &[u8]) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn finish(&mut self, _: &[u8]) -> Result<(), String> {
        self.0 = self.0.checked_sub(1).ok_or("not to be trusted")?;
        Ok(())
    }
}

fn terms() -> ConnackProperties<'static> {
    ConnackProperties { authentication_method: Some("method"), ..ConnackProperties::default() }
}

fn without_identifiers() -> ConnackProperties<'static> {
    ConnackProperties { subscription_identifier_available: Some(false), ..ConnackProperties::default() }
}

fn reconnecting() -> Options {
    options().reconnect(Reconnect::default())
}

fn not_trusted() -> Error {
    Error::Authentication("not to be trusted".into())
}

/// The connection is lost, and made again.
fn connect_anew(s: &mut Scenario, session_present: bool, terms: ConnackProperties<'_>) {
    s.broker_closes();
    s.expect_closed();
    s.wait(2 * SECOND);
    s.expect_dial("a:1883");
    s.attempt_succeeds();
    s.broker_takes_connection(session_present, terms);
}

#[test]
fn broker_that_is_not_trusted_is_not_listened_to() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, reconnecting().authenticator(Distrustful(1)), terms());
        let listener = (mode == Mode::Listeners).then(|| s.listen_to_everything(Overflow::default()));
        let message = s.publish(QOS_1, "a", "1");
        s.expect_sent(publish(QOS_1, 1, "a", "1"));
        s.broker_closes();
        s.expect_closed();
        s.wait(SECOND);
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.expect_connect();
        s.broker_sends_all(&[connack(true, terms()), publish(QOS_0, 0, "command", "open the door"), puback(1)]);
        s.expect_sent(disconnect(ReasonCode::UnspecifiedError));
        s.expect_closed();
        s.expect_failed(message, not_trusted());
        match listener {
            Some(listener) => assert!(s.heard_by(listener).is_empty()),
            None => assert_eq!(s.receive(), None),
        }
        s.leave_the_rest();
    }
}

#[test]
fn broker_that_is_not_trusted_is_told_nothing() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, reconnecting().authenticator(Distrustful(1)), terms());
        let in_flight = s.publish(QOS_1, "secret", "1");
        s.expect_sent(publish(QOS_1, 1, "secret", "1"));
        s.network_stalls();
        let unsent = s.publish(QOS_0, "secret", "0");
        s.broker_closes();
        s.expect_closed();
        s.wait(SECOND);
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(false, terms());
        s.expect_sent(disconnect(ReasonCode::UnspecifiedError));
        s.expect_closed();
        s.expect_failed(in_flight, not_trusted());
        s.expect_failed(unsent, not_trusted());
        s.leave_the_rest();
    }
}

#[test]
fn message_that_did_not_leave_is_not_taken_for_sent_when_the_next_broker_errs() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, reconnecting(), ConnackProperties::default());
        s.network_stalls();
        let message = s.publish(QOS_0, "a", "1");
        s.broker_closes();
        s.expect_closed();
        s.wait(SECOND);
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.expect_connect();
        // It may not say that before CONNACK.
        s.broker_sends(puback(1));
        s.expect_sent(disconnect(ReasonCode::ProtocolError));
        s.expect_closed();
        s.expect_pending(message);
        s.leave_the_rest();
    }
}

#[test]
fn batch_tells_what_had_left_when_the_connection_ended() {
    for mode in ALL {
        let mut s = Scenario::connected(mode);
        let len = packets::bytes(&publish(QOS_0, 0, "a", "1")).len();
        s.network_takes(3 * len);
        let batch = s.publish_all(&["1", "2", "3", "4", "5"].map(|payload| a_message(QOS_0, "a", payload)));
        s.expect_sent_all(&["1", "2", "3"].map(|payload| publish(QOS_0, 0, "a", payload)));
        s.broker_closes();
        s.expect_closed();
        let mut results = vec![Ok(ReasonCode::Success); 3];
        results.resize(5, Err(Error::ConnectionClosed));
        s.expect(batch, Came::Batch(results));
        s.leave_the_rest();
    }
}

#[test]
fn message_that_the_next_broker_does_not_take_is_told_of_though_nobody_waits_for_it() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, reconnecting(), ConnackProperties::default());
        let payload = "x".repeat(100);
        let enqueued = s.ask(Enqueueing(Box::leak(Box::new(a_message(QOS_1, "a", &payload)))));
        s.expect_done(enqueued);
        s.expect_sent(publish(QOS_1, 1, "a", &payload));
        connect_anew(&mut s, true, ConnackProperties { maximum_packet_size: Some(50), ..Default::default() });
        s.expect_event(Event::Disconnected(Error::ConnectionClosed));
        s.expect_event(Event::Connected { session_present: true });
        s.expect_event(Event::MessageGivenUp { topic: "a".into(), attempts: 1 });
        s.expect_usable();
    }
}

#[test]
fn message_of_a_lost_session_stays_in_its_inbox_when_the_next_session_is_kept() {
    let mut s = Scenario::connected_with(Mode::Listeners, reconnecting(), ConnackProperties::default());
    let (listener, listening) = s.listen("a", Overflow::default());
    s.broker_grants("a");
    s.expect_subscribed(listening);
    s.broker_sends(publish(QOS_1, 1, "a", "1"));
    connect_anew(&mut s, false, ConnackProperties::default());
    s.broker_grants("a");
    connect_anew(&mut s, true, ConnackProperties::default());
    assert_eq!(s.heard_by(listener), ["1"]);
    s.leave_the_rest();
}

#[test]
fn listener_goes_on_at_a_broker_without_subscription_identifiers() {
    let mut s = Scenario::connected_with(Mode::Listeners, reconnecting(), ConnackProperties::default());
    let (listener, listening) = s.listen("a", Overflow::default());
    assert!(s.broker_grants("a").is_some());
    s.expect_subscribed(listening);
    connect_anew(&mut s, false, without_identifiers());
    assert_eq!(s.broker_grants("a"), None);
    s.broker_sends(publish(QOS_0, 0, "a", "1"));
    assert_eq!(s.heard_by(listener), ["1"]);
    s.leave_the_rest();
}

#[test]
fn listening_begins_at_a_broker_without_subscription_identifiers() {
    let mut s = Scenario::connected_with(Mode::Listeners, reconnecting(), ConnackProperties::default());
    s.broker_closes();
    s.expect_closed();
    let (_, listening) = s.listen("a", Overflow::default());
    s.wait(2 * SECOND);
    s.expect_dial("a:1883");
    s.attempt_succeeds();
    s.broker_takes_connection(false, without_identifiers());
    assert_eq!(s.broker_grants("a"), None);
    s.expect_subscribed(listening);
    s.leave_the_rest();
}

#[test]
fn listeners_to_one_filter_all_hear_once_there_are_subscription_identifiers() {
    let mut s = Scenario::connected_with(Mode::Listeners, reconnecting(), without_identifiers());
    let (one, listening) = s.listen("a", Overflow::default());
    s.broker_grants("a");
    s.expect_subscribed(listening);
    connect_anew(&mut s, false, ConnackProperties::default());
    s.broker_grants("a");
    let (other, listening) = s.listen("a", Overflow::default());
    let identifiers: Vec<u32> = s.broker_grants("a").into_iter().collect();
    s.expect_subscribed(listening);
    let properties =
        PublishProperties { subscription_identifiers: identifiers.as_slice().into(), ..PublishProperties::default() };
    s.broker_sends(Packet::Publish(Publish::new("a", "1").properties(properties)));
    assert_eq!((s.heard_by(one), s.heard_by(other)), (vec!["1".to_owned()], vec!["1".to_owned()]));
    s.leave_the_rest();
}

#[test]
fn call_behind_messages_has_time_for_as_long_as_they_are_taken() {
    let options = options().backlog_limit(2000);
    let mut s = Scenario::connected_with(Mode::Listeners, options, ConnackProperties::default());
    let listener = s.listen_to_everything(Overflow::Wait(20));
    let message = s.publish(QOS_1, "p", "");
    s.expect_sent(publish(QOS_1, 1, "p", ""));
    let payload = "x".repeat(100);
    let mut sent: Vec<_> = (1..=200).map(|id| publish(QOS_1, id, "a", &payload)).collect();
    sent.push(puback(1));
    s.broker_sends_all(&sent);
    for _ in 0..8 {
        s.wait(SECOND / 4);
        assert!(s.hear_one(listener).is_some());
        s.expect_pending(message);
    }
    s.wait(SECOND);
    s.expect_failed(message, Error::AnswerBehindMessages);
    s.leave_the_rest();
}

#[test]
fn listener_hears_what_came_though_another_was_full_when_the_connection_ended() {
    let mut s = Scenario::connected(Mode::Listeners);
    let (full, listening) = s.listen("a", Overflow::Wait(1));
    s.broker_grants("a");
    s.expect_subscribed(listening);
    let (listener, listening) = s.listen("b", Overflow::default());
    s.broker_grants("b");
    s.expect_subscribed(listening);
    let event = s.next_event(Duration::MAX);
    s.broker_sends_all(&[publish(QOS_0, 0, "a", "1"), publish(QOS_0, 0, "a", "2"), publish(QOS_0, 0, "b", "3")]);
    s.broker_closes();
    s.expect_closed();
    assert!(s.take(event).is_ok());
    assert_eq!(s.heard_by(listener), ["3"]);
    assert_eq!(s.heard_by(full), ["1", "2"]);
    s.leave_the_rest();
}

#[test]
fn acknowledging_twice_takes_nobody_elses_part() {
    let mut s = Scenario::connected(Mode::Listeners);
    let (one, other) = (s.listen_to_everything(Overflow::default()), s.listen_to_everything(Overflow::default()));
    s.broker_sends(publish(QOS_1, 1, "a", "1"));
    let (_, delivery) = s.take_message(one).unwrap();
    for _ in 0..2 {
        assert!(!s.engine.acknowledge(delivery.unwrap()));
        s.settle();
        s.expect_nothing_sent();
    }
    let (_, delivery) = s.take_message(other).unwrap();
    assert!(s.engine.acknowledge(delivery.unwrap()));
    s.settle();
    s.expect_sent(puback(1));
}

#[test]
fn request_that_another_listener_got_too_is_acknowledged_once_both_are_done() {
    let mut s = Scenario::connected(Mode::Listeners);
    let all = s.listen_to_everything(Overflow::default());
    let (listener, listening) = s.listen("q", Overflow::default());
    s.broker_grants("q");
    s.expect_subscribed(listening);
    let responder = s.engine.open_responder(Responder::new());
    let properties =
        PublishProperties { response_topic: Some("r"), correlation_data: Some(b"1"), ..PublishProperties::default() };
    s.broker_sends(Packet::Publish(packets::message(QOS_1, 1, "q", "?").properties(properties)));
    let (message, delivery) = s.take_message(listener).unwrap();
    let now = s.now();
    let request = s.engine.accept(responder, message, delivery, now).unwrap();
    let replied = s.reply(responder, &request, "!");
    s.expect_done(replied);
    let sent: Vec<_> = s.take_sent().iter().map(|packet| decode(packet).packet_type()).collect();
    assert_eq!(sent, [PacketType::Publish]);
    assert_eq!(s.hear_one(all).as_deref(), Some("?"));
    s.expect_sent(puback(1));
    s.leave_the_rest();
}

#[test]
fn listener_that_comes_and_goes_meanwhile_leaves_nothing_subscribed() {
    let options = reconnecting().clean_start(false).session_expiry_interval(3600);
    let mut s = Scenario::connected_with(Mode::Listeners, options, ConnackProperties::default());
    let (first, listening) = s.listen("a", Overflow::default());
    s.broker_grants("a");
    s.expect_subscribed(listening);
    s.broker_closes();
    s.expect_closed();
    s.close_listener(first);
    let (second, listening) = s.listen("a", Overflow::default());
    s.cancel(listening);
    s.close_listener(second);
    s.wait(SECOND);
    s.expect_dial("a:1883");
    s.attempt_succeeds();
    s.broker_takes_connection(true, ConnackProperties::default());
    s.expect_unsubscribe("a");
    s.leave_the_rest();
}

#[test]
fn subscription_that_is_ended_before_it_is_granted_is_none_of_the_users() {
    let mut s = Scenario::connected(Mode::Listeners);
    let (subscribing, unsubscribing) = (s.subscribe("a"), s.unsubscribe("a"));
    let (subscribe, _) = s.expect_subscribe(Subscription::new("a", QOS_1));
    let unsubscribe = s.expect_unsubscribe("a");
    s.broker_sends_all(&[suback(subscribe, &[ReasonCode::GrantedQos1]), unsuback(unsubscribe, &[ReasonCode::Success])]);
    s.expect_subscribed(subscribing);
    s.expect_unsubscribed(unsubscribing);
    let (listener, listening) = s.listen("a", Overflow::default());
    s.broker_grants("a");
    s.expect_subscribed(listening);
    s.close_listener(listener);
    s.expect_unsubscribe("a");
    s.leave_the_rest();
}

#[test]
fn policy_counts_attempts_that_fail_and_no_others() {
    let options = options().reconnect(Reconnect { attempts: Some(2), ..Reconnect::default() });
    let mut s = Scenario::connected_with(Mode::Listeners, options, ConnackProperties::default());
    for _ in 0..6 {
        s.wait(50 * SECOND);
        s.broker_closes();
        s.expect_closed();
        for _ in 0..1000 {
            if !s.engine.is_dialing() {
                s.wait(SECOND / 10);
            }
        }
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(true, ConnackProperties::default());
    }
    s.leave_the_rest();
}

#[test]
fn redirects_with_days_between_them_are_all_followed() {
    let mut s = Scenario::connected_with(Mode::Listeners, reconnecting(), ConnackProperties::default());
    for number in 0..6 {
        s.wait(Duration::from_secs(24 * 3600));
        let reference = format!("host{number}");
        let properties = DisconnectProperties { server_reference: Some(&reference), ..DisconnectProperties::default() };
        s.broker_sends(Packet::Disconnect(Disconnect { reason_code: ReasonCode::UseAnotherServer, properties }));
        s.expect_closed();
        s.wait(SECOND);
        s.expect_dial(&format!("host{number}:1883"));
        s.attempt_succeeds();
        s.broker_takes_connection(true, ConnackProperties::default());
    }
    s.leave_the_rest();
}

#[test]
fn policy_goes_on_when_connecting_by_hand_fails() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, reconnecting(), ConnackProperties::default());
        let message = s.publish(QOS_1, "a", "1");
        s.expect_sent(publish(QOS_1, 1, "a", "1"));
        s.broker_closes();
        s.expect_closed();
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_fails(unreachable());
        s.expect_failed(connecting, unreachable());
        s.expect_pending(message);
        s.wait(2 * SECOND);
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(false, ConnackProperties::default());
        s.expect_sent(publish(QOS_1, 1, "a", "1"));
        s.broker_sends(puback(1));
        s.expect_published(message);
        s.leave_the_rest();
    }
}

#[test]
fn message_that_did_not_leave_is_not_taken_for_sent_when_the_user_leaves_before_the_next_connection() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, reconnecting(), ConnackProperties::default());
        s.network_stalls();
        let message = s.publish(QOS_0, "a", "1");
        s.broker_closes();
        s.expect_closed();
        s.wait(SECOND);
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.expect_connect();
        s.network_stalls();
        // It may not say that before CONNACK, and DISCONNECT does not leave.
        s.broker_sends(puback(1));
        let disconnecting = s.disconnect();
        s.expect_pending(message);
        s.wait(5 * SECOND);
        s.expect_closed();
        s.expect_failed(disconnecting, Error::Timeout);
        assert!(s.take(message).is_err());
        s.leave_the_rest();
    }
}

#[test]
fn batch_tells_what_had_left_over_an_earlier_connection() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, reconnecting(), ConnackProperties::default());
        let len = packets::bytes(&publish(QOS_0, 0, "a", "1")).len();
        s.network_takes(len + 3);
        let batch = s.publish_all(&["1", "2"].map(|payload| a_message(QOS_0, "a", payload)));
        s.expect_sent(publish(QOS_0, 0, "a", "1"));
        s.broker_closes();
        s.expect_closed();
        s.wait(SECOND);
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.expect_connect();
        s.network_stalls();
        s.broker_sends(connack(false, ConnackProperties::default()));
        let disconnecting = s.disconnect();
        s.wait(5 * SECOND);
        s.expect_closed();
        s.expect_failed(disconnecting, Error::Timeout);
        let Ok(Came::Batch(results)) = s.take(batch) else { panic!("a result for each message") };
        assert_eq!(results[0], Ok(ReasonCode::Success));
        assert!(results[1].is_err());
        s.leave_the_rest();
    }
}
