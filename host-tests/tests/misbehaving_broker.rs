//! A broker that is slow, silent, mad or hostile: each call ends with an error that says why, the broker is told what
//! the specification wants it told, what came before is not lost, and the client goes on with the next connection.

use std::thread;
use std::time::Duration;

use host_tests::packets::{bytes, connack, disconnect, puback, publish, publish_qos1, refusal, suback, unsuback};
use host_tests::scripted::{Broker, Scripted};
use host_tests::subject::{ErrorKind, Failure, SOON, Settings, Subject};
use host_tests::timing::undisturbed;
use host_tests::{each_subject, each_subject_over_websocket};
use mqtt_wasi::codec::{
    Ack, Auth, AuthProperties, Connack, ConnackProperties, Connect, ConnectProperties, Disconnect,
    DisconnectProperties, Packet, PacketId, PacketType, PublishProperties, Subscribe, SubscribeProperties, Unsubscribe,
    UnsubscribeProperties,
};
use mqtt_wasi::{Publish, QoS, ReasonCode, Subscription};

each_subject!(
    late_answer_is_waited_for,
    missing_answer_is_a_timeout_and_the_connection_goes_on,
    closing_at_once_is_an_error,
    closing_instead_of_connack_is_an_error,
    missing_connack_is_a_timeout,
    malformed_connack_is_answered_with_why,
    session_present_on_a_clean_start_is_a_protocol_error,
    packet_before_connack_is_a_protocol_error,
    each_refusal_is_told_with_the_brokers_words,
    refused_reconnect_can_be_tried_again,
    closing_inside_a_packet_loses_only_that,
    closing_inside_a_batch_is_told_for_each_message,
    garbage_is_answered_with_malformed_packet,
    packet_over_the_maximum_size_is_refused_unread,
    unexpected_packets_are_protocol_errors,
    acknowledgements_of_nothing_are_ignored,
    each_disconnect_is_told_with_the_brokers_words,
    refused_message_is_told_and_the_connection_goes_on,
    refused_filter_is_told_beside_the_granted_ones;
    only when called:
    messages_past_the_receive_maximum_end_the_connection,
);

each_subject_over_websocket!(
    late_answer_is_waited_for,
    missing_answer_is_a_timeout_and_the_connection_goes_on,
    closing_at_once_is_an_error,
    closing_instead_of_connack_is_an_error,
    missing_connack_is_a_timeout,
    malformed_connack_is_answered_with_why,
    session_present_on_a_clean_start_is_a_protocol_error,
    packet_before_connack_is_a_protocol_error,
    each_refusal_is_told_with_the_brokers_words,
    refused_reconnect_can_be_tried_again,
    closing_inside_a_packet_loses_only_that,
    closing_inside_a_batch_is_told_for_each_message,
    garbage_is_answered_with_malformed_packet,
    packet_over_the_maximum_size_is_refused_unread,
    unexpected_packets_are_protocol_errors,
    acknowledgements_of_nothing_are_ignored,
    each_disconnect_is_told_with_the_brokers_words,
    refused_message_is_told_and_the_connection_goes_on,
    refused_filter_is_told_beside_the_granted_ones,
);

fn late_answer_is_waited_for<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut client = broker.accept_client();
        client.expect(publish_qos1(1, "a", b""));
        thread::sleep(Duration::from_millis(300));
        client.send(&[puback(1)]);
        client.stay_silent();
    });
    let mut client = connect::<S>(&broker);
    assert_eq!(client.publish(&Publish::new("a", "").qos(QoS::AtLeastOnce)), Ok(ReasonCode::Success));
    client.disconnect().unwrap();
    broker.finish();
}

fn missing_answer_is_a_timeout_and_the_connection_goes_on<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut client = broker.accept_client();
        client.expect(publish_qos1(1, "first", b""));
        client.expect_type(PacketType::Subscribe);
        client.expect(publish_qos1(3, "second", b""));
        client.send(&[suback(2, &[ReasonCode::GrantedQos1]), puback(1), puback(3), publish("behind", b"")]);
        client.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    });
    let settings = Settings { response_timeout: Some(Duration::from_millis(500)), ..Settings::default() };
    let mut client = S::connect(&broker.url(), &settings).unwrap();
    let first = client.publish(&Publish::new("first", "").qos(QoS::AtLeastOnce)).unwrap_err();
    let subscribe = client.subscribe_as(&[Subscription::new("a", QoS::AtLeastOnce)], None).unwrap_err();
    assert_eq!((first.kind, subscribe.kind), (ErrorKind::Timeout, ErrorKind::Timeout));
    assert_eq!((client.is_connected(), client.in_flight()), (true, 1));

    // The answer may take longer than the client waits for it.
    client.enqueue(&Publish::new("second", "").qos(QoS::AtLeastOnce)).unwrap();
    assert_eq!(client.expect_message().topic, "behind");
    assert_eq!(client.in_flight(), 0, "the first was acknowledged after all");
    client.disconnect().unwrap();
    broker.finish();
}

