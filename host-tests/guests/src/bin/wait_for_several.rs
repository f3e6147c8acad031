//! Waits for several clients at once: `wait` says which of them have a message, or are over.

use std::time::{Duration, Instant};

use host_tests_guests::mqtt::{Client, Error, Qos, wait};
use host_tests_guests::{connect, message, subscription};

const TOPICS: [&str; 3] = ["guest/wait/0", "guest/wait/1", "guest/wait/2"];

fn main() -> Result<(), Error> {
    let publisher = connect()?;
    let clients = TOPICS.map(|_| connect());
    let [one, two, three] = &clients.map(|client| client.expect("a connection"));
    let clients = [one, two, three];
    for (client, topic) in clients.into_iter().zip(TOPICS) {
        client.subscribe(&[subscription(topic, Qos::AtLeastOnce)], None, &[])?;
    }

    let start = Instant::now();
    assert_eq!(wait(&clients, 100), [], "nobody has a message");
    assert!(start.elapsed() >= Duration::from_millis(100), "{:?}", start.elapsed());

    publisher.publish(&message(TOPICS[2], "for the third", Qos::AtLeastOnce))?;
    assert_eq!(wait(&clients, 5_000), [2]);
    assert_eq!(wait(&clients, 5_000), [2], "until it is received");
    assert_eq!(payload(three)?, b"for the third");

    for topic in &TOPICS[..2] {
        publisher.publish(&message(topic, "for both", Qos::AtLeastOnce))?;
    }
    let mut waiting = vec![one, two];
    while !waiting.is_empty() {
        let ready = wait(&waiting, 5_000);
        assert!(!ready.is_empty(), "{} messages did not come", waiting.len());
        for place in ready.into_iter().rev() {
            assert_eq!(payload(waiting.remove(place as usize))?, b"for both");
        }
    }

    two.disconnect(false)?;
    assert_eq!(wait(&clients, 5_000), [1], "its connection is over");
    assert_eq!(wait(&[], 0), [], "nobody to wait for");
    println!("waited");
    Ok(())
}

fn payload(client: &Client) -> Result<Vec<u8>, Error> {
    Ok(client.receive(0)?.expect("the message that `wait` told of").payload)
}
