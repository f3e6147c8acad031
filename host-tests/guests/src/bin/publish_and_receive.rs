//! Publishes at every QoS and receives everything back, in order and intact.

use host_tests_guests::mqtt::{Error, Qos};
use host_tests_guests::{connect, expect_message, message, subscription};

fn main() -> Result<(), Error> {
    let client = connect()?;
    let granted = client.subscribe(&[subscription("guest/echo/#", Qos::ExactlyOnce)], None, &[])?;
    assert_eq!(granted.len(), 1);
    let sizes = [0, 1, 100, 10_000, 1_000_000];
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        for size in sizes {
            let payload: Vec<u8> = (0..size).map(|n| n as u8).collect();
            client.publish(&message("guest/echo/a", &payload, qos))?;
            let received = expect_message(&client)?;
            assert_eq!((received.topic.as_str(), received.qos), ("guest/echo/a", qos));
            assert!(received.payload == payload, "{size} bytes at {qos:?} came back changed");
        }
    }
    client.disconnect(false)?;
    println!("received {}", 3 * sizes.len());
    Ok(())
}
