//! Properties (section 2.2.2): which belong where, how often, in which range, and what ends a block of them.

use mqtt_wasi::codec::{
    DecodeErrorKind as Kind, DecodeOptions, Packet, PropertyId, Publish, SubscriptionIdentifiers, UnknownProperties,
    UserProperties, varint,
};

use crate::bytes::{framed, variable_byte_integer};
use crate::{MALFORMED, PROTOCOL_ERROR, assert_all_refused, assert_canonical, assert_refused, decode, decode_with};

const SKIP: DecodeOptions = DecodeOptions { unknown_properties: UnknownProperties::Skip };

/// Where properties are: the packets that have some, and the Will Message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    Connect,
    Connack,
    Publish,
    Will,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Suback,
    Unsubscribe,
    Unsuback,
    Disconnect,
    Auth,
}

impl Block {
    const ALL: [Self; 14] = [
        Self::Connect,
        Self::Connack,
        Self::Publish,
        Self::Will,
        Self::Puback,
        Self::Pubrec,
        Self::Pubrel,
        Self::Pubcomp,
        Self::Subscribe,
        Self::Suback,
        Self::Unsubscribe,
        Self::Unsuback,
        Self::Disconnect,
        Self::Auth,
    ];

    /// A packet with these properties, and else as little as can be.
    pub(crate) fn packet(self, properties: &[u8]) -> Vec<u8> {
        let (first_byte, before, after): (u8, &[u8], &[u8]) = match self {
            Self::Connect => (0x10, b"\0\x04MQTT\x05\0\0\0", b"\0\0"),
            Self::Will => (0x10, b"\0\x04MQTT\x05\x04\0\0\0\0\0", b"\0\x01w\0\0"),
            Self::Connack => (0x20, b"\0\0", b""),
            Self::Publish => (0x30, b"\0\x01t", b""),
            Self::Puback => (0x40, b"\0\x0A\0", b""),
            Self::Pubrec => (0x50, b"\0\x0A\0", b""),
            Self::Pubrel => (0x62, b"\0\x0A\0", b""),
            Self::Pubcomp => (0x70, b"\0\x0A\0", b""),
            Self::Subscribe => (0x82, b"\0\x0A", b"\0\x01t\0"),
            Self::Suback => (0x90, b"\0\x0A", b"\0"),
            Self::Unsubscribe => (0xA2, b"\0\x0A", b"\0\x01t"),
            Self::Unsuback => (0xB0, b"\0\x0A", b"\0"),
            Self::Disconnect => (0xE0, b"\0", b""),
            Self::Auth => (0xF0, b"\x18", b""),
        };
        let length = variable_byte_integer(properties.len());
        framed(first_byte, &[before, &length, properties, after].concat())
    }

    /// What must come before this property.
    fn companion(self, id: PropertyId) -> &'static [u8] {
        match (self, id) {
            (_, PropertyId::AuthenticationMethod) => b"",
            (Self::Auth, _) | (Self::Connect, PropertyId::AuthenticationData) => b"\x15\0\x01m",
            _ => b"",
        }
    }
}

/// Table 2-4: the property, a value of its type, and where it belongs.
const PROPERTIES: [(u8, &[u8], &[Block]); 27] = {
    use Block::*;
    [
        (0x01, b"\x01", &[Publish, Will]),
        (0x02, b"\0\0\0\0", &[Publish, Will]),
        (0x03, b"\0\x02ct", &[Publish, Will]),
        (0x08, b"\0\x02rt", &[Publish, Will]),
        (0x09, b"\0\x02cd", &[Publish, Will]),
        (0x0B, b"\x80\x01", &[Publish, Subscribe]),
        (0x11, b"\xFF\xFF\xFF\xFF", &[Connect, Connack, Disconnect]),
        (0x12, b"\0\x02id", &[Connack]),
        (0x13, b"\0\0", &[Connack]),
        (0x15, b"\0\x02am", &[Connect, Connack, Auth]),
        (0x16, b"\0\x02ad", &[Connect, Connack, Auth]),
        (0x17, b"\0", &[Connect]),
        (0x18, b"\0\0\0\0", &[Will]),
        (0x19, b"\x01", &[Connect]),
        (0x1A, b"\0\x02ri", &[Connack]),
        (0x1C, b"\0\x02sr", &[Connack, Disconnect]),
        (0x1F, b"\0\x02rs", &[Connack, Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback, Disconnect, Auth]),
        (0x21, b"\0\x01", &[Connect, Connack]),
        (0x22, b"\0\0", &[Connect, Connack]),
        (0x23, b"\0\x01", &[Publish]),
        (0x24, b"\0", &[Connack]),
        (0x25, b"\0", &[Connack]),
        (0x26, b"\0\x01k\0\x01v", &Block::ALL),
        (0x27, b"\0\0\0\x01", &[Connect, Connack]),
        (0x28, b"\0", &[Connack]),
        (0x29, b"\0", &[Connack]),
        (0x2A, b"\0", &[Connack]),
    ]
};

