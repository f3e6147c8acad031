//! Native clients of which there are many in one process, as their documentation shows: those on tokio share a runtime
//! of one thread, and each is driven by a task. The Keep Alive and TCP_NODELAY are set alike.

use std::time::Duration;

use mqtt_wasi::transport::{TcpTransport, Transport};
use mqtt_wasi::{AsyncClient, Client, Options};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::attend::{self, Attended};
use super::hall::{FIRST, Hall, SETTLING};
use super::{Contender, KEEP_ALIVE};
use crate::contenders::{Unable, current_thread};

/// The first two are ours.
pub(super) const ALL: &[Contender] = &[
    Contender { name: "mqtt-wasi, blocking", run: blocking },
    Contender { name: "mqtt-wasi, tokio", run: asynchronous },
    Contender { name: "mqtt-wasi 0.2.0, tokio", run: seed },
    Contender { name: "rumqttc 0.25", run: |hall| rumqttc(hall, None) },
    Contender { name: "rumqttc 0.25, 1,024 in flight", run: |hall| rumqttc(hall, Some(IN_FLIGHT)) },
    Contender { name: "rumqttc-v5-next 0.34", run: |hall| rumqttc_next(hall, None) },
    Contender { name: "rumqttc-v5-next 0.34, 1,024 in flight", run: |hall| rumqttc_next(hall, Some(IN_FLIGHT)) },
    Contender { name: "mqtt5 0.49", run: mqtt5 },
    #[cfg(feature = "paho")]
    Contender { name: "paho-mqtt 0.14", run: paho },
    Contender { name: "mqtt-endpoint-tokio 0.6", run: endpoint },
];

/// What the two clients by the same author and their fork have as the capacity of their channel in their examples.
const CAPACITY: usize = 10;

/// How many messages are in flight at most where that is bounded, as many as this client has by default: rumqttc has
/// room for all that may be.
const IN_FLIGHT: u16 = 1024;

fn blocking(hall: &mut Hall) -> Result<(), Unable> {
    attend::gather(hall, |hall| Ok(Client::connect(&hall.url(), Options::new().keep_alive(KEEP_ALIVE))?))
}

impl Attended for Client<TcpTransport> {
    fn left(&mut self) -> Option<Duration> {
        let now = self.transport()?.now();
        Some(self.deadline()?.saturating_duration_since(now))
    }

    fn serve(&mut self) -> Result<(), Unable> {
        self.receive_timeout(Duration::ZERO)?;
        Ok(())
    }
}

/// Connects clients that tasks of the runtime keep alive, and lets them.
fn gather<C>(
    hall: &mut Hall,
    connect: impl AsyncFn(&Hall) -> Result<C, Unable>,
    is_alive: impl AsyncFn(&C) -> bool,
) -> Result<(), Unable> {
    current_thread()?.block_on(async {
        let mut clients = Vec::with_capacity(hall.all());
        for _ in 0..FIRST {
            clients.push(connect(hall).await?);
        }
        hall.begin();
        while hall.has_room() {
            clients.push(connect(hall).await?);
        }
        hall.connected();
        sleep(SETTLING).await;
        hall.settled();
        sleep(hall.idle()).await;
        hall.end();
        for client in &clients {
            if !is_alive(client).await {
                return Err("a connection was lost".into());
            }
        }
        Ok(())
    })
}

fn asynchronous(hall: &mut Hall) -> Result<(), Unable> {
    let connect =
        async |hall: &Hall| Ok(AsyncClient::connect(&hall.url(), Options::new().keep_alive(KEEP_ALIVE)).await?);
    gather(hall, connect, async |client| client.is_connected())
}

/// A client, and what drives it.
struct Driven<C> {
    _client: C,
    driver: JoinHandle<()>,
}

impl<C> Driven<C> {
    fn new(client: C, drive: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { _client: client, driver: tokio::spawn(drive) }
    }
}

/// Of clients that tasks drive.
fn gather_driven<C>(hall: &mut Hall, connect: impl AsyncFn(&Hall) -> Result<Driven<C>, Unable>) -> Result<(), Unable> {
    gather(hall, connect, async |client| !client.driver.is_finished())
}

