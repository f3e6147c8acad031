//! Calls the mqtt component for WASI 0.3 as a component does: several calls at once, and some are given up. A host cannot
//! do the latter yet: wasmtime 48 has no way to cancel a call of its own.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit/p3",
    inline: "
        package mqtt-wasi:host-tests;

        world guest {
            include mqtt-wasi:client/imports-streams@0.3.0;
            import wasi:clocks/monotonic-clock@0.3.0;

            /// Runs the story with this name against the broker at this URL.
            export run: async func(story: string, url: string) -> result<_, string>;
        }
    ",
    world: "mqtt-wasi:host-tests/guest",
    generate_all,
});

use std::fmt::Debug;
use std::pin::pin;

use futures::future::{Either, join, join_all, select};
use mqtt_wasi::client::mqtt::{
    self, Client, ConnectOptions, Failure, Payload, Publication, Qos, Subscription, connect,
};
use mqtt_wasi::client::streams::{StreamedMessage, listen, publish_stream};
use wasi::clocks::monotonic_clock;
use wit_bindgen::rt::async_support::{StreamResult, StreamWriter};

struct Stories;

export!(Stories);

impl Guest for Stories {
    async fn run(story: String, url: String) -> Result<(), String> {
        let told = match story.as_str() {
            "receive" => receive(&url).await,
            "publish" => publish(&url).await,
            "request" => request(&url).await,
            "connect" => connect_elsewhere(&url).await,
            "at-once" => at_once(&url).await,
            "drop" => drop_at_once(&url).await,
            "stream" => stream(&url).await,
            "stream-edges" => stream_edges(&url).await,
            "stream-acknowledged" => stream_acknowledged(&url).await,
            _ => return Err(format!("there is no story {story}")),
        };
        told.map_err(|failure| format!("{failure:?}"))
    }
}

/// Messages go to those who still wait for them.
async fn receive(url: &str) -> Result<(), Failure> {
    let client = connect(url.to_owned(), None).await?;
    client.subscribe("p3/receive".into(), Qos::AtLeastOnce).await?;
    for number in 0..20 {
        assert!(given_up(client.receive(1, None), 5).await, "there is no message");
        let text = number.to_string();
        client.publish("p3/receive".into(), Payload::Text(text.clone()), Qos::AtLeastOnce, false).await?;
        let [message] = &client.receive(10, None).await?[..] else { panic!("one message") };
        let Payload::Text(received) = &message.payload else { panic!("text") };
        assert_eq!(*received, text);
    }
    client.disconnect(None).await
}

/// The broker takes one message at a time, and answers the first one when the second is given up. Then it must get the
/// third, and the second never.
async fn publish(url: &str) -> Result<(), Failure> {
    let client = connect(url.to_owned(), None).await?;
    let send = |text: &str| client.publish("p3/publish".into(), Payload::Text(text.into()), Qos::AtLeastOnce, false);
    let give_up = async {
        assert!(given_up(send("second"), 50).await, "there is no room for it");
        // This needs no room, and tells the broker.
        client.publish("p3/given-up".into(), Payload::Text(String::new()), Qos::AtMostOnce, false).await
    };
    let (first, told) = join(send("first"), give_up).await;
    told?;
    first?;
    send("third").await?;
    client.disconnect(None).await
}

/// The reply to a request that was given up is nobody's.
async fn request(url: &str) -> Result<(), Failure> {
    let (client, responder) = (connect(url.to_owned(), None).await?, connect(url.to_owned(), None).await?);
    responder.subscribe("p3/request".into(), Qos::AtLeastOnce).await?;
    let ask = |text: &str| client.request("p3/request".into(), Payload::Text(text.into()), Qos::AtLeastOnce, 60_000);
    let next =
        || async { Ok::<_, Failure>(responder.next_request(None).await?.expect("it waits for as long as it takes")) };
    let forgotten = match select(pin!(ask("forget it")), pin!(next())).await {
        Either::Left((reply, _)) => panic!("nobody answers: {reply:?}"),
        Either::Right((request, _)) => request?,
    };
    let answer = async {
        for request in [forgotten, next().await?] {
            responder.reply(request.id, request.message.payload).await?;
        }
        Ok::<_, Failure>(())
    };
    let (reply, answered) = join(ask("really"), answer).await;
    answered?;
    let Payload::Text(reply) = reply?.payload else { panic!("text") };
    assert_eq!(reply, "really");
    let late = client.stats().into_iter().find(|(name, _)| name == "late-replies");
    assert_eq!(late.map(|(_, count)| count), Some(1), "{:?}", client.stats());
    client.disconnect(None).await
}

