//! How connections are made, made again, and given up.

use mqtt_wasi::codec::PacketType;
use mqtt_wasi::codec::{Connack, ConnackProperties, Disconnect, DisconnectProperties, Packet, QoS, ReasonCode};
use mqtt_wasi::{CallError, ConnectChanges, Error, Event, Options, ProtocolError, Reason, Reconnect, WillMessage};

use crate::calls::Came;
use crate::packets::{disconnect, puback, publish, reply, resent, unsuback};
use crate::scenario::{ALL, Asked, EVER, Mode, SECOND, Scenario, options, unreachable};

fn with_fallback() -> Options {
    options().fallback("mqtt://b")
}

fn normal_disconnect() -> Packet<'static> {
    disconnect(ReasonCode::NORMAL_DISCONNECTION)
}

fn refusal(reason_code: ReasonCode, server_reference: Option<&str>) -> Packet<'_> {
    let properties = ConnackProperties { server_reference, ..ConnackProperties::default() };
    Packet::Connack(Connack { session_present: false, reason_code, properties })
}

fn refused(reason_code: ReasonCode) -> Error {
    Error::ConnectionRefused(Box::new(Reason::from(reason_code)))
}

fn taken(session_present: bool) -> Connack<'static> {
    Connack { session_present, reason_code: ReasonCode::Success, properties: ConnackProperties::default() }
}

/// The attempt that is under way succeeds, and the broker takes the connection.
fn connect_at_last(s: &mut Scenario) {
    s.attempt_succeeds();
    s.broker_takes_connection(false, ConnackProperties::default());
}

#[test]
fn reconnecting_tries_the_fallbacks_without_a_policy() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, with_fallback(), ConnackProperties::default());
        let connecting = s.connect();
        s.expect_sent(normal_disconnect());
        s.expect_closed();
        s.expect_dial("a:1883");
        s.attempt_fails(unreachable());
        s.expect_dial("b:1883");
        connect_at_last(&mut s);
        s.expect_connected(connecting, false);
        s.expect_usable();
    }
}

#[test]
fn connecting_fails_with_the_last_failure() {
    for mode in ALL {
        let mut s = Scenario::new(mode, with_fallback());
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.expect_connect();
        s.broker_sends(refusal(ReasonCode::ServerUnavailable, None));
        s.expect_closed();
        s.expect_dial("b:1883");
        s.attempt_fails(unreachable());
        s.expect_failed(connecting, unreachable());
        let message = s.publish(QoS::AtMostOnce, "a", "0");
        s.expect_failed(message, unreachable());
        // The next time begins where this one ended.
        let connecting = s.connect();
        s.expect_dial("a:1883");
        connect_at_last(&mut s);
        s.expect_connected(connecting, false);
        s.expect_usable();
    }
}

#[test]
fn refusal_that_no_other_broker_would_change_ends_it() {
    for mode in ALL {
        let mut s = Scenario::new(mode, with_fallback().reconnect(Reconnect::default()));
        let connecting = s.connect();
        let waiting = s.wait_for_connection();
        let calls = [
            s.publish(QoS::AtMostOnce, "a", "0"),
            s.publish(QoS::AtLeastOnce, "a", "1"),
            s.subscribe("a"),
            s.unsubscribe("a"),
            s.request("q", EVER),
            s.next_event(EVER),
            s.flush(),
        ];
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.expect_connect();
        s.broker_sends(refusal(ReasonCode::NotAuthorized, None));
        s.expect_closed();
        for call in [connecting, waiting].into_iter().chain(calls) {
            s.expect_failed(call, refused(ReasonCode::NotAuthorized));
        }
        s.wait(600 * SECOND);
        assert_eq!(s.engine.kept(), 0);
    }
}

