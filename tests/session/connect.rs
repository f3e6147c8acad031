//! From CONNECT to CONNACK (sections 3.1 and 3.2).

use std::time::Duration;

use mqtt_wasi::codec::{
    Auth, AuthProperties, Connack, ConnackProperties, Connect, ConnectProperties, DecodeErrorKind, Disconnect,
    DisconnectProperties, EncodeErrorKind, Packet, PacketType, Publish, QoS, ReasonCode, Subscribe, Subscription,
    Unsubscribe, Will, WillProperties,
};
use mqtt_wasi::frame::FrameError;
use mqtt_wasi::session::{Event, Status};
use mqtt_wasi::{CallError, Error, Options, OtherProtocol, ProtocolError, Reason, Snapshot, WillMessage};

use crate::packets::*;
use crate::scenario::{Scenario, options};

/// What the usual options come to.
fn usual_connect(client_id: &str, clean_start: bool) -> Packet<'_> {
    Packet::Connect(Connect {
        clean_start,
        keep_alive: 60,
        client_id,
        properties: ConnectProperties { maximum_packet_size: Some(16 * 1024 * 1024), ..Default::default() },
        ..Default::default()
    })
}

/// CONNACK that refuses the connection, and all it can say.
fn refusal(reason_code: ReasonCode) -> Packet<'static> {
    let properties = ConnackProperties {
        reason_string: Some("because"),
        server_reference: Some("elsewhere"),
        user_properties: (&[("a", "b")]).into(),
        ..Default::default()
    };
    Packet::Connack(Connack { session_present: false, reason_code, properties })
}

/// Every packet that a server may send, but CONNACK; and those that only clients send.
fn packets_but_connack() -> Vec<Packet<'static>> {
    const SUBSCRIPTIONS: &[Subscription<'_>] = &[Subscription::new("a", QoS::AtMostOnce)];
    let (packet_id, properties) = (id(1), Default::default());
    vec![
        publish(QoS::AtMostOnce, 0, "a", ""),
        publish(QoS::AtLeastOnce, 1, "a", ""),
        puback(1),
        pubrec(1),
        pubrel(1),
        pubcomp(1),
        suback(1, &[ReasonCode::Success]),
        unsuback(1, &[ReasonCode::Success]),
        Packet::Pingresp,
        disconnect(ReasonCode::ServerBusy),
        auth(),
        Packet::Connect(Connect::default()),
        Packet::Subscribe(Subscribe { packet_id, properties, subscriptions: SUBSCRIPTIONS.into() }),
        Packet::Unsubscribe(Unsubscribe { packet_id, properties: Default::default(), filters: (&["a"]).into() }),
        Packet::Pingreq,
    ]
}

fn auth() -> Packet<'static> {
    let properties = AuthProperties { authentication_method: Some("x"), ..Default::default() };
    Packet::Auth(Auth { reason_code: ReasonCode::ContinueAuthentication, properties })
}

#[test]
fn connect_says_no_more_than_the_options() {
    let mut s = Scenario::new(options());
    s.connect();
    s.expect_sent(usual_connect("c", true));
    s.expect_status(Status::Connecting);
}

