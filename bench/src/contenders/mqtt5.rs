//! mqtt5, by its `MqttClient`, which has TCP_NODELAY on. A call that publishes at QoS 1 or 2 awaits the
//! acknowledgement, so that messages are pipelined by calls from several tasks. Its automatic reconnecting waits for a
//! second or two first: it is off in that job, and the client told to connect again. `subscribe_many` sends one topic
//! filter a packet.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use mqtt5::{ConnectOptions, ConnectionEvent, Message, MqttClient, PublishOutcome, QoS, SubscribeOptions};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use super::Unable;
use super::runtime::{current_thread, measure, measure_reconnect, messages_in_flight, within};
use crate::job::{Job, Pace, TOPIC, Work};
use crate::stage::Stage;

/// As many tasks publish at the same time, each one message after the other.
const PUBLISHERS: u32 = 256;

/// What becomes of tasks that publish.
type Publishers = JoinSet<Result<(), Unable>>;

pub(crate) fn run(stage: &Stage) -> Result<(), Unable> {
    let runtime = current_thread()?;
    let Job { work, operations, .. } = stage.job();
    match work {
        Work::Publish { qos, size, pace } => runtime.block_on(publish(stage, qos.into(), size, pace)),
        Work::Receive { qos, .. } => runtime.block_on(receive(stage, qos.into())),
        Work::Mixed { size } => runtime.block_on(exchange(stage, size)),
        Work::Connect => runtime.block_on(measure(stage, async |count| connect_and_disconnect(stage, count).await)),
        Work::Reconnect => reconnect(stage, &runtime),
        Work::Resume => Err(Unable::Lacks("TLS, as it is built here")),
        Work::Subscribe => runtime.block_on(subscribe_many(stage, operations)),
        Work::Idle => runtime.block_on(idle(stage, operations)),
    }
}

fn options() -> ConnectOptions {
    ConnectOptions::new("bench")
}

async fn connect(stage: &Stage, client: &MqttClient) -> Result<(), Unable> {
    client.connect(&format!("mqtt://{}", stage.address())).await?;
    Ok(())
}

async fn open(stage: &Stage) -> Result<MqttClient, Unable> {
    let client = MqttClient::with_options(options());
    connect(stage, &client).await?;
    Ok(client)
}

async fn publish(stage: &Stage, qos: QoS, size: usize, pace: Pace) -> Result<(), Unable> {
    let client = within(open(stage)).await?;
    let payload = payload(size);
    measure(stage, async |count| match pace {
        Pace::Pipelined if qos != QoS::AtMostOnce => join(publish_from_tasks(&client, &payload, qos, count)).await,
        _ => publish_in_turn(client.clone(), Arc::clone(&payload), qos, count).await,
    })
    .await
}

fn payload(size: usize) -> Arc<[u8]> {
    vec![b'x'; size].into()
}

/// Publishes the next message when the one before is written, at QoS 0, or acknowledged.
async fn publish_in_turn(client: MqttClient, payload: Arc<[u8]>, qos: QoS, count: u32) -> Result<(), Unable> {
    for _ in 0..count {
        let result = client.publish_qos(TOPIC, payload.to_vec(), qos).await?;
        let outcome = result.outcome().await;
        if !matches!(outcome, PublishOutcome::Delivered(_)) {
            return Err(Unable::Failed(format!("{outcome:?}")));
        }
    }
    Ok(())
}

/// Has each task publish its share of the messages.
fn publish_from_tasks(client: &MqttClient, payload: &Arc<[u8]>, qos: QoS, count: u32) -> Publishers {
    let share = |publisher: u32| count / PUBLISHERS + u32::from(publisher < count % PUBLISHERS);
    let publish = |publisher| publish_in_turn(client.clone(), Arc::clone(payload), qos, share(publisher));
    (0..PUBLISHERS).map(publish).collect()
}

/// Waits until the tasks are through.
async fn join(mut publishers: Publishers) -> Result<(), Unable> {
    while let Some(done) = publishers.join_next().await {
        done??;
    }
    Ok(())
}

