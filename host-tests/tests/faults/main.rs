//! Faults that come seldom, over real sockets: runtimes that end, code of the user's that panics, addresses that do not
//! answer, calls that get in each other's way. Each call ends, with what says why, and what can go on does.
#![allow(unsafe_code, reason = "an allocator is unsafe by its trait")]

mod addresses;
mod authenticators;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use authenticators::panic_quietly;
use futures::{FutureExt, Stream, StreamExt};
use host_tests::broker::{each_broker, tls_url, url};
use host_tests::certificates::Authority;
use host_tests::each_subject;
use host_tests::nowhere;
use host_tests::packets::{connack, disconnect, puback, publish, suback, unsuback};
use host_tests::scripted::{Broker, Peer, Scripted};
use host_tests::subject::{ErrorKind, Happening, SOON, Settings, Subject, TlsSettings};
use host_tests::timing::undisturbed;
use mqtt_wasi::codec::{Connack, ConnackProperties, Packet, PacketId, PacketType, PublishProperties};
use mqtt_wasi::{
    AsyncClient, AsyncMessages, Client, Error, Event, Message, Options, Overflow, Publish, QoS, ReasonCode, Reconnect,
    Subscription,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

each_subject!(
    subscribing_to_a_broker_that_closes_at_each_subscribe_ends_in_time_and_backs_off,
    client_in_a_tls_handshake_without_an_answer_is_dropped_at_once,
    reconnecting_by_hand_while_connected_tries_the_fallbacks,
    reply_larger_than_the_broker_takes_is_told_and_the_next_request_answered,
    reset_is_not_taken_for_a_plain_end,
    reset_in_the_turn_that_sends_is_not_taken_for_a_plain_end,
);

/// With WASI 0.3 the socket stays open while nobody calls: see `docs/wasi-0.3.md`.
mod not_over_wasi_0_3 {
    use super::*;

    each_subject!(client_in_a_tls_handshake_without_an_answer_disconnects_at_once; not for component_p3);
}

/// How long a test may take: it fails then, and does not hang.
const PATIENCE: Duration = Duration::from_secs(90);

/// What ends before this has not hung.
const PROMPT: Duration = Duration::from_secs(60);

/// A timeout that no test waits for.
const LONG: Duration = Duration::from_secs(300);

const NORMAL: ReasonCode = ReasonCode::NORMAL_DISCONNECTION;
const QOS_1: QoS = QoS::AtLeastOnce;

// A runtime that is gone.

#[test]
fn client_whose_runtime_is_gone_has_stopped_for_every_call() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        grant(&mut peer, "before");
        peer.stay_silent();
    });
    let gone = runtime();
    let client = gone.block_on(within(connect(&broker.url())));
    let mut listener = gone.block_on(within(client.listen(Subscription::new("before", QOS_1)))).unwrap();
    single_threaded().block_on(within(async {
        let message = Publish::new("a", "").qos(QOS_1);
        let subscription = Subscription::new("a", QOS_1);
        let subscriptions = [subscription];
        {
            let mut publish = pin!(client.publish(&message));
            let mut subscribe = pin!(client.subscribe(&subscriptions));
            let mut unsubscribe = pin!(client.unsubscribe(&["a"]));
            let mut listen = pin!(client.listen(subscription));
            let mut request = pin!(client.request(&message, LONG));
            let mut event = pin!(client.next_event());
            let mut received = pin!(listener.receive());
            assert!(publish.as_mut().now_or_never().is_none());
            assert!(subscribe.as_mut().now_or_never().is_none());
            assert!(unsubscribe.as_mut().now_or_never().is_none());
            assert!(listen.as_mut().now_or_never().is_none());
            assert!(request.as_mut().now_or_never().is_none());
            assert!(event.as_mut().now_or_never().is_none());
            assert!(received.as_mut().now_or_never().is_none());

            // It may not be dropped where tasks of another run.
            thread::spawn(|| drop(gone)).join().unwrap();
            assert_eq!(publish.await, Err(Error::Stopped));
            assert_eq!(subscribe.await, Err(Error::Stopped));
            assert_eq!(unsubscribe.await, Err(Error::Stopped));
            assert_eq!(listen.await.map(drop), Err(Error::Stopped));
            assert_eq!(request.await, Err(Error::Stopped));
            assert_eq!(event.await, Err(Error::Stopped));
            assert_eq!(received.await, Err(Error::Stopped));
        }
        let at_most_once = Publish::new("a", "");
        assert_eq!(client.publish(&message).await, Err(Error::Stopped));
        assert_eq!(client.publish(&at_most_once).await, Err(Error::Stopped));
        assert_eq!(client.publish_all([message, at_most_once]).await, [Err(Error::Stopped), Err(Error::Stopped)]);
        assert_eq!(client.enqueue(&message).await, Err(Error::Stopped));
        assert_eq!(client.try_enqueue(&message), Err(Error::Stopped));
        assert_eq!(client.flush().await, Err(Error::Stopped));
        assert_eq!(client.subscribe(&subscriptions).await, Err(Error::Stopped));
        assert_eq!(client.unsubscribe(&["a"]).await, Err(Error::Stopped));
        assert_eq!(client.listen(subscription).await.map(drop), Err(Error::Stopped));
        assert_eq!(client.messages().receive().await, Err(Error::Stopped));
        assert_eq!(client.request(&message, LONG).await, Err(Error::Stopped));
        assert_eq!(client.requests(subscription).await.map(drop), Err(Error::Stopped));
        let served = client.serve(subscription, async |_: &Message| Ok::<_, Error>("")).await;
        assert_eq!(served, Err(Error::Stopped));
        assert_eq!(client.next_event().await, Err(Error::Stopped));
        assert_eq!(client.authenticate_again().await, Err(Error::Stopped));
        assert_eq!(client.reconnect().await, Err(Error::Stopped));
        assert_eq!(listener.receive().await, Err(Error::Stopped));
        assert!(!client.is_connected());
        // There is nothing to disconnect, as whoever disconnects wants it.
        assert_eq!(client.disconnect().await, Ok(()));
    }));
    broker.finish();
}