/// Runs over the matrix: block, property, its bytes with the identifier, and whether it belongs there.
fn for_each_block_and_property(mut check: impl FnMut(Block, PropertyId, &[u8], bool)) {
    for block in Block::ALL {
        for (id, value, belongs_in) in PROPERTIES {
            let property = [&[id], value].concat();
            check(block, PropertyId::from_u8(id).unwrap(), &property, belongs_in.contains(&block));
        }
    }
}

#[test]
fn a_property_is_taken_only_where_table_2_4_puts_it() {
    for_each_block_and_property(|block, id, property, belongs| {
        let bytes = block.packet(&[block.companion(id), property].concat());
        if belongs {
            assert_canonical(&bytes);
        } else {
            assert_refused(&bytes, Kind::PropertyNotAllowed(id), MALFORMED);
            assert_eq!(Packet::decode_with(&bytes, SKIP), Packet::decode(&bytes), "this is not an unknown property");
        }
    });
}

#[test]
fn only_user_properties_and_subscription_identifiers_repeat() {
    for_each_block_and_property(|block, id, property, belongs| {
        let bytes = block.packet(&[block.companion(id), property, property].concat());
        match (block, id) {
            _ if !belongs => {}
            (_, PropertyId::UserProperty) | (Block::Publish, PropertyId::SubscriptionIdentifier) => {
                assert_canonical(&bytes);
            }
            _ => assert_refused(&bytes, Kind::DuplicateProperty(id), PROTOCOL_ERROR),
        }
    });
}

#[test]
fn a_property_that_ends_early_is_refused_at_every_byte() {
    for_each_block_and_property(|block, id, property, belongs| {
        for len in 1..property.len() {
            if belongs {
                let bytes = block.packet(&[block.companion(id), &property[..len]].concat());
                assert_refused(&bytes, Kind::UnexpectedEnd, MALFORMED);
            }
        }
    });
}

#[test]
fn properties_come_in_any_order() {
    for order in [
        b"\x26\0\x01a\0\x01b\x03\0\x01t\x26\0\x01c\0\x01d\x0B\x07",
        b"\x0B\x07\x26\0\x01a\0\x01b\x26\0\x01c\0\x01d\x03\0\x01t",
    ] {
        let bytes = Block::Publish.packet(order);
        let Packet::Publish(publish) = decode(&bytes) else { unreachable!() };
        assert_eq!(publish.properties.content_type, Some("t"));
        assert_eq!(publish.properties.user_properties, UserProperties::from(&[("a", "b"), ("c", "d")]));
        assert_eq!(publish.properties.subscription_identifiers, SubscriptionIdentifiers::from(&[7]));
    }
}

#[test]
fn the_property_length_says_where_properties_end() {
    assert_all_refused([
        (b"\x40\x04\0\x0A\0\x01", Kind::UnexpectedEnd, MALFORMED),
        (b"\x20\x05\0\0\0\x25\0", Kind::TrailingBytes, MALFORMED),
        // The bytes are in the packet, but not in the block.
        (b"\x30\x09\0\x01t\x03\x03\0\x02ct", Kind::UnexpectedEnd, MALFORMED),
        (b"\x30\x07\0\x01t\x02\x23\0\x01", Kind::UnexpectedEnd, MALFORMED),
    ]);
    assert_eq!(decode(b"\x30\x08\0\x01t\0\x23\0\x01x"), Packet::Publish(Publish::new("t", b"\x23\0\x01x")));
}