/// Subscribes to the topic; what is returned has a permit for each message that has come.
async fn subscribe(client: &MqttClient, qos: QoS) -> Result<Arc<Semaphore>, Unable> {
    let received = Arc::new(Semaphore::new(0));
    let counter = Arc::clone(&received);
    let options = SubscribeOptions { qos, ..SubscribeOptions::default() };
    let callback = move |message: Message| {
        black_box(message.payload.len());
        counter.add_permits(1);
    };
    client.subscribe_with_options(TOPIC, options, callback).await?;
    Ok(received)
}

/// Waits until so many messages have come.
async fn take(received: &Semaphore, count: u32) -> Result<(), Unable> {
    received.acquire_many(count).await?.forget();
    Ok(())
}

async fn receive(stage: &Stage, qos: QoS) -> Result<(), Unable> {
    let client = within(open(stage)).await?;
    let received = within(subscribe(&client, qos)).await?;
    measure(stage, async |count| {
        stage.send(count);
        take(&received, count).await
    })
    .await
}

async fn exchange(stage: &Stage, size: usize) -> Result<(), Unable> {
    let client = within(open(stage)).await?;
    let received = within(subscribe(&client, QoS::AtLeastOnce)).await?;
    let payload = payload(size);
    measure(stage, async |count| {
        join(publish_from_tasks(&client, &payload, QoS::AtLeastOnce, count)).await?;
        take(&received, count).await
    })
    .await
}

async fn connect_and_disconnect(stage: &Stage, count: u32) -> Result<(), Unable> {
    for _ in 0..count {
        open(stage).await?.disconnect().await?;
    }
    Ok(())
}

fn reconnect(stage: &Stage, runtime: &Runtime) -> Result<(), Unable> {
    let messages = messages_in_flight(stage)?;
    let options = options().with_clean_start(false).with_session_expiry_interval(3600).with_automatic_reconnect(false);
    let client = MqttClient::with_options(options);
    let lost = Arc::new(Notify::new());
    let publishers = runtime.block_on(within(publish_unacknowledged(stage, &client, &lost, messages)))?;
    measure_reconnect(stage, runtime, resume(stage, &client, &lost, publishers))
}

/// Connects, and publishes each message from a task of its own, which then waits. `lost` is notified when the
/// connection is.
async fn publish_unacknowledged(
    stage: &Stage,
    client: &MqttClient,
    lost: &Arc<Notify>,
    messages: u32,
) -> Result<Publishers, Unable> {
    let notify = Arc::clone(lost);
    let callback = move |event: ConnectionEvent| {
        if matches!(event, ConnectionEvent::Disconnected { .. }) {
            notify.notify_one();
        }
    };
    client.on_connection_event(callback).await?;
    connect(stage, client).await?;
    let payload = payload(64);
    let publish = |_| publish_in_turn(client.clone(), Arc::clone(&payload), QoS::AtLeastOnce, 1);
    let publishers: Publishers = (0..messages).map(publish).collect();
    stage.arrived(messages).await;
    Ok(publishers)
}

/// Connects again when the connection is lost, and has everything acknowledged.
async fn resume(stage: &Stage, client: &MqttClient, lost: &Notify, publishers: Publishers) -> Result<(), Unable> {
    lost.notified().await;
    connect(stage, client).await?;
    join(publishers).await
}

async fn subscribe_many(stage: &Stage, count: u32) -> Result<(), Unable> {
    let client = within(open(stage)).await?;
    let filters: Vec<String> = (0..count).map(|number| format!("bench/{number}/+")).collect();
    let topics = filters.iter().map(|filter| (filter.as_str(), QoS::AtLeastOnce)).collect();
    stage.begin();
    within(subscribe_to(&client, topics)).await?;
    stage.end();
    Ok(())
}

async fn subscribe_to(client: &MqttClient, topics: Vec<(&str, QoS)>) -> Result<(), Unable> {
    client.subscribe_many(topics, |_| {}).await?;
    Ok(())
}

async fn idle(stage: &Stage, milliseconds: u32) -> Result<(), Unable> {
    let client = within(open(stage)).await?;
    within(subscribe(&client, QoS::AtMostOnce)).await?;
    stage.begin();
    tokio::time::sleep(Duration::from_millis(milliseconds.into())).await;
    stage.end();
    Ok(())
}
