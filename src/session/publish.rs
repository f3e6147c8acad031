//! Messages on their way to the broker, at every QoS, over as many connections as it takes (sections 4.3 and 4.4).

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use super::event::{Event, OperationId};
use super::in_flight::State;
use super::machine::Machine;
use super::{Status, outbound};
use crate::codec::{
    Ack, DecodeError, Packet, PacketId, PacketType, PropertyId, Publish, PublishProperties, QoS, ReasonCode,
};
use crate::error::{CallError, Error, ProtocolError, Reason};
use crate::frame::FrameError;

/// How much longer a Topic Alias makes a packet at most: the property, and a longer Property Length and Remaining
/// Length.
const ALIAS_LEN: usize = 5;

/// From this size on a packet is not copied, and leaves in a write of its own. Smaller ones leave together. Natively,
/// where a write costs more than a copy, it begins later.
const LARGE: usize = if cfg!(target_family = "wasm") { 32 * 1024 } else { 256 * 1024 };

/// The DUP flag in the first byte of a PUBLISH.
const DUP: u8 = 0x08;

impl Machine {
    #[cfg(not(feature = "store"))]
    pub(super) fn publish(&mut self, publish: &Publish<'_>) -> Result<Option<OperationId>, CallError> {
        self.publish_now(publish)
    }

    #[cfg(feature = "store")]
    pub(super) fn publish(&mut self, publish: &Publish<'_>) -> Result<Option<OperationId>, CallError> {
        match self.publish_now(publish) {
            Err(CallError::WouldBlock | CallError::NotConnected)
                if self.has_store() && publish.qos != QoS::AtMostOnce && !self.is_requesting =>
            {
                Self::check_content(publish)?;
                self.store_message(publish)
            }
            result => result,
        }
    }

    fn publish_now(&mut self, publish: &Publish<'_>) -> Result<Option<OperationId>, CallError> {
        self.require_connected()?;
        self.terms.check_message(publish.qos, publish.retain)?;
        Self::check_content(publish)?;
        let packet_id = match publish.qos {
            QoS::AtMostOnce => None,
            // Messages of the last connection go first.
            _ if self.send_quota() == 0 || self.resend.is_some() => return Err(CallError::WouldBlock),
            // Those whose PUBREL was sent again do not count against the quota, but here.
            _ if self.in_flight.messages() >= self.options.in_flight_limit.max(1) => {
                return Err(CallError::WouldBlock);
            }
            _ => Some(self.in_flight.next_id().ok_or(CallError::WouldBlock)?),
        };
        if publish.properties.topic_alias.is_some() || self.options.outbound_topic_aliases > 0 {
            return self.publish_aliased(publish, packet_id);
        }
        let packet = Publish { dup: false, packet_id, ..*publish };
        #[cfg(not(target_family = "wasm"))]
        if let Some(most_len) = packet.most_plain_len().filter(|&len| len < LARGE)
            && self.check_room(most_len, most_len, packet_id.is_some()).is_ok()
        {
            let place = self.outbound.end();
            let start = self.outbound.encode(&packet, most_len).map_err(CallError::Invalid)?;
            return Ok(packet_id.map(|packet_id| self.keep(publish.qos, packet_id, place, start)));
        }
        let measured = packet.measure().map_err(CallError::Invalid)?;
        let len = measured.len();
        self.check_room(len, len, packet_id.is_some())?;
        let place = self.outbound.end();
        if len >= LARGE && self.outbound.takes_shared() && (packet_id.is_some() || !self.outbound.pending().is_empty())
        {
            let mut packet = Vec::with_capacity(len);
            measured.write(&mut packet);
            return Ok(self.publish_large(publish.qos, packet_id, packet));
        }
        let outbound = self.outbound.appender(len);
        let start = outbound.len();
        measured.write(outbound);
        Ok(packet_id.map(|packet_id| self.keep(publish.qos, packet_id, place, start)))
    }

