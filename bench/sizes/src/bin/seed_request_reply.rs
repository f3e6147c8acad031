//! What `examples/request_reply.rs` does in essence, with the client as it was published before.

use std::time::Duration;

use seed::{AsyncMqttClient, ConnectOptions, RequestOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), seed::Error> {
    let address = std::env::args().nth(1).unwrap_or_default();
    let (client, connection) = AsyncMqttClient::connect(&address, ConnectOptions::new("sizes"))?;
    let driver = tokio::spawn(connection.run());
    let options = RequestOptions::new("sizes/replies").with_timeout(Duration::from_secs(5));
    let reply = client.request("sizes", b"21.5", options).await?;
    println!("{}", reply.payload.len());
    driver.abort();
    Ok(())
}
