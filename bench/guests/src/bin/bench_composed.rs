//! A guest that imports the mqtt interface, to be composed with `mqtt.wasm`, or with `mqtt-tls.wasm` for TLS. It does
//! each job by the calls that take many messages at once; with the argument `calls=single`, by those that take one each;
//! with `calls=bulk`, by those of the bulk interface.

use std::env;
use std::hint::black_box;
use std::process::ExitCode;

use bindings::mqtt_wasi::client::bulk;
use bindings::mqtt_wasi::client::mqtt::{
    self, Client, ConnectOptions, Failure, Message, Payload, Publication, Qos, Subscription, SubscriptionOptions,
};
use job::{Job, Pace, TOPIC, Work};
use stage::Stage;
use unable::Unable;

#[path = "../arguments.rs"]
mod arguments;
#[path = "../../../src/job.rs"]
#[allow(dead_code, reason = "the host needs more of it")]
mod job;
#[path = "../stage.rs"]
#[allow(dead_code, reason = "others need more of it")]
mod stage;
#[path = "../unable.rs"]
mod unable;

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package mqtt-wasi:bench-guests;

            world guest {
                include mqtt-wasi:client/imports-bulk@0.1.0;
            }
        ",
        path: "../../wit",
        world: "mqtt-wasi:bench-guests/guest",
        generate_all,
    });
}

/// The most messages of one call.
const AT_ONCE: usize = 1024;

/// The most payload of one call at QoS 0, in bytes, unless one message has more: what a cache holds.
const BYTES_AT_QOS_0: usize = 256 << 10;

/// The same at QoS 1 and 2. A batch begins when the one before is acknowledged, so it has to be much larger than what
/// is on its way at any time.
const BYTES_ACKNOWLEDGED: usize = 4 << 20;

/// The same where every message comes back before it is received: a quarter of what may wait for that.
const BYTES_AND_BACK: usize = 1 << 20;

/// How long a message may take to come, in milliseconds.
const PATIENCE_MS: u32 = 60_000;

/// How many messages a call takes.
#[derive(Clone, Copy)]
enum Calls {
    Single,
    Batch,
    Bulk,
}

fn main() -> ExitCode {
    let is = |calls: &str| env::args().any(|argument| argument == calls);
    let calls = if is("calls=single") {
        Calls::Single
    } else if is("calls=bulk") {
        Calls::Bulk
    } else {
        Calls::Batch
    };
    unable::tell(run(&Stage::from_arguments(), calls))
}

fn run(stage: &Stage, calls: Calls) -> Result<(), Unable> {
    let Job { work, operations, warm_up } = stage.job();
    match work {
        Work::Publish { qos, size, pace } => {
            let client = connect(stage)?;
            let batch = batch(level(qos), size, if qos == 0 { BYTES_AT_QOS_0 } else { BYTES_ACKNOWLEDGED });
            publish(&client, &batch, pace, calls, warm_up)?;
            stage.begin();
            publish(&client, &batch, pace, calls, operations)?;
            stage.end();
        }
        Work::Receive { qos, .. } => {
            let client = connect(stage)?;
            subscribe(&client, &[subscription(TOPIC, level(qos))])?;
            stage.send(warm_up);
            receive(&client, calls, warm_up)?;
            stage.begin();
            stage.send(operations);
            receive(&client, calls, operations)?;
            stage.end();
        }
        Work::Mixed { size } => {
            let client = connect(stage)?;
            subscribe(&client, &[subscription(TOPIC, Qos::AtLeastOnce)])?;
            let batch = batch(Qos::AtLeastOnce, size, BYTES_AND_BACK);
            exchange(&client, &batch, calls, warm_up)?;
            stage.begin();
            exchange(&client, &batch, calls, operations)?;
            stage.end();
        }
        Work::Connect => {
            connect_and_disconnect(stage, warm_up)?;
            stage.begin();
            connect_and_disconnect(stage, operations)?;
            stage.end();
        }
        Work::Reconnect => reconnect(stage, operations)?,
        Work::Resume => {
            let client = connect(stage)?;
            connect_again(&client, warm_up)?;
            stage.begin();
            connect_again(&client, operations)?;
            stage.end();
        }
        Work::Subscribe => {
            let client = connect(stage)?;
            let subscriptions: Vec<_> =
                (0..operations).map(|number| subscription(&format!("bench/{number}/+"), Qos::AtLeastOnce)).collect();
            stage.begin();
            subscribe(&client, &subscriptions)?;
            stage.end();
        }
        Work::Idle => {
            let client = connect(stage)?;
            subscribe(&client, &[subscription(TOPIC, Qos::AtMostOnce)])?;
            stage.begin();
            client.receive(operations)?;
            stage.end();
        }
    }
    Ok(())
}

