//! Enhanced authentication of the blocking client (section 4.12): with an `Authenticator`, and through the component step
//! by step.

use std::time::{Duration, Instant};

use host_tests::bindings::exports::mqtt_wasi::client::mqtt::GuestConnectOptions;
use host_tests::packets::{disconnect, puback};
use host_tests::scripted::{Broker, Peer, Scripted};
use host_tests::subject::{Component, ErrorKind, SOON, Settings, Subject};
use host_tests::timing::undisturbed;
use mqtt_wasi::codec::{Auth, AuthProperties, Connack, ConnackProperties, Packet, PacketType};
use mqtt_wasi::transport::TcpTransport;
use mqtt_wasi::{Authenticator, CallError, Client, Error, Event, Options, Publish, QoS, ReasonCode, Reconnect};

use ReasonCode::{ContinueAuthentication, NotAuthorized, ReAuthenticate, Success, UnspecifiedError};

const METHOD: &str = "ASK-ME";

/// How long clients wait for a broker that does not answer.
const TIMEOUT: Duration = Duration::from_secs(2);

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

/// Takes a message at QoS 1 to this topic; returns its Packet Identifier.
fn expect_message(peer: &mut Peer, topic: &str) -> u16 {
    let received = peer.expect_type(PacketType::Publish);
    let Packet::Publish(message) = received.packet() else { unreachable!() };
    assert_eq!(message.topic, topic);
    message.packet_id.expect("a message at QoS 1").get()
}

fn message(topic: &str) -> Publish<'_> {
    Publish::new(topic, "").qos(QoS::AtLeastOnce)
}

// Step by step.

#[test]
fn caller_answers_one_challenge_after_the_other() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept();
        expect_connect(&mut peer, b"hello");
        peer.send(&[auth(ContinueAuthentication, b"who?")]);
        peer.expect(auth(ContinueAuthentication, b"me"));
        peer.send(&[auth(ContinueAuthentication, b"really?")]);
        peer.expect(auth(ContinueAuthentication, b"yes"));
        peer.send(&[connack(b"welcome")]);
        peer.expect(auth(ReAuthenticate, b"still me"));
        peer.send(&[auth(ContinueAuthentication, b"sure?")]);
        peer.expect(auth(ContinueAuthentication, b"sure"));
        peer.send(&[auth(Success, b"fine")]);
        peer.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
        peer.expect_end();
        let mut peer = broker.accept();
        expect_connect(&mut peer, b"hello again");
        peer.send(&[connack(b"welcome back")]);
        peer.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    });
    let mut client = Component::start(&broker.url(), &Settings::default(), METHOD, b"hello").unwrap();
    for (challenge, answer) in [(b"who?".as_slice(), b"me".as_slice()), (b"really?", b"yes")] {
        assert_eq!(client.next_step(), Ok((false, Some(challenge.to_vec()))));
        client.answer_challenge(answer).unwrap();
    }
    assert_eq!(client.next_step(), Ok((true, Some(b"welcome".to_vec()))));
    assert_eq!(client.answer_challenge(b"nobody asked").unwrap_err().kind, ErrorKind::NothingToAuthenticate);

    client.authenticate_again(b"still me").unwrap();
    assert_eq!(client.next_step(), Ok((false, Some(b"sure?".to_vec()))));
    client.answer_challenge(b"sure").unwrap();
    assert_eq!(client.next_step(), Ok((true, Some(b"fine".to_vec()))));

    let set = |store: &mut _, options: GuestConnectOptions<'_>, resource| {
        options.call_set_authentication_data(store, resource, b"hello again").unwrap();
    };
    client.update(set).unwrap();
    client.reconnect().unwrap();
    assert_eq!(client.next_step(), Ok((true, Some(b"welcome back".to_vec()))));
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
    let failure = client.next_step().unwrap_err();
    assert_eq!(failure.kind, ErrorKind::ConnectionRefused);
    assert_eq!(failure.reason_code(), Some(ReasonCode::BadAuthenticationMethod));
    broker.finish();
}

