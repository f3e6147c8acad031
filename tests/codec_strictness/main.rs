//! What the codec takes and what it refuses, byte by byte, and with which Reason Code it answers.
//!
//! Every table is written from the specification, none from the codec.

mod bytes;
mod encoding;
mod examples;
mod fields;
mod fixed_header;
mod properties;
mod reason_codes;
mod refusals;
mod strings;
mod topics;

use mqtt_wasi::codec::{DecodeError, DecodeErrorKind, DecodeOptions, EncodeErrorKind, Packet, PacketId, ReasonCode};

const MALFORMED: ReasonCode = ReasonCode::MalformedPacket;
const PROTOCOL_ERROR: ReasonCode = ReasonCode::ProtocolError;

/// The Packet Identifier of the specification's figures.
const ID: PacketId = PacketId::new(10).unwrap();

#[track_caller]
fn decode(bytes: &[u8]) -> Packet<'_> {
    decode_with(bytes, DecodeOptions::default())
}

#[track_caller]
fn decode_with(bytes: &[u8], options: DecodeOptions) -> Packet<'_> {
    match Packet::decode_with(bytes, options) {
        Ok(Some((packet, len))) if len == bytes.len() => packet,
        other => panic!("{bytes:02X?} should be one packet: {other:?}"),
    }
}

#[track_caller]
fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes).unwrap();
    bytes
}

/// The bytes are a packet, and the packet's bytes are these alone.
#[track_caller]
fn assert_canonical(bytes: &[u8]) {
    assert_eq!(encode(&decode(bytes)), bytes);
}

#[track_caller]
fn refusal(bytes: &[u8]) -> DecodeError {
    match Packet::decode(bytes) {
        Err(error) => error,
        other => panic!("{bytes:02X?} should be refused: {other:?}"),
    }
}

#[track_caller]
fn assert_refused(bytes: &[u8], kind: DecodeErrorKind, reason_code: ReasonCode) {
    let error = refusal(bytes);
    assert_eq!((error.kind, error.reason_code()), (kind, reason_code), "{bytes:02X?}: {error}");
}

#[track_caller]
fn assert_all_refused<const N: usize>(examples: [(&[u8], DecodeErrorKind, ReasonCode); N]) {
    for (bytes, kind, reason_code) in examples {
        assert_refused(bytes, kind, reason_code);
    }
}

#[track_caller]
fn assert_not_sent(packet: Packet<'_>, kind: EncodeErrorKind, field: &str) {
    let mut bytes = b"before".to_vec();
    let error = packet.encode(&mut bytes).unwrap_err();
    assert_eq!((error.kind, error.field), (kind, field), "{error}");
    assert_eq!(packet.encoded_len(), Err(error));
    assert_eq!(bytes, b"before");
}
