//! What the component's interface has words for that the other tests, which hold for each form of the client, have not.

use std::time::{Duration, Instant};

use host_tests::bindings::exports::mqtt_wasi::client::mqtt::GuestConnectOptions;
use host_tests::broker::Embedded;
use host_tests::guest::Guest;
use host_tests::packets::{connack, disconnect, publish, publish_qos1};
use host_tests::runtime::{Clock, Host, Permissions};
use host_tests::scripted::Scripted;
use host_tests::subject::{Component, ErrorKind, Failure, Happening, SOON, Settings, Subject};
use mqtt_wasi::codec::{
    Ack, AckProperties, ConnackProperties, Disconnect, DisconnectProperties, Packet, PacketId, PacketType, Publish,
    PublishProperties, Suback, UserProperties,
};
use mqtt_wasi::{Message, QoS, Reason, ReasonCode, SubscribeReason, bulk};
use wasmtime::Store;
use wasmtime::component::ResourceAny;

#[test]
fn what_the_broker_says_beside_a_reason_code_is_returned() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        let said = AckProperties { reason_string: Some("nobody listens"), user_properties: UserProperties::default() };
        let received = peer.expect_type(PacketType::Publish);
        let Packet::Publish(Publish { packet_id: Some(packet_id), .. }) = received.packet() else { panic!("QoS 1") };
        let reason_code = ReasonCode::NoMatchingSubscribers;
        peer.send(&[Packet::Puback(Ack { packet_id, reason_code, properties: said })]);
        let received = peer.expect_type(PacketType::Subscribe);
        let Packet::Subscribe(subscribe) = received.packet() else { unreachable!("it is SUBSCRIBE") };
        assert!(subscribe.properties.user_properties.iter().eq([("why", "curious")]));
        let user_properties = [("quota", "full")];
        let properties = AckProperties { user_properties: user_properties.as_slice().into(), reason_string: None };
        let reason_codes = [ReasonCode::QuotaExceeded];
        let packet_id = subscribe.packet_id;
        peer.send(&[Packet::Suback(Suback { packet_id, properties, reason_codes: reason_codes.as_slice().into() })]);
        let received = peer.expect_type(PacketType::Publish);
        let Packet::Publish(Publish { packet_id: Some(packet_id), .. }) = received.packet() else { panic!("QoS 1") };
        peer.send(&[Packet::Puback(Ack::success(packet_id))]);
        peer.stay_silent();
    });
    let mut client = Component::connect(&broker.url(), &Settings::default()).unwrap();
    let message = Publish::new("a", b"1").qos(QoS::AtLeastOnce);
    let said = client.publish_with_reason(&message).unwrap();
    assert_eq!(said.reason_code, ReasonCode::NoMatchingSubscribers);
    assert_eq!(said.reason_string.as_deref(), Some("nobody listens"));

    let refused = client.subscribe_saying("a", &[("why".to_owned(), "curious".to_owned())]).unwrap();
    let expected = SubscribeReason {
        reason_codes: vec![ReasonCode::QuotaExceeded],
        reason_string: None,
        user_properties: vec![("quota".to_owned(), "full".to_owned())],
    };
    assert_eq!(refused, expected);

    assert_eq!(client.publish_with_reason(&message), Ok(Reason::from(ReasonCode::Success)));
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
fn receive_does_not_spin_when_the_hosts_clock_is_set_back() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    });
    let clock = Clock::default();
    let permissions = Permissions { clock: Some(clock.clone()), ..Permissions::to(broker.address()) };
    let mut client = Component::connect_permitted(&broker.url(), &Settings::default(), &permissions).unwrap();
    let readings = clock.readings();
    let setter = std::thread::spawn({
        let clock = clock.clone();
        move || {
            std::thread::sleep(Duration::from_millis(200));
            clock.set_back(Duration::from_millis(500));
        }
    });
    let start = Instant::now();
    // Long enough for the setter to come in time.
    assert_eq!(client.receive(Duration::from_secs(5)), Ok(None));
    let (elapsed, readings) = (start.elapsed(), clock.readings() - readings);
    assert!(elapsed > Duration::from_millis(5_400), "by its clock there were five seconds: {elapsed:?}");
    setter.join().unwrap();
    assert!(readings < 50, "the clock was read {readings} times");
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
fn trace_is_followed_without_a_client() {
    let guest = Guest::load("trace_context");
    // It connects to nobody.
    let said = guest.run(([127, 0, 0, 1], 1).into());
    assert!(said.starts_with("00-"), "{said}");
}

