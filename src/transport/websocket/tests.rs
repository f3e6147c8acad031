//! WebSocket against scripts: a peer that answers as told, byte by byte or at once.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::vec;
use core::time::Duration;
use std::borrow::ToOwned;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::frames::{MOST_CONTROL, frame};
use super::*;
use crate::error::{Error, ErrorKind, WebSocketFailure as Failure};

/// Makes the answer to a request.
type Answer = dyn Fn(&str) -> Vec<u8>;

/// A peer whose bytes come in these portions, each once the client reads.
struct Peer {
    now: Instant,
    sent: Vec<u8>,
    portions: VecDeque<Vec<u8>>,
    /// How many bytes of the client's it takes at once.
    takes: usize,
    closes: bool,
    is_closed: bool,
    /// Makes the answer to the request, once that is whole.
    answer: Option<Box<Answer>>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peer")
    }
}

impl Peer {
    fn answering(answer: impl Fn(&str) -> Vec<u8> + 'static) -> Self {
        Self {
            now: Instant::ZERO,
            sent: Vec::new(),
            portions: VecDeque::new(),
            takes: usize::MAX,
            closes: false,
            is_closed: false,
            answer: Some(Box::new(answer)),
        }
    }

    fn request(&self) -> String {
        String::from_utf8(self.sent.clone()).unwrap()
    }
}

impl Transport for Peer {
    fn now(&self) -> Instant {
        self.now
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        until: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        if !outgoing.is_empty() {
            let sent = outgoing.len().min(self.takes);
            self.sent.extend_from_slice(&outgoing[..sent]);
            if self.sent.ends_with(b"\r\n\r\n")
                && let Some(answer) = self.answer.take()
            {
                self.portions.push_front(answer(&self.request()));
                self.sent.clear();
            }
            return Ok(Transferred { sent, ..Transferred::default() });
        }
        if incoming.is_empty() {
            return Ok(Transferred::default());
        }
        let Some(mut portion) = self.portions.pop_front() else {
            if self.closes {
                return Ok(Transferred { closed: true, ..Transferred::default() });
            }
            self.now = until.map_or(self.now, |until| until.max(self.now));
            return Ok(Transferred::default());
        };
        let received = portion.len().min(incoming.len());
        incoming[..received].copy_from_slice(&portion[..received]);
        portion.drain(..received);
        if !portion.is_empty() {
            self.portions.push_front(portion);
        }
        Ok(Transferred { received, ..Transferred::default() })
    }

    fn close(&mut self) {
        self.is_closed = true;
    }
}

/// The answer that takes a request, with these lines besides.
fn taking(request: &str, more: &str) -> Vec<u8> {
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let digest = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    let accept = STANDARD.encode(digest);
    std::format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{more}\r\n"
    )
    .into_bytes()
}

fn good(request: &str) -> Vec<u8> {
    taking(request, "Sec-WebSocket-Protocol: mqtt\r\n")
}

fn connect(peer: Peer) -> Result<WebSocketTransport<Peer>, TransportError> {
    connect_with(peer, "ws://broker.local:8080/mqtt", &[])
}

fn connect_with(
    peer: Peer,
    url: &str,
    headers: &[(String, String)],
) -> Result<WebSocketTransport<Peer>, TransportError> {
    WebSocketTransport::connect(peer, &url.parse().unwrap(), headers, Instant::ZERO + Duration::from_secs(5))
}

/// A connection over which these bytes come, in portions of this size.
fn connected(bytes: &[u8], portion: usize) -> WebSocketTransport<Peer> {
    let mut peer = Peer::answering(good);
    peer.portions = bytes.chunks(portion.max(1)).map(<[u8]>::to_vec).collect();
    connect(peer).unwrap()
}

/// A frame of a server's.
fn served(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = match payload.len() {
        len @ 0..=125 => vec![len as u8],
        len @ 126..=0xFFFF => [&[126][..], &(len as u16).to_be_bytes()].concat(),
        len => [&[127][..], &(len as u64).to_be_bytes()].concat(),
    };
    [&[first][..], &len, payload].concat()
}

const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

/// Everything that comes, up to the end or until nothing does; and how it ended.
fn read_all(transport: &mut WebSocketTransport<Peer>) -> (Vec<u8>, Result<Transferred, TransportError>) {
    let mut all = Vec::new();
    loop {
        let mut incoming = [0; 1000];
        match transport.transfer(&[], &mut incoming, Some(Instant::ZERO)) {
            Ok(Transferred { received, closed: false, .. }) if received > 0 => {
                all.extend_from_slice(&incoming[..received]);
            }
            Ok(Transferred { closed: false, .. }) if transport.websocket.is_behind() => {}
            end => return (all, end),
        }
    }
}

