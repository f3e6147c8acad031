//! Enhanced authentication (sections 3.15 and 4.12).

use std::time::Duration;

use mqtt_wasi::codec::{Auth, AuthProperties, ConnackProperties, Disconnect, Packet, PacketType, QoS, ReasonCode};
use mqtt_wasi::session::{Challenge, Event, Status};
use mqtt_wasi::{CallError, Error, Options, ProtocolError, Reason};

use crate::packets::*;
use crate::scenario::{Scenario, options};

use ReasonCode::{ContinueAuthentication, ReAuthenticate, Success};

const METHOD: &str = "GS2-KRB5";

fn with_method() -> Options {
    options().authentication(METHOD, Some(b"first".into()))
}

/// AUTH with the method of these stories.
fn auth(reason_code: ReasonCode, data: &str) -> Packet<'_> {
    auth_with(Some(METHOD), reason_code, data)
}

fn auth_with<'a>(method: Option<&'a str>, reason_code: ReasonCode, data: &'a str) -> Packet<'a> {
    let data = Some(data.as_bytes());
    let properties = AuthProperties { authentication_method: method, authentication_data: data, ..Default::default() };
    Packet::Auth(Auth { reason_code, properties })
}

fn said(data: &str) -> Challenge {
    Challenge { data: Some(data.into()), reason_string: None, user_properties: Vec::new() }
}

/// What CONNACK says to a client that authenticated.
fn terms() -> ConnackProperties<'static> {
    ConnackProperties { authentication_method: Some(METHOD), authentication_data: Some(b"last"), ..Default::default() }
}

/// A client with a method that has sent CONNECT.
fn connecting() -> Scenario {
    let mut s = Scenario::new(with_method());
    s.connect();
    s.expect_connect();
    s
}

fn connected() -> Scenario {
    Scenario::connected_with(with_method(), terms())
}

#[test]
fn challenges_are_answered_until_connack() {
    let mut s = Scenario::new(with_method());
    s.connect();
    let sent = s.take_sent();
    let Ok(Some((Packet::Connect(connect), _))) = Packet::decode(&sent[0]) else { panic!("CONNECT") };
    assert_eq!(connect.properties.authentication_method, Some(METHOD));
    assert_eq!(connect.properties.authentication_data, Some(&b"first"[..]));
    for (challenge, answer) in [("who", "me"), ("why", "so")] {
        s.broker_sends(auth(ContinueAuthentication, challenge));
        s.expect_event(Event::Challenged(said(challenge)));
        s.answer_challenge(answer.as_bytes()).unwrap();
        s.expect_sent(auth(ContinueAuthentication, answer));
    }
    s.broker_sends(connack(false, terms()));
    s.expect_event(Event::Connected { session_present: false });
    let connack = s.session.connack().unwrap();
    assert_eq!(connack.properties.authentication_data, Some(&b"last"[..]));
    s.expect_usable();
}

#[test]
fn challenge_tells_all_that_the_broker_says() {
    let mut s = connecting();
    let properties = AuthProperties {
        authentication_method: Some(METHOD),
        reason_string: Some("because"),
        user_properties: (&[("a", "1"), ("a", "2")]).into(),
        ..Default::default()
    };
    s.broker_sends(Packet::Auth(Auth { reason_code: ContinueAuthentication, properties }));
    s.expect_event(Event::Challenged(Challenge {
        data: None,
        reason_string: Some("because".into()),
        user_properties: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
    }));
}

#[test]
fn nothing_but_auth_is_sent_until_connack() {
    let mut s = connecting();
    s.broker_sends(auth(ContinueAuthentication, "who"));
    s.expect_event(Event::Challenged(said("who")));
    let message = mqtt_wasi::Publish::new("a", "1");
    assert_eq!(s.try_publish(&message), Err(CallError::NotConnected));
    assert_eq!(s.try_unsubscribe(&["a"]), Err(CallError::NotConnected));
    assert_eq!(s.authenticate_again(b"again"), Err(CallError::NotConnected));
    s.wait(Duration::from_secs(9));
    s.expect_nothing_sent();
    // All of it has the time that CONNACK has.
    s.wait(Duration::from_secs(1));
    s.expect_disconnected(Error::ConnectTimeout);
}

