//! Publishes readings as JSON and receives them back. The same source runs native and as a `wasm32-wasip2` component:
//!
//! ```sh
//! cargo run --example pubsub --features json -- mqtt://localhost:1883
//! cargo xtask build && wasmtime run -S inherit-network -S allow-ip-name-lookup \
//!     target/components/examples/pubsub.wasm mqtt://localhost:1883
//! ```

use std::process::ExitCode;
use std::time::Duration;

use mqtt_wasi::{Client, Error, Options, QoS, Subscription};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Reading {
    sensor: String,
    millicelsius: i32,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "mqtt://localhost:1883".into());
    let mut client = Client::connect(&url, Options::new().keep_alive(30))?;
    println!("connected to {url} as {}", client.client_id());

    client.subscribe(&[Subscription::new("mqtt-wasi/example/readings/+", QoS::AtLeastOnce)])?;
    for (sensor, millicelsius) in [("kitchen", 21_500), ("cellar", 12_250), ("attic", 30_000)] {
        let reading = Reading { sensor: sensor.into(), millicelsius };
        client.publish_json(&format!("mqtt-wasi/example/readings/{sensor}"), &reading, QoS::AtLeastOnce)?;
    }
    for _ in 0..3 {
        let message = client.receive_timeout(Duration::from_secs(5))?.ok_or(Error::Timeout)?;
        let reading: Reading = message.json()?;
        println!("{}: {} is at {} m°C", message.topic, reading.sensor, reading.millicelsius);
    }
    client.disconnect()
}

/// In place of the C library's, which brings `printf` along. See "Make yours small" in `docs/size.md`.
#[cfg(target_os = "wasi")]
#[unsafe(no_mangle)]
extern "C" fn __assert_fail(_what: usize, _file: usize, _line: u32, _function: usize) -> ! {
    std::process::abort()
}
