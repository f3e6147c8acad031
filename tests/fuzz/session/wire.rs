//! Reads along on the wire, both ways, and holds the client to what the specification demands of it, whatever the
//! broker does.
//!
//! What the broker says frees Packet Identifiers once the client takes it, and that cannot be seen. So between the two
//! an identifier is in doubt, and nothing is demanded of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqtt_wasi::codec::{Ack, Connack, Packet, PacketId, PacketType, Publish, QoS, ReasonCode};

use super::RESPONSE_TOPIC;

/// One network connection after the other.
#[derive(Default)]
pub(crate) struct Wire {
    /// QoS 2 over all connections.
    pub(crate) exactly_once: ExactlyOnce,
    /// How many messages the client sent again.
    pub(crate) resent: usize,
    /// How many messages at QoS 1 and 2 the client's own options let it have in flight.
    in_flight_limit: usize,
    from_broker: Vec<u8>,
    /// What the broker sends cannot be followed any more, by the client no more than here.
    is_lost: bool,
    last_from_client: Option<PacketType>,
    /// CONNACK is on its way to the client, or there.
    is_accepted: bool,
    /// What CONNACK said, once the client has it.
    limits: Option<Limits>,
    /// What the client uses each Packet Identifier for.
    in_use: BTreeMap<PacketId, Use>,
    in_doubt: BTreeSet<PacketId>,
    /// How many acknowledgements of each kind the broker may get.
    owed: BTreeMap<(PacketType, PacketId), usize>,
    /// The Topic Aliases that the broker was told.
    aliases: BTreeSet<u16>,
    /// The Correlation Data of all requests that the client sent, over all connections.
    requests: Vec<Vec<u8>>,
    /// The broker's Topic Aliases that stand for the Response Topic.
    reply_aliases: BTreeSet<u16>,
    /// The sizes of messages at QoS 0 that the user has not received.
    waiting: VecDeque<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Publish(QoS),
    Pubrel,
    Subscribe,
    Unsubscribe,
}

struct Limits {
    receive_maximum: usize,
    maximum_packet_size: usize,
    maximum_qos: QoS,
    retain_available: bool,
    topic_alias_maximum: u16,
}

impl Wire {
    pub(crate) fn new(in_flight_limit: u16) -> Self {
        Self { in_flight_limit: in_flight_limit.into(), ..Self::default() }
    }

    /// A new network connection.
    pub(crate) fn connected(&mut self) {
        *self = Self {
            exactly_once: std::mem::take(&mut self.exactly_once),
            resent: self.resent,
            requests: std::mem::take(&mut self.requests),
            in_flight_limit: self.in_flight_limit,
            ..Self::default()
        };
    }

    /// The client has taken the CONNACK of this connection.
    pub(crate) fn accepted(&mut self, connack: &Connack<'_>) {
        let properties = &connack.properties;
        self.limits.get_or_insert(Limits {
            receive_maximum: properties.receive_maximum.unwrap_or(u16::MAX).into(),
            maximum_packet_size: properties.maximum_packet_size.unwrap_or(u32::MAX) as usize,
            maximum_qos: properties.maximum_qos.unwrap_or(QoS::ExactlyOnce),
            retain_available: properties.retain_available.unwrap_or(true),
            topic_alias_maximum: properties.topic_alias_maximum.unwrap_or(0),
        });
    }

    /// The client has taken all that the broker sent.
    pub(crate) fn all_taken(&mut self) {
        self.in_doubt.clear();
    }

    /// A Packet Identifier for the broker to name: a small one, or one that the client uses.
    pub(crate) fn name_id(&self, byte: u8) -> PacketId {
        let used = self.in_use.keys().nth(usize::from(byte & 0x7F) % self.in_use.len().max(1));
        let small = PacketId::new(u16::from(byte % 8) + 1).expect("one is added");
        match byte {
            0..128 => small,
            255 => PacketId::MAX,
            _ => used.copied().unwrap_or(small),
        }
    }

    /// The Correlation Data of the requests that the client sent.
    pub(crate) fn requests(&self) -> &[Vec<u8>] {
        &self.requests
    }

    /// The user has got a message at QoS 0.
    pub(crate) fn received_at_most_once(&mut self) {
        self.waiting.pop_front();
    }

