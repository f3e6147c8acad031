//! A program for Spin, as far as MQTT goes: it opens connections and publishes.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, reason = "generated")]

wit_bindgen::generate!({
    path: "../../adapters/spin-mqtt/wit",
    inline: "
        package mqtt-wasi:spin-app;

        world app {
            import spin:mqtt/mqtt@3.0.0;

            /// Opens a connection, publishes these messages at each QoS, and tells how each went.
            export publish: async func(address: string, username: string, password: string, keep-alive: u64,
                topics: list<string>) -> result<list<string>, string>;

            /// Publishes as many messages at the same time over one connection.
            export at-once: async func(address: string, topic: string, messages: u32) -> result<_, string>;

            /// Opens connections until one fails, drops them, and opens another. Tells how many were open, and why there
            /// were no more.
            export exhaust: async func(address: string) -> tuple<u32, string>;
        }
    ",
    world: "mqtt-wasi:spin-app/app",
    generate_all,
});

use futures::future::try_join_all;
use spin::mqtt::mqtt::{Connection, Qos};

struct App;

export!(App);

impl Guest for App {
    async fn publish(
        address: String,
        username: String,
        password: String,
        keep_alive: u64,
        topics: Vec<String>,
    ) -> Result<Vec<String>, String> {
        let connection = Connection::open(address, username, password, keep_alive).await;
        let connection = connection.map_err(|error| format!("{error:?}"))?;
        let mut outcomes = Vec::new();
        for topic in topics {
            for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
                let outcome = connection.publish(topic.clone(), format!("{qos:?}").into_bytes(), qos).await;
                outcomes.push(outcome.map_or_else(|error| format!("{error:?}"), |()| "published".into()));
            }
        }
        Ok(outcomes)
    }

    async fn at_once(address: String, topic: String, messages: u32) -> Result<(), String> {
        let opened = Connection::open(address, String::new(), String::new(), 60).await;
        let connection = opened.map_err(|error| format!("{error:?}"))?;
        let publish =
            |number: u32| connection.publish(topic.clone(), number.to_string().into_bytes(), Qos::AtLeastOnce);
        let published = try_join_all((0..messages).map(publish)).await;
        published.map(drop).map_err(|error| format!("{error:?}"))
    }

    async fn exhaust(address: String) -> (u32, String) {
        let open = || Connection::open(address.clone(), String::new(), String::new(), 60);
        let mut connections = Vec::new();
        let error = loop {
            match open().await {
                Ok(connection) => connections.push(connection),
                Err(error) => break error,
            }
        };
        let count = connections.len();
        drop(connections);
        open().await.expect("there is room again");
        (count as u32, format!("{error:?}"))
    }
}
