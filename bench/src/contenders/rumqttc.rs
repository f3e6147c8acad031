//! rumqttc, by its `AsyncClient` and `EventLoop` for MQTT 5, with TCP_NODELAY on. It takes packets of at most 10 KiB
//! unless it is told otherwise, as it is where there are larger ones. The channel between the two must be given a
//! capacity: 128 requests, where its examples have 10, so that the task that publishes is not woken up as often.
//!
//! By TLS it has the provider that its features bring by default, aws-lc-rs. Told of an authority, it makes a new
//! configuration for each connection: where TLS sessions are to be resumed it is given one that lasts.

use std::time::Duration;

use bytes::Bytes;
#[cfg(feature = "tls-peers")]
use rumqttc::Transport;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, Outgoing};
#[cfg(feature = "tls-peers")]
use rustls::crypto::aws_lc_rs;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::Unable;
use super::runtime::{current_thread, measure, measure_reconnect, within};
#[cfg(feature = "tls-peers")]
use super::tls::configuration;
use crate::job::{Job, Pace, TOPIC, Work};
use crate::stage::Stage;

/// How many requests wait for the event loop at most.
const CAPACITY: usize = 128;

/// What has more bytes than this may not fit, with what is before it, in a packet that is taken by default.
const DEFAULT_LIMIT: usize = 10_000;

pub(crate) fn run(stage: &Stage) -> Result<(), Unable> {
    // With ring built in, too, rustls would not know which it should be. It is the first of the process.
    #[cfg(feature = "tls-peers")]
    let _ = aws_lc_rs::default_provider().install_default();
    let runtime = current_thread()?;
    let Job { work, operations, .. } = stage.job();
    match work {
        Work::Publish { qos, size, pace } => runtime.block_on(publish(stage, level(qos), size, pace)),
        Work::Receive { qos, .. } => runtime.block_on(receive(stage, level(qos))),
        Work::Mixed { size } => runtime.block_on(exchange(stage, size)),
        Work::Connect => runtime.block_on(measure(stage, async |count| connect_and_disconnect(stage, count).await)),
        Work::Reconnect => reconnect(stage, &runtime, operations),
        Work::Resume => runtime.block_on(resume(stage)),
        Work::Subscribe => runtime.block_on(subscribe(stage, operations)),
        Work::Idle => runtime.block_on(idle(stage, operations)),
    }
}

