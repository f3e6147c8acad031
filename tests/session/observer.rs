//! Reads along on the wire, both ways, and holds the client to what the specification demands of it.

use std::collections::{BTreeMap, VecDeque};

use mqtt_wasi::codec::{Ack, ConnackProperties, Packet, PacketId, PacketType, Publish, QoS, ReasonCode};

#[derive(Default)]
pub(crate) struct Observer {
    /// Whether the broker breaks rules itself, so that some cannot be demanded of the client.
    pub(crate) broker_is_hostile: bool,
    from_client: Vec<u8>,
    from_broker: Vec<u8>,
    /// What the broker sends cannot be followed any more.
    is_lost: bool,
    last_from_client: Option<PacketType>,
    /// The Authentication Method of CONNECT.
    method: Option<String>,
    /// What the broker's CONNACK said; `None` before.
    limits: Option<Limits>,
    /// What the client uses each Packet Identifier for, as far as this connection has seen.
    in_use: BTreeMap<PacketId, Use>,
    /// How many of them are messages that it sent over this connection.
    unacknowledged: usize,
    /// What the client's Topic Aliases stand for.
    aliases: BTreeMap<u16, String>,
    /// What the client has to answer, in order.
    to_puback: VecDeque<PacketId>,
    to_pubrec: VecDeque<PacketId>,
    to_pubcomp: VecDeque<PacketId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

impl From<&ConnackProperties<'_>> for Limits {
    fn from(properties: &ConnackProperties<'_>) -> Self {
        Self {
            receive_maximum: properties.receive_maximum.unwrap_or(u16::MAX).into(),
            maximum_packet_size: properties.maximum_packet_size.unwrap_or(u32::MAX) as usize,
            maximum_qos: properties.maximum_qos.unwrap_or(QoS::ExactlyOnce),
            retain_available: properties.retain_available.unwrap_or(true),
            topic_alias_maximum: properties.topic_alias_maximum.unwrap_or(0),
        }
    }
}

impl Observer {
    /// A new network connection.
    pub(crate) fn connected(&mut self) {
        *self = Self { broker_is_hostile: self.broker_is_hostile, ..Self::default() };
    }

    /// The client wrote these bytes. Returns the packets that are whole now.
    pub(crate) fn client_sent(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut stream = std::mem::take(&mut self.from_client);
        stream.extend_from_slice(bytes);
        let mut packets = Vec::new();
        let mut rest = &stream[..];
        while let Some((packet, len)) = Packet::decode(rest).expect("what the client sends is valid") {
            let bytes = rest[..len].to_vec();
            let mut again = Vec::new();
            packet.encode(&mut again).expect("what was decoded can be encoded");
            assert_eq!(again, bytes, "the shortest form");
            self.check(&packet, len);
            packets.push(bytes);
            rest = &rest[len..];
        }
        self.from_client = rest.to_vec();
        packets
    }

    /// Whether the client's last write ended inside a packet.
    pub(crate) fn is_inside_packet(&self) -> bool {
        !self.from_client.is_empty()
    }

