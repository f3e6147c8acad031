//! TLS: who is trusted and who is refused, with each reason told apart, and no byte of MQTT for whom is not; and what
//! goes through comes out as it went in.

use std::time::Duration;

use host_tests::broker::{Mosquitto, TlsListener, tls_url, url};
use host_tests::certificates::{Authority, Certified, KeyKind, Request, Validity};
use host_tests::each_subject;
use host_tests::subject::{ErrorKind, Failure, Happening, SOON, Settings, Subject, TlsSettings};
use host_tests::tls_peer::{End, TlsPeer};
use mqtt_wasi::{Publish, QoS, ReasonCode};
use rustls::ALL_VERSIONS;

each_subject!(
    every_kind_of_certificate_is_trusted_through_its_authority,
    each_version_is_spoken_alone,
    another_name_is_verified_instead_of_the_urls_host,
    client_certificate_is_presented,
    every_size_comes_back_intact,
    lost_connection_is_made_again,
    tls_session_is_resumed_with_the_next_connection,
    unknown_authority_is_refused,
    impostor_of_an_authority_is_refused,
    self_signed_certificate_is_refused,
    certificate_for_another_name_is_refused,
    expired_certificate_is_refused,
    certificate_that_is_not_valid_yet_is_refused,
    missing_client_certificate_is_told,
    client_certificate_of_a_stranger_is_refused_by_the_broker,
    broker_without_a_common_suite_is_told,
    refusal_of_the_handshake_is_told,
    peer_without_tls_is_told,
    peer_that_wants_tls_is_told,
    mosquitto_ends_what_is_not_tls_without_a_word,
    cut_handshake_is_told,
    end_without_close_notify_is_told,
    end_with_close_notify_is_the_connections_end,
);

/// The number of the alert `handshake_failure`.
const HANDSHAKE_FAILURE: u8 = 40;

/// The number of the alert `protocol_version`.
const PROTOCOL_VERSION: u8 = 70;

/// The number of the alert `internal_error`.
const INTERNAL_ERROR: u8 = 80;

fn every_kind_of_certificate_is_trusted_through_its_authority<S: Subject>() {
    for key_kind in KeyKind::available() {
        println!("{key_kind:?}");
        let authority = Authority::signing_with(key_kind);
        let certified = authority.issue(&Request { key_kind, ..Request::default() });
        let Some(mosquitto) = Mosquitto::start_tls(&listener(&certified)) else { return };
        assert_works(connect::<S>(&mosquitto, &trusting(&authority)));
    }
}

fn each_version_is_spoken_alone<S: Subject>() {
    let authority = Authority::new();
    for version in ["tlsv1.2", "tlsv1.3"] {
        println!("{version}");
        let listener = TlsListener { version: Some(version), ..listener(&authority.server()) };
        let Some(mosquitto) = Mosquitto::start_tls(&listener) else { return };
        assert_works(connect::<S>(&mosquitto, &trusting(&authority)));
    }
}

fn another_name_is_verified_instead_of_the_urls_host<S: Subject>() {
    let authority = Authority::new();
    let certified = authority.issue(&Request { names: &["broker.example"], ..Request::default() });
    let Some(mosquitto) = Mosquitto::start_tls(&listener(&certified)) else { return };
    let mut settings = trusting(&authority);
    tls(&mut settings).server_name = Some("broker.example".into());
    assert_works(connect::<S>(&mosquitto, &settings));
}

fn client_certificate_is_presented<S: Subject>() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let mut settings = trusting(&servers);
    tls(&mut settings).client = Some(presented(clients.client("sensor")));
    for version in ["tlsv1.2", "tlsv1.3"] {
        println!("{version}");
        let listener = TlsListener {
            client_ca_pem: Some(clients.pem().into()),
            version: Some(version),
            ..listener(&servers.server())
        };
        let Some(mosquitto) = Mosquitto::start_tls(&listener) else { return };
        assert_works(connect::<S>(&mosquitto, &settings));
    }
}

