//! A broker that behaves mostly: it answers at once, late or never, and ends connections now and then.

use std::collections::{BTreeMap, VecDeque};

use mqtt_wasi::codec::{
    Ack, AckProperties, Auth, AuthProperties, Connack, ConnackProperties, Connect, Disconnect, Packet, PacketId,
    Publish, PublishProperties, QoS, ReasonCode, Suback, Unsuback,
};

use super::METHOD;
use super::calls::TOPICS;
use super::decisions::Decisions;

/// As many answers are late at the most.
const MOST_LATE: usize = 16;

/// What a SUBACK that answers nothing grants.
const GRANTED: [ReasonCode; 1] = [ReasonCode::GrantedQos1];

/// What comes of a packet of the client.
pub(crate) enum Reaction {
    /// These bytes, or none.
    Answer(Vec<u8>),
    /// These bytes, and then the connection is closed.
    Close(Vec<u8>),
}

/// A message that the client has not acknowledged to its end.
enum Unacknowledged {
    Sent(Vec<u8>),
    Released,
}

pub(crate) struct Broker {
    has_method: bool,
    /// The Receive Maximum of the client.
    receive_maximum: usize,
    has_session: bool,
    /// Whether it took the connection, and whether it has closed it.
    is_connected: bool,
    is_closed: bool,
    partial: Vec<u8>,
    unacknowledged: BTreeMap<PacketId, Unacknowledged>,
    next_id: u16,
    /// What the client has subscribed to, and the Subscription Identifiers.
    filters: Vec<(String, Option<u32>)>,
    /// Answers that come later, or never.
    late: VecDeque<Vec<u8>>,
    /// Requests of the client: the Response Topic and the Correlation Data.
    requests: VecDeque<(String, Vec<u8>)>,
    /// How many SUBSCRIBE and UNSUBSCRIBE came over this connection.
    asked: usize,
    correlation: u16,
}

/// The bytes of a packet.
pub(crate) fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes).expect("a valid packet");
    bytes
}

impl Broker {
    pub(crate) fn new(has_method: bool, receive_maximum: u16) -> Self {
        Self {
            has_method,
            receive_maximum: receive_maximum.into(),
            has_session: false,
            is_connected: false,
            is_closed: false,
            partial: Vec::new(),
            unacknowledged: BTreeMap::new(),
            next_id: 0,
            filters: Vec::new(),
            late: VecDeque::new(),
            requests: VecDeque::new(),
            asked: 0,
            correlation: 0,
        }
    }

    /// There is a new connection.
    pub(crate) fn accept(&mut self) {
        (self.is_connected, self.is_closed) = (false, false);
        self.partial.clear();
        self.late.clear();
        self.asked = 0;
    }

    pub(crate) const fn is_connected(&self) -> bool {
        self.is_connected && !self.is_closed
    }

    /// How many SUBSCRIBE and UNSUBSCRIBE came over this connection.
    pub(crate) const fn asked(&self) -> usize {
        self.asked
    }

    /// Takes bytes of the client.
    pub(crate) fn gets(&mut self, bytes: &[u8], decisions: &mut Decisions<'_>) -> Reaction {
        if self.is_closed {
            // However many they were.
            self.asked += bytes.len() / 6;
            return Reaction::Answer(Vec::new());
        }
        self.partial.extend_from_slice(bytes);
        let stream = std::mem::take(&mut self.partial);
        let (mut rest, mut answers) = (&stream[..], Vec::new());
        while let Some((packet, len)) = Packet::decode(rest).expect("what the client sends is valid") {
            rest = &rest[len..];
            match self.react(&packet, decisions) {
                Reaction::Answer(answer) => answers.extend(answer),
                Reaction::Close(answer) => {
                    answers.extend(answer);
                    self.is_closed = true;
                    return Reaction::Close(answers);
                }
            }
        }
        self.partial = rest.to_vec();
        Reaction::Answer(answers)
    }

