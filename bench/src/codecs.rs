//! Codecs of several crates side by side: what it takes to encode a packet, and to decode it.
//!
//! Each does it as its documentation shows, or in a faster way if it has one. To encode, it is given a packet of its
//! type that was made before, and a buffer that was used before. To decode, it is given one packet after the
//! other of bytes that are in memory, the same for all codecs; that ends when the packet is dropped.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::counting::allocations;
use crate::results::CodecResult;

/// Packets that a round encodes or decodes.
const OPERATIONS: usize = 1_000;

/// The first is what the bytes of the others are checked with.
const CODECS: [Codec; 4] = [
    Codec { name: "mqtt-wasi", encoding: ours::encoding, decoding: ours::decoding },
    Codec { name: "rumqttc", encoding: rumqttc::encoding, decoding: rumqttc::decoding },
    Codec { name: "mqtt5-protocol", encoding: mqtt5_protocol::encoding, decoding: mqtt5_protocol::decoding },
    Codec { name: "mqtt-protocol-core", encoding: protocol_core::encoding, decoding: protocol_core::decoding },
];

const SUBJECTS: [(&str, Subject); 6] = [
    ("PUBLISH, 64 B", Subject::Publish { size: 64, has_properties: false }),
    ("PUBLISH, 1 KiB", Subject::Publish { size: 1024, has_properties: false }),
    ("PUBLISH, 64 B, properties", Subject::Publish { size: 64, has_properties: true }),
    ("CONNECT, will and login", Subject::Connect),
    ("SUBSCRIBE, 8 filters", Subject::Subscribe),
    ("PUBACK", Subject::Puback),
];

/// Somebody who encodes and decodes.
struct Codec {
    /// The crate.
    name: &'static str,
    encoding: fn(Subject) -> Encoding,
    /// Gets as many packets as a round decodes, in a row.
    decoding: fn(&'static [u8]) -> Round,
}

/// What is encoded and decoded.
#[derive(Clone, Copy)]
enum Subject {
    /// At QoS 0.
    Publish {
        /// Of the payload, in bytes.
        size: usize,
        has_properties: bool,
    },
    Connect,
    Subscribe,
    Puback,
}

const TOPIC: &str = "sensors/kitchen/temperature";
static PAYLOAD: [u8; 1024] = [b'x'; 1024];
const CONTENT_TYPE: &str = "application/json";
const RESPONSE_TOPIC: &str = "reply/7";
const CORRELATION_DATA: &[u8] = b"0123456789abcdef";
const USER_PROPERTY: (&str, &str) = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");

const CLIENT_ID: &str = "kitchen-7";
/// In seconds.
const KEEP_ALIVE: u16 = 60;
const USER_NAME: &str = "kitchen";
const PASSWORD: &str = "correct horse battery staple";
/// At QoS 1, retained.
const WILL_TOPIC: &str = "sensors/kitchen/status";
const WILL_PAYLOAD: &str = "offline";

const PACKET_ID: u16 = 7;
/// Each at QoS 1.
const FILTERS: [&str; 8] = [
    "sensors/+/temperature",
    "sensors/+/humidity",
    "sensors/kitchen/#",
    "sensors/cellar/#",
    "alarms/#",
    "commands/kitchen-7",
    "commands/all",
    "$share/workers/jobs/+",
];

/// Does a round, and says what it took.
type Round = Box<dyn FnMut() -> Reading>;

/// Rounds of encoding, and what each of the operations gives.
struct Encoding {
    round: Round,
    bytes: Vec<u8>,
}

/// What a round took.
struct Reading {
    time: Duration,
    allocations: u64,
}

/// Encodes and decodes every packet with every codec, so many rounds each, one at least.
///
/// # Panics
/// When the bytes of a codec are not the packet that they should be.
pub(crate) fn run(rounds: usize) -> Vec<CodecResult> {
    let mut results = Vec::new();
    for (name, subject) in SUBJECTS {
        let encodings = CODECS.map(|codec| (codec.encoding)(subject));
        for (codec, encoding) in CODECS.iter().zip(&encodings) {
            ours::check(subject, &encoding.bytes, codec.name);
        }
        let bytes: &[u8] = encodings[0].bytes.repeat(OPERATIONS).leak();
        results.extend(compare(&format!("encode {name}"), encodings.map(|encoding| encoding.round), rounds));
        results.extend(compare(&format!("decode {name}"), CODECS.map(|codec| (codec.decoding)(bytes)), rounds));
    }
    results
}

/// One round of each in turn, so that what slows the machine down for a while slows them all down.
fn compare(job: &str, mut turns: [Round; CODECS.len()], rounds: usize) -> Vec<CodecResult> {
    // The first round finds buffers to be grown.
    for round in &mut turns {
        round();
    }
    let mut readings = CODECS.map(|_| Vec::with_capacity(rounds));
    for _ in 0..rounds {
        for (round, readings) in turns.iter_mut().zip(&mut readings) {
            readings.push(round());
        }
    }
    CODECS.iter().zip(&readings).map(|(codec, readings)| result(codec.name, job, readings)).collect()
}

fn result(codec: &str, job: &str, readings: &[Reading]) -> CodecResult {
    let mut times: Vec<Duration> = readings.iter().map(|reading| reading.time).collect();
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 4].as_secs_f64() * 1e9 / OPERATIONS as f64;
    let allocations: u64 = readings.iter().map(|reading| reading.allocations).sum();
    CodecResult {
        codec: codec.into(),
        job: job.into(),
        ns: at(2),
        spread: (at(3) - at(1)) / at(2),
        allocations: allocations as f64 / (OPERATIONS * readings.len()) as f64,
    }
}

