//! Packet Identifiers in use, each with what it is used for; messages among them in order.
//!
//! A Packet Identifier is the index of a slot, so finding one is no search. Slots of messages form two lists, through
//! the slots themselves: those to be acknowledged in the order they were sent, and those to be completed in the order
//! they were released.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::event::OperationId;
use crate::codec::{PacketId, QoS};
use crate::fifo::Fifo;

/// A slot's buffer larger than this is given back when the message is done.
const KEPT_CAPACITY: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct InFlight {
    slots: Vec<Slot>,
    /// Identifiers that were used before, longest unused first, so that a late acknowledgement meets no new message.
    free: Fifo<PacketId>,
    /// Messages whose PUBACK or PUBREC is to come.
    sent: Order,
    /// Messages whose PUBCOMP is to come.
    released: Order,
    messages: u16,
    /// How many of them were sent over this connection.
    unacknowledged: u16,
    /// How many bytes the stored packets take.
    bytes: usize,
    /// What has changed since it was written to the store.
    #[cfg(feature = "store")]
    pub(super) noted: super::store::Noted,
    /// The place of the message that was sent, or released, last.
    #[cfg(feature = "store")]
    last_order: u64,
}

/// The ends of a list of slots.
#[derive(Debug, Clone, Copy, Default)]
struct Order {
    first: Option<PacketId>,
    last: Option<PacketId>,
}

#[derive(Debug, Default)]
struct Slot {
    state: State,
    operation: OperationId,
    /// The PUBLISH as it was sent, with its full Topic Name, while it may have to be sent again.
    packet: Vec<u8>,
    /// The same of a large one, which then is not in `packet`: it may still wait to be sent.
    large: Option<Arc<Vec<u8>>>,
    /// How many times it was sent.
    attempts: u32,
    /// How many connections ended at it.
    suspicions: u32,
    /// Where its PUBLISH or PUBREL begins in the stream, when it was sent last.
    place: u64,
    /// Whether it was sent over this connection, which the broker counts against its Receive Maximum.
    is_counted: bool,
    /// Whether PUBREC said that nobody has subscribed to it: PUBCOMP has no code for that (section 3.7.2.1).
    is_for_nobody: bool,
    previous: Option<PacketId>,
    next: Option<PacketId>,
    /// Whether its payload is streamed: `packet` has none then, and cannot be sent again.
    #[cfg(feature = "stream")]
    is_streamed: bool,
    /// Its place among those that were sent, or released: for the store.
    #[cfg(feature = "store")]
    order: u64,
}

/// What a Packet Identifier is used for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Free,
    /// PUBLISH at QoS 1 was sent; PUBACK is to come.
    AwaitingPuback,
    /// PUBLISH at QoS 2 was sent; PUBREC is to come.
    AwaitingPubrec,
    /// PUBREL was sent; PUBCOMP is to come.
    AwaitingPubcomp,
    /// SUBSCRIBE was sent; SUBACK is to come.
    AwaitingSuback,
    /// UNSUBSCRIBE was sent; UNSUBACK is to come.
    AwaitingUnsuback,
    /// A message at QoS 2 was given up that the broker may have. It would take another message with this identifier for
    /// the same one, and drop it, so it is not used again while the broker has the session.
    GivenUp,
    /// A message at QoS 1 was given up whose PUBACK may still come over this connection.
    Abandoned,
}

impl State {
    /// What a message at this QoS, 1 or 2, waits for once it was sent.
    pub(super) const fn after_publish(qos: QoS) -> Self {
        match qos {
            QoS::ExactlyOnce => Self::AwaitingPubrec,
            _ => Self::AwaitingPuback,
        }
    }

    /// Whether an acknowledgement with this identifier answers nothing. It changes nothing either: brokers send some
    /// after they have lost a session, or to a message that was given up, and the specification does not say that it
    /// ends the connection. One that answers another packet than the identifier is used for does.
    pub(super) const fn is_unsolicited(self) -> bool {
        matches!(self, Self::Free | Self::GivenUp)
    }

    const fn is_message(self) -> bool {
        matches!(self, Self::AwaitingPuback | Self::AwaitingPubrec | Self::AwaitingPubcomp)
    }
}

