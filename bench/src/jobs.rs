//! What is measured.

use std::hint::black_box;

use mqtt_wasi::codec::{Ack, Packet, PublishProperties, QoS};
use mqtt_wasi::frame::FrameReader;
use mqtt_wasi::session::{Event, Session};
use mqtt_wasi::{Client, Instant, Options, Publish};

use crate::wire::{CONNACK, Wire};
use crate::{Counts, Job};

const TOPIC: &str = "sensors/kitchen/temperature";
const OPERATIONS: u64 = 1_000;

pub(crate) fn all() -> Vec<Job> {
    let mut jobs = vec![
        job("codec: encode PUBLISH 64 B", None, encode(plain(64))),
        job("codec: encode PUBLISH 64 B, properties", None, encode(rich(64))),
        job("codec: decode PUBLISH 64 B", None, decode(plain(64))),
        job("codec: decode PUBLISH 64 B, properties", None, decode(rich(64))),
        job("frame reader: PUBLISH 64 B", None, frames(64)),
    ];
    jobs.push(job("session: publish QoS 0, 64 B, batched", Some(100.0), session_publish(QoS::AtMostOnce)));
    jobs.push(job("session: publish QoS 1 and broker's end, 64 B", None, session_publish(QoS::AtLeastOnce)));
    for (name, budget, size, qos) in [
        ("session: receive QoS 0, 16 B", None, 16, QoS::AtMostOnce),
        ("session: receive QoS 0, 64 B", Some(60.0), 64, QoS::AtMostOnce),
        ("session: receive QoS 0, 1 KiB", None, 1024, QoS::AtMostOnce),
        ("session: receive QoS 1 with PUBACK, 64 B", None, 64, QoS::AtLeastOnce),
    ] {
        jobs.push(job(name, budget, session_receive(size, qos)));
    }
    jobs.push(job("client: enqueue QoS 0, 64 B, then flush", Some(100.0), client_enqueue()));
    jobs.push(job("client: publish_all QoS 1 and broker's end", None, client_publish_all()));
    jobs.push(job("client: publish QoS 1 and broker's end", None, client_publish()));
    jobs
}

fn job(name: &'static str, budget: Option<f64>, mut run: impl FnMut() -> u64 + 'static) -> Job {
    Job { name, operations: OPERATIONS, budget, run: Box::new(move || Counts { writes: run() }) }
}

pub(crate) fn plain(size: usize) -> Publish<'static> {
    Publish::new(TOPIC, vec![b'x'; size].leak() as &[u8])
}

fn rich(size: usize) -> Publish<'static> {
    plain(size).properties(PublishProperties {
        content_type: Some("application/json"),
        response_topic: Some("reply/7"),
        correlation_data: Some(b"0123456789abcdef"),
        user_properties: (&[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]).into(),
        ..PublishProperties::default()
    })
}

fn encode(publish: Publish<'static>) -> impl FnMut() -> u64 {
    let mut buffer = Vec::new();
    move || {
        buffer.clear();
        for _ in 0..OPERATIONS {
            black_box(&publish).encode(&mut buffer).expect("valid");
        }
        black_box(&buffer);
        0
    }
}

fn decode(publish: Publish<'static>) -> impl FnMut() -> u64 {
    let mut bytes = Vec::new();
    publish.encode(&mut bytes).expect("valid");
    move || {
        for _ in 0..OPERATIONS {
            black_box(Packet::decode(black_box(&bytes))).expect("valid");
        }
        0
    }
}

/// As many PUBLISH packets as there are operations, with Packet Identifiers from 1 on.
fn stream(size: usize, qos: QoS) -> Vec<u8> {
    let mut bytes = Vec::new();
    for id in 1..=OPERATIONS as u16 {
        let packet_id = if qos == QoS::AtMostOnce { None } else { std::num::NonZero::new(id) };
        Publish { packet_id, ..plain(size).qos(qos) }.encode(&mut bytes).expect("valid");
    }
    bytes
}

fn frames(size: usize) -> impl FnMut() -> u64 {
    let bytes = stream(size, QoS::AtMostOnce);
    let mut reader = FrameReader::new(u32::MAX);
    move || {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let space = reader.space();
            let len = space.len().min(rest.len());
            space[..len].copy_from_slice(&rest[..len]);
            reader.filled(len);
            rest = &rest[len..];
            while let Some(frame) = reader.next_frame().expect("valid") {
                black_box(frame);
            }
        }
        0
    }
}

