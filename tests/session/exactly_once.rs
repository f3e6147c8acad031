//! The promise of each QoS (section 4.3), kept over a network that breaks anywhere, with a broker that keeps to the
//! specification.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use mqtt_wasi::codec::{Ack, ConnackProperties, Packet, PacketId, Publish, QoS, ReasonCode};
use mqtt_wasi::session::{Event, Status};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::packets::*;
use crate::scenario::{Scenario, options};

/// What the client asks of the broker.
const RECEIVE_MAXIMUM: usize = 3;

/// A broker that keeps to the specification.
#[derive(Default)]
struct Broker {
    has_session: bool,
    /// QoS 2 messages that came and were not released.
    received: BTreeSet<PacketId>,
    /// Every message that it passed on to others.
    passed_on: Vec<String>,
    /// Messages for the client, in order.
    outgoing: VecDeque<Outgoing>,
    last_id: u16,
}

struct Outgoing {
    packet_id: PacketId,
    qos: QoS,
    payload: String,
    /// Whether PUBLISH was sent over any connection.
    is_sent: bool,
    /// Whether PUBREC came.
    is_released: bool,
    /// Whether PUBLISH or PUBREL was sent over this connection.
    is_under_way: bool,
}

impl Broker {
    /// Answers what the client sent.
    fn work(&mut self, s: &mut Scenario, receive_maximum: u16) {
        for sent in s.take_sent() {
            let (packet, _) = Packet::decode(&sent).expect("valid").expect("whole");
            match packet {
                Packet::Connect(connect) => {
                    if connect.clean_start {
                        self.lose_session();
                    }
                    let terms = ConnackProperties { receive_maximum: Some(receive_maximum), ..Default::default() };
                    s.broker_sends(connack(self.has_session, terms));
                    self.outgoing.iter_mut().for_each(|outgoing| outgoing.is_under_way = false);
                }
                Packet::Publish(publish) => self.take(s, &publish),
                Packet::Pubrel(ack) => {
                    let is_known = self.received.remove(&ack.packet_id);
                    let not_found = Packet::Pubcomp(Ack {
                        reason_code: ReasonCode::PacketIdentifierNotFound,
                        ..Ack::success(ack.packet_id)
                    });
                    s.broker_sends(if is_known { Packet::Pubcomp(Ack::success(ack.packet_id)) } else { not_found });
                }
                Packet::Puback(ack) | Packet::Pubcomp(ack) => {
                    self.outgoing.retain(|outgoing| outgoing.packet_id != ack.packet_id);
                }
                Packet::Pubrec(ack) => {
                    for outgoing in self.outgoing.iter_mut().filter(|outgoing| outgoing.packet_id == ack.packet_id) {
                        outgoing.is_released = true;
                    }
                    s.broker_sends(Packet::Pubrel(Ack::success(ack.packet_id)));
                }
                Packet::Pingreq => s.broker_sends(Packet::Pingresp),
                Packet::Disconnect(disconnect) => {
                    // That the network stalls is nobody's fault; for anything else there is no reason.
                    assert_eq!(disconnect.reason_code, ReasonCode::UnspecifiedError);
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
        self.send_next(s);
    }

    fn take(&mut self, s: &mut Scenario, publish: &Publish<'_>) {
        let is_new = match (publish.qos, publish.packet_id) {
            (QoS::ExactlyOnce, Some(id)) => {
                let is_new = self.received.insert(id);
                s.broker_sends(Packet::Pubrec(Ack::success(id)));
                is_new
            }
            (_, Some(id)) => {
                s.broker_sends(Packet::Puback(Ack::success(id)));
                true
            }
            (_, None) => true,
        };
        if is_new {
            self.passed_on.push(String::from_utf8(publish.payload.into()).expect("text"));
        }
    }

    /// Has another message for the client, unless too many wait.
    fn publish(&mut self, s: &mut Scenario, qos: QoS, payload: String) -> bool {
        if qos == QoS::AtMostOnce {
            if s.session.status() == Status::Connected {
                s.broker_sends(publish(qos, 0, "down", &payload));
            }
            return true;
        }
        // Few identifiers, so that each is soon used again.
        let free = (1..=8).map(|n| id((self.last_id + n) % 8 + 1));
        let in_use: BTreeSet<_> = self.outgoing.iter().map(|outgoing| outgoing.packet_id).collect();
        let Some(packet_id) = free.into_iter().find(|id| !in_use.contains(id)) else { return false };
        self.last_id = packet_id.get();
        let (is_sent, is_released, is_under_way) = (false, false, false);
        self.outgoing.push_back(Outgoing { packet_id, qos, payload, is_sent, is_released, is_under_way });
        self.send_next(s);
        true
    }

    fn send_next(&mut self, s: &mut Scenario) {
        if s.session.status() != Status::Connected {
            return;
        }
        // Not before: a client that never hears that the session is new, and next time that it is present, takes it for
        // the one before. Nothing in the protocol would tell it.
        self.has_session = true;
        for outgoing in self.outgoing.iter_mut().take(RECEIVE_MAXIMUM).filter(|outgoing| !outgoing.is_under_way) {
            let &mut Outgoing { packet_id, qos, ref payload, .. } = outgoing;
            s.broker_sends(match (outgoing.is_released, outgoing.is_sent) {
                (true, _) => Packet::Pubrel(Ack::success(packet_id)),
                (false, true) => resent(qos, packet_id.get(), "down", payload),
                (false, false) => publish(qos, packet_id.get(), "down", payload),
            });
            (outgoing.is_sent, outgoing.is_under_way) = (true, true);
        }
    }

    fn lose_session(&mut self) {
        self.has_session = false;
        self.received.clear();
        self.outgoing.clear();
    }
}

#[derive(Debug, Clone)]
enum Move {
    ClientPublishes(QoS),
    BrokerPublishes(QoS),
    ClientReceives,
    BrokerWorks,
    NetworkTakes(usize),
    NetworkDelivers(usize),
    NetworkFlows,
    TimePasses(u64),
    ConnectionBreaks,
    /// With the next Receive Maximum.
    ClientConnects(u16),
    BrokerLosesSession,
}

fn a_move() -> impl Strategy<Value = Move> {
    let qos = || select(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::ExactlyOnce][..]);
    prop_oneof![
        4 => qos().prop_map(Move::ClientPublishes),
        4 => qos().prop_map(Move::BrokerPublishes),
        4 => Just(Move::ClientReceives),
        6 => Just(Move::BrokerWorks),
        1 => (0..30_usize).prop_map(Move::NetworkTakes),
        1 => (0..30_usize).prop_map(Move::NetworkDelivers),
        1 => Just(Move::NetworkFlows),
        1 => (0..20_u64).prop_map(Move::TimePasses),
        2 => Just(Move::ConnectionBreaks),
        3 => (1..5_u16).prop_map(Move::ClientConnects),
    ]
}

/// Everything that was published and what became of it.
struct World {
    s: Scenario,
    broker: Broker,
    receive_maximum: u16,
    published: Vec<(QoS, String)>,
    broker_published: Vec<(QoS, String)>,
    client_received: Vec<String>,
    lost_sessions: usize,
}

impl World {
    fn new(receives_at_once: bool) -> Self {
        let options = options().receive_maximum(RECEIVE_MAXIMUM as u16).backlog_limit(20).in_flight_limit(5);
        let s = Scenario::new(options);
        Self {
            s: if receives_at_once { s.receiving_at_once() } else { s },
            broker: Broker::default(),
            receive_maximum: 3,
            published: Vec::new(),
            broker_published: Vec::new(),
            client_received: Vec::new(),
            lost_sessions: 0,
        }
    }

    fn make(&mut self, a_move: &Move) {
        let s = &mut self.s;
        match *a_move {
            Move::ClientPublishes(qos) => {
                let payload = format!("{}", self.published.len());
                if s.try_publish(&Publish::new("up", &payload).qos(qos)).is_ok() {
                    self.published.push((qos, payload));
                }
            }
            // Before the client knows that there is a session, it may ask for a clean start.
            Move::BrokerPublishes(_) if s.session.connack().is_none() => {}
            Move::BrokerPublishes(qos) => {
                let payload = format!("{}", self.broker_published.len());
                if self.broker.publish(s, qos, payload.clone()) {
                    self.broker_published.push((qos, payload));
                }
            }
            Move::ClientReceives => self.client_received.extend(s.receive()),
            Move::BrokerWorks => self.broker.work(s, self.receive_maximum),
            Move::NetworkTakes(len) => s.network_takes(len),
            Move::NetworkDelivers(len) => s.network_delivers(len),
            Move::NetworkFlows => s.network_flows(),
            Move::TimePasses(seconds) => s.wait(Duration::from_secs(seconds)),
            Move::ConnectionBreaks => {
                s.connection_is_lost();
                drop(s.take_sent());
            }
            Move::ClientConnects(receive_maximum) => {
                if s.session.status() == Status::Disconnected {
                    self.receive_maximum = receive_maximum;
                    s.connect();
                }
            }
            Move::BrokerLosesSession => {
                if s.session.status() == Status::Disconnected && self.broker.has_session {
                    self.broker.lose_session();
                    self.lost_sessions += 1;
                }
            }
        }
    }

    /// The network is well again, and everything that is under way arrives.
    fn come_to_rest(&mut self) {
        for a_move in [Move::ConnectionBreaks, Move::ClientConnects(3)] {
            self.make(&a_move);
        }
        for _ in 0..200 {
            self.make(&Move::BrokerWorks);
            self.make(&Move::ClientReceives);
        }
        assert_eq!((self.s.session.in_flight(), self.s.publishing()), (0, 0), "everything is acknowledged");
        assert!(self.broker.outgoing.is_empty() && self.broker.received.is_empty());
        for event in self.s.take_events() {
            assert!(!matches!(event, Event::Published { result: Err(_), .. }), "{event:?}");
        }
    }
}

/// Checks that messages of each QoS arrived as often as it promises, and in the order they were published.
fn check_delivery(published: &[(QoS, String)], arrived: &[String], most_often: usize, may_miss: bool) {
    let mut times = BTreeMap::new();
    let mut first_arrivals = Vec::new();
    for payload in arrived {
        let times = times.entry(payload).or_insert(0);
        if *times == 0 {
            first_arrivals.push(payload);
        }
        *times += 1;
    }
    for (qos, payload) in published {
        let times = times.get(payload).copied().unwrap_or(0_usize);
        match qos {
            QoS::AtMostOnce => assert!(times <= 1, "{payload} at most once, not {times} times"),
            QoS::AtLeastOnce => assert!(may_miss || times >= 1, "{payload} at least once"),
            QoS::ExactlyOnce => {
                assert!((usize::from(!may_miss)..=most_often).contains(&times), "{payload} exactly once, not {times}");
            }
        }
    }
    for level in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let in_order = |payload: &&String| published.iter().position(|(qos, sent)| *qos == level && sent == *payload);
        let places: Vec<_> = first_arrivals.iter().filter_map(in_order).collect();
        assert!(places.is_sorted(), "{level:?} in order: {places:?}");
    }
}

proptest! {
    #![proptest_config(crate::support::config())]

    #[test]
    fn every_qos_keeps_its_promise_wherever_the_connection_breaks(
        receives_at_once in any::<bool>(),
        moves in vec(a_move(), 0..120),
    ) {
        let mut world = World::new(receives_at_once);
        moves.iter().for_each(|a_move| world.make(a_move));
        world.come_to_rest();
        check_delivery(&world.published, &world.broker.passed_on, 1, false);
        check_delivery(&world.broker_published, &world.client_received, 1, false);
        world.s.leave_the_rest();
    }

    #[test]
    fn no_message_is_lost_or_received_twice_when_the_broker_loses_the_session(
        receives_at_once in any::<bool>(),
        moves in vec(prop_oneof![20 => a_move(), 1 => Just(Move::BrokerLosesSession)], 0..120),
    ) {
        let mut world = World::new(receives_at_once);
        moves.iter().for_each(|a_move| world.make(a_move));
        world.come_to_rest();
        // What the broker had passed on before it forgot that it had is sent to it as new.
        check_delivery(&world.published, &world.broker.passed_on, 1 + world.lost_sessions, false);
        // What it had for the client is lost with the session.
        check_delivery(&world.broker_published, &world.client_received, 1, world.lost_sessions > 0);
        world.s.leave_the_rest();
    }
}