fn level(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

/// A client, and the event loop that does its work when it is driven.
struct Connection {
    client: AsyncClient,
    events: EventLoop,
}

impl Connection {
    async fn open(options: MqttOptions) -> Result<Self, Unable> {
        let (client, events) = AsyncClient::new(options, CAPACITY);
        let mut connection = Self { client, events };
        connection.drive(1, |event| matches!(event, Event::Incoming(Packet::ConnAck(_)))).await?;
        Ok(connection)
    }

    async fn disconnect(&mut self) -> Result<(), Unable> {
        self.client.disconnect().await?;
        self.drive(1, |event| matches!(event, Event::Outgoing(Outgoing::Disconnect))).await
    }

    /// Disconnects, and connects again, which the event loop does when it is driven without a connection.
    async fn connect_again(&mut self, count: u32) -> Result<(), Unable> {
        for _ in 0..count {
            self.disconnect().await?;
            self.events.clean();
            self.drive(1, |event| matches!(event, Event::Incoming(Packet::ConnAck(_)))).await?;
        }
        Ok(())
    }

    /// Drives the event loop until so many events of a kind have come.
    async fn drive(&mut self, count: u32, is_counted: impl Fn(&Event) -> bool) -> Result<(), Unable> {
        let mut counted = 0;
        while counted < count {
            if is_counted(&self.events.poll().await?) {
                counted += 1;
            }
        }
        Ok(())
    }

    /// Drives the event loop until the connection is lost; says why it is.
    async fn drive_on(&mut self) -> ConnectionError {
        loop {
            if let Err(error) = self.events.poll().await {
                return error;
            }
        }
    }

    async fn publish(&mut self, payload: &Bytes, qos: QoS, pace: Pace, count: u32) -> Result<(), Unable> {
        if pace == Pace::Awaited && qos != QoS::AtMostOnce {
            for _ in 0..count {
                submit(&self.client, payload, qos, 1).await?;
                self.drive(1, |event| is_done(event, qos)).await?;
            }
            return Ok(());
        }
        self.spawn_submit(payload, qos, count);
        self.drive(count, |event| is_done(event, qos)).await
    }

    /// Publishes messages and receives them again, in whatever order that goes.
    async fn exchange(&mut self, payload: &Bytes, count: u32) -> Result<(), Unable> {
        self.spawn_submit(payload, QoS::AtLeastOnce, count);
        self.drive(2 * count, |event| matches!(event, Event::Incoming(Packet::PubAck(_) | Packet::Publish(_)))).await
    }

    /// Publishes from a task of its own, for the event loop is driven meanwhile. It fails only when that has gone.
    fn spawn_submit(&self, payload: &Bytes, qos: QoS, count: u32) {
        let (client, payload) = (self.client.clone(), payload.clone());
        tokio::spawn(async move { submit(&client, &payload, qos, count).await });
    }

    async fn subscribe(&mut self, filters: Vec<Filter>) -> Result<(), Unable> {
        self.client.subscribe_many(filters).await?;
        self.drive(1, |event| matches!(event, Event::Incoming(Packet::SubAck(_)))).await
    }

    async fn receive(&mut self, count: u32) -> Result<(), Unable> {
        self.drive(count, |event| matches!(event, Event::Incoming(Packet::Publish(_)))).await
    }

    /// Notices that the connection is lost, connects again, which the event loop does by itself, and has so many
    /// messages acknowledged.
    async fn resume(&mut self, messages: u32) -> Result<(), Unable> {
        self.drive_on().await;
        self.drive(messages, |event| is_done(event, QoS::AtLeastOnce)).await
    }
}

/// Hands messages to the event loop.
async fn submit(client: &AsyncClient, payload: &Bytes, qos: QoS, count: u32) -> Result<(), Unable> {
    for _ in 0..count {
        client.publish_bytes(TOPIC, qos, false, payload.clone()).await?;
    }
    Ok(())
}

/// Whether this is the last event of a message that is published at a QoS: at 0 it is written, else acknowledged.
fn is_done(event: &Event, qos: QoS) -> bool {
    match qos {
        QoS::AtMostOnce => matches!(event, Event::Outgoing(Outgoing::Publish(_))),
        QoS::AtLeastOnce => matches!(event, Event::Incoming(Packet::PubAck(_))),
        QoS::ExactlyOnce => matches!(event, Event::Incoming(Packet::PubComp(_))),
    }
}

fn options(stage: &Stage) -> MqttOptions {
    let address = stage.address();
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    let mut options = MqttOptions::new("bench", address.ip().to_string(), address.port());
    options.set_network_options(network);
    #[cfg(feature = "tls-peers")]
    if let Some(ca) = stage.ca() {
        options.set_transport(transport(ca, stage.job().work));
    }
    let Job { work, operations, .. } = stage.job();
    // A SUBACK has a byte for each topic filter.
    let largest = if work == Work::Subscribe { operations as usize } else { work.size() };
    if largest > DEFAULT_LIMIT {
        options.set_max_packet_size(Some(1 << 20));
    }
    options
}

#[cfg(feature = "tls-peers")]
fn transport(ca: &str, work: Work) -> Transport {
    match work {
        Work::Resume => Transport::tls_with_config(configuration(ca, aws_lc_rs::default_provider()).into()),
        _ => Transport::tls(ca.into(), None, None),
    }
}

async fn open(stage: &Stage) -> Result<Connection, Unable> {
    Connection::open(options(stage)).await
}

async fn publish(stage: &Stage, qos: QoS, size: usize, pace: Pace) -> Result<(), Unable> {
    let mut connection = within(open(stage)).await?;
    let payload = Bytes::from(vec![b'x'; size]);
    measure(stage, async |count| connection.publish(&payload, qos, pace, count).await).await
}

async fn receive(stage: &Stage, qos: QoS) -> Result<(), Unable> {
    let mut connection = within(open(stage)).await?;
    within(connection.subscribe(vec![Filter::new(TOPIC, qos)])).await?;
    measure(stage, async |count| {
        stage.send(count);
        connection.receive(count).await
    })
    .await
}

async fn exchange(stage: &Stage, size: usize) -> Result<(), Unable> {
    let mut connection = within(open(stage)).await?;
    within(connection.subscribe(vec![Filter::new(TOPIC, QoS::AtLeastOnce)])).await?;
    let payload = Bytes::from(vec![b'x'; size]);
    measure(stage, async |count| connection.exchange(&payload, count).await).await
}

async fn connect_and_disconnect(stage: &Stage, count: u32) -> Result<(), Unable> {
    for _ in 0..count {
        open(stage).await?.disconnect().await?;
    }
    Ok(())
}

fn reconnect(stage: &Stage, runtime: &Runtime, messages: u32) -> Result<(), Unable> {
    let mut connection = runtime.block_on(within(publish_unacknowledged(stage, messages)))?;
    measure_reconnect(stage, runtime, connection.resume(messages))
}

/// Connects, and publishes messages, as many of them as there are Packet Identifiers; any more wait in the client.
async fn publish_unacknowledged(stage: &Stage, messages: u32) -> Result<Connection, Unable> {
    let mut options = options(stage);
    options.set_clean_start(false).set_session_expiry_interval(Some(3600));
    let mut connection = Connection::open(options).await?;
    connection.spawn_submit(&Bytes::from_static(&[b'x'; 64]), QoS::AtLeastOnce, messages);
    tokio::select! {
        () = stage.arrived(messages.min(u16::MAX.into())) => {}
        error = connection.drive_on() => return Err(error.into()),
    }
    Ok(connection)
}

async fn resume(stage: &Stage) -> Result<(), Unable> {
    let mut connection = within(open(stage)).await?;
    measure(stage, async |count| connection.connect_again(count).await).await
}

async fn subscribe(stage: &Stage, count: u32) -> Result<(), Unable> {
    let mut connection = within(open(stage)).await?;
    let filters = (0..count).map(|number| Filter::new(format!("bench/{number}/+"), QoS::AtLeastOnce)).collect();
    stage.begin();
    within(connection.subscribe(filters)).await?;
    stage.end();
    Ok(())
}

async fn idle(stage: &Stage, milliseconds: u32) -> Result<(), Unable> {
    let mut connection = within(open(stage)).await?;
    within(connection.subscribe(vec![Filter::new(TOPIC, QoS::AtMostOnce)])).await?;
    stage.begin();
    if let Ok(error) = timeout(Duration::from_millis(milliseconds.into()), connection.drive_on()).await {
        return Err(error.into());
    }
    stage.end();
    Ok(())
}