#[test]
fn disconnect_says_what_the_caller_wants_it_to() {
    let disconnects = || {
        let properties = DisconnectProperties {
            session_expiry_interval: Some(60),
            reason_string: Some("out of paper"),
            ..DisconnectProperties::default()
        };
        Disconnect { reason_code: ReasonCode::ImplementationSpecificError, properties }
    };
    let broker = Scripted::start(move |broker| {
        let mut peer = broker.accept_client();
        peer.expect(Packet::Disconnect(disconnects()));
        peer.expect_end();
    });
    let settings = Settings { session_expiry_interval: Some(3600), ..Settings::default() };
    let mut client = Component::connect(&broker.url(), &settings).unwrap();
    let only_for_servers = Disconnect::new(ReasonCode::SessionTakenOver);
    assert_eq!(client.disconnect_with(&only_for_servers).unwrap_err().kind, ErrorKind::InvalidArgument);
    assert!(client.is_connected(), "nothing was sent");
    client.disconnect_with(&disconnects()).unwrap();
    broker.finish();
}

#[test]
fn topic_alias_by_hand_stands_for_the_topic() {
    let aliased = |topic| {
        let properties = PublishProperties { topic_alias: Some(3), ..PublishProperties::default() };
        Publish::new(topic, b"1").properties(properties)
    };
    let broker = Scripted::start(move |broker| {
        let terms = ConnackProperties { topic_alias_maximum: Some(3), ..ConnackProperties::default() };
        let mut peer = broker.accept_client_with(terms);
        peer.expect(Packet::Publish(aliased("a/b/c")));
        peer.expect(Packet::Publish(aliased("")));
        peer.expect(publish("a/b/c", b"1"));
        peer.stay_silent();
    });
    let mut client = Component::connect(&broker.url(), &Settings::default()).unwrap();
    client.publish(&aliased("a/b/c")).unwrap();
    client.publish(&aliased("")).unwrap();
    client.publish(&Publish::new("a/b/c", b"1")).unwrap();
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
fn topics_match_as_brokers_have_it() {
    let broker = Embedded::start().unwrap();
    let mut client = Component::connect(&broker.url(), &Settings::default()).unwrap();
    for (filter, topic, is_match) in [
        ("a/+", "a/b", true),
        ("a/+", "a/b/c", false),
        ("a/#", "a", true),
        ("$share/group/a/#", "a/b", true),
        ("#", "$SYS/uptime", false),
        ("a/#/b", "a/x/b", false),
        ("a", "a/+", false),
        ("", "", false),
    ] {
        assert_eq!(client.topic_matches(filter, topic), is_match, "{filter} {topic}");
    }
    client.disconnect().unwrap();
}

#[test]
fn messages_cross_in_bulk_with_everything_that_they_say() {
    let broker = Embedded::start().unwrap();
    let mut client = Component::connect(&broker.url(), &Settings::default()).unwrap();
    client.subscribe("bulk/#", QoS::ExactlyOnce);
    let properties = PublishProperties {
        payload_format_indicator: Some(true),
        content_type: Some("text/plain"),
        correlation_data: Some(b"\x00\xFF"),
        user_properties: (&[("unit", "celsius"), ("unit", "kelvin")]).into(),
        ..PublishProperties::default()
    };
    let large = vec![7; 300_000];
    let messages = [
        Publish::new("bulk/a", "21.5").qos(QoS::AtLeastOnce).properties(properties),
        Publish::new("bulk/b", &large).qos(QoS::ExactlyOnce),
        Publish::new("bulk/c", ""),
    ];
    let unpublished = client.publish_packed(&bulk::pack(messages).unwrap()).unwrap();
    assert_eq!(unpublished, []);
    let mut received = Vec::new();
    while received.len() < messages.len() {
        let words = client.receive_packed(2, u32::MAX, SOON).unwrap();
        let frames: Vec<_> = bulk::unpack(&words).collect::<Result<_, _>>().unwrap();
        assert!((1..=2).contains(&frames.len()), "{}", frames.len());
        received.extend(frames.iter().map(|frame| (frame.delivery, Message::from(frame.message))));
    }
    // As they were published, in whatever order their QoS has them arrive.
    received.sort_by(|(_, one), (_, other)| one.topic.cmp(&other.topic));
    for ((delivery, message), published) in received.iter_mut().zip(messages) {
        assert_eq!(*delivery, None, "there is nothing to acknowledge");
        // The broker has one of its own to add.
        message.user_properties.retain(|(name, _)| name == "unit");
        assert_eq!(*message, Message::from(published));
    }
    assert_eq!(client.receive_packed(0, 1, SOON), Ok(Vec::new()), "no message is wanted");
    assert_eq!(client.receive_packed(1, 1, Duration::ZERO), Ok(Vec::new()), "no message is there");

    // Each that cannot be published is told of, by its place.
    let mut words = bulk::pack([Publish::new("bulk/d", "1")]).unwrap();
    // Without a Topic Name.
    words.extend([0, 3, 0]);
    words.extend(bulk::pack([Publish::new("bulk/e", "2"), Publish::new("bulk/e", "3")]).unwrap());
    let unpublished = client.publish_packed(&words).unwrap();
    let kinds: Vec<_> = unpublished.iter().map(|(place, failure)| (*place, failure.kind)).collect();
    assert_eq!(kinds, [(1, ErrorKind::InvalidArgument)]);
    let mut payloads = Vec::new();
    while payloads.len() < 3 {
        let words = client.receive_packed(100, 1, SOON).unwrap();
        let frames: Vec<_> = bulk::unpack(&words).collect::<Result<_, _>>().unwrap();
        assert_eq!(frames.len(), 1, "no more than one byte");
        payloads.push(frames[0].message.payload.to_vec());
    }
    assert_eq!(payloads, [b"1", b"2", b"3"]);
    client.disconnect().unwrap();
}

#[test]
fn lists_that_are_no_frames_are_refused_unsent() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.expect(publish("good", b""));
        peer.stay_silent();
    });
    let mut client = Component::connect(&broker.url(), &Settings::default()).unwrap();
    let good = bulk::pack([Publish::new("good", "")]).unwrap();
    for no_frame in [
        &[1 << 37, 0][..],
        &[0, 1 << 32],
        &[1 << 36, 0],
        &[u64::MAX; 2],
        &[9, 0, 0],
        &[0],
        &[u64::from(u32::MAX), 3, 0],
    ] {
        let list = [&good, no_frame].concat();
        assert_eq!(client.publish_packed(&list).unwrap_err().kind, ErrorKind::InvalidFrames, "{no_frame:?}");
    }
    assert_eq!(client.publish_packed(&good), Ok(Vec::new()));
    assert_eq!(client.publish_packed(&[]), Ok(Vec::new()));
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
fn deliveries_in_bulk_are_acknowledged_by_their_numbers() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.send(&[publish_qos1(1, "a", b"1"), publish_qos1(2, "a", b"2")]);
        peer.expect(Packet::Puback(Ack::success(PacketId::new(1).unwrap())));
        peer.stay_silent();
    });
    let settings = Settings { acknowledge_by_hand: true, ..Settings::default() };
    let mut client = Component::connect(&broker.url(), &settings).unwrap();
    let mut deliveries = Vec::new();
    while deliveries.len() < 2 {
        let words = client.receive_packed(10, u32::MAX, SOON).unwrap();
        deliveries.extend(bulk::unpack(&words).map(|frame| frame.unwrap().delivery.expect("QoS 1")));
    }
    assert!(client.acknowledge(deliveries[0]));
    assert!(!client.acknowledge(deliveries[0]), "once");
    client.flush().unwrap();
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
fn numbers_that_stand_for_no_request_are_unknown() {
    let broker = Embedded::start().unwrap();
    let mut client = Component::connect(&broker.url(), &Settings::default()).unwrap();
    client.subscribe("work", QoS::AtLeastOnce);
    let unknown = |failure: Failure| assert_eq!(failure.kind, ErrorKind::UnknownRequest, "{failure:?}");
    unknown(client.wait_for_reply(1, Duration::ZERO).unwrap_err());
    unknown(client.reply(1, "no").unwrap_err());
    client.cancel_request(1);
    client.release_request(1);

    let work = Publish::new("work", "3").qos(QoS::AtLeastOnce);
    let asked = client.start_request(&work, SOON).unwrap();
    let (number, message) = client.next_request(SOON).unwrap().expect("the request");
    assert_eq!(message.payload, b"3");
    assert_eq!(client.wait_for_reply(asked, Duration::ZERO), Ok(None), "not yet");
    unknown(client.wait_for_reply(number, Duration::ZERO).unwrap_err());
    client.reply(number, "9").unwrap();
    unknown(client.reply(number, "again").unwrap_err());
    assert_eq!(client.wait_for_reply(asked, SOON).unwrap().expect("the reply").payload, b"9");
    unknown(client.wait_for_reply(asked, Duration::ZERO).unwrap_err());

    let given_up = client.start_request(&work, SOON).unwrap();
    client.cancel_request(given_up);
    unknown(client.wait_for_reply(given_up, Duration::ZERO).unwrap_err());
    client.disconnect().unwrap();
}

