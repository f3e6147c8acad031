//! The fixed header (section 2.1), and the number in it that other places share (section 1.5.5).

use mqtt_wasi::codec::{DecodeErrorKind as Kind, PacketType};

use crate::bytes::framed;
use crate::examples::examples;
use crate::{MALFORMED, assert_all_refused, assert_canonical, assert_refused, decode};

#[test]
fn fixed_header_flags_are_the_prescribed_ones() {
    for (bytes, packet, _) in examples() {
        for flags in 0..=0x0F {
            let changed = [&[bytes[0] & 0xF0 | flags], &bytes[1..]].concat();
            // Table 2-2.
            let prescribed = match packet.packet_type() {
                PacketType::Publish => continue,
                PacketType::Pubrel | PacketType::Subscribe | PacketType::Unsubscribe => 2,
                _ => 0,
            };
            match flags == prescribed {
                true => assert_eq!(decode(&changed), packet),
                false => assert_refused(&changed, Kind::ReservedBits, MALFORMED),
            }
        }
    }
}

#[test]
fn packet_type_0_is_reserved() {
    for flags in 0..=0x0F {
        assert_refused(&[flags], Kind::ReservedPacketType, MALFORMED);
    }
    for (number, packet_type) in (1..=15).zip(PacketType::ALL) {
        assert_eq!((PacketType::from_u8(number), packet_type as u8), (Some(packet_type), number));
    }
    assert_eq!((PacketType::from_u8(0), PacketType::from_u8(16)), (None, None));
}

#[test]
fn publish_flags_have_no_qos_3_and_no_dup_at_qos_0() {
    for flags in 0..=0x0F {
        let (dup, qos) = (flags & 8 != 0, flags >> 1 & 3);
        let packet_id: &[u8] = if qos == 0 { b"" } else { b"\0\x0A" };
        let bytes = framed(0x30 | flags, &[b"\0\x01t", packet_id, b"\0payload"].concat());
        match (qos, dup) {
            (3, _) => assert_refused(&bytes, Kind::InvalidQos, MALFORMED),
            (0, true) => assert_refused(&bytes, Kind::DupOnQos0, MALFORMED),
            _ => assert_canonical(&bytes),
        }
    }
}

#[test]
fn a_variable_byte_integer_has_four_bytes_at_most_and_no_more_than_it_needs() {
    assert_all_refused([
        (b"\xC0\x80\0", Kind::VariableByteInteger, MALFORMED),
        (b"\xC0\x80\x80\0", Kind::VariableByteInteger, MALFORMED),
        (b"\xC0\x80\x80\x80\0", Kind::VariableByteInteger, MALFORMED),
        (b"\xC0\xFF\xFF\xFF\xFF", Kind::VariableByteInteger, MALFORMED),
        // Property Length.
        (b"\x40\x05\0\x0A\0\x80\0", Kind::VariableByteInteger, MALFORMED),
        (b"\x40\x08\0\x0A\0\xFF\xFF\xFF\xFF\0", Kind::VariableByteInteger, MALFORMED),
        // Property Identifier.
        (b"\x40\x0A\0\x0A\0\x06\x9F\0\0\x01x\0", Kind::VariableByteInteger, MALFORMED),
        // Subscription Identifier.
        (b"\x30\x07\0\x01t\x03\x0B\x81\0", Kind::VariableByteInteger, MALFORMED),
        (b"\x30\x09\0\x01t\x05\x0B\xFF\xFF\xFF\xFF", Kind::VariableByteInteger, MALFORMED),
    ]);
}