#[test]
fn connect_says_all_that_the_options_say() {
    let options = Options::new()
        .client_id("c")
        .clean_start(false)
        .keep_alive(30)
        .login("user", "secret")
        .session_expiry_interval(3600)
        .receive_maximum(7)
        .maximum_packet_size(1000)
        .request_response_information(true)
        .request_problem_information(false)
        .user_property("a", "1")
        .user_property("a", "2")
        .will(WillMessage {
            topic: "status".into(),
            payload: b"gone".into(),
            qos: QoS::ExactlyOnce,
            retain: true,
            will_delay_interval: Some(30),
            payload_format_indicator: Some(true),
            message_expiry_interval: Some(60),
            content_type: Some("text/plain".into()),
            response_topic: Some("answers".into()),
            correlation_data: Some(b"7".into()),
            user_properties: vec![("b".into(), "3".into())],
        });
    let mut s = Scenario::new(options);
    s.connect();
    s.expect_sent(Packet::Connect(Connect {
        clean_start: false,
        keep_alive: 30,
        client_id: "c",
        will: Some(Will {
            qos: QoS::ExactlyOnce,
            retain: true,
            topic: "status",
            payload: b"gone",
            properties: WillProperties {
                will_delay_interval: Some(30),
                payload_format_indicator: Some(true),
                message_expiry_interval: Some(60),
                content_type: Some("text/plain"),
                response_topic: Some("answers"),
                correlation_data: Some(b"7"),
                user_properties: (&[("b", "3")]).into(),
            },
        }),
        user_name: Some("user"),
        password: Some(b"secret"),
        properties: ConnectProperties {
            session_expiry_interval: Some(3600),
            receive_maximum: Some(7),
            maximum_packet_size: Some(1000),
            request_response_information: Some(true),
            request_problem_information: Some(false),
            user_properties: (&[("a", "1"), ("a", "2")]).into(),
            ..Default::default()
        },
    }));
}

#[test]
fn what_the_broker_says_about_itself_can_be_read() {
    let terms = ConnackProperties {
        session_expiry_interval: Some(10),
        receive_maximum: Some(20),
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(false),
        maximum_packet_size: Some(1000),
        assigned_client_identifier: Some("assigned"),
        topic_alias_maximum: Some(5),
        reason_string: Some("welcome"),
        user_properties: (&[("a", "b")]).into(),
        wildcard_subscription_available: Some(false),
        subscription_identifier_available: Some(false),
        shared_subscription_available: Some(false),
        server_keep_alive: Some(30),
        response_information: Some("answers/c"),
        server_reference: Some("elsewhere"),
        ..Default::default()
    };
    let s = Scenario::connected_with(options().request_response_information(true), terms);
    let Packet::Connack(expected) = connack(false, terms) else { unreachable!() };
    assert_eq!(s.session.connack(), Some(expected));
}

#[test]
fn what_another_connack_says_takes_the_place_of_the_first() {
    let mut s = Scenario::connected_with(
        options(),
        ConnackProperties { maximum_packet_size: Some(1000), reason_string: Some("welcome"), ..Default::default() },
    );
    let terms = ConnackProperties { receive_maximum: Some(20), ..Default::default() };
    s.reconnected_with(true, terms);
    let Packet::Connack(expected) = connack(true, terms) else { unreachable!() };
    assert_eq!(s.session.connack(), Some(expected));
}

#[test]
fn there_is_nothing_to_read_before_the_broker_answered() {
    let mut s = Scenario::new(options());
    assert_eq!(s.session.connack(), None);
    s.connect();
    s.expect_connect();
    assert_eq!(s.session.connack(), None);
}

#[test]
fn assigned_client_identifier_is_the_clients_from_then_on() {
    let terms = ConnackProperties { assigned_client_identifier: Some("assigned"), ..Default::default() };
    let mut s = Scenario::connected_with(Options::new(), terms);
    assert_eq!(s.session.client_id(), "assigned");
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    s.connect();
    s.expect_sent(usual_connect("assigned", false));
}

#[test]
fn identifier_that_is_assigned_to_a_client_with_one_is_never_adopted() {
    let terms = |assigned| ConnackProperties { assigned_client_identifier: Some(assigned), ..Default::default() };
    let mut own = Scenario::connected_with(options(), terms("assigned"));
    assert_eq!(own.session.connection_info().expect("a connection").client_id, "c");
    own.reconnected(true);
    assert_eq!(own.session.client_id(), "c");

    // Nor one for a client that had its own from an earlier connection, or process.
    let mut s = Scenario::connected_with(Options::new(), terms("assigned"));
    let resumed = Snapshot::from_bytes(&s.session.snapshot()).unwrap();
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    for mut s in [s, Scenario::new(Options::new().resume(resumed))] {
        s.connect();
        s.expect_sent(usual_connect("assigned", false));
        s.broker_sends(connack(true, terms("another")));
        s.expect_event(Event::Connected { session_present: true });
        assert_eq!(s.session.client_id(), "assigned");
        s.leave_the_rest();
    }
}