#[test]
fn outcomes_that_nobody_asks_for_are_bounded() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.grant();
        while let Some(received) = peer.next_packet() {
            // Nobody listens, so each request is over soon.
            if let Packet::Publish(Publish { packet_id: Some(packet_id), .. }) = received.packet() {
                let reason_code = ReasonCode::NoMatchingSubscribers;
                peer.send(&[Packet::Puback(Ack { reason_code, ..Ack::success(packet_id) })]);
            }
        }
    });
    let mut client = Component::connect(&broker.url(), &Settings::default()).unwrap();
    let nobody = Publish::new("nobody/listens", "?").qos(QoS::AtLeastOnce);
    let numbers: Vec<_> = (0..4_100).map(|_| client.start_request(&nobody, SOON * 10).unwrap()).collect();
    let first = client.wait_for_reply(numbers[0], Duration::ZERO).unwrap_err();
    assert_eq!(first.kind, ErrorKind::UnknownRequest, "the oldest make room");
    let last = client.wait_for_reply(numbers[4_099], SOON).unwrap_err();
    assert_eq!(last.kind, ErrorKind::NoResponder);
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
fn requests_that_are_not_answered_are_bounded_and_none_is_lost() {
    let broker = Embedded::start().unwrap();
    let mut asker = Component::connect(&broker.url(), &Settings::default()).unwrap();
    let mut client = Component::connect(&broker.url(), &Settings::default()).unwrap();
    client.subscribe("work", QoS::AtMostOnce);
    for number in 0..4_097 {
        asker.enqueue(&Publish::new("work", &format!("{number}"))).unwrap();
    }
    asker.flush().unwrap();
    let mut numbers = Vec::new();
    let failure = loop {
        match client.next_request(SOON) {
            Ok(request) => numbers.push(request.expect("a request").0),
            Err(failure) => break failure,
        }
    };
    assert_eq!((failure.kind, numbers.len()), (ErrorKind::TooManyRequests, 4_096));
    client.release_request(numbers[7]);
    let (_, last) = client.next_request(SOON).unwrap().expect("the one that waited");
    assert_eq!(last.payload, b"4096");
    client.disconnect().unwrap();
    asker.disconnect().unwrap();
}