impl InFlight {
    /// The identifier that the next [`InFlight::insert`] will use; `None` when all 65,535 are in use.
    pub(super) fn next_id(&self) -> Option<PacketId> {
        // A fresh identifier comes first while slots are few, to put distance between two uses of one.
        match self.slots.len() {
            0..64 => PacketId::new(self.slots.len() as u16 + 1),
            len => self.free.front().copied().or_else(|| PacketId::new(u16::try_from(len + 1).unwrap_or(0))),
        }
    }

    /// Puts what [`InFlight::next_id`] said to use; `store` writes the packet if it may have to be sent again. A
    /// message begins at `place` in the stream.
    pub(super) fn insert(
        &mut self,
        id: PacketId,
        state: State,
        operation: OperationId,
        place: u64,
        store: impl FnOnce(&mut Vec<u8>),
    ) {
        if index(id) == self.slots.len() {
            self.slots.push(Slot::default());
        } else {
            self.free.pop_front();
        }
        let slot = self.slot_mut(id);
        slot.state = state;
        slot.operation = operation;
        (slot.attempts, slot.suspicions, slot.is_for_nobody) = (0, 0, false);
        #[cfg(feature = "stream")]
        {
            slot.is_streamed = false;
        }
        if state.is_message() {
            self.link(id);
            self.messages += 1;
            self.count(id, place);
            #[cfg(feature = "store")]
            self.noted.note_new(id);
        }
        let packet = &mut self.slot_mut(id).packet;
        store(packet);
        self.bytes += packet.len();
    }

    /// Keeps this packet for a message of which [`InFlight::insert`] has stored none.
    pub(super) fn keep_large(&mut self, id: PacketId, packet: Arc<Vec<u8>>) {
        self.bytes += packet.len();
        self.slot_mut(id).large = Some(packet);
    }

    /// The payload of the message is streamed.
    #[cfg(feature = "stream")]
    pub(super) fn set_streamed(&mut self, id: PacketId) {
        self.slot_mut(id).is_streamed = true;
    }

    /// Whether the payload of the message is streamed, and the broker has not acknowledged it.
    #[cfg(feature = "stream")]
    pub(super) fn is_streamed(&self, id: PacketId) -> bool {
        let is_sent = matches!(self.state(id), State::AwaitingPuback | State::AwaitingPubrec);
        is_sent && self.slots[index(id)].is_streamed
    }

    /// As [`InFlight::insert`], for a message that is sent later.
    #[cfg(feature = "store")]
    pub(super) fn keep(&mut self, id: PacketId, state: State, operation: OperationId, packet: &[u8]) {
        self.insert(id, state, operation, 0, |stored| stored.extend_from_slice(packet));
        self.discount(id);
        self.slot_mut(id).attempts = 0;
    }

    /// The place of a message among those that were sent, or released.
    #[cfg(feature = "store")]
    pub(super) fn order(&self, id: PacketId) -> u64 {
        self.slots[index(id)].order
    }

    /// The places that messages had in an earlier process.
    #[cfg(feature = "store")]
    pub(super) fn set_orders(&mut self, orders: &[(PacketId, u64)]) {
        for &(id, order) in orders {
            self.slot_mut(id).order = order;
            self.last_order = self.last_order.max(order);
        }
    }

    /// Notes that the message is sent over this connection, from this place in its stream on.
    pub(super) fn count(&mut self, id: PacketId, place: u64) {
        let slot = self.slot_mut(id);
        slot.is_counted = true;
        slot.place = place;
        slot.attempts = slot.attempts.saturating_add(1);
        self.unacknowledged += 1;
    }

    /// How many times the message was sent.
    pub(super) fn attempts(&self, id: PacketId) -> u32 {
        self.slots[index(id)].attempts
    }

    /// How many connections ended at the message.
    pub(super) fn suspicions(&self, id: PacketId) -> u32 {
        self.slots[index(id)].suspicions
    }

    /// The connection has ended, maybe because of a message. The broker answers in the order that it gets messages in
    /// `[MQTT-4.6.0-2]` `[MQTT-4.6.0-3]`, and PUBREL comes before messages that are sent again: so it is the first that
    /// has no answer, if the broker has got any of it.
    /// The connection has the stream from `start` on.
    pub(super) fn suspect(&mut self, start: u64, has_sent: impl Fn(u64) -> bool) {
        let first = self.messages_in_order().next();
        let was_sent = |slot: &Slot| slot.place >= start && has_sent(slot.place + 1);
        if let Some(id) = first.filter(|&id| was_sent(&self.slots[index(id)])) {
            let slot = self.slot_mut(id);
            slot.suspicions = slot.suspicions.saturating_add(1);
            #[cfg(feature = "store")]
            self.noted.note(id);
        }
    }