#[test]
fn an_unknown_property_is_malformed_unless_it_is_to_be_skipped() {
    let unknown = (0..=0x7F_u32).filter(|&id| PROPERTIES.iter().all(|(known, ..)| u32::from(*known) != id));
    for id in unknown.chain([0x80, 0xFF, 0x101, 0x1_0001, varint::MAX]) {
        let unknown = [&*variable_byte_integer(id as usize), b"\0\xFFwhat is this?"].concat();
        for block in Block::ALL {
            let known = [block.companion(PropertyId::UserProperty), b"\x26\0\x01k\0\x01v"].concat();
            let bytes = block.packet(&[&*known, &unknown].concat());
            assert_refused(&bytes, Kind::UnknownProperty(id), MALFORMED);
            assert_eq!(decode_with(&bytes, SKIP), decode(&block.packet(&known)), "what came before it stays");
        }
    }
}

#[test]
fn skipping_an_unknown_property_forgives_nothing_before_it() {
    for (properties, kind) in [
        (&b"\x23\0\0\x7F"[..], Kind::ValueOutOfRange),
        (b"\x01\x01\x01\x01\x7F", Kind::DuplicateProperty(PropertyId::PayloadFormatIndicator)),
        (b"\x25\x01\x7F", Kind::PropertyNotAllowed(PropertyId::RetainAvailable)),
        (b"\xFF\xFF\xFF\xFF", Kind::VariableByteInteger),
    ] {
        let bytes = Block::Publish.packet(properties);
        assert_eq!(Packet::decode_with(&bytes, SKIP).unwrap_err().kind, kind);
        let bytes = Block::Publish.packet(&[b"\x7F", properties].concat());
        assert_eq!(decode_with(&bytes, SKIP), Packet::Publish(Publish::new("t", "")));
    }
}

#[test]
fn skipping_an_unknown_property_keeps_the_payload() {
    let bytes = framed(0x30, b"\0\x01t\x02\x7F\xFFpayload");
    assert_eq!(decode_with(&bytes, SKIP), Packet::Publish(Publish::new("t", "payload")));
}

#[test]
fn numbers_in_properties_are_within_their_range() {
    for (block, property, good) in [
        (Block::Publish, &b"\x01\x02"[..], false),
        (Block::Publish, b"\x01\xFF", false),
        (Block::Will, b"\x01\x02", false),
        (Block::Publish, b"\x23\0\0", false),
        (Block::Publish, b"\x23\xFF\xFF", true),
        (Block::Publish, b"\x0B\0", false),
        (Block::Subscribe, b"\x0B\0", false),
        (Block::Publish, b"\x0B\xFF\xFF\xFF\x7F", true),
        (Block::Subscribe, b"\x0B\xFF\xFF\xFF\x7F", true),
        (Block::Connect, b"\x17\x02", false),
        (Block::Connect, b"\x19\x02", false),
        (Block::Connect, b"\x21\0\0", false),
        (Block::Connect, b"\x27\0\0\0\0", false),
        (Block::Connack, b"\x21\0\0", false),
        (Block::Connack, b"\x27\0\0\0\0", false),
        (Block::Connack, b"\x24\x01", true),
        (Block::Connack, b"\x24\x02", false),
        (Block::Connack, b"\x24\x03", false),
        (Block::Connack, b"\x25\x02", false),
        (Block::Connack, b"\x28\x02", false),
        (Block::Connack, b"\x29\x02", false),
        (Block::Connack, b"\x2A\x02", false),
    ] {
        match good {
            true => assert_canonical(&block.packet(property)),
            false => assert_refused(&block.packet(property), Kind::ValueOutOfRange, PROTOCOL_ERROR),
        }
    }
}

#[test]
fn property_identifiers_are_those_of_table_2_4() {
    let identifiers: Vec<_> = PropertyId::ALL.iter().map(|&id| id as u8).collect();
    assert_eq!(identifiers, PROPERTIES.map(|(id, ..)| id));
    for id in 0..=0xFF {
        assert_eq!(PropertyId::from_u8(id).map(|id| id as u8), identifiers.contains(&id).then_some(id));
    }
}
