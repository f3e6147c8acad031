//! MQTT over WebSocket: real servers, with TLS and without, and servers that answer with everything else, each told
//! apart.

use std::io::{ErrorKind as IoErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use host_tests::broker::{Mosquitto, TlsListener, websocket_url};
use host_tests::certificates::{Authority, Certified};
use host_tests::each_subject;
use host_tests::interop::Server;
use host_tests::packets::{bytes, connack, publish};
use host_tests::rabbitmq::RabbitMq;
use host_tests::subject::{ErrorKind, Failure, Happening, SOON, Settings, Subject, TlsSettings};
use host_tests::timing::undisturbed;
use host_tests::tls_peer::TlsPeer;
use mqtt_wasi::codec::ConnackProperties;
use mqtt_wasi::{Publish, QoS, ReasonCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

each_subject!(
    every_size_comes_back_intact_from_mosquitto,
    every_size_comes_back_intact_from_mosquitto_over_tls,
    every_size_comes_back_intact_from_rabbitmq,
    every_size_comes_back_intact_from_ejabberd,
    lost_connection_is_made_again,
    headers_of_the_user_are_sent,
    packets_may_lie_in_any_number_of_frames,
    each_answer_that_is_no_websocket_is_told,
    each_invalid_frame_is_told_and_the_server_is,
    close_code_and_reason_are_told,
    broker_of_plain_mqtt_is_told,
    server_that_wants_tls_is_told,
    refusal_in_http_tells_which_certificate_was_asked_for,
    server_that_never_answers_runs_out_of_time;
    not for component_p3
);

/// How long a peer waits for the client.
const PATIENCE: Duration = Duration::from_secs(30);

const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;

fn every_size_comes_back_intact_from_mosquitto<S: Subject>() {
    let Some(mosquitto) = Mosquitto::start_websocket() else { return };
    every_size_comes_back_intact::<S>(&websocket_url(mosquitto.address()), Settings::default());
}

fn every_size_comes_back_intact_from_mosquitto_over_tls<S: Subject>() {
    let authority = Authority::new();
    let server = authority.server();
    let listener =
        TlsListener { certificate_pem: server.certificate_pem, key_pem: server.key_pem, ..TlsListener::default() };
    let Some(mosquitto) = Mosquitto::start_websocket_tls(&listener) else { return };
    let tls = TlsSettings { ca_pem: authority.pem().into(), ..TlsSettings::default() };
    let url = websocket_url(mosquitto.address()).replace("ws://", "wss://");
    every_size_comes_back_intact::<S>(&url, Settings { tls: Some(tls), ..Settings::default() });
}

fn every_size_comes_back_intact_from_rabbitmq<S: Subject>() {
    let Some(rabbitmq) = RabbitMq::start() else { return };
    every_size_comes_back_intact::<S>(&rabbitmq.websocket_url(), Settings::default());
}

fn every_size_comes_back_intact_from_ejabberd<S: Subject>() {
    let Some(ejabberd) = Server::start("ejabberd-24.12") else { return };
    every_size_comes_back_intact::<S>(&ejabberd.websocket_url().unwrap(), Settings::default());
}

fn every_size_comes_back_intact<S: Subject>(url: &str, settings: Settings) {
    // A broker may echo a message before it acknowledges it, so there must be room for the largest.
    let settings = Settings { backlog_limit: Some(4 * 1024 * 1024), ..settings };
    let mut client = S::connect(url, &settings).unwrap();
    client.subscribe("sizes", QoS::AtLeastOnce);
    for size in [0, 1, 100, 126, 1024, 64 * 1024, 1024 * 1024] {
        let payload: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let published = client.publish(&Publish::new("sizes", &payload).qos(QoS::AtLeastOnce));
        assert_eq!(published, Ok(ReasonCode::Success), "{size} bytes");
        assert!(client.expect_message().payload == payload, "{size} bytes came back changed");
    }
    let batch: Vec<_> = (0..1000_u32).map(u32::to_be_bytes).collect();
    let messages: Vec<_> = batch.iter().map(|payload| Publish::new("sizes", payload).qos(QoS::AtLeastOnce)).collect();
    assert!(client.publish_batch(&messages).iter().all(Result::is_ok));
    for payload in batch {
        assert_eq!(client.expect_message().payload, payload);
    }
    client.disconnect().unwrap();
}

fn lost_connection_is_made_again<S: Subject>() {
    let Some(mut mosquitto) = Mosquitto::start_websocket() else { return };
    let delays = (Duration::from_millis(10), Duration::from_millis(100));
    let settings = Settings { reconnect: Some(delays), ..Settings::default() };
    let mut client = S::connect(&websocket_url(mosquitto.address()), &settings).unwrap();
    mosquitto.kill();
    mosquitto.start_again();
    assert_eq!(client.publish(&Publish::new("t", "").qos(QoS::AtLeastOnce)), Ok(ReasonCode::NoMatchingSubscribers));
    let happened: Vec<_> = std::iter::from_fn(|| client.take_event()).collect();
    assert!(happened.iter().any(|it| matches!(it, Happening::Reconnected { .. })), "{happened:?}");
}

fn headers_of_the_user_are_sent<S: Subject>() {
    let peer = Peer::start(|request| {
        assert!(request.contains("\r\nX-Key: a secret\r\n"), "{request}");
        b"HTTP/1.1 401 Unauthorized\r\n\r\n".to_vec()
    });
    let settings = Settings { websocket_headers: vec![("X-Key".into(), "a secret".into())], ..Settings::default() };
    let failure = failure(S::connect(&peer.url(), &settings));
    assert_eq!(failure.kind, ErrorKind::WebSocketNotAuthorized);
    assert!(failure.message.contains("401 Unauthorized") && !failure.message.contains("secret"), "{failure:?}");
    peer.finish();
    let settings = Settings { websocket_headers: vec![("X-Key".into(), "a\nsecret".into())], ..Settings::default() };
    let refused = self::failure(S::connect("ws://127.0.0.1:1", &settings));
    assert_eq!(refused.kind, ErrorKind::WebSocketConfiguration);
    assert!(refused.message.contains("X-Key") && !refused.message.contains("secret"), "{refused:?}");
}

fn packets_may_lie_in_any_number_of_frames<S: Subject>() {
    let packets = bytes(&[connack(ConnackProperties::default()), publish("a", b"one"), publish("a", b"two")]);
    let peer = Peer::start(move |request| {
        let mut answer = accepted(request);
        let (first, rest) = packets.split_at(1);
        answer.extend(frame(BINARY, first));
        answer.extend(frame(0x02, &rest[..5]));
        answer.extend(frame(0x89, b"ping"));
        answer.extend(frame(0x80, &rest[5..]));
        answer
    });
    let mut client = S::connect(&peer.url(), &Settings::default()).unwrap();
    assert_eq!(client.expect_message().payload, b"one");
    assert_eq!(client.expect_message().payload, b"two");
    client.disconnect().unwrap();
    let frames = peer.finish();
    assert!(frames.iter().any(|(first, payload)| (*first, &payload[..]) == (0x8A, b"ping")), "{frames:?}");
    let sent: Vec<u8> =
        frames.iter().filter(|(first, _)| *first == BINARY).flat_map(|(_, bytes)| bytes.clone()).collect();
    assert!(sent.starts_with(&[0x10]) && sent.ends_with(&[0xE0, 0]), "CONNECT to DISCONNECT: {sent:?}");
    assert_eq!(frames.last(), Some(&(CLOSE, vec![3, 0xE8])));
}

fn refusal_in_http_tells_which_certificate_was_asked_for<S: Subject>() {
    let authority = Authority::new();
    let Certified { certificate_pem, key_pem } = authority.client("sensor");
    let told = |asked, client: Option<_>, answer| {
        let peer = TlsPeer::answering_in_http(&authority.server(), asked, answer);
        let tls = TlsSettings { ca_pem: authority.pem().into(), client, ..TlsSettings::default() };
        let url = format!("wss://{}/mqtt", peer.address());
        let failure = failure(S::connect(&url, &Settings { tls: Some(tls), ..Settings::default() }));
        peer.finish();
        failure
    };
    let asked = Some(authority.pem());
    // As nginx answers, and as others do.
    for (answer, kind) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", ErrorKind::WebSocketRefused),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", ErrorKind::WebSocketNotAuthorized),
    ] {
        let client = (certificate_pem.clone(), key_pem.clone());
        let with = told(asked, Some(client.clone()), answer);
        assert_eq!(with.kind, kind);
        assert!(with.message.contains("may not accept it"), "{with:?}");
        let without = told(asked, None, answer);
        assert_eq!(without.kind, kind);
        assert!(without.message.contains("got none"), "{without:?}");
        let unasked = told(None, Some(client), answer);
        assert!(!unasked.message.contains("certificate"), "{unasked:?}");
    }
    let elsewhere = told(asked, None, "HTTP/1.1 404 Not Found\r\n\r\n");
    assert!(!elsewhere.message.contains("certificate"), "{elsewhere:?}");
}

