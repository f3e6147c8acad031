//! A client that watches what a program does.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use host_tests::broker::url;
use mqtt_wasi::{Client, Message, Options, Publish, QoS, Reconnect, Subscription};

/// How long what has to happen may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Observer(Client);

impl Observer {
    /// Sees everything that matches, also while the broker restarts.
    pub(crate) fn start(broker: SocketAddr, filter: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let options = Options::new()
            .client_id(format!("observer-{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
            .clean_start(false)
            .session_expiry_interval(3600)
            .reconnect(Reconnect { longest_delay: Duration::from_millis(500), ..Reconnect::default() });
        let mut client = Client::connect(&url(broker), options).unwrap();
        client.subscribe(&[Subscription::new(filter, QoS::AtLeastOnce)]).unwrap();
        Self(client)
    }

    /// Waits for a message that is as it has to be, and returns it.
    pub(crate) fn wait_for(&mut self, what: &str, mut is_it: impl FnMut(&Message) -> bool) -> Message {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.0.receive_timeout(left).unwrap() {
                Some(message) if is_it(&message) => return message,
                Some(_) => {}
                None => panic!("{what}: it does not come"),
            }
        }
    }

    /// All that comes up to a message that is as it has to be, and what is behind that.
    pub(crate) fn all_with(&mut self, what: &str, mut is_it: impl FnMut(&Message) -> bool) -> Vec<Message> {
        let mut messages = Vec::new();
        self.wait_for(what, |message| {
            messages.push(message.clone());
            is_it(message)
        });
        messages.extend(self.rest());
        messages
    }

    /// All that comes until nothing does for a second.
    pub(crate) fn rest(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.0.receive_timeout(Duration::from_secs(1)).unwrap() {
            messages.push(message);
        }
        messages
    }

    pub(crate) fn publish(&mut self, publish: &Publish<'_>) {
        self.0.publish(publish).unwrap();
    }
}

pub(crate) fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.payload).into_owned()
}
