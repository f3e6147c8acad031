//! Reason Codes (section 2.4), in both directions.

use mqtt_wasi::codec::{
    Ack, Auth, AuthProperties, Connack, DecodeErrorKind as Kind, Disconnect, EncodeErrorKind, List, Packet, PacketType,
    ReasonCode, Suback, Unsuback,
};

use crate::bytes::framed;
use crate::{ID, MALFORMED, assert_not_sent, assert_refused, decode, encode};

/// Table 2-6.
const REASON_CODES: [(u8, &[PacketType]); 43] = {
    use PacketType::*;
    [
        (0x00, &[Connack, Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback, Disconnect, Auth]),
        (0x01, &[Suback]),
        (0x02, &[Suback]),
        (0x04, &[Disconnect]),
        (0x10, &[Puback, Pubrec]),
        (0x11, &[Unsuback]),
        (0x18, &[Auth]),
        (0x19, &[Auth]),
        (0x80, &[Connack, Puback, Pubrec, Suback, Unsuback, Disconnect]),
        (0x81, &[Connack, Disconnect]),
        (0x82, &[Connack, Disconnect]),
        (0x83, &[Connack, Puback, Pubrec, Suback, Unsuback, Disconnect]),
        (0x84, &[Connack]),
        (0x85, &[Connack]),
        (0x86, &[Connack]),
        (0x87, &[Connack, Puback, Pubrec, Suback, Unsuback, Disconnect]),
        (0x88, &[Connack]),
        (0x89, &[Connack, Disconnect]),
        (0x8A, &[Connack]),
        (0x8B, &[Disconnect]),
        (0x8C, &[Connack, Disconnect]),
        (0x8D, &[Disconnect]),
        (0x8E, &[Disconnect]),
        (0x8F, &[Suback, Unsuback, Disconnect]),
        (0x90, &[Connack, Puback, Pubrec, Disconnect]),
        (0x91, &[Puback, Pubrec, Suback, Unsuback]),
        (0x92, &[Pubrel, Pubcomp]),
        (0x93, &[Disconnect]),
        (0x94, &[Disconnect]),
        (0x95, &[Connack, Disconnect]),
        (0x96, &[Disconnect]),
        (0x97, &[Connack, Puback, Pubrec, Suback, Disconnect]),
        (0x98, &[Disconnect]),
        (0x99, &[Connack, Puback, Pubrec, Disconnect]),
        (0x9A, &[Connack, Disconnect]),
        (0x9B, &[Connack, Disconnect]),
        (0x9C, &[Connack, Disconnect]),
        (0x9D, &[Connack, Disconnect]),
        (0x9E, &[Suback, Disconnect]),
        (0x9F, &[Connack, Disconnect]),
        (0xA0, &[Disconnect]),
        (0xA1, &[Suback, Disconnect]),
        (0xA2, &[Suback, Disconnect]),
    ]
};

#[test]
fn a_reason_code_is_taken_only_where_table_2_6_puts_it() {
    for code in 0..=0xFF {
        let belongs_in = REASON_CODES.iter().find(|(value, _)| *value == code).map_or(&[][..], |(_, types)| types);
        assert_eq!(ReasonCode::from_u8(code).map(u8::from), (!belongs_in.is_empty()).then_some(code));
        for (packet_type, bytes) in [
            (PacketType::Connack, framed(0x20, &[0, code, 0])),
            (PacketType::Puback, framed(0x40, &[0, 10, code])),
            (PacketType::Pubrec, framed(0x50, &[0, 10, code])),
            (PacketType::Pubrel, framed(0x62, &[0, 10, code])),
            (PacketType::Pubcomp, framed(0x70, &[0, 10, code])),
            (PacketType::Suback, framed(0x90, &[0, 10, 0, code])),
            (PacketType::Unsuback, framed(0xB0, &[0, 10, 0, code])),
            (PacketType::Disconnect, framed(0xE0, &[code])),
            (PacketType::Auth, framed(0xF0, &[code, 4, 0x15, 0, 1, b'm'])),
        ] {
            let is_ack = (PacketType::Puback..=PacketType::Pubcomp).contains(&packet_type);
            if belongs_in.contains(&packet_type) {
                assert_eq!(decode(&encode(&decode(&bytes))), decode(&bytes));
            } else if is_ack && code >= 0x80 && !belongs_in.is_empty() {
                // A failure that brokers send where it does not belong is a failure all the same.
                assert!(decode(&bytes).encoded_len().is_err());
            } else {
                assert_refused(&bytes, Kind::InvalidReasonCode(code), MALFORMED);
            }
        }
    }
}

#[test]
fn a_reason_code_is_sent_only_where_table_2_6_puts_it() {
    for (code, belongs_in) in REASON_CODES {
        let reason_code = ReasonCode::from_u8(code).unwrap();
        let ack = Ack { reason_code, ..Ack::success(ID) };
        let reason_codes = List::from(std::slice::from_ref(&reason_code));
        let method = AuthProperties { authentication_method: Some("m"), ..AuthProperties::default() };
        for packet in [
            Packet::Connack(Connack { session_present: false, reason_code, properties: Default::default() }),
            Packet::Puback(ack),
            Packet::Pubrec(ack),
            Packet::Pubrel(ack),
            Packet::Pubcomp(ack),
            Packet::Suback(Suback { packet_id: ID, properties: Default::default(), reason_codes }),
            Packet::Unsuback(Unsuback { packet_id: ID, properties: Default::default(), reason_codes }),
            Packet::Disconnect(Disconnect::new(reason_code)),
            Packet::Auth(Auth { reason_code, properties: method }),
        ] {
            assert_eq!(reason_code.is_valid_in(packet.packet_type()), belongs_in.contains(&packet.packet_type()));
            match belongs_in.contains(&packet.packet_type()) {
                true => assert_eq!(decode(&encode(&packet)), packet),
                false => assert_not_sent(packet, EncodeErrorKind::InvalidReasonCode, "Reason Code"),
            }
        }
    }
}
