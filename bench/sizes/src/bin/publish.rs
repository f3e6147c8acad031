//! Publishes at QoS 1.

use mqtt_wasi::{Client, Error, Options, Publish, QoS};

fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_default();
    let mut client = Client::connect(&url, Options::new())?;
    client.publish(&Publish::new("sizes", "21.5").qos(QoS::AtLeastOnce))?;
    client.disconnect()
}
