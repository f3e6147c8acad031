//! Publishes, subscribes and receives.

use mqtt_wasi::{Client, Error, Options, Publish, QoS, Subscription};

fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_default();
    let mut client = Client::connect(&url, Options::new())?;
    client.subscribe(&[Subscription::new("sizes", QoS::AtLeastOnce)])?;
    client.publish(&Publish::new("sizes", "21.5").qos(QoS::AtLeastOnce))?;
    println!("{}", client.receive()?.topic);
    client.disconnect()
}