#[test]
fn what_connect_says_can_change_and_what_is_not_set_stays() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept();
        let first = peer.expect_type(PacketType::Connect);
        let Packet::Connect(connect) = first.packet() else { unreachable!("it is CONNECT") };
        assert_eq!((connect.user_name, connect.password), (Some("user"), Some(&b"old"[..])));
        peer.send(&[connack(ConnackProperties::default())]);
        peer.expect_type(PacketType::Disconnect);
        let mut peer = broker.accept();
        let second = peer.expect_type(PacketType::Connect);
        let Packet::Connect(connect) = second.packet() else { unreachable!("it is CONNECT") };
        assert_eq!((connect.user_name, connect.password), (Some("user"), Some(&b"new"[..])));
        assert_eq!(connect.keep_alive, 77);
        peer.send(&[connack(ConnackProperties::default())]);
        peer.expect_type(PacketType::Disconnect);
    });
    let settings = Settings { keep_alive: Some(77), ..Settings::default() };
    let url = broker.url().replace("mqtt://", "mqtt://user:old@");
    let mut client = Component::connect(&url, &settings).unwrap();
    let set = |store: &mut _, options: GuestConnectOptions<'_>, resource| {
        options.call_set_password(store, resource, b"new").unwrap();
    };
    client.update(set).unwrap();
    let unusable = |store: &mut _, options: GuestConnectOptions<'_>, resource| {
        options.call_set_snapshot(store, resource, b"no snapshot").unwrap();
    };
    assert_eq!(client.update(unusable).unwrap_err().kind, ErrorKind::InvalidSnapshot);
    client.reconnect().unwrap();
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
fn what_the_component_is_built_without_is_told_when_connecting() {
    type Set = fn(&mut Store<Host>, GuestConnectOptions<'_>, ResourceAny) -> wasmtime::Result<()>;
    let broker = Scripted::start(|broker| drop(broker.accept_client()));
    let mut client = Component::connect(&broker.url(), &Settings::default()).unwrap();
    let sets: [(Set, ErrorKind); 5] = [
        (|s, o, r| o.call_add_ca(s, r, b"any"), ErrorKind::TlsNotSupported),
        (|s, o, r| o.call_set_client_certificate(s, r, b"any", b"any"), ErrorKind::TlsNotSupported),
        (|s, o, r| o.call_add_websocket_header(s, r, "a", "b"), ErrorKind::WebSocketNotSupported),
        (|s, o, r| o.call_set_proxy(s, r, "http://127.0.0.1:1"), ErrorKind::ProxyNotSupported),
        (|s, o, r| o.call_set_snapshot(s, r, b""), ErrorKind::InvalidSnapshot),
    ];
    for (set, kind) in sets {
        let failure = client.update(|s, o, r| set(s, o, r).unwrap()).unwrap_err();
        assert_eq!(failure.kind, kind);
    }
    // Connecting would take the component with WebSocket.
    let websocket = Component::start("ws://127.0.0.1:1/mqtt", &Settings::default(), "METHOD", b"").err().unwrap();
    assert_eq!(websocket.kind, ErrorKind::WebSocketNotSupported);
    broker.finish();
}

#[test]
fn request_goes_on_though_its_reply_is_behind_messages() {
    let broker = Embedded::start().unwrap();
    let settings = Settings { backlog_limit: Some(1_000), ..Settings::default() };
    let mut client = Component::connect(&broker.url(), &settings).unwrap();
    let mut other = Component::connect(&broker.url(), &Settings::default()).unwrap();
    client.subscribe("flood", QoS::AtMostOnce);
    other.subscribe("work", QoS::AtMostOnce);
    let asked = client.start_request(&Publish::new("work", "3"), SOON).unwrap();
    client.flush().unwrap();
    let (number, _) = other.next_request(SOON).unwrap().expect("the request");
    for _ in 0..200 {
        other.enqueue(&Publish::new("flood", &[0; 1_000])).unwrap();
    }
    other.reply(number, "9").unwrap();
    let failure = loop {
        match client.wait_for_reply(asked, Duration::from_millis(100)) {
            Ok(reply) => assert_eq!(reply, None, "its reply is behind what waits"),
            Err(failure) => break failure,
        }
    };
    assert_eq!(failure.kind, ErrorKind::AnswerBehindMessages);
    let reply = loop {
        while client.receive(Duration::from_millis(10)).unwrap().is_some() {}
        match client.wait_for_reply(asked, Duration::from_millis(10)) {
            Ok(Some(reply)) => break reply,
            Ok(None) => {}
            Err(failure) => assert_eq!(failure.kind, ErrorKind::AnswerBehindMessages),
        }
    };
    assert_eq!(reply.payload, b"9");
    client.disconnect().unwrap();
    other.disconnect().unwrap();
}

#[test]
fn looking_for_events_keeps_the_connection_alive_and_sees_its_end() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.expect(Packet::Pingreq);
        peer.send(&[Packet::Pingresp]);
    });
    // An answer may take four seconds then.
    let settings = Settings { keep_alive: Some(6), ..Settings::default() };
    let mut client = Component::connect(&broker.url(), &settings).unwrap();
    let happening = loop {
        match client.next_event(Duration::ZERO).unwrap() {
            Some(happening) => break happening,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    assert!(matches!(happening, Happening::Disconnected(_)), "{happening:?}");
    assert!(!client.is_connected());
    broker.finish();
}

#[test]
fn failing_to_authenticate_again_changes_nothing() {
    let broker = Scripted::start(|broker| {
        drop(broker.accept_client());
        broker.accept_client().serve();
    });
    let again = Duration::from_millis(10);
    let settings = Settings { reconnect: Some((again, again)), ..Settings::default() };
    let mut client = Component::connect(&broker.url(), &settings).unwrap();
    assert_eq!(client.authenticate_again(b"x").unwrap_err().kind, ErrorKind::NothingToAuthenticate);
    let message = Publish::new("after", "").qos(QoS::AtLeastOnce);
    while client.publish(&message).is_err() {}
    assert_eq!(client.stats().reconnects, 1);
    client.disconnect().unwrap();
    broker.finish();
}
