//! Topic Names and Topic Filters (sections 4.7 and 4.8).

use mqtt_wasi::codec::{DecodeErrorKind as Kind, TopicError};

use crate::strings::STRINGS;
use crate::{MALFORMED, PROTOCOL_ERROR, assert_all_refused, assert_canonical, assert_refused};

#[test]
fn a_topic_name_has_no_wildcard() {
    for (field, packet) in
        STRINGS.iter().filter(|(field, _)| matches!(*field, "Topic Name" | "Will Topic" | "Response Topic"))
    {
        // As a property, a Response Topic is a well-formed string whatever is in it.
        let reason_code = if *field == "Response Topic" { PROTOCOL_ERROR } else { MALFORMED };
        for name in ["#", "+", "a/#", "a/+/b", "a+", "a#b"] {
            let kind = Kind::InvalidTopic(TopicError::Wildcard);
            assert_refused(&packet(name.as_bytes()), kind, reason_code);
        }
        match *field {
            "Topic Name" => assert_refused(&packet(b""), Kind::MissingTopic, PROTOCOL_ERROR),
            _ => assert_refused(&packet(b""), Kind::InvalidTopic(TopicError::Empty), PROTOCOL_ERROR),
        }
    }
}

#[test]
fn a_topic_filter_has_its_wildcards_in_place() {
    for (_, packet) in STRINGS.iter().filter(|(field, _)| field.starts_with("Topic Filter")) {
        for filter in ["#", "+", "/", "//", "+/+/#", "/+", "$SYS/#", "$share/g/#", "$share/g//", "$SHARE/+"] {
            assert_canonical(&packet(filter.as_bytes()));
        }
        for (filters, error, reason_code) in [
            (&[""][..], TopicError::Empty, PROTOCOL_ERROR),
            (&["a#", "#/a", "a+", "+a/b", "a/#/b", "##"], TopicError::MisplacedWildcard, MALFORMED),
            (
                &["$share", "$share/", "$share/g", "$share/g/", "$share//a", "$share/+/a", "$share/g#/a"],
                TopicError::InvalidShare,
                MALFORMED,
            ),
            (&["$share/g/a#"], TopicError::MisplacedWildcard, MALFORMED),
        ] {
            for filter in filters {
                assert_refused(&packet(filter.as_bytes()), Kind::InvalidTopic(error), reason_code);
            }
        }
    }
}

#[test]
fn a_topic_alias_stands_for_an_empty_topic_name() {
    assert_canonical(b"\x30\x06\0\0\x03\x23\0\x01");
    assert_all_refused([
        (b"\x30\x03\0\0\0", Kind::MissingTopic, PROTOCOL_ERROR),
        (b"\x30\x05\0\0\x02\x01\x01", Kind::MissingTopic, PROTOCOL_ERROR),
        (b"\x30\x06\0\0\x03\x23\0\0", Kind::ValueOutOfRange, PROTOCOL_ERROR),
    ]);
}