    fn react(&mut self, packet: &Packet<'_>, decisions: &mut Decisions<'_>) -> Reaction {
        let answer = match packet {
            Packet::Connect(connect) => return self.connect(connect, decisions),
            Packet::Auth(auth) => return Reaction::Answer(self.auth(auth, decisions)),
            Packet::Disconnect(_) => return Reaction::Close(Vec::new()),
            Packet::Pingreq => bytes(&Packet::Pingresp),
            Packet::Publish(publish) => {
                if let (Some(topic), Some(correlation)) =
                    (publish.properties.response_topic, publish.properties.correlation_data)
                {
                    self.requests.push_back((topic.into(), correlation.into()));
                    self.requests.truncate(MOST_LATE);
                }
                self.publish(publish, decisions)
            }
            Packet::Pubrel(ack) => bytes(&Packet::Pubcomp(Ack::success(ack.packet_id))),
            Packet::Puback(ack) | Packet::Pubcomp(ack) => {
                self.unacknowledged.remove(&ack.packet_id);
                return Reaction::Answer(Vec::new());
            }
            Packet::Pubrec(ack) => {
                self.unacknowledged.insert(ack.packet_id, Unacknowledged::Released);
                bytes(&Packet::Pubrel(Ack::success(ack.packet_id)))
            }
            Packet::Subscribe(subscribe) => {
                self.asked += 1;
                let refuses = decisions.once_in(12);
                let mut codes = Vec::new();
                for subscription in subscribe.subscriptions.iter() {
                    let code = if refuses { ReasonCode::NotAuthorized } else { ReasonCode::GrantedQos2 };
                    codes.push(code);
                    self.filters.retain(|(filter, _)| filter != subscription.filter);
                    if !refuses {
                        let identifier = subscribe.properties.subscription_identifier;
                        self.filters.push((subscription.filter.into(), identifier));
                    }
                }
                let (properties, reason_codes) = (AckProperties::default(), codes.as_slice().into());
                bytes(&Packet::Suback(Suback { packet_id: subscribe.packet_id, properties, reason_codes }))
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.asked += 1;
                let mut codes = Vec::new();
                for unsubscribed in unsubscribe.filters.iter() {
                    self.filters.retain(|(filter, _)| filter != unsubscribed);
                    codes.push(ReasonCode::Success);
                }
                let (properties, reason_codes) = (AckProperties::default(), codes.as_slice().into());
                bytes(&Packet::Unsuback(Unsuback { packet_id: unsubscribe.packet_id, properties, reason_codes }))
            }
            other => panic!("not for a client to send: {other:?}"),
        };
        match decisions.byte() {
            0..208 => Reaction::Answer(answer),
            208..248 => {
                self.late.push_back(answer);
                self.late.truncate(MOST_LATE);
                Reaction::Answer(Vec::new())
            }
            248..255 => Reaction::Answer(Vec::new()),
            255 => Reaction::Close(self.disconnect(decisions)),
        }
    }

    fn connect(&mut self, connect: &Connect<'_>, decisions: &mut Decisions<'_>) -> Reaction {
        if connect.clean_start {
            self.has_session = false;
        }
        let refused = |reason_code, server_reference| {
            let properties = ConnackProperties { server_reference, ..ConnackProperties::default() };
            Reaction::Close(bytes(&Packet::Connack(Connack { session_present: false, reason_code, properties })))
        };
        match decisions.below(64) {
            0..43 => Reaction::Answer(self.connack(decisions)),
            43 | 44 => {
                let answer = self.connack(decisions);
                self.late.push_back(answer);
                Reaction::Answer(Vec::new())
            }
            45..48 => Reaction::Answer(Vec::new()),
            48..52 => refused(ReasonCode::ServerBusy, None),
            52..54 => refused(ReasonCode::UseAnotherServer, Some("elsewhere")),
            54 => refused(ReasonCode::ServerMoved, Some("elsewhere:2883")),
            55 => refused(ReasonCode::NotAuthorized, None),
            56..60 if self.has_method => Reaction::Answer(auth(ReasonCode::ContinueAuthentication)),
            56..60 => Reaction::Answer(self.connack(decisions)),
            _ => Reaction::Close(Vec::new()),
        }
    }

