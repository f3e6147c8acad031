//! rust-mqtt: a client for small devices that leaves all but the protocol to its caller.
//!
//! It runs over tokio's stream with a buffer in each direction, as its README recommends, and takes memory for what it
//! receives from the allocator, which is its default. It has no call for several messages or Topic Filters at once:
//! each is a packet of its own, and a write of its own. How much may be in flight is part of its type, and has no
//! default. Pings, and what comes after a connection is lost, are left to its caller, who does them here as its
//! documentation has it.

use std::fmt::Debug;
use std::hint::black_box;
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::thread::{self, Scope};
use std::time::Duration;

use embedded_io_adapters::tokio_1::FromTokio;
use rust_mqtt::Bytes;
use rust_mqtt::buffer::AllocBuffer;
use rust_mqtt::client::event::Event;
use rust_mqtt::client::options::{
    ConnectOptions, DisconnectOptions, PublicationOptions, SubscriptionOptions, TopicReference,
};
use rust_mqtt::config::{KeepAlive, SessionExpiryInterval};
use rust_mqtt::types::{MqttString, PacketIdentifier, QoS, TopicFilter, TopicName};
use tokio::io::BufStream;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::Unable;
use crate::job::{Job, Pace, TOPIC, Work};
use crate::stage::Stage;

/// As many messages or subscriptions wait for their acknowledgements at the same time. For the next one's Packet
/// Identifier it tries 1, 2 and so on, and compares each with all that are in use, so more would slow it down.
const IN_FLIGHT: u16 = 32;

/// As many of each kind it has room for.
const ROOM: usize = 1_024;

/// Where it has one.
const KEEP_ALIVE: NonZero<u16> = NonZero::new(60).unwrap();

/// How long what is waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What clients for small devices run over here.
pub(super) type Transport = FromTokio<BufStream<TcpStream>>;

/// One User Property is the least that its documentation recommends. There are no Subscription Identifiers and Topic
/// Aliases.
type Client<'c> = rust_mqtt::client::Client<'static, 'c, Transport, AllocBuffer, ROOM, ROOM, ROOM, 0, 1, 0, 0>;

/// What is published.
struct Outgoing<'a> {
    options: PublicationOptions<'a>,
    payload: &'a [u8],
    /// As many wait for their acknowledgements at the same time.
    in_flight: u16,
}

pub(crate) fn run(stage: &Stage) -> Result<(), Unable> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::scope(|scope| runtime.block_on(run_async(stage, scope)))
}

async fn run_async<'scope>(stage: &'scope Stage, scope: &'scope Scope<'scope, '_>) -> Result<(), Unable> {
    let Job { work, operations, warm_up } = stage.job();
    let options = ConnectOptions::new().clean_start();
    let mut buffer = AllocBuffer;
    let mut client = Client::new(&mut buffer);
    match work {
        Work::Publish { qos, size, pace } => {
            connect(&mut client, stage, &options).await?;
            let payload = vec![b'x'; size];
            let in_flight = if pace == Pace::Awaited { 1 } else { IN_FLIGHT };
            let outgoing = Outgoing { options: publication(qos), payload: &payload, in_flight };
            within(publish(&mut client, &outgoing, warm_up, 0)).await?;
            stage.arrived(warm_up).await;
            stage.begin();
            within(publish(&mut client, &outgoing, operations, 0)).await?;
            stage.arrived(warm_up + operations).await;
            stage.end();
        }
        Work::Receive { qos, .. } => {
            connect(&mut client, stage, &options).await?;
            within(subscribe(&mut client, &[TOPIC.into()], qos)).await?;
            stage.send(warm_up);
            within(receive(&mut client, warm_up)).await?;
            stage.begin();
            stage.send(operations);
            within(receive(&mut client, operations)).await?;
            stage.end();
        }
        Work::Mixed { size } => {
            connect(&mut client, stage, &options).await?;
            within(subscribe(&mut client, &[TOPIC.into()], 1)).await?;
            let payload = vec![b'x'; size];
            let outgoing = Outgoing { options: publication(1), payload: &payload, in_flight: IN_FLIGHT };
            within(publish(&mut client, &outgoing, warm_up, warm_up)).await?;
            stage.begin();
            within(publish(&mut client, &outgoing, operations, operations)).await?;
            stage.end();
        }
        Work::Connect => {
            connect_and_disconnect(&mut client, stage, warm_up).await?;
            stage.begin();
            connect_and_disconnect(&mut client, stage, operations).await?;
            stage.end();
        }
        Work::Reconnect => within(reconnect(&mut client, stage, scope)).await?,
        Work::Resume => return Err(Unable::Lacks("TLS, as it is built here")),
        Work::Subscribe => {
            connect(&mut client, stage, &options).await?;
            let filters: Vec<String> = (0..operations).map(|number| format!("bench/{number}/+")).collect();
            stage.begin();
            within(subscribe(&mut client, &filters, 1)).await?;
            stage.end();
        }
        Work::Idle => {
            connect(&mut client, stage, &options.keep_alive(KeepAlive::Seconds(KEEP_ALIVE))).await?;
            within(subscribe(&mut client, &[TOPIC.into()], 0)).await?;
            stage.begin();
            let time = Duration::from_millis(operations.into());
            timeout(time, keep_alive(&mut client)).await.unwrap_or(Ok(()))?;
            stage.end();
        }
    }
    Ok(())
}

/// A connection to a server, buffered in both directions.
pub(super) async fn open(address: SocketAddr) -> io::Result<Transport> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(FromTokio::new(BufStream::new(stream)))
}

