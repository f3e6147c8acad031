//! This client as it was published before, version 0.2.0: the blocking one, and the async one on a runtime of one
//! thread.
//!
//! The async one takes 64 operations at a time, and refuses more. It looks every 2 ms whether something has arrived.
//! Its connection ends when more messages arrive at once than it has room for, which is 256 by default: at QoS 0
//! nothing holds the sink back, so there it has room for 65,535. It may queue 8 MiB instead of 4 MiB, since 64 messages
//! of 64 KiB are a little more than that. It has no option for TCP_NODELAY, and leaves Nagle's algorithm on.

use std::hint::black_box;
use std::iter::StepBy;
use std::ops::Range;
use std::time::Duration;

use futures::future::try_join_all;
use seed::{AsyncMqttClient, ConnectOptions, Error, Event, PublishOptions, QoS};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::Unable;
use super::seed_blocking::{self, SESSIONS, level};
use crate::job::{Job, Pace, TOPIC, Work};
use crate::stage::Stage;

/// How long a job may take until it counts as stalled.
const PATIENCE: Duration = Duration::from_secs(60);

/// As many operations the client takes at a time by default.
const TOGETHER: u32 = 64;

pub(crate) fn blocking(stage: &Stage) -> Result<(), Unable> {
    seed_blocking::run(stage)
}

pub(crate) fn tokio(stage: &Stage) -> Result<(), Unable> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { timeout(PATIENCE, run(stage)).await.map_err(|_| "stalled")? })
}

async fn run(stage: &Stage) -> Result<(), Unable> {
    let Job { work, operations, warm_up } = stage.job();
    match work {
        Work::Publish { qos, size, pace } => {
            let qos = level(qos)?;
            let Connection { client, .. } = Connection::open(stage, options())?;
            let payload = vec![b'x'; size];
            publish(&client, &payload, qos, pace, warm_up).await?;
            stage.arrived(warm_up).await;
            stage.begin();
            publish(&client, &payload, qos, pace, operations).await?;
            stage.arrived(warm_up + operations).await;
            stage.end();
        }
        Work::Receive { qos, .. } => {
            let room = if qos == 0 { options().with_event_capacity(65_535) } else { options() };
            let qos = level(qos)?;
            let mut connection = Connection::open(stage, room)?;
            connection.client.subscribe(TOPIC, qos).await?;
            stage.send(warm_up);
            connection.receive(warm_up).await?;
            stage.begin();
            stage.send(operations);
            connection.receive(operations).await?;
            stage.end();
        }
        Work::Mixed { size } => {
            let mut connection = Connection::open(stage, options())?;
            connection.client.subscribe(TOPIC, QoS::AtLeastOnce).await?;
            let payload = vec![b'x'; size];
            exchange(&mut connection, &payload, warm_up).await?;
            stage.begin();
            exchange(&mut connection, &payload, operations).await?;
            stage.end();
        }
        Work::Connect => {
            connect_and_disconnect(stage, warm_up).await?;
            stage.begin();
            connect_and_disconnect(stage, operations).await?;
            stage.end();
        }
        Work::Reconnect => return Err(Unable::Lacks(SESSIONS)),
        Work::Resume => return Err(Unable::Lacks("TLS, as it is built here")),
        Work::Subscribe => {
            let Connection { client, .. } = Connection::open(stage, options())?;
            let filters: Vec<Vec<String>> =
                shares(operations).map(|share| share.map(|number| format!("bench/{number}/+")).collect()).collect();
            stage.begin();
            try_join_all(filters.into_iter().map(|share| subscribe_in_turn(&client, share))).await?;
            stage.end();
        }
        Work::Idle => {
            let connection = Connection::open(stage, options())?;
            connection.client.subscribe(TOPIC, QoS::AtMostOnce).await?;
            stage.begin();
            sleep(Duration::from_millis(operations.into())).await;
            stage.end();
        }
    }
    Ok(())
}

fn options() -> ConnectOptions {
    ConnectOptions::new("bench").with_max_outbound_queue_bytes(8 << 20)
}

/// A connection, and the task that drives it. When the runtime ends, so does the task, and the connection is closed.
struct Connection {
    client: AsyncMqttClient,
    driver: JoinHandle<Result<(), Error>>,
}

impl Connection {
    fn open(stage: &Stage, options: ConnectOptions) -> Result<Self, Error> {
        let (client, connection) = AsyncMqttClient::connect(stage.address(), options)?;
        Ok(Self { client, driver: tokio::spawn(connection.run()) })
    }

    async fn receive(&mut self, count: u32) -> Result<(), Unable> {
        for _ in 0..count {
            let Some(Event::Publish(message)) = self.client.next_event().await else {
                // It knows why.
                (&mut self.driver).await??;
                return Err("the connection ended".into());
            };
            black_box(message.payload.len());
        }
        Ok(())
    }

    async fn close(self) -> Result<(), Unable> {
        self.client.disconnect().await?;
        Ok(self.driver.await??)
    }
}

async fn publish(client: &AsyncMqttClient, payload: &[u8], qos: QoS, pace: Pace, count: u32) -> Result<(), Error> {
    match pace {
        Pace::Awaited => publish_in_turn(client, payload, qos, 0..count).await,
        Pace::Pipelined => {
            try_join_all(shares(count).map(|share| publish_in_turn(client, payload, qos, share))).await.map(drop)
        }
    }
}

/// The numbers below `count`, in as many parts as the client takes operations at a time.
fn shares(count: u32) -> impl Iterator<Item = StepBy<Range<u32>>> {
    (0..TOGETHER).map(move |first| (first..count).step_by(TOGETHER as usize))
}

async fn publish_in_turn(
    client: &AsyncMqttClient,
    payload: &[u8],
    qos: QoS,
    share: impl Iterator<Item = u32>,
) -> Result<(), Error> {
    for _ in share {
        client.publish(TOPIC, payload, PublishOptions::default().with_qos(qos)).await?;
    }
    Ok(())
}

async fn subscribe_in_turn(client: &AsyncMqttClient, filters: Vec<String>) -> Result<(), Error> {
    for filter in filters {
        client.subscribe(filter, QoS::AtLeastOnce).await?;
    }
    Ok(())
}

/// Publishes messages and receives them again, at the same time.
async fn exchange(connection: &mut Connection, payload: &[u8], count: u32) -> Result<(), Unable> {
    let client = connection.client.clone();
    let publishing =
        async { publish(&client, payload, QoS::AtLeastOnce, Pace::Pipelined, count).await.map_err(Unable::from) };
    tokio::try_join!(publishing, connection.receive(count)).map(drop)
}

async fn connect_and_disconnect(stage: &Stage, count: u32) -> Result<(), Unable> {
    for _ in 0..count {
        Connection::open(stage, options())?.close().await?;
    }
    Ok(())
}