#[test]
fn steps_that_come_in_other_calls_are_kept_for_the_caller() {
    const A_WHILE: Duration = Duration::from_millis(200);
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept();
        expect_connect(&mut peer, b"hello");
        peer.send(&[auth(ContinueAuthentication, b"who?")]);
        peer.expect(auth(ContinueAuthentication, b"me"));
        peer.send(&[connack(b"welcome")]);
        peer.expect(auth(ReAuthenticate, b"still me"));
        let id = expect_message(&mut peer, "challenged");
        peer.send(&[auth(ContinueAuthentication, b"sure?"), puback(id)]);
        peer.expect(auth(ContinueAuthentication, b"sure"));
        let id = expect_message(&mut peer, "authenticated");
        peer.send(&[auth(Success, b"fine"), puback(id)]);
        peer.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    });
    let mut client = Component::start(&broker.url(), &Settings::default(), METHOD, b"hello").unwrap();
    assert_eq!(client.receive(A_WHILE), Ok(None));
    assert_eq!(client.next_step(), Ok((false, Some(b"who?".to_vec()))));
    client.answer_challenge(b"me").unwrap();
    while !client.is_connected() {
        assert_eq!(client.receive(A_WHILE), Ok(None));
    }
    assert_eq!(client.next_step(), Ok((true, Some(b"welcome".to_vec()))));

    client.authenticate_again(b"still me").unwrap();
    assert_eq!(client.publish(&message("challenged")), Ok(Success));
    assert_eq!(client.authenticate_again(b"me again").unwrap_err().kind, ErrorKind::NothingToAuthenticate);
    assert_eq!(client.next_step(), Ok((false, Some(b"sure?".to_vec()))));
    client.answer_challenge(b"sure").unwrap();
    assert_eq!(client.publish(&message("authenticated")), Ok(Success));
    assert_eq!(client.next_step(), Ok((true, Some(b"fine".to_vec()))));
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
fn last_step_that_nobody_asked_for_is_not_taken_for_one_of_the_next_time() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept();
        expect_connect(&mut peer, b"hello");
        peer.send(&[connack(b"welcome")]);
        peer.expect(auth(ReAuthenticate, b"once"));
        let id = expect_message(&mut peer, "meanwhile");
        peer.send(&[auth(Success, b"one"), puback(id)]);
        peer.expect(auth(ReAuthenticate, b"twice"));
        peer.send(&[auth(Success, b"two")]);
        peer.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    });
    let mut client = Component::start(&broker.url(), &Settings::default(), METHOD, b"hello").unwrap();
    assert_eq!(client.next_step(), Ok((true, Some(b"welcome".to_vec()))));
    client.authenticate_again(b"once").unwrap();
    assert_eq!(client.publish(&message("meanwhile")), Ok(Success));
    client.authenticate_again(b"twice").unwrap();
    assert_eq!(client.next_step(), Ok((true, Some(b"two".to_vec()))));
    client.disconnect().unwrap();
    broker.finish();
}

// With an authenticator.

#[test]
fn late_answer_is_heeded_in_whatever_call_it_comes() {
    undisturbed(|| {
        for is_challenged in [false, true] {
            let broker = Scripted::start(move |broker| {
                let mut peer = accept_client(broker, 1);
                peer.expect(auth(ReAuthenticate, &[2]));
                let id = expect_message(&mut peer, "meanwhile");
                if is_challenged {
                    peer.send(&[auth(ContinueAuthentication, b"which?"), puback(id)]);
                    peer.expect(auth(ContinueAuthentication, &[2]));
                    peer.send(&[auth(Success, &[2])]);
                } else {
                    peer.send(&[auth(Success, &[2]), puback(id)]);
                }
                peer.expect(auth(ReAuthenticate, &[3]));
                peer.send(&[auth(Success, &[3])]);
                peer.serve();
            });
            let mut client = connect(&broker.url(), Options::new().response_timeout(TIMEOUT));
            // The second waits for the end of the first, and does not disturb it.
            for _ in 0..2 {
                let begun = Instant::now();
                assert_eq!(client.authenticate_again(), Err(Error::Timeout));
                assert!(begun.elapsed() >= TIMEOUT, "{:?}", begun.elapsed());
            }
            assert_eq!(client.publish(&message("meanwhile")), Ok(Success));
            assert_eq!(client.authenticate_again(), Ok(()));
            client.disconnect().unwrap();
            broker.finish();
        }
    });
}

#[test]
fn late_answer_that_the_client_has_none_to_or_does_not_trust_ends_the_connection_for_good() {
    undisturbed(|| {
        for (reason_code, data, why) in [
            (ContinueAuthentication, &b"why?"[..], "nobody knows"),
            (Success, b"\x09", "the broker does not count along"),
        ] {
            let broker = Scripted::start(move |broker| {
                let mut peer = accept_client(broker, 1);
                peer.expect(auth(ReAuthenticate, &[2]));
                expect_message(&mut peer, "meanwhile");
                peer.send(&[auth(reason_code, data)]);
                expect_farewell(peer);
            });
            let mut client = connect(&broker.url(), Options::new().response_timeout(TIMEOUT).reconnect(at_once()));
            let failure = Error::Authentication(why.into());
            assert_eq!(client.authenticate_again(), Err(Error::Timeout));
            assert_eq!(client.publish(&message("meanwhile")), Err(failure.clone()));
            assert_eq!(client.next_event(Duration::ZERO), Ok(Some(Event::Disconnected(failure.clone()))));
            assert_eq!(client.authenticate_again(), Err(failure));
            broker.finish();
        }
    });
}

