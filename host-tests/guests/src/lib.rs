//! What the guests share: the bindings of the mqtt interface, and a little comfort.
#![allow(missing_docs, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit",
    world: "imports",
    generate_all,
});

use mqtt::{Client, ConnectOptions, Error, Message, Publication, Qos, RetainHandling, Subscription};
pub use mqtt_wasi::client::mqtt;

/// The broker's URL: the first argument.
#[must_use]
pub fn url() -> String {
    std::env::args().nth(1).expect("the broker's URL as the first argument")
}

/// The argument at this place behind the URL.
#[must_use]
pub fn argument(place: usize) -> String {
    std::env::args().nth(place + 2).unwrap_or_else(|| panic!("argument {place} behind the URL"))
}

/// A client with default options.
///
/// # Errors
/// As `client.connect`.
pub fn connect() -> Result<Client, Error> {
    Client::connect(&url(), None)
}

/// A client with these options.
///
/// # Errors
/// As `client.connect`.
pub fn connect_with(set: impl FnOnce(&ConnectOptions)) -> Result<Client, Error> {
    let options = ConnectOptions::new();
    set(&options);
    Client::connect(&url(), Some(&options))
}

/// A message without properties.
#[must_use]
pub fn message(topic: &str, payload: impl AsRef<[u8]>, qos: Qos) -> Publication {
    Publication { topic: topic.into(), payload: payload.as_ref().into(), qos, retain: false, properties: None }
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