// Timeouts without an end.

#[test]
fn answers_come_to_async_calls_whose_time_never_ends() {
    let broker = Scripted::start(answer_one_of_each);
    single_threaded().block_on(within(async {
        let client = connect_with(&broker.url(), endless()).await;
        let mut messages = client.messages();
        assert_eq!(client.publish(&Publish::new("published", "").qos(QOS_1)).await, Ok(ReasonCode::Success));
        let reply = client.request(&Publish::new("asked", "?"), Duration::MAX).await.unwrap();
        assert_eq!(reply.payload, b"!");
        assert_eq!(messages.receive().await.unwrap().topic, "news");
        assert_eq!(client.next_event().await, Ok(Event::Disconnected(Error::ConnectionClosed)));
    }));
    broker.finish();
}

#[test]
fn answers_come_to_blocking_calls_whose_time_never_ends() {
    let broker = Scripted::start(answer_one_of_each);
    let url = broker.url();
    in_time(move || {
        let mut client = Client::connect(&url, endless()).unwrap();
        assert_eq!(client.publish(&Publish::new("published", "").qos(QOS_1)), Ok(ReasonCode::Success));
        let pending = client.start_request(&Publish::new("asked", "?"), Duration::MAX).unwrap();
        let reply = client.poll_reply(&pending, Duration::MAX).unwrap();
        assert_eq!(reply.map(|reply| reply.payload), Some(b"!".to_vec()));
        let news = client.receive_timeout(Duration::MAX).unwrap();
        assert_eq!(news.map(|news| news.topic), Some("news".into()));
        let event = client.next_event(Duration::MAX);
        assert_eq!(event, Ok(Some(Event::Disconnected(Error::ConnectionClosed))));
    });
    broker.finish();
}

fn endless() -> Options {
    Options::new().response_topic("replies").connect_timeout(Duration::MAX).response_timeout(Duration::MAX)
}

fn answer_one_of_each(broker: &Broker) {
    let mut peer = broker.accept_client();
    let id = expect_message(&mut peer, "published");
    peer.send(&[puback(id)]);
    grant(&mut peer, "replies");
    reply_to(&mut peer, "asked", b"!");
    peer.send(&[publish("news", b"")]);
}

// A broker that closes at each SUBSCRIBE.

fn subscribing_to_a_broker_that_closes_at_each_subscribe_ends_in_time_and_backs_off<S: Subject>() {
    undisturbed(|| {
        let connections = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&connections);
        let broker = Scripted::start(move |broker| {
            // Until one comes that says nothing.
            while let Some(mut peer) = accept_if_it_speaks(broker) {
                counter.fetch_add(1, Relaxed);
                peer.send(&[connack(ConnackProperties::default())]);
                if let Some(received) = peer.next_packet() {
                    assert_eq!(received.packet().packet_type(), PacketType::Subscribe);
                }
            }
        });
        let settings = Settings {
            response_timeout: Some(Duration::from_secs(2)),
            reconnect: Some((Duration::from_millis(100), Duration::from_secs(60))),
            ..Settings::default()
        };
        let mut client = S::connect(&broker.url(), &settings).unwrap();
        let start = Instant::now();
        let failure = client.subscribe_as(&[Subscription::new("a", QOS_1)], None).unwrap_err();
        assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
        assert_eq!(failure.kind, ErrorKind::Timeout);
        // The delays double, and are random: without them there would be thousands.
        let connections = connections.load(Relaxed);
        assert!((2..=25).contains(&connections), "{connections} connections");
        drop(client);
        drop(TcpStream::connect(broker.address()));
        broker.finish();
    });
}