fn every_size_comes_back_intact<S: Subject>() {
    let authority = Authority::new();
    let Some(mosquitto) = Mosquitto::start_tls(&listener(&authority.server())) else { return };
    // A broker may echo a message before it acknowledges it, so there must be room for the largest.
    let settings = Settings { backlog_limit: Some(4 * 1024 * 1024), ..trusting(&authority) };
    let mut client = connect::<S>(&mosquitto, &settings);
    client.subscribe("sizes", QoS::AtLeastOnce);
    for size in [0, 1, 1024, 64 * 1024, 1024 * 1024] {
        let payload: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let published = client.publish(&Publish::new("sizes", &payload).qos(QoS::AtLeastOnce));
        assert_eq!(published, Ok(ReasonCode::Success), "{size} bytes");
        assert!(client.expect_message().payload == payload, "{size} bytes came back changed");
    }
    client.disconnect().unwrap();
}

fn lost_connection_is_made_again<S: Subject>() {
    let authority = Authority::new();
    let Some(mut mosquitto) = Mosquitto::start_tls(&listener(&authority.server())) else { return };
    let settings = Settings {
        client_id: "c",
        session_expiry_interval: Some(3600),
        reconnect: Some((Duration::from_millis(20), Duration::from_millis(100))),
        ..trusting(&authority)
    };
    let mut client = connect::<S>(&mosquitto, &settings);
    client.subscribe("before", QoS::AtLeastOnce);
    mosquitto.kill();
    mosquitto.start_again();
    let mut events = Vec::new();
    while events.len() < 3 {
        match client.next_event(SOON).unwrap().expect("an event within seconds") {
            // The broker takes a moment to start.
            Happening::AttemptFailed(_) => {}
            event => events.push(event),
        }
    }
    assert!(matches!(events[0], Happening::Disconnected(_)), "{events:?}");
    assert_eq!(
        events[1..],
        [Happening::Reconnected { session_present: false }, Happening::SubscriptionRestored("before".into())]
    );
    assert_works(client);
}

fn tls_session_is_resumed_with_the_next_connection<S: Subject>() {
    for version in ALL_VERSIONS {
        println!("{version:?}");
        let authority = Authority::new();
        let peer = TlsPeer::taking_twice(&authority.server(), version);
        let settings = Settings {
            reconnect: Some((Duration::from_millis(20), Duration::from_millis(100))),
            ..trusting(&authority)
        };
        let mut client = S::connect(&peer.url(), &settings).unwrap();
        let events = [(); 2].map(|()| client.next_event(SOON).unwrap().expect("an event within seconds"));
        assert!(matches!(events[0], Happening::Disconnected(_)), "{events:?}");
        assert_eq!(events[1], Happening::Reconnected { session_present: false });
        drop(client);
        assert!(peer.finish().is_resumed);
    }
}

fn unknown_authority_is_refused<S: Subject>() {
    let server = Authority::new().server();
    assert_refused::<S>(&server, &trusting(&Authority::new()), ErrorKind::TlsUnknownIssuer);
}

fn impostor_of_an_authority_is_refused<S: Subject>() {
    let authority = Authority::new();
    let server = authority.impostor().server();
    assert_refused::<S>(&server, &trusting(&authority), ErrorKind::TlsBadCertificate);
}

fn self_signed_certificate_is_refused<S: Subject>() {
    assert_refused::<S>(&Certified::self_signed(), &trusting(&Authority::new()), ErrorKind::TlsUnknownIssuer);
}

fn certificate_for_another_name_is_refused<S: Subject>() {
    let authority = Authority::new();
    for names in [&["other.example"], &["127.0.0.2"]] {
        let server = authority.issue(&Request { names, ..Request::default() });
        assert_refused::<S>(&server, &trusting(&authority), ErrorKind::TlsWrongName);
    }
    let mut settings = trusting(&authority);
    tls(&mut settings).server_name = Some("other.example".into());
    assert_refused::<S>(&authority.server(), &settings, ErrorKind::TlsWrongName);
}

fn expired_certificate_is_refused<S: Subject>() {
    let authority = Authority::new();
    let server = authority.issue(&Request { validity: Validity::Expired, ..Request::default() });
    assert_refused::<S>(&server, &trusting(&authority), ErrorKind::TlsExpired);
}

