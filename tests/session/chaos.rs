//! Anything at all: a broker that sends what it likes, in any pieces, and a user, a network and a clock that do what
//! they like. The scenario's invariants hold after each move, and in the end the session is as good as new.

use std::time::Duration;

use mqtt_wasi::codec::{
    Ack, AckProperties, Auth, AuthProperties, Connack, ConnackProperties, Disconnect, DisconnectProperties, Packet,
    PacketId, Publish, PublishProperties, QoS, ReasonCode, Suback, SubscribeProperties, Subscription, Unsuback,
};
use mqtt_wasi::session::{Delivery, Status};
use mqtt_wasi::{Options, QoS as Level};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::packets::bytes;
use crate::scenario::{Scenario, options};
use crate::support;

#[derive(Debug, Clone)]
enum Move {
    Publish(Level, &'static str, usize),
    PublishWithProperties(Level, &'static str, PublishProperties<'static>),
    Subscribe(&'static str, usize),
    Unsubscribe(&'static str),
    Authenticate(&'static [u8]),
    Disconnect(Disconnect<'static>),
    Receive(usize),
    ReceiveUnacknowledged,
    Acknowledge(Index),
    Connect,
    BrokerAccepts {
        session_present: bool,
        terms: ConnackProperties<'static>,
    },
    BrokerSends(Packet<'static>),
    /// With one byte changed.
    BrokerSendsWrong(Packet<'static>, Index, u8),
    BrokerSendsBytes(Vec<u8>),
    BrokerRepeats(Packet<'static>, usize),
    BrokerCloses,
    ConnectionBreaks,
    NetworkTakes(usize),
    NetworkDelivers(usize),
    NetworkFlows,
    Pieces(usize),
    TimePasses(u64),
    CallerLeaves,
    CallerReturns,
}

fn a_move() -> impl Strategy<Value = Move> {
    let topic = || select(&["a", "a/b", "a/b/c", "a/b/d", "", "a/+", "\0", "$share/g/a", "#"][..]);
    prop_oneof![
        8 => (qos(), topic(), 0..300_usize).prop_map(|(qos, topic, len)| Move::Publish(qos, topic, len)),
        3 => (qos(), topic(), publish_properties())
            .prop_map(|(qos, topic, properties)| Move::PublishWithProperties(qos, topic, properties)),
        3 => (topic(), 0..4_usize).prop_map(|(filter, n)| Move::Subscribe(filter, n)),
        2 => topic().prop_map(Move::Unsubscribe),
        2 => select(vec![&b""[..], b"answer", &[b'x'; 300]]).prop_map(Move::Authenticate),
        1 => disconnect().prop_map(Move::Disconnect),
        6 => (1..5_usize).prop_map(Move::Receive),
        4 => Just(Move::ReceiveUnacknowledged),
        4 => any::<Index>().prop_map(Move::Acknowledge),
        8 => Just(Move::Connect),
        8 => (any::<bool>(), terms()).prop_map(|(session_present, terms)| Move::BrokerAccepts { session_present, terms }),
        30 => packet().prop_map(Move::BrokerSends),
        2 => (packet(), any::<Index>(), any::<u8>()).prop_map(|(packet, at, byte)| Move::BrokerSendsWrong(packet, at, byte)),
        1 => vec(any::<u8>(), 0..20).prop_map(Move::BrokerSendsBytes),
        1 => (packet(), 1..300_usize).prop_map(|(packet, times)| Move::BrokerRepeats(packet, times)),
        1 => Just(Move::BrokerCloses),
        2 => Just(Move::ConnectionBreaks),
        2 => (0..100_usize).prop_map(Move::NetworkTakes),
        2 => (0..100_usize).prop_map(Move::NetworkDelivers),
        2 => Just(Move::NetworkFlows),
        2 => select(&[1, 2, 3, 10, usize::MAX][..]).prop_map(Move::Pieces),
        4 => (0..100_u64).prop_map(Move::TimePasses),
        1 => Just(Move::CallerLeaves),
        2 => Just(Move::CallerReturns),
    ]
}

fn qos() -> impl Strategy<Value = QoS> {
    select(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][..])
}

/// Few identifiers, so that they often mean something.
fn packet_id() -> impl Strategy<Value = PacketId> {
    prop_oneof![20 => 1..=6_u16, 1 => Just(u16::MAX)].prop_map(|id| PacketId::new(id).expect("not zero"))
}

/// What brokers send, mostly; and now and then any packet at all.
fn packet() -> impl Strategy<Value = Packet<'static>> {
    let acks: [fn(Ack<'static>) -> Packet<'static>; 4] =
        [Packet::Puback, Packet::Pubrec, Packet::Pubrel, Packet::Pubcomp];
    let codes = || vec(select(&[ReasonCode::Success, ReasonCode::NotAuthorized][..]), 1..4);
    let properties = AckProperties::default();
    prop_oneof![
        8 => message(),
        16 => (select(acks.to_vec()), ack()).prop_map(|(packet, ack)| packet(ack)).prop_filter(
            "valid",
            |packet| packet.encoded_len().is_ok(),
        ),
        3 => (packet_id(), codes()).prop_map(move |(packet_id, codes)| {
            Packet::Suback(Suback { packet_id, properties, reason_codes: (&*codes.leak()).into() })
        }),
        2 => (packet_id(), codes()).prop_map(move |(packet_id, codes)| {
            Packet::Unsuback(Unsuback { packet_id, properties, reason_codes: (&*codes.leak()).into() })
        }),
        3 => Just(Packet::Pingresp),
        1 => (select(&[ReasonCode::ServerBusy, ReasonCode::BadUserNameOrPassword][..]), terms()).prop_map(
            |(reason_code, properties)| Packet::Connack(Connack { session_present: false, reason_code, properties })
        ),
        1 => disconnect().prop_map(Packet::Disconnect),
        2 => (select(&[None, Some(METHOD)][..]), select(&[ReasonCode::Success, ReasonCode::ContinueAuthentication][..]))
            .prop_map(|(authentication_method, reason_code)| {
                let properties = AuthProperties { authentication_method, ..Default::default() };
                Packet::Auth(Auth { reason_code, properties })
            })
            .prop_filter("valid", |packet| packet.encoded_len().is_ok()),
        1 => support::packet(),
    ]
}

fn message() -> impl Strategy<Value = Packet<'static>> {
    const PAYLOAD: &[u8] = &[b'x'; 200];
    let named = select(&[("t", None), ("t", None), ("t", Some(1)), ("u", Some(1)), ("", Some(1)), ("", Some(2))][..]);
    (qos(), packet_id(), any::<bool>(), 0..PAYLOAD.len(), named).prop_map(|(qos, packet_id, dup, len, named)| {
        let has_id = qos != QoS::AtMostOnce;
        let properties = PublishProperties { topic_alias: named.1, ..Default::default() };
        let message = Publish::new(named.0, &PAYLOAD[..len]).qos(qos).properties(properties);
        Packet::Publish(Publish { dup: dup && has_id, packet_id: has_id.then_some(packet_id), ..message })
    })
}

fn ack() -> impl Strategy<Value = Ack<'static>> {
    let codes = &[
        ReasonCode::Success,
        ReasonCode::Success,
        ReasonCode::Success,
        ReasonCode::QuotaExceeded,
        ReasonCode::PacketIdentifierNotFound,
    ][..];
    let reason_string = select(&[None, None, None, Some("because")][..]);
    (packet_id(), select(codes), reason_string).prop_map(|(packet_id, reason_code, reason_string)| Ack {
        packet_id,
        reason_code,
        properties: AckProperties { reason_string, ..Default::default() },
    })
}

fn disconnect() -> impl Strategy<Value = Disconnect<'static>> {
    let codes = &[ReasonCode::Success, ReasonCode::DisconnectWithWillMessage, ReasonCode::UnspecifiedError][..];
    (select(codes), select(&[None, None, Some(0), Some(60)][..])).prop_map(|(reason_code, session_expiry_interval)| {
        let properties = DisconnectProperties { session_expiry_interval, ..Default::default() };
        Disconnect { reason_code, properties }
    })
}

fn publish_properties() -> impl Strategy<Value = PublishProperties<'static>> {
    (select(&[None, Some(1), Some(2), Some(3)][..]), select(&[None, Some("a"), Some("#")][..])).prop_map(
        |(topic_alias, response_topic)| PublishProperties { topic_alias, response_topic, ..Default::default() },
    )
}

fn terms() -> impl Strategy<Value = ConnackProperties<'static>> {
    let or_none =
        |some: &'static [u32]| select([&[None; 4][..], &some.iter().copied().map(Some).collect::<Vec<_>>()].concat());
    (
        or_none(&[1, 2, 3]),
        or_none(&[20, 100]),
        or_none(&[0, 1]),
        select(&[None, None, Some(false)][..]),
        or_none(&[0, 1, 10]),
        or_none(&[1, 2, 3]),
        select(&[None, None, Some(METHOD)][..]),
    )
        .prop_map(
            |(
                receive_maximum,
                maximum_packet_size,
                maximum_qos,
                retain_available,
                server_keep_alive,
                aliases,
                method,
            )| {
                ConnackProperties {
                    authentication_method: method,
                    topic_alias_maximum: aliases.map(|maximum| maximum as u16),
                    receive_maximum: receive_maximum.map(|maximum| maximum as u16),
                    maximum_packet_size,
                    maximum_qos: maximum_qos.and_then(|qos| QoS::from_u8(qos as u8)),
                    retain_available,
                    server_keep_alive: server_keep_alive.map(|seconds| seconds as u16),
                    ..Default::default()
                }
            },
        )
}

/// Small bounds, so that they are often met.
fn any_options() -> impl Strategy<Value = Options> {
    let aliases = (0..3_u16, 0..3_u16);
    (1..5_u16, 1..5_u16, 0..400_usize, 0..400_usize, any::<bool>(), 0..60_u16, aliases).prop_map(
        |(receive_maximum, in_flight, outbound, backlog, problem_information, keep_alive, aliases)| {
            options()
                .topic_alias_maximum(aliases.0)
                .outbound_topic_aliases(aliases.1)
                .receive_maximum(receive_maximum)
                .in_flight_limit(in_flight)
                .outbound_limit(outbound)
                .backlog_limit(backlog)
                .maximum_packet_size(400)
                .request_problem_information(problem_information)
                .keep_alive(keep_alive)
        },
    )
}

/// The Authentication Method of some clients and of the brokers that know it.
const METHOD: &str = "m";

fn make(s: &mut Scenario, held: &mut Vec<Delivery>, a_move: Move) {
    match a_move {
        Move::ReceiveUnacknowledged => held.extend(s.receive_unacknowledged().and_then(|(_, delivery)| delivery)),
        Move::Acknowledge(_) if held.is_empty() => {}
        Move::Acknowledge(index) => drop(s.acknowledge(*index.get(held))),
        Move::Publish(qos, topic, len) => {
            let payload = "x".repeat(len);
            let _ = s.try_publish(&Publish::new(topic, &payload).qos(qos).retain(len % 5 == 0));
        }
        Move::PublishWithProperties(qos, topic, properties) => {
            let _ = s.try_publish(&Publish::new(topic, "1").qos(qos).properties(properties));
        }
        Move::Subscribe(filter, n) => {
            let _ =
                s.try_subscribe(&vec![Subscription::new(filter, QoS::ExactlyOnce); n], SubscribeProperties::default());
        }
        Move::Unsubscribe(filter) => drop(s.try_unsubscribe(&[filter])),
        Move::Authenticate(data) => {
            let _ = s.answer_challenge(data);
            let _ = s.authenticate_again(data);
        }
        Move::Disconnect(disconnect) => drop(s.disconnect(&disconnect)),
        Move::Receive(times) => (0..times).for_each(|_| drop(s.receive())),
        Move::Connect if s.session.status() == Status::Connected => {}
        Move::Connect => s.connect(),
        Move::BrokerAccepts { .. } if s.session.status() != Status::Connecting => {}
        Move::BrokerAccepts { session_present, terms } => {
            s.broker_sends(crate::packets::connack(session_present, terms))
        }
        Move::BrokerSends(packet) => s.broker_sends(packet),
        Move::BrokerSendsWrong(packet, at, byte) => {
            let mut bytes = bytes(&packet);
            *at.get_mut(&mut bytes) = byte;
            s.broker_sends_bytes(&bytes);
        }
        Move::BrokerSendsBytes(bytes) => s.broker_sends_bytes(&bytes),
        Move::BrokerRepeats(packet, times) => s.broker_sends_bytes(&bytes(&packet).repeat(times)),
        Move::BrokerCloses => s.broker_closes(),
        Move::ConnectionBreaks => s.connection_is_lost(),
        Move::NetworkTakes(len) => s.network_takes(len),
        Move::NetworkDelivers(len) => s.network_delivers(len),
        Move::NetworkFlows => s.network_flows(),
        Move::Pieces(len) => s.network_delivers_pieces_of(len),
        Move::TimePasses(seconds) => s.wait(Duration::from_secs(seconds)),
        Move::CallerLeaves => s.caller_leaves(),
        Move::CallerReturns => s.caller_returns(),
    }
}

/// A broker that behaves takes the connection and acknowledges everything.
fn come_to_rest(s: &mut Scenario, authentication_method: Option<&str>) {
    s.caller_returns();
    s.connection_is_lost();
    while s.receive().is_some() {}
    s.take_sent();
    s.take_events();
    s.reconnected_with(false, ConnackProperties { authentication_method, ..Default::default() });
    for _ in 0..100 {
        for sent in s.take_sent() {
            match Packet::decode(&sent).expect("valid").expect("whole").0 {
                Packet::Publish(Publish { qos: QoS::AtLeastOnce, packet_id: Some(id), .. }) => {
                    s.broker_sends(Packet::Puback(Ack::success(id)));
                }
                Packet::Publish(Publish { packet_id: Some(id), .. }) => {
                    s.broker_sends(Packet::Pubrec(Ack::success(id)))
                }
                Packet::Pubrel(ack) => s.broker_sends(Packet::Pubcomp(Ack::success(ack.packet_id))),
                // It had waited to be sent.
                Packet::Publish(Publish { packet_id: None, .. }) => {}
                // A subscription that the broker had granted.
                Packet::Subscribe(subscribe) => {
                    let codes = vec![ReasonCode::GrantedQos2; subscribe.subscriptions.iter().count()];
                    s.broker_sends(crate::packets::suback(subscribe.packet_id.get(), &codes));
                }
                other => panic!("nothing else is under way: {other:?}"),
            }
        }
    }
    assert_eq!(s.publishing(), 0, "every message has come to an end");
    s.take_events();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn session_survives_anything(
        options in any_options(),
        authenticates in any::<bool>(),
        receives_at_once in any::<bool>(),
        moves in vec(a_move(), 0..100),
    ) {
        let method = authenticates.then_some(METHOD);
        let mut s = Scenario::new(match method {
            Some(method) => options.authentication(method, None),
            None => options,
        });
        if receives_at_once {
            s = s.receiving_at_once();
        }
        s.observer.broker_is_hostile = true;
        let mut held = Vec::new();
        for a_move in moves {
            make(&mut s, &mut held, a_move);
        }
        come_to_rest(&mut s, method);
        s.expect_usable();
    }
}
