//! Sends a request, and waits for the reply, on tokio.

use std::time::Duration;

use mqtt_wasi::{AsyncClient, Error, Options, Publish};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_default();
    let client = AsyncClient::connect(&url, Options::new()).await?;
    let reply = client.request(&Publish::new("sizes", "21.5"), Duration::from_secs(5)).await?;
    println!("{}", reply.payload.len());
    client.disconnect().await
}
