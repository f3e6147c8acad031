//! The blocking client over a network of the test's own, under virtual time.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use mqtt_wasi::codec::{
    Ack, Auth, AuthProperties, Connack, ConnackProperties, Disconnect, Packet, PacketId, PacketType,
};
use mqtt_wasi::session::Challenge;
use mqtt_wasi::transport::{Transferred, Transport};
use mqtt_wasi::{
    Authenticator, CallError, Client, Error, Instant, Options, Publish, PublishProperties, QoS, ReasonCode,
    TransportError, TransportErrorKind,
};

/// The network, with a broker at its other end that answers what it is sent.
#[derive(Clone)]
struct Network(Rc<RefCell<State>>);

type Answers = dyn FnMut(&Packet<'_>) -> Vec<u8>;

struct State {
    now: Instant,
    /// What the broker says to a packet.
    answers: Box<Answers>,
    incoming: VecDeque<u8>,
    received: Vec<(Instant, PacketType)>,
    /// Whether the broker is gone. What it sent before can still be read.
    is_cut: bool,
}

impl Network {
    fn new(answers: impl FnMut(&Packet<'_>) -> Vec<u8> + 'static) -> Self {
        let (incoming, received) = Default::default();
        let state = State { now: Instant::ZERO, answers: Box::new(answers), incoming, received, is_cut: false };
        Self(Rc::new(RefCell::new(state)))
    }

    fn state(&self) -> Ref<'_, State> {
        self.0.borrow()
    }

    fn state_mut(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    fn pass(&self, duration: Duration) {
        let mut state = self.state_mut();
        state.now = state.now + duration;
    }

    fn broker_sends(&self, bytes: &[u8]) {
        self.state_mut().incoming.extend(bytes);
    }

    /// When the broker got packets of this type.
    fn times_of(&self, packet_type: PacketType) -> Vec<Instant> {
        self.state().received.iter().filter(|(_, got)| *got == packet_type).map(|(time, _)| *time).collect()
    }
}

impl Transport for Network {
    fn now(&self) -> Instant {
        self.state().now
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        until: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        let mut state = self.state_mut();
        let state = &mut *state;
        if !outgoing.is_empty() {
            if state.is_cut {
                return Err(TransportError { kind: TransportErrorKind::ConnectionReset, message: String::new() });
            }
            let mut rest = outgoing;
            while let Some((packet, len)) = Packet::decode(rest).expect("the client's packets are valid") {
                state.received.push((state.now, packet.packet_type()));
                state.incoming.extend((state.answers)(&packet));
                rest = &rest[len..];
            }
            return Ok(Transferred { sent: outgoing.len() - rest.len(), ..Transferred::default() });
        }
        let received = state.incoming.len().min(incoming.len());
        for (to, from) in incoming.iter_mut().zip(state.incoming.drain(..received)) {
            *to = from;
        }
        if received == 0 && !state.is_cut {
            state.now = state.now.max(until.expect("something to wait for"));
        }
        Ok(Transferred { received, closed: received == 0 && state.is_cut, sent: 0 })
    }

    fn close(&mut self) {}
}

fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes).unwrap();
    bytes
}

/// A broker that does what it should.
fn well_behaved(packet: &Packet<'_>) -> Vec<u8> {
    match packet {
        Packet::Connect(_) => bytes(&Packet::Connack(Connack::default())),
        Packet::Pingreq => bytes(&Packet::Pingresp),
        Packet::Publish(Publish { packet_id: Some(id), .. }) => bytes(&Packet::Puback(Ack::success(*id))),
        _ => Vec::new(),
    }
}

fn connected(network: &Network) -> Client<Network> {
    Client::connect_over(network.clone(), Options::new()).unwrap()
}

fn shutting_down() -> Vec<u8> {
    bytes(&Packet::Disconnect(Disconnect::new(ReasonCode::ServerShuttingDown)))
}

fn is_shut_down<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Disconnected(reason)) if reason.reason_code == ReasonCode::ServerShuttingDown)
}