// Calls at the same time.

#[test]
fn reconnecting_while_disconnecting_ends_both_and_is_connected() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.expect(disconnect(NORMAL));
        peer.expect_end();
        broker.accept_client().serve();
    });
    single_threaded().block_on(within(async {
        let client = connect(&broker.url()).await;
        let (disconnected, reconnected) = tokio::join!(client.disconnect(), client.reconnect());
        assert_eq!((disconnected, reconnected), (Ok(()), Ok(false)));
        assert_eq!(client.publish(&Publish::new("afterwards", "").qos(QOS_1)).await, Ok(ReasonCode::Success));
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

#[test]
fn disconnecting_while_reconnecting_ends_both() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.expect(disconnect(NORMAL));
        peer.expect_end();
    });
    single_threaded().block_on(within(async {
        let client = connect(&broker.url()).await;
        let (reconnected, disconnected) = tokio::join!(client.reconnect(), client.disconnect());
        assert_eq!(disconnected, Ok(()));
        assert!(reconnected.is_err(), "{reconnected:?}");
        assert!(!client.is_connected());
    }));
    broker.finish();
}

#[test]
fn reconnecting_while_the_last_bytes_of_a_connection_do_not_leave_ends_both() {
    let (stop, is_stopped) = mpsc::channel();
    let broker = Scripted::start(move |broker| {
        let unread = broker.accept_client();
        let next = broker.accept_client();
        is_stopped.recv().unwrap();
        drop(unread);
        next.stay_silent();
    });
    // It lives on, since its own end would end everything.
    let runtime = single_threaded();
    runtime.block_on(within(async {
        let client = connect_with(&broker.url(), Options::new().response_timeout(Duration::from_millis(500))).await;
        let payload = vec![0; 256 * 1024];
        // Until nothing more leaves.
        while client.publish(&Publish::new("a", &payload)).await != Err(Error::Timeout) {}
        let (disconnected, reconnected) = tokio::join!(client.disconnect(), client.reconnect());
        assert_eq!((disconnected, reconnected), (Err(Error::Timeout), Ok(false)));
        assert!(client.is_connected());
    }));
    stop.send(()).unwrap();
    drop(runtime);
    broker.finish();
}

// A TLS handshake that the other end does not answer.

fn client_in_a_tls_handshake_without_an_answer_disconnects_at_once<S: Subject>() {
    let silent = Silent::start();
    let mut client = in_handshake::<S>(&silent);
    let start = Instant::now();
    client.disconnect().unwrap();
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
    silent.finish();
    drop(client);
}

fn client_in_a_tls_handshake_without_an_answer_is_dropped_at_once<S: Subject>() {
    let silent = Silent::start();
    let client = in_handshake::<S>(&silent);
    let start = Instant::now();
    drop(client);
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
    silent.finish();
}

#[test]
fn connecting_that_is_dropped_in_a_tls_handshake_without_an_answer_ends_it() {
    let silent = Silent::start();
    // It lives on, since its own end would end everything.
    let runtime = runtime();
    runtime.block_on(within(async {
        let (url, options) = (silent.url(), Options::new().connect_timeout(LONG));
        {
            let mut connecting = pin!(AsyncClient::connect(&url, options));
            while silent.hello.try_recv().is_err() {
                assert!(connecting.as_mut().now_or_never().is_none());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }));
    silent.finish();
}

/// A client that was connected, and is in a handshake with its other broker now.
fn in_handshake<S: Subject>(silent: &Silent) -> S {
    let broker = Scripted::start(|broker| drop(broker.accept_client()));
    let tls = TlsSettings { ca_pem: Authority::new().pem().into(), ..TlsSettings::default() };
    let settings = Settings {
        tls: Some(tls),
        fallbacks: vec![silent.url()],
        reconnect: Some((Duration::from_millis(20), Duration::from_millis(100))),
        connect_timeout: Some(LONG),
        ..Settings::default()
    };
    let mut client = S::connect(&broker.url(), &settings).unwrap();
    broker.finish();
    let start = Instant::now();
    while silent.hello.try_recv().is_err() {
        assert_eq!(client.receive(Duration::from_millis(20)), Ok(None));
        assert!(start.elapsed() < PROMPT, "no handshake begins");
    }
    client
}

/// Takes a connection, and says nothing to it until it ends.
struct Silent {
    address: SocketAddr,
    /// Something came.
    hello: mpsc::Receiver<()>,
    is_over: mpsc::Receiver<()>,
}

impl Silent {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (said_hello, hello) = mpsc::channel();
        let (over, is_over) = mpsc::channel();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 4096];
            while let Ok(1..) = stream.read(&mut bytes) {
                // Nobody may be left who asks.
                let _ = said_hello.send(());
            }
            let _ = over.send(());
        });
        Self { address, hello, is_over }
    }

    fn url(&self) -> String {
        tls_url(self.address)
    }

    /// Waits for the connection's end.
    fn finish(self) {
        self.is_over.recv_timeout(PROMPT).expect("the client closes the connection");
    }
}

