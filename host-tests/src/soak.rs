//! A long life in one instance of the component: messages, connections and clients without number, while its memory and
//! the handles that it holds of its host stay what they were.

use std::time::Duration;

use mqtt_wasi::{Publish, QoS};

use crate::broker::Embedded;
use crate::subject::{Component, Settings, Subject};

/// How many messages are published and received at once. Between two batches, the host's socket may wait 40 ms for an
/// acknowledgement of TCP, since WASI has no setting against that.
const BATCH: usize = 1_000;

/// How long all of a batch may take to come back.
const SOON: Duration = Duration::from_secs(60);

/// How much there is of everything.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Messages at QoS 1 that are published and received again.
    pub messages: u64,
    /// Connections that are made again.
    pub reconnects: u64,
    /// Clients that are opened beside the first, and dropped.
    pub clients: u64,
    /// How often each of the three is looked at.
    pub points: u64,
}

/// What the instance held at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// What was done: `messages`, `reconnects` or `clients`.
    pub what: &'static str,
    /// So many of them so far.
    pub done: u64,
    /// The size of its linear memory.
    pub memory_bytes: usize,
    /// The handles that the host has given out to it.
    pub handles: usize,
}

/// Lives through all that, and tells each point as it comes; all of them in the end.
///
/// # Panics
/// When a call fails, and when a message does not come back as it was.
pub fn live(effort: Effort, mut tell: impl FnMut(&Point)) -> Vec<Point> {
    let Effort { messages, reconnects, clients, points } = effort;
    let broker = Embedded::start().expect("a broker");
    let url = broker.url();
    let mut client = Component::connect(&url, &Settings::default()).expect("a connection");
    client.subscribe("soak", QoS::AtLeastOnce);
    let mut told = Vec::new();
    let mut phase = |what, count: u64, client: &mut Component, step: &mut dyn FnMut(&mut Component)| {
        for done in 1..=count {
            step(client);
            if done % (count / points).max(1) == 0 {
                let (memory_bytes, handles) = (client.memory_bytes(), client.host_handles());
                let point = Point { what, done, memory_bytes, handles };
                tell(&point);
                told.push(point);
            }
        }
    };
    phase("messages", messages / BATCH as u64, &mut client, &mut |client| send_and_receive(client));
    phase("clients", clients, &mut client, &mut |client| {
        let beside = client.connect_beside(&url, &Settings::default()).expect("a connection");
        client.drop_beside(beside);
    });
    phase("reconnects", reconnects, &mut client, &mut |client| {
        client.reconnect().expect("a connection");
    });
    client.disconnect().expect("an end");
    for point in told.iter_mut().filter(|point| point.what == "messages") {
        point.done *= BATCH as u64;
    }
    told
}

fn send_and_receive(client: &mut Component) {
    let payload = [7; 64];
    let message = Publish::new("soak", &payload).qos(QoS::AtLeastOnce);
    let results = client.publish_batch(&[message; BATCH]);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let mut received = 0;
    while received < BATCH {
        let messages = client.receive_batch(BATCH - received, SOON).expect("messages");
        assert!(!messages.is_empty(), "{received} of {BATCH} came back");
        assert!(messages.iter().all(|message| message.payload == payload));
        received += messages.len();
    }
}
