//! What a refusal says of itself.

use mqtt_wasi::codec::PacketType;

use crate::refusal;

#[test]
fn a_refusal_says_where_it_is() {
    for (bytes, packet_type, field, offset) in [
        (&b"\x0F"[..], None, "fixed header", 0),
        (b"\x21", Some(PacketType::Connack), "fixed header", 0),
        (b"\xC0\x80\0", Some(PacketType::Pingreq), "Remaining Length", 0),
        (b"\x30\x03\0\x05t", Some(PacketType::Publish), "Topic Name", 2),
        (b"\x32\x06\0\x01t\0\0\0", Some(PacketType::Publish), "Packet Identifier", 5),
        (b"\x40\x08\0\x0A\0\x04\x26\0\x01k", Some(PacketType::Puback), "User Property", 8),
        (b"\x20\x05\0\0\x02\x25\x02", Some(PacketType::Connack), "Retain Available", 5),
        (b"\x82\x0B\0\x0A\0\0\x01t\0\0\x01t\x80", Some(PacketType::Subscribe), "Subscription Options", 11),
    ] {
        let error = refusal(bytes);
        assert_eq!((error.packet_type, error.field, error.offset), (packet_type, field, offset), "{error}");
    }
    assert_eq!(
        refusal(b"\x20\x05\0\0\x02\x25\x02").to_string(),
        "CONNACK, Retain Available, byte 5: the value is out of range"
    );
    assert_eq!(refusal(b"\x0F").to_string(), "fixed header: packet type 0 is reserved");
}
