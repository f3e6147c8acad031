//! Publishes a value as JSON.

use mqtt_wasi::{Client, Error, Options, QoS};

fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_default();
    let mut client = Client::connect(&url, Options::new())?;
    client.publish_json("sizes", &[21.5, 22.0], QoS::AtLeastOnce)?;
    client.disconnect()
}