#[test]
fn only_the_first_connection_is_a_clean_start() {
    let mut s = Scenario::new(options());
    s.connect();
    s.expect_sent(usual_connect("c", true));
    s.broker_sends(refusal(ReasonCode::ServerBusy));
    assert_eq!(s.take_events().len(), 1);
    s.connect();
    s.expect_sent(usual_connect("c", true));
    s.broker_sends(connack(false, Default::default()));
    s.expect_event(Event::Connected { session_present: false });
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    s.connect();
    s.expect_sent(usual_connect("c", false));
}

#[test]
fn every_refusal_is_told_with_its_reason_and_the_client_can_try_again() {
    let refusals = ReasonCode::ALL.iter().filter(|code| code.is_error() && code.is_valid_in(PacketType::Connack));
    let mut s = Scenario::new(options());
    for &reason_code in refusals {
        s.connect();
        s.expect_connect();
        s.broker_sends(refusal(reason_code));
        s.expect_disconnected(Error::ConnectionRefused(Box::new(Reason {
            reason_code,
            reason_string: Some("because".into()),
            server_reference: Some("elsewhere".into()),
            user_properties: vec![("a".into(), "b".into())],
        })));
        s.expect_status(Status::Disconnected);
    }
    s.reconnected(false);
    s.expect_usable();
}

#[test]
fn messages_in_flight_survive_a_refusal() {
    let mut s = Scenario::connected();
    let message = s.publish(QoS::AtLeastOnce, "a", "1");
    s.expect_sent(publish(QoS::AtLeastOnce, 1, "a", "1"));
    s.connection_is_lost();
    s.expect_disconnected(Error::ConnectionClosed);
    s.connect();
    s.expect_connect();
    s.broker_sends(refusal(ReasonCode::ServerBusy));
    assert_eq!(s.take_events().len(), 1);
    s.reconnected(true);
    s.expect_sent(resent(QoS::AtLeastOnce, 1, "a", "1"));
    s.broker_sends(puback(1));
    s.expect_published(message, ReasonCode::Success);
}

#[test]
fn connack_is_waited_for_no_longer_than_the_connect_timeout() {
    let mut s = Scenario::new(options().connect_timeout(Duration::from_secs(5)));
    s.connect();
    s.expect_connect();
    s.expect_deadline_in(Duration::from_secs(5));
    s.wait(Duration::from_millis(4_999));
    s.expect_status(Status::Connecting);
    s.wait(Duration::from_millis(1));
    s.expect_disconnected(Error::ConnectTimeout);
    s.expect_nothing_sent();
    s.expect_status(Status::Closing);
    s.connection_is_lost();
    s.reconnected(false);
    s.expect_usable();
}

#[test]
fn connack_in_time_ends_the_wait() {
    let mut s = Scenario::new(options().connect_timeout(Duration::from_secs(5)).keep_alive(0));
    s.connect();
    s.expect_connect();
    s.wait(Duration::from_secs(4));
    s.broker_sends(connack(false, Default::default()));
    s.expect_event(Event::Connected { session_present: false });
    s.wait(Duration::from_secs(1000));
    s.expect_usable();
}

#[test]
fn broker_that_closes_without_connack_ends_the_attempt() {
    let mut s = Scenario::new(options());
    s.connect();
    s.expect_connect();
    s.broker_sends_bytes(&bytes(&connack(false, Default::default()))[..3]);
    s.broker_closes();
    s.expect_disconnected(Error::ConnectionClosed);
    s.reconnected(false);
    s.expect_usable();
}