    /// Keeps a message that is in the outbound buffer from `start` on, until it is acknowledged.
    #[inline]
    fn keep(&mut self, qos: QoS, packet_id: PacketId, place: u64, start: usize) -> OperationId {
        let operation = self.next_operation();
        let store = |stored: &mut Vec<u8>| stored.extend_from_slice(self.outbound.since(start));
        self.in_flight.insert(packet_id, State::after_publish(qos), operation, place, store);
        self.keep_alive.will_be_answered(packet_id, self.outbound.end());
        operation
    }

    /// Puts a message in that is not copied into the outbound buffer, nor to where it is kept.
    #[cold]
    #[inline(never)]
    fn publish_large(&mut self, qos: QoS, packet_id: Option<PacketId>, packet: Vec<u8>) -> Option<OperationId> {
        let place = self.outbound.end();
        let packet = self.outbound.push_shared(packet);
        let packet_id = packet_id?;
        let operation = self.next_operation();
        self.in_flight.insert(packet_id, State::after_publish(qos), operation, place, |_| {});
        self.in_flight.keep_large(packet_id, packet);
        self.keep_alive.will_be_answered(packet_id, self.outbound.end());
        Some(operation)
    }

    /// Fails for what no connection could carry.
    pub(super) fn check_content(publish: &Publish<'_>) -> Result<(), CallError> {
        if !publish.properties.subscription_identifiers.is_empty() {
            return Err(CallError::PropertyNotAllowed(PropertyId::SubscriptionIdentifier));
        }
        let is_text = publish.properties.payload_format_indicator == Some(true);
        if is_text && core::str::from_utf8(publish.payload).is_err() {
            return Err(CallError::PayloadNotUtf8);
        }
        Ok(())
    }

    /// Publishes a message that has or may get a Topic Alias.
    #[inline(never)]
    fn publish_aliased(
        &mut self,
        publish: &Publish<'_>,
        packet_id: Option<PacketId>,
    ) -> Result<Option<OperationId>, CallError> {
        let mut packet = Publish { dup: false, packet_id, ..*publish };
        let maximum = self.terms.topic_alias_maximum;
        let alias = match packet.properties.topic_alias.take() {
            Some(alias) => Some(self.outbound_aliases.by_hand(publish.topic, alias, maximum)?),
            None => self.outbound_aliases.choose(publish.topic, self.options.outbound_topic_aliases.min(maximum)),
        };
        let known_topic = alias.and_then(|alias| self.outbound_aliases.topic(alias.alias).cloned());
        if let Some(topic) = known_topic.as_ref().filter(|_| packet.topic.is_empty()) {
            packet.topic = topic;
        }
        let measured = packet.measure().map_err(CallError::Invalid)?;
        let len = measured.len();
        // An alias that comes with the Topic Name makes the packet longer.
        let alias = alias.filter(|alias| alias.is_known || self.terms.check_size(len + ALIAS_LEN).is_ok());
        let most_len = if alias.is_some() { len + ALIAS_LEN } else { len };
        self.check_room(len, most_len, packet_id.is_some())?;
        let place = self.outbound.end();
        let outbound = self.outbound.appender(most_len);
        match alias {
            None => measured.write(outbound),
            Some(alias) => {
                let properties = PublishProperties { topic_alias: Some(alias.alias), ..packet.properties };
                let topic = if alias.is_known { "" } else { packet.topic };
                Publish { topic, properties, ..packet }.encode(outbound).map_err(CallError::Invalid)?;
                if let Some(topic) = known_topic.as_ref().filter(|_| alias.is_known && packet_id.is_none()) {
                    self.outbound.name(topic.clone());
                }
                self.outbound_aliases.sent(alias, packet.topic);
            }
        }
        let Some(packet_id) = packet_id else { return Ok(None) };
        let operation = self.next_operation();
        // What is stored has its full Topic Name, since an alias ends with the connection.
        let store = |stored: &mut Vec<u8>| measured.write(stored);
        self.in_flight.insert(packet_id, State::after_publish(publish.qos), operation, place, store);
        self.keep_alive.will_be_answered(packet_id, self.outbound.end());
        Ok(Some(operation))
    }

