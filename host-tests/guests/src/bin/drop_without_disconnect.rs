//! Drops clients without a word to the broker, which then publishes their Will Messages.

use host_tests_guests::mqtt::{Client, Error, Qos, Will};
use host_tests_guests::{connect, connect_with, expect_message, message, readiness, subscription};

fn main() -> Result<(), Error> {
    let watcher = connect()?;
    watcher.subscribe(&[subscription("guest/will/+", Qos::AtLeastOnce)], None, &[])?;

    drop(mortal("guest/will/plain")?);
    assert_eq!(expect_message(&watcher)?.topic, "guest/will/plain");

    let client = mortal("guest/will/watched")?;
    let ready = readiness(&client)?;
    drop(client);
    assert_eq!(expect_message(&watcher)?.topic, "guest/will/watched", "with its pollable still held");
    drop(ready);

    mortal("guest/will/none")?.disconnect(false)?;
    mortal("guest/will/kept")?.disconnect(true)?;
    assert_eq!(expect_message(&watcher)?.topic, "guest/will/kept", "and none after a normal disconnect");
    println!("published");
    watcher.disconnect(false)
}

/// A client with a Will Message for this topic.
fn mortal(topic: &str) -> Result<Client, Error> {
    connect_with(|options| {
        options.set_will(&Will { message: message(topic, "gone", Qos::AtLeastOnce), delay_interval_seconds: 0 });
    })
}