#[test]
fn only_a_challenge_can_be_answered_and_only_once() {
    let mut s = connecting();
    assert_eq!(s.answer_challenge(b"me"), Err(CallError::NothingToAuthenticate));
    s.broker_sends(auth(ContinueAuthentication, "who"));
    s.expect_event(Event::Challenged(said("who")));
    s.answer_challenge(b"me").unwrap();
    s.expect_sent(auth(ContinueAuthentication, "me"));
    assert_eq!(s.answer_challenge(b"me"), Err(CallError::NothingToAuthenticate));
}

#[test]
fn client_without_a_method_has_nothing_to_authenticate() {
    let mut s = Scenario::connected();
    assert_eq!(s.answer_challenge(b"me"), Err(CallError::NothingToAuthenticate));
    assert_eq!(s.authenticate_again(b"me"), Err(CallError::NothingToAuthenticate));
    s.expect_usable();
}

#[test]
fn method_of_connect_is_in_every_auth_and_connack() {
    for method in [None, Some("another")] {
        let mut s = connecting();
        let properties = ConnackProperties { authentication_method: method, ..Default::default() };
        s.broker_sends(connack(false, properties));
        s.expect_disconnected(ProtocolError::AuthenticationMethod);
        s.expect_sent(disconnect(ReasonCode::ProtocolError));
    }
    let mut s = connecting();
    s.broker_sends(auth_with(Some("another"), ContinueAuthentication, "who"));
    s.expect_disconnected(ProtocolError::AuthenticationMethod);
    s.expect_sent(disconnect(ReasonCode::ProtocolError));
}

#[test]
fn method_that_nobody_asked_for_is_a_protocol_error() {
    let mut s = Scenario::new(options());
    s.connect();
    s.expect_connect();
    s.broker_sends(connack(false, terms()));
    s.expect_disconnected(ProtocolError::AuthenticationMethod);
    s.expect_sent(disconnect(ReasonCode::ProtocolError));
}

#[test]
fn auth_out_of_turn_is_a_protocol_error() {
    let unexpected = ProtocolError::UnexpectedPacket(PacketType::Auth);
    // Success before CONNACK, and what only clients say.
    for reason_code in [Success, ReAuthenticate] {
        let mut s = connecting();
        s.broker_sends(auth(reason_code, "x"));
        s.expect_disconnected(unexpected);
        s.expect_sent(disconnect(ReasonCode::ProtocolError));
    }
    // A second challenge before the answer to the first.
    let mut s = connecting();
    s.broker_sends_all(&[auth(ContinueAuthentication, "who"), auth(ContinueAuthentication, "who")]);
    s.expect_event(Event::Challenged(said("who")));
    s.expect_disconnected(unexpected);
    s.expect_sent(disconnect(ReasonCode::ProtocolError));
    // A challenge that nothing asked for.
    for reason_code in [Success, ContinueAuthentication] {
        let mut s = connected();
        s.broker_sends(auth(reason_code, "x"));
        s.expect_disconnected(unexpected);
        s.expect_sent(disconnect(ReasonCode::ProtocolError));
    }
}

#[test]
fn connack_does_not_come_before_the_answer() {
    let mut s = connecting();
    s.broker_sends_all(&[auth(ContinueAuthentication, "who"), connack(false, terms())]);
    s.expect_event(Event::Challenged(said("who")));
    s.expect_disconnected(ProtocolError::UnexpectedPacket(PacketType::Connack));
    s.expect_sent(disconnect(ReasonCode::ProtocolError));
}

