//! The blocking client; guests run this very file in WebAssembly.

use std::time::Duration;

use mqtt_wasi::transport::TcpTransport;
use mqtt_wasi::{Client, Error, Options, Publish, QoS, Subscription};

use super::Unable;
use crate::job::{Job, Pace, TOPIC, Work};
use crate::stage::Stage;

pub(crate) fn run(stage: &Stage) -> Result<(), Unable> {
    run_with(stage, &Options::new)
}

/// With other options than those that there are by default; each connection gets its own.
pub(crate) fn run_with(stage: &Stage, options: &dyn Fn() -> Options) -> Result<(), Unable> {
    let Job { work, operations, warm_up } = stage.job();
    match work {
        Work::Publish { qos, size, pace } => {
            let mut client = connect(stage, options())?;
            let payload = vec![b'x'; size];
            let message = Publish::new(TOPIC, &payload).qos(level(qos));
            publish(&mut client, &message, pace, warm_up)?;
            stage.begin();
            publish(&mut client, &message, pace, operations)?;
            stage.end();
        }
        Work::Receive { qos, .. } => {
            let mut client = connect(stage, options())?;
            client.subscribe(&[Subscription::new(TOPIC, level(qos))])?;
            stage.send(warm_up);
            receive(&mut client, warm_up)?;
            stage.begin();
            stage.send(operations);
            receive(&mut client, operations)?;
            stage.end();
        }
        Work::Mixed { size } => {
            let mut client = connect(stage, options())?;
            client.subscribe(&[Subscription::new(TOPIC, QoS::AtLeastOnce)])?;
            let payload = vec![b'x'; size];
            let message = Publish::new(TOPIC, &payload).qos(QoS::AtLeastOnce);
            exchange(&mut client, &message, warm_up)?;
            stage.begin();
            exchange(&mut client, &message, operations)?;
            stage.end();
        }
        Work::Connect => {
            connect_and_disconnect(stage, options, warm_up)?;
            stage.begin();
            connect_and_disconnect(stage, options, operations)?;
            stage.end();
        }
        Work::Reconnect => reconnect(stage, options(), operations)?,
        Work::Resume => {
            let mut client = connect(stage, options())?;
            connect_again(&mut client, warm_up)?;
            stage.begin();
            connect_again(&mut client, operations)?;
            stage.end();
        }
        Work::Subscribe => {
            let mut client = connect(stage, options())?;
            let filters: Vec<String> = (0..operations).map(|number| format!("bench/{number}/+")).collect();
            let subscriptions: Vec<_> =
                filters.iter().map(|filter| Subscription::new(filter, QoS::AtLeastOnce)).collect();
            stage.begin();
            client.subscribe(&subscriptions)?;
            stage.end();
        }
        Work::Idle => {
            let mut client = connect(stage, options())?;
            client.subscribe(&[Subscription::new(TOPIC, QoS::AtMostOnce)])?;
            stage.begin();
            client.receive_timeout(Duration::from_millis(operations.into()))?;
            stage.end();
        }
    }
    Ok(())
}

pub(crate) fn level(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

fn connect(stage: &Stage, options: Options) -> Result<Client<TcpTransport>, Error> {
    let client = Client::connect(&stage.url(), options)?;
    stage.connected();
    Ok(client)
}

fn publish(client: &mut Client<TcpTransport>, message: &Publish<'_>, pace: Pace, count: u32) -> Result<(), Error> {
    match pace {
        Pace::Awaited => (0..count).try_for_each(|_| client.publish(message).map(drop)),
        Pace::Pipelined if message.qos == QoS::AtMostOnce => {
            (0..count).try_for_each(|_| client.enqueue(message))?;
            client.flush()
        }
        Pace::Pipelined => {
            client.publish_all((0..count).map(|_| *message)).into_iter().try_for_each(|done| done.map(drop))
        }
    }
}

fn receive(client: &mut Client<TcpTransport>, count: u32) -> Result<(), Error> {
    for _ in 0..count {
        client.receive_with(Duration::MAX, |message| std::hint::black_box(message.payload.len()))?;
    }
    Ok(())
}

/// Publishes messages and receives them again, in whatever order that goes.
fn exchange(client: &mut Client<TcpTransport>, message: &Publish<'_>, count: u32) -> Result<(), Error> {
    let mut received = 0;
    for _ in 0..count {
        client.enqueue(message)?;
        while client.take_with(|message| std::hint::black_box(message.payload.len())).is_some() {
            received += 1;
        }
    }
    client.flush()?;
    receive(client, count - received)
}

fn connect_and_disconnect(stage: &Stage, options: &dyn Fn() -> Options, count: u32) -> Result<(), Error> {
    (0..count).try_for_each(|_| connect(stage, options())?.disconnect())
}

fn connect_again(client: &mut Client<TcpTransport>, count: u32) -> Result<(), Error> {
    (0..count).try_for_each(|_| client.reconnect().map(drop))
}

fn reconnect(stage: &Stage, options: Options, messages: u32) -> Result<(), Unable> {
    let in_flight = u16::try_from(messages).map_err(|_| Unable::Lacks("more Packet Identifiers than there are"))?;
    let options = options.session_expiry_interval(3600).in_flight_limit(in_flight);
    let mut client = connect(stage, options)?;
    let message = Publish::new(TOPIC, &[b'x'; 64]).qos(QoS::AtLeastOnce);
    for _ in 0..messages {
        client.enqueue(&message)?;
    }
    client.flush()?;
    stage.cut();
    client.reconnect()?;
    while client.stats().in_flight > 0 {
        client.receive_timeout(Duration::from_millis(1))?;
    }
    stage.end();
    Ok(())
}
