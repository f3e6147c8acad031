//! Acknowledgements to the broker, by themselves or by hand, in the order that the messages came `[MQTT-4.6.0-2]`
//! `[MQTT-4.6.0-3]`.

use alloc::collections::VecDeque;

use super::machine::Machine;
use crate::codec::{PacketId, PacketType, Publish, QoS};

/// A message that the user acknowledges by hand: what [`Session::acknowledge`](super::Session::acknowledge) takes.
///
/// Good for the connection that the message came over. What is not acknowledged when that ends comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Delivery {
    connection: u32,
    sequence: u32,
}

#[cfg(all(feature = "component", target_arch = "wasm32"))]
impl Delivery {
    /// As a number, for the interface of the component.
    pub(crate) const fn to_bits(self) -> u64 {
        (self.connection as u64) << 32 | self.sequence as u64
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self { connection: (bits >> 32) as u32, sequence: bits as u32 }
    }
}

/// Messages that the user has got, from the first that is not acknowledged on.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Counts connections, so that no [`Delivery`] outlives its own.
    connection: u32,
    /// Whether the connection of the messages is over.
    is_expired: bool,
    /// The sequence number of the first message.
    first: u32,
    messages: VecDeque<HeldMessage>,
}

#[derive(Debug)]
struct HeldMessage {
    packet_id: PacketId,
    qos: QoS,
    is_acknowledged: bool,
}

impl Held {
    /// The connection is over.
    pub(super) const fn expire(&mut self) {
        self.is_expired = true;
    }

    /// Those at QoS 2 that the user has not acknowledged.
    pub(super) fn undelivered(&self) -> impl Iterator<Item = PacketId> + '_ {
        let is_undelivered = |message: &&HeldMessage| message.qos == QoS::ExactlyOnce && !message.is_acknowledged;
        self.messages.iter().filter(is_undelivered).map(|message| message.packet_id)
    }

    /// Forgets the messages of the last connection.
    pub(super) fn clear(&mut self) {
        self.first = 0;
        self.messages.clear();
        self.connection = self.connection.wrapping_add(1);
        self.is_expired = false;
    }

    fn push(&mut self, packet_id: PacketId, qos: QoS, is_acknowledged: bool) -> Delivery {
        let sequence = self.first.wrapping_add(self.messages.len() as u32);
        self.messages.push_back(HeldMessage { packet_id, qos, is_acknowledged });
        Delivery { connection: self.connection, sequence }
    }

    fn find(&mut self, delivery: Delivery) -> Option<&mut HeldMessage> {
        let index = delivery.sequence.wrapping_sub(self.first) as usize;
        self.messages.get_mut(index).filter(|_| delivery.connection == self.connection)
    }

    fn pop_acknowledged(&mut self) -> Option<HeldMessage> {
        if !self.messages.front()?.is_acknowledged {
            return None;
        }
        self.first = self.first.wrapping_add(1);
        self.messages.pop_front()
    }
}

impl Machine {
    /// Acknowledges a message that the user has got, once those before it are.
    #[inline]
    pub(super) fn acknowledge(&mut self, publish: &Publish<'_>) {
        if let Some(id) = publish.packet_id {
            self.acknowledge_in_order(id, publish.qos);
        }
    }

    fn acknowledge_in_order(&mut self, id: PacketId, qos: QoS) {
        if !self.status.is_open() {
            return;
        }
        if self.held.messages.is_empty() {
            self.send_acknowledgement(id, qos);
        } else {
            self.held.push(id, qos, true);
        }
    }

    /// Notes that the user has got a message and will acknowledge it; `None` if there is nothing to acknowledge.
    pub(super) fn hold(&mut self, publish: &Publish<'_>) -> Option<Delivery> {
        let id = publish.packet_id.filter(|_| self.status.is_open())?;
        Some(self.held.push(id, publish.qos, false))
    }

    /// The user acknowledges a message; `false` if it did already, or the connection is over.
    pub(super) fn acknowledge_by_hand(&mut self, delivery: Delivery) -> bool {
        let is_expired = self.held.is_expired;
        let Some(message) = self.held.find(delivery).filter(|message| !message.is_acknowledged) else {
            return false;
        };
        message.is_acknowledged = true;
        if is_expired {
            // If the broker sends it again, the user does not get it again: at QoS 2, where that can be told.
            return message.qos == QoS::ExactlyOnce;
        }
        while let Some(message) = self.held.pop_acknowledged() {
            self.send_acknowledgement(message.packet_id, message.qos);
        }
        true
    }

    fn send_acknowledgement(&mut self, id: PacketId, qos: QoS) {
        match qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => {
                self.unacknowledged = self.unacknowledged.saturating_sub(1);
                self.outbound.push_success(PacketType::Puback, id);
            }
            QoS::ExactlyOnce => {
                self.received.answer(id);
                self.outbound.push_success(PacketType::Pubrec, id);
            }
        }
    }
}