#[test]
fn client_that_only_publishes_at_qos_0_reads_the_answers_to_its_pings() {
    let network = Network::new(well_behaved);
    let mut client = connected(&network);
    for _ in 0..600 {
        network.pass(Duration::from_secs(1));
        client.publish(&Publish::new("a", "1")).unwrap();
    }
    assert!(network.times_of(PacketType::Pingreq).len() >= 5);
    assert!(client.is_connected());
}

#[test]
fn reason_of_the_broker_reaches_whoever_publishes_then_and_a_new_connection_knows_nothing_of_it() {
    let network = Network::new(well_behaved);
    let mut client = connected(&network);
    network.broker_sends(&shutting_down());
    network.state_mut().is_cut = true;
    for _ in 0..2 {
        assert!(is_shut_down(client.publish(&Publish::new("a", "1"))));
        assert!(is_shut_down(client.flush()));
    }

    for _ in 0..2 {
        // Also over a connection that is as good as ever.
        assert_eq!(client.reconnect_over(Network::new(well_behaved)), Ok(false));
        assert_eq!(client.publish(&Publish::new("a", "1").qos(QoS::AtLeastOnce)), Ok(ReasonCode::Success));
    }
}

#[test]
fn batch_that_the_connection_does_not_survive_says_of_each_message_what_became_of_it() {
    let mut published = 0;
    let network = Network::new(move |packet| match packet {
        Packet::Publish(_) => {
            published += 1;
            match published {
                1..=10 => well_behaved(packet),
                11 => shutting_down(),
                _ => Vec::new(),
            }
        }
        _ => well_behaved(packet),
    });
    let options = Options::new().in_flight_limit(4);
    let mut client = Client::connect_over(network.clone(), options).unwrap();
    let results = client.publish_all((0..100).map(|_| Publish::new("a", "1").qos(QoS::AtLeastOnce)));
    assert_eq!(results.len(), 100);
    assert!(results[..10].iter().all(|result| *result == Ok(ReasonCode::Success)));
    assert!(results[10..].iter().all(|result| is_shut_down(result.clone())));
    assert_eq!(network.now(), Instant::ZERO, "nobody waited for what cannot come");
}

#[test]
fn messages_at_qos_0_that_were_not_sent_are_not_reported_as_sent() {
    let network = Network::new(well_behaved);
    let mut client = connected(&network);
    network.state_mut().is_cut = true;
    let results = client.publish_all((0..10).map(|_| Publish::new("a", "1")));
    assert!(results.iter().all(Result::is_err), "{results:?}");
}

fn send_at_qos_1(network: &Network, count: u16) {
    for number in 1..=count {
        let publish =
            Publish { packet_id: std::num::NonZero::new(number), ..Publish::new("a", "1").qos(QoS::AtLeastOnce) };
        network.broker_sends(&bytes(&Packet::Publish(publish)));
    }
}

/// A brisk receiver may take three messages between two looks at the clock.
#[test]
fn receiver_that_becomes_slow_acknowledges_and_pings_a_few_messages_later() {
    let network = Network::new(well_behaved);
    let mut client = connected(&network);
    send_at_qos_1(&network, 500);
    for number in 0..500_usize {
        assert!(client.receive_timeout(Duration::ZERO).unwrap().is_some());
        // A hundred at once, and then a second for each, over and over.
        if number / 100 % 2 == 1 {
            let acknowledged = network.times_of(PacketType::Puback).len();
            assert!(number % 100 < 4 || acknowledged >= number, "{acknowledged} of {number}");
            network.pass(Duration::from_secs(1));
        }
    }
    let pings = network.times_of(PacketType::Pingreq);
    assert!(!pings.is_empty() && client.is_connected(), "{pings:?}");
}

#[test]
fn slow_receiver_acknowledges_and_pings_with_messages_at_hand() {
    let network = Network::new(well_behaved);
    let mut client = connected(&network);
    send_at_qos_1(&network, 500);
    for number in 0..500 {
        assert!(client.receive_timeout(Duration::ZERO).unwrap().is_some());
        assert!(network.times_of(PacketType::Puback).len() >= number, "each call sends what the last one left");
        network.pass(Duration::from_secs(1));
    }
    assert!(client.is_connected());
}