#[test]
fn nothing_may_come_before_connack() {
    for packet in packets_but_connack() {
        for mut s in [Scenario::new(options()), Scenario::new(options()).receiving_at_once()] {
            s.connect();
            s.expect_connect();
            s.broker_sends(packet);
            s.expect_disconnected(ProtocolError::UnexpectedPacket(packet.packet_type()));
            s.expect_sent(disconnect(ReasonCode::ProtocolError));
            s.expect_status(Status::Closing);
            s.connection_is_lost();
            s.reconnected(false);
            s.expect_usable();
        }
    }
}

#[test]
fn connack_comes_once() {
    let mut s = Scenario::connected();
    s.broker_sends(connack(false, ConnackProperties { receive_maximum: Some(1), ..Default::default() }));
    s.expect_disconnected(ProtocolError::UnexpectedPacket(PacketType::Connack));
    s.expect_sent(disconnect(ReasonCode::ProtocolError));
    assert_eq!(s.session.connack().map(|connack| connack.properties), Some(Default::default()));
}

#[test]
fn session_that_was_to_be_forgotten_must_not_be_present() {
    let mut s = Scenario::new(options());
    s.connect();
    s.expect_connect();
    s.broker_sends(connack(true, Default::default()));
    s.expect_disconnected(ProtocolError::UnexpectedSession);
    s.expect_sent(disconnect(ReasonCode::ProtocolError));
}

#[test]
fn session_of_an_earlier_process_can_be_taken_up() {
    let mut s = Scenario::new(options().clean_start(false).adopt_session(true));
    s.reconnected(true);
    s.expect_usable();
}

#[test]
fn session_that_the_client_knows_nothing_of_ends_the_connection() {
    let mut s = Scenario::new(options().clean_start(false));
    s.connect();
    s.expect_connect();
    s.broker_sends(connack(true, Default::default()));
    s.expect_disconnected(ProtocolError::UnknownSession);
    s.expect_sent(disconnect(ReasonCode::ProtocolError));
}

#[test]
fn malformed_connack_is_told_to_the_broker() {
    let mut s = Scenario::new(options());
    s.connect();
    s.expect_connect();
    s.broker_sends_bytes(b"\x20\x03\x02\x00\x00");
    let Some(Event::Disconnected(Error::Malformed(FrameError::Malformed(error)))) = s.take_events().pop() else {
        panic!("CONNACK with reserved flags is malformed")
    };
    assert_eq!((error.kind, error.packet_type), (DecodeErrorKind::ReservedBits, Some(PacketType::Connack)));
    s.expect_sent(disconnect(ReasonCode::MalformedPacket));
    s.expect_status(Status::Closing);
    s.connection_is_lost();
    s.reconnected(false);
    s.expect_usable();
}

#[test]
fn peers_that_speak_something_else_are_told_apart() {
    for (greeting, error) in [
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], Error::NotMqtt(OtherProtocol::Http)),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Error::NotMqtt(OtherProtocol::Ssh)),
        // What a broker of MQTT 3.1.1 answers to another version, and what one does that takes any.
        (b"\x20\x02\x00\x01", Error::Mqtt3Only),
        (b"\x20\x02\x00\x00", Error::Mqtt3Only),
    ] {
        let mut s = Scenario::new(options());
        s.connect();
        s.expect_connect();
        s.broker_sends_bytes(greeting);
        s.expect_disconnected(error);
        s.expect_sent(disconnect(ReasonCode::MalformedPacket));
        s.expect_status(Status::Closing);
    }
    // Once there is a connection, it is a broker that sends nonsense.
    let mut s = Scenario::connected();
    s.broker_sends_bytes(b"HTTP/1.1 400 Bad Request\r\n");
    let events = s.take_events();
    assert!(matches!(&events[..], [Event::Disconnected(Error::Malformed(_))]), "{events:?}");
    s.expect_sent(disconnect(ReasonCode::MalformedPacket));
}

