//! What the guests share: the bindings of the mqtt interface, and a little comfort.
#![allow(missing_docs, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package mqtt-wasi:host-tests;

        world guest {
            include mqtt-wasi:client/imports-readiness@0.1.0;
            include mqtt-wasi:client/imports-trace@0.1.0;
            include mqtt-wasi:client/imports-bulk@0.1.0;
            import wasi:clocks/monotonic-clock@0.2.0;
        }
    ",
    world: "mqtt-wasi:host-tests/guest",
    generate_all,
});

use mqtt::{Client, ConnectOptions, Failure, Message, Payload, Qos};
pub use mqtt_wasi::client::bulk;
pub use mqtt_wasi::client::mqtt;
pub use mqtt_wasi::client::readiness::readiness;
pub use mqtt_wasi::client::trace;
use wasi::clocks::monotonic_clock;
pub use wasi::io::poll;

/// The broker's URL: the first argument.
#[must_use]
pub fn url() -> String {
    std::env::args().nth(1).expect("the broker's URL as the first argument")
}

/// A client with default options.
///
/// # Errors
/// As `mqtt.connect`.
pub fn connect() -> Result<Client, Failure> {
    mqtt::connect(&url(), None)
}

/// A client with these options.
///
/// # Errors
/// As `mqtt.connect`.
pub fn connect_with(set: impl FnOnce(&ConnectOptions)) -> Result<Client, Failure> {
    let options = ConnectOptions::new();
    set(&options);
    mqtt::connect(&url(), Some(&options))
}

/// Publishes text without properties.
///
/// # Errors
/// As `client.publish`.
pub fn publish(client: &Client, topic: &str, text: &str, qos: Qos) -> Result<(), Failure> {
    client.publish(topic, &Payload::Text(text.into()), qos, false).map(drop)
}

/// The next message, which must come within five seconds.
///
/// # Errors
/// As `client.receive`.
///
/// # Panics
/// When none comes.
pub fn expect_message(client: &Client) -> Result<Message, Failure> {
    Ok(client.receive(5_000)?.expect("a message within five seconds"))
}

/// A pollable that is ready after so many milliseconds.
#[must_use]
pub fn timer(milliseconds: u32) -> poll::Pollable {
    monotonic_clock::subscribe_instant(monotonic_clock::now() + u64::from(milliseconds) * 1_000_000)
}
