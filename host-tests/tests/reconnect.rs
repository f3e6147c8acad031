//! Clients that connect again by themselves, to one broker or another, and sessions that outlive their client.

use std::time::Duration;

use host_tests::broker::{Mosquitto, url};
use host_tests::packets::{connack, disconnect, puback, publish, refusal, suback};
use host_tests::scripted::{Broker, Peer, Scripted};
use host_tests::subject::{ErrorKind, Happening, SOON, Settings, Subject};
use host_tests::{each_subject, each_subject_over_websocket, nowhere};
use mqtt_wasi::codec::{Connack, ConnackProperties, Disconnect, DisconnectProperties, Packet, PacketType, Publish};
use mqtt_wasi::{QoS, ReasonCode};

each_subject!(
    lost_connection_is_made_again_within_the_call,
    nothing_is_made_again_where_nobody_asked_for_it,
    refusal_that_will_not_change_ends_it,
    session_taken_over_ends_it,
    subscriptions_are_restored_and_told_of,
    broker_that_is_not_there_makes_way_for_the_next,
    redirects_are_followed,
    session_goes_on_in_another_client,
    session_nobody_knows_of_is_refused,
    message_of_a_lost_session_is_discarded_where_the_options_say_so,
    counters_count;
    only when called:
    message_that_never_left_is_sent_over_the_next_connection,
);

each_subject_over_websocket!(
    lost_connection_is_made_again_within_the_call,
    nothing_is_made_again_where_nobody_asked_for_it,
    refusal_that_will_not_change_ends_it,
    session_taken_over_ends_it,
    subscriptions_are_restored_and_told_of,
    session_nobody_knows_of_is_refused,
    message_of_a_lost_session_is_discarded_where_the_options_say_so,
    counters_count,
);

const QOS_1: QoS = QoS::AtLeastOnce;
const NORMAL: ReasonCode = ReasonCode::NORMAL_DISCONNECTION;

/// A client that connects again at once.
fn settings() -> Settings {
    Settings {
        client_id: "c",
        session_expiry_interval: Some(3600),
        reconnect: Some((Duration::from_millis(20), Duration::from_millis(100))),
        ..Settings::default()
    }
}

/// The next client, whose session is still there.
fn accept_known(broker: &Broker) -> Peer {
    let mut peer = broker.accept();
    peer.expect_type(PacketType::Connect);
    peer.send(&[Packet::Connack(Connack { session_present: true, ..Connack::default() })]);
    peer
}

fn lost_connection_is_made_again_within_the_call<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        let sent = peer.expect_type(PacketType::Publish);
        drop(peer);
        // One attempt is cut, another one refused for now.
        drop(broker.accept());
        let mut peer = broker.accept();
        peer.expect_type(PacketType::Connect);
        peer.send(&[refusal(ReasonCode::ServerBusy, ConnackProperties::default())]);
        drop(peer);
        let mut peer = accept_known(broker);
        let Packet::Publish(first) = sent.packet() else { unreachable!("it is PUBLISH") };
        peer.expect(Packet::Publish(Publish { dup: true, ..first }));
        peer.send(&[puback(1), publish("news", b"1")]);
        peer.expect(disconnect(NORMAL));
    });
    let mut client = S::connect(&broker.url(), &settings()).unwrap();
    assert_eq!(client.publish(&Publish::new("a", b"1").qos(QOS_1)), Ok(ReasonCode::Success));
    assert_eq!(client.expect_message().payload, b"1");
    let lost = client.take_event();
    assert!(
        matches!(&lost, Some(Happening::Disconnected(failure)) if failure.kind == ErrorKind::ConnectionClosed
        || failure.kind == ErrorKind::ConnectionReset),
        "{lost:?}"
    );
    let mut failed = Vec::new();
    let mut next = client.take_event();
    while let Some(Happening::AttemptFailed(failure)) = next {
        failed.push((failure.kind, failure.reason_code()));
        next = client.take_event();
    }
    let [(cut, None), refused] = failed[..] else { panic!("two attempts failed: {failed:?}") };
    assert!([ErrorKind::ClosedBeforeConnack, ErrorKind::ConnectionReset].contains(&cut), "{cut:?}");
    assert_eq!(refused, (ErrorKind::ConnectionRefused, Some(ReasonCode::ServerBusy)));
    assert_eq!(next, Some(Happening::Reconnected { session_present: true }));
    assert_eq!(client.take_event(), None);
    assert_eq!((client.stats().reconnects, client.stats().retransmitted), (1, 1));
    client.disconnect().unwrap();
    broker.finish();
}

