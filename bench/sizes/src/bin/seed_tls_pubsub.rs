//! What `examples/tls_pubsub.rs` does in essence, with the client as it was published before.

use seed::{ConnectOptions, Error, MqttClient, PublishOptions, QoS, TlsTransport};

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_default();
    let mut client = MqttClient::connect_with(TlsTransport::connect(&address)?, ConnectOptions::new("sizes"))?;
    client.subscribe("sizes", QoS::AtLeastOnce)?;
    client.publish("sizes", b"21.5", PublishOptions::default().with_qos(QoS::AtLeastOnce))?;
    if let Some(message) = client.recv()? {
        println!("{}", message.topic);
    }
    client.disconnect()
}
