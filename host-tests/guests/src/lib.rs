//! What the guests share: the bindings of the mqtt interface, and a little comfort.
#![allow(missing_docs, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package mqtt-wasi:host-tests;

        world guest {
            include mqtt-wasi:client/imports-readiness@0.1.0;
            include mqtt-wasi:client/imports-trace@0.1.0;
            import wasi:clocks/monotonic-clock@0.2.0;
        }
    ",
    world: "mqtt-wasi:host-tests/guest",
    generate_all,
});

use mqtt::{Client, ConnectOptions, Error, Message, Publication, Qos, RetainHandling, Subscription};
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
pub fn connect() -> Result<Client, Error> {
    mqtt::connect(&url(), None)
}

/// A client with these options.
///
/// # Errors
/// As `mqtt.connect`.
pub fn connect_with(set: impl FnOnce(&ConnectOptions)) -> Result<Client, Error> {
    let options = ConnectOptions::new();
    set(&options);
    mqtt::connect(&url(), Some(&options))
}

/// A message without properties.
#[must_use]
pub fn message(topic: &str, payload: impl AsRef<[u8]>, qos: Qos) -> Publication {
    Publication {
        topic: topic.into(),
        payload: payload.as_ref().into(),
        qos,
        retain: false,
        topic_alias: None,
        properties: None,
    }
}

/// A subscription with default options.
#[must_use]
pub fn subscription(filter: &str, maximum_qos: Qos) -> Subscription {
    Subscription {
        filter: filter.into(),
        maximum_qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    }
}

/// The next message, which must come within five seconds.
///
/// # Errors
/// As `client.receive`.
///
/// # Panics
/// When none comes.
pub fn expect_message(client: &Client) -> Result<Message, Error> {
    Ok(client.receive(5_000)?.expect("a message within five seconds"))
}

/// A pollable that is ready after so many milliseconds.
#[must_use]
pub fn timer(milliseconds: u64) -> poll::Pollable {
    monotonic_clock::subscribe_instant(monotonic_clock::now() + milliseconds * 1_000_000)
}
