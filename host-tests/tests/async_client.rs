//! What the async client has beyond the other forms: many tasks at one connection, calls that are dropped before they
//! are over, listeners of their own filters, and hardly any work while nothing happens.

use std::fmt::Debug;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use host_tests::broker::{each_broker, url};
use host_tests::packets::{self, connack, disconnect, puback, publish, publish_qos1, suback, unsuback};
use host_tests::scripted::{Peer, Scripted};
use host_tests::subject::SOON;
use host_tests::timing::undisturbed;
use mqtt_wasi::codec::{ConnackProperties, Packet, PacketId, PacketType, PublishProperties};
use mqtt_wasi::{
    AsyncClient, AsyncMessages, CallError, Error, Event, Message, Options, Overflow, Publish, QoS, ReasonCode,
    Reconnect, Subscription,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local, yield_now};

/// How long a test may take: it fails then, and does not hang.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long clients that are watched in real time do nothing.
const IDLE: Duration = Duration::from_secs(3);

// Many tasks at one connection.

const TASKS: usize = 8;
const MESSAGES: u32 = 100;

#[test]
fn client_goes_to_any_thread_with_all_its_futures() {
    fn assert_shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn assert_send<T: Send>(_: T) {}
    let broker = Scripted::start(|broker| broker.accept_client().serve());
    runtime().block_on(within(async {
        assert_send(AsyncClient::connect("mqtt://localhost", Options::new()));
        let client = connect(&broker.url()).await;
        assert_shared(&client);
        let (message, subscription) = (Publish::new("a", "b"), Subscription::new("a", QoS::AtLeastOnce));
        assert_send(client.publish(&message));
        assert_send(client.publish_with_reason(&message));
        assert_send(client.enqueue(&message));
        assert_send(client.flush());
        assert_send(client.subscribe(&[subscription]));
        assert_send(client.unsubscribe(&["a"]));
        assert_send(client.listen(subscription));
        assert_send(client.request(&message, SOON));
        assert_send(client.requests(subscription));
        assert_send(client.serve(subscription, async |_: &Message| Ok::<_, Error>("")));
        assert_send(client.next_event());
        assert_send(client.authenticate_again());
        assert_send(client.reconnect());
        assert_send(client.disconnect());
        let mut messages = client.messages();
        assert_send(messages.receive());
        assert_send(messages.receive_unacknowledged());
        assert_send(messages);
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

#[test]
fn tasks_of_many_threads_share_a_connection_and_lose_nothing() {
    each_broker(|broker| {
        runtime().block_on(within(async {
            let client = connect(&url(broker)).await;
            let mut messages = client.messages();
            client.subscribe(&[Subscription::new("tasks/+", QoS::AtLeastOnce)]).await.unwrap();
            let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(publish_numbers(client.clone(), task))).collect();
            expect_numbers(&mut messages).await;
            for task in tasks {
                task.await.unwrap();
            }
            client.disconnect().await.unwrap();
        }));
    });
}

#[test]
fn tasks_of_a_single_thread_share_a_connection_and_lose_nothing() {
    each_broker(|broker| {
        let test = within(async {
            // What must stay on its thread may use it, too.
            let client = Rc::new(connect(&url(broker)).await);
            let mut messages = client.messages();
            client.subscribe(&[Subscription::new("tasks/+", QoS::AtLeastOnce)]).await.unwrap();
            let publish_all = |task| {
                let client = Rc::clone(&client);
                spawn_local(async move { publish_numbers(AsyncClient::clone(&client), task).await })
            };
            let publishing = join_all((0..TASKS).map(publish_all));
            let (published, ()) = tokio::join!(publishing, expect_numbers(&mut messages));
            assert!(published.iter().all(Result::is_ok), "{published:?}");
            client.disconnect().await.unwrap();
        });
        LocalSet::new().block_on(&single_threaded(), test);
    });
}

async fn publish_numbers(client: AsyncClient, task: usize) {
    let topic = format!("tasks/{task}");
    for number in 0..MESSAGES {
        let payload = number.to_be_bytes();
        let published = client.publish(&Publish::new(&topic, &payload).qos(QoS::AtLeastOnce)).await;
        assert_eq!(published, Ok(ReasonCode::Success));
    }
}

/// All messages of all tasks, those of each in its order.
async fn expect_numbers(messages: &mut AsyncMessages) {
    let mut next = [0; TASKS];
    while next != [MESSAGES; TASKS] {
        let message = messages.receive().await.unwrap();
        let task: usize = message.topic.strip_prefix("tasks/").unwrap().parse().unwrap();
        assert_eq!(message.payload, u32::to_be_bytes(next[task]), "task {task}");
        next[task] += 1;
    }
}

#[test]
fn what_many_calls_say_at_the_same_time_leaves_in_few_writes() {
    const CALLS: usize = 200;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = url(listener.local_addr().unwrap());
    let reading = thread::spawn(move || read_all(&listener));
    // Of a single thread, so that all of them have spoken before the driver has its turn.
    single_threaded().block_on(within(async {
        let client = connect(&url).await;
        let message = Publish::new("crowd", "hello");
        let published = join_all((0..CALLS).map(|_| client.publish(&message))).await;
        assert!(published.iter().all(Result::is_ok), "{published:?}");
        client.disconnect().await.unwrap();
    }));
    let (bytes, reads) = reading.join().unwrap();
    let expected = packets::bytes(&[publish("crowd", b"hello"); CALLS]);
    assert!(bytes.starts_with(&expected), "{} bytes", bytes.len());
    assert!(reads <= 5, "{reads} reads");
}

/// Takes a client's connection, and returns what it sends behind CONNECT, and how many reads that took.
fn read_all(listener: &TcpListener) -> (Vec<u8>, usize) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut buffer = vec![0; 1024 * 1024];
    let mut bytes = Vec::new();
    while Packet::decode(&bytes).unwrap().is_none() {
        let len = read_some(&mut stream, &mut buffer);
        bytes.extend_from_slice(&buffer[..len]);
    }
    stream.write_all(&packets::bytes(&[connack(ConnackProperties::default())])).unwrap();
    bytes.clear();
    let mut reads = 0;
    loop {
        match read_some(&mut stream, &mut buffer) {
            0 => return (bytes, reads),
            len => bytes.extend_from_slice(&buffer[..len]),
        }
        reads += 1;
    }
}

/// Reads once, but for reads that a stop of the process has interrupted.
fn read_some(stream: &mut TcpStream, buffer: &mut [u8]) -> usize {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read.unwrap(),
        }
    }
}

