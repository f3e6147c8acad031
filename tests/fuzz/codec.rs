//! The codec, with any bytes: what decodes can be encoded, and decodes to the same packet again.

use mqtt_wasi::codec::{DecodeError, DecodeErrorKind, DecodeOptions, Packet, PacketType, UnknownProperties};

const STRICT: DecodeOptions = DecodeOptions { unknown_properties: UnknownProperties::Malformed };
const SKIP: DecodeOptions = DecodeOptions { unknown_properties: UnknownProperties::Skip };

/// Takes the bytes for a packet, and then what is behind the first of them for the body of each kind of packet, with
/// the flags of that first byte.
pub(crate) fn check(data: &[u8]) {
    let whole = |options| Packet::decode_with(data, options).map(|found| found.map(|(packet, _)| packet));
    check_both(whole(STRICT), whole(SKIP));
    if let Ok(Some((_, len))) = Packet::decode_with(data, STRICT) {
        assert!(len <= data.len(), "a packet is no longer than its bytes");
        let alone = Packet::decode_with(&data[..len], STRICT);
        assert_eq!(alone, Packet::decode_with(data, STRICT), "a packet ends where it says");
    }
    let Some((first_byte, body)) = data.split_first() else { return };
    for packet_type in PacketType::ALL {
        let body_as = |options| Packet::decode_body(packet_type, first_byte & 0x0F, body, options).map(Some);
        check_both(body_as(STRICT), body_as(SKIP));
    }
}

type Decoded<'a> = Result<Option<Packet<'a>>, DecodeError>;

fn check_both(strict: Decoded<'_>, skip: Decoded<'_>) {
    if !matches!(strict, Err(DecodeError { kind: DecodeErrorKind::UnknownProperty(_), .. })) {
        assert_eq!(strict, skip, "skipping unknown properties changes nothing else");
    }
    for decoded in [strict, skip] {
        match decoded {
            Ok(Some(packet)) => check_packet(&packet),
            Ok(None) => {}
            // Every error can be told and has a Reason Code for the peer.
            Err(error) => assert!(!error.to_string().is_empty() && error.reason_code().is_error()),
        }
    }
}

fn check_packet(packet: &Packet<'_>) {
    assert!(!format!("{packet:?}").is_empty());
    // Encoding appends, so there is something to append to.
    let mut bytes = vec![0xA5];
    let encoded_len = packet.encoded_len();
    match packet.encode(&mut bytes) {
        Ok(()) => {
            let bytes = &bytes[1..];
            assert_eq!(encoded_len, Ok(bytes.len()), "the length is foretold");
            for options in [STRICT, SKIP] {
                let again = Packet::decode_with(bytes, options);
                assert_eq!(again, Ok(Some((*packet, bytes.len()))), "what was encoded decodes to the same");
            }
        }
        Err(error) => {
            assert_eq!(encoded_len, Err(error), "measuring and writing agree");
            assert_eq!(bytes, [0xA5], "nothing is appended on an error");
            assert!(is_taken_only(packet), "{packet:?}: {error}");
        }
    }
}

/// Whether the packet has what is taken from peers that get it wrong, but never sent.
fn is_taken_only(packet: &Packet<'_>) -> bool {
    match packet {
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
            !ack.reason_code.is_valid_in(packet.packet_type())
        }
        Packet::Publish(publish) => publish.properties.response_topic == Some(""),
        Packet::Connect(connect) => connect.will.is_some_and(|will| will.properties.response_topic == Some("")),
        _ => false,
    }
}