#[test]
fn calls_that_wait_are_done_once_there_is_a_connection() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options());
        let connecting = s.connect();
        let waiting = s.wait_for_connection();
        let first = s.publish(QoS::AtLeastOnce, "a", "1");
        let second = s.publish(QoS::AtLeastOnce, "a", "2");
        s.expect_dial("a:1883");
        connect_at_last(&mut s);
        s.expect_connected(connecting, false);
        s.expect_connected(waiting, false);
        s.expect_sent_all(&[publish(QoS::AtLeastOnce, 1, "a", "1"), publish(QoS::AtLeastOnce, 2, "a", "2")]);
        s.broker_sends_all(&[puback(1), puback(2)]);
        s.expect_published(first);
        s.expect_published(second);
        let late = s.wait_for_connection();
        s.expect_connected(late, false);
    }
}

#[test]
fn reconnecting_while_disconnecting_does_both() {
    for mode in ALL {
        let mut s = Scenario::connected(mode);
        s.network_stalls();
        let disconnecting = s.disconnect();
        let connecting = s.connect();
        s.expect_pending(disconnecting);
        s.expect_pending(connecting);
        s.network_flows();
        s.expect_sent(normal_disconnect());
        s.expect_closed();
        s.expect_done(disconnecting);
        s.expect_dial("a:1883");
        connect_at_last(&mut s);
        s.expect_connected(connecting, false);
        s.expect_usable();
    }
}

#[test]
fn reconnecting_while_disconnecting_does_not_wait_for_a_dead_network() {
    for mode in ALL {
        let mut s = Scenario::connected(mode);
        s.network_stalls();
        let disconnecting = s.disconnect();
        let connecting = s.connect();
        s.wait(5 * SECOND);
        s.expect_failed(disconnecting, Error::Timeout);
        s.expect_closed();
        s.expect_dial("a:1883");
        connect_at_last(&mut s);
        s.expect_connected(connecting, false);
        s.expect_usable();
    }
}

#[test]
fn disconnecting_while_reconnecting_has_the_last_word() {
    for mode in ALL {
        let mut s = Scenario::connected(mode);
        s.network_stalls();
        let connecting = s.connect();
        let disconnecting = s.disconnect();
        s.network_flows();
        s.expect_sent(normal_disconnect());
        s.expect_closed();
        s.expect_done(disconnecting);
        s.expect_failed(connecting, CallError::NotConnected);
    }
}

#[test]
fn what_waits_is_sent_before_disconnecting() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, options().in_flight_limit(1), ConnackProperties::default());
        s.network_stalls();
        let once = s.publish(QoS::AtMostOnce, "a", "0");
        let in_flight = s.publish(QoS::AtLeastOnce, "a", "1");
        let waiting = s.publish(QoS::AtLeastOnce, "a", "2");
        let disconnecting = s.disconnect();
        let later = s.publish(QoS::AtMostOnce, "a", "3");
        s.network_flows();
        s.expect_sent_all(&[publish(QoS::AtMostOnce, 0, "a", "0"), publish(QoS::AtLeastOnce, 1, "a", "1")]);
        s.expect_sent(normal_disconnect());
        s.expect_closed();
        s.expect_published(once);
        s.expect_done(disconnecting);
        for call in [in_flight, waiting, later] {
            s.expect_failed(call, CallError::NotConnected);
        }
    }
}

#[test]
fn what_is_asked_while_reconnecting_waits_for_the_next_connection() {
    for mode in ALL {
        let mut s = Scenario::connected(mode);
        s.network_stalls();
        let connecting = s.connect();
        let message = s.publish(QoS::AtLeastOnce, "a", "1");
        let waiting = s.wait_for_connection();
        s.network_flows();
        s.expect_sent(normal_disconnect());
        s.expect_closed();
        s.expect_dial("a:1883");
        connect_at_last(&mut s);
        s.expect_connected(connecting, false);
        s.expect_connected(waiting, false);
        s.expect_sent(publish(QoS::AtLeastOnce, 1, "a", "1"));
        s.broker_sends(puback(1));
        s.expect_published(message);
    }
}

#[test]
fn disconnecting_again_gives_the_last_bytes_no_more_time() {
    for mode in ALL {
        let mut s = Scenario::connected(mode);
        s.network_stalls();
        let first = s.disconnect();
        s.wait(4 * SECOND);
        let second = s.disconnect();
        s.wait(SECOND);
        s.expect_closed();
        s.expect_failed(first, Error::Timeout);
        s.expect_failed(second, Error::Timeout);
    }
}