/// The frames that a client has sent: opcodes with FIN, and unmasked payloads.
fn sent_frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert_eq!(second & 0x80, 0x80, "masked");
        let (len, rest) = match second & 0x7F {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            len => (usize::from(len), rest),
        };
        let (key, rest) = rest.split_at(4);
        let payload = rest[..len].iter().enumerate().map(|(place, byte)| byte ^ key[place % 4]).collect();
        frames.push((*first, payload));
        bytes = &rest[len..];
    }
    frames
}

fn kind(error: &TransportError) -> Failure {
    match error.kind {
        TransportErrorKind::WebSocket(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn request_is_what_rfc_6455_and_mqtt_demand() {
    let peer = Peer::answering(|request| {
        let mut lines = request.split("\r\n");
        assert_eq!(lines.next(), Some("GET /a/b?token=1 HTTP/1.1"));
        for line in [
            "Host: broker.local",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: mqtt",
            "Authorization: Bearer secret",
        ] {
            assert_eq!(request.split("\r\n").filter(|one| *one == line).count(), 1, "{line}: {request}");
        }
        let key = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        assert_eq!(STANDARD.decode(key).unwrap().len(), 16);
        good(request)
    });
    let headers = [("Authorization".to_owned(), "Bearer secret".to_owned())];
    connect_with(peer, "ws://broker.local/a/b?token=1", &headers).unwrap();
}

#[test]
fn host_names_the_port_unless_it_is_the_schemes_own() {
    for (url, host) in [
        ("ws://h", "h"),
        ("ws://h:443/", "h:443"),
        ("wss://h", "h"),
        ("wss://h:80", "h:80"),
        ("ws://[::1]:8080", "[::1]:8080"),
        ("ws://[::1]", "[::1]"),
    ] {
        let line = std::format!("\r\nHost: {host}\r\n");
        connect_with(
            Peer::answering(move |request| {
                assert!(request.contains(&line), "{request}");
                good(request)
            }),
            url,
            &[],
        )
        .unwrap();
    }
    let own = [("host".to_owned(), "other.example".to_owned())];
    let peer = Peer::answering(|request| {
        assert!(request.contains("\r\nhost: other.example\r\n") && !request.contains("Host: h"), "{request}");
        good(request)
    });
    connect_with(peer, "ws://h", &own).unwrap();
}

#[test]
fn headers_that_cannot_be_sent_are_refused_and_their_values_not_shown() {
    for (name, value) in [
        ("", "secret"),
        ("A b", "secret"),
        ("A:", "secret"),
        ("A", "secret\r\nB: c"),
        ("A", "secret\0"),
        ("upgrade", "secret"),
        ("SEC-WEBSOCKET-PROTOCOL", "secret"),
        ("Content-Length", "secret"),
    ] {
        let error = check(&[(name.to_owned(), value.to_owned())]).unwrap_err();
        assert_eq!(kind(&error), Failure::Configuration, "{name}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert_eq!(check(&[("X-Key".to_owned(), "a \t\u{e9}".to_owned())]), Ok(()));
}

#[test]
fn each_answer_that_is_no_websocket_has_its_own_error() {
    let cases: [(&str, Failure, &str, ErrorKind); 12] = [
        ("HTTP/1.1 404 Not Found\r\n\r\n", Failure::Status(404), "404 Not Found", ErrorKind::Refused),
        ("HTTP/1.1 503 \r\n\r\n", Failure::Status(503), "503", ErrorKind::Refused),
        ("HTTP/1.1 200 OK\r\n\r\n", Failure::Status(200), "200", ErrorKind::Refused),
        ("HTTP/1.1 401 Who\r\n\r\n", Failure::NotAuthorized(401), "401 Who", ErrorKind::NotTrusted),
        (
            "HTTP/1.1 302 Found\r\nLocation: https://u:pw@other.example/ws?token=hush\r\n\r\n",
            Failure::Redirect(302),
            "302 Found, to https://other.example/ws",
            ErrorKind::Refused,
        ),
        ("\x20\x02\x00\x00", Failure::NotHttp, "not answer in HTTP", ErrorKind::ProtocolBroken),
        (
            "HTTP/1.1 101 S\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            Failure::NoUpgrade,
            "",
            ErrorKind::ProtocolBroken,
        ),
        ("HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n", Failure::NoUpgrade, "", ErrorKind::ProtocolBroken),
        (
            "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
            Failure::WrongAccept,
            "key is wrong",
            ErrorKind::ProtocolBroken,
        ),
        ("take Sec-WebSocket-Protocol: amqp\r\n", Failure::Subprotocol, "it chose amqp", ErrorKind::ProtocolBroken),
        ("take ", Failure::Subprotocol, "it chose none", ErrorKind::ProtocolBroken),
        (
            "take Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
            Failure::Extension,
            "permessage-deflate",
            ErrorKind::ProtocolBroken,
        ),
    ];
    for (answer, failure, words, error_kind) in cases {
        let peer = Peer::answering(move |request| match answer.strip_prefix("take ") {
            Some(more) => taking(request, more),
            None => answer.as_bytes().to_vec(),
        });
        let error = connect(peer).unwrap_err();
        assert_eq!(kind(&error), failure, "{answer}");
        let error = Error::from(error);
        let text = error.to_string();
        assert!(text.contains(words) && !text.contains("hush") && !text.contains("pw"), "{text}");
        assert_eq!(error.kind(), error_kind, "{text}");
    }
}

#[test]
fn peer_that_closes_or_never_answers_ends_the_handshake() {
    for answer in ["", "HTTP/1.1 101 Swi"] {
        let mut peer = Peer::answering(|_| answer.as_bytes().to_vec());
        peer.portions.retain(|portion| !portion.is_empty());
        peer.closes = true;
        assert_eq!(kind(&connect(peer).unwrap_err()), Failure::NotHttp);
    }
    let error = connect(Peer::answering(|_| b"HTTP/1.1".to_vec())).unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::ConnectTimeout);
    assert!(error.message.contains("WebSocket"), "{error}");
}

#[test]
fn payload_is_the_same_however_its_frames_are_cut() {
    let long = vec![7; 70_000];
    let frames = [
        served(BINARY, b"one"),
        served(BINARY, b""),
        served(0x02, b"two"),
        served(PING, b"still there?"),
        served(0x00, b" in"),
        served(0x80, b" three"),
        served(BINARY, &[9; 300]),
        served(0x8A, b"an answer that was not asked for"),
        served(BINARY, &long),
    ]
    .concat();
    let expected = [&b"onetwo in three"[..], &[9; 300], &long].concat();
    for portion in [1, 2, 3, 5, 11, 127, 1000, frames.len()] {
        let mut transport = connected(&frames, portion);
        let (all, end) = read_all(&mut transport);
        assert_eq!((all.len(), end), (expected.len(), Ok(Transferred::default())), "portions of {portion}");
        assert!(all == expected, "portions of {portion}");
        assert_eq!(sent_frames(&transport.inner.sent), [(0x8A, b"still there?".to_vec())], "portions of {portion}");
    }
}

#[test]
fn frames_that_come_with_the_answer_are_not_lost() {
    let peer = Peer::answering(|request| [good(request), served(BINARY, b"early"), served(PING, b"")].concat());
    let mut transport = connect(peer).unwrap();
    assert_eq!(read_all(&mut transport), (b"early".to_vec(), Ok(Transferred::default())));
    assert_eq!(sent_frames(&transport.inner.sent), [(0x8A, Vec::new())]);
}

#[test]
fn turn_of_writing_is_one_masked_frame_with_a_new_key_each() {
    let mut transport = connected(&[], 1);
    for payload in [&b"CONNECT"[..], &[1; 200], &[2; 65_536]] {
        let moved = transport.transfer(payload, &mut [], None).unwrap();
        assert_eq!(moved.sent, payload.len());
    }
    let frames = sent_frames(&transport.inner.sent);
    assert_eq!(frames, [(BINARY, b"CONNECT".to_vec()), (BINARY, vec![1; 200]), (BINARY, vec![2; 65_536])]);
    assert_ne!(transport.inner.sent[2..6], transport.inner.sent[6 + 7 + 4..][..4], "the keys");
    // More than fits into one frame leaves with the next ones.
    assert_eq!(transport.transfer(&vec![3; 100_000], &mut [], None).unwrap().sent, MOST_FRAMED);
}

#[test]
fn bytes_count_as_sent_once_their_frame_has_left_as_a_whole() {
    let mut transport = connected(&[], 1);
    transport.inner.takes = 5;
    assert_eq!(transport.transfer(b"twelve bytes", &mut [0; 10], None).unwrap().sent, 12);
    assert_eq!(sent_frames(&transport.inner.sent), [(BINARY, b"twelve bytes".to_vec())]);
}

#[test]
fn only_the_last_of_many_pings_is_answered() {
    let pings: Vec<u8> = (0..100_u8).flat_map(|number| served(PING, &[number])).collect();
    let mut transport = connected(&pings, pings.len());
    assert_eq!(read_all(&mut transport), (Vec::new(), Ok(Transferred::default())));
    assert_eq!(sent_frames(&transport.inner.sent), [(0x8A, vec![99])]);
}

#[test]
fn peer_that_only_pings_does_not_keep_the_caller() {
    let mut transport = connected(&served(PING, b"").repeat(1000), 2);
    let moved = transport.transfer(&[], &mut [0; 100], Some(Instant::ZERO));
    assert_eq!(moved, Ok(Transferred::default()));
    assert!(transport.websocket.is_behind(), "there is more");
    assert!(!transport.inner.portions.is_empty());
}

#[test]
fn close_code_and_reason_are_told_after_what_came_before() {
    let close = served(CLOSE, &[&1008_u16.to_be_bytes()[..], b"not\x07 you"].concat());
    let mut transport = connected(&[served(BINARY, b"last"), close, served(BINARY, b"ignored")].concat(), 1000);
    let (all, end) = read_all(&mut transport);
    assert_eq!(all, b"last");
    let error = end.unwrap_err();
    assert_eq!(kind(&error), Failure::Closed(1008));
    assert_eq!(error.to_string(), "the server closed the WebSocket: code 1008, policy violation: not\u{fffd} you");
    assert_eq!(Error::from(error.clone()).kind(), ErrorKind::ConnectionOver);
    assert_eq!(sent_frames(&transport.inner.sent), [(CLOSE, vec![3, 0xF0])], "the code goes back");
    assert_eq!(read_all(&mut transport).1, Err(error), "and it stays closed");
}

#[test]
fn close_without_a_code_is_an_end_like_that_of_tcp() {
    let mut transport = connected(&served(CLOSE, b""), 1);
    assert_eq!(read_all(&mut transport).1, Ok(Transferred { closed: true, ..Transferred::default() }));
    assert_eq!(sent_frames(&transport.inner.sent), [(CLOSE, Vec::new())]);
}

#[test]
fn closing_says_so_once() {
    let mut transport = connected(&[], 1);
    transport.close();
    transport.close();
    assert!(transport.inner.is_closed);
    assert_eq!(sent_frames(&transport.inner.sent), [(CLOSE, 1000_u16.to_be_bytes().to_vec())]);
}

#[test]
fn each_frame_that_breaks_the_rules_has_its_error_and_its_close_code() {
    let masked = {
        let mut frame_bytes = Vec::new();
        frame(FrameType::Binary(false), b"x", 1, &mut frame_bytes);
        frame_bytes
    };
    let cases: [(&str, Vec<u8>, Failure, u16); 16] = [
        ("masked", masked, Failure::MaskedFrame, 1002),
        ("text", served(0x81, b"hi"), Failure::TextFrame, 1003),
        ("text in two", served(0x01, b"hi"), Failure::TextFrame, 1003),
        ("reserved bit", served(0xC2, b"x"), Failure::InvalidFrame, 1002),
        ("unknown opcode", served(0x83, b"x"), Failure::InvalidFrame, 1002),
        ("unknown control opcode", served(0x8B, b"x"), Failure::InvalidFrame, 1002),
        ("continues nothing", served(0x80, b"x"), Failure::InvalidFrame, 1002),
        ("fragment of a Ping", served(0x09, b"x"), Failure::InvalidFrame, 1002),
        ("begins twice", [served(0x02, b"x"), served(BINARY, b"y")].concat(), Failure::InvalidFrame, 1002),
        ("longer form than needed", vec![BINARY, 126, 0, 5, 1, 2, 3, 4, 5], Failure::InvalidFrame, 1002),
        ("long Ping", served(PING, &[0; MOST_CONTROL + 1]), Failure::FrameTooLarge, 1009),
        (
            "longer than any packet",
            [&[BINARY, 127][..], &300_000_000_u64.to_be_bytes()].concat(),
            Failure::FrameTooLarge,
            1009,
        ),
        (
            "a length with the highest bit",
            [&[BINARY, 127][..], &u64::MAX.to_be_bytes()].concat(),
            Failure::FrameTooLarge,
            1009,
        ),
        ("half a close code", served(CLOSE, &[3]), Failure::InvalidFrame, 1002),
        ("a close code that nobody sends", served(CLOSE, &1006_u16.to_be_bytes()), Failure::InvalidFrame, 1002),
        ("a close reason that is no text", served(CLOSE, &[3, 0xE8, 0xFF]), Failure::InvalidFrame, 1002),
    ];
    for (name, bytes, failure, code) in cases {
        for portion in [1, 4, bytes.len()] {
            let mut transport = connected(&bytes, portion);
            let (_, end) = read_all(&mut transport);
            let error = end.expect_err(name);
            assert_eq!(kind(&error), failure, "{name} in portions of {portion}: {error}");
            let close = sent_frames(&transport.inner.sent).pop();
            assert_eq!(close, Some((CLOSE, code.to_be_bytes().to_vec())), "{name}");
        }
    }
}

#[test]
fn end_without_close_is_passed_on() {
    let mut transport = connected(&[BINARY, 5, b'c', b'u'], 4);
    transport.inner.closes = true;
    assert_eq!(read_all(&mut transport), (b"cu".to_vec(), Ok(Transferred { closed: true, ..Transferred::default() })));
}