/// Rounds of an operation that empties the buffer and encodes into it.
fn encoding<B: Default + AsRef<[u8]> + 'static>(mut encode: impl FnMut(&mut B) + 'static) -> Encoding {
    let mut buffer = B::default();
    encode(&mut buffer);
    let bytes = buffer.as_ref().to_vec();
    let round = move || {
        read(|| {
            for _ in 0..OPERATIONS {
                encode(&mut buffer);
                black_box(&buffer);
            }
        })
    };
    Encoding { round: Box::new(round), bytes }
}

/// Rounds of an operation that decodes the first packet of the input, and leaves what is behind it. The input is made
/// anew for each round, which is not measured.
fn decoding<I: 'static>(mut input: impl FnMut() -> I + 'static, mut decode: impl FnMut(&mut I) + 'static) -> Round {
    Box::new(move || {
        let mut input = input();
        read(|| {
            for _ in 0..OPERATIONS {
                decode(&mut input);
            }
        })
    })
}

fn read(run: impl FnOnce()) -> Reading {
    let before = allocations().count;
    let start = Instant::now();
    run();
    let time = start.elapsed();
    Reading { time, allocations: allocations().count - before }
}

/// This crate's.
mod ours {
    use mqtt_wasi::codec::{
        Ack, Connect, ConnectProperties, Packet, PacketId, Publish, PublishProperties, QoS, Subscribe,
        SubscribeProperties, Subscription, UserProperty, Will, WillProperties,
    };

    use super::*;

    const PACKET_ID: PacketId = PacketId::new(super::PACKET_ID).unwrap();
    const USER_PROPERTIES: &[UserProperty<'_>] = &[USER_PROPERTY];

    pub(super) fn encoding(subject: Subject) -> Encoding {
        let packet = packet(subject);
        super::encoding(move |buffer: &mut Vec<u8>| {
            buffer.clear();
            black_box(&packet).encode(buffer).expect("a valid packet");
        })
    }

    pub(super) fn decoding(bytes: &'static [u8]) -> Round {
        super::decoding(
            move || bytes,
            |rest: &mut &'static [u8]| {
                let (packet, len) = Packet::decode(black_box(*rest)).expect("a valid packet").expect("a whole one");
                black_box(&packet);
                *rest = &rest[len..];
            },
        )
    }

    pub(super) fn check(subject: Subject, bytes: &[u8], codec: &str) {
        let decoded = Packet::decode(bytes).unwrap_or_else(|error| panic!("what {codec} encodes: {error}"));
        assert_eq!(decoded, Some((packet(subject), bytes.len())), "what {codec} encodes");
    }

