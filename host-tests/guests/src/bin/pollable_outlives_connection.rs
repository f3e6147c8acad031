//! Keeps pollables of connections that are over: disconnected, reconnected, dropped. No order may trap.

use host_tests_guests::mqtt::Failure;
use host_tests_guests::{connect, readiness};

fn main() -> Result<(), Failure> {
    let client = connect()?;
    let first = readiness(&client).expect("a connection");
    client.disconnect(None)?;
    assert!(first.ready(), "a connection that is over is worth a call");

    client.reconnect()?;
    let (second, third) = (readiness(&client).expect("a connection"), readiness(&client).expect("a connection"));
    drop(first);
    // Closes the connection whose pollables are held.
    client.reconnect()?;
    drop(second);

    let fourth = readiness(&client).expect("a connection");
    drop(client);
    third.ready();
    fourth.ready();
    drop((fourth, third));

    let client = connect()?;
    let _until_the_end = readiness(&client).expect("a connection");
    println!("no trap");
    // The pollable is dropped behind the client.
    let _client = client;
    Ok(())
}
