//! What the component's interface has words for that the other tests, which hold for each form of the client, have not.

use host_tests::broker::Embedded;
use host_tests::guest::Guest;
use host_tests::packets::publish;
use host_tests::scripted::Scripted;
use host_tests::subject::{Component, ErrorKind, Settings, Subject};
use mqtt_wasi::codec::{
    Ack, AckProperties, ConnackProperties, Disconnect, DisconnectProperties, Packet, PacketType, Publish,
    PublishProperties, Suback, UserProperties,
};
use mqtt_wasi::{QoS, Reason, ReasonCode};

#[test]
fn what_the_broker_says_beside_a_reason_code_is_returned() {
    let broker = Scripted::start(|broker| {
        let mut peer = broker.accept_client();
        let said = AckProperties { reason_string: Some("nobody listens"), user_properties: UserProperties::default() };
        let received = peer.expect_type(PacketType::Publish);
        let Packet::Publish(Publish { packet_id: Some(packet_id), .. }) = received.packet() else { panic!("QoS 1") };
        let reason_code = ReasonCode::NoMatchingSubscribers;
        peer.send(&[Packet::Puback(Ack { packet_id, reason_code, properties: said })]);
        let received = peer.expect_type(PacketType::Subscribe);
        let Packet::Subscribe(subscribe) = received.packet() else { unreachable!("it is SUBSCRIBE") };
        assert!(subscribe.properties.user_properties.iter().eq([("why", "curious")]));
        let user_properties = [("quota", "full")];
        let properties = AckProperties { user_properties: user_properties.as_slice().into(), reason_string: None };
        let reason_codes = [ReasonCode::QuotaExceeded];
        let packet_id = subscribe.packet_id;
        peer.send(&[Packet::Suback(Suback { packet_id, properties, reason_codes: reason_codes.as_slice().into() })]);
        let received = peer.expect_type(PacketType::Publish);
        let Packet::Publish(Publish { packet_id: Some(packet_id), .. }) = received.packet() else { panic!("QoS 1") };
        peer.send(&[Packet::Puback(Ack::success(packet_id))]);
        peer.stay_silent();
    });
    let mut client = Component::connect(&broker.url(), &Settings::default()).unwrap();
    let message = Publish::new("a", b"1").qos(QoS::AtLeastOnce);
    let said = client.publish_with_reason(&message).unwrap();
    assert_eq!(said.reason_code, ReasonCode::NoMatchingSubscribers);
    assert_eq!(said.reason_string.as_deref(), Some("nobody listens"));

    let refused = client.subscribe_saying("a", &[("why".to_owned(), "curious".to_owned())]).unwrap_err();
    assert_eq!((refused.kind, refused.codes), (ErrorKind::SubscribeRefused, vec![0x97]));
    let expected = Reason {
        user_properties: vec![("quota".to_owned(), "full".to_owned())],
        ..Reason::from(ReasonCode::QuotaExceeded)
    };
    assert_eq!(refused.reason, Some(expected));

    assert_eq!(client.publish_with_reason(&message), Ok(Reason::from(ReasonCode::Success)));
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
fn trace_is_followed_without_a_client() {
    let guest = Guest::load("trace_context");
    // It connects to nobody.
    let said = guest.run(([127, 0, 0, 1], 1).into());
    assert!(said.starts_with("00-"), "{said}");
}

#[test]
fn disconnect_says_what_the_caller_wants_it_to() {
    let disconnects = || {
        let properties = DisconnectProperties {
            session_expiry_interval: Some(60),
            reason_string: Some("out of paper"),
            ..DisconnectProperties::default()
        };
        Disconnect { reason_code: ReasonCode::ImplementationSpecificError, properties }
    };
    let broker = Scripted::start(move |broker| {
        let mut peer = broker.accept_client();
        peer.expect(Packet::Disconnect(disconnects()));
        peer.expect_end();
    });
    let settings = Settings { session_expiry_interval: Some(3600), ..Settings::default() };
    let mut client = Component::connect(&broker.url(), &settings).unwrap();
    let only_for_servers = Disconnect::new(ReasonCode::SessionTakenOver);
    assert_eq!(client.disconnect_with(&only_for_servers).unwrap_err().kind, ErrorKind::InvalidArgument);
    assert!(client.is_connected(), "nothing was sent");
    client.disconnect_with(&disconnects()).unwrap();
    broker.finish();
}

#[test]
fn topic_alias_by_hand_stands_for_the_topic() {
    let aliased = |topic| {
        let properties = PublishProperties { topic_alias: Some(3), ..PublishProperties::default() };
        Publish::new(topic, b"1").properties(properties)
    };
    let broker = Scripted::start(move |broker| {
        let terms = ConnackProperties { topic_alias_maximum: Some(3), ..ConnackProperties::default() };
        let mut peer = broker.accept_client_with(terms);
        peer.expect(Packet::Publish(aliased("a/b/c")));
        peer.expect(Packet::Publish(aliased("")));
        peer.expect(publish("a/b/c", b"1"));
        peer.stay_silent();
    });
    let mut client = Component::connect(&broker.url(), &Settings::default()).unwrap();
    client.publish(&aliased("a/b/c")).unwrap();
    client.publish(&aliased("")).unwrap();
    client.publish(&Publish::new("a/b/c", b"1")).unwrap();
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
fn topics_match_as_brokers_have_it() {
    let broker = Embedded::start().unwrap();
    let mut client = Component::connect(&broker.url(), &Settings::default()).unwrap();
    for (filter, topic, is_match) in [
        ("a/+", "a/b", true),
        ("a/+", "a/b/c", false),
        ("a/#", "a", true),
        ("$share/group/a/#", "a/b", true),
        ("#", "$SYS/uptime", false),
        ("a/#/b", "a/x/b", false),
        ("a", "a/+", false),
        ("", "", false),
    ] {
        assert_eq!(client.topic_matches(filter, topic), is_match, "{filter} {topic}");
    }
    client.disconnect().unwrap();
}
