//! rumqttc-v5-next 0.34, the fork of rumqttc that is still worked on, by its `AsyncClient` and `EventLoop`, as
//! rumqttc is used. Over WebSocket it is told the URL. By TLS it is not measured.

use std::time::Duration;

use bytes::Bytes;
use rumqttc_next::mqttbytes::QoS;
use rumqttc_next::mqttbytes::v5::{Packet, SubscribeFilter as Filter};
use rumqttc_next::{
    AsyncClient, Broker, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Outgoing, PublishOptions,
};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::{CAPACITY, DEFAULT_LIMIT};
use crate::contenders::Unable;
use crate::contenders::runtime::{current_thread, measure, measure_reconnect, within};
use crate::job::{Job, Pace, TOPIC, Work};
use crate::stage::Stage;

pub(crate) fn run(stage: &Stage) -> Result<(), Unable> {
    run_job(stage)
}

include!("jobs.rs");

fn client(options: MqttOptions) -> (AsyncClient, EventLoop) {
    AsyncClient::builder(options).capacity(CAPACITY).build()
}

async fn publish_one(client: &AsyncClient, payload: Bytes, qos: QoS) -> Result<(), Unable> {
    Ok(client.publish(TOPIC, payload, PublishOptions::new(qos)).await?)
}

fn options(stage: &Stage) -> MqttOptions {
    let address = stage.address();
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(!stage.leaves_nagle_on());
    let broker = if stage.is_websocket() {
        Broker::websocket(format!("{}/mqtt", stage.url())).expect("the URL of a WebSocket")
    } else {
        (address.ip().to_string(), address.port()).into()
    };
    let mut options = MqttOptions::new("bench", broker);
    options.set_network_options(network);
    let Job { work, operations, .. } = stage.job();
    // A SUBACK has a byte for each topic filter.
    let largest = if work == Work::Subscribe { operations as usize } else { work.size() };
    if largest > DEFAULT_LIMIT {
        options.set_max_packet_size(Some(1 << 20));
    }
    options
}
