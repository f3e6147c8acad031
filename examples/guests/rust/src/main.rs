//! A component that publishes a reading, is refused, and answers a request.
#![allow(missing_docs, reason = "generated")]

wit_bindgen::generate!({ path: "mqtt.wit", world: "imports" });
use mqtt_wasi::client::mqtt::{Client, Failure, Payload, Property, Publication, Qos, connect};

const TOPIC: &str = "mqtt-wasi/guest/rust";

fn main() -> Result<(), String> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "mqtt://localhost".into());
    run(&url).map_err(|failure| failure.message)
}

fn run(url: &str) -> Result<(), Failure> {
    let client = connect(url, None)?;
    client.subscribe(&format!("{TOPIC}/#"), Qos::AtLeastOnce)?;
    measure(&client)?;
    // Only the broker itself may publish there.
    let refused = client.publish("$SYS/broker/uptime", &Payload::Text("0".into()), Qos::AtLeastOnce, false);
    if let Err(Failure { name, message, code, .. }) = refused {
        println!("refused {name} {code:?}: {message}");
    }
    convert(&client)?;
    client.disconnect(None)
}

fn measure(client: &Client) -> Result<(), Failure> {
    let unit = Property::UserProperty(("unit".into(), "C".into()));
    client.publish_message(&publication("kitchen", vec![Property::ContentType("text/plain".into()), unit]))?;
    if let Some(message) = client.receive(5_000)? {
        let unit = message.properties.iter().flatten().find_map(|property| match property {
            Property::UserProperty((name, value)) if name == "unit" => Some(value.as_str()),
            _ => None,
        });
        println!("{}: {} {}", message.topic, text(&message.payload), unit.unwrap_or(""));
    }
    Ok(())
}

/// Asks for a conversion, and answers, which another client would do otherwise.
fn convert(client: &Client) -> Result<(), Failure> {
    let question = client.start_request(&publication("to-fahrenheit", Vec::new()), 5_000)?;
    if let Some(request) = client.next_request(5_000)? {
        let celsius: f64 = text(&request.message.payload).parse().unwrap_or(f64::NAN);
        client.reply(request.id, &Payload::Text(format!("{}", celsius * 9.0 / 5.0 + 32.0)))?;
    }
    if let Some(reply) = client.wait_for_reply(question, 5_000)? {
        println!("21.5 C are {} F", text(&reply.payload));
    }
    Ok(())
}

fn publication(name: &str, properties: Vec<Property>) -> Publication {
    let (topic, payload) = (format!("{TOPIC}/{name}"), Payload::Text("21.5".into()));
    Publication { topic, payload, qos: Qos::AtLeastOnce, retain: false, properties }
}

fn text(payload: &Payload) -> &str {
    if let Payload::Text(text) = payload { text } else { "(bytes)" }
}
