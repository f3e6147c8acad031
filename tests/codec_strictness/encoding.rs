//! Packets that have no valid bytes.

use mqtt_wasi::codec::{
    Ack, AckProperties, Auth, AuthProperties, Connack, ConnackProperties, Connect, ConnectProperties, EncodeErrorKind,
    List, Packet, Publish, PublishProperties, QoS, ReasonCode, Suback, Subscribe, SubscribeProperties, Subscription,
    TopicError, Unsuback, Unsubscribe, UnsubscribeProperties, UserProperties, Will, varint,
};

use crate::{ID, assert_not_sent};

#[test]
fn a_packet_without_valid_bytes_is_not_sent() {
    use EncodeErrorKind::*;
    let too_long = "a".repeat(65_536);
    let too_large = vec![0; varint::MAX as usize];
    let connect = Connect::default();
    let connack =
        Connack { session_present: true, reason_code: ReasonCode::Success, properties: ConnackProperties::default() };
    let publish = Publish::new("t", "");
    let subscribe = |entries| {
        let subscriptions = List::from(entries);
        Packet::Subscribe(Subscribe { packet_id: ID, properties: SubscribeProperties::default(), subscriptions })
    };
    let identified = |subscription_identifier| {
        Packet::Subscribe(Subscribe {
            packet_id: ID,
            properties: SubscribeProperties { subscription_identifier, ..SubscribeProperties::default() },
            subscriptions: List::from(const { &[Subscription::new("t", QoS::AtMostOnce)] }),
        })
    };
    let unsubscribe = |filters| {
        let filters = List::from(filters);
        Packet::Unsubscribe(Unsubscribe { packet_id: ID, properties: UnsubscribeProperties::default(), filters })
    };
    let no_local = |filter| [Subscription { no_local: true, ..Subscription::new(filter, QoS::AtMostOnce) }];
    let empty = List::default();

    for (packet, kind, field) in [
        (Packet::Connect(Connect { client_id: &too_long, ..connect }), TooLong, "Client Identifier"),
        (Packet::Connect(Connect { user_name: Some(&too_long), ..connect }), TooLong, "User Name"),
        (Packet::Connect(Connect { password: Some(too_long.as_bytes()), ..connect }), TooLong, "Password"),
        (with_will(Will { topic: "w", payload: too_long.as_bytes(), ..Will::default() }), TooLong, "Will Payload"),
        (
            with_properties(PublishProperties { content_type: Some(&too_long), ..Default::default() }),
            TooLong,
            "Content Type",
        ),
        (
            with_properties(PublishProperties {
                user_properties: UserProperties::from(&[("k", too_long.as_str())]),
                ..Default::default()
            }),
            TooLong,
            "User Property",
        ),
        (Packet::Connect(Connect { client_id: "a\0", ..connect }), NullCharacter, "Client Identifier"),
        (
            with_properties(PublishProperties {
                user_properties: UserProperties::from(&[("\0", "v")]),
                ..Default::default()
            }),
            NullCharacter,
            "User Property",
        ),
        (
            Packet::Connect(Connect {
                properties: ConnectProperties { receive_maximum: Some(0), ..Default::default() },
                ..connect
            }),
            ValueOutOfRange,
            "Receive Maximum",
        ),
        (
            Packet::Connack(Connack {
                properties: ConnackProperties { maximum_packet_size: Some(0), ..Default::default() },
                ..connack
            }),
            ValueOutOfRange,
            "Maximum Packet Size",
        ),
        (
            Packet::Connack(Connack {
                properties: ConnackProperties { maximum_qos: Some(QoS::ExactlyOnce), ..Default::default() },
                ..connack
            }),
            ValueOutOfRange,
            "Maximum QoS",
        ),
        (
            with_properties(PublishProperties { topic_alias: Some(0), ..Default::default() }),
            ValueOutOfRange,
            "Topic Alias",
        ),
        (identified(Some(0)), ValueOutOfRange, "Subscription Identifier"),
        (identified(Some(varint::MAX + 1)), ValueOutOfRange, "Subscription Identifier"),
        (Packet::Puback(Ack { reason_code: ReasonCode::Banned, ..Ack::success(ID) }), InvalidReasonCode, "Reason Code"),
        (Packet::Publish(Publish::new("a/#", "")), InvalidTopic(TopicError::Wildcard), "Topic Name"),
        (Packet::Publish(Publish::new("a\0", "")), InvalidTopic(TopicError::NullCharacter), "Topic Name"),
        (Packet::Publish(Publish::new(&too_long, "")), InvalidTopic(TopicError::TooLong), "Topic Name"),
        (
            with_properties(PublishProperties { response_topic: Some("+"), ..Default::default() }),
            InvalidTopic(TopicError::Wildcard),
            "Response Topic",
        ),
        (
            with_properties(PublishProperties { response_topic: Some(""), ..Default::default() }),
            InvalidTopic(TopicError::Empty),
            "Response Topic",
        ),
        (with_will(Will::default()), InvalidTopic(TopicError::Empty), "Will Topic"),
        (unsubscribe(&["a", "#/a"][..]), InvalidTopic(TopicError::MisplacedWildcard), "Topic Filter"),
        (unsubscribe(&["$share/g"]), InvalidTopic(TopicError::InvalidShare), "Topic Filter"),
        (unsubscribe(&[""]), InvalidTopic(TopicError::Empty), "Topic Filter"),
        (Packet::Publish(Publish::new("", "")), MissingTopic, "Topic Name"),
        (Packet::Publish(publish.qos(QoS::AtLeastOnce)), PacketId, "Packet Identifier"),
        (Packet::Publish(Publish { packet_id: Some(ID), ..publish }), PacketId, "Packet Identifier"),
        (Packet::Publish(Publish { dup: true, ..publish }), DupOnQos0, "DUP"),
        (subscribe(&[][..]), EmptyList, "Topic Filter"),
        (unsubscribe(&[]), EmptyList, "Topic Filter"),
        (
            Packet::Suback(Suback { packet_id: ID, properties: AckProperties::default(), reason_codes: empty }),
            EmptyList,
            "Reason Code",
        ),
        (
            Packet::Unsuback(Unsuback { packet_id: ID, properties: AckProperties::default(), reason_codes: empty }),
            EmptyList,
            "Reason Code",
        ),
        (
            Packet::Connect(Connect {
                properties: ConnectProperties { authentication_data: Some(b"d"), ..Default::default() },
                ..connect
            }),
            MissingProperty,
            "Authentication Method",
        ),
        (
            Packet::Auth(Auth {
                reason_code: ReasonCode::ContinueAuthentication,
                properties: AuthProperties::default(),
            }),
            MissingProperty,
            "Authentication Method",
        ),
        (subscribe(&no_local("$share/g/t")), NoLocalOnSharedSubscription, "Subscription Options"),
        (
            Packet::Connack(Connack { reason_code: ReasonCode::Banned, ..connack }),
            SessionPresentOnRefusal,
            "Connect Acknowledge Flags",
        ),
        (Packet::Publish(Publish::new("t", &too_large)), PacketTooLarge, "Remaining Length"),
    ] {
        assert_not_sent(packet, kind, field);
    }
}

fn with_will(will: Will<'_>) -> Packet<'_> {
    Packet::Connect(Connect { will: Some(will), ..Connect::default() })
}

fn with_properties(properties: PublishProperties<'_>) -> Packet<'_> {
    Packet::Publish(Publish::new("t", "").properties(properties))
}