#[test]
fn connect_timeout_is_the_only_one_for_connecting() {
    let network = Network::new(|_| Vec::new());
    let options = Options::new().connect_timeout(Duration::from_secs(5)).response_timeout(Duration::from_secs(1));
    assert_eq!(Client::connect_over(network.clone(), options).err(), Some(Error::ConnectTimeout));
    assert_eq!(network.now(), Instant::ZERO + Duration::from_secs(5));
}

#[test]
fn answer_that_does_not_come_is_a_timeout_and_the_message_stays_in_flight() {
    let network = Network::new(|packet| match packet {
        Packet::Publish(_) => Vec::new(),
        _ => well_behaved(packet),
    });
    let mut client = connected(&network);
    assert_eq!(client.publish(&Publish::new("a", "1").qos(QoS::AtLeastOnce)), Err(Error::Timeout));
    assert_eq!(network.now(), Instant::ZERO + Duration::from_secs(30));
    assert_eq!((client.is_connected(), client.stats().in_flight), (true, 1));
}

#[test]
fn broker_that_never_stops_talking_does_not_keep_a_receiver() {
    let network = Network::new(well_behaved);
    let mut client = connected(&network);
    network.broker_sends(&bytes(&Packet::Pingresp).repeat(1_000_000));
    assert_eq!(client.receive_timeout(Duration::ZERO), Ok(None));
    assert!(!network.state().incoming.is_empty(), "it came back before everything was read");
}

#[test]
fn disconnect_that_does_not_get_out_is_an_error() {
    let network = Network::new(well_behaved);
    let mut client = connected(&network);
    network.state_mut().is_cut = true;
    assert_eq!(client.disconnect(), Err(Error::ConnectionClosed));
    assert_eq!(client.disconnect(), Ok(()), "there is nothing left to disconnect");
}

#[test]
fn text_that_is_none_is_refused_and_nothing_else_changes() {
    let network = Network::new(well_behaved);
    let mut client = connected(&network);
    let marked = PublishProperties { payload_format_indicator: Some(true), ..PublishProperties::default() };
    let text = Publish::new("a", "grün").properties(marked);
    assert_eq!(client.publish(&Publish { payload: b"gr\xFCn", ..text }), Err(CallError::PayloadNotUtf8.into()));
    assert_eq!(client.publish(&text), Ok(ReasonCode::Success));
}

/// Counts on from what the broker says, and trusts a broker that does so too.
#[derive(Clone)]
struct Counting(u8, Vec<String>);

impl Authenticator for Counting {
    fn method(&self) -> &str {
        "COUNT"
    }

    fn start(&mut self) -> Result<Option<Vec<u8>>, String> {
        self.0 = 1;
        Ok(Some(vec![self.0]))
    }

    fn hear(&mut self, said: &Challenge) {
        self.1.extend(said.reason_string.clone());
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        self.finish(challenge)?;
        if self.1.pop().as_deref() != Some("count on") {
            return Err("the broker says nothing to it".into());
        }
        self.0 += 1;
        Ok(vec![self.0])
    }

    fn finish(&mut self, data: &[u8]) -> Result<(), String> {
        self.0 += 1;
        if data == [self.0] { Ok(()) } else { Err(format!("{data:?} does not follow")) }
    }
}

/// A broker that says these to CONNECT and AUTH, one after the other.
fn authenticating(says: impl IntoIterator<Item = Vec<u8>>) -> Network {
    let mut says: VecDeque<_> = says.into_iter().collect();
    Network::new(move |packet| match packet {
        Packet::Connect(_) | Packet::Auth(_) => says.pop_front().unwrap_or_default(),
        packet => well_behaved(packet),
    })
}

fn auth(reason_code: ReasonCode, data: u8) -> Vec<u8> {
    let data = [data];
    let properties = AuthProperties {
        authentication_method: Some("COUNT"),
        authentication_data: Some(&data),
        reason_string: Some("count on"),
        ..Default::default()
    };
    bytes(&Packet::Auth(Auth { reason_code, properties }))
}

