//! Enhanced authentication through the component, step by step (section 4.12). The native client has an `Authenticator`
//! for it, which the tests of the crate show.

use host_tests::packets::disconnect;
use host_tests::scripted::{Peer, Scripted};
use host_tests::subject::{Component, ErrorKind, Settings, Subject};
use mqtt_wasi::ReasonCode;
use mqtt_wasi::codec::{Auth, AuthProperties, Connack, ConnackProperties, Packet};

const METHOD: &str = "ASK-ME";

fn auth(reason_code: ReasonCode, data: &[u8]) -> Packet<'_> {
    let properties = AuthProperties {
        authentication_method: Some(METHOD),
        authentication_data: Some(data),
        ..AuthProperties::default()
    };
    Packet::Auth(Auth { reason_code, properties })
}

fn connack(data: &[u8]) -> Packet<'_> {
    let properties = ConnackProperties {
        authentication_method: Some(METHOD),
        authentication_data: Some(data),
        ..ConnackProperties::default()
    };
    Packet::Connack(Connack { properties, ..Connack::default() })
}

fn expect_connect(peer: &mut Peer, data: &[u8]) {
    let received = peer.next_packet().expect("CONNECT");
    let Packet::Connect(connect) = received.packet() else { panic!("CONNECT") };
    assert_eq!(connect.properties.authentication_method, Some(METHOD));
    assert_eq!(connect.properties.authentication_data, Some(data));
}

#[test]
fn caller_answers_one_challenge_after_the_other() {
    const CONTINUE: ReasonCode = ReasonCode::ContinueAuthentication;
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept();
        expect_connect(&mut peer, b"hello");
        peer.send(&[auth(CONTINUE, b"who?")]);
        peer.expect(auth(CONTINUE, b"me"));
        peer.send(&[auth(CONTINUE, b"really?")]);
        peer.expect(auth(CONTINUE, b"yes"));
        peer.send(&[connack(b"welcome")]);
        peer.expect(auth(ReasonCode::ReAuthenticate, b"still me"));
        peer.send(&[auth(CONTINUE, b"sure?")]);
        peer.expect(auth(CONTINUE, b"sure"));
        peer.send(&[auth(ReasonCode::Success, b"fine")]);
        peer.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
        peer.expect_end();
        let mut peer = broker.accept();
        expect_connect(&mut peer, b"hello again");
        peer.send(&[connack(b"welcome back")]);
        peer.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    });
    let mut client = Component::start(&broker.url(), &Settings::default(), METHOD, b"hello").unwrap();
    for (challenge, answer) in [(b"who?".as_slice(), b"me".as_slice()), (b"really?", b"yes")] {
        assert_eq!(client.next_challenge(), Ok(Some(challenge.to_vec())));
        client.answer_challenge(answer).unwrap();
    }
    assert_eq!(client.next_challenge(), Ok(None));
    assert_eq!(client.authentication_data(), Some(b"welcome".to_vec()));
    assert_eq!(client.answer_challenge(b"nobody asked").unwrap_err().kind, ErrorKind::NothingToAuthenticate);

    client.authenticate_again(b"still me").unwrap();
    assert_eq!(client.next_challenge(), Ok(Some(b"sure?".to_vec())));
    client.answer_challenge(b"sure").unwrap();
    assert_eq!(client.next_challenge(), Ok(None));
    assert_eq!(client.authentication_data(), Some(b"fine".to_vec()));

    client.start_again(b"hello again").unwrap();
    assert_eq!(client.next_challenge(), Ok(None));
    assert_eq!(client.authentication_data(), Some(b"welcome back".to_vec()));
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
fn refusal_comes_instead_of_a_challenge() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept();
        expect_connect(&mut peer, b"hello");
        let reason_code = ReasonCode::BadAuthenticationMethod;
        peer.send(&[Packet::Connack(Connack { reason_code, ..Connack::default() })]);
        peer.expect_end();
    });
    let mut client = Component::start(&broker.url(), &Settings::default(), METHOD, b"hello").unwrap();
    let failure = client.next_challenge().unwrap_err();
    assert_eq!(failure.kind, ErrorKind::ConnectionRefused);
    assert_eq!(failure.reason_code(), Some(ReasonCode::BadAuthenticationMethod));
    broker.finish();
}