fn closing_at_once_is_an_error<S: Subject>() {
    let broker = Scripted::start(|broker| drop(broker.accept()));
    let failure = refused::<S>(&broker, &Settings::default());
    // Whether CONNECT was on its way by then decides which.
    let kinds = [ErrorKind::ClosedBeforeConnack, ErrorKind::ConnectionReset];
    assert!(kinds.contains(&failure.kind), "{failure:?}");
    broker.finish();
}

fn closing_instead_of_connack_is_an_error<S: Subject>() {
    let broker = Scripted::start(|broker| drop(broker.accept().expect_type(PacketType::Connect)));
    assert_eq!(refused::<S>(&broker, &Settings::default()).kind, ErrorKind::ClosedBeforeConnack);
    broker.finish();
}

fn missing_connack_is_a_timeout<S: Subject>() {
    undisturbed(|| {
        let broker = Scripted::start(|broker| {
            let mut client = broker.accept();
            client.expect_type(PacketType::Connect);
            client.expect_end();
        });
        let settings = Settings { connect_timeout: Some(Duration::from_secs(1)), ..Settings::default() };
        assert_eq!(refused::<S>(&broker, &settings).kind, ErrorKind::ConnectTimeout);
        broker.finish();
    });
}

fn malformed_connack_is_answered_with_why<S: Subject>() {
    use ErrorKind::{Malformed, Mqtt3Only, NotMqtt};
    let malformed: [(&[u8], ErrorKind); 8] = [
        (b"\x20\x00", Malformed),                       // nothing in it
        (b"\x21\x03\0\0\0", Malformed),                 // flags in the fixed header
        (b"\x20\x03\x02\0\0", Malformed),               // a reserved flag
        (b"\x20\x03\0\x01\0", Malformed),               // a Reason Code of MQTT 3.1.1
        (b"\x20\x03\0\0\x05", Malformed),               // properties that are not there
        (b"\x20\x02\0\x01", Mqtt3Only),                 // MQTT 3.1.1, which refuses
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", NotMqtt), // another protocol altogether
        (b"SSH-2.0-OpenSSH_9.2\r\n", NotMqtt),
    ];
    for (bytes, kind) in malformed {
        let failure = answered_with::<S>(bytes.to_vec(), ReasonCode::MalformedPacket);
        assert_eq!(failure.kind, kind, "{bytes:?}: {failure:?}");
    }
}

fn session_present_on_a_clean_start_is_a_protocol_error<S: Subject>() {
    let properties = ConnackProperties::default();
    let connack = Connack { session_present: true, reason_code: ReasonCode::Success, properties };
    let failure = answered_with::<S>(bytes(&[Packet::Connack(connack)]), ReasonCode::ProtocolError);
    assert_eq!(failure.kind, ErrorKind::ProtocolError);
}

fn packet_before_connack_is_a_protocol_error<S: Subject>() {
    let early = bytes(&[publish("early", b""), connack(ConnackProperties::default())]);
    let failure = answered_with::<S>(early, ReasonCode::ProtocolError);
    assert_eq!(failure.kind, ErrorKind::ProtocolError);
}

fn each_refusal_is_told_with_the_brokers_words<S: Subject>() {
    let codes = || failures_in(PacketType::Connack);
    let broker = Scripted::start(move |broker| {
        for code in codes() {
            let mut client = broker.accept();
            client.expect_type(PacketType::Connect);
            let properties = ConnackProperties {
                reason_string: Some("not today"),
                server_reference: Some("other:1883"),
                user_properties: (&[("try", "again")]).into(),
                ..ConnackProperties::default()
            };
            client.send(&[refusal(code, properties)]);
            client.expect_end();
        }
    });
    for code in codes() {
        let failure = refused::<S>(&broker, &Settings::default());
        assert_eq!(failure.kind, ErrorKind::ConnectionRefused);
        assert_eq!(failure.code, Some(code));
        for word in [code.name(), "not today", "other:1883", "try: again"] {
            assert!(failure.message.contains(word), "{word}: {}", failure.message);
        }
    }
    broker.finish();
}

