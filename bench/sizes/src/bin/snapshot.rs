//! Publishes, and takes a snapshot of the session.

use mqtt_wasi::{Client, Error, Options, Publish, QoS, Snapshot};

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_default();
    let mut options = Options::new();
    if let Some(snapshot) = arguments.next() {
        options = options.resume(Snapshot::from_bytes(snapshot.as_bytes())?);
    }
    let mut client = Client::connect(&url, options)?;
    client.publish(&Publish::new("sizes", "21.5").qos(QoS::AtLeastOnce))?;
    println!("{}", client.snapshot().len());
    client.disconnect()
}
