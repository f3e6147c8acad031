//! Who asks: the blocking client, and those that run on tokio.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use host_tests::broker::url;
use mqtt_wasi::transport::TcpTransport;
use mqtt_wasi::{AsyncClient, Client, Options, PendingReply, Publish, QoS};
use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::v5::{Packet, PublishProperties};
use rumqttc::v5::{Event, EventLoop, MqttOptions, mqttbytes};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::{Load, PATIENCE, PAYLOAD, TOPIC};

const CONNECTS: &str = "the broker takes the requester";
const ANSWERS: &str = "a reply in time";

/// Asks over the blocking client.
pub(super) fn blocking(broker: SocketAddr, load: Load) -> Vec<Duration> {
    let mut client = Client::connect(&url(broker), Options::new()).expect(CONNECTS);
    let request = Publish::new(TOPIC, PAYLOAD).qos(load.qos);
    let mut ask = |requests| match load.in_flight {
        1 => ask_in_turn(&mut client, &request, requests),
        in_flight => ask_ahead(&mut client, &request, requests, in_flight),
    };
    ask(load.warm_up);
    ask(load.requests)
}

fn ask_in_turn(client: &mut Client<TcpTransport>, request: &Publish<'_>, requests: usize) -> Vec<Duration> {
    let ask = |_| {
        let start = Instant::now();
        let reply = client.request(request, PATIENCE).expect(ANSWERS);
        let latency = start.elapsed();
        assert_eq!(reply.payload, PAYLOAD);
        latency
    };
    (0..requests).map(ask).collect()
}

/// Keeps `in_flight` requests waiting. They leave when there is no reply to take.
fn ask_ahead(
    client: &mut Client<TcpTransport>,
    request: &Publish<'_>,
    requests: usize,
    in_flight: usize,
) -> Vec<Duration> {
    let mut waiting = VecDeque::new();
    let mut latencies = Vec::with_capacity(requests);
    for _ in 0..requests {
        if waiting.len() == in_flight {
            latencies.extend(take_first(client, &mut waiting));
        }
        let start = Instant::now();
        waiting.push_back((start, client.start_request(request, PATIENCE).expect("room for it")));
    }
    while let Some(latency) = take_first(client, &mut waiting) {
        latencies.push(latency);
    }
    latencies
}

/// Waits for the reply to the request that has waited longest; `None` when none waits.
fn take_first(client: &mut Client<TcpTransport>, waiting: &mut VecDeque<(Instant, PendingReply)>) -> Option<Duration> {
    let (start, pending) = waiting.pop_front()?;
    let reply = client.wait_for_reply(pending).expect(ANSWERS);
    let latency = start.elapsed();
    assert_eq!(reply.payload, PAYLOAD);
    Some(latency)
}

/// A client on tokio that sends requests, from any number of tasks at the same time.
pub(super) trait Requester: Clone + Send + Sync + 'static {
    /// Connects to a broker.
    async fn open(broker: SocketAddr) -> Self;

    /// Asks, and returns what the reply says.
    fn ask(&self, qos: QoS) -> impl Future<Output = Vec<u8>> + Send;
}

/// Asks in a runtime of the kind `current_thread`.
pub(super) fn on_one_thread<R: Requester>(broker: SocketAddr, load: Load) -> Vec<Duration> {
    on_tokio::<R>(Builder::new_current_thread().enable_all().build().expect("a runtime"), broker, load)
}