// Calls that are dropped before they are over.

#[test]
fn dropped_request_waits_no_more_and_its_late_reply_lands_with_nobody() {
    let (asked, was_asked) = oneshot::channel();
    let (give_up, is_given_up) = mpsc::channel();
    let broker = Scripted::start(move |broker| {
        let mut peer = broker.accept_client();
        grant(&mut peer, "replies");
        let received = peer.expect_type(PacketType::Publish);
        let Packet::Publish(request) = received.packet() else { unreachable!() };
        asked.send(()).unwrap();
        is_given_up.recv().unwrap();
        let PublishProperties { response_topic, correlation_data, .. } = request.properties;
        let properties = PublishProperties { correlation_data, ..PublishProperties::default() };
        let reply = Publish::new(response_topic.unwrap(), b"late").properties(properties);
        peer.send(&[Packet::Publish(reply), publish("behind", b"")]);
        peer.serve();
    });
    single_threaded().block_on(within(async {
        let client = connect_with(&broker.url(), Options::new().response_topic("replies")).await;
        let mut messages = client.messages();
        drop_once(was_asked, client.request(&Publish::new("asked", "?"), SOON)).await;
        assert_eq!(client.stats().pending_requests, 0);

        give_up.send(()).unwrap();
        assert_eq!(messages.receive().await.unwrap().topic, "behind");
        let stats = client.stats();
        assert_eq!((stats.late_replies, stats.unmatched_replies, stats.pending_requests), (1, 0, 0));
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

#[test]
fn dropped_publish_that_waits_for_the_window_is_never_sent_and_gives_its_place_to_the_next() {
    let broker = Scripted::start(|broker| {
        let terms = ConnackProperties { receive_maximum: Some(1), ..ConnackProperties::default() };
        let mut peer = broker.accept_client_with(terms);
        for topic in ["first", "third"] {
            let id = expect_message(&mut peer, topic);
            peer.send(&[puback(id)]);
        }
        peer.serve();
    });
    single_threaded().block_on(within(async {
        let client = connect(&broker.url()).await;
        let first = Publish::new("first", "").qos(QoS::AtLeastOnce);
        let second = Publish::new("second", "").qos(QoS::AtLeastOnce);
        let mut first = Box::pin(client.publish(&first));
        assert_eq!((&mut first).now_or_never(), None);
        let mut second = Box::pin(client.publish(&second));
        assert_eq!((&mut second).now_or_never(), None, "the window is full");
        let third = tokio::spawn({
            let client = client.clone();
            async move { client.publish(&Publish::new("third", "").qos(QoS::AtLeastOnce)).await }
        });
        yield_now().await;

        // The second is woken then, which nobody asks any more.
        assert_eq!(first.await, Ok(ReasonCode::Success));
        drop(second);
        assert_eq!(third.await.unwrap(), Ok(ReasonCode::Success));
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

#[test]
fn dropped_publish_that_was_sent_frees_its_packet_identifier_when_it_is_acknowledged() {
    let (sent, was_sent) = oneshot::channel();
    let (drop_it, is_dropped) = mpsc::channel();
    let broker = Scripted::start(move |broker| {
        let mut peer = broker.accept_client();
        let id = expect_message(&mut peer, "sent");
        sent.send(()).unwrap();
        is_dropped.recv().unwrap();
        peer.send(&[puback(id), publish("behind", b"")]);
        peer.serve();
    });
    single_threaded().block_on(within(async {
        let client = connect(&broker.url()).await;
        let mut messages = client.messages();
        let message = Publish::new("sent", "").qos(QoS::AtLeastOnce);
        drop_once(was_sent, client.publish(&message)).await;
        assert_eq!(client.stats().in_flight, 1, "what was sent stays sent");

        drop_it.send(()).unwrap();
        assert_eq!(messages.receive().await.unwrap().topic, "behind");
        assert_eq!(client.stats().in_flight, 0);
        assert_eq!(client.publish(&message).await, Ok(ReasonCode::Success));
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

/// Makes a call, and drops it when that word comes.
async fn drop_once(word: oneshot::Receiver<()>, call: impl Future<Output: Debug>) {
    tokio::select! {
        result = call => panic!("over already: {result:?}"),
        word = word => word.expect("the script's word"),
    }
}

// More than anybody takes.

#[test]
fn handler_that_publishes_for_each_message_waits_for_nobody_in_vain() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        each_broker(|broker| runtime().block_on(within(handle_all(&url(broker), qos))));
    }
}

async fn handle_all(url: &str, qos: QoS) {
    const WORK: u32 = 500;
    let (client, source) = (connect(url).await, connect(url).await);
    let mut messages = client.listen_with(Subscription::new("work", qos), Overflow::Wait(1)).await.unwrap();
    let mut done = source.listen(Subscription::new("done", QoS::AtLeastOnce)).await.unwrap();
    let handler = tokio::spawn({
        let client = client.clone();
        async move {
            for _ in 0..WORK {
                let message = messages.receive().await.unwrap();
                let done = Publish::new("done", &message.payload).qos(QoS::AtLeastOnce);
                assert_eq!(client.publish(&done).await, Ok(ReasonCode::Success));
            }
            assert_eq!(messages.dropped(), 0);
        }
    });
    let payloads: Vec<_> = (0..WORK).map(u32::to_be_bytes).collect();
    let work: Vec<_> = payloads.iter().map(|payload| Publish::new("work", payload).qos(qos)).collect();
    let published = join_all(work.iter().map(|message| source.publish(message))).await;
    assert!(published.iter().all(Result::is_ok), "{published:?}");
    for payload in payloads {
        assert_eq!(done.receive().await.unwrap().payload, payload);
    }
    handler.await.unwrap();
    client.disconnect().await.unwrap();
    source.disconnect().await.unwrap();
}

#[test]
fn listener_that_drops_the_oldest_keeps_the_last() {
    assert_eq!(overflowing(Overflow::DropOldest(2)), (vec![4, 5], 3));
}

#[test]
fn listener_that_drops_the_newest_keeps_the_first() {
    assert_eq!(overflowing(Overflow::DropNewest(2)), (vec![1, 2], 3));
}

/// What a listener has of five messages when all have come, and how many it is told were dropped. All five are
/// acknowledged.
fn overflowing(overflow: Overflow) -> (Vec<u8>, u64) {
    let broker = Scripted::start(|broker| send_numbers(broker.accept_client()).serve());
    let outcome = single_threaded().block_on(within(async {
        let client = connect(&broker.url()).await;
        let mut everything = client.messages();
        let mut numbers = listen(&client, overflow).await;
        for number in 1..=5 {
            assert_eq!(everything.receive().await.unwrap().payload, [number]);
        }
        let dropped = numbers.dropped();
        let kept: Vec<u8> = std::iter::from_fn(|| numbers.try_receive()).map(|message| message.payload[0]).collect();
        client.disconnect().await.unwrap();
        (kept, dropped)
    }));
    broker.finish();
    outcome
}

#[test]
fn listener_that_has_the_broker_wait_loses_nothing() {
    let broker = Scripted::start(|broker| send_numbers(broker.accept_client()).serve());
    single_threaded().block_on(within(async {
        let client = connect_with(&broker.url(), Options::new().backlog_limit(1)).await;
        let mut numbers = listen(&client, Overflow::Wait(2)).await;
        for number in 1..=5 {
            assert_eq!(numbers.receive().await.unwrap().payload, [number]);
        }
        assert_eq!((numbers.dropped(), numbers.try_receive()), (0, None));
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

async fn listen(client: &AsyncClient, overflow: Overflow) -> AsyncMessages {
    client.listen_with(Subscription::new("numbers", QoS::AtLeastOnce), overflow).await.unwrap()
}

/// Sends five messages at QoS 1 to who subscribes, and waits for their acknowledgements.
fn send_numbers(mut peer: Peer) -> Peer {
    grant(&mut peer, "numbers");
    for number in 1..=5 {
        peer.send(&[publish_qos1(number.into(), "numbers", &[number])]);
    }
    for number in 1..=5 {
        peer.expect(puback(number));
    }
    peer
}

#[test]
fn message_that_finds_the_window_full_is_told_at_once() {
    let broker = Scripted::start(|broker| broker.accept_client().serve());
    single_threaded().block_on(within(async {
        let client = connect_with(&broker.url(), Options::new().in_flight_limit(1)).await;
        let message = Publish::new("a", "").qos(QoS::AtLeastOnce);
        assert_eq!(client.try_enqueue(&message), Ok(()));
        assert_eq!(client.try_enqueue(&message), Err(CallError::WouldBlock.into()));

        // This one waits for the first to be acknowledged.
        client.enqueue(&message).await.unwrap();
        assert_eq!(client.try_enqueue(&message), Err(CallError::WouldBlock.into()));
        assert_eq!(client.publish(&message).await, Ok(ReasonCode::Success));
        assert_eq!(client.try_enqueue(&message), Ok(()));
        assert_eq!(client.publish(&message).await, Ok(ReasonCode::Success));
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

#[test]
fn message_that_finds_the_outbound_buffer_full_is_told_at_once() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        for _ in 0..2 {
            peer.expect(publish("a", &[7; 40]));
        }
        peer.serve();
    });
    single_threaded().block_on(within(async {
        let client = connect_with(&broker.url(), Options::new().outbound_limit(64)).await;
        let message = Publish::new("a", &[7_u8; 40]);
        assert_eq!(client.try_enqueue(&message), Ok(()));
        assert_eq!(client.try_enqueue(&message), Err(CallError::WouldBlock.into()));

        client.flush().await.unwrap();
        assert_eq!(client.try_enqueue(&message), Ok(()));
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

#[test]
fn peer_that_does_not_read_is_a_timeout_and_the_connection_goes_on() {
    let (let_read, may_read) = mpsc::channel();
    let broker = Scripted::start(move |broker| {
        let peer = broker.accept_client();
        may_read.recv().unwrap();
        peer.stay_silent();
    });
    runtime().block_on(within(async {
        let options = Options::new().response_timeout(Duration::from_secs(1));
        let client = connect_with(&broker.url(), options).await;
        let payload = vec![0_u8; 64 * 1024];
        let message = Publish::new("flood", &payload);
        let failure = loop {
            if let Err(failure) = client.publish(&message).await {
                break failure;
            }
        };
        assert_eq!(failure, Error::Timeout);
        assert_eq!(client.flush().await, Err(Error::Timeout));
        assert!(client.is_connected());

        let_read.send(()).unwrap();
        // The peer may take longer than the client waits.
        let flushed = loop {
            match client.flush().await {
                Err(Error::Timeout) => {}
                flushed => break flushed,
            }
        };
        assert_eq!(flushed, Ok(()));
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

// Listeners.

#[test]
fn listeners_get_the_messages_of_their_own_filters_and_messages_gets_all() {
    each_broker(|broker| {
        runtime().block_on(within(async {
            let client = connect(&url(broker)).await;
            let mut everything = client.messages();
            let mut rooms = client.listen(Subscription::new("rooms/+", QoS::AtLeastOnce)).await.unwrap();
            let mut rooms_too = client.listen(Subscription::new("rooms/+", QoS::AtLeastOnce)).await.unwrap();
            let mut garden = client.listen(Subscription::new("garden", QoS::AtLeastOnce)).await.unwrap();
            for topic in ["rooms/kitchen", "garden", "rooms/bath"] {
                client.publish(&Publish::new(topic, "").qos(QoS::AtLeastOnce)).await.unwrap();
            }
            expect_topics(&mut everything, &["rooms/kitchen", "garden", "rooms/bath"]).await;
            expect_topics(&mut rooms, &["rooms/kitchen", "rooms/bath"]).await;
            expect_topics(&mut rooms_too, &["rooms/kitchen", "rooms/bath"]).await;
            expect_topics(&mut garden, &["garden"]).await;
            client.disconnect().await.unwrap();
        }));
    });
}

#[test]
fn message_goes_to_the_subscriptions_that_the_broker_names() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        let wide = grant(&mut peer, "a/#").expect("a Subscription Identifier");
        let narrow = grant(&mut peer, "a/+").expect("a Subscription Identifier");
        assert_ne!(wide, narrow);
        peer.send(&[
            identified("a/wide", &[wide]),
            identified("a/narrow", &[narrow]),
            identified("a/both", &[wide, narrow]),
        ]);
        peer.serve();
    });
    single_threaded().block_on(within(async {
        let client = connect(&broker.url()).await;
        let mut everything = client.messages();
        let mut wide = client.listen(Subscription::new("a/#", QoS::AtLeastOnce)).await.unwrap();
        let mut narrow = client.listen(Subscription::new("a/+", QoS::AtLeastOnce)).await.unwrap();
        expect_topics(&mut everything, &["a/wide", "a/narrow", "a/both"]).await;
        expect_topics(&mut wide, &["a/wide", "a/both"]).await;
        expect_topics(&mut narrow, &["a/narrow", "a/both"]).await;
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

#[test]
fn filters_are_compared_where_the_broker_knows_no_subscription_identifiers() {
    let broker = Scripted::start(|broker| {
        let terms =
            ConnackProperties { subscription_identifier_available: Some(false), ..ConnackProperties::default() };
        let mut peer = broker.accept_client_with(terms);
        assert_eq!(grant(&mut peer, "a/#"), None);
        assert_eq!(grant(&mut peer, "a/+"), None);
        peer.send(&[publish("a/both", b""), publish("a/wide/alone", b"")]);
        peer.serve();
    });
    single_threaded().block_on(within(async {
        let client = connect(&broker.url()).await;
        let mut everything = client.messages();
        let mut wide = client.listen(Subscription::new("a/#", QoS::AtLeastOnce)).await.unwrap();
        let mut narrow = client.listen(Subscription::new("a/+", QoS::AtLeastOnce)).await.unwrap();
        expect_topics(&mut everything, &["a/both", "a/wide/alone"]).await;
        expect_topics(&mut wide, &["a/both", "a/wide/alone"]).await;
        expect_topics(&mut narrow, &["a/both"]).await;
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

#[test]
fn filter_is_unsubscribed_when_the_last_of_its_listeners_is_dropped() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        grant(&mut peer, "a");
        grant(&mut peer, "a");
        let id = expect_message(&mut peer, "one is left");
        peer.send(&[puback(id)]);
        let received = peer.expect_type(PacketType::Unsubscribe);
        let Packet::Unsubscribe(unsubscribe) = received.packet() else { unreachable!() };
        assert_eq!(unsubscribe.filters.iter().collect::<Vec<_>>(), ["a"]);
        peer.send(&[unsuback(unsubscribe.packet_id.get(), &[ReasonCode::Success]), publish("behind", b"")]);
        peer.serve();
    });
    single_threaded().block_on(within(async {
        let client = connect(&broker.url()).await;
        let mut everything = client.messages();
        let first = client.listen(Subscription::new("a", QoS::AtLeastOnce)).await.unwrap();
        let second = client.listen(Subscription::new("a", QoS::AtLeastOnce)).await.unwrap();
        drop(first);
        client.publish(&Publish::new("one is left", "").qos(QoS::AtLeastOnce)).await.unwrap();

        drop(second);
        expect_topics(&mut everything, &["behind"]).await;
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

/// A message of the subscriptions with these identifiers.
fn identified<'a>(topic: &'a str, identifiers: &'a [u32]) -> Packet<'a> {
    let properties = PublishProperties { subscription_identifiers: identifiers.into(), ..PublishProperties::default() };
    Packet::Publish(Publish::new(topic, "").properties(properties))
}

/// These messages, and none that has come with them.
async fn expect_topics(messages: &mut AsyncMessages, topics: &[&str]) {
    for topic in topics {
        assert_eq!(messages.receive().await.unwrap().topic, *topic);
    }
    assert_eq!(messages.try_receive(), None);
}

// Doing nothing.

#[test]
fn idle_client_wakes_for_keep_alive_alone() {
    undisturbed(|| {
        let broker = Scripted::start(|broker| {
            let pings = broker.accept_client().answer_pings(Duration::from_secs(1));
            assert!((2..=5).contains(&pings), "{pings} pings");
        });
        let wake_ups = wake_ups_while_idle(&broker.url(), 1);
        broker.finish();
        // Four pings. Each is the time for it, up to two stops on the way there that tokio's clock makes by itself, and the
        // answer.
        assert!(wake_ups <= 4 * 4 + 2, "{wake_ups} wake-ups");
    });
}

#[test]
fn idle_client_without_keep_alive_does_not_wake() {
    undisturbed(|| {
        let broker = Scripted::start(|broker| broker.accept_client().serve());
        let wake_ups = wake_ups_while_idle(&broker.url(), 0);
        broker.finish();
        // The end of the test is one.
        assert!(wake_ups <= 2, "{wake_ups} wake-ups");
    });
}

/// How often the only thread of a runtime wakes that has a client with this Keep Alive, and nothing else to do.
fn wake_ups_while_idle(url: &str, keep_alive: u16) -> u64 {
    let wake_ups = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&wake_ups);
    let count = move || {
        counter.fetch_add(1, Relaxed);
    };
    let runtime = Builder::new_current_thread().enable_all().on_thread_unpark(count).build().unwrap();
    runtime.block_on(async {
        let client = within(connect_with(url, Options::new().keep_alive(keep_alive))).await;
        // The time is kept elsewhere, or keeping it would wake the thread.
        let (end, is_over) = oneshot::channel();
        thread::spawn(move || {
            thread::sleep(IDLE);
            end.send(())
        });
        let before = wake_ups.load(Relaxed);
        is_over.await.unwrap();
        let during = wake_ups.load(Relaxed) - before;
        within(client.disconnect()).await.unwrap();
        during
    })
}

// The connection's end.

#[test]
fn events_tell_of_the_connection_that_is_lost_and_of_the_next() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.expect(publish("last words", b""));
        drop(peer);
        broker.accept_client().serve();
    });
    single_threaded().block_on(within(async {
        let client = connect_with(&broker.url(), Options::new().reconnect(at_once())).await;
        client.publish(&Publish::new("last words", "")).await.unwrap();
        assert_eq!(client.next_event().await, Ok(Event::Disconnected(Error::ConnectionClosed)));
        assert_eq!(client.next_event().await, Ok(Event::Connected { session_present: false }));
        let message = Publish::new("afterwards", "").qos(QoS::AtLeastOnce);
        assert_eq!(client.publish(&message).await, Ok(ReasonCode::Success));
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

#[test]
fn without_a_policy_every_call_is_told_why_the_connection_ended_until_it_is_made_again() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        expect_message(&mut peer, "unanswered");
        peer.expect_type(PacketType::Subscribe);
        peer.send(&[disconnect(ReasonCode::ServerBusy)]);
        peer.stay_silent();
        // The message comes again.
        broker.accept_client().serve();
    });
    single_threaded().block_on(within(async {
        let client = connect(&broker.url()).await;
        let mut messages = client.messages();
        let message = Publish::new("unanswered", "").qos(QoS::AtLeastOnce);
        let subscriptions = [Subscription::new("a", QoS::AtLeastOnce)];
        let (published, subscribed, received, event) = tokio::join!(
            client.publish(&message),
            client.subscribe(&subscriptions),
            messages.receive(),
            client.next_event(),
        );
        assert_eq!(reason_of(published), Some(ReasonCode::ServerBusy));
        assert_eq!(reason_of(subscribed), Some(ReasonCode::ServerBusy));
        assert_eq!(reason_of(received), Some(ReasonCode::ServerBusy));
        assert!(matches!(event, Ok(Event::Disconnected(Error::Disconnected(_)))), "{event:?}");
        assert_eq!(reason_of(client.next_event().await), Some(ReasonCode::ServerBusy));
        assert_eq!(reason_of(client.publish(&message).await), Some(ReasonCode::ServerBusy));

        assert_eq!(client.reconnect().await, Ok(false));
        let message = Publish::new("afterwards", "").qos(QoS::AtLeastOnce);
        assert_eq!(client.publish(&message).await, Ok(ReasonCode::Success));
        assert_eq!(client.stats().in_flight, 0);
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

#[test]
fn subscribing_goes_on_over_the_next_connection() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        peer.expect_type(PacketType::Subscribe);
        drop(peer);
        let mut peer = broker.accept_client();
        grant(&mut peer, "a");
        peer.serve();
    });
    single_threaded().block_on(within(async {
        let client = connect_with(&broker.url(), Options::new().reconnect(at_once())).await;
        let granted = client.subscribe(&[Subscription::new("a", QoS::AtLeastOnce)]).await;
        assert_eq!(granted, Ok(vec![QoS::AtLeastOnce]));
        assert_eq!(client.stats().reconnects, 1);
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

#[test]
fn connection_is_cut_when_the_last_clone_is_dropped() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        let id = expect_message(&mut peer, "one is left");
        peer.send(&[puback(id)]);
        peer.expect_end();
    });
    // It lives on, since its own end would cut the connection too.
    let runtime = runtime();
    runtime.block_on(within(async {
        let client = connect(&broker.url()).await;
        let clone = client.clone();
        drop(client);
        clone.publish(&Publish::new("one is left", "").qos(QoS::AtLeastOnce)).await.unwrap();
    }));
    broker.finish();
}

#[test]
fn connection_stays_while_anyone_listens() {
    let (drop_it, is_dropped) = mpsc::channel();
    let broker = Scripted::start(move |broker| {
        let mut peer = broker.accept_client();
        is_dropped.recv().unwrap();
        peer.send(&[publish("for whoever listens", b"")]);
        peer.expect_end();
    });
    let runtime = runtime();
    runtime.block_on(within(async {
        let client = connect(&broker.url()).await;
        let mut messages = client.messages();
        drop(client);
        drop_it.send(()).unwrap();
        expect_topics(&mut messages, &["for whoever listens"]).await;
    }));
    broker.finish();
}

/// Connects again within milliseconds.
fn at_once() -> Reconnect {
    let (first_delay, longest_delay) = (Duration::from_millis(10), Duration::from_millis(50));
    Reconnect { first_delay, longest_delay, ..Reconnect::default() }
}

/// What the broker said when it ended what this waited for.
fn reason_of<T: Debug>(result: Result<T, Error>) -> Option<ReasonCode> {
    result.unwrap_err().reason_code()
}

// Requests.

#[test]
fn requester_is_told_of_a_request_that_was_dropped_without_an_answer() {
    each_broker(|broker| {
        runtime().block_on(within(async {
            let (requester, responder) = (connect(&url(broker)).await, connect(&url(broker)).await);
            let mut requests = responder.requests(Subscription::new("asked", QoS::AtLeastOnce)).await.unwrap();
            let request = Publish::new("asked", "?").qos(QoS::AtLeastOnce);
            let (reply, incoming) =
                tokio::join!(requester.request(&request, SOON), async { requests.receive().await.map(drop) });
            assert_eq!(incoming, Ok(()));
            let Err(Error::RequestFailed(failure)) = reply else { panic!("{reply:?}") };
            assert_eq!(failure.text, "the responder gave no answer");
            requester.disconnect().await.unwrap();
            responder.disconnect().await.unwrap();
        }));
    });
}

#[test]
fn request_that_comes_twice_is_handled_once_and_answered_twice() {
    let (answer, is_answered) = oneshot::channel();
    let broker = Scripted::start(move |broker| {
        let mut peer = broker.accept_client();
        grant(&mut peer, "asked");
        peer.send(&[request(1), request(2)]);
        let (mut replies, mut acknowledged) = (0, Vec::new());
        while replies < 2 || acknowledged.len() < 2 {
            let received = peer.next_packet().expect("replies and acknowledgements");
            match received.packet() {
                Packet::Puback(ack) => acknowledged.push(ack.packet_id.get()),
                Packet::Publish(reply) => {
                    assert_eq!((reply.topic, reply.payload), ("replies", &b"done"[..]));
                    assert_eq!(reply.properties.correlation_data, Some(&b"the same"[..]));
                    peer.send(&[puback(reply.packet_id.expect("QoS 1").get())]);
                    replies += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((replies, acknowledged), (2, vec![1, 2]));
        answer.send(()).unwrap();
        peer.serve();
    });
    single_threaded().block_on(within(async {
        let client = connect(&broker.url()).await;
        let mut requests = client.requests(Subscription::new("asked", QoS::AtLeastOnce)).await.unwrap();
        requests.receive().await.unwrap().reply("done").await.unwrap();
        drop_once(is_answered, requests.receive()).await;
        assert_eq!((requests.stats().replied, requests.stats().duplicates), (2, 1));
        client.disconnect().await.unwrap();
    }));
    broker.finish();
}

/// The same request each time, in a message with this Packet Identifier.
fn request(packet_id: u16) -> Packet<'static> {
    let properties = PublishProperties {
        response_topic: Some("replies"),
        correlation_data: Some(b"the same"),
        ..PublishProperties::default()
    };
    let publish = Publish::new("asked", "?").qos(QoS::AtLeastOnce).properties(properties);
    Packet::Publish(Publish { packet_id: PacketId::new(packet_id), ..publish })
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

async fn connect(url: &str) -> AsyncClient {
    connect_with(url, Options::new()).await
}

async fn connect_with(url: &str, options: Options) -> AsyncClient {
    AsyncClient::connect(url, options).await.expect("a connection")
}

/// Takes a subscription to this filter, and grants it; returns its Subscription Identifier.
fn grant(peer: &mut Peer, filter: &str) -> Option<u32> {
    let received = peer.expect_type(PacketType::Subscribe);
    let Packet::Subscribe(subscribe) = received.packet() else { unreachable!() };
    let filters: Vec<_> = subscribe.subscriptions.iter().map(|subscription| subscription.filter).collect();
    assert_eq!(filters, [filter]);
    peer.send(&[suback(subscribe.packet_id.get(), &[ReasonCode::GrantedQos1])]);
    subscribe.properties.subscription_identifier
}

/// Takes a message at QoS 1 to this topic; returns its Packet Identifier.
fn expect_message(peer: &mut Peer, topic: &str) -> u16 {
    let received = peer.expect_type(PacketType::Publish);
    let Packet::Publish(message) = received.packet() else { unreachable!() };
    assert_eq!(message.topic, topic);
    message.packet_id.expect("a message at QoS 1").get()
}
