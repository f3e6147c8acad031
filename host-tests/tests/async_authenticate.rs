//! Enhanced authentication of the async client (section 4.12): with each connection, and again while everything else goes
//! on. It takes the crate's feature `scram`, with which the workspace is tested.

use std::time::{Duration, Instant};

use futures::FutureExt;
use host_tests::packets::{connack, disconnect, puback, publish, refusal};
use host_tests::scripted::{Broker, Peer, Received, Scripted};
use host_tests::timing::undisturbed;
use mqtt_wasi::codec::{Auth, AuthProperties, ConnackProperties, Packet, PacketType};
use mqtt_wasi::{
    AsyncClient, Authenticator, CallError, Error, Event, Options, Overflow, Publish, QoS, ReasonCode, Reconnect,
    ScramSha256,
};
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::tls13::OkmBlock;
use tokio::runtime::{Builder, Runtime};

use ReasonCode::{ContinueAuthentication, NotAuthorized, ReAuthenticate, ServerBusy, Success, UnspecifiedError};

/// How long a test may take: it fails then, and does not hang.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long clients wait for a broker that does not answer.
const TIMEOUT: Duration = Duration::from_secs(2);

// SCRAM-SHA-256.

const SCRAM: &str = "SCRAM-SHA-256";

/// The broker's part of the nonce, and the salt and iterations for the password `pencil` (RFC 7677, section 3).
const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SALT: &str = "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

/// The keys that come of them (RFC 5802, section 3).
const CLIENT_KEY: [u8; 32] = [
    0xA6, 0x0F, 0xC9, 0x23, 0xD6, 0x7E, 0x86, 0x44, 0xA9, 0x2D, 0x16, 0xB9, 0x6E, 0xDA, 0x5E, 0xF4, 0x65, 0x6B, 0x0C,
    0x72, 0x5C, 0x48, 0x43, 0x74, 0xBE, 0x25, 0x53, 0x55, 0x76, 0x99, 0x6E, 0x8B,
];
const STORED_KEY: [u8; 32] = [
    0x58, 0x6E, 0x5D, 0xF2, 0x83, 0xE6, 0xDC, 0xEB, 0x5C, 0x3E, 0x79, 0x1D, 0x8B, 0x85, 0x28, 0xEC, 0x19, 0x1E, 0x66,
    0x40, 0x45, 0xCE, 0x97, 0x17, 0x92, 0xE2, 0xE6, 0xB5, 0xBB, 0x13, 0xE2, 0xA6,
];
const SERVER_KEY: [u8; 32] = [
    0xC1, 0xF3, 0xCB, 0xC1, 0xC1, 0x3A, 0x9D, 0x35, 0xA1, 0x4C, 0x09, 0x90, 0xEE, 0xD9, 0x76, 0x29, 0xEA, 0x22, 0x58,
    0x63, 0xE5, 0x66, 0xA4, 0x31, 0x4A, 0xB9, 0x9F, 0x3F, 0x00, 0xE5, 0xD9, 0xD5,
];

/// What a broker has that does not know the password.
const ANOTHER_KEY: [u8; 32] = [0; 32];