    /// Fails for a message that is too large for the broker, or for now.
    fn check_room(&self, len: usize, most_len: usize, is_stored: bool) -> Result<(), CallError> {
        self.terms.check_size(len)?;
        if !self.outbound.has_room(most_len, self.options.outbound_limit) {
            return Err(CallError::WouldBlock);
        }
        let stored = self.in_flight.bytes();
        if is_stored && stored > 0 && stored + len > self.options.outbound_limit {
            return Err(CallError::WouldBlock);
        }
        Ok(())
    }

    pub(super) fn puback(&mut self, ack: &Ack<'_>) -> Result<(), Error> {
        self.check_ack(&Packet::Puback(*ack), ack)?;
        if self.in_flight.state(ack.packet_id) == State::Abandoned {
            self.in_flight.remove(ack.packet_id);
            self.send_again();
            return Ok(());
        }
        self.finish(ack, State::AwaitingPuback, &Packet::Puback(*ack))
    }

    pub(super) fn pubrec(&mut self, ack: &Ack<'_>) -> Result<(), Error> {
        let packet = Packet::Pubrec(*ack);
        self.check_ack(&packet, ack)?;
        let reason_code = match self.in_flight.state(ack.packet_id) {
            State::GivenUp if ack.reason_code.is_error() => {
                // The broker has let go of it.
                self.in_flight.remove(ack.packet_id);
                return Ok(());
            }
            State::AwaitingPubrec if ack.reason_code.is_error() => {
                return self.finish(ack, State::AwaitingPubrec, &packet);
            }
            State::AwaitingPubrec => {
                if self.resend == Some(ack.packet_id) {
                    self.resend = self.in_flight.after(ack.packet_id);
                }
                self.in_flight.release(ack.packet_id, ack.reason_code == ReasonCode::NoMatchingSubscribers);
                self.in_flight.set_place(ack.packet_id, self.outbound.end());
                if let Some(id) = self.in_flight.operation(ack.packet_id) {
                    self.request_received(id, ack.reason_code);
                }
                ReasonCode::Success
            }
            State::AwaitingPubcomp if !ack.reason_code.is_error() => ReasonCode::Success,
            // The broker knows of a message that this side does not: it is told so, and lets go of it.
            state if state.is_unsolicited() && !ack.reason_code.is_error() => ReasonCode::PacketIdentifierNotFound,
            state if state.is_unsolicited() => return Ok(()),
            _ => return Err(ProtocolError::UnknownPacketId(packet.packet_type()).into()),
        };
        self.send(&Packet::Pubrel(Ack { reason_code, ..Ack::success(ack.packet_id) }));
        self.send_again();
        Ok(())
    }

    pub(super) fn pubcomp(&mut self, ack: &Ack<'_>) -> Result<(), Error> {
        let packet = Packet::Pubcomp(*ack);
        self.check_ack(&packet, ack)?;
        match self.in_flight.state(ack.packet_id) {
            // The answer to a PUBREL that said Packet Identifier not found.
            State::Free => Ok(()),
            State::GivenUp => {
                self.in_flight.remove(ack.packet_id);
                self.send_again();
                Ok(())
            }
            _ => self.finish(ack, State::AwaitingPubcomp, &packet),
        }
    }

