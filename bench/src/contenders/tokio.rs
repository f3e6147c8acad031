//! The async client, on a runtime of one thread.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, future, stream};
use mqtt_wasi::{AsyncClient, AsyncMessages, Error, Options, Publish, QoS, Subscription};
use tokio::runtime::Builder;

use super::Unable;
use super::blocking::level;
use super::tls;
use crate::job::{Job, Pace, TOPIC, Work};
use crate::stage::Stage;

/// As many calls wait for their acknowledgements at the same time.
const TOGETHER: usize = 1024;

/// As many messages are given to one call: it takes all of them before it sends the first.
const AT_ONCE: usize = 16_384;

/// Whom messages are published for that need not be awaited one by one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// One who has them all.
    One,
    /// Many, with a message each, who wait for its acknowledgement at the same time.
    Many,
}

pub(crate) fn run(stage: &Stage) -> Result<(), Unable> {
    Builder::new_current_thread().enable_all().build()?.block_on(run_async(stage, Caller::One))
}

/// What differs where each message has a call of its own.
pub(crate) fn run_single(stage: &Stage) -> Result<(), Unable> {
    match stage.job().work {
        Work::Publish { qos: 1 | 2, pace: Pace::Pipelined, .. } => {
            Builder::new_current_thread().enable_all().build()?.block_on(run_async(stage, Caller::Many))
        }
        _ => Err(Unable::Lacks("does that as the row above")),
    }
}

async fn run_async(stage: &Stage, caller: Caller) -> Result<(), Unable> {
    let Job { work, operations, warm_up } = stage.job();
    let options = tls::options(stage)?;
    match work {
        Work::Publish { qos, size, pace } => {
            let client = connect(stage, options).await?;
            let payload = vec![b'x'; size];
            let message = Publish::new(TOPIC, &payload).qos(level(qos));
            publish(&client, &message, pace, caller, warm_up).await?;
            stage.arrived(warm_up).await;
            stage.begin();
            publish(&client, &message, pace, caller, operations).await?;
            stage.arrived(warm_up + operations).await;
            stage.end();
        }
        Work::Receive { qos, .. } => {
            let client = connect(stage, options).await?;
            let mut messages = client.listen(Subscription::new(TOPIC, level(qos))).await?;
            stage.send(warm_up);
            receive(&mut messages, warm_up).await?;
            stage.begin();
            stage.send(operations);
            receive(&mut messages, operations).await?;
            stage.end();
        }
        Work::Mixed { size } => {
            let client = connect(stage, options).await?;
            let mut messages = client.listen(Subscription::new(TOPIC, QoS::AtLeastOnce)).await?;
            let payload = vec![b'x'; size];
            let message = Publish::new(TOPIC, &payload).qos(QoS::AtLeastOnce);
            exchange(&client, &mut messages, &message, warm_up).await?;
            stage.begin();
            exchange(&client, &mut messages, &message, operations).await?;
            stage.end();
        }
        Work::Connect => {
            connect_and_disconnect(stage, &options, warm_up).await?;
            stage.begin();
            connect_and_disconnect(stage, &options, operations).await?;
            stage.end();
        }
        Work::Reconnect => reconnect(stage, options, operations).await?,
        Work::Resume => {
            let client = connect(stage, options).await?;
            connect_again(&client, warm_up).await?;
            stage.begin();
            connect_again(&client, operations).await?;
            stage.end();
        }
        Work::Subscribe => {
            let client = connect(stage, options).await?;
            let filters: Vec<String> = (0..operations).map(|number| format!("bench/{number}/+")).collect();
            let subscriptions: Vec<_> =
                filters.iter().map(|filter| Subscription::new(filter, QoS::AtLeastOnce)).collect();
            stage.begin();
            client.subscribe(&subscriptions).await?;
            stage.end();
        }
        Work::Idle => {
            let client = connect(stage, options).await?;
            let _messages = client.listen(Subscription::new(TOPIC, QoS::AtMostOnce)).await?;
            stage.begin();
            tokio::time::sleep(Duration::from_millis(operations.into())).await;
            stage.end();
        }
    }
    Ok(())
}

async fn connect(stage: &Stage, options: Options) -> Result<AsyncClient, Error> {
    AsyncClient::connect(&stage.url(), options).await
}

async fn publish(
    client: &AsyncClient,
    message: &Publish<'_>,
    pace: Pace,
    caller: Caller,
    count: u32,
) -> Result<(), Error> {
    match pace {
        Pace::Awaited => {
            for _ in 0..count {
                client.publish(message).await?;
            }
            Ok(())
        }
        Pace::Pipelined if message.qos == QoS::AtMostOnce => {
            for _ in 0..count {
                client.enqueue(message).await?;
            }
            client.flush().await
        }
        Pace::Pipelined if caller == Caller::One => {
            for begin in (0..count).step_by(AT_ONCE) {
                let messages = (begin..count).take(AT_ONCE).map(|_| *message);
                client.publish_all(messages).await.into_iter().try_for_each(|done| done.map(drop))?;
            }
            Ok(())
        }
        Pace::Pipelined => {
            stream::iter((0..count).map(|_| client.publish(message)))
                .buffer_unordered(TOGETHER)
                .try_for_each(|_| future::ready(Ok(())))
                .await
        }
    }
}

async fn receive(messages: &mut AsyncMessages, count: u32) -> Result<(), Error> {
    for _ in 0..count {
        std::hint::black_box(messages.receive().await?);
    }
    Ok(())
}

/// Publishes messages and receives them again, at the same time.
async fn exchange(
    client: &AsyncClient,
    messages: &mut AsyncMessages,
    message: &Publish<'_>,
    count: u32,
) -> Result<(), Error> {
    tokio::try_join!(publish(client, message, Pace::Pipelined, Caller::One, count), receive(messages, count)).map(drop)
}

async fn connect_and_disconnect(stage: &Stage, options: &Options, count: u32) -> Result<(), Error> {
    for _ in 0..count {
        connect(stage, options.clone()).await?.disconnect().await?;
    }
    Ok(())
}

async fn connect_again(client: &AsyncClient, count: u32) -> Result<(), Error> {
    for _ in 0..count {
        client.reconnect().await?;
    }
    Ok(())
}

async fn reconnect(stage: &Stage, options: Options, messages: u32) -> Result<(), Unable> {
    let in_flight = u16::try_from(messages).map_err(|_| Unable::Lacks("more Packet Identifiers than there are"))?;
    let options = options.session_expiry_interval(3600).in_flight_limit(in_flight);
    let client = connect(stage, options).await?;
    let message = Publish::new(TOPIC, &[b'x'; 64]).qos(QoS::AtLeastOnce);
    for _ in 0..messages {
        client.enqueue(&message).await?;
    }
    client.flush().await?;
    stage.cut();
    client.reconnect().await?;
    while client.stats().in_flight > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stage.end();
    Ok(())
}