fn refused_reconnect_can_be_tried_again<S: Subject>() {
    let broker = Scripted::start(|broker| {
        drop(broker.accept_client());
        let mut client = broker.accept();
        client.expect_type(PacketType::Connect);
        client.send(&[refusal(ReasonCode::ServerBusy, ConnackProperties::default())]);
        client.expect_end();
        serve(broker);
    });
    let mut client = connect::<S>(&broker);
    assert_eq!(client.receive(SOON).unwrap_err().kind, ErrorKind::ConnectionClosed);
    assert_eq!(client.reconnect().unwrap_err().reason_code(), Some(ReasonCode::ServerBusy));
    assert_goes_on(client);
    broker.finish();
}

fn closing_inside_a_packet_loses_only_that<S: Subject>() {
    let half = bytes(&[publish("half", b"a packet")])[..7].to_vec();
    let broker = Scripted::start(move |broker| {
        let mut client = broker.accept_client();
        client.send(&[publish("whole", b"")]);
        client.send_bytes(&half);
        drop(client);
        serve(broker);
    });
    let mut client = connect::<S>(&broker);
    assert_eq!(client.expect_message().topic, "whole");
    assert_eq!(client.receive(SOON).unwrap_err().kind, ErrorKind::ConnectionClosed);
    assert_goes_on(client);
    broker.finish();
}

fn closing_inside_a_batch_is_told_for_each_message<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut client =
            broker.accept_client_with(ConnackProperties { receive_maximum: Some(10), ..ConnackProperties::default() });
        for id in 1..=10 {
            client.expect(publish_qos1(id, "batch", b""));
        }
        client.send(&[puback(1), puback(2), disconnect(ReasonCode::ServerBusy)]);
        client.stay_silent();
    });
    let mut client = connect::<S>(&broker);
    let results = client.publish_batch(&[Publish::new("batch", "").qos(QoS::AtLeastOnce); 100]);
    assert_eq!(results.len(), 100);
    assert_eq!(results[..2], [Ok(ReasonCode::Success), Ok(ReasonCode::Success)]);
    for result in &results[2..] {
        assert_eq!(result.as_ref().unwrap_err().reason_code(), Some(ReasonCode::ServerBusy), "{result:?}");
    }
    assert_eq!(client.in_flight(), 8, "which the next connection would send again");
    broker.finish();
}

fn garbage_is_answered_with_malformed_packet<S: Subject>() {
    let garbage: [&[u8]; 9] = [
        b"\x00\x00",                         // packet type 0
        b"\xD1\x00",                         // flags where there are none
        b"\x30\xFF\xFF\xFF\xFF\x01",         // a length of five bytes
        b"\x36\x05\0\x01a\0\x01",            // QoS 3
        b"\x30\x04\0\x01\xFF\0",             // a topic that is not UTF-8
        b"\x30\x04\0\x05ab",                 // a topic longer than its packet
        b"\x30\x04\0\x01#\0",                // a wildcard in a topic
        b"\xD0\x01\0",                       // PINGRESP with something in it
        b"HTTP/1.1 400 Bad Request\r\n\r\n", // another protocol altogether
    ];
    for bytes in garbage {
        let failure = sent::<S>(bytes.to_vec(), ReasonCode::MalformedPacket);
        assert_eq!(failure.kind, ErrorKind::Malformed, "{bytes:?}: {failure:?}");
    }
}

fn packet_over_the_maximum_size_is_refused_unread<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut client = broker.accept_client();
        client.send(&[publish("small", b"")]);
        // The rest of what this promises never comes.
        client.send_bytes(b"\x30\xFF\xFF\xFF\x7F");
        client.expect(disconnect(ReasonCode::PacketTooLarge));
        client.expect_end();
        serve(broker);
    });
    let settings = Settings { maximum_packet_size: Some(1_000), ..Settings::default() };
    let mut client = S::connect(&broker.url(), &settings).unwrap();
    assert_eq!(client.expect_message().topic, "small");
    let failure = client.receive(SOON).unwrap_err();
    assert_eq!((failure.kind, failure.reason_code()), (ErrorKind::Malformed, Some(ReasonCode::PacketTooLarge)));
    assert_goes_on(client);
    broker.finish();
}

