//! minimq: a client for small devices, in memory that its caller gives it.
//!
//! It runs over tokio's stream with a buffer in each direction, which it allows for, and reads the time by the driver
//! that embassy-time has for std, as its own tests do; that has a thread of its own, which sleeps. Its buffers are made
//! for the job: they hold the largest packet, and as many messages as it keeps in flight, which are eight. It has no
//! call for several messages at once: each is a write of its own.

use std::hint::black_box;
use std::thread::{self, Scope};
use std::time::Duration;

use minimq::{
    Buffers, ConfigBuilder, ConnectEvent, Error, Publication, QoS, Session, SubscriptionOptions, TopicFilter,
};
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::Unable;
use super::rust_mqtt::{Transport, open, within};
use crate::job::{Job, Pace, TOPIC, Work};
use crate::stage::Stage;

/// As many messages it keeps until they are acknowledged, whatever the buffer.
const IN_FLIGHT: usize = 8;

/// More than a packet takes beside its payload or its Topic Filters, in bytes.
const OVERHEAD: usize = 256;

/// More than a Topic Filter takes in SUBSCRIBE, in bytes.
const FILTER: usize = 32;

type Connection<'a, 'buf> = minimq::Connection<'a, 'buf, Transport>;

/// What is published.
#[derive(Clone, Copy)]
struct Outgoing<'a> {
    qos: QoS,
    payload: &'a [u8],
    pace: Pace,
}

pub(crate) fn run(stage: &Stage) -> Result<(), Unable> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::scope(|scope| runtime.block_on(run_async(stage, scope)))
}

async fn run_async<'scope>(stage: &'scope Stage, scope: &'scope Scope<'scope, '_>) -> Result<(), Unable> {
    let Job { work, operations, warm_up } = stage.job();
    let filters = if work == Work::Subscribe { operations as usize } else { 1 };
    let mut rx = vec![0; OVERHEAD + work.size() + filters];
    let mut tx = vec![0; OVERHEAD + IN_FLIGHT * (OVERHEAD + work.size()) + FILTER * filters];
    let config = ConfigBuilder::new(Buffers::new(&mut rx, &mut tx)).client_id("bench-minimq")?;
    if work == Work::Reconnect {
        let mut session = Session::new(config.session_expiry_interval(3600));
        return within(reconnect(&mut session, stage, scope)).await;
    }
    let mut session = Session::new(config);
    if work == Work::Connect {
        connect_and_disconnect(&mut session, stage, warm_up).await?;
        stage.begin();
        connect_and_disconnect(&mut session, stage, operations).await?;
        stage.end();
        return Ok(());
    }
    run_connected(&mut connect(&mut session, stage).await?, stage).await
}

/// The jobs that are done over one connection.
async fn run_connected(connection: &mut Connection<'_, '_>, stage: &Stage) -> Result<(), Unable> {
    let Job { work, operations, warm_up } = stage.job();
    let payload = vec![b'x'; work.size()];
    let qos = level(work.qos());
    match work {
        Work::Publish { pace, .. } => {
            let outgoing = Outgoing { qos, payload: &payload, pace };
            within(publish(connection, outgoing, warm_up, 0)).await?;
            stage.arrived(warm_up).await;
            stage.begin();
            within(publish(connection, outgoing, operations, 0)).await?;
            stage.arrived(warm_up + operations).await;
            stage.end();
        }
        Work::Receive { .. } => {
            within(subscribe(connection, &[filter(TOPIC, qos)])).await?;
            stage.send(warm_up);
            within(receive(connection, warm_up)).await?;
            stage.begin();
            stage.send(operations);
            within(receive(connection, operations)).await?;
            stage.end();
        }
        Work::Mixed { .. } => {
            within(subscribe(connection, &[filter(TOPIC, qos)])).await?;
            let outgoing = Outgoing { qos, payload: &payload, pace: Pace::Pipelined };
            within(publish(connection, outgoing, warm_up, warm_up)).await?;
            stage.begin();
            within(publish(connection, outgoing, operations, operations)).await?;
            stage.end();
        }
        Work::Subscribe => {
            let filters: Vec<String> = (0..operations).map(|number| format!("bench/{number}/+")).collect();
            let filters: Vec<_> = filters.iter().map(|text| filter(text, QoS::AtLeastOnce)).collect();
            stage.begin();
            within(subscribe(connection, &filters)).await?;
            stage.end();
        }
        Work::Connect | Work::Reconnect => unreachable!("they connect by themselves"),
        Work::Resume => return Err(Unable::Lacks("TLS, as it is built here")),
        Work::Idle => {
            within(subscribe(connection, &[filter(TOPIC, qos)])).await?;
            stage.begin();
            if let Ok(ended) = timeout(Duration::from_millis(operations.into()), connection.recv()).await {
                ended?;
            }
            stage.end();
        }
    }
    Ok(())
}

