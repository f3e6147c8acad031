//! How often the bytes of a payload are copied between the network and who calls the component: at most twice.
//!
//! One copy is the host's: what comes lands where the component wants it, and what is published arrives in a list of
//! the component's. Counted is what the component then writes to its memory by itself, with whatever instruction: at
//! most once for each byte of the payload. To read what it returns, or what it sends, is the caller's or the host's.

use std::sync::LazyLock;
use std::time::Duration;

use host_tests::components;
use host_tests::packets::{disconnect, puback, publish};
use host_tests::runtime::Runtime;
use host_tests::scripted::{Peer, Scripted};
use host_tests::subject::{Component, Settings, Subject};
use mqtt_wasi::codec::Packet;
use mqtt_wasi::{Publish, QoS, ReasonCode, bulk};
use serde_json::{Map, Value};
use wasmtime::OperatorCost;

const SIZES: [usize; 2] = [64 << 10, 1 << 20];

/// So many messages are in a batch.
const BATCH: usize = 8;

/// What the component writes beside the payload: packets' headers, its own state, and what it puts on its stack.
const MOST_BESIDE: f64 = 0.25;

/// To this topic the client says that it waits for messages, by their number.
const WANTED: &str = "wanted";

const SOON: Duration = Duration::from_secs(60);

/// `mqtt.wasm`, of which each instruction takes as much fuel as it writes bytes to memory.
static MQTT: LazyLock<Runtime> = LazyLock::new(|| {
    let bytes = components::load("mqtt.wasm").unwrap();
    Runtime::metered(&bytes, bytes_written()).unwrap()
});

/// As much as each instruction copies or stores; zeros that are filled in are no copy.
fn bytes_written() -> OperatorCost {
    // There is no such table in which everything is for nothing, but by its fields.
    let mut costs: Map<String, Value> =
        serde_json::from_value(serde_json::to_value(OperatorCost::new()).unwrap()).unwrap();
    let mut stores = 0;
    for (name, cost) in &mut costs {
        match cost {
            Value::Object(of_length) => {
                for (name, cost) in of_length {
                    *cost = u8::from(name == "memory_copy_per_byte").into();
                }
            }
            cost => {
                *cost = width(name).into();
                stores += u8::from(width(name) > 0);
            }
        }
    }
    assert_eq!(stores, 21, "all instructions that store are known");
    serde_json::from_value(costs.into()).unwrap()
}

/// How many bytes an instruction of this name stores, which may name them: `I64Store32`, `V128Store8Lane`.
fn width(name: &str) -> u8 {
    let Some((whole, part)) = name.split_once("Store") else { return 0 };
    let of_type = whole[1..].trim_end_matches("Atomic");
    let bits = [part.trim_end_matches("Lane"), of_type].iter().find_map(|bits| bits.parse::<u8>().ok());
    bits.expect("a width") / 8
}

#[test]
fn published_payload_is_copied_once_inside() {
    for size in SIZES {
        let payload = vec![7; size];
        let message = |qos| Publish::new("sensors/kitchen", &payload).qos(qos);
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            let message = message(qos);
            expect_one_copy(&format!("publish, {qos:?}"), size, 1, |client| {
                assert_eq!(client.publish(&message), Ok(ReasonCode::Success));
            });
            expect_one_copy(&format!("publish-batch, {qos:?}"), size, BATCH, |client| {
                assert_eq!(client.publish_batch(&[message; BATCH]), vec![Ok(ReasonCode::Success); BATCH]);
            });
            let frames = bulk::pack([message; BATCH]).unwrap();
            expect_one_copy(&format!("publish-packed, {qos:?}"), size, BATCH, |client| {
                assert_eq!(client.publish_packed(&frames), Ok(Vec::new()));
            });
        }
    }
}

#[test]
fn received_payload_is_copied_once_inside() {
    for size in SIZES {
        expect_one_copy("receive", size, BATCH, |client| {
            ask(client, BATCH);
            for _ in 0..BATCH {
                assert_eq!(client.receive(SOON).unwrap().unwrap().payload.len(), size);
            }
        });
        expect_one_copy("receive-batch", size, BATCH, |client| {
            ask(client, BATCH);
            let mut left = BATCH;
            while left > 0 {
                left -= client.receive_batch(left, SOON).unwrap().len();
            }
        });
        expect_one_copy("receive-packed", size, BATCH, |client| {
            ask(client, BATCH);
            let mut left = BATCH;
            while left > 0 {
                left -= bulk::unpack(&client.receive_packed(left as u32, u32::MAX, SOON).unwrap()).count();
            }
        });
    }
}

/// Has the broker send as many messages.
fn ask(client: &mut Component, messages: usize) {
    assert_eq!(client.publish(&Publish::new(WANTED, &messages.to_string())), Ok(ReasonCode::Success));
}

/// Does this twice with a client, as the first time its buffers grow. The second time the component writes no more than
/// the payload of so many messages of this size once.
fn expect_one_copy(what: &str, size: usize, messages: usize, act: impl Fn(&mut Component)) {
    let broker = Scripted::start(move |broker| serve(broker.accept_client(), size));
    let mut client = Component::connect_in(&MQTT, &broker.url(), &Settings::default()).unwrap();
    act(&mut client);
    let before = client.fuel_taken().unwrap();
    act(&mut client);
    let written = client.fuel_taken().unwrap() - before;
    client.disconnect().unwrap();
    broker.finish();
    let copies = written as f64 / (size * messages) as f64;
    println!("{what}, {size} B: {copies:.3} copies");
    assert!(copies < 1.0 + MOST_BESIDE, "{what}, {size} B: {copies:.3} copies");
    assert!(copies >= 1.0, "{what}, {size} B: {copies:.3} copies, fewer than it takes");
}

/// Acknowledges messages, and sends as many as are asked for, until the client disconnects.
fn serve(mut peer: Peer, size: usize) {
    let payload = vec![7; size];
    loop {
        let received = peer.next_packet().expect("DISCONNECT before the connection's end");
        match received.packet() {
            Packet::Publish(Publish { topic: WANTED, payload: messages, .. }) => {
                let messages = std::str::from_utf8(messages).unwrap().parse().unwrap();
                peer.send(&vec![publish("sensors/kitchen", &payload); messages]);
            }
            Packet::Publish(message) => message.packet_id.into_iter().for_each(|id| peer.send(&[puback(id.get())])),
            other => {
                assert_eq!(other, disconnect(ReasonCode::NORMAL_DISCONNECTION));
                return peer.expect_end();
            }
        }
    }
}
