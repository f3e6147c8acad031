//! rumqttc 0.25, by its `AsyncClient` and `EventLoop` for MQTT 5, with TCP_NODELAY on and off. It takes packets of at
//! most 10 KiB unless it is told otherwise, as it is where there are larger ones. The channel between the two must be
//! given a capacity: 128 requests, where its examples have 10, so that the task that publishes is not woken up as
//! often.
//!
//! By TLS it has the provider that its features bring by default, aws-lc-rs. Told of an authority, it makes a new
//! configuration for each connection: where TLS sessions are to be resumed it is given one that lasts.

use std::time::Duration;

use bytes::Bytes;
#[cfg(feature = "tls-peers")]
use rumqttc::Transport;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, Outgoing};
#[cfg(feature = "tls-peers")]
use rustls::crypto::aws_lc_rs;
use tokio::runtime::Runtime;
use tokio::time::timeout;

pub(crate) mod next;

use super::Unable;
use super::runtime::{current_thread, measure, measure_reconnect, within};
#[cfg(feature = "tls-peers")]
use super::tls::configuration;
use crate::job::{Job, Pace, TOPIC, Work};
use crate::stage::Stage;

/// How many requests wait for the event loop at most.
const CAPACITY: usize = 128;

/// What has more bytes than this may not fit, with what is before it, in a packet that is taken by default.
const DEFAULT_LIMIT: usize = 10_000;

pub(crate) fn run(stage: &Stage) -> Result<(), Unable> {
    // With ring built in, too, rustls would not know which it should be. It is the first of the process.
    #[cfg(feature = "tls-peers")]
    let _ = aws_lc_rs::default_provider().install_default();
    run_job(stage)
}

include!("jobs.rs");

fn client(options: MqttOptions) -> (AsyncClient, EventLoop) {
    AsyncClient::new(options, CAPACITY)
}

async fn publish_one(client: &AsyncClient, payload: Bytes, qos: QoS) -> Result<(), Unable> {
    Ok(client.publish_bytes(TOPIC, qos, false, payload).await?)
}

fn options(stage: &Stage) -> MqttOptions {
    let address = stage.address();
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(!stage.leaves_nagle_on());
    let mut options = MqttOptions::new("bench", address.ip().to_string(), address.port());
    options.set_network_options(network);
    #[cfg(feature = "tls-peers")]
    if let Some(ca) = stage.ca() {
        options.set_transport(transport(ca, stage.job().work));
    }
    let Job { work, operations, .. } = stage.job();
    // A SUBACK has a byte for each topic filter.
    let largest = if work == Work::Subscribe { operations as usize } else { work.size() };
    if largest > DEFAULT_LIMIT {
        options.set_max_packet_size(Some(1 << 20));
    }
    options
}

#[cfg(feature = "tls-peers")]
fn transport(ca: &str, work: Work) -> Transport {
    match work {
        Work::Resume => Transport::tls_with_config(configuration(ca, aws_lc_rs::default_provider()).into()),
        _ => Transport::tls(ca.into(), None, None),
    }
}