fn certificate_that_is_not_valid_yet_is_refused<S: Subject>() {
    let authority = Authority::new();
    let server = authority.issue(&Request { validity: Validity::NotYet, ..Request::default() });
    assert_refused::<S>(&server, &trusting(&authority), ErrorKind::TlsNotYetValid);
}

fn missing_client_certificate_is_told<S: Subject>() {
    let authority = Authority::new();
    // TLS 1.3 tells it when the handshake is over for the client, which sends CONNECT by then, and TLS 1.2 with the alert
    // for everything, so that only the client knows that it was asked.
    for version in ["tlsv1.2", "tlsv1.3"] {
        let listener = TlsListener {
            client_ca_pem: Some(authority.pem().into()),
            version: Some(version),
            ..listener(&authority.server())
        };
        let Some(mosquitto) = Mosquitto::start_tls(&listener) else { return };
        let failure = failure::<S>(&tls_url(mosquitto.address()), &trusting(&authority));
        assert_eq!(failure.kind, ErrorKind::TlsClientCertificateRequired, "{version}: {failure:?}");
    }
}

fn client_certificate_of_a_stranger_is_refused_by_the_broker<S: Subject>() {
    let authority = Authority::new();
    let mut settings = trusting(&authority);
    tls(&mut settings).client = Some(presented(Authority::new().client("stranger")));
    for version in ["tlsv1.2", "tlsv1.3"] {
        let listener = TlsListener {
            client_ca_pem: Some(authority.pem().into()),
            version: Some(version),
            ..listener(&authority.server())
        };
        let Some(mosquitto) = Mosquitto::start_tls(&listener) else { return };
        let failure = failure::<S>(&tls_url(mosquitto.address()), &settings);
        assert_eq!(failure.kind, ErrorKind::TlsFailed, "{version}: {failure:?}");
    }
}

fn broker_without_a_common_suite_is_told<S: Subject>() {
    let authority = Authority::new();
    let listener = TlsListener {
        version: Some("tlsv1.2"),
        ciphers: Some("ECDHE-ECDSA-AES256-SHA384"),
        ..listener(&authority.server())
    };
    let Some(mosquitto) = Mosquitto::start_tls(&listener) else { return };
    let failure = failure::<S>(&tls_url(mosquitto.address()), &trusting(&authority));
    assert_eq!(failure.kind, ErrorKind::TlsNothingInCommon, "{failure:?}");
}

fn refusal_of_the_handshake_is_told<S: Subject>() {
    let settings = trusting(&Authority::new());
    for (alert, kind) in [
        (HANDSHAKE_FAILURE, ErrorKind::TlsNothingInCommon),
        (PROTOCOL_VERSION, ErrorKind::TlsNothingInCommon),
        (INTERNAL_ERROR, ErrorKind::TlsFailed),
    ] {
        assert_failure::<S>(TlsPeer::alerting(alert), &settings, kind);
    }
}

fn peer_without_tls_is_told<S: Subject>() {
    let settings = trusting(&Authority::new());
    let answers: [&[u8]; 3] = [
        b"220 mail.example ESMTP\r\n",       // a greeting
        b"HTTP/1.1 400 Bad Request\r\n\r\n", // another protocol altogether
        b"\x20\x03\0\0\0",                   // CONNACK
    ];
    for answer in answers {
        assert_failure::<S>(TlsPeer::plain(answer), &settings, ErrorKind::TlsNotTls);
    }
}

fn peer_that_wants_tls_is_told<S: Subject>() {
    let server = Authority::new().server();
    for peer in [TlsPeer::alerting(PROTOCOL_VERSION), TlsPeer::speaking(&server, ALL_VERSIONS[0])] {
        let failure = failure::<S>(&url(peer.address()), &Settings::default());
        assert_eq!(failure.kind, ErrorKind::TlsExpected, "{failure:?}");
        peer.finish();
    }
}

fn mosquitto_ends_what_is_not_tls_without_a_word<S: Subject>() {
    let Some(mosquitto) = Mosquitto::start_tls(&listener(&Authority::new().server())) else { return };
    let failure = failure::<S>(&mosquitto.url(), &Settings::default());
    // OpenSSL sends no alert where nothing looks like TLS. Whether CONNECT was read by then decides which.
    let kinds = [ErrorKind::ConnectionClosed, ErrorKind::ConnectionReset];
    assert!(kinds.contains(&failure.kind), "{failure:?}");
}