/// It looks every 2 ms whether something has arrived.
fn seed(hall: &mut Hall) -> Result<(), Unable> {
    use seed::{AsyncMqttClient, ConnectOptions};

    gather_driven(hall, async |hall| {
        let options = ConnectOptions::new("bench").with_keep_alive(KEEP_ALIVE);
        let (client, connection) = AsyncMqttClient::connect(hall.address(), options)?;
        // Whoever waits for a connection to end has its error too, which here is that it ends.
        Ok(Driven::new(client, async { drop(connection.run().await) }))
    })
}

fn rumqttc(hall: &mut Hall, in_flight: Option<u16>) -> Result<(), Unable> {
    use rumqttc::NetworkOptions;
    use rumqttc::v5::mqttbytes::v5::Packet;
    use rumqttc::v5::{AsyncClient, Event, MqttOptions};

    gather_driven(hall, async |hall| {
        let address = hall.address();
        let mut options = MqttOptions::new("bench", address.ip().to_string(), address.port());
        options.set_keep_alive(Duration::from_secs(KEEP_ALIVE.into()));
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        if let Some(messages) = in_flight {
            options.set_outgoing_inflight_upper_limit(messages);
        }
        let (client, mut events) = AsyncClient::new(options, CAPACITY);
        while !matches!(events.poll().await?, Event::Incoming(Packet::ConnAck(_))) {}
        Ok(Driven::new(client, async move { while events.poll().await.is_ok() {} }))
    })
}

fn rumqttc_next(hall: &mut Hall, in_flight: Option<u16>) -> Result<(), Unable> {
    use rumqttc_next::mqttbytes::v5::Packet;
    use rumqttc_next::{AsyncClient, Event, MqttOptions, NetworkOptions};

    gather_driven(hall, async |hall| {
        let address = hall.address();
        let mut options = MqttOptions::new("bench", (address.ip().to_string(), address.port()));
        options.set_keep_alive(KEEP_ALIVE);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        if let Some(messages) = in_flight {
            options.set_outgoing_inflight_upper_limit(messages);
        }
        let (client, mut events) = AsyncClient::builder(options).capacity(CAPACITY).build();
        while !matches!(events.poll().await?, Event::Incoming(Packet::ConnAck(_))) {}
        Ok(Driven::new(client, async move { while events.poll().await.is_ok() {} }))
    })
}

fn mqtt5(hall: &mut Hall) -> Result<(), Unable> {
    use mqtt5::{ConnectOptions, MqttClient};

    let connect = async |hall: &Hall| {
        let options = ConnectOptions::new("bench").with_keep_alive(Duration::from_secs(KEEP_ALIVE.into()));
        let client = MqttClient::with_options(options);
        client.connect(&hall.url()).await?;
        Ok(client)
    };
    gather(hall, connect, MqttClient::is_connected)
}

/// All clients of a process share two threads.
#[cfg(feature = "paho")]
fn paho(hall: &mut Hall) -> Result<(), Unable> {
    use paho_mqtt::{ConnectOptionsBuilder, CreateOptionsBuilder};

    let connect = async |hall: &Hall| {
        let client = CreateOptionsBuilder::new().server_uri(hall.url()).client_id("bench").create_client()?;
        let keep_alive = Duration::from_secs(KEEP_ALIVE.into());
        client.connect(ConnectOptionsBuilder::new_v5().keep_alive_interval(keep_alive).finalize()).wait()?;
        Ok(client)
    };
    gather(hall, connect, async |client| client.is_connected())
}

fn endpoint(hall: &mut Hall) -> Result<(), Unable> {
    use mqtt_endpoint_tokio::mqtt_ep::packet::Packet;
    use mqtt_endpoint_tokio::mqtt_ep::packet::v5_0::Connect;
    use mqtt_endpoint_tokio::mqtt_ep::transport::{TcpTransport, connect_helper};
    use mqtt_endpoint_tokio::mqtt_ep::{ConnectionOption, Endpoint, Mode, Version, role};

    gather_driven(hall, async |hall| {
        let client = Endpoint::<role::Client>::new(Version::V5_0);
        let stream = connect_helper::connect_tcp(&hall.address().to_string(), None).await?;
        stream.set_nodelay(true)?;
        let options = ConnectionOption::builder().build()?;
        client.attach_with_options(TcpTransport::from_stream(stream), Mode::Client, options).await?;
        client.send(Connect::builder().client_id("bench")?.keep_alive(KEEP_ALIVE).clean_start(true).build()?).await?;
        while !matches!(client.recv().await?, Packet::V5_0Connack(_)) {}
        Ok(Driven::new((), async move { while client.recv().await.is_ok() {} }))
    })
}
