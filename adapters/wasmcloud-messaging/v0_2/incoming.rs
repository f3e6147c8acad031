//! Receives messages by the mqtt component, and has the `wasmcloud:messaging/handler@0.2.0` of a component take them: a
//! program, until its connection is over for good.
#![cfg_attr(all(target_os = "wasi", target_env = "p2"), no_std)]
#![cfg(all(target_os = "wasi", target_env = "p2"))]
#![allow(missing_docs, reason = "generated")]

extern crate alloc;

wit_bindgen::generate!({
    path: ["../wit", "wit/cli-0.2", "wasmcloud-messaging/wit-0.2"],
    inline: "
        package mqtt-wasi:wasmcloud;

        world incoming {
            import wasi:cli/environment@0.2.0;
            import wasi:cli/stderr@0.2.0;
            import mqtt-wasi:client/mqtt@0.1.0;
            import wasmcloud:messaging/handler@0.2.0;
            export wasi:cli/run@0.2.0;
        }
    ",
    world: "mqtt-wasi:wasmcloud/incoming",
    generate_all,
});

#[path = "../common.rs"]
mod common;
#[path = "../incoming.rs"]
mod incoming;

use mqtt_wasi_adapters::now;

struct Adapter;

export!(Adapter);

impl exports::wasi::cli::run::Guest for Adapter {
    fn run() -> Result<(), ()> {
        let Err(why) = now(incoming::serve());
        now(calls::report(&why));
        Err(())
    }
}

/// Calls that block.
mod calls {
    use alloc::string::String;
    use alloc::vec::Vec;

    use crate::common::Received;
    use crate::mqtt_wasi::client::mqtt::{
        self, Client, ConnectOptions, Failure, Message, SubscribeAnswer, Subscription,
    };
    use crate::wasi::cli::{environment::get_environment, stderr::get_stderr};
    use crate::wasi::io::streams::StreamError;
    use crate::wasmcloud::messaging::handler::{BrokerMessage, handle_message};

    pub(crate) fn environment() -> Vec<(String, String)> {
        get_environment()
    }

    pub(crate) async fn connect(url: String, options: &ConnectOptions) -> Result<Client, Failure> {
        mqtt::connect(&url, Some(options))
    }

    pub(crate) async fn subscribe(
        client: &Client,
        subscriptions: Vec<Subscription>,
    ) -> Result<SubscribeAnswer, Failure> {
        client.subscribe_with(&subscriptions, None, &[])
    }

    pub(crate) async fn receive(client: &Client) -> Result<Option<Message>, Failure> {
        client.receive(u32::MAX)
    }

    pub(crate) async fn receive_now(client: &Client) -> Option<Message> {
        client.receive(0).ok().flatten()
    }

    pub(crate) async fn reconnect(client: &Client) -> Result<bool, Failure> {
        client.reconnect()
    }

    /// Waits until nothing has happened for so long.
    pub(crate) async fn wait(client: &Client, ms: u32) {
        while let Ok(Some(_)) = client.next_event(ms) {}
    }

    pub(crate) async fn handle(message: Received) -> Result<(), String> {
        let Received { subject, body, reply_to } = message;
        handle_message(&BrokerMessage { subject, body, reply_to })
    }

    /// Writes a line to standard error. It is lost if nobody listens.
    pub(crate) async fn report(line: &str) {
        let _ = write(&[line, "\n"].concat());
    }

    fn write(text: &str) -> Result<(), StreamError> {
        let stderr = get_stderr();
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let room = usize::try_from(stderr.check_write()?).unwrap_or(usize::MAX).min(rest.len());
            if room == 0 {
                stderr.subscribe().block();
            }
            stderr.write(&rest[..room])?;
            rest = &rest[room..];
        }
        stderr.flush()?;
        // What has not left when the program ends is lost.
        stderr.subscribe().block();
        stderr.check_write().map(drop)
    }
}