fn messages_past_the_receive_maximum_end_the_connection<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut client = broker.accept_client();
        let flood: Vec<_> = (1..=100).map(|id| publish_qos1(id, "flood", b"")).collect();
        client.send(&flood);
        client.expect_type(PacketType::Publish);
        client.expect(disconnect(ReasonCode::ReceiveMaximumExceeded));
        client.expect_end();
    });
    let settings = Settings { receive_maximum: Some(10), ..Settings::default() };
    let mut client = S::connect(&broker.url(), &settings).unwrap();
    // Waiting for an answer takes in all that comes, and hands nothing out.
    let failure = client.publish(&Publish::new("a", "").qos(QoS::ExactlyOnce)).unwrap_err();
    assert_eq!(failure.kind, ErrorKind::ProtocolError);
    assert_eq!(failure.reason_code(), Some(ReasonCode::ReceiveMaximumExceeded));
    for _ in 0..10 {
        assert_eq!(client.expect_message().topic, "flood");
    }
    assert_eq!(client.receive(Duration::ZERO).unwrap_err(), failure);
    broker.finish();
}

fn unexpected_packets_are_protocol_errors<S: Subject>() {
    let id = PacketId::MIN;
    let filters = ["a"];
    let subscriptions = [Subscription::new("a", QoS::AtMostOnce)];
    let (clients_connect, authentication) = (
        Connect {
            clean_start: true,
            keep_alive: 0,
            client_id: "",
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties::default(),
        },
        AuthProperties { authentication_method: Some("secret"), ..AuthProperties::default() },
    );
    let unexpected = [
        connack(ConnackProperties::default()),
        Packet::Connect(clients_connect),
        Packet::Subscribe(Subscribe {
            packet_id: id,
            properties: SubscribeProperties::default(),
            subscriptions: (&subscriptions).into(),
        }),
        Packet::Unsubscribe(Unsubscribe {
            packet_id: id,
            properties: UnsubscribeProperties::default(),
            filters: (&filters).into(),
        }),
        Packet::Pingreq,
        Packet::Auth(Auth { reason_code: ReasonCode::ContinueAuthentication, properties: authentication }),
        Packet::Disconnect(Disconnect {
            properties: DisconnectProperties { session_expiry_interval: Some(1), ..DisconnectProperties::default() },
            ..Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)
        }),
    ];
    for packet in unexpected {
        let failure = sent::<S>(bytes(&[packet]), ReasonCode::ProtocolError);
        assert_eq!(failure.kind, ErrorKind::ProtocolError, "{packet:?}: {failure:?}");
    }
    let zero = sent::<S>(b"\x40\x02\0\0".to_vec(), ReasonCode::ProtocolError);
    assert_eq!(zero.kind, ErrorKind::Malformed, "Packet Identifier 0: {zero:?}");
    let properties = PublishProperties { topic_alias: Some(1), ..PublishProperties::default() };
    let aliased = Packet::Publish(Publish::new("a", "").properties(properties));
    let failure = sent::<S>(bytes(&[aliased]), ReasonCode::TopicAliasInvalid);
    assert_eq!(failure.kind, ErrorKind::ProtocolError);
}

fn acknowledgements_of_nothing_are_ignored<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut client = broker.accept_client();
        let refusal = Ack { reason_code: ReasonCode::NotAuthorized, ..Ack::success(PacketId::MAX) };
        client.send(&[
            puback(77),
            Packet::Puback(refusal),
            Packet::Pubrec(refusal),
            Packet::Pubcomp(Ack::success(PacketId::MAX)),
            suback(77, &[ReasonCode::Success]),
            unsuback(77, &[ReasonCode::Success]),
            publish("behind", b""),
        ]);
        client.serve();
    });
    let mut client = connect::<S>(&broker);
    assert_eq!(client.expect_message().topic, "behind");
    assert_works(client);
    broker.finish();
}

fn each_disconnect_is_told_with_the_brokers_words<S: Subject>() {
    let codes = || failures_in(PacketType::Disconnect).chain([ReasonCode::NORMAL_DISCONNECTION]);
    let broker = Scripted::start(move |broker| {
        for code in codes() {
            let mut client = broker.accept_client();
            let properties = DisconnectProperties {
                reason_string: Some("closing time"),
                server_reference: Some("other:1883"),
                ..DisconnectProperties::default()
            };
            let farewell = Packet::Disconnect(Disconnect { reason_code: code, properties });
            client.send(&[publish("before", b""), farewell]);
            client.expect_end();
        }
        serve(broker);
    });
    let mut client = connect::<S>(&broker);
    for code in codes() {
        assert_eq!(client.expect_message().topic, "before");
        let failure = client.receive(SOON).unwrap_err();
        assert_eq!(failure.kind, ErrorKind::Disconnected);
        assert_eq!(failure.code, Some(code));
        for word in ["closing time", "other:1883"] {
            assert!(failure.message.contains(word), "{word}: {}", failure.message);
        }
        assert_eq!(client.reconnect(), Ok(false));
    }
    assert_works(client);
    broker.finish();
}

