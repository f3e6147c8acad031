//! Waits for a message on pollables of its own: the connection's, and a timer for the client's deadline. Prints how
//! often that woke it.

use host_tests_guests::mqtt::Error;
use host_tests_guests::poll::poll;
use host_tests_guests::{connect_with, timer};

fn main() -> Result<(), Error> {
    let client = connect_with(|options| options.set_keep_alive_seconds(1))?;
    let readiness = client.readiness()?;
    let mut wake_ups = 0;
    let message = loop {
        if let Some(message) = client.receive(0)? {
            break message;
        }
        let deadline = timer(client.deadline_ms().expect("a deadline while there is a Keep Alive"));
        assert!(!poll(&[&readiness, &deadline]).is_empty());
        wake_ups += 1;
    };
    assert_eq!(message.topic, "at/last");
    drop(readiness);
    client.disconnect(false)?;
    assert_eq!(client.deadline_ms(), None, "nothing to keep alive");
    assert!(client.readiness().is_err(), "nothing to be ready");
    println!("{wake_ups}");
    Ok(())
}
