//! One job of the session, so many times: for valgrind to count the instructions of. `cargo xtask bench --instructions`
//! runs it, and builds it against earlier revisions, so it uses only what the first of them had.

use std::env;
use std::hint::black_box;

use mqtt_wasi::codec::{Packet, PacketId, Publish, QoS};
use mqtt_wasi::session::Session;
use mqtt_wasi::{Instant, Options};

/// As many messages are sent or received at once.
const BATCH: u16 = 32;

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let [job, batches] = args.as_slice() else { panic!("usage: instructions JOB BATCHES") };
    let batches: u32 = batches.parse().expect("a number of batches");
    let mut session = connected();
    match job.as_str() {
        "publish-0" => (0..batches).for_each(|_| publish(&mut session, QoS::AtMostOnce)),
        "publish-1" => (0..batches).for_each(|_| publish(&mut session, QoS::AtLeastOnce)),
        "receive-0" => receive(&mut session, QoS::AtMostOnce, batches),
        "receive-1" => receive(&mut session, QoS::AtLeastOnce, batches),
        _ => panic!("jobs are publish-0, publish-1, receive-0 and receive-1"),
    }
}

fn message() -> Publish<'static> {
    Publish::new("sensors/kitchen/temperature", &[b'x'; 64])
}

fn connected() -> Session {
    let mut session = Session::new(Options::new().client_id("c"));
    session.connect(Instant::ZERO).expect("valid options");
    transmit(&mut session);
    deliver(&mut session, b"\x20\x03\x00\x00\x00");
    session
}

/// Publishes a batch, which the broker acknowledges at QoS 1.
fn publish(session: &mut Session, qos: QoS) {
    for _ in 0..BATCH {
        session.publish(&message().qos(qos)).expect("room");
    }
    let mut acknowledgements = Vec::new();
    let mut rest = session.transmit();
    while qos != QoS::AtMostOnce
        && let Ok(Some((Packet::Publish(Publish { packet_id: Some(id), .. }), len))) = Packet::decode(rest)
    {
        let [high, low] = id.get().to_be_bytes();
        acknowledgements.extend([0x40, 2, high, low]);
        rest = &rest[len..];
    }
    transmit(session);
    deliver(session, &acknowledgements);
}

/// Receives batches, and acknowledges them at QoS 1.
fn receive(session: &mut Session, qos: QoS, batches: u32) {
    let mut bytes = Vec::new();
    for id in 1..=BATCH {
        let packet_id = PacketId::new(id).filter(|_| qos != QoS::AtMostOnce);
        Publish { packet_id, ..message().qos(qos) }.encode(&mut bytes).expect("a valid packet");
    }
    for _ in 0..batches {
        deliver(session, &bytes);
        transmit(session);
    }
}

fn deliver(session: &mut Session, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let buffer = session.read_buffer();
        let len = buffer.len().min(bytes.len());
        buffer[..len].copy_from_slice(&bytes[..len]);
        session.received(len, Instant::ZERO);
        bytes = &bytes[len..];
        while let Some(message) = session.receive() {
            black_box(message);
        }
        while let Some(event) = session.poll_event() {
            black_box(event);
        }
    }
}

fn transmit(session: &mut Session) {
    let len = black_box(session.transmit()).len();
    session.transmitted(len, Instant::ZERO);
}
