//! Proxies against scripts: each thing that the client says has an answer, which comes byte by byte or at once.

use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::vec;
use core::time::Duration;

use super::*;
use crate::error::{Error, ErrorKind};

/// A proxy that answers as told, once it has heard what it waits for.
#[derive(Debug)]
struct Peer {
    script: VecDeque<(Vec<u8>, Vec<u8>)>,
    heard: Vec<u8>,
    answers: VecDeque<u8>,
    /// How many bytes come at once.
    portion: usize,
    closes: bool,
    is_closed: bool,
}

impl Peer {
    fn new(script: &[(&[u8], &[u8])], portion: usize) -> Self {
        let script = script.iter().map(|(heard, answer)| (heard.to_vec(), answer.to_vec())).collect();
        Self { script, heard: Vec::new(), answers: VecDeque::new(), portion, closes: true, is_closed: false }
    }
}

impl Transport for Peer {
    fn now(&self) -> Instant {
        Instant::ZERO
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        _: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        if !outgoing.is_empty() {
            let sent = outgoing.len().min(self.portion);
            self.heard.extend_from_slice(&outgoing[..sent]);
            if self.script.front().is_some_and(|(heard, _)| *heard == self.heard)
                && let Some((_, answer)) = self.script.pop_front()
            {
                self.heard.clear();
                self.answers.extend(answer);
            }
            return Ok(Transferred { sent, ..Transferred::default() });
        }
        let received = self.answers.len().min(self.portion).min(incoming.len());
        for byte in &mut incoming[..received] {
            *byte = self.answers.pop_front().unwrap_or_default();
        }
        Ok(Transferred { received, closed: received == 0 && !incoming.is_empty() && self.closes, sent: 0 })
    }

    fn close(&mut self) {
        self.is_closed = true;
    }
}

/// What comes of a script with the broker at this URL.
fn connect(proxy: &str, broker: &str, script: &[(&[u8], &[u8])]) -> Result<Tunneled<Peer>, TransportError> {
    let results = [1, 3, 1000].map(|portion| {
        let (proxy, broker) = (Proxy::new(proxy, "").unwrap(), broker.parse().unwrap());
        let mut tunneled = Tunneled::through(Peer::new(script, portion), &proxy, &broker);
        let connected = tunneled.advance(Instant::ZERO + Duration::from_secs(1));
        assert_eq!(connected.is_err(), tunneled.inner.is_closed);
        connected.map(|is_connected| {
            assert!(is_connected && !tunneled.is_asking());
            assert!(tunneled.inner.script.is_empty() && tunneled.inner.heard.is_empty(), "{:?}", tunneled.inner);
            tunneled
        })
    });
    let failures = results.each_ref().map(|result| result.as_ref().err().cloned());
    assert!(failures.iter().all(|failure| *failure == failures[0]), "{failures:?}");
    results.into_iter().next().unwrap()
}

fn failure(proxy: &str, script: &[(&[u8], &[u8])]) -> (ProxyFailure, TransportError) {
    let error = connect(proxy, "mqtt://broker.local", script).unwrap_err();
    let TransportErrorKind::Proxy(failure) = error.kind else { panic!("{error:?}") };
    assert!(error.message.contains("proxy.local:9"), "{error}");
    assert!(!error.to_string().contains("secret") && !error.to_string().contains("c2VjcmV0"), "{error}");
    (failure, error)
}

const ASKED: &[u8] = b"CONNECT broker.local:1883 HTTP/1.1\r\nHost: broker.local:1883\r\n\r\n";
const GREETING: &[u8] = &[5, 1, 0];
const GREETING_WITH_LOGIN: &[u8] = &[5, 2, 0, 2];

fn socks_request() -> Vec<u8> {
    [&[5, 1, 0, 3, 12][..], b"broker.local", &1883_u16.to_be_bytes()].concat()
}

