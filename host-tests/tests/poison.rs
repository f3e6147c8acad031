//! Messages that one side cannot stand, and brokers that are not there yet, over the network and in every form of the
//! client.

use std::time::Duration;

use host_tests::broker::url;
use host_tests::each_subject;
use host_tests::packets::{disconnect, puback, publish, suback};
use host_tests::runtime::Permissions;
use host_tests::scripted::{Broker, Peer, Scripted};
use host_tests::subject::{Component, Failure, Happening, SOON, Settings, Subject};
use mqtt_wasi::codec::{Ack, Connack, Packet, PacketId, PacketType, Publish};
use mqtt_wasi::{Client, ConnectAttempt, ConnectChanges, Options, QoS, ReasonCode, Reconnect, WillMessage};

each_subject!(
    message_at_which_the_broker_closes_is_given_up_and_the_others_arrive,
    message_that_has_to_be_refused_is_skipped_if_the_options_say_so,
    message_over_the_maximum_packet_size_is_skipped_too,
    message_that_comes_again_and_has_to_be_refused_is_told_of,
    first_connection_is_tried_as_long_as_the_options_say,
    call_that_waits_in_vain_for_a_connection_tells_why_there_is_none,
);

const QOS_1: QoS = QoS::AtLeastOnce;

/// A client that connects again at once.
fn settings() -> Settings {
    Settings {
        client_id: "c",
        session_expiry_interval: Some(3600),
        reconnect: Some((Duration::from_millis(10), Duration::from_millis(50))),
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

/// Answers messages up to one to `poison`; whether there was one.
fn serve_up_to_poison(peer: &mut Peer) -> bool {
    loop {
        let received = peer.next_packet().expect("messages, or DISCONNECT");
        match received.packet() {
            Packet::Publish(message) if message.topic == "poison" => return true,
            Packet::Publish(message) => peer.send(&[puback(message.packet_id.expect("QoS 1").get())]),
            other => {
                assert_eq!(other, disconnect(ReasonCode::NORMAL_DISCONNECTION));
                return false;
            }
        }
    }
}

/// The next thing that is neither about the connection nor about attempts to make one.
fn next_about_messages<S: Subject>(client: &mut S) -> Happening {
    loop {
        match client.next_event(SOON).unwrap().expect("something happens soon") {
            Happening::Disconnected(_)
            | Happening::AttemptFailed(_)
            | Happening::RepeatedlyClosed
            | Happening::Reconnected { .. } => {}
            other => return other,
        }
    }
}

fn message_at_which_the_broker_closes_is_given_up_and_the_others_arrive<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        for _ in 0..3 {
            assert!(serve_up_to_poison(&mut peer), "it is sent again");
            drop(peer);
            peer = accept_known(broker);
        }
        assert!(!serve_up_to_poison(&mut peer), "it is not sent any more");
    });
    let mut client = S::connect(&broker.url(), &Settings { attempts_per_message: Some(3), ..settings() }).unwrap();
    client.enqueue(&Publish::new("poison", "?").qos(QOS_1)).unwrap();
    assert_eq!(client.publish(&Publish::new("behind", "!").qos(QOS_1)), Ok(ReasonCode::Success));
    assert_eq!(next_about_messages(&mut client), Happening::MessageGivenUp("poison".into()));
    assert_eq!((client.stats().in_flight, client.stats().dropped), (0, 1));
    client.disconnect().unwrap();
    broker.finish();
}

/// PUBLISH at QoS 1 whose Content Type is not UTF-8.
const POISON: &[u8] = b"\x32\x0A\x00\x01a\x00\x07\x04\x03\x00\x01\xFF";

fn refusal(packet_id: u16) -> Packet<'static> {
    let packet_id = PacketId::new(packet_id).expect("not zero");
    Packet::Puback(Ack { reason_code: ReasonCode::PayloadFormatInvalid, ..Ack::success(packet_id) })
}

fn message_that_has_to_be_refused_is_skipped_if_the_options_say_so<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.expect_type(PacketType::Subscribe);
        peer.send(&[suback(1, &[ReasonCode::GrantedQos1])]);
        peer.send_bytes(POISON);
        peer.send(&[publish("a", b"behind")]);
        peer.expect(refusal(7));
        peer.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    });
    let mut client = S::connect(&broker.url(), &Settings { skip_refused_messages: true, ..settings() }).unwrap();
    client.subscribe("a", QOS_1);
    assert_eq!(client.receive(SOON).unwrap().expect("what is behind it").payload, b"behind");
    assert_eq!(client.next_event(SOON), Ok(Some(Happening::MessageRefused(Some("a".into()), true))));
    assert_eq!(client.stats().skipped, 1);
    client.disconnect().unwrap();
    broker.finish();
}

