//! TLS: who is trusted and who is refused, with each reason told apart, and no byte of MQTT for whom is not; and what
//! goes through comes out as it went in.

use std::time::Duration;

use host_tests::broker::{Mosquitto, TlsListener, tls_url, url};
use host_tests::certificates::{Authority, Certified, KeyKind, OpenSsl, Request, Validity};
use host_tests::each_subject_with_tls;
use host_tests::subject::{ErrorKind, Failure, Happening, SOON, Settings, Subject, TlsSettings};
use host_tests::tls_peer::{End, Parting, TlsPeer};
use mqtt_wasi::{Client, Options, Publish, QoS, ReasonCode, TlsOptions};
use rustls::ALL_VERSIONS;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite};
use rustls::version::TLS12;

each_subject_with_tls!(
    every_kind_of_certificate_is_trusted_through_its_authority,
    each_version_is_spoken_alone,
    another_name_is_verified_instead_of_the_urls_host,
    client_certificate_is_presented,
    every_size_comes_back_intact,
    lost_connection_is_made_again,
    tls_options_can_change_for_the_next_connection,
    tls_options_that_cannot_be_used_are_refused_and_change_nothing,
    tls_session_is_resumed_with_the_next_connection,
    unknown_authority_is_refused,
    impostor_of_an_authority_is_refused,
    self_signed_certificate_is_refused,
    certificate_for_another_name_is_refused,
    expired_certificate_is_refused,
    certificate_that_is_not_valid_yet_is_refused,
    missing_client_certificate_is_told,
    client_certificate_of_a_stranger_is_refused_by_the_broker,
    client_certificate_is_refused_by_any_alert,
    end_without_a_word_tells_what_was_asked,
    alert_after_the_handshake_is_no_failure_of_it,
    self_signed_certificate_is_trusted_if_it_is_given,
    certificate_is_trusted_by_its_fingerprint_alone,
    certificate_that_cannot_be_checked_names_why_in_one_line,
    authority_that_cannot_be_checked_is_refused_when_it_is_given,
    server_with_a_key_of_another_kind_has_nothing_in_common,
    reason_of_a_refusal_is_in_the_words,
    broker_without_a_common_suite_is_told,
    refusal_of_the_handshake_is_told,
    peer_without_tls_is_told,
    peer_that_wants_tls_is_told,
    mosquitto_ends_what_is_not_tls_without_a_word,
    cut_handshake_is_told,
    end_without_close_notify_is_told,
    end_with_close_notify_is_the_connections_end,
);

#[test]
fn provider_of_the_user_does_the_handshake() {
    let authority = Authority::new();
    let Some(mosquitto) = Mosquitto::start_tls(&listener(&authority.server())) else { return };
    let url = tls_url(mosquitto.address());
    let tls = TlsOptions::new().ca(authority.pem()).expect("a certificate").only_own_ca();
    let connect = |provider: CryptoProvider| {
        Client::connect(&url, Options::new().tls(tls.clone().provider(provider))).map(|client| client.is_connected())
    };
    assert_eq!(connect(ring::default_provider()).ok(), Some(true));
    let one_suite = vec![cipher_suite::TLS13_AES_256_GCM_SHA384];
    assert_eq!(connect(CryptoProvider { cipher_suites: one_suite, ..ring::default_provider() }).ok(), Some(true));
    let error =
        connect(CryptoProvider { cipher_suites: Vec::new(), ..ring::default_provider() }).expect_err("no suite");
    assert_eq!(error.name(), "tls-configuration", "{error}");
}

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

fn tls_options_can_change_for_the_next_connection<S: Subject>() {
    let (authority, other) = (Authority::new(), Authority::new());
    let Some(mut mosquitto) = Mosquitto::start_tls(&listener(&authority.server())) else { return };
    let settings = Settings { client_id: "c", session_expiry_interval: Some(3600), ..trusting(&authority) };
    let mut client = connect::<S>(&mosquitto, &settings);
    mosquitto.kill();
    mosquitto.start_again();
    client.receive(SOON).unwrap_err();
    client.use_tls(tls(&mut trusting(&other))).unwrap();
    let failure = client.reconnect().unwrap_err();
    assert_eq!(failure.kind, ErrorKind::TlsUnknownIssuer, "{failure:?}");
    client.use_tls(tls(&mut trusting(&authority))).unwrap();
    client.reconnect().unwrap();
    assert_works(client);
}