#[test]
fn both_sides_prove_that_they_know_the_password_with_each_connection_and_again() {
    let broker = Scripted::start(|broker| {
        let mut peer = accept_by_scram(broker, &SERVER_KEY);
        for _ in 0..2 {
            authenticate_again_by_scram(&mut peer, &SERVER_KEY);
        }
        drop(peer);
        accept_by_scram(broker, &SERVER_KEY).serve();
    });
    single_threaded().block_on(within(async {
        let options = Options::new().reconnect(at_once());
        let client = AsyncClient::connect(&broker.url(), options.authenticator(scram())).await.unwrap();
        for _ in 0..2 {
            assert_eq!(client.authenticate_again().await, Ok(()));
        }
        assert_eq!(client.next_event().await, Ok(Event::Disconnected(Error::ConnectionClosed)));
        assert_eq!(client.next_event().await, Ok(Event::Connected { session_present: false }));
        assert_eq!(client.publish(&message("afterwards")).await, Ok(Success));
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

#[test]
fn broker_that_does_not_know_the_password_is_left() {
    let broker = Scripted::start(|broker| {
        expect_farewell(accept_by_scram(broker, &ANOTHER_KEY));
        let mut peer = accept_by_scram(broker, &SERVER_KEY);
        authenticate_again_by_scram(&mut peer, &ANOTHER_KEY);
        expect_farewell(peer);
    });
    single_threaded().block_on(within(async {
        let failure = authentication("the broker did not prove that it knows the password");
        let connected = AsyncClient::connect(&broker.url(), Options::new().authenticator(scram())).await;
        assert_eq!(connected.unwrap_err(), failure);

        let client = AsyncClient::connect(&broker.url(), Options::new().authenticator(scram())).await.unwrap();
        assert_eq!(client.authenticate_again().await, Err(failure.clone()));
        assert_eq!(client.publish(&message("afterwards")).await, Err(failure));
    }));
    broker.finish();
}

fn scram() -> ScramSha256 {
    ScramSha256::new("user", "pencil").expect("characters that SASLprep allows")
}

/// Takes a connection whose client proves that it knows the password, as the broker does if it has the right key.
fn accept_by_scram(broker: &Broker, server_key: &[u8; 32]) -> Peer {
    let mut peer = broker.accept();
    let received = peer.expect_type(PacketType::Connect);
    let Packet::Connect(connect) = received.packet() else { unreachable!() };
    assert_eq!(connect.properties.authentication_method, Some(SCRAM));
    let client_first = connect.properties.authentication_data.expect("Authentication Data");
    let server_final = exchange(&mut peer, client_first, server_key);
    peer.send(&[connack(terms(SCRAM, server_final.as_bytes()))]);
    peer
}

/// As [`accept_by_scram`], over the connection that there is.
fn authenticate_again_by_scram(peer: &mut Peer, server_key: &[u8; 32]) {
    let received = peer.expect_type(PacketType::Auth);
    let server_final = exchange(peer, scram_data(&received, ReAuthenticate), server_key);
    peer.send(&[auth_by(SCRAM, Success, server_final.as_bytes())]);
}

/// Has the client prove that it knows the password; returns what is to prove that the broker does.
fn exchange(peer: &mut Peer, client_first: &[u8], server_key: &[u8; 32]) -> String {
    let client_first = text(client_first).strip_prefix("n,,").expect("no channel to bind to");
    let client_nonce = client_first.strip_prefix("n=user,r=").expect("a user name and a nonce");
    let nonce = format!("r={client_nonce}{NONCE}");
    let server_first = format!("{nonce},{SALT}");
    peer.send(&[auth_by(SCRAM, ContinueAuthentication, server_first.as_bytes())]);

    let received = peer.expect_type(PacketType::Auth);
    let client_final = text(scram_data(&received, ContinueAuthentication));
    let (without_proof, proof) = client_final.rsplit_once(",p=").expect("a proof");
    assert_eq!(without_proof, format!("c=biws,{nonce}"));
    let said = format!("{client_first},{server_first},{without_proof}");
    let expected: Vec<u8> = CLIENT_KEY.iter().zip(hmac(&STORED_KEY, &said)).map(|(key, byte)| key ^ byte).collect();
    assert_eq!(proof, base64(&expected));
    format!("v={}", base64(&hmac(server_key, &said)))
}

/// The Authentication Data of AUTH with this Reason Code.
fn scram_data(received: &Received, reason_code: ReasonCode) -> &[u8] {
    let Packet::Auth(auth) = received.packet() else { unreachable!() };
    assert_eq!((auth.reason_code, auth.properties.authentication_method), (reason_code, Some(SCRAM)));
    auth.properties.authentication_data.expect("Authentication Data")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// HMAC with SHA-256, by way of a cipher suite that has it.
fn hmac(key: &[u8; 32], said: &str) -> Vec<u8> {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().expect("a cipher suite of TLS 1.3");
    suite.hkdf_provider.hmac_sign(&OkmBlock::new(key), said.as_bytes()).as_ref().to_vec()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = bytes.chunks(3).flat_map(|chunk| {
        let word = chunk.iter().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        (0..4).map(move |place| {
            if place <= chunk.len() { char::from(DIGITS[(word >> (18 - 6 * place)) as usize & 63]) } else { '=' }
        })
    });
    digits.collect()
}

// An authenticator that fails.

#[test]
fn authenticator_that_cannot_begin_sends_nothing() {
    let broker = Scripted::start(|broker| {
        broker.accept().expect_end();
        accept_client(broker, 1).serve();
    });
    single_threaded().block_on(within(async {
        let failure = authentication("it has begun often enough");
        let connected =
            AsyncClient::connect(&broker.url(), Options::new().authenticator(Counting { begun: 0, most: 0 })).await;
        assert_eq!(connected.unwrap_err(), failure);

        let once = Counting { begun: 0, most: 1 };
        let client = AsyncClient::connect(&broker.url(), Options::new().authenticator(once)).await.unwrap();
        assert_eq!(client.authenticate_again().await, Err(failure));
        assert_eq!(client.publish(&message("afterwards")).await, Ok(Success));
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

#[test]
fn authenticator_without_an_answer_ends_the_attempt_to_connect() {
    let broker = Scripted::start(|broker| {
        let mut peer = accept(broker, 1);
        peer.send(&[auth(ContinueAuthentication, b"why?")]);
        peer.expect_end();
    });
    single_threaded().block_on(within(async {
        let connected = AsyncClient::connect(&broker.url(), Options::new().authenticator(counting())).await;
        assert_eq!(connected.unwrap_err(), authentication("nobody knows"));
    }));
    broker.finish();
}

#[test]
fn authenticator_that_fails_when_it_authenticates_again_ends_the_connection_for_good() {
    for (reason_code, data, why) in
        [(ContinueAuthentication, &b"why?"[..], "nobody knows"), (Success, b"\x09", "the broker does not count along")]
    {
        let broker = Scripted::start(move |broker| {
            let mut peer = accept_client(broker, 1);
            peer.expect(auth(ReAuthenticate, &[2]));
            peer.send(&[auth(reason_code, data)]);
            expect_farewell(peer);
        });
        single_threaded().block_on(within(async {
            let client = connect_with(&broker.url(), Options::new().reconnect(at_once())).await;
            assert_eq!(client.authenticate_again().await, Err(authentication(why)));
            assert_eq!(client.publish(&message("afterwards")).await, Err(authentication(why)));
            assert_eq!(client.authenticate_again().await, Err(authentication(why)));
        }));
        broker.finish();
    }
}

#[test]
fn broker_is_checked_though_the_call_is_dropped() {
    let broker = Scripted::start(|broker| {
        let mut peer = accept_client(broker, 1);
        peer.expect(auth(ReAuthenticate, &[2]));
        peer.send(&[auth(Success, &[9])]);
        expect_farewell(peer);
    });
    single_threaded().block_on(within(async {
        let client = connect(&broker.url()).await;
        assert_eq!(client.authenticate_again().now_or_never(), None);
        let failure = authentication("the broker does not count along");
        assert_eq!(client.messages().receive().await, Err(failure));
    }));
    broker.finish();
}

#[test]
fn client_without_an_authenticator_has_no_answer() {
    let broker = Scripted::start(|broker| {
        broker.accept_client().serve();
        let mut peer = accept(broker, 1);
        peer.send(&[auth(ContinueAuthentication, b"which?")]);
        peer.expect_end();
    });
    single_threaded().block_on(within(async {
        let client = AsyncClient::connect(&broker.url(), Options::new()).await.unwrap();
        assert_eq!(client.authenticate_again().await, Err(CallError::NothingToAuthenticate.into()));
        client.disconnect().await.unwrap();

        let options = Options::new().authentication(COUNT, Some(vec![1]));
        let failure = authentication("the broker sent a challenge: set an authenticator, or authenticate step by step");
        assert_eq!(AsyncClient::connect(&broker.url(), options).await.unwrap_err(), failure);
    }));
    broker.finish();
}

// A broker that refuses, or goes.

#[test]
fn refusal_after_a_challenge_is_told() {
    let broker = Scripted::start(|broker| {
        let mut peer = accept(broker, 1);
        challenge(&mut peer, 1);
        peer.send(&[refusal(NotAuthorized, ConnackProperties::default())]);
        peer.expect_end();
    });
    single_threaded().block_on(within(async {
        let connected = AsyncClient::connect(&broker.url(), Options::new().authenticator(counting())).await;
        assert_eq!(connected.unwrap_err(), Error::ConnectionRefused(Box::new(NotAuthorized.into())));
    }));
    broker.finish();
}

#[test]
fn connection_that_is_lost_after_a_challenge_is_told() {
    let broker = Scripted::start(|broker| {
        let mut peer = accept(broker, 1);
        challenge(&mut peer, 1);
    });
    single_threaded().block_on(within(async {
        let connected = AsyncClient::connect(&broker.url(), Options::new().authenticator(counting())).await;
        assert_eq!(connected.unwrap_err(), Error::ConnectionClosed);
    }));
    broker.finish();
}

#[test]
fn without_a_policy_whoever_authenticates_again_is_told_why_the_connection_ended() {
    for refusal in [None, Some(NotAuthorized)] {
        let broker = Scripted::start(move |broker| {
            leave_while_authenticating(accept_client(broker, 1), 2, refusal);
            accept_client(broker, 3).serve();
        });
        single_threaded().block_on(within(async {
            let client = connect(&broker.url()).await;
            assert_eq!(client.authenticate_again().await, Err(end(refusal)));
            assert_eq!(client.publish(&message("unsent")).await, Err(end(refusal)));
            assert_eq!(client.authenticate_again().await, Err(end(refusal)));

            assert_eq!(client.reconnect().await, Ok(false));
            assert_eq!(client.publish(&message("afterwards")).await, Ok(Success));
            client.disconnect().await.unwrap();
        }));
        broker.finish();
    }
}

#[test]
fn with_a_policy_the_connection_that_is_made_meanwhile_has_authenticated_the_client() {
    for refusal in [None, Some(ServerBusy)] {
        let broker = Scripted::start(move |broker| {
            leave_while_authenticating(accept_client(broker, 1), 2, refusal);
            let mut peer = accept_client(broker, 3);
            peer.expect(auth(ReAuthenticate, &[4]));
            peer.send(&[auth(Success, &[4])]);
            peer.serve();
        });
        single_threaded().block_on(within(async {
            let client = connect_with(&broker.url(), Options::new().reconnect(at_once())).await;
            assert_eq!(client.authenticate_again().await, Ok(()), "the connection began with that");
            assert_eq!(client.stats().reconnects, 1);
            assert_eq!(client.authenticate_again().await, Ok(()));
            client.disconnect().await.unwrap();
        }));
        broker.finish();
    }
}

#[test]
fn call_that_comes_while_the_connection_is_made_does_not_disturb_its_authentication() {
    let broker = Scripted::start(|broker| {
        drop(accept_client(broker, 1));
        let mut peer = accept(broker, 2);
        challenge(&mut peer, 2);
        peer.send(&[connack(terms(COUNT, &[2]))]);
        peer.expect(auth(ReAuthenticate, &[3]));
        peer.send(&[auth(Success, &[3])]);
        peer.serve();
    });
    single_threaded().block_on(within(async {
        let client = connect_with(&broker.url(), Options::new().reconnect(at_once())).await;
        assert_eq!(client.next_event().await, Ok(Event::Disconnected(Error::ConnectionClosed)));
        assert_eq!(client.authenticate_again().await, Ok(()));
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

/// Lets the client begin to authenticate again, and closes the connection; with a word, if there is one.
fn leave_while_authenticating(mut peer: Peer, begun: u8, refusal: Option<ReasonCode>) {
    peer.expect(auth(ReAuthenticate, &[begun]));
    if let Some(reason_code) = refusal {
        peer.send(&[disconnect(reason_code)]);
    }
}

/// What that is to the client.
fn end(refusal: Option<ReasonCode>) -> Error {
    refusal.map_or(Error::ConnectionClosed, |reason_code| Error::Disconnected(Box::new(reason_code.into())))
}

// Again, while everything else goes on.

#[test]
fn client_authenticates_again_while_messages_are_in_flight() {
    let broker = Scripted::start(|broker| {
        let mut peer = accept_client(broker, 1);
        let before = expect_message(&mut peer, "before");
        // The authenticator takes its time, and nobody waits for it.
        let behind = expect_message(&mut peer, "behind");
        peer.expect(auth(ReAuthenticate, &[2]));
        peer.send(&[auth(ContinueAuthentication, b"which?"), publish("meanwhile", b"")]);
        peer.expect(auth(ContinueAuthentication, &[2]));
        peer.send(&[puback(before), auth(Success, &[2]), puback(behind)]);
        peer.serve();
    });
    single_threaded().block_on(within(async {
        let client = connect(&broker.url()).await;
        let mut messages = client.messages();
        let (before, behind) = (message("before"), message("behind"));
        let done = tokio::join!(client.publish(&before), client.authenticate_again(), client.publish(&behind));
        assert_eq!(done, (Ok(Success), Ok(()), Ok(Success)));
        assert_eq!(messages.receive().await.unwrap().topic, "meanwhile");
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

#[test]
fn client_authenticates_again_once_at_a_time() {
    let broker = Scripted::start(|broker| {
        let mut peer = accept_client(broker, 1);
        for begun in [2, 3] {
            peer.expect(auth(ReAuthenticate, &[begun]));
            challenge(&mut peer, begun);
            peer.send(&[auth(Success, &[begun])]);
        }
        peer.serve();
    });
    single_threaded().block_on(within(async {
        let client = connect(&broker.url()).await;
        let done = tokio::join!(client.authenticate_again(), client.authenticate_again());
        // The second waits for the end of the first, and does not disturb it.
        assert_eq!(done, (Ok(()), Ok(())));
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

#[test]
fn broker_that_never_answers_auth_is_a_timeout_and_the_connection_goes_on() {
    undisturbed(|| {
        for challenges in [0, 1] {
            let broker = Scripted::start(move |broker| {
                let mut peer = accept_client(broker, 1);
                peer.expect(auth(ReAuthenticate, &[2]));
                for _ in 0..challenges {
                    challenge(&mut peer, 2);
                }
                let id = expect_message(&mut peer, "meanwhile");
                // Late is better than never.
                peer.send(&[auth(Success, &[2]), puback(id)]);
                peer.expect(auth(ReAuthenticate, &[3]));
                peer.send(&[auth(Success, &[3])]);
                peer.serve();
            });
            single_threaded().block_on(within(async {
                let client = connect_with(&broker.url(), Options::new().response_timeout(TIMEOUT)).await;
                let begun = Instant::now();
                assert_eq!(client.authenticate_again().await, Err(Error::Timeout));
                assert!(begun.elapsed() >= TIMEOUT, "{:?}", begun.elapsed());
                assert!(client.is_connected());
                // The broker has not said no, either: the second waits for that.
                assert_eq!(client.authenticate_again().await, Err(Error::Timeout));

                assert_eq!(client.publish(&message("meanwhile")).await, Ok(Success));
                assert_eq!(client.authenticate_again().await, Ok(()));
                client.disconnect().await.unwrap();
            }));
            broker.finish();
        }
    });
}

#[test]
fn answer_behind_messages_that_nobody_takes_is_told() {
    let broker = Scripted::start(|broker| {
        let mut peer = accept_client(broker, 1);
        peer.expect(auth(ReAuthenticate, &[2]));
        peer.send(&[publish("a", b""), publish("b", b""), publish("c", b""), auth(Success, &[2])]);
        let id = expect_message(&mut peer, "meanwhile");
        peer.send(&[puback(id)]);
        peer.expect(auth(ReAuthenticate, &[3]));
        peer.send(&[auth(Success, &[3])]);
        peer.serve();
    });
    single_threaded().block_on(within(async {
        let client = connect_with(&broker.url(), Options::new().backlog_limit(1)).await;
        let mut messages = client.messages_with(Overflow::Wait(1));
        assert_eq!(client.authenticate_again().await, Err(Error::AnswerBehindMessages));
        for topic in ["a", "b", "c"] {
            assert_eq!(messages.receive().await.unwrap().topic, topic);
        }
        assert_eq!(client.publish(&message("meanwhile")).await, Ok(Success));
        assert_eq!(client.authenticate_again().await, Ok(()));
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

#[test]
fn answer_that_the_broker_does_not_take_ends_the_connection() {
    let broker = Scripted::start(|broker| {
        let mut peer = accept(broker, 1);
        peer.send(&[connack(ConnackProperties { maximum_packet_size: Some(64), ..terms(COUNT, &[1]) })]);
        peer.expect(auth(ReAuthenticate, &[2]));
        peer.send(&[auth(ContinueAuthentication, b"which, at length?")]);
        expect_farewell(peer);
    });
    single_threaded().block_on(within(async {
        let client = connect(&broker.url()).await;
        let why = CallError::PacketTooLarge { size: 115, maximum: 64 }.to_string();
        assert_eq!(client.authenticate_again().await, Err(authentication(&why)));
        assert_eq!(client.publish(&message("afterwards")).await, Err(authentication(&why)));
    }));
    broker.finish();
}

// A method of which each step is seen.

const COUNT: &str = "COUNT";

/// Says how often it has begun, and to a broker that asks which time this is, too. Trusts one that knows.
#[derive(Clone)]
struct Counting {
    begun: u8,
    most: u8,
}

impl Authenticator for Counting {
    fn method(&self) -> &str {
        COUNT
    }

    fn start(&mut self) -> Result<Option<Vec<u8>>, String> {
        if self.begun == self.most {
            return Err("it has begun often enough".into());
        }
        self.begun += 1;
        Ok(Some(vec![self.begun]))
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        match challenge {
            b"which?" => Ok(vec![self.begun]),
            b"which, at length?" => Ok(vec![self.begun; 100]),
            _ => Err("nobody knows".into()),
        }
    }

    fn finish(&mut self, data: &[u8]) -> Result<(), String> {
        if data == [self.begun] { Ok(()) } else { Err("the broker does not count along".into()) }
    }
}

fn counting() -> Counting {
    Counting { begun: 0, most: u8::MAX }
}

/// The next connection, whose client has begun as often, before it is answered.
fn accept(broker: &Broker, begun: u8) -> Peer {
    let mut peer = broker.accept();
    let received = peer.expect_type(PacketType::Connect);
    let Packet::Connect(connect) = received.packet() else { unreachable!() };
    let (method, data) = (connect.properties.authentication_method, connect.properties.authentication_data);
    assert_eq!((method, data), (Some(COUNT), Some(&[begun][..])));
    peer
}

/// As [`accept`], and takes it.
fn accept_client(broker: &Broker, begun: u8) -> Peer {
    let mut peer = accept(broker, begun);
    peer.send(&[connack(terms(COUNT, &[begun]))]);
    peer
}

/// Asks the client how often it has begun.
fn challenge(peer: &mut Peer, begun: u8) {
    peer.send(&[auth(ContinueAuthentication, b"which?")]);
    peer.expect(auth(ContinueAuthentication, &[begun]));
}

fn auth(reason_code: ReasonCode, data: &[u8]) -> Packet<'_> {
    auth_by(COUNT, reason_code, data)
}

// What they all use.

fn auth_by<'a>(method: &'a str, reason_code: ReasonCode, data: &'a [u8]) -> Packet<'a> {
    let properties = AuthProperties {
        authentication_method: Some(method),
        authentication_data: Some(data),
        ..AuthProperties::default()
    };
    Packet::Auth(Auth { reason_code, properties })
}

/// What CONNACK says to a client that has authenticated.
fn terms<'a>(method: &'a str, data: &'a [u8]) -> ConnackProperties<'a> {
    ConnackProperties {
        authentication_method: Some(method),
        authentication_data: Some(data),
        ..ConnackProperties::default()
    }
}

/// The end of a connection to a broker that is not to be trusted, or that cannot be answered.
fn expect_farewell(mut peer: Peer) {
    peer.expect(disconnect(UnspecifiedError));
    peer.expect_end();
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

fn authentication(why: &str) -> Error {
    Error::Authentication(why.into())
}

async fn connect(url: &str) -> AsyncClient {
    connect_with(url, Options::new()).await
}

async fn connect_with(url: &str, options: Options) -> AsyncClient {
    AsyncClient::connect(url, options.authenticator(counting())).await.expect("a connection")
}

/// Connects again within milliseconds.
fn at_once() -> Reconnect {
    let (first_delay, longest_delay) = (Duration::from_millis(10), Duration::from_millis(50));
    Reconnect { first_delay, longest_delay, ..Reconnect::default() }
}

/// A runtime in which nothing happens but while the test waits.
fn single_threaded() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Waits for it, but not for ever.
async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("an end in time")
}