/// Nobody answers there. A client is made all the same afterwards, elsewhere.
async fn connect_elsewhere(urls: &str) -> Result<(), Failure> {
    let (silent, url) = urls.split_once(' ').expect("two URLs");
    for _ in 0..10 {
        assert!(given_up(connect(silent.to_owned(), None), 20).await, "nobody answers");
    }
    let client = connect(url.to_owned(), None).await?;
    assert!(client.is_connected());
    client.disconnect(None).await
}

/// Several of each kind of call at once.
async fn at_once(url: &str) -> Result<(), Failure> {
    const EACH: usize = 100;
    let client = connect(url.to_owned(), None).await?;
    client.subscribe("p3/at-once/+".into(), Qos::ExactlyOnce).await?;
    let send = |number: usize| {
        let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][number % 3];
        client.publish("p3/at-once/a".into(), Payload::Text(number.to_string()), qos, false)
    };
    let take = async {
        let mut taken = Vec::new();
        while taken.len() < EACH {
            for message in client.receive(7, None).await? {
                let Payload::Text(number) = message.payload else { panic!("text") };
                taken.push(number.parse::<usize>().expect("a number"));
            }
        }
        Ok::<_, Failure>(taken)
    };
    let (sent, taken) = join(join_all((0..EACH).map(send)), take).await;
    for code in sent {
        assert_eq!(code?, 0);
    }
    let mut taken = taken?;
    taken.sort_unstable();
    assert!(taken.into_iter().eq(0..EACH));
    client.disconnect(None).await
}

/// The will of a client that is dropped is published.
async fn drop_at_once(url: &str) -> Result<(), Failure> {
    let heir = connect(url.to_owned(), None).await?;
    heir.subscribe("p3/will".into(), Qos::AtLeastOnce).await?;
    let options = ConnectOptions::new();
    let will = mqtt::Publication {
        topic: "p3/will".into(),
        payload: Payload::Text("gone".into()),
        qos: Qos::AtLeastOnce,
        retain: false,
        properties: Vec::new(),
    };
    options.set_will(Some(&will), None);
    let client: Client = connect(url.to_owned(), Some(&options)).await?;
    drop(client);
    let [message] = &heir.receive(1, Some(60_000)).await?[..] else { panic!("the will") };
    assert_eq!(message.topic, "p3/will");
    heir.disconnect(None).await
}

/// The longest payload of a message at QoS 1 whose Topic Name has one byte, with room for a Subscription Identifier.
const LONGEST: u64 = 268_435_455 - 6 - 5;

