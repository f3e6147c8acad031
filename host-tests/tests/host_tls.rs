//! TLS that the host does: what a client sends through it comes out as it went in, the host decides who is trusted, and
//! an option that it cannot be told is refused, not dropped.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use host_tests::bindings::exports::mqtt_wasi::client::mqtt::GuestConnectOptions;
use host_tests::broker::{Mosquitto, TlsListener, tls_url};
use host_tests::certificates::{Authority, Certified, Request};
use host_tests::runtime::Host;
use host_tests::scripted::Scripted;
use host_tests::subject::{Component, ErrorKind, Failure, SOON, Settings, Subject};
use host_tests::timing::undisturbed;
use host_tests::tls_peer::{End, TlsPeer};
use mqtt_wasi::{Publish, QoS, ReasonCode};
use rustls::ALL_VERSIONS;
use wasmtime::Store;
use wasmtime::component::ResourceAny;

type Set = fn(&mut Store<Host>, GuestConnectOptions<'_>, ResourceAny) -> wasmtime::Result<()>;

#[test]
fn every_size_comes_back_intact() {
    let authority = Authority::new();
    let Some(mosquitto) = Mosquitto::start_tls(&listener(&authority.server())) else { return };
    let settings = Settings { backlog_limit: Some(4 * 1024 * 1024), ..Settings::default() };
    let mut client = connect(&tls_url(mosquitto.address()), &settings, &authority).unwrap();
    client.subscribe("sizes", QoS::AtLeastOnce);
    for size in [0, 1, 1024, 64 * 1024, 1024 * 1024] {
        let payload: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let published = client.publish(&Publish::new("sizes", &payload).qos(QoS::AtLeastOnce));
        assert_eq!(published, Ok(ReasonCode::Success), "{size} bytes");
        assert!(client.expect_message().payload == payload, "{size} bytes came back changed");
    }
    client.disconnect().unwrap();
}

#[test]
fn last_message_arrives_before_the_connection_ends() {
    let authority = Authority::new();
    let Some(mosquitto) = Mosquitto::start_tls(&listener(&authority.server())) else { return };
    let url = tls_url(mosquitto.address());
    let mut receiver = connect(&url, &Settings::default(), &authority).unwrap();
    receiver.subscribe("last", QoS::AtLeastOnce);
    let payload = vec![7; 256 * 1024];
    for _ in 0..5 {
        let mut sender = connect(&url, &Settings::default(), &authority).unwrap();
        sender.publish(&Publish::new("last", &payload)).unwrap();
        sender.disconnect().unwrap();
        assert!(receiver.expect_message().payload == payload);
    }
    receiver.disconnect().unwrap();
}

#[test]
fn connection_is_made_again_and_again_without_handles_left() {
    let authority = Authority::new();
    let Some(mosquitto) = Mosquitto::start_tls(&listener(&authority.server())) else { return };
    let mut client = connect(&tls_url(mosquitto.address()), &Settings::default(), &authority).unwrap();
    client.reconnect().unwrap();
    let handles = client.host_handles();
    for _ in 0..10 {
        client.publish(&Publish::new("again", "hello")).unwrap();
        client.reconnect().unwrap();
    }
    assert_eq!(client.host_handles(), handles);
    client.disconnect().unwrap();
}

#[test]
fn host_decides_who_is_trusted_and_its_words_are_told() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for version in ALL_VERSIONS {
        let peer = TlsPeer::speaking(&stranger.server(), version);
        let failure = refusal(&peer.url(), &authority);
        assert_eq!(failure.kind, ErrorKind::TlsFailed, "{failure:?}");
        assert!(failure.message.contains("UnknownIssuer"), "{failure:?}");
        assert!(peer.finish().inside.is_empty(), "no byte of MQTT for whom is not trusted");
    }
}

