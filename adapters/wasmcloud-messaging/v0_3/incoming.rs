//! Receives messages by the mqtt component for WASI 0.3, and has the `wasmcloud:messaging/handler@0.3.0` of a component
//! take them: a program, until its connection is over for good.
#![cfg_attr(all(target_os = "wasi", target_env = "p2"), no_std)]
#![cfg(all(target_os = "wasi", target_env = "p2"))]
#![allow(missing_docs, reason = "generated")]

extern crate alloc;

wit_bindgen::generate!({
    path: ["../wit/p3", "wit/cli-0.3", "wasmcloud-messaging/wit-0.3"],
    inline: "
        package mqtt-wasi:wasmcloud;

        world incoming {
            import wasi:cli/environment@0.3.0;
            import wasi:cli/stderr@0.3.0;
            import mqtt-wasi:client/mqtt@0.3.0;
            import wasmcloud:messaging/handler@0.3.0;
            export wasi:cli/run@0.3.0;
        }
    ",
    world: "mqtt-wasi:wasmcloud/incoming",
    generate_all,
});

#[path = "../common.rs"]
mod common;
#[path = "../incoming.rs"]
mod incoming;

struct Adapter;

export!(Adapter);

impl exports::wasi::cli::run::Guest for Adapter {
    async fn run() -> Result<(), ()> {
        let Err(why) = incoming::serve().await;
        calls::report(&why).await;
        Err(())
    }
}

/// Calls that wait.
mod calls {
    use alloc::string::String;
    use alloc::vec::Vec;

    use crate::common::Received;
    use crate::mqtt_wasi::client::mqtt::{
        self, Client, ConnectOptions, Failure, Message, SubscribeAnswer, Subscription,
    };
    use crate::wasi::cli::{environment::get_environment, stderr::write_via_stream};
    use crate::wasmcloud::messaging::handler::{BrokerMessage, Error, handle_message};
    use crate::wit_stream;

    pub(crate) fn environment() -> Vec<(String, String)> {
        get_environment()
    }

    pub(crate) async fn connect(url: String, options: &ConnectOptions) -> Result<Client, Failure> {
        mqtt::connect(url, Some(options)).await
    }

    pub(crate) async fn subscribe(
        client: &Client,
        subscriptions: Vec<Subscription>,
    ) -> Result<SubscribeAnswer, Failure> {
        client.subscribe_with(subscriptions, None, Vec::new()).await
    }

    pub(crate) async fn receive(client: &Client) -> Result<Option<Message>, Failure> {
        Ok(client.receive(1, None).await?.pop())
    }

    pub(crate) async fn receive_now(client: &Client) -> Option<Message> {
        client.receive(1, Some(0)).await.ok()?.pop()
    }

    pub(crate) async fn reconnect(client: &Client) -> Result<bool, Failure> {
        client.reconnect().await
    }

    /// Waits until nothing has happened for so long.
    pub(crate) async fn wait(client: &Client, ms: u32) {
        while let Ok(Some(_)) = client.next_event(Some(ms)).await {}
    }

    pub(crate) async fn handle(message: Received) -> Result<(), String> {
        let Received { subject, body, reply_to } = message;
        handle_message(BrokerMessage { subject, body, reply_to }).await.map_err(|error| match error {
            Error::SubjectInvalid => "subject-invalid".into(),
            Error::AccessDenied => "access-denied".into(),
            Error::Timeout => "timeout".into(),
            Error::BrokerUnavailable => "broker-unavailable".into(),
            Error::MessageTooLarge => "message-too-large".into(),
            Error::QuotaExceeded => "quota-exceeded".into(),
            Error::Other(why) => why,
        })
    }

    /// Writes a line to standard error. It is lost if nobody listens.
    pub(crate) async fn report(line: &str) {
        let (mut writer, reader) = wit_stream::new();
        let written = write_via_stream(reader);
        writer.write_all([line, "\n"].concat().into_bytes()).await;
        drop(writer);
        let _ = written.await;
    }
}