/// Gives up what stalls.
pub(super) async fn within<T>(wait: impl Future<Output = Result<T, Unable>>) -> Result<T, Unable> {
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| Err(Unable::Failed("stalled".into())))
}

/// Its errors have no `Display`.
fn failed(error: impl Debug) -> Unable {
    Unable::Failed(format!("{error:?}"))
}

fn level(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

fn string(text: &str) -> MqttString<'_> {
    MqttString::from_str(text).expect("it is short and has no null characters")
}

fn publication(qos: u8) -> PublicationOptions<'static> {
    let topic = TopicName::new(string(TOPIC)).expect("it has no wildcards");
    PublicationOptions::new(TopicReference::Name(topic)).qos(level(qos))
}

async fn connect(client: &mut Client<'_>, stage: &Stage, options: &ConnectOptions<'_>) -> Result<(), Unable> {
    let transport = open(stage.address()).await?;
    within(async { client.connect(transport, options, Some(string("bench-rust-mqtt"))).await.map_err(failed) }).await?;
    Ok(())
}

/// Publishes messages, and waits until all of them are acknowledged and so many have come back.
async fn publish(client: &mut Client<'_>, outgoing: &Outgoing<'_>, count: u32, echoes: u32) -> Result<(), Unable> {
    let in_flight = outgoing.in_flight.min(client.server_config().receive_maximum.get());
    let mut received = 0;
    for _ in 0..count {
        while client.session().active_outbound_publishes() >= in_flight {
            received += poll(client).await?;
        }
        client.publish(&outgoing.options, Bytes::from(outgoing.payload)).await.map_err(failed)?;
    }
    while client.session().active_outbound_publishes() > 0 || received < echoes {
        received += poll(client).await?;
    }
    Ok(())
}

/// Takes the next packet, and does with it what is to be done; how many messages it was, none or one.
async fn poll(client: &mut Client<'_>) -> Result<u32, Unable> {
    match client.poll().await.map_err(failed)? {
        Event::Publish(publish) => {
            black_box(publish.message.len());
            Ok(1)
        }
        Event::PublishRejected(rejection) => Err(failed(rejection.reason_code)),
        Event::Suback(suback) if suback.reason_code.is_erroneous() => Err(failed(suback.reason_code)),
        _ => Ok(0),
    }
}

async fn receive(client: &mut Client<'_>, count: u32) -> Result<(), Unable> {
    let mut received = 0;
    while received < count {
        received += poll(client).await?;
    }
    Ok(())
}

/// Subscribes to each Topic Filter, and waits until all of that is acknowledged.
async fn subscribe(client: &mut Client<'_>, filters: &[String], qos: u8) -> Result<(), Unable> {
    let options = SubscriptionOptions::new().qos(level(qos));
    for filter in filters {
        while client.session().subs.len() >= usize::from(IN_FLIGHT) {
            poll(client).await?;
        }
        let filter = TopicFilter::new(string(filter)).expect("a valid one");
        client.subscribe(filter, &options).await.map_err(failed)?;
    }
    while !client.session().subs.is_empty() {
        poll(client).await?;
    }
    Ok(())
}

async fn connect_and_disconnect(client: &mut Client<'_>, stage: &Stage, count: u32) -> Result<(), Unable> {
    let options = ConnectOptions::new().clean_start();
    for _ in 0..count {
        connect(client, stage, &options).await?;
        // It gives the connection back, which is closed then.
        client.disconnect(&DisconnectOptions::new()).await.map_err(failed)?;
    }
    Ok(())
}

/// Since it has no queue, messages for which it has no room are published when the connection is back.
async fn reconnect<'scope>(
    client: &mut Client<'_>,
    stage: &'scope Stage,
    scope: &'scope Scope<'scope, '_>,
) -> Result<(), Unable> {
    let messages = stage.job().operations;
    let options = ConnectOptions::new().session_expiry_interval(SessionExpiryInterval::NeverEnd);
    connect(client, stage, &options).await?;
    let outgoing = Outgoing { options: publication(1), payload: &[b'x'; 64], in_flight: IN_FLIGHT };
    let unacknowledged = publish_only(client, &outgoing, messages).await?;
    scope.spawn(move || stage.cut());
    while client.poll().await.is_ok() {}
    client.abort().await.map_err(failed)?;
    connect(client, stage, &options).await?;
    for packet_id in &unacknowledged {
        client.republish(*packet_id, &outgoing.options, Bytes::from(outgoing.payload)).await.map_err(failed)?;
    }
    publish(client, &outgoing, messages - unacknowledged.len() as u32, 0).await?;
    stage.end();
    Ok(())
}

/// Publishes messages as long as there is room for more, without waiting for acknowledgements; which they were.
async fn publish_only(
    client: &mut Client<'_>,
    outgoing: &Outgoing<'_>,
    count: u32,
) -> Result<Vec<PacketIdentifier>, Unable> {
    let room = client.server_config().receive_maximum.get().min(ROOM as u16);
    let mut published = Vec::new();
    for _ in 0..count.min(room.into()) {
        let message = Bytes::from(outgoing.payload);
        published.extend(client.publish(&outgoing.options, message).await.map_err(failed)?);
    }
    Ok(published)
}

/// Takes what comes, and pings when nothing does. Ends only with an error.
async fn keep_alive(client: &mut Client<'_>) -> Result<(), Unable> {
    let silence = Duration::from_secs(u64::from(KEEP_ALIVE.get()) / 2);
    loop {
        // Of its calls that wait for a packet, this is the one that can be given up.
        if let Ok(header) = timeout(silence, client.poll_header()).await {
            client.poll_body(header.map_err(failed)?).await.map_err(failed)?;
        } else {
            client.ping().await.map_err(failed)?;
        }
    }
}
