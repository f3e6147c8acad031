//! Addresses that do not answer.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use host_tests::broker::url;
use host_tests::nowhere;
use host_tests::packets::publish;
use host_tests::scripted::Scripted;
use host_tests::subject::{Component, Happening, Native, SOON, Settings, Subject};
use host_tests::timing::undisturbed;
use mqtt_wasi::{Client, Error, Event, Options, TransportErrorKind};
use tokio::net::TcpSocket;

use super::{LONG, PROMPT, single_threaded};

#[test]
fn address_that_does_not_answer_leaves_the_next_its_time() {
    let hole = BlackHole::open();
    let broker = Scripted::start(|broker| broker.accept_client().serve());
    let timeout = Duration::from_secs(14);
    let start = Instant::now();
    let addresses = [hole.address, broker.address()];
    let mut client = Client::connect_to(&addresses[..], Options::new().connect_timeout(timeout)).unwrap();
    assert!(start.elapsed() < timeout, "{:?}", start.elapsed());
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
fn failure_names_every_address_that_was_tried() {
    undisturbed(|| {
        let (first, second) = (BlackHole::open(), BlackHole::open());
        let addresses = [first.address, nowhere(), second.address];
        let options = Options::new().connect_timeout(Duration::from_secs(2));
        let failure = Client::connect_to(&addresses[..], options).err();
        let Some(Error::Transport(failure)) = failure else { panic!("{failure:?}") };
        assert_eq!(failure.kind, TransportErrorKind::ConnectTimeout);
        for address in addresses {
            assert!(failure.message.contains(&address.to_string()), "{address} in {:?}", failure.message);
        }
    });
}

#[test]
fn component_returns_in_time_while_an_address_does_not_answer() {
    let hole = BlackHole::open();
    let (speak, may_speak) = mpsc::channel();
    let live = Scripted::start(move |broker| {
        let mut peer = broker.accept_client();
        may_speak.recv().unwrap();
        peer.send(&[publish("alive", b"")]);
        peer.serve();
    });
    let settings = Settings { leave: vec![live.address()], ..lost_settings(&hole) };
    let mut client: Component = lost(&settings);
    let mut beside = client.connect_beside(&live.url(), &Settings::default()).unwrap();
    let start = Instant::now();
    for _ in 0..10 {
        assert_eq!(client.receive(Duration::ZERO), Ok(None));
    }
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
    assert!(client.wait_beside(&beside, Duration::from_millis(1_000)).is_empty(), "nobody has a message");
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());

    speak.send(()).unwrap();
    assert_eq!(client.wait_beside(&beside, SOON), [1]);
    assert!(!client.is_connected());
    client.exchange(&mut beside);
    assert_eq!(client.expect_message().topic, "alive");
    client.disconnect().unwrap();
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
    live.finish();
}

#[test]
fn blocking_client_returns_in_time_while_an_address_does_not_answer() {
    let hole = BlackHole::open();
    let mut client: Native = lost(&lost_settings(&hole));
    let start = Instant::now();
    for _ in 0..10 {
        assert_eq!(client.client.receive_timeout(Duration::ZERO), Ok(None));
        assert!(!client.client.is_ready());
        let event = client.client.next_event(Duration::ZERO).unwrap();
        assert!(matches!(event, None | Some(Event::AttemptFailed { .. })), "{event:?}");
    }
    assert_eq!(client.client.receive_timeout(Duration::from_millis(100)), Ok(None));
    assert!(!client.client.is_connected());
    client.disconnect().unwrap();
    drop(client);
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
}

/// Of a client that connects again to where nobody answers, and has all the time for it.
fn lost_settings(hole: &BlackHole) -> Settings {
    Settings {
        fallbacks: vec![url(hole.address)],
        reconnect: Some((Duration::from_millis(20), Duration::from_millis(100))),
        connect_timeout: Some(LONG),
        ..Settings::default()
    }
}

/// A client that has lost its broker, and tries the other one.
fn lost<S: Subject>(settings: &Settings) -> S {
    let broker = Scripted::start(|broker| drop(broker.accept_client()));
    let mut client = S::connect(&broker.url(), settings).unwrap();
    broker.finish();
    let event = client.next_event(SOON).unwrap();
    assert!(matches!(event, Some(Happening::Disconnected(_))), "{event:?}");
    // Long enough for the delay, and for the first broker to refuse.
    assert_eq!(client.receive(Duration::from_millis(500)), Ok(None));
    client
}

/// An address that takes no connection and refuses none: whoever listens there has as many as wait at the most.
struct BlackHole {
    address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    fn open() -> Self {
        let runtime = single_threaded();
        let _guard = runtime.enter();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap().into_std().unwrap();
        let address = listener.local_addr().unwrap();
        let (mut waiting, mut unanswered) = (Vec::new(), 0);
        // Twice, so that a machine that is busy is not taken for it.
        while unanswered < 2 {
            match TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
                Ok(stream) => waiting.push(stream),
                Err(_) => unanswered += 1,
            }
            assert!(waiting.len() < 100, "there is no end to those who may wait");
        }
        Self { address, _listener: listener, _waiting: waiting }
    }
}
