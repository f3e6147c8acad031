//! Calls the mqtt component for WASI 0.3 as a component does: several calls at once, and some are given up. A host cannot
//! do the latter yet: wasmtime 48 has no way to cancel a call of its own.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit/p3",
    inline: "
        package mqtt-wasi:host-tests;

        world guest {
            include mqtt-wasi:client/imports@0.3.0;
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
use mqtt_wasi::client::mqtt::{self, Client, ConnectOptions, Failure, Payload, Qos, connect};
use wasi::clocks::monotonic_clock;

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

/// Whether the call was still under way when it was given up, after so many milliseconds.
async fn given_up<R: Debug>(call: impl Future<Output = R>, millis: u64) -> bool {
    let until = monotonic_clock::now() + millis * 1_000_000;
    match select(pin!(call), pin!(monotonic_clock::wait_until(until))).await {
        Either::Left(_) => false,
        Either::Right(_) => true,
    }
}