    /// How many bytes of messages at QoS 0 wait to be received, of those that came over this connection.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.iter().sum()
    }

    // -----------------------------------------------------------------------------------------------------------------
    // From the client

    /// The client put these bytes behind what it has to send.
    pub(crate) fn client_sent(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (packet, len) = Packet::decode(bytes).expect("what the client sends is valid").expect("and whole");
            let mut again = Vec::new();
            packet.encode(&mut again).expect("what was decoded can be encoded");
            assert_eq!(again, bytes[..len], "the shortest form");
            self.check(&packet, len);
            bytes = &bytes[len..];
        }
    }

    fn check(&mut self, packet: &Packet<'_>, len: usize) {
        let packet_type = packet.packet_type();
        assert_eq!(self.last_from_client.is_none(), packet_type == PacketType::Connect, "CONNECT comes first, once");
        assert_ne!(self.last_from_client, Some(PacketType::Disconnect), "nothing comes after DISCONNECT");
        let is_early = matches!(packet_type, PacketType::Connect | PacketType::Auth | PacketType::Disconnect);
        assert!(is_early || self.is_accepted, "{packet_type} comes after CONNACK");
        let most = self.limits.as_ref().map_or(usize::MAX, |limits| limits.maximum_packet_size);
        assert!(len <= most, "{packet:?} is over the Maximum Packet Size");
        self.last_from_client = Some(packet_type);
        match packet {
            Packet::Connect(_) | Packet::Pingreq => {}
            Packet::Auth(auth) => assert_ne!(auth.reason_code, ReasonCode::Success, "success is the server's to tell"),
            Packet::Disconnect(disconnect) => assert!(is_for_clients(disconnect.reason_code), "{packet:?}"),
            Packet::Publish(publish) => self.check_publish(publish),
            Packet::Subscribe(subscribe) => self.take_id(subscribe.packet_id, Use::Subscribe),
            Packet::Unsubscribe(unsubscribe) => self.take_id(unsubscribe.packet_id, Use::Unsubscribe),
            Packet::Pubrel(ack) => self.check_pubrel(ack),
            Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubcomp(ack) => {
                let owed = self.owed.entry((packet_type, ack.packet_id)).or_default();
                *owed = owed.checked_sub(1).unwrap_or_else(|| panic!("{packet:?} answers nothing"));
            }
            Packet::Connack(_) | Packet::Suback(_) | Packet::Unsuback(_) | Packet::Pingresp => {
                panic!("not for a client to send: {packet:?}");
            }
        }
    }

    fn check_publish(&mut self, publish: &Publish<'_>) {
        assert!(publish.properties.subscription_identifiers.is_empty(), "no Subscription Identifiers [MQTT-3.3.4-6]");
        self.resent += usize::from(publish.dup);
        self.requests.extend(publish.properties.correlation_data.map(ToOwned::to_owned));
        if let Some(alias) = publish.properties.topic_alias {
            assert!(!publish.dup, "what is sent again has its Topic Name");
            let is_known = self.aliases.contains(&alias);
            assert!(is_known || !publish.topic.is_empty(), "the alias was told what it stands for [MQTT-3.3.2-7]");
            self.aliases.insert(alias);
        }
        if let Some(limits) = &self.limits {
            let most = limits.topic_alias_maximum;
            let is_within = publish.properties.topic_alias.is_none_or(|alias| (1..=most).contains(&alias));
            assert!(is_within, "aliases are from 1 to {most} [MQTT-3.3.2-8] [MQTT-3.3.2-9]");
            assert!(publish.qos <= limits.maximum_qos, "no QoS above the Maximum QoS [MQTT-3.2.2-11]");
            assert!(!publish.retain || limits.retain_available, "no RETAIN where there is none [MQTT-3.2.2-14]");
        }
        if let Some(id) = publish.packet_id {
            self.take_id(id, Use::Publish(publish.qos));
            let most = self.limits.as_ref().map_or(usize::MAX, |limits| limits.receive_maximum);
            let unacknowledged = self.in_use.values().filter(|using| matches!(using, Use::Publish(_))).count();
            assert!(unacknowledged <= most, "the Receive Maximum is kept [MQTT-3.3.4-7]");
            assert!(unacknowledged <= self.in_flight_limit, "the client's own limit is kept");
        }
    }

    fn check_pubrel(&mut self, ack: &Ack<'_>) {
        // Any other Reason Code answers a PUBREC for a message that the client does not know.
        if ack.reason_code == ReasonCode::Success {
            match self.in_use.get(&ack.packet_id) {
                // Released over this connection, or over an earlier one: then nothing here knows it yet.
                Some(Use::Publish(QoS::ExactlyOnce) | Use::Pubrel) => {}
                None => self.take_id(ack.packet_id, Use::Pubrel),
                other => panic!("PUBREL for {other:?}"),
            }
        }
    }

    /// A Packet Identifier becomes used, which it must not have been `[MQTT-2.2.1-3]`.
    fn take_id(&mut self, id: PacketId, using: Use) {
        if !self.in_doubt.contains(&id) {
            let before = self.in_use.insert(id, using);
            assert_eq!(before, None, "Packet Identifier {id} is in use");
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // From the broker

    /// The client got these bytes of the broker, which it need not have taken yet.
    pub(crate) fn broker_sent(&mut self, bytes: &[u8]) {
        if self.is_lost {
            return;
        }
        let mut stream = std::mem::take(&mut self.from_broker);
        stream.extend_from_slice(bytes);
        let mut rest = &stream[..];
        while !self.is_lost {
            match Packet::decode(rest) {
                Ok(Some((packet, len))) => {
                    self.note(&packet, len);
                    rest = &rest[len..];
                }
                Ok(None) => break,
                Err(_) => self.is_lost = true,
            }
        }
        self.from_broker = rest.to_vec();
    }

    fn note(&mut self, packet: &Packet<'_>, len: usize) {
        self.exactly_once.broker_sent(packet);
        if let Packet::Publish(publish) = packet {
            self.note_alias(publish);
        }
        match packet {
            Packet::Connack(_) => self.is_accepted = true,
            Packet::Publish(publish) => match (publish.qos, publish.packet_id) {
                (QoS::AtLeastOnce, Some(id)) => self.owe(PacketType::Puback, id),
                (QoS::ExactlyOnce, Some(id)) => self.owe(PacketType::Pubrec, id),
                // The user does not receive it as a message.
                _ if self.is_reply(publish) => {}
                _ => self.waiting.push_back(len),
            },
            Packet::Pubrel(ack) => self.owe(PacketType::Pubcomp, ack.packet_id),
            Packet::Puback(ack) => self.free_id(ack.packet_id, &[Use::Publish(QoS::AtLeastOnce)]),
            Packet::Pubrec(ack) if ack.reason_code.is_error() => {
                self.free_id(ack.packet_id, &[Use::Publish(QoS::ExactlyOnce)]);
            }
            Packet::Pubcomp(ack) => self.free_id(ack.packet_id, &[Use::Publish(QoS::ExactlyOnce), Use::Pubrel]),
            Packet::Suback(suback) => self.free_id(suback.packet_id, &[Use::Subscribe]),
            Packet::Unsuback(unsuback) => self.free_id(unsuback.packet_id, &[Use::Unsubscribe]),
            _ => {}
        }
    }

    fn is_reply(&self, publish: &Publish<'_>) -> bool {
        let alias = publish.properties.topic_alias;
        publish.topic == RESPONSE_TOPIC
            || (publish.topic.is_empty() && alias.is_some_and(|alias| self.reply_aliases.contains(&alias)))
    }

    /// What a Topic Alias of the broker stands for from now on.
    fn note_alias(&mut self, publish: &Publish<'_>) {
        match publish.properties.topic_alias {
            Some(alias) if publish.topic == RESPONSE_TOPIC => drop(self.reply_aliases.insert(alias)),
            Some(alias) if !publish.topic.is_empty() => drop(self.reply_aliases.remove(&alias)),
            _ => {}
        }
    }

    fn owe(&mut self, packet_type: PacketType, id: PacketId) {
        *self.owed.entry((packet_type, id)).or_default() += 1;
    }

    fn free_id(&mut self, id: PacketId, uses: &[Use]) {
        self.in_doubt.insert(id);
        if self.in_use.get(&id).is_some_and(|using| uses.contains(using)) {
            self.in_use.remove(&id);
        }
    }
}

/// QoS 2 messages of the broker: each is handed to the user once at most (section 4.3.3).
///
/// A message is one from its first PUBLISH to its PUBREL, over as many connections as the broker keeps the session for.
#[derive(Default)]
pub(crate) struct ExactlyOnce(BTreeMap<PacketId, Messages>);

/// Messages with one Packet Identifier, one after the other.
#[derive(Default)]
struct Messages {
    /// Whether PUBREL has not come for the last of them.
    is_open: bool,
    sent: usize,
    handed_out: usize,
}

impl ExactlyOnce {
    /// The user has got a message.
    pub(crate) fn handed_out(&mut self, id: PacketId) {
        let messages = self.0.entry(id).or_default();
        messages.handed_out += 1;
        assert!(messages.handed_out <= messages.sent, "message {id} is handed out once [MQTT-4.3.3-10]");
    }

    /// The user acknowledged a message between two connections, so it does not get it again.
    pub(crate) fn acknowledged_late(&mut self, id: PacketId) {
        self.handed_out(id);
    }

    /// The user had a message and did not acknowledge it while the connection lasted, so it may get it again.
    pub(crate) fn not_acknowledged(&mut self, id: PacketId) {
        self.0.entry(id).or_default().handed_out -= 1;
    }

    fn broker_sent(&mut self, packet: &Packet<'_>) {
        match packet {
            Packet::Publish(Publish { qos: QoS::ExactlyOnce, packet_id: Some(id), .. }) => {
                let messages = self.0.entry(*id).or_default();
                messages.sent += usize::from(!messages.is_open);
                messages.is_open = true;
            }
            // An identifier that the broker uses for another message is not that of the first one any more.
            Packet::Publish(Publish { packet_id: Some(id), .. }) => self.close(*id),
            Packet::Pubrel(ack) => self.close(ack.packet_id),
            Packet::Connack(Connack { session_present: false, reason_code: ReasonCode::Success, .. }) => {
                // The broker has lost the session. What comes now are other messages.
                self.0.values_mut().for_each(|messages| messages.is_open = false);
            }
            _ => {}
        }
    }

    fn close(&mut self, id: PacketId) {
        self.0.entry(id).or_default().is_open = false;
    }
}

/// The Reason Codes of DISCONNECT that a client may give (section 3.14.2.1).
fn is_for_clients(code: ReasonCode) -> bool {
    matches!(u8::from(code), 0x00 | 0x04 | 0x80..=0x83 | 0x90 | 0x93..=0x99)
}
