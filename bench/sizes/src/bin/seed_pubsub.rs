//! What `examples/pubsub.rs` does in essence, with the client as it was published before.

use seed::{ConnectOptions, Error, MqttClient, PublishOptions, QoS};

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_default();
    let mut client = MqttClient::connect(&address, ConnectOptions::new("sizes"))?;
    client.subscribe("sizes", QoS::AtLeastOnce)?;
    client.publish_json("sizes", &[21.5, 22.0], PublishOptions::default().with_qos(QoS::AtLeastOnce))?;
    if let Some(message) = client.recv()? {
        let values: Option<Vec<f64>> = serde_json::from_slice(&message.payload).ok();
        println!("{}: {values:?}", message.topic);
    }
    client.disconnect()
}