fn nothing_is_made_again_where_nobody_asked_for_it<S: Subject>() {
    let broker = Scripted::start(|broker| drop(broker.accept_client()));
    let mut client = S::connect(&broker.url(), &Settings::default()).unwrap();
    let why = client.receive(SOON).unwrap_err();
    for _ in 0..2 {
        assert_eq!(client.receive(SOON).unwrap_err(), why, "until there is a connection");
        assert_eq!(client.publish(&Publish::new("a", "")).unwrap_err(), why);
    }
    assert!(matches!(client.take_event(), Some(Happening::Disconnected(_))));
    broker.finish();
}

fn refusal_that_will_not_change_ends_it<S: Subject>() {
    let broker = Scripted::start(|broker| {
        drop(broker.accept_client());
        let mut peer = broker.accept();
        peer.expect_type(PacketType::Connect);
        peer.send(&[refusal(ReasonCode::NotAuthorized, ConnackProperties::default())]);
    });
    let mut client = S::connect(&broker.url(), &settings()).unwrap();
    let failure = client.receive(SOON).unwrap_err();
    assert_eq!((failure.kind, failure.reason_code()), (ErrorKind::ConnectionRefused, Some(ReasonCode::NotAuthorized)));
    broker.finish();
}

fn session_taken_over_ends_it<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.send(&[disconnect(ReasonCode::SessionTakenOver)]);
        peer.expect_end();
    });
    let mut client = S::connect(&broker.url(), &settings()).unwrap();
    let failure = client.receive(SOON).unwrap_err();
    assert_eq!((failure.kind, failure.reason_code()), (ErrorKind::Disconnected, Some(ReasonCode::SessionTakenOver)));
    broker.finish();
}

fn subscriptions_are_restored_and_told_of<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.expect_type(PacketType::Subscribe);
        peer.send(&[suback(1, &[ReasonCode::GrantedQos1, ReasonCode::GrantedQos1])]);
        drop(peer);
        let mut peer = broker.accept_client();
        let received = peer.expect_type(PacketType::Subscribe);
        let Packet::Subscribe(again) = received.packet() else { unreachable!("it is SUBSCRIBE") };
        assert!(again.subscriptions.iter().map(|subscription| subscription.filter).eq(["a", "b"]));
        peer.send(&[suback(again.packet_id.get(), &[ReasonCode::GrantedQos1, ReasonCode::QuotaExceeded])]);
        peer.expect(disconnect(NORMAL));
    });
    let mut client = S::connect(&broker.url(), &settings()).unwrap();
    let filters = ["a", "b"].map(|filter| mqtt_wasi::Subscription::new(filter, QOS_1));
    client.subscribe_as(&filters, None).unwrap();
    let mut events = Vec::new();
    while events.len() < 4 {
        events.extend(client.next_event(SOON).unwrap());
    }
    assert!(matches!(events[0], Happening::Disconnected(_)), "{events:?}");
    assert_eq!(
        events[1..],
        [
            Happening::Reconnected { session_present: false },
            Happening::SubscriptionRestored("a".into()),
            Happening::SubscriptionLost("b".into()),
        ]
    );
    client.disconnect().unwrap();
    broker.finish();
}

fn broker_that_is_not_there_makes_way_for_the_next<S: Subject>() {
    let broker = Scripted::start(|broker| {
        drop(broker.accept_client());
        let mut peer = broker.accept_client();
        peer.send(&[publish("news", b"from the next")]);
        peer.expect(disconnect(NORMAL));
    });
    let settings = Settings { fallbacks: vec![url(nowhere()), broker.url()], ..settings() };
    let mut client = S::connect(&url(nowhere()), &settings).unwrap();
    assert_eq!(client.expect_message().payload, b"from the next");
    assert!(client.is_connected());
    client.disconnect().unwrap();
    broker.finish();
}

fn redirects_are_followed<S: Subject>() {
    // From the first to the second with CONNACK, and to the third with DISCONNECT.
    let third = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.send(&[publish("news", b"from the third")]);
        peer.expect(disconnect(NORMAL));
    });
    let third_address = third.address();
    let second = Scripted::start(move |broker| {
        let mut peer = broker.accept_client();
        let reference = third_address.to_string();
        let properties = DisconnectProperties { server_reference: Some(&reference), ..Default::default() };
        peer.send(&[Packet::Disconnect(Disconnect { reason_code: ReasonCode::ServerMoved, properties })]);
        peer.expect_end();
    });
    let second_address = second.address();
    let first = Scripted::start(move |broker| {
        let mut peer = broker.accept();
        peer.expect_type(PacketType::Connect);
        let reference = second_address.to_string();
        let properties = ConnackProperties { server_reference: Some(&reference), ..Default::default() };
        peer.send(&[refusal(ReasonCode::UseAnotherServer, properties)]);
        peer.expect_end();
    });
    let settings = Settings { leave: vec![second_address, third_address], ..settings() };
    let mut client = S::connect(&first.url(), &settings).unwrap();
    assert_eq!(client.expect_message().payload, b"from the third");
    client.disconnect().unwrap();
    first.finish();
    second.finish();
    third.finish();
}

