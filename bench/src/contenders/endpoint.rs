//! mqtt-endpoint-tokio, by its endpoint in the role of a client, over TCP with TCP_NODELAY on. It reads only while
//! somebody waits for a packet, and one packet then, so that pipelined messages are sent and their acknowledgements
//! received side by side. Messages beyond a server's Receive Maximum are queued, which has to be asked for: else they
//! are refused.

use std::time::Duration;

use mqtt_endpoint_tokio::mqtt_ep::common::{ArcPayload, IntoPayload};
use mqtt_endpoint_tokio::mqtt_ep::packet::v5_0::{Connect, Disconnect, Publish, Subscribe};
use mqtt_endpoint_tokio::mqtt_ep::packet::{Packet, Property, Qos, SessionExpiryInterval, SubEntry, SubOpts};
use mqtt_endpoint_tokio::mqtt_ep::transport::{TcpTransport, connect_helper};
use mqtt_endpoint_tokio::mqtt_ep::{ConnectionOption, Endpoint, Mode, Version, role};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::Unable;
use super::runtime::{current_thread, measure, measure_reconnect, messages_in_flight, within};
use crate::job::{Job, Pace, TOPIC, Work};
use crate::stage::Stage;

type Client = Endpoint<role::Client>;

pub(crate) fn run(stage: &Stage) -> Result<(), Unable> {
    let runtime = current_thread()?;
    let Job { work, operations, .. } = stage.job();
    match work {
        Work::Publish { qos, size, pace } => runtime.block_on(publish(stage, level(qos), size, pace)),
        Work::Receive { qos, .. } => runtime.block_on(receive(stage, level(qos))),
        Work::Mixed { size } => runtime.block_on(exchange(stage, size)),
        Work::Connect => runtime.block_on(measure(stage, async |count| connect_and_disconnect(stage, count).await)),
        Work::Reconnect => reconnect(stage, &runtime),
        Work::Resume => Err(Unable::Lacks("TLS, as it is built here")),
        Work::Subscribe => runtime.block_on(subscribe_many(stage, operations)),
        Work::Idle => runtime.block_on(idle(stage, operations)),
    }
}

fn level(qos: u8) -> Qos {
    match qos {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    }
}

/// Connects an endpoint that is not connected.
async fn connect(stage: &Stage, client: &Client, packet: Connect) -> Result<(), Unable> {
    let stream = connect_helper::connect_tcp(&stage.address().to_string(), None).await?;
    stream.set_nodelay(true)?;
    let options = ConnectionOption::builder().queuing_receive_maximum(true).build()?;
    client.attach_with_options(TcpTransport::from_stream(stream), Mode::Client, options).await?;
    client.send(packet).await?;
    wait_for(client, 1, |packet| matches!(packet, Packet::V5_0Connack(_))).await
}

async fn open(stage: &Stage) -> Result<Client, Unable> {
    let client = Client::new(Version::V5_0);
    let packet = Connect::builder().client_id("bench")?.keep_alive(60).clean_start(true).build()?;
    connect(stage, &client, packet).await?;
    Ok(client)
}

/// Connects with a session that outlives the connection.
async fn connect_to_session(stage: &Stage, client: &Client) -> Result<(), Unable> {
    let session_expiry = Property::SessionExpiryInterval(SessionExpiryInterval::new(3600)?);
    let packet =
        Connect::builder().client_id("bench")?.keep_alive(60).clean_start(false).props(vec![session_expiry]).build()?;
    connect(stage, client, packet).await
}

/// Receives packets until there were so many of a kind.
async fn wait_for(client: &Client, count: u32, is_counted: impl Fn(&Packet) -> bool) -> Result<(), Unable> {
    let mut counted = 0;
    while counted < count {
        if is_counted(&client.recv().await?) {
            counted += 1;
        }
    }
    Ok(())
}

/// Sends messages.
async fn submit(client: &Client, payload: &ArcPayload, qos: Qos, count: u32) -> Result<(), Unable> {
    for _ in 0..count {
        let packet_id = match qos {
            Qos::AtMostOnce => None,
            _ => Some(client.acquire_packet_id_when_available().await?),
        };
        let message =
            Publish::builder().topic_name(TOPIC)?.qos(qos).packet_id(packet_id).payload(payload.clone()).build()?;
        client.send(message).await?;
    }
    Ok(())
}

/// Whether this is the last packet of a message that was sent.
fn is_last_acknowledgement(packet: &Packet) -> bool {
    matches!(packet, Packet::V5_0Puback(_) | Packet::V5_0Pubcomp(_))
}

async fn publish(stage: &Stage, qos: Qos, size: usize, pace: Pace) -> Result<(), Unable> {
    let client = within(open(stage)).await?;
    let payload = vec![b'x'; size].into_payload();
    measure(stage, async |count| match pace {
        _ if qos == Qos::AtMostOnce => submit(&client, &payload, qos, count).await,
        Pace::Awaited => publish_in_turn(&client, &payload, qos, count).await,
        Pace::Pipelined => publish_pipelined(&client, &payload, qos, count).await,
    })
    .await
}

