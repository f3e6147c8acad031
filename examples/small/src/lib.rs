//! Publishes readings and receives them back, as `examples/pubsub.rs` does, in a component without std: the smallest
//! program with the whole client in it.
//!
//! ```sh
//! cargo xtask build --only examples/small
//! wasmtime run -S inherit-network -S allow-ip-name-lookup target/components/examples/small.wasm mqtt://localhost:1883
//! ```
// There is nothing to build elsewhere, since it brings what std has there.
#![cfg_attr(all(target_os = "wasi", target_env = "p2"), no_std)]
#![cfg(all(target_os = "wasi", target_env = "p2"))]

extern crate alloc;

mod rt;

use alloc::format;
use core::time::Duration;

use mqtt_wasi::{Client, Error, Options, Publish, QoS, Subscription};
use wasip2::cli::{environment, stderr, stdout};
use wasip2::io::streams::OutputStream;

struct Small;

wasip2::cli::command::export!(Small);

impl wasip2::exports::cli::run::Guest for Small {
    fn run() -> Result<(), ()> {
        let url = environment::get_arguments().into_iter().nth(1);
        let url = url.unwrap_or_else(|| "mqtt://localhost:1883".into());
        publish_and_receive(&url).map_err(|error| print(&stderr::get_stderr(), &format!("error: {error}\n")))
    }
}

fn publish_and_receive(url: &str) -> Result<(), Error> {
    let out = stdout::get_stdout();
    let mut client = Client::connect(url, Options::new().keep_alive(30))?;
    print(&out, &format!("connected to {url} as {}\n", client.client_id()));

    client.subscribe(&[Subscription::new("mqtt-wasi/example/small/+", QoS::AtLeastOnce)])?;
    for (sensor, millicelsius) in [("kitchen", "21500"), ("cellar", "12250"), ("attic", "30000")] {
        let topic = format!("mqtt-wasi/example/small/{sensor}");
        client.publish(&Publish::new(&topic, millicelsius).qos(QoS::AtLeastOnce))?;
    }
    for _ in 0..3 {
        let message = client.receive_timeout(Duration::from_secs(5))?.ok_or(Error::Timeout)?;
        print(&out, &format!("{}: ", message.topic));
        write(&out, &message.payload);
        print(&out, " m°C\n");
    }
    client.disconnect()
}

fn print(stream: &OutputStream, text: &str) {
    write(stream, text.as_bytes());
}

/// Writes bytes, which are lost if nobody listens.
fn write(stream: &OutputStream, bytes: &[u8]) {
    // As many bytes as WASI takes at once.
    for part in bytes.chunks(4096) {
        let _ = stream.blocking_write_and_flush(part);
    }
}