fn tls_options_that_cannot_be_used_are_refused_and_change_nothing<S: Subject>() {
    let authority = Authority::new();
    let Some(mut mosquitto) = Mosquitto::start_tls(&listener(&authority.server())) else { return };
    let settings = Settings { client_id: "c", session_expiry_interval: Some(3600), ..trusting(&authority) };
    let mut client = connect::<S>(&mosquitto, &settings);
    client.use_tls(tls(&mut trusting_pem("no certificate"))).unwrap_err();
    mosquitto.kill();
    mosquitto.start_again();
    client.receive(SOON).unwrap_err();
    client.reconnect().unwrap();
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
        assert_eq!(failure.kind, ErrorKind::TlsClientCertificateRefused, "{version}: {failure:?}");
        assert!(failure.message.contains("unknown_ca (48)"), "{version}: {failure:?}");
    }
}

fn client_certificate_is_refused_by_any_alert<S: Subject>() {
    let authority = Authority::new();
    let without = trusting(&authority);
    let mut with = without.clone();
    tls(&mut with).client = Some(presented(authority.client("sensor")));
    for (alert, error) in refusals() {
        for version in ALL_VERSIONS {
            let peer = || TlsPeer::refusing_clients(&authority.server(), version, error.clone());
            let failure = failure_of::<S>(peer(), &with);
            assert_eq!(failure.kind, ErrorKind::TlsClientCertificateRefused, "{version:?}, {alert}: {failure:?}");
            assert!(failure.message.contains(&format!("({alert})")), "{version:?}: {failure:?}");
            // A client that has none is told that it needs one, with whatever alert the server has for that.
            let failure = failure_of::<S>(peer(), &without);
            assert_eq!(failure.kind, ErrorKind::TlsClientCertificateRequired, "{version:?}, {alert}: {failure:?}");
        }
    }
}

fn end_without_a_word_tells_what_was_asked<S: Subject>() {
    let authority = Authority::new();
    let without = trusting(&authority);
    let mut with = without.clone();
    tls(&mut with).client = Some(presented(authority.client("sensor")));
    for version in ALL_VERSIONS {
        for parting in Parting::ALL {
            let asked = Some(authority.pem());
            let peer = |asked| TlsPeer::parting(&authority.server(), version, asked, parting);
            // In TLS 1.3 the client is done once it has answered the server.
            let is_within = *version == &TLS12 && matches!(parting, Parting::Reset | Parting::CutEarly);
            for (settings, within, got) in [
                (&without, ErrorKind::TlsClientCertificateRequired, "it got none"),
                (&with, ErrorKind::TlsClientCertificateRefused, "it got the one in the options"),
            ] {
                let failure = failure_of::<S>(peer(asked), settings);
                let context = format!("{version:?}, {parting:?}: {failure:?}");
                // Afterwards it may be something else that the server minds, which is no reason to stop trying.
                let kind = if is_within { within } else { ErrorKind::TlsClosedAfterCertificateRequest };
                assert_eq!(failure.kind, kind, "{context}");
                assert!(failure.message.contains(got), "{context}");
            }
            // Whoever did not ask does not miss one.
            let failure = failure_of::<S>(peer(None), &with);
            assert!(!failure.message.contains("certificate"), "{version:?}, {parting:?}: {failure:?}");
        }
    }
}

/// The alerts that servers refuse client certificates with, and what has rustls send them.
fn refusals() -> [(u8, rustls::Error); 10] {
    use rustls::CertificateError as E;
    [
        (40, rustls::Error::General("no".into())),
        (42, E::BadEncoding.into()),
        (43, E::InvalidPurpose.into()),
        (44, E::Revoked.into()),
        (45, E::Expired.into()),
        (46, E::Other(rustls::OtherError(std::sync::Arc::new(std::io::Error::other("no")))).into()),
        (47, rustls::PeerMisbehaved::BadCertChainExtensions.into()),
        (48, E::UnknownIssuer.into()),
        (49, E::ApplicationVerificationFailure.into()),
        (51, E::BadSignature.into()),
    ]
}