    /// Notes that PUBREL is sent over this connection, from this place in its stream on.
    pub(super) fn set_place(&mut self, id: PacketId, place: u64) {
        self.slot_mut(id).place = place;
    }

    /// How many times the message was sent, and how many connections ended at it, in an earlier process.
    pub(super) fn set_attempts(&mut self, id: PacketId, attempts: u32, suspicions: u32) {
        let slot = self.slot_mut(id);
        (slot.attempts, slot.suspicions) = (attempts, suspicions);
    }

    /// The message that a call is about.
    pub(super) fn find(&self, operation: OperationId) -> Option<PacketId> {
        self.messages_in_order().find(|&id| self.slots[index(id)].operation == operation)
    }

    /// All messages: those to be completed first, then those to be acknowledged, each in their order.
    pub(super) fn messages_in_order(&self) -> impl Iterator<Item = PacketId> {
        self.released().chain(self.sent())
    }

    /// The messages to be acknowledged, in the order they were sent.
    pub(super) fn sent(&self) -> impl Iterator<Item = PacketId> {
        self.in_order(self.sent.first)
    }

    /// Notes that this is a new connection, over which the message was not sent yet.
    pub(super) fn discount(&mut self, id: PacketId) {
        if core::mem::take(&mut self.slot_mut(id).is_counted) {
            self.unacknowledged -= 1;
        }
    }

    /// Notes that PUBREC came, and whether it is for nobody: the message itself is no longer needed.
    pub(super) fn release(&mut self, id: PacketId, is_for_nobody: bool) {
        self.unlink(id);
        let slot = self.slot_mut(id);
        slot.is_for_nobody = is_for_nobody;
        slot.state = State::AwaitingPubcomp;
        let freed = slot.free_packet();
        self.bytes -= freed;
        self.link(id);
        #[cfg(feature = "store")]
        self.noted.note_at_once(id);
    }

    /// What the identifier is used for.
    pub(super) fn state(&self, id: PacketId) -> State {
        self.slots.get(index(id)).map_or(State::Free, |slot| slot.state)
    }

    /// Whether PUBREC said that nobody has subscribed to it.
    pub(super) fn is_for_nobody(&self, id: PacketId) -> bool {
        self.slots.get(index(id)).is_some_and(|slot| slot.is_for_nobody)
    }

    /// Which call it is of.
    pub(super) fn operation(&self, id: PacketId) -> Option<OperationId> {
        self.slots.get(index(id)).map(|slot| slot.operation)
    }

    /// The message as it was sent; empty once it is not needed any more.
    pub(super) fn packet(&self, id: PacketId) -> &[u8] {
        self.slots[index(id)].packet()
    }

    /// The message as it was sent; empty once it is not needed any more.
    pub(super) fn packet_mut(&mut self, id: PacketId) -> &mut [u8] {
        let slot = self.slot_mut(id);
        match &mut slot.large {
            // What is sent again does not wait to be sent.
            Some(packet) => Arc::get_mut(packet).map_or(&mut [], |packet| packet),
            None => &mut slot.packet,
        }
    }

    /// Frees the identifier, if it is in use.
    pub(super) fn remove(&mut self, id: PacketId) -> Option<OperationId> {
        let operation = self.end(id)?;
        self.free.push_back(id);
        Some(operation)
    }

    /// Ends what the identifier is used for.
    fn end(&mut self, id: PacketId) -> Option<OperationId> {
        let state = self.state(id);
        if state == State::Free {
            return None;
        }
        #[cfg(feature = "store")]
        if state.is_message() || state == State::GivenUp {
            self.noted.note(id);
        }
        self.discount(id);
        if state.is_message() {
            self.unlink(id);
            self.messages -= 1;
        }
        let slot = self.slot_mut(id);
        slot.state = State::Free;
        let operation = slot.operation;
        let freed = slot.free_packet();
        self.bytes -= freed;
        Some(operation)
    }

