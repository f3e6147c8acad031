//! Sends a request, and waits for the reply.

use std::time::Duration;

use mqtt_wasi::{Client, Error, Options, Publish};

fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_default();
    let mut client = Client::connect(&url, Options::new())?;
    let reply = client.request(&Publish::new("sizes", "21.5"), Duration::from_secs(5))?;
    println!("{}", reply.payload.len());
    client.disconnect()
}