#[test]
fn disconnecting_twice_sends_one_disconnect() {
    for mode in ALL {
        let mut s = Scenario::connected(mode);
        s.network_stalls();
        let calls = [s.disconnect(), s.disconnect()];
        s.network_flows();
        s.expect_sent(normal_disconnect());
        s.expect_closed();
        calls.into_iter().for_each(|call| s.expect_done(call));
        let again = s.disconnect();
        s.expect_done(again);
    }
}

#[test]
fn reconnecting_goes_on_where_a_lost_connection_is_being_closed() {
    for mode in ALL {
        let mut s = Scenario::connected(mode);
        s.network_stalls();
        s.broker_sends(crate::packets::connack(false, ConnackProperties::default()));
        let connecting = s.connect();
        s.wait(5 * SECOND);
        s.expect_closed();
        s.expect_dial("a:1883");
        connect_at_last(&mut s);
        s.expect_connected(connecting, false);
        let error = Error::Protocol(ProtocolError::UnexpectedPacket(PacketType::Connack));
        s.expect_event(Event::Disconnected(error));
        s.expect_event(Event::Connected { session_present: false });
        s.expect_usable();
    }
}

#[test]
fn disconnecting_while_dialing_is_done_at_once() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options().reconnect(Reconnect::default()));
        let connecting = s.connect();
        s.expect_dial("a:1883");
        let message = s.publish(QoS::AtMostOnce, "a", "0");
        let disconnecting = s.disconnect();
        s.expect_done(disconnecting);
        s.expect_given_up();
        s.expect_failed(connecting, CallError::NotConnected);
        s.expect_failed(message, CallError::NotConnected);
        s.attempt_that_was_given_up_succeeds();
        s.wait(600 * SECOND);
        s.expect_no_dial();
    }
}

#[test]
fn disconnecting_while_the_broker_is_greeted_is_done_at_once() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options().reconnect(Reconnect::default()));
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.expect_connect();
        let disconnecting = s.disconnect();
        s.expect_done(disconnecting);
        s.expect_closed();
        s.expect_failed(connecting, CallError::NotConnected);
        s.wait(600 * SECOND);
        s.expect_no_dial();
    }
}

#[test]
fn disconnecting_while_an_attempt_is_due_is_done_at_once() {
    for mode in ALL {
        let options = options().reconnect(Reconnect::default());
        let mut s = Scenario::connected_with(mode, options, ConnackProperties::default());
        s.broker_closes();
        s.expect_closed();
        let disconnecting = s.disconnect();
        s.expect_done(disconnecting);
        s.wait(600 * SECOND);
        s.expect_no_dial();
    }
}

#[test]
fn connecting_while_an_attempt_is_due_does_not_wait_for_it() {
    for mode in ALL {
        let options = options().reconnect(Reconnect::default());
        let mut s = Scenario::connected_with(mode, options, ConnackProperties::default());
        s.broker_closes();
        s.expect_closed();
        let connecting = s.connect();
        s.expect_dial("a:1883");
        connect_at_last(&mut s);
        s.expect_connected(connecting, false);
        s.wait(60 * SECOND);
        s.expect_usable();
    }
}

#[test]
fn what_comes_of_an_earlier_attempt_is_ignored() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options());
        let first = s.connect();
        s.expect_dial("a:1883");
        let second = s.connect();
        s.expect_dial("a:1883");
        s.expect_replaced();
        let now = s.now();
        s.engine.connected(1, now);
        s.engine.connect_failed(1, unreachable(), now);
        s.settle();
        s.expect_pending(first);
        s.expect_pending(second);
        s.expect_nothing_sent();
        connect_at_last(&mut s);
        s.expect_connected(first, false);
        s.expect_connected(second, false);
        let now = s.now();
        for attempt in [1, 2, 3] {
            s.engine.connected(attempt, now);
            s.engine.connect_failed(attempt, unreachable(), now);
        }
        s.settle();
        s.expect_usable();
    }
}

