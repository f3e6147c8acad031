//! Messages come back as they were sent.

use anyhow::{Result, ensure};
use mqtt_wasi::codec::PublishProperties;
use mqtt_wasi::{Publish, QoS, Subscription};

use crate::interop::stage::{SOON, Stage, publish, receive, said, subscribe, subscribe_as};
use crate::subject::{Settings, Subject};

pub(super) fn qos_0_comes_back<S: Subject>(stage: &Stage) -> Result<()> {
    comes_back::<S>(stage, QoS::AtMostOnce)
}

pub(super) fn qos_1_comes_back<S: Subject>(stage: &Stage) -> Result<()> {
    comes_back::<S>(stage, QoS::AtLeastOnce)
}

pub(super) fn qos_2_comes_back<S: Subject>(stage: &Stage) -> Result<()> {
    comes_back::<S>(stage, QoS::ExactlyOnce)
}

fn comes_back<S: Subject>(stage: &Stage, qos: QoS) -> Result<()> {
    let mut client: S = stage.connect("echo")?;
    let topic = stage.topic("echo");
    subscribe(&mut client, &topic, qos)?;
    for payload in [&b""[..], b"hello", &[0xFF; 300]] {
        publish(&mut client, &Publish::new(&topic, payload).qos(qos))?;
        let message = receive(&mut client)?;
        ensure!(message.topic == topic && message.payload == payload, "another message comes back");
        ensure!(message.qos == qos, "{qos:?} comes back at {:?}", message.qos);
    }
    said(client.disconnect())
}

pub(super) fn every_property_comes_back<S: Subject>(stage: &Stage) -> Result<()> {
    let user_properties = [("unit", "°C"), ("unit", "K"), ("", "")];
    let properties = PublishProperties {
        payload_format_indicator: Some(true),
        message_expiry_interval: Some(1_000),
        content_type: Some("text/plain"),
        response_topic: Some("answers/here"),
        correlation_data: Some(b"\0\xFF"),
        user_properties: (&user_properties).into(),
        ..PublishProperties::default()
    };
    let mut client: S = stage.connect("echo")?;
    let topic = stage.topic("all");
    subscribe(&mut client, &topic, QoS::AtLeastOnce)?;
    publish(&mut client, &Publish::new(&topic, "21").qos(QoS::AtLeastOnce).properties(properties))?;
    let message = receive(&mut client)?;
    ensure!(message.payload_format_indicator == Some(true), "no Payload Format Indicator");
    ensure!(message.message_expiry_interval.is_some_and(|left| left > 900), "no Message Expiry Interval");
    ensure!(message.content_type.as_deref() == Some("text/plain"), "no Content Type");
    ensure!(message.response_topic.as_deref() == Some("answers/here"), "another Response Topic");
    ensure!(message.correlation_data.as_deref() == Some(b"\0\xFF"), "other Correlation Data");
    let pairs = message.user_properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    ensure!(pairs.eq(user_properties), "other User Properties: {:?}", message.user_properties);
    Ok(())
}

pub(super) fn every_topic_comes_back<S: Subject>(stage: &Stage) -> Result<()> {
    let mut client: S = stage.connect("echo")?;
    for rest in ["with space", "/", "//", "ä/雪/🦀", "$inside", "a*b", "v1.2/x.y"] {
        let topic = stage.topic(rest);
        subscribe(&mut client, &topic, QoS::AtLeastOnce)?;
        publish(&mut client, &Publish::new(&topic, "").qos(QoS::AtLeastOnce))?;
        let received = receive(&mut client)?.topic;
        ensure!(received == topic, "{rest} comes back as {}", &received[topic.len() - rest.len()..]);
    }
    Ok(())
}

pub(super) fn messages_stay_in_order<S: Subject>(stage: &Stage) -> Result<()> {
    const MANY: u32 = 2_000;
    let mut client: S = stage.connect("echo")?;
    let topic = stage.topic("numbers");
    subscribe(&mut client, &topic, QoS::AtLeastOnce)?;
    let payloads: Vec<_> = (0..MANY).map(u32::to_be_bytes).collect();
    let messages: Vec<_> = payloads.iter().map(|payload| Publish::new(&topic, payload).qos(QoS::AtLeastOnce)).collect();
    for result in client.publish_batch(&messages) {
        said(result)?;
    }
    let mut received = Vec::new();
    while received.len() < payloads.len() {
        let batch = said(client.receive_batch(256, SOON))?;
        ensure!(!batch.is_empty(), "{} of {MANY} messages come", received.len());
        received.extend(batch.into_iter().map(|message| message.payload));
    }
    ensure!(received.iter().zip(&payloads).all(|(received, sent)| received == sent), "they come in another order");
    Ok(())
}

pub(super) fn messages_come_back_over_websocket<S: Subject>(stage: &Stage) -> Result<()> {
    comes_back::<S>(stage, QoS::AtLeastOnce)?;
    messages_stay_in_order::<S>(stage)?;
    large_comes_back::<S>(stage, 1024 * 1024)
}

pub(super) fn a_mebibyte_comes_back<S: Subject>(stage: &Stage) -> Result<()> {
    large_comes_back::<S>(stage, 1024 * 1024)
}

pub(super) fn ten_mebibytes_come_back<S: Subject>(stage: &Stage) -> Result<()> {
    large_comes_back::<S>(stage, 10 * 1024 * 1024)
}

fn large_comes_back<S: Subject>(stage: &Stage, bytes: usize) -> Result<()> {
    // A broker may echo a message before it acknowledges it, so there must be room for it.
    let room = Some(2 * bytes as u32);
    let settings = Settings { backlog_limit: room, maximum_packet_size: room, ..Settings::default() };
    let mut client: S = stage.connect_with("echo", settings)?;
    let topic = stage.topic("large");
    subscribe(&mut client, &topic, QoS::AtLeastOnce)?;
    let payload: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
    publish(&mut client, &Publish::new(&topic, &payload).qos(QoS::AtLeastOnce))?;
    ensure!(receive(&mut client)?.payload == payload, "it comes back changed");
    Ok(())
}

pub(super) fn topics_are_aliased<S: Subject>(stage: &Stage) -> Result<()> {
    let settings = Settings { topic_aliases: Some(5), ..Settings::default() };
    let mut client: S = stage.connect_with("echo", settings)?;
    let filter = stage.topic("+");
    subscribe_as(&mut client, Subscription::new(&filter, QoS::AtLeastOnce), None)?;
    // More topics than aliases, and each more than once.
    let topics: Vec<String> = (0..8).map(|number| stage.topic(&number.to_string())).collect();
    for topic in topics.iter().chain(&topics) {
        publish(&mut client, &Publish::new(topic, topic.as_bytes()).qos(QoS::AtLeastOnce))?;
        let message = receive(&mut client)?;
        ensure!(
            &message.topic == topic && message.payload == topic.as_bytes(),
            "a message comes under {}",
            message.topic
        );
    }
    Ok(())
}