#[test]
fn another_name_is_verified_instead_of_the_urls_host() {
    let authority = Authority::new();
    let certified = authority.issue(&Request { names: &["broker.example"], ..Request::default() });
    let Some(mosquitto) = Mosquitto::start_tls(&listener(&certified)) else { return };
    let url = tls_url(mosquitto.address());
    let failure = refusal(&url, &authority);
    assert_eq!(failure.kind, ErrorKind::TlsFailed, "{failure:?}");

    let set: Set = |s, o, r| o.call_set_server_name(s, r, "broker.example");
    let mut client =
        Component::connect_by_host_tls(&url, &Settings::default(), authority.pem(), |s, o, r| set(s, o, r).unwrap())
            .unwrap();
    let other: Set = |s, o, r| o.call_set_server_name(s, r, "other.example");
    client.update(|s, o, r| other(s, o, r).unwrap()).unwrap();
    let failure = client.reconnect().unwrap_err();
    assert_eq!(failure.kind, ErrorKind::TlsFailed, "a changed name is that of the next connection: {failure:?}");
}

#[test]
fn option_that_the_host_cannot_be_told_is_refused() {
    let authority = Authority::new();
    let options: [Set; 5] = [
        |s, o, r| o.call_add_ca(s, r, b"any"),
        |s, o, r| o.call_add_fingerprint(s, r, "any"),
        |s, o, r| o.call_set_only_own_ca(s, r, true),
        |s, o, r| o.call_set_client_certificate(s, r, b"any", b"any"),
        |s, o, r| o.call_add_alpn(s, r, b"mqtt"),
    ];
    for set in options {
        // Nothing listens there: what is refused before there is a connection gets no further.
        let nowhere = "mqtts://127.0.0.1:1";
        let refused = Component::connect_by_host_tls(nowhere, &Settings::default(), authority.pem(), |s, o, r| {
            set(s, o, r).unwrap();
        });
        let failure = refused.err().expect("an option that cannot be honoured");
        assert_eq!(failure.kind, ErrorKind::TlsOptionNotSupported, "{failure:?}");
        assert!(failure.message.contains("mqtt-tls.wasm"), "{failure:?}");
    }
}

#[test]
fn handshake_that_does_not_end_runs_out_of_time() {
    undisturbed(|| {
        // The system accepts the connection, and nobody reads from it.
        let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = tls_url(silent.local_addr().unwrap());
        let settings = Settings { connect_timeout: Some(Duration::from_secs(1)), ..Settings::default() };
        let start = Instant::now();
        let failure = connect(&url, &settings, &Authority::new()).err().expect("nobody answers");
        assert_eq!(failure.kind, ErrorKind::NetworkTimeout, "{failure:?}");
        assert!(failure.message.contains("TLS handshake"), "{failure:?}");
        let elapsed = start.elapsed();
        assert!((Duration::from_secs(1)..Duration::from_secs(8)).contains(&elapsed), "{elapsed:?}");
    });
}

#[test]
fn end_of_the_connection_is_told() {
    let authority = Authority::new();
    for version in ALL_VERSIONS {
        for (end, kind) in
            [(End::CloseNotify, ErrorKind::ConnectionClosed), (End::Truncated, ErrorKind::ConnectionReset)]
        {
            let peer = TlsPeer::ending(&authority.server(), version, end);
            let mut client = connect(&peer.url(), &Settings::default(), &authority).unwrap();
            let failure = client.receive(SOON).unwrap_err();
            assert_eq!(failure.kind, kind, "{failure:?}");
            drop(client);
            drop(peer.finish());
        }
    }
}

#[test]
fn connection_without_tls_is_as_in_the_plain_component() {
    let broker = Scripted::start(|broker| broker.accept_client().serve());
    let mut client = connect(&broker.url(), &Settings::default(), &Authority::new()).unwrap();
    let message = Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce);
    assert_eq!(client.publish(&message), Ok(ReasonCode::Success));
    client.disconnect().unwrap();
    broker.finish();
}

/// Connects where the host trusts this authority.
fn connect(url: &str, settings: &Settings, trusted: &Authority) -> Result<Component, Failure> {
    Component::connect_by_host_tls(url, settings, trusted.pem(), |_, _, _| {})
}

fn refusal(url: &str, trusted: &Authority) -> Failure {
    connect(url, &Settings::default(), trusted).err().expect("the client is connected")
}

fn listener(certified: &Certified) -> TlsListener {
    let Certified { certificate_pem, key_pem } = certified.clone();
    TlsListener { certificate_pem, key_pem, ..TlsListener::default() }
}
