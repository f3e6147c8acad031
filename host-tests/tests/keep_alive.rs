//! Keep Alive in real time: the broker hears from a waiting client often enough, and no more often than that.

use std::time::{Duration, Instant};

use host_tests::each_subject;
use host_tests::packets::disconnect;
use host_tests::scripted::Scripted;
use host_tests::subject::{ErrorKind, SOON, Settings, Subject};
use mqtt_wasi::ReasonCode;
use mqtt_wasi::codec::{ConnackProperties, Packet};

each_subject!(
    waiting_client_pings_in_time,
    server_keep_alive_replaces_the_one_asked_for,
    keep_alive_of_zero_is_off,
    broker_that_answers_no_ping_is_given_up,
);

/// What the clients of these tests keep.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

fn waiting_client_pings_in_time<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let pings = broker.accept_client().answer_pings(KEEP_ALIVE);
        assert!((2..=4).contains(&pings), "{pings} pings in 2.5 seconds");
    });
    let settings = Settings { keep_alive: Some(1), ..Settings::default() };
    let mut client = S::connect(&broker.url(), &settings).unwrap();
    assert_eq!(client.receive(Duration::from_millis(2_500)), Ok(None));
    client.disconnect().unwrap();
    broker.finish();
}

fn server_keep_alive_replaces_the_one_asked_for<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let terms = ConnackProperties { server_keep_alive: Some(1), ..ConnackProperties::default() };
        let pings = broker.accept_client_with(terms).answer_pings(KEEP_ALIVE);
        assert!((1..=3).contains(&pings), "{pings} pings in 1.7 seconds");
    });
    let mut client = S::connect(&broker.url(), &Settings { keep_alive: Some(60), ..Settings::default() }).unwrap();
    assert_eq!(client.receive(Duration::from_millis(1_700)), Ok(None));
    client.disconnect().unwrap();
    broker.finish();
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
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert_eq!(client.reconnect(), Ok(false));
    client.disconnect().unwrap();
    broker.finish();
}
