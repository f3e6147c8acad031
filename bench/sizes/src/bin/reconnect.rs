//! Publishes, over connections that are made again by themselves, and shows what happens.

use mqtt_wasi::{Client, Error, Options, Publish, QoS, Reconnect};

fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_default();
    let mut client = Client::connect(&url, Options::new().reconnect(Reconnect::default()))?;
    client.publish(&Publish::new("sizes", "21.5").qos(QoS::AtLeastOnce))?;
    println!("{:?}", client.next_event(std::time::Duration::ZERO)?);
    client.disconnect()
}
