//! Keep Alive in real time: the broker hears from a waiting client often enough, and no more often than that.
//! `tests/session/keep_alive.rs` has the same to the millisecond, under virtual time.

use std::time::{Duration, Instant};

use host_tests::packets::{self, disconnect, publish};
use host_tests::scripted::Scripted;
use host_tests::subject::{ErrorKind, SOON, Settings, Subject};
use host_tests::timing::undisturbed;
use host_tests::{each_subject, each_subject_over_websocket};
use mqtt_wasi::ReasonCode;
use mqtt_wasi::codec::{ConnackProperties, Packet, Publish};

each_subject!(
    waiting_client_pings_in_time,
    server_keep_alive_replaces_the_one_asked_for,
    keep_alive_of_zero_is_off,
    broker_that_answers_no_ping_is_given_up,
    message_that_takes_longer_than_the_keep_alive_arrives,
    broker_that_reads_slowly_is_waited_for,
);

each_subject_over_websocket!(
    waiting_client_pings_in_time,
    server_keep_alive_replaces_the_one_asked_for,
    keep_alive_of_zero_is_off,
    broker_that_answers_no_ping_is_given_up,
    message_that_takes_longer_than_the_keep_alive_arrives,
);

/// What the clients of these tests keep.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

fn waiting_client_pings_in_time<S: Subject>() {
    undisturbed(|| {
        let broker = Scripted::start(|broker| {
            let pings = broker.accept_client().answer_pings(KEEP_ALIVE);
            assert!((2..=4).contains(&pings), "{pings} pings in 2.5 seconds");
        });
        let settings = Settings { keep_alive: Some(1), ..Settings::default() };
        let mut client = S::connect(&broker.url(), &settings).unwrap();
        assert_eq!(client.receive(Duration::from_millis(2_500)), Ok(None));
        client.disconnect().unwrap();
        broker.finish();
    });
}

fn server_keep_alive_replaces_the_one_asked_for<S: Subject>() {
    undisturbed(|| {
        let broker = Scripted::start(|broker| {
            let terms = ConnackProperties { server_keep_alive: Some(1), ..ConnackProperties::default() };
            let pings = broker.accept_client_with(terms).answer_pings(KEEP_ALIVE);
            assert!((1..=3).contains(&pings), "{pings} pings in 1.7 seconds");
        });
        let mut client = S::connect(&broker.url(), &Settings { keep_alive: Some(60), ..Settings::default() }).unwrap();
        assert_eq!(client.receive(Duration::from_millis(1_700)), Ok(None));
        client.disconnect().unwrap();
        broker.finish();
    });
}

fn keep_alive_of_zero_is_off<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let terms = ConnackProperties { server_keep_alive: Some(0), ..ConnackProperties::default() };
        let mut client = broker.accept_client_with(terms);
        client.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    });
    let mut client = S::connect(&broker.url(), &Settings { keep_alive: Some(1), ..Settings::default() }).unwrap();
    assert_eq!(client.receive(Duration::from_millis(1_500)), Ok(None));
    client.disconnect().unwrap();
    broker.finish();
}

fn broker_that_answers_no_ping_is_given_up<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut client = broker.accept_client();
        let mut pings = 0;
        let last = loop {
            match client.next_packet().expect("DISCONNECT before the end") {
                received if received.packet() == Packet::Pingreq => pings += 1,
                received => break received,
            }
        };
        assert_eq!(last.packet(), disconnect(ReasonCode::UnspecifiedError));
        assert!((1..=4).contains(&pings), "{pings} pings");
        client.expect_end();
        broker.accept_client().serve();
    });
    let mut client = S::connect(&broker.url(), &Settings { keep_alive: Some(1), ..Settings::default() }).unwrap();
    let start = Instant::now();
    let failure = client.receive(SOON).unwrap_err();
    assert_eq!(
        (failure.kind, failure.reason_code()),
        (ErrorKind::KeepAliveTimeout, Some(ReasonCode::UnspecifiedError))
    );
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(client.reconnect(), Ok(false));
    client.disconnect().unwrap();
    broker.finish();
}

/// How long what is on its way takes: much more than a ping may.
const SLOW: Duration = Duration::from_secs(12);

fn message_that_takes_longer_than_the_keep_alive_arrives<S: Subject>() {
    undisturbed(|| {
        let broker = Scripted::start(|broker| {
            let mut client = broker.accept_client();
            let message = packets::bytes(&[publish("a", &[b'x'; 100_000])]);
            for piece in message.chunks(message.len() / 48 + 1) {
                client.send_bytes(piece);
                std::thread::sleep(SLOW / 48);
            }
            // The answers to all pings are behind it.
            let _ = client.answer_pings(SOON);
        });
        let mut client = S::connect(&broker.url(), &Settings { keep_alive: Some(1), ..Settings::default() }).unwrap();
        let message = client.receive(2 * SLOW).unwrap().expect("the message");
        assert_eq!(message.payload.len(), 100_000);
        assert_eq!(client.receive(Duration::from_millis(500)), Ok(None));
        client.disconnect().unwrap();
        broker.finish();
    });
}

fn broker_that_reads_slowly_is_waited_for<S: Subject>() {
    undisturbed(|| {
        let broker = Scripted::start(|broker| {
            let mut client = broker.accept_client();
            // The systems between the two hold it all.
            std::thread::sleep(SLOW / 2);
            assert_eq!(client.next_packet().expect("PUBLISH").packet(), publish("a", &[b'x'; 500_000]));
            let _ = client.answer_pings(SOON);
        });
        let mut client = S::connect(&broker.url(), &Settings { keep_alive: Some(1), ..Settings::default() }).unwrap();
        client.publish(&Publish::new("a", &[b'x'; 500_000])).unwrap();
        assert_eq!(client.receive(SLOW), Ok(None));
        client.disconnect().unwrap();
        broker.finish();
    });
}