fn level(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

fn filter(text: &str, qos: QoS) -> TopicFilter<'_> {
    TopicFilter::new(text).options(SubscriptionOptions::default().maximum_qos(qos))
}

async fn connect<'a, 'buf>(session: &'a mut Session<'buf>, stage: &Stage) -> Result<Connection<'a, 'buf>, Unable> {
    let transport = open(stage.address()).await?;
    within(async move { session.connect(transport).await.map_err(Unable::from) }).await
}

/// Publishes messages, and waits until all of them are acknowledged and so many have come back.
async fn publish(
    connection: &mut Connection<'_, '_>,
    outgoing: Outgoing<'_>,
    count: u32,
    echoes: u32,
) -> Result<(), Unable> {
    let mut received = 0;
    for _ in 0..count {
        while !is_ready(connection, outgoing) {
            received += poll(connection).await?;
        }
        let message = Publication::bytes(TOPIC, outgoing.payload).qos(outgoing.qos);
        connection.publish(message).await?;
    }
    while !connection.session().is_publish_quiescent() || received < echoes {
        received += poll(connection).await?;
    }
    Ok(())
}

/// Whether it is time for the next message.
fn is_ready(connection: &Connection<'_, '_>, outgoing: Outgoing<'_>) -> bool {
    match outgoing.pace {
        Pace::Awaited => connection.session().is_publish_quiescent(),
        Pace::Pipelined => connection.can_publish(outgoing.qos),
    }
}

/// Polls until something has happened, and returns how many messages that was: none or one.
async fn poll(connection: &mut Connection<'_, '_>) -> Result<u32, Unable> {
    let message = connection.poll().await?;
    Ok(message.map_or(0, |message| {
        black_box(message.payload().len());
        1
    }))
}

async fn receive(connection: &mut Connection<'_, '_>, count: u32) -> Result<(), Unable> {
    for _ in 0..count {
        black_box(connection.recv().await?.payload().len());
    }
    // The acknowledgement of a message leaves with the call for the next; this is the call for that of the last.
    connection.drive().await?;
    Ok(())
}

/// Subscribes in one packet, and waits until that is acknowledged.
async fn subscribe(connection: &mut Connection<'_, '_>, filters: &[TopicFilter<'_>]) -> Result<(), Unable> {
    let subscribe = connection.subscribe(filters, &[]).await?;
    while connection.is_pending(&subscribe) {
        connection.poll().await?;
    }
    Ok(())
}

async fn connect_and_disconnect(session: &mut Session<'_>, stage: &Stage, count: u32) -> Result<(), Unable> {
    for _ in 0..count {
        connect(session, stage).await?.disconnect().await?;
    }
    Ok(())
}

/// It sends again by itself what it keeps. Since it has no queue, the other messages are published when the connection
/// is back.
async fn reconnect<'scope>(
    session: &mut Session<'_>,
    stage: &'scope Stage,
    scope: &'scope Scope<'scope, '_>,
) -> Result<(), Unable> {
    let messages = stage.job().operations;
    let outgoing = Outgoing { qos: QoS::AtLeastOnce, payload: &[b'x'; 64], pace: Pace::Pipelined };
    let mut connection = connect(session, stage).await?;
    let mut published = 0;
    while published < messages && is_ready(&connection, outgoing) {
        connection.publish(Publication::bytes(TOPIC, outgoing.payload).qos(outgoing.qos)).await?;
        published += 1;
    }
    scope.spawn(move || stage.cut());
    loop {
        match connection.poll().await {
            Ok(_) => {}
            Err(Error::Disconnected | Error::Transport(_)) => break,
            Err(error) => return Err(error.into()),
        }
    }
    drop(connection);
    let mut connection = connect(session, stage).await?;
    if connection.connect_event() != ConnectEvent::Reconnected {
        return Err(Unable::Failed("its session is gone".into()));
    }
    publish(&mut connection, outgoing, messages - published, 0).await?;
    stage.end();
    Ok(())
}
