//! Exports `wasmcloud:messaging/consumer@0.2.0` over the mqtt component: messages to send, and requests.
#![cfg_attr(all(target_os = "wasi", target_env = "p2"), no_std)]
#![cfg(all(target_os = "wasi", target_env = "p2"))]
#![allow(missing_docs, reason = "generated")]

extern crate alloc;

wit_bindgen::generate!({
    path: ["../wit", "wit/cli-0.2", "wasmcloud-messaging/wit-0.2"],
    inline: "
        package mqtt-wasi:wasmcloud;

        world outgoing {
            import wasi:cli/environment@0.2.0;
            import mqtt-wasi:client/mqtt@0.1.0;
            export wasmcloud:messaging/types@0.2.0;
            export wasmcloud:messaging/consumer@0.2.0;
        }
    ",
    world: "mqtt-wasi:wasmcloud/outgoing",
    generate_all,
});

#[path = "../common.rs"]
mod common;
#[path = "../outgoing.rs"]
mod outgoing;

use alloc::string::String;
use alloc::vec::Vec;

use exports::wasmcloud::messaging::consumer::{BrokerMessage, Guest};
use mqtt_wasi_adapters::now;
use outgoing::{Fault, publish, request};

struct Adapter;

export!(Adapter);

impl Guest for Adapter {
    fn request(subject: String, body: Vec<u8>, timeout_ms: u32) -> Result<BrokerMessage, String> {
        let reply = now(request(subject, body, timeout_ms)).map_err(Fault::text)?;
        Ok(BrokerMessage { subject: reply.subject, body: reply.body, reply_to: reply.reply_to })
    }

    fn publish(msg: BrokerMessage) -> Result<(), String> {
        now(publish(&msg.subject, msg.body, msg.reply_to.as_deref())).map_err(Fault::text)
    }
}

/// Calls that block.
mod calls {
    use alloc::string::String;
    use alloc::vec::Vec;

    use crate::mqtt_wasi::client::mqtt::{
        self, Client, ConnectOptions, Failure, Message, Payload, Publication, PublishAnswer, Qos,
    };
    use crate::wasi::cli::environment::get_environment;

    pub(crate) fn environment() -> Vec<(String, String)> {
        get_environment()
    }

    pub(crate) async fn connect(url: String, options: &ConnectOptions) -> Result<Client, Failure> {
        mqtt::connect(&url, Some(options))
    }

    pub(crate) async fn publish(client: &Client, message: Publication) -> Result<PublishAnswer, Failure> {
        client.publish_message(&message)
    }

    pub(crate) async fn request(
        client: &Client,
        topic: String,
        payload: Payload,
        qos: Qos,
        timeout_ms: u32,
    ) -> Result<Message, Failure> {
        client.request(&topic, &payload, qos, timeout_ms)
    }
}
