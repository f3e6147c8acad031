//! Publishes readings as JSON and receives them back. The same source runs native and as a `wasm32-wasip2` component:
//!
//! ```sh
//! cargo run --example pubsub --features json -- mqtt://localhost:1883
//! cargo xtask build && wasmtime run -S inherit-network -S allow-ip-name-lookup \
//!     target/components/examples/pubsub.wasm mqtt://localhost:1883
//! ```

use std::time::Duration;

use mqtt_wasi::{Client, Error, Options, QoS, Subscription};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Reading {
    sensor: String,
    celsius: f32,
}

fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "mqtt://localhost:1883".into());
    let mut client = Client::connect(&url, Options::new().keep_alive(30))?;
    println!("connected to {url} as {:?}", client.client_id());

    client.subscribe(&[Subscription::new("mqtt-wasi/example/readings/+", QoS::AtLeastOnce)])?;
    for (sensor, celsius) in [("kitchen", 21.5), ("cellar", 12.25), ("attic", 30.0)] {
        let reading = Reading { sensor: sensor.into(), celsius };
        client.publish_json(&format!("mqtt-wasi/example/readings/{sensor}"), &reading, QoS::AtLeastOnce)?;
    }
    for _ in 0..3 {
        let message = client.receive_timeout(Duration::from_secs(5))?.ok_or(Error::Timeout)?;
        let reading: Reading = message.json()?;
        println!("{}: {} is at {} °C", message.topic, reading.sensor, reading.celsius);
    }
    client.disconnect()
}