fn connect(stage: &Stage) -> Result<Client, Failure> {
    connect_with(stage, options(stage)?.as_ref())
}

fn connect_with(stage: &Stage, options: Option<&ConnectOptions>) -> Result<Client, Failure> {
    let client = mqtt::connect(&stage.url(), options)?;
    stage.connected();
    Ok(client)
}

/// What it takes to trust the authority of the stage, if that has one.
fn options(stage: &Stage) -> Result<Option<ConnectOptions>, Failure> {
    let Some(ca) = stage.ca() else { return Ok(None) };
    let options = ConnectOptions::new();
    options.add_ca(ca.as_bytes());
    options.set_only_own_ca(true);
    Ok(Some(options))
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

/// So many messages, in slices of a batch in which all are the same.
fn slices(batch: &[Publication], count: u32) -> impl Iterator<Item = &[Publication]> {
    let start_of_each = (0..count as usize).step_by(batch.len());
    start_of_each.map(move |start| &batch[..batch.len().min(count as usize - start)])
}

fn subscription(filter: &str, maximum_qos: Qos) -> Subscription {
    Subscription { filter: filter.into(), maximum_qos, options: SubscriptionOptions::empty() }
}

fn subscribe(client: &Client, subscriptions: &[Subscription]) -> Result<(), Failure> {
    client.subscribe_with(subscriptions, None, &[]).map(drop)
}

fn publish(client: &Client, batch: &[Publication], pace: Pace, calls: Calls, count: u32) -> Result<(), Failure> {
    match (pace, calls) {
        (Pace::Awaited, _) => (0..count).try_for_each(|_| publish_one(client, &batch[0])),
        (Pace::Pipelined, Calls::Batch) => slices(batch, count).try_for_each(|slice| publish_batch(client, slice)),
        (Pace::Pipelined, Calls::Bulk) => {
            let mut words = Vec::new();
            slices(batch, count).try_for_each(|slice| publish_bulk(client, slice, &mut words))
        }
        (Pace::Pipelined, Calls::Single) => {
            (0..count).try_for_each(|_| enqueue(client, &batch[0]))?;
            client.flush()?;
            settle(client)
        }
    }
}

fn publish_one(client: &Client, Publication { topic, payload, qos, retain, .. }: &Publication) -> Result<(), Failure> {
    client.publish(topic, payload, *qos, *retain).map(drop)
}

fn enqueue(client: &Client, Publication { topic, payload, qos, retain, .. }: &Publication) -> Result<(), Failure> {
    client.enqueue(topic, payload, *qos, *retain)
}

fn publish_batch(client: &Client, messages: &[Publication]) -> Result<(), Failure> {
    client.publish_batch(messages).into_iter().try_for_each(|result| result.map(drop))
}

/// Packs the messages into a list that is used again and again, and has them published.
fn publish_bulk(client: &Client, messages: &[Publication], words: &mut Vec<u64>) -> Result<(), Failure> {
    words.clear();
    for Publication { topic, payload, qos, retain, .. } in messages {
        let (Payload::Bytes(payload), qos) = (payload, mqtt_wasi::QoS::from_u8(*qos as u8)) else { continue };
        let message = mqtt_wasi::Publish::new(topic, payload).qos(qos.unwrap_or_default()).retain(*retain);
        mqtt_wasi::bulk::push(words, &message, None).expect("a valid message");
    }
    match bulk::publish_packed(client, words)?.into_iter().next() {
        Some(unpublished) => Err(unpublished.failure),
        None => Ok(()),
    }
}

/// Waits until nothing is in flight. There must be nothing left to receive.
fn settle(client: &Client) -> Result<(), Failure> {
    while client.in_flight() > 0 {
        client.receive(1)?;
    }
    Ok(())
}

/// Takes the messages of one call, which waits no longer than that for the first; how many there were.
fn take(client: &Client, calls: Calls, timeout_ms: u32) -> Result<u32, Failure> {
    Ok(match calls {
        Calls::Single => look_at(client.receive(timeout_ms)?),
        Calls::Batch => look_at(client.receive_batch(AT_ONCE as u32, timeout_ms)?),
        Calls::Bulk => {
            let words = bulk::receive_packed(client, AT_ONCE as u32, BYTES_AT_QOS_0 as u32, timeout_ms)?;
            let mut count = 0;
            for frame in mqtt_wasi::bulk::unpack(&words) {
                black_box(frame.expect("a frame of a message").message.payload);
                count += 1;
            }
            count
        }
    })
}

fn look_at(messages: impl IntoIterator<Item = Message>) -> u32 {
    let mut count = 0;
    for message in messages {
        black_box(&message.payload);
        count += 1;
    }
    count
}

fn receive(client: &Client, calls: Calls, count: u32) -> Result<(), Unable> {
    let mut left = count;
    while left > 0 {
        match take(client, calls, PATIENCE_MS)? {
            0 => return Err(Unable::Failed("stalled".into())),
            taken => left = left.saturating_sub(taken),
        }
    }
    Ok(())
}

/// Publishes messages and receives them again, in whatever order that goes.
fn exchange(client: &Client, batch: &[Publication], calls: Calls, count: u32) -> Result<(), Unable> {
    let (mut left, mut words) = (count, Vec::new());
    for slice in slices(batch, count) {
        match calls {
            Calls::Batch => publish_batch(client, slice)?,
            Calls::Bulk => publish_bulk(client, slice, &mut words)?,
            Calls::Single => slice.iter().try_for_each(|message| enqueue(client, message))?,
        }
        while left > 0 {
            match take(client, calls, 0)? {
                0 => break,
                taken => left = left.saturating_sub(taken),
            }
        }
    }
    receive(client, calls, left)?;
    settle(client)?;
    Ok(())
}

fn connect_and_disconnect(stage: &Stage, count: u32) -> Result<(), Failure> {
    let options = options(stage)?;
    (0..count).try_for_each(|_| connect_with(stage, options.as_ref())?.disconnect(None))
}

fn connect_again(client: &Client, count: u32) -> Result<(), Failure> {
    (0..count).try_for_each(|_| client.reconnect().map(drop))
}

fn reconnect(stage: &Stage, messages: u32) -> Result<(), Unable> {
    let in_flight = u16::try_from(messages).map_err(|_| Unable::Lacks("more Packet Identifiers than there are"))?;
    let options = options(stage)?.unwrap_or_else(ConnectOptions::new);
    options.set_session_expiry_interval_seconds(3600);
    options.set_in_flight_limit(in_flight);
    let client = connect_with(stage, Some(&options))?;
    let message = message(Qos::AtLeastOnce, Work::Reconnect.size());
    (0..messages).try_for_each(|_| enqueue(&client, &message))?;
    client.flush()?;
    stage.cut();
    client.reconnect()?;
    settle(&client)?;
    stage.end();
    Ok(())
}
