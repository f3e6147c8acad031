//! Generates every packet that the specification allows.
//!
//! Packets borrow what they hold, so the text and lists of a generated one are leaked: a test process is short-lived,
//! and strategies that yield the packet itself need no owned twin of each of its types.

use std::sync::LazyLock;

use mqtt_wasi::codec::{
    Ack, AckProperties, Auth, AuthProperties, Connack, ConnackProperties, Connect, ConnectProperties, Disconnect,
    DisconnectProperties, List, Packet, PacketId, PacketType, Publish, PublishProperties, QoS, ReasonCode,
    RetainHandling, Suback, Subscribe, SubscribeProperties, Subscription, Unsuback, Unsubscribe, UnsubscribeProperties,
    UserProperties, Will, WillProperties, varint,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;

/// As many cases as `PROPTEST_CASES` says. One that failed is kept in a file beside the test, and tried first from then on.
pub(crate) fn config() -> ProptestConfig {
    let kept = FileFailurePersistence::WithSource("proptest-regressions");
    ProptestConfig { failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

/// A valid packet of any type.
pub(crate) fn packet() -> impl Strategy<Value = Packet<'static>> {
    prop_oneof![
        connect(),
        connack(),
        publish(),
        puback(),
        pubrec(),
        pubrel(),
        pubcomp(),
        subscribe(),
        suback(),
        unsubscribe(),
        unsuback(),
        pingreq(),
        pingresp(),
        disconnect(),
        auth(),
    ]
}

pub(crate) fn connect() -> impl Strategy<Value = Packet<'static>> {
    bare_connect().prop_map(|mut connect| {
        if connect.properties.authentication_method.is_none() {
            connect.properties.authentication_data = None;
        }
        Packet::Connect(connect)
    })
}

pub(crate) fn connack() -> impl Strategy<Value = Packet<'static>> {
    bare_connack().prop_map(|connack| {
        let session_present = connack.session_present && connack.reason_code == ReasonCode::Success;
        Packet::Connack(Connack { session_present, ..connack })
    })
}

pub(crate) fn publish() -> impl Strategy<Value = Packet<'static>> {
    bare_publish().prop_map(|mut publish| {
        if publish.qos == QoS::AtMostOnce {
            (publish.dup, publish.packet_id) = (false, None);
        } else {
            publish.packet_id = publish.packet_id.or(Some(PacketId::MIN));
        }
        if publish.topic.is_empty() {
            publish.properties.topic_alias.get_or_insert(1);
        }
        Packet::Publish(publish)
    })
}

pub(crate) fn puback() -> impl Strategy<Value = Packet<'static>> {
    ack(PacketType::Puback).prop_map(Packet::Puback)
}

pub(crate) fn pubrec() -> impl Strategy<Value = Packet<'static>> {
    ack(PacketType::Pubrec).prop_map(Packet::Pubrec)
}

pub(crate) fn pubrel() -> impl Strategy<Value = Packet<'static>> {
    ack(PacketType::Pubrel).prop_map(Packet::Pubrel)
}

pub(crate) fn pubcomp() -> impl Strategy<Value = Packet<'static>> {
    ack(PacketType::Pubcomp).prop_map(Packet::Pubcomp)
}

pub(crate) fn subscribe() -> impl Strategy<Value = Packet<'static>> {
    bare_subscribe().prop_map(Packet::Subscribe)
}

pub(crate) fn suback() -> impl Strategy<Value = Packet<'static>> {
    bare_suback().prop_map(Packet::Suback)
}

pub(crate) fn unsubscribe() -> impl Strategy<Value = Packet<'static>> {
    bare_unsubscribe().prop_map(Packet::Unsubscribe)
}

pub(crate) fn unsuback() -> impl Strategy<Value = Packet<'static>> {
    bare_unsuback().prop_map(Packet::Unsuback)
}

pub(crate) fn pingreq() -> impl Strategy<Value = Packet<'static>> {
    Just(Packet::Pingreq)
}

pub(crate) fn pingresp() -> impl Strategy<Value = Packet<'static>> {
    Just(Packet::Pingresp)
}

pub(crate) fn disconnect() -> impl Strategy<Value = Packet<'static>> {
    bare_disconnect().prop_map(Packet::Disconnect)
}

pub(crate) fn auth() -> impl Strategy<Value = Packet<'static>> {
    // Only the form of no bytes goes without a method.
    let shortest = Auth { reason_code: ReasonCode::Success, properties: AuthProperties::default() };
    prop_oneof![1 => Just(shortest), 9 => bare_auth()].prop_map(Packet::Auth)
}