fn refused_message_is_told_and_the_connection_goes_on<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut client = broker.accept_client();
        client.expect(publish_qos1(1, "secret", b""));
        let refusal = Ack { reason_code: ReasonCode::NotAuthorized, ..Ack::success(PacketId::MIN) };
        client.send(&[Packet::Puback(refusal)]);
        client.serve();
    });
    let mut client = connect::<S>(&broker);
    let failure = client.publish(&Publish::new("secret", "").qos(QoS::AtLeastOnce)).unwrap_err();
    assert_eq!((failure.kind, failure.reason_code()), (ErrorKind::PublishRefused, Some(ReasonCode::NotAuthorized)));
    assert_works(client);
    broker.finish();
}

fn refused_filter_is_told_beside_the_granted_ones<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut client = broker.accept_client();
        client.expect_type(PacketType::Subscribe);
        client.send(&[suback(1, &[ReasonCode::NotAuthorized, ReasonCode::GrantedQos1])]);
        client.serve();
    });
    let mut client = connect::<S>(&broker);
    let filters = ["secret", "public"].map(|filter| Subscription::new(filter, QoS::AtLeastOnce));
    let granted = client.subscribe_as(&filters, None);
    assert_eq!(granted, Ok(vec![Err(ReasonCode::NotAuthorized), Ok(QoS::AtLeastOnce)]));
    assert_works(client);
    broker.finish();
}

fn connect<S: Subject>(broker: &Scripted) -> S {
    S::connect(&broker.url(), &Settings::default()).unwrap()
}

/// Why the broker's connection cannot be had.
fn refused<S: Subject>(broker: &Scripted, settings: &Settings) -> Failure {
    match S::connect(&broker.url(), settings) {
        Ok(_) => panic!("the client is connected"),
        Err(failure) => failure,
    }
}

/// What CONNECT fails with when the broker answers it with `bytes`, and is told `reason_code` for that.
fn answered_with<S: Subject>(bytes: Vec<u8>, reason_code: ReasonCode) -> Failure {
    let broker = Scripted::start(move |broker| {
        let mut client = broker.accept();
        client.expect_type(PacketType::Connect);
        client.send_bytes(&bytes);
        client.expect(disconnect(reason_code));
        client.expect_end();
    });
    let failure = refused::<S>(&broker, &Settings::default());
    broker.finish();
    assert_eq!(failure.reason_code(), Some(reason_code));
    failure
}

/// What a connection ends with when the broker sends `bytes` behind a message, and is told `reason_code` for that.
fn sent<S: Subject>(bytes: Vec<u8>, reason_code: ReasonCode) -> Failure {
    let broker = Scripted::start(move |broker| {
        let mut client = broker.accept_client();
        client.send_bytes(&[host_tests::packets::bytes(&[publish("before", b"")]), bytes].concat());
        client.expect(disconnect(reason_code));
        client.expect_end();
        serve(broker);
    });
    let mut client = connect::<S>(&broker);
    assert_eq!(client.expect_message().topic, "before");
    let failure = client.receive(SOON).unwrap_err();
    assert_eq!(failure.reason_code(), Some(reason_code));
    assert_goes_on(client);
    broker.finish();
    failure
}

/// What a broker does for [`assert_goes_on`].
fn serve(broker: &Broker) {
    broker.accept_client().serve();
}

/// The connection is over, and the client is as good as new over the next.
fn assert_goes_on<S: Subject>(mut client: S) {
    assert!(!client.is_connected());
    let why = client.receive(Duration::ZERO).unwrap_err();
    assert_ne!(why.kind, ErrorKind::NotConnected, "{why:?} says more");
    assert_eq!(client.receive(Duration::ZERO).unwrap_err(), why, "until there is a connection");
    assert_eq!(client.reconnect(), Ok(false));
    assert_works(client);
}

fn assert_works<S: Subject>(mut client: S) {
    assert!(client.is_connected());
    assert_eq!(client.publish(&Publish::new("afterwards", "").qos(QoS::AtLeastOnce)), Ok(ReasonCode::Success));
    client.disconnect().unwrap();
}

/// Every Reason Code for a failure that a packet of this type can have.
fn failures_in(packet_type: PacketType) -> impl Iterator<Item = ReasonCode> {
    ReasonCode::ALL.iter().copied().filter(move |code| code.is_error() && code.is_valid_in(packet_type))
}
