//! The async client in a program of smol, over a stream of smol's. Publishes words and receives them back, each in a
//! task of its own:
//!
//! ```sh
//! cargo run --example smol --features tokio -- localhost:1883
//! ```
//!
//! smol has the traits of `futures-io`, and the client those of tokio. `async-compat` makes the one of the other, and
//! has the timers and the task of the client run on a thread of its own: everything that awaits the client is wrapped
//! in `compat`.

use std::error::Error;

use async_compat::CompatExt as _;
use mqtt_wasi::{AsyncClient, AsyncMessages, Options, Publish, QoS, Subscription};
use smol::net::TcpStream;

const TOPIC: &str = "mqtt-wasi/example/smol";
const WORDS: [&str; 3] = ["small", "fast", "elsewhere"];

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "localhost:1883".into());
    for line in smol::block_on(run(&address).compat())? {
        println!("{line}");
    }
    Ok(())
}

/// What came back.
pub(crate) async fn run(address: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let client = AsyncClient::connect_over(connect(address).await?.compat(), Options::new()).await?;
    let messages = client.listen(Subscription::new(&format!("{TOPIC}/+"), QoS::AtLeastOnce)).await?;
    let receiving = smol::spawn(receive(messages).compat());
    for word in WORDS {
        let topic = format!("{TOPIC}/{word}");
        // After a lost connection, `reconnect_over` goes on over another stream.
        client.publish(&Publish::new(&topic, word).qos(QoS::AtLeastOnce)).await?;
    }
    let lines = receiving.await?;
    client.disconnect().await?;
    Ok(lines)
}

async fn connect(address: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // What waits is written at once, so nothing is gained by waiting longer.
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn receive(mut messages: AsyncMessages) -> Result<Vec<String>, mqtt_wasi::Error> {
    let mut lines = Vec::new();
    for _ in WORDS {
        let message = messages.receive().await?;
        lines.push(format!("{}: {}", message.topic, String::from_utf8_lossy(&message.payload)));
    }
    Ok(lines)
}
