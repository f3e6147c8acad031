//! Keeps its session in a bucket of `wasi:keyvalue`: each instance continues where the one before it ended, however
//! that came. Publishes a reading, and prints the commands that have come.
#![allow(missing_docs, reason = "generated")]

wit_bindgen::generate!({
    path: ["mqtt.wit", "keyvalue.wit"],
    inline: "
        package example:keyvalue;

        world program {
            import mqtt-wasi:client/mqtt@0.1.0;
            import wasi:keyvalue/store@0.2.0-draft;
        }
    ",
    world: "example:keyvalue/program",
    generate_all,
});

use std::borrow::Cow;

use mqtt_wasi::client::mqtt::{Client, ConnectOptions, Failure, Payload, Qos, connect};
use wasi::keyvalue::store::{self, Bucket};

const CLIENT_ID: &str = "thermometer-7";
const READINGS: &str = "mqtt-wasi/example/keyvalue/readings";
const COMMANDS: &str = "mqtt-wasi/example/keyvalue/commands";
/// One day.
const EXPIRY_SECONDS: u32 = 86_400;
/// How long to wait for a command, unless a third argument says it.
const PATIENCE_MS: u32 = 1_000;

fn main() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "mqtt://localhost".into());
    let reading = arguments.next().unwrap_or_else(|| "21.5".into());
    let patience_ms = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(PATIENCE_MS);
    run(&url, &reading, patience_ms).map_err(|error| match error {
        Error::Mqtt(failure) => failure.message,
        Error::Store(error) => format!("the session cannot be kept: {error:?}"),
    })
}

enum Error {
    Mqtt(Failure),
    Store(store::Error),
}

fn run(url: &str, reading: &str, patience_ms: u32) -> Result<(), Error> {
    let bucket = store::open("")?;
    let client = open_session(url, &bucket)?;
    // Nothing has left yet: the bucket has the message before the broker has it.
    client.enqueue(READINGS, &Payload::Text(reading.into()), Qos::ExactlyOnce, false)?;
    save(&client, &bucket)?;
    client.flush()?;
    while let Some(message) = client.receive(patience_ms)? {
        println!("command: {}", text(&message.payload));
        // The acknowledgement leaves with the next call that waits: the bucket knows of the message before the broker
        // hears of it, which does not send it again.
        save(&client, &bucket)?;
    }
    client.disconnect(None)?;
    save(&client, &bucket)
}

/// The session that the bucket has, or a new one.
fn open_session(url: &str, bucket: &Bucket) -> Result<Client, Error> {
    let options = ConnectOptions::new();
    options.set_client_id(CLIENT_ID);
    options.set_session_expiry_interval_seconds(EXPIRY_SECONDS);
    // Where the bucket was lost, and the broker still has the session.
    options.set_clean_start(false);
    options.set_adopt_session(true);
    if let Some(snapshot) = bucket.get(CLIENT_ID)? {
        options.set_snapshot(&snapshot);
        println!("the session continues");
        return Ok(connect(url, Some(&options))?);
    }
    println!("a new session");
    let client = connect(url, Some(&options))?;
    client.subscribe(COMMANDS, Qos::ExactlyOnce)?;
    Ok(client)
}

/// The one who publishes may leave out that it is text.
fn text(payload: &Payload) -> Cow<'_, str> {
    match payload {
        Payload::Text(text) => text.into(),
        Payload::Bytes(bytes) => String::from_utf8_lossy(bytes),
    }
}

fn save(client: &Client, bucket: &Bucket) -> Result<(), Error> {
    Ok(bucket.set(CLIENT_ID, &client.snapshot())?)
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Mqtt(failure)
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}
