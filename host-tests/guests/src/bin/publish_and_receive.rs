//! Publishes at every QoS and receives everything back, in order and intact.

use host_tests_guests::mqtt::{Failure, Payload, Qos};
use host_tests_guests::{connect, expect_message};

fn main() -> Result<(), Failure> {
    let client = connect()?;
    let granted = client.subscribe("guest/echo/#", Qos::ExactlyOnce)?;
    assert_eq!(granted, Qos::ExactlyOnce);
    let sizes = [0, 1, 100, 10_000, 1_000_000];
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        for size in sizes {
            let payload: Vec<u8> = (0..size).map(|n| n as u8).collect();
            client.publish("guest/echo/a", &Payload::Bytes(payload.clone()), qos, false)?;
            let received = expect_message(&client)?;
            assert_eq!((received.topic.as_str(), received.qos), ("guest/echo/a", qos));
            let Payload::Bytes(received) = received.payload else { panic!("bytes that were text") };
            assert!(received == payload, "{size} bytes at {qos:?} came back changed");
        }
    }
    client.disconnect(None)?;
    println!("received {}", 3 * sizes.len());
    Ok(())
}