#[test]
fn broker_that_does_not_answer_is_left_for_the_next() {
    for mode in ALL {
        let mut s = Scenario::new(mode, with_fallback().connect_timeout(3 * SECOND));
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.expect_connect();
        s.wait(3 * SECOND);
        s.expect_closed();
        s.expect_dial("b:1883");
        s.attempt_succeeds();
        s.expect_connect();
        s.wait(3 * SECOND);
        s.expect_closed();
        s.expect_failed(connecting, Error::ConnectTimeout);
    }
}

#[test]
fn broker_that_names_another_is_followed() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options().reconnect(Reconnect::default()));
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.expect_connect();
        s.broker_sends(refusal(ReasonCode::UseAnotherServer, Some("b:2883")));
        s.expect_closed();
        s.expect_dial("b:2883");
        connect_at_last(&mut s);
        s.expect_connected(connecting, false);
        // Over a connection that was made, too.
        let properties = DisconnectProperties { server_reference: Some("c"), ..DisconnectProperties::default() };
        s.broker_sends(Packet::Disconnect(Disconnect { properties, ..Disconnect::new(ReasonCode::ServerMoved) }));
        s.expect_closed();
        s.expect_dial("c:1883");
        connect_at_last(&mut s);
        s.expect_usable();
    }
}

#[test]
fn brokers_that_name_each_other_are_followed_three_times() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options().reconnect(Reconnect { attempts: Some(0), ..Reconnect::default() }));
        let connecting = s.connect();
        for host in ["a:1883", "b:1883", "b:1883", "b:1883"] {
            s.expect_dial(host);
            s.attempt_succeeds();
            s.expect_connect();
            s.broker_sends(refusal(ReasonCode::UseAnotherServer, Some("b")));
            s.expect_closed();
        }
        let Err(Error::ConnectionRefused(reason)) = s.take(connecting) else { panic!("refused") };
        assert_eq!(reason.reason_code, ReasonCode::UseAnotherServer);
    }
}

#[test]
fn without_a_policy_nobody_else_is_logged_in_to() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options());
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.expect_connect();
        s.broker_sends(refusal(ReasonCode::UseAnotherServer, Some("b")));
        s.expect_closed();
        let Err(Error::ConnectionRefused(reason)) = s.take(connecting) else { panic!("refused") };
        assert_eq!(reason.server_reference.as_deref(), Some("b"));
    }
}

#[test]
fn why_the_broker_closed_the_connection_is_read_though_nothing_can_be_written() {
    for mode in ALL {
        let mut s = Scenario::connected(mode);
        let message = s.publish(QoS::AtLeastOnce, "a", "1");
        s.take_sent();
        s.driver_leaves();
        s.broker_sends(disconnect(ReasonCode::ServerShuttingDown));
        s.network_breaks();
        s.driver_returns();
        s.expect_closed();
        let error = Error::Disconnected(Box::new(ReasonCode::ServerShuttingDown.into()));
        s.expect_failed(message, error.clone());
        s.expect_event(Event::Disconnected(error));
    }
}

/// A client that finds its connection closed when it publishes a message at QoS 0, in the turn behind its call.
fn with_a_message_at_the_end(mode: Mode, options: Options, does_leave: bool) -> (Scenario, Asked) {
    let mut s = Scenario::connected_with(mode, options, ConnackProperties::default());
    if !does_leave {
        s.network_stalls();
    }
    s.users_leave();
    s.driver_leaves();
    s.broker_closes();
    let message = s.publish(QoS::AtMostOnce, "a", "0");
    s.driver_returns();
    s.expect_closed();
    s.users_return();
    (s, message)
}

#[test]
fn message_that_left_before_the_end_of_its_connection_is_published() {
    for mode in ALL {
        let (mut s, message) = with_a_message_at_the_end(mode, options(), true);
        s.expect_sent(publish(QoS::AtMostOnce, 0, "a", "0"));
        s.expect_published(message);
    }
}

#[test]
fn message_that_never_leaves_fails_with_its_connection() {
    for mode in ALL {
        let (mut s, message) = with_a_message_at_the_end(mode, options(), false);
        s.expect_failed(message, Error::ConnectionClosed);
    }
}