fn alert_after_the_handshake_is_no_failure_of_it<S: Subject>() {
    let Some(openssl) = OpenSsl::start() else { return };
    let certified = openssl.self_signed("ec -pkeyopt ec_paramgen_curve:P-256");
    let settings = trusting_pem(&certified.certificate_pem);
    let mut server = openssl.serve("-cert own.pem -key own.key -tls1_2");
    let address = server.address();
    let (connected, is_connected) = std::sync::mpsc::channel();
    let client = std::thread::spawn(move || {
        let mut client = S::connect(&tls_url(address), &settings).unwrap();
        connected.send(()).unwrap();
        client.receive(SOON).unwrap_err()
    });
    server.say(b"\x20\x03\0\0\0");
    is_connected.recv().expect("CONNACK is answer enough");
    // Renegotiates, which this client refuses.
    server.say(b"R\n");
    let failure = client.join().unwrap();
    assert!(!failure.message.contains("in common"), "{failure:?}");
    assert!(failure.message.contains("after the handshake"), "{failure:?}");
    assert_eq!(failure.kind, ErrorKind::TlsFailed, "{failure:?}");
}

fn self_signed_certificate_is_trusted_if_it_is_given<S: Subject>() {
    let Some(openssl) = OpenSsl::start() else { return };
    // As the usual guide has it: it says of itself that it is a CA.
    let certified = openssl.self_signed("ec -pkeyopt ec_paramgen_curve:P-256");
    let Some(mosquitto) = Mosquitto::start_tls(&listener(&certified)) else { return };
    let settings = trusting_pem(&certified.certificate_pem);
    assert_works(connect::<S>(&mosquitto, &settings));
    // Another name is still another name.
    let mut elsewhere = settings;
    tls(&mut elsewhere).server_name = Some("other.example".into());
    assert_refused::<S>(&certified, &elsewhere, ErrorKind::TlsWrongName);
    // And one that nobody gave is told as such, with what to do.
    let failure = failure::<S>(&tls_url(mosquitto.address()), &trusting(&Authority::new()));
    assert_eq!(failure.kind, ErrorKind::TlsUnknownIssuer, "{failure:?}");
    assert!(failure.message.contains("self-signed") && failure.message.contains("as a CA"), "{failure:?}");
}

fn certificate_is_trusted_by_its_fingerprint_alone<S: Subject>() {
    let Some(openssl) = OpenSsl::start() else { return };
    openssl.run(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=elsewhere -keyout own.key \
         -out own.pem",
    );
    openssl.run("x509 -in own.pem -noout -fingerprint -sha256 -out fingerprint");
    let certified = Certified { certificate_pem: openssl.text("own.pem"), key_pem: openssl.text("own.key") };
    let fingerprint = openssl.text("fingerprint");
    let Some(mosquitto) = Mosquitto::start_tls(&listener(&certified)) else { return };
    for fingerprint in [fingerprint.clone(), fingerprint.rsplit_once('=').unwrap().1.replace(':', "").to_lowercase()] {
        let tls = TlsSettings { fingerprint: Some(fingerprint), ..TlsSettings::default() };
        assert_works(connect::<S>(&mosquitto, &Settings { tls: Some(tls), ..Settings::default() }));
    }
    // The authority does not help one that has another.
    let authority = Authority::new();
    let mut settings = trusting(&authority);
    tls(&mut settings).fingerprint = Some(fingerprint);
    assert_refused::<S>(&authority.server(), &settings, ErrorKind::TlsWrongFingerprint);
    // Without a Subject Alternative Name no name is right, and the text says so.
    let told = failure::<S>(&tls_url(mosquitto.address()), &trusting_pem(&certified.certificate_pem));
    assert_eq!(told.kind, ErrorKind::TlsWrongName, "{told:?}");
    assert!(told.message.contains("subjectAltName") && told.message.contains("fingerprint"), "{told:?}");
}

