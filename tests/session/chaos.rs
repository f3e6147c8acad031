//! Anything at all: a broker that sends what it likes, in any pieces, and a user, a network and a clock that do what
//! they like. The scenario's invariants hold after each move, and in the end the session is as good as new.

use std::collections::VecDeque;
use std::time::Duration;

use mqtt_wasi::codec::{
    Ack, AckProperties, Auth, AuthProperties, Connack, ConnackProperties, Disconnect, DisconnectProperties, Packet,
    PacketId, PacketType, Publish, PublishProperties, QoS, ReasonCode, Suback, SubscribeProperties, Subscription,
    Unsuback,
};
use mqtt_wasi::session::{Delivery, Event, OperationId, Status};
use mqtt_wasi::{Options, QoS as Level};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::packets::{self, bytes, connack, suback, unsuback};
use crate::scenario::{Scenario, options};
use crate::support;

/// The Authentication Method of some clients and of the brokers that know it.
const METHOD: &str = "m";

/// Where the replies to requests go.
const RESPONSE_TOPIC: &str = "replies/c";

/// For how many seconds a reply is waited for at most.
const LONGEST_REQUEST: u64 = 100;

#[derive(Debug, Clone)]
enum Move {
    Publish(Level, &'static str, usize),
    PublishWithProperties(Level, &'static str, PublishProperties<'static>),
    Subscribe(&'static str, usize),
    Unsubscribe(&'static str),
    Request {
        qos: Level,
        topic: &'static str,
        topic_alias: Option<u16>,
        len: usize,
        timeout: u64,
    },
    CancelRequest(Index),
    Authenticate(&'static [u8]),
    Disconnect(Disconnect<'static>),
    Receive(usize),
    ReceiveUnacknowledged,
    Acknowledge(Index),
    Connect,
    /// The connection is lost, and the broker takes the next one.
    Reconnect {
        session_present: bool,
        terms: ConnackProperties<'static>,
    },
    BrokerAccepts {
        session_present: bool,
        terms: ConnackProperties<'static>,
    },
    /// To so many packets, in the order it got them, with these codes where there is a choice.
    BrokerAnswers(usize, Codes),
    /// To one of the requests it has got, whether the client still waits for that or not.
    BrokerReplies(Index, Reply, Publish<'static>),
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

/// What a broker says to what it is asked.
#[derive(Debug, Clone, Copy)]
struct Codes {
    publish: ReasonCode,
    subscribe: ReasonCode,
}

impl Codes {
    const BEST: Self = Self { publish: ReasonCode::Success, subscribe: ReasonCode::GrantedQos1 };
}

/// What a reply says that it answers.
#[derive(Debug, Clone)]
enum Reply {
    /// The request, and says it so many times.
    Right(usize),
    /// Another request than any: one character is not the request's.
    Changed(Index),
    /// No request of this client.
    Foreign(Option<&'static [u8]>),
}

/// Half of the stories are mostly about requests: to answer one takes a few moves in order, which what hostile brokers
/// send would seldom let happen.
fn moves() -> impl Strategy<Value = Vec<Move>> {
    prop_oneof![vec(a_move(20), 0..100), vec(a_move(1000), 0..100)]
}

/// Of some 100 moves and so many `requests`, the latter are about requests.
fn a_move(requests: u32) -> impl Strategy<Value = Move> {
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
        requests => a_move_of_requests(),
    ]
}

fn a_move_of_requests() -> impl Strategy<Value = Move> {
    prop_oneof![
        12 => request(),
        1 => any::<Index>().prop_map(Move::CancelRequest),
        16 => (1..4_usize, codes()).prop_map(|(packets, codes)| Move::BrokerAnswers(packets, codes)),
        12 => (any::<Index>(), reply(), replying_message())
            .prop_map(|(to, reply, message)| Move::BrokerReplies(to, reply, message)),
        5 => (any::<bool>(), prop_oneof![Just(ConnackProperties::default()), terms()])
            .prop_map(|(session_present, terms)| Move::Reconnect { session_present, terms }),
        2 => (0..LONGEST_REQUEST).prop_map(Move::TimePasses),
    ]
}

fn codes() -> impl Strategy<Value = Codes> {
    let publish = select(&[ReasonCode::Success, ReasonCode::NoMatchingSubscribers, ReasonCode::NotAuthorized][..]);
    let subscribe = select(&[ReasonCode::GrantedQos1, ReasonCode::NotAuthorized][..]);
    prop_oneof![
        3 => Just(Codes::BEST),
        1 => (publish, subscribe).prop_map(|(publish, subscribe)| Codes { publish, subscribe }),
    ]
}

fn qos() -> impl Strategy<Value = QoS> {
    select(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][..])
}

fn request() -> impl Strategy<Value = Move> {
    let topic = prop_oneof![9 => select(&["a", "a/b", "a/b/c"][..]), 1 => select(&["", "a/+"][..])];
    let topic_alias = prop_oneof![9 => Just(None), 1 => select(&[Some(1), Some(3)][..])];
    (qos(), topic, topic_alias, 0..100_usize, 0..LONGEST_REQUEST)
        .prop_map(|(qos, topic, topic_alias, len, timeout)| Move::Request { qos, topic, topic_alias, len, timeout })
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        4 => (1..3_usize).prop_map(Reply::Right),
        1 => any::<Index>().prop_map(Reply::Changed),
        1 => select(vec![None, Some(&b""[..]), Some(b"x"), Some(&[b'A'; 20])]).prop_map(Reply::Foreign),
    ]
}

/// A reply but for what it says.
fn replying_message() -> impl Strategy<Value = Publish<'static>> {
    let topic_alias = prop_oneof![9 => Just(None), 1 => Just(Some(1))];
    (qos(), packet_id(), any::<bool>(), topic_alias).prop_map(|(qos, packet_id, dup, topic_alias)| {
        let has_id = qos != QoS::AtMostOnce;
        let properties = PublishProperties { topic_alias, ..Default::default() };
        let message = Publish::new(RESPONSE_TOPIC, "").qos(qos).properties(properties);
        Publish { dup: dup && has_id, packet_id: has_id.then_some(packet_id), ..message }
    })
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
        ReasonCode::NoMatchingSubscribers,
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
    let limits = (1..5_u16, 0..400_usize, 0..400_usize, 1..5_usize);
    (1..5_u16, limits, any::<bool>(), 0..60_u16, aliases).prop_map(
        |(receive_maximum, (in_flight, outbound, backlog, requests), problem_information, keep_alive, aliases)| {
            options()
                .topic_alias_maximum(aliases.0)
                .outbound_topic_aliases(aliases.1)
                .receive_maximum(receive_maximum)
                .in_flight_limit(in_flight)
                .outbound_limit(outbound)
                .backlog_limit(backlog)
                .pending_request_limit(requests)
                .maximum_packet_size(400)
                .request_problem_information(problem_information)
                .keep_alive(keep_alive)
        },
    )
}

/// What the user and the broker remember of the moves before.
#[derive(Default)]
struct Memory {
    method: Option<&'static str>,
    /// Messages that the user got to acknowledge later.
    held: Vec<Delivery>,
    /// All requests. The payload of each is its number here, so that its reply can tell.
    asked: Vec<OperationId>,
    /// The requests that the broker has got: Correlation Data and payload.
    requests: Vec<(Vec<u8>, String)>,
    /// What the broker has got over this connection and not answered.
    unanswered: VecDeque<Vec<u8>>,
}

impl Memory {
    /// Takes what the client sent and what happened.
    fn look(&mut self, s: &mut Scenario) {
        for sent in s.take_sent() {
            self.note_sent(sent);
        }
        for event in s.take_events() {
            self.check_reply(&event);
        }
    }

    fn note_sent(&mut self, sent: Vec<u8>) {
        match decode(&sent) {
            Packet::Connect(_) => self.unanswered.clear(),
            Packet::Publish(Publish { payload, properties, .. }) => {
                let payload = || String::from_utf8_lossy(payload).into_owned();
                self.requests
                    .extend(properties.correlation_data.map(|correlation| (correlation.to_owned(), payload())));
            }
            _ => {}
        }
        self.unanswered.push_back(sent);
    }

    fn check_reply(&self, event: &Event) {
        if let Event::Replied { id, result: Ok(reply) } = event {
            let payload = str::from_utf8(&reply.payload).expect("the broker's text");
            let number: usize = payload.trim().parse().expect("what answers no request does not reach one");
            assert_eq!(self.asked[number], *id, "a reply reaches the request that it answers");
        }
    }

    fn broker_answers(&mut self, s: &mut Scenario, packets: usize, codes: Codes) {
        let packets = packets.min(self.unanswered.len());
        let answers: Vec<_> = self.unanswered.drain(..packets).filter_map(|sent| answer(&sent, codes)).collect();
        s.broker_sends_bytes(&answers.concat());
    }

    fn broker_replies(&self, s: &mut Scenario, to: Index, reply: Reply, message: Publish<'_>) {
        if self.requests.is_empty() {
            return;
        }
        let (correlation, payload) = to.get(&self.requests);
        let mut correlation = correlation.clone();
        let (correlation_data, payload, times) = match reply {
            Reply::Right(times) => (Some(&*correlation), payload.as_str(), times),
            Reply::Changed(at) => {
                *at.get_mut(&mut correlation) ^= 1;
                (Some(&*correlation), "changed", 1)
            }
            Reply::Foreign(correlation_data) => (correlation_data, "foreign", 1),
        };
        let properties = PublishProperties { correlation_data, ..message.properties };
        let reply = Packet::Publish(Publish { properties, payload: payload.as_bytes(), ..message });
        s.broker_sends_bytes(&bytes(&reply).repeat(times));
    }
}

fn make(s: &mut Scenario, memory: &mut Memory, a_move: Move) {
    match a_move {
        Move::ReceiveUnacknowledged => {
            memory.held.extend(s.receive_unacknowledged().and_then(|(_, delivery)| delivery));
        }
        Move::Acknowledge(_) if memory.held.is_empty() => {}
        Move::Acknowledge(index) => drop(s.acknowledge(*index.get(&memory.held))),
        Move::Request { qos, topic, topic_alias, len, timeout } => {
            let payload = format!("{:<len$}", memory.asked.len());
            let properties = PublishProperties { topic_alias, ..Default::default() };
            let request = Publish::new(topic, &payload).qos(qos).properties(properties);
            memory.asked.extend(s.try_request(&request, Duration::from_secs(timeout)));
        }
        Move::CancelRequest(_) if memory.asked.is_empty() => {}
        Move::CancelRequest(index) => drop(s.cancel_request(*index.get(&memory.asked))),
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
        Move::Reconnect { session_present, terms } => {
            s.connection_is_lost();
            s.connect();
            let terms = ConnackProperties { authentication_method: memory.method, ..terms };
            s.broker_sends(connack(session_present, terms));
        }
        Move::BrokerAccepts { .. } if s.session.status() != Status::Connecting => {}
        Move::BrokerAccepts { session_present, terms } => s.broker_sends(connack(session_present, terms)),
        Move::BrokerAnswers(packets, codes) => memory.broker_answers(s, packets, codes),
        Move::BrokerReplies(to, reply, message) => memory.broker_replies(s, to, reply, message),
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

/// A broker that behaves takes the connection and acknowledges everything, and then nobody does anything for as long as
/// requests wait.
fn come_to_rest(s: &mut Scenario, memory: &mut Memory, authentication_method: Option<&str>) {
    s.caller_returns();
    s.connection_is_lost();
    while s.receive().is_some() {}
    memory.look(s);
    // Nobody answers PINGREQ while the time passes.
    let server_keep_alive = Some(0);
    s.reconnected_with(false, ConnackProperties { authentication_method, server_keep_alive, ..Default::default() });
    for _ in 0..100 {
        answer_all(s);
    }
    assert_eq!((s.publishing(), s.session.in_flight()), (0, 0), "every message has come to an end");
    s.wait(Duration::from_secs(LONGEST_REQUEST));
    assert_eq!(s.session.stats().pending_requests, 0, "every request has come to an end");
    memory.look(s);
}

/// The broker answers what the client has sent: messages, and subscriptions that it had granted before or to the
/// Response Topic.
fn answer_all(s: &mut Scenario) {
    for sent in s.take_sent() {
        let packet_type = decode(&sent).packet_type();
        let is_expected = matches!(packet_type, PacketType::Publish | PacketType::Pubrel | PacketType::Subscribe);
        assert!(is_expected, "nothing else is under way: {packet_type}");
        // There is none to a message at QoS 0, which had waited to be sent.
        s.broker_sends_bytes(&answer(&sent, Codes::BEST).unwrap_or_default());
    }
}

/// What a broker that behaves answers, if anything.
fn answer(sent: &[u8], codes: Codes) -> Option<Vec<u8>> {
    let acked = |packet_id| Ack { reason_code: codes.publish, ..Ack::success(packet_id) };
    Some(bytes(&match decode(sent) {
        Packet::Publish(Publish { packet_id: Some(id), qos: QoS::AtLeastOnce, .. }) => Packet::Puback(acked(id)),
        Packet::Publish(Publish { packet_id: Some(id), .. }) => Packet::Pubrec(acked(id)),
        Packet::Pubrel(ack) => Packet::Pubcomp(Ack::success(ack.packet_id)),
        Packet::Pubrec(ack) if !ack.reason_code.is_error() => Packet::Pubrel(Ack::success(ack.packet_id)),
        Packet::Subscribe(subscribe) => {
            let codes = vec![codes.subscribe; subscribe.subscriptions.iter().count()];
            return Some(bytes(&suback(subscribe.packet_id.get(), &codes)));
        }
        Packet::Unsubscribe(unsubscribe) => {
            let codes = vec![ReasonCode::Success; unsubscribe.filters.iter().count()];
            return Some(bytes(&unsuback(unsubscribe.packet_id.get(), &codes)));
        }
        Packet::Pingreq => Packet::Pingresp,
        _ => return None,
    }))
}

fn decode(packet: &[u8]) -> Packet<'_> {
    Packet::decode(packet).expect("valid").expect("whole").0
}

/// A request gets its reply.
fn expect_answered(s: &mut Scenario) {
    let timeout = Duration::from_secs(1);
    // The first may hear that the broker had refused to send replies, and the second has it asked again.
    for _ in 0..3 {
        if let Ok(asked) = s.try_request(&Publish::new("usable", "?"), timeout) {
            let correlation = s.expect_request(packets::request(QoS::AtMostOnce, 0, "usable", "?", 1));
            s.broker_sends(Packet::Publish(packets::reply(QoS::AtMostOnce, 0, &correlation, "!")));
            s.expect_replied(asked, "!");
            return;
        }
        answer_all(s);
    }
    panic!("requests can be made");
}

proptest! {
    #![proptest_config(crate::support::config())]

    #[test]
    fn session_survives_anything(
        options in any_options(),
        authenticates in any::<bool>(),
        receives_at_once in any::<bool>(),
        is_connected in any::<bool>(),
        moves in moves(),
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
        let mut memory = Memory { method, ..Memory::default() };
        if is_connected {
            s.reconnected_with(false, ConnackProperties { authentication_method: method, ..Default::default() });
        }
        for a_move in moves {
            make(&mut s, &mut memory, a_move);
            memory.look(&mut s);
        }
        come_to_rest(&mut s, &mut memory, method);
        s.expect_usable();
        expect_answered(&mut s);
    }
}