    /// Ends a message whose identifier the broker may hold on to, or answer over this connection: until then it counts
    /// against the Receive Maximum.
    pub(super) fn give_up(&mut self, id: PacketId) -> Option<OperationId> {
        let is_counted = self.slots[index(id)].is_counted;
        let after = match self.state(id) {
            State::AwaitingPubrec | State::AwaitingPubcomp => State::GivenUp,
            State::AwaitingPuback if is_counted => State::Abandoned,
            _ => return self.remove(id),
        };
        let operation = self.end(id);
        self.slot_mut(id).state = after;
        if is_counted {
            self.slot_mut(id).is_counted = true;
            self.unacknowledged += 1;
        }
        operation
    }

    /// This is a new connection: what was given up over the last one is not answered over this one. Without its session
    /// the broker knows nothing of it at all.
    pub(super) fn forget_given_up(&mut self, session_present: bool) {
        for id in self.in_state(State::Abandoned) {
            self.remove(id);
        }
        for id in self.given_up() {
            self.discount(id);
            if !session_present {
                self.remove(id);
            }
        }
    }

    /// How many messages are in flight.
    pub(super) const fn messages(&self) -> u16 {
        self.messages
    }

    /// How many of them were sent over this connection.
    pub(super) const fn unacknowledged(&self) -> u16 {
        self.unacknowledged
    }

    /// How many bytes their packets take.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Of the messages to be acknowledged, the one that was sent first.
    pub(super) const fn first_sent(&self) -> Option<PacketId> {
        self.sent.first
    }

    /// Of the messages to be completed, the one that was released first.
    pub(super) const fn first_released(&self) -> Option<PacketId> {
        self.released.first
    }

    /// The message that was sent, or released, after this one.
    pub(super) fn after(&self, id: PacketId) -> Option<PacketId> {
        self.slots[index(id)].next
    }

    /// Every identifier of a message that was given up.
    pub(super) fn given_up(&self) -> Vec<PacketId> {
        self.in_state(State::GivenUp)
    }

    /// The same, with those of messages that have to be given up with their connection: for another process.
    #[cfg(feature = "stream")]
    pub(super) fn given_up_after_this(&self) -> Vec<PacketId> {
        let is_lost = |id: &PacketId| self.is_streamed(*id) && self.state(*id) == State::AwaitingPubrec;
        self.given_up().into_iter().chain(self.sent().filter(is_lost)).collect()
    }

    /// The messages to be acknowledged that can be sent again, in the order that they were sent.
    pub(super) fn kept(&self) -> impl Iterator<Item = PacketId> {
        #[cfg(not(feature = "stream"))]
        return self.sent();
        #[cfg(feature = "stream")]
        self.sent().filter(|id| !self.is_streamed(*id))
    }

    fn in_state(&self, state: State) -> Vec<PacketId> {
        let ids = (1..).map_while(PacketId::new).zip(&self.slots);
        ids.filter(|(_, slot)| slot.state == state).map(|(id, _)| id).collect()
    }

    /// Those messages, as they were sent.
    pub(super) fn sent_packets(&self) -> impl Iterator<Item = &[u8]> {
        self.kept().map(|id| self.slots[index(id)].packet())
    }

    /// The messages to be completed, in the order they were released.
    pub(super) fn released(&self) -> impl Iterator<Item = PacketId> {
        self.in_order(self.released.first)
    }

    fn in_order(&self, first: Option<PacketId>) -> impl Iterator<Item = PacketId> {
        core::iter::successors(first, |&id| self.after(id))
    }

    /// Takes over a message, or an identifier, of an earlier process; `false` if the identifier is in use.
    /// [`InFlight::free_the_rest`] ends this.
    pub(super) fn take_over(&mut self, id: PacketId, state: State, packet: &[u8]) -> bool {
        if self.slots.len() <= index(id) {
            self.slots.resize_with(index(id) + 1, Slot::default);
        }
        if self.state(id) != State::Free {
            return false;
        }
        let slot = self.slot_mut(id);
        slot.state = state;
        slot.packet.extend_from_slice(packet);
        self.bytes += packet.len();
        if state.is_message() {
            self.link(id);
            self.messages += 1;
            self.slot_mut(id).operation = OperationId(self.messages.into());
        }
        true
    }

    /// Has every identifier be free that was not taken over.
    pub(super) fn free_the_rest(&mut self) {
        self.free = Fifo::from(self.in_state(State::Free));
    }

