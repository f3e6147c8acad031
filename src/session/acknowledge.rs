//! Acknowledgements to the broker, by themselves or by hand, in the order that the messages came `[MQTT-4.6.0-2]`
//! `[MQTT-4.6.0-3]`.

use super::Status;
use super::machine::Machine;
use crate::codec::{Ack, Packet, PacketId, PacketType, Publish, QoS, ReasonCode};
use crate::fifo::Fifo;

/// What acknowledges a message: see [`Client::acknowledge`](crate::Client::acknowledge) and
/// [`Session::acknowledge`](super::Session::acknowledge).
///
/// It is good for the connection of the message. If that ends before the message is acknowledged, the broker sends the
/// message again, if it keeps the session.
///
#[doc = memory_example!()]
/// use std::time::Duration;
/// use mqtt_wasi::session::Delivery;
/// use mqtt_wasi::{Client, Options, Publish, QoS, Subscription};
///
/// let mut client = Client::connect_over(network, Options::new())?;
/// client.subscribe(&[Subscription::new("jobs", QoS::AtLeastOnce)])?;
/// client.publish(&Publish::new("jobs", "print 3 labels").qos(QoS::AtLeastOnce))?;
/// let (message, delivery): (_, Option<Delivery>) =
///     client.receive_unacknowledged(Duration::from_secs(5))?.expect("a message");
/// assert!(client.acknowledge(delivery.expect("a QoS 1 message")));
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Delivery(u64);

impl Delivery {
    /// As a number, which is higher than those of all messages that came before.
    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    /// What one of several has of a message that they all got. No session knows it.
    pub(crate) const fn share(number: u64) -> Self {
        Self(number | Self::SHARE)
    }

    pub(crate) const fn is_share(self) -> bool {
        self.0 & Self::SHARE != 0
    }

    const SHARE: u64 = 1 << 63;

    #[cfg(all(feature = "component", target_arch = "wasm32"))]
    pub(crate) const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// Messages that the user has got, from the first that is not acknowledged on.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Whether the connection of the messages is over.
    is_expired: bool,
    /// The number of the first message. Continues over all connections, so that no [`Delivery`] outlives its own.
    first: u64,
    messages: Fifo<HeldMessage>,
}

#[derive(Debug)]
struct HeldMessage {
    packet_id: PacketId,
    qos: QoS,
    is_acknowledged: bool,
    /// Whether it was refused, so that the user never gets it.
    is_refused: bool,
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
        self.first += self.messages.len() as u64;
        self.messages.clear();
        self.is_expired = false;
    }

    fn push(&mut self, message: HeldMessage) -> Delivery {
        let number = self.first + self.messages.len() as u64;
        self.messages.push_back(message);
        Delivery(number)
    }

    fn find(&mut self, delivery: Delivery) -> Option<&mut HeldMessage> {
        let index = delivery.0.checked_sub(self.first)?;
        self.messages.get_mut(usize::try_from(index).ok()?)
    }

    fn pop_acknowledged(&mut self) -> Option<HeldMessage> {
        if !self.messages.front()?.is_acknowledged {
            return None;
        }
        self.first += 1;
        self.messages.pop_front()
    }
}

impl Machine {
    /// Acknowledges a message that the user has got, once those before it are.
    #[inline]
    pub(super) fn acknowledge(&mut self, publish: &Publish<'_>) {
        if let Some(id) = publish.packet_id {
            self.acknowledge_in_order(id, publish.qos, false);
        }
    }

    /// Acknowledges a message, or refuses it, once those before it are acknowledged.
    pub(super) fn acknowledge_in_order(&mut self, packet_id: PacketId, qos: QoS, is_refused: bool) {
        #[cfg(feature = "store")]
        if qos == QoS::ExactlyOnce && !is_refused {
            self.journal.delivered(packet_id);
        }
        if !self.status.is_open() {
            return;
        }
        let message = HeldMessage { packet_id, qos, is_acknowledged: true, is_refused };
        if self.held.messages.is_empty() {
            self.send_acknowledgement(&message);
        } else {
            self.held.push(message);
        }
    }

    /// Notes that the user has got a message and will acknowledge it; `None` if there is nothing to acknowledge.
    pub(super) fn hold(&mut self, publish: &Publish<'_>) -> Option<Delivery> {
        let id = publish.packet_id.filter(|_| self.status.is_open())?;
        let message = HeldMessage { packet_id: id, qos: publish.qos, is_acknowledged: false, is_refused: false };
        Some(self.held.push(message))
    }

    /// As `hold`, for a message that waits for its user. If its connection is over, the broker sends it again. At QoS 2
    /// the user gets it then, unless it was acknowledged before (section 4.3.3).
    pub(super) fn hold_for_later(&mut self, publish: &Publish<'_>) -> Option<Delivery> {
        let is_open = self.status == Status::Connected;
        let id = publish.packet_id.filter(|_| is_open || publish.qos == QoS::ExactlyOnce)?;
        let message = HeldMessage { packet_id: id, qos: publish.qos, is_acknowledged: false, is_refused: false };
        Some(self.held.push(message))
    }

    /// The user acknowledges a message; `false` if it did already, or the connection is over.
    pub(super) fn acknowledge_by_hand(&mut self, delivery: Delivery) -> bool {
        let is_expired = self.held.is_expired;
        let Some(message) = self.held.find(delivery).filter(|message| !message.is_acknowledged) else {
            return false;
        };
        message.is_acknowledged = true;
        #[cfg(feature = "store")]
        if message.qos == QoS::ExactlyOnce {
            self.journal.delivered(message.packet_id);
        }
        if is_expired {
            // If the broker sends it again, the user does not get it again: at QoS 2, where that can be told.
            return message.qos == QoS::ExactlyOnce;
        }
        while let Some(message) = self.held.pop_acknowledged() {
            self.send_acknowledgement(&message);
        }
        true
    }

    fn send_acknowledgement(&mut self, message: &HeldMessage) {
        let HeldMessage { packet_id: id, qos, is_refused, .. } = *message;
        if is_refused {
            return self.send_refusal(id, qos);
        }
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

    /// Says that the message is not taken. At QoS 2, too, nothing more follows (section 4.3.3).
    #[cold]
    fn send_refusal(&mut self, id: PacketId, qos: QoS) {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        let ack = Ack { reason_code: ReasonCode::PayloadFormatInvalid, ..Ack::success(id) };
        let packet = if qos == QoS::ExactlyOnce { Packet::Pubrec(ack) } else { Packet::Puback(ack) };
        self.send(&packet);
    }
}