    /// The broker wrote these bytes.
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
                    self.note(&packet);
                    rest = &rest[len..];
                }
                Ok(None) => break,
                Err(_) => self.is_lost = true,
            }
        }
        self.from_broker = rest.to_vec();
    }

    fn check(&mut self, packet: &Packet<'_>, len: usize) {
        let packet_type = packet.packet_type();
        assert_eq!(self.last_from_client.is_none(), packet_type == PacketType::Connect, "CONNECT comes first, once");
        assert_ne!(self.last_from_client, Some(PacketType::Disconnect), "nothing comes after DISCONNECT");
        let most = self.limits.as_ref().map_or(usize::MAX, |limits| limits.maximum_packet_size);
        assert!(len <= most || packet_type == PacketType::Connect, "{packet:?} is over the Maximum Packet Size");
        self.last_from_client = Some(packet_type);
        match packet {
            Packet::Pingreq => {}
            Packet::Connect(connect) => {
                self.method = connect.properties.authentication_method.map(ToOwned::to_owned);
            }
            Packet::Auth(auth) => {
                assert!(self.method.is_some(), "no AUTH without a method [MQTT-4.12.0-7]");
                let method = auth.properties.authentication_method;
                assert_eq!(method, self.method.as_deref(), "the method of CONNECT [MQTT-4.12.0-5] [MQTT-4.12.1-1]");
                assert_ne!(auth.reason_code, ReasonCode::Success, "success is the server's to tell");
            }
            Packet::Disconnect(disconnect) => assert!(is_for_clients(disconnect.reason_code), "{packet:?}"),
            Packet::Publish(publish) => self.check_publish(publish),
            Packet::Subscribe(subscribe) => self.take_id(subscribe.packet_id, Use::Subscribe),
            Packet::Unsubscribe(unsubscribe) => self.take_id(unsubscribe.packet_id, Use::Unsubscribe),
            Packet::Pubrel(ack) => self.check_pubrel(ack),
            Packet::Puback(ack) => self.check_answer(packet, ack.packet_id, |observer| &mut observer.to_puback),
            Packet::Pubrec(ack) => self.check_answer(packet, ack.packet_id, |observer| &mut observer.to_pubrec),
            Packet::Pubcomp(ack) => self.check_answer(packet, ack.packet_id, |observer| &mut observer.to_pubcomp),
            Packet::Connack(_) | Packet::Suback(_) | Packet::Unsuback(_) | Packet::Pingresp => {
                panic!("not for a client to send: {packet:?}");
            }
        }
    }

    fn check_publish(&mut self, publish: &Publish<'_>) {
        assert!(publish.properties.subscription_identifiers.is_empty(), "no Subscription Identifiers [MQTT-3.3.4-6]");
        let limits = self.limits.as_ref().expect("PUBLISH comes after CONNACK");
        if let Some(alias) = publish.properties.topic_alias {
            let most = limits.topic_alias_maximum;
            assert!((1..=most).contains(&alias), "aliases are from 1 to {most} [MQTT-3.3.2-8] [MQTT-3.3.2-9]");
            assert!(!publish.dup, "what is sent again has its Topic Name");
            if publish.topic.is_empty() {
                assert!(self.aliases.contains_key(&alias), "the alias was told what it stands for [MQTT-3.3.2-7]");
            } else {
                self.aliases.insert(alias, publish.topic.to_owned());
            }
        }
        assert!(publish.qos <= limits.maximum_qos, "no QoS above the Maximum QoS [MQTT-3.2.2-11]");
        assert!(!publish.retain || limits.retain_available, "no RETAIN where it is not available [MQTT-3.2.2-14]");
        let receive_maximum = limits.receive_maximum;
        if let Some(id) = publish.packet_id {
            self.take_id(id, Use::Publish(publish.qos));
            self.unacknowledged += 1;
            assert!(self.unacknowledged <= receive_maximum, "the Receive Maximum is kept [MQTT-3.3.4-7]");
        }
    }

    fn check_pubrel(&mut self, ack: &Ack<'_>) {
        if ack.reason_code == ReasonCode::Success {
            match self.in_use.get(&ack.packet_id) {
                // Released over this connection, or over an earlier one: then nothing here counts it.
                Some(Use::Publish(QoS::ExactlyOnce) | Use::Pubrel) => {}
                None => drop(self.in_use.insert(ack.packet_id, Use::Pubrel)),
                other => panic!("PUBREL for {other:?}"),
            }
        }
    }

    fn check_answer(
        &mut self,
        packet: &Packet<'_>,
        id: PacketId,
        queue: impl FnOnce(&mut Self) -> &mut VecDeque<PacketId>,
    ) {
        if self.broker_is_hostile {
            return;
        }
        let expected = queue(self).pop_front();
        assert_eq!(expected, Some(id), "{packet:?} answers in order [MQTT-4.6.0-2] [MQTT-4.6.0-3]");
    }

    /// A Packet Identifier becomes used, which it must not have been `[MQTT-2.2.1-3]`.
    fn take_id(&mut self, id: PacketId, using: Use) {
        let before = self.in_use.insert(id, using);
        assert_eq!(before, None, "Packet Identifier {id} is in use");
    }

    fn note(&mut self, packet: &Packet<'_>) {
        match packet {
            Packet::Connack(connack) => {
                self.limits.get_or_insert(Limits::from(&connack.properties));
            }
            Packet::Publish(publish) => match (publish.qos, publish.packet_id) {
                (QoS::AtLeastOnce, Some(id)) => self.to_puback.push_back(id),
                (QoS::ExactlyOnce, Some(id)) => self.to_pubrec.push_back(id),
                _ => {}
            },
            Packet::Pubrel(ack) => self.to_pubcomp.push_back(ack.packet_id),
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

    fn free_id(&mut self, id: PacketId, uses: &[Use]) {
        if let Some(using) = self.in_use.get(&id).copied().filter(|using| uses.contains(using)) {
            self.in_use.remove(&id);
            self.unacknowledged -= usize::from(matches!(using, Use::Publish(_)));
        }
    }
}

/// The Reason Codes of DISCONNECT that a client may give (section 3.14.2.1).
pub(crate) fn is_for_clients(code: ReasonCode) -> bool {
    use ReasonCode::*;
    matches!(
        code,
        Success
            | DisconnectWithWillMessage
            | UnspecifiedError
            | MalformedPacket
            | ProtocolError
            | ImplementationSpecificError
            | TopicNameInvalid
            | ReceiveMaximumExceeded
            | TopicAliasInvalid
            | PacketTooLarge
            | MessageRateTooHigh
            | QuotaExceeded
            | AdministrativeAction
            | PayloadFormatInvalid
    )
}
