//! Publishes over TLS and receives it back. With a second argument, the path of a file with CA certificates in PEM, it
//! trusts those alone; without one, Mozilla's roots. The same source runs native and as a `wasm32-wasip2` component:
//!
//! ```sh
//! cargo run --example tls_pubsub --features tls -- mqtts://localhost:8883 ca.pem
//! cargo xtask build && wasmtime run -S inherit-network -S allow-ip-name-lookup --dir . \
//!     target/components/examples/tls_pubsub.wasm mqtts://localhost:8883 ca.pem
//! ```

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use mqtt_wasi::{Client, Options, Publish, QoS, Subscription, TlsOptions};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "mqtts://localhost:8883".into());
    let tls = match arguments.next() {
        Some(path) => {
            let certificates = std::fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
            TlsOptions::new().ca(certificates)?.only_own_ca()
        }
        None => TlsOptions::new(),
    };

    let mut client = Client::connect(&url, Options::new().keep_alive(30).tls(tls))?;
    // Not the URL, which may have a password in it.
    println!("connected over TLS as {}", client.client_id());

    client.subscribe(&[Subscription::new("mqtt-wasi/example/tls/+", QoS::AtLeastOnce)])?;
    for word in ["sealed", "signed", "delivered"] {
        let topic = format!("mqtt-wasi/example/tls/{word}");
        client.publish(&Publish::new(&topic, word).qos(QoS::AtLeastOnce))?;
    }
    for _ in 0..3 {
        let message = client.receive_timeout(Duration::from_secs(5))?.ok_or(mqtt_wasi::Error::Timeout)?;
        println!("{}: {}", message.topic, String::from_utf8_lossy(&message.payload));
    }
    client.disconnect()?;
    Ok(())
}

/// In place of the C library's, which brings `printf` along. See "Make yours small" in `docs/size.md`.
#[cfg(target_os = "wasi")]
#[unsafe(no_mangle)]
extern "C" fn __assert_fail(_what: usize, _file: usize, _line: u32, _function: usize) -> ! {
    std::process::abort()
}