#[test]
fn message_that_leaves_over_the_next_connection_is_published() {
    for mode in ALL {
        let options = options().reconnect(Reconnect::default());
        let (mut s, message) = with_a_message_at_the_end(mode, options, false);
        s.expect_pending(message);
        s.wait(SECOND);
        s.expect_dial("a:1883");
        connect_at_last(&mut s);
        s.expect_sent(publish(QoS::AtMostOnce, 0, "a", "0"));
        s.expect_published(message);
    }
}

#[test]
fn what_the_broker_did_not_answer_is_asked_again_over_the_next_connection() {
    for mode in ALL {
        let options = options().clean_start(false).session_expiry_interval(3600).reconnect(Reconnect::default());
        let mut s = Scenario::connected_with(mode, options, ConnackProperties::default());
        let request = s.request("q", EVER);
        s.broker_grants("replies/c");
        let correlation = s.expect_request("q");
        let message = s.publish(QoS::AtLeastOnce, "a", "1");
        let subscribing = s.subscribe("a");
        let unsubscribing = s.unsubscribe("b");
        s.take_sent();
        s.broker_closes();
        s.expect_closed();
        s.wait(SECOND);
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(true, ConnackProperties::default());
        s.expect_sent(resent(QoS::AtLeastOnce, 2, "a", "1"));
        s.broker_grants("a");
        s.expect_subscribed(subscribing);
        let packet_id = s.expect_unsubscribe("b");
        s.broker_sends_all(&[
            unsuback(packet_id, &[ReasonCode::Success]),
            puback(2),
            Packet::Publish(reply(QoS::AtMostOnce, 0, &correlation, "r")),
        ]);
        s.expect_unsubscribed(unsubscribing);
        s.expect_published(message);
        s.expect_replied(request, "r");
        assert_eq!(s.engine.kept(), 0);
    }
}

#[test]
fn end_of_the_connection_is_told_before_that_nothing_more_will_happen() {
    for mode in ALL {
        let mut s = Scenario::connected(mode);
        let events = [s.next_event(EVER), s.next_event(EVER)];
        s.broker_closes();
        s.expect_closed();
        s.expect(events[0], Came::Event(Event::Disconnected(Error::ConnectionClosed)));
        s.expect_failed(events[1], Error::ConnectionClosed);
        let later = s.next_event(EVER);
        s.expect_failed(later, Error::ConnectionClosed);
    }
}

#[test]
fn user_may_make_the_connections() {
    for mode in ALL {
        let mut s = Scenario::of(mode, None, options());
        s.attach();
        let waiting = s.wait_for_connection();
        s.broker_takes_connection(false, ConnackProperties::default());
        s.expect_connected(waiting, false);
        let message = s.publish(QoS::AtLeastOnce, "a", "1");
        s.expect_sent(publish(QoS::AtLeastOnce, 1, "a", "1"));
        // While there is one: nobody closes that but the user.
        s.attach();
        s.broker_takes_connection(false, ConnackProperties::default());
        s.expect_sent(publish(QoS::AtLeastOnce, 1, "a", "1"));
        s.broker_sends(puback(1));
        s.expect_published(message);
        s.expect_usable();
        s.broker_closes();
        s.expect_closed();
        s.attach();
        s.broker_takes_connection(false, ConnackProperties::default());
        s.expect_usable();
    }
}

#[test]
fn client_without_a_broker_cannot_connect() {
    for mode in [Mode::OneByOne, Mode::Listeners] {
        let mut s = Scenario::of(mode, None, options());
        let connecting = s.connect();
        s.expect_failed(connecting, CallError::NotConnected);
        let waiting = s.wait_for_connection();
        s.expect_failed(waiting, CallError::NotConnected);
    }
}

/// The connection is lost, and another one begins: who asked for it, and CONNECT.
fn connects_again(s: &mut Scenario) -> (Asked, Vec<u8>) {
    s.broker_closes();
    s.expect_closed();
    let connecting = s.connect();
    s.expect_dial("a:1883");
    s.attempt_succeeds();
    (connecting, s.expect_connect())
}

