//! A component that knows nothing of sockets or MQTT's bytes: it imports the `mqtt` interface through generated
//! bindings, and whoever composes it decides which component stands behind.
//!
//! ```sh
//! cargo xtask build
//! wac plug target/components/examples/guest.wasm --plug target/components/mqtt.wasm -o guest-with-mqtt.wasm
//! wasmtime run -S inherit-network -S allow-ip-name-lookup guest-with-mqtt.wasm mqtt://localhost:1883
//! ```
#![allow(missing_docs, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit/mqtt.wit",
    world: "imports",
    generate_all,
});

use std::time::Instant;

use mqtt_wasi::client::mqtt::{ConnectOptions, Error, Publication, Qos, RetainHandling, Subscription, connect};

const MESSAGES: u32 = 20;

fn main() -> Result<(), String> {
    run().map_err(|error| error.message())
}

fn run() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "mqtt://localhost:1883".into());
    let messages: u32 = args.next().and_then(|count| count.parse().ok()).unwrap_or(MESSAGES);

    let options = ConnectOptions::new();
    options.set_keep_alive_seconds(30);
    let client = connect(&url, Some(&options))?;
    println!("guest: connected to {url} as {:?}", client.info().client_id);

    let filter = "mqtt-wasi/demo/+";
    let subscription = Subscription {
        filter: filter.into(),
        maximum_qos: Qos::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    };
    match client.subscribe(&[subscription], None, &[])?[0] {
        Ok(granted) => println!("guest: subscribed to {filter}, granted {granted:?}"),
        Err(refused) => panic!("the broker refused the subscription: {refused:?}"),
    }

    let mut round_trips = Vec::new();
    for number in 1..=messages {
        let publication = Publication {
            topic: format!("mqtt-wasi/demo/{number}"),
            payload: format!("message {number} of {messages}").into_bytes(),
            qos: Qos::AtLeastOnce,
            retain: false,
            topic_alias: None,
            properties: None,
        };
        let start = Instant::now();
        client.publish(&publication)?;
        let message = client.receive(5_000)?.expect("the message within five seconds");
        round_trips.push(start.elapsed());
        assert_eq!((&message.topic, &message.payload), (&publication.topic, &publication.payload), "came back changed");
        println!(
            "guest: {} {:?} {:.3} ms",
            message.topic,
            String::from_utf8_lossy(&message.payload),
            round_trips[round_trips.len() - 1].as_secs_f64() * 1e3
        );
    }
    client.disconnect(false)?;

    round_trips.sort();
    let median = round_trips.get(round_trips.len() / 2).copied().unwrap_or_default();
    println!("guest: intact={} median-round-trip-us={}", round_trips.len(), median.as_micros());
    Ok(())
}