    fn packet(subject: Subject) -> Packet<'static> {
        match subject {
            Subject::Publish { size, has_properties } => {
                let publish = Publish::new(TOPIC, &PAYLOAD[..size]);
                let properties = if has_properties { properties() } else { PublishProperties::default() };
                Packet::Publish(publish.properties(properties))
            }
            Subject::Connect => Packet::Connect(Connect {
                clean_start: true,
                keep_alive: KEEP_ALIVE,
                client_id: CLIENT_ID,
                will: Some(Will {
                    qos: QoS::AtLeastOnce,
                    retain: true,
                    topic: WILL_TOPIC,
                    payload: WILL_PAYLOAD.as_bytes(),
                    properties: WillProperties::default(),
                }),
                user_name: Some(USER_NAME),
                password: Some(PASSWORD.as_bytes()),
                properties: ConnectProperties::default(),
            }),
            Subject::Subscribe => {
                let subscriptions = FILTERS.map(|filter| Subscription::new(filter, QoS::AtLeastOnce));
                let subscriptions: &[_] = Vec::from(subscriptions).leak();
                Packet::Subscribe(Subscribe {
                    packet_id: PACKET_ID,
                    properties: SubscribeProperties::default(),
                    subscriptions: subscriptions.into(),
                })
            }
            Subject::Puback => Packet::Puback(Ack::success(PACKET_ID)),
        }
    }

    fn properties() -> PublishProperties<'static> {
        PublishProperties {
            content_type: Some(CONTENT_TYPE),
            response_topic: Some(RESPONSE_TOPIC),
            correlation_data: Some(CORRELATION_DATA),
            user_properties: USER_PROPERTIES.into(),
            ..PublishProperties::default()
        }
    }
}

/// That of rumqttc, as its event loop uses it. Its packets of a round share the memory that they came in.
mod rumqttc {
    use ::rumqttc::v5::mqttbytes::QoS;
    use ::rumqttc::v5::mqttbytes::v5::{
        Connect, Filter, LastWill, Login, Packet, PubAck, Publish, PublishProperties, Subscribe,
    };
    use bytes::{Bytes, BytesMut};

    use super::*;

    pub(super) fn encoding(subject: Subject) -> Encoding {
        let packet = packet(subject);
        super::encoding(move |buffer: &mut BytesMut| {
            buffer.clear();
            black_box(&packet).write(buffer, None).expect("a valid packet");
        })
    }

    pub(super) fn decoding(bytes: &'static [u8]) -> Round {
        super::decoding(
            move || BytesMut::from(bytes),
            |rest: &mut BytesMut| {
                black_box(&Packet::read(black_box(rest), None).expect("a valid packet"));
            },
        )
    }

    fn packet(subject: Subject) -> Packet {
        match subject {
            Subject::Publish { size, has_properties } => {
                let properties = has_properties.then(properties);
                Packet::Publish(Publish::new(TOPIC, QoS::AtMostOnce, &PAYLOAD[..size], properties))
            }
            Subject::Connect => Packet::Connect(
                Connect { keep_alive: KEEP_ALIVE, client_id: CLIENT_ID.into(), clean_start: true, properties: None },
                Some(LastWill::new(WILL_TOPIC, WILL_PAYLOAD, QoS::AtLeastOnce, true, None)),
                Some(Login::new(USER_NAME, PASSWORD)),
            ),
            Subject::Subscribe => {
                let filters = FILTERS.map(|filter| Filter::new(filter, QoS::AtLeastOnce));
                Packet::Subscribe(Subscribe { pkid: PACKET_ID, ..Subscribe::new_many(filters, None) })
            }
            Subject::Puback => Packet::PubAck(PubAck::new(PACKET_ID, None)),
        }
    }

    fn properties() -> PublishProperties {
        let (name, value) = USER_PROPERTY;
        PublishProperties {
            content_type: Some(CONTENT_TYPE.into()),
            response_topic: Some(RESPONSE_TOPIC.into()),
            correlation_data: Some(Bytes::from_static(CORRELATION_DATA)),
            user_properties: vec![(name.into(), value.into())],
            ..PublishProperties::default()
        }
    }
}

