//! Fields that one packet or a few have: identifiers, flags, versions, options and lists (chapter 3).

use mqtt_wasi::codec::{DecodeErrorKind as Kind, PropertyId, ReasonCode};

use crate::bytes::{connect, framed, string};
use crate::properties::Block;
use crate::{MALFORMED, PROTOCOL_ERROR, assert_all_refused, assert_canonical, assert_refused};

#[test]
fn a_packet_identifier_is_not_zero() {
    assert_all_refused([
        (b"\x32\x06\0\x01t\0\0\0", Kind::ZeroPacketId, PROTOCOL_ERROR),
        (b"\x34\x06\0\x01t\0\0\0", Kind::ZeroPacketId, PROTOCOL_ERROR),
        (b"\x40\x02\0\0", Kind::ZeroPacketId, PROTOCOL_ERROR),
        (b"\x50\x02\0\0", Kind::ZeroPacketId, PROTOCOL_ERROR),
        (b"\x62\x02\0\0", Kind::ZeroPacketId, PROTOCOL_ERROR),
        (b"\x70\x02\0\0", Kind::ZeroPacketId, PROTOCOL_ERROR),
        (b"\x82\x07\0\0\0\0\x01t\0", Kind::ZeroPacketId, PROTOCOL_ERROR),
        (b"\x90\x04\0\0\0\0", Kind::ZeroPacketId, PROTOCOL_ERROR),
        (b"\xA2\x06\0\0\0\0\x01t", Kind::ZeroPacketId, PROTOCOL_ERROR),
        (b"\xB0\x04\0\0\0\0", Kind::ZeroPacketId, PROTOCOL_ERROR),
    ]);
}

#[test]
fn connect_flags_agree_with_each_other() {
    for flags in 0..=0xFF {
        let has = |flag| flags & flag != 0;
        let mut payload = b"\0\x02id".to_vec();
        payload.extend_from_slice(if has(0x04) { b"\0\0\x01w\0\x01p" } else { b"" });
        payload.extend_from_slice(if has(0x80) { b"\0\x01u" } else { b"" });
        payload.extend_from_slice(if has(0x40) { b"\0\x01p" } else { b"" });
        let bytes = connect(flags, &payload);
        if has(0x01) {
            assert_refused(&bytes, Kind::ReservedBits, MALFORMED); // [MQTT-3.1.2-3]
        } else if !has(0x04) && has(0x38) {
            assert_refused(&bytes, Kind::ReservedBits, MALFORMED); // [MQTT-3.1.2-11] [MQTT-3.1.2-13]
        } else if has(0x10) && has(0x08) {
            assert_refused(&bytes, Kind::InvalidQos, MALFORMED); // [MQTT-3.1.2-12]
        } else {
            assert_canonical(&bytes);
        }
    }
}

#[test]
fn only_version_5_of_mqtt_is_spoken() {
    use Kind::{InvalidProtocolName, UnsupportedProtocolVersion};
    let answer = ReasonCode::UnsupportedProtocolVersion;
    assert_all_refused([
        (b"\x10\x0D\0\x04MQTT\x03\x02\0\0\0\0\0", UnsupportedProtocolVersion(3), answer),
        (b"\x10\x0C\0\x04MQTT\x04\x02\0\0\0\0", UnsupportedProtocolVersion(4), answer),
        (b"\x10\x0D\0\x04MQTT\x06\x02\0\0\0\0\0", UnsupportedProtocolVersion(6), answer),
        (b"\x10\x0D\0\x04mqtt\x05\x02\0\0\0\0\0", InvalidProtocolName, answer),
        (b"\x10\x0C\0\x03MQT\x05\x02\0\0\0\0\0", InvalidProtocolName, answer),
        (b"\x10\x0E\0\x06MQIsdp\x03\x02\0\0\0\0", InvalidProtocolName, answer),
        (b"\x10\x09\0\0\x05\x02\0\0\0\0\0", InvalidProtocolName, answer),
    ]);
}

#[test]
fn a_refusal_has_no_session_present() {
    assert_all_refused([
        (b"\x20\x03\x01\x87\0", Kind::SessionPresentOnRefusal, PROTOCOL_ERROR),
        (b"\x20\x03\x01\x80\0", Kind::SessionPresentOnRefusal, PROTOCOL_ERROR),
        (b"\x20\x03\x02\0\0", Kind::ReservedBits, MALFORMED),
        (b"\x20\x03\x81\0\0", Kind::ReservedBits, MALFORMED),
    ]);
}

#[test]
fn authentication_has_a_method() {
    let kind = Kind::MissingProperty(PropertyId::AuthenticationMethod);
    assert_refused(&Block::Connect.packet(b"\x16\0\x01d"), kind, PROTOCOL_ERROR);
    assert_all_refused([
        (b"\xF0\x02\x18\0", kind, PROTOCOL_ERROR),
        (b"\xF0\x02\0\0", kind, PROTOCOL_ERROR),
        (b"\xF0\x06\x18\x04\x16\0\x01d", kind, PROTOCOL_ERROR),
        // Only the form of no bytes leaves out the Property Length.
        (b"\xF0\x01\0", Kind::UnexpectedEnd, MALFORMED),
        (b"\xF0\x01\x18", Kind::UnexpectedEnd, MALFORMED),
    ]);
}

#[test]
fn subscription_options_are_within_their_range() {
    for options in 0..=0xFF {
        for (filter, shared) in [(&b"t"[..], false), (b"$shared/t", false), (b"$share/g/t", true)] {
            let bytes = framed(0x82, &[b"\0\x0A\0", &*string(filter), &[options]].concat());
            if options & 0xC0 != 0 {
                assert_refused(&bytes, Kind::ReservedBits, MALFORMED); // [MQTT-3.8.3-5]
            } else if shared && options & 0x04 != 0 {
                assert_refused(&bytes, Kind::NoLocalOnSharedSubscription, PROTOCOL_ERROR); // [MQTT-3.8.3-4]
            } else if options & 0x03 == 0x03 || options & 0x30 == 0x30 {
                assert_refused(&bytes, Kind::ValueOutOfRange, PROTOCOL_ERROR);
            } else {
                assert_canonical(&bytes);
            }
        }
    }
}

#[test]
fn a_list_has_an_entry() {
    for first_byte in [0x82, 0x90, 0xA2, 0xB0] {
        assert_refused(&framed(first_byte, b"\0\x0A\0"), Kind::EmptyList, PROTOCOL_ERROR);
        assert_refused(&framed(first_byte, b"\0\x0A\x07\x26\0\x01k\0\x01v"), Kind::EmptyList, PROTOCOL_ERROR);
    }
}

#[test]
fn every_entry_of_a_list_is_checked() {
    assert_all_refused([
        (b"\x82\x0B\0\x0A\0\0\x01t\0\0\x01t\x80", Kind::ReservedBits, MALFORMED),
        (b"\xA2\x09\0\x0A\0\0\x01t\0\x01\xFF", Kind::InvalidUtf8, MALFORMED),
        (b"\x90\x05\0\x0A\0\0\x11", Kind::InvalidReasonCode(0x11), MALFORMED),
        (b"\xB0\x05\0\x0A\0\0\x01", Kind::InvalidReasonCode(0x01), MALFORMED),
    ]);
}
