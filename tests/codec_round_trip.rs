//! What one side encodes, the other decodes to the same packet, for all that the specification allows.

mod support;

use mqtt_wasi::codec::{
    Ack, Auth, Connack, Connect, DecodeOptions, Disconnect, List, Packet, PacketId, Publish, QoS, ReasonCode, Suback,
    Subscribe, Subscription, UnknownProperties, Unsubscribe, varint,
};
use proptest::prelude::*;
use proptest::sample::select;

const OPTIONS: [DecodeOptions; 2] = [
    DecodeOptions { unknown_properties: UnknownProperties::Malformed },
    DecodeOptions { unknown_properties: UnknownProperties::Skip },
];

/// The packet's bytes, which `encoded_len` foretold.
fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes).unwrap();
    assert_eq!(packet.encoded_len(), Ok(bytes.len()));
    bytes
}

fn assert_survives(packet: &Packet<'_>) {
    let bytes = encoded(packet);
    for options in OPTIONS {
        let (decoded, len) = Packet::decode_with(&bytes, options).unwrap().expect("a whole packet");
        assert_eq!((&decoded, len), (packet, bytes.len()));
        assert_eq!(encoded(&decoded), bytes, "other bytes for the same packet");
    }
}

mod every_valid_packet_survives {
    use super::*;

    macro_rules! survives {
        ($($packet:ident)+) => {
            proptest! {
                #![proptest_config(support::config())]
                $(#[test]
                fn $packet(packet in support::$packet()) {
                    assert_survives(&packet);
                })+
            }
        };
    }

    survives! {
        connect connack publish puback pubrec pubrel pubcomp subscribe suback unsubscribe unsuback pingreq pingresp
        disconnect auth
    }
}

#[test]
fn every_length_of_the_remaining_length_survives() {
    // Topic Name and Property Length take four bytes.
    for remaining_length in [5, 0x7F, 0x80, 0x3FFF, 0x4000, 0x1F_FFFF, 0x20_0000] {
        assert_survives(&Packet::Publish(Publish::new("t", &vec![0xA5; remaining_length - 4])));
    }
    let (largest, too_large) = (vec![0; varint::MAX as usize - 4], vec![0; varint::MAX as usize - 3]);
    assert_eq!(Publish::new("t", &largest).encoded_len(), Ok(5 + varint::MAX as usize));
    assert!(Publish::new("t", &too_large).encoded_len().is_err());
}

proptest! {
    #![proptest_config(support::config())]

    #[test]
    fn packets_stand_side_by_side_in_a_buffer(packets in prop::collection::vec(support::packet(), 0..5)) {
        let mut stream = Vec::new();
        for packet in &packets {
            packet.encode(&mut stream).unwrap();
        }
        let mut rest = stream.as_slice();
        for packet in &packets {
            let (decoded, len) = Packet::decode(rest).unwrap().expect("a whole packet");
            prop_assert_eq!(&decoded, packet);
            prop_assert_eq!(&encoded(packet), &rest[..len]);
            rest = &rest[len..];
        }
        prop_assert_eq!(Packet::decode(rest), Ok(None));
    }

    #[test]
    fn a_publish_has_the_same_bytes_on_its_own(packet in support::publish()) {
        let Packet::Publish(publish) = packet else { unreachable!() };
        let mut bytes = Vec::new();
        publish.encode(&mut bytes).unwrap();
        prop_assert_eq!(publish.encoded_len(), Ok(bytes.len()));
        prop_assert_eq!(bytes, encoded(&packet));
    }

    #[test]
    fn a_packet_that_may_be_invalid_survives_or_appends_nothing(packet in unchecked()) {
        let mut bytes = b"before".to_vec();
        match packet.encode(&mut bytes) {
            Ok(()) => assert_survives(&packet),
            Err(error) => {
                prop_assert_eq!(packet.encoded_len(), Err(error));
                prop_assert_eq!(bytes, b"before");
            }
        }
    }
}

/// Packets with a rule of the specification broken here and there.
fn unchecked() -> impl Strategy<Value = Packet<'static>> {
    let text = || select(&["", "t", "a/+", "a/#", "#/a", "$share/g/a", "$share/g", "a\0"][..]);
    let qos = || select(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][..]);
    let reason_code = || select(ReasonCode::ALL);
    let reason_codes = || select(&[&[], ReasonCode::ALL, &[ReasonCode::Success, ReasonCode::NotAuthorized]][..]);
    (support::packet(), text(), qos(), reason_code(), reason_codes(), any::<Option<PacketId>>(), any::<bool>())
        .prop_map(|(packet, text, qos, reason_code, reason_codes, packet_id, flag)| match packet {
            Packet::Connect(connect) => Packet::Connect(Connect { client_id: text, ..connect }),
            Packet::Connack(connack) => Packet::Connack(Connack { session_present: flag, reason_code, ..connack }),
            Packet::Publish(publish) => Packet::Publish(Publish { dup: flag, qos, topic: text, packet_id, ..publish }),
            Packet::Puback(ack) => Packet::Puback(Ack { reason_code, ..ack }),
            Packet::Pubrec(ack) => Packet::Pubrec(Ack { reason_code, ..ack }),
            Packet::Pubrel(ack) => Packet::Pubrel(Ack { reason_code, ..ack }),
            Packet::Pubcomp(ack) => Packet::Pubcomp(Ack { reason_code, ..ack }),
            Packet::Subscribe(subscribe) => {
                let subscription = Subscription { no_local: flag, ..Subscription::new(text, qos) };
                let subscriptions: &'static [_] = vec![subscription].leak();
                Packet::Subscribe(Subscribe { subscriptions: List::from(subscriptions), ..subscribe })
            }
            Packet::Suback(suback) => Packet::Suback(Suback { reason_codes: List::from(reason_codes), ..suback }),
            Packet::Unsubscribe(unsubscribe) => {
                let filters: &'static [_] = vec![text].leak();
                Packet::Unsubscribe(Unsubscribe { filters: List::from(filters), ..unsubscribe })
            }
            Packet::Disconnect(disconnect) => Packet::Disconnect(Disconnect { reason_code, ..disconnect }),
            Packet::Auth(auth) => Packet::Auth(Auth { reason_code, ..auth }),
            packet => packet,
        })
}