/// That of mqtt5, as its documentation and the client over it use it. Its packets of a round share the memory that they
/// came in.
mod mqtt5_protocol {
    use ::mqtt5_protocol::packet::MqttPacket;
    use ::mqtt5_protocol::packet::connect::ConnectPacket;
    use ::mqtt5_protocol::packet::puback::PubAckPacket;
    use ::mqtt5_protocol::packet::publish::PublishPacket;
    use ::mqtt5_protocol::packet::subscribe::SubscribePacket;
    use ::mqtt5_protocol::{ConnectOptions, FixedHeader, Packet, PacketType, QoS, WillMessage};
    use bytes::BytesMut;

    use super::*;

    pub(super) fn encoding(subject: Subject) -> Encoding {
        match subject {
            Subject::Publish { size, has_properties } => encoding_of_publish(publish(size, has_properties)),
            Subject::Connect => encoding_of(connect()),
            Subject::Subscribe => {
                let packet = SubscribePacket::new(PACKET_ID);
                let add = |packet: SubscribePacket, filter: &str| packet.add_filter(filter, QoS::AtLeastOnce);
                encoding_of(FILTERS.into_iter().fold(packet, add))
            }
            Subject::Puback => encoding_of(PubAckPacket::new(PACKET_ID)),
        }
    }

    fn encoding_of(packet: impl MqttPacket + 'static) -> Encoding {
        super::encoding(move |buffer: &mut BytesMut| {
            buffer.clear();
            black_box(&packet).encode(buffer).expect("a valid packet");
        })
    }

    /// PUBLISH alone has a way that needs no buffers between, which its client takes.
    fn encoding_of_publish(packet: PublishPacket) -> Encoding {
        super::encoding(move |buffer: &mut BytesMut| {
            buffer.clear();
            let packet = black_box(&packet);
            let header = FixedHeader::new(PacketType::Publish, packet.flags(), packet.body_encoded_size() as u32);
            header.encode(buffer).expect("a valid header");
            packet.encode_body_direct(buffer).expect("a valid packet");
        })
    }

    pub(super) fn decoding(bytes: &'static [u8]) -> Round {
        super::decoding(
            move || BytesMut::from(bytes),
            |rest: &mut BytesMut| {
                let rest = black_box(rest);
                let header = FixedHeader::decode(rest).expect("a valid header");
                let mut body = rest.split_to(header.remaining_length as usize);
                let packet = Packet::decode_from_body(header.packet_type, &header, &mut body);
                black_box(&packet.expect("a valid packet"));
            },
        )
    }

    fn publish(size: usize, has_properties: bool) -> PublishPacket {
        let packet = PublishPacket::new(TOPIC, &PAYLOAD[..size], QoS::AtMostOnce);
        if !has_properties {
            return packet;
        }
        let (name, value) = USER_PROPERTY;
        packet
            .with_content_type(CONTENT_TYPE.into())
            .with_response_topic(RESPONSE_TOPIC.into())
            .with_correlation_data(CORRELATION_DATA.into())
            .with_user_property(name.into(), value.into())
    }

    fn connect() -> ConnectPacket {
        let will = WillMessage::new(WILL_TOPIC, WILL_PAYLOAD).with_qos(QoS::AtLeastOnce).with_retain(true);
        let options = ConnectOptions::new(CLIENT_ID)
            .with_clean_start(true)
            .with_keep_alive(Duration::from_secs(KEEP_ALIVE.into()))
            .with_credentials(USER_NAME, PASSWORD)
            .with_will(will);
        ConnectPacket::new(options)
    }
}

/// mqtt-protocol-core. Its packets hold their parts as they are on the wire, so some of encoding them is done when they
/// are made, which is not measured; what is left is to put the parts one behind the other. It is asked to decode what
/// is behind a fixed header, without its `Connection`, which would copy that once more.
mod protocol_core {
    use mqtt_protocol_core::mqtt::Arc;
    use mqtt_protocol_core::mqtt::packet::v5_0::{Connect, Puback, Publish, Subscribe};
    use mqtt_protocol_core::mqtt::packet::{
        ContentType, CorrelationData, DecodeResult, GenericPacketTrait, Packet, PacketType, Property, Qos,
        ResponseTopic, SubEntry, SubOpts, UserProperty, VariableByteInteger,
    };
    use mqtt_protocol_core::mqtt::result_code::MqttError;

