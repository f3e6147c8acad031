//! Drops clients without a word to the broker, which then publishes their Will Messages.

use host_tests_guests::mqtt::{Client, Disconnection, Failure, Payload, Publication, Qos};
use host_tests_guests::{connect, connect_with, expect_message, readiness};

fn main() -> Result<(), Failure> {
    let watcher = connect()?;
    watcher.subscribe("guest/will/+", Qos::AtLeastOnce)?;

    drop(mortal("guest/will/plain")?);
    assert_eq!(expect_message(&watcher)?.topic, "guest/will/plain");

    let client = mortal("guest/will/watched")?;
    let ready = readiness(&client).expect("a connection");
    drop(client);
    assert_eq!(expect_message(&watcher)?.topic, "guest/will/watched", "with its pollable still held");
    drop(ready);

    mortal("guest/will/none")?.disconnect(None)?;
    let kept = Disconnection {
        code: Some(0x04),
        session_expiry_interval_seconds: None,
        reason_string: None,
        user_properties: Vec::new(),
    };
    mortal("guest/will/kept")?.disconnect(Some(&kept))?;
    assert_eq!(expect_message(&watcher)?.topic, "guest/will/kept", "and none after a normal disconnect");
    println!("published");
    watcher.disconnect(None)
}

/// A client with a Will Message for this topic.
fn mortal(topic: &str) -> Result<Client, Failure> {
    connect_with(|options| {
        let payload = Payload::Text("gone".into());
        let will =
            Publication { topic: topic.into(), payload, qos: Qos::AtLeastOnce, retain: false, properties: Vec::new() };
        options.set_will(Some(&will), None);
    })
}
