//! paho-mqtt: Eclipse Paho's client in C behind a Rust API, with two threads of its own for all clients of a process.
//!
//! What the C code allocates goes past Rust's allocator, so only what the Rust layer allocates is counted. It sets
//! TCP_NODELAY by itself. By default 100 messages may wait to be sent, and that is kept except for [`Work::Reconnect`],
//! where all of them must. Tokens are waited for by the call without a deadline, since the one with a deadline starts a
//! timer each time; who runs the measurement ends it when it stalls.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use paho_mqtt::{
    AsyncClient, ConnectOptions, ConnectOptionsBuilder, CreateOptionsBuilder, DeliveryToken, Error, Message,
    PropertyCode, QOS_0, QOS_1,
};

use super::Unable;
use crate::job::{Job, Pace, TOPIC, Work};
use crate::stage::Stage;

/// How long something may take until it counts as stalled.
const PATIENCE: Duration = Duration::from_secs(60);

/// As many messages are pipelined before the first of them is waited for.
const TOGETHER: usize = 1024;

pub(crate) fn run(stage: &Stage) -> Result<(), Unable> {
    let Job { work, operations, warm_up } = stage.job();
    match work {
        Work::Publish { qos, size, pace } => {
            let client = connect(stage)?;
            let message = Message::new(TOPIC, vec![b'x'; size], i32::from(qos));
            publish(&client, &message, pace, warm_up)?;
            stage.begin();
            publish(&client, &message, pace, operations)?;
            stage.end();
        }
        Work::Receive { qos, .. } => {
            let (_client, received) = subscribe(stage, qos.into())?;
            stage.send(warm_up);
            received.wait_for(warm_up)?;
            stage.begin();
            stage.send(operations);
            received.wait_for(operations)?;
            stage.end();
        }
        Work::Mixed { size } => {
            let (client, received) = subscribe(stage, QOS_1)?;
            let message = Message::new(TOPIC, vec![b'x'; size], QOS_1);
            publish(&client, &message, Pace::Pipelined, warm_up)?;
            received.wait_for(warm_up)?;
            stage.begin();
            publish(&client, &message, Pace::Pipelined, operations)?;
            received.wait_for(operations)?;
            stage.end();
        }
        Work::Connect => {
            let client = options(stage).create_client()?;
            connect_and_disconnect(&client, warm_up)?;
            stage.begin();
            connect_and_disconnect(&client, operations)?;
            stage.end();
        }
        Work::Reconnect => reconnect(stage, operations)?,
        Work::Resume => return Err(Unable::Lacks("TLS, as it is built here")),
        Work::Subscribe => {
            let client = connect(stage)?;
            let filters: Vec<String> = (0..operations).map(|number| format!("bench/{number}/+")).collect();
            stage.begin();
            client.subscribe_many_same_qos(&filters, QOS_1).wait()?;
            stage.end();
        }
        Work::Idle => {
            let (_client, _received) = subscribe(stage, QOS_0)?;
            stage.begin();
            thread::sleep(Duration::from_millis(operations.into()));
            stage.end();
        }
    }
    Ok(())
}

fn options(stage: &Stage) -> CreateOptionsBuilder {
    CreateOptionsBuilder::new().server_uri(format!("mqtt://{}", stage.address())).client_id("bench")
}

fn connect(stage: &Stage) -> Result<AsyncClient, Error> {
    let client = options(stage).create_client()?;
    client.connect(ConnectOptions::new_v5()).wait()?;
    Ok(client)
}

/// A client that is connected and subscribed, and what it has received.
fn subscribe(stage: &Stage, qos: i32) -> Result<(AsyncClient, Received), Error> {
    let client = options(stage).create_client()?;
    // Before it is connected, as its documentation has it.
    let received = Received::by(&client, stage.job());
    client.connect(ConnectOptions::new_v5()).wait()?;
    client.subscribe(TOPIC, qos).wait()?;
    Ok((client, received))
}

/// Is told when all messages of the warm-up have been received, and when all others have.
struct Received(Receiver<()>);

impl Received {
    /// Takes the messages of a client in its callback.
    fn by(client: &AsyncClient, job: Job) -> Self {
        let Job { operations, warm_up, .. } = job;
        let (tell, told) = mpsc::channel();
        let mut count = 0;
        client.set_message_callback(move |_, message| {
            // There is none when the connection ends.
            let Some(message) = message else { return };
            black_box(message.payload().len());
            count += 1;
            if count == warm_up || count == warm_up + operations {
                // After a failure nobody waits any longer.
                let _ = tell.send(());
            }
        });
        Self(told)
    }

    /// Waits for all messages of the warm-up, or of the measurement, of which there are `count`.
    fn wait_for(&self, count: u32) -> Result<(), Unable> {
        if count > 0 {
            self.0.recv_timeout(PATIENCE).map_err(|_| "stalled")?;
        }
        Ok(())
    }
}

fn publish(client: &AsyncClient, message: &Message, pace: Pace, count: u32) -> Result<(), Unable> {
    match pace {
        Pace::Awaited => (0..count).try_for_each(|_| client.publish(message.clone()).wait())?,
        Pace::Pipelined => {
            let mut tokens = VecDeque::new();
            for _ in 0..count {
                submit(client, message.clone(), &mut tokens)?;
            }
            complete(tokens.drain(..))?;
        }
    }
    Ok(())
}

/// Hands a message over. While the client has no room for it, half of those before it are waited for: after one alone
/// there would be room for one alone.
fn submit(client: &AsyncClient, mut message: Message, tokens: &mut VecDeque<DeliveryToken>) -> Result<(), Error> {
    loop {
        if tokens.len() < TOGETHER {
            match client.try_publish(message) {
                Ok(token) => {
                    tokens.push_back(token);
                    return Ok(());
                }
                Err(Error::Publish(_, refused)) if !tokens.is_empty() => message = refused,
                Err(error) => return Err(error),
            }
        }
        let half = tokens.len().div_ceil(2);
        complete(tokens.drain(..half))?;
    }
}

/// Waits until the messages of these tokens are done. When the last of them is, the others mostly are as well.
fn complete(tokens: impl DoubleEndedIterator<Item = DeliveryToken>) -> Result<(), Error> {
    tokens.rev().try_for_each(DeliveryToken::wait)
}

fn connect_and_disconnect(client: &AsyncClient, count: u32) -> Result<(), Error> {
    for _ in 0..count {
        client.connect(ConnectOptions::new_v5()).wait()?;
        client.disconnect(None).wait()?;
    }
    Ok(())
}

fn reconnect(stage: &Stage, messages: u32) -> Result<(), Unable> {
    let room = u16::try_from(messages).map_err(|_| Unable::Lacks("more Packet Identifiers than there are"))?;
    let client = options(stage).max_buffered_messages(room.into()).create_client()?;
    let (tell, lost) = mpsc::channel();
    client.set_connection_lost_callback(move |_| {
        // After a failure nobody waits any longer.
        let _ = tell.send(());
    });
    let properties = paho_mqtt::properties![PropertyCode::SessionExpiryInterval => 3600];
    client.connect(ConnectOptionsBuilder::new_v5().clean_start(false).properties(properties).finalize()).wait()?;
    let message = Message::new(TOPIC, [b'x'; 64], QOS_1);
    let tokens = (0..messages).map(|_| client.try_publish(message.clone())).collect::<Result<Vec<_>, _>>()?;
    stage.cut();
    lost.recv_timeout(PATIENCE).map_err(|_| "stalled")?;
    client.reconnect().wait()?;
    complete(tokens.into_iter())?;
    stage.end();
    Ok(())
}