/// The byte of a payload at this place.
fn byte(place: u64) -> u8 {
    (place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

/// Writes so many bytes of a payload, or until nobody reads them; how many were read.
async fn write(mut to: StreamWriter<u8>, len: u64) -> u64 {
    let (mut bytes, mut place) = (Vec::new(), 0);
    while place < len && bytes.is_empty() {
        let end = len.min(place + 32 * 1024);
        bytes.extend((place..end).map(byte));
        bytes = to.write_all(bytes).await;
        place = end - bytes.len() as u64;
    }
    place
}

/// Reads all of a payload, and takes its time in the middle of it.
async fn read(message: &mut StreamedMessage, pause_ms: u64) -> u64 {
    let (mut place, half) = (0, message.payload_bytes / 2);
    let mut bytes = Vec::with_capacity(16 * 1024);
    loop {
        let result;
        (result, bytes) = message.payload.read(bytes).await;
        for got in &bytes {
            assert_eq!(*got, byte(place), "the byte at {place}");
            place += 1;
        }
        if place >= half && place - (bytes.len() as u64) < half {
            monotonic_clock::wait_until(monotonic_clock::now() + pause_ms * 1_000_000).await;
        }
        bytes.clear();
        if !matches!(result, StreamResult::Complete(_)) {
            return place;
        }
    }
}

fn files(qos: Qos) -> Publication {
    let payload = Payload::Bytes(Vec::new());
    Publication { topic: "f".into(), payload, qos, retain: false, properties: Vec::new() }
}

async fn with_streams(url: &str) -> Result<Client, Failure> {
    let options = ConnectOptions::new();
    options.set_keep_alive_seconds(5);
    options.set_response_timeout_ms(600_000);
    options.set_maximum_packet_size(268_435_460);
    options.set_stream_above(100_000);
    connect(url.to_owned(), Some(&options)).await
}

fn all(filter: &str) -> Subscription {
    Subscription { filter: filter.into(), maximum_qos: Qos::AtLeastOnce, options: mqtt::SubscriptionOptions::empty() }
}

/// The largest message that there can be, out of a stream and into one, both slower than the broker waits for a ping.
async fn stream(url: &str) -> Result<(), Failure> {
    let (publisher, subscriber) = (with_streams(url).await?, with_streams(url).await?);
    let messages = listen(&subscriber, all("f")).await?;
    let (to, payload) = wit_stream::new();
    let sent = join(publish_stream(&publisher, files(Qos::AtLeastOnce), payload, LONGEST), write(to, LONGEST));
    let received = async {
        let mut message = messages.next(None).await?.expect("it waits for as long as it takes");
        assert_eq!(message.payload_bytes, LONGEST);
        assert_eq!(read(&mut message, 9_000).await, LONGEST);
        message.end.await
    };
    let ((answer, written), received) = join(sent, received).await;
    received?;
    assert_eq!((answer?.code, written), (0, LONGEST));
    for client in [publisher, subscriber] {
        let reconnects = client.stats().into_iter().find(|(name, _)| name == "reconnects");
        assert_eq!(reconnects.map(|(_, count)| count), Some(0));
        client.disconnect(None).await?;
    }
    Ok(())
}

/// A message is acknowledged when it was read and not before, also by hand; one without a payload is read as it comes.
/// The broker is told in between where the story is.
async fn stream_acknowledged(url: &str) -> Result<(), Failure> {
    for by_hand in [false, true] {
        let options = ConnectOptions::new();
        options.set_stream_above(10_000);
        options.set_acknowledge_by_hand(by_hand);
        let client = connect(url.to_owned(), Some(&options)).await?;
        let messages = listen(&client, all("f")).await?;
        let next = || async { Ok::<_, Failure>(messages.next(None).await?.expect("it waits for as long as it takes")) };
        let tell = |text: &str| client.publish("story".into(), Payload::Text(text.into()), Qos::AtMostOnce, false);
        for _ in 0..2 {
            let mut message = next().await?;
            assert_eq!(message.message.delivery.is_some(), by_hand);
            tell("it has come").await?;
            if let Some(delivery) = message.message.delivery.filter(|_| message.payload_bytes > 10_000) {
                assert!(client.acknowledge(delivery), "though it is not read");
            }
            assert_eq!(read(&mut message, 0).await, message.payload_bytes);
            message.end.await?;
            if let Some(delivery) = message.message.delivery {
                client.acknowledge(delivery);
            }
            tell("it was read").await?;
        }
        let message = next().await?;
        assert_eq!(message.payload_bytes, 0);
        message.end.await?;
        if let Some(delivery) = message.message.delivery {
            assert!(client.acknowledge(delivery));
        }
        tell("it was empty").await?;
        client.disconnect(None).await?;
    }
    Ok(())
}

/// Streams that end early, that are dropped, and messages that are too small for one.
async fn stream_edges(url: &str) -> Result<(), Failure> {
    const LEN: u64 = 300_000;
    let (publisher, subscriber) = (with_streams(url).await?, with_streams(url).await?);
    let messages = listen(&subscriber, all("f")).await?;
    let send = |payload_bytes: u64, given: u64, qos: Qos| {
        let (to, payload) = wit_stream::new();
        join(publish_stream(&publisher, files(qos), payload, payload_bytes), write(to, given))
    };
    let next = || async { Ok::<_, Failure>(messages.next(None).await?.expect("it waits for as long as it takes")) };
    assert!(messages.next(Some(10)).await?.is_none(), "nothing was sent");
    for refused in [subscriber.receive(1, Some(0)).await.err(), subscriber.next_request(Some(0)).await.err()] {
        assert_eq!(refused.expect("messages are for `messages`").kind, mqtt::FailureKind::WrongCall);
    }
    let plain = connect(url.to_owned(), None).await?;
    assert!(listen(&plain, all("f")).await.is_err_and(|failure| failure.kind == mqtt::FailureKind::WrongCall));
    plain.disconnect(None).await?;

    // What is behind its length is not sent.
    for (len, given) in [(0, 0), (5, 5), (5, 100), (LEN, LEN), (LEN, 2 * LEN)] {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let ((answer, _), message) = join(send(len, given, qos), next()).await;
            let (answer, mut message) = (answer?, message?);
            assert_eq!((answer.code, message.payload_bytes), (0, len));
            assert!(matches!(&message.message.payload, Payload::Bytes(none) if none.is_empty()));
            assert_eq!(read(&mut message, 0).await, len);
            message.end.await?;
        }
    }

    // The next message comes when nobody wants the first one's payload.
    let (sent, first) = join(send(LEN, LEN, Qos::AtLeastOnce), next()).await;
    sent.0?;
    drop(first?);
    let (sent, second) = join(send(LEN, LEN, Qos::AtLeastOnce), next()).await;
    sent.0?;
    let StreamedMessage { payload, end, .. } = second?;
    drop(payload);
    end.await?;

    // Nothing was sent, and the connection is as before.
    let (refused, _) = send(LEN, 0, Qos::AtLeastOnce).await;
    let failure = refused.expect_err("the stream has nothing");
    assert_eq!((failure.kind, failure.name.as_str()), (mqtt::FailureKind::WrongCall, "stream-unreadable"));
    assert!(publisher.is_connected());
    let (refused, _) = send(300_000_000, 1, Qos::AtLeastOnce).await;
    assert_eq!(refused.expect_err("there is no such packet").kind, mqtt::FailureKind::WrongCall);
    assert!(publisher.is_connected());

    // A packet that cannot be finished ends the connection, and the broker drops it.
    let (cut, _) = send(LEN, 1_000, Qos::AtLeastOnce).await;
    let failure = cut.expect_err("the stream is too short");
    assert_eq!((failure.kind, failure.name.as_str()), (mqtt::FailureKind::ConnectionOver, "stream-too-short"));
    assert!(!publisher.is_connected());
    publisher.reconnect().await?;
    // As does a call that is given up in the middle.
    let (mut to, payload) = wit_stream::new();
    let publish = publish_stream(&publisher, files(Qos::AtLeastOnce), payload, LEN);
    let give_up = async {
        assert!(given_up(publish, 200).await, "the stream has not ended");
    };
    join(give_up, to.write_all(vec![0; 1_000])).await;
    assert!(!publisher.is_connected());
    publisher.reconnect().await?;

    // A client that is gone ends the streams of its messages.
    let (sent, lost) = join(send(50 * LEN, 50 * LEN, Qos::AtMostOnce), async {
        let message = next().await?;
        drop(subscriber);
        let StreamedMessage { mut payload, end, .. } = message;
        while let (StreamResult::Complete(_), _) = payload.read(Vec::with_capacity(100_000)).await {}
        Ok::<_, Failure>(end.await)
    })
    .await;
    sent.0?;
    assert_eq!(lost?.expect_err("not all of it came").name, "stream-lost");
    publisher.disconnect(None).await
}

/// Whether the call was still under way when it was given up, after so many milliseconds.
async fn given_up<R: Debug>(call: impl Future<Output = R>, millis: u64) -> bool {
    let until = monotonic_clock::now() + millis * 1_000_000;
    match select(pin!(call), pin!(monotonic_clock::wait_until(until))).await {
        Either::Left(_) => false,
        Either::Right(_) => true,
    }
}
