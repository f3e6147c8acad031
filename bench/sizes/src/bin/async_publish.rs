//! Publishes at QoS 1, on tokio.

use mqtt_wasi::{AsyncClient, Error, Options, Publish, QoS};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_default();
    let client = AsyncClient::connect(&url, Options::new()).await?;
    client.publish(&Publish::new("sizes", "21.5").qos(QoS::AtLeastOnce)).await?;
    client.disconnect().await
}
