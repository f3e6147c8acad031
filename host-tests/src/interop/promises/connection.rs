//! What holds for connections, and for sessions over several of them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mqtt_wasi::{Publish, QoS, ReasonCode, WillMessage};

use crate::interop::stage::{
    SOON, Stage, publish, receive, receive_nothing, said, subscribe, wait_until, with_a_session,
};
use crate::proxy::Proxy;
use crate::subject::{ErrorKind, Happening, Settings, Subject};

pub(super) fn connects_with_every_property<S: Subject>(stage: &Stage) -> Result<()> {
    let will = WillMessage {
        qos: QoS::AtLeastOnce,
        will_delay_interval: Some(1),
        payload_format_indicator: Some(true),
        message_expiry_interval: Some(60),
        content_type: Some("text/plain".into()),
        response_topic: Some(stage.topic("answers")),
        correlation_data: Some(b"1".to_vec()),
        user_properties: vec![("line".into(), "7".into())],
        ..WillMessage::new(stage.topic("will"), "gone")
    };
    let settings = Settings {
        keep_alive: Some(30),
        session_expiry_interval: Some(60),
        clean_start: Some(true),
        receive_maximum: Some(20),
        maximum_packet_size: Some(1024 * 1024),
        topic_aliases: Some(10),
        will: Some(will),
        login: Some(("guest", "guest")),
        user_property: Some(("site", "north")),
        request_information: Some(true),
        ..Settings::default()
    };
    let mut client: S = stage.connect_with("client", settings)?;
    publish(&mut client, &Publish::new(&stage.topic("a"), "").qos(QoS::AtLeastOnce))?;
    said(client.disconnect()).context("disconnecting")
}

pub(super) fn will_is_published<S: Subject>(stage: &Stage) -> Result<()> {
    let mut witness: S = stage.connect("witness")?;
    subscribe(&mut witness, &stage.topic("will"), QoS::AtLeastOnce)?;
    let client: S = stage.connect_with("client", Settings { will: Some(will(stage)), ..Settings::default() })?;
    drop(client);
    let message = receive(&mut witness)?;
    ensure!(message.payload == b"gone" && message.content_type.as_deref() == Some("text/plain"), "another will comes");
    Ok(())
}

pub(super) fn will_waits_for_its_delay<S: Subject>(stage: &Stage) -> Result<()> {
    let mut witness: S = stage.connect("witness")?;
    subscribe(&mut witness, &stage.topic("will"), QoS::AtLeastOnce)?;
    let will = Some(WillMessage { will_delay_interval: Some(2), ..will(stage) });
    let client: S = stage.connect_with("client", Settings { will, ..with_a_session() })?;
    let start = Instant::now();
    drop(client);
    receive(&mut witness)?;
    ensure!(start.elapsed() > Duration::from_millis(900), "it comes after {:?}, and not 2 s", start.elapsed());
    Ok(())
}

pub(super) fn will_is_not_published_after_disconnect<S: Subject>(stage: &Stage) -> Result<()> {
    let mut witness: S = stage.connect("witness")?;
    subscribe(&mut witness, &stage.topic("will"), QoS::AtLeastOnce)?;
    let mut client: S = stage.connect_with("client", Settings { will: Some(will(stage)), ..Settings::default() })?;
    said(client.disconnect())?;
    receive_nothing(&mut witness)
}

fn will(stage: &Stage) -> WillMessage {
    let content_type = Some("text/plain".into());
    WillMessage { qos: QoS::AtLeastOnce, content_type, ..WillMessage::new(stage.topic("will"), "gone") }
}

