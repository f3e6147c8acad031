//! A guest that imports the mqtt interface for WASI 0.3, to be composed with `mqtt-p3.wasm`. It does each job by the
//! calls that take many messages at once; with the argument `calls=single`, by those that take one each.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit/p3",
    inline: "
        package mqtt-wasi:bench;

        /// The stage of a job, which the host has. Its functions return when the host has done what they say.
        interface stage-at-once {
            /// The guest has its first connection.
            connected: func();
            /// Has the sink send so many more messages.
            send: async func(messages: u32);
            /// Has the sink cut the connection once no more messages come, and acknowledge everything from then on.
            cut: async func();
            /// What follows is measured.
            begin: async func();
            /// What was to be measured is done.
            end: async func();
        }

        world guest-at-once {
            include mqtt-wasi:client/imports@0.3.0;
            import stage-at-once;

            /// Does the job of the command line, or says why not.
            export run: async func() -> result<_, string>;
        }
    ",
    world: "mqtt-wasi:bench/guest-at-once",
    generate_all,
});

use std::env;
use std::hint::black_box;

use arguments::Arguments;
use futures::future::try_join;
use job::{Job, Pace, TOPIC, Work};
use mqtt_wasi::bench::stage_at_once as stage;
use mqtt_wasi::client::mqtt::{
    self, Client, ConnectOptions, Payload, Publication, Qos, Subscription, SubscriptionOptions,
};
use unable::Unable;

#[path = "../../guests/src/arguments.rs"]
#[allow(dead_code, reason = "others need more of it")]
mod arguments;
#[path = "../../src/job.rs"]
#[allow(dead_code, reason = "the host needs more of it")]
mod job;
#[path = "../../guests/src/unable.rs"]
#[allow(dead_code, reason = "others need more of it")]
mod unable;

/// The most messages of one call.
const AT_ONCE: usize = 1024;

/// The most payload of one call at QoS 0, in bytes, unless one message has more: what a cache holds.
const BYTES_AT_QOS_0: usize = 256 << 10;

/// The same at QoS 1 and 2. A batch begins when the one before is acknowledged, so it has to be much larger than what
/// is on its way at any time.
const BYTES_ACKNOWLEDGED: usize = 4 << 20;

/// How long a message may take to come, in milliseconds.
const PATIENCE_MS: u32 = 60_000;

/// How many messages a call takes.
#[derive(Clone, Copy)]
enum Calls {
    Single,
    Batch,
}

struct Program;

export!(Program);

impl Guest for Program {
    async fn run() -> Result<(), String> {
        let calls = if env::args().any(|argument| argument == "calls=single") { Calls::Single } else { Calls::Batch };
        perform(&Arguments::read(), calls).await.map_err(|unable| unable.said())
    }
}

async fn perform(arguments: &Arguments, calls: Calls) -> Result<(), Unable> {
    let Job { work, operations, warm_up } = arguments.job();
    match work {
        Work::Publish { qos, size, pace } => {
            let client = connect(arguments, None).await?;
            let batch = batch(level(qos), size, if qos == 0 { BYTES_AT_QOS_0 } else { BYTES_ACKNOWLEDGED });
            publish(&client, &batch, pace, calls, warm_up).await?;
            stage::begin().await;
            publish(&client, &batch, pace, calls, operations).await?;
            stage::end().await;
        }
        Work::Receive { qos, .. } => {
            let client = connect(arguments, None).await?;
            subscribe(&client, vec![subscription(TOPIC, level(qos))]).await?;
            stage::send(warm_up).await;
            receive(&client, calls, warm_up).await?;
            stage::begin().await;
            stage::send(operations).await;
            receive(&client, calls, operations).await?;
            stage::end().await;
        }
        Work::Mixed { size } => {
            let client = connect(arguments, None).await?;
            subscribe(&client, vec![subscription(TOPIC, Qos::AtLeastOnce)]).await?;
            let batch = batch(Qos::AtLeastOnce, size, BYTES_ACKNOWLEDGED);
            exchange(&client, &batch, calls, warm_up).await?;
            stage::begin().await;
            exchange(&client, &batch, calls, operations).await?;
            stage::end().await;
        }
        Work::Connect => {
            connect_and_disconnect(arguments, warm_up).await?;
            stage::begin().await;
            connect_and_disconnect(arguments, operations).await?;
            stage::end().await;
        }
        Work::Reconnect => reconnect(arguments, operations).await?,
        Work::Resume => {
            let client = connect(arguments, None).await?;
            connect_again(&client, warm_up).await?;
            stage::begin().await;
            connect_again(&client, operations).await?;
            stage::end().await;
        }
        Work::Subscribe => {
            let client = connect(arguments, None).await?;
            let subscriptions =
                (0..operations).map(|number| subscription(&format!("bench/{number}/+"), Qos::AtLeastOnce)).collect();
            stage::begin().await;
            subscribe(&client, subscriptions).await?;
            stage::end().await;
        }
        Work::Idle => {
            let client = connect(arguments, None).await?;
            subscribe(&client, vec![subscription(TOPIC, Qos::AtMostOnce)]).await?;
            stage::begin().await;
            client.receive(1, Some(operations)).await?;
            stage::end().await;
        }
    }
    Ok(())
}