// Brokers that are gone, and addresses that do not answer.

fn reconnecting_by_hand_while_connected_tries_the_fallbacks<S: Subject>() {
    let (keep, kept) = mpsc::channel();
    let first = Scripted::start(move |broker| keep.send(broker.accept_client()).unwrap());
    let second = Scripted::start(|broker| broker.accept_client().serve());
    let settings = Settings { fallbacks: vec![url(nowhere()), second.url()], ..Settings::default() };
    let mut client = S::connect(&first.url(), &settings).unwrap();
    let mut peer = kept.recv().unwrap();
    // Nobody listens there any more, but the connection is as it was.
    first.finish();
    assert!(client.is_connected());
    let reading = thread::spawn(move || {
        peer.expect(disconnect(NORMAL));
        peer.expect_end();
    });
    assert_eq!(client.reconnect(), Ok(false));
    reading.join().unwrap();
    assert_eq!(client.publish(&Publish::new("a", "").qos(QOS_1)), Ok(ReasonCode::Success));
    client.disconnect().unwrap();
    second.finish();
}

// Who waits for what.

#[test]
fn subscribing_is_not_held_up_by_messages_that_wait_for_the_window() {
    let broker = Scripted::start(|broker| {
        let terms = ConnackProperties { receive_maximum: Some(1), ..ConnackProperties::default() };
        let mut peer = broker.accept_client_with(terms);
        expect_message(&mut peer, "first");
        grant(&mut peer, "a");
        peer.send(&[publish("a", b"")]);
        peer.expect(disconnect(NORMAL));
        peer.expect_end();
    });
    single_threaded().block_on(within(async {
        let client = connect(&broker.url()).await;
        let mut messages = client.messages();
        let [first, second, third] = ["first", "second", "third"].map(|topic| Publish::new(topic, "").qos(QOS_1));
        let mut first = pin!(client.publish(&first));
        let mut second = pin!(client.publish(&second));
        let mut third = pin!(client.publish(&third));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        assert_eq!(client.subscribe(&[Subscription::new("a", QOS_1)]).await, Ok(vec![QOS_1]));
        assert_eq!(messages.receive().await.unwrap().topic, "a");
        assert!(first.now_or_never().is_none());
        assert!(second.now_or_never().is_none());
        assert!(third.now_or_never().is_none());
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

#[test]
fn request_that_ran_out_of_time_or_was_dropped_lets_the_next_in() {
    undisturbed(|| {
        let (asked, was_asked) = oneshot::channel();
        let broker = Scripted::start(move |broker| {
            let mut peer = broker.accept_client();
            grant(&mut peer, "replies");
            expect_request(&mut peer, "unanswered");
            reply_to(&mut peer, "behind the timeout", b"1");
            expect_request(&mut peer, "given up");
            asked.send(()).unwrap();
            reply_to(&mut peer, "behind the drop", b"2");
            peer.serve();
        });
        single_threaded().block_on(within(async {
            let options = Options::new().response_topic("replies").pending_request_limit(1);
            let client = connect_with(&broker.url(), options).await;
            let unanswered = Publish::new("unanswered", "?");
            let next = Publish::new("behind the timeout", "?");
            let brief = Duration::from_secs(1);
            let (unanswered, reply) = tokio::join!(client.request(&unanswered, brief), client.request(&next, SOON));
            assert_eq!(unanswered, Err(Error::Timeout));
            assert_eq!(reply.unwrap().payload, b"1");

            let given_up = Publish::new("given up", "?");
            let next = Publish::new("behind the drop", "?");
            let mut given_up = Box::pin(client.request(&given_up, LONG));
            assert!(given_up.as_mut().now_or_never().is_none());
            let mut next = pin!(client.request(&next, SOON));
            assert!(next.as_mut().now_or_never().is_none());
            was_asked.await.unwrap();
            assert_eq!(client.stats().pending_requests, 1);
            drop(given_up);
            assert_eq!(next.await.unwrap().payload, b"2");
            assert_eq!(client.stats().pending_requests, 0);
            client.disconnect().await.unwrap();
        }));
        broker.finish();
    });
}

// Replies that the broker does not take.

const MAXIMUM: u32 = 100;

#[test]
fn serving_goes_on_after_a_reply_that_the_broker_does_not_take() {
    let broker = Scripted::start(ask_twice);
    let url = broker.url();
    in_time(move || {
        let mut client = Client::connect(&url, Options::new()).unwrap();
        let served = client.serve(Subscription::new("asked", QOS_1), answer);
        assert_eq!(served, Err(Error::ConnectionClosed));
        assert_eq!((client.responder_stats().replied, client.responder_stats().failed), (1, 1));
        assert_reply_dropped(client.next_event(Duration::ZERO).unwrap());
    });
    broker.finish();
}

#[test]
fn async_serving_goes_on_after_a_reply_that_the_broker_does_not_take() {
    let broker = Scripted::start(ask_twice);
    single_threaded().block_on(within(async {
        let client = connect(&broker.url()).await;
        let served = client.serve(Subscription::new("asked", QOS_1), async |request: &Message| answer(request)).await;
        assert_eq!(served, Err(Error::ConnectionClosed));
        assert_reply_dropped(client.next_event().await.ok());
    }));
    broker.finish();
}

fn reply_larger_than_the_broker_takes_is_told_and_the_next_request_answered<S: Subject>() {
    let broker = Scripted::start(ask_twice);
    let mut client = S::connect(&broker.url(), &Settings::default()).unwrap();
    client.subscribe("asked", QOS_1);
    let mut answer = |request: &Message| answer(request).map(Vec::from);
    let failure = client.answer_next(SOON, &mut answer).unwrap_err();
    assert_eq!(failure.kind, ErrorKind::PacketTooLarge);
    assert_eq!(client.answer_next(SOON, &mut answer), Ok(true));
    assert_eq!(client.next_event(SOON), Ok(Some(Happening::ReplyDropped("replies".into()))));
    broker.finish();
}

fn answer(request: &Message) -> Result<String, String> {
    let size = if request.payload == b"much" { MAXIMUM as usize } else { 1 };
    Ok("!".repeat(size))
}

fn assert_reply_dropped(event: Option<Event>) {
    let is_told = matches!(&event, Some(Event::ReplyDropped { response_topic, .. }) if response_topic == "replies");
    assert!(is_told, "{event:?}");
}

/// Asks for more than it takes, and for something that it takes; then it is gone.
fn ask_twice(broker: &Broker) {
    let terms = ConnackProperties { maximum_packet_size: Some(MAXIMUM), ..ConnackProperties::default() };
    let mut peer = broker.accept_client_with(terms);
    grant(&mut peer, "asked");
    peer.send(&[ask(1, b"much"), ask(2, b"little")]);
    let (mut acknowledged, mut replies) = (Vec::new(), Vec::new());
    while acknowledged.len() < 2 || replies.is_empty() {
        let received = peer.next_packet().expect("replies and acknowledgements");
        match received.packet() {
            Packet::Puback(ack) => acknowledged.push(ack.packet_id.get()),
            Packet::Publish(reply) => {
                replies.push((reply.topic.to_owned(), reply.payload.to_vec()));
                peer.send(&[puback(reply.packet_id.expect("QoS 1").get())]);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((acknowledged, replies), (vec![1, 2], vec![("replies".into(), b"!".to_vec())]));
}

fn ask(packet_id: u16, payload: &[u8]) -> Packet<'_> {
    let properties = PublishProperties {
        response_topic: Some("replies"),
        correlation_data: Some(payload),
        ..PublishProperties::default()
    };
    let publish = Publish::new("asked", payload).qos(QOS_1).properties(properties);
    Packet::Publish(Publish { packet_id: PacketId::new(packet_id), ..publish })
}

// Listeners that are dropped.

#[test]
fn subscription_of_the_clients_own_stays_when_its_listener_is_dropped() {
    each_broker(|broker| {
        single_threaded().block_on(within(async {
            let client = connect(&url(broker)).await;
            let mut messages = client.messages();
            client.subscribe(&[Subscription::new("a", QOS_1)]).await.unwrap();
            let listener = client.listen(Subscription::new("a", QOS_1)).await.unwrap();
            drop(listener);
            for payload in ["1", "2"] {
                client.publish(&Publish::new("a", payload).qos(QOS_1)).await.unwrap();
                assert_eq!(messages.receive().await.unwrap().payload, payload.as_bytes());
            }
            client.disconnect().await.unwrap();
        }));
    });
}

#[test]
fn listener_that_is_dropped_while_disconnected_is_unsubscribed_and_not_restored() {
    for session_present in [true, false] {
        let broker = Scripted::start(move |broker| {
            let mut peer = broker.accept_client();
            grant(&mut peer, "dropped");
            grant(&mut peer, "kept");
            drop(peer);
            let mut peer = broker.accept();
            peer.expect_type(PacketType::Connect);
            peer.send(&[Packet::Connack(Connack { session_present, ..Connack::default() })]);
            if session_present {
                end_subscription(&mut peer, "dropped");
            } else {
                grant(&mut peer, "kept");
            }
            peer.send(&[publish("kept", b"")]);
            peer.serve();
        });
        single_threaded().block_on(within(async {
            let options = Options::new().client_id("c").session_expiry_interval(3600);
            let client = connect_with(&broker.url(), options).await;
            let dropped = client.listen(Subscription::new("dropped", QOS_1)).await.unwrap();
            let mut kept = client.listen(Subscription::new("kept", QOS_1)).await.unwrap();
            assert!(matches!(client.next_event().await, Ok(Event::Disconnected(_))));
            drop(dropped);
            assert_eq!(client.reconnect().await, Ok(session_present));
            assert_eq!(kept.receive().await.unwrap().topic, "kept");
            // Nothing else comes before this, or the broker would not take it.
            assert_eq!(client.publish(&Publish::new("a", "").qos(QOS_1)).await, Ok(ReasonCode::Success));
            client.disconnect().await.unwrap();
        }));
        broker.finish();
    }
}

#[test]
fn calls_work_again_once_the_listener_that_they_were_behind_is_dropped() {
    const FLOOD: usize = 200;
    let payload = [7; 4096];
    let broker = Scripted::start(move |broker| {
        let mut peer = broker.accept_client();
        grant(&mut peer, "flood");
        let id = expect_message(&mut peer, "behind");
        for _ in 0..FLOOD {
            peer.send(&[publish("flood", &payload)]);
        }
        peer.send(&[puback(id)]);
        end_subscription(&mut peer, "flood");
        let id = expect_message(&mut peer, "afterwards");
        peer.send(&[puback(id)]);
        grant(&mut peer, "another");
        peer.serve();
    });
    single_threaded().block_on(within(async {
        let client = connect_with(&broker.url(), Options::new().backlog_limit(16 * 1024)).await;
        let slow = client.listen_with(Subscription::new("flood", QOS_1), Overflow::Wait(1)).await.unwrap();
        let behind = client.publish(&Publish::new("behind", "").qos(QOS_1)).await;
        assert_eq!(behind, Err(Error::AnswerBehindMessages));
        drop(slow);
        assert_eq!(client.publish(&Publish::new("afterwards", "").qos(QOS_1)).await, Ok(ReasonCode::Success));
        assert_eq!(client.subscribe(&[Subscription::new("another", QOS_1)]).await, Ok(vec![QOS_1]));
        assert_eq!(client.stats().in_flight, 0);
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

// A call that is polled late.

#[test]
fn answer_that_came_in_time_is_told_however_late_it_is_asked_for() {
    undisturbed(|| {
        let broker = Scripted::start(|broker| broker.accept_client().serve());
        let timeout = Duration::from_secs(1);
        // The client's task runs on a thread of the runtime, and the call is polled by this one.
        let runtime = runtime();
        let client = runtime.block_on(within(connect_with(&broker.url(), Options::new().response_timeout(timeout))));
        let message = Publish::new("a", "").qos(QOS_1);
        let start = Instant::now();
        let mut publish = pin!(client.publish(&message));
        assert!(publish.as_mut().now_or_never().is_none());
        while client.stats().in_flight > 0 || client.stats().packets_received < 2 {
            assert!(start.elapsed() < PROMPT, "no answer comes");
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep((2 * timeout).saturating_sub(start.elapsed()));
        assert_eq!(publish.now_or_never(), Some(Ok(ReasonCode::Success)));
        runtime.block_on(within(client.disconnect())).unwrap();
        broker.finish();
    });
}

// Resets.

fn reset_is_not_taken_for_a_plain_end<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        expect_message(&mut peer, "sent");
        peer.reset();
    });
    let mut client = S::connect(&broker.url(), &Settings::default()).unwrap();
    let failure = client.publish(&Publish::new("sent", "").qos(QOS_1)).unwrap_err();
    assert_eq!(failure.kind, ErrorKind::ConnectionReset, "{failure:?}");
    assert_eq!(client.receive(SOON).unwrap_err(), failure);
    broker.finish();
}

fn reset_in_the_turn_that_sends_is_not_taken_for_a_plain_end<S: Subject>() {
    // Whether it comes before, between or behind the writes is left to chance.
    for round in 0..20 {
        let broker = Scripted::start(|broker| {
            let mut peer = broker.accept_client();
            peer.expect(publish("a", b""));
            peer.reset();
        });
        let mut client = S::connect(&broker.url(), &Settings::default()).unwrap();
        let failure = loop {
            if let Err(failure) = client.publish(&Publish::new("a", "")) {
                break failure;
            }
        };
        assert_eq!(failure.kind, ErrorKind::ConnectionReset, "round {round}: {failure:?}");
        assert_eq!(client.receive(SOON).unwrap_err(), failure);
        broker.finish();
    }
}

// Code of the caller's, within its calls.

#[test]
fn what_makes_messages_may_ask_the_client_itself() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        for _ in 0..2 {
            let id = expect_message(&mut peer, "a");
            peer.send(&[puback(id)]);
        }
        peer.stay_silent();
    });
    let url = broker.url();
    let results = in_time(move || {
        single_threaded().block_on(async {
            let client = connect(&url).await;
            let asked = client.clone();
            let payloads = ["1", "2"].into_iter().take_while(|_| asked.is_connected());
            client.publish_all(payloads.map(|payload| Publish::new("a", payload).qos(QOS_1))).await
        })
    });
    assert_eq!(results, [Ok(ReasonCode::Success), Ok(ReasonCode::Success)]);
    broker.finish();
}

#[test]
fn panic_of_what_makes_messages_leaves_nothing_in_the_way_of_later_calls() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        // Until then nothing is read, and there is no room.
        thread::sleep(Duration::from_secs(1));
        while let Some(packet) = peer.next_packet() {
            if let Packet::Publish(Publish { packet_id: Some(id), .. }) = packet.packet() {
                peer.send(&[puback(id.get())]);
            }
        }
    });
    let url = broker.url();
    let published = in_time(move || {
        let large = vec![0; 60_000];
        let mut client = Client::connect(&url, Options::new().response_timeout(Duration::MAX)).unwrap();
        let messages = (0..400).map(|number| {
            if number == 399 {
                panic_quietly();
            }
            Publish::new("a", &large)
        });
        let panic = catch_unwind(AssertUnwindSafe(|| client.publish_all(messages)));
        assert!(panic.is_err(), "{panic:?}");
        client.publish(&Publish::new("a", "afterwards").qos(QOS_1))
    });
    assert_eq!(published, Ok(ReasonCode::Success));
    broker.finish();
}

#[test]
fn waker_that_owns_a_client_may_be_replaced() {
    struct Owner(Mutex<Option<AsyncClient>>);

    impl Wake for Owner {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Owner {
        fn drop(&mut self) {
            assert!(self.0.get_mut().unwrap().take().is_some_and(|client| client.is_connected()));
        }
    }

    let broker = Scripted::start(|broker| broker.accept_client().stay_silent());
    let url = broker.url();
    in_time(move || {
        single_threaded().block_on(async {
            let client = connect(&url).await;
            let mut messages = client.messages();
            let message = Publish::new("a", "").qos(QOS_1);
            for waker in [Some(Waker::from(Arc::new(Owner(Mutex::new(Some(client.clone())))))), None] {
                let waker = waker.unwrap_or_else(|| Waker::noop().clone());
                let mut context = Context::from_waker(&waker);
                assert!(pin!(messages.receive()).poll(&mut context).is_pending());
                // It is dropped with the future.
                assert!(pin!(client.publish(&message)).poll(&mut context).is_pending());
            }
        });
    });
    broker.finish();
}

#[test]
fn looking_for_a_message_takes_nobodys_place() {
    struct Bell(AtomicU32);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    let (send, is_to_send) = mpsc::channel::<()>();
    let broker = Scripted::start(move |broker| {
        let mut peer = broker.accept_client();
        is_to_send.recv().unwrap();
        peer.send(&[publish("a", b"1")]);
        peer.stay_silent();
    });
    single_threaded().block_on(within(async {
        let client = connect(&broker.url()).await;
        let mut messages = client.messages();
        let bell = Arc::new(Bell(AtomicU32::new(0)));
        let waker = Waker::from(Arc::clone(&bell));
        assert!(Pin::new(&mut messages).poll_next(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(messages.try_receive(), None);
        send.send(()).unwrap();
        while bell.0.load(Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(messages.try_receive().is_some());
    }));
    broker.finish();
}

#[test]
fn end_is_told_to_whoever_asks_for_events_without_waiting() {
    let broker = Scripted::start(|broker| drop(broker.accept_client()));
    let mut client = Client::connect(&broker.url(), Options::new()).unwrap();
    assert_eq!(client.receive(), Err(Error::ConnectionClosed));
    assert_eq!(client.next_event(Duration::ZERO), Ok(Some(Event::Disconnected(Error::ConnectionClosed))));
    assert_eq!(client.next_event(Duration::ZERO), Err(Error::ConnectionClosed));
    broker.finish();
}

// Futures that are dropped again and again.

#[test]
fn futures_that_are_dropped_in_each_turn_leave_nothing_behind() {
    const WARM: usize = 1_000;
    const TURNS: usize = 100_000;
    /// What queues that have grown once may keep.
    const SOME: isize = 16 * 1024;
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        grant(&mut peer, "a");
        peer.stay_silent();
    });
    // Everything of the client is on this thread.
    single_threaded().block_on(async {
        let client = within(connect(&broker.url())).await;
        let mut everything = client.messages();
        let mut listener = within(client.listen(Subscription::new("a", QOS_1))).await.unwrap();
        turn(&client, &mut everything, &mut listener, WARM).await;
        let before = LIVE.get();
        turn(&client, &mut everything, &mut listener, TURNS).await;
        let grown = LIVE.get() - before;
        assert!(grown <= SOME, "{grown} bytes more");
        drop((everything, listener));
        within(client.disconnect()).await.unwrap();
    });
    broker.finish();
}

/// So many turns of a loop that waits for several things, and goes on with another one each time.
async fn turn(client: &AsyncClient, everything: &mut AsyncMessages, listener: &mut AsyncMessages, turns: usize) {
    for _ in 0..turns {
        tokio::select! {
            biased;
            event = client.next_event() => panic!("{event:?}"),
            message = everything.next() => panic!("{message:?}"),
            message = listener.receive() => panic!("{message:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
}

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Counts what each thread has allocated.
struct Counting;

impl Counting {
    fn count(by: isize) {
        // No thread that ends is of interest.
        let _ = LIVE.try_with(|live| live.set(live.get() + by));
    }
}

// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size() as isize);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count(size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

// What they all use.

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// A runtime in which nothing happens but while the test waits.
fn single_threaded() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Waits for it, but not for ever.
async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("an end in time")
}

/// Does it on another thread, and waits for that, but not for ever.
fn in_time<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, is_done) = mpsc::channel();
    let thread = thread::spawn(move || done.send(work()));
    match is_done.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("no end in time"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => resume_unwind(panic),
            Ok(_) => unreachable!("it says what came of it"),
        },
    }
}

async fn connect(url: &str) -> AsyncClient {
    connect_with(url, Options::new()).await
}

async fn connect_with(url: &str, options: Options) -> AsyncClient {
    AsyncClient::connect(url, options).await.expect("a connection")
}

/// Connects again within milliseconds.
fn at_once() -> Reconnect {
    let (first_delay, longest_delay) = (Duration::from_millis(10), Duration::from_millis(50));
    Reconnect { first_delay, longest_delay, ..Reconnect::default() }
}

/// The next connection, after its CONNECT; `None` if it ends without one.
fn accept_if_it_speaks(broker: &Broker) -> Option<Peer> {
    let mut peer = broker.accept();
    let received = peer.next_packet()?;
    assert_eq!(received.packet().packet_type(), PacketType::Connect);
    Some(peer)
}

/// Takes a subscription to this filter, and grants it.
fn grant(peer: &mut Peer, filter: &str) {
    let received = peer.expect_type(PacketType::Subscribe);
    let Packet::Subscribe(subscribe) = received.packet() else { unreachable!() };
    let filters: Vec<_> = subscribe.subscriptions.iter().map(|subscription| subscription.filter).collect();
    assert_eq!(filters, [filter]);
    peer.send(&[suback(subscribe.packet_id.get(), &[ReasonCode::GrantedQos1])]);
}

/// Takes the end of a subscription to this filter.
fn end_subscription(peer: &mut Peer, filter: &str) {
    let received = peer.expect_type(PacketType::Unsubscribe);
    let Packet::Unsubscribe(unsubscribe) = received.packet() else { unreachable!() };
    assert_eq!(unsubscribe.filters.iter().collect::<Vec<_>>(), [filter]);
    peer.send(&[unsuback(unsubscribe.packet_id.get(), &[ReasonCode::Success])]);
}

/// Takes a message at QoS 1 to this topic; returns its Packet Identifier.
fn expect_message(peer: &mut Peer, topic: &str) -> u16 {
    let received = peer.expect_type(PacketType::Publish);
    let Packet::Publish(message) = received.packet() else { unreachable!() };
    assert_eq!(message.topic, topic);
    message.packet_id.expect("a message at QoS 1").get()
}

/// Takes a request at QoS 0 to this topic; returns its Correlation Data.
fn expect_request(peer: &mut Peer, topic: &str) -> Vec<u8> {
    let received = peer.expect_type(PacketType::Publish);
    let Packet::Publish(request) = received.packet() else { unreachable!() };
    assert_eq!((request.topic, request.properties.response_topic), (topic, Some("replies")));
    request.properties.correlation_data.expect("Correlation Data").to_vec()
}

/// Takes a request at QoS 0 to this topic, and answers it.
fn reply_to(peer: &mut Peer, topic: &str, payload: &[u8]) {
    let correlation = expect_request(peer, topic);
    let properties = PublishProperties { correlation_data: Some(&correlation), ..PublishProperties::default() };
    peer.send(&[Packet::Publish(Publish::new("replies", payload).properties(properties))]);
}