pub(super) fn session_is_resumed<S: Subject>(stage: &Stage) -> Result<()> {
    let mut client: S = stage.connect_with("client", with_a_session())?;
    let topic = stage.topic("meanwhile");
    subscribe(&mut client, &topic, QoS::AtLeastOnce)?;
    let snapshot = Some(client.snapshot());
    drop(client);
    let mut other: S = stage.connect("other")?;
    for payload in ["one", "two"] {
        publish(&mut other, &Publish::new(&topic, payload).qos(QoS::AtLeastOnce))?;
    }
    let mut client: S =
        stage.connect_with("client", Settings { snapshot, clean_start: Some(false), ..with_a_session() })?;
    for payload in ["one", "two"] {
        ensure!(receive(&mut client)?.payload == payload.as_bytes(), "another message comes");
    }
    said(client.disconnect())
}

pub(super) fn server_tells_who_took_over<S: Subject>(stage: &Stage) -> Result<()> {
    let mut first: S = stage.connect("client")?;
    let _second: S = stage.connect("client")?;
    let end = match first.receive(SOON) {
        Err(failure) => failure,
        Ok(message) => bail!("the first client gets {message:?}, and is not told"),
    };
    ensure!(
        end.reason_code() == Some(ReasonCode::SessionTakenOver),
        "the first client is told {:?}: {}",
        end.kind,
        end.message
    );
    Ok(())
}

pub(super) fn ping_is_answered<S: Subject>(stage: &Stage) -> Result<()> {
    let mut client: S = stage.connect_with("client", Settings { keep_alive: Some(4), ..Settings::default() })?;
    wait_until("PINGREQ is sent and answered", || {
        let nothing = said(client.receive(Duration::from_millis(200)))?;
        ensure!(nothing.is_none() && client.is_connected(), "the connection does not last");
        Ok(client.stats().ping_round_trip.is_some())
    })
}

pub(super) fn acknowledged_messages_survive_a_bad_network<S: Subject>(stage: &Stage) -> Result<()> {
    const HARMS: u32 = 5;
    let mut witness: S = stage.connect("witness")?;
    let topic = stage.topic("numbers");
    subscribe(&mut witness, &topic, QoS::AtLeastOnce)?;
    let address = stage.url.trim_start_matches("mqtt://").parse().context("the broker's address")?;
    let proxy = Proxy::start(address, 19);
    let reconnect = Some((Duration::from_millis(10), Duration::from_millis(100)));
    let mut bad = stage.clone();
    bad.url = proxy.url();
    let mut client: S = bad.connect_with("client", Settings { reconnect, ..with_a_session() })?;
    proxy.start_harming();
    let mut missing = BTreeSet::new();
    for number in 0_u32.. {
        if proxy.harms() >= HARMS && missing.len() > 200 {
            break;
        }
        // What fails was not acknowledged.
        if client.publish(&Publish::new(&topic, &number.to_be_bytes()).qos(QoS::AtLeastOnce)).is_ok() {
            missing.insert(number.to_be_bytes().to_vec());
        }
    }
    proxy.go_easy();
    let acknowledged = missing.len();
    wait_until("every acknowledged message comes", || {
        if let Some(message) = said(witness.receive(Duration::from_millis(200)))? {
            missing.remove(&message.payload);
        }
        Ok(missing.is_empty())
    })
    .with_context(|| format!("{} of {acknowledged} are missing", missing.len()))?;
    while let Ok(Some(event)) = client.next_event(Duration::ZERO) {
        if event == (Happening::Reconnected { session_present: false }) && client.in_flight() > 0 {
            bail!("the broker lost the session");
        }
    }
    Ok(())
}

pub(super) fn old_version_is_told<S: Subject>(stage: &Stage) -> Result<()> {
    let settings = Settings { client_id: stage.client_id("client"), ..Settings::default() };
    match S::connect(&stage.url, &settings) {
        Ok(_) => bail!("it connects"),
        Err(failure) => {
            ensure!(failure.kind == ErrorKind::Mqtt3Only, "{:?}: {}", failure.kind, failure.message);
            Ok(())
        }
    }
}

pub(super) fn old_version_is_told_over_websocket<S: Subject>(stage: &Stage) -> Result<()> {
    old_version_is_told::<S>(stage)
}