#[test]
fn http_proxy_is_asked_by_connect() {
    connect("http://proxy.local", "mqtt://broker.local", &[(ASKED, b"HTTP/1.1 200 Connection established\r\n\r\n")])
        .unwrap();
    let asked = b"CONNECT [::1]:8883 HTTP/1.1\r\nHost: [::1]:8883\r\nProxy-Authorization: Basic dXNlcjpwQDpz\r\n\r\n";
    connect("http://user:p%40:s@proxy.local:3128", "mqtts://[::1]", &[(asked, b"HTTP/1.0 204\r\nVia: x\r\n\r\n")])
        .unwrap();
}

#[test]
fn what_the_broker_says_first_is_not_lost() {
    let answer = b"HTTP/1.1 200 OK\r\n\r\nfrom the broker";
    let mut tunneled = connect("http://proxy.local", "mqtt://broker.local", &[(ASKED, answer)]).unwrap();
    let mut all = Vec::new();
    let mut incoming = [0; 5];
    while let Ok(Transferred { received: received @ 1.., .. }) = tunneled.transfer(&[], &mut incoming, None) {
        all.extend_from_slice(&incoming[..received]);
    }
    assert_eq!(all, b"from the broker");
    assert_eq!(tunneled.transfer(b"to it", &mut [], None).map(|moved| moved.sent), Ok(1), "a byte each here");
}