    use super::*;

    pub(super) fn encoding(subject: Subject) -> Encoding {
        const VALID: &str = "a valid packet";
        match subject {
            Subject::Publish { size, has_properties } => encoding_of(publish(size, has_properties).expect(VALID)),
            Subject::Connect => encoding_of(connect().expect(VALID)),
            Subject::Subscribe => encoding_of(subscribe().expect(VALID)),
            Subject::Puback => encoding_of(Puback::builder().packet_id(PACKET_ID).build().expect(VALID)),
        }
    }

    fn encoding_of(packet: impl GenericPacketTrait + 'static) -> Encoding {
        super::encoding(move |buffer: &mut Vec<u8>| {
            buffer.clear();
            for part in black_box(&packet).to_buffers() {
                buffer.extend_from_slice(&part);
            }
        })
    }

    pub(super) fn decoding(bytes: &'static [u8]) -> Round {
        super::decoding(
            move || bytes,
            |rest: &mut &'static [u8]| {
                let (packet, len) = decode(black_box(*rest)).expect("a valid packet");
                black_box(&packet);
                *rest = &rest[len..];
            },
        )
    }

    /// The first packet, and its length.
    fn decode(bytes: &[u8]) -> Result<(Packet, usize), MqttError> {
        let DecodeResult::Ok(remaining_length, len) = VariableByteInteger::decode_stream(&bytes[1..]) else {
            return Err(MqttError::MalformedPacket);
        };
        let end = 1 + len + remaining_length.to_u32() as usize;
        let body = &bytes[1 + len..end];
        let packet = match PacketType::try_from(bytes[0] >> 4) {
            Ok(PacketType::Publish) => Packet::V5_0Publish(Publish::parse(bytes[0] & 0x0F, Arc::from(body))?.0),
            Ok(PacketType::Connect) => Packet::V5_0Connect(Connect::parse(body)?.0),
            Ok(PacketType::Subscribe) => Packet::V5_0Subscribe(Subscribe::parse(body)?.0),
            Ok(PacketType::Puback) => Packet::V5_0Puback(Puback::parse(body)?.0),
            _ => return Err(MqttError::MalformedPacket),
        };
        Ok((packet, end))
    }

    fn publish(size: usize, has_properties: bool) -> Result<Publish, MqttError> {
        let properties = if has_properties { properties()? } else { Vec::new() };
        Publish::builder().topic_name(TOPIC)?.qos(Qos::AtMostOnce).payload(&PAYLOAD[..size]).props(properties).build()
    }

    fn properties() -> Result<Vec<Property>, MqttError> {
        let (name, value) = USER_PROPERTY;
        Ok(vec![
            ContentType::new(CONTENT_TYPE)?.into(),
            ResponseTopic::new(RESPONSE_TOPIC)?.into(),
            CorrelationData::new(CORRELATION_DATA.to_vec())?.into(),
            UserProperty::new(name, value)?.into(),
        ])
    }

    fn connect() -> Result<Connect, MqttError> {
        Connect::builder()
            .client_id(CLIENT_ID)?
            .clean_start(true)
            .keep_alive(KEEP_ALIVE)
            .will_message(WILL_TOPIC, WILL_PAYLOAD, Qos::AtLeastOnce, true)?
            .user_name(USER_NAME)?
            .password(PASSWORD)?
            .build()
    }

    fn subscribe() -> Result<Subscribe, MqttError> {
        let options = SubOpts::new().set_qos(Qos::AtLeastOnce);
        let entries: Result<Vec<_>, _> = FILTERS.into_iter().map(|filter| SubEntry::new(filter, options)).collect();
        Subscribe::builder().packet_id(PACKET_ID).entries(entries?).build()
    }
}