/// A strategy for each struct, every field named, so that a new field cannot be forgotten.
macro_rules! strategies {
    ($($name:ident($($argument:ident: $argument_type:ty)?) -> $type:ident {
        $($field:ident: $strategy:expr,)+
    })+) => {$(
        prop_compose! {
            fn $name($($argument: $argument_type)?)($($field in $strategy),+) -> $type<'static> {
                $type { $($field),+ }
            }
        }
    )+};
}

// `bare_` are the ones whose fields depend on each other, which is left to the function of the plain name.
strategies! {
    bare_connect() -> Connect {
        clean_start: any::<bool>(),
        keep_alive: any::<u16>(),
        client_id: text(),
        will: of(will()),
        user_name: of(text()),
        password: of(binary()),
        properties: connect_properties(),
    }

    will() -> Will {
        qos: qos(),
        retain: any::<bool>(),
        topic: topic_name(),
        payload: binary(),
        properties: will_properties(),
    }

    bare_connack() -> Connack {
        session_present: any::<bool>(),
        reason_code: reason_code(PacketType::Connack),
        properties: connack_properties(),
    }

    bare_publish() -> Publish {
        dup: any::<bool>(),
        qos: qos(),
        retain: any::<bool>(),
        topic: prop_oneof![1 => Just(""), 3 => topic_name()],
        packet_id: of(any::<PacketId>()),
        properties: publish_properties(),
        payload: vec(any::<u8>(), 0..300).prop_map(leak),
    }

    ack(packet_type: PacketType) -> Ack {
        packet_id: any::<PacketId>(),
        reason_code: reason_code(packet_type),
        properties: ack_properties(),
    }

    bare_subscribe() -> Subscribe {
        packet_id: any::<PacketId>(),
        properties: subscribe_properties(),
        subscriptions: vec(subscription(), 1..4).prop_map(list),
    }

    bare_suback() -> Suback {
        packet_id: any::<PacketId>(),
        properties: ack_properties(),
        reason_codes: vec(reason_code(PacketType::Suback), 1..4).prop_map(list),
    }

    bare_unsubscribe() -> Unsubscribe {
        packet_id: any::<PacketId>(),
        properties: unsubscribe_properties(),
        filters: vec(topic_filter(), 1..4).prop_map(list),
    }

    bare_unsuback() -> Unsuback {
        packet_id: any::<PacketId>(),
        properties: ack_properties(),
        reason_codes: vec(reason_code(PacketType::Unsuback), 1..4).prop_map(list),
    }

    bare_disconnect() -> Disconnect {
        reason_code: reason_code(PacketType::Disconnect),
        properties: disconnect_properties(),
    }

    bare_auth() -> Auth {
        reason_code: reason_code(PacketType::Auth),
        properties: auth_properties(),
    }

    bare_subscription() -> Subscription {
        filter: topic_filter(),
        maximum_qos: qos(),
        no_local: any::<bool>(),
        retain_as_published: any::<bool>(),
        retain_handling: select(&[RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend][..]),
    }

    connect_properties() -> ConnectProperties {
        session_expiry_interval: of(any::<u32>()),
        receive_maximum: of(1u16..),
        maximum_packet_size: of(1u32..),
        topic_alias_maximum: of(any::<u16>()),
        request_response_information: of(any::<bool>()),
        request_problem_information: of(any::<bool>()),
        user_properties: user_properties(),
        authentication_method: of(text()),
        authentication_data: of(binary()),
    }

    will_properties() -> WillProperties {
        will_delay_interval: of(any::<u32>()),
        payload_format_indicator: of(any::<bool>()),
        message_expiry_interval: of(any::<u32>()),
        content_type: of(text()),
        response_topic: of(topic_name()),
        correlation_data: of(binary()),
        user_properties: user_properties(),
    }

    connack_properties() -> ConnackProperties {
        session_expiry_interval: of(any::<u32>()),
        receive_maximum: of(1u16..),
        maximum_qos: of(select(&[QoS::AtMostOnce, QoS::AtLeastOnce][..])),
        retain_available: of(any::<bool>()),
        maximum_packet_size: of(1u32..),
        assigned_client_identifier: of(text()),
        topic_alias_maximum: of(any::<u16>()),
        reason_string: of(text()),
        user_properties: user_properties(),
        wildcard_subscription_available: of(any::<bool>()),
        subscription_identifier_available: of(any::<bool>()),
        shared_subscription_available: of(any::<bool>()),
        server_keep_alive: of(any::<u16>()),
        response_information: of(text()),
        server_reference: of(text()),
        authentication_method: of(text()),
        authentication_data: of(binary()),
    }

    publish_properties() -> PublishProperties {
        payload_format_indicator: of(any::<bool>()),
        message_expiry_interval: of(any::<u32>()),
        topic_alias: of(1u16..),
        response_topic: of(topic_name()),
        correlation_data: of(binary()),
        user_properties: user_properties(),
        subscription_identifiers: vec(subscription_identifier(), 0..4).prop_map(list),
        content_type: of(text()),
    }

    ack_properties() -> AckProperties {
        reason_string: of(text()),
        user_properties: user_properties(),
    }

    subscribe_properties() -> SubscribeProperties {
        subscription_identifier: of(subscription_identifier()),
        user_properties: user_properties(),
    }

    unsubscribe_properties() -> UnsubscribeProperties {
        user_properties: user_properties(),
    }

    disconnect_properties() -> DisconnectProperties {
        session_expiry_interval: of(any::<u32>()),
        reason_string: of(text()),
        user_properties: user_properties(),
        server_reference: of(text()),
    }

    auth_properties() -> AuthProperties {
        authentication_method: text().prop_map(Some),
        authentication_data: of(binary()),
        reason_string: of(text()),
        user_properties: user_properties(),
    }
}

