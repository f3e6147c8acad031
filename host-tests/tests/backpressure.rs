//! More than anybody takes: it waits where it is, nothing is lost, and nobody waits for somebody who waits for them.

use std::sync::mpsc;
use std::time::Duration;

use host_tests::packets::{disconnect, puback, publish, publish_qos1};
use host_tests::scripted::{Peer, Scripted};
use host_tests::subject::{ErrorKind, SOON, Settings, Subject};
use host_tests::{each_subject, each_subject_over_websocket};
use mqtt_wasi::codec::PacketType;
use mqtt_wasi::{Publish, QoS, ReasonCode};

each_subject!(
    answer_behind_a_flood_wants_messages_received_first,
    both_can_send_more_than_the_network_holds,
    acknowledgement_that_is_all_that_comes_makes_room,
    broker_that_stops_reading_is_a_timeout_and_loses_nothing,
);

each_subject_over_websocket!(
    answer_behind_a_flood_wants_messages_received_first,
    both_can_send_more_than_the_network_holds,
    acknowledgement_that_is_all_that_comes_makes_room,
);

/// Together far more than a socket's buffers hold.
const FLOOD: u32 = 2_000;
const PAYLOAD: usize = 16 * 1024;

fn answer_behind_a_flood_wants_messages_received_first<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut client = broker.accept_client();
        client.expect(publish_qos1(1, "asked", b""));
        flood(&mut client);
        client.send(&[puback(1)]);
        client.serve();
    });
    let settings = Settings { backlog_limit: Some(64 * 1024), ..Settings::default() };
    let mut client = S::connect(&broker.url(), &settings).unwrap();
    let failure = client.publish(&Publish::new("asked", "").qos(QoS::AtLeastOnce)).unwrap_err();
    assert_eq!(failure.kind, ErrorKind::AnswerBehindMessages);
    assert_eq!((client.is_connected(), client.in_flight()), (true, 1));

    receive_flood(&mut client);
    assert_eq!(client.publish(&Publish::new("more", "").qos(QoS::AtLeastOnce)), Ok(ReasonCode::Success));
    assert_eq!(client.in_flight(), 0, "the first answer was behind them");
    client.disconnect().unwrap();
    broker.finish();
}

fn both_can_send_more_than_the_network_holds<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut client = broker.accept_client();
        flood(&mut client);
        expect_flood(&mut client, FLOOD);
        client.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    });
    // Room for all of it: the client takes in what the broker must get rid of before it reads.
    let settings = Settings { backlog_limit: Some(2 * FLOOD * PAYLOAD as u32), ..Settings::default() };
    let mut client = S::connect(&broker.url(), &settings).unwrap();
    for number in 0..FLOOD {
        client.publish(&Publish::new("flood", &payload(number))).unwrap();
    }
    receive_flood(&mut client);
    client.disconnect().unwrap();
    broker.finish();
}

fn broker_that_stops_reading_is_a_timeout_and_loses_nothing<S: Subject>() {
    let (let_read, may_read) = mpsc::channel();
    let broker = Scripted::start(move |broker| {
        let mut client = broker.accept_client();
        flood(&mut client);
        let sent = may_read.recv().expect("word from the test");
        expect_flood(&mut client, sent);
        client.serve();
    });
    let settings = Settings {
        backlog_limit: Some(64 * 1024),
        response_timeout: Some(Duration::from_secs(1)),
        ..Settings::default()
    };
    let mut client = S::connect(&broker.url(), &settings).unwrap();
    let mut sent = 0;
    let failure = loop {
        match client.publish(&Publish::new("flood", &payload(sent))) {
            Ok(_) => sent += 1,
            Err(failure) => break failure,
        }
    };
    assert_eq!(failure.kind, ErrorKind::Timeout);
    assert!(client.is_connected());

    receive_flood(&mut client);
    // The one that timed out waits to be sent.
    let_read.send(sent + 1).unwrap();
    // All of it has to be read before, which may take longer than the client waits.
    let more = Publish::new("more", "").qos(QoS::AtLeastOnce);
    let published = loop {
        match client.publish(&more) {
            Err(failure) if failure.kind == ErrorKind::Timeout => {}
            published => break published,
        }
    };
    assert_eq!(published, Ok(ReasonCode::Success));
    client.disconnect().unwrap();
    broker.finish();
}

fn acknowledgement_that_is_all_that_comes_makes_room<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut client = broker.accept_client();
        for id in 1..=3 {
            // One at a time, and nothing else comes.
            client.expect(publish_qos1(id, "a", b""));
            client.send(&[puback(id)]);
        }
        client.serve();
    });
    // The broker of the script has less patience than the client, which must not wait for anything more to come.
    let settings = Settings { in_flight_limit: Some(1), response_timeout: Some(3 * SOON), ..Settings::default() };
    let mut client = S::connect(&broker.url(), &settings).unwrap();
    for _ in 0..3 {
        client.enqueue(&Publish::new("a", "").qos(QoS::AtLeastOnce)).unwrap();
    }
    client.flush().unwrap();
    client.disconnect().unwrap();
    broker.finish();
}

fn flood(client: &mut Peer) {
    for number in 0..FLOOD {
        client.send(&[publish("flood", &payload(number))]);
    }
}

fn expect_flood(client: &mut Peer, messages: u32) {
    for number in 0..messages {
        let received = client.expect_type(PacketType::Publish);
        assert!(received.packet() == publish("flood", &payload(number)), "message {number}");
    }
}

fn receive_flood<S: Subject>(client: &mut S) {
    let mut expected = 0;
    while expected < FLOOD {
        for message in client.receive_batch(100, SOON).unwrap() {
            assert!(message.payload == payload(expected), "message {expected} of {} bytes", message.payload.len());
            expected += 1;
        }
    }
}

fn payload(number: u32) -> Vec<u8> {
    number.to_be_bytes().repeat(PAYLOAD / 4)
}
