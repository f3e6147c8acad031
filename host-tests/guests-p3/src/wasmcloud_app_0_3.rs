//! A program for wasmCloud that handles messages, publishes and asks, by `wasmcloud:messaging@0.3.0`.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, reason = "generated")]

wit_bindgen::generate!({
    path: "../../adapters/wasmcloud-messaging/wit-0.3",
    inline: "
        package mqtt-wasi:wasmcloud-app;

        world app {
            import wasmcloud:messaging/consumer@0.3.0;
            export wasmcloud:messaging/handler@0.3.0;
        }
    ",
    world: "mqtt-wasi:wasmcloud-app/app",
    generate_all,
});

use std::sync::atomic::{AtomicU32, Ordering};

use exports::wasmcloud::messaging::handler::Guest;
use wasmcloud::messaging::consumer::{publish, request};
use wasmcloud::messaging::types::{BrokerMessage, Error};

struct App;

export!(App);

/// How many messages it was asked to fail at.
static FAILURES: AtomicU32 = AtomicU32::new(0);

impl Guest for App {
    async fn handle_message(msg: BrokerMessage) -> Result<(), Error> {
        let text = String::from_utf8_lossy(&msg.body).into_owned();
        match msg.subject.as_str() {
            // Answers the message, in capitals.
            "app/shout" => send(&msg.reply_to.ok_or(other("nobody wants a reply"))?, &text.to_uppercase(), None).await,
            // Asks somebody else, and tells what came of it.
            "app/ask" => {
                let (subject, timeout_ms) = text.split_once(' ').ok_or(other("subject and timeout"))?;
                let timeout_ms = timeout_ms.parse().map_err(|_| other("a number"))?;
                let outcome = match request(subject.into(), b"question".into(), timeout_ms).await {
                    Ok(reply) => format!("{:?} {}", reply.reply_to, String::from_utf8_lossy(&reply.body)),
                    Err(error) => format!("{error:?}"),
                };
                send("told", &outcome, None).await
            }
            // Publishes to a subject, with one for replies if there are two, and tells what came of it.
            "app/publish" => {
                let (subject, reply_to) =
                    text.split_once(' ').map_or((&*text, None), |(one, other)| (one, Some(other)));
                let outcome = send(subject, "published", reply_to).await;
                let outcome = outcome.map_or_else(|error| format!("{error:?}"), |()| "done".into());
                send("told", &outcome, None).await
            }
            // Takes it the third time.
            "app/fail" if FAILURES.fetch_add(1, Ordering::Relaxed) < 2 => Err(other("not now")),
            subject => send("told", &format!("{subject} {text}"), None).await,
        }
    }
}

fn other(why: &str) -> Error {
    Error::Other(why.to_owned())
}

async fn send(subject: &str, text: &str, reply_to: Option<&str>) -> Result<(), Error> {
    let reply_to = reply_to.map(str::to_owned);
    publish(BrokerMessage { subject: subject.to_owned(), body: text.as_bytes().to_vec(), reply_to }).await
}