async fn connect(arguments: &Arguments, options: Option<&ConnectOptions>) -> Result<Client, Unable> {
    let client = mqtt::connect(arguments.url(), options).await?;
    stage::connected();
    Ok(client)
}

const fn level(qos: u8) -> Qos {
    match qos {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    }
}

fn message(qos: Qos, size: usize) -> Publication {
    Publication {
        topic: TOPIC.into(),
        payload: Payload::Bytes(vec![b'x'; size]),
        qos,
        retain: false,
        properties: Vec::new(),
    }
}

/// As many messages as go into one call with this much payload, one at least.
fn batch(qos: Qos, size: usize, bytes: usize) -> Vec<Publication> {
    let count = (bytes / size.max(1)).clamp(1, AT_ONCE);
    vec![message(qos, size); count]
}

fn subscription(filter: &str, maximum_qos: Qos) -> Subscription {
    Subscription { filter: filter.into(), maximum_qos, options: SubscriptionOptions::empty() }
}

async fn subscribe(client: &Client, subscriptions: Vec<Subscription>) -> Result<(), Unable> {
    client.subscribe_with(subscriptions, None, Vec::new()).await?;
    Ok(())
}

async fn publish(client: &Client, batch: &[Publication], pace: Pace, calls: Calls, count: u32) -> Result<(), Unable> {
    match pace {
        Pace::Awaited => {
            for _ in 0..count {
                let Publication { topic, payload, qos, retain, .. } = batch[0].clone();
                client.publish(topic, payload, qos, retain).await?;
            }
            Ok(())
        }
        Pace::Pipelined => {
            send(client, batch, calls, count).await?;
            settle(client).await
        }
    }
}

/// Sends messages, and need not wait for what the broker says to all of them.
async fn send(client: &Client, batch: &[Publication], calls: Calls, count: u32) -> Result<(), Unable> {
    match calls {
        Calls::Batch => {
            for start in (0..count as usize).step_by(batch.len()) {
                let slice = batch[..batch.len().min(count as usize - start)].to_vec();
                for result in client.publish_batch(slice).await {
                    result?;
                }
            }
        }
        Calls::Single => {
            for _ in 0..count {
                enqueue(client, &batch[0]).await?;
            }
            client.flush().await?;
        }
    }
    Ok(())
}

async fn enqueue(client: &Client, message: &Publication) -> Result<(), Unable> {
    let Publication { topic, payload, qos, retain, .. } = message.clone();
    client.enqueue(topic, payload, qos, retain).await?;
    Ok(())
}

/// Waits until nothing is in flight. There must be nothing left to receive.
async fn settle(client: &Client) -> Result<(), Unable> {
    while client.in_flight() > 0 {
        client.receive(1, Some(1)).await?;
    }
    Ok(())
}

async fn receive(client: &Client, calls: Calls, count: u32) -> Result<(), Unable> {
    let most = match calls {
        Calls::Single => 1,
        Calls::Batch => AT_ONCE as u32,
    };
    let mut left = count;
    while left > 0 {
        let messages = client.receive(most, Some(PATIENCE_MS)).await?;
        if messages.is_empty() {
            return Err(Unable::Failed("stalled".into()));
        }
        for message in &messages {
            black_box(&message.payload);
        }
        left = left.saturating_sub(messages.len() as u32);
    }
    Ok(())
}

/// Publishes messages and receives them again at the same time.
async fn exchange(client: &Client, batch: &[Publication], calls: Calls, count: u32) -> Result<(), Unable> {
    try_join(send(client, batch, calls, count), receive(client, calls, count)).await?;
    settle(client).await
}

async fn connect_and_disconnect(arguments: &Arguments, count: u32) -> Result<(), Unable> {
    for _ in 0..count {
        connect(arguments, None).await?.disconnect(None).await?;
    }
    Ok(())
}

async fn connect_again(client: &Client, count: u32) -> Result<(), Unable> {
    for _ in 0..count {
        client.reconnect().await?;
    }
    Ok(())
}

async fn reconnect(arguments: &Arguments, messages: u32) -> Result<(), Unable> {
    let in_flight = u16::try_from(messages).map_err(|_| Unable::Lacks("more Packet Identifiers than there are"))?;
    let options = ConnectOptions::new();
    options.set_session_expiry_interval_seconds(3600);
    options.set_in_flight_limit(in_flight);
    let client = connect(arguments, Some(&options)).await?;
    let message = message(Qos::AtLeastOnce, Work::Reconnect.size());
    for _ in 0..messages {
        enqueue(&client, &message).await?;
    }
    client.flush().await?;
    stage::cut().await;
    client.reconnect().await?;
    settle(&client).await?;
    stage::end().await;
    Ok(())
}