fn cut_handshake_is_told<S: Subject>() {
    let authority = Authority::new();
    assert_failure::<S>(TlsPeer::cutting(), &trusting(&authority), ErrorKind::TlsCut);
    for version in ALL_VERSIONS {
        let peer = TlsPeer::cutting_its_answer(&authority.server(), version);
        assert_failure::<S>(peer, &trusting(&authority), ErrorKind::TlsCut);
    }
}

fn end_without_close_notify_is_told<S: Subject>() {
    assert_ends::<S>(End::Truncated, ErrorKind::TlsTruncated);
}

fn end_with_close_notify_is_the_connections_end<S: Subject>() {
    assert_ends::<S>(End::CloseNotify, ErrorKind::ConnectionClosed);
}

/// Settings with which this authority is trusted, and no other.
fn trusting(authority: &Authority) -> Settings {
    let tls = TlsSettings { ca_pem: authority.pem().into(), ..TlsSettings::default() };
    Settings { tls: Some(tls), ..Settings::default() }
}

fn tls(settings: &mut Settings) -> &mut TlsSettings {
    settings.tls.as_mut().expect("settings for TLS")
}

fn presented(certified: Certified) -> (String, String) {
    (certified.certificate_pem, certified.key_pem)
}

/// A mosquitto with this certificate.
fn listener(certified: &Certified) -> TlsListener {
    let Certified { certificate_pem, key_pem } = certified.clone();
    TlsListener { certificate_pem, key_pem, ..TlsListener::default() }
}

fn connect<S: Subject>(mosquitto: &Mosquitto, settings: &Settings) -> S {
    S::connect(&tls_url(mosquitto.address()), settings).unwrap()
}

/// Why there is no connection.
fn failure<S: Subject>(url: &str, settings: &Settings) -> Failure {
    match S::connect(url, settings) {
        Ok(_) => panic!("the client is connected"),
        Err(failure) => failure,
    }
}

fn assert_works<S: Subject>(mut client: S) {
    client.subscribe("echo", QoS::AtLeastOnce);
    let published = client.publish(&Publish::new("echo", "hello").qos(QoS::AtLeastOnce));
    assert_eq!(published, Ok(ReasonCode::Success));
    assert_eq!(client.expect_message().payload, b"hello");
    client.disconnect().unwrap();
}

/// The client refuses a server with this certificate, over each version of TLS, and tells it so.
fn assert_refused<S: Subject>(certified: &Certified, settings: &Settings, kind: ErrorKind) {
    for version in ALL_VERSIONS {
        let peer = TlsPeer::speaking(certified, version);
        let failure = failure::<S>(&peer.url(), settings);
        let seen = peer.finish();
        assert_eq!(failure.kind, kind, "{version:?}: {failure:?}");
        assert!(!seen.has_mqtt(), "{version:?}: {seen:?}");
        assert!(seen.alert.is_some(), "{version:?}: the server is not told");
    }
}

/// There is no connection to this peer, and it sees nothing of MQTT.
fn assert_failure<S: Subject>(peer: TlsPeer, settings: &Settings, kind: ErrorKind) {
    let failure = failure::<S>(&peer.url(), settings);
    let seen = peer.finish();
    assert_eq!(failure.kind, kind, "{failure:?}");
    assert!(!seen.has_mqtt(), "{seen:?}");
}

/// What a client is told when the broker ends its connection so, over each version of TLS.
fn assert_ends<S: Subject>(end: End, kind: ErrorKind) {
    let authority = Authority::new();
    for version in ALL_VERSIONS {
        let peer = TlsPeer::ending(&authority.server(), version, end);
        let mut client = S::connect(&peer.url(), &trusting(&authority)).unwrap();
        let failure = client.receive(SOON).unwrap_err();
        assert_eq!(failure.kind, kind, "{version:?}: {failure:?}");
        drop(client);
        peer.finish();
    }
}