/// Asks in a runtime of the kind `multi_thread`.
pub(super) fn on_two_threads<R: Requester>(broker: SocketAddr, load: Load) -> Vec<Duration> {
    on_tokio::<R>(Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime"), broker, load)
}

fn on_tokio<R: Requester>(runtime: Runtime, broker: SocketAddr, load: Load) -> Vec<Duration> {
    runtime.block_on(async {
        let requester = R::open(broker).await;
        ask_from_tasks(&requester, load, load.warm_up).await;
        ask_from_tasks(&requester, load, load.requests).await
    })
}

/// As many tasks as requests are to be in flight, which each ask one after the other.
async fn ask_from_tasks(requester: &impl Requester, load: Load, requests: usize) -> Vec<Duration> {
    let share = requests.div_ceil(load.in_flight);
    let task = |_| tokio::spawn(ask_one_by_one(requester.clone(), load.qos, share));
    let tasks: Vec<_> = (0..load.in_flight).map(task).collect();
    let mut latencies = Vec::with_capacity(share * load.in_flight);
    for task in tasks {
        latencies.extend(task.await.expect("a reply to each request"));
    }
    latencies
}

async fn ask_one_by_one(requester: impl Requester, qos: QoS, requests: usize) -> Vec<Duration> {
    let mut latencies = Vec::with_capacity(requests);
    for _ in 0..requests {
        let start = Instant::now();
        let reply = requester.ask(qos).await;
        latencies.push(start.elapsed());
        assert_eq!(reply, PAYLOAD);
    }
    latencies
}

impl Requester for AsyncClient {
    async fn open(broker: SocketAddr) -> Self {
        Self::connect(&url(broker), Options::new()).await.expect(CONNECTS)
    }

    async fn ask(&self, qos: QoS) -> Vec<u8> {
        let request = Publish::new(TOPIC, PAYLOAD).qos(qos);
        self.request(&request, PATIENCE).await.expect(ANSWERS).payload
    }
}

/// This client as it was published before, which asks on tokio only. It leaves Nagle's algorithm on.
#[derive(Clone)]
pub(super) struct Seed(seed::AsyncMqttClient);

impl Requester for Seed {
    async fn open(broker: SocketAddr) -> Self {
        let options = seed::ConnectOptions::new("bench-seed");
        let (client, connection) = seed::AsyncMqttClient::connect(broker, options).expect(CONNECTS);
        tokio::spawn(connection.run());
        Self(client)
    }

    async fn ask(&self, qos: QoS) -> Vec<u8> {
        let qos = if qos == QoS::AtMostOnce { seed::QoS::AtMostOnce } else { seed::QoS::AtLeastOnce };
        let options = seed::RequestOptions::new("bench/replies/seed").with_qos(qos).with_timeout(PATIENCE);
        self.0.request(TOPIC, PAYLOAD, options).await.expect(ANSWERS).payload
    }
}

/// rumqttc, and around it what one writes to ask with it.
#[derive(Clone)]
pub(super) struct Rumqttc {
    client: rumqttc::v5::AsyncClient,
    waiting: Waiting,
}

/// Who waits for a reply, by the number in its Correlation Data.
type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Vec<u8>>>>>;

impl Rumqttc {
    const REPLIES: &str = "bench/replies/rumqttc";

    /// A number that no request had before, over no connection: the responder takes it for the same request otherwise.
    fn number() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// Hands out replies until the connection ends.
    async fn deliver(mut events: EventLoop, waiting: Waiting) {
        while let Ok(event) = events.poll().await {
            if let Event::Incoming(Packet::Publish(reply)) = event
                && let Some(correlation) = reply.properties.and_then(|properties| properties.correlation_data)
                && let Ok(number) = <[u8; 8]>::try_from(&correlation[..]).map(u64::from_be_bytes)
                && let Some(waiting) = take(&waiting, number)
            {
                // It may have given up.
                let _ = waiting.send(reply.payload.to_vec());
            }
        }
    }
}

fn take(waiting: &Waiting, number: u64) -> Option<oneshot::Sender<Vec<u8>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number)
}

impl Requester for Rumqttc {
    async fn open(broker: SocketAddr) -> Self {
        let mut options = MqttOptions::new("bench-rumqttc", broker.ip().to_string(), broker.port());
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (client, mut events) = rumqttc::v5::AsyncClient::new(options, 128);
        client.subscribe(Self::REPLIES, mqttbytes::QoS::AtLeastOnce).await.expect("room for it");
        while !matches!(events.poll().await.expect(CONNECTS), Event::Incoming(Packet::SubAck(_))) {}
        let waiting = Waiting::default();
        tokio::spawn(Self::deliver(events, Arc::clone(&waiting)));
        Self { client, waiting }
    }

    async fn ask(&self, qos: QoS) -> Vec<u8> {
        let qos = if qos == QoS::AtMostOnce { mqttbytes::QoS::AtMostOnce } else { mqttbytes::QoS::AtLeastOnce };
        let (replied, reply) = oneshot::channel();
        let number = Self::number();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(number, replied);
        let properties = PublishProperties {
            response_topic: Some(Self::REPLIES.into()),
            correlation_data: Some(number.to_be_bytes().to_vec().into()),
            // As this client does: nobody need work on a request whose requester has given up.
            message_expiry_interval: Some(PATIENCE.as_secs() as u32),
            ..PublishProperties::default()
        };
        self.client
            .publish_with_properties(TOPIC, qos, false, &PAYLOAD[..], properties)
            .await
            .expect("the connection lasts");
        tokio::time::timeout(PATIENCE, reply).await.expect(ANSWERS).expect("the connection lasts")
    }
}