fn each_answer_that_is_no_websocket_is_told<S: Subject>() {
    for (answer, kind, words) in [
        ("HTTP/1.1 404 Not Found\r\n\r\n", ErrorKind::WebSocketRefused, "404 Not Found"),
        ("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nlate", ErrorKind::WebSocketRefused, "503 Busy"),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", ErrorKind::WebSocketNotAuthorized, "403 Forbidden"),
        (
            "HTTP/1.1 307 Moved\r\nLocation: wss://other.example/mqtt?key=k\r\n\r\n",
            ErrorKind::WebSocketRedirect,
            "307 Moved, to wss://other.example/mqtt",
        ),
        ("HTTP/1.1 101 Yes\r\n\r\n", ErrorKind::WebSocketNoUpgrade, "Upgrade"),
        (
            "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: A\r\n\r\n",
            ErrorKind::WebSocketWrongAccept,
            "key",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n", ErrorKind::WebSocketNotHttp, "HTTP"),
        ("", ErrorKind::WebSocketNotHttp, "closed the connection"),
    ] {
        let peer = Peer::start(move |_| answer.into());
        let failure = failure(S::connect(&peer.url(), &Settings::default()));
        assert_eq!(failure.kind, kind, "{answer}: {}", failure.message);
        assert!(failure.message.contains(words), "{}", failure.message);
        peer.finish();
    }
    for (protocol, words) in [("", "none"), ("Sec-WebSocket-Protocol: mqttv3.1\r\n", "mqttv3.1")] {
        let peer = Peer::start(move |request| accepted_with(request, protocol));
        let failure = failure(S::connect(&peer.url(), &Settings::default()));
        assert_eq!(failure.kind, ErrorKind::WebSocketSubprotocol, "{}", failure.message);
        assert!(failure.message.contains(words), "{}", failure.message);
        peer.finish();
    }
}

fn each_invalid_frame_is_told_and_the_server_is<S: Subject>() {
    for (bytes, kind, code) in [
        (vec![BINARY, 0x81, 1, 2, 3, 4, 5], ErrorKind::WebSocketMaskedFrame, 1002_u16),
        (frame(0x81, b"hi"), ErrorKind::WebSocketTextFrame, 1003),
        ([&[BINARY, 127][..], &(1_u64 << 40).to_be_bytes()].concat(), ErrorKind::WebSocketFrameTooLarge, 1009),
        (frame(0x89, &[0; 126]), ErrorKind::WebSocketFrameTooLarge, 1009),
        (frame(0xF2, b"x"), ErrorKind::WebSocketInvalidFrame, 1002),
        (frame(0x80, b"x"), ErrorKind::WebSocketInvalidFrame, 1002),
    ] {
        let peer = Peer::start(move |request| [accepted(request), bytes.clone()].concat());
        let failure = failure(S::connect(&peer.url(), &Settings::default()));
        assert_eq!(failure.kind, kind, "{}", failure.message);
        assert_eq!(peer.finish().last(), Some(&(CLOSE, code.to_be_bytes().to_vec())), "{kind:?}");
    }
}

fn close_code_and_reason_are_told<S: Subject>() {
    let peer = Peer::start(|request| {
        let connack = frame(BINARY, &bytes(&[connack(ConnackProperties::default())]));
        [accepted(request), connack, frame(CLOSE, b"\x03\xf4maintenance")].concat()
    });
    let mut client = S::connect(&peer.url(), &Settings::default()).unwrap();
    let failure = client.receive(SOON).expect_err("the end");
    assert_eq!(failure.kind, ErrorKind::WebSocketClosed);
    assert!(failure.message.contains("1012, service restart: maintenance"), "{}", failure.message);
    peer.finish();
}

fn broker_of_plain_mqtt_is_told<S: Subject>() {
    let Some(mosquitto) = Mosquitto::start() else { return };
    let failure = failure(S::connect(&websocket_url(mosquitto.address()), &Settings::default()));
    assert_eq!(failure.kind, ErrorKind::WebSocketNotHttp, "{}", failure.message);
}

fn server_that_wants_tls_is_told<S: Subject>() {
    let peer = Peer::start(|_| vec![0x15, 3, 3, 0, 2, 2, 10]);
    let failure = failure(S::connect(&peer.url(), &Settings::default()));
    assert_eq!(failure.kind, ErrorKind::TlsExpected);
    assert!(failure.message.contains("wss://"), "{}", failure.message);
    peer.finish();
}

fn server_that_never_answers_runs_out_of_time<S: Subject>() {
    undisturbed(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = Settings { connect_timeout: Some(Duration::from_secs(1)), ..Settings::default() };
        let failure = failure(S::connect(&websocket_url(listener.local_addr().unwrap()), &settings));
        assert_eq!(failure.kind, ErrorKind::NetworkTimeout);
        assert!(failure.message.contains("WebSocket"), "{}", failure.message);
    });
}

