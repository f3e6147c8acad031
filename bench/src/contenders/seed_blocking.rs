//! The blocking client of this crate as it was published before, version 0.2.0; guests run this very file in
//! WebAssembly.
//!
//! It has one message at QoS 1, or one topic filter, on its way at a time, so that pipelined messages are awaited ones.
//! It has no option for TCP_NODELAY, and leaves Nagle's algorithm on.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use seed::{ConnectOptions, Error, MqttClient, PublishOptions, QoS};

use super::Unable;
use crate::job::{Job, TOPIC, Work};
use crate::stage::Stage;

/// What version 0.2.0 says that it does not implement.
pub(crate) const SESSIONS: &str = "sessions that outlive a connection";

/// As many messages as this the client keeps by default while it waits for something else.
const KEPT: u32 = 256;

pub(crate) fn run(stage: &Stage) -> Result<(), Unable> {
    let Job { work, operations, warm_up } = stage.job();
    match work {
        Work::Publish { qos, size, .. } => {
            let qos = level(qos)?;
            let mut client = connect(stage)?;
            let payload = vec![b'x'; size];
            publish(&mut client, &payload, qos, warm_up)?;
            stage.begin();
            publish(&mut client, &payload, qos, operations)?;
            stage.end();
        }
        Work::Receive { qos, .. } => {
            let qos = level(qos)?;
            let mut client = connect(stage)?;
            client.subscribe(TOPIC, qos)?;
            stage.send(warm_up);
            receive(&mut client, warm_up)?;
            stage.begin();
            stage.send(operations);
            receive(&mut client, operations)?;
            stage.end();
        }
        Work::Mixed { size } => {
            let mut client = connect(stage)?;
            client.subscribe(TOPIC, QoS::AtLeastOnce)?;
            let payload = vec![b'x'; size];
            exchange(&mut client, &payload, warm_up)?;
            stage.begin();
            exchange(&mut client, &payload, operations)?;
            stage.end();
        }
        Work::Connect => {
            connect_and_disconnect(stage, warm_up)?;
            stage.begin();
            connect_and_disconnect(stage, operations)?;
            stage.end();
        }
        Work::Reconnect => return Err(Unable::Lacks(SESSIONS)),
        Work::Resume => return Err(Unable::Lacks("TLS, as it is built here")),
        Work::Subscribe => {
            let mut client = connect(stage)?;
            let filters: Vec<String> = (0..operations).map(|number| format!("bench/{number}/+")).collect();
            stage.begin();
            filters.iter().try_for_each(|filter| client.subscribe(filter, QoS::AtLeastOnce))?;
            stage.end();
        }
        Work::Idle => {
            let mut client = connect(stage)?;
            client.subscribe(TOPIC, QoS::AtMostOnce)?;
            stage.begin();
            // Its call to receive has no deadline, and until the keep alive it would do no more than this does.
            thread::sleep(Duration::from_millis(operations.into()));
            stage.end();
        }
    }
    Ok(())
}

pub(crate) fn level(qos: u8) -> Result<QoS, Unable> {
    match qos {
        0 => Ok(QoS::AtMostOnce),
        1 => Ok(QoS::AtLeastOnce),
        _ => Err(Unable::Lacks("QoS 2")),
    }
}

fn connect(stage: &Stage) -> Result<MqttClient, Error> {
    let client = MqttClient::connect(&stage.address().to_string(), ConnectOptions::new("bench"))?;
    stage.connected();
    Ok(client)
}

fn publish(client: &mut MqttClient, payload: &[u8], qos: QoS, count: u32) -> Result<(), Error> {
    (0..count).try_for_each(|_| client.publish(TOPIC, payload, PublishOptions::default().with_qos(qos)))
}

fn receive(client: &mut MqttClient, count: u32) -> Result<(), Unable> {
    for _ in 0..count {
        let message = client.recv()?.ok_or("the connection ended")?;
        black_box(message.payload.len());
    }
    Ok(())
}

/// Publishes messages and receives them again: as many at a time as the client keeps meanwhile.
fn exchange(client: &mut MqttClient, payload: &[u8], count: u32) -> Result<(), Unable> {
    for first in (0..count).step_by(KEPT as usize) {
        let batch = KEPT.min(count - first);
        publish(client, payload, QoS::AtLeastOnce, batch)?;
        receive(client, batch)?;
    }
    Ok(())
}

fn connect_and_disconnect(stage: &Stage, count: u32) -> Result<(), Error> {
    (0..count).try_for_each(|_| connect(stage)?.disconnect())
}
