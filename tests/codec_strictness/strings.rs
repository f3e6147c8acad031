//! Strings and Binary Data (sections 1.5.4 and 1.5.6), wherever there are some.

use mqtt_wasi::codec::DecodeErrorKind as Kind;

use crate::bytes::{connect, framed, string, variable_byte_integer};
use crate::properties::Block;
use crate::{MALFORMED, assert_canonical, assert_refused, refusal};

/// What the specification calls the field, and a packet in which it has this content.
pub(crate) type Field = (&'static str, fn(&[u8]) -> Vec<u8>);

pub(crate) const STRINGS: [Field; 15] = [
    ("Client Identifier", |text| connect(0, &string(text))),
    ("Will Topic", |text| connect(0x04, &[b"\0\0\0", &*string(text), b"\0\0"].concat())),
    ("User Name", |text| connect(0x80, &[b"\0\0", &*string(text)].concat())),
    ("Topic Name", |text| framed(0x30, &[&*string(text), b"\0"].concat())),
    ("Topic Filter of SUBSCRIBE", |text| framed(0x82, &[b"\0\x0A\0", &*string(text), b"\0"].concat())),
    ("Topic Filter of UNSUBSCRIBE", |text| framed(0xA2, &[b"\0\x0A\0", &*string(text)].concat())),
    ("Content Type", |text| Block::Publish.packet(&[b"\x03", &*string(text)].concat())),
    ("Response Topic", |text| Block::Publish.packet(&[b"\x08", &*string(text)].concat())),
    ("Response Topic", |text| connect(0x04, &[&*will_property(0x08, text), b"\0\x01w\0\0"].concat())),
    ("Assigned Client Identifier", |text| Block::Connack.packet(&[b"\x12", &*string(text)].concat())),
    ("Authentication Method", |text| Block::Auth.packet(&[b"\x15", &*string(text)].concat())),
    ("Response Information", |text| Block::Connack.packet(&[b"\x1A", &*string(text)].concat())),
    ("Server Reference", |text| Block::Connack.packet(&[b"\x1C", &*string(text)].concat())),
    ("User Property, name", |text| Block::Connack.packet(&[b"\x26", &*string(text), b"\0\x01v"].concat())),
    ("User Property, value", |text| Block::Connack.packet(&[b"\x26\0\x01k", &*string(text)].concat())),
];

/// A Client Identifier of nothing, and will properties that are a string with this identifier alone.
fn will_property(id: u8, text: &[u8]) -> Vec<u8> {
    let property = [&[id][..], &string(text)].concat();
    [b"\0\0", &*variable_byte_integer(property.len()), &*property].concat()
}

#[test]
fn ill_formed_utf_8_is_refused() {
    for (field, packet) in STRINGS {
        for bytes in [
            &b"\x80"[..],        // a continuation byte alone
            b"a\xBF",            //
            b"\xC0\x80",         // overlong: U+0000
            b"\xC1\xBF",         // overlong: U+007F
            b"\xE0\x9F\xBF",     // overlong: U+07FF
            b"\xF0\x8F\xBF\xBF", // overlong: U+FFFF
            b"\xED\xA0\x80",     // surrogate U+D800
            b"\xED\xBF\xBF",     // surrogate U+DFFF
            b"\xF4\x90\x80\x80", // beyond U+10FFFF
            b"\xF5\x80\x80\x80", //
            b"\xC3",             // cut short
            b"\xE2\x82",         //
            b"\xF0\x9F\x92",     //
            b"\xC3a",            // cut short by a character
            b"\xFE",             // in no encoding
            b"\xFF",             //
        ] {
            let bytes = packet(bytes);
            assert_refused(&bytes, Kind::InvalidUtf8, MALFORMED);
            assert!(field.starts_with(refusal(&bytes).field), "{field}: {}", refusal(&bytes));
        }
    }
}

#[test]
fn a_null_character_is_refused() {
    for (_, packet) in STRINGS {
        for text in ["\0", "a\0", "\0a", "a\0b"] {
            assert_refused(&packet(text.as_bytes()), Kind::NullCharacter, MALFORMED);
        }
    }
}

#[test]
fn every_other_character_is_kept() {
    for (_, packet) in STRINGS {
        for text in [
            "A\u{2A6D4}", // figure 1-2
            "\u{FEFF}",   // no byte order mark, wherever it is [MQTT-1.5.4-3]
            "\u{FEFF}a\u{FEFF}",
            "\u{1}\u{1F}\u{7F}\u{9F}", // control characters, which should not be sent
            "\u{FDD0}\u{FFFE}\u{FFFF}\u{10FFFF}", // non-characters, neither
            "\u{D7FF}\u{E000}",
            " ",
        ] {
            assert_canonical(&packet(text.as_bytes()));
        }
    }
}

#[test]
fn a_string_has_up_to_65_535_bytes() {
    for (_, packet) in STRINGS {
        assert_canonical(&packet(&[b'a'; 65_535]));
    }
}

#[test]
fn binary_data_is_any_bytes() {
    let fields: [Field; 5] = [
        ("Will Payload", |data| connect(0x04, &[b"\0\0\0\0\x01w", &*string(data)].concat())),
        ("Password", |data| connect(0x40, &[b"\0\0", &*string(data)].concat())),
        ("Correlation Data", |data| Block::Publish.packet(&[b"\x09", &*string(data)].concat())),
        ("Authentication Data", |data| Block::Auth.packet(&[b"\x15\0\x01m\x16", &*string(data)].concat())),
        ("Payload", |data| framed(0x30, &[b"\0\x01t\0", data].concat())),
    ];
    let every_byte: Vec<u8> = (0..=255).collect();
    for (_, packet) in fields {
        assert_canonical(&packet(b""));
        assert_canonical(&packet(&every_byte));
    }
}