fn message_that_never_left_is_sent_over_the_next_connection<S: Subject>() {
    let broker = Scripted::start(|broker| {
        drop(broker.accept_client());
        let mut peer = broker.accept_client();
        peer.expect(publish("a", b"kept"));
        peer.expect(disconnect(NORMAL));
    });
    let mut client = S::connect(&broker.url(), &Settings { client_id: "c", ..Settings::default() }).unwrap();
    client.enqueue(&Publish::new("a", b"kept")).unwrap();
    // The first write goes nowhere, or nothing is written any more, depending on who is faster.
    while client.receive(SOON).is_ok() {}
    if client.stats().packets_sent > 1 {
        // It went into the socket: at most once is what QoS 0 promises.
        client.reconnect().unwrap();
        client.publish(&Publish::new("a", b"kept")).unwrap();
    } else {
        client.reconnect().unwrap();
    }
    client.flush().unwrap();
    client.disconnect().unwrap();
    broker.finish();
}

fn session_goes_on_in_another_client<S: Subject>() {
    let Some(mosquitto) = Mosquitto::start() else { return };
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.expect_type(PacketType::Publish);
        peer.stay_silent();
        let mut peer = accept_known(broker);
        let received = peer.expect_type(PacketType::Publish);
        assert!(matches!(received.packet(), Packet::Publish(Publish { dup: true, topic: "a", payload: b"1", .. })));
        peer.send(&[puback(1), publish("news", b"behind")]);
        peer.expect(disconnect(NORMAL));
    });
    let mut settings = settings();
    let mut client = S::connect(&broker.url(), &settings).unwrap();
    client.enqueue(&Publish::new("a", b"1").qos(QOS_1)).unwrap();
    client.flush().unwrap();
    settings.snapshot = Some(client.snapshot());
    drop(client);
    let mut client = S::connect(&broker.url(), &settings).unwrap();
    assert_eq!(client.expect_message().payload, b"behind");
    assert_eq!(client.in_flight(), 0);
    client.disconnect().unwrap();
    broker.finish();

    // What came meanwhile is received by the next client, from a broker that the world runs.
    let mut settings = Settings { client_id: "sleeper", session_expiry_interval: Some(3600), ..Settings::default() };
    let mut client = S::connect(&mosquitto.url(), &settings).unwrap();
    client.subscribe("sleeping/#", QoS::ExactlyOnce);
    settings.snapshot = Some(client.snapshot());
    client.disconnect().unwrap();
    let mut other = S::connect(&mosquitto.url(), &Settings::default()).unwrap();
    other.publish(&Publish::new("sleeping/now", b"zzz").qos(QoS::ExactlyOnce)).unwrap();
    let mut client = S::connect(&mosquitto.url(), &settings).unwrap();
    assert_eq!(client.expect_message().payload, b"zzz");
    client.disconnect().unwrap();
    other.disconnect().unwrap();
}

fn session_nobody_knows_of_is_refused<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut peer = accept_known(broker);
        peer.expect(disconnect(ReasonCode::ProtocolError));
        peer.expect_end();
    });
    let settings = Settings { client_id: "c", clean_start: Some(false), ..Settings::default() };
    let failure = S::connect(&broker.url(), &settings).err().expect("a refusal");
    assert_eq!(failure.kind, ErrorKind::UnknownSession);
    assert!(failure.message.contains("adopt"), "{failure:?}");
    broker.finish();
}

fn message_of_a_lost_session_is_discarded_where_the_options_say_so<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.expect_type(PacketType::Publish);
        drop(peer);
        // Without Session Present.
        let mut peer = broker.accept_client();
        peer.expect(disconnect(NORMAL));
        peer.expect_end();
    });
    let mut client = S::connect(&broker.url(), &Settings { discards_messages: true, ..settings() }).unwrap();
    let failure = client.publish(&Publish::new("a", b"1").qos(QOS_1)).unwrap_err();
    assert_eq!(failure.kind, ErrorKind::SessionLost);
    client.disconnect().unwrap();
    broker.finish();
}

fn counters_count<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept();
        peer.expect_type(PacketType::Connect);
        peer.send(&[connack(ConnackProperties::default())]);
        peer.serve();
    });
    let mut client = S::connect(&broker.url(), &Settings::default()).unwrap();
    let before = client.stats();
    client.publish(&Publish::new("a", b"1").qos(QOS_1)).unwrap();
    let after = client.stats();
    assert_eq!((after.packets_sent - before.packets_sent, after.packets_received - before.packets_received), (1, 1));
    assert_eq!((after.bytes_sent - before.bytes_sent, after.bytes_received - before.bytes_received), (9, 4));
    assert_eq!((after.in_flight, after.refused, after.dropped, after.reconnects), (0, 0, 0, 0));
    client.disconnect().unwrap();
    broker.finish();
}
