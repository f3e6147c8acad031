//! The load job alone, with the clients that it compares and nothing else: messages published at QoS 1 and received
//! again at QoS 1. `cargo xtask bench --scale` runs it in little memory. It prints how many nanoseconds that took.

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{env, hint};

use bytes::Bytes;
use futures::{TryStreamExt, future, stream};
use mqtt_wasi::{AsyncClient, Client, Options, Publish, QoS, Subscription};

/// The topic of every message.
const TOPIC: &str = "bench/kitchen/temperature";

/// As many calls of the async client wait for their acknowledgements at the same time.
const TOGETHER: usize = 1024;

/// How many requests wait for an event loop at most.
const CAPACITY: usize = 128;

/// How many messages are in flight at most where that is bounded: as many as this client has by default.
const IN_FLIGHT: u16 = 1024;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What is to be done.
struct Load {
    address: SocketAddr,
    messages: u32,
    payload: Vec<u8>,
}

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [contender, address, messages, size] = args.as_slice() else { return Err("four arguments".into()) };
    let load = Load { address: address.parse()?, messages: messages.parse()?, payload: vec![b'x'; size.parse()?] };
    let time = match contender.as_str() {
        "mqtt-wasi, blocking" => blocking(&load)?,
        "mqtt-wasi, tokio" => on_tokio(asynchronous(&load))?,
        "rumqttc 0.25" => on_tokio(rumqttc(&load, None))?,
        "rumqttc 0.25, 1,024 in flight" => on_tokio(rumqttc(&load, Some(IN_FLIGHT)))?,
        "rumqttc-v5-next 0.34" => on_tokio(rumqttc_next(&load, None))?,
        "rumqttc-v5-next 0.34, 1,024 in flight" => on_tokio(rumqttc_next(&load, Some(IN_FLIGHT)))?,
        _ => return Err("no such contender".into()),
    };
    println!("{}", time.as_nanos());
    Ok(())
}

fn on_tokio(run: impl Future<Output = Result<Duration>>) -> Result<Duration> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run)
}

impl Load {
    fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    fn message(&self) -> Publish<'_> {
        Publish::new(TOPIC, &self.payload).qos(QoS::AtLeastOnce)
    }
}

fn blocking(load: &Load) -> Result<Duration> {
    let mut client = Client::connect(&load.url(), Options::new())?;
    client.subscribe(&[Subscription::new(TOPIC, QoS::AtLeastOnce)])?;
    let start = Instant::now();
    let mut received = 0;
    for _ in 0..load.messages {
        client.enqueue(&load.message())?;
        while client.take_with(|message| hint::black_box(message.payload.len())).is_some() {
            received += 1;
        }
    }
    client.flush()?;
    for _ in received..load.messages {
        client.receive_with(Duration::MAX, |message| hint::black_box(message.payload.len()))?;
    }
    Ok(start.elapsed())
}

async fn asynchronous(load: &Load) -> Result<Duration> {
    let client = AsyncClient::connect(&load.url(), Options::new()).await?;
    let mut messages = client.listen(Subscription::new(TOPIC, QoS::AtLeastOnce)).await?;
    let message = load.message();
    let start = Instant::now();
    let publishing = stream::iter((0..load.messages).map(|_| Ok(client.publish(&message))))
        .try_buffer_unordered(TOGETHER)
        .try_for_each(|_| future::ready(Ok(())));
    let receiving = async {
        for _ in 0..load.messages {
            hint::black_box(messages.receive().await?);
        }
        Ok(())
    };
    tokio::try_join!(publishing, receiving)?;
    Ok(start.elapsed())
}

async fn rumqttc(load: &Load, in_flight: Option<u16>) -> Result<Duration> {
    use rumqttc::NetworkOptions;
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::Packet;
    use rumqttc::v5::{AsyncClient, Event, MqttOptions};

    let mut options = MqttOptions::new("bench", load.address.ip().to_string(), load.address.port());
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    if let Some(messages) = in_flight {
        options.set_outgoing_inflight_upper_limit(messages);
    }
    let (client, mut events) = AsyncClient::new(options, CAPACITY);
    client.subscribe(TOPIC, QoS::AtLeastOnce).await?;
    while !matches!(events.poll().await?, Event::Incoming(Packet::SubAck(_))) {}
    let start = Instant::now();
    let (count, payload) = (load.messages, Bytes::copy_from_slice(&load.payload));
    // It fails only when the event loop has ended, which tells why; that ends when there is no client.
    let publisher = client.clone();
    tokio::spawn(async move {
        for _ in 0..count {
            publisher.publish_bytes(TOPIC, QoS::AtLeastOnce, false, payload.clone()).await?;
        }
        Ok::<_, rumqttc::v5::ClientError>(())
    });
    let mut left = 2 * u64::from(load.messages);
    while left > 0 {
        if let Event::Incoming(Packet::PubAck(_) | Packet::Publish(_)) = events.poll().await? {
            left -= 1;
        }
    }
    Ok(start.elapsed())
}

async fn rumqttc_next(load: &Load, in_flight: Option<u16>) -> Result<Duration> {
    use rumqttc_next::mqttbytes::QoS;
    use rumqttc_next::mqttbytes::v5::Packet;
    use rumqttc_next::{AsyncClient, Event, MqttOptions, NetworkOptions, PublishOptions};

    let mut options = MqttOptions::new("bench", (load.address.ip().to_string(), load.address.port()));
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    if let Some(messages) = in_flight {
        options.set_outgoing_inflight_upper_limit(messages);
    }
    let (client, mut events) = AsyncClient::builder(options).capacity(CAPACITY).build();
    client.subscribe(TOPIC, QoS::AtLeastOnce).await?;
    while !matches!(events.poll().await?, Event::Incoming(Packet::SubAck(_))) {}
    let start = Instant::now();
    let (count, payload) = (load.messages, Bytes::copy_from_slice(&load.payload));
    // It fails only when the event loop has ended, which tells why; that ends when there is no client.
    let publisher = client.clone();
    tokio::spawn(async move {
        for _ in 0..count {
            publisher.publish(TOPIC, payload.clone(), PublishOptions::new(QoS::AtLeastOnce)).await?;
        }
        Ok::<_, rumqttc_next::ClientError>(())
    });
    let mut left = 2 * u64::from(load.messages);
    while left > 0 {
        if let Event::Incoming(Packet::PubAck(_) | Packet::Publish(_)) = events.poll().await? {
            left -= 1;
        }
    }
    Ok(start.elapsed())
}