    /// Takes the connection, on some terms or other, and sends again what the client has not acknowledged.
    fn connack(&mut self, decisions: &mut Decisions<'_>) -> Vec<u8> {
        let session_present = self.has_session && !decisions.once_in(4);
        if !session_present {
            self.unacknowledged.clear();
            self.filters.clear();
        }
        self.has_session = true;
        self.is_connected = true;
        let has_terms = decisions.once_in(2);
        let terms = if has_terms { decisions.byte() } else { 0 };
        let flags = if has_terms { decisions.byte() } else { 0 };
        let properties = ConnackProperties {
            receive_maximum: [None, Some(1), Some(2), Some(3)][usize::from(terms & 3)],
            maximum_packet_size: [None, None, Some(60), Some(200)][usize::from(terms >> 2 & 3)],
            maximum_qos: [None, None, Some(QoS::AtMostOnce), Some(QoS::AtLeastOnce)][usize::from(terms >> 4 & 3)],
            server_keep_alive: (terms >> 6 == 3).then_some(1),
            topic_alias_maximum: (flags & 1 != 0).then_some(2),
            subscription_identifier_available: (flags & 6 == 6).then_some(false),
            shared_subscription_available: (flags & 24 == 24).then_some(false),
            authentication_method: self.has_method.then_some(METHOD),
            ..ConnackProperties::default()
        };
        let reason_code = ReasonCode::Success;
        let mut answer = bytes(&Packet::Connack(Connack { session_present, reason_code, properties }));
        for (id, unacknowledged) in &self.unacknowledged {
            match unacknowledged {
                Unacknowledged::Sent(packet) => {
                    let (packet, _) = Packet::decode(packet).expect("a valid packet").expect("a whole packet");
                    let Packet::Publish(publish) = packet else { panic!("a message is a PUBLISH") };
                    answer.extend(bytes(&Packet::Publish(Publish { dup: true, ..publish })));
                }
                Unacknowledged::Released => answer.extend(bytes(&Packet::Pubrel(Ack::success(*id)))),
            }
        }
        answer
    }

    fn auth(&mut self, said: &Auth<'_>, decisions: &mut Decisions<'_>) -> Vec<u8> {
        match decisions.below(8) {
            0..4 if self.is_connected => auth(ReasonCode::Success),
            0..4 => self.connack(decisions),
            4..6 => auth(ReasonCode::ContinueAuthentication),
            6 if said.reason_code == ReasonCode::ReAuthenticate => self.disconnect(decisions),
            _ => Vec::new(),
        }
    }

    fn publish(&self, publish: &Publish<'_>, decisions: &mut Decisions<'_>) -> Vec<u8> {
        let Some(packet_id) = publish.packet_id else { return Vec::new() };
        let reason_code = match decisions.below(16) {
            14 => ReasonCode::NoMatchingSubscribers,
            15 => ReasonCode::QuotaExceeded,
            _ => ReasonCode::Success,
        };
        let ack = Ack { reason_code, ..Ack::success(packet_id) };
        bytes(&match publish.qos {
            QoS::ExactlyOnce => Packet::Pubrec(ack),
            _ => Packet::Puback(ack),
        })
    }

    /// An answer that is late.
    pub(crate) fn late_answer(&mut self, decisions: &mut Decisions<'_>) -> Vec<u8> {
        if self.late.is_empty() {
            return Vec::new();
        }
        let place = decisions.below(self.late.len());
        self.late.remove(place).unwrap_or_default()
    }

