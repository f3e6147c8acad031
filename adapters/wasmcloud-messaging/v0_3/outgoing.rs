//! Exports `wasmcloud:messaging/consumer@0.3.0` over the mqtt component for WASI 0.3: messages to send, and requests, any
//! number at the same time.
#![cfg_attr(all(target_os = "wasi", target_env = "p2"), no_std)]
#![cfg(all(target_os = "wasi", target_env = "p2"))]
#![allow(missing_docs, reason = "generated")]

extern crate alloc;

wit_bindgen::generate!({
    path: ["../wit/p3", "wit/cli-0.3", "wasmcloud-messaging/wit-0.3"],
    inline: "
        package mqtt-wasi:wasmcloud;

        world outgoing {
            import wasi:cli/environment@0.3.0;
            import mqtt-wasi:client/mqtt@0.3.0;
            export wasmcloud:messaging/types@0.3.0;
            export wasmcloud:messaging/consumer@0.3.0;
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

use exports::wasmcloud::messaging::consumer::{BrokerMessage, Error, Guest};
use mqtt_wasi::client::mqtt::{Failure, FailureKind};
use outgoing::{Fault, publish, request};

struct Adapter;

export!(Adapter);

impl Guest for Adapter {
    async fn request(subject: String, body: Vec<u8>, timeout_ms: u32) -> Result<BrokerMessage, Error> {
        let reply = request(subject, body, timeout_ms).await.map_err(error)?;
        Ok(BrokerMessage { subject: reply.subject, body: reply.body, reply_to: reply.reply_to })
    }

    async fn publish(msg: BrokerMessage) -> Result<(), Error> {
        publish(&msg.subject, msg.body, msg.reply_to.as_deref()).await.map_err(error)
    }
}

fn error(fault: Fault) -> Error {
    match &fault {
        Fault::Subject(_) => Error::SubjectInvalid,
        Fault::Settings(_) => Error::Other(fault.text()),
        Fault::Failure(failure) => named(failure).unwrap_or_else(|| Error::Other(fault.text())),
    }
}

/// The error without words that a failure is. None: it needs them.
fn named(failure: &Failure) -> Option<Error> {
    match (failure.name.as_str(), failure.code) {
        // The Topic Name of the message, or that of the reply.
        ("invalid-argument", _) | ("publish-refused", Some(0x90)) => Some(Error::SubjectInvalid),
        ("publish-refused", Some(0x87)) => Some(Error::AccessDenied),
        ("publish-refused", Some(0x97)) => Some(Error::QuotaExceeded),
        ("publish-refused", Some(0x95)) | ("packet-too-large", _) => Some(Error::MessageTooLarge),
        ("timeout", _) => Some(Error::Timeout),
        _ if matches!(failure.kind, FailureKind::ConnectionOver | FailureKind::TryLater) => {
            Some(Error::BrokerUnavailable)
        }
        _ => None,
    }
}

/// Calls that wait.
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
        mqtt::connect(url, Some(options)).await
    }

    pub(crate) async fn publish(client: &Client, message: Publication) -> Result<PublishAnswer, Failure> {
        client.publish_message(message).await
    }

    pub(crate) async fn request(
        client: &Client,
        topic: String,
        payload: Payload,
        qos: Qos,
        timeout_ms: u32,
    ) -> Result<Message, Failure> {
        client.request(topic, payload, qos, timeout_ms).await
    }
}