    /// Puts a message at the end of the list that its state belongs in.
    fn link(&mut self, id: PacketId) {
        let order = self.order_mut(id);
        let last = order.last.replace(id);
        if last.is_none() {
            order.first = Some(id);
        }
        if let Some(last) = last {
            self.slot_mut(last).next = Some(id);
        }
        #[cfg(feature = "store")]
        {
            self.last_order += 1;
            self.slot_mut(id).order = self.last_order;
        }
        let slot = self.slot_mut(id);
        (slot.previous, slot.next) = (last, None);
    }

    fn unlink(&mut self, id: PacketId) {
        let slot = self.slot_mut(id);
        let (previous, next) = (slot.previous.take(), slot.next.take());
        match previous {
            Some(previous) => self.slot_mut(previous).next = next,
            None => self.order_mut(id).first = next,
        }
        match next {
            Some(next) => self.slot_mut(next).previous = previous,
            None => self.order_mut(id).last = previous,
        }
    }

    fn order_mut(&mut self, id: PacketId) -> &mut Order {
        match self.state(id) {
            State::AwaitingPubcomp => &mut self.released,
            _ => &mut self.sent,
        }
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "in programs built for size too, since it is there for each packet")]
    fn slot_mut(&mut self, id: PacketId) -> &mut Slot {
        &mut self.slots[index(id)]
    }
}

const fn index(id: PacketId) -> usize {
    id.get() as usize - 1
}

impl Slot {
    fn packet(&self) -> &[u8] {
        self.large.as_ref().map_or(&self.packet, |packet| packet)
    }

    fn free_packet(&mut self) -> usize {
        let len = self.packet().len();
        self.large = None;
        self.packet.clear();
        self.packet.shrink_to(KEPT_CAPACITY);
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(in_flight: &mut InFlight, operation: u64) -> PacketId {
        let id = in_flight.next_id().unwrap();
        in_flight.insert(id, State::AwaitingPuback, OperationId(operation), 0, |packet| {
            packet.extend_from_slice(b"packet");
        });
        id
    }

    fn order(in_flight: &InFlight) -> Vec<u64> {
        let mut order = Vec::new();
        let mut next = in_flight.first_sent();
        while let Some(id) = next {
            order.push(in_flight.slots[index(id)].operation.0);
            next = in_flight.after(id);
        }
        order
    }

    #[test]
    fn messages_stay_in_sending_order_whatever_is_acknowledged_first() {
        let mut in_flight = InFlight::default();
        let ids: Vec<_> = (0..5).map(|operation| insert(&mut in_flight, operation)).collect();
        for index in [2, 0, 4] {
            assert!(in_flight.remove(ids[index]).is_some());
        }
        insert(&mut in_flight, 5);
        assert_eq!(order(&in_flight), [1, 3, 5]);
        assert_eq!((in_flight.messages(), in_flight.bytes()), (3, 18));
    }

    #[test]
    fn released_messages_leave_the_order_of_sending_for_their_own() {
        let mut in_flight = InFlight::default();
        let ids: Vec<_> = (0..3).map(|operation| insert(&mut in_flight, operation)).collect();
        in_flight.release(ids[2], false);
        in_flight.release(ids[0], false);
        assert_eq!(order(&in_flight), [1]);
        assert_eq!(in_flight.first_released(), Some(ids[2]));
        assert_eq!(in_flight.after(ids[2]), Some(ids[0]));
        assert_eq!(in_flight.after(ids[0]), None);
        in_flight.remove(ids[2]);
        assert_eq!((in_flight.first_released(), in_flight.messages()), (Some(ids[0]), 2));
    }

    #[test]
    fn all_identifiers_can_be_used_and_none_twice() {
        let mut in_flight = InFlight::default();
        let ids: alloc::collections::BTreeSet<_> = (0..65_535).map(|n| insert(&mut in_flight, n)).collect();
        assert_eq!(ids.len(), 65_535);
        assert_eq!(in_flight.next_id(), None);
        let id = PacketId::new(40_000).unwrap();
        assert!(in_flight.remove(id).is_some());
        assert!(in_flight.remove(id).is_none(), "freed only once");
        assert_eq!(in_flight.next_id(), Some(id));
    }

    #[test]
    fn an_identifier_rests_before_it_is_used_again() {
        let mut in_flight = InFlight::default();
        let first = insert(&mut in_flight, 0);
        in_flight.remove(first);
        for operation in 1..64 {
            let id = insert(&mut in_flight, operation);
            assert_ne!(id, first);
            in_flight.remove(id);
        }
    }
}