fn challenge(data: u8) -> Vec<u8> {
    auth(ReasonCode::ContinueAuthentication, data)
}

/// CONNACK that takes the connection.
fn taken(data: u8) -> Vec<u8> {
    let data = [data];
    let properties = ConnackProperties {
        authentication_method: Some("COUNT"),
        authentication_data: Some(&data),
        ..Default::default()
    };
    bytes(&Packet::Connack(Connack { properties, ..Default::default() }))
}

#[test]
fn client_answers_challenges_at_each_connection_and_when_it_authenticates_again() {
    let network = authenticating([
        challenge(2),
        challenge(4),
        taken(6),
        challenge(2),
        auth(ReasonCode::Success, 4),
        auth(ReasonCode::Success, 2),
    ]);
    let mut client =
        Client::connect_over(network.clone(), Options::new().authenticator(Counting(0, Vec::new()))).unwrap();
    assert_eq!(client.authenticate_again(), Ok(()));
    assert_eq!(client.authenticate_again(), Ok(()));
    assert_eq!(network.times_of(PacketType::Auth).len(), 5);
    assert_eq!(client.reconnect_over(authenticating([challenge(2), taken(4)])), Ok(false));
    assert_eq!(client.publish(&Publish::new("a", "1").qos(QoS::AtLeastOnce)), Ok(ReasonCode::Success));
}

#[test]
fn broker_that_is_not_to_be_trusted_is_left() {
    let is_authentication = |error| matches!(error, Error::Authentication(why) if why == "[9] does not follow");
    let network = authenticating([taken(9)]);
    let result = Client::connect_over(network.clone(), Options::new().authenticator(Counting(0, Vec::new())));
    assert!(is_authentication(result.err().unwrap()));
    assert_eq!(network.times_of(PacketType::Disconnect).len(), 1);

    let network = authenticating([challenge(9)]);
    let result = Client::connect_over(network.clone(), Options::new().authenticator(Counting(0, Vec::new())));
    assert!(is_authentication(result.err().unwrap()));
    assert_eq!(network.times_of(PacketType::Auth).len(), 0);

    let network = authenticating([taken(2), auth(ReasonCode::Success, 9), Vec::new()]);
    let mut client =
        Client::connect_over(network.clone(), Options::new().authenticator(Counting(0, Vec::new()))).unwrap();
    assert!(is_authentication(client.authenticate_again().unwrap_err()));
    assert_eq!(network.times_of(PacketType::Disconnect).len(), 1);
    assert!(is_authentication(client.publish(&Publish::new("a", "1")).unwrap_err()));
}

#[test]
fn challenge_that_nobody_can_answer_ends_the_connection() {
    let options = Options::new().authentication("COUNT", Some(vec![1]));
    let result = Client::connect_over(authenticating([challenge(2)]), options);
    assert!(matches!(result, Err(Error::Authentication(_))));
    let mut client = connected(&Network::new(well_behaved));
    assert_eq!(client.authenticate_again(), Err(CallError::NothingToAuthenticate.into()));
}

#[test]
fn acknowledgement_by_hand_leaves_with_the_next_call() {
    let network = Network::new(well_behaved);
    let mut client = connected(&network);
    for id in [1, 2] {
        let message = Publish { packet_id: PacketId::new(id), ..Publish::new("a", "1").qos(QoS::AtLeastOnce) };
        network.broker_sends(&bytes(&Packet::Publish(message)));
    }
    let wait = Duration::from_secs(1);
    let mut next = || client.receive_unacknowledged(wait).unwrap().unwrap().1.unwrap();
    let (one, two) = (next(), next());
    assert!(client.acknowledge(two));
    client.flush().unwrap();
    assert_eq!(network.times_of(PacketType::Puback).len(), 0);
    assert!(client.acknowledge(one));
    client.flush().unwrap();
    assert_eq!(network.times_of(PacketType::Puback).len(), 2);
    assert_eq!(client.receive_unacknowledged(wait), Ok(None));
}