#[test]
fn answer_that_the_broker_does_not_take_ends_the_connection() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept();
        expect_connect(&mut peer, &[1]);
        let properties = ConnackProperties {
            authentication_method: Some(METHOD),
            authentication_data: Some(&[1]),
            maximum_packet_size: Some(64),
            ..ConnackProperties::default()
        };
        peer.send(&[Packet::Connack(Connack { properties, ..Connack::default() })]);
        peer.expect(auth(ReAuthenticate, &[2]));
        peer.send(&[auth(ContinueAuthentication, b"which, at length?")]);
        expect_farewell(peer);
    });
    let mut client = connect(&broker.url(), Options::new());
    let why = CallError::PacketTooLarge { size: 116, maximum: 64 }.to_string();
    assert_eq!(client.authenticate_again(), Err(Error::Authentication(why)));
    broker.finish();
}

#[test]
fn call_that_comes_while_there_is_no_connection_does_not_disturb_the_next() {
    let broker = Scripted::start(|broker| {
        drop(accept_client(broker, 1));
        let mut peer = broker.accept();
        expect_connect(&mut peer, &[2]);
        peer.send(&[auth(ContinueAuthentication, b"which?")]);
        peer.expect(auth(ContinueAuthentication, &[2]));
        peer.send(&[connack(&[2])]);
        peer.expect(auth(ReAuthenticate, &[3]));
        peer.send(&[auth(Success, &[3])]);
        peer.serve();
    });
    let mut client = connect(&broker.url(), Options::new().reconnect(at_once()));
    assert_eq!(client.next_event(SOON), Ok(Some(Event::Disconnected(Error::ConnectionClosed))));
    assert_eq!(client.authenticate_again(), Ok(()));
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
fn connection_that_is_made_again_meanwhile_has_authenticated_the_client() {
    let broker = Scripted::start(|broker| {
        accept_client(broker, 1).expect(auth(ReAuthenticate, &[2]));
        accept_client(broker, 3).serve();
    });
    let mut client = connect(&broker.url(), Options::new().reconnect(at_once()));
    assert_eq!(client.authenticate_again(), Ok(()));
    assert_eq!(client.stats().reconnects, 1);
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
fn connection_that_is_not_made_again_is_told_of() {
    for refusal in [None, Some(NotAuthorized)] {
        let broker = Scripted::start(move |broker| {
            let mut peer = accept_client(broker, 1);
            peer.expect(auth(ReAuthenticate, &[2]));
            if let Some(reason_code) = refusal {
                peer.send(&[disconnect(reason_code)]);
            }
            drop(peer);
            accept_client(broker, 3).serve();
        });
        let mut client = connect(&broker.url(), Options::new());
        let end = refusal.map_or(Error::ConnectionClosed, |code| Error::Disconnected(Box::new(code.into())));
        assert_eq!(client.authenticate_again(), Err(end.clone()));
        assert_eq!(client.authenticate_again(), Err(end), "until there is a connection");
        assert_eq!(client.reconnect(), Ok(false));
        assert_eq!(client.publish(&message("afterwards")), Ok(Success));
        client.disconnect().unwrap();
        broker.finish();
    }
}

/// Says how often it has begun, and to a broker that asks which time this is, too. Trusts one that knows.
#[derive(Clone)]
struct Counting(u8);

impl Authenticator for Counting {
    fn method(&self) -> &str {
        METHOD
    }

    fn start(&mut self) -> Result<Option<Vec<u8>>, String> {
        self.0 += 1;
        Ok(Some(vec![self.0]))
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        match challenge {
            b"which?" => Ok(vec![self.0]),
            b"which, at length?" => Ok(vec![self.0; 100]),
            _ => Err("nobody knows".into()),
        }
    }

    fn finish(&mut self, data: &[u8]) -> Result<(), String> {
        if data == [self.0] { Ok(()) } else { Err("the broker does not count along".into()) }
    }
}

fn connect(url: &str, options: Options) -> Client<TcpTransport> {
    Client::connect(url, options.authenticator(Counting(0))).expect("a connection")
}

/// Takes the next connection, whose client has begun as often.
fn accept_client(broker: &Broker, begun: u8) -> Peer {
    let mut peer = broker.accept();
    expect_connect(&mut peer, &[begun]);
    peer.send(&[connack(&[begun])]);
    peer
}

/// The end of a connection to a broker that is not to be trusted, or that cannot be answered.
fn expect_farewell(mut peer: Peer) {
    peer.expect(disconnect(UnspecifiedError));
    peer.expect_end();
}

/// Connects again within milliseconds.
fn at_once() -> Reconnect {
    let (first_delay, longest_delay) = (Duration::from_millis(10), Duration::from_millis(50));
    Reconnect { first_delay, longest_delay, ..Reconnect::default() }
}
