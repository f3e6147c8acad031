//! Waits for a message on pollables of its own: the connection's, and a timer for the client's deadline. Prints how
//! often that woke it.

use host_tests_guests::mqtt::Failure;
use host_tests_guests::poll::poll;
use host_tests_guests::{connect_with, readiness, timer};

fn main() -> Result<(), Failure> {
    let client = connect_with(|options| options.set_keep_alive_seconds(1))?;
    let ready = readiness(&client).expect("a connection");
    let mut wake_ups = 0;
    let message = loop {
        if let Some(message) = client.receive(0)? {
            break message;
        }
        let deadline = timer(client.deadline_ms().expect("a deadline while there is a Keep Alive"));
        assert!(!poll(&[&ready, &deadline]).is_empty());
        wake_ups += 1;
    };
    assert_eq!(message.topic, "at/last");
    drop(ready);
    client.disconnect(None)?;
    assert_eq!(client.deadline_ms(), None, "nothing to keep alive");
    assert!(readiness(&client).is_none(), "nothing to be ready");
    println!("{wake_ups}");
    Ok(())
}
