//! Requests and replies in a component, as `docs/request-reply.md` shows them. With `ask` as second argument it asks,
//! otherwise it answers.
#![allow(missing_docs, reason = "generated")]

wit_bindgen::generate!({ path: "mqtt.wit", world: "imports" });

use mqtt_wasi::client::mqtt::{Client, Failure, Payload, Publication, Qos, connect};

const TOPIC: &str = "calculator/double";

fn main() -> Result<(), String> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "mqtt://localhost".into());
    let run = if args.next().is_some_and(|what| what == "ask") { ask } else { answer };
    connect(&url, None).and_then(|client| run(&client)).map_err(|failure| failure.message)
}

fn ask(client: &Client) -> Result<(), Failure> {
    let publication = Publication {
        topic: TOPIC.into(),
        payload: Payload::Text("21".into()),
        qos: Qos::AtLeastOnce,
        retain: false,
        properties: Vec::new(),
    };
    let request = client.start_request(&publication, 5_000)?;
    loop {
        if let Some(reply) = client.wait_for_reply(request, 100)? {
            println!("{:?}", reply.payload);
            return client.disconnect(None);
        }
        // Do something else for a moment. Nothing is sent or received meanwhile.
    }
}

fn answer(client: &Client) -> Result<(), Failure> {
    client.subscribe(TOPIC, Qos::AtLeastOnce)?;
    while let Some(request) = client.next_request(60_000)? {
        match double(&request.message.payload) {
            Ok(reply) => client.reply(request.id, &reply)?,
            Err(why) => client.fail_request(request.id, &why)?,
        }
    }
    client.disconnect(None)
}

fn double(payload: &Payload) -> Result<Payload, String> {
    let Payload::Text(text) = payload else { return Err("not text".into()) };
    let number: i64 = text.parse().map_err(|error| format!("{text}: {error}"))?;
    Ok(Payload::Text((2 * number).to_string()))
}