#[test]
fn broker_may_refuse_at_any_step() {
    let mut s = connecting();
    s.broker_sends(auth(ContinueAuthentication, "who"));
    s.expect_event(Event::Challenged(said("who")));
    let reason_code = ReasonCode::NotAuthorized;
    s.broker_sends(Packet::Connack(mqtt_wasi::codec::Connack { reason_code, ..Default::default() }));
    s.expect_disconnected(Error::ConnectionRefused(Box::new(Reason::from(reason_code))));
}

#[test]
fn client_authenticates_again_while_messages_go_on() {
    let mut s = connected();
    s.authenticate_again(b"again").unwrap();
    s.expect_sent(auth(ReAuthenticate, "again"));
    assert_eq!(s.authenticate_again(b"again"), Err(CallError::NothingToAuthenticate), "one at a time");
    s.publish(QoS::AtMostOnce, "a", "1");
    s.expect_sent(publish(QoS::AtMostOnce, 0, "a", "1"));
    s.broker_sends(auth(ContinueAuthentication, "who"));
    s.expect_event(Event::Challenged(said("who")));
    s.answer_challenge(b"me").unwrap();
    s.expect_sent(auth(ContinueAuthentication, "me"));
    s.broker_sends(auth(Success, "fine"));
    s.expect_event(Event::Authenticated(said("fine")));
    s.authenticate_again(b"and again").unwrap();
    s.expect_sent(auth(ReAuthenticate, "and again"));
    s.broker_sends(auth(Success, "fine"));
    s.expect_event(Event::Authenticated(said("fine")));
    s.expect_usable();
}

#[test]
fn failure_to_authenticate_again_ends_the_connection() {
    let mut s = connected();
    s.authenticate_again(b"again").unwrap();
    s.expect_sent(auth(ReAuthenticate, "again"));
    s.broker_sends(disconnect(ReasonCode::NotAuthorized));
    s.expect_disconnected(Error::Disconnected(Box::new(Reason::from(ReasonCode::NotAuthorized))));
    // It may as well be the broker that cannot prove who it is.
    let mut s = connected();
    s.authenticate_again(b"again").unwrap();
    s.expect_sent(auth(ReAuthenticate, "again"));
    s.broker_sends(auth(Success, "forged"));
    s.expect_event(Event::Authenticated(said("forged")));
    s.disconnect(&Disconnect::new(ReasonCode::UnspecifiedError)).unwrap();
    s.expect_sent(disconnect(ReasonCode::UnspecifiedError));
    s.expect_status(Status::Closing);
}

#[test]
fn auth_that_would_be_too_large_is_not_sent() {
    let terms = ConnackProperties { maximum_packet_size: Some(30), ..terms() };
    let mut s = Scenario::connected_with(with_method(), terms);
    let result = s.authenticate_again(&[b'x'; 20]);
    assert_eq!(result, Err(CallError::PacketTooLarge { size: 38, maximum: 30 }));
    s.authenticate_again(b"short").unwrap();
    s.expect_sent(auth(ReAuthenticate, "short"));
}

#[test]
fn every_connection_authenticates_anew() {
    let mut s = connected();
    s.authenticate_again(b"again").unwrap();
    s.expect_sent(auth(ReAuthenticate, "again"));
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    s.session.set_authentication_data("anew");
    s.connect();
    let sent = s.take_sent();
    let Ok(Some((Packet::Connect(connect), _))) = Packet::decode(&sent[0]) else { panic!("CONNECT") };
    assert_eq!(connect.properties.authentication_data, Some(&b"anew"[..]));
    s.broker_sends(auth(ContinueAuthentication, "who"));
    s.expect_event(Event::Challenged(said("who")));
    s.answer_challenge(b"me").unwrap();
    s.expect_sent(auth(ContinueAuthentication, "me"));
    s.broker_sends(connack(true, self::terms()));
    s.expect_event(Event::Connected { session_present: true });
}
