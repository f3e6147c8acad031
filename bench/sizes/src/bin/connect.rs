//! Connects, and disconnects.

use mqtt_wasi::{Client, Error, Options};

fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_default();
    Client::connect(&url, Options::new())?.disconnect()
}
