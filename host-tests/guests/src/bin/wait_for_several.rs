//! Waits for several clients at once: `wait` says which of them have a message, or are over.

use std::time::{Duration, Instant};

use host_tests_guests::mqtt::{Client, Failure, Payload, Qos, wait};
use host_tests_guests::{connect, publish};

const TOPICS: [&str; 3] = ["guest/wait/0", "guest/wait/1", "guest/wait/2"];

fn main() -> Result<(), Failure> {
    let publisher = connect()?;
    let clients = TOPICS.map(|_| connect());
    let [one, two, three] = &clients.map(|client| client.expect("a connection"));
    let clients = [one, two, three];
    for (client, topic) in clients.into_iter().zip(TOPICS) {
        client.subscribe(topic, Qos::AtLeastOnce)?;
    }

    let start = Instant::now();
    assert_eq!(wait(&clients, 100), [], "nobody has a message");
    assert!(start.elapsed() >= Duration::from_millis(100), "{:?}", start.elapsed());

    publish(&publisher, TOPICS[2], "for the third", Qos::AtLeastOnce)?;
    assert_eq!(wait(&clients, 60_000), [2]);
    assert_eq!(wait(&clients, 60_000), [2], "until it is received");
    assert_eq!(text(three)?, "for the third");

    for topic in &TOPICS[..2] {
        publish(&publisher, topic, "for both", Qos::AtLeastOnce)?;
    }
    let mut waiting = vec![one, two];
    while !waiting.is_empty() {
        let ready = wait(&waiting, 60_000);
        assert!(!ready.is_empty(), "{} messages did not come", waiting.len());
        for place in ready.into_iter().rev() {
            assert_eq!(text(waiting.remove(place as usize))?, "for both");
        }
    }

    two.disconnect(None)?;
    assert_eq!(wait(&clients, 60_000), [1], "its connection is over");
    assert_eq!(wait(&[], 0), [], "nobody to wait for");
    println!("waited");
    Ok(())
}

fn text(client: &Client) -> Result<String, Failure> {
    match client.receive(0)?.expect("the message that `wait` told of").payload {
        Payload::Text(text) => Ok(text),
        Payload::Bytes(bytes) => panic!("bytes that were text: {bytes:?}"),
    }
}