    /// After CONNACK: everything in flight is sent again, PUBREL in the order of PUBREC and messages in the order they
    /// were sent first `[MQTT-4.4.0-1]` `[MQTT-4.6.0-1]` `[MQTT-4.6.0-4]`. PUBREL waits for nothing `[MQTT-3.3.4-8]`.
    pub(super) fn start_again(&mut self, session_present: bool) {
        self.in_flight.forget_given_up(session_present);
        // Half of the attempts are made alone: only then it is certain that the broker does not mean another message.
        let crowded_attempts = self.options.attempts_per_message / 2;
        let first = self.in_flight.messages_in_order().next();
        self.resends_one_by_one = first.is_some_and(|id| self.in_flight.suspicions(id) > crowded_attempts);
        let mut next = self.in_flight.first_released();
        while let Some(id) = next {
            next = self.in_flight.after(id);
            self.in_flight.discount(id);
            if !session_present {
                // What was released has arrived.
                self.complete(id, Ok(ReasonCode::Success.into()));
            } else if self.is_sent_enough(id) {
                self.give_up_message(id, Error::GivenUp { attempts: self.in_flight.attempts(id) });
            } else {
                self.stats.retransmitted += 1;
                self.in_flight.set_place(id, self.outbound.end());
                self.send(&Packet::Pubrel(Ack::success(id)));
            }
        }
        let mut next = self.in_flight.first_sent();
        while let Some(id) = next {
            next = self.in_flight.after(id);
            self.in_flight.discount(id);
            let is_repeat = self.is_repeat(id);
            if let Some(first_byte) = self.in_flight.packet_mut(id).first_mut() {
                // Without its session the broker knows nothing of the message, which is then sent as a new one.
                *first_byte = if session_present && is_repeat { *first_byte | DUP } else { *first_byte & !DUP };
            }
        }
        if !session_present && !self.options.restore_messages {
            while let Some(id) = self.in_flight.first_sent() {
                // To the letter `[MQTT-3.2.2-5]`.
                self.give_up_message(id, Error::SessionLost);
            }
            self.in_flight.forget_given_up(session_present);
        }
        self.take_up_subscriptions(session_present);
        self.resend = self.in_flight.first_sent();
        self.send_again();
        self.send_unsent();
    }

    /// Sends the messages at QoS 0 that the last connection ended before.
    fn send_unsent(&mut self) {
        let unsent = core::mem::take(&mut self.unsent);
        for packet in outbound::packets(&unsent) {
            match self.terms.check_again(packet) {
                Ok(()) => self.outbound.push_bytes(packet),
                Err(error) => {
                    self.stats.dropped += 1;
                    self.events.push_back(Event::MessageDropped(error));
                }
            }
        }
    }

    /// Sends again what may be sent now.
    pub(super) fn send_again(&mut self) {
        while let Some(id) = self.resend {
            let has_quota = self.send_quota() > 0;
            if self.is_sent_enough(id) {
                self.give_up_message(id, Error::GivenUp { attempts: self.in_flight.attempts(id) });
                continue;
            }
            let is_alone = self.in_flight.first_released().is_none() && self.in_flight.first_sent() == Some(id);
            if self.resends_one_by_one && !is_alone {
                break;
            }
            let packet = self.in_flight.packet_mut(id);
            if let Err(error) = self.terms.check_again(packet) {
                self.give_up_message(id, error.into());
            } else if has_quota && self.outbound.has_room(packet.len(), self.options.outbound_limit) {
                let place = self.outbound.end();
                self.outbound.push_bytes(packet);
                self.stats.retransmitted += u64::from(self.is_repeat(id));
                self.in_flight.count(id, place);
                self.keep_alive.will_be_answered(id, self.outbound.end());
                self.resend = self.in_flight.after(id);
            } else {
                break;
            }
        }
    }

    /// Whether the message may have been sent before: one that was stored while there was no connection was not.
    #[cfg_attr(not(feature = "store"), allow(clippy::unused_self))]
    fn is_repeat(&self, id: PacketId) -> bool {
        cfg!(not(feature = "store")) || self.in_flight.attempts(id) > 0
    }

    /// Whether as many connections ended at the message as the options allow.
    fn is_sent_enough(&self, id: PacketId) -> bool {
        self.in_flight.suspicions(id) >= self.options.attempts_per_message.max(1)
    }

