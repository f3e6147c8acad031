//! Publishes 64 bytes at QoS 0, as often as the last argument says: one by one, or in batches.

use std::env::args;

use host_tests_guests::connect;
use host_tests_guests::mqtt::{Failure, Payload, Publication, Qos};

const BATCH: usize = 1_000;

fn main() -> Result<(), Failure> {
    let [how, times] = [2, 3].map(|index| args().nth(index).unwrap_or_default());
    let mut left: usize = times.parse().unwrap_or_default();
    let client = connect()?;
    let message = Publication {
        topic: "mqtt-wasi/guest/rate".into(),
        payload: Payload::Text("x".repeat(64)),
        qos: Qos::AtMostOnce,
        retain: false,
        properties: Vec::new(),
    };
    let batch = vec![message.clone(); BATCH];
    while how == "batches" && left >= BATCH {
        for result in client.publish_batch(&batch) {
            result?;
        }
        left -= BATCH;
    }
    for _ in 0..left {
        client.publish(&message.topic, &message.payload, message.qos, message.retain)?;
    }
    client.disconnect(None)
}