pub(crate) fn feed(session: &mut Session, mut bytes: &[u8], mut then: impl FnMut(&mut Session)) {
    while !bytes.is_empty() {
        let space = session.read_buffer();
        let len = space.len().min(bytes.len());
        space[..len].copy_from_slice(&bytes[..len]);
        session.received(len, Instant::ZERO);
        bytes = &bytes[len..];
        then(session);
    }
}

pub(crate) fn transmit(session: &mut Session) {
    let len = black_box(session.transmit()).len();
    session.transmitted(len, Instant::ZERO);
}

pub(crate) fn connected(options: Options) -> Session {
    let mut session = Session::new(options);
    session.connect(Instant::ZERO).expect("valid options");
    transmit(&mut session);
    feed(&mut session, CONNACK, |session| while session.poll_event().is_some() {});
    session
}

fn session_publish(qos: QoS) -> impl FnMut() -> u64 {
    let mut session = connected(Options::new());
    let publish = plain(64).qos(qos);
    // The answers to identifiers 1 to 1000, as the session uses them at first and over again.
    move || {
        let mut pubacks = Vec::new();
        if qos == QoS::AtMostOnce {
            for _ in 0..OPERATIONS {
                session.publish(black_box(&publish)).expect("there is room");
            }
            transmit(&mut session);
            return 0;
        }
        for _ in 0..OPERATIONS / 100 {
            for _ in 0..100 {
                session.publish(black_box(&publish)).expect("there is room");
            }
            acknowledge(session.transmit(), &mut pubacks);
            transmit(&mut session);
            feed(&mut session, &pubacks, |session| {
                while let Some(event) = session.poll_event() {
                    assert!(matches!(event, Event::Published { .. }));
                }
            });
            pubacks.clear();
        }
        0
    }
}

/// A PUBACK for each PUBLISH at QoS 1.
fn acknowledge(mut sent: &[u8], pubacks: &mut Vec<u8>) {
    while let Some((packet, len)) = Packet::decode(sent).expect("valid") {
        if let Packet::Publish(Publish { packet_id: Some(id), .. }) = packet {
            Packet::Puback(Ack::success(id)).encode(pubacks).expect("valid");
        }
        sent = &sent[len..];
    }
}

fn session_receive(size: usize, qos: QoS) -> impl FnMut() -> u64 {
    let mut session = connected(Options::new());
    let bytes = stream(size, qos);
    move || {
        let mut received = 0;
        feed(&mut session, &bytes, |session| {
            while let Some(publish) = session.receive() {
                black_box(publish);
                received += 1;
            }
            transmit(session);
        });
        assert_eq!(received, OPERATIONS);
        0
    }
}

fn client(wire: Wire) -> Client<Wire> {
    Client::connect_over(wire, Options::new()).expect("the wire says yes")
}

fn client_enqueue() -> impl FnMut() -> u64 {
    let mut client = client(Wire::sink());
    let publish = plain(64);
    move || {
        let before = client.transport().expect("the wire").writes;
        for _ in 0..OPERATIONS {
            client.enqueue(black_box(&publish)).expect("the wire takes it");
        }
        client.flush().expect("the wire takes it");
        client.transport().expect("the wire").writes - before
    }
}

fn client_publish_all() -> impl FnMut() -> u64 {
    let mut client = client(Wire::acknowledging());
    let publish = plain(64).qos(QoS::AtLeastOnce);
    move || {
        let before = client.transport().expect("the wire").writes;
        let results = client.publish_all((0..OPERATIONS).map(|_| publish));
        assert!(results.iter().all(Result::is_ok));
        client.transport().expect("the wire").writes - before
    }
}

fn client_publish() -> impl FnMut() -> u64 {
    let mut client = client(Wire::acknowledging());
    let publish = plain(64).qos(QoS::AtLeastOnce);
    move || {
        let before = client.transport().expect("the wire").writes;
        for _ in 0..OPERATIONS {
            client.publish(black_box(&publish)).expect("the wire acknowledges it");
        }
        client.transport().expect("the wire").writes - before
    }
}