    /// The message is not sent again. Its call may have ended before, so an event tells of it too.
    fn give_up_message(&mut self, id: PacketId, why: Error) {
        let topic = self.message_in_flight(id).topic.to_owned();
        let attempts = self.in_flight.attempts(id);
        self.stats.dropped += 1;
        self.events.push_back(Event::MessageGivenUp { topic, attempts });
        self.end_message(id, why);
    }

    /// The user gives a message up; `false` if it is not in flight any more.
    pub(super) fn give_up_by_hand(&mut self, operation: OperationId) -> bool {
        #[cfg(feature = "stream")]
        if self.abandon_payload(operation) {
            return true;
        }
        let id = self.in_flight.find(operation).or_else(|| self.in_flight.find(operation.of_a_request()));
        if let Some(id) = id {
            self.end_message(id, Error::GivenUp { attempts: self.in_flight.attempts(id) });
            if self.status == Status::Connected {
                self.send_again();
            }
        }
        id.is_some()
    }

    /// The message as it was sent; nothing of it once the broker has it.
    pub(super) fn message_in_flight(&self, id: PacketId) -> Publish<'_> {
        outbound::packets(self.in_flight.packet(id)).next().and_then(outbound::message).unwrap_or_default()
    }

    /// The message was never sent, and is not.
    #[cfg(feature = "store")]
    pub(super) fn drop_message(&mut self, id: PacketId, why: Error) {
        if !matches!(self.in_flight.state(id), State::AwaitingPuback | State::AwaitingPubrec) {
            return;
        }
        if self.resend == Some(id) {
            self.resend = self.in_flight.after(id);
        }
        if let Some(operation) = self.in_flight.remove(id) {
            self.published(operation, Err(why));
        }
    }

    /// Sends the message no more, and ends its call.
    fn end_message(&mut self, id: PacketId, error: Error) {
        if self.resend == Some(id) {
            self.resend = self.in_flight.after(id);
        }
        if let Some(id) = self.in_flight.give_up(id) {
            self.published(id, Err(error));
        }
    }

    /// The connection has ended: messages at QoS 0 wait for the next one that were not sent. One that connections end
    /// within again and again, since the broker does not read it to its end, is given up.
    pub(super) fn keep_unsent(&mut self, error: &Error) -> Option<Event> {
        self.outbound.gather();
        let unsent = self.outbound.unsent_messages();
        if self.status == Status::Connected {
            let len = self.outbound.cut_message().filter(|_| may_be_due_to_a_message(error)).unwrap_or_default();
            let times = if len > 0 && len == self.cut.0 { self.cut.1 } else { 0 };
            self.cut = (len, times.saturating_add(1));
        }
        let (len, attempts) = self.cut;
        let (mut kept, mut given_up) = (unsent.as_slice(), None);
        if len > 0
            && attempts >= self.options.attempts_per_message.max(1)
            && let Some(first) = outbound::packets(&unsent).next()
        {
            let topic = outbound::message(first).map(|message| message.topic.to_owned()).unwrap_or_default();
            self.stats.dropped += 1;
            given_up = Some(Event::MessageGivenUp { topic, attempts });
            kept = &unsent[first.len()..];
            self.cut = (0, 0);
        }
        self.unsent.extend_from_slice(kept);
        given_up
    }

    /// The connection has ended for this reason: maybe because of a message.
    pub(super) fn suspect_a_message(&mut self, error: &Error) {
        if self.status == Status::Connected && may_be_due_to_a_message(error) {
            let outbound = &self.outbound;
            self.in_flight.suspect(self.stream_start, |place| outbound.has_sent(place));
        }
    }

    /// How many more messages may be sent before one is acknowledged `[MQTT-3.3.4-7]` (section 4.9).
    pub(super) fn send_quota(&self) -> u16 {
        let most = self.terms.receive_maximum.min(self.options.in_flight_limit.max(1));
        most.saturating_sub(self.in_flight.unacknowledged())
    }

    /// Whether one more message at QoS 1 or 2 may be in flight.
    pub(super) fn has_quota(&self) -> bool {
        let stored = self.in_flight.bytes();
        self.send_quota() > 0
            && self.resend.is_none()
            && self.in_flight.messages() < self.options.in_flight_limit.max(1)
            && (stored == 0 || stored < self.options.outbound_limit)
    }

    /// Whether a small packet may wait to be sent.
    pub(super) fn has_room(&self) -> bool {
        self.outbound.has_room(1, self.options.outbound_limit)
    }

    fn check_ack(&mut self, packet: &Packet<'_>, ack: &Ack<'_>) -> Result<(), ProtocolError> {
        #[cfg(feature = "stream")]
        if self.is_unfinished(ack.packet_id) {
            // It acknowledges what the broker cannot have yet.
            return Err(ProtocolError::UnknownPacketId(packet.packet_type()));
        }
        self.keep_alive.answered(ack.packet_id, |place| self.outbound.sent_since(place));
        self.check_problem_information(packet, ack.properties.reason_string, &ack.properties.user_properties)
    }

    /// Ends a message whose last acknowledgement came.
    fn finish(&mut self, ack: &Ack<'_>, expected: State, packet: &Packet<'_>) -> Result<(), Error> {
        if self.in_flight.state(ack.packet_id).is_unsolicited() {
            return Ok(());
        }
        if self.in_flight.state(ack.packet_id) != expected {
            return Err(ProtocolError::UnknownPacketId(packet.packet_type()).into());
        }
        let mut reason =
            Reason::new(ack.reason_code, ack.properties.reason_string, None, &ack.properties.user_properties);
        if ack.reason_code == ReasonCode::Success && self.in_flight.is_for_nobody(ack.packet_id) {
            reason.reason_code = ReasonCode::NoMatchingSubscribers;
        }
        let is_refused = ack.reason_code.is_error() && !matches!(packet, Packet::Pubcomp(_));
        self.stats.refused += u64::from(is_refused);
        self.complete(ack.packet_id, if is_refused { Err(Error::PublishRefused(reason.into())) } else { Ok(reason) });
        self.send_again();
        Ok(())
    }

    /// Frees the identifier and tells the user.
    fn complete(&mut self, id: PacketId, result: Result<Reason, Error>) {
        if self.resend == Some(id) {
            self.resend = self.in_flight.after(id);
        }
        if let Some(id) = self.in_flight.remove(id) {
            self.published(id, result);
        }
    }

    /// Tells those who wait for it how a message went.
    pub(super) fn published(&mut self, id: OperationId, result: Result<Reason, Error>) {
        if let Some(result) = self.take_own_published(id, result) {
            self.events.push_back(Event::Published { id, result });
        }
    }
}

/// Whether a broker may have ended a connection in this way because of a message that it got. A message that came, and
/// that this side refused, says nothing about those that it sent.
fn may_be_due_to_a_message(error: &Error) -> bool {
    use ReasonCode as Code;
    match error {
        Error::Disconnected(reason) => matches!(
            reason.reason_code,
            Code::UnspecifiedError
                | Code::MalformedPacket
                | Code::ProtocolError
                | Code::ImplementationSpecificError
                | Code::NotAuthorized
                | Code::TopicNameInvalid
                | Code::ReceiveMaximumExceeded
                | Code::PacketTooLarge
                | Code::QuotaExceeded
                | Code::PayloadFormatInvalid
                | Code::RetainNotSupported
                | Code::QosNotSupported
        ),
        Error::ConnectionClosed | Error::Transport(_) | Error::KeepAliveTimeout => true,
        // What answers it is broken.
        Error::Malformed(FrameError::Malformed(DecodeError { packet_type, .. })) => {
            matches!(packet_type, Some(PacketType::Puback | PacketType::Pubrec | PacketType::Pubcomp))
        }
        _ => false,
    }
}