#[test]
fn connack_may_come_byte_by_byte_with_a_message_behind_it() {
    let mut s = Scenario::new(options());
    s.network_delivers_pieces_of(1);
    s.connect();
    s.expect_connect();
    s.broker_sends_all(&[connack(false, Default::default()), publish(QoS::AtLeastOnce, 9, "a", "1")]);
    s.expect_event(Event::Connected { session_present: false });
    s.expect_message("a", "1");
    s.expect_sent(puback(9));
}

#[test]
fn auth_that_nobody_asked_for_is_a_protocol_error() {
    let mut s = Scenario::connected();
    s.broker_sends(auth());
    s.expect_disconnected(ProtocolError::UnexpectedPacket(PacketType::Auth));
    s.expect_sent(disconnect(ReasonCode::ProtocolError));
}

#[test]
fn packets_that_only_clients_send_are_a_protocol_error() {
    for packet in packets_but_connack() {
        use PacketType::{Connect, Pingreq, Subscribe, Unsubscribe};
        if !matches!(packet.packet_type(), Connect | Subscribe | Unsubscribe | Pingreq) {
            continue;
        }
        let mut s = Scenario::connected();
        s.broker_sends(packet);
        s.expect_disconnected(ProtocolError::UnexpectedPacket(packet.packet_type()));
        s.expect_sent(disconnect(ReasonCode::ProtocolError));
    }
}

#[test]
fn connect_from_a_broker_is_refused_whatever_it_says() {
    // Of MQTT v3.1.1, whose Reason Code (Unsupported Protocol Version) no DISCONNECT can carry.
    let mut s = Scenario::connected();
    s.broker_sends_bytes(b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x00\x00\x00");
    s.expect_disconnected(ProtocolError::UnexpectedPacket(PacketType::Connect));
    s.expect_sent(disconnect(ReasonCode::ProtocolError));
}

#[test]
fn options_that_connect_cannot_carry_are_refused_at_once() {
    let mut s = Scenario::new(options().receive_maximum(0));
    match s.session.connect(mqtt_wasi::Instant::ZERO) {
        Err(CallError::InvalidOptions(error)) => assert_eq!(error.kind, EncodeErrorKind::ValueOutOfRange),
        other => panic!("{other:?}"),
    }
    s.expect_status(Status::Disconnected);
    assert!(s.session.transmit().is_empty());
}

#[test]
fn nothing_can_be_asked_for_without_a_connection() {
    let mut s = Scenario::new(options());
    for is_connecting in [false, true] {
        if is_connecting {
            s.connect();
            s.expect_connect();
        }
        let expected = Err(CallError::NotConnected);
        assert_eq!(s.try_publish(&Publish::new("a", "1")).map(drop), expected);
        let subscription = Subscription::new("a", QoS::AtMostOnce);
        assert_eq!(s.try_subscribe(&[subscription], Default::default()).map(drop), expected);
        assert_eq!(s.try_unsubscribe(&["a"]).map(drop), expected);
        let properties = DisconnectProperties::default();
        assert_eq!(s.disconnect(&Disconnect { reason_code: ReasonCode::Success, properties }), expected);
        s.expect_nothing_sent();
    }
}

#[test]
fn connecting_again_ends_the_connection_before() {
    let mut s = Scenario::connected();
    s.connect();
    s.expect_disconnected(Error::ConnectionClosed);
    s.expect_sent(usual_connect("c", false));
}

#[test]
fn password_that_waits_to_be_sent_is_not_shown() {
    let mut session = mqtt_wasi::session::Session::new(options().login("user", "correct horse"));
    session.connect(mqtt_wasi::Instant::ZERO).unwrap();
    assert!(session.transmit().windows(13).any(|bytes| bytes == b"correct horse"));
    let shown = format!("{session:?}");
    assert!(!shown.contains("correct horse") && !shown.contains("99, 111, 114, 114"), "{shown}");
}