fn certificate_that_cannot_be_checked_names_why_in_one_line<S: Subject>() {
    let Some(openssl) = OpenSsl::start() else { return };
    const P256: &str = "ec -pkeyopt ec_paramgen_curve:P-256";
    for (authority, server, signed, words) in [
        (P256, P256, "-sha1", "ECDSA with SHA-1"),
        (P256, P256, "-sha512", "ECDSA with SHA-512"),
        ("rsa:2048", P256, "-sha1", "RSA with SHA-1"),
        (P256, "rsa:4104", "-sha256", "RSA with 4104 bits"),
    ] {
        println!("{words}");
        let (ca, _) = openssl.issued(authority, server, signed);
        // Servers do not like such certificates any more than clients do, unless they are told to.
        let server = openssl.serve("-cert issued.pem -key issued.key -cipher DEFAULT@SECLEVEL=0");
        let failure = failure::<S>(&tls_url(server.address()), &trusting_pem(&ca));
        assert_eq!(failure.kind, ErrorKind::TlsBadCertificate, "{failure:?}");
        assert!(failure.message.contains(words) && failure.message.len() < 300, "{failure:?}");
    }
}

fn authority_that_cannot_be_checked_is_refused_when_it_is_given<S: Subject>() {
    let Some(openssl) = OpenSsl::start() else { return };
    for (key, words) in [
        ("ec -pkeyopt ec_paramgen_curve:P-521", "ECDSA with P-521"),
        ("ed448", "Ed448"),
        ("rsa:4104", "RSA with 4104 bits"),
    ] {
        let ca = openssl.self_signed(key).certificate_pem;
        let failure = failure::<S>("mqtts://127.0.0.1:1", &trusting_pem(&ca));
        assert_eq!(failure.kind, ErrorKind::TlsConfiguration, "{failure:?}");
        assert!(failure.message.contains(words), "{failure:?}");
    }
}

fn server_with_a_key_of_another_kind_has_nothing_in_common<S: Subject>() {
    let Some(openssl) = OpenSsl::start() else { return };
    for key in ["ec -pkeyopt ec_paramgen_curve:P-521", "ed448"] {
        let (_, certified) = openssl.issued("ec -pkeyopt ec_paramgen_curve:P-256", key, "-sha256");
        let Some(mosquitto) = Mosquitto::start_tls(&listener(&certified)) else { return };
        let failure = failure::<S>(&tls_url(mosquitto.address()), &trusting(&Authority::new()));
        assert_eq!(failure.kind, ErrorKind::TlsNothingInCommon, "{key}: {failure:?}");
        for words in ["handshake_failure (40)", "P-384", "Ed25519", "X25519"] {
            assert!(failure.message.contains(words), "{key}: {failure:?}");
        }
    }
}

fn reason_of_a_refusal_is_in_the_words<S: Subject>() {
    let authority = Authority::new();
    let told = |server: &Certified| {
        let peer = TlsPeer::speaking(server, ALL_VERSIONS[0]);
        failure_of::<S>(peer, &trusting(&authority)).message
    };
    let expired = told(&authority.issue(&Request { validity: Validity::Expired, ..Request::default() }));
    assert!(expired.contains("2021-01-01"), "{expired}");
    let not_yet = told(&authority.issue(&Request { validity: Validity::NotYet, ..Request::default() }));
    assert!(not_yet.contains("2099-01-01"), "{not_yet}");
    let elsewhere = told(&authority.issue(&Request { names: &["a.example", "192.0.2.7"], ..Request::default() }));
    assert!(elsewhere.contains("it is for a.example, 192.0.2.7"), "{elsewhere}");
    let unknown = told(&Authority::new().server());
    assert!(unknown.contains("issued by \"test authority"), "{unknown}");
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
    trusting_pem(authority.pem())
}

/// Settings with which these certificates are trusted, and no others.
fn trusting_pem(pem: &str) -> Settings {
    let tls = TlsSettings { ca_pem: pem.into(), ..TlsSettings::default() };
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

/// Why there is no connection to this peer, or none any more.
fn failure_of<S: Subject>(peer: TlsPeer, settings: &Settings) -> Failure {
    let failure = failure::<S>(&peer.url(), settings);
    peer.finish();
    failure
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