fn message_over_the_maximum_packet_size_is_skipped_too<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.expect_type(PacketType::Subscribe);
        peer.send(&[suback(1, &[ReasonCode::GrantedQos1])]);
        let (large, packet_id) = (vec![b'x'; 3_000_000], PacketId::new(7));
        peer.send(&[Packet::Publish(Publish { packet_id, ..Publish::new("a", &large).qos(QOS_1) })]);
        peer.send(&[publish("a", b"behind")]);
        peer.expect(refusal(7));
        peer.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    });
    let settings = Settings { skip_refused_messages: true, maximum_packet_size: Some(1_000), ..settings() };
    let mut client = S::connect(&broker.url(), &settings).unwrap();
    client.subscribe("a", QOS_1);
    assert_eq!(client.receive(SOON).unwrap().expect("what is behind it").payload, b"behind");
    client.disconnect().unwrap();
    broker.finish();
}

fn message_that_comes_again_and_has_to_be_refused_is_told_of<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        for _ in 0..2 {
            peer.send_bytes(POISON);
            peer.expect(disconnect(ReasonCode::MalformedPacket));
            drop(peer);
            peer = accept_known(broker);
        }
        peer.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    });
    let mut client = S::connect(&broker.url(), &settings()).unwrap();
    assert_eq!(next_about_messages(&mut client), Happening::MessageRefused(Some("a".into()), false));
    while !client.is_connected() {
        let _ = client.receive(Duration::from_millis(10));
    }
    client.disconnect().unwrap();
    broker.finish();
}

fn first_connection_is_tried_as_long_as_the_options_say<S: Subject>() {
    let broker = Scripted::start(|broker| {
        drop(broker.accept());
        drop(broker.accept());
        let mut peer = broker.accept_client();
        peer.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    });
    let settings = Settings { first_connect: Some(SOON), ..settings() };
    let mut client = S::connect(&broker.url(), &settings).unwrap();
    assert_eq!(client.stats().failed_attempts, 2);
    client.disconnect().unwrap();
    broker.finish();
}

fn call_that_waits_in_vain_for_a_connection_tells_why_there_is_none<S: Subject>() {
    let broker = Scripted::start(|broker| drop(broker.accept_client()));
    let settings = Settings { response_timeout: Some(Duration::from_millis(300)), ..settings() };
    let mut client = S::connect(&broker.url(), &settings).unwrap();
    broker.finish();
    // What is behind the attempt may take longer than the call waits.
    while !matches!(client.next_event(SOON).unwrap().expect("an attempt"), Happening::AttemptFailed(_)) {}
    let failure: Failure = client.publish(&Publish::new("a", "1").qos(QOS_1)).unwrap_err();
    assert!(failure.message.contains("nothing listens"), "{failure:?}");
    assert!(client.stats().failed_attempts > 0);
}

/// What the component alone has in this form.
#[test]
fn component_lists_and_gives_up_what_is_in_flight() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.expect_type(PacketType::Publish);
        peer.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    });
    let permissions = Permissions::to(broker.address());
    let mut client = Component::connect_permitted(&url(broker.address()), &settings(), &permissions).unwrap();
    client.enqueue(&Publish::new("a", "three").qos(QOS_1)).unwrap();
    client.flush().unwrap();
    let (id, topic, payload_bytes, attempts) = client.messages_in_flight().pop().expect("a message");
    assert_eq!((topic.as_str(), payload_bytes, attempts), ("a", 5, 1));
    assert!(client.give_up_message(id));
    assert!(!client.give_up_message(id));
    assert_eq!(client.in_flight(), 0);
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
fn user_says_before_each_attempt_what_connect_has() {
    let broker = Scripted::start(|broker| {
        for number in [0, 1, 2] {
            let mut peer = broker.accept();
            let received = peer.expect_type(PacketType::Connect);
            let Packet::Connect(connect) = received.packet() else { unreachable!("CONNECT") };
            assert_eq!(connect.will.map(|will| will.payload), Some(&[number][..]));
            if number != 1 {
                peer.send(&[Packet::Connack(Connack::default())]);
            }
            if number == 2 {
                peer.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
            }
        }
    });
    let number = std::sync::atomic::AtomicU8::new(0);
    let delay = Duration::from_millis(10);
    let policy = Reconnect { first_delay: delay, longest_delay: delay, ..Reconnect::default() };
    let options = Options::new().reconnect(policy).before_connect(move |attempt: &ConnectAttempt| {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(attempt.cause.is_some(), number > 0);
        ConnectChanges { will: Some(Some(WillMessage::new("status", [number]))), ..ConnectChanges::default() }
    });
    let mut client = Client::connect(&broker.url(), options).unwrap();
    while client.stats().reconnects == 0 {
        client.receive_timeout(delay).unwrap();
    }
    client.disconnect().unwrap();
    broker.finish();
}