#[test]
fn half_of_a_login_may_be_the_options_and_the_other_half_the_urls() {
    for mode in ALL {
        for (options, login) in [
            (options().password("new"), ("user", &b"new"[..])),
            (options().user_name("other"), ("other", b"old")),
            (options().login("other", "new"), ("other", b"new")),
            (options(), ("user", b"old")),
        ] {
            let mut s = Scenario::of(mode, Some("mqtt://user:old@a"), options);
            let _ = s.connect();
            s.expect_dial("a:1883");
            s.attempt_succeeds();
            let bytes = s.expect_connect();
            let Some((Packet::Connect(connect), _)) = Packet::decode(&bytes).unwrap() else { panic!("CONNECT") };
            assert_eq!((connect.user_name, connect.password), (Some(login.0), Some(login.1)));
            s.leave_the_rest();
        }
    }
}

#[test]
fn what_connect_says_can_change_from_one_connection_to_the_next() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, options(), ConnackProperties::default());
        let will = WillMessage::new("status", "gone");
        let changes = ConnectChanges {
            password: Some(b"a new token".to_vec()),
            will: Some(Some(will)),
            user_properties: Some(vec![("bdSeq".into(), "2".into())]),
            ..ConnectChanges::default()
        };
        s.engine.update(changes).unwrap();
        // The connection that is there does not notice.
        s.expect_nothing_sent();
        let (connecting, bytes) = connects_again(&mut s);
        let Some((Packet::Connect(connect), _)) = Packet::decode(&bytes).unwrap() else { panic!("CONNECT") };
        assert_eq!((connect.user_name, connect.password), (None, Some(&b"a new token"[..])));
        assert_eq!(connect.will.map(|will| (will.topic, will.payload)), Some(("status", &b"gone"[..])));
        assert!(connect.properties.user_properties.iter().eq([("bdSeq", "2")]));
        assert!(!connect.clean_start, "the session goes on");
        s.broker_sends(Packet::Connack(taken(true)));
        s.expect_connected(connecting, true);

        // A new session, without a will; the rest is as it was.
        let changes = ConnectChanges { will: Some(None), clean_start: Some(true), ..ConnectChanges::default() };
        s.engine.update(changes).unwrap();
        let message = s.publish(QoS::AtLeastOnce, "a", "1");
        s.expect_sent(publish(QoS::AtLeastOnce, 1, "a", "1"));
        let (connecting, bytes) = connects_again(&mut s);
        s.expect_failed(message, Error::ConnectionClosed);
        let Some((Packet::Connect(connect), _)) = Packet::decode(&bytes).unwrap() else { panic!("CONNECT") };
        assert_eq!((connect.clean_start, connect.will), (true, None));
        assert_eq!(connect.password, Some(&b"a new token"[..]));
        s.broker_sends(Packet::Connack(taken(false)));
        s.expect_connected(connecting, false);
        // As a new one.
        s.expect_sent(publish(QoS::AtLeastOnce, 1, "a", "1"));
        s.broker_sends(puback(1));
        // And that holds for one connection.
        let (_, bytes) = connects_again(&mut s);
        let Some((Packet::Connect(connect), _)) = Packet::decode(&bytes).unwrap() else { panic!("CONNECT") };
        assert!(!connect.clean_start);
        s.leave_the_rest();
    }
}

#[test]
fn changes_that_connect_has_no_bytes_for_change_nothing() {
    let mut s = Scenario::connected(Mode::OneByOne);
    let mut will = WillMessage::new("status", "");
    will.payload = vec![0; 65_536];
    let changes =
        ConnectChanges { user_name: Some("other".into()), will: Some(Some(will)), ..ConnectChanges::default() };
    assert!(matches!(s.engine.update(changes), Err(CallError::InvalidOptions(_))));
    let (_, bytes) = connects_again(&mut s);
    let Some((Packet::Connect(connect), _)) = Packet::decode(&bytes).unwrap() else { panic!("CONNECT") };
    assert_eq!((connect.user_name, connect.will), (None, None));
    s.leave_the_rest();
}

#[test]
fn peer_that_closes_instead_of_answering_connect_is_told_of_as_such() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options());
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.expect_connect();
        s.broker_closes();
        s.expect_closed();
        s.expect_failed(connecting, Error::ClosedBeforeConnack);
    }
}