#[test]
fn each_refusal_of_an_http_proxy_is_told() {
    for (answer, expected, words, kind) in [
        ("HTTP/1.1 407 Login\r\n\r\n", ProxyFailure::NotAuthorized, "HTTP 407 Login", ErrorKind::NotTrusted),
        ("HTTP/1.1 401 Who\r\n\r\n", ProxyFailure::NotAuthorized, "HTTP 401 Who", ErrorKind::NotTrusted),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", ProxyFailure::Status(403), "HTTP 403 Forbidden", ErrorKind::Refused),
        ("HTTP/1.1 502 \r\n\r\n", ProxyFailure::Status(502), "HTTP 502", ErrorKind::Refused),
        ("\x05\0", ProxyFailure::InvalidAnswer, "not answer in HTTP", ErrorKind::ProtocolBroken),
        ("", ProxyFailure::InvalidAnswer, "closed the connection", ErrorKind::ProtocolBroken),
        ("HTTP/1.1 200 OK\r\n", ProxyFailure::InvalidAnswer, "closed the connection", ErrorKind::ProtocolBroken),
    ] {
        let (failure, error) = failure("http://proxy.local:9", &[(ASKED, answer.as_bytes())]);
        assert_eq!(failure, expected, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(Error::from(error).kind(), kind);
    }
}

#[test]
fn socks_proxy_looks_the_name_up() {
    for address in [&[1, 127, 0, 0, 1][..], &[3, 2, b'x', b'y'], &[[4; 17].as_slice()].concat()] {
        let answer = [&[5, 0, 0][..], address, &[0, 80]].concat();
        let script = [(GREETING, &[5, 0][..]), (&socks_request(), &answer)];
        connect("socks5://proxy.local", "mqtt://broker.local", &script).unwrap();
    }
}

#[test]
fn socks_proxy_is_told_an_address_that_there_is() {
    let answer = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let ipv4 = [5, 1, 0, 1, 127, 0, 0, 1, 0, 80];
    connect("socks5h://proxy.local", "mqtt://127.0.0.1:80", &[(GREETING, &[5, 0]), (&ipv4, &answer)]).unwrap();
    let ipv6 = [&[5, 1, 0, 4][..], &[0; 15], &[1, 0, 80]].concat();
    connect("socks5h://proxy.local", "mqtt://[::1]:80", &[(GREETING, &[5, 0]), (&ipv6, &answer)]).unwrap();
}

#[test]
fn socks_proxy_gets_the_login_that_it_wants() {
    let answer = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let login = b"\x01\x04user\x06secret";
    let script = [(GREETING_WITH_LOGIN, &[5, 2][..]), (login, &[1, 0]), (&socks_request(), &answer)];
    connect("socks5://user:secret@proxy.local", "mqtt://broker.local", &script).unwrap();
    // It need not want it.
    let script = [(GREETING_WITH_LOGIN, &[5, 0][..]), (&socks_request(), &answer)];
    connect("socks5://user:secret@proxy.local", "mqtt://broker.local", &script).unwrap();
}

#[test]
fn each_refusal_of_a_socks_proxy_is_told() {
    let with_login = "socks5://user:secret@proxy.local:9";
    let without = "socks5://proxy.local:9";
    let refused = |reply| [5, reply, 0, 1, 0, 0, 0, 0, 0, 0];
    let request = socks_request();
    let login = b"\x01\x04user\x06secret".as_slice();
    let invalid = ProxyFailure::InvalidAnswer;
    type Script<'a> = Vec<(&'a [u8], Vec<u8>)>;
    let cases: Vec<(&str, Script<'_>, ProxyFailure, &str)> = vec![
        (without, vec![(GREETING, vec![5, 0xFF])], ProxyFailure::NotAuthorized, "wants a login"),
        (with_login, vec![(GREETING_WITH_LOGIN, vec![5, 0xFF])], ProxyFailure::NotAuthorized, "another kind of login"),
        (
            with_login,
            vec![(GREETING_WITH_LOGIN, vec![5, 2]), (login, vec![1, 1])],
            ProxyFailure::NotAuthorized,
            "does not accept the login",
        ),
        (without, vec![(GREETING, vec![5, 2])], invalid, "was not offered"),
        (without, vec![(GREETING, b"HTTP/1.1 400 Bad\r\n\r\n".to_vec())], invalid, "not speak SOCKS 5"),
        (without, vec![(GREETING, vec![])], invalid, "closed the connection"),
        (without, vec![(GREETING, vec![5, 0]), (&request, refused(2).to_vec())], ProxyFailure::Reply(2), "its rules"),
        (without, vec![(GREETING, vec![5, 0]), (&request, vec![5, 4])], ProxyFailure::Reply(4), "host is unreachable"),
        (without, vec![(GREETING, vec![5, 0]), (&request, vec![5, 99])], ProxyFailure::Reply(99), "SOCKS reply 99"),
        (without, vec![(GREETING, vec![5, 0]), (&request, vec![5, 0, 0, 9, 0])], invalid, "of the kind 9"),
        (without, vec![(GREETING, vec![5, 0]), (&request, vec![4, 0, 0, 1, 0])], invalid, "not speak SOCKS 5"),
        (without, vec![(GREETING, vec![5, 0]), (&request, vec![5, 0, 0, 1, 0])], invalid, "closed the connection"),
    ];
    for (proxy, script, expected, words) in cases {
        let script: Vec<_> = script.iter().map(|(heard, answer)| (*heard, answer.as_slice())).collect();
        let (failure, error) = failure(proxy, &script);
        assert_eq!(failure, expected, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn proxy_that_does_not_answer_is_waited_for() {
    for proxy in ["http://proxy.local", "socks5://proxy.local"] {
        let proxy = Proxy::new(proxy, "").unwrap();
        let peer = Peer { closes: false, ..Peer::new(&[], 1000) };
        let mut tunneled = Tunneled::through(peer, &proxy, &"mqtt://broker.local".parse().unwrap());
        assert_eq!(tunneled.advance(Instant::ZERO), Ok(false));
        assert!(tunneled.is_asking());
    }
}

#[test]
fn proxy_and_its_list_hide_the_login() {
    let proxy = Proxy::new("http://user:secret@proxy.local", "local").unwrap();
    assert!(!format!("{proxy:?}").contains("secret"));
    assert!(!proxy.is_for(&"mqtt://broker.local".parse().unwrap()));
    assert!(proxy.is_for(&"mqtt://broker.example".parse().unwrap()));
}