async fn publish_in_turn(client: &Client, payload: &ArcPayload, qos: Qos, count: u32) -> Result<(), Unable> {
    for _ in 0..count {
        submit(client, payload, qos, 1).await?;
        wait_for(client, 1, is_last_acknowledgement).await?;
    }
    Ok(())
}

async fn publish_pipelined(client: &Client, payload: &ArcPayload, qos: Qos, count: u32) -> Result<(), Unable> {
    let acknowledged = wait_for(client, count, is_last_acknowledgement);
    tokio::try_join!(submit(client, payload, qos, count), acknowledged).map(drop)
}

async fn subscribe(client: &Client, entries: Vec<SubEntry>) -> Result<(), Unable> {
    let packet_id = client.acquire_packet_id().await?;
    client.send(Subscribe::builder().packet_id(packet_id).entries(entries).build()?).await?;
    wait_for(client, 1, |packet| matches!(packet, Packet::V5_0Suback(_))).await
}

/// Subscribes to the topic of all messages.
async fn subscribe_to_topic(client: &Client, qos: Qos) -> Result<(), Unable> {
    let entry = SubEntry::new(TOPIC, SubOpts::new().set_qos(qos))?;
    within(subscribe(client, vec![entry])).await
}

async fn receive(stage: &Stage, qos: Qos) -> Result<(), Unable> {
    let client = within(open(stage)).await?;
    subscribe_to_topic(&client, qos).await?;
    measure(stage, async |count| {
        stage.send(count);
        wait_for(&client, count, |packet| matches!(packet, Packet::V5_0Publish(_))).await
    })
    .await
}

async fn exchange(stage: &Stage, size: usize) -> Result<(), Unable> {
    let client = within(open(stage)).await?;
    subscribe_to_topic(&client, Qos::AtLeastOnce).await?;
    let payload = vec![b'x'; size].into_payload();
    measure(stage, async |count| publish_and_receive(&client, &payload, count).await).await
}

/// Publishes messages and receives them again, in whatever order that goes.
async fn publish_and_receive(client: &Client, payload: &ArcPayload, count: u32) -> Result<(), Unable> {
    let is_counted = |packet: &Packet| matches!(packet, Packet::V5_0Puback(_) | Packet::V5_0Publish(_));
    tokio::try_join!(submit(client, payload, Qos::AtLeastOnce, count), wait_for(client, 2 * count, is_counted))
        .map(drop)
}

async fn connect_and_disconnect(stage: &Stage, count: u32) -> Result<(), Unable> {
    for _ in 0..count {
        let client = open(stage).await?;
        client.send(Disconnect::builder().build()?).await?;
        client.close().await?;
    }
    Ok(())
}

fn reconnect(stage: &Stage, runtime: &Runtime) -> Result<(), Unable> {
    let messages = messages_in_flight(stage)?;
    let client = runtime.block_on(within(publish_unacknowledged(stage, messages)))?;
    measure_reconnect(stage, runtime, resume(stage, &client, messages))
}

async fn publish_unacknowledged(stage: &Stage, messages: u32) -> Result<Client, Unable> {
    let client = Client::new(Version::V5_0);
    connect_to_session(stage, &client).await?;
    submit(&client, &[b'x'; 64].into_payload(), Qos::AtLeastOnce, messages).await?;
    stage.arrived(messages).await;
    Ok(client)
}

/// Connects again when the connection is lost, which is noticed only by who waits for a packet, and has everything
/// acknowledged.
async fn resume(stage: &Stage, client: &Client, messages: u32) -> Result<(), Unable> {
    while client.recv().await.is_ok() {}
    connect_to_session(stage, client).await?;
    wait_for(client, messages, is_last_acknowledgement).await
}

async fn subscribe_many(stage: &Stage, count: u32) -> Result<(), Unable> {
    let client = within(open(stage)).await?;
    let options = SubOpts::new().set_qos(Qos::AtLeastOnce);
    let entries: Result<Vec<_>, _> =
        (0..count).map(|number| SubEntry::new(format!("bench/{number}/+"), options)).collect();
    let entries = entries?;
    stage.begin();
    within(subscribe(&client, entries)).await?;
    stage.end();
    Ok(())
}

async fn idle(stage: &Stage, milliseconds: u32) -> Result<(), Unable> {
    let client = within(open(stage)).await?;
    subscribe_to_topic(&client, Qos::AtMostOnce).await?;
    stage.begin();
    // It waits for a packet all the time, as who is subscribed does; none of them counts.
    if let Ok(ended) = timeout(Duration::from_millis(milliseconds.into()), wait_for(&client, 1, |_| false)).await {
        return ended;
    }
    stage.end();
    Ok(())
}
