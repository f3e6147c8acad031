//! The first component of `docs/getting-started.md`: it publishes a message, and receives it.
#![allow(missing_docs, reason = "generated")]

wit_bindgen::generate!({ path: "mqtt.wit", world: "imports" });

use mqtt_wasi::client::mqtt::{Failure, Payload, Qos, connect};

fn main() -> Result<(), String> {
    run().map_err(|failure| failure.message)
}

fn run() -> Result<(), Failure> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "mqtt://localhost".into());
    let client = connect(&url, None)?;
    client.subscribe("sensors/+", Qos::AtLeastOnce)?;
    client.publish("sensors/kitchen", &Payload::Text("21.5".into()), Qos::AtLeastOnce, false)?;
    while let Some(message) = client.receive(2_000)? {
        println!("{}: {:?}", message.topic, message.payload);
    }
    client.disconnect(None)
}