fn subscription() -> impl Strategy<Value = Subscription<'static>> {
    bare_subscription().prop_map(|subscription| {
        let no_local = subscription.no_local && !subscription.filter.starts_with("$share/");
        Subscription { no_local, ..subscription }
    })
}

/// Numbers of each of the four lengths that a Variable Byte Integer has.
fn subscription_identifier() -> impl Strategy<Value = u32> {
    prop_oneof![1..=0x7F_u32, 0x80..=0x3FFF_u32, 0x4000..=0x1F_FFFF_u32, 0x20_0000..=varint::MAX]
}

fn user_properties() -> impl Strategy<Value = UserProperties<'static>> {
    vec((text(), text()), 0..4).prop_map(list)
}

fn qos() -> impl Strategy<Value = QoS> {
    select(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][..])
}

fn reason_code(packet_type: PacketType) -> impl Strategy<Value = ReasonCode> {
    let valid = ReasonCode::ALL.iter().filter(|code| code.is_valid_in(packet_type));
    select(valid.copied().collect::<Vec<_>>())
}

fn topic_name() -> impl Strategy<Value = &'static str> {
    prop_oneof![20 => level(1..20).prop_map(leak_text), 1 => longest()]
}

/// Levels of which some are `+`, perhaps behind a share name, perhaps before a `#`.
fn topic_filter() -> impl Strategy<Value = &'static str> {
    let levels = vec(prop_oneof![3 => level(0..6), 1 => Just("+".into())], 1..4);
    (of(level(1..6)), levels, any::<bool>()).prop_map(|(share_name, mut levels, multi_level)| {
        if multi_level || levels == [""] {
            levels.push("#".into());
        }
        let filter = levels.join("/");
        leak_text(match share_name {
            Some(name) => format!("$share/{name}/{filter}"),
            None => filter,
        })
    })
}

fn level(len: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    vec(character().prop_filter("a level's own characters", |c| !"+#/".contains(*c)), len)
        .prop_map(|characters| characters.into_iter().collect())
}

fn text() -> impl Strategy<Value = &'static str> {
    let any_text = |len| vec(character(), len).prop_map(|characters| leak_text(characters.into_iter().collect()));
    prop_oneof![20 => any_text(0..10), 4 => any_text(10..200), 1 => longest()]
}

fn binary() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![20 => vec(any::<u8>(), 0..50).prop_map(leak), 1 => longest().prop_map(str::as_bytes)]
}

/// As many bytes as a string can have.
fn longest() -> impl Strategy<Value = &'static str> {
    static LONGEST: LazyLock<String> = LazyLock::new(|| "z".repeat(65_535));
    Just(()).prop_map(|()| LONGEST.as_str())
}

fn character() -> impl Strategy<Value = char> {
    any::<char>().prop_filter("a null character", |&c| c != '\0')
}

fn list<T>(entries: Vec<T>) -> List<'static, T> {
    List::from(leak(entries))
}

fn leak<T>(values: Vec<T>) -> &'static [T] {
    values.leak()
}

fn leak_text(text: String) -> &'static str {
    text.leak()
}