    /// A message, to something that the client has subscribed to, or not.
    pub(crate) fn message(&mut self, decisions: &mut Decisions<'_>) -> Vec<u8> {
        let topic = TOPICS[decisions.below(3)];
        let flags = decisions.byte();
        let identifiers: Vec<u32> = match flags & 3 {
            0 => Vec::new(),
            1 => vec![7],
            _ => self.filters.iter().filter_map(|(_, identifier)| *identifier).take(usize::from(flags & 3)).collect(),
        };
        let correlation = self.correlation.to_be_bytes();
        let is_request = flags & 12 == 12;
        if is_request && flags & 16 != 0 {
            // Otherwise it is one that comes again.
            self.correlation += 1;
        }
        let properties = PublishProperties {
            subscription_identifiers: identifiers.as_slice().into(),
            response_topic: is_request.then_some("answers"),
            correlation_data: is_request.then_some(&correlation),
            message_expiry_interval: (flags & 32 != 0).then_some(5),
            ..PublishProperties::default()
        };
        let qos = decisions.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
        let payload = vec![b'm'; decisions.pick(&[1, 10, 100, 400])];
        self.send(Publish::new(topic, &payload).qos(qos).properties(properties))
    }

    /// The reply to a request, if there is any; sometimes one that answers nothing.
    pub(crate) fn reply(&mut self, decisions: &mut Decisions<'_>) -> Vec<u8> {
        let Some((topic, mut correlation)) = self.requests.pop_front() else { return Vec::new() };
        match decisions.below(8) {
            6 => self.requests.push_back((topic.clone(), correlation.clone())),
            7 => correlation[0] ^= 1,
            _ => {}
        }
        let properties = PublishProperties { correlation_data: Some(&correlation), ..PublishProperties::default() };
        let qos = decisions.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce]);
        self.send(Publish::new(&topic, "reply").qos(qos).properties(properties))
    }

    fn send(&mut self, publish: Publish<'_>) -> Vec<u8> {
        if publish.qos == QoS::AtMostOnce {
            return bytes(&Packet::Publish(publish));
        }
        if self.unacknowledged.len() >= self.receive_maximum {
            return Vec::new();
        }
        while self.next_id == 0 || PacketId::new(self.next_id).is_some_and(|id| self.unacknowledged.contains_key(&id)) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = PacketId::new(self.next_id).expect("not zero");
        self.next_id = self.next_id.wrapping_add(1);
        let packet = bytes(&Packet::Publish(Publish { packet_id: Some(id), ..publish }));
        self.unacknowledged.insert(id, Unacknowledged::Sent(packet.clone()));
        packet
    }

    /// DISCONNECT, or nothing.
    pub(crate) fn disconnect(&self, decisions: &mut Decisions<'_>) -> Vec<u8> {
        let codes = [
            ReasonCode::ServerShuttingDown,
            ReasonCode::ServerBusy,
            ReasonCode::UseAnotherServer,
            ReasonCode::SessionTakenOver,
        ];
        if !self.is_connected || decisions.once_in(3) {
            return Vec::new();
        }
        bytes(&Packet::Disconnect(Disconnect::new(decisions.pick(&codes))))
    }

    /// Something valid that may answer nothing, or come when it must not.
    pub(crate) fn nonsense(&self, decisions: &mut Decisions<'_>) -> Vec<u8> {
        let id = PacketId::new(u16::from(decisions.byte() % 8) + 1).expect("one is added");
        let ack = Ack::success(id);
        bytes(&match decisions.below(8) {
            0 => Packet::Puback(ack),
            1 => Packet::Pubrec(ack),
            2 => Packet::Pubrel(ack),
            3 => Packet::Pubcomp(ack),
            4 => Packet::Connack(Connack::default()),
            5 => Packet::Pingresp,
            6 => return auth(ReasonCode::ContinueAuthentication),
            _ => {
                let (properties, reason_codes) = (AckProperties::default(), GRANTED.as_slice().into());
                Packet::Suback(Suback { packet_id: id, properties, reason_codes })
            }
        })
    }
}

fn auth(reason_code: ReasonCode) -> Vec<u8> {
    let properties = AuthProperties {
        authentication_method: Some(METHOD),
        authentication_data: Some(b"said"),
        ..AuthProperties::default()
    };
    bytes(&Packet::Auth(Auth { reason_code, properties }))
}