fn failure<S: Subject>(connected: Result<S, Failure>) -> Failure {
    connected.err().expect("a failure")
}

/// The answer that takes a request.
fn accepted(request: &str) -> Vec<u8> {
    accepted_with(request, "Sec-WebSocket-Protocol: mqtt\r\n")
}

fn accepted_with(request: &str, more: &str) -> Vec<u8> {
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
    let accept = derive_accept_key(key.as_bytes());
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    format!("{answer}Sec-WebSocket-Accept: {accept}\r\n{more}\r\n").into_bytes()
}

/// A server's frame, with these bits before its length.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = match payload.len() {
        len @ 0..=125 => vec![len as u8],
        len => [&[126][..], &(len as u16).to_be_bytes()].concat(),
    };
    [&[first][..], &len, payload].concat()
}

/// A server that answers a request as it is told, and then listens until the client closes the connection.
struct Peer {
    address: SocketAddr,
    thread: JoinHandle<Vec<u8>>,
}

impl Peer {
    fn start(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of the loopback address");
        let address = listener.local_addr().expect("the port's number");
        let thread = thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("a client");
            client.set_read_timeout(Some(PATIENCE)).expect("a socket with a timeout");
            let answer = answer(&read_request(&mut client));
            if answer.is_empty() {
                return Vec::new();
            }
            client.write_all(&answer).expect("the client reads");
            read_to_end(&mut client)
        });
        Self { address, thread }
    }

    fn url(&self) -> String {
        websocket_url(self.address)
    }

    /// The frames that the client has sent: their first bytes, and their payload.
    fn finish(self) -> Vec<(u8, Vec<u8>)> {
        let bytes = self.thread.join().expect("the peer's assertions hold");
        let mut rest = &bytes[..];
        let mut frames = Vec::new();
        while let [first, second, behind @ ..] = rest {
            assert_eq!(second & 0x80, 0x80, "a client masks its frames");
            let (len, behind) = match second & 0x7F {
                126 => (usize::from(u16::from_be_bytes([behind[0], behind[1]])), &behind[2..]),
                len @ 0..=125 => (usize::from(len), behind),
                _ => panic!("nothing here is that long"),
            };
            let (key, behind) = behind.split_at(4);
            let payload = behind[..len].iter().enumerate().map(|(place, byte)| byte ^ key[place % 4]).collect();
            frames.push((*first, payload));
            rest = &behind[len..];
        }
        frames
    }
}

fn read_request(client: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("a whole request");
        request.extend(byte);
    }
    String::from_utf8(request).expect("a request is text")
}

fn read_to_end(client: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match client.read_to_end(&mut all) {
        Err(error) if error.kind() == IoErrorKind::ConnectionReset => {}
        read => drop(read.expect("the client closes the connection in time")),
    }
    all
}
