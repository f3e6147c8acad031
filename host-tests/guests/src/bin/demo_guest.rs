//! Publishes messages, receives each of them back, and tells how long that took: the guest of `cargo xtask demo`.

use std::env::args;
use std::time::Instant;

use host_tests_guests::mqtt::{ConnectOptions, Failure, Payload, Qos, connect};

const MESSAGES: u32 = 20;

fn main() -> Result<(), String> {
    run().map_err(|failure| failure.message)
}

fn run() -> Result<(), Failure> {
    let mut args = args().skip(1);
    let url = args.next().unwrap_or_else(|| "mqtt://localhost:1883".into());
    let messages: u32 = args.next().and_then(|count| count.parse().ok()).unwrap_or(MESSAGES);

    let options = ConnectOptions::new();
    options.set_keep_alive_seconds(30);
    let client = connect(&url, Some(&options))?;
    println!("guest: connected to {url} as {:?}", client.info().client_id);

    let filter = "mqtt-wasi/demo/+";
    client.subscribe(filter, Qos::AtLeastOnce)?;
    println!("guest: subscribed to {filter}");

    let mut round_trips = Vec::new();
    for number in 1..=messages {
        let topic = format!("mqtt-wasi/demo/{number}");
        let text = format!("message {number} of {messages}");
        let start = Instant::now();
        client.publish(&topic, &Payload::Text(text.clone()), Qos::AtLeastOnce, false)?;
        let message = client.receive(5_000)?.expect("the message within five seconds");
        round_trips.push(start.elapsed());
        let Payload::Text(received) = message.payload else { panic!("text came back as bytes") };
        assert_eq!((&message.topic, &received), (&topic, &text), "came back changed");
        println!(
            "guest: {} {:?} {:.3} ms",
            message.topic,
            received,
            round_trips[round_trips.len() - 1].as_secs_f64() * 1e3
        );
    }
    client.disconnect(None)?;

    round_trips.sort();
    let median = round_trips.get(round_trips.len() / 2).copied().unwrap_or_default();
    println!("guest: intact={} median-round-trip-us={}", round_trips.len(), median.as_micros());
    Ok(())
}
